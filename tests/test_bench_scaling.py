"""The benchmark of one quantity at a time: its problems, its cliffs and its tables."""

from __future__ import annotations

import io

import numpy as np
import pytest

import gemmconv
from gemmconv.bench import scaling
from gemmconv.bench.machine import usable_processors
from gemmconv.bench.scaling import Point, Series
from gemmconv.bench.terminal import show_table

SMALL = (
    Series("size", "2 to 3 channels, 3x3", (3, 4, 5), "size x1 c2 h{0} w{0} o3 kh3 kw3".format),
    Series("threads", "2 to 3 channels, 5x5", (1, 2), "threads x1 c2 h5 w5 o3 kh3 kw3".format, int),
)


def make_points(speeds):
    return [Point(value, 1e-3 / speed, speed) for value, speed in enumerate(speeds)]


@pytest.mark.parametrize("series", scaling.SERIES, ids=lambda series: series.name)
def test_series_is_well_formed(series):
    assert list(series.values) == sorted(set(series.values))
    for value in series.values:
        assert series.problem(value).flops > 0
        with gemmconv.num_threads(series.threads(value)):
            pass


def test_series_vary_what_they_say():
    def vary(name, quantity):
        (series,) = (series for series in scaling.SERIES if series.name == name)
        assert [quantity(series, value) for value in series.values] == list(series.values)
        return series.values

    assert {1, 2, 4, 8, min(usable_processors(), 64)} == {*vary("threads", lambda s, value: s.threads(value))}
    assert vary("batch", lambda s, value: s.problem(value).batch) == (1, 2, 4, 8, 16, 32)
    vary("image", lambda s, value: s.problem(value).output_size[1])
    vary("kernel", lambda s, value: s.problem(value).kernel_size[1])
    vary("channels", lambda s, value: s.problem(value).in_channels)
    vary("channels", lambda s, value: s.problem(value).out_channels)


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
    problem = SMALL[0].problem(5)
    call = scaling.bind(problem, dtype.name)
    output = call()
    expected = gemmconv.reference.conv(*problem.arrays(dtype.name))
    assert call() is output
    assert output.dtype == dtype
    np.testing.assert_allclose(output, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("cliffs", [[], [4]])
def test_run_prints_a_table_per_series(monkeypatch, cliffs):
    monkeypatch.setattr(scaling, "SERIES", SMALL)
    monkeypatch.setattr(scaling, "find_cliffs", lambda points: cliffs if points[-1].value == 5 else [])
    stream = io.StringIO()
    scaling.run_scaling("float64", 1e-4, stream)
    size, threads, summary = stream.getvalue().split("\n\n")
    assert size.startswith("size: 2 to 3 channels, 3x3, float64\n")
    assert [line.split()[0] for line in size.splitlines()[2:]] == ["size", "3", "4", "5"]
    assert [line.split()[0] for line in threads.splitlines()[2:]] == ["threads", "1", "2"]
    assert all(len(line.split()) == 4 for line in size.splitlines()[2:])
    assert summary == scaling.make_summary([f"size {value}" for value in cliffs]) + "\n"
