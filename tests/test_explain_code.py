"""The programs that `Explanation.code` writes: they run and compute y; and the exports to JSON and LaTeX."""

from __future__ import annotations

import importlib.util
import json
import re

import numpy as np
import pytest
from explained import FEWER, explanations
from hypothesis import given
from hypothesis import strategies as st

from gemmconv import explain
from gemmconv.explanation import EXAMPLES, example
from gemmconv.explanation.code import LIBRARIES

RUN = [name for name in LIBRARIES if name != "matlab" and importlib.util.find_spec(name)]


def run(program):
    names = {}
    exec(compile(program, "<program>", "exec"), names)
    return np.asarray(names["y"])


def code_or_reason(explanation, library):
    try:
        return explanation.code(library)
    except ValueError as error:
        return str(error)


def check(explanation, library):
    """Return whether a library can compute the explanation; then what it computes is y."""
    program = code_or_reason(explanation, library)
    if program.startswith(f"{library}: "):
        return False
    y = run(program)
    assert y.shape == explanation.y.shape
    assert (y == explanation.y).all()
    return True


@pytest.mark.parametrize("library", RUN)
@pytest.mark.parametrize("name", EXAMPLES)
def test_programs_of_the_examples(name, library):
    assert check(example(name), library) or (library, name) in {("scipy", "dilation"), ("scipy", "transposed")}


@FEWER
@given(explanations(), st.sampled_from([name for name in RUN if name != "jax"]))
def test_programs(explanation, library):
    check(explanation, library)


def test_gemmconv_and_numpy_can_nearly_everything():
    for name in EXAMPLES:
        for library in ("gemmconv", "numpy"):
            assert example(name).code(library)
    with pytest.raises(ValueError, match="numpy: a transposed convolution with negative padding"):
        explain([[1.0]], [[[1.0]]], transposed=True, padding=-1).code("numpy")


def test_arrays_are_written_out_if_they_are_small():
    assert "np.arange(1.0, 5).reshape(1, 4)" in explain([[1, 2, 3, 4]], [[[1.0]]]).code("numpy")
    assert "np.array([[1.0, np.nan, -np.inf]])" in explain([[1, np.nan, -np.inf]], [[[1.0]]]).code("numpy")
    assert 'np.load("x.npy")  # of shape (1, 500)' in explain(np.zeros((1, 500)), [[[1.0]]]).code("numpy")


def test_matlab():
    program = explain([[1, 2, 3, 4]], [[[5, 6, 7]]], [9], padding=1, stride=2).code("matlab")
    assert program.splitlines() == [
        "x = {[1 2 3 4]};",
        "weight = {[5 6 7]};  % weight{kernel, channel}",
        "bias = [9];",
        "for o = 1:1",
        "  y{o} = bias(o);",
        "  for c = 1:1",
        "    padded = zeros(1, 6);",
        "    padded(1:1, 2:5) = x{c};",
        "    y{o} = y{o} + conv2(padded, rot90(weight{o, c}, 2), 'valid');",
        "  end",
        "  y{o} = y{o}(1:1:end, 1:2:end);",
        "end",
    ]


def test_all_programs_and_the_reasons():
    text = example("dilation").code()
    assert [re.search(rf"^[#%] {name}", text, re.MULTILINE) is not None for name in LIBRARIES] == [True] * len(
        LIBRARIES
    )
    assert "# scipy: there is no transposed convolution and no dilation\n" in text


@FEWER
@given(explanations())
def test_json_has_all_numbers(explanation):
    problem = explanation.problem
    document = json.loads(explanation.json())
    assert document["y"] == explanation.y.tolist()
    assert document["x"] == problem.x.array.tolist()
    assert document["P"] == explanation.P.tolist()
    K = explanation.K if isinstance(explanation.K, np.ndarray) else explanation.K.toarray()
    assert document["K"] == K.tolist()
    M = np.zeros(explanation.M.shape)
    for row, entries in enumerate(document["M"]):
        for column, weight, value in entries:
            assert value == problem.weight.array.ravel()[weight]
            M[row, column] += value
    assert (explanation.M.toarray() == M).all()
    assert document["counts"]["entries"] == explanation.counts.entries
    assert document["at"] == list(explanation.at)
    assert document["terms"]["values"] == explanation.terms().values.tolist()


def test_json_names_what_is_not_finite_and_leaves_out_what_is_large():
    assert json.loads(explain([[1.5, np.nan, -np.inf]], [[[1.0]]]).json())["x"] == [[1.5, "nan", "-inf"]]
    large = json.loads(explain(np.zeros((1, 30_000)), [[[1.0]]]).json())
    assert large["x"] is large["P"] is large["M"] is large["y"] is None
    assert large["counts"]["outputs"] == 30_000


@pytest.mark.parametrize("name", ["full", "groups", "sharpen"])
def test_latex_can_be_read_back(name):
    explanation = example(name)
    for letter in "PKM":
        text = explanation.latex(letter)
        body = re.search(r"\\begin{bmatrix}\n(.*)\n\\end{bmatrix}\n", text, re.DOTALL)[1]
        rows = [[float(cell.strip().replace(r"\cdot", "0")) for cell in row.split("&")] for row in body.split(r"\\")]
        expected = getattr(explanation, letter)
        assert (np.array(rows) == (expected if isinstance(expected, np.ndarray) else expected.toarray())).all()
    assert r"0 & -1" in example("sharpen").latex()
    assert r"\cdot & 0" in example("sharpen").latex()


def test_latex_refuses_what_is_too_large():
    with pytest.raises(ValueError, match=r"M has shape \(100, 100\); LaTeX is written for at most 60 rows"):
        explain(np.zeros((1, 100)), [[[1.0]]]).latex()
