"""direct_pixels: sums of any length, cut into panels and slices, and tasks of several small images."""

from __future__ import annotations

from math import ceil

import numpy as np
import pytest
from comparisons import assert_equal
from drawn import DTYPES, FEWER, INSTRUCTION_SETS
from guarded import guarded
from hypothesis import assume, given
from hypothesis import strategies as st
from instruction_sets import ISAS, once_for_all, select_isa
from kernels_under_test import CONVOLUTIONS, LARGEST_SCRATCH, arrays_for, run

from gemmconv import conv, reference
from gemmconv.checks.geometry import Geometry
from gemmconv.engine.algorithms import defined_algorithms

PIXELS = CONVOLUTIONS["convolution-direct-direct_pixels"]
GEMM = CONVOLUTIONS["convolution-gemm-gemm_conv-packing"]
# The terms of a slice, at most.
SLICE = 256
BOTH_TYPES, EVERY_ISA = ("float32", "float64"), ISAS

# Sums whose panels are cut between channels, or between taps of the depth, the height or the width of the kernel.
PANELS = {
    "channels": ((5000, 4, 4), (3, 5000, 3, 3), {"padding": 1}),
    "channels, the last panel is smaller": ((701, 9, 300), (2, 701, 3, 3), {"padding": 1}),
    "depth": ((1, 70, 30, 30), (2, 1, 69, 19, 17), {"padding": (0, 1, 8)}),
    "height": ((1, 300, 310), (9, 1, 290, 270), {"padding": 2}),
    "height with a stride": ((2, 1300, 10), (1, 2, 1200, 9), {"stride": (3, 1), "padding": (5, 0)}),
    "width": ((1, 92001), (2, 1, 90000), {"stride": 3}),
    "width with a dilation": ((1, 40, 50000), (1, 1, 2, 700), {"dilation": (30, 70)}),
}


def check(geometry: Geometry, options: dict, dtypes=BOTH_TYPES, isas=EVERY_ISA, threads: int = 1) -> None:
    """Compare integers with those of the definition, with and without a bias and ReLU, at both ends of memory."""
    x, weight, bias = arrays_for("convolution", geometry, "float64")
    small = geometry.out_pixels * geometry.reduction_length < 1e6
    result = reference.conv(x, weight, **options) if small else conv(x, weight, **options, algorithm="gemm")
    biased = result + bias.reshape(-1, *[1] * geometry.rank)
    for dtype in dtypes:
        last, first = ([guarded(array.astype(dtype), at) for array in (x, weight, bias)] for at in ("end", "start"))
        for isa in isas:
            select_isa(isa)
            assert_equal(run(PIXELS, geometry, last, threads), biased, dtype, isa)
            out = run(PIXELS, geometry, last, threads, relu=True)
            assert_equal(out, np.maximum(biased, 0), dtype, isa, "with ReLU")
            out = run(PIXELS, geometry, [*first[:2], None], threads, at="start")
            assert_equal(out, result, dtype, isa, "without a bias")


@pytest.mark.parametrize("terms", [255, 256, 257, 511, 512, 513, 769, 5000])
def test_sums_of_several_slices(terms):
    for x_shape, weight_shape in (
        ((1, 1, terms + 130), (5, 1, terms)),
        ((2, terms, 5, 7), (9, terms, 1, 1)),
        ((1, 5, ceil(terms / 15) + 3, 21), (2, 5, ceil(terms / 15), 3)),
    ):
        check(Geometry.from_shapes(x_shape, weight_shape), {})


def test_slices_of_pieces_of_rows():
    # a band of some columns of several rows, where sums without gaps go to rows of y that have some
    options = {"padding": (8, 8)}
    check(Geometry.from_shapes((1, 1, 20, 2500), (3, 1, 17, 17), **options), options)


@pytest.mark.parametrize("name", PANELS)
def test_sums_of_several_panels(name):
    x_shape, weight_shape, options = PANELS[name]
    geometry = Geometry.from_shapes((1, *x_shape), weight_shape, **options)
    check(geometry, options, threads=2)
    assert PIXELS.build(geometry, 8, 1, False).scratch_bytes <= LARGEST_SCRATCH


# geometries of which two rows share planes that one row would not, and the planes of one row are larger
SEPARATE_ROWS = {
    "few_columns": ((534, 30, 30, 4), (1, 534, 1, 17, 5), {"stride": (1, 3, 3), "padding": ((0, 0), (8, 8), (2, 2))}),
}


@pytest.mark.parametrize("name", SEPARATE_ROWS)
def test_planes_of_fewer_rows_may_be_larger(name):
    x_shape, weight_shape, options = SEPARATE_ROWS[name]
    geometry = Geometry.from_shapes((1, *x_shape), weight_shape, **options)
    check(geometry, options)
    assert PIXELS.build(geometry, 8, 1, False).scratch_bytes <= LARGEST_SCRATCH


