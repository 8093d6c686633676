"""Every kernel of every operation, alone: exact, the same bits however it is cut, and within its memory."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from itertools import product
from typing import NamedTuple

import numpy as np
import pytest
from cases import ZERO_PADDED_CASES, geometry_of, integer_weights, integers
from comparisons import assert_equal
from drawn import DTYPES, Drawn, convolutions, large_convolutions
from guarded import guarded
from hypothesis import example, given
from instruction_sets import ISAS, once_for_all, select_isa
from kernels_under_test import (
    ALL_CASES,
    CONVOLUTIONS,
    KERNELS,
    LARGEST_SCRATCH,
    OPERATIONS,
    arrays_for,
    cases_of,
    chosen_convolution,
    expected,
    expected_of_case,
    normal_arrays_for,
    run,
)

from gemmconv import Plan, _gemmconv, conv, reference
from gemmconv._gemmconv import Problem
from gemmconv.checks.geometry import Geometry
from gemmconv.checks.options import ALGORITHMS
from gemmconv.engine import costs, counts
from gemmconv.engine.normal_form import normal_form
from gemmconv.engine.rates import COLUMNS

EVERY_CASE = [pytest.param(key, name, id=f"{key}-{name}") for key in KERNELS for name in cases_of(KERNELS[key])]


# --- the values ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("key", "name"), EVERY_CASE)
def test_exact_between_forbidden_pages(key, name):
    # with and without a bias, on one thread and on several, with and without the ReLU of a plan
    kernel, geometry = KERNELS[key], geometry_of(ALL_CASES[name])
    result = expected_of_case(kernel.operation, name)
    for dtype in ("float32", "float64"):
        arrays = arrays_for(kernel.operation, geometry, dtype)
        last, first = ([guarded(array, at) for array in arrays] for at in ("end", "start"))
        unbiased = rectified = None
        if kernel.operation != "weight_gradient":
            unbiased = result - arrays[2].reshape(-1, *[1] * geometry.rank)
            relu = kernel.operation == "convolution"
            rectified = np.maximum(unbiased, 0) if relu else unbiased
        for isa in ISAS:
            select_isa(isa)
            where = f"{isa}, {dtype}, against the page"
            assert_equal(run(kernel, geometry, last), result, where, "after the arrays")
            if kernel.operation == "weight_gradient":
                out = run(kernel, geometry, first, threads=3, at="start")
                assert_equal(out, result, where, "before the arrays")
                continue
            without_bias = [*first[:2], None]
            out = run(kernel, geometry, without_bias, threads=3, relu=relu, at="start")
            assert_equal(out, rectified, where, "before the arrays, without a bias")
            third, values = (first, result) if dtype == "float32" else (without_bias, unbiased)
            assert_equal(run(kernel, geometry, third, at="start"), values, where, "before the arrays, without ReLU")


@pytest.mark.parametrize("operation", OPERATIONS)
@given(drawn=convolutions(), dtype=DTYPES)
def test_exact_for_drawn_geometries(operation, drawn, dtype):
    select_isa(drawn.isa)
    geometry = Geometry.from_shapes(drawn.x, drawn.weight, **drawn.options)
    arrays = result = None
    for key, kernel in KERNELS.items():
        if kernel.operation == operation and kernel.defined(geometry):
            if arrays is None:
                arrays = [guarded(array) for array in arrays_for(operation, geometry, np.dtype(dtype))]
                result = expected(operation, geometry, drawn.options, arrays)
            assert_equal(run(kernel, geometry, arrays), result, key)
            assert kernel.build(geometry, 8, 1, False).scratch_bytes <= LARGEST_SCRATCH, key


# Each length of a row leaves another number of elements over from the vectors; without padding, the row ends where the
# array does.
class Row(NamedTuple):
    """A convolution of two channels of one row, to one channel per group."""

    length: int
    taps: int
    padding: int
    stride: int
    groups: int

    @property
    def options(self) -> dict[str, int]:
        return {"padding": self.padding, "stride": self.stride, "groups": self.groups}

    def geometry(self) -> Geometry:
        weight_shape = (2, 1, self.taps) if self.groups == 2 else (3, 2, self.taps)
        return Geometry.from_shapes((1, 2, self.length), weight_shape, **self.options)


# The last ones are for the kernels that need one channel per group, three taps or a stride.
ROWS = [
    *(Row(length, taps=1, padding=0, stride=1, groups=1) for length in range(1, 70)),
    *(Row(length, taps=2, padding=2, stride=1, groups=1) for length in range(1, 70)),
    *(
        Row(length, 3, padding, stride, groups=2)
        for length in range(3, 70)
        for padding, stride in ((0, 1), (1, 1), (0, 2))
    ),
]
GEOMETRIES = {row: row.geometry() for row in ROWS}


@pytest.mark.parametrize("key", KERNELS)
def test_rows_of_every_length_between_forbidden_pages(key, dtype):
    kernel, lengths = KERNELS[key], set()
    for row, geometry in GEOMETRIES.items():
        if kernel.defined(geometry):
            arrays = [guarded(array) for array in arrays_for(kernel.operation, geometry, dtype)]
            for isa in ISAS:
                select_isa(isa)
                assert_equal(run(kernel, geometry, arrays), expected_row(kernel.operation, row), isa, row)
            lengths.add(row.length)
    assert lengths >= set(range(3, 70))


@cache
def expected_row(operation: str, row: Row) -> np.ndarray:
    return expected(operation, GEOMETRIES[row], row.options, arrays_for(operation, GEOMETRIES[row], np.float64))


@pytest.mark.parametrize(
    ("x_shape", "weight_shape", "options"),
    [
        ((1, 300, 1), (1, 1, 9, 1), {"dilation": (2, 1)}),
        ((1, 60, 2), (2, 1, 5, 1), {"dilation": (2, 1)}),
        ((3, 400, 300), (3, 3, 9, 100), {"stride": (64, 5)}),
        ((64, 500, 600), (3, 64, 1, 9), {"stride": (1, 5), "dilation": (1, 64)}),
        ((4, 30000, 1), (16, 4, 64, 1), {"dilation": (256, 1)}),
        ((4, 10, 10), (9000, 4, 5, 5), {}),
    ],
)
def test_narrow_and_huge(x_shape, weight_shape, options):
    # rows of one output, far taps and thousands of channels, where tasks are hard to cut
    x, weight = integers((1, *x_shape), "float32"), integers(weight_shape, "float32")
    result = reference.conv(x, weight, **options) if x.size < 1e6 else conv(x, weight, **options, algorithm="gemm")
    geometry = Geometry.from_shapes(x.shape, weight_shape, **options)
    for key, kernel in CONVOLUTIONS.items():
        if kernel.defined(geometry):
            np.testing.assert_array_equal(run(kernel, geometry, (x, weight, None)), result, key)
            assert kernel.build(geometry, 8, 1, False).scratch_bytes <= LARGEST_SCRATCH


def test_the_error_is_within_its_bound(dtype):
    # |error| <= (K + 2) * eps * |x| conv |w|, for kernels that sum in the order of the weights
    for key, case in (
        ("convolution-direct-direct_channels", ZERO_PADDED_CASES["blocks_and_slices"]),
        ("convolution-direct-direct_pixels", ZERO_PADDED_CASES["many_slices"]),
    ):
        rng = np.random.default_rng(7)
        x, weight = (rng.standard_normal(shape).astype(dtype) for shape in (case.x, case.weight))
        geometry = geometry_of(case)
        out = run(KERNELS[key], geometry, (x, weight, None))
        exact = reference.conv(x.astype("f8"), weight.astype("f8"), **case.options)
        bound = reference.conv(abs(x), abs(weight), **case.options)
        slack = 1 if dtype == np.float32 else 2  # the reference's own error
        assert (abs(out - exact) <= slack * (geometry.reduction_length + 2) * np.finfo(dtype).eps * bound).all()


@pytest.mark.parametrize("key", CONVOLUTIONS)
@once_for_all
def test_relu_keeps_nan_and_zeros(key, dtype, isa):
    # with three taps, for which every kernel is defined, the second output is NaN + 2
    x = np.array([np.nan, 2, -3, 0, 5], dtype)[None, None]
    for taps, second in (([0, 1, 0], np.nan), ([1], 2)):
        weight = np.array([[taps]], dtype)
        padding = len(taps) // 2
        geometry = Geometry.from_shapes(x.shape, weight.shape, padding=padding)
        if len(taps) == 3 or CONVOLUTIONS[key].defined(geometry):
            out = run(CONVOLUTIONS[key], geometry, (x, weight, None), relu=True)
            np.testing.assert_array_equal(out, [[[np.nan, second, 0, 0, 5]]])


@pytest.mark.parametrize("key", CONVOLUTIONS)
@once_for_all
def test_what_is_not_finite_reaches_only_what_reads_it(key, dtype, isa):
    kernel = CONVOLUTIONS[key]
    for channels in (1, 3, 70):
        x = integers((1, channels, 9, 40), dtype)
        weight = integer_weights((20, channels, 3, 3), dtype, 1)
        geometry = Geometry.from_shapes(x.shape, weight.shape, padding=1)
        if not kernel.defined(geometry):
            continue
        clean = run(kernel, geometry, (x, weight, None))
        x[0, channels // 2, 4, 17] = np.inf  # winograd computes the image anew, by another kernel
        touched = np.zeros(clean.shape[2:], bool)
        touched[3:6, 16:19] = True
        out = run(kernel, geometry, (x, weight, None))
        np.testing.assert_array_equal(out[..., ~touched], clean[..., ~touched])
        with np.errstate(invalid="ignore"):
            result = reference.conv(x, weight, padding=1)
        np.testing.assert_array_equal(out, result)


# --- the same bits ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("key", "name"), EVERY_CASE)
def test_same_bits_for_any_batch_and_threads(key, name):
    # Many of these are too small to be worth a thread: so the kernel is asked for threads directly. How tasks are cut
    # for a number of threads is the same code for both types.
    kernel, three = KERNELS[key], replace(geometry_of(ALL_CASES[name]), batch=3)
    one = replace(three, batch=1)
    arrays_of_type = {dtype: normal_arrays_for(kernel.operation, three, dtype) for dtype in ("float32", "float64")}
    for isa, dtype in product(ISAS, arrays_of_type):
        select_isa(isa)
        where, arrays = f"{isa}, {dtype}", arrays_of_type[dtype]
        together = run(kernel, three, arrays)
        assert not np.isnan(together).any()
        threads = 3 if dtype == "float32" else 8
        assert_equal(run(kernel, three, arrays, threads), together, where, f"{threads} threads")
        if OPERATIONS[kernel.operation].has_weight:
            for threads, image in ((1, 0), (8, 2)):
                alone = (arrays[0][image : image + 1], *arrays[1:])
                assert_equal(run(kernel, one, alone, threads)[0], together[image], where, f"{threads} threads")


def test_a_layout_belongs_to_an_instruction_set():
    x, weight = integers((2, 20, 9, 8), "float32"), integer_weights((40, 20, 3, 3), "float32")
    exact = [algorithm for algorithm in ALGORITHMS if algorithm != "fft"]
    plans = [Plan(weight, input_size=(9, 8), padding=1, algorithm=algorithm) for algorithm in exact]
    for plan in plans:
        plan(x)  # prepares the call: by the costs of another instruction set it might take another kernel
    for isa in ISAS:
        _gemmconv.select_isa(isa)
        for plan in plans:
            np.testing.assert_array_equal(plan(x), reference.conv(x, weight, padding=1))


# --- memory ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("key", KERNELS)
def test_scratch_is_bounded(key):
    kernel = KERNELS[key]
    for name, case in cases_of(kernel).items():
        for itemsize in (4, 8):
            for threads in (1, 8):
                problem = kernel.build(geometry_of(case), itemsize, threads, False)
                assert problem.scratch_bytes <= LARGEST_SCRATCH, name
                if kernel.operation == "weight_gradient":
                    assert problem.parts_bytes <= 2**18 * itemsize, name


# padding and dilation so wide that planes of one row do not fit
@example(Drawn((1, 3, 1, 1), (1, 3, 31, 7), {"padding": (480, 96), "dilation": 16}, "baseline"))
@given(large_convolutions())
def test_scratch_is_bounded_for_large_geometries(drawn):
    select_isa(drawn.isa)
    geometry = Geometry.from_shapes(drawn.x, drawn.weight, **drawn.options)
    for key, kernel in CONVOLUTIONS.items():
        if kernel.defined(geometry):
            for itemsize in (4, 8):
                problem = kernel.build(geometry, itemsize, 8, False)
                assert problem.scratch_bytes <= LARGEST_SCRATCH, key
                assert problem.task_count > 0, key


# --- the table -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("key", KERNELS)
def test_each_kernel_has_cases(key):
    # a kernel that stops being defined for a case is left out of the tests above
    assert len(cases_of(KERNELS[key])) >= 10


def test_each_kernel_is_chosen_for_something(monkeypatch):
    shapes = [((512, 14, 14), (512, 512, 3, 3)), ((2048, 7, 7), (512, 2048, 1, 1))]
    geometries = [geometry_of(case) for case in ZERO_PADDED_CASES.values()]
    geometries += [normal_form(Geometry.from_shapes(x, weight, padding="same")) for x, weight in shapes]
    chosen = set()
    for isa, path in product(COLUMNS, ("small", "packing")):  # a choice needs no machine with the instruction set
        monkeypatch.setattr(costs, "isa", lambda isa=isa: isa)
        monkeypatch.setattr(counts, "isa", lambda isa=isa: isa)
        monkeypatch.setattr(costs, "gemm_path", lambda path=path: path)
        for geometry, prepared in product(geometries, (False, True)):
            chosen.add(chosen_convolution(geometry, prepared=prepared))
    assert chosen == {"-".join(key.split("-")[1:3]) for key in CONVOLUTIONS} | {"fft-fft"}


def test_names_of_kernels_are_those_of_c():
    geometry = Geometry.from_shapes((1, 1, 3), (1, 1, 3))
    with pytest.raises(ValueError, match="there is no kernel 'fast'"):
        Problem(geometry, 4, kernel="fast")


def test_an_algorithm_that_is_not_defined():
    x, weight = np.ones((1, 1, 9000)), np.ones((1, 1, 5000))
    assert (conv(x, weight, algorithm="gemm") == 5000).all()
    rule = "'winograd' is not defined for this convolution, only 'gemm', 'direct', 'fft' and 'auto'; rule:"
    with pytest.raises(ValueError, match=rule):
        conv(x, weight, algorithm="winograd")
    with pytest.raises(ValueError, match="algorithm='winograd2' is not defined for this convolution"):
        Plan(weight, input_size=(9000,), algorithm="winograd2")


def test_a_layout_of_another_problem_is_refused():
    build = CONVOLUTIONS["convolution-direct-direct_channels"].build
    small, large = (Geometry.from_shapes((1, 3, 9, 9), (channels, 3, 3, 3)) for channels in (4, 400))
    layout = build(small, 4, 1, False).lay_out(np.ones((4, 3, 3, 3), "f4"))
    with pytest.raises(ValueError, match=r"a layout of \d+ bytes was expected"):
        build(large, 4, 1, False).run(np.ones((3, 9, 9), "f4"), layout, None, np.ones((400, 7, 7), "f4"))
