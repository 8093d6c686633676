"""Exact integers: every operation equals sums of Python's integers, and results that may not fit are refused."""

from __future__ import annotations

from functools import partial
from itertools import product
from typing import Any

import numpy as np
import pytest
from cases import CASES
from comparisons import assert_equal
from drawn import convolutions
from hypothesis import given, settings
from hypothesis import strategies as st
from instruction_sets import ISAS, select_isa

import gemmconv
from gemmconv import conv, conv_bias_gradient, conv_input_gradient, conv_transpose, conv_weight_gradient, reference
from gemmconv.numbers import integers as in_integers
from gemmconv.numbers.integer_bounds import exact_sums

# The limbs of the expected results: few enough bits for float64, many enough for 64.
BITS, LIMBS = 20, 4


def limb(values, i) -> Any:
    """Return bits of the absolute values, with the sign of the values."""
    values = np.asarray(values).astype(object)
    return np.sign(values) * (abs(values) >> BITS * i & 2**BITS - 1)


def exact(name, first, second, *arguments, bias=None, padding_value=0, padded=0, **options) -> np.ndarray:
    """Compute by the reference for every pair of limbs, which is exact, and add by Python's integers."""
    total: Any = 0
    if padding_value:
        options["padding_value"] = padding_value
    for i in range(LIMBS):
        for j in range(LIMBS):
            if padding_value:
                options["padding_value"] = float(limb(padding_value, (i, j)[padded]))
            arrays = limb(first, i).astype(float), limb(second, j).astype(float)
            if any(array.any() for array in arrays) or not (i or j):
                part = getattr(reference, name)(*arrays, *arguments, **options)
                total = total + np.vectorize(int, otypes=[object])(part) * 2 ** (BITS * (i + j))
    if bias is not None:
        last = options.get("channels_last", False)
        total = total + bias.astype(object).reshape(-1, *([] if last else [1] * (second.ndim - 2)))
    return total


def drawn(shape, dtype, bits, seed=0) -> np.ndarray:
    """Return integers of a number of bits, with a sign if the type has one; the extremes are among them."""
    least, most = (0, 2**bits - 1) if np.dtype(dtype).kind in "ub" else (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1)
    values = np.random.default_rng(seed).integers(least, most, shape, dtype, endpoint=True)
    values.flat[: min(values.size, 2)] = [least, most][: values.size]
    return values


def last(array) -> np.ndarray:
    """Return an array with its channels last; they are the second of its axes."""
    return np.ascontiguousarray(np.moveaxis(array, 1, -1))


# Bits of x and of the weight that need float32, float64, limbs of x, limbs of the weight, and limbs of both.
SIZES = {"float32": (8, 7), "float64": (20, 12), "x": (45, 9), "weight": (9, 45), "both": (27, 27)}


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("name", ["1d_stride", "groups", "depthwise", "same_even", "first_layer", "negative", "flip"])
def test_equals_sums_of_integers(name, size):
    case, (bits, others) = CASES[name], SIZES[size]
    x, weight = drawn(case.x, np.int64, bits, 1), drawn(case.weight, np.int64, others, 2)
    bias, spatial, kernel = drawn(case.weight[:1], np.int64, 12, 3), case.x[2:], case.weight[2:]
    y = exact("conv", x, weight, bias=bias, **case.options)
    g, small_g = drawn(y.shape, np.int64, bits, 4), drawn(y.shape, np.int64, others, 5)
    of_x = exact("conv_input_gradient", g, weight, spatial, **case.options)
    of_weight = exact("conv_weight_gradient", small_g, x, kernel, **case.options)
    in_last = {"channels_last": True}
    calls = [
        *((y, partial(conv, x, weight, bias, algorithm=algorithm)) for algorithm in ("auto", "direct", "gemm")),
        (last(y), partial(conv, last(x), weight, bias, **in_last)),
        *((of_x, partial(conv_input_gradient, g, weight, spatial, algorithm=name)) for name in ("auto", "gemm")),
        (last(of_x), partial(conv_input_gradient, last(g), weight, spatial, **in_last)),
        (of_weight, partial(conv_weight_gradient, small_g, x, kernel)),
        (of_weight, partial(conv_weight_gradient, last(small_g), last(x), kernel, **in_last)),
    ]
    for isa, (wanted, call) in product(ISAS, calls):
        select_isa(isa)
        actual = call(**case.options, dtype=np.int64)
        assert actual.dtype == np.int64
        assert_equal(actual, wanted, isa, call.func, call.keywords)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("mode", ["zeros", "edge", "wrap"])
