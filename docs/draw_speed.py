"""Draw docs/images/speed.svg, the picture of the README, from the first table of docs/speed.md.

    python docs/draw_speed.py

The same table and version of matplotlib give the same file.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import matplotlib.style
from matplotlib.axes import Axes
from matplotlib.figure import Figure

DOCS = Path(__file__).parent
#: Of the table: the column with the fastest other library. The next one is the speedup.
COLUMNS = {"conv": 4, "Plan": 7}
COLOURS = {"AVX2": "#08519c", "AVX-512": "#6baed6"}
THICKNESS = 0.38
# Text stays text, so that it can be searched for. The salt makes the ids inside the file the same every time.
SETTINGS = {"svg.fonttype": "none", "svg.hashsalt": "gemmconv", "font.size": 9}


class Bar(NamedTuple):
    """How much faster gemmconv is than the fastest other library, on one network and one instruction set."""

    network: str
    instruction_set: str
    other: str
    speedup: float


def bars(column: int) -> list[Bar]:
    """Return the bars of one thread, in the order of the table."""
    table = (DOCS / "speed.md").read_text().split("## Networks")[1].split("\n\n")[2]
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in table.splitlines()[2:]]
    return [
        Bar(row[0], row[1], row[column].partition("(")[2].rstrip(")"), float(row[column + 1].rstrip("x")))
        for row in rows
        if row[2] == "1"
    ]


def draw(axes: Axes, column: int) -> None:
    """Draw the bars of one column, from 1 to the speedup."""
    drawn = bars(column)
    networks = list(dict.fromkeys(bar.network for bar in drawn))
    for bar in drawn:
        place = networks.index(bar.network) + (THICKNESS if bar.instruction_set == "AVX-512" else 0)
        axes.barh(place, bar.speedup - 1, THICKNESS, left=1, color=COLOURS[bar.instruction_set])
        text = f"{bar.speedup:.2f}x {bar.other}"
        axes.annotate(text, (max(bar.speedup, 1), place), (4, 0), textcoords="offset points", va="center", fontsize=8)
    axes.axvline(1, color="black", linewidth=0.8)
    axes.set_yticks([place + THICKNESS / 2 for place in range(len(networks))], networks)
    # As far to 1/2 as to 2: twice as slow looks as bad as twice as fast looks good.
    axes.set_xscale("log", base=2)
    axes.set_xlim(0.8, 3.3)
    axes.set_xticks([1, 1.5, 2, 2.5, 3], ["1x", "1.5x", "2x", "2.5x", "3x"])
    axes.minorticks_off()
    axes.set_ylim(len(networks) - 0.3, -0.4)  # the first network is at the top
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.tick_params(left=False)


def main() -> None:
    """Draw, and save."""
    with matplotlib.style.context(["default", SETTINGS]):
        figure = Figure((9, 3.4), layout="constrained")
        for axes, (name, column) in zip(figure.subplots(1, 2, sharey=True), COLUMNS.items()):
            draw(axes, column)
            axes.set_title(f"{name}: speedup over the fastest other library")
        handles = [matplotlib.patches.Patch(color=colour, label=name) for name, colour in COLOURS.items()]
        figure.legend(handles=handles, loc="outside lower center", ncols=2, frameon=False)
        figure.savefig(DOCS / "images/speed.svg", metadata={"Date": None})


if __name__ == "__main__":
    main()
