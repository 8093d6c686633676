"""Arrays with channels last: every operation equals that on the same arrays with channels first."""

from __future__ import annotations

from math import prod

import numpy as np
import pytest
from cases import (
    CASES,
    STRIDED_CASES,
    TRANSPOSED_CASES,
    ZERO_PADDED_CASES,
    arrays_of,
    exact_algorithm,
    geometry_of,
    gradient_arrays_of,
    input_size,
    integer_weights,
    integers,
)
from drawn import DTYPES, FEWER, PADDING_MODES, convolutions, transposed_convolutions
from guarded import guarded
from hypothesis import given
from instruction_sets import select_isa
from kernels_under_test import LARGEST_SCRATCH, arrays_for, expected_of_case

import gemmconv
from gemmconv import Plan, num_threads, reference
from gemmconv.checks.geometry import Geometry
from gemmconv.engine.algorithms import candidates, defined_algorithms
from gemmconv.engine.channels_last import moved
from gemmconv.engine.ways import Way

FUNCTIONS = {3: gemmconv.conv1d, 4: gemmconv.conv2d, 5: gemmconv.conv3d}
TRANSPOSED = {3: gemmconv.conv_transpose1d, 4: gemmconv.conv_transpose2d, 5: gemmconv.conv_transpose3d}
EXACT = ("gemm", "direct", "winograd", "winograd2")


def last(array: np.ndarray, rank: int) -> np.ndarray:
    """Return a contiguous copy of an array with channels first, with its channels last."""
    return np.ascontiguousarray(np.moveaxis(array, -rank - 1, -1))


def first(array: np.ndarray, rank: int) -> np.ndarray:
    """Return a view of an array with channels last, with its channels first."""
    return np.moveaxis(array, -1, -rank - 1)


def same(actual: np.ndarray, expected: np.ndarray) -> None:
    """Compare shapes, and values with ==."""
    assert actual.shape == expected.shape
    np.testing.assert_array_equal(actual, expected)


# --- every operation, over the case tables ---------------------------------------------------------------------------


@pytest.mark.parametrize("name", CASES)
def test_convolution(name, dtype):
    case, algorithm = CASES[name], exact_algorithm(name)
    x, weight, bias = arrays_of(case, dtype)
    rank = weight.ndim - 2
    pixels = last(x, rank)
    before = pixels.copy()
    expected = last(reference.conv(x, weight, bias, **case.options), rank)
    options = {**case.options, "algorithm": algorithm, "channels_last": True}
    out = np.full(expected.shape, np.nan, dtype)

    assert gemmconv.conv(pixels, weight, bias, **options, out=out) is out
    same(out, expected)
    same(FUNCTIONS[weight.ndim](pixels, weight, bias, **options), expected)
    same(pixels, before)
    same(reference.conv(pixels, weight, bias, **case.options, channels_last=True), expected)


@pytest.mark.parametrize("name", CASES)
def test_gradients(name, dtype):
    case = CASES[name]
    x, weight, g = gradient_arrays_of(case, dtype)
    rank, size, kernel = weight.ndim - 2, input_size(case), weight.shape[2:]
    pixels, of_pixels = last(x, rank), last(g, rank)
    options = {**case.options, "channels_last": True}
    algorithm = exact_algorithm(name)

    expected = last(reference.conv_input_gradient(g, weight, size, **case.options), rank)
    out = np.full(expected.shape, np.nan, dtype)
    assert gemmconv.conv_input_gradient(of_pixels, weight, size, **options, algorithm=algorithm, out=out) is out
    same(out, expected)
    same(reference.conv_input_gradient(of_pixels, weight, size, **options), expected)

    expected = reference.conv_weight_gradient(g, x, kernel, **case.options)
    out = np.full(expected.shape, np.nan, dtype)
    assert gemmconv.conv_weight_gradient(of_pixels, pixels, kernel, **options, algorithm=algorithm, out=out) is out
    same(out, expected)
    same(reference.conv_weight_gradient(of_pixels, pixels, kernel, **options), expected)

    batched = of_pixels if of_pixels.ndim == weight.ndim else of_pixels[np.newaxis]
    expected = reference.conv_bias_gradient(first(batched, rank))
    same(gemmconv.conv_bias_gradient(batched, channels_last=True), expected)
    same(reference.conv_bias_gradient(batched, channels_last=True), expected)


