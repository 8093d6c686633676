"""Fits the rates of the instruction set in use to timings: ``python -m gemmconv.bench.studies.costs FILE...``.

The files come from ``python -m gemmconv.bench.studies.algorithms --save``. The estimated time of a way is linear in the
rates (engine/costs.py). The fit begins with each kernel alone: non-negative least squares of relative errors. Then it
changes the rates of all kernels together, until estimates are near the times and, which matters more, the way that
auto takes is nearly the fastest. It prints how often that is so before and after, and the new table of rates;
``--write`` puts the table into engine/rates.py, if the BLAS is the one that its column is for. Without files it only
brings the table up to date with the terms in engine/costs.py, where new ones have a rate of 1 until they are fitted: do
that before timing a new kernel.
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
from gemmconv.engine.algorithms import candidates, fft_ways
from gemmconv.engine.blas import gemm_path
from gemmconv.engine.counts import Counts
from gemmconv.engine.kernels import CONVOLUTION, FFT, INPUT_GRADIENT, WEIGHT_GRADIENT

from . import make_parser
from .timings import OPS, TOLERANCE, Origin, Timing, load_origin, load_timings

Floats = NDArray[np.float64]
#: A rate: the name of the work in the table, and the term.
Rate = tuple[str, str]

# The C kernels of all operations.
KERNELS = (*CONVOLUTION, FFT, *WEIGHT_GRADIENT, INPUT_GRADIENT)

# Errors of an estimate, as logarithms, from which on they count in proportion and no longer squared.
OUTLIER = 0.15
# The repetitions of the least squares, which give each row the weight that follows from its last error.
REPETITIONS = 15
# The power of (time of the fastest way / its own time) by which the error of a way counts.
NEARNESS = 2
# About the difference, as a logarithm, from which on the lower estimate is the choice. The true choice is
# all or nothing, which has no slope to follow.
SOFTNESS = 0.05
# The loss of a choice, as a logarithm, grows no further from here.
MOST_LOSS = 0.7
# The logarithms of rates, and their negatives, are at most this: a step of the search may be too long.
LARGEST_LOGARITHM = 40.0
# How much the mean loss of choices counts beside the mean error of estimates.
CHOICE = 1.0


def losses_of(names: list[str], totals: dict[str, float]) -> list[float]:
    """Return the logarithm of each way's time over that of the fastest."""
    fastest = min(totals.values())
    return [min(log(totals[name] / fastest), MOST_LOSS) for name in names]


class Row(NamedTuple):
    """An observed time, the work that took it, and the weight of an error, from 0 to 1."""

    nanoseconds: float
    work: costs.Work
    weight: float


def padded(rows: list[list[Any]]) -> NDArray[Any]:
    """Return lists of several lengths as one array, with -1 behind the shorter ones."""
    length = max(map(len, rows))
    return np.array([[*row, *[-1] * (length - len(row))] for row in rows])


def shares_of(times: Floats) -> Floats:
    """Return the shares in which ways of these times are taken, a row for each choice: nearly 1 for the lowest."""
    lowest = times.min(axis=1, keepdims=True)
    with np.errstate(invalid="ignore"):  # of no way at all
        shares = np.where(np.isinf(times), 0.0, (times / lowest) ** (-1 / SOFTNESS))
    sums: Floats = np.maximum(shares.sum(axis=1, keepdims=True), 1.0)
    return shares / sums


