"""What the kernels of gradients alone have: turned weights, sums in parts, and values that are not finite."""

from __future__ import annotations

from dataclasses import replace
from itertools import product

import numpy as np
import pytest
from cases import ZERO_PADDED_CASES, geometry_of, integers
from comparisons import assert_equal
from drawn import FEW, large_strided_convolutions, long_kernels
from guarded import guarded
from hypothesis import given
from hypothesis import strategies as st
from instruction_sets import ISAS, once_for_all, select_isa
from kernels_under_test import (
    INPUT_GRADIENTS,
    KERNELS,
    LARGEST_SCRATCH,
    WEIGHT_GRADIENTS,
    run,
)

from gemmconv import reference
from gemmconv._gemmconv import Layout, Problem
from gemmconv.checks.geometry import Geometry
from gemmconv.engine.algorithms import pick
from gemmconv.engine.blas import single_threaded_blas
from gemmconv.engine.tiling import (
    choose_direct_tiling,
    choose_panels_tiling,
    choose_tiling,
    choose_winograd_tiling,
)


def turned_weight(weight: np.ndarray, groups: int) -> np.ndarray:
    """Return the weight (O, C/groups, *kernel) as (C, O/groups, *kernel), every kernel reversed along all its axes."""
    by_group = weight.reshape(groups, -1, *weight.shape[1:]).swapaxes(1, 2)
    reversed_kernels = np.flip(by_group, tuple(range(3, by_group.ndim)))
    return reversed_kernels.reshape(-1, reversed_kernels.shape[2], *weight.shape[2:])


def results_of_turned_weights(geometry: Geometry, weight: np.ndarray, threads: int) -> tuple[np.ndarray, np.ndarray]:
    """Return a convolution by the weight as the C layer turns it, and by `turned_weight`; their bits must be equal."""
    turned, results = geometry.turned(), []
    x = np.random.default_rng(8).standard_normal(turned.x_shape).astype(weight.dtype)
    way = pick("convolution", turned, "direct")
    for in_c, given_weight in ((True, weight), (False, turned_weight(weight, geometry.groups))):
        problem = way.build(turned, weight.itemsize, threads, turned=in_c).problem
        results.append(np.full(turned.out_shape, np.nan, weight.dtype))
        problem.run(x, np.ascontiguousarray(given_weight), None, results[-1], threads)
    return results[0], results[1]


@pytest.mark.parametrize("name", ZERO_PADDED_CASES)
@once_for_all
def test_turned_weights(name, dtype):
    geometry = replace(geometry_of(ZERO_PADDED_CASES[name]), stride=(1, 1, 1), batch=1)
    weight = np.random.default_rng(9).standard_normal(geometry.weight_shape).astype(dtype)
    for threads in (1, 3):
        in_c, by_numpy = results_of_turned_weights(geometry, weight, threads)
        np.testing.assert_array_equal(in_c, by_numpy)


@pytest.mark.parametrize(
    ("x_shape", "weight_shape", "groups"),
    [
        ((1, 40, 9, 9), (34, 20, 3, 2), 2),  # more than one square of channels, and the rest of one
        ((2, 33, 5), (17, 33, 1), 1),
        ((1, 6, 4, 5, 6), (4, 3, 2, 3, 2), 2),
        ((2, 5, 7, 7), (5, 1, 3, 3), 5),
    ],
)
def test_turned_weight_without_a_layout(x_shape, weight_shape, groups, dtype):
    # gemm_conv reads a weight as it is, so its layout in a turned problem is the turned weight itself
    geometry = Geometry.from_shapes(x_shape, weight_shape, groups=groups)
    weight, g = integers(weight_shape, dtype), integers(geometry.out_shape, dtype, 1)
    turned = geometry.turned()
    problem = Problem(turned, dtype.itemsize, choose_tiling(turned, dtype.itemsize), turned=True)
    laid_out = problem.lay_out(guarded(weight), 3)
    assert isinstance(laid_out, Layout)
    assert problem.layout_bytes == weight.nbytes
    expected = reference.conv_input_gradient(g, weight, x_shape[2:], groups=groups)
    for given_weight in (weight, laid_out):
        out = guarded(np.full(x_shape, np.nan, dtype))
        with single_threaded_blas:
            problem.run(g, given_weight, None, out, 3)
        np.testing.assert_array_equal(out, expected)


