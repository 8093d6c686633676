"""Pictures: what every layer gains or loses and how near it comes to the roofs; and time against one quantity.

Nothing else imports matplotlib, and this does only when it draws.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple

from .operations import OPERATIONS
from .peers import FUNCTIONAL, KINDS, OURS, PREPARED
from .problems import Problem, numpy_dtype
from .results import Results, Row
from .scaling import TAPS_SERIES, Curve

if TYPE_CHECKING:
    from matplotlib.axes import Axes

#: Kind -> colour of its bars if we are not slower, and if we are.
COLOURS = {FUNCTIONAL: ("#08519c", "#a63603"), PREPARED: ("#4292c6", "#e6550d")}
OUTCOMES = ("faster", "slower")

# Text stays text, so that names can be searched for. The salt makes the ids inside the file, which
# are random otherwise, the same every time.
SETTINGS = {"svg.fonttype": "none", "svg.hashsalt": "gemmconv", "font.size": 8}

# Inches.
WIDTH = 9.0
HEIGHT_OF_ROW = 0.34
HEIGHT_OF_FRAME = 1.4
HEIGHT_OF_ROOFLINE = 5.0
HEIGHT_OF_CURVES = 4.0

# Panels of curves in a row.
COLUMNS = 3

# Of the distance between two rows.
THICKNESS = 0.4

# Of the logarithmic width between the extreme bars, on either side: room for the names at their ends.
MARGIN = 0.25


class Bar(NamedTuple):
    """The ratio of one row and one kind, and where it is drawn."""

    row: str
    kind: str
    place: float
    peer: str
    ratio: float

    @property
    def is_loss(self) -> bool:
        """Whether we are slower, to the two decimals that are shown."""
        return round(self.ratio, 2) < 1

    @property
    def colour(self) -> str:
        """Its colour."""
        return COLOURS[self.kind][self.is_loss]


def plot_results(results: Results, file: str) -> None:
    """Draw the ratios and the roofline into an SVG file; the same results give the same file."""
    if not results.rows:
        raise ValueError("nothing to plot")

    import matplotlib.style
    from matplotlib.figure import Figure

    compared = [row for row in results.rows if any(row.comparison(kind) for kind in KINDS)]
    heights = (HEIGHT_OF_FRAME + HEIGHT_OF_ROW * len(compared), HEIGHT_OF_ROOFLINE)
    # From the defaults, so that nobody's matplotlibrc changes the picture.
    with matplotlib.style.context(["default", SETTINGS]):
        figure = Figure(figsize=(WIDTH, sum(heights)), layout="constrained")
        upper, lower = figure.subplots(2, height_ratios=heights)
        figure.suptitle(make_title(results))
        _draw_ratios(upper, compared)
        _draw_roofline(lower, results)
        figure.savefig(file, format="svg", metadata={"Date": None})


def plot_curves(curves: list[Curve], title: str, file: str) -> None:
    """Draw time against each quantity into an SVG file; the same curves give the same file.

    The series against taps share a panel for each operation; every other series has a panel of its own.
    """
    import matplotlib.style
    from matplotlib.figure import Figure

    panels: dict[tuple[str, str], list[Curve]] = {}
    for curve in curves:
        quantity = "taps" if curve.series.name in TAPS_SERIES else curve.series.name
        panels.setdefault((quantity, curve.series.operation), []).append(curve)
    rows = -(-len(panels) // COLUMNS)
    with matplotlib.style.context(["default", SETTINGS]):
        figure = Figure(figsize=(WIDTH, HEIGHT_OF_CURVES * rows), layout="constrained")
        figure.suptitle(title)
        for index, ((quantity, operation), together) in enumerate(panels.items()):
            axes = figure.add_subplot(rows, min(COLUMNS, len(panels)), index + 1)
            axes.set_title(OPERATIONS[operation].what)
            axes.set_xlabel(quantity)
            axes.set_ylabel("milliseconds")
            axes.set_xscale("log")
            axes.set_yscale("log")
            axes.grid(color="0.93")
            for curve in together:
                _draw_curve(axes, curve)
            axes.legend(loc="upper left", fontsize="small")
        figure.savefig(file, format="svg", metadata={"Date": None})


def _draw_curve(axes: Axes, curve: Curve) -> None:
    """Draw the points of a series, with a ring around each cliff."""
    name, values = curve.series.name, [point.value for point in curve.points]
    times = [1e3 * point.seconds for point in curve.points]
    axes.plot(values, times, ".-", linewidth=0.8, markersize=3, label=name, gid=f"{curve.series.operation}-{name}")
    cliffs = [(value, time) for value, time in zip(values, times) if value in curve.cliffs]
    if cliffs:
        axes.plot(*zip(*cliffs), "o", color="red", fillstyle="none", gid=f"cliffs-{curve.series.operation}-{name}")


def make_title(results: Results) -> str:
    """Say in one line what was measured, and where."""
    machine, arguments = results.machine, results.arguments
    return f"{results.op}: {machine['cpu']}, {arguments['dtype']}, threads: {arguments['threads']}" + (
        ", channels last" if results.channels_last else ""
    )


def intensity(problem: Problem, itemsize: int) -> float:
    """Return the operations of the direct sum per byte, if input, weights and output each move once."""
    shapes = (problem.input_shape, problem.weight_shape, problem.output_shape)
    return problem.flops / (itemsize * sum(map(math.prod, shapes)))


def _bars(rows: list[Row]) -> Iterator[Bar]:
    """Compute the bars, one or two a row."""
    for index, row in enumerate(rows):
        for kind, offset in zip(KINDS, (-THICKNESS / 2, THICKNESS / 2)):
            if found := row.comparison(kind):
                yield Bar(row.problem.name, kind, index + offset, found.peer, found.ratio)


def _draw_ratios(axes: Axes, rows: list[Row]) -> None:
    """Draw bars from 1 to the ratio, one group per row, and at their ends the peers."""
    bars = list(_bars(rows))
    axes.set_title("time of the fastest peer over ours")
    for bar in bars:
        (drawn,) = axes.barh(bar.place, bar.ratio - 1, THICKNESS, left=1, color=bar.colour)
        drawn.set_gid(f"{bar.kind}-{bar.row}")
        axes.annotate(
            f"{bar.peer} {bar.ratio:.2f}x",
            (bar.ratio, bar.place),
            (-3 if bar.is_loss else 3, 0),
            textcoords="offset points",
            ha="right" if bar.is_loss else "left",
            va="center",
            fontsize="small",
            color=bar.colour,
        )
    axes.axvline(1, color="black", linewidth=0.8)
    # As far to 1/2 as to 2: twice as slow looks as bad as twice as fast looks good.
    axes.set_xscale("log", base=2)
    axes.xaxis.set_major_formatter("{x:g}x")
    axes.set_xlim(*_limits([bar.ratio for bar in bars]))
    axes.set_yticks(range(len(rows)), [row.problem.name for row in rows])
    axes.set_ylim(len(rows) - 0.4, -0.6)  # the first row is at the top
    _explain_colours(axes)


def _limits(ratios: list[float]) -> tuple[float, float]:
    """Return the ends of the axis: at least from 1/2 to 2, and room for names."""
    least, largest = min([0.5, *ratios]), max([2.0, *ratios])
    room = (largest / least) ** MARGIN
    return least / room, largest * room


def _explain_colours(axes: Axes) -> None:
    from matplotlib.patches import Patch

    patches = [
        Patch(color=colour, label=f"{OURS[kind]} {outcome} than the best {kind} peer")
        for kind in KINDS
        for colour, outcome in zip(COLOURS[kind], OUTCOMES)
    ]
    # Below the bars, where it hides none.
    axes.legend(handles=patches, ncols=2, loc="upper center", bbox_to_anchor=(0.5, 0), borderaxespad=2.5)


def _draw_roofline(axes: Axes, results: Results) -> None:
    """Draw the roofs, and below them the speeds: ours, and on the same vertical the best peer's."""
    itemsize = numpy_dtype(results.arguments["dtype"]).itemsize
    places = [intensity(row.problem, itemsize) for row in results.rows]
    ours = [_our_speed(row) for row in results.rows]
    peers = [_peer_speed(row) for row in results.rows]
    axes.vlines(places, ours, peers, color="0.8", linewidth=0.8)
    axes.plot(places, peers, "x", color=COLOURS[FUNCTIONAL][1], label="best peer", gid="peers")
    axes.plot(places, ours, "o", color=COLOURS[FUNCTIONAL][0], markersize=4, label="gemmconv", gid="ours")
    _draw_roofs(axes, places, results.machine["peak_gflops"], results.machine["bandwidth_gbytes"])
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_title("speed and its roofs")
    axes.set_xlabel("FLOP per byte of input, weights and output")
    axes.set_ylabel("GFLOP/s")
    axes.grid(color="0.93")
    axes.legend(loc="lower right")


def _our_speed(row: Row) -> float:
    """Return the speed of the plan, or else of the function; NaN, which is not drawn, if neither is timed."""
    speeds = (row.gflops(OURS[kind]) for kind in (PREPARED, FUNCTIONAL) if OURS[kind] in row.measurements)
    return next((speed for speed in speeds if speed is not None), math.nan)


def _peer_speed(row: Row) -> float:
    """Return the speed of the fastest other library, functional or prepared; NaN if there is none."""
    peers = [found.peer for kind in KINDS if (found := row.comparison(kind)) is not None]
    return max((speed for peer in peers if (speed := row.gflops(peer)) is not None), default=math.nan)


def _draw_roofs(axes: Axes, places: list[float], peak: float, bandwidth: float) -> None:
    """Draw what memory allows up to the ridge, and the peak from there on."""
    ridge = peak / bandwidth
    first, last = min(ridge, *places) / 2, max(ridge, *places) * 2
    axes.plot([first, ridge], [bandwidth * first, peak], color="black", label=f"memory: {bandwidth:.1f} GB/s")
    axes.plot([ridge, last], [peak, peak], "--", color="black", label=f"peak: {peak:.1f} GFLOP/s")
