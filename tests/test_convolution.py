"""conv, conv1d, conv2d, conv3d: worked examples, the case table, arrays of every kind."""

from __future__ import annotations

import inspect
from functools import cache

import numpy as np
import pytest
from cases import CASES, arrays_of, exact_algorithm, integers
from instruction_sets import once_for_all

import gemmconv
from gemmconv import reference

FUNCTIONS = {3: gemmconv.conv1d, 4: gemmconv.conv2d, 5: gemmconv.conv3d}


def same(actual: np.ndarray, expected: np.ndarray) -> None:
    """Compare with ==, the type of the result aside."""
    assert actual.shape == expected.shape
    np.testing.assert_array_equal(actual, expected)


# --- worked examples, each recomputed by hand ---------------------------------------------------------------------


def test_4x4_image():
    # 1*1 + 2*2 + 5*3 + 6*4 = 44; one step right adds 1+2+3+4 = 10 to it, one step down adds 4 * 10 = 40.
    x = np.arange(1, 17).reshape(1, 4, 4)
    weight = np.array([[[[1, 2], [3, 4]]]])
    same(gemmconv.conv2d(x, weight).ravel(), np.array([44, 54, 64, 84, 94, 104, 124, 134, 144]))
    assert reference.im2col(x[np.newaxis], (2, 2)).shape == (1, 4, 9)


def test_three_channels_two_filters():
    # The first filter at the first position, channel by channel:
    #   1*1 + 2*2 + 5*3 + 6*4 = 44;  17*5 + 18*6 + 21*7 + 22*8 = 516;  33*9 + 34*10 + 37*11 + 38*12 = 1500; in all 2060.
    # One step right adds 1 + ... + 12 = 78, one step down 4 * 78 = 312. The second filter (13..24) starts with
    #   13+28+75+96 = 212;  17*17+18*18+21*19+22*20 = 1452;  33*21+34*22+37*23+38*24 = 3204; in all 4868,
    # and its steps are 13 + ... + 24 = 222 and 888.
    x = np.arange(1, 49).reshape(3, 4, 4)
    weight = np.arange(1, 25).reshape(2, 3, 2, 2)
    first = [2060, 2138, 2216, 2372, 2450, 2528, 2684, 2762, 2840]
    second = [4868, 5090, 5312, 5756, 5978, 6200, 6644, 6866, 7088]
    same(gemmconv.conv2d(x, weight).reshape(2, 9), np.array([first, second]))


def test_1d_three_channels_stride_2():
    # 1*1+2*2+3*3+4*4 = 30;  13*5+14*6+15*7+16*8 = 382;  25*9+26*10+27*11+28*12 = 1118; in all 1530.
    # A step of 2 adds 2 * (1 + ... + 12) = 156, and 2 * (13 + ... + 24) = 444 in the second row, which starts with
    # 13+28+45+64 = 150;  13*17+14*18+15*19+16*20 = 1078;  25*21+26*22+27*23+28*24 = 2390; in all 3618.
    x = np.arange(1, 37).reshape(3, 12)
    weight = np.arange(1, 25).reshape(2, 3, 4)
    expected = [[1530, 1686, 1842, 1998, 2154], [3618, 4062, 4506, 4950, 5394]]
    same(gemmconv.conv1d(x, weight, stride=2), np.array(expected))


def test_full_convolution_and_valid_correlation():
    # flipped: 1*5 = 5; 1*6+2*5 = 16; 1*7+2*6+3*5 = 34; 2*7+3*6+4*5 = 52; 3*7+4*6 = 45; 4*7 = 28
    # valid: 1*5+2*6+3*7 = 38; 2*5+3*6+4*7 = 56
    x, weight = [[1, 2, 3, 4]], [[[5, 6, 7]]]
    full = gemmconv.conv1d(x, weight, padding="full", flip=True)
    same(full, np.array([[5, 16, 34, 52, 45, 28]]))
    same(full[0], np.convolve([1, 2, 3, 4], [5, 6, 7]))
    same(gemmconv.conv1d(x, weight), np.array([[38, 56]]))


