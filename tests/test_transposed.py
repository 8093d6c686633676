"""Transposed convolution: exact on integers, the sizes, the messages."""

from __future__ import annotations

import numpy as np
import pytest
from cases import TRANSPOSED_CASES, integer_weights, integers
from drawn import DTYPES, PADDING_MODES, convolutions, transposed_convolutions
from guarded import guarded
from hypothesis import given
from instruction_sets import once_for_all, select_isa

import gemmconv
from gemmconv import conv_transpose, conv_transpose1d, conv_transpose2d, conv_transpose3d, num_threads, reference


def data_of(case, dtype):
    bias = integers((case.weight[1] * case.options.get("groups", 1),), dtype, 3)
    return integers(case.x, dtype, 1), integer_weights(case.weight, dtype, 2), bias


@pytest.mark.parametrize("name", TRANSPOSED_CASES)
@once_for_all
def test_equals_the_reference(name, dtype, isa):
    case = TRANSPOSED_CASES[name]
    x, weight, bias = data_of(case, dtype)
    for given_bias in (None, bias):
        expected = reference.conv_transpose(x, weight, given_bias, **case.options)
        actual = conv_transpose(x, weight, given_bias, **case.options)
        assert actual.dtype == dtype
        np.testing.assert_array_equal(actual, expected)
        out = guarded(np.full(expected.shape, np.nan, dtype))
        guards = [None if array is None else guarded(array) for array in (x, weight, given_bias)]
        assert conv_transpose(*guards, **case.options, out=out) is out
        np.testing.assert_array_equal(out, expected)


@pytest.mark.parametrize("algorithm", ["gemm", "direct", "winograd"])
@pytest.mark.parametrize("name", TRANSPOSED_CASES)
def test_algorithms(name, algorithm):
    case = TRANSPOSED_CASES[name]
    arrays = data_of(case, "float32")
    try:
        actual = conv_transpose(*arrays, **case.options, algorithm=algorithm)
    except ValueError as error:
        assert "is not defined for this gradient (or transposed convolution), only 'gemm'" in str(error)  # noqa: PT017
        assert algorithm != "gemm"
    else:
        np.testing.assert_array_equal(actual, reference.conv_transpose(*arrays, **case.options))


@pytest.mark.parametrize("name", TRANSPOSED_CASES)
@once_for_all
def test_same_bits_on_any_number_of_threads(name, dtype):
    case = TRANSPOSED_CASES[name]
    rng = np.random.default_rng(3)
    x, weight = (rng.standard_normal(shape).astype(dtype) for shape in (case.x, case.weight))
    results = []
    for threads in (1, 2, 3, 8):
        with num_threads(threads):
            results.append(conv_transpose(x, weight, **case.options))
    for result in results[1:]:
        np.testing.assert_array_equal(result, results[0])


@given(transposed_convolutions(), DTYPES)
def test_drawn(drawn, dtype):
    x_shape, weight_shape, options, isa = drawn
    select_isa(isa)
    x, weight = integers(x_shape, dtype), integer_weights(weight_shape, dtype)
    bias = integers((weight_shape[1] * options["groups"],), dtype, 2)
    expected = reference.conv_transpose(x, weight, bias, **options)
    out = np.full(expected.shape, np.nan, dtype)
    conv_transpose(x, weight, bias, **options, out=out)
    np.testing.assert_array_equal(out, expected)
    size = expected.shape[2:]
    del options["output_padding"]
    np.testing.assert_array_equal(conv_transpose(x, weight, bias, **options, output_size=size), expected)


@given(convolutions(), PADDING_MODES, DTYPES)
def test_padding_modes_are_transposes(drawn, mode, dtype):
    # the weight (O, C/groups, ...) of the convolution is that of its transpose
    x_shape, weight_shape, options, isa = drawn
    select_isa(isa)
    options["padding_mode"] = mode
    y, weight = integers(x_shape, dtype), integer_weights(weight_shape, dtype)
    convolved = gemmconv.conv(y, weight, **options)
    x = integers(convolved.shape, dtype, 4)
    expected = reference.conv_transpose(x, weight, **options, output_size=x_shape[2:])
    actual = conv_transpose(x, weight, **options, output_size=x_shape[2:])
    np.testing.assert_array_equal(actual, expected)
    assert np.vdot(convolved.astype(float), x) == np.vdot(actual.astype(float), y)