@pytest.mark.parametrize("name", TRANSPOSED_CASES)
def test_transposed_convolution(name, dtype):
    case = TRANSPOSED_CASES[name]
    x, weight = integers(case.x, dtype, 1), integer_weights(case.weight, dtype, 2)
    bias = integers((weight.shape[1] * case.options.get("groups", 1),), dtype, 3)
    rank = weight.ndim - 2
    pixels = last(x, rank)
    options = {**case.options, "channels_last": True}
    algorithm = "gemm" if name == "1d_long_kernel" else "auto"
    expected = last(reference.conv_transpose(x, weight, bias, **case.options), rank)
    out = np.full(expected.shape, np.nan, dtype)

    assert gemmconv.conv_transpose(pixels, weight, bias, **options, algorithm=algorithm, out=out) is out
    same(out, expected)
    same(TRANSPOSED[weight.ndim](pixels, weight, bias, **options, algorithm=algorithm), expected)
    same(reference.conv_transpose(pixels, weight, bias, **options), expected)


@pytest.mark.parametrize("name", CASES)
def test_patches(name, dtype):
    case = CASES[name]
    x, rank = arrays_of(case, dtype)[0], len(case.weight) - 2
    options = {key: value for key, value in case.options.items() if key not in ("groups", "flip")}
    batched = x if x.ndim == rank + 2 else x[np.newaxis]
    kernel, size = case.weight[2:], input_size(case)
    matrix = reference.im2col(batched, kernel, **options)
    by_tap = matrix.reshape(len(batched), batched.shape[1], prod(kernel), matrix.shape[2])
    expected = by_tap.transpose(0, 3, 2, 1).reshape(len(batched), matrix.shape[2], matrix.shape[1])

    same(gemmconv.im2col(last(batched, rank), kernel, **options, channels_last=True), expected)
    same(reference.im2col(last(batched, rank), kernel, **options, channels_last=True), expected)
    columns = integers(expected.shape, dtype, 4)
    back = columns.reshape(by_tap.transpose(0, 3, 2, 1).shape).transpose(0, 3, 2, 1).reshape(matrix.shape)
    expected = last(reference.col2im(back, size, kernel, **options), rank)
    same(gemmconv.col2im(columns, size, kernel, **options, channels_last=True), expected)
    same(reference.col2im(columns, size, kernel, **options, channels_last=True), expected)


def native_ways(operation: str, geometry: Geometry) -> list[Way]:
    """Return the ways of kernels that take arrays with channels last as they are."""
    return [way for way in candidates(operation, geometry, channels_last=True) if not way.by_copies]


@pytest.mark.parametrize("operation", ["convolution", "input_gradient"])
@pytest.mark.parametrize("name", ZERO_PADDED_CASES)
def test_every_kernel_between_forbidden_pages(name, operation, isa):
    geometry = geometry_of(ZERO_PADDED_CASES[name])
    expected = last(expected_of_case(operation, name), geometry.rank)
    for dtype, at, threads, relu in (
        ("float32", "end", 1, True),
        ("float64", "end", 3, False),
        ("float32", "start", 3, False),
    ):
        relu = relu and operation == "convolution"
        x, weight, bias = arrays_for(operation, geometry, dtype)
        arrays = guarded(last(x, geometry.rank), at), guarded(weight, at), guarded(bias, at)
        for way in native_ways(operation, geometry):
            problem = way.build(geometry, np.dtype(dtype).itemsize, threads, **({"relu": True} if relu else {})).problem
            out = guarded(np.full(expected.shape, np.nan, dtype), at)
            problem.run(*arrays, out, threads)
            same(out, np.maximum(expected, 0) if relu else expected)
            assert problem.scratch_bytes <= LARGEST_SCRATCH