@st.composite
def long_sums(draw: st.DrawFn):
    """Draw a convolution with long kernels."""
    rank = draw(st.integers(1, 2))
    groups, per_group = draw(st.sampled_from([(1, 1), (1, 2), (2, 1), (1, 40)]))
    kernel = [draw(st.integers(1, 700 if rank == 1 else 40)) for _ in range(rank)]
    stride, dilation = ([draw(st.integers(1, 4)) for _ in range(rank)] for _ in range(2))
    padding = [(draw(st.integers(-2, 300)), draw(st.integers(-2, 30))) for _ in range(rank)]
    size = [draw(st.integers(1, 900 if rank == 1 else 60)) for _ in range(rank)]
    geometry = (n + sum(pads) - (k - 1) * d for n, pads, k, d in zip(size, padding, kernel, dilation))
    assume(all(outputs > 0 for outputs in geometry))
    options = {"stride": tuple(stride), "dilation": tuple(dilation), "padding": tuple(padding), "groups": groups}
    out_channels = groups * draw(st.integers(1, 9))
    return (draw(st.integers(1, 2)), groups * per_group, *size), (out_channels, per_group, *kernel), options


@FEWER
@given(drawn=long_sums(), dtype=DTYPES, isa=INSTRUCTION_SETS)
def test_long_sums(drawn, dtype, isa):
    x_shape, weight_shape, options = drawn
    check(Geometry.from_shapes(x_shape, weight_shape, **options), options, [dtype], [isa])


@pytest.mark.parametrize("terms", [64, 300, 1000, 4097, 10000])
def test_the_error_of_long_sums(terms):
    # beside that of the product by BLAS, and by the bound of sums in slices
    rng = np.random.default_rng(terms)
    normal, uniform = rng.standard_normal((1, 1, terms + 400)), rng.random((1, 1, terms + 400))
    for x, weight in (
        (normal, rng.standard_normal((4, 1, terms))),
        (uniform, rng.random((4, 1, terms))),
        (np.full((1, 1, terms + 400), 0.1), np.full((4, 1, terms), 1 / terms)),
    ):
        x, weight = x.astype("f4"), weight.astype("f4")
        exact, size = reference.conv(x, weight), reference.conv(abs(x), abs(weight))
        geometry = Geometry.from_shapes(x.shape, weight.shape)
        slices = ceil(terms / SLICE)
        bound = (ceil(terms / slices) + slices + 2) * np.finfo("f4").eps
        for isa in ISAS:
            select_isa(isa)
            error, of_gemm = (abs(run(kernel, geometry, (x, weight, None)) - exact) for kernel in (PIXELS, GEMM))
            assert np.sqrt((error**2).mean()) <= 1.5 * np.sqrt((of_gemm**2).mean()), isa
            assert (error <= bound * size).all(), isa


@pytest.mark.parametrize(
    ("image", "weight", "groups"),
    [
        ((1, 12, 12), (1, 1, 3, 3), 1),
        ((3, 8, 8), (8, 3, 3, 3), 1),
        ((4, 9), (8, 1, 3), 4),
        ((1, 4, 5, 6), (9, 1, 2, 2, 2), 1),
    ],
)
@once_for_all
def test_a_task_of_several_images(image, weight, groups, dtype, isa):
    # the last task has fewer of them than the others
    rng = np.random.default_rng(3)
    x, w = rng.standard_normal((333, *image)).astype(dtype), rng.standard_normal(weight).astype(dtype)
    geometry, one = (Geometry.from_shapes((batch, *image), weight, groups=groups) for batch in (333, 1))
    assert PIXELS.build(geometry, 4, 1, False).task_count < 333 * PIXELS.build(one, 4, 1, False).task_count
    together = run(PIXELS, geometry, (guarded(x), guarded(w), None))
    np.testing.assert_array_equal(run(PIXELS, geometry, (x, w, None), threads=3), together)
    for i in range(0, 333, 83):
        np.testing.assert_array_equal(run(PIXELS, one, (x[i : i + 1], w, None))[0], together[i])
    check(geometry, {"groups": groups}, [dtype], [isa], threads=2)


def test_it_is_defined_for_every_geometry():
    # sums, rows and kernels of any size
    for x_shape, weight_shape, options in (
        ((1, 1, 10**9), (1, 1, 10**8), {}),
        ((1, 10**6, 9, 9), (10**5, 10**6, 3, 3), {}),
        ((1, 1, 10**4, 10**4), (1, 1, 10**4, 10**3), {"padding": 10**3, "dilation": (1, 10)}),
        ((1, 1, 10**3, 10**3, 10**3), (1, 1, 10**3, 500, 9), {"stride": (1, 7, 100)}),
    ):
        geometry = Geometry.from_shapes(x_shape, weight_shape, **options)
        assert "direct" in defined_algorithms(geometry)
        problem = PIXELS.build(geometry, 8, 1, False)
        assert problem.scratch_bytes <= LARGEST_SCRATCH
        assert problem.task_count > 0
