"""The matrices and numbers of the documents that the tutorial answers, and the form of the tutorial."""

from __future__ import annotations

import doctest
import inspect
import re
from pathlib import Path
from string import ascii_letters

import numpy as np
import pytest

import gemmconv
from gemmconv.explanation import example

TUTORIAL = (Path(__file__).parents[1] / "docs/tutorial.md").read_text()
SECTIONS = re.split(r"^## (?=\d)", TUTORIAL.partition("## Where to go on")[0], flags=re.MULTILINE)[1:]

# Rows of Y, one per kernel.
OUTPUTS = {
    "small": [[44, 54, 64, 84, 94, 104, 124, 134, 144]],
    "channels": [
        [2060, 2138, 2216, 2372, 2450, 2528, 2684, 2762, 2840],
        [4868, 5090, 5312, 5756, 5978, 6200, 6644, 6866, 7088],
    ],
    "1d": [[1530, 1686, 1842, 1998, 2154], [3618, 4062, 4506, 4950, 5394]],
    "full": [[5, 16, 34, 52, 45, 28]],
    "valid": [[38, 56]],
    "neurons": [[-2, -2, -2], [8, 12, 16], [0, 0, 0]],
    "letters": [[37, 47, 67, 77], [85, 111, 163, 189]],
    "sharpen": [[0, 30, 0, 30]] * 3,
}

PATCHES = {
    "small": [
        [1, 2, 3, 5, 6, 7, 9, 10, 11],
        [2, 3, 4, 6, 7, 8, 10, 11, 12],
        [5, 6, 7, 9, 10, 11, 13, 14, 15],
        [6, 7, 8, 10, 11, 12, 14, 15, 16],
    ],
    "channels": [
        [1, 2, 3, 5, 6, 7, 9, 10, 11],
        [2, 3, 4, 6, 7, 8, 10, 11, 12],
        [5, 6, 7, 9, 10, 11, 13, 14, 15],
        [6, 7, 8, 10, 11, 12, 14, 15, 16],
        [17, 18, 19, 21, 22, 23, 25, 26, 27],
        [18, 19, 20, 22, 23, 24, 26, 27, 28],
        [21, 22, 23, 25, 26, 27, 29, 30, 31],
        [22, 23, 24, 26, 27, 28, 30, 31, 32],
        [33, 34, 35, 37, 38, 39, 41, 42, 43],
        [34, 35, 36, 38, 39, 40, 42, 43, 44],
        [37, 38, 39, 41, 42, 43, 45, 46, 47],
        [38, 39, 40, 42, 43, 44, 46, 47, 48],
    ],
    "1d": [
        [1, 3, 5, 7, 9],
        [2, 4, 6, 8, 10],
        [3, 5, 7, 9, 11],
        [4, 6, 8, 10, 12],
        [13, 15, 17, 19, 21],
        [14, 16, 18, 20, 22],
        [15, 17, 19, 21, 23],
        [16, 18, 20, 22, 24],
        [25, 27, 29, 31, 33],
        [26, 28, 30, 32, 34],
        [27, 29, 31, 33, 35],
        [28, 30, 32, 34, 36],
    ],
    "full": [[0, 0, 1, 2, 3, 4], [0, 1, 2, 3, 4, 0], [1, 2, 3, 4, 0, 0]],
    "letters": [[1, 2, 4, 5], [2, 3, 5, 6], [4, 5, 7, 8], [5, 6, 8, 9]],
    "sharpen": [[10] * 4, [10, 20] * 2, [20] * 4] * 3,
}

# Rows of M, or the first of them.
CONNECTIONS = {
    "full": ["a...", "ba..", "cba.", ".cba", "..cb", "...c"],
    "valid": ["abc.", ".abc"],
    "neurons": ["abc..", ".abc.", "..abc", "def..", ".def.", "..def", "ghi..", ".ghi.", "..ghi"],
    "letters": [
        *("ab.cd....", ".ab.cd...", "...ab.cd.", "....ab.cd"),
        *("ef.gh....", ".ef.gh...", "...ef.gh.", "....ef.gh"),
    ],
    "sharpen": ["abc.def.ghi.....", ".abc.def.ghi...."],
    "1d": ["abcd........efgh........ijkl........", "..abcd........efgh........ijkl......"],
    "channels": ["ab..cd..........ef..gh..........ij..kl.........."],
}

# Weights, entries of a fully connected layer, entries of M, multiplications, numbers in P.
COUNTS = {
    "channels": (24, 864, 216, 216, 108),
    "sharpen": (27, 192, 108, 108, 36),
    "full": (3, 24, 12, 18, 18),
    "1d": (24, 360, 120, 120, 60),
}


