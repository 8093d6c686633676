"""Plans: the same bits as conv, for any batch, from any thread, after any update and pickling."""

from __future__ import annotations

import pickle
import sys
import threading

import numpy as np
import pytest
from cases import CASES, integers
from instruction_sets import once_for_all

import gemmconv
from gemmconv import Plan, conv, num_threads, plan, plan_tuning
from gemmconv.checks.geometry import Geometry
from gemmconv.checks.options import ALGORITHMS
from gemmconv.engine.algorithms import pick


def normal(shape, dtype, seed):
    return np.random.default_rng(seed).standard_normal(shape).astype(dtype)


def plan_of(case, dtype, **options) -> tuple[Plan, np.ndarray, np.ndarray]:
    weight, bias = normal(case.weight, dtype, 1), normal(case.weight[:1], dtype, 2)
    return Plan(weight, bias, input_size=case.x[2 - len(case.weight) :], **case.options, **options), weight, bias


@pytest.mark.parametrize("name", CASES)
@once_for_all
def test_gives_the_bits_of_conv(name, dtype, isa):
    case = CASES[name]
    x = normal(case.x, dtype, 3)
    planned, weight, bias = plan_of(case, dtype)
    expected = conv(x, weight, bias, **case.options, algorithm=planned.algorithm)
    assert planned.input_shape == x.shape[1 - len(case.weight) :]
    assert planned.output_shape == expected.shape[1 - len(case.weight) :]
    out = np.full(expected.shape, np.nan, dtype)
    for _ in range(2):
        assert planned(x, out) is out
        np.testing.assert_array_equal(out, expected)
    fresh = planned(x)
    assert fresh.dtype == dtype
    np.testing.assert_array_equal(fresh, expected)

    rectified, _, _ = plan_of(case, dtype, activation="relu")
    np.testing.assert_array_equal(rectified(x), np.maximum(expected, 0))


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_algorithm_by_name(algorithm):
    case = CASES["several_tiles"]
    planned, weight, bias = plan_of(case, "float32", algorithm=algorithm)
    assert planned.algorithm == algorithm
    assert "asked for" in planned.describe()
    x = normal(case.x, "float32", 3)
    np.testing.assert_array_equal(planned(x), conv(x, weight, bias, **case.options, algorithm=algorithm))


def test_relu_without_bias_and_of_nan():
    planned = Plan(np.array([[[1.0]]]), input_size=(4,), activation="relu")
    np.testing.assert_array_equal(planned([[-1.0, 2.0, np.nan, -np.inf]]), [[0, 2, np.nan, 0]])


@pytest.mark.parametrize("number", [1, 2, 3, 8])
def test_any_batch_and_number_of_threads(number):
    case = CASES["several_blocks_of_channels"]
    planned, weight, bias = plan_of(case, "float32")
    x = normal((9, *case.x[1:]), "float32", 3)
    options = {**case.options, "algorithm": planned.algorithm}
    expected = conv(x, weight, bias, **options)
    with num_threads(number):
        for batch in (x, x[:1], x[:0], x[3:7]):
            np.testing.assert_array_equal(planned(batch), conv(batch, weight, bias, **options))
        np.testing.assert_array_equal(planned(x[0]), expected[0])


@pytest.mark.parametrize("dtype", ["float32", "float64", "uint8", ">f4", "float16"])
def test_types_are_those_of_conv(dtype):
    case = CASES["same_3x3"]
    planned, weight, bias = plan_of(case, "float32")
    x = integers(case.x, "float64").astype(dtype)
    for _ in range(2):
        expected = conv(x, weight, bias, **case.options, algorithm=planned.algorithm)
        assert planned(x).dtype == expected.dtype
        np.testing.assert_array_equal(planned(x), expected)


def test_arrays_of_any_layout_and_overlap():
    case = CASES["same_3x3"]
    planned, weight, bias = plan_of(case, "float32")
    x = normal(case.x, "float32", 3)
    expected = conv(x, weight, bias, **case.options, algorithm=planned.algorithm)
    planned(x)
    unaligned = np.frombuffer(b"0" + x.tobytes(), np.uint8)[1:].view(np.float32).reshape(x.shape)
    for array in (np.asfortranarray(x), x[:, :, ::-1][:, :, ::-1], unaligned, x.astype(">f4")):
        np.testing.assert_array_equal(planned(array), expected)
    for out in (np.empty(expected.shape)[..., ::-1], np.empty(expected.shape, np.float32, "F")):
        np.testing.assert_array_equal(planned(x, out), expected)
    square = Plan(weight[:5], input_size=case.x[2:], padding="same")
    for _ in range(2):
        expected = square(x)
        np.testing.assert_array_equal(square(x, x), expected)
    x.flags.writeable = False
    with pytest.raises(ValueError, match="out is read-only"):
        square(np.ones_like(x), x)