@pytest.mark.parametrize("name", ZERO_PADDED_CASES)
def test_weight_gradients_between_forbidden_pages(name, isa):
    geometry = geometry_of(ZERO_PADDED_CASES[name])
    expected = expected_of_case("weight_gradient", name)
    for dtype, at, threads in ("float32", "end", 1), ("float64", "start", 3):
        g, x = (guarded(last(array, geometry.rank), at) for array in arrays_for("weight_gradient", geometry, dtype))
        for way in native_ways("weight_gradient", geometry):
            problem = way.build(geometry, np.dtype(dtype).itemsize, threads).problem
            out = guarded(np.full(expected.shape, np.nan, dtype), at)
            problem.run(g, x, out, threads)
            same(out, expected)


@FEWER
@given(convolutions(), DTYPES)
def test_every_kernel_on_drawn_geometries(drawn, dtype):
    select_isa(drawn.isa)
    geometry = Geometry.from_shapes(drawn.x, drawn.weight, **drawn.options)
    x, weight, bias = arrays_for("convolution", geometry, dtype)
    expected = last(reference.conv(x, weight, bias, **drawn.options), geometry.rank)
    for way in native_ways("convolution", geometry):
        problem = way.build(geometry, np.dtype(dtype).itemsize).problem
        out = guarded(np.full(expected.shape, np.nan, dtype))
        problem.run(guarded(last(x, geometry.rank)), weight, bias, out)
        same(out, expected)


@pytest.mark.parametrize(
    ("name", "kernels"),
    [
        ("several_tiles_in_place", {"direct_channels"}),
        ("several_tiles", {"direct_channels", "winograd"}),
        ("depthwise", {"direct_channels", "winograd"}),  # narrow images of few channels
        ("depthwise_small", {"direct_channels", "winograd", "depthwise_channels"}),
        ("depthwise_31", {"direct_channels", "depthwise_channels"}),
        ("depthwise_multiplier", {"direct_channels"}),
    ],
)
def test_kernels_that_take_channels_last(name, kernels):
    assert {way.kernel for way in native_ways("convolution", geometry_of(ZERO_PADDED_CASES[name]))} == kernels


@pytest.mark.parametrize("name", ["several_tiles", "several_tiles_in_place", "depthwise_stride", "groups", "negative"])
def test_every_algorithm(name, dtype, isa):
    case = ZERO_PADDED_CASES[name]
    x, weight, bias = arrays_of(case, dtype)
    rank = weight.ndim - 2
    expected = last(np.maximum(reference.conv(x, weight, bias, **case.options), 0), rank)
    options = {**case.options, "activation": "relu", "channels_last": True}
    for algorithm in set(defined_algorithms(geometry_of(case))) & set(EXACT):
        plan = Plan(weight, bias, input_size=input_size(case), **options, algorithm=algorithm)
        pixels, out = last(x, rank), np.full(expected.shape, np.nan, dtype)
        for _ in range(2):  # the second call takes the short path
            out[...] = np.nan
            plan(pixels, out)
            same(out, expected)


@pytest.mark.parametrize("name", STRIDED_CASES)
def test_strided_input_gradients_of_plans(name, dtype):
    case = STRIDED_CASES[name]
    _, weight, g = gradient_arrays_of(case, dtype)
    rank = weight.ndim - 2
    plan = Plan(weight, input_size=input_size(case), **case.options, algorithm="direct", channels_last=True)
    expected = last(reference.conv_input_gradient(g, weight, input_size(case), **case.options), rank)
    same(plan.input_gradient(last(g, rank)), expected)


@pytest.mark.parametrize("shape", [(3, 5), (16, 16), (17, 40), (1, 300), (300, 1), (70000, 3), (3, 70000), (130, 260)])
def test_transposed_matrices(shape, dtype):
    matrices = guarded(np.arange(2 * shape[0] * shape[1], dtype=dtype).reshape(2, *shape))
    for threads in 1, 3:
        copy = moved(matrices, (shape,), threads).reshape(2, shape[1], shape[0])
        same(copy, matrices.transpose(0, 2, 1))


