"""Fits the rates of the instruction set in use to timings: ``python -m gemmconv.bench.studies.costs FILE...``.

The files come from ``python -m gemmconv.bench.studies.algorithms --save``. The estimated time of a way is linear in the
rates (engine/costs.py). The fit begins with each kernel alone: non-negative least squares of relative errors. Then it
changes the rates of all kernels together, until estimates are near the times and, which matters more, the way with the
lowest estimate is nearly the fastest. It prints how often that is so before and after, and the new table of rates;
``--write`` puts the table into engine/rates.py. Without files it only brings the table up to date with the terms in
engine/costs.py, where new ones have a rate of 1 until they are fitted: do that before timing a new kernel.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product
from math import log
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize, nnls

from gemmconv import _gemmconv
from gemmconv.checks.geometry import Geometry
from gemmconv.engine import costs, rates
from gemmconv.engine.algorithms import WAYS, Way
from gemmconv.engine.blas import gemm_path
from gemmconv.engine.counts import Counts
from gemmconv.engine.kernels import CONVOLUTION, INPUT_GRADIENT, WEIGHT_GRADIENT

from . import make_parser
from .timings import OPS, TOLERANCE, Timing, load_timings

Floats = NDArray[np.float64]
#: A rate: the name of the work in the table, and the term.
Rate = tuple[str, str]

# Errors of an estimate, as logarithms, from which on they count in proportion and no longer squared.
OUTLIER = 0.15
# The repetitions of the least squares, which give each row the weight that follows from its last error.
REPETITIONS = 15
# The power of (time of the fastest way / its own time) by which the error of a way counts.
NEARNESS = 2
# By which factor, as a logarithm, estimates must differ for the lower one to be the choice, about. The true choice is
# all or nothing, which has no slope to follow.
SOFTNESS = 0.05
# The loss of a choice, as a logarithm, grows no further from here.
MOST_LOSS = 0.7
# The logarithms of rates, and their negatives, are at most this: a step of the search may be too long.
LARGEST_LOGARITHM = 40.0
# How much the mean loss of choices counts beside the mean error of estimates.
CHOICE = 1.0


class Row(NamedTuple):
    """An observed time, the work that took it, and the weight of an error, from 0 to 1."""

    nanoseconds: float
    work: costs.Work
    weight: float


def padded(rows: list[list[Any]]) -> NDArray[Any]:
    """Return lists of several lengths as one array, with -1 behind the shorter ones."""
    length = max(map(len, rows))
    return np.array([[*row, *[-1] * (length - len(row))] for row in rows])


class Choices(NamedTuple):
    """The choices of auto, a row for each: for plans and for functions, of each problem."""

    ways: NDArray[np.intp]
    """The row of each way's time in the model; -1 stands for no further way."""
    layouts: NDArray[np.intp]
    """The row of the time to lay out its weights; -1 stands for none."""
    losses: Floats
    """The logarithm of each way's time over that of the fastest."""

    def mean_loss(self, estimates: Floats) -> tuple[float, Floats]:
        """Return the mean loss of the ways with the lowest estimates, nearly, and its slope by the estimates."""
        padded = np.append(estimates, 0.0)
        sums = np.where(self.ways < 0, np.inf, padded[self.ways] + padded[self.layouts])
        shares = (sums / sums.min(axis=1, keepdims=True)) ** (-1 / SOFTNESS)
        shares /= shares.sum(axis=1, keepdims=True)
        losses = (shares * self.losses).sum(axis=1, keepdims=True)
        slopes = -shares * (self.losses - losses) / sums / SOFTNESS / len(losses)
        slope = np.zeros_like(padded)
        np.add.at(slope, self.ways, slopes)
        np.add.at(slope, self.layouts, slopes)
        return float(losses.mean()), slope[:-1]