# Sizes of the output that are no multiples of the strides, with kernels wider and narrower than the stride.
OF_RANK = {
    1: {"output_size": (11,), "kernel": (4,), "stride": (3,), "dilation": (2,)},
    2: {"output_size": (7, 10), "kernel": (3, 2), "stride": (2, 3), "dilation": (1, 2)},
    3: {"output_size": (4, 5, 6), "kernel": (2, 3, 2), "stride": (1, 2, 3), "dilation": (2, 1, 1)},
}
PADDINGS = ["same", "same_lower", 2, "uneven"]


@pytest.mark.parametrize("groups", [1, 2])
@pytest.mark.parametrize("padding", PADDINGS)
@pytest.mark.parametrize("mode", ["zeros", "reflect", "edge", "wrap", "symmetric", "replicate", "circular"])
@pytest.mark.parametrize("rank", OF_RANK)
def test_is_the_transpose_of_the_matrix(rank, mode, padding, groups):
    sizes = dict(OF_RANK[rank])
    output_size, kernel = sizes.pop("output_size"), sizes.pop("kernel")
    padding = ((2, -1), (0, 3), (1, 2))[:rank] if padding == "uneven" else padding
    options = {**sizes, "padding": padding, "groups": groups, "padding_mode": mode}
    weight = integer_weights((6, 2, *kernel), "float64")
    A = gemmconv.ConvolutionOperator(weight, output_size, **options)
    M = gemmconv.convolution_matrix(weight, output_size, **options)
    x = integers(A.output_shape, "float64", 2)
    actual = conv_transpose(x, weight, **options, output_size=output_size)
    assert actual.shape == A.input_shape
    np.testing.assert_array_equal(actual.ravel(), A.T @ x.ravel())
    np.testing.assert_array_equal(actual.ravel(), M.T @ x.ravel())
    plan = gemmconv.Plan(weight, input_size=output_size, **options)
    np.testing.assert_array_equal(plan.input_gradient(x), actual)


@pytest.mark.parametrize("mode", ["circular", "reflect", "replicate"])
def test_padding_modes_are_those_of_torch(mode):
    torch = pytest.importorskip("torch")
    x, weight = integers((2, 6, 4, 6), "float64"), integers((6, 2, 4, 3), "float64", 2)
    y = torch.zeros((2, 4, 8, 12), dtype=torch.float64, requires_grad=True)
    padded = torch.nn.functional.pad(y, (1, 1, 2, 0), mode=mode)
    convolved = torch.nn.functional.conv2d(padded, torch.from_numpy(weight), stride=2, groups=2)
    (expected,) = torch.autograd.grad(convolved, y, torch.from_numpy(x))
    options = {"stride": 2, "padding": ((2, 0), (1, 1)), "groups": 2, "padding_mode": mode}
    actual = conv_transpose2d(x, weight, **options, output_size=(8, 12))
    np.testing.assert_array_equal(actual, expected.numpy())


def test_circular_padding_is_that_of_the_input():
    # where the output is `stride` times as large, as users of other libraries write it: extend x, and cut
    x, weight = integers((1, 2, 5), "float32"), integer_weights((2, 3, 4), "float32")
    extended = np.pad(x, [(0, 0), (0, 0), (1, 1)], mode="wrap")
    expected = conv_transpose(extended, weight, stride=2, padding=1 + 2 * 1)
    np.testing.assert_array_equal(conv_transpose(x, weight, stride=2, padding=1, padding_mode="circular"), expected)


@pytest.mark.parametrize("padding", ["same", "same_lower"])
@pytest.mark.parametrize("stride", [1, 2, 3, 5])
@pytest.mark.parametrize("kernel", [1, 2, 3, 4, 5])
@pytest.mark.parametrize("dilation", [1, 2])
def test_same_splits_the_padding_as_onnx(padding, stride, kernel, dilation):
    # ConvTranspose of ONNX with auto_pad SAME_UPPER or SAME_LOWER and output_shape
    x, weight = integers((1, 1, 4), "float32"), integer_weights((1, 1, kernel), "float32")
    every = conv_transpose(x, weight, stride=stride, dilation=dilation)
    for size in range(3 * stride + 1, 4 * stride + 1):
        total = max(every.shape[-1] - size, 0)
        before = total // 2 if padding == "same" else total - total // 2
        expected = np.pad(every, [(0, 0), (0, 0), (0, stride)])[..., before : before + size]
        actual = conv_transpose(x, weight, stride=stride, dilation=dilation, padding=padding, output_size=size)
        np.testing.assert_array_equal(actual, expected)