# --- the case table ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", CASES)
@once_for_all
def test_equals_reference(name, dtype, isa):
    case, algorithm = CASES[name], exact_algorithm(name)
    x, weight, bias = arrays_of(case, dtype)
    before = x.copy(), weight.copy(), bias.copy()
    expected = reference.conv(x, weight, bias, **case.options)
    out = np.full(expected.shape, np.nan, dtype)

    assert gemmconv.conv(x, weight, bias, **case.options, algorithm=algorithm, out=out) is out
    same(out, expected)
    y = FUNCTIONS[weight.ndim](x, weight, **case.options, algorithm=algorithm)
    same(y, reference.conv(x, weight, **case.options))
    for array, copy in zip((x, weight, bias), before):
        same(array, copy)


@pytest.mark.parametrize("name", CASES)
@once_for_all
def test_error_bound(name, dtype, isa):
    # |error| <= (K + 2) * eps * (|x| conv |w| + |bias|) + K * smallest subnormal, for normally distributed data
    options = CASES[name].options
    x, weight, bias = normal_arrays_of(name, dtype)
    y, scale = exact_and_scale(name, dtype)
    error = np.abs(gemmconv.conv(x, weight, bias, **options) - y)
    terms = weight[0].size
    info = np.finfo(dtype)
    assert np.all(error <= (terms + 2) * info.eps * scale + terms * info.smallest_subnormal)


def normal_arrays_of(name, dtype) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    case, rng = CASES[name], np.random.default_rng(7)
    x, weight, bias = (rng.standard_normal(s).astype(dtype) for s in (case.x, case.weight, case.weight[:1]))
    return x, weight, bias


@cache
def exact_and_scale(name, dtype) -> tuple[np.ndarray, np.ndarray]:
    """Return the convolution of `normal_arrays_of`, and that of the absolute values."""
    x, weight, bias = normal_arrays_of(name, dtype)
    scale = reference.conv(np.abs(x), np.abs(weight), np.abs(bias), **CASES[name].options)
    return exact(x, weight, bias, CASES[name].options), scale


def exact(x, weight, bias, options) -> np.ndarray:
    """Return the convolution in at least twice the precision: float64 for float32, long double for float64."""
    if x.dtype == np.float32:
        return reference.conv(x, weight, bias, **options)
    # Dekker's split: the upper halves' products are exact in float64, the rest is small enough for its rounding.
    upper = [np.float64(np.float32(a)) for a in (x, weight, bias)]
    lower = [a - u for a, u in zip((x, weight, bias), upper)]
    total = np.longdouble(reference.conv(upper[0], upper[1], upper[2], **options))
    for a, w in ((upper[0], lower[1]), (lower[0], upper[1]), (lower[0], lower[1])):
        total = total + reference.conv(a, w, **options)
    return total + np.reshape(lower[2], (-1,) + (1,) * (weight.ndim - 2))


@pytest.mark.parametrize("name", [name for name, case in CASES.items() if "padding_mode" in case.options])
def test_same_bits_in_any_batch_with_a_padding_mode(name, dtype):
    # the kernels alone are tested by test_kernels.py; here the input is extended before one of them computes
    options, weight_shape = CASES[name].options, CASES[name].weight
    rng = np.random.default_rng(3)
    x = rng.standard_normal((3, *CASES[name].x[1 - len(weight_shape) :])).astype(dtype)
    weight = rng.standard_normal(weight_shape).astype(dtype)
    together = gemmconv.conv(x, weight, **options)
    for n, image in enumerate(x):
        same(gemmconv.conv(image[np.newaxis], weight, **options)[0], together[n])
        same(gemmconv.conv(image, weight, **options), together[n])


# --- arrays of every kind --------------------------------------------------------------------------------------------

X, WEIGHT = integers((2, 3, 9, 8), np.float32, 1), integers((4, 3, 3, 3), np.float32, 2)


def read_only(array):
    array = array.copy()
    array.flags.writeable = False
    return array


def unaligned(array):
    memory = np.empty(array.nbytes + 1, np.uint8)[1:]
    view = memory.view(array.dtype).reshape(array.shape)
    view[...] = array
    assert not view.flags.aligned
    return view


def strided(array):
    wide = np.zeros((*array.shape[:-1], 2 * array.shape[-1]), array.dtype)
    wide[..., ::2] = array
    return wide[..., ::2]


