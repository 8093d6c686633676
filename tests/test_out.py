"""The out argument: what is accepted, what overlaps, and that a call that raises writes nothing."""

from __future__ import annotations

import numpy as np
import pytest
from cases import integers

import gemmconv
from gemmconv import reference

X, WEIGHT = integers((2, 3, 9, 8), np.float32, 1), integers((3, 3, 3, 3), np.float32, 2)
EXPECTED = reference.conv(X, WEIGHT, padding=1)


@pytest.mark.parametrize(
    "make",
    [
        lambda: np.full(EXPECTED.shape, np.nan, np.float32),
        lambda: np.full(EXPECTED.shape, np.nan, np.float64),
        lambda: np.full(EXPECTED.shape, np.nan, np.float16),
        lambda: np.full(EXPECTED.shape, np.nan, ">f4"),
        lambda: np.full(EXPECTED.shape, np.nan, np.complex64),
        lambda: np.full(EXPECTED.shape[::-1], np.nan, np.float32).T,
        lambda: np.full((*EXPECTED.shape[:3], 16), np.nan, np.float32)[..., ::2],
        lambda: np.full(EXPECTED.size * 4 + 1, 255, np.uint8)[1:].view(np.float32).reshape(EXPECTED.shape),
    ],
    ids=["float32", "float64", "float16", "big_endian", "complex", "fortran", "strided", "unaligned"],
)
def test_accepted(make):
    out = make()
    assert gemmconv.conv2d(X, WEIGHT, padding=1, out=out) is out
    np.testing.assert_array_equal(out, EXPECTED)


def test_only_its_elements_are_written():
    memory = np.full((*EXPECTED.shape[:3], 16), np.nan, np.float32)
    gemmconv.conv2d(X, WEIGHT, padding=1, out=memory[..., ::2])
    assert np.isnan(memory[..., 1::2]).all()


@pytest.mark.parametrize("shift", [0, 1, 17])
def test_overlap_with_x(shift):
    memory = np.zeros(X.size + shift, np.float32)
    x, out = memory[: X.size].reshape(X.shape), memory[shift:].reshape(EXPECTED.shape)
    x[...] = X
    assert gemmconv.conv2d(x, WEIGHT, padding=1, out=out) is out
    np.testing.assert_array_equal(out, EXPECTED)


def test_overlap_with_weight_and_bias():
    weight = integers((1, 1, 3), np.float32, 5)
    x = integers((1, 5), np.float32, 6)
    expected = reference.conv(x, weight)
    out = weight.reshape(1, 3)
    np.testing.assert_array_equal(gemmconv.conv1d(x, weight, out=out), expected)

    weight, bias = np.ones((2, 1, 1), np.float32), np.array([3, 4], np.float32)
    expected = reference.conv([[5.0]], weight, bias)
    out = bias.reshape(2, 1)
    np.testing.assert_array_equal(gemmconv.conv1d(np.full((1, 1), 5, np.float32), weight, bias, out=out), expected)


BAD = {
    "list": (lambda: EXPECTED.tolist(), TypeError, "out must be a numpy.ndarray, not list"),
    "masked": (lambda: np.ma.masked_array(np.full(EXPECTED.shape, 7.0)), TypeError, "out is a masked array"),
    "shape": (lambda: np.full((2, 3, 9, 9), np.nan, np.float32), ValueError, "out has shape"),
    "broadcastable": (lambda: np.full((1, 2, 3, 9, 8), np.nan, np.float32), ValueError, "out has shape"),
    "integers": (lambda: np.full(EXPECTED.shape, 7, np.int64), TypeError, "out has dtype int64"),
    "bytes": (lambda: np.full(EXPECTED.shape, b"7", "S1"), TypeError, "out has dtype .S1"),
    "void": (lambda: np.zeros(EXPECTED.shape, "V4"), TypeError, "out has dtype .V4"),
}


@pytest.mark.parametrize("name", BAD)
def test_refused(name):
    make, error, message = BAD[name]
    out = make()
    with pytest.raises(error, match=message):
        gemmconv.conv2d(X, WEIGHT, padding=1, out=out)
    np.testing.assert_array_equal(out, make())


def test_nothing_is_written_if_the_conversion_raises():
    out = np.full((1, 2), 7, np.float32)
    with np.errstate(over="raise"), pytest.raises(FloatingPointError):
        gemmconv.conv1d(np.array([[1.0, 1e300]]), np.ones((1, 1, 1)), out=out)
    np.testing.assert_array_equal(out, [[7, 7]])


def test_read_only():
    out = np.full(EXPECTED.shape, np.nan, np.float32)
    out.flags.writeable = False
    with pytest.raises(ValueError, match="out is read-only"):
        gemmconv.conv2d(X, WEIGHT, padding=1, out=out)


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ({"weight": np.ones((3, 4, 3, 3))}, ValueError),
        ({"bias": np.ones(4)}, ValueError),
        ({"bias": np.ones(3, complex)}, TypeError),
        ({"stride": 0}, ValueError),
        ({"padding": "wrong"}, ValueError),
        ({"padding": 1.5}, TypeError),
        ({"padding_mode": "mirror"}, ValueError),
        ({"dilation": (1, 2, 3)}, ValueError),
        ({"groups": 2}, ValueError),
    ],
)
def test_nothing_is_written_by_a_call_that_raises(arguments, error):
    out = np.full(EXPECTED.shape, np.nan, np.float32)
    call = {"x": X, "weight": WEIGHT, "padding": 1, **arguments}
    with pytest.raises(error):
        gemmconv.conv2d(**call, out=out)
    assert np.isnan(out).all()
