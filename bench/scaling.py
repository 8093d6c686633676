"""Time against one quantity at a time, so that cliffs show: ``gemmconv bench --scaling``."""

from __future__ import annotations

import statistics
from collections.abc import Callable
from typing import NamedTuple, TextIO

import numpy as np

import gemmconv
from gemmconv import _gemmconv

from .machine import usable_processors
from .problems import Problem, parse_problem
from .report import format_milliseconds
from .terminal import Cell, Table, show_table
from .worker import time_calls

# Turns of every point of a series. Speeds of a shared machine drift, so the points take turns.
ROUNDS = 5

CLIFF = "red"


def _one_thread(_: int) -> int:
    return 1


def _as_many_threads(value: int) -> int:
    return value


class Series(NamedTuple):
    """Convolutions that differ in one quantity.

    Parameters
    ----------
    name : str
        The quantity.
    what : str
        What stays the same.
    values : tuple of int
        The values of the quantity.
    line : callable
        Value -> problem, as a line of a suite.
    threads : callable
        Value -> number of threads.
    """

    name: str
    what: str
    values: tuple[int, ...]
    line: Callable[[int], str]
    threads: Callable[[int], int] = _one_thread

    def problem(self, value: int) -> Problem:
        """Return the problem for a value."""
        return parse_problem(self.line(value), "scaling")


class Point(NamedTuple):
    """What was measured at one value of a quantity."""

    value: int
    seconds: float
    gflops: float


SERIES = (
    Series(
        "threads",
        "128 to 128 channels, 56x56, 3x3",
        tuple(sorted({1, 2, 4, 8, min(usable_processors(), _gemmconv.MAX_THREADS)})),
        lambda _: "threads x1 c128 h56 w56 o128 kh3 kw3 ph1 pw1",
        _as_many_threads,
    ),
    Series(
        "batch",
        "64 to 64 channels, 28x28, 3x3, one thread",
        (1, 2, 4, 8, 16, 32),
        lambda n: f"batch x1 n{n} c64 h28 w28 o64 kh3 kw3 ph1 pw1",
    ),
    Series(
        "image",
        "64 to 64 channels, 3x3, one thread",
        (7, 8, 14, 15, 16, 17, 28, 31, 32, 33, 56, 63, 64, 65, 112, 224),
        lambda size: f"image x1 c64 h{size} w{size} o64 kh3 kw3 ph1 pw1",
    ),
    Series(
        "kernel",
        "16 to 16 channels, 64x64, one thread",
        (1, 2, 3, 4, 5, 7, 9, 11, 15),
        lambda size: f"kernel x1 c16 h64 w64 o16 kh{size} kw{size} ph{size // 2} pw{size // 2}",
    ),
    Series(
        "channels",
        "as many in as out, 28x28, 3x3, one thread",
        (1, 2, 3, 4, 8, 15, 16, 17, 32, 63, 64, 65, 128, 256),
        lambda channels: f"channels x1 c{channels} h28 w28 o{channels} kh3 kw3 ph1 pw1",
    ),
)


def run_scaling(dtype: str, seconds: float, stream: TextIO) -> None:
    """Measure every series, and print each as a table as soon as it is done.

    Parameters
    ----------
    dtype : str
        ``"float32"`` or ``"float64"``.
    seconds : float
        How long each point is timed, at least.
    stream : text file
        Where to print.
    """
    cliffs = []
    for series in SERIES:
        points = measure(series, dtype, seconds)
        show_table(make_table(f"{series.name}: {series.what}, {dtype}", series.name, points), stream)
        print(file=stream, flush=True)
        cliffs += [f"{series.name} {value}" for value in find_cliffs(points)]
    print(make_summary(cliffs), file=stream)


def measure(series: Series, dtype: str, seconds: float) -> list[Point]:
    """Time `gemmconv.conv` into a reused output at every point of a series.

    Parameters
    ----------
    series : Series
        The series.
    dtype : str
        What to compute in.
    seconds : float
        How long each point is timed, at least, spread over `ROUNDS` turns of at least one call each.

    Returns
    -------
    list of Point
        In the order of the values, with the medians over all calls.
    """
    problems = [series.problem(value) for value in series.values]
    calls = [bind(problem, dtype) for problem in problems]
    taken: list[list[float]] = [[] for _ in calls]
    for _ in range(ROUNDS):
        for value, call, times in zip(series.values, calls, taken):
            with gemmconv.num_threads(series.threads(value)):
                call()  # not timed: the other points have driven its data out of the caches
                times += time_calls(call, seconds / ROUNDS)
    medians = [statistics.median(times) for times in taken]
    return [
        Point(value, median, problem.flops / median / 1e9)
        for value, problem, median in zip(series.values, problems, medians)
    ]


def bind(problem: Problem, dtype: str) -> Callable[[], object]:
    """Make the data of a problem, and an output to write to again and again.

    Parameters
    ----------
    problem : Problem
        The problem.
    dtype : str
        What to compute in.

    Returns
    -------
    callable
        Each call computes the convolution once.
    """
    x, weight = problem.arrays(dtype)
    out = np.empty(problem.output_shape, dtype)
    options = problem.options
    return lambda: gemmconv.conv(x, weight, **options, out=out)


def find_cliffs(points: list[Point]) -> list[int]:
    """Find the values whose speed is below half of that of both neighbours.

    Parameters
    ----------
    points : list of Point
        A series. Its ends have one neighbour only and are no cliffs.

    Returns
    -------
    list of int
    """
    triples = zip(points, points[1:], points[2:])
    return [point.value for left, point, right in triples if point.gflops < min(left.gflops, right.gflops) / 2]


def make_table(title: str, quantity: str, points: list[Point]) -> Table:
    """Make the table of a series, with the cliffs in red.

    Parameters
    ----------
    title : str
        The title.
    quantity : str
        What the values are.
    points : list of Point
        The series.

    Returns
    -------
    Table
    """
    best = max(point.gflops for point in points)
    cliffs = find_cliffs(points)
    rows = []
    for point in points:
        texts = (
            str(point.value),
            format_milliseconds(point.seconds),
            f"{point.gflops:.1f}",
            f"{point.gflops / best:.2f}",
        )
        style = CLIFF if point.value in cliffs else ""
        rows.append([Cell(text, style) for text in texts])
    return Table(title, [f"\n{quantity}", "\nms", "\nGFLOP/s", "of\nbest"], rows)


def make_summary(cliffs: list[str]) -> str:
    """Say which rows are red.

    Parameters
    ----------
    cliffs : list of str
        Quantity and value of each.

    Returns
    -------
    str
        One line.
    """
    found = ", ".join(cliffs) or "none"
    return f"Cliffs (in red: speed below half of both neighbours'): {found}."