def test_transposed(size, mode):
    bits, others = SIZES[size]
    x, weight, bias = drawn((2, 4, 6, 5), "i8", bits, 1), drawn((4, 3, 3, 3), "i8", others, 2), drawn((6,), "i8", 30, 3)
    options = {"stride": 2, "padding": 1, "groups": 2, "padding_mode": mode}
    expected = exact("conv_transpose", x, weight, bias=bias, **options)
    np.testing.assert_array_equal(conv_transpose(x, weight, bias, **options, dtype=np.int64), expected)
    actual = conv_transpose(last(x), weight, bias, **options, dtype=np.int64, channels_last=True)
    np.testing.assert_array_equal(actual, last(expected))


@settings(max_examples=30)
@given(convolutions(), st.sampled_from(sorted(SIZES)), st.sampled_from(["zeros", "zeros", "edge", "wrap"]))
def test_drawn(drawn_case, size, mode):
    x_shape, weight_shape, options, isa = drawn_case
    if mode == "wrap" and 0 in gemmconv.output_size(
        x_shape[2:], weight_shape[2:], **{name: value for name, value in options.items() if name != "groups"}
    ):
        return
    select_isa(isa)
    bits, others = SIZES[size]
    x, weight = drawn(x_shape, np.int64, bits - 6, 1), drawn(weight_shape, np.int64, others - 6, 2)
    options = {**options, "padding_mode": mode}
    expected = exact("conv", x, weight, **options)
    np.testing.assert_array_equal(conv(x, weight, **options, dtype=np.int64), expected)
    g = drawn(np.shape(expected), np.int64, bits - 6, 3)
    expected = exact("conv_input_gradient", g, weight, x_shape[2:], **options)
    np.testing.assert_array_equal(conv_input_gradient(g, weight, x_shape[2:], **options, dtype=np.int64), expected)
    g = drawn(g.shape, np.int64, others - 6, 4)
    expected = exact("conv_weight_gradient", g, x, weight_shape[2:], **options)
    np.testing.assert_array_equal(conv_weight_gradient(g, x, weight_shape[2:], **options, dtype=np.int64), expected)


@pytest.mark.parametrize("mode", ["reflect", "edge", "wrap", "symmetric"])
def test_copies_in_the_padding_count(mode):
    # each element is read from many positions; without counting them, float32 would be taken and would round
    g, weight = np.full((1, 1, 11), 2**10 - 1), np.full((1, 1, 1), 2**12 - 1)
    options = {"padding": ((4, 4),), "padding_mode": mode}
    expected = exact("conv_input_gradient", g, weight, (3,), **options)
    assert expected.max() > 2**23
    np.testing.assert_array_equal(conv_input_gradient(g, weight, (3,), **options, dtype=np.int64), expected)


@pytest.mark.parametrize("value", [7, -(2**40), 2**52, 3.0])
@pytest.mark.parametrize("bits", [8, 50])
def test_padding_value(value, bits):
    x, weight = drawn((2, 3, 5, 6), np.int64, bits, 1), drawn((4, 3, 3, 3), np.int64, 6, 2)
    options = {"padding": 2, "padding_value": value}
    expected = exact("conv", x, weight, padding=2, padding_value=int(value))
    np.testing.assert_array_equal(conv(x, weight, **options, dtype=np.int64), expected)
    g = drawn(expected.shape, np.int64, 5, 3)
    expected = exact("conv_weight_gradient", g, x >> 4, (3, 3), padding=2, padding_value=int(value), padded=1)
    np.testing.assert_array_equal(conv_weight_gradient(g, x >> 4, (3, 3), **options, dtype=np.int64), expected)
    with pytest.raises(ValueError, match=r"padding_value must be an integer for a result of integers, not 0.5"):
        conv(x, weight, padding=2, padding_value=0.5, dtype=np.int64)