# --- laws ------------------------------------------------------------------------------------------------------------


@FEWER
@given(convolutions(), DTYPES)
def test_drawn_convolutions(drawn, dtype):
    x_shape, weight_shape, options, isa = drawn
    select_isa(isa)
    x, weight = integers(x_shape, dtype, 1), integer_weights(weight_shape, dtype, 2)
    rank = weight.ndim - 2
    y = gemmconv.conv(last(x, rank), weight, **options, channels_last=True)
    same(first(y, rank), gemmconv.conv(x, weight, **options))
    g = integers(first(y, rank).shape, dtype, 3)
    of_x = gemmconv.conv_input_gradient(last(g, rank), weight, x_shape[2:], **options, channels_last=True)
    same(first(of_x, rank), gemmconv.conv_input_gradient(g, weight, x_shape[2:], **options))
    of_weight = gemmconv.conv_weight_gradient(
        last(g, rank), last(x, rank), weight_shape[2:], **options, channels_last=True
    )
    same(of_weight, gemmconv.conv_weight_gradient(g, x, weight_shape[2:], **options))


@FEWER
@given(convolutions(max_rank=2), PADDING_MODES)
def test_drawn_padding_modes(drawn, padding_mode):
    x_shape, weight_shape, options, isa = drawn
    select_isa(isa)
    x, weight = integers(x_shape, "float32", 1), integer_weights(weight_shape, "float32", 2)
    rank = weight.ndim - 2
    y = gemmconv.conv(last(x, rank), weight, **options, padding_mode=padding_mode, channels_last=True)
    same(first(y, rank), gemmconv.conv(x, weight, **options, padding_mode=padding_mode))


@FEWER
@given(transposed_convolutions(), DTYPES)
def test_drawn_transposed_convolutions(drawn, dtype):
    x_shape, weight_shape, options, isa = drawn
    select_isa(isa)
    x, weight = integers(x_shape, dtype, 1), integer_weights(weight_shape, dtype, 2)
    rank = weight.ndim - 2
    y = gemmconv.conv_transpose(last(x, rank), weight, **options, channels_last=True)
    same(first(y, rank), gemmconv.conv_transpose(x, weight, **options))


@pytest.mark.parametrize(
    "name",
    ["several_tiles", "several_tiles_in_place", "groups", "depthwise", "first_layer", "one_tap_stride", "reflect"],
)
def test_bits_do_not_depend_on_batch_or_threads(name, isa):
    case = CASES[name]
    rng = np.random.default_rng(3)
    weight = rng.standard_normal(case.weight).astype(np.float32)
    pixels = rng.standard_normal((5, *input_size(case), case.x[1])).astype(np.float32)
    options = {**case.options, "channels_last": True}
    whole = gemmconv.conv(pixels, weight, **options)
    for threads in 2, 3:
        with num_threads(threads):
            same(gemmconv.conv(pixels, weight, **options), whole)
    for image in range(5):
        same(gemmconv.conv(pixels[image], weight, **options), whole[image])


# --- arrays of every kind --------------------------------------------------------------------------------------------

PIXELS, WEIGHT = integers((2, 9, 8, 3), np.float32, 1), integers((5, 3, 3, 3), np.float32, 2)
EXPECTED = reference.conv(PIXELS, WEIGHT, padding=1, channels_last=True)


@pytest.mark.parametrize(
    "make",
    [
        lambda x: x.astype(">f4"),
        lambda x: np.asfortranarray(x),
        lambda x: np.ascontiguousarray(x.transpose(0, 3, 1, 2)).transpose(0, 2, 3, 1),
        lambda x: np.ascontiguousarray(x[:, ::-1, :, ::-1])[:, ::-1, :, ::-1],
        lambda x: (
            np.append(np.zeros(1, np.uint8), np.frombuffer(x.tobytes(), np.uint8))[1:].view(np.float32).reshape(x.shape)
        ),
        lambda x: x.astype(np.int8),
        lambda x: x.tolist(),
    ],
    ids=["big_endian", "fortran", "channels_first", "reversed", "unaligned", "int8", "list"],
)
def test_inputs_of_every_kind(make):
    same(gemmconv.conv2d(make(PIXELS), WEIGHT, padding=1, channels_last=True), EXPECTED)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64, ">f8", np.complex64])
