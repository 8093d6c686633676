"""The benchmark of one quantity at a time: its problems, its cliffs and its tables."""

from __future__ import annotations

import io
import itertools
import json
import re
from math import prod

import numpy as np
import pytest

import gemmconv
from gemmconv.bench import scaling
from gemmconv.bench.problems import parse_problem
from gemmconv.bench.scaling import Curve, Point, Series, Step, load_series
from gemmconv.bench.terminal import show_table
from gemmconv.threads import usable_processors

SIZES = {size: parse_problem(f"{size} x1 c2 h{size} w{size} o3 kh3 kw3") for size in (3, 4, 5)}
SMALL = (
    Series("size", "2 to 3 channels, 3x3", tuple(Step(size, problem) for size, problem in SIZES.items())),
    Series("threads", "2 to 3 channels, 5x5", tuple(Step(threads, SIZES[5], threads) for threads in (1, 2))),
)


def make_points(speeds):
    return [Point(value, 1e-3 / speed, speed) for value, speed in enumerate(speeds)]


# Series -> the attributes of a problem that have its values; the others are the same in all of its problems.
VARIED = {
    "threads": [],
    "batch": ["batch"],
    "image": ["input_size"],
    "kernel": ["kernel_size", "padding"],
    "channels": ["in_channels", "out_channels"],
}
TAPS = [series for series in load_series() if series.name.startswith("taps")]


@pytest.mark.parametrize("series", load_series()[:5], ids=lambda series: series.name)
def test_series_vary_what_they_say(series):
    values = [step.value for step in series.steps]
    assert values == sorted(set(values))
    for value, problem, threads in series.steps:
        assert threads == (value if series.name == "threads" else 1)
        with gemmconv.num_threads(threads):
            pass
        for attribute in VARIED[series.name]:
            number = value // 2 if attribute == "padding" else value
            assert getattr(problem, attribute) in (number, (number, number))
    varied = ["name", *VARIED[series.name]]
    same = [{**vars(step.problem), **dict.fromkeys(varied)} for step in series.steps]
    assert all(kept == same[0] for kept in same)


@pytest.mark.parametrize("series", TAPS, ids=lambda series: f"{series.operation}-{series.name}")
def test_series_of_taps(series):
    values = [step.value for step in series.steps]
    assert values == [prod(step.problem.kernel_size) for step in series.steps]
    assert values == sorted(set(values))
    assert all(step.threads == 1 for step in series.steps)
    # Beside the first few, the neighbours are so near that the arithmetic hides no jump.
    assert all(right <= 1.5 * left for left, right in itertools.pairwise(values) if left >= 6)
    same = [{**vars(step.problem), "name": "", "kernel_size": ()} for step in series.steps]
    assert all(kept == same[0] for kept in same)


def test_taps_are_timed_for_the_convolution_and_both_gradients():
    names = ["taps_1d", "taps_1d_channels", "taps_2d", "taps_2d_channels"]
    operations = ["forward", "input_gradient", "weight_gradient"]
    assert [(series.operation, series.name) for series in TAPS] == [(op, name) for op in operations for name in names]


def test_select_series():
    assert [series.name for series in scaling.select_series(re.compile("^(kernel|taps_2d)$"))] == [
        "kernel", "taps_2d", "taps_2d", "taps_2d",
    ]  # fmt: skip
    assert scaling.select_series(None) == load_series()
    assert scaling.select_series(re.compile("zzz")) == []


def test_values_of_the_series():
    values = {series.name: [step.value for step in series.steps] for series in load_series()[:5]}
    assert list(values) == list(VARIED)
    assert values["threads"] == sorted({1, 2, 4, 8, min(usable_processors(), 64)})
    assert values["batch"] == [1, 2, 4, 8, 16, 32]
    assert values["image"] == [7, 8, 14, 15, 16, 17, 28, 31, 32, 33, 56, 63, 64, 65, 112, 224]
    assert values["kernel"] == [1, 2, 3, 4, 5, 7, 9, 11, 15]
    assert values["channels"] == [1, 2, 3, 4, 8, 15, 16, 17, 32, 63, 64, 65, 128, 256]


@pytest.mark.parametrize(
    ("speeds", "cliffs"),
    [
        ([10, 4, 10], [1]),
        ([10, 5, 10], []),  # half, not below
        ([10, 4, 7], []),  # of one neighbour only
        ([4, 10, 4], []),  # the ends have no second neighbour
        ([9, 9, 4, 9, 4, 20], [2, 4]),
        ([10, 4, 4, 10], []),
        ([10, 1], []),
        ([10], []),
    ],
)
def test_slow_points(speeds, cliffs):
    assert scaling.find_slow_points(make_points(speeds)) == cliffs


