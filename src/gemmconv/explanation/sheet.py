"""Sheet: one panel of the picture as a list of what is to be drawn, in points and from its upper left corner.

    Track      where the rows, or the columns, of a grid begin
    Tile       one cell: its text, the colour of a tap, an outline, a hatch
    Sheet      the cells, labels and pictures of a panel, and its size

Nothing here needs matplotlib; drawing.py draws a sheet.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from .grids import Shown, choose, with_gaps

# The width of a letter of the fixed-width font, as a share of its size.
LETTER = 0.602
# What a row or a column takes that stands for those left out, and what separates blocks of them.
GAP, BREAK = 9.0, 2.5
# The sizes of titles, of remarks, and of labels.
TITLE, REMARK, LABEL = 8.5, 7.0, 6.0
# The smallest text in a cell.
SMALLEST = 5.0

Place = tuple[int, int]


class Tile(NamedTuple):
    """One cell."""

    text: str = ""
    tap: int | None = None
    """The tap whose colour it has."""
    selected: bool = False
    hatch: str = ""
    """PADDING or UNREAD."""
    marked: str = ""
    """WEIGHT or INPUT: the second outline, for the weight or the input whose gradient is worked out."""
    corner: str = ""
    """A letter in its corner."""


PADDING, UNREAD = "padding", "unread"
WEIGHT, INPUT = "weight", "input"


class Size(NamedTuple):
    """The size of the cells of a grid and of their text."""

    width: float
    height: float
    font: float

    @classmethod
    def of_text(cls, letters: int, font: float) -> Size:
        """Return the size of cells with texts of at most some letters."""
        return cls(max(1.75 * font, letters * LETTER * font + 0.7 * font), 1.75 * font, font)


class Track:
    """Where the rows, or the columns, of a grid begin."""

    def __init__(self, shown: Shown, size: float, step: int = 0) -> None:
        """Place them; blocks of `step` are set apart, and a range is a gap."""
        self.shown, self.size = shown, size
        self.begins: dict[int, float] = {}
        self.gaps: list[tuple[float, range]] = []
        self.runs: list[tuple[int, int]] = []
        place, before = 0.0, -1
        for item in shown:
            if isinstance(item, range):
                self.gaps.append((place, item))
                place += GAP
                before = -1
                continue
            if before < 0:
                self.runs.append((item, item))
            elif step > 1 and item // step != before // step:
                place += BREAK
                self.runs.append((item, item))
            self.begins[item] = place
            self.runs[-1] = self.runs[-1][0], item
            place += size
            before = item
        self.length = place

    def extents(self) -> list[tuple[float, float]]:
        """Return where each run of rows or columns begins, and how long it is."""
        return [(self.begins[a], self.begins[b] + self.size - self.begins[a]) for a, b in self.runs]


class Box(NamedTuple):
    """A cell with its place."""

    x: float
    y: float
    size: Size
    tile: Tile
    name: str
    """What follows ``cell-`` in the id."""
    turned: bool = False
    """Whether the text runs upwards."""


class Label(NamedTuple):
    """A text that is no cell; `x` and `y` are its left (or right, or centre) and its middle."""

    x: float
    y: float
    text: str
    size: float = LABEL
    align: str = "left"
    bold: bool = False
    fixed: bool = True
    """Whether all its letters have the same width."""
    remark: bool = True
    """Whether it is grey."""


class Picture(NamedTuple):
    """Many cells without text: the tap of each, -1 for none, and which are selected."""

    x: float
    y: float
    width: float
    height: float
    taps: NDArray[np.int16]
    selected: NDArray[np.bool_]
    name: str


@dataclass
class Sheet:
    """One panel."""

    name: str
    width: float = 0.0
    height: float = 0.0
    boxes: list[Box] = field(default_factory=list)
    labels: list[Label] = field(default_factory=list)
    pictures: list[Picture] = field(default_factory=list)
    frames: list[tuple[float, float, float, float]] = field(default_factory=list)
    """Rectangles behind the cells: left, top, width and height."""

    def grow(self, right: float, bottom: float) -> None:
        """Make the sheet large enough to hold a point."""
        self.width, self.height = max(self.width, right), max(self.height, bottom)

    def label(self, label: Label) -> None:
        """Add a label."""
        self.labels.append(label)
        length = text_width(label.text, label.size, label.bold)
        self.grow(label.x + {"left": length, "center": length / 2, "right": 0}[label.align], label.y + 0.7 * label.size)

    def head(self, title: str, remark: str = "") -> float:
        """Add a title with a remark at the top, and return where it ends."""
        self.label(Label(0, TITLE * 0.7, title, TITLE, bold=True, fixed=False, remark=False))
        if remark:
            self.label(Label(text_width(title, TITLE, True) + 5, TITLE * 0.7, remark, REMARK, fixed=False))
        return TITLE * 1.75

    def grid(
        self,
        tiles: Mapping[Place, Tile],
        tracks: tuple[Track, Track],
        size: Size,
        at: tuple[float, float],
        name: Callable[[int, int], str],
        turned: bool = False,
    ) -> None:
        """Add cells by row and column; `name` gives what follows ``cell-`` in their ids."""
        rows, columns = tracks
        x, y = at
        if tiles and len(tiles) < len(rows.begins) * len(columns.begins):
            for top, height in rows.extents():
                self.frames += [(x + left, y + top, width, height) for left, width in columns.extents()]
        for (row, column), tile in tiles.items():
            left, top = x + columns.begins[column], y + rows.begins[row]
            self.boxes.append(Box(left, top, size, tile, name(row, column), turned))
        for gap, _ in columns.gaps:
            self.labels.append(Label(x + gap + GAP / 2, y + rows.length / 2, "..", LABEL, "center"))
        for gap, _ in rows.gaps:
            self.labels.append(Label(x + columns.length / 2, y + gap + GAP / 2, "...", LABEL, "center"))
        self.grow(x + columns.length, y + rows.length)


def around(count: int, keep: Iterable[int], limit: int) -> Shown:
    """Return which of `count` rows or columns to show: at most `limit`, those around the ones to keep."""
    kept = sorted({index for index in keep if 0 <= index < count})
    if count <= limit:
        return list(range(count))
    span = kept[-1] - kept[0] + 1 if kept else 0
    if span > max(limit, 2 * len(kept)):
        return choose(count, kept, limit)
    first = 0 if not kept else kept[0] - 1 if span > limit else (kept[0] + kept[-1] + 1 - limit) // 2
    first = min(max(first, 0), count - limit)
    return with_gaps(count, range(first, first + limit))


def text_width(text: str, size: float, bold: bool = False) -> float:
    """Return at most how wide a text is."""
    return len(text) * size * (0.68 if bold else LETTER)


def letters_of(tiles: Mapping[Place, Tile]) -> int:
    """Return the most letters of a cell."""
    return max((len(tile.text) for tile in tiles.values()), default=1)
