"""What the padding holds: the input continued, one mode per axis, or a constant. test_extension.py has what C does."""

from __future__ import annotations

import math
import pickle

import numpy as np
import pytest
from cases import Case, input_size, integer_weights, integers
from instruction_sets import once_for_all

import gemmconv
from gemmconv import (
    ConvolutionOperator,
    Plan,
    col2im,
    conv,
    conv_input_gradient,
    conv_weight_gradient,
    convolution_matrix,
    convolution_matrix_size,
    im2col,
    reference,
    tied_weights,
)
from gemmconv.engine import calls

# One mode per axis.
MIXED_CASES = {
    "panorama": Case((2, 2, 7, 8), (3, 2, 3, 5), {"padding": (1, 2), "padding_mode": ("zeros", "wrap")}),
    "wrapped_rows": Case((2, 2, 7, 8), (3, 2, 3, 3), {"padding": 1, "padding_mode": ("wrap", "constant")}),
    "two_ways": Case((1, 3, 6, 5), (2, 3, 3, 3), {"padding": 2, "padding_mode": ["reflect", "edge"], "stride": 2}),
    "sizes": Case((2, 2, 5, 6, 7), (2, 2, 3, 2, 3), {"padding": "same", "padding_mode": ("edge", "zeros", "wrap")}),
    "depth": Case((1, 2, 5, 6, 7), (2, 2, 3, 3, 3), {"padding": 1, "padding_mode": ("symmetric", "zeros", "zeros")}),
    "middle": Case((1, 2, 5, 6, 7), (2, 2, 2, 3, 1), {"padding": 1, "padding_mode": ("zeros", "circular", "zeros")}),
    "cropped": Case((1, 2, 7, 8), (3, 2, 3, 3), {"padding": ((3, -2), (-1, 4)), "padding_mode": ("reflect", "zeros")}),
    "only_cropped": Case((1, 2, 9, 8), (3, 2, 3, 3), {"padding": -1, "padding_mode": ("wrap", "edge")}),
    "tall": Case((2, 3, 20, 1), (4, 3, 3, 1), {"padding": (1, 0), "padding_mode": ("edge", "wrap")}),
    "unbatched": Case((2, 7), (3, 2, 3), {"padding": 2, "padding_mode": ("edge",)}),
    "groups": Case(
        (1, 4, 6, 6), (4, 1, 3, 3), {"padding": 1, "padding_mode": ("zeros", "wrap"), "groups": 4, "flip": True}
    ),
}
# A constant.
VALUE_CASES = {
    "value": Case((2, 2, 7, 8), (3, 2, 3, 3), {"padding": 1, "padding_value": 3}),
    "negative": Case((2, 2, 9), (3, 2, 4), {"padding": ((2, 5),), "padding_value": -2.0, "stride": 2}),
    "value_in_three": Case((1, 2, 4, 5, 6), (2, 2, 3, 3, 3), {"padding": "same", "padding_value": np.float32(2)}),
    "value_and_wrap": Case(
        (1, 2, 6, 7), (3, 2, 3, 3), {"padding": 2, "padding_mode": ("wrap", "zeros"), "padding_value": 5}
    ),
    "value_cropped": Case((1, 2, 7, 8), (3, 2, 3, 3), {"padding": ((3, -2), (-1, 4)), "padding_value": 5}),
    "value_and_only_cropped": Case((1, 2, 7, 8), (3, 2, 3, 3), {"padding": -1, "padding_value": 5}),
    "value_beyond": Case((1, 2, 3, 4), (2, 2, 1, 2), {"padding": ((-4, 6), (5, -4)), "padding_value": 7}),
    "value_true": Case((2, 7), (3, 2, 3), {"padding": 2, "padding_value": True, "groups": 1}),
    "value_causal": Case((2, 3, 30), (4, 3, 2), {"dilation": 8, "padding": "causal", "padding_value": 4}),
}
PADDED_CASES = MIXED_CASES | VALUE_CASES


def arrays_of(case, dtype):
    x, weight = integers(case.x, dtype, 1), integer_weights(case.weight, dtype, 2)
    y = reference.conv(x, weight, **case.options)
    return x, weight, integers(y.shape, dtype, 3)


