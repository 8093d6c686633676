"""Time against one quantity at a time, so that cliffs show: ``gemmconv bench --scaling``."""

from __future__ import annotations

import statistics
from collections.abc import Callable
from typing import NamedTuple, TextIO

import numpy as np

import gemmconv
from gemmconv import _gemmconv
from gemmconv.threads import usable_processors

from .problems import Problem, load_suite, parse_problem
from .report import format_milliseconds
from .terminal import Cell, Table, show_table
from .worker import time_calls

# Turns of every point of a series. Speeds of a shared machine drift, so the points take turns.
ROUNDS = 5

CLIFF = "red"

#: Name of a series whose problems are the suite ``scaling_NAME`` -> what they have in common.
SERIES = {
    "batch": "64 to 64 channels, 28x28, 3x3, one thread",
    "image": "64 to 64 channels, 3x3, one thread",
    "kernel": "16 to 16 channels, 64x64, one thread",
    "channels": "the same number in and out, 28x28, 3x3, one thread",
}


class Step(NamedTuple):
    """A value of the quantity, and what is timed there."""

    value: int
    problem: Problem
    threads: int = 1


class Series(NamedTuple):
    """Convolutions that differ in the quantity `name`, and `what` they have in common."""

    name: str
    what: str
    steps: tuple[Step, ...]


class Point(NamedTuple):
    """What was measured at one value of a quantity."""

    value: int
    seconds: float
    gflops: float


def load_series() -> list[Series]:
    """Return all series: one problem with several numbers of threads, and the suites, named by their values."""
    problem = parse_problem("threads x0 c128 h56 w56 o128 kh3 kw3 ph1 pw1")
    numbers = sorted({1, 2, 4, 8, min(usable_processors(), _gemmconv.MAX_THREADS)})
    threads = tuple(Step(number, problem, number) for number in numbers)
    suites = [
        Series(name, what, tuple(Step(int(problem.name), problem) for problem in load_suite(f"scaling_{name}")))
        for name, what in SERIES.items()
    ]
    return [Series("threads", "128 to 128 channels, 56x56, 3x3", threads), *suites]


def run_scaling(dtype: str, seconds: float, stream: TextIO) -> None:
    """Time every point of every series for some seconds, and print each series as a table as soon as it is done."""
    cliffs = []
    for series in load_series():
        points = measure(series, dtype, seconds)
        show_table(make_table(f"{series.name}: {series.what}, {dtype}", series.name, points), stream)
        print(file=stream, flush=True)
        cliffs += [f"{series.name} {value}" for value in find_cliffs(points)]
    print(make_summary(cliffs), file=stream)


def measure(series: Series, dtype: str, seconds: float) -> list[Point]:
    """Time `gemmconv.conv` into a reused output at every point of a series; return the medians over all calls.

    The seconds of a point are spread over `ROUNDS` turns of at least one call each.
    """
    calls = [bind(step.problem, dtype) for step in series.steps]
    taken: list[list[float]] = [[] for _ in calls]
    for _ in range(ROUNDS):
        for step, call, times in zip(series.steps, calls, taken):
            with gemmconv.num_threads(step.threads):
                call()  # not timed: the other points have driven its data out of the caches
                times += time_calls(call, seconds / ROUNDS)
    medians = [statistics.median(times) for times in taken]
    return [Point(step.value, median, step.problem.flops / median / 1e9) for step, median in zip(series.steps, medians)]


def bind(problem: Problem, dtype: str) -> Callable[[], object]:
    """Make the data of a problem, and return a call that writes to the same output again and again."""
    x, weight = problem.arrays(dtype)
    out = np.empty(problem.output_shape, dtype)
    options = problem.options
    return lambda: gemmconv.conv(x, weight, **options, out=out)


def find_cliffs(points: list[Point]) -> list[int]:
    """Return the values whose speed is below half of that of both neighbours; the ends have only one and are none."""
    triples = zip(points, points[1:], points[2:])
    return [point.value for left, point, right in triples if point.gflops < min(left.gflops, right.gflops) / 2]


def make_table(title: str, quantity: str, points: list[Point]) -> Table:
    """Make the table of a series, with the cliffs in red."""
    best = max(point.gflops for point in points)
    cliffs = find_cliffs(points)
    rows = []
    for point in points:
        speeds = f"{point.gflops:.1f}", f"{point.gflops / best:.2f}"
        style = CLIFF if point.value in cliffs else ""
        rows.append([Cell(text, style) for text in (str(point.value), format_milliseconds(point.seconds), *speeds)])
    return Table(title, [f"\n{quantity}", "\nms", "\nGFLOP/s", "of\nbest"], rows)


def make_summary(cliffs: list[str]) -> str:
    """Say which rows are red; each cliff is a quantity and its value."""
    found = ", ".join(cliffs) or "none"
    return f"Cliffs (in red: speed below half of both neighbours'): {found}."