@pytest.mark.parametrize("groups", [1, 3])
@pytest.mark.parametrize("threads", [1, 3])
def test_the_input_gradient_of_a_1x1_kernel_reads_the_weight_in_place(groups, threads, dtype):
    geometry = Geometry.from_shapes((2, 300, 5, 7), (33, 300 // groups, 1, 1), groups=groups)
    weight, g = integers(geometry.weight_shape, dtype), integers(geometry.out_shape, dtype, 1)
    turned = geometry.turned()
    tiling = choose_panels_tiling(turned, dtype.itemsize, threads)
    problem = Problem(turned, dtype.itemsize, tiling, kernel="panels", turned=True)
    assert problem.layout_bytes == 0
    out = guarded(np.full(geometry.x_shape, np.nan, dtype))
    problem.run(g, guarded(weight), None, out, threads)
    np.testing.assert_array_equal(out, reference.conv_input_gradient(g, weight, (5, 7), groups=groups))
    # a larger kernel is turned first, as for other kernels
    larger = Geometry.from_shapes((2, 300, 5, 7), (33, 300 // groups, 1, 2), groups=groups).turned()
    assert Problem(larger, dtype.itemsize, tiling, kernel="panels", turned=True).layout_bytes > 0


def test_a_problem_and_its_exact_one_are_turned_together():
    geometry = Geometry.from_shapes((1, 2, 8, 8), (3, 2, 3, 3))
    exact = Problem(geometry, 4, choose_direct_tiling(geometry, 4), kernel="direct_channels")
    with pytest.raises(ValueError, match="both or neither are turned"):
        Problem(geometry, 4, choose_winograd_tiling(geometry, 4), kernel="winograd", exact=exact, turned=True)


@pytest.mark.parametrize("key", WEIGHT_GRADIENTS)
def test_weight_gradient_of_an_empty_batch_is_zero(key, dtype):
    geometry = Geometry.from_shapes((0, 8, 9, 9), (20, 8, 3, 3))
    arrays = np.empty(geometry.out_shape, dtype), np.empty(geometry.x_shape, dtype)
    assert not run(WEIGHT_GRADIENTS[key], geometry, arrays, threads=3).any()


LARGE_KERNELS = [
    Geometry.from_shapes(x_shape, weight_shape, stride=stride)
    for x_shape, weight_shape, stride in (
        ((1, 1, 200_000), (1, 1, 30_000), 2),
        ((1, 1, 28, 28), (1, 1, 7, 7), 1),
        ((1, 2048, 14, 14), (512, 2048, 5, 5), 1),
        ((1, 4096, 14, 14), (1, 4096, 7, 7), 2),
        ((1, 64, 200, 200), (64, 64, 100, 100), 1),
    )
]


@pytest.mark.parametrize(
    ("key", "geometry"),
    [
        pytest.param(key, geometry, id=f"{key}-{geometry.x_shape}")
        for key, kernel in INPUT_GRADIENTS.items()
        for geometry in LARGE_KERNELS
        if kernel.defined(geometry)
    ],
)
def test_scratch_is_bounded_for_large_kernels(key, geometry):
    for itemsize in (4, 8):
        assert INPUT_GRADIENTS[key].build(geometry, itemsize, 1, False).scratch_bytes <= LARGEST_SCRATCH


def test_scratch_is_bounded_where_few_rows_share_no_planes():
    geometry = Geometry.from_shapes((3, 1, 28, 2106), (9, 1, 163, 31), stride=(7, 5), padding=((680, 680), (0, 0)))
    for kernel in WEIGHT_GRADIENTS.values():
        assert kernel.build(geometry, 8, 1, False).scratch_bytes <= LARGEST_SCRATCH


@given(large_strided_convolutions())
def test_scratch_is_bounded_for_large_strided_geometries(drawn):
    select_isa(drawn.isa)
    geometry = Geometry.from_shapes(drawn.x, drawn.weight, **drawn.options)
    kernel = KERNELS["input_gradient-direct-phases"]
    if kernel.defined(geometry):
        assert kernel.build(geometry, 8, 1, False).scratch_bytes <= LARGEST_SCRATCH


@pytest.mark.parametrize("key", WEIGHT_GRADIENTS)
def test_large_layers_have_many_tasks(key):
    for x, weight in (((1, 64, 56, 56), (256, 64, 3, 3)), ((1, 256, 14, 14), (1024, 256, 1, 1))):
        geometry = Geometry.from_shapes(x, weight, padding=weight[2] // 2)
        assert WEIGHT_GRADIENTS[key].build(geometry, 4, 1, False).task_count >= 12


@pytest.mark.parametrize("key", WEIGHT_GRADIENTS)
def test_several_parts(key, dtype):
    geometry = Geometry.from_shapes((7, 8, 60, 50), (20, 8, 3, 3), padding=1)
    problem = WEIGHT_GRADIENTS[key].build(geometry, dtype.itemsize, 1, False)
    assert problem.parts > 1
    assert problem.task_count >= 3
    g, x = integers(geometry.out_shape, dtype, 2), integers(geometry.x_shape, dtype, 1)
    expected = reference.conv_weight_gradient(g, x, (3, 3), padding=1)
    np.testing.assert_array_equal(run(WEIGHT_GRADIENTS[key], geometry, (g, x), threads=2), expected)


@pytest.mark.parametrize("key", WEIGHT_GRADIENTS)
def test_weight_gradient_error_bound(key, dtype):
    # 3 images of 2500 positions: by the bound that conv_weight_gradient states, with at most 10 sums of each image
    rng = np.random.default_rng(10)
    geometry = Geometry.from_shapes((3, 4, 50, 50), (6, 4, 3, 3), padding=1)
    x = (rng.standard_normal(geometry.x_shape) + 3).astype(dtype)
    g = (rng.standard_normal(geometry.out_shape) - 2).astype(dtype)
    exact = reference.conv_weight_gradient(g.astype("f8"), x.astype("f8"), (3, 3), padding=1)
    size = reference.conv_weight_gradient(abs(g), abs(x), (3, 3), padding=1)
    error = abs(run(WEIGHT_GRADIENTS[key], geometry, (g, x)) - exact)
    slack = 1 if dtype == np.float32 else 2  # the reference's own error
    assert (error <= slack * (512 + 30 + 34) * np.finfo(dtype).eps * size).all()


def rms_of_short_sums(products: np.ndarray, exact: np.ndarray) -> float:
    """Return the root mean square of the errors if 512 products at a time are added up one after the other."""
    total = sum(products[first : first + 512].cumsum(0)[-1] for first in range(0, len(products), 512))
    return np.sqrt(np.mean((total - exact) ** 2))


@pytest.mark.parametrize("key", WEIGHT_GRADIENTS)
@pytest.mark.parametrize(("height", "width"), [(1, 10000), (1, 4096), (128, 64), (2, 1024), (8, 8)])
@once_for_all
def test_errors_of_long_sums(key, height, width, dtype, isa):
    rng, taps = np.random.default_rng(11), (1, 40) if height == 1 else (5, 8)
    g = rng.standard_normal((1, 1, height, width)).astype(dtype)
    x = rng.standard_normal((1, 1, height + taps[0] - 1, width + taps[1] - 1)).astype(dtype)
    geometry = Geometry.from_shapes(x.shape, (1, 1, *taps))
    products = (np.lib.stride_tricks.sliding_window_view(x[0, 0], taps) * g[0, 0, :, :, None, None]).reshape(-1, 40)
    exact = reference.conv_weight_gradient(g.astype("g"), x.astype("g"), taps).ravel()
    error = run(WEIGHT_GRADIENTS[key], geometry, (g, x)).ravel() - exact
    assert np.sqrt(np.mean(error**2)) <= 1.5 * rms_of_short_sums(products, exact)


LONG_KERNELS = {
    "taps": Geometry.from_shapes((2, 1, 11500), (1, 1, 11003), padding=5),
    "taps_of_outputs": Geometry.from_shapes((1, 1, 5700), (5, 1, 5121)),
    "channels": Geometry.from_shapes((1, 7, 2100), (3, 7, 1501)),
    "many_channels": Geometry.from_shapes((2, 71, 3, 105), (2, 71, 1, 90)),
    "channels_and_groups": Geometry.from_shapes((2, 10, 1600), (4, 5, 1501), groups=2, padding=7),
    "square": Geometry.from_shapes((1, 1, 80, 90), (2, 1, 75, 73), padding=3),
    "cube": Geometry.from_shapes((1, 2, 20, 22, 24), (1, 2, 19, 18, 20), padding=1),
    "strided": Geometry.from_shapes((2, 1, 12000), (2, 1, 9001), stride=3),
    "strided_square": Geometry.from_shapes((1, 1, 90, 300), (1, 1, 60, 257), stride=2),
    "dilated": Geometry.from_shapes((1, 1, 90000), (1, 1, 5000), dilation=17),
    "dilated_square": Geometry.from_shapes((1, 1, 300, 1400), (1, 1, 33, 77), dilation=(9, 18), stride=(2, 1)),
}


@pytest.mark.parametrize("name", LONG_KERNELS)
def test_weight_gradients_of_long_kernels(name):
    geometry = LONG_KERNELS[name]
    g, x = integers(geometry.out_shape, "float64", 2), integers(geometry.x_shape, "float64", 1)
    options = {"stride": geometry.stride, "padding": geometry.pad_before, "dilation": geometry.dilation}
    options = {option: value[3 - geometry.rank :] for option, value in options.items()}
    expected = reference.conv_weight_gradient(g, x, geometry.weight_shape[2:], **options, groups=geometry.groups)
    for dtype, at in product(("float32", "float64"), ("end", "start")):
        arrays = [guarded(array.astype(dtype), at) for array in (g, x)]
        for isa, (key, kernel) in product(ISAS, WEIGHT_GRADIENTS.items()):
            select_isa(isa)
            assert kernel.build(geometry, 8, 1, False).scratch_bytes <= LARGEST_SCRATCH
            assert_equal(run(kernel, geometry, arrays, threads=2, at=at), expected, key, dtype, isa, at)


@pytest.mark.parametrize("key", WEIGHT_GRADIENTS)
def test_weight_gradients_of_long_kernels_have_the_same_bits_on_any_threads(key, dtype):
    geometry = LONG_KERNELS["channels_and_groups"]
    rng = np.random.default_rng(12)
    g, x = (rng.standard_normal(shape).astype(dtype) for shape in (geometry.out_shape, geometry.x_shape))
    one, three = (run(WEIGHT_GRADIENTS[key], geometry, (g, x), threads) for threads in (1, 3))
    np.testing.assert_array_equal(one, three)


@FEW
@given(long_kernels(), st.sampled_from(["float32", "float64"]))
def test_weight_gradients_of_drawn_long_kernels(drawn, dtype):
    select_isa(drawn.isa)
    geometry = Geometry.from_shapes(drawn.x, drawn.weight, **drawn.options)
    g, x = integers(geometry.out_shape, dtype, 2), integers(geometry.x_shape, dtype, 1)
    expected = reference.conv_weight_gradient(g, x, drawn.weight[2:], **drawn.options)
    actual = run(WEIGHT_GRADIENTS["weight_gradient-direct-weight_gradient_pixels"], geometry, (guarded(g), guarded(x)))
    np.testing.assert_array_equal(actual, expected)


@pytest.mark.parametrize("key", WEIGHT_GRADIENTS)
@pytest.mark.parametrize("value", [np.inf, np.nan])
def test_what_is_not_finite_reaches_only_the_taps_that_read_it(key, value, dtype, isa):
    kernel = WEIGHT_GRADIENTS[key]
    x, g = integers((1, 2, 9, 20), dtype), integers((1, 3, 3, 7), dtype, 1)
    geometry = Geometry.from_shapes(x.shape, (3, 2, 2, 2), stride=3)
    expected = reference.conv_weight_gradient(g, x, (2, 2), stride=3)
    x[0, 1, 8, 19] = value  # in the unused tail: stride 3 leaves the last row and column out
    np.testing.assert_array_equal(run(kernel, geometry, (g, x)), expected)
    x[0, 1, 8, 19] = 0
    x[0, 0, 4, 4] = value  # only the second tap of both axes reads it
    actual = run(kernel, geometry, (g, x))
    touched = np.zeros(actual.shape, bool)
    touched[:, 0, 1, 1] = True
    np.testing.assert_array_equal(actual[~touched], expected[~touched])
    assert not np.isfinite(actual[touched]).any()
