"""The texts of `gemmconv.explain`: golden files, numbers that can be read back, and what is left out.

``GEMMCONV_WRITE_GOLDEN=1 pytest tests/test_explain_text.py`` writes the golden files again.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

import numpy as np
import pytest

from gemmconv import explain
from gemmconv.explanation import EXAMPLES, example
from gemmconv.explanation.explanation import Explanation
from gemmconv.explanation.grids import ESCAPE, choose, number, with_gaps
from gemmconv.explanation.problem import Numbers, Options, Problem
from gemmconv.explanation.text import ALL

GOLDEN = Path(__file__).parent / "golden" / "explain"
NUMBER = re.compile(r"-?\d+(?:\.\d+)?(?:e[+-]\d+)?")


@pytest.mark.parametrize("width", [60, 80, 100])
@pytest.mark.parametrize("name", EXAMPLES)
def test_golden_text(name, width):
    text = example(name).text(width, backward=True)
    path = GOLDEN / f"{name}_{width}.txt"
    if os.environ.get("GEMMCONV_WRITE_GOLDEN"):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    assert path.read_text() == text
    assert text.isascii()
    assert all(len(line) <= width and line == line.rstrip() for line in text.splitlines())


def test_every_golden_file_is_of_an_example():
    assert {path.stem.rpartition("_")[0] for path in GOLDEN.iterdir()} == set(EXAMPLES)


def matrix(text: str, name: str) -> np.ndarray:
    """Read a matrix back whose first line begins with its name; . is no connection."""
    lines = text.splitlines()
    begin = next(index for index, line in enumerate(lines) if re.match(rf"  {name}   ?[ \[]", line))
    end = next(index for index, line in enumerate([*lines, ""][begin:], begin) if not line)
    rows = []
    for line in lines[begin:end]:
        cells = re.split(r" {5,}(?:channel|tap) ", line[4:])[0]
        rows.append([float(cell) if cell != "." else 0.0 for cell in re.sub(r"[\[\]]", " ", cells).split()])
    return np.array(rows)


def grids(text: str, title: str) -> np.ndarray:
    """Read the channels of x or y back, without padding and copies."""
    lines = text.splitlines()
    begin = next(index for index, line in enumerate(lines) if line.startswith(title)) + 1
    while not lines[begin].strip().startswith("channel"):
        begin += 1  # the title goes on
    end = next(index for index, line in enumerate([*lines, ""][begin:], begin) if not line)
    channels: list[list[float]] = []
    starts: list[int] = []
    for line in lines[begin:end]:
        label = re.match(r"  channel \d+(, depth \d+)?  ", line)
        if label and NUMBER.search(line[label.end() :].replace("channel", "")) and "channel" not in line[label.end() :]:
            channels.append(numbers_of(line[label.end() :]))
            continue
        if "channel" in line:
            starts = [found.start() - 1 for found in re.finditer("channel", line)]
            first = len(channels)
            channels += [[] for _ in starts]
            continue
        for index, (start, stop) in enumerate(zip(starts, [*starts[1:], len(line) + 1])):
            channels[first + index] += numbers_of(line[start:stop])
    return np.array(channels)


def numbers_of(text: str) -> list[float]:
    return [float(found) for found in re.findall(rf"({NUMBER.pattern})(?![\d'])", text)]


def letters_of(text: str) -> dict[str, float]:
    return {letter: float(value) for letter, value in re.findall(rf"\b([a-zA-Z])=({NUMBER.pattern})", text)}


def connections(text: str, letters: dict[str, float]) -> dict[tuple[int, ...], list[float]]:
    """Read the rows of M back from its letters, by their output."""
    rows = re.findall(r"^(?:  >|   ) y\[([\d,]+)\] +([a-zA-Z.| ]*)", text, re.MULTILINE)
    return {
        tuple(map(int, at.split(","))): [letters.get(cell, 0.0) for cell in row.split("      ")[0] if cell not in " |"]
        for at, row in rows
    }


@pytest.mark.parametrize("name", [name for name in EXAMPLES if name != "transposed"])
def test_the_numbers_can_be_read_back_and_multiplied(name):
    explanation = example(name)
    text = explanation.text(160)
    y = explanation.y.reshape(len(explanation.y), -1)
    K, P, Y = (matrix(text, letter) for letter in "KPY")
    assert (y == Y).all()
    assert (K @ P == Y).all()
    x = grids(text, "x, and in brackets")
    assert (x.ravel() == explanation.problem.x.array.ravel()).all()
    rows = connections(text, letters_of(text))
    assert len(rows) == min(y.size, 9 if y.size > 24 else 24)
    for at, row in rows.items():
        assert np.array(row) @ x.ravel() == explanation.y[at]
    assert (grids(text, "y, the rows of Y").ravel() == y.ravel()).all()


def test_a_transposed_convolution_can_be_read_back():
    explanation = example("transposed")
    text = explanation.text()
    K, X, C = (matrix(text, letter) for letter in "KXC")
    assert (K.T @ X == C).all()
    rows = connections(text, letters_of(text))
    assert [np.array(row) @ X.ravel() for row in rows.values()] == explanation.y.ravel().tolist()


def test_outputs_that_read_no_input_are_counted():
    explanation = explain([[1, 2]], [[[3]]], transposed=True, stride=3, output_padding=2)
    assert explanation.y.tolist() == [[3, 0, 0, 6, 0, 0]]
    assert "y, the feature maps  (4 outputs read no input)\n" in explanation.text()


def test_the_brackets_hold_what_the_output_sees():
    lines = explain(np.arange(16.0).reshape(1, 4, 4), np.ones((1, 1, 2, 2)), at=(0, 1, 2)).text(show=["x"]).splitlines()
    assert [re.findall(r"\[(.*?)\]", line) for line in lines[2:]] == [[], [" 6   7"], ["10  11"], []]


def test_zeros_that_are_weights_are_not_zeros_that_are_none():
    text = example("sharpen").text(show=["M"])
    assert "  > y[0,0,1]  .abc .def .ghi ....       .  0 -1  0   . -1  5 -1   .  0 -1  0   .  .  .  . <" in text


def test_several_weights_on_one_input_are_marked():
    text = explain([[1, 2]], [[[1, 10, 100]]], padding="same", padding_mode="edge").text()
    assert "  > y[0,0]    *c       11 100 <\n    y[0,1]    a*        1 110\n" in text
    assert "* is a sum of weights: the output reads this input more than once" in text


def test_inputs_that_no_output_reads_are_marked():
    text = example("stride").text(show=["x"])
    assert "(x marks 9 inputs that no output reads)" in text
    assert len(re.findall(r"\d+x", text)) == 9


def test_what_is_left_out_is_counted():
    problem = Problem.make(Numbers((3, 224, 224)), Numbers((64, 3, 7, 7)), options=Options(stride=2, padding=3))
    text = Explanation(problem).text(100, backward=True)
    lines = text.splitlines()
    assert max(map(len, lines)) <= 100
    assert len(lines) < 250
    assert "y has 64 channels (feature maps) of 112 x 112: 802816 outputs, each one neuron" in text
    assert "  fully connected 120846286848" in text
    assert "  entries of M       116214528 = 0.096 % of it" in text
    assert "M takes 0.933 GB in float32; gemmconv.ConvolutionOperator" in text
    left_out = [
        int(count) for count in re.findall(r"\.\.\. (\d+) more rows", text[text.index("\n  P ") : text.index("ONE")])
    ]
    assert left_out[0] == 147 - 6
    sums = text[text.index("ONE OUTPUT") : text.index("y, the rows")]
    totals = [int(total) for total in re.findall(r"= +(\d+)$", sums, re.MULTILINE)]
    assert sum(totals[:3]) == totals[3] == Explanation(problem).y[0, 55, 55]
    assert sums.count("... 39 more") == 3
    assert "1*24076 + 2*24077" in sums
    assert "147*125778" in sums


def test_a_sum_over_many_channels_gives_the_total_of_those_left_out():
    explanation = explain(np.arange(64.0).reshape(64, 1), np.ones((1, 64, 1)))
    text = explanation.text(show=["sum"])
    totals = [int(total) for total in re.findall(r"= +(\d+)$", text, re.MULTILINE)]
    assert "56 channels more" in text
    assert len(totals) == 6 + 1 + 2 + 1
    assert sum(totals[:-1]) == totals[-1] == explanation.y[0, 0]


@pytest.mark.parametrize("name", EXAMPLES)
def test_the_sum_names_its_row_of_M(name):  # noqa: N802 - the name of the matrix
    explanation = example(name)
    line = explanation.text(120, ["sum"]).splitlines()[1]
    row, matrix, columns = re.fullmatch(r"  row (\d+) of (M|M\.T), columns? (.*)", line).groups()
    M = explanation.M.tocsr()  # of a transposed convolution it is M.T
    assert matrix == ("M.T" if name == "transposed" else "M")
    assert int(row) == np.ravel_multi_index(explanation.at, explanation.y.shape)
    assert [int(column) for column in columns.split(", ")] == sorted(set(M[[int(row)]].indices.tolist()))


def test_the_columns_of_a_long_row_are_counted():
    explanation = explain(np.ones((1, 90)), np.ones((1, 1, 80)), at=(0, 3))
    line = explanation.text(60, ["sum"]).splitlines()[1]
    shown = re.fullmatch(r"  row 3 of M, columns ([\d, ]+), \.\.\. (\d+) more", line)
    assert len(line) <= 60
    columns = [int(column) for column in shown[1].split(", ")]
    assert columns == [*range(3, 3 + len(columns))]
    assert len(columns) + int(shown[2]) == 80
    beyond = explain([[1, 2]], [[[3]]], padding=1, at=(0, 0)).text(show=["sum"])
    assert beyond.splitlines()[1:] == ["  row 0 of M, no column", "  channel 0   3*.  = 0"]


def test_counts_are_words_of_plain_english():
    text = explain([[1, 2]], [[[3, 4]]]).text(show=["counts"])
    assert "= 1 output * 2 inputs   as many\n" in text
    assert "= 1 output * 2 taps\n" in text
    large = Explanation(Problem.make(Numbers((1, 5000)), Numbers((1, 1, 137))))
    assert " 177518 times as many" in large.text(show=["counts"])  # 4864 * 5000 / 137


def test_a_bias_is_a_term():
    text = explain([[1, 2]], [[[3]]], [10]).text()
    assert "bias 10: one number per output channel" in text
    assert "  sum over the channels, and the bias  = 13\n" in text
    assert "Y = K @ P + bias" in text
    assert "agree (y: 2 numbers)" in text


def test_a_padding_value_is_shown_and_marked():
    explanation = explain([[1, 2, 3]], [[[10, 100]]], padding=1, padding_value=7, at=(0, 0))
    text = explanation.text(backward=True)
    assert "padding 1, padding value 7," in text
    assert "(p marks padding, which holds 7)\n  channel 0   [7p  1 ] 2   3   7p\n" in text
    assert "  channel 0   10*7 + 100*1  = 170\n" in text
    assert "  P   [7] 1  2  3      tap 0\n      [1] 2  3  7      tap 1\n" in text
    assert "y = M @ x + c     M (4, 3)" in text
    assert "  > y[0,0]    b..      100   .   .   +  70 <\n" in text
    assert "    y[0,3]    ..a        .   .  10   + 700\n" in text
    assert "g * x:\n    1*1 + 1*2 + 1*3 + 7 = 13\n    (7 of it by the padding, g * 7)\n    (row 0 of" in text
    assert "checked: K @ P, M @ x + c and gemmconv.conv agree (y: 4 numbers)" in text


def test_a_padding_mode_per_axis():
    x, weight = np.arange(1.0, 7).reshape(1, 2, 3), np.arange(1.0, 5).reshape(1, 1, 2, 2)
    text = explain(x, weight, padding=((1, 0), (1, 0)), padding_mode=("zeros", "wrap"), at=(0, 0, 0)).text()
    assert "padding mode (zeros, wrap)," in text
    assert (
        "(. is padding; ' marks copies beyond the edge)\n   channel 0\n   [.   . ] .   .\n   [3'  1 ] 2   3\n" in text
    )
    assert "6 of them by padding or read an input again" in text


def test_what_lies_beyond_a_transposed_convolution_is_folded_back():
    options = {"transposed": True, "padding": 1, "padding_mode": "wrap", "output_size": 4, "stride": 2}
    text = explain([[1, 2]], [[[1, 10, 100]]], **options).text()
    assert "padding mode wrap, dilation 1, groups 1, output padding 1, transposed" in text
    assert "every column is added to a window of y, what lies beyond y is folded back" in text
    assert "y, the feature maps\n  channel 0     10 [102]  20  201\n" in text
    assert "checked: col2im(K.T @ X), M.T @ x and gemmconv.conv_transpose agree" in text


def test_relu_is_a_row_of_activations():
    text = example("neurons").text(show=["y"])
    assert text.endswith(
        "A = max(y, 0), the activations (ReLU)\n  channel 0     0 [ 0]  0\n  channel 1     8  12  16\n"
        "  channel 2     0   0   0\n"
    )


def test_only_the_sections_that_are_asked_for():
    explanation = example("small")
    whole = explanation.text(backward=True)
    for name in ALL:
        part = explanation.text(show=[name])
        assert part
        assert name in ("K", "P", "Y", "code") or part in whole
    assert explanation.text(show=["sum", "x"]) == explanation.text(show=["sum"]) + "\n" + explanation.text(show=["x"])


def test_letters_and_numbers():
    explanation = example("letters")
    assert "1a + 2b + 4c + 5d" in explanation.text(show=["sum"], letters=True)
    letters, numbers = (explanation.text(show=["M"], letters=choice) for choice in (True, False))
    assert "ab. cd. ..." in letters
    assert "1 2 .  3 4 .  . . ." in numbers
    assert "ab." not in numbers


def test_colour_changes_nothing_else():
    explanation = example("channels")
    coloured = explanation.text(backward=True, color=True)
    assert "\x1b[30;48;5;110m" in coloured
    assert "\n".join(line.rstrip() for line in ESCAPE.sub("", coloured).splitlines()) == explanation.text(
        backward=True
    ).rstrip("\n")


def test_what_is_not_finite_is_shown():
    text = explain([[1.0, np.inf, np.nan]], [[[2.0]]]).text()
    assert "  Y      2 [inf] nan\n" in text
    assert "agree" in text


@pytest.mark.parametrize("width", [60, 70])
def test_many_digits_stay_inside_the_width(width):
    values = np.random.default_rng(1).standard_normal(40)
    explanation = explain(
        values[:20].reshape(1, 4, 5), values[20:32].reshape(2, 1, 2, 3), grad_output=values[:18].reshape(2, 3, 3)
    )
    text = explanation.text(width, backward=True, digits=17) + explanation.text(width, ["M"], letters=False, digits=17)
    assert max(map(len, text.splitlines())) <= width
    assert f"{explanation.y[explanation.at]:.17g}" in text


@pytest.mark.parametrize("options", [{}, {"transposed": True}, {"groups": 2, "padding": 1, "padding_value": np.nan}])
def test_what_is_not_finite_gives_no_warning(options):
    x = np.array([[0.0, np.inf, -np.inf, 3e38], [np.nan, 1e308, 0.0, 1.0]])
    weight = np.array([[[0.0, np.inf]], [[-np.inf, 1e308]]])
    weight = weight if options else np.tile(weight, (1, 2, 1))
    explanation = explain(x, weight, **options)  # a warning fails a test
    explanation.text(backward=True)
    explanation.json()
    assert explanation.P.shape[1] in (3, 4, 5)


def test_rounding_is_called_rounding():
    values = np.random.default_rng(0).standard_normal(60)
    text = explain(values[:40].reshape(4, 10), values[40:].reshape(1, 4, 5)).text()
    last = text.splitlines()[-1]
    found = re.search(r"differ by at most (\S+) \(y: 6 numbers\)", last)
    assert "agree" in last or float(found[1]) < 1e-13


def test_numbers():
    assert [number(value) for value in (1.0, -3.0, 0.5, 1 / 3, 1e20, np.inf, 12345.678)] == [
        *("1", "-3", "0.5", "0.3333", "1e+20", "inf", "1.235e+04")
    ]
    assert number(1 / 3, 2) == "0.33"


@pytest.mark.parametrize("count", [5, 30, 10**12])
@pytest.mark.parametrize("limit", [1, 3, 9, 24])
def test_choose(count, limit):
    keep = [count // 2, count // 2 + 1]
    shown = choose(count, keep, limit, fill=True)
    assert sum(len(item) if isinstance(item, range) else 1 for item in shown) == count
    assert len(shown) <= max(limit, 3)
    indices = [item for item in shown if isinstance(item, int)]
    assert indices == sorted(indices)
    assert keep[0] in indices
    assert with_gaps(count, indices) == shown
