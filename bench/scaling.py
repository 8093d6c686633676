"""Time against one quantity at a time, so that cliffs show: ``gemmconv bench --scaling``.

The series against the number of taps are timed for the convolution and for both of its gradients, all others for the
convolution alone.
"""

from __future__ import annotations

import itertools
import re
import statistics
from collections.abc import Callable
from typing import Any, NamedTuple, TextIO

import numpy as np

import gemmconv
from gemmconv import _gemmconv
from gemmconv.threads import usable_processors

from .operations import FORWARD, OPERATIONS
from .problems import DTYPES, Problem, load_suite, parse_problem
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

#: The same, for the series against the number of taps.
TAPS_SERIES = {
    "taps_1d": "1 channel of 16000, one thread",
    "taps_1d_channels": "8 to 8 channels of 4000, one thread",
    "taps_2d": "1 channel of 256x256, one thread",
    "taps_2d_channels": "3 to 3 channels of 128x128, one thread",
}

# The operations of the series against the number of taps.
TAPS_OPERATIONS = (FORWARD, "input_gradient", "weight_gradient")

# Between neighbours, the largest growth of the time beyond that of the arithmetic.
LARGEST_JUMP = 1.5


class Step(NamedTuple):
    """A value of the quantity, and what is timed there."""

    value: int
    problem: Problem
    threads: int = 1


class Point(NamedTuple):
    """What was measured at one value of a quantity."""

    value: int
    seconds: float
    gflops: float


def find_slow_points(points: list[Point]) -> list[int]:
    """Return the values whose speed is below half of that of both neighbours; the ends have only one and are none."""
    triples = zip(points, points[1:], points[2:])
    return [point.value for left, point, right in triples if point.gflops < min(left.gflops, right.gflops) / 2]


def find_jumps(points: list[Point]) -> list[int]:
    """Return the values at which the time jumps.

    It jumps up if it grows by more than `LARGEST_JUMP` from the value before, and by more than `LARGEST_JUMP` times the
    growth of the arithmetic. It jumps down if it does so in the other direction: then the value before is slow.
    """
    found = []
    for left, right in itertools.pairwise(points):
        time = right.seconds / left.seconds
        arithmetic = time * right.gflops / left.gflops
        if time > LARGEST_JUMP * max(1, arithmetic):
            found.append(right.value)
        elif 1 / time > LARGEST_JUMP * max(1, 1 / arithmetic):
            found.append(left.value)
    return list(dict.fromkeys(found))


class Series(NamedTuple):
    """Convolutions that differ in the quantity `name`, and `what` they have in common."""

    name: str
    what: str
    steps: tuple[Step, ...]
    operation: str = FORWARD
    find_cliffs: Callable[[list[Point]], list[int]] = find_slow_points

    @property
    def title(self) -> str:
        """What is timed."""
        what = "" if self.operation == FORWARD else f"{OPERATIONS[self.operation].what}, "
        return f"{self.name}: {what}{self.what}"


def load_series() -> list[Series]:
    """Return all series: one problem with several numbers of threads, and the suites, named by their values."""
    problem = parse_problem("threads x0 c128 h56 w56 o128 kh3 kw3 ph1 pw1")
    numbers = sorted({1, 2, 4, 8, min(usable_processors(), _gemmconv.MAX_THREADS)})
    threads = tuple(Step(number, problem, number) for number in numbers)
    suites = [Series(name, what, load_steps(name)) for name, what in SERIES.items()]
    taps = [
        Series(name, what, load_steps(name), operation, find_jumps)
        for operation in TAPS_OPERATIONS
        for name, what in TAPS_SERIES.items()
    ]
    return [Series("threads", "128 to 128 channels, 56x56, 3x3", threads), *suites, *taps]


def load_steps(name: str) -> tuple[Step, ...]:
    """Return the steps of a series from its suite."""
    return tuple(Step(int(problem.name), problem) for problem in load_suite(f"scaling_{name}"))


def select_series(pattern: re.Pattern[str] | None) -> list[Series]:
    """Return the series whose names have a match, or all."""
    return [series for series in load_series() if pattern is None or pattern.search(series.name)]


class Curve(NamedTuple):
    """A series and what was measured."""

    series: Series
    points: list[Point]

    @property
    def cliffs(self) -> list[int]:
        """The values at which something is wrong."""
        return self.series.find_cliffs(self.points)

    def as_json(self) -> dict[str, Any]:
        """Return it as an object of JSON."""
        fields = {"name": self.series.name, "op": self.series.operation, "what": self.series.what}
        return {**fields, "points": [point._asdict() for point in self.points], "cliffs": self.cliffs}


def run_scaling(all_series: list[Series], dtype: str, seconds: float, stream: TextIO) -> list[Curve]:
    """Time every point of some series for some seconds, and print each series as a table as soon as it is done."""
    curves = []
    for series in all_series:
        curve = Curve(series, measure(series, dtype, seconds))
        curves.append(curve)
        show_table(make_table(curve, dtype), stream)
        print(file=stream, flush=True)
    print(make_summary(curves), file=stream)
    return curves


def measure(series: Series, dtype: str, seconds: float) -> list[Point]:
    """Time the function of gemmconv into a reused output at every point of a series; return the medians over all calls.

    The seconds of a point are spread over `ROUNDS` turns of at least one call each.
    """
    calls = [bind(step.problem, dtype, series.operation) for step in series.steps]
    taken: list[list[float]] = [[] for _ in calls]
    for _ in range(ROUNDS):
        for step, call, times in zip(series.steps, calls, taken):
            with gemmconv.num_threads(step.threads):
                call()  # not timed: the other points have driven its data out of the caches
                times += time_calls(call, seconds / ROUNDS)
    medians = [statistics.median(times) for times in taken]
    return [Point(step.value, median, step.problem.flops / median / 1e9) for step, median in zip(series.steps, medians)]


def bind(problem: Problem, dtype: str, operation: str = FORWARD) -> Callable[[], object]:
    """Make the data of a problem, and return a call that writes to the same output again and again."""
    what = OPERATIONS[operation]
    first, second = what.arrays(problem, dtype)
    function = what.bind(gemmconv, problem)
    out = np.empty(what.result_shape(problem), DTYPES[dtype].results[0])
    return lambda: function(first, second, out=out)


def make_table(curve: Curve, dtype: str) -> Table:
    """Make the table of a series, with the cliffs in red."""
    best = max(point.gflops for point in curve.points)
    cliffs = curve.cliffs
    rows = []
    for point in curve.points:
        speeds = f"{point.gflops:.1f}", f"{point.gflops / best:.2f}"
        style = CLIFF if point.value in cliffs else ""
        rows.append([Cell(text, style) for text in (str(point.value), format_milliseconds(point.seconds), *speeds)])
    heads = [
        "\ntaps" if curve.series.name in TAPS_SERIES else f"\n{curve.series.name}",
        "\nms",
        "\nGFLOP/s",
        "of\nbest",
    ]
    return Table(f"{curve.series.title}, {dtype}", heads, rows)


def make_summary(curves: list[Curve]) -> str:
    """Say which rows are red; each cliff is an operation, a quantity and its value."""
    cliffs = [
        " ".join([*([] if series.operation == FORWARD else [series.operation]), series.name, str(value)])
        for series, points in curves
        for value in series.find_cliffs(points)
    ]
    rules = f"speed below half of both neighbours'; for taps, time that jumps by more than {LARGEST_JUMP}"
    return f"Cliffs (in red: {rules}): {', '.join(cliffs) or 'none'}."