class Seen(list):
    """The types in which C computed."""

    def __init__(self, monkeypatch):
        original = gemmconv.engine.calls.Call.into

        def into(call, out, dtype, *arrays):
            self.append(dtype)
            return original(call, out, dtype, *arrays)

        monkeypatch.setattr(gemmconv.engine.calls.Call, "into", into)


@pytest.mark.parametrize(
    ("x", "weight", "bias", "seen"),
    [
        ([2**23, 2**23], [1, 1], 0, ["float32"]),
        ([2**23, 2**23 + 1], [1, 1], 0, ["float64"]),
        ([2**23, -(2**23)], [1, -1], 0, ["float32"]),
        ([2**23, 2**23], [1, 1], 1, ["float64"]),
        ([2**52, 2**52], [1, 1], 0, ["float64"]),
        ([2**52 + 1, 2**52], [1, 1], 0, ["float64"] * 2),
        ([2**52, 2**52], [1, 1], 1, ["float64"]),
        ([2**62 - 1, 2**62 - 1], [1, 1], 0, ["float64"] * 2),
        ([-(2**62), -(2**62)], [1, 1], 0, ["float64"] * 2),
        ([-(2**63)], [1], 0, ["float64"] * 2),
        ([-(2**63), -1], [1, 0], 0, ["float64"] * 2),
        ([2**62, 7], [0, 0], 5, ["float32"]),
    ],
)
def test_at_the_boundaries(x, weight, bias, seen, monkeypatch):
    computing = Seen(monkeypatch)
    x, weight, bias = np.array([x]), np.array([[weight]]), np.array([bias])
    expected = exact("conv", x, weight, bias=bias)
    for order in (1, -1):
        actual = conv(x[:, ::order], weight[..., ::order], bias, dtype=np.int64)
        np.testing.assert_array_equal(actual, expected)
    assert [str(dtype) for dtype in computing] == seen * 2


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "uint32", "uint64", "int8", "int16", "int32", "int64"])
def test_the_limits_of_a_type(dtype):
    info = np.iinfo(dtype)
    for value in (info.min, info.max):
        x = np.array([[value, 0]], dtype)
        result = conv(x, np.ones((1, 1, 1), dtype), dtype=dtype)
        assert result.dtype == dtype
        np.testing.assert_array_equal(result, x)
        if value:
            message = (
                rf"the result may be from .*{value + (1 if value > 0 else -1)}.*, which dtype {dtype} does not hold"
            )
            with pytest.raises(ValueError, match=message):
                conv(x, np.ones((1, 1, 1), dtype), np.array([1 if value > 0 else -1]), dtype=dtype)


def test_unsigned_results():
    # the sums of one sign are used, not only the absolute values
    x = np.full((1, 8), 200, np.uint8)
    np.testing.assert_array_equal(conv(x, [[[1, 0, 0]]], dtype=np.uint8), [[200] * 6])
    np.testing.assert_array_equal(conv(x, [[[-1]]], [255], dtype=np.uint8), [[55] * 8])
    with pytest.raises(
        ValueError, match=r"from -200 to 200, which dtype uint8 .* products of x from 0 to 200 and weigh"
    ):
        conv(x, [[[-1, 1]]], dtype=np.uint8)
    large = np.full((1, 3), 2**63 + 12345, np.uint64)
    np.testing.assert_array_equal(conv(large, np.ones((1, 1, 1), np.uint64), dtype=np.uint64), large)
    np.testing.assert_array_equal(conv_transpose(large, np.ones((1, 1, 1), bool), dtype=np.uint64), large)


