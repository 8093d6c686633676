"""What a run of the benchmark found, the statistics of it, and its form in JSON.

The JSON object of `Results.as_json` has these members. Times are in seconds, speeds in GFLOP/s, and
what could not be determined is ``null``.

``schema``
    2; another number if the meaning of a member changes.
``machine``
    ``cpu``, ``platform``, ``processors`` (that may be used), ``instruction_set`` (that gemmconv uses),
    ``peak_gflops`` (of one core for each thread, in the dtype of the run), ``bandwidth_gbytes``
    (10**9 bytes per second that these threads read and write in copying) and ``environment``: name -> value of the
    variables that are set and change how fast a library is (`ENVIRONMENT` in environment.py).
``versions``
    Name of the software -> version.
``arguments``
    ``op`` (what was computed; where it is absent, as in older files, "forward"), ``layout`` (likewise,
    "channels_first"), ``suite``, ``match``, ``dtype``, ``rounds``, ``seconds``, ``threads``, ``reuse``,
    ``network`` (whether ``networks`` were timed, and not ``rows``).
``complete``
    False if the run was interrupted: then rows are missing.
``libraries``
    Name -> ``version``, and ``failure``: why it could not be loaded, or was left out.
``rows``
    One object per problem: ``name``, ``suite``, ``count`` (how often the network has the layer),
    ``problem`` (a line as in a suite), ``output_shape`` (of what is computed), ``flops`` (of its direct sum),
    ``comparisons`` (group -> ``ours``, ``peer``: the fastest other library of that group, and ``ratio``: its time over
    ours, median of the rounds) and ``libraries``: name -> object with

    ``status``
        "timed", "inexact" (it is timed, but is in no comparison and no sum), "wrong" (output), "failed", "skipped" or
        "missing" (library).
    ``checked``
        True: the whole output is right; false: it is not; null: there is none.
    ``why``
        Why it is not timed, or inexact.
    ``error``, ``rms_error``
        The largest error of an element, against float64, and the root mean square of all errors, over the root mean
        square of the output.
    ``median_seconds``, ``minimum_seconds``, ``rounds``
        Of all calls; and the median of each round.
    ``gflops``, ``fraction_of_peak``
        Of the median.
``totals``
    One object per suite: ``suite``, ``layers`` (measured, counted as often as the network has them),
    ``layers_of_network``, ``seconds`` (name of library -> sum of its medians times their counts, null
    if a layer that counts is not timed, or none counts), and by group the ``comparisons`` of those sums
    with the least of the others', and the ``geometric_mean_ratios`` over all rows of the suite.
``networks``
    One object per network whose layers were timed one after another (``--network``), then without ``rows`` and
    ``totals``: ``suite``, ``layers``, ``layers_of_network``, ``flops``, ``comparisons`` and ``libraries``, as above.

The groups are "functional", "prepared", and of the latter "prepared_nchw", the libraries that take and return plain
arrays, and "prepared_own_layout", the others.
"""

from __future__ import annotations

import statistics
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

from .operations import OPERATIONS
from .peers import GROUPS, OURS
from .problems import CHANNELS_FIRST, CHANNELS_LAST, Problem, load_suite

# The status of a measurement that counts.
TIMED = "timed"

#: Status of a measurement -> whether the whole output is right.
CHECKED = {TIMED: True, "inexact": True, "wrong": False, "failed": None, "skipped": None, "missing": None}


@dataclass(frozen=True)
class Library:
    """A library of the run: its version, or why it could not be loaded or was left out."""

    version: str | None = None
    failure: str | None = None


@dataclass(frozen=True)
class Measurement:
    """One problem computed by one library, its members as in the JSON; `rounds` has the seconds of every call."""

    status: str
    why: str | None = None
    error: float | None = None
    rms_error: float | None = None
    rounds: Sequence[Sequence[float]] = ()

    @property
    def is_right(self) -> bool:
        """Whether the output is right, so that it may be timed."""
        return CHECKED[self.status] is True

    @property
    def counts(self) -> bool:
        """Whether it takes part in comparisons and sums."""
        return self.status == TIMED

    def joined(self, other: Measurement) -> Measurement:
        """Return the worse of two without times, with the larger errors: that of one library and both problems."""
        if not other.is_right:
            return other
        worse = other if self.counts else self
        errors = {name: max(getattr(self, name), getattr(other, name)) for name in ("error", "rms_error")}
        return replace(worse, **errors)

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


class Timed(ABC):
    """What every library has computed: a problem, or a whole network."""

    measurements: dict[str, Measurement]

    @property
    @abstractmethod
    def name(self) -> str:
        """Name of the problem or of the network."""

    @property
    @abstractmethod
    def flops(self) -> int:
        """Floating-point operations of the direct sums."""

    def ratio(self, ours: str, peer: str) -> float | None:
        """Return the time of a library over ours; None if one of them is not timed.

        The ratio of the medians is taken in each round; the median of these ratios counts.
        """
        both = [self.measurements[name].rounds for name in (ours, peer) if name in self.measurements]
        rounds = [[statistics.median(calls) for calls in found] for found in both]
        ratios = [theirs / own for own, theirs in zip(*rounds)] if len(both) == 2 else []
        return statistics.median(ratios) if ratios else None

    def comparison(self, group: str) -> Comparison | None:
        """Compare our library with the fastest other one of a group: None where we or all others do not count.

        The fastest library is the one with the smallest ratio.
        """
        ours = OURS[GROUPS[group].kind]
        counted = [name for name, found in self.measurements.items() if found.counts]
        if ours not in counted:
            return None
        ratios = {name: self.ratio(ours, name) for name in counted if name != ours and GROUPS[group].has(name)}
        peer = least(ratios)
        return Comparison(ours, peer, ratios[peer] or 0) if peer else None

    def gflops(self, library: str) -> float | None:
        """Return the speed of a library: 10**9 operations per second by the median time."""
        median = self.measurements[library].median
        return None if median is None else self.flops / median / 1e9


