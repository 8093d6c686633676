"""The messages of usual mistakes: each says what to write instead."""

from __future__ import annotations

import re

import numpy as np
import pytest
from scipy.sparse import csr_array

import gemmconv
from gemmconv import (
    ConvolutionOperator,
    Plan,
    conv,
    conv2d,
    conv_input_gradient,
    conv_transpose,
    conv_weight_gradient,
    convolution_matrix,
    im2col,
    output_size,
    tied_weights,
)

X, W = np.ones((2, 8, 12, 12)), np.ones((16, 8, 3, 3))
SWAPPED = W.swapaxes(0, 1)
PICTURE, KERNEL = np.ones((12, 12)), np.ones((3, 3))
FIRST = W.transpose(2, 3, 1, 0)  # the order of TensorFlow


class Nullable:
    """As a column of pandas with a nullable type: its array has the type object."""

    def __array__(self, dtype=None, copy=None):
        return np.full(W.shape, 1, object)

    def to_numpy(self, dtype, na_value):  # noqa: ARG002 - the signature of pandas
        return np.ones(W.shape, dtype)


# What was written -> the end of the message.
MISTAKES = {
    "weight_of_tensorflow": (
        lambda: conv2d(np.ones((1, 28, 28)), np.ones((5, 5, 1, 32))),
        "; if weight has the order of TensorFlow, with the kernel first, pass weight.transpose(3, 2, 0, 1)",
    ),
    "weight_and_pictures_of_tensorflow": (
        lambda: conv2d(np.ones((2, 28, 28, 3)), np.ones((5, 5, 3, 32))),
        ", pass weight.transpose(3, 2, 0, 1); if the channels of x are last as well, pass channels_last=True",
    ),
    "transposed_weight_of_tensorflow": (
        lambda: conv_transpose(np.ones((32, 14, 14)), np.ones((5, 5, 1, 32))),
        "; if weight has the order of TensorFlow, with the kernel first, pass weight.transpose(3, 2, 0, 1)",
    ),
    "transposed_weight_and_pictures_of_tensorflow": (
        lambda: conv_transpose(np.ones((2, 14, 14, 32)), np.ones((3, 3, 8, 32))),
        ", pass weight.transpose(3, 2, 0, 1); if the channels of x are last as well, pass channels_last=True",
    ),
    "weight_of_tensorflow_that_is_too_large": (
        lambda: conv2d(X[:, :3], FIRST),
        "+ 1; if weight has the order of TensorFlow, with the kernel first, pass weight.transpose(3, 2, 0, 1)",
    ),
    "weight_of_tensorflow_in_a_plan": (
        lambda: Plan(FIRST, input_size=(12, 12)),
        "+ 1; if weight has the order of TensorFlow, with the kernel first, pass weight.transpose(3, 2, 0, 1)",
    ),
    "weight_of_tensorflow_in_an_operator": (
        lambda: ConvolutionOperator(FIRST, (12, 12)),
        "+ 1; if weight has the order of TensorFlow, with the kernel first, pass weight.transpose(3, 2, 0, 1)",
    ),
    "weight_of_tensorflow_in_a_matrix": (
        lambda: convolution_matrix(FIRST, (12, 12)),
        "+ 1; if weight has the order of TensorFlow, with the kernel first, pass weight.transpose(3, 2, 0, 1)",
    ),
    "weight_of_tensorflow_in_three_dimensions": (
        lambda: Plan(np.ones((3, 3, 3, 8, 16)), input_size=(12, 12, 12)),
        "+ 1; if weight has the order of TensorFlow, with the kernel first, pass weight.transpose(4, 3, 0, 1, 2)",
    ),
    "weight_of_tensorflow_in_an_input_gradient": (
        lambda: conv_input_gradient(np.ones((2, 16, 10, 10)), FIRST, (12, 12)),
        "+ 1; if weight has the order of TensorFlow, with the kernel first, pass weight.transpose(3, 2, 0, 1)",
    ),
    "weight_of_tensorflow_in_a_large_input_gradient": (
        lambda: conv_input_gradient(np.ones((2, 16, 26, 26)), FIRST, (28, 28)),
        "has shape (2, 3, 21, 13); if weight has the order of TensorFlow, with the kernel first, "
        "pass weight.transpose(3, 2, 0, 1)",
    ),
    "depthwise_of_tensorflow": (
        lambda: conv2d(X, np.ones((3, 3, 8, 1)), groups=8),
        "channels of weight; if weight has the order of TensorFlow's depthwise convolution, "
        "pass weight.transpose(2, 3, 0, 1)",
    ),
    "depthwise_of_tensorflow_with_several_outputs": (
        lambda: Plan(np.ones((3, 3, 8, 2)), input_size=(12, 12), groups=8),
        "pass weight.transpose(2, 3, 0, 1).reshape(16, 1, 3, 3)",
    ),
    "depthwise_of_tensorflow_for_colours": (
        lambda: conv2d(X[:, :3], np.ones((3, 3, 3, 1)), groups=3),
        "; with groups=1 they fit; if weight has the order of TensorFlow's depthwise convolution, "
        "pass weight.transpose(2, 3, 0, 1)",
    ),
    "weight_of_one_group": (lambda: conv2d(X, W, groups=8), "; with groups=1 they fit"),
    "depthwise_without_groups": (
        lambda: conv2d(X, np.ones((8, 1, 3, 3))),
        "; for a depthwise convolution pass groups=8",
    ),
    "depthwise_or_a_stack_of_pictures": (
        lambda: conv2d(X[0], np.ones((8, 1, 3, 3))),
        "; for a depthwise convolution pass groups=8; for 8 inputs of one channel pass x[:, None]",
    ),
    "kernel_to_conv": (lambda: conv(PICTURE[None], KERNEL), "; for a single kernel pass weight[None, None]"),
    "kernel_to_a_matrix": (
        lambda: convolution_matrix(KERNEL, (12, 12)),
        "; for a single kernel pass weight[None, None]",
    ),
    "shape_for_the_input_size": (
        lambda: convolution_matrix(W, X.shape),
        "; of the shape of an array, take shape[-2:], or with channels_last=True shape[-3:-1]",
    ),
    "shape_of_an_image": (
        lambda: Plan(W, input_size=X.shape[1:]),
        "; of the shape of an array, take shape[-2:], or with channels_last=True shape[-3:-1]",
    ),
    "shape_for_an_output_size": (
        lambda: output_size(X.shape, (3, 3)),
        "; of the shape of an array with batch and channels, take shape[2:]",
    ),
    "number_for_the_input_size": (
        lambda: output_size(12, 3),
        "; for one axis pass (12,), for a square image (12, 12)",
    ),
    "numpy_s_number_for_the_input_size": (
        lambda: output_size(np.int64(12), (3,)),
        "; for one axis pass (12,), for a square image (12, 12)",
    ),
    "strides_of_tensorflow": (
        lambda: conv2d(X, W, stride=(1, 2, 2, 1)),
        "; of one number for each axis of x, take those of the spatial axes: stride=(2, 2)",
    ),
    "strides_of_tensorflow_channels_first": (
        lambda: conv2d(X, W, stride=(1, 1, 2, 2)),
        "; of one number for each axis of x, take those of the spatial axes: stride=(2, 2)",
    ),
    "dilations_of_tensorflow": (
        lambda: conv2d(X, W, dilation=(1, 2, 3, 1)),
        "; of one number for each axis of x, take those of the spatial axes: dilation=(2, 3)",
    ),
    "bias_with_axes": (lambda: conv2d(X, W, np.ones((16, 1, 1))), "expected (16,); pass bias.ravel()"),
    "bias_of_a_plan_with_axes": (
        lambda: Plan(W, np.ones((1, 16, 1, 1)), input_size=(12, 12)),
        "expected (16,); pass bias.ravel()",
    ),
    "bias_as_a_number": (
        lambda: conv2d(X, W, 0.5),
        "expected (16,); for one value for all channels pass numpy.full(16, bias)",
    ),
    "mode_periodic": (lambda: conv2d(X, W, padding_mode="periodic"), "; here that is 'wrap'"),
    "mode_of_scipy": (lambda: conv2d(X, W, padding_mode=("symm", "zeros")), "; here that is 'symmetric'"),
    "mode_none": (lambda: conv2d(X, W, padding_mode=None), "; leave it out for zeros"),
    "mode_in_capitals": (lambda: conv2d(X, W, padding_mode="REFLECT"), "; did you mean 'reflect'?"),
    "mode_of_numpy_in_capitals": (lambda: conv2d(X, W, padding_mode="CONSTANT"), "; here that is 'zeros'"),
    "mode_misspelt": (lambda: conv2d(X, W, padding_mode="edges"), "; did you mean 'edge'?"),
    "mode_as_padding": (lambda: conv2d(X, W, padding="Reflect"), "; 'reflect' is a padding_mode"),
    "algorithm_in_capitals": (lambda: conv2d(X, W, algorithm="Winograd"), "; did you mean 'winograd'?"),
    "activation_in_capitals": (
        lambda: Plan(W, input_size=(12, 12), activation="ReLU"),
        "; did you mean 'relu'?",
    ),
    "none": (lambda: conv2d(None, W), "x is None, but must be an array"),
    "sparse": (lambda: conv2d(X, csr_array(KERNEL)), "weight is a sparse array; make it dense first: weight.toarray()"),
    "nullable": (lambda: conv2d(X, Nullable()), "; pass weight.to_numpy(dtype=float, na_value=numpy.nan)"),
    "objects": (lambda: conv2d(X, W.astype(object)), "; if it holds numbers, pass numpy.asarray(weight, dtype=float)"),
    "long_double": (lambda: conv2d(X.astype(np.longdouble), W), "; pass numpy.asarray(x, numpy.float64)"),
    "complex": (lambda: conv2d(X * 1j, W, dtype=np.float32), "; pass a complex dtype, or convolve the parts apart"),
    "complex_bias": (lambda: conv2d(X, W, np.ones(16) * 1j), "; make one of them complex too: x.astype(complex128)"),
    "integers_of_floats": (
        lambda: conv2d(X, W, dtype=np.int32),
        "; without dtype, round: numpy.rint(result).astype(numpy.int32)",
    ),
    "too_large_integers": (
        lambda: conv2d(X.astype(int) << 30, W.astype(int), dtype=np.int32),
        "; pass dtype=numpy.int64",
    ),
    "padding_of_numpy": (
        lambda: conv2d(X, W, padding=((0, 0), (0, 0), (1, 2), (3, 4))),
        "; of numpy.pad's pairs, take those of the spatial axes: padding=((1, 2), (3, 4))",
    ),
    "padding_of_torch_or_onnx": (
        lambda: conv2d(X, W, padding=(0, 0, 1, 1)),
        "; for functional.pad's (0, 0, 1, 1) write padding=((1, 1), (0, 0)), "
        "for the pads of ONNX padding=((0, 1), (0, 1))",
    ),
    "padding_of_onnx": (lambda: conv2d(X, W, padding="SAME_UPPER"), "; here that is 'same'"),
    "padding_of_onnx_transposed": (lambda: conv_transpose(X, SWAPPED, padding="SAME_UPPER"), "; here that is 'same'"),
    "padding_in_capitals_transposed": (lambda: conv_transpose(X, SWAPPED, padding="SAME"), "; did you mean 'same'?"),
    "mode_as_padding_transposed": (
        lambda: conv_transpose(X, SWAPPED, padding="reflect"),
        "; 'reflect' is a padding_mode",
    ),
    "full_transposed": (
        lambda: conv_transpose(X, SWAPPED, padding="full", dilation=2),
        "; for the transpose of a convolution with padding='full' pass padding=((4, 4), (4, 4))",
    ),
    "causal_transposed": (
        lambda: conv_transpose(X[..., 0], SWAPPED[..., 0], padding="causal"),
        "; for the transpose of a convolution with padding='causal' pass padding=((2, 0),)",
    ),
    "size_that_same_cannot_have": (
        lambda: conv_transpose(X, SWAPPED, stride=2, padding="same", output_size=(22, 25)),
        "output_size is 22 along spatial axis 0, but with padding='same' it must be from 23 to 24; "
        "rule: ceil(output_size / stride) = 12, the size of x; for an output of size (22, 25) pass "
        "padding=((1, 2), (0, 0)) without output_size",
    ),
    "size_that_same_lower_cannot_have": (
        lambda: conv_transpose(X, SWAPPED, padding="same_lower", output_size=(11, 20)),
        "but with padding='same_lower' it must be 12; rule: ceil(output_size / stride) = 12, the size of x; "
        "for an output of size (11, 20) pass padding=((2, 1), (0, -6)) without output_size",
    ),
    "size_that_is_too_large": (
        lambda: conv_transpose(X, SWAPPED, stride=2, padding=1, output_size=30),
        "less than max(stride, dilation) = 2 more; for 30 positions give 7 less padding",
    ),
    "size_that_is_too_small": (
        lambda: conv_transpose(X, SWAPPED, stride=2, padding=1, output_size=20),
        "less than max(stride, dilation) = 2 more; for 20 positions give 3 more padding",
    ),
    "output_padding_of_same": (
        lambda: conv_transpose(X, SWAPPED, stride=2, padding="same", output_padding=1),
        "output_padding cannot be given as well, but is 1; for another size pass output_size",
    ),
    "output_padding_and_output_size": (
        lambda: conv_transpose(X, SWAPPED, stride=2, output_size=25, output_padding=1),
        "output_padding cannot be given as well, but is 1; leave it out",
    ),
    "output_padding_that_is_too_large": (
        lambda: conv_transpose(X, SWAPPED, stride=2, output_padding=2),
        "; for a longer output give less padding after it (negative numbers add positions)",
    ),
    "nothing_is_left": (lambda: conv_transpose(X, SWAPPED, padding=8), "output_padding + 1 >= 1; give less padding"),
    "kernel_size_as_a_number": (
        lambda: im2col(X, 3),
        "; for one axis pass (3,), for a square kernel (3, 3)",
    ),
    "kernel_size_of_a_gradient": (
        lambda: conv_weight_gradient(np.ones((2, 16, 10, 10)), X, 3),
        "; for one axis pass (3,), for a square kernel (3, 3)",
    ),
    "weight_for_its_shape": (lambda: tied_weights(W, (12, 12)), "; of a weight, pass weight.shape"),
    "out_of_uint8": (
        lambda: conv2d(X, W, out=np.zeros((2, 16, 10, 10), np.uint8)),
        "; without out, round and clip: numpy.rint(result).clip(0, 255).astype(numpy.uint8)",
    ),
    "out_of_int64": (
        lambda: conv2d(X, W, out=np.zeros((2, 16, 10, 10), np.int64)),
        "; without out, round: numpy.rint(result).astype(numpy.int64)",
    ),
    "out_of_int32_for_integers": (
        lambda: conv2d(X.astype(int), W.astype(int), out=np.zeros((2, 16, 10, 10), np.int32)),
        "; for exact sums of integers pass dtype=numpy.int32; "
        "without out, round: numpy.rint(result).astype(numpy.int32)",
    ),
    "bias_of_a_weight_of_tensorflow": (
        lambda: conv2d(np.ones((12, 12, 3)), np.ones((3, 3, 3, 16)), np.ones(16), channels_last=True),
        "; if weight has the order of TensorFlow, with the kernel first, pass weight.transpose(3, 2, 0, 1)",
    ),
    "operator_applied_to_an_image": (
        lambda: ConvolutionOperator(W, (12, 12)) @ X[0],
        "the operator multiplies vectors of 1152 elements; of an image, pass x.ravel()",
    ),
    "operator_applied_to_a_picture": (
        lambda: ConvolutionOperator(KERNEL[None, None], (12, 12)) @ PICTURE,
        "; of an image, pass x.ravel()",
    ),
    "operator_applied_to_a_list": (
        lambda: ConvolutionOperator(W, (12, 12)) @ X[0].tolist(),
        "the operator multiplies vectors of 1152 elements; of an image, pass x.ravel()",
    ),
    "operator_applied_to_a_batch": (
        lambda: ConvolutionOperator(W, (12, 12)) @ X,
        "; of a batch of images, pass x.reshape(len(x), -1).T",
    ),
    "transpose_applied_to_an_image": (
        lambda: ConvolutionOperator(W, (12, 12)).T @ np.ones((16, 10, 10)),
        "the operator multiplies vectors of 1600 elements; of an image, pass x.ravel()",
    ),
    "adjoint_applied_to_a_picture": (
        lambda: ConvolutionOperator(KERNEL[None, None], (12, 12)).H @ np.ones((10, 10)),
        "the operator multiplies vectors of 100 elements; of an image, pass x.ravel()",
    ),
    "matvec_of_an_image": (
        lambda: ConvolutionOperator(W, (12, 12)).matvec(X[0]),
        "the operator multiplies vectors of 1152 elements; of an image, pass x.ravel()",
    ),
    "rmatvec_of_an_image": (
        lambda: ConvolutionOperator(W, (12, 12)).rmatvec(np.ones((16, 10, 10))),
        "the operator multiplies vectors of 1600 elements; of an image, pass x.ravel()",
    ),
    "matmat_of_a_batch": (
        lambda: ConvolutionOperator(W, (12, 12)).matmat(X),
        "; of a batch of images, pass x.reshape(len(x), -1).T",
    ),
    "rmatmat_of_a_batch": (
        lambda: ConvolutionOperator(W, (12, 12)).rmatmat(np.ones((2, 16, 10, 10))),
        "; of a batch of images, pass x.reshape(len(x), -1).T",
    ),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_message(name):
    make, end = MISTAKES[name]
    with pytest.raises((TypeError, ValueError), match=re.escape(end) + "$"):
        make()


# Mistakes of which nobody can tell what was meant: what the message says, and the hint that would be wrong.
UNCLEAR = {
    "picture_of_another_operator": (lambda: ConvolutionOperator(W, (12, 12)) @ PICTURE, "dimension mismatch", "ravel"),
    "another_activation": (lambda: Plan(W, input_size=(12, 12), activation="relu6"), "activation must be", "did you"),
    "pairs_that_pad_the_batch": (
        lambda: gemmconv.conv1d(X[..., 0], W[..., 0], padding=((1, 1), (2, 2))),
        "padding must be",
        "numpy.pad",
    ),
    "out_of_wide_integers": (lambda: conv2d(X, W, out=np.empty((2, 16, 10, 10), np.int64)), "out has dtype", "clip"),
    "channels_that_do_not_fit": (lambda: conv2d(X, np.ones((64, 64, 8, 3))), "weight has 64 input channels", "Tensor"),
    "bias_of_other_channels": (lambda: conv2d(X, W, np.ones((4, 1))), "bias has shape", "ravel"),
    "strides_that_nobody_has": (lambda: conv2d(X, W, stride=(2, 2, 2, 2)), "stride must be", "take"),
    "kernel_that_is_too_large": (lambda: conv2d(X, np.ones((16, 8, 13, 3))), "the kernel covers 13", "Tensor"),
    "groups_of_no_depthwise": (lambda: conv2d(X, np.ones((3, 1, 3, 3)), groups=8), "groups=8 does not", "Tensor"),
    "mode_without_a_name": (lambda: conv2d(X, W, padding_mode=3), "padding_mode must be a string", "leave"),
    "out_of_booleans": (lambda: conv2d(X, W, out=np.empty((2, 16, 10, 10), bool)), "out has dtype bool", "rint"),
    "kernel_of_another_rank": (lambda: output_size((12, 12), (3, 3, 3)), "kernel_size must be", "shape["),
}


@pytest.mark.parametrize("name", UNCLEAR)
def test_no_wrong_hint(name):
    make, said, hint = UNCLEAR[name]
    with pytest.raises((TypeError, ValueError), match=said) as error:
        make()
    assert hint not in str(error.value)


def test_what_the_messages_say_is_right():
    picture, kernel = np.ones((1, 28, 28)), np.ones((5, 5, 1, 32))
    assert conv2d(picture, kernel.transpose(3, 2, 0, 1)).shape == (32, 24, 24)
    large = np.ones((14, 14, 32))
    assert conv_transpose(np.moveaxis(large, -1, -3), kernel.transpose(3, 2, 0, 1)).shape == (1, 18, 18)
    assert conv2d(X, np.ones((8, 1, 3, 3)), groups=8).shape == (2, 8, 10, 10)
    assert conv2d(X, Nullable().to_numpy(dtype=float, na_value=np.nan)).shape == (2, 16, 10, 10)
    A = ConvolutionOperator(W, (12, 12))
    assert (A @ X[0].ravel()).shape == (16 * 10 * 10,)
    assert (A @ X.reshape(len(X), -1).T).shape == (16 * 10 * 10, 2)
    assert (A.T @ np.ones((16, 10, 10)).ravel()).shape == (8 * 12 * 12,)
    depthwise = np.ones((3, 3, 8, 2)).transpose(2, 3, 0, 1).reshape(16, 1, 3, 3)
    assert conv2d(X, depthwise, groups=8).shape == (2, 16, 10, 10)
    assert output_size((12,), 3) == (10,)
    assert output_size((12, 12), 3) == (10, 10)
    assert np.rint(conv2d(X, W)).clip(0, 255).astype(np.uint8).max() == 72
    assert gemmconv.im2col(X, (3, 3)).shape == (2, 72, 100)
    for pads, size in (((1, 2), (0, 0)), (22, 25)), (((1, 2), (1, -2)), (22, 26)):
        assert conv_transpose(X, SWAPPED, stride=2, padding=pads).shape == (2, 16, *size)
