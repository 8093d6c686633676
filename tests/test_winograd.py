"""Winograd's algorithm: its matrices, its error beside the bound, where it is exact, and what is not finite."""

from __future__ import annotations

from functools import cache
from typing import Any, NamedTuple

import numpy as np
import pytest
from cases import integers
from instruction_sets import once_for_all

from gemmconv import Plan, conv, reference
from gemmconv.checks.geometry import Geometry
from gemmconv.engine.tiling import winograd_tiles


class Shapes(NamedTuple):
    """A convolution, and the side of the tiles that the library takes."""

    x: tuple[int, ...]
    weight: tuple[int, ...]
    options: dict[str, Any]
    side: int


SHAPES = {
    "whole_tiles": Shapes((1, 16, 18, 18), (16, 16, 3, 3), {}, 4),
    "partial_tiles": Shapes((2, 5, 13, 11), (7, 5, 3, 3), {"padding": 1}, 4),
    "one_channel": Shapes((1, 1, 30, 41), (1, 1, 3, 3), {"padding": 1}, 4),
    "rows_of_tiles": Shapes((1, 3, 9, 120), (20, 3, 3, 3), {"padding": ((2, 0), (0, 1))}, 4),
    "partial_sums": Shapes((1, 70, 12, 12), (40, 70, 3, 3), {"padding": 1}, 4),
    "chunks": Shapes((1, 300, 6, 113), (33, 300, 3, 3), {"padding": 1}, 4),
    "groups": Shapes((1, 40, 17, 15), (34, 20, 3, 3), {"padding": 1, "groups": 2}, 4),
    "cropped": Shapes((1, 8, 20, 21), (8, 8, 3, 3), {"padding": ((-1, -2), (1, -3))}, 4),
    "one_row": Shapes((1, 12, 7, 50), (9, 12, 1, 3), {"padding": (0, 1)}, 4),
    "depths": Shapes((1, 70, 4, 9, 13), (40, 70, 3, 3, 3), {"padding": (1, 0, 1)}, 4),
    "depths_of_groups": Shapes((2, 6, 3, 10, 12), (34, 3, 2, 3, 3), {"padding": 1, "groups": 2}, 4),
    "depths_of_padding": Shapes((1, 40, 2, 6, 21), (5, 40, 2, 1, 3), {"padding": ((3, 2), 0, 1)}, 4),
    "strided_depths": Shapes(
        (1, 6, 7, 9, 10), (5, 6, 3, 3, 3), {"stride": (2, 1, 1), "dilation": (2, 1, 1), "padding": (3, 1, 1)}, 4
    ),
    "small_map": Shapes((2, 40, 6, 5), (33, 40, 3, 3), {"padding": 1}, 2),
    "smallest_map": Shapes((1, 100, 3, 3), (20, 100, 3, 3), {}, 2),
    "small_row": Shapes((1, 9, 2, 4), (16, 9, 1, 3), {}, 2),
}