@dataclass(frozen=True)
class Row(Timed):
    """One problem, computed by every library."""

    problem: Problem
    measurements: dict[str, Measurement]

    @property
    def name(self) -> str:
        """Name of the problem."""
        return self.problem.name

    @property
    def flops(self) -> int:
        """Floating-point operations of the direct sum."""
        return self.problem.flops


@dataclass(frozen=True)
class Network(Timed):
    """The layers of a network one after another, each as often as the network has it, computed by every library."""

    suite: str
    problems: list[Problem]
    measurements: dict[str, Measurement]

    @property
    def name(self) -> str:
        """Name of the network."""
        return self.suite

    @property
    def flops(self) -> int:
        """Floating-point operations of the direct sums of all layers."""
        return sum(problem.flops * problem.count for problem in self.problems)

    @property
    def layers(self) -> int:
        """Number of layers."""
        return sum(problem.count for problem in self.problems)


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
        return layers_of_network(self.suite)

    @property
    def flops(self) -> int:
        """Floating-point operations of the layers measured."""
        return sum(row.problem.flops * row.problem.count for row in self.rows)

    def seconds(self, library: str) -> float | None:
        """Sum the medians of a library, each as often as the network has the layer.

        The sum is None where nothing counts, or something that counts is not timed: part of a sum would mislead.
        """
        counted = [row for row in self.rows if row.problem.count]
        times = [(row.problem.count, row.measurements[library]) for row in counted]
        known = [count * found.median for count, found in times if found.counts and found.median is not None]
        return sum(known) if known and len(known) == len(times) else None

    def comparison(self, group: str) -> Comparison | None:
        """Compare our total time with the least of the other libraries of a group."""
        name = OURS[GROUPS[group].kind]
        totals = {peer: self.seconds(peer) for peer in self.rows[0].measurements if GROUPS[group].has(peer)}
        totals.pop(name, None)
        ours = self.seconds(name) if name in self.rows[0].measurements else None
        peer = least(totals)
        return Comparison(name, peer, (totals[peer] or 0) / ours) if ours and peer else None

    def geometric_mean_ratio(self, group: str) -> float | None:
        """Return the geometric mean of the ratios of the rows."""
        ratios = [found.ratio for row in self.rows if (found := row.comparison(group)) is not None]
        return statistics.geometric_mean(ratios) if ratios else None


@dataclass
class Results:
    """A whole run, its members as in the JSON; it is complete when every problem is measured."""

    machine: dict[str, Any]
    versions: dict[str, str]
    arguments: dict[str, Any]
    libraries: dict[str, Library] = field(default_factory=dict)
    rows: list[Row] = field(default_factory=list)
    networks: list[Network] = field(default_factory=list)
    complete: bool = False

    @property
    def op(self) -> str:
        """What of each problem was computed, a key of `OPERATIONS`."""
        op: str = self.arguments["op"]
        return op

    @property
    def channels_last(self) -> bool:
        """Whether the channels of all arrays are last."""
        return bool(self.arguments.get("layout", CHANNELS_FIRST) == CHANNELS_LAST)

    @property
    def totals(self) -> list[Total]:
        """One total per suite, in the order of the run."""
        suites = dict.fromkeys(row.problem.suite for row in self.rows)
        return [Total(suite, [row for row in self.rows if row.problem.suite == suite]) for suite in suites]

    @property
    def ours_is_right(self) -> bool:
        """Whether gemmconv computed every problem, and rightly."""
        ours = [name for name in OURS.values() if name in self.libraries]
        timed: list[Timed] = [*self.rows, *self.networks]
        return bool(ours) and all(found.measurements[name].counts for found in timed for name in ours)

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
            "networks": [self._network_as_json(network) for network in self.networks],
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
            "libraries": self._measurements_as_json(row),
        }

    def _network_as_json(self, network: Network) -> dict[str, Any]:
        return {
            "suite": network.suite,
            "layers": network.layers,
            "layers_of_network": layers_of_network(network.suite),
            "flops": network.flops,
            "comparisons": comparisons_as_json(network),
            "libraries": self._measurements_as_json(network),
        }

    def _measurements_as_json(self, timed: Timed) -> dict[str, Any]:
        return {name: self._measurement_as_json(timed, name) for name in timed.measurements}

    def _measurement_as_json(self, timed: Timed, library: str) -> dict[str, Any]:
        measurement = timed.measurements[library]
        gflops = timed.gflops(library)
        return {
            "status": measurement.status,
            "checked": CHECKED[measurement.status],
            "why": measurement.why,
            "error": measurement.error,
            "rms_error": measurement.rms_error,
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
            "geometric_mean_ratios": {group: total.geometric_mean_ratio(group) for group in GROUPS},
        }


def comparisons_as_json(compared: Timed | Total) -> dict[str, Any]:
    """Return the comparisons of a row, a network or a total by group."""
    found = {group: compared.comparison(group) for group in GROUPS}
    return {group: None if comparison is None else comparison._asdict() for group, comparison in found.items()}


def layers_of_network(suite: str) -> int:
    """Return the number of layers of a whole network."""
    return sum(problem.count for problem in load_suite(suite))