class Choices(NamedTuple):
    """The choices of auto, a row for each: for plans and for functions, of each problem."""

    ways: NDArray[np.intp]
    """The row of each way's time in the model; -1 stands for no further way."""
    layouts: NDArray[np.intp]
    """The row of the time to lay out its weights; -1 stands for none."""
    algorithms: NDArray[np.intp]
    """The number of its algorithm. Only the way with the lowest time of each, without its layout, is taken."""
    losses: Floats
    """The logarithm of its time over that of the fastest."""

    def mean_loss(self, estimates: Floats) -> tuple[float, Floats]:
        """Return about the mean loss of auto's choices, and its slope by the estimates.

        Of each algorithm, ways are taken in shares, nearly all of it the one with the lowest estimate. Algorithms too
        are taken in shares, by the mean totals of their ways. The slopes follow by the chain rule.
        """
        with_none = np.append(estimates, 0.0)
        times = np.where(self.ways < 0, np.inf, with_none[self.ways])
        layouts = with_none[self.layouts]
        members = [self.algorithms == number for number in range(self.algorithms.max() + 1)]
        of_ways = sum(shares_of(np.where(of, times, np.inf)) for of in members)
        times = np.where(self.ways < 0, 1.0, times)  # of no share

        def mean(values: Floats) -> Floats:
            return np.stack([(of_ways * values * of).sum(axis=1) for of in members], axis=1)

        def of_each_way(values: Floats) -> Floats:
            return np.take_along_axis(values, np.maximum(self.algorithms, 0), axis=1)

        totals, losses = mean(times + layouts), mean(self.losses)
        shares = shares_of(np.where(totals > 0, totals, np.inf))
        loss = (shares * losses).sum(axis=1, keepdims=True)
        by_total = -shares * (losses - loss) / np.where(totals > 0, totals, 1.0) / SOFTNESS
        effect = of_each_way(by_total) * (times + layouts) + of_each_way(shares) * self.losses
        by_share = of_each_way(by_total * totals + shares * losses) - effect
        by_layout = of_ways * of_each_way(by_total)
        slope = np.zeros_like(with_none)
        np.add.at(slope, self.ways, (by_layout + of_ways * by_share / times / SOFTNESS) / len(loss))
        np.add.at(slope, self.layouts, by_layout / len(loss))
        return float(loss.mean()), slope[:-1]


class Model:
    """All observed times. The estimates are a matrix, with a row for each time, times the rates."""

    def __init__(self, timings: Sequence[Timing]) -> None:
        self.rows: list[Row] = []
        choices = [choice for timing in timings for choice in self._add(timing)]
        self.choices = Choices(*map(padded, zip(*choices)))
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

    def _add(self, timing: Timing) -> list[tuple[list[Any], ...]]:
        """Add the rows of a problem; return its choices."""
        ways = candidates(OPS[timing.op], timing.geometry)
        plan = timing.totals(prepared=True)
        fastest = min(plan.values())
        rows: list[int] = []
        layouts: list[int] = []
        for way in ways:
            weight = (fastest / plan[way.name]) ** NEARNESS
            rows.append(self._add_row(plan[way.name], way.work, weight))
            work = way.layout_work()
            layouts.append(self._add_row(timing.layouts[way.name], work, weight) if work else -1)
        names = [way.name for way in ways]
        algorithms = [way.algorithm for way in ways]
        numbers = [algorithms.index(algorithm) for algorithm in algorithms]
        none = [-1] * len(ways)
        return [
            (rows, none, list(range(len(ways))), losses_of(names, timing.totals(prepared=True))),
            (rows, layouts, numbers, losses_of(names, timing.totals(prepared=False))),
        ]

    def _add_row(self, seconds: float, work: costs.Work, weight: float) -> int:
        """Add an observed time; return its number."""
        self.rows.append(Row(1e9 * seconds, work, weight))
        return len(self.rows) - 1

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
            # the triangle of the QR decomposition has the same solution, and as few rows as there are rates
            triangle = np.asarray(np.linalg.qr(np.column_stack([matrix / unit, self.times * scale]), mode="r"))
            found = nnls(triangle[:, :-1], triangle[:, -1], maxiter=100 * len(unit))[0] / unit
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
        amounts = np.ascontiguousarray(self.amounts[:, used])

        def of_logarithms(logarithms: Floats) -> tuple[float, Floats]:
            found = np.exp(np.clip(logarithms, -LARGEST_LOGARITHM, LARGEST_LOGARITHM))
            total, slope = self.objective(amounts @ found)
            return total, (slope @ amounts) * found

        best = minimize(of_logarithms, np.log(start[used]), jac=True, method="L-BFGS-B", options={"maxiter": 500})
        start[used] = np.exp(best.x)
        return dict(zip(self.rates, start.tolist()))


