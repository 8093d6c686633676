"""What the benchmark computes of a problem: operands, result, and the sizes that some libraries ask for."""

from __future__ import annotations

import numpy as np
import pytest

import gemmconv
from gemmconv.bench.operations import FORWARD, OPERATIONS, output_padding
from gemmconv.bench.problems import SUITES, load_suite, parse_problem

TINY = parse_problem("tiny x2 n2 c4 h7 w6 o6 g2 kh3 kw2 sh2 ph1 pw2 dw2")
TRANSPOSED = {problem.name: problem for problem in load_suite("transposed")}


@pytest.mark.parametrize("op", OPERATIONS)
def test_operands_and_result(op, dtype):
    operation = OPERATIONS[op]
    operands = operation.arrays(TINY, dtype.name)
    assert [operand.shape for operand in operands] == [TINY.shapes[name] for name in operation.operands]
    assert {*operation.operands, operation.result} == TINY.shapes.keys()
    result = operation.bind(gemmconv.reference, TINY)(*operands)
    assert result.shape == operation.result_shape(TINY)
    output = operation.bind(gemmconv, TINY)(*operands, out=np.empty(result.shape, dtype))
    np.testing.assert_allclose(output, result, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    ("op", "terms"),
    [("forward", 2 * 3 * 2), ("weight_gradient", 2 * 4 * 8), ("input_gradient", 2 * 6 * 32 * 12 / (2 * 4 * 42))],
)
def test_terms(op, terms):
    assert TINY.output_shape == (2, 6, 4, 8)
    assert OPERATIONS[op].terms(TINY) == terms


def test_operations_share_their_data(dtype):
    x, weight = OPERATIONS[FORWARD].arrays(TINY, dtype.name)
    for array, expected in zip((x, weight), TINY.arrays(dtype.name)):
        assert np.array_equal(array, expected)
    gradient, same_x = OPERATIONS["weight_gradient"].arrays(TINY, dtype.name)
    same_gradient, same_weight = OPERATIONS["input_gradient"].arrays(TINY, dtype.name)
    assert np.array_equal(same_x, x)
    assert np.array_equal(same_weight, weight)
    assert np.array_equal(same_gradient, gradient)
    assert gradient.dtype == dtype
    assert 0.5 < gradient.std() < 1.5


def test_all_are_transposes_of_the_convolution():
    x, weight = TINY.arrays("float64")
    gradient, _ = OPERATIONS["input_gradient"].arrays(TINY, "float64")
    computed = {
        op: operation.bind(gemmconv.reference, TINY)(*operation.arrays(TINY, "float64"))
        for op, operation in OPERATIONS.items()
    }
    expected = np.vdot(gradient, computed[FORWARD])
    for op, array in {"input_gradient": x, "transpose": x, "weight_gradient": weight}.items():
        assert np.vdot(computed[op], array) == pytest.approx(expected)


def test_output_padding_completes_the_size():
    assert output_padding(TINY) == (0, 0)
    assert output_padding(TRANSPOSED["convt_k3s2"]) == (1, 1)
    assert output_padding(TRANSPOSED["convt_k4s2"]) == (0, 0)
    assert output_padding(TRANSPOSED["istft_1024"]) == (0,)
    for problem in (problem for suite in SUITES for problem in load_suite(suite)):
        for more, stride in zip(output_padding(problem), problem.stride):
            assert 0 <= more < stride


@pytest.mark.parametrize(
    ("name", "x_shape", "weight_shape", "output_shape"),
    [
        ("convt_k4s2", (1, 64, 56, 56), (64, 64, 4, 4), (1, 64, 112, 112)),
        ("convt_k2s2", (1, 256, 56, 56), (256, 128, 2, 2), (1, 128, 112, 112)),
        ("convt_k3s2", (1, 128, 64, 64), (128, 64, 3, 3), (1, 64, 128, 128)),
        ("istft_1024", (1, 1026, 224), (1026, 1, 1024), (1, 1, 58112)),
    ],
)
def test_transposed_suite(name, x_shape, weight_shape, output_shape):
    problem, operation = TRANSPOSED[name], OPERATIONS["transpose"]
    x, weight = operation.arrays(problem, "float32")
    assert (x.shape, weight.shape) == (x_shape, weight_shape)
    assert operation.result_shape(problem) == output_shape