def test_update():
    case = CASES["flip"]
    planned, weight, bias = plan_of(case, "float32")
    x = normal(case.x, "float32", 3)
    planned(x.astype(np.float64))  # lays the weight out in float64 too
    new = normal(case.weight, "float32", 4)
    planned.update(new)
    for data in (x, x.astype(np.float64)):
        np.testing.assert_array_equal(planned(data), conv(data, new, **case.options, algorithm=planned.algorithm))
    planned.update(weight.astype(np.float64), bias)
    np.testing.assert_array_equal(
        planned(x), conv(x, weight.astype(np.float64), bias, **case.options, algorithm=planned.algorithm)
    )
    with pytest.raises(ValueError, match=r"weight has shape \(2, 3, 3, 1\), but that of the plan has shape"):
        planned.update(weight[..., :1])
    with pytest.raises(ValueError, match=r"bias has shape \(3,\)"):
        planned.update(new, np.ones(3))
    np.testing.assert_array_equal(
        planned(x), conv(x, weight.astype(np.float64), bias, **case.options, algorithm=planned.algorithm)
    )


def test_the_weight_is_copied():
    weight, bias = np.ones((1, 1, 3)), np.ones(1)
    planned = Plan(weight, bias, input_size=(3,))
    weight[:] = bias[:] = np.nan
    assert planned([[1, 2, 3]]) == 7


def test_pickle():
    case = CASES["reflect"]
    planned, weight, bias = plan_of(case, "float32", activation="relu")
    x = normal(case.x, "float32", 3)
    planned(x)
    again = pickle.loads(pickle.dumps(planned))
    np.testing.assert_array_equal(again(x), planned(x))
    assert again.describe() == planned.describe()
    # NumPy's own object for the type, by which a plan knows arrays that need no work
    assert again.dtype is planned.dtype is x.dtype
    again.update(-weight, -bias)
    np.testing.assert_array_equal(
        again(x), np.maximum(conv(x, -weight, -bias, **case.options, algorithm=planned.algorithm), 0)
    )