def letters_of_m(explanation) -> list[str]:
    ties = explanation.ties.tocoo()
    M = np.full(ties.shape, ".")
    M[ties.row, ties.col] = np.array(list(ascii_letters))[ties.data]
    return ["".join(row) for row in M]


@pytest.mark.parametrize("name", OUTPUTS)
def test_outputs(name):
    explanation = example(name)
    expected = np.array(OUTPUTS[name])
    np.testing.assert_array_equal(explanation.y.reshape(expected.shape), expected)
    np.testing.assert_array_equal(explanation.K @ explanation.P, expected)
    np.testing.assert_array_equal(explanation.M @ explanation.problem.x.array.ravel(), expected.ravel())


@pytest.mark.parametrize("name", PATCHES)
def test_patches(name):
    np.testing.assert_array_equal(example(name).P, PATCHES[name])


@pytest.mark.parametrize("name", CONNECTIONS)
def test_connections(name):
    assert letters_of_m(example(name))[: len(CONNECTIONS[name])] == CONNECTIONS[name]


@pytest.mark.parametrize("name", COUNTS)
def test_counts(name):
    counts = example(name).counts
    patches = counts.patch_rows * counts.patch_columns
    found = (counts.weights, counts.fully_connected, counts.entries, counts.multiplications, patches)
    assert found == COUNTS[name]


def test_the_sum_of_one_output_and_the_gradients():
    explanation = example("channels")
    terms = explanation.terms((0, 1, 2))
    assert (terms.factors * terms.values).reshape(3, 4).sum(1).tolist() == [104, 672, 1752]
    places, readers = explanation.places((0, 1, 0, 1)), explanation.readers((1, 1, 2))
    assert (places.gradients * places.values).tolist() == [18, 19, 20, 22, 23, 24, 26, 27, 28]
    assert readers.factors.tolist() == [8, 7, 6, 5, 20, 19, 18, 17]
    assert (readers.factors * readers.gradients).sum() == 100


def test_38_is_not_reversed_and_34_is():
    x, weight = [[1, 2, 3, 4]], [[[5, 6, 7]]]
    assert gemmconv.conv(x, weight).tolist() == [[38, 56]]
    assert gemmconv.conv(x, weight, flip=True).tolist() == [[34, 52]]


def test_the_relu_of_three_neurons():
    problem = example("neurons").problem
    y = gemmconv.Plan(problem.weight.array, input_size=(5,), activation="relu")(problem.x.array)
    assert y.tolist() == [[0, 0, 0], [8, 12, 16], [0, 0, 0]]


def test_the_index_formula_is_j_minus_v():
    explanation = example("letters")
    K, M = explanation.problem.weight.array, explanation.M.toarray().reshape(2, 2, 2, 1, 3, 3)
    right, wrong = np.zeros_like(M), np.zeros_like(M)
    for u, v, w, i, j, k in np.ndindex(M.shape):
        if 0 <= j - v < 2 and 0 <= k - w < 2:
            right[u, v, w, i, j, k] = K[u, i, j - v, k - w]
        if 0 <= v - j < 2 and 0 <= w - k < 2:
            wrong[u, v, w, i, j, k] = K[u, i, v - j, w - k]
    np.testing.assert_array_equal(right, M)
    assert (wrong != M).any()


def test_each_section_asks_and_answers_with_examples():
    assert [int(section.split(".")[0]) for section in SECTIONS] == list(range(1, len(SECTIONS) + 1))
    assert len(SECTIONS) >= 15
    parser = doctest.DocTestParser()
    for section in SECTIONS:
        heading = section.splitlines()[0]
        assert "?" in heading
        assert parser.get_examples(section), heading
        assert len(section.splitlines()) <= 70, heading
    assert sum(example.source.count("\n") for example in parser.get_examples(TUTORIAL)) >= 120


def test_sections_that_are_named_exist():
    assert all(1 <= int(number) <= len(SECTIONS) for number in re.findall(r"\b[Ss]ection (\d+)", TUTORIAL))
    named = {"im2col": [13], "kernel_matrix": [1, 5], "convolution_matrix": [1, 12, 10], "tied_weights": [1, 9, 18]}
    for name, numbers in {**named, "conv_transpose": [19]}.items():
        line = re.search(r"Sections? .*docs/tutorial\.md.*", inspect.getdoc(getattr(gemmconv, name)))[0]
        assert [int(number) for number in re.findall(r"\b(\d+)\b", line)] == numbers
    words = {1: "Which weights", 5: "several outputs", 9: "sharpen", 10: "formula", 12: "option", 13: "im2col"}
    for number, word in {**words, 18: "tied weights", 19: "transposed"}.items():
        assert word in SECTIONS[number - 1].splitlines()[0]
