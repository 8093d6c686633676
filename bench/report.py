"""The results of a run as tables: one per suite, losses as plain to see as gains."""

from __future__ import annotations

from .peers import FUNCTIONAL, GROUPS, OURS, PREPARED, entry_of
from .results import Measurement, Network, Results, Row, Timed, Total, layers_of_network
from .terminal import Cell, Table

NOTHING = Cell("-")
MISTAKE = "bold red"

# Stands after a time that does not count.
INEXACT = "*"

#: Name of a group that has columns -> what the other libraries of it are called.
COLUMNS = {"functional": "functional", "prepared_nchw": "prepared", "prepared_own_layout": "own layout"}
#: The same if the channels of all arrays are last: then no other library has a layout of its own.
COLUMNS_CHANNELS_LAST = {"functional": "functional", "prepared": "prepared"}

#: What stands in place of a time that was not measured.
INSTEAD_OF_TIME = {
    "wrong": Cell("WRONG", MISTAKE),
    "failed": Cell("FAILED", MISTAKE),
    "skipped": NOTHING,
    "missing": NOTHING,
}


def format_milliseconds(seconds: float | None) -> str:
    """Write a time in milliseconds, to about four digits."""
    if seconds is None:
        return "-"
    milliseconds = 1e3 * seconds
    decimals = 3 if milliseconds < 10 else 2 if milliseconds < 100 else 1
    return f"{milliseconds:.{decimals}f}"


def format_ratio(ratio: float | None) -> Cell:
    """Write the time of another library over ours, green where gemmconv is not slower, red where it is."""
    if ratio is None:
        return NOTHING
    return Cell(f"{ratio:.2f}x", "green" if round(ratio, 2) >= 1 else "red")


def format_error(error: float | None) -> Cell:
    """Write an error to one digit."""
    return NOTHING if error is None else Cell(f"{error:.0e}".replace("e-0", "e-"))


def format_time(measurement: Measurement) -> Cell:
    """Write the time of a measurement in milliseconds, or why there is none."""
    if measurement.status in INSTEAD_OF_TIME:
        return INSTEAD_OF_TIME[measurement.status]
    return Cell(format_milliseconds(measurement.median) + ("" if measurement.counts else INEXACT))


def make_tables(results: Results) -> list[Table]:
    """Make one table per suite, or one per network."""
    networks = [_make_network_table(results, network) for network in results.networks]
    return networks or [_make_table(results, total) for total in results.totals]


def _make_table(results: Results, total: Total) -> Table:
    loaded = [name for name, library in results.libraries.items() if not library.failure and _takes_part(name, total)]
    shown = list(dict.fromkeys([*(name for name in OURS.values() if name in results.libraries), *loaded]))
    columns = COLUMNS_CHANNELS_LAST if results.channels_last else COLUMNS
    groups = [group for group in columns if any(map(GROUPS[group].has, set(shown) - set(OURS.values())))]
    peak = results.machine["peak_gflops"]
    headers = ["\nlayer", "\nx"]
    for name in shown:
        headers += [f"{name}\nms", *(["\nGFLOP/s", "of\npeak"] if name in OURS.values() else []), "\nerror"]
    for group in groups:
        headers += [f"{OURS[GROUPS[group].kind]} vs\nthe best", f"{columns[group]}\nother"]
    rows = []
    for row in total.rows:
        cells = [Cell(row.problem.name), Cell(str(row.problem.count or "-"))]
        for name in shown:
            measurement = row.measurements[name]
            speed = _speed_cells(row.gflops(name), name, peak)
            cells += [format_time(measurement), *speed, format_error(measurement.error)]
        rows.append([*cells, *_comparison_cells(row, groups)])
    return Table(_title(results.op, total), headers, rows, _footer(total, shown, groups, peak))


def _make_network_table(results: Results, network: Network) -> Table:
    """Make the table of a network, with one line per library that has something to show."""
    ours = [name for name in OURS.values() if name in network.measurements]
    headers = ["\nlibrary", "\nkind", "\nlayout", "\nms", "\nGFLOP/s", *(f"time over\n{name}" for name in ours)]
    headers.append("\nerror")
    rows = []
    for name, measurement in network.measurements.items():
        if measurement.status in ("missing", "skipped"):
            continue
        gflops = network.gflops(name)
        entry = entry_of(name)
        layout = "channels last" if results.channels_last else entry.layout
        cells = [Cell(name), Cell(entry.kind), Cell(layout), format_time(measurement)]
        cells.append(NOTHING if gflops is None else Cell(f"{gflops:.1f}"))
        cells += [NOTHING if name == our else format_ratio(network.ratio(our, name)) for our in ours]
        rows.append([*cells, format_error(measurement.error)])
    whole = f"{network.layers} of {layers_of_network(network.name)} layers"
    return Table(f"{network.name}, {results.op}: {whole}, one after another", headers, rows)


