"""Types of numbers: which are taken, and which type a result has, rounded once."""

from __future__ import annotations

import numpy as np
import pytest

import gemmconv
from gemmconv import conv, conv_bias_gradient, conv_input_gradient, conv_transpose, conv_weight_gradient, reference
from gemmconv.checks.arrays import rounded
from gemmconv.checks.types import Types, types_of

X, WEIGHT = np.arange(1, 6).reshape(1, 5), np.array([[[1, 2]]])
REALS = [
    "bool",
    "int8",
    "uint8",
    "int16",
    "uint16",
    "int32",
    "uint32",
    "int64",
    "uint64",
    "float16",
    "float32",
    "float64",
]
SMALL = ["bool", "int8", "uint8", "int16", "uint16", "float16", "float32"]


def normal(shape, seed, dtype="float64") -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape).astype(dtype)


@pytest.mark.parametrize("first", REALS)
def test_types_of_every_pair(first):
    for second in REALS:
        a, b = np.dtype(first), np.dtype(second)
        natural = np.promote_types(np.promote_types(a, np.float32), np.promote_types(b, np.float32))
        assert natural == (np.float32 if first in SMALL and second in SMALL else np.float64)
        assert types_of(a, b, None) == Types("real", natural, natural)
        for wanted in ("float16", "float32", "float64"):
            computing = "float64" if "float64" in (natural.name, wanted) else "float32"
            kind = "real" if computing == wanted else "rounded"
            assert types_of(a, b, wanted) == Types(kind, np.dtype(computing), np.dtype(wanted))
        if a.kind in "biu" and b.kind in "biu":
            assert types_of(a, b, "int16") == Types("integer", natural, np.dtype("int16"))
        else:
            with pytest.raises(TypeError, match=f"dtype int16 needs arrays of integers, not {first} and {second}"):
                types_of(a, b, "int16")


def functions(x, weight, dtype):
    """Return the result of every function for x of shape (1, C, L) and a weight that fits."""
    g = conv(x, weight).astype(x.dtype)
    return [
        conv(x, weight, dtype=dtype),
        gemmconv.conv1d(x, weight, channels_last=False, dtype=dtype),
        conv_transpose(x, weight.swapaxes(0, 1), dtype=dtype),
        gemmconv.conv_transpose1d(x, weight.swapaxes(0, 1), dtype=dtype),
        conv_input_gradient(g, weight, x.shape[2:], dtype=dtype),
        conv_weight_gradient(g, x, weight.shape[2:], dtype=dtype),
        conv_weight_gradient(g, x, weight.shape[2:], flip=True, dtype=dtype),
        conv_bias_gradient(g, dtype=dtype),
    ]


@pytest.mark.parametrize("arrays", ["float16", "float32", "float64"])
@pytest.mark.parametrize("dtype", ["float16", "float32", "float64", ">f4", "<f4"])
def test_results_are_rounded_once(arrays, dtype):
    x, weight = normal((1, 3, 40), 1, arrays), normal((4, 3, 5), 2, arrays)
    computing = types_of(x.dtype, weight.dtype, dtype).computing
    results = functions(x, weight, dtype)
    for result, unrounded in zip(results, functions(x.astype(computing), weight.astype(computing), None)):
        assert result.dtype == np.dtype(dtype).newbyteorder("=")
        assert result.dtype.isnative
        if result.size > 4 and arrays != "float64":  # the gradients of rounded outputs are others
            np.testing.assert_allclose(result, unrounded, rtol=4e-3, atol=4e-3)
    np.testing.assert_array_equal(results[0], conv(x.astype(computing), weight.astype(computing)).astype(dtype))


def test_sums_of_float16_are_taken_in_float32():
    x = np.full((1, 4000), 1.0, np.float16)
    assert conv(x, np.ones((1, 1, 4000), np.float16), dtype=np.float16) == 4000
    assert conv(x * np.float16(0.1), np.ones((1, 1, 4000), np.float16), dtype=np.float16) == np.float16(
        4000 * np.float16(0.1).item()
    )
    assert conv(x, np.ones((1, 1, 4000), np.float16)).dtype == np.float32


def test_float32_of_float64_is_computed_in_float64():
    x = np.array([[1e8, 1.0, -1e8]])
    assert conv(x, np.ones((1, 1, 3)), dtype=np.float32) == 1
    assert conv(x.astype("f4"), np.ones((1, 1, 3), "f4"), dtype=np.float64).dtype == np.float64


def test_overflow_warns_as_in_numpy():
    with pytest.warns(RuntimeWarning, match="overflow encountered in cast"):
        assert np.isinf(conv(np.full((1, 2), 300, "f2"), np.full((1, 1, 2), 300, "f2"), dtype="f2")).all()
    out = np.full((1, 1), 7, np.float16)
    with np.errstate(over="raise"), pytest.raises(FloatingPointError):
        conv(np.full((1, 2), 300, "f2"), np.full((1, 1, 2), 300, "f2"), dtype="f2", out=out)
    assert out == 7


def test_out():
    for dtype in ("float16", "float32", "float64", ">f4", "complex64", ">c8"):
        out = np.zeros((1, 4), dtype)
        assert conv(X, WEIGHT, dtype=np.float16, out=out) is out
        np.testing.assert_array_equal(out, reference.conv(X, WEIGHT))
    for wanted, type_ in (("float16", int), ("complex64", float)):
        out = np.full((1, 4), 7, type_)
        with pytest.raises(TypeError, match=f"out has dtype {out.dtype}, to which a result of dtype {wanted} cannot"):
            conv(X, WEIGHT, dtype=wanted, out=out)
        assert (out == 7).all()


