"""Every kernel of the table of methods, by itself: exact, the same bits however it is cut, and within its memory."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from cases import CASES, Case, arrays_of, integer_weights, integers
from guarded import guarded
from hypothesis import given
from hypothesis import strategies as st
from test_properties import geometries

from gemmconv import Plan, _gemmconv, conv, reference
from gemmconv._gemmconv import Problem
from gemmconv.checks.geometry import Geometry
from gemmconv.engine.algorithms import ALGORITHMS, METHODS, Method, choose, name_of, problem_of
from gemmconv.engine.blas import single_threaded_blas

KERNELS = {name_of(method): method for method in METHODS}

# What the common table has too little of: sums and rows too long for one pass, more channels than a block has, rows of
# the output in several bands, taps that read only padding, wide strides and distant taps.
MORE_CASES = {
    "blocks_and_slices": Case((1, 131, 12, 10), (70, 131, 3, 3), {"padding": 1}),
    "many_slices": Case((1, 30, 9, 40), (9, 30, 7, 7), {"padding": 3}),
    "wide": Case((1, 3, 4, 600), (20, 3, 3, 3), {"padding": 1}),
    "long": Case((2, 5, 9000), (17, 5, 3), {"padding": 1}),
    "long_stride": Case((1, 1, 9001), (20, 1, 10), {"stride": 5}),
    "skipped_taps": Case((1, 20, 13, 15), (33, 20, 3, 3), {"padding": 6, "dilation": 6}),
    "skipped_depths": Case((1, 4, 3, 5, 6), (18, 4, 3, 3, 3), {"padding": (4, 3, 2), "dilation": (4, 3, 2)}),
    "distant_taps": Case((1, 7, 80, 9), (5, 7, 3, 2), {"dilation": (30, 4), "stride": (1, 3)}),
    "only_padding": Case((1, 3, 2, 2), (17, 3, 2, 2), {"padding": 40}),
    "stride_2_wide": Case((1, 4, 9, 333), (12, 4, 3, 3), {"stride": 2, "padding": 1}),
    "stride_3_dilation_2": Case((1, 3, 30, 70), (9, 3, 3, 5), {"stride": 3, "dilation": 2, "padding": 4}),
    "four_per_group": Case((2, 32, 15, 13), (32, 4, 3, 3), {"groups": 8, "padding": 1}),
    "depthwise_5x5": Case((2, 19, 11, 14), (19, 1, 5, 5), {"groups": 19, "padding": 2}),
    "depthwise_small": Case((2, 40, 7, 7), (40, 1, 3, 3), {"groups": 40, "padding": 1}),
    "depthwise_stride": Case((1, 17, 23, 30), (17, 1, 3, 3), {"groups": 17, "padding": 1, "stride": 2}),
    "depthwise_31": Case((1, 9, 400), (9, 1, 31), {"groups": 9, "padding": 15}),
    "depthwise_dilated": Case((1, 9, 1000), (9, 1, 3), {"groups": 9, "padding": 64, "dilation": 64}),
    "grey_bank": Case((1, 1, 40, 50), (16, 1, 7, 7), {"padding": 3}),
    "grey_tall": Case((1, 1, 300, 20), (1, 1, 9, 5), {"padding": (4, 2)}),
}
ALL_CASES = {name: case for name, case in {**CASES, **MORE_CASES}.items() if "padding_mode" not in case.options}


def geometry_of(case: Case) -> Geometry:
    return Geometry.from_shapes(case.x, case.weight, **{k: v for k, v in case.options.items() if k != "flip"})


def compute(
    method: Method, geometry: Geometry, x: Any, weight: Any, bias: Any = None, *, relu: bool = False, threads: int = 1
) -> np.ndarray:
    """Return the result of one kernel, cut for so many threads, into an output full of NaN."""
    problem, _ = problem_of(method, geometry, x.itemsize, threads, relu)
    out = guarded(np.full(geometry.out_shape, np.nan, x.dtype))
    with single_threaded_blas:
        problem.run(x, weight, bias, out, threads)
    return out


def defined(names: dict[str, Case]) -> list[Any]:
    return [
        pytest.param(kernel, name, id=f"{kernel}-{name}")
        for kernel, method in KERNELS.items()
        for name, case in names.items()
        if method.defined(geometry_of(case))
    ]


@pytest.mark.parametrize(("kernel", "name"), defined(ALL_CASES))
def test_exact_between_forbidden_pages(kernel, name, dtype, isa):
    case = ALL_CASES[name]
    x, weight, bias = arrays_of(case, dtype)
    options = {key: value for key, value in case.options.items() if key != "flip"}
    expected = reference.conv(x, weight, bias, **options)
    for at in ("end", "start"):
        arrays = [guarded(array, at) for array in (x, weight, bias)]
        out = compute(KERNELS[kernel], geometry_of(case), *arrays)
        np.testing.assert_array_equal(out.reshape(expected.shape), expected)
    out = compute(KERNELS[kernel], geometry_of(case), x, weight, relu=True)
    expected = np.maximum(reference.conv(x, weight, **options), 0)
    np.testing.assert_array_equal(out.reshape(expected.shape), expected)


@given(geometries(), st.sampled_from(sorted(KERNELS)), st.sampled_from(["float32", "float64"]))
def test_exact_for_drawn_geometries(drawn, kernel, dtype):
    x_shape, weight_shape, options = drawn
    geometry = Geometry.from_shapes(x_shape, weight_shape, **options)
    if not KERNELS[kernel].defined(geometry):
        return
    x, weight, bias = integers(x_shape, dtype), integer_weights(weight_shape, dtype), integers(weight_shape[:1], dtype)
    out = compute(KERNELS[kernel], geometry, guarded(x), guarded(weight), guarded(bias))
    np.testing.assert_array_equal(out, reference.conv(x, weight, bias, **options))


@pytest.mark.parametrize(("kernel", "name"), defined(ALL_CASES))
def test_same_bits_for_any_batch_and_threads(kernel, name, dtype):
    case, method = ALL_CASES[name], KERNELS[kernel]
    one = geometry_of(case._replace(x=(1, *case.x[-len(case.weight) + 1 :])))
    rng = np.random.default_rng(5)
    x = rng.standard_normal((5, *one.x_shape[1:])).astype(dtype)
    weight = rng.standard_normal(case.weight).astype(dtype)
    alone = [compute(method, one, x[i : i + 1], weight)[0] for i in range(len(x))]
    many = geometry_of(case._replace(x=x.shape))
    for threads in (1, 2, 3, 8):
        np.testing.assert_array_equal(compute(method, many, x, weight, threads=threads), alone)
        np.testing.assert_array_equal(compute(method, one, x[:1], weight, threads=threads)[0], alone[0])


@pytest.mark.parametrize("kernel", KERNELS)
def test_relu_keeps_nan_and_zeros(kernel, dtype, isa):
    x = np.array([np.nan, 2, -3, 0, 5], dtype)[None, None]
    geometry = Geometry.from_shapes(x.shape, (1, 1, 1))
    if KERNELS[kernel].defined(geometry):
        out = compute(KERNELS[kernel], geometry, x, np.ones((1, 1, 1), dtype), relu=True)
        np.testing.assert_array_equal(out, [[[np.nan, 2, 0, 0, 5]]])


@pytest.mark.parametrize("kernel", KERNELS)
def test_what_is_not_finite_reaches_only_what_reads_it(kernel, dtype, isa):
    method = KERNELS[kernel]
    for channels in (1, 3, 70):
        x = integers((1, channels, 9, 40), dtype)
        weight = integer_weights((20, channels, 3, 3), dtype, 1)
        geometry = Geometry.from_shapes(x.shape, weight.shape, padding=1)
        if not method.defined(geometry):
            continue
        clean = compute(method, geometry, x, weight)
        x[0, channels // 2, 4, 17] = np.inf  # winograd computes the image anew, by another kernel
        touched = np.zeros(clean.shape[2:], bool)
        touched[3:6, 16:19] = True
        out = compute(method, geometry, x, weight)
        np.testing.assert_array_equal(out[..., ~touched], clean[..., ~touched])
        with np.errstate(invalid="ignore"):
            expected = reference.conv(x, weight, padding=1)
        np.testing.assert_array_equal(out, expected)


@pytest.mark.parametrize(("kernel", "name"), defined(ALL_CASES))
def test_scratch_is_bounded(kernel, name):
    method, geometry = KERNELS[kernel], geometry_of(ALL_CASES[name])
    for itemsize in (4, 8):
        for threads in (1, 8):
            problem, _ = problem_of(method, geometry, itemsize, threads)
            assert problem.scratch_bytes <= 2 * 2**20


SIZES = st.sampled_from([1, 2, 7, 14, 30, 100, 500, 2000])


@given(
    st.sampled_from(sorted(KERNELS)),
    st.tuples(*[st.sampled_from([1, 3, 8, 64, 512, 2048])] * 2),
    st.tuples(SIZES, SIZES),
    st.tuples(*[st.sampled_from([1, 2, 3, 7, 31])] * 2),
    st.sampled_from([1, 2, 5]),
    st.sampled_from([1, 2, 16]),
    st.sampled_from([4, 8]),
)
def test_scratch_is_bounded_for_drawn_geometries(kernel, channels, size, taps, stride, dilation, itemsize):
    padding = tuple((n - 1) * dilation for n in taps)
    weight_shape = (channels[1], channels[0], *taps)
    geometry = Geometry.from_shapes(
        (1, channels[0], *size), weight_shape, stride=stride, padding=padding, dilation=dilation
    )
    method = KERNELS[kernel]
    if not method.defined(geometry):
        return
    problem, _ = problem_of(method, geometry, itemsize, 8)
    assert problem.scratch_bytes <= 2 * 2**20
    assert problem.task_count > 0


def test_the_error_is_within_its_bound(dtype):
    # |error| <= (K + 2) * eps * |x| conv |w|, for kernels that sum in the order of the weights
    for kernel, case in (
        ("direct-direct_channels", ALL_CASES["blocks_and_slices"]),
        ("direct-direct_pixels", ALL_CASES["many_slices"]),
    ):
        rng = np.random.default_rng(7)
        x, weight = (rng.standard_normal(shape).astype(dtype) for shape in (case.x, case.weight))
        geometry = geometry_of(case)
        out = compute(KERNELS[kernel], geometry, x, weight)
        exact = reference.conv(x.astype("f8"), weight.astype("f8"), **case.options)
        bound = reference.conv(abs(x), abs(weight), **case.options)
        eps = np.finfo(dtype).eps
        slack = 1 if dtype == np.float32 else 2  # the reference's own error
        assert (abs(out - exact) <= slack * (geometry.reduction_length + 2) * eps * bound).all()


def test_each_kernel_is_chosen_for_something():
    geometries = [geometry_of(case) for case in ALL_CASES.values()]
    geometries.append(Geometry.from_shapes((512, 14, 14), (512, 512, 3, 3), padding=1))
    chosen = {name_of(choose(geometry, prepared=prepared)) for geometry in geometries for prepared in (False, True)}
    assert chosen == set(KERNELS)


def test_names_of_kernels_are_those_of_c():
    geometry = Geometry.from_shapes((1, 1, 3), (1, 1, 3))
    with pytest.raises(ValueError, match="there is no kernel 'fast'"):
        Problem(geometry, 4, kernel="fast")


def test_an_algorithm_that_is_not_defined():
    x, weight = np.ones((1, 1, 9000)), np.ones((1, 1, 5000))
    assert (conv(x, weight, algorithm="gemm") == 5000).all()
    with pytest.raises(
        ValueError, match=r"algorithm='winograd' is not defined for this convolution, only 'gemm'.*; rule: kernel 3x3"
    ):
        conv(x, weight, algorithm="winograd")
    with pytest.raises(ValueError, match="algorithm='winograd2' is not defined for this convolution"):
        Plan(weight, input_size=(9000,), algorithm="winograd2")


def test_a_layout_belongs_to_an_instruction_set():
    x, weight = integers((2, 20, 9, 8), "float32"), integer_weights((40, 20, 3, 3), "float32")
    before = _gemmconv.isa()
    plans = [Plan(weight, input_size=(9, 8), padding=1, algorithm=algorithm) for algorithm in ALGORITHMS]
    try:
        for isa in _gemmconv.supported_isas():
            _gemmconv.select_isa(isa)
            for plan in plans:
                np.testing.assert_array_equal(plan(x), reference.conv(x, weight, padding=1))
    finally:
        _gemmconv.select_isa(before)


def test_a_layout_of_another_problem_is_refused():
    method = KERNELS["direct-direct_channels"]
    small, large = (Geometry.from_shapes((1, 3, 9, 9), (channels, 3, 3, 3)) for channels in (4, 400))
    layout = problem_of(method, small, 4)[0].lay_out(np.ones((4, 3, 3, 3), "f4"))
    with pytest.raises(ValueError, match=r"a layout of \d+ bytes was expected"):
        problem_of(method, large, 4)[0].run(np.ones((3, 9, 9), "f4"), layout, None, np.ones((400, 7, 7), "f4"))


@pytest.mark.parametrize(
    ("x_shape", "weight_shape", "options"),
    [
        ((1, 300, 1), (1, 1, 9, 1), {"dilation": (2, 1)}),
        ((1, 60, 2), (2, 1, 5, 1), {"dilation": (2, 1)}),
        ((3, 400, 300), (3, 3, 9, 100), {"stride": (64, 5)}),
        ((64, 2000, 600), (3, 64, 1, 9), {"stride": (1, 5), "dilation": (1, 64)}),
        ((4, 30000, 1), (16, 4, 64, 1), {"dilation": (256, 1)}),
        ((4, 10, 10), (9000, 4, 5, 5), {}),
    ],
)
def test_narrow_and_huge(x_shape, weight_shape, options):
    # rows of one output, far taps and thousands of channels, where tasks are hard to cut
    x, weight = integers(x_shape, "float32"), integers(weight_shape, "float32")
    expected = reference.conv(x, weight, **options) if x.size < 1e6 else conv(x, weight, **options, algorithm="gemm")
    geometry = Geometry.from_shapes((1, *x_shape), weight_shape, **options)
    for method in KERNELS.values():
        if method.defined(geometry):
            np.testing.assert_array_equal(compute(method, geometry, x, weight)[0], expected)
            assert problem_of(method, geometry, 8)[0].scratch_bytes <= 2 * 2**20