@pytest.mark.parametrize("bias_dtype", ["float64", "int8"])
def test_the_bias_is_added_once_with_a_padding_mode(bias_dtype):
    x, weight, bias = np.zeros((1, 1, 5), "float32"), np.ones((1, 2, 3), "float32"), np.array([3, 4], bias_dtype)
    out = np.full((1, 2, 3), np.nan)
    result = conv_transpose(x, weight, bias, padding=2, padding_mode="edge", out=out)
    assert result is out
    np.testing.assert_array_equal(out, [[[3, 3, 3], [4, 4, 4]]])
    with pytest.raises(ValueError, match="out has shape"):
        conv_transpose(x, weight, bias, padding=2, padding_mode="edge", out=out[..., 1:])


def test_functions_of_a_rank():
    for rank, function in ((1, conv_transpose1d), (2, conv_transpose2d), (3, conv_transpose3d)):
        x, weight = integers((1, 2, *[4] * rank), "float32"), integer_weights((2, 3, *[3] * rank), "float32")
        for options in ({}, {"padding": "same_lower", "output_size": [7] * rank, "padding_mode": "symmetric"}):
            expected = reference.conv_transpose(x, weight, stride=2, **options)
            np.testing.assert_array_equal(function(x, weight, stride=2, **options), expected)
        with pytest.raises(ValueError, match=rf"a {rank}-D transposed convolution needs \(C, O/groups"):
            function(x[..., None], weight[..., None])


@pytest.mark.parametrize(
    ("options", "size"),
    [
        ({}, 22),
        ({"padding": 3}, 16),
        ({"padding": ((0, 3),)}, 19),
        ({"padding": -1}, 24),
        ({"padding": "valid"}, 22),
        ({"padding": "same"}, 20),
        ({"padding": "same_lower"}, 20),
        ({"padding": "same", "output_size": 17}, 17),
        ({"padding": "same_lower", "output_size": [19]}, 19),
        ({"padding": 3, "padding_mode": "wrap"}, 16),
        ({"padding": "same", "dilation": 3, "padding_mode": "reflect"}, 20),
        ({"output_padding": 3}, 25),
        ({"output_size": 24}, 24),
        ({"output_size": (25,)}, 25),
        ({"dilation": 3}, 32),
        ({"dilation": 5, "output_padding": 4}, 46),
    ],
)
def test_sizes(options, size):
    x, weight = np.ones((1, 1, 5)), np.ones((1, 1, 6))
    y = conv_transpose(x, weight, stride=4, **options)
    assert y.shape == (1, 1, size)
    np.testing.assert_array_equal(y, reference.conv_transpose(x, weight, stride=4, **options))


@pytest.mark.parametrize(
    ("arguments", "options", "error", "message"),
    [
        (
            ((1, 2, 5), (3, 2, 3)),
            {},
            ValueError,
            r"weight has 3 input channels, but x has 2; rule: .*\(C, O/groups, KL\)",
        ),
        (((1, 2, 5), (3, 2, 3)), {}, ValueError, r"pass numpy.swapaxes\(weight, 0, 1\)"),
        (((1, 3, 5), (3, 2, 3)), {"groups": 2}, ValueError, "groups=2 does not divide the 3 input channels"),
        (((1, 5), (1, 1, 1, 1)), {}, ValueError, "x has shape"),
        (
            ((1, 1, 5), (1, 1, 3)),
            {"padding": "full"},
            ValueError,
            "one of the names 'valid', 'same', 'same_lower', not 'full'",
        ),
        (((1, 1, 5), (1, 1, 3)), {"stride": 2, "output_padding": 2}, ValueError, "less than max.stride, dilation. = 2"),
        (((1, 1, 5), (1, 1, 3)), {"stride": 2, "output_padding": -1}, ValueError, "output_padding must be at least 0"),
        (((1, 1, 5), (1, 1, 3)), {"stride": 2, "output_size": 13}, ValueError, "must be from 11 to 12"),
        (
            ((1, 1, 5), (1, 1, 3)),
            {"stride": 2, "output_size": 10},
            ValueError,
            "output_size is 10 along spatial axis 0",
        ),
        (((1, 1, 5), (1, 1, 3)), {"output_size": 7, "output_padding": 1}, ValueError, "output_padding cannot be given"),
        (
            ((1, 1, 5), (1, 1, 3)),
            {"padding": "same", "output_size": 6},
            ValueError,
            "padding='same' it must be 5; rule",
        ),
        (
            ((1, 1, 5), (1, 1, 3)),
            {"padding": "same_lower", "output_size": 10, "stride": 3},
            ValueError,
            r"output_size is 10 along .* must be from 13 to 15; rule: ceil\(output_size / stride\) = 5",
        ),
        (
            ((1, 1, 5), (1, 1, 3)),
            {"padding": "same", "output_size": 5, "output_padding": 1},
            ValueError,
            "output_padding cannot be given as well, but is 1; leave it out",
        ),
        (((1, 1, 5), (1, 1, 3)), {"padding_mode": "mirror"}, ValueError, "padding_mode must be .* that is 'reflect'"),
        (((1, 1, 5), (1, 1, 3)), {"padding_mode": None}, TypeError, "padding_mode must be a string.*, not None"),
        (
            ((1, 1, 5), (1, 1, 3)),
            {"padding": 100, "output_size": 5},
            ValueError,
            "output would have -193 positions",
        ),
        (((1, 1, 5), (1, 1, 3)), {"padding": "same", "output_padding": (0, 0)}, ValueError, "output_padding must be"),
        (((1, 1, 5), (1, 1, 3)), {"padding": 4}, ValueError, "the output would have -1 positions"),
        (((1, 1, 5), (1, 1, 3)), {"stride": 1.5}, TypeError, "stride must be"),
        (((1, 1, 5), (1, 1, 3)), {"algorithm": "fast"}, ValueError, "algorithm must be one of"),
        (((1, 1, 5), (1, 1, 0)), {}, ValueError, "no axis of the kernel may be empty"),
        (((1, 1, 0), (1, 1, 1)), {}, ValueError, "the output would have 0 positions"),
    ],
)
def test_errors(arguments, options, error, message):
    x, weight = map(np.ones, arguments)
    out = np.full(3, 7.0)
    with pytest.raises(error, match=message):
        conv_transpose(x, weight, **options, out=out)
    assert (out == 7).all()


