"""What a run of the benchmark found, the statistics of it, and its form in JSON.

The JSON object of `Results.as_json` has these members. Times are in seconds, speeds in GFLOP/s, and
what could not be determined is ``null``.

``schema``
    2; another number if the meaning of a member changes.
``machine``
    ``cpu``, ``platform``, ``processors`` (that may be used), ``instruction_set`` (that gemmconv uses),
    ``peak_gflops`` (of one core for each thread, in the dtype of the run) and ``bandwidth_gbytes``
    (10**9 bytes per second that these threads read and write in copying).
``versions``
    Name of the software -> version.
``arguments``
    ``op`` (what was computed; where it is absent, as in older files, "forward"), ``suite``, ``match``, ``dtype``,
    ``rounds``, ``seconds``, ``threads``, ``reuse``.
``complete``
    False if the run was interrupted: then rows are missing.
``libraries``
    Name -> ``version``, and ``failure``: why it could not be loaded.
``rows``
    One object per problem: ``name``, ``suite``, ``count`` (how often the network has the layer),
    ``problem`` (as in the suite), ``output_shape`` (of what is computed), ``flops`` (of its direct sum),
    ``comparisons`` (kind -> ``ours``, ``peer``: the fastest other library of that kind, and ``ratio``: its time over
    ours, median of the rounds) and ``libraries``: name -> object with

    ``status``
        "timed", "wrong" (output), "failed", "skipped" or "missing" (library).
    ``checked``
        True: the whole output is right; false: it is not; null: there is none.
    ``why``
        Why it is not timed.
    ``error``
        The largest error of an element, against float64, over the root mean square of the output.
    ``median_seconds``, ``minimum_seconds``, ``rounds``
        Of all calls; and the median of each round.
    ``gflops``, ``fraction_of_peak``
        Of the median.
``totals``
    One object per suite: ``suite``, ``layers`` (measured, counted as often as the network has them),
    ``layers_of_network``, ``seconds`` (name of library -> sum of its medians times their counts, null
    if a layer that counts is not timed, or none counts), and by kind the ``comparisons`` of those sums
    with the least of the others', and the ``geometric_mean_ratios`` over all rows of the suite.
"""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from .operations import OPERATIONS
from .peers import KINDS, OURS, kind_of
from .problems import Problem, load_suite

#: Status of a measurement -> whether the whole output is right.
CHECKED = {"timed": True, "wrong": False, "failed": None, "skipped": None, "missing": None}


@dataclass(frozen=True)
class Library:
    """A library of the run: its version, or why it could not be loaded."""

    version: str | None = None
    failure: str | None = None


@dataclass(frozen=True)
class Measurement:
    """One problem computed by one library, its members as in the JSON; `rounds` has the seconds of every call."""

    status: str
    why: str | None = None
    error: float | None = None
    rounds: Sequence[Sequence[float]] = ()

    @property
    def median(self) -> float | None:
        """Median of the seconds of all calls."""
        calls = [seconds for calls in self.rounds for seconds in calls]
        return statistics.median(calls) if calls else None

    @property
    def minimum(self) -> float | None:
        """Seconds of the fastest call."""
        return min((min(calls) for calls in self.rounds), default=None)


class Comparison(NamedTuple):
    """Our library and the fastest other: the time of `peer` over that of `ours`; above 1 we are faster."""

    ours: str
    peer: str
    ratio: float


def least(numbers: dict[str, float | None]) -> str | None:
    """Return the name with the least number; None if there is none."""
    known = {name: number for name, number in numbers.items() if number is not None}
    return min(known, key=lambda name: known[name]) if known else None


@dataclass(frozen=True)
class Row:
    """One problem, computed by every library."""

    problem: Problem
    measurements: dict[str, Measurement]

    def comparison(self, kind: str) -> Comparison | None:
        """Compare our library with the fastest other one of a kind: None where we or all others are not timed.

        The ratio of the medians is taken in each round; the median of these ratios counts. The fastest library is the
        one with the smallest.
        """
        ours = self.measurements.get(OURS[kind])
        if ours is None or not ours.rounds:
            return None
        ratios: dict[str, float | None] = {
            name: statistics.median(
                statistics.median(theirs) / statistics.median(own) for own, theirs in zip(ours.rounds, found.rounds)
            )
            for name, found in self.measurements.items()
            if kind_of(name) == kind and name != OURS[kind] and found.rounds
        }
        peer = least(ratios)
        return Comparison(OURS[kind], peer, ratios[peer] or 0) if peer else None

    def gflops(self, library: str) -> float | None:
        """Return the speed of a library: 10**9 operations per second by the median time."""
        median = self.measurements[library].median
        return None if median is None else self.problem.flops / median / 1e9