def test_several_threads_call_one_plan():
    case = CASES["several_tiles"]
    planned, weight, bias = plan_of(case, "float32")
    inputs = [normal((n, *case.x[1:]), "float32", n) for n in range(1, 6)]
    expected = [conv(x, weight, bias, **case.options, algorithm=planned.algorithm) for x in inputs]
    wrong = []

    def call(seed):
        order = np.random.default_rng(seed).integers(0, len(inputs), 40)
        wrong.extend([i for i in order if not np.array_equal(planned(inputs[i]), expected[i])])

    threads = [threading.Thread(target=call, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_several_threads_with_both_types_update_and_pickle():
    weight = integers((4, 3, 3), "float32")
    planned = Plan(weight, input_size=(20,))
    inputs = [integers((n, 3, 20), dtype) for n in (1, 2) for dtype in ("float32", "float64")]
    expected = [conv(x, weight) for x in inputs]
    failures = []

    def use(seed):
        random = np.random.default_rng(seed)
        try:
            for _ in range(60):
                i = random.integers(len(inputs))
                np.testing.assert_array_equal(planned(inputs[i]), expected[i])
                if random.integers(8) == 0:
                    planned.update(weight)
                if random.integers(8) == 0:
                    np.testing.assert_array_equal(pickle.loads(pickle.dumps(planned))(inputs[i]), expected[i])
        except Exception as failure:
            failures.append(failure)

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    threads = [threading.Thread(target=use, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    sys.setswitchinterval(interval)
    assert not failures


def test_what_it_remembers_is_bounded():
    planned = Plan(np.ones((1, 1, 2)), input_size=(3,))
    for n in range(3 * plan.MOST_CALLS):
        assert planned(np.ones((n, 1, 3))).shape == (n, 1, 2)
        assert len(planned._calls) <= plan.MOST_CALLS


def test_tune():
    planned = Plan(np.ones((1, 1, 2)), input_size=(3,), tune=True)
    assert planned.algorithm in ALGORITHMS
    assert "fastest" in planned.describe()
    named = Plan(np.ones((1, 1, 2)), input_size=(3,), tune=True, algorithm="gemm")
    assert "asked for" in named.describe()
    np.testing.assert_array_equal(planned(np.ones((1, 3))), [[2, 2]])


def test_tuning_takes_the_fastest(monkeypatch):
    fastest = "gemm"
    monkeypatch.setattr(plan_tuning, "seconds", lambda planned, _x: 1 + (planned._options.algorithm != fastest))
    for fastest in ("gemm", "direct"):
        tuned = Plan(np.ones((1, 1, 2)), input_size=(3,), tune=True)
        assert tuned.algorithm == fastest
        np.testing.assert_array_equal(tuned(np.array([[1.0, 2, 3]])), [[3, 5]])
    assert Plan(np.ones((1, 1, 2)), input_size=(3,), tune=True, algorithm="gemm").algorithm == "gemm"


def test_describe():
    text = Plan(np.ones((64, 64, 3, 3), np.float32), input_size=(56, 56), padding=1, algorithm="gemm").describe()
    # Which kernel "gemm" takes depends on the machine.
    kernel = pick("convolution", Geometry.from_shapes((1, 64, 56, 56), (64, 64, 3, 3), padding=1), "gemm").kernel
    cut = {"gemm_conv": "calls of BLAS", "panels": "panels, with"}[kernel]
    for part in ("x (N, 64, 56, 56)", "algorithm gemm", cut, "scratch", "7225344", "231.211 MFLOP"):
        assert part in text


def test_describe_has_the_gradient_without_the_padding_value():
    """The gradient with respect to the input does not depend on the value, so x is not extended for it."""
    weight, options = np.ones((1, 4, 5, 5), np.float32), {"input_size": (14, 14), "padding": 3}
    with_value, without = (Plan(weight, **options, padding_value=value).describe() for value in (1, 0))
    assert with_value.splitlines()[-1].split("weight")[0] == without.splitlines()[-1].split("weight")[0]


WEIGHT = np.ones((4, 3, 2, 2), np.float32)


@pytest.mark.parametrize(
    ("arguments", "options", "error", "message"),
    [
        ((WEIGHT,), {"input_size": (5, 5, 5)}, ValueError, "input_size must be an int or one int per spatial axis"),
        ((WEIGHT,), {"input_size": (5, 1)}, ValueError, "the kernel covers 2 positions of spatial axis 1"),
        (
            (WEIGHT, np.ones(3)),
            {"input_size": 5},
            ValueError,
            r"bias has shape \(3,\), but weight has 4 output channels",
        ),
        (
            (WEIGHT,),
            {"input_size": 5, "activation": "gelu"},
            ValueError,
            "activation must be None or 'relu', not 'gelu'",
        ),
        ((WEIGHT,), {"input_size": 5, "algorithm": "fast"}, ValueError, "algorithm must be one of"),
        ((WEIGHT,), {"input_size": 5, "tune": 1}, TypeError, "tune must be True or False, not 1"),
        ((WEIGHT,), {"input_size": 5, "flip": 1}, TypeError, "flip must be True or False, not 1"),
        (
            (WEIGHT, np.ones(4) * 1j),
            {"input_size": 5},
            TypeError,
            "bias has dtype complex128, but x and weight are real",
        ),
        ((WEIGHT[0, 0],), {"input_size": 5}, ValueError, "weight has shape"),
    ],
)
def test_errors(arguments, options, error, message):
    with pytest.raises(error, match=message):
        Plan(*arguments, **options)


@pytest.mark.parametrize(
    ("x", "out", "error", "message"),
    [
        (
            np.ones((2, 3, 5, 6)),
            None,
            ValueError,
            r"x has shape .*, but this plan is for \(N, 3, 5, 5\) or \(3, 5, 5\)",
        ),
        (np.ones((2, 4, 5, 5)), None, ValueError, "but this plan is for"),
        (np.ones((5, 5)), None, ValueError, "but this plan is for"),
        (np.ones((2, 2, 3, 5, 5)), None, ValueError, "but this plan is for"),
        (np.ones((3, 5, 5)), np.ones((4, 4, 5)), ValueError, r"out has shape \(4, 4, 5\)"),
        (np.ones((3, 5, 5)), np.ones((4, 4, 4), int), TypeError, "out has dtype int64"),
    ],
)
def test_wrong_inputs(x, out, error, message):
    planned = gemmconv.Plan(WEIGHT, input_size=(5, 5))
    before = None if out is None else out.copy()
    with pytest.raises(error, match=message):
        planned(x, out)
    if out is not None:
        np.testing.assert_array_equal(out, before)
