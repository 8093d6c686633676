"""Gradients: exact on integers, by every way to compute them, and the laws that make them transposes."""

from __future__ import annotations

import pickle
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from cases import (
    CASES,
    CASES_OF_FFT,
    ZERO_PADDED_CASES,
    exact_algorithm,
    gradient_arrays_of,
    input_size,
    integer_weights,
    integers,
)
from drawn import DTYPES, PADDING_MODES, convolutions
from hypothesis import given
from hypothesis import strategies as st
from instruction_sets import once_for_all, select_isa

import gemmconv
from gemmconv import conv_bias_gradient, conv_input_gradient, conv_weight_gradient, num_threads, reference

# --- the functions -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", CASES)
@once_for_all
def test_equal_the_reference(name, dtype, isa):
    case = CASES[name]
    x, weight, g = gradient_arrays_of(case, dtype)
    size, kernel = input_size(case), weight.shape[2:]
    options = {**case.options, "algorithm": exact_algorithm(name)}
    expected = reference.conv_input_gradient(g, weight, size, **case.options)
    out = np.full(x.shape, np.nan, dtype)
    assert conv_input_gradient(g, weight, size, **options, out=out) is out
    np.testing.assert_array_equal(out, expected)
    assert conv_input_gradient(g, weight, size, **options).dtype == dtype

    expected = reference.conv_weight_gradient(g, x, kernel, **case.options)
    out = np.full(weight.shape, np.nan, dtype)
    assert conv_weight_gradient(g, x, kernel, **options, out=out) is out
    np.testing.assert_array_equal(out, expected)
    batched = g if g.ndim == weight.ndim else g[np.newaxis]
    np.testing.assert_array_equal(conv_bias_gradient(batched), reference.conv_bias_gradient(batched))


@pytest.mark.parametrize("name", CASES)
@once_for_all
def test_algorithms_and_plans(name, dtype):
    case = CASES[name]
    x, weight, g = gradient_arrays_of(case, dtype)
    plan = gemmconv.Plan(weight, input_size=input_size(case), **case.options)
    for operation, arrays, size in (
        ("input_gradient", (g, weight), input_size(case)),
        ("weight_gradient", (g, x), None),
    ):
        arguments = (*arrays, size or weight.shape[2:])
        expected = getattr(reference, f"conv_{operation}")(*arguments, **case.options)
        for algorithm in ("gemm", "direct", "winograd", "winograd2"):
            try:
                actual = getattr(gemmconv, f"conv_{operation}")(*arguments, **case.options, algorithm=algorithm)
            except ValueError as error:
                assert "is not defined for this gradient" in str(error)  # noqa: PT017
                assert "only 'gemm'" in str(error)  # noqa: PT017
                assert algorithm != "gemm"
            else:
                np.testing.assert_array_equal(actual, expected)
        gradient_of_plan = plan.input_gradient(g) if operation == "input_gradient" else plan.weight_gradient(g, x)
        if name in CASES_OF_FFT:
            np.testing.assert_allclose(gradient_of_plan, expected, atol=1e-4 * abs(expected).max())
        else:
            np.testing.assert_array_equal(gradient_of_plan, expected)


@given(convolutions(), DTYPES, st.booleans())
def test_adjoint_identity(drawn, dtype, flip):
    x_shape, weight_shape, options, isa = drawn
    select_isa(isa)
    x, weight = integers(x_shape, dtype), integer_weights(weight_shape, dtype)
    y = gemmconv.conv(x, weight, **options, flip=flip, algorithm="gemm").astype(np.float64)
    g = integers(y.shape, dtype, 4)
    of_x = conv_input_gradient(g, weight, x_shape[2:], **options, flip=flip)
    of_weight = conv_weight_gradient(g, x, weight_shape[2:], **options, flip=flip)
    assert np.vdot(y, g) == np.vdot(x, of_x.astype("f8")) == np.vdot(weight, of_weight.astype("f8"))
    np.testing.assert_array_equal(of_x, reference.conv_input_gradient(g, weight, x_shape[2:], **options, flip=flip))
    expected = reference.conv_weight_gradient(g, x, weight_shape[2:], **options, flip=flip)
    np.testing.assert_array_equal(of_weight, expected)


@given(convolutions(max_rank=2), PADDING_MODES)
def test_adjoint_identity_of_padding_modes(drawn, mode):
    x_shape, weight_shape, options, isa = drawn
    select_isa(isa)
    x, weight = integers(x_shape, "float64"), integer_weights(weight_shape, "float64")
    y = gemmconv.conv(x, weight, **options, padding_mode=mode)
    g = integers(y.shape, "float64", 4)
    of_x = conv_input_gradient(g, weight, x_shape[2:], **options, padding_mode=mode)
    of_weight = conv_weight_gradient(g, x, weight_shape[2:], **options, padding_mode=mode)
    assert np.vdot(y, g) == np.vdot(x, of_x) == np.vdot(weight, of_weight)