def test_booleans_are_counted():
    x = np.random.default_rng(0).random((1, 30, 30)) < 0.5
    neighbours = conv(x, np.ones((1, 1, 3, 3), bool), padding=1, dtype=np.int8)
    np.testing.assert_array_equal(neighbours, reference.conv(x, np.ones((1, 1, 3, 3)), padding=1))


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda x, w: conv(x, w, dtype="i1"), ValueError, "; pass dtype=numpy.int32"),
        (lambda x, w: conv(x * 2**31, w, dtype="i4"), ValueError, "; pass dtype=numpy.int64"),
        (lambda x, w: conv(x << 56, w, dtype="i8"), ValueError, "; pass dtype=numpy.uint64"),
        (lambda x, w: conv(x << 61, w << 10, dtype="i8"), ValueError, "; no type of integers does; leave dtype out"),
        (lambda x, w: conv(x, w, algorithm="fft", dtype="i8"), ValueError, "algorithm='fft' does not give exact inte"),
        (
            lambda x, w: conv(np.resize(x, (1, 9, 9)), np.resize(w, (1, 1, 3, 3)), algorithm="winograd2", dtype="i8"),
            ValueError,
            "pass 'direct' or 'gemm'",
        ),
        (lambda x, w: conv(x, w, [0.0], dtype="i8"), TypeError, "bias has dtype float64, but dtype int64 needs a"),
        (lambda x, w: conv(x * 1.0, w, dtype="i8"), TypeError, "needs arrays of integers, not float64 and int64"),
        (lambda x, w: conv(x, w, dtype=bool), TypeError, "dtype bool is not a type of integers of NumPy"),
        (lambda x, _: conv_bias_gradient(x[None] * 100, dtype="i1"), ValueError, "the sums are from 200 to 200, which"),
    ],
)
def test_refused(call, error, message):
    x = np.ones((1, 2), int)
    with pytest.raises(error, match=message):
        call(x, np.full((1, 1, 1), 130))


def test_out():
    x, weight = drawn((2, 3, 9), np.uint8, 8), drawn((4, 3, 3), np.int8, 8)
    expected = conv(x, weight, dtype=np.int32)
    for dtype in (np.int32, np.int64, np.float64, ">i4"):
        out = np.zeros(expected.shape, dtype)
        assert conv(x, weight, dtype=np.int32, out=out) is out
        np.testing.assert_array_equal(out, expected)
    for dtype in (np.uint32, bool):
        out = np.zeros(expected.shape, dtype)
        with pytest.raises(TypeError, match="out has dtype"):
            conv(x, weight, dtype=np.int32, out=out)
    for flip in (False, True):
        gradient = conv_weight_gradient(expected, x, (3,), flip=flip, dtype=np.int64)
        out = np.zeros(gradient.shape, np.int64)
        assert conv_weight_gradient(expected, x, (3,), flip=flip, dtype=np.int64, out=out) is out
        np.testing.assert_array_equal(out, gradient)


def test_nothing():
    weight = np.ones((4, 3, 3), int)
    assert conv(np.ones((0, 3, 9), int), weight, dtype=int).shape == (0, 4, 7)
    assert conv_input_gradient(np.ones((0, 4, 7), int), weight, (9,), dtype=int).shape == (0, 3, 9)
    gradient = conv_weight_gradient(np.ones((0, 4, 7), int), np.ones((0, 3, 9), int), (3,), dtype=int)
    np.testing.assert_array_equal(gradient, np.zeros((4, 3, 3)))
    np.testing.assert_array_equal(conv_bias_gradient(np.ones((0, 4, 7), int), dtype=int), np.zeros(4))


@pytest.mark.parametrize(("dtype", "bits"), [("int8", 8), ("int64", 64), ("uint64", 64), ("int64", 60)])
def test_bias_gradient(dtype, bits):
    g = drawn((2, 3, 50), dtype, bits)
    expected = g.astype(object).sum((0, 2))
    np.testing.assert_array_equal(exact_sums(g, (0, 2)), expected)
    if bits == 64:
        with pytest.raises(ValueError, match="no type of integers does"):
            conv_bias_gradient(g, dtype=dtype)
        g >>= np.array(8, dtype)
        expected = g.astype(object).sum((0, 2))
    result = np.int64 if dtype == "int8" else dtype
    np.testing.assert_array_equal(conv_bias_gradient(g, dtype=result), expected)
    np.testing.assert_array_equal(conv_bias_gradient(last(g), channels_last=True, dtype=result), expected)


