"""The kernel depthwise with kernels of any size: cut into slices, summed in parts, the same bits in any batch."""

from __future__ import annotations

from dataclasses import replace
from itertools import product
from math import prod
from typing import Any

import numpy as np
import pytest
from cases import Case, geometry_of, geometry_options
from comparisons import assert_equal
from guarded import guarded
from hypothesis import given, reject
from hypothesis import strategies as st
from instruction_sets import ISAS, select_isa
from kernels_under_test import KERNELS, LARGEST_SCRATCH, arrays_for, expected, normal_arrays_for, run

from gemmconv import conv
from gemmconv.checks.geometry import Geometry
from gemmconv.engine import phases
from gemmconv.engine.algorithms import defined_algorithms

DEPTHWISE = KERNELS["convolution-direct-depthwise"]
GEMM = KERNELS["convolution-gemm-gemm_conv-small"]
PHASES = KERNELS["input_gradient-direct-phases"]

# Kernels that are cut along each axis and along several, with strides of every kind: rows in place, split, copied
# because they collide, narrow; blocks that end inside a vector and a block of rows; taps far apart.
SLICED_CASES = {
    "one_row": Case((1, 2, 12100), (2, 1, 12001), {"groups": 2, "padding": 19}),
    "one_row_multiplier": Case((2, 1, 12100), (3, 1, 12050), {"padding": 3}),
    "one_row_dilated": Case((1, 1, 27000), (1, 1, 9000), {"dilation": 3, "padding": 7}),
    "one_row_stride_2": Case((1, 1, 12100), (1, 1, 12000), {"stride": 2, "padding": 33}),
    "one_row_stride_3": Case((1, 1, 20100), (1, 1, 20000), {"stride": 3, "padding": 40}),
    "one_row_far": Case((1, 2, 6000), (2, 1, 4), {"groups": 2, "dilation": 1500, "padding": 1700}),
    "rows": Case((1, 1, 120, 1030), (1, 1, 101, 5), {"padding": (3, 2)}),
    "rows_multiplier": Case((2, 1, 107, 1020), (3, 1, 101, 3), {"padding": (2, 1)}),
    "rows_stride": Case((1, 1, 160, 1030), (1, 1, 151, 3), {"stride": 2, "padding": 5}),
    "rows_stride_3": Case((1, 2, 90, 100), (2, 1, 81, 9), {"groups": 2, "stride": 3, "padding": 2}),
    "rows_not_shared": Case((1, 1, 1200, 2), (1, 1, 550, 2), {"stride": (3, 1), "dilation": (2, 1), "padding": (9, 1)}),
    "columns": Case((1, 1, 9, 9030), (1, 1, 2, 9005), {"padding": (1, 9)}),
    "columns_of_rows": Case((1, 1, 9, 30000), (1, 1, 3, 3), {"dilation": (2, 14000), "padding": (2, 50)}),
    "rows_and_columns": Case((1, 1, 104, 2048), (1, 1, 101, 3), {"dilation": (1, 600), "padding": (1, 5)}),
    "depths": Case((1, 1, 34, 20, 21), (1, 1, 31, 11, 11), {"stride": (2, 3, 3), "padding": (1, 2, 3)}),
    "depths_of_rows": Case((1, 1, 34, 3, 200), (1, 1, 31, 1, 50), {"stride": (1, 1, 5), "padding": (1, 0, 5)}),
}
# One slice, of more taps than a partial sum has.
LONG_CASES = {
    "one_row": Case((2, 2, 700), (4, 1, 600), {"groups": 2, "padding": 30}),
    "one_row_dilated": Case((1, 2, 900), (2, 1, 290), {"groups": 2, "dilation": 3, "padding": 30}),
    "one_row_stride": Case((1, 2, 700), (2, 1, 300), {"groups": 2, "stride": 2, "padding": 30}),
    "square": Case((1, 2, 40, 45), (2, 1, 31, 31), {"groups": 2, "padding": 15}),
    "square_stride": Case((1, 2, 50, 60), (2, 1, 19, 51), {"groups": 2, "stride": 2, "padding": (9, 25)}),
    "narrow": Case((1, 2, 90, 5), (2, 1, 70, 4), {"groups": 2, "padding": (30, 1)}),
    "cube": Case((1, 2, 9, 20, 21), (2, 1, 7, 7, 7), {"groups": 2, "padding": 3}),
}
CASES = {
    f"{kind}-{name}": case
    for kind, cases in (("sliced", SLICED_CASES), ("long", LONG_CASES))
    for name, case in cases.items()
}


@pytest.mark.parametrize("name", CASES)
def test_exact_between_forbidden_pages(name):
    geometry = geometry_of(CASES[name])
    for dtype in ("float32", "float64"):
        arrays = arrays_for("convolution", geometry, np.dtype(dtype))
        result = expected("convolution", geometry, geometry_options(CASES[name]), arrays)
        for isa in ISAS:
            select_isa(isa)
            for at, relu in (("end", False), ("start", True)):
                out = run(DEPTHWISE, geometry, [guarded(array, at) for array in arrays], relu=relu, at=at)
                np.testing.assert_array_equal(out, np.maximum(result, 0) if relu else result, f"{isa}, {dtype}, {at}")