# --- every operation ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", PADDED_CASES)
@pytest.mark.parametrize("algorithm", ["auto", "gemm", "direct"])
@once_for_all
def test_convolutions_equal_the_reference(name, dtype, algorithm):
    case = PADDED_CASES[name]
    x, weight, _ = arrays_of(case, dtype)
    bias = integers(case.weight[:1], dtype, 4)
    expected = reference.conv(x, weight, bias, **case.options)
    out = np.full(expected.shape, np.nan, dtype)
    before = x.copy()
    assert conv(x, weight, bias, **case.options, algorithm=algorithm, out=out) is out
    np.testing.assert_array_equal(out, expected)
    np.testing.assert_array_equal(x, before)


@pytest.mark.parametrize("name", PADDED_CASES)
def test_gradients_equal_the_reference(name, dtype):
    case = PADDED_CASES[name]
    x, weight, g = arrays_of(case, dtype)
    size, kernel = input_size(case), weight.shape[2:]
    plan = Plan(weight, input_size=size, **case.options)
    expected = reference.conv_input_gradient(g, weight, size, **case.options)
    out = np.full(x.shape, np.nan, dtype)
    assert conv_input_gradient(g, weight, size, **case.options, out=out) is out
    np.testing.assert_array_equal(out, expected)
    np.testing.assert_array_equal(plan.input_gradient(g), expected)
    expected = reference.conv_weight_gradient(g, x, kernel, **case.options)
    np.testing.assert_array_equal(conv_weight_gradient(g, x, kernel, **case.options), expected)
    np.testing.assert_array_equal(plan.weight_gradient(g, x), expected)


@pytest.mark.parametrize("name", PADDED_CASES)
def test_gradients_are_transposes(name):
    """For x, the convolution is affine: what x adds to it is linear."""
    case = PADDED_CASES[name]
    x, weight, g = arrays_of(case, "float64")
    y, constant = conv(x, weight, **case.options), conv(0 * x, weight, **case.options)
    of_x = conv_input_gradient(g, weight, input_size(case), **case.options)
    assert np.vdot(g, y - constant) == np.vdot(of_x, x)
    assert np.vdot(g, y) == np.vdot(conv_weight_gradient(g, x, weight.shape[2:], **case.options), weight)


@pytest.mark.parametrize("name", PADDED_CASES)
def test_columns_equal_the_reference(name, dtype):
    case = PADDED_CASES[name]
    x = integers((1, *case.x) if len(case.x) < len(case.weight) else case.x, dtype, 1)
    options = {name: value for name, value in case.options.items() if name not in ("groups", "flip")}
    kernel = case.weight[2:]
    columns = im2col(x, kernel, **options)
    np.testing.assert_array_equal(columns, reference.im2col(x, kernel, **options))
    columns = integers(columns.shape, dtype, 2)
    images = col2im(columns, x.shape[2:], kernel, **options)
    np.testing.assert_array_equal(images, reference.col2im(columns, x.shape[2:], kernel, **options))
    assert np.vdot(images, x) == np.vdot(columns, im2col(x, kernel, **{**options, "padding_value": 0}))


@pytest.mark.parametrize("name", MIXED_CASES)
def test_matrices_equal_the_reference(name):
    case = MIXED_CASES[name]
    _, weight, _ = arrays_of(case, "float64")
    size = input_size(case)
    M = convolution_matrix(weight, size, **case.options)
    expected = reference.convolution_matrix(weight, size, **case.options)
    np.testing.assert_array_equal(M.toarray(), expected)
    ties = tied_weights(weight.shape, size, **case.options)
    ones = np.zeros(ties.shape)
    rows = np.arange(ties.shape[0]).repeat(np.diff(ties.indptr))
    np.add.at(ones, (rows, ties.indices), weight.ravel()[ties.data])
    np.testing.assert_array_equal(ones, expected)
    with pytest.raises(ValueError, match=f"would have {ties.nnz} entries and take"):
        tied_weights(weight.shape, size, **case.options, max_bytes=4 * (ties.shape[0] + ties.nnz))
    options = {name: value for name, value in case.options.items() if name != "flip"}
    counted = convolution_matrix_size(weight.shape, size, **options, dtype=float)
    assert (counted.shape, counted.entries) == (M.shape, M.nnz)
    A = ConvolutionOperator(weight, size, **case.options)
    x, g = integers(A.shape[1:], float), integers(A.shape[:1], float)
    np.testing.assert_array_equal(A @ x, expected @ x)
    np.testing.assert_array_equal(A.T @ g, expected.T @ g)


