"""im2col and col2im of every type: elements are moved bit by bit, and added in their own type."""

from __future__ import annotations

import numpy as np
import pytest
from cases import CASES, input_size, spatial_options

from gemmconv import col2im, im2col, reference

NAMES = ["bool", "int8", "uint8", "int16", "uint16", "int32", "uint32", "int64", "uint64"]
NAMES += ["float16", "bfloat16", "float32", "float64", "complex64", "complex128"]
# of 1, 2, 4, 8 and 16 bytes
SOME = ["uint8", "bfloat16", "int32", "complex64", "complex128"]

each_layout = pytest.mark.parametrize("last", [False, True], ids=["channels_first", "channels_last"])


def type_named(name):
    return np.dtype(pytest.importorskip("ml_dtypes").bfloat16 if name == "bfloat16" else name)


def numbers(shape, dtype):
    """Return small numbers of a type."""
    rng = np.random.default_rng(1)
    values = rng.integers(0, 2 if dtype == np.bool_ else 10, shape).astype(dtype)
    return values + 1j * rng.integers(0, 10, shape).astype(values.real.dtype) if dtype.kind == "c" else values


def by_parts(function, array, *arguments, **options):
    """Return what a function of the reference does to the real and to the imaginary part."""
    array = array if array.dtype.kind == "c" else array.astype(float)
    return function(array.real, *arguments, **options) + 1j * function(array.imag, *arguments, **options)


@each_layout
@pytest.mark.parametrize("dtype", ["uint8", "int32", "complex64"])
@pytest.mark.parametrize("name", CASES)
def test_every_case(name, dtype, last):
    case, dtype = CASES[name], type_named(dtype)
    options = {**spatial_options(case), "channels_last": last}
    x, kernel, size = numbers(case.x, dtype), case.weight[2:], input_size(case)
    x = np.moveaxis(x, -len(kernel) - 1, -1) if last else x
    batch = x if x.ndim == len(kernel) + 2 else x[np.newaxis]
    P = im2col(x, kernel, **options)
    assert P.dtype == dtype
    expected = by_parts(reference.im2col, batch, kernel, **options)
    np.testing.assert_array_equal(P.reshape(expected.shape), expected)
    images = col2im(P, size, kernel, **options)
    assert images.dtype == dtype
    expected = by_parts(reference.col2im, expected, size, kernel, **options)
    if dtype == np.uint8:
        expected = expected.real.astype(np.int64).astype(np.uint8)  # wraps around
    np.testing.assert_array_equal(images, expected.reshape(x.shape))


@pytest.mark.parametrize("name", NAMES)
def test_every_type(name):
    dtype = type_named(name)
    x = numbers((2, 3, 9, 8), dtype)
    P = im2col(x, (3, 2), padding=1, stride=2, dilation=(1, 2))
    assert P.dtype == dtype
    np.testing.assert_array_equal(P, by_parts(reference.im2col, x, (3, 2), padding=1, stride=2, dilation=(1, 2)))
    images = col2im(P, (9, 8), (3, 2), padding=1, stride=2, dilation=(1, 2))
    assert images.dtype == dtype
    expected = by_parts(reference.col2im, P, (9, 8), (3, 2), padding=1, stride=2, dilation=(1, 2))
    expected = expected != 0 if name == "bool" else expected
    np.testing.assert_array_equal(images, expected)
    for array in np.asfortranarray(x), x[:, :, ::-1][:, :, ::-1]:
        np.testing.assert_array_equal(im2col(array, (3, 2), padding=1, stride=2, dilation=(1, 2)), P)


@each_layout
@pytest.mark.parametrize("size", [2, 4, 8, 16])
def test_every_bit_is_kept(size, last):
    # among all bits there are NaNs that signal, and subnormal numbers
    raw = np.random.default_rng(1).integers(0, 256, 4 * 5 * 6 * size).astype(np.uint8)
    types = {2: ["float16", "int16"], 4: ["float32", "int32"], 8: ["float64", "int64", "complex64"], 16: ["complex128"]}
    for name in types[size]:
        x = raw.view(name).reshape(4, 5, 6)
        bits = x.view(np.uint8).reshape(4, 5, 6, size)
        P = im2col(x, (2, 3), padding=1, padding_mode="wrap", channels_last=last)
        parts = [reference.im2col(bits[None, ..., i], (2, 3), padding=1, padding_mode="wrap", channels_last=last)[0]
                 for i in range(size)]  # fmt: skip
        np.testing.assert_array_equal(P.view(np.uint8).reshape(*P.shape, size), np.stack(parts, -1))