@pytest.mark.parametrize("name", CASES)
def test_same_bits_for_any_batch_and_threads(name):
    three = replace(geometry_of(CASES[name]), batch=3)
    for isa in ISAS:
        select_isa(isa)
        arrays = normal_arrays_for("convolution", three, "float32")
        together = run(DEPTHWISE, three, arrays)
        np.testing.assert_array_equal(run(DEPTHWISE, three, arrays, 3), together, isa)
        alone = (arrays[0][2:], *arrays[1:])
        np.testing.assert_array_equal(run(DEPTHWISE, replace(three, batch=1), alone)[0], together[2], isa)


@pytest.fixture
def _depthwise_in_phases(monkeypatch):
    """Let the classes of phases be computed by depthwise only."""
    only = tuple(kernel for kernel in phases.KERNELS_OF_CLASSES if kernel.name == "depthwise")
    monkeypatch.setattr(phases, "KERNELS_OF_CLASSES", only)
    for cached in (phases.make_class, phases.cut_into_phases):
        cached.cache_clear()
    yield
    for cached in (phases.make_class, phases.cut_into_phases):
        cached.cache_clear()


@pytest.mark.usefixtures("_depthwise_in_phases")
def test_a_layout_serves_bands_of_any_size(isa):
    # the kernel of a class, of 100 x 3 taps, is cut into slices; bands are narrower than the image
    options: dict[str, Any] = {"stride": 2, "padding": (98, 2)}
    geometry = Geometry.from_shapes((1, 1, 8, 8192), (1, 1, 200, 6), **options)
    arrays = arrays_for("input_gradient", geometry, np.dtype("float32"))
    assert PHASES.defined(geometry)
    result = expected("input_gradient", geometry, options, arrays)
    np.testing.assert_array_equal(run(PHASES, geometry, arrays), result)


_SIZES = st.integers(0, 16).map(lambda power: 2**power) | st.integers(1, 70)
_AXES = st.tuples(_SIZES, _SIZES, _SIZES)


@given(
    size=_AXES, taps=_AXES, stride=_AXES, dilation=_AXES, channels=st.tuples(st.integers(1, 300), st.integers(1, 20))
)
def test_every_geometry_with_one_input_channel_per_group_fits(size, taps, stride, dilation, channels):
    groups, multiplier = channels
    padding = tuple((n - 1) * step for n, step in zip(taps, dilation))
    options: dict[str, Any] = {"stride": stride, "dilation": dilation, "padding": padding, "groups": groups}
    try:
        geometry = Geometry.from_shapes((1, groups, *size), (groups * multiplier, 1, *taps), **options)
    except ValueError:  # too large for any kernel
        reject()
    if not DEPTHWISE.defined(geometry):  # many slices of a few taps, which the bound of the error does not allow
        assert prod(taps) > 256
        assert "direct" in defined_algorithms(geometry)  # by another kernel
        reject()
    assert DEPTHWISE.build(geometry, 8, 1, False).scratch_bytes <= LARGEST_SCRATCH


@pytest.mark.parametrize(("rows", "stride", "dilation"), [(1, 3, 1), (46, 6, 3)])
def test_strided_kernels_as_long_as_the_input_fit(rows, stride, dilation):
    options: dict[str, Any] = {"stride": stride, "dilation": dilation, "groups": 2}
    geometry = Geometry.from_shapes((1, 2, rows, 5165 * dilation + 1), (2, 1, 1, 5166), **options)
    assert DEPTHWISE.defined(geometry)
    result = expected("convolution", geometry, options, arrays_for("convolution", geometry, "float64"))
    for dtype, isa in product(("float32", "float64"), ISAS):
        select_isa(isa)
        arrays = arrays_for("convolution", geometry, dtype)
        assert_equal(run(DEPTHWISE, geometry, arrays, threads=2), result, dtype, isa)


@pytest.mark.parametrize("taps", [(64,), (700,), (1500,), (10000,), (9, 9), (17, 17), (31, 31), (65, 65), (2000, 1)])
def test_the_error_of_long_sums_is_near_that_of_gemm(taps, isa):
    size = [n + (1000 if len(taps) == 1 else 30) for n in taps]
    geometry = Geometry.from_shapes((1, 1, *size), (1, 1, *taps))
    arrays = normal_arrays_for("convolution", geometry, "float32")
    exact = conv(*[array.astype("float64") for array in arrays], algorithm="gemm")
    errors = [np.sqrt(np.mean((run(kernel, geometry, arrays) - exact) ** 2)) for kernel in (DEPTHWISE, GEMM)]
    assert errors[0] <= 1.5 * errors[1]


def test_the_mean_of_a_constant(isa):
    x, weight = np.full((1, 1, 16000), 0.1, "float32"), np.full((1, 1, 6001), 1 / 6001, "float32")
    out = run(DEPTHWISE, Geometry.from_shapes(x.shape, weight.shape), (x, weight, None))
    np.testing.assert_allclose(out, float(x[0, 0, 0]) * float(weight[0, 0, 0]) * 6001, rtol=1e-5, atol=0)