def test_results_of_every_kind(dtype):
    memory = np.full((*EXPECTED.shape[:3], 2 * EXPECTED.shape[3]), np.nan, dtype)
    out = memory[..., ::2]
    assert gemmconv.conv2d(PIXELS, WEIGHT, padding=1, channels_last=True, out=out) is out
    same(out, EXPECTED)
    assert np.isnan(memory[..., 1::2]).all()


def test_result_over_the_input():
    weight = integers((3, 3, 3, 3), np.float32, 4)
    expected = reference.conv(PIXELS, weight, padding=1, channels_last=True)
    pixels = PIXELS.copy()
    assert gemmconv.conv2d(pixels, weight, padding=1, channels_last=True, out=pixels) is pixels
    same(pixels, expected)


def test_plan():
    plan = Plan(WEIGHT, input_size=(9, 8), padding=1, channels_last=True)
    assert plan.input_shape == (9, 8, 3)
    assert plan.output_shape == (9, 8, 5)
    assert "x (N, 9, 8, 3), weight (5, 3, 3, 3), y (N, 9, 8, 5)" in repr(plan)
    same(plan(PIXELS), EXPECTED)
    same(plan(PIXELS[0]), EXPECTED[0])
    same(plan(PIXELS.astype(np.float64)), EXPECTED)
    options = {"padding": 1, "channels_last": True}
    same(plan.input_gradient(EXPECTED), reference.conv_input_gradient(EXPECTED, WEIGHT, (9, 8), **options))
    same(plan.weight_gradient(EXPECTED, PIXELS), reference.conv_weight_gradient(EXPECTED, PIXELS, (3, 3), **options))
    tuned = Plan(WEIGHT, input_size=(9, 8), padding=1, channels_last=True, tune=True)
    np.testing.assert_allclose(tuned(PIXELS), EXPECTED, atol=1e-3)
    assert plan.describe()


def test_not_finite():
    # infinities and NaNs of x and of the weight are where the definition has them
    x, weight = PIXELS.copy(), WEIGHT.copy()
    x[0, 4, 4, 1], x[1, 0, 0, 2], weight[3, 0, 1, 1] = np.inf, np.nan, np.inf
    with np.errstate(all="ignore"):
        expected = reference.conv(x, weight, padding=1, channels_last=True)
        for algorithm in "auto", *EXACT:
            y = gemmconv.conv(x, weight, padding=1, channels_last=True, algorithm=algorithm)
            same(np.isnan(y), np.isnan(expected))
            same(np.isinf(y), np.isinf(expected))


# --- messages --------------------------------------------------------------------------------------------------------


def test_messages():
    with pytest.raises(TypeError, match="channels_last must be True or False, not 1"):
        gemmconv.conv(PIXELS, WEIGHT, channels_last=1)
    with pytest.raises(ValueError, match=r"channels_last=True it must be \(N, H, W, C\) or \(H, W, C\)"):
        gemmconv.conv(PIXELS[0, 0], WEIGHT, channels_last=True)
    with pytest.raises(ValueError, match=r"for a single channel pass x\[..., None\]"):
        gemmconv.conv(PIXELS[0, :, :, 0], WEIGHT[:, :1], channels_last=True)
    with pytest.raises(ValueError, match=r"takes 3 channels; x may have its channels first: leave channels_last out"):
        gemmconv.conv(first(PIXELS, 2), WEIGHT, channels_last=True)
    with pytest.raises(ValueError, match="if the channels of x are last, pass channels_last=True"):
        gemmconv.conv(PIXELS, WEIGHT)
    with pytest.raises(ValueError, match=r"4 input channels, but x has 3 .*channels before the spatial axes\)"):
        gemmconv.conv(PIXELS, np.ones((5, 4, 3, 3)), channels_last=True)
    with pytest.raises(ValueError, match=r"grad_output has shape .* it must be \(N, L, O\) or \(L, O\)"):
        gemmconv.conv_input_gradient(PIXELS, np.ones((5, 3, 3)), (9,), channels_last=True)
    with pytest.raises(ValueError, match=r"expected shape \(N, L, prod\(kernel_size\) \* C\)"):
        gemmconv.col2im(np.ones((4, 7)), (3, 3), (2, 2), channels_last=True)
    with pytest.raises(ValueError, match=r"this plan is for \(N, 9, 8, 3\) or \(9, 8, 3\)"):
        Plan(WEIGHT, input_size=(9, 8), channels_last=True)(first(PIXELS, 2))