def normal(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    return rng.standard_normal(shape)


def large_mean(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    return 1e4 + rng.standard_normal(shape)


def alternating(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    signs = 1 - 2 * (np.indices(shape).sum(axis=0) % 2)
    return signs * (1 + 1e-3 * rng.random(shape))


def one_huge_value(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    values = 1e-3 * rng.standard_normal(shape)
    values[tuple(n // 2 for n in shape)] = 1e6
    return values


def wide_range(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    return rng.standard_normal(shape) * 10 ** rng.uniform(-12, 4, shape)


def tiny(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    """Return what multiplies to subnormal numbers, and is partly subnormal, in float32."""
    return rng.standard_normal(shape) * 10 ** rng.uniform(-41, -18, shape)


# What x and the weights are like.
DATA = {
    "normal": (normal, normal),
    "large_mean": (large_mean, normal),
    "large_means": (large_mean, large_mean),
    "alternating": (alternating, alternating),
    "one_huge_value": (one_huge_value, normal),
    "huge_values": (one_huge_value, one_huge_value),
    "wide_range": (wide_range, wide_range),
    "tiny": (tiny, tiny),
    "tiny_weights": (large_mean, tiny),
}


def geometry_of(shapes: Shapes) -> Geometry:
    return Geometry.from_shapes(shapes.x, shapes.weight, **shapes.options)


def arrays_of(shapes: Shapes, data: str, dtype: np.dtype) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return x, weights and bias."""
    of_x, of_weight = DATA[data]
    rng = np.random.default_rng(11)
    x, weight = of_x(rng, shapes.x).astype(dtype), of_weight(rng, shapes.weight).astype(dtype)
    return x, weight, of_weight(rng, shapes.weight[:1]).astype(dtype)


@cache
def exact_and_bounds(name: str, data: str, dtype: np.dtype) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the reference's result, the bound of its own error, and the bound of Winograd's algorithm."""
    shapes = SHAPES[name]
    x, weight, bias = arrays_of(shapes, data, dtype)
    exact = reference.conv(x, weight, bias, **shapes.options)
    terms = weight[0].size + 2
    of_reference = terms * np.finfo("f8").eps * reference.conv(abs(x), abs(weight), abs(bias), **shapes.options)
    bound = reference.winograd_bound(x, weight, bias, **shapes.options, side=shapes.side, dtype=dtype)
    return exact, of_reference, bound


def errors(name: str, data: str, dtype: np.dtype) -> tuple[np.ndarray, np.ndarray]:
    """Return the errors, less what the reference may have, and their bounds."""
    exact, of_reference, bound = exact_and_bounds(name, data, dtype)
    arrays = arrays_of(SHAPES[name], data, dtype)
    y = conv(*arrays, **SHAPES[name].options, algorithm="winograd")
    return np.maximum(abs(y - exact) - of_reference, 0), bound


@pytest.mark.parametrize("name", SHAPES)
def test_the_cases_are_of_both_sides(name):
    assert winograd_tiles(geometry_of(SHAPES[name])).side == SHAPES[name].side


def test_the_matrices_are_those_of_c():
    # Lavin and Gray, arXiv:1509.09308, section 4
    A, B, G = reference.winograd_transforms(2)
    np.testing.assert_array_equal(A.T, [[1, 1, 1, 0], [0, 1, -1, -1]])
    np.testing.assert_array_equal(B.T, [[1, 0, -1, 0], [0, 1, 1, 0], [0, -1, 1, 0], [0, 1, 0, -1]])
    np.testing.assert_array_equal(2 * G, [[2, 0, 0], [1, 1, 1], [1, -1, 1], [0, 0, 2]])
    A, B, G = reference.winograd_transforms(4)
    np.testing.assert_array_equal(
        A.T, [[1, 1, 1, 1, 1, 0], [0, 1, -1, 2, -2, 0], [0, 1, 1, 4, 4, 0], [0, 1, -1, 8, -8, 1]]
    )
    np.testing.assert_array_equal(
        B.T,
        [
            [4, 0, -5, 0, 1, 0],
            [0, -4, -4, 1, 1, 0],
            [0, 4, -4, -1, 1, 0],
            [0, -2, -1, 2, 1, 0],
            [0, 2, -1, -2, 1, 0],
            [0, 4, 0, -5, 0, 1],
        ],
    )
    rows = [[6, 0, 0], [-4, -4, -4], [-4, 4, -4], [1, 2, 4], [1, -2, 4], [0, 0, 24]]
    np.testing.assert_array_equal(G, np.array(rows) / 24)


@pytest.mark.parametrize("side", [2, 4])
@pytest.mark.parametrize("name", SHAPES)
def test_the_twin_is_the_definition(name, side):
    shapes = SHAPES[name]
    x, weight = integers(shapes.x, "f8"), integers(shapes.weight, "f8", 1)
    y = reference.winograd_conv(x, weight, **shapes.options, side=side)
    np.testing.assert_allclose(y, reference.conv(x, weight, **shapes.options), rtol=0, atol=1e-9)


def test_the_twin_needs_stride_and_dilation_1():
    x, weight = np.ones((1, 1, 5, 9, 9)), np.ones((1, 1, 3, 3, 3))
    for options in ({"stride": (1, 1, 2)}, {"dilation": (1, 2, 1)}):
        with pytest.raises(ValueError, match="stride and dilation 1 along the last two axes"):
            reference.winograd_conv(x, weight, **options)
        with pytest.raises(ValueError, match="stride and dilation 1 along the last two axes"):
            reference.winograd_bound(x, weight, **options)


@pytest.mark.parametrize("name", SHAPES)
@once_for_all
def test_exact_on_integers(name, dtype, isa):
    shapes = SHAPES[name]
    x, bias = integers(shapes.x, dtype), integers(shapes.weight[:1], dtype, 2)
    weight = integers(shapes.weight, dtype, 1) * {4: 576, 2: 4}[shapes.side]
    y = conv(x, weight, bias, **shapes.options, algorithm="winograd")
    np.testing.assert_array_equal(y, reference.conv(x, weight, bias, **shapes.options))


@pytest.mark.parametrize("data", DATA)
@pytest.mark.parametrize("name", SHAPES)
@once_for_all
def test_every_error_is_within_its_bound(name, data, dtype, isa):
    error, bound = errors(name, data, dtype)
    assert np.isfinite(bound).all()
    assert (error <= bound).all(), f"{(error / bound).max():.3g} times the bound"


@pytest.mark.parametrize("name", SHAPES)
def test_the_bound_is_not_vacuous(name, isa):
    error, bound = errors(name, "normal", np.dtype("f4"))
    assert (error / bound).max() > 1 / 2000


@pytest.mark.parametrize("channels", [1, 8, 64, 512])
def test_typical_errors_are_small(channels, isa):
    rng = np.random.default_rng(3)
    x = rng.standard_normal((1, channels, 24, 24), np.float32)
    weight = rng.standard_normal((32, channels, 3, 3), np.float32)
    exact = reference.conv(x, weight, padding=1)
    error = conv(x, weight, padding=1, algorithm="winograd") - exact
    assert np.sqrt((error**2).mean()) <= 2e-6 * np.sqrt((exact**2).mean())


# Of these, "direct" computes some by direct_channels and some by direct_pixels.
MENDED = ["partial_tiles", "partial_sums", "groups", "one_row", "depths", "small_map"]


def batch(shapes: Shapes, dtype: np.dtype) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return x of three images, weights and bias."""
    rng = np.random.default_rng(2)
    of = ((3, *shapes.x[1:]), shapes.weight, shapes.weight[:1])
    x, weight, bias = (rng.standard_normal(shape).astype(dtype) for shape in of)
    return x, weight, bias


@pytest.mark.parametrize("name", MENDED)
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@once_for_all
def test_what_is_not_finite_is_where_direct_has_it(name, value, dtype, isa):
    shapes = SHAPES[name]
    x, weight, bias = batch(shapes, dtype)
    arguments = {**shapes.options, "algorithm": "winograd"}
    clean = conv(x, weight, bias, **arguments)
    x[1, -1, shapes.x[2] // 2, shapes.x[3] // 2] = value
    y = conv(x, weight, bias, **arguments)
    np.testing.assert_array_equal(y[[0, 2]], clean[[0, 2]])
    by_direct = conv(x, weight, bias, **shapes.options, algorithm="direct")
    assert not np.isfinite(by_direct[1]).all()
    np.testing.assert_array_equal(y[1], by_direct[1])
    assert not np.array_equal(clean[0], by_direct[0]), "or nothing was compared"


@pytest.mark.parametrize("name", MENDED)
def test_weights_that_are_not_finite(name, dtype, isa):
    shapes = SHAPES[name]
    x, weight, bias = batch(shapes, dtype)
    weight[0, 0, 0, 1] = np.inf
    y = conv(x, weight, bias, **shapes.options, algorithm="winograd")
    np.testing.assert_array_equal(y, conv(x, weight, bias, **shapes.options, algorithm="direct"))


@pytest.mark.parametrize("name", MENDED)
def test_relu_of_what_is_not_finite(name, dtype, isa):
    shapes = SHAPES[name]
    x, weight, bias = batch(shapes, dtype)
    x[0, 0, 0, 0], x[1, 0, 1, 2], x[2, -1, 1, 1] = np.nan, np.inf, -np.inf
    results = [
        Plan(
            weight,
            bias,
            input_size=shapes.x[2:],
            **shapes.options,
            algorithm=algorithm,
            activation="relu",
        )(x)
        for algorithm in ("winograd", "direct")
    ]
    np.testing.assert_array_equal(*results)
    y = conv(x, weight, bias, **shapes.options, algorithm="direct")
    np.testing.assert_array_equal(results[0], np.where(y < 0, 0, y))


@pytest.mark.parametrize("name", ["whole_tiles", "small_map"])
def test_only_a_transform_that_overflows_is_computed_anew(name, dtype, isa):
    # The tile whose transform is largest has elements of one size, with the signs of B: V is 100 or 4 times as large.
    shapes = SHAPES[name]
    _, B, _ = reference.winograd_transforms(shapes.side)
    frequency = abs(B).sum(axis=0).argmax()
    signs = np.sign(np.outer(B[:, frequency], B[:, frequency]))
    growth = abs(B).sum(axis=0).max() ** 2
    assert growth == {4: 100, 2: 4}[shapes.side]
    rng = np.random.default_rng(4)
    weight = 1e-6 * rng.standard_normal(shapes.weight).astype(dtype)
    x = np.zeros((2, *shapes.x[1:]), dtype)
    options = {"padding": 0}  # so that the first tile begins with the image
    for size, same in ((0.99, False), (1.01, True)):
        x[0, 0, : len(B), : len(B)] = signs * (float(np.finfo(dtype).max) / growth * size)
        x[1] = 1
        y, by_direct = (conv(x, weight, **options, algorithm=algorithm) for algorithm in ("winograd", "direct"))
        assert np.isfinite(y).all()
        assert np.array_equal(y[0], by_direct[0]) == same
        assert not np.array_equal(y[1], by_direct[1])


def test_huge_values(dtype, isa):
    shapes = SHAPES["partial_tiles"]
    x, weight, _ = batch(shapes, dtype)
    x *= float(np.finfo(dtype).max) / 16
    weight *= 0.01
    y, by_direct = (conv(x, weight, padding=1, algorithm=algorithm) for algorithm in ("winograd", "direct"))
    assert np.isfinite(y).all()
    np.testing.assert_array_equal(y, by_direct)