LAYOUTS = {
    "fortran": np.asfortranarray,
    "strided": strided,
    "negative_strides": lambda array: array[::-1, :, ::-1].copy()[::-1, :, ::-1],
    "big_endian": lambda array: array.astype(array.dtype.newbyteorder(">")),
    "little_endian": lambda array: array.astype(array.dtype.newbyteorder("<")),
    "unaligned": unaligned,
    "read_only": read_only,
    "list": lambda array: array.tolist(),
    "int8": lambda array: array.astype(np.int8),
    "float16": lambda array: array.astype(np.float16),
    "int64": lambda array: array.astype(np.int64),
    "subclass": lambda array: array.view(type("Subclass", (np.ndarray,), {})),
}


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("which", ["x", "weight", "both"])
def test_layouts(layout, which):
    change = LAYOUTS[layout]
    x = change(X) if which != "weight" else X
    weight = change(WEIGHT) if which != "x" else WEIGHT
    bias = change(WEIGHT[:, 0, 0, 0]) if layout in ("big_endian", "strided", "list", "int64") else WEIGHT[:, 0, 0, 0]
    result = gemmconv.conv2d(x, weight, bias, padding=1)
    same(result, reference.conv(X, WEIGHT, WEIGHT[:, 0, 0, 0], padding=1))
    assert type(result) is np.ndarray
    assert result.flags.c_contiguous


def test_broadcast_input():
    x = np.broadcast_to(np.float32(3), (2, 3, 9, 8))
    same(gemmconv.conv2d(x, WEIGHT), reference.conv(x, WEIGHT))


@pytest.mark.parametrize(
    ("x_type", "weight_type", "expected"),
    [
        ("uint8", "float32", "float32"),
        ("bool", "int8", "float32"),
        ("float16", "float16", "float32"),
        ("int16", "float16", "float32"),
        ("int32", "float32", "float64"),
        ("int64", "int64", "float64"),
        ("float32", "float64", "float64"),
        ("float64", "uint8", "float64"),
        (">f4", "float32", "float32"),
        (">f8", "float32", "float64"),
    ],
)
def test_computing_dtype(x_type, weight_type, expected):
    x, weight = np.ones((1, 4)).astype(x_type), np.ones((1, 1, 2)).astype(weight_type)
    assert gemmconv.conv(x, weight).dtype == np.dtype(expected)
    assert gemmconv.conv(x, weight, np.ones(1, np.longdouble)[:1].astype("f8")).dtype == np.dtype(expected)


@pytest.mark.parametrize("dtype", ["clongdouble", "longdouble", "object", "U3", "datetime64[s]", "V4"])
@pytest.mark.parametrize("name", ["x", "weight", "bias"])
def test_other_dtypes_are_refused(name, dtype):
    arrays = {"x": np.ones((1, 4)), "weight": np.ones((1, 1, 2)), "bias": np.ones(1)}
    arrays[name] = np.zeros(arrays[name].shape, dtype)
    with pytest.raises(TypeError, match=f"^{name} has dtype"):
        gemmconv.conv(**arrays)


def test_what_cannot_become_an_array_is_named():
    class Stubborn:
        def __array__(self, dtype=None, copy=None):
            raise RuntimeError("it needs a gradient")

    with pytest.raises(RuntimeError, match="weight cannot be made an array: it needs a gradient"):
        gemmconv.conv1d([[1.0, 2.0]], Stubborn())


def test_masked_and_ragged_arrays_are_refused():
    with pytest.raises(TypeError, match="x is a masked array"):
        gemmconv.conv1d(np.ma.masked_equal([[1.0, 2.0]], 1.0), [[[1.0]]])
    with pytest.raises(ValueError, match="weight cannot be made an array"):
        gemmconv.conv1d([[1.0, 2.0]], [[[1.0], [1.0, 2.0]]])


def test_nothing_is_shared_between_results():
    first = gemmconv.conv2d(X, WEIGHT)
    copy = first.copy()
    gemmconv.conv2d(X, 2 * WEIGHT)
    same(first, copy)


def test_not_finite_values_stay_where_they_are():
    x = np.zeros((1, 1, 5, 5), np.float32)
    x[0, 0, 2, 2] = np.nan
    result = gemmconv.conv2d(x, np.ones((1, 1, 3, 3), np.float32), padding=1)
    finite = np.isfinite(result[0, 0])
    assert not finite[1:4, 1:4].any()
    assert finite.sum() == 25 - 9


def test_signatures_agree():
    parameters = inspect.signature(gemmconv.conv).parameters
    for function in FUNCTIONS.values():
        assert inspect.signature(function).parameters == parameters
    expected = [name for name in parameters if name not in ("algorithm", "dtype", "out")]
    assert list(inspect.signature(reference.conv).parameters) == expected