def test_the_reference_extends_as_numpy_does_along_each_axis():
    x = integers((1, 1, 4, 5), float)
    rows = np.pad(x, ((0, 0), (0, 0), (2, 2), (0, 0)), mode="wrap")
    expected = np.pad(rows, ((0, 0), (0, 0), (0, 0), (1, 1)), constant_values=7)
    options = {"padding": (2, 1), "padding_mode": ("wrap", "zeros"), "padding_value": 7}
    np.testing.assert_array_equal(reference.conv(x, [[[[1]]]], **options), expected)
    np.testing.assert_array_equal(conv(x, [[[[1]]]], **options), expected)


def test_equal_torch():
    torch = pytest.importorskip("torch")
    x, weight = integers((2, 3, 6, 7), "float32"), integers((4, 3, 3, 3), "float32")
    pad, tensor = torch.nn.functional.pad, torch.from_numpy(x)
    wrapped = pad(pad(tensor, (2, 2, 0, 0), mode="circular"), (0, 0, 1, 1), value=-1.5)
    expected = torch.nn.functional.conv2d(wrapped, torch.from_numpy(weight))
    options = {"padding": (1, 2), "padding_mode": ("constant", "circular"), "padding_value": -1.5}
    np.testing.assert_array_equal(conv(x, weight, **options), expected)


@pytest.mark.parametrize("value", [math.inf, -math.inf, math.nan])
def test_values_that_are_not_finite(value, dtype):
    x, weight = integers((2, 2, 5, 6), dtype), integers((3, 2, 3, 3), dtype, 2)
    weight[0, 0, 0, 0] = 0  # times infinity is NaN, as the definition has it
    options = {"padding": (2, 1), "padding_value": value}
    with np.errstate(invalid="ignore"):
        expected = reference.conv(x, weight, **options)
    for algorithm in ("gemm", "direct", "winograd", "winograd2"):
        np.testing.assert_array_equal(conv(x, weight, **options, algorithm=algorithm), expected)


def test_a_value_of_nan_is_one_key_of_the_cache():
    def call():
        conv(np.ones((1, 5)), np.ones((1, 1, 3)), padding=1, padding_value=float("nan"))

    call()
    before = calls._prepare_convolution.cache_info().misses
    call()
    assert calls._prepare_convolution.cache_info().misses == before


# --- arrays -------------------------------------------------------------------------------------------------------

X, WEIGHT = integers((2, 3, 9, 8), np.float32, 1), integer_weights((4, 3, 3, 3), np.float32, 2)
WRAP = {"padding": 1, "padding_mode": ("wrap", "reflect")}
EXPECTED = reference.conv(X, WEIGHT, **WRAP)


def unaligned(array):
    memory = np.empty(array.nbytes + 1, np.uint8)[1:]
    copy = memory.view(array.dtype).reshape(array.shape)
    copy[...] = array
    return copy


INPUTS = {
    "plain": X,
    "fortran": np.asfortranarray(X),
    "negative_strides": X[..., ::-1].copy()[..., ::-1],
    "big_endian": X.astype(">f4"),
    "unaligned": unaligned(X),
    "integers": X.astype(np.int8),
}


@pytest.mark.parametrize("name", INPUTS)
def test_layouts(name):
    plan = Plan(WEIGHT, input_size=(9, 8), **WRAP)
    for _ in range(2):  # the second call of a plan takes the short path
        np.testing.assert_array_equal(plan(INPUTS[name]), EXPECTED)
    np.testing.assert_array_equal(conv(INPUTS[name], WEIGHT, **WRAP), EXPECTED)
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(plan))(INPUTS[name]), EXPECTED)


def test_out_may_be_the_input():
    weight = integer_weights((3, 3, 3, 3), np.float32, 2)
    x = X.copy()
    plan = Plan(weight, input_size=(9, 8), **WRAP)
    expected = plan(x).copy()
    assert plan(x, out=x) is x
    np.testing.assert_array_equal(x, expected)
    x = X.copy()
    conv(x, weight, **WRAP, out=x)
    np.testing.assert_array_equal(x, expected)
    g = X.copy()
    expected = conv_input_gradient(g, weight, (9, 8), **WRAP)
    conv_input_gradient(g, weight, (9, 8), **WRAP, out=g)
    np.testing.assert_array_equal(g, expected)


def test_empty_batch():
    assert conv(X[:0], WEIGHT, **WRAP).shape == (0, 4, 9, 8)
    assert conv_input_gradient(np.ones((0, 4, 9, 8)), WEIGHT, (9, 8), **WRAP).shape == (0, 3, 9, 8)
    assert not conv_weight_gradient(np.ones((0, 4, 9, 8)), X[:0], (3, 3), **WRAP).any()


