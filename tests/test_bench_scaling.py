"""The benchmark of one quantity at a time: its problems, its cliffs and its tables."""

from __future__ import annotations

import io

import numpy as np
import pytest

import gemmconv
from gemmconv.bench import scaling
from gemmconv.bench.problems import parse_problem
from gemmconv.bench.scaling import Point, Series, Step, load_series
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


@pytest.mark.parametrize("series", load_series(), ids=lambda series: series.name)
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


def test_values_of_the_series():
    values = {series.name: [step.value for step in series.steps] for series in load_series()}
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
def test_cliffs(speeds, cliffs):
    assert scaling.find_cliffs(make_points(speeds)) == cliffs


def test_cliffs_are_red():
    table = scaling.make_table("a title", "size", make_points([10.0, 4.0, 20.0]))
    assert [[cell.text for cell in row] for row in table.rows] == [
        ["0", "0.100", "10.0", "0.50"],
        ["1", "0.250", "4.0", "0.20"],
        ["2", "0.050", "20.0", "1.00"],
    ]
    assert [{cell.style for cell in row} for row in table.rows] == [{""}, {"red"}, {""}]
    stream = io.StringIO()
    show_table(table, stream)
    assert [line.split() for line in stream.getvalue().splitlines()[:3]] == [
        ["a", "title"],
        ["of"],
        ["size", "ms", "GFLOP/s", "best"],
    ]


def test_summary_names_the_cliffs():
    assert scaling.make_summary(["image 15", "channels 63"]).endswith(": image 15, channels 63.")
    assert scaling.make_summary([]).endswith(": none.")


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


@pytest.mark.parametrize("cliffs", [[], [4]])
def test_run_prints_a_table_per_series(monkeypatch, cliffs):
    monkeypatch.setattr(scaling, "load_series", lambda: SMALL)
    monkeypatch.setattr(scaling, "find_cliffs", lambda points: cliffs if points[-1].value == 5 else [])
    stream = io.StringIO()
    scaling.run_scaling("float64", 1e-4, stream)
    size, threads, summary = stream.getvalue().split("\n\n")
    assert size.startswith("size: 2 to 3 channels, 3x3, float64\n")
    assert [line.split()[0] for line in size.splitlines()[2:]] == ["size", "3", "4", "5"]
    assert [line.split()[0] for line in threads.splitlines()[2:]] == ["threads", "1", "2"]
    assert all(len(line.split()) == 4 for line in size.splitlines()[2:])
    assert summary == scaling.make_summary([f"size {value}" for value in cliffs]) + "\n"