# --- gradients -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "kernels"),
    [
        ("several_tiles_in_place", {"phases", "panels"}),
        ("several_tiles", {"phases", "winograd"}),
        ("one_tap_stride", {"phases", "panels"}),
        ("depthwise", {"phases", "winograd"}),
        ("groups", {"phases", "winograd"}),
    ],
)
def test_input_gradients_that_take_channels_last(name, kernels):
    assert {way.kernel for way in native_ways("input_gradient", geometry_of(CASES[name]))} == kernels


@pytest.mark.parametrize("name", STRIDED_CASES)
def test_strided_input_gradients_between_forbidden_pages(name, isa):
    geometry = geometry_of(STRIDED_CASES[name])
    g, weight, bias = arrays_for("input_gradient", geometry, "float32")
    expected = last(expected_of_case("input_gradient", f"strided_{name}"), geometry.rank)
    for at, threads in ("end", 1), ("start", 3):
        arrays = guarded(last(g, geometry.rank), at), guarded(weight, at), guarded(bias, at)
        for way in native_ways("input_gradient", geometry):
            problem = way.build(geometry, 4, threads).problem
            out = guarded(np.full(expected.shape, np.nan, np.float32), at)
            problem.run(*arrays, out, threads)
            same(out, expected)
            out[...] = np.nan
            problem.run(arrays[0], problem.lay_out(weight), arrays[2], out, threads)
            same(out, expected)
            assert problem.scratch_bytes <= LARGEST_SCRATCH


def test_products_of_parts_of_a_batch():
    """The bits of an image depend neither on the batch nor on the threads; an empty batch has gradients too."""
    rng = np.random.default_rng(5)
    g = rng.standard_normal((70, 5, 4, 72)).astype(np.float32)
    weight = rng.standard_normal((72, 40, 1, 1)).astype(np.float32)
    options = {"stride": 2, "algorithm": "gemm", "channels_last": True}
    whole = gemmconv.conv_input_gradient(g, weight, (9, 8), **options)
    for threads in 2, 3:
        with num_threads(threads):
            same(gemmconv.conv_input_gradient(g, weight, (9, 8), **options), whole)
    for image in 0, 69:
        same(gemmconv.conv_input_gradient(g[image], weight, (9, 8), **options), whole[image])
    assert gemmconv.conv_input_gradient(g[:0], weight, (9, 8), **options).shape == (0, 9, 8, 40)
    of_weight = gemmconv.conv_weight_gradient(g[:0], whole[:0], (1, 1), **options)
    same(of_weight, np.zeros((72, 40, 1, 1), np.float32))


def test_weight_gradients_that_take_channels_last():
    expected = {"weight_gradient_channels", "weight_gradient_depthwise"}
    assert {way.kernel for way in native_ways("weight_gradient", geometry_of(CASES["depthwise"]))} == expected


def test_a_bias_that_overflows_is_silent():
    x, weight = np.ones((1, 3, 3, 4), np.float32), np.full((4, 4, 1, 1), 3e38 / 4, np.float32)
    with np.errstate(all="raise"):
        y = gemmconv.conv_transpose2d(x, weight, np.full(4, 3e38, np.float32), channels_last=True)
    assert np.isinf(y).all()