# --- messages -----------------------------------------------------------------------------------------------------

PICTURES, KERNELS = np.ones((2, 3, 8, 8), np.float32), np.ones((4, 3, 3, 3), np.float32)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        (
            {"padding_mode": ("wrap",)},
            ValueError,
            r"one string per spatial axis, of which there are 2, not \('wrap',\)",
        ),
        ({"padding_mode": ("wrap", None)}, TypeError, "must be a string or one string per spatial axis, not "),
        ({"padding_mode": ()}, TypeError, r"must be a string or one string per spatial axis, not \(\)"),
        ({"padding_mode": ("wrap", "mirror")}, ValueError, "not 'mirror'; here that is 'reflect'"),
        ({"padding_mode": ("warp", "zeros")}, ValueError, "not 'warp'; did you mean 'wrap'?"),
        ({"padding_value": None}, TypeError, "padding_value must be a number, not None"),
        ({"padding_value": "1"}, TypeError, "padding_value must be a number, not '1'"),
        ({"padding_value": (1, 2)}, TypeError, r"must be a number, not \(1, 2\); for several values pass numpy.pad\(x"),
        ({"padding_value": np.ones(2)}, ValueError, "must be one number.*; for several values pass numpy.pad"),
        ({"padding_value": 10**400}, ValueError, "padding_value must be one number that fits a float"),
        ({"padding_value": 1e39}, ValueError, "padding_value=1e[+]39 is too large for float32; pass x or weight as"),
        ({"padding_value": 2, "padding_mode": "edge"}, ValueError, "padding_value=2 is for padding_mode='zeros'"),
        ({"padding_value": 2, "padding_mode": ("edge", "wrap")}, ValueError, "leave one of them out"),
    ],
)
def test_refused(options, error, message):
    out = np.full((2, 4, 8, 8), np.nan, np.float32)
    for call in (
        lambda: conv(PICTURES, KERNELS, padding=1, **options, out=out),
        lambda: Plan(KERNELS, input_size=(8, 8), padding=1, **options),
        lambda: conv_weight_gradient(np.ones_like(out), PICTURES, (3, 3), padding=1, **options),
        lambda: im2col(PICTURES, (3, 3), padding=1, **options),
    ):
        with pytest.raises(error, match=message):
            call()
    assert np.isnan(out).all()


def test_a_large_value_fits_float64():
    y = conv(PICTURES.astype(float), KERNELS, padding=1, padding_value=1e39)
    np.testing.assert_allclose(y[0, 0, 0, 0], 15e39, rtol=1e-12)
    assert conv(PICTURES, KERNELS, padding=1, padding_value=np.finfo(np.float32).max)[0, 0, 0, 0] == np.inf


@pytest.mark.parametrize(
    "call",
    [
        lambda value: convolution_matrix(KERNELS, (8, 8), padding=1, padding_value=value),
        lambda value: convolution_matrix_size(KERNELS.shape, (8, 8), padding=1, padding_value=value),
        lambda value: tied_weights(KERNELS.shape, (8, 8), padding=1, padding_value=value),
        lambda value: ConvolutionOperator(KERNELS, (8, 8), padding=1, padding_value=value),
    ],
)
def test_a_matrix_has_no_padding_value(call):
    call(0.0)
    with pytest.raises(ValueError, match=r"padding_value=2.5 makes the convolution M @ x \+ c, .*add c = conv\("):
        call(2.5)


def test_the_matrix_and_the_constant():
    """What the message says."""
    M = convolution_matrix(KERNELS, (8, 8), padding=1)
    x = integers((3, 8, 8), float)
    constant = conv(np.zeros_like(x), KERNELS, padding=1, padding_value=2.5)
    expected = conv(x, KERNELS, padding=1, padding_value=2.5)
    np.testing.assert_array_equal((M @ x.ravel()).reshape(expected.shape) + constant, expected)


@pytest.mark.parametrize(
    ("padding", "hint"),
    [
        ("smea", "; did you mean 'same'?"),
        ("SAME", "; did you mean 'same'?"),
        ("SAME_UPPER", "; here that is 'same'"),
        ("same_upper", "; here that is 'same'"),
        ("causl", "; did you mean 'causal'?"),
    ],
)
def test_misspelt_paddings(padding, hint):
    with pytest.raises(ValueError, match=f"{hint.replace('?', '[?]')}$"):
        gemmconv.conv1d(PICTURES[..., 0], KERNELS[..., 0], padding=padding)