def all_work() -> costs.Work:
    """Return an example of all work that the table has rates for."""
    geometry = Geometry.from_shapes((1, 2, 8, 8), (2, 2, 3, 3))
    counts, by_scipy = Counts(geometry), fft_ways("weight_gradient", geometry)[0]
    work = [(name, terms) for kernel in KERNELS for name, terms in (*kernel.work(counts), *kernel.layout_work(counts))]
    phases = costs.PhaseCounts(products=0.0, rows=0, elements=0, read=0, shared=0)
    return (
        *work,
        ("depthwise_channels", costs.depthwise_channels(counts)),
        ("weight_gradient_depthwise", costs.weight_gradient_depthwise(counts)),
        ("moving", costs.moving(1)),
        ("turning", costs.turning(counts)),
        ("phases", costs.phases(phases)),
        ("phases_layout", costs.phases_layout(0.0, 0)),
        *by_scipy.work,
    )


def complete_table() -> None:
    """Give new kernels and terms a rate of 1, leave out those that are gone, and put terms into their order."""
    work = dict(all_work())
    for name in set(rates.RATES) - set(work):
        del rates.RATES[name]
    for name, terms in work.items():
        old = rates.RATES.get(name, {})
        rates.RATES[name] = {term: old.get(term, (1.0,) * len(rates.COLUMNS)) for term in terms}
    costs.forget_rates()


def check_origin(origin: Origin) -> None:
    """Raise ValueError unless rates from timings of this origin may be written to the column of its instruction set."""
    cores = rates.BLAS_CORES.get(origin.isa, ())
    if origin.blas not in cores:
        names = " or ".join(cores) or "none"
        raise ValueError(
            f"rates for {origin.isa} are those beside a BLAS for {names}, but these timings are beside one for "
            f"{origin.blas}: time again with OPENBLAS_CORETYPE={cores[0] if cores else '...'}"
        )
    if (origin.dtype, origin.threads) != ("float32", 1):
        raise ValueError(f"rates are for float32 on 1 thread; these timings are of {origin.dtype} on {origin.threads}")


def install(fitted: dict[Rate, float]) -> None:
    """Put rates into the column of the instruction set in use, rounded, as if they had been written there."""
    for (name, term), rate in fitted.items():
        column = rates.column_of(name, _gemmconv.isa(), gemm_path())
        row = list(rates.RATES[name][term])
        row[column] = float(f"{rate:.3g}")
        rates.RATES[name][term] = tuple(row)
    costs.forget_rates()


def table() -> str:
    """Return the table of rates as Python."""
    lines = ["RATES: dict[str, dict[str, tuple[float, ...]]] = {"]
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
    try:
        run(arguments.files, arguments.check, write=arguments.write)
    except ValueError as error:
        parser.error(str(error))


def run(files: Sequence[Path], check: Sequence[Path], *, write: bool) -> None:
    """Fit the table to files, and report on these and on others; raise ValueError where they cannot serve for that."""
    if write and files:
        check_origin(load_origin(files))
    complete_table()
    timings, others = load_timings(files), load_timings(check)
    report(timings, "before")
    report(others, "before, of --check")
    for _ in range(2 if timings else 0):  # the work of phases depends on the rates of other kernels
        install(Model(timings).fit())
    if timings:
        report(timings, "after")
        report(others, "after, of --check")
    if write:
        write_table()
    elif timings:
        print(table(), end="")


if __name__ == "__main__":
    main()