def test_bounds_of_a_weight_gradient_are_by_output_channel():
    g, x = np.full((1, 1, 3), 50), np.ones((1, 1, 3), int)
    for options, arrays in (({}, (g, x)), ({"channels_last": True}, (last(g), last(x)))):
        with pytest.raises(ValueError, match="from 0 to 150, which dtype int8 does not hold: up to 3 products"):
            conv_weight_gradient(*arrays, (1,), **options, dtype=np.int8)
        assert conv_weight_gradient(*arrays, (1,), **options, dtype=np.uint8) == 150


def test_few_parts():
    # 45 bits and 9 bits: cutting one of them in two is enough
    counted = []
    x, weight = drawn((1, 2, 9), np.int64, 45), drawn((1, 2, 2), np.int64, 9)
    original = in_integers.limb_counts

    def counts(*arguments):
        counted.append(original(*arguments))
        return counted[-1]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(in_integers, "limb_counts", counts)
        conv(x, weight, dtype=np.int64)
    assert counted in ([(2, 1)], [(1, 2)])


@pytest.mark.parametrize("tune", [False, True])
@pytest.mark.parametrize("channels_last", [False, True])
def test_a_plan_takes_an_algorithm_that_is_exact(tune, channels_last):
    # of float32, "auto" takes winograd for this geometry
    weight, x = drawn((64, 64, 3, 3), np.int8, 7), drawn((64, 28, 28), np.int8, 7, seed=1)
    if channels_last:
        x = last(x[None])[0]
    options = {"padding": 1, "channels_last": channels_last}
    plan = gemmconv.Plan(weight, input_size=(28, 28), dtype=np.int32, tune=tune, **options)
    expected = reference.conv(x, weight, **options)
    np.testing.assert_array_equal(plan(x), expected)
    np.testing.assert_array_equal(plan.input_gradient(x), reference.conv_input_gradient(x, weight, (28, 28), **options))
    np.testing.assert_array_equal(plan.weight_gradient(x, x), reference.conv_weight_gradient(x, x, (3, 3), **options))
    with pytest.raises(ValueError, match="algorithm='winograd' does not give exact integers"):
        gemmconv.Plan(weight, input_size=(28, 28), dtype=np.int32, algorithm="winograd")


def test_an_activation_comes_before_a_result_is_narrowed():
    plan = gemmconv.Plan(np.ones((1, 1, 1), np.int64), input_size=(1,), activation="relu", dtype=np.int64)
    out = np.full((1, 1), 7, np.int8)
    for value in -200, 100:
        assert plan(np.array([[value]]), out=out) is out
        assert out == max(value, 0)
    with pytest.raises(ValueError, match="the result may be from 0 to 200, which out of dtype int8 does not hold"):
        plan(np.array([[200]]), out=out)
    assert out == 100


X, WEIGHT = np.array([[100, 50, -100]]), np.ones((1, 1, 2), int)
PLAN = gemmconv.Plan(WEIGHT, input_size=(3,), dtype=int)


@pytest.mark.parametrize(
    ("call", "size", "bound"),
    [
        (lambda out: conv(X, WEIGHT, dtype=int, out=out), 2, "-200 to 200"),
        (lambda out: PLAN(X, out), 2, "-200 to 200"),
        (lambda out: PLAN.input_gradient(X[:, 1:], out), 3, "-200 to 100"),
        (lambda out: conv_input_gradient(X, WEIGHT, (4,), dtype=int, out=out), 4, "-200 to 200"),
        (lambda out: conv_transpose(X, WEIGHT, dtype=int, out=out), 4, "-200 to 200"),
        (lambda out: conv_weight_gradient(X, X, (1,), flip=True, dtype=int, out=out[None]), 1, "-25000 to 25000"),
    ],
)
def test_out_must_hold_the_result_too(call, size, bound):
    out = np.full((1, size), 7, np.int8)
    hint = r"up to \d products of .*; pass out of dtype int32"
    with pytest.raises(ValueError, match=f"may be from {bound}, which out of dtype int8 does not hold: {hint}"):
        call(out)
    assert (out == 7).all()
    out = np.full((1, size), 7, np.int16)
    call(out)
    wanted = np.empty((1, size), np.int64)
    call(wanted)
    assert (abs(wanted) > 7).any()
    assert (out == wanted).all()