class Model:
    """All observed times. The estimates are a matrix, with a row for each time, times the rates."""

    def __init__(self, timings: Sequence[Timing]) -> None:
        self.rows: list[Row] = []
        choices: list[tuple[list[int], list[int], list[float]]] = []
        for timing in timings:
            choices += self._add(timing, {way.name: way for way in WAYS[OPS[timing.op]](timing.geometry)})
        self.choices = Choices(*(padded([choice[part] for choice in choices]) for part in range(3)))
        works = [work for row in self.rows for work in row.work]
        #: the names and terms of the rates that are fitted
        self.rates: list[Rate] = list(dict.fromkeys((name, term) for name, terms in works for term in terms))
        number = {rate: column for column, rate in enumerate(self.rates)}
        self.amounts = np.zeros((len(self.rows), len(self.rates)))
        for index, row in enumerate(self.rows):
            for name, terms in row.work:
                for term, amount in terms.items():
                    self.amounts[index, number[name, term]] += amount
        self.times = np.array([row.nanoseconds for row in self.rows])
        self.weights = np.array([row.weight for row in self.rows])

    def _add(self, timing: Timing, ways: dict[str, Way]) -> list[tuple[list[int], list[int], list[float]]]:
        """Add the rows of a problem, without ways that are not defined any more; return its choices."""
        names = [name for name in timing.seconds if name in ways]
        plan = timing.totals(prepared=True)
        rows: list[int] = []
        layouts: list[int] = []
        for name in names:
            weight = (min(plan.values()) / plan[name]) ** NEARNESS
            rows.append(len(self.rows))
            self.rows.append(Row(1e9 * plan[name], ways[name].work, weight))
            layouts.append(len(self.rows) if ways[name].layout_work else -1)
            if ways[name].layout_work:
                self.rows.append(Row(1e9 * timing.layouts[name], ways[name].layout_work, weight))
        choices = []
        for prepared in (True, False):
            totals = timing.totals(prepared)
            fastest = min(totals[name] for name in names)
            losses = [min(log(totals[name] / fastest), MOST_LOSS) for name in names]
            choices.append((rows, [-1] * len(rows) if prepared else layouts, losses))
        return choices

    def least_squares(self) -> Floats:
        """Return rates that are near the times: robust least squares of the logarithms of estimate / time."""
        estimates = self.times.copy()
        found = np.zeros(len(self.rates))
        for _ in range(REPETITIONS):
            errors = np.abs(np.log(estimates / self.times))
            weights = self.weights * np.minimum(1, OUTLIER / np.maximum(errors, 1e-9))
            scale = np.sqrt(weights / (estimates * self.times))
            matrix = self.amounts * scale[:, None]
            unit = np.linalg.norm(matrix, axis=0)
            unit[unit == 0] = 1
            found = nnls(matrix / unit, self.times * scale, maxiter=100 * len(unit))[0] / unit
            estimates = np.maximum(self.amounts @ found, self.times / 20)
        return found

    def objective(self, estimates: Floats) -> tuple[float, Floats]:
        """Return the mean error of estimates plus the mean loss of choices, and its slope by the estimates."""
        errors = np.log(estimates / self.times)
        size = np.abs(errors)
        error = np.where(size < OUTLIER, size**2 / 2, OUTLIER * (size - OUTLIER / 2)) @ self.weights
        slope = np.clip(errors, -OUTLIER, OUTLIER) * self.weights / estimates
        loss, slope_of_loss = self.choices.mean_loss(estimates)
        return error / len(self.rows) + CHOICE * loss, slope / len(self.rows) + CHOICE * slope_of_loss

    def fit(self) -> dict[Rate, float]:
        """Return the rates with the least objective that is found from those of the least squares."""
        start = self.least_squares()
        used = start > 0

        def of_logarithms(logarithms: Floats) -> tuple[float, Floats]:
            found = np.exp(np.clip(logarithms, -LARGEST_LOGARITHM, LARGEST_LOGARITHM))
            total, slope = self.objective(self.amounts[:, used] @ found)
            return total, (slope @ self.amounts[:, used]) * found

        best = minimize(of_logarithms, np.log(start[used]), jac=True, method="L-BFGS-B", options={"maxiter": 500})
        start[used] = np.exp(best.x)
        return dict(zip(self.rates, start.tolist()))


def complete_table() -> None:
    """Give new kernels and terms a rate of 1, leave out those that are gone, and put terms into their order."""
    counts = Counts(Geometry.from_shapes((1, 2, 8, 8), (2, 2, 3, 3)))
    for kernel in (*CONVOLUTION, *WEIGHT_GRADIENT, INPUT_GRADIENT):
        for name, terms in (*kernel.work(counts), *kernel.layout_work(counts)):
            old = rates.RATES.get(name, {})
            rates.RATES[name] = {term: old.get(term, (1.0, 1.0, 1.0)) for term in terms}
    costs.forget_rates()


def install(fitted: dict[Rate, float]) -> None:
    """Put rates into the column of the instruction set in use, rounded, as if they had been written there."""
    for (name, term), rate in fitted.items():
        column = rates.column_of(name, _gemmconv.isa(), gemm_path())
        row = list(rates.RATES[name][term])
        row[column] = float(f"{rate:.3g}")
        rates.RATES[name][term] = (row[0], row[1], row[2])
    costs.forget_rates()


def table() -> str:
    """Return the table of rates as Python."""
    lines = ["RATES: dict[str, dict[str, tuple[float, float, float]]] = {"]
    for name, terms in rates.RATES.items():
        lines += [f'    "{name}": {{', *(f'        "{term}": {row},' for term, row in terms.items()), "    },"]
    return "\n".join([*lines, "}"]) + "\n"


def write_table() -> None:
    """Put the table into the file it belongs to, whose end it is."""
    path = Path(rates.__file__)
    head = path.read_text(encoding="utf-8").partition("RATES: dict")[0]
    path.write_text(head + table(), encoding="utf-8")


def report(timings: Sequence[Timing], when: str) -> None:
    """Print how often auto's choice is nearly the fastest."""
    for op, prepared in product(OPS, (True, False)):
        losses = [timing.loss(prepared) for timing in timings if timing.op == op]
        if losses and (prepared or op != "weight_gradient"):
            good = sum(loss <= TOLERANCE for loss in losses)
            kind = f"{op}, {'plans' if prepared else 'functions'}"
            print(
                f"# {when}: {kind}: within {TOLERANCE - 1:.0%} of the fastest on {good} of {len(losses)} shapes "
                f"({good / len(losses):.1%}), at most {max(losses):.2f} times the fastest"
            )


def main() -> None:
    """Print the fitted table, and what auto would make of the timings with it."""
    parser = make_parser("costs", __doc__)
    parser.add_argument("files", type=Path, nargs="*", metavar="FILE", help="timings to fit the rates to")
    parser.add_argument("--check", type=Path, nargs="+", default=[], metavar="FILE", help="timings only to report on")
    parser.add_argument("--write", action="store_true", help="put the table into engine/rates.py, do not print it")
    arguments = parser.parse_args()
    complete_table()
    timings, others = load_timings(arguments.files), load_timings(arguments.check)
    report(timings, "before")
    report(others, "before, of --check")
    for _ in range(2 if timings else 0):  # the work of phases depends on the rates of other kernels
        install(Model(timings).fit())
    report(timings, "after")
    report(others, "after, of --check")
    if arguments.write:
        write_table()
    else:
        print(table(), end="")


if __name__ == "__main__":
    main()