def test_real_arrays_give_a_complex_result():
    for arrays, dtype, computing in (("f4", "c8", "f4"), ("f8", "c8", "f8"), ("f4", "c16", "f8")):
        assert types_of(np.dtype(arrays), np.dtype(arrays), dtype) == Types(
            "rounded", np.dtype(computing), np.dtype(dtype)
        )
    np.testing.assert_array_equal(conv(X, WEIGHT, dtype=complex), conv(X, WEIGHT) + 0j)


@pytest.mark.parametrize(
    "dtype", ["longdouble", "U3", "S3", "datetime64[s]", "timedelta64[s]", "V4", "object", "f4,f4"]
)
def test_other_types_are_refused(dtype):
    with pytest.raises(
        TypeError, match=r"^dtype is .*; gemmconv computes in float32 or float64 and takes types that cast"
    ):
        conv(X, WEIGHT, dtype=dtype)
    for name in ("x", "weight", "bias"):
        arrays = {"x": X, "weight": WEIGHT, "bias": np.zeros(1)}
        arrays[name] = np.zeros(arrays[name].shape, dtype)
        with pytest.raises(TypeError, match=f"^{name} has dtype .*; gemmconv computes in float32 or float64 and takes"):
            conv(**arrays)


@pytest.mark.parametrize("dtype", ["float33", 1.5, [], object()])
def test_what_is_no_type(dtype):
    with pytest.raises(TypeError, match=r"^dtype (must be a type of NumPy, not|is )"):
        conv(X, WEIGHT, dtype=dtype)


def test_a_complex_bias_needs_complex_arrays():
    for dtype in (None, np.float16, np.int64, complex):
        with pytest.raises(
            TypeError, match="bias has dtype complex64, but x and weight are real; make one of them comp"
        ):
            conv(X, WEIGHT, np.zeros(1, "c8"), dtype=dtype)
        with pytest.raises(TypeError, match="bias has dtype complex64"):
            conv_transpose(X, WEIGHT, np.zeros(1, "c8"), dtype=dtype)
    np.testing.assert_array_equal(conv(X, WEIGHT, [True]), reference.conv(X, WEIGHT) + 1)


def test_complex_bias_gradient():
    g = normal((2, 3, 50), 1) + 1j * normal((2, 3, 50), 2)
    for dtype in (None, np.complex64):
        result = conv_bias_gradient(g, dtype=dtype)
        assert result.dtype == (dtype or complex)
        np.testing.assert_allclose(result, g.sum((0, 2)), rtol=1e-6)
    with pytest.raises(TypeError, match="dtype float32 cannot hold complex numbers"):
        conv_bias_gradient(g, dtype=np.float32)


class TestTypesOfOthers:
    """Types of ml_dtypes, which are taken by the same rule."""

    @property
    def others(self):
        return pytest.importorskip("ml_dtypes")

    @pytest.mark.parametrize("name", ["bfloat16", "float8_e4m3fn", "float8_e5m2", "int4", "uint4"])
    def test_are_taken(self, name):
        dtype = np.dtype(getattr(self.others, name))
        x, weight = X.astype(dtype), WEIGHT.astype(dtype)
        for other in (weight, WEIGHT.astype("f2"), WEIGHT.astype("i1"), WEIGHT.astype("f4")):
            assert conv(x, other).dtype == conv(other[0], x[None, :, :2]).dtype == np.float32
            np.testing.assert_array_equal(conv(x, other), reference.conv(X, WEIGHT))
        assert conv(x, WEIGHT.astype("f8")).dtype == np.float64
        if "int" in name:
            np.testing.assert_array_equal(conv(x, WEIGHT, dtype=np.int32), reference.conv(X, WEIGHT))
            with pytest.raises(TypeError, match=f"dtype {name} is not a type of integers of NumPy"):
                conv(x, weight, dtype=dtype)
        else:
            assert conv(x, weight, dtype=dtype).dtype == dtype

    def test_bfloat16_is_rounded_once(self):
        bfloat16 = np.dtype(self.others.bfloat16)
        x, weight = normal((1, 3, 40), 1, bfloat16), normal((4, 3, 5), 2, bfloat16)
        for result in functions(x, weight, bfloat16):
            assert result.dtype == bfloat16
        np.testing.assert_array_equal(conv(x, weight, dtype=bfloat16), conv(x, weight).astype(bfloat16))
        out = np.zeros((4, 36), bfloat16)
        np.testing.assert_array_equal(conv(x[0], weight, out=out), conv(x[0], weight).astype(bfloat16))
        # just above and below the middle of two numbers of bfloat16, by less than float32 holds
        middle = 1 + 2.0**-8
        values = np.array(
            [[middle + 2.0**-40, middle - 2.0**-40, -middle - 2.0**-40, middle, 1e39, np.nan, -np.inf, 0]]
        )
        with np.errstate(all="ignore"):
            result = conv(values, np.ones((1, 1, 1)), dtype=bfloat16).astype(float)
        above = 1 + 2.0**-7
        np.testing.assert_array_equal(result, [[above, 1, -above, 1, np.inf, np.nan, -np.inf, 0]])

    def test_rounding_to_odd_is_right_everywhere(self):
        # bfloat16 and float64 are compared with exact neighbours: the nearest one is taken
        bfloat16 = np.dtype(self.others.bfloat16)
        values = normal(2000, 3) * 2.0 ** np.random.default_rng(4).integers(-140, 120, 2000)
        near = rounded(values, bfloat16)
        bits = near.view(np.uint16)
        for step in (1, -1):
            neighbour = (bits + np.uint16(step % 2**16)).view(bfloat16).astype(float)
            ok = ~np.isnan(neighbour) & (bits << 1 != 0)
            assert (abs(near.astype(float) - values) <= abs(neighbour - values))[ok].all()
