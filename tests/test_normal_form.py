"""Axes that the kernel and the padding do not see: every operation is right for them, however they are computed.

Such axes may be folded into one, or moved to the front, before a kernel is chosen. No user should notice.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from cases import Case, arrays_of, gradient_arrays_of, input_size, integer_weights, integers, spatial_options
from drawn import DTYPES, foldable_convolutions
from guarded import guarded
from hypothesis import given
from hypothesis import strategies as st
from instruction_sets import once_for_all, select_isa

import gemmconv
from gemmconv import Plan, num_threads, reference
from gemmconv.checks.geometry import Geometry
from gemmconv.checks.options import ALGORITHMS
from gemmconv.engine.normal_form import normal_form

FOLDABLE_CASES = {
    # kernels of one tap: all axes become one
    "one_tap": Case((2, 20, 7, 7), (18, 20, 1, 1)),
    "one_tap_groups": Case((2, 8, 7, 7), (6, 4, 1, 1), {"groups": 2}),
    "one_tap_depthwise": Case((2, 6, 7, 7), (6, 1, 1, 1), {"groups": 6}),
    "one_tap_dilation": Case((1, 3, 7, 7), (4, 3, 1, 1), {"dilation": 3}),
    "one_tap_3d": Case((2, 5, 3, 4, 5), (6, 5, 1, 1, 1)),
    "one_tap_single_axes": Case((2, 5, 1, 9, 1), (6, 5, 1, 1, 1)),
    "one_tap_unbatched": Case((20, 7, 7), (18, 20, 1, 1)),
    "one_tap_empty_batch": Case((0, 20, 7, 7), (18, 20, 1, 1)),
    # some axes become one
    "depth_kernel": Case((2, 3, 9, 6, 5), (4, 3, 3, 1, 1)),
    "depth_strided": Case((2, 4, 9, 6, 5), (6, 2, 3, 1, 1), {"padding": (1, 0, 0), "stride": (2, 1, 1), "groups": 2}),
    "depth_and_height": Case((1, 3, 6, 7, 8), (4, 3, 3, 2, 1), {"padding": (1, 1, 0)}),
    "row_kernel_3d": Case((2, 3, 4, 5, 12), (4, 3, 1, 1, 3), {"padding": (0, 0, 1)}),
    "middle_kernel_3d": Case((1, 3, 4, 9, 5), (4, 3, 1, 3, 1), {"padding": (0, 1, 0)}),
    "column_kernel": Case((2, 3, 30, 5), (4, 3, 9, 1), {"padding": (4, 0)}),
    # axes of size 1 at the end
    "single_last_axis": Case((2, 16, 40, 1), (18, 16, 3, 1), {"padding": (1, 0)}),
    "single_last_axis_stride": Case((2, 3, 41, 1), (4, 3, 5, 1), {"stride": (2, 1), "padding": (2, 0)}),
    "single_last_axis_dilation": Case((1, 3, 41, 1), (4, 3, 3, 1), {"dilation": (4, 2), "padding": ((8, 0), (0, 0))}),
    "single_last_axis_depthwise": Case((2, 6, 40, 1), (6, 1, 5, 1), {"groups": 6, "padding": (2, 0)}),
    "single_last_axis_stride_of_its_own": Case((1, 3, 20, 1), (4, 3, 3, 1), {"stride": (1, 3)}),
    "single_last_axes": Case((2, 3, 30, 1, 1), (4, 3, 3, 1, 1), {"padding": (1, 0, 0)}),
    "single_middle_axis": Case((2, 3, 6, 1, 9), (4, 3, 3, 1, 3), {"padding": (1, 0, 1)}),
    "single_last_axis_wrap": Case((2, 3, 20, 1), (4, 3, 3, 1), {"padding": (1, 0), "padding_mode": "wrap"}),
    "single_last_axis_flip": Case((2, 3, 20, 1), (4, 3, 4, 1), {"flip": True}),
    "single_last_axis_behind_3x3": Case((2, 72, 14, 13, 1), (40, 72, 3, 3, 1), {"padding": (1, 1, 0)}),
    # what must not be folded
    "one_tap_stride": Case((1, 4, 8, 9), (5, 4, 1, 1), {"stride": (1, 2)}),
    "one_tap_padded": Case((1, 4, 8, 9), (5, 4, 1, 1), {"padding": ((0, 0), (0, 1))}),
    "one_tap_cropped": Case((1, 3, 8, 8), (2, 3, 1, 1), {"padding": ((-1, 0), (0, 0))}),
    "single_last_axis_padded": Case((1, 3, 9, 1), (4, 3, 3, 1), {"padding": (0, 1)}),
    "single_last_axis_in_the_kernel": Case((1, 3, 9, 1), (4, 3, 3, 3), {"padding": 1}),
}


# The algorithms that are exact for the integers of these tests.
EXACT_ALGORITHMS = [name for name in ALGORITHMS if name != "fft"]


def by_every_algorithm(function: Any, *arguments: Any, **options: Any) -> dict[str, Any]:
    """Return the results of a function by algorithm, without those that are not defined for the geometry."""
    results = {}
    for algorithm in ("auto", *EXACT_ALGORITHMS):
        try:
            results[algorithm] = function(*arguments, **options, algorithm=algorithm)
        except ValueError as error:
            assert "is not defined for this" in str(error)  # noqa: PT017
            assert algorithm not in ("auto", "gemm")
    return results


def check_convolution(x, weight, bias, options):
    expected = reference.conv(x, weight, bias, **options)
    arrays = [guarded(array) for array in (x, weight, bias)]
    for algorithm, actual in by_every_algorithm(gemmconv.conv, *arrays, **options).items():
        np.testing.assert_array_equal(actual, expected, algorithm)
    size = x.shape[2 - weight.ndim :]
    for algorithm, plan in by_every_algorithm(Plan, weight, bias, input_size=size, **options).items():
        np.testing.assert_array_equal(plan(guarded(x)), expected, algorithm)
        out = np.full(expected.shape, np.nan, x.dtype)
        np.testing.assert_array_equal(plan(x, out), expected, algorithm)
    rectified = Plan(weight, bias, input_size=size, **options, activation="relu")
    np.testing.assert_array_equal(rectified(x), np.maximum(expected, 0))


def check_gradients(x, weight, g, options):
    size, kernel = x.shape[2 - weight.ndim :], weight.shape[2:]
    plan = Plan(weight, input_size=size, **options)
    expected = reference.conv_input_gradient(g, weight, size, **options)
    actual = by_every_algorithm(gemmconv.conv_input_gradient, guarded(g), guarded(weight), size, **options)
    for algorithm, gradient in {**actual, "plan": plan.input_gradient(g)}.items():
        np.testing.assert_array_equal(gradient, expected, algorithm)
    expected = reference.conv_weight_gradient(g, x, kernel, **options)
    actual = by_every_algorithm(gemmconv.conv_weight_gradient, guarded(g), guarded(x), kernel, **options)
    for algorithm, gradient in {**actual, "plan": plan.weight_gradient(g, x)}.items():
        np.testing.assert_array_equal(gradient, expected, algorithm)


def check_transposed(g, weight, size, options):
    # the convolution's weight (O, C/groups, ...) is the transposed one's (C, O/groups, ...)
    if "flip" in options:
        return
    expected = reference.conv_input_gradient(g, weight, size, **options)
    actual = by_every_algorithm(gemmconv.conv_transpose, guarded(g), guarded(weight), output_size=size, **options)
    for algorithm, y in actual.items():
        np.testing.assert_array_equal(y, expected, algorithm)


def check_columns(x, kernel, options):
    batched = x if x.ndim == len(kernel) + 2 else x[np.newaxis]
    expected = reference.im2col(batched, kernel, **options)
    columns = gemmconv.im2col(guarded(x), kernel, **options)
    np.testing.assert_array_equal(columns.reshape(expected.shape), expected)
    given_columns = integers(columns.shape, x.dtype, 7)
    size = x.shape[-len(kernel) :]
    expected = reference.col2im(given_columns.reshape(expected.shape), size, kernel, **options)
    actual = gemmconv.col2im(guarded(given_columns), size, kernel, **options)
    np.testing.assert_array_equal(actual.reshape(expected.shape), expected)


@pytest.mark.parametrize("name", FOLDABLE_CASES)
@once_for_all
def test_convolution(name, dtype, isa):
    case = FOLDABLE_CASES[name]
    check_convolution(*arrays_of(case, dtype), case.options)


@pytest.mark.parametrize("name", FOLDABLE_CASES)
@once_for_all
def test_gradients(name, dtype, isa):
    case = FOLDABLE_CASES[name]
    x, weight, g = gradient_arrays_of(case, dtype)
    check_gradients(x, weight, g, case.options)
    check_transposed(g, weight, input_size(case), case.options)


@pytest.mark.parametrize("name", [name for name, case in FOLDABLE_CASES.items() if 0 not in case.x])
@once_for_all
def test_columns(name, dtype, isa):
    case = FOLDABLE_CASES[name]
    check_columns(integers(case.x, dtype), case.weight[2:], spatial_options(case))


@pytest.mark.parametrize("name", FOLDABLE_CASES)
@once_for_all
def test_same_bits_for_any_batch_and_threads(name, dtype, threads_for_every_call):
    case = FOLDABLE_CASES[name]
    rng = np.random.default_rng(6)
    x = rng.standard_normal((3, *case.x[1 - len(case.weight) :])).astype(dtype)
    weight = rng.standard_normal(case.weight).astype(dtype)
    size = input_size(case)
    g = rng.standard_normal(gemmconv.conv(x, weight, **case.options).shape).astype(dtype)
    for function, array, arguments in (
        (gemmconv.conv, x, (weight,)),
        (gemmconv.conv_input_gradient, g, (weight, size)),
        (gemmconv.conv_weight_gradient, g, (x, weight.shape[2:])),
    ):
        together = by_every_algorithm(function, array, *arguments, **case.options)
        for threads in (1, 2, 3, 8):
            with num_threads(threads):
                for algorithm, y in by_every_algorithm(function, array, *arguments, **case.options).items():
                    np.testing.assert_array_equal(y, together[algorithm], f"{algorithm}, {threads} threads")
        if function is not gemmconv.conv_weight_gradient:
            for n, image in enumerate(array):
                for alone in (image, image[np.newaxis]):
                    for algorithm, y in by_every_algorithm(function, alone, *arguments, **case.options).items():
                        np.testing.assert_array_equal(y.reshape(together[algorithm][n].shape), together[algorithm][n])


@given(foldable_convolutions(), DTYPES, st.booleans())
def test_drawn(drawn, dtype, flip):
    x_shape, weight_shape, options, isa = drawn
    select_isa(isa)
    x, weight, bias = integers(x_shape, dtype), integer_weights(weight_shape, dtype), integers(weight_shape[:1], dtype)
    check_convolution(x, weight, bias, {**options, "flip": flip})
    g = integers(reference.conv(x, weight, **options).shape, dtype, 4)
    check_gradients(x, weight, g, {**options, "flip": flip})
    check_transposed(g, weight, x_shape[2:], options)
    if x_shape[0]:
        check_columns(x, weight_shape[2:], {name: value for name, value in options.items() if name != "groups"})


@pytest.mark.parametrize(
    ("x", "weight", "options", "in_size", "kernel"),
    [
        ((4, 7, 7), (5, 4, 1, 1), {}, (1, 1, 49), (1, 1, 1)),
        ((4, 3, 5, 7), (5, 4, 1, 1, 1), {}, (1, 1, 105), (1, 1, 1)),
        ((4, 8, 5, 6), (5, 4, 3, 1, 1), {}, (1, 8, 30), (1, 3, 1)),
        ((4, 8, 5, 6), (5, 4, 1, 1, 3), {}, (1, 40, 6), (1, 1, 3)),
        ((4, 1000, 1), (5, 4, 5, 1), {}, (1, 1, 1000), (1, 1, 5)),
        ((4, 9, 1, 8), (5, 4, 2, 1, 3), {"stride": 2}, (1, 9, 8), (1, 2, 3)),
        ((4, 1, 9, 8), (5, 4, 1, 3, 3), {"stride": (2, 1, 1)}, (1, 9, 8), (1, 3, 3)),
        ((4, 1, 1), (5, 4, 1, 1), {}, (1, 1, 1), (1, 1, 1)),
        # the kernel or the padding sees something of every axis
        ((4, 7, 7), (5, 4, 1, 1), {"stride": (1, 2)}, (1, 7, 7), (1, 1, 1)),
        ((4, 7, 7), (5, 4, 1, 1), {"padding": (1, 0)}, (1, 7, 7), (1, 1, 1)),
        ((4, 7, 7), (5, 4, 1, 1), {"padding": ((0, 0), (-1, 0))}, (1, 7, 7), (1, 1, 1)),
        ((4, 7, 1), (5, 4, 3, 1), {"padding": (0, 1)}, (1, 7, 1), (1, 3, 1)),
        ((4, 7, 7), (5, 4, 1, 3), {}, (1, 7, 7), (1, 1, 3)),
    ],
)
def test_axes_are_folded_where_the_kernel_and_the_padding_see_nothing(x, weight, options, in_size, kernel):
    geometry = Geometry.from_shapes(x, weight, **options)
    folded = normal_form(geometry)
    assert (folded.in_size, folded.kernel) == (in_size, kernel)
    assert folded.in_size[0] > 1 or folded.stride[0] == 1
    assert folded.operations == geometry.operations
    assert folded.weight_shape[:2] == geometry.weight_shape[:2]
    assert normal_form(folded) == folded