def _takes_part(name: str, total: Total) -> bool:
    """Whether a library has anything to show for a suite."""
    return any(row.measurements[name].status not in ("missing", "skipped") for row in total.rows)


def _title(op: str, total: Total) -> str:
    if not total.layers:
        return f"{total.suite}, {op}"
    return f"{total.suite}, {op}: {total.layers} of {total.layers_of_network} layers"


def _speed_cells(gflops: float | None, name: str, peak: float) -> list[Cell]:
    """Speed and the share of the peak, for our own library."""
    if name not in OURS.values():
        return []
    return [NOTHING, NOTHING] if gflops is None else [Cell(f"{gflops:.1f}"), Cell(f"{100 * gflops / peak:.0f}%")]


def _comparison_cells(compared: Row | Total, groups: list[str]) -> list[Cell]:
    """Our ratio to the fastest other library of each group, and its name."""
    cells = []
    for group in groups:
        found = compared.comparison(group)
        cells += [NOTHING, NOTHING] if found is None else [format_ratio(found.ratio), Cell(found.peer)]
    return cells


def _footer(total: Total, shown: list[str], groups: list[str], peak: float) -> list[list[Cell]]:
    """Make the lines for the sum over the network, if it is one, and the mean of the ratios."""
    footer = []
    if total.layers:
        cells = [Cell("total"), Cell(str(total.layers))]
        for name in shown:
            seconds = total.seconds(name)
            gflops = total.flops / seconds / 1e9 if seconds else None
            cells += [Cell(format_milliseconds(seconds)), *_speed_cells(gflops, name, peak), Cell("")]
        footer.append([*cells, *_comparison_cells(total, groups)])
    if groups:
        blank = [Cell("")] * (1 + sum(2 + len(_speed_cells(None, name, peak)) for name in shown))
        means = [cell for group in groups for cell in (format_ratio(total.geometric_mean_ratio(group)), Cell(""))]
        footer.append([Cell("geometric mean"), *blank, *means])
    return footer


def make_heading(results: Results) -> str:
    """Say in a few lines what was measured, and where."""
    machine, arguments = results.machine, results.arguments
    environment = [f"{name}={value}" for name, value in machine["environment"].items()]
    libraries = [f"{name} {found.version}" for name, found in results.libraries.items() if found.version]
    return (
        f"{machine['cpu']}, {machine['instruction_set']}, peak of {arguments['threads']} core(s), {arguments['dtype']}:"
        f" {machine['peak_gflops']:.1f} GFLOP/s\n"
        f"{', '.join(libraries)}\n"
        f"op: {results.op}, threads: {arguments['threads']}, rounds: {arguments['rounds']}, "
        f"outputs: {'reused where the library can' if arguments['reuse'] else 'fresh'}"
        f"{', channels last' if results.channels_last else ''}"
        f"{', layers one after another' if arguments['network'] else ''}"
        + (f"\nenvironment: {', '.join(environment)}" if environment else "")
    )


def make_notes(results: Results) -> list[str]:
    """Say what is not in the tables, and why: wrong outputs, failures, what was skipped, libraries that are missing."""
    notes = [f"{name} is left out: {library.failure}" for name, library in results.libraries.items() if library.failure]
    notes += _notes_of([*results.rows, *results.networks])
    if not results.complete:
        notes.append("interrupted: some problems are missing")
    return notes


def _notes_of(found: list[Timed]) -> list[str]:
    """Say once what a library says of several problems."""
    problems: dict[tuple[str, str, str], list[str]] = {}
    for timed in found:
        for name, measurement in timed.measurements.items():
            if measurement.why and measurement.status != "missing":
                problems.setdefault((name, measurement.status, measurement.why), []).append(timed.name)
    return [
        f"{name} {status} {names[0]}{f' and {len(names) - 1} more' if names[1:] else ''}: {why}"
        for (name, status, why), names in problems.items()
    ]


def make_legend() -> str:
    """Explain the columns."""
    return (
        "Every output was compared, whole, with that of gemmconv.reference before it was timed; error: the largest of\n"
        "an element over the root mean square of the output.\n"
        "x: how often the network has it. ms: median of all calls. GFLOP/s: operations of the direct sum over ms.\n"
        f"Functional libraries get plain arrays on every call, as {OURS[FUNCTIONAL]} does; the others have weights\n"
        f"prepared, as {OURS[PREPARED]} has. Those with their own layout get or return arrays in it; to convert them\n"
        "is not timed. vs the best, time over: the time of another over ours, median of the rounds; below 1.00x we\n"
        f"are slower. {INEXACT}: less exact than the type allows; counts in no comparison and no total."
    )
