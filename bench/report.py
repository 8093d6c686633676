"""The results of a run as tables: one per suite, losses as plain to see as gains."""

from __future__ import annotations

from collections.abc import Iterator

from .peers import OURS, RIVAL
from .results import Measurement, Results, Row, Total
from .terminal import Cell, Table

NOTHING = Cell("-")
MISTAKE = "bold red"

#: What stands in place of a time that was not measured.
INSTEAD_OF_TIME = {
    "wrong": Cell("WRONG", MISTAKE),
    "failed": Cell("FAILED", MISTAKE),
    "skipped": NOTHING,
    "missing": NOTHING,
}


def format_milliseconds(seconds: float | None) -> str:
    """Write a time in milliseconds, to about four digits.

    Parameters
    ----------
    seconds : float or None
        The time.

    Returns
    -------
    str
        Three to one decimals, ``"-"`` for None.
    """
    if seconds is None:
        return "-"
    milliseconds = 1e3 * seconds
    decimals = 3 if milliseconds < 10 else 2 if milliseconds < 100 else 1
    return f"{milliseconds:.{decimals}f}"


def format_ratio(ratio: float | None) -> Cell:
    """Write a ratio of times, green where gemmconv is not slower, red where it is.

    Parameters
    ----------
    ratio : float or None
        Time of the rival over our own.

    Returns
    -------
    Cell
    """
    if ratio is None:
        return NOTHING
    return Cell(f"{ratio:.2f}x", "green" if round(ratio, 2) >= 1 else "red")


def make_tables(results: Results) -> list[Table]:
    """Make one table per suite.

    Parameters
    ----------
    results : Results
        The run.

    Returns
    -------
    list of Table
    """
    return [_make_table(results, total) for total in results.totals]


def _make_table(results: Results, total: Total) -> Table:
    shown = [name for name, library in results.libraries.items() if not library.failure]
    if OURS not in shown:
        shown.insert(0, OURS)
    peak = results.machine["peak_gflops"]
    headers = ["\nlayer", "\nx"]
    for name in shown:
        headers += [f"{name}\nms", "\nGFLOP/s", *(["of\npeak"] if name == OURS else [])]
    versus = RIVAL in shown
    if versus:
        headers.append(f"vs\n{RIVAL}")
    rows = []
    for row in total.rows:
        cells = [Cell(row.problem.name), Cell(str(row.problem.count or "-"))]
        for name in shown:
            cells += _measurement_cells(row.measurements[name], row.gflops(name), name, peak)
        rows.append([*cells, format_ratio(row.ratio)] if versus else cells)
    return Table(_title(total), headers, rows, _footer(total, shown, peak, versus))


def _title(total: Total) -> str:
    if not total.layers:
        return total.suite
    return f"{total.suite}: {total.layers} of {total.layers_of_network} layers"


def _measurement_cells(measurement: Measurement, gflops: float | None, name: str, peak: float) -> list[Cell]:
    """Time, speed and, for our own library, the part of the peak."""
    time = INSTEAD_OF_TIME.get(measurement.status, Cell(format_milliseconds(measurement.median)))
    return [time, *_speed_cells(gflops, name, peak)]


def _speed_cells(gflops: float | None, name: str, peak: float) -> list[Cell]:
    speed = NOTHING if gflops is None else Cell(f"{gflops:.1f}")
    part = NOTHING if gflops is None else Cell(f"{100 * gflops / peak:.0f}%")
    return [speed, part] if name == OURS else [speed]


def _footer(total: Total, shown: list[str], peak: float, versus: bool) -> list[list[Cell]]:
    """Make the lines for the sum over the network, if it is one, and the mean of the ratios."""
    footer = []
    width = 2 + sum(len(_speed_cells(None, name, peak)) + 1 for name in shown)
    if total.layers:
        cells = [Cell("total"), Cell(str(total.layers))]
        for name in shown:
            seconds = total.seconds(name)
            gflops = total.flops / seconds / 1e9 if seconds else None
            cells += [Cell(format_milliseconds(seconds)), *_speed_cells(gflops, name, peak)]
        footer.append([*cells, format_ratio(total.ratio)] if versus else cells)
    if versus:
        blank = [Cell("")] * (width - 1)
        mean = format_ratio(total.geometric_mean_ratio)
        footer.append([Cell("geometric mean"), *blank, mean])
    return footer


def make_heading(results: Results) -> str:
    """Say what was measured, and where.

    Parameters
    ----------
    results : Results
        The run.

    Returns
    -------
    str
        Two lines.
    """
    machine, arguments = results.machine, results.arguments
    libraries = [f"{name} {found.version}" for name, found in results.libraries.items() if found.version]
    return (
        f"{machine['cpu']}, {machine['instruction_set']}, peak of {arguments['threads']} core(s), {arguments['dtype']}:"
        f" {machine['peak_gflops']:.1f} GFLOP/s\n"
        f"{', '.join(libraries)}; threads: {arguments['threads']}, rounds: {arguments['rounds']}"
    )


def make_notes(results: Results) -> list[str]:
    """Say what is not in the tables, and why.

    Parameters
    ----------
    results : Results
        The run.

    Returns
    -------
    list of str
        One line each: wrong outputs, failures, what was skipped, libraries that are missing.
    """
    notes = [f"{name} is missing: {library.failure}" for name, library in results.libraries.items() if library.failure]
    notes += [note for row in results.rows for note in _row_notes(row)]
    if not results.complete:
        notes.append("interrupted: some problems are missing")
    return notes


def _row_notes(row: Row) -> Iterator[str]:
    for name, measurement in row.measurements.items():
        if measurement.why and measurement.status != "missing":
            yield f"{name} {measurement.status} {row.problem.name}: {measurement.why}"


def make_legend(results: Results) -> str:
    """Explain the columns.

    Parameters
    ----------
    results : Results
        The run.

    Returns
    -------
    str
        A few lines.
    """
    lines = [
        "Every output was compared, whole, with that of gemmconv.reference before it was timed.",
        "x: how often the network has it. ms: median of all calls. GFLOP/s: operations of the direct sum over ms.",
    ]
    if RIVAL in results.libraries and not results.libraries[RIVAL].failure:
        lines.append(
            f"vs {RIVAL}: time of {RIVAL} over time of {OURS}, median of the rounds; below 1.00x {OURS} is slower."
        )
    return "\n".join(lines)
