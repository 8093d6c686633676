"""The programs that `Explanation.code` writes: they run and compute y; and the exports to JSON and LaTeX."""

from __future__ import annotations

import importlib.util
import json
import re

import numpy as np
import pytest
import scipy.signal
from drawn import FEWER
from explained import explanations, integers
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


# Options beside those of the examples; JAX compiles each program, so it runs these few.
MORE = {
    "modes": {"padding": ((1, 2), (0, 1)), "padding_mode": ("zeros", "wrap"), "padding_value": 7, "stride": (1, 2)},
    "value": {"padding": 1, "padding_value": -3, "flip": True},
    "crop": {"padding": ((-1, 2), (1, -1)), "padding_mode": "edge", "dilation": (2, 1)},
    "transposed": {"transposed": True, "stride": 2, "padding": 1, "output_size": (6, 8)},
    "negative": {
        "transposed": True,
        "stride": 2,
        "padding": ((-1, 2), (0, -1)),
        "output_padding": (1, 0),
        "dilation": 2,
    },
}


@pytest.mark.parametrize("library", RUN)
@pytest.mark.parametrize("name", MORE)
def test_programs_with_more_options(name, library):
    options = MORE[name]
    weight = integers(1, 2, 3, 2, 2) if options.get("transposed") else integers(1, 3, 2, 2, 2)
    can = check(explain(integers(0, 2, 4, 5), weight, [1, 2, 3], **options), library)
    cannot = {("torch", "crop"), ("torch", "negative"), ("numpy", "negative"), ("scipy", "crop")}
    assert can == ((library, name) not in cannot | {("scipy", "transposed"), ("scipy", "negative")})


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


def test_matlab_with_padding_of_every_kind():
    options = {"padding": ((1, -1), (2, 1)), "padding_mode": ("zeros", "reflect"), "padding_value": np.inf, "groups": 2}
    program = explain(integers(0, 2, 3, 3), integers(1, 4, 1, 2, 2), **options).code("matlab")
    assert "    padded = repmat(Inf, 3, 6);\n" in program
    assert "    padded(2:3, 1:6) = x{floor((o - 1) / 2) * 1 + c}(1:2, [3 2 1 2 3 2]);\n" in program


def translated(program):
    """Return a program of MATLAB, of the few forms that are written, as one of Python."""
    lines = []
    for line in program.split("  %")[0].splitlines() + program.split("channel}")[1].splitlines():
        line = line.rstrip(";")
        if not line or line.strip() == "end":
            continue
        line = re.sub(r"^( *)for (\w) = 1:(\d+)$", r"\1for \2 in range(1, \3 + 1):", line)
        line = re.sub(r"^(\w+) = \{(.*)\}$", lambda m: f"{m[1]} = cells({m[2]!r})", line)
        line = re.sub(r"^bias = (\[.*\])$", lambda m: f"bias = numbers({m[1]!r}).ravel()", line)
        line = line.replace("bias(o)", "bias[o - 1]").replace("weight{o, c}", "weight[o - 1][c - 1]")
        line = re.sub(r"x\{(.*?)\}", lambda m: f"x[0][int({m[1].replace('floor', 'np.floor')}) - 1]", line)
        line = line.replace("y{o}", "y[o]")
        line = re.sub(r"y\[o\]\(1:(\d+):end, 1:(\d+):end\)", r"y[o][::\1, ::\2]", line)
        line = re.sub(r"padded\((.*?), (.*?)\) =", lambda m: f"padded[np.ix_({along(m[1])}, {along(m[2])})] =", line)
        line = re.sub(r"\]\(([^()]*), ([^()]*)\)$", lambda m: f"][np.ix_({along(m[1])}, {along(m[2])})]", line)
        line = re.sub(r"repmat\((.*), (\d+), (\d+)\)", r"np.full((\2, \3), float('\1'))", line)
        line = re.sub(r"zeros\((\d+), (\d+)\)", r"np.zeros((\1, \2))", line)
        lines.append(line)
    return "\n".join(lines)


def along(indices):
    """Return 1:3 or [3 2 1] as a list of Python."""
    if ":" in indices:
        begin, end = map(int, indices.split(":"))
        return list(range(begin - 1, end))
    return [int(index) - 1 for index in indices.strip("[]").split()]


def numbers(text):
    return np.array([[float(value) for value in row.split()] for row in text.strip("[]").split(";")])


def cells(text):
    return [
        [numbers(cell) for cell in re.findall(r"\[.*?\]", row)] for row in re.sub(r"\]; \[", "]\n[", text).split("\n")
    ]


@FEWER
@given(explanations())
def test_matlab_in_python(explanation):
    program = code_or_reason(explanation, "matlab")
    if program.startswith("matlab: "):
        return
    names = {
        "np": np,
        "cells": cells,
        "numbers": numbers,
        "y": {},
        "conv2": lambda image, kernel, _: scipy.signal.convolve2d(image, kernel, "valid"),
        "rot90": np.rot90,
    }
    exec(translated(program), names)
    y = np.stack([names["y"][o] for o in sorted(names["y"])])
    assert (y.reshape(explanation.y.shape) == explanation.y).all()


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
    assert document["c"] == explanation.c.tolist()
    assert document["options"]["padding_value"] == problem.value
    assert document["counts"]["entries"] == explanation.counts.entries
    assert document["at"] == list(explanation.at)
    assert document["terms"]["values"] == explanation.terms().values.tolist()


def test_json_names_what_is_not_finite_and_leaves_out_what_is_large():
    assert json.loads(explain([[1.5, np.nan, -np.inf]], [[[1.0]]]).json())["x"] == [[1.5, "nan", "-inf"]]
    large = json.loads(explain(np.zeros((1, 30_000)), [[[1.0]]]).json())
    assert large["x"] is large["P"] is large["M"] is large["y"] is None
    assert large["counts"]["outputs"] == 30_000


def test_what_is_not_finite_in_the_padding_is_named():
    made = explain([[1]], [[[1, 1, 0]]], padding=1, padding_value=-np.inf)
    document = json.loads(made.json())
    assert document["options"]["padding_value"] == "-inf"
    assert document["c"] == [["nan"]]
    assert document["places"]["padding"] == 0
    for library in ("gemmconv", "numpy"):
        assert "=-np.inf" in made.code(library)
        with np.errstate(invalid="ignore"):
            assert np.isnan(run(made.code(library))).all()


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
