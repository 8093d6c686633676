"""A run beside an earlier one: which of our own layers have become slower or faster.

Machines drift and differ: what is compared is the share of the peak, which every run measures at its start.
"""

from __future__ import annotations

import json
import statistics
from pathlib import Path
from typing import Any, NamedTuple

from .operations import FORWARD
from .peers import OURS
from .problems import CHANNELS_FIRST
from .results import Results
from .terminal import Cell, Table

# A smaller difference of one layer is noise.
LAYER_NOISE = 0.15
# A larger loss of the geometric mean is more than noise.
MEAN_NOISE = 0.05

# Arguments that both runs must share.
ALIKE = ("op", "layout", "dtype", "threads", "reuse")

# The arguments of files that do not name them.
FORMER = {"op": FORWARD, "layout": CHANNELS_FIRST, "dtype": "float32"}


class Change(NamedTuple):
    """The share of the peak of a layer, earlier and now."""

    layer: str
    library: str
    earlier: float
    now: float

    @property
    def ratio(self) -> float:
        """How many times as fast as earlier."""
        return self.now / self.earlier


def read_results(file: str) -> dict[str, Any]:
    """Read what ``gemmconv bench --json`` wrote, or raise ValueError saying why the file is no such thing."""
    try:
        results = json.loads(Path(file).read_text(encoding="utf-8"))
    except OSError as error:
        raise ValueError(f"cannot read {file}: {error.strerror}") from error
    except ValueError as error:
        raise ValueError(f"{file} is not JSON: {error}") from error
    if not isinstance(results, dict) or results.get("schema") != 2:
        raise ValueError(f"{file} is not the JSON of a run of this benchmark")
    return results


def check_arguments(earlier: dict[str, Any], arguments: dict[str, Any]) -> None:
    """Raise ValueError unless a run with these arguments is measured as the earlier one was."""
    for name in ALIKE:
        before, now = earlier["arguments"].get(name, FORMER.get(name)), arguments[name]
        if before != now:
            raise ValueError(f"the run to compare with has {name} {before}, this one {now}")


def changes(earlier: dict[str, Any], results: Results) -> list[Change]:
    """Compare the layers that both runs timed; `earlier` is the JSON of a run."""
    rows = {row["problem"]: row["libraries"] for row in earlier["rows"]}
    found = []
    for row in results.rows:
        before = rows.get(row.problem.line, {})
        for name in OURS.values():
            speed = row.gflops(name) if name in row.measurements else None
            part = before.get(name, {}).get("fraction_of_peak")
            if speed and part:
                found.append(Change(row.problem.name, name, part, speed / results.machine["peak_gflops"]))
    return found


def mean_ratio(found: list[Change]) -> float:
    """Return how many times as fast as earlier the layers are in the geometric mean; 1 for none."""
    return statistics.geometric_mean([change.ratio for change in found]) if found else 1.0


def why_slower(found: list[Change]) -> str | None:
    """Say that the layers are slower than earlier in the mean, beyond noise; None if they are not."""
    mean, limit = mean_ratio(found), 1 - MEAN_NOISE
    if mean >= limit:
        return None
    return f"slower than the earlier run: the geometric mean of the speeds is {mean:.3f}x, less than {limit:.2f}x"


def make_table(op: str, found: list[Change]) -> Table:
    """Make the table of all changes, those beyond noise in colour."""
    rows = []
    for change in found:
        style = "" if abs(change.ratio - 1) < LAYER_NOISE else "green" if change.ratio > 1 else "red"
        ratio = Cell(f"{change.ratio:.2f}x", style)
        parts = [Cell(f"{100 * part:.0f}%") for part in (change.earlier, change.now)]
        rows.append([Cell(change.layer), Cell(change.library), *parts, ratio])
    mean = [Cell("geometric mean"), Cell(""), Cell(""), Cell(""), Cell(f"{mean_ratio(found):.2f}x")]
    headers = ["layer", "", "earlier", "now", "speed"]
    return Table(f"{op}: share of the peak, earlier and now", headers, rows, [mean])