@pytest.mark.parametrize("name", ["same_3x3", "stride_unused_tail", "groups_uneven", "1d_causal", "3d"])
def test_weights_that_are_tied_share_the_sum_of_their_gradients(name):
    # as every weight stands in many places of M, dK is the sum of g x^T over its places
    case = CASES[name]
    x, weight, g = gradient_arrays_of(case, np.dtype("float64"))
    tied = gemmconv.tied_weights(weight.shape, x.shape[2:], **case.options).tocoo()
    expected = np.zeros(weight.size)
    for image, gradient in zip(x, g):
        np.add.at(expected, tied.data, gradient.ravel()[tied.row] * image.ravel()[tied.col])
    actual = conv_weight_gradient(g, x, weight.shape[2:], **case.options)
    np.testing.assert_array_equal(actual, expected.reshape(weight.shape))


@pytest.mark.parametrize("name", ["same_stride", "groups_uneven", "flip", "wrap_around_twice", "3d_everything"])
def test_finite_differences(name):
    case = CASES[name]
    rng = np.random.default_rng(8)
    x, weight = rng.standard_normal(case.x), rng.standard_normal(case.weight)
    g = rng.standard_normal(gemmconv.conv(x, weight, **case.options).shape)
    of_x = conv_input_gradient(g, weight, x.shape[2:], **case.options)
    of_weight = conv_weight_gradient(g, x, weight.shape[2:], **case.options)
    for array, gradient in ((x, of_x), (weight, of_weight)):
        for index in [tuple(rng.integers(array.shape)) for _ in range(10)]:
            value, sums = array[index], []
            for step in (0.5, -0.5):  # both are linear
                array[index] = value + step
                sums.append(np.vdot(g, gemmconv.conv(x, weight, **case.options, algorithm="gemm")))
            array[index] = value
            np.testing.assert_allclose(gradient[index], sums[0] - sums[1], rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("name", ZERO_PADDED_CASES)
@once_for_all
def test_same_bits_on_any_number_of_threads(name, dtype):
    case = ZERO_PADDED_CASES[name]
    x, weight, g = gradient_arrays_of(case, dtype)
    x, weight, g = (np.random.default_rng(9).standard_normal(a.shape).astype(dtype) for a in (x, weight, g))
    size, kernel = input_size(case), weight.shape[2:]
    results = []
    for threads in (1, 2, 3, 8):
        with num_threads(threads):
            of_x = conv_input_gradient(g, weight, size, **case.options)
            results.append((of_x, conv_weight_gradient(g, x, kernel, **case.options)))
    for of_x, of_weight in results[1:]:
        np.testing.assert_array_equal(of_x, results[0][0])
        np.testing.assert_array_equal(of_weight, results[0][1])
    if g.ndim == weight.ndim:
        for image, gradient in zip(g, results[0][0]):
            np.testing.assert_array_equal(conv_input_gradient(image, weight, size, **case.options), gradient)


# --- arguments ---------------------------------------------------------------------------------------------------

X, WEIGHT = integers((2, 3, 9, 8), "float32", 1), integer_weights((4, 3, 3, 3), "float32", 2)
G = integers((2, 4, 9, 8), "float32", 3)


def hostile(array):
    """Return arrays of the same values that are awkward to read."""
    wide = np.repeat(array, 2, axis=-1)
    unaligned = np.empty(array.nbytes + 1, np.uint8)[1:].view(array.dtype).reshape(array.shape)
    unaligned[...] = array
    read_only = array.copy()
    read_only.flags.writeable = False
    return [
        np.asfortranarray(array),
        array[::-1, ..., ::-1].copy()[::-1, ..., ::-1],
        wide[..., ::2],
        unaligned,
        array.astype(array.dtype.newbyteorder()),
        read_only,
        array.tolist(),
    ]


def test_hostile_arrays():
    of_x = conv_input_gradient(G, WEIGHT, (9, 8), padding=1)
    of_weight = conv_weight_gradient(G, X, (3, 3), padding=1)
    for g, x, weight in zip(hostile(G), hostile(X), hostile(WEIGHT)):
        np.testing.assert_array_equal(conv_input_gradient(g, weight, (9, 8), padding=1), of_x)
        np.testing.assert_array_equal(conv_weight_gradient(g, x, (3, 3), padding=1), of_weight)
        np.testing.assert_array_equal(conv_bias_gradient(g), G.sum(axis=(0, 2, 3)))
    ones = np.broadcast_to(np.float32(1), G.shape)
    expected = reference.conv_input_gradient(ones, WEIGHT, (9, 8), padding=1)
    np.testing.assert_array_equal(conv_input_gradient(ones, WEIGHT, (9, 8), padding=1), expected)


def test_types():
    for kind, result in (("u1", "f4"), ("f2", "f4"), ("f4", "f4"), ("i8", "f8"), ("f8", "f8")):
        g = np.ones((1, 1, 3), kind)
        assert conv_input_gradient(g, np.ones((1, 1, 2), "f4"), 4).dtype == result
        assert conv_weight_gradient(g, np.ones((1, 1, 4), "f4"), (2,)).dtype == result
        assert conv_bias_gradient(g).dtype == result


def test_out_may_overlap():
    memory = G.copy()
    expected = reference.conv_weight_gradient(G, X, (3, 3), padding=1)
    out = memory.ravel()[: expected.size].reshape(expected.shape)
    np.testing.assert_array_equal(conv_weight_gradient(memory, X, (3, 3), padding=1, out=out), expected)
    g = integers((2, 3, 9, 8), "float32", 4)
    weight = integer_weights((3, 3, 3, 3), "float32", 5)
    expected = reference.conv_input_gradient(g, weight, (9, 8), padding=1)
    np.testing.assert_array_equal(conv_input_gradient(g, weight, (9, 8), padding=1, out=g), expected)


def test_out_of_another_type_and_flipped():
    out = np.full((4, 3, 3, 3), np.nan, np.float16)
    g, x = np.ones_like(G), np.ones_like(X)
    conv_weight_gradient(g, x, (3, 3), padding=1, flip=True, out=out)
    np.testing.assert_array_equal(out, reference.conv_weight_gradient(g, x, (3, 3), padding=1, flip=True))


WRONG = [
    (
        "conv_input_gradient",
        (G, WEIGHT, (9, 9)),
        {"padding": 1},
        r"grad_output has shape \(2, 4, 9, 8\), but the output",
    ),
    ("conv_input_gradient", (G[0, 0], WEIGHT, (9, 8)), {}, r"grad_output has shape \(9, 8\), but with weight of shape"),
    ("conv_input_gradient", (G, WEIGHT[0, 0], (9, 8)), {}, "weight has shape"),
    ("conv_input_gradient", (G, WEIGHT, (9, 8, 1)), {"padding": 1}, "input_size must be an int or one int per spatial"),
    ("conv_input_gradient", (G, WEIGHT, (9, 8)), {"padding": 1, "groups": 3}, "groups=3 does not divide the 4 output"),
    ("conv_input_gradient", (G, WEIGHT, (9, 8)), {"padding": 1, "stride": 0}, "stride must be at least 1"),
    ("conv_input_gradient", (G, WEIGHT, (9, 8)), {"padding": 1, "algorithm": "fast"}, "algorithm must be one of"),
    (
        "conv_weight_gradient",
        (G, X, (3, 2)),
        {"padding": 1},
        r"grad_output has shape .* the output for x of shape .*, padding=1",
    ),
    ("conv_weight_gradient", (G[0], X, (3, 3)), {"padding": 1}, "both have a batch axis, or neither"),
    ("conv_weight_gradient", (G[:1], X, (3, 3)), {"padding": 1}, "grad_output has shape"),
    ("conv_weight_gradient", (G, X, (3, 3)), {"padding": 1, "groups": 2}, "groups=2 does not divide the 3 input"),
    ("conv_weight_gradient", (G, X, (3, 3)), {"padding": 1, "groups": 3}, "the 4 channels of grad_output"),
    (
        "conv_weight_gradient",
        (G, X, (3, 3)),
        {"padding": 1, "algorithm": "winograd"},
        "is not defined for this gradient",
    ),
    ("conv_weight_gradient", (G, X, (3, 3)), {"padding": 1, "out": np.zeros((4, 3, 3))}, "out has shape"),
    ("conv_bias_gradient", (G[0, 0],), {}, r"grad_output has shape \(9, 8\), but must be \(N, O, L\), \(N, O, H, W\)"),
    ("conv_bias_gradient", (G[0, 0],), {"channels_last": True}, r"but must be \(N, L, O\), \(N, H, W, O\) or"),
    (  # 65 phases, which all read other places
        "conv_input_gradient",
        (np.ones((1, 1, 4)), np.ones((1, 1, 65)), 4420),
        {"stride": 65, "dilation": 66, "algorithm": "direct"},
        "not defined for this gradient .* a stride or a dilation of 1, or strides whose product is at most 64",
    ),
]


@pytest.mark.parametrize(("function", "arguments", "options", "message"), WRONG)
def test_errors(function, arguments, options, message):
    out = np.full(X.shape if function == "conv_input_gradient" else WEIGHT.shape, 7, np.float32)
    given_out = {} if function == "conv_bias_gradient" else {"out": out}
    with pytest.raises(ValueError, match=message):
        getattr(gemmconv, function)(*arguments, **{**given_out, **options})
    assert (out == 7).all()


def test_wrong_types():
    with pytest.raises(TypeError, match="grad_output has dtype c"):
        conv_bias_gradient(G.astype(np.clongdouble))
    with pytest.raises(TypeError, match="flip must be True or False"):
        conv_weight_gradient(G, X, (3, 3), padding=1, flip=1)
    with pytest.raises(TypeError, match="kernel_size must be a sequence of ints"):
        conv_weight_gradient(G, X, 3, padding=1)


def test_bias_gradient_of_many_images():
    # a sum of 4e6 terms, one after the other, would be off by 4 %
    g = np.full((4_000_000, 2, 1), 0.1, np.float32)
    np.testing.assert_allclose(conv_bias_gradient(g), 400_000, rtol=1e-6)


# --- plans -------------------------------------------------------------------------------------------------------


def test_plan_has_the_bits_of_the_function():
    rng = np.random.default_rng(11)
    weight, g = rng.standard_normal((40, 20, 3, 3)).astype("f4"), rng.standard_normal((2, 40, 14, 14)).astype("f4")
    for algorithm in ("gemm", "direct", "winograd"):
        plan = gemmconv.Plan(weight, input_size=(14, 14), padding=1, algorithm=algorithm)
        expected = conv_input_gradient(g, weight, (14, 14), padding=1, algorithm=algorithm)
        np.testing.assert_array_equal(plan.input_gradient(g), expected)
        np.testing.assert_array_equal(plan.input_gradient(g[0]), expected[0])


@pytest.mark.parametrize("algorithm", ["auto", "gemm", "direct", "winograd"])
@pytest.mark.parametrize("batches", [(0, 2), (2, 0, 2), (None, 0, 3)])
def test_plan_gradients_of_any_batch(algorithm, batches):
    plan = gemmconv.Plan(WEIGHT, input_size=(9, 8), padding=1, algorithm=algorithm)
    for batch in batches:
        g = integers((4, 9, 8) if batch is None else (batch, 4, 9, 8), "float32", 5)
        expected = reference.conv_input_gradient(g, WEIGHT, (9, 8), padding=1)
        np.testing.assert_array_equal(plan.input_gradient(g), expected)


def test_plan_gradients_in_several_threads():
    plan = gemmconv.Plan(WEIGHT, input_size=(9, 8), padding=1)
    of_x = reference.conv_input_gradient(G, WEIGHT, (9, 8), padding=1)
    of_weight = reference.conv_weight_gradient(G, X, (3, 3), padding=1)

    def both(_):
        return plan.input_gradient(G), plan.weight_gradient(G, X)

    with ThreadPoolExecutor(4) as executor:
        for result in executor.map(both, range(20)):
            np.testing.assert_array_equal(result[0], of_x)
            np.testing.assert_array_equal(result[1], of_weight)


def test_plan_gradients_of_a_copy():
    plan = gemmconv.Plan(WEIGHT, input_size=(9, 8), padding=1, padding_mode="wrap", flip=True)
    expected = plan.input_gradient(G)
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(plan)).input_gradient(G), expected)
    assert "gradients: of the input by" in plan.describe()


def test_plan_gradients_follow_update():
    plan = gemmconv.Plan(WEIGHT, input_size=(9, 8), padding=1, activation="relu")
    np.testing.assert_array_equal(plan.input_gradient(G), conv_input_gradient(G, WEIGHT, (9, 8), padding=1))
    plan.update(2 * WEIGHT)
    np.testing.assert_array_equal(plan.input_gradient(G), conv_input_gradient(G, 2 * WEIGHT, (9, 8), padding=1))
    np.testing.assert_array_equal(plan.weight_gradient(G, X), conv_weight_gradient(G, X, (3, 3), padding=1))
    out = np.full(X.shape, np.nan, np.float32)
    assert plan.input_gradient(G, out) is out
    assert plan.input_gradient(G.astype("f8")).dtype == np.float64


def test_plan_refuses_other_sizes():
    plan = gemmconv.Plan(WEIGHT, input_size=(9, 8), padding=1)
    with pytest.raises(ValueError, match="grad_output has shape"):
        plan.input_gradient(G[..., :7])
    with pytest.raises(ValueError, match="this plan is for"):
        plan.weight_gradient(G[..., :7], X[..., :7])
