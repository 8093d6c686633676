"""Transposed convolution: exact on integers, the sizes, the messages."""

from __future__ import annotations

import numpy as np
import pytest
from cases import TRANSPOSED_CASES, integer_weights, integers
from drawn import DTYPES, transposed_convolutions
from guarded import guarded
from hypothesis import given
from instruction_sets import select_isa

import gemmconv
from gemmconv import conv_transpose, conv_transpose1d, conv_transpose2d, conv_transpose3d, num_threads, reference


def data_of(case, dtype):
    bias = integers((case.weight[1] * case.options.get("groups", 1),), dtype, 3)
    return integers(case.x, dtype, 1), integer_weights(case.weight, dtype, 2), bias


@pytest.mark.parametrize("name", TRANSPOSED_CASES)
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


def test_functions_of_a_rank():
    for rank, function in ((1, conv_transpose1d), (2, conv_transpose2d), (3, conv_transpose3d)):
        x, weight = integers((1, 2, *[4] * rank), "float32"), integer_weights((2, 3, *[3] * rank), "float32")
        expected = reference.conv_transpose(x, weight, stride=2)
        np.testing.assert_array_equal(function(x, weight, stride=2), expected)
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
        (((1, 1, 5), (1, 1, 3)), {"padding": "full"}, ValueError, "one of the names 'valid', 'same', not 'full'"),
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
        (((1, 1, 5), (1, 1, 3)), {"padding": "same", "output_size": 5}, ValueError, "output_size cannot be given"),
        (
            ((1, 1, 5), (1, 1, 3)),
            {"padding": 100, "output_size": 5},
            ValueError,
            "output would have -193 positions",
        ),
        (((1, 1, 5), (1, 1, 3)), {"padding": "same", "output_padding": (0, 0)}, ValueError, "output_padding must be"),
        (((1, 1, 5), (1, 1, 3)), {"padding": 4}, ValueError, "the output would have -1 positions"),
        (((1, 1, 5), (1, 1, 3)), {"stride": 1.5}, TypeError, "stride must be"),
        (((1, 1, 5), (1, 1, 3)), {"algorithm": "fft"}, ValueError, "algorithm must be one of"),
        (((1, 1, 5), (1, 0, 3)), {}, ValueError, "no axis may be empty"),
    ],
)
def test_errors(arguments, options, error, message):
    x, weight = map(np.ones, arguments)
    out = np.full(3, 7.0)
    with pytest.raises(error, match=message):
        conv_transpose(x, weight, **options, out=out)
    assert (out == 7).all()


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


def test_upsampling_and_the_convolution_undo_each_other():
    # a 2x2 kernel of ones with stride 2 repeats pixels; the mean over the same patches gives them back
    x = integers((1, 1, 5, 7), "float32")
    large = conv_transpose2d(x, np.ones((1, 1, 2, 2)), stride=2)
    np.testing.assert_array_equal(large, x.repeat(2, axis=2).repeat(2, axis=3))
    np.testing.assert_array_equal(gemmconv.conv2d(large, np.full((1, 1, 2, 2), 0.25), stride=2), x)