@dataclass(frozen=True)
class Total:
    """The sum over a network, or over those of its layers that were measured."""

    suite: str
    rows: list[Row]

    @property
    def layers(self) -> int:
        """Number of layers measured, each counted as often as the network has it."""
        return sum(row.problem.count for row in self.rows)

    @property
    def layers_of_network(self) -> int:
        """Number of layers of the whole network."""
        return sum(problem.count for problem in load_suite(self.suite))

    @property
    def flops(self) -> int:
        """Floating-point operations of the layers measured."""
        return sum(row.problem.flops * row.problem.count for row in self.rows)

    def seconds(self, library: str) -> float | None:
        """Sum the medians of a library, each as often as the network has the layer.

        The sum is None where nothing counts, or something that counts is not timed: part of a sum would mislead.
        """
        counted = [row for row in self.rows if row.problem.count]
        times = [(row.problem.count, row.measurements[library].median) for row in counted]
        known = [count * median for count, median in times if median is not None]
        return sum(known) if known and len(known) == len(times) else None

    def comparison(self, kind: str) -> Comparison | None:
        """Compare our total time with the least of the other libraries of a kind."""
        totals = {name: self.seconds(name) for name in self.rows[0].measurements if kind_of(name) == kind}
        ours = totals.pop(OURS[kind], None)
        peer = least(totals)
        return Comparison(OURS[kind], peer, (totals[peer] or 0) / ours) if ours and peer else None

    def geometric_mean_ratio(self, kind: str) -> float | None:
        """Return the geometric mean of the ratios of the rows."""
        ratios = [found.ratio for row in self.rows if (found := row.comparison(kind)) is not None]
        return statistics.geometric_mean(ratios) if ratios else None


@dataclass
class Results:
    """A whole run, its members as in the JSON; it is complete when every problem is measured."""

    machine: dict[str, Any]
    versions: dict[str, str]
    arguments: dict[str, Any]
    libraries: dict[str, Library] = field(default_factory=dict)
    rows: list[Row] = field(default_factory=list)
    complete: bool = False

    @property
    def op(self) -> str:
        """What of each problem was computed, a key of `OPERATIONS`."""
        op: str = self.arguments["op"]
        return op

    @property
    def totals(self) -> list[Total]:
        """One total per suite, in the order of the run."""
        suites = dict.fromkeys(row.problem.suite for row in self.rows)
        return [Total(suite, [row for row in self.rows if row.problem.suite == suite]) for suite in suites]

    @property
    def ours_is_right(self) -> bool:
        """Whether gemmconv computed every problem, and rightly."""
        ours = [name for name in OURS.values() if name in self.libraries]
        return bool(ours) and all(row.measurements[name].status == "timed" for row in self.rows for name in ours)

    def as_json(self) -> dict[str, Any]:
        """Put the results into what `json.dump` takes; see the head of this module."""
        return {
            "schema": 2,
            "machine": self.machine,
            "versions": self.versions,
            "arguments": self.arguments,
            "complete": self.complete,
            "libraries": {name: vars(library) for name, library in self.libraries.items()},
            "rows": [self._row_as_json(row) for row in self.rows],
            "totals": [self._total_as_json(total) for total in self.totals],
        }

    def _row_as_json(self, row: Row) -> dict[str, Any]:
        problem = row.problem
        return {
            "name": problem.name,
            "suite": problem.suite,
            "count": problem.count,
            "problem": problem.line,
            "output_shape": list(OPERATIONS[self.op].result_shape(problem)),
            "flops": problem.flops,
            "comparisons": comparisons_as_json(row),
            "libraries": {name: self._measurement_as_json(row, name) for name in row.measurements},
        }

    def _measurement_as_json(self, row: Row, library: str) -> dict[str, Any]:
        measurement = row.measurements[library]
        gflops = row.gflops(library)
        return {
            "status": measurement.status,
            "checked": CHECKED[measurement.status],
            "why": measurement.why,
            "error": measurement.error,
            "median_seconds": measurement.median,
            "minimum_seconds": measurement.minimum,
            "rounds": [statistics.median(calls) for calls in measurement.rounds],
            "gflops": gflops,
            "fraction_of_peak": None if gflops is None else gflops / self.machine["peak_gflops"],
        }

    def _total_as_json(self, total: Total) -> dict[str, Any]:
        return {
            "suite": total.suite,
            "layers": total.layers,
            "layers_of_network": total.layers_of_network,
            "seconds": {name: total.seconds(name) for name in self.libraries},
            "comparisons": comparisons_as_json(total),
            "geometric_mean_ratios": {kind: total.geometric_mean_ratio(kind) for kind in KINDS},
        }


def comparisons_as_json(compared: Row | Total) -> dict[str, Any]:
    """Return the comparisons of a row or a total by kind."""
    found = {kind: compared.comparison(kind) for kind in KINDS}
    return {kind: None if comparison is None else comparison._asdict() for kind, comparison in found.items()}