def test_a_bias_raises_no_floating_point_errors():
    x, weight = np.array([[np.inf, 1, 1]]), np.ones((1, 1, 3))
    with np.errstate(all="raise"):
        y = conv_transpose(x, weight, [-np.inf], padding=1, padding_mode="wrap")
    np.testing.assert_array_equal(y, [[np.nan, np.nan, np.nan]])


def test_constant_is_another_name_of_zeros():
    rng = np.random.default_rng(5)
    x, weight, bias = (rng.standard_normal(shape, dtype=np.float32) for shape in ((2, 5, 9, 9), (5, 4, 3, 3), (4,)))
    y = conv_transpose(x, weight, bias, padding=1, padding_mode="zeros")
    np.testing.assert_array_equal(conv_transpose(x, weight, bias, padding=1, padding_mode="constant"), y)


def test_wrong_bias_and_out():
    x, weight = np.ones((1, 4, 5)), np.ones((4, 3, 2))
    with pytest.raises(ValueError, match=r"bias has shape \(4,\), but weight has 6 output channels"):
        conv_transpose(x, weight, np.ones(4), groups=2)
    with pytest.raises(ValueError, match="out has shape"):
        conv_transpose(x, weight, out=np.ones((1, 3, 5)))


def test_huge_sizes_are_refused():
    with pytest.raises(ValueError, match="at most"):
        conv_transpose(np.ones((1, 1, 1, 1, 1)), np.ones((1, 1, 3, 3, 3)), padding=-(2**31 - 1))
    with pytest.raises(ValueError, match="at most"):
        conv_transpose(np.broadcast_to(np.uint8(1), (1, 1, 2**6, 2**16)), np.ones((1, 1, 1, 1)), stride=2**30)
    arrays, options = (np.ones((1, 1, 2, 2, 2)), np.ones((1, 1, 1, 1, 1))), {"stride": 2**30, "padding": 2**29}
    assert conv_transpose(*arrays, **options).shape == (1, 1, 1, 1, 1)  # nothing is built that is cut off
    with pytest.raises(ValueError, match=r"the padded output would have \d+ bytes, but at most"):
        conv_transpose(*arrays, **options, padding_mode="wrap")


def test_upsampling_and_the_convolution_undo_each_other():
    # a 2x2 kernel of ones with stride 2 repeats pixels; the mean over the same patches gives them back
    x = integers((1, 1, 5, 7), "float32")
    large = conv_transpose2d(x, np.ones((1, 1, 2, 2)), stride=2)
    np.testing.assert_array_equal(large, x.repeat(2, axis=2).repeat(2, axis=3))
    np.testing.assert_array_equal(gemmconv.conv2d(large, np.full((1, 1, 2, 2), 0.25), stride=2), x)