@pytest.mark.parametrize(
    ("times", "operations", "jumps"),
    [
        ([1, 1.4, 1.9, 2.6], [1, 1, 1, 1], []),
        ([1, 1.6, 1.6], [1, 1, 1], [1]),
        ([1, 1.6, 1.6], [1, 1.1, 1.1], []),  # the arithmetic explains it
        ([1, 1.6, 1.6], [1, 0.5, 0.5], [1]),  # less arithmetic excuses nothing
        ([1.6, 1, 1], [1, 1, 1], [0]),  # the value before is slow
        ([1.6, 1, 1], [1, 0.9, 0.9], []),
        ([1, 2, 1, 2], [1, 1, 1, 1], [1, 3]),  # each value once
        ([1], [1], []),
    ],
)
def test_jumps(times, operations, jumps):
    points = [Point(value, time, work / time) for value, (time, work) in enumerate(zip(times, operations))]
    assert scaling.find_jumps(points) == jumps


def make_curve(speeds, name="size", **fields):
    return Curve(Series(name, "a title", (), **fields), make_points(speeds))


def test_cliffs_are_red():
    table = scaling.make_table(make_curve([10.0, 4.0, 20.0]), "float32")
    assert [[cell.text for cell in row] for row in table.rows] == [
        ["0", "0.100", "10.0", "0.50"],
        ["1", "0.250", "4.0", "0.20"],
        ["2", "0.050", "20.0", "1.00"],
    ]
    assert [{cell.style for cell in row} for row in table.rows] == [{""}, {"red"}, {""}]
    stream = io.StringIO()
    show_table(table, stream)
    assert [line.split() for line in stream.getvalue().splitlines()[:3]] == [
        ["size:", "a", "title,", "float32"],
        ["of"],
        ["size", "ms", "GFLOP/s", "best"],
    ]


def test_summary_names_the_cliffs():
    curves = [
        make_curve([10, 4, 10], "image"),
        make_curve([10, 1], "channels"),
        make_curve([10, 1], "taps_1d", operation="weight_gradient", find_cliffs=scaling.find_jumps),
    ]
    assert scaling.make_summary(curves).endswith(": image 1, weight_gradient taps_1d 1.")
    assert scaling.make_summary(curves[1:2]).endswith(": none.")


def test_points_take_turns_with_their_threads(monkeypatch):
    turns = []

    def time_calls(call, seconds):
        call()
        turns.append((gemmconv.get_num_threads(), seconds))
        return [1e-3 * len(turns)]

    monkeypatch.setattr(scaling, "time_calls", time_calls)
    points = scaling.measure(SMALL[1], "float32", 1.0)
    assert turns == [(1, 0.2), (2, 0.2)] * 5
    assert [point.seconds for point in points] == pytest.approx([5e-3, 6e-3])
    assert points[0].gflops == pytest.approx(2 * 3 * 3 * 3 * 18 / 5e-3 / 1e9)


def test_output_is_reused_and_right(dtype):
    problem = SIZES[5]
    call = scaling.bind(problem, dtype.name)
    output = call()
    expected = gemmconv.reference.conv(*problem.arrays(dtype.name))
    assert call() is output
    assert output.dtype == dtype
    np.testing.assert_allclose(output, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("operation", ["input_gradient", "weight_gradient"])
def test_gradients_are_right(operation):
    call = scaling.bind(SIZES[5], "float32", operation)
    what = scaling.OPERATIONS[operation]
    expected = what.bind(gemmconv.reference, SIZES[5])(*what.arrays(SIZES[5], "float32"))
    assert call() is call()
    np.testing.assert_allclose(call(), expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("cliffs", [[], [4]])
def test_run_prints_a_table_per_series(cliffs):
    chosen = [
        SMALL[0]._replace(find_cliffs=lambda _points: cliffs),
        SMALL[1]._replace(operation="input_gradient", find_cliffs=lambda _points: []),
    ]
    stream = io.StringIO()
    curves = scaling.run_scaling(chosen, "float64", 1e-4, stream)
    size, threads, summary = stream.getvalue().split("\n\n")
    assert size.startswith("size: 2 to 3 channels, 3x3, float64\n")
    assert threads.startswith("threads: gradient of the input, 2 to 3 channels, 5x5, float64\n")
    assert [line.split()[0] for line in size.splitlines()[2:]] == ["size", "3", "4", "5"]
    assert [line.split()[0] for line in threads.splitlines()[2:]] == ["threads", "1", "2"]
    assert all(len(line.split()) == 4 for line in size.splitlines()[2:])
    assert summary == scaling.make_summary(curves) + "\n"
    (first, _second) = [json.loads(json.dumps(curve.as_json())) for curve in curves]
    assert (first["name"], first["op"], first["cliffs"]) == ("size", "forward", cliffs)
    assert [point["value"] for point in first["points"]] == [3, 4, 5]
    assert all(point["seconds"] > 0 for point in first["points"])