def test_int32_with_the_bits_of_a_signalling_nan():
    x = np.array([[[0x7F800001, -8388607, 5]]], np.int32)
    np.testing.assert_array_equal(im2col(x, (1, 1), padding=1, padding_value=0x7F800001)[:, 6:8], x[:, 0, :2])


@pytest.mark.parametrize(
    ("dtype", "value"),
    [("uint8", 255), ("int64", 2**53), ("bool", 1), ("float16", np.inf), ("float16", 0.1), ("complex64", np.nan)],
)
@each_layout
def test_padding_value(dtype, value, last):
    x = np.zeros((1, 2, 3, 1) if last else (1, 1, 2, 3), dtype)
    P = im2col(x, (1, 1), padding=(0, 2), padding_value=value, channels_last=last)
    row = np.array([value, value, 0, 0, 0, value, value]).astype(dtype)
    np.testing.assert_array_equal(P.ravel(), np.tile(row, 2))


@pytest.mark.parametrize(
    ("dtype", "value"),
    [("uint8", 256), ("uint8", -1), ("int32", 0.5), ("int64", 2.0**63), ("int64", 1e30), ("bool", 2), ("int16", np.nan),
     ("int16", np.inf), ("float16", 1e5), ("complex64", 1e39)],
)  # fmt: skip
def test_padding_values_that_the_type_does_not_have(dtype, value):
    with pytest.raises(ValueError, match=f"padding_value=.* is no number of the type {dtype} of x"):
        im2col(np.zeros((1, 4), dtype), (2,), padding=1, padding_value=value)


def test_integers_wrap_around():
    columns = np.full((3, 4), 100, np.int8)
    assert col2im(columns, (6,), (3,))[0].tolist() == [100, -56, 44, 44, -56, 100]
    assert col2im(columns, (6,), (3,), dtype=np.int16)[0].tolist() == [100, 200, 300, 300, 200, 100]
    large = np.full((2, 3), 2**63 - 1, np.int64)
    assert col2im(large, (4,), (2,))[0].tolist() == [2**63 - 1, -2, -2, 2**63 - 1]


@pytest.mark.parametrize("name", ["float16", "bfloat16"])
def test_sums_are_rounded_once(name):
    dtype = type_named(name)
    columns = np.full((9, 1000), 1 / 3).astype(dtype)
    expected = reference.col2im(columns[np.newaxis].astype(float), (1008,), (9,))[0]
    np.testing.assert_array_equal(col2im(columns, (1008,), (9,)), expected.astype(np.float32).astype(dtype))
    np.testing.assert_array_equal(col2im(columns, (1008,), (9,), dtype=np.float32), expected.astype(np.float32))


@pytest.mark.parametrize(
    ("given", "wanted"),
    [("uint8", "float32"), ("uint8", "bfloat16"), ("int16", "int64"), ("int64", "float16"), ("float32", "float16"),
     ("float32", "bfloat16"), ("float64", "float32"), ("float32", "complex64"), ("int8", "complex128"), (">i4", "<i4"),
     (">i4", ">i4")],
)  # fmt: skip
def test_dtype(given, wanted):
    x, dtype = numbers((2, 3, 9, 8), np.dtype(given)), type_named(wanted)
    P = im2col(x, (3, 2), dtype=dtype)
    assert P.dtype == dtype.newbyteorder("=")
    np.testing.assert_array_equal(P, reference.im2col(x, (3, 2)))
    columns = reference.im2col(x, (3, 2)).astype(given)
    images = col2im(columns, (9, 8), (3, 2), dtype=dtype)
    assert images.dtype == dtype.newbyteorder("=")
    np.testing.assert_array_equal(images, reference.col2im(columns, (9, 8), (3, 2)))


@pytest.mark.parametrize("name", SOME)
def test_out(name):
    dtype = type_named(name)
    x = numbers((1, 1, 20), dtype)
    expected = im2col(x, (2,), stride=2)
    out = np.empty(expected.shape, dtype)
    assert im2col(x, (2,), stride=2, out=out) is out
    np.testing.assert_array_equal(out, expected)
    overlapping = x.copy()
    im2col(overlapping, (2,), stride=2, out=overlapping.reshape(1, 2, 10))
    np.testing.assert_array_equal(overlapping.reshape(1, 2, 10), expected)
    images = np.empty(x.shape, dtype)
    assert col2im(expected, (20,), (2,), stride=2, out=images) is images
    np.testing.assert_array_equal(images, x)
    before = out.copy()
    for function, arguments in (im2col, (x, (3,))), (col2im, (expected, (20,), (2,))):
        options = {"stride": 2} if function is col2im else {}
        with pytest.raises(ValueError, match="out has shape"):
            function(*arguments, **options, out=out)
    np.testing.assert_array_equal(out, before)
