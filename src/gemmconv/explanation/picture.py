"""Picture: the same convolution as a window, as K @ P and as M @ x, on one figure of matplotlib.

The size of each panel is worked out first (sheet.py, picture_arrays.py, picture_products.py, picture_connections.py),
then the panels are placed below each other, then they are drawn (drawing.py).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from itertools import product as combinations
from math import prod
from typing import Any, NamedTuple

import numpy as np

from . import picture_connections as connections
from . import picture_products as products
from .drawing import paint, style
from .picture_arrays import Limits, Panel, sheet_of, size_of_cells, weight_panel, x_panel, y_panel
from .sheet import LETTER, Label, Sheet, Size
from .text import backward_lines, counts_lines, size_lines, size_of, sum_lines
from .view import AXES, View, bracketed

# The names of the panels.
PANELS = ("x", "weight", "y", "P", "K", "Y", "M")
# The width of a figure, its largest height, and its margins, in points.
WIDTH, TALLEST, MARGIN = 720.0, 1008.0, 14.0
ROOM = WIDTH - 2 * MARGIN
# Between the panels, and between the rows of them.
BESIDE, BELOW = 22.0, 11.0
# The most height of K, P and Y, and the least of M.
HIGHEST_PRODUCT, LOWEST = 400.0, 130.0
# What may be shown of x, of weight and of y; the first only of arrays that are not too large.
ARRAYS = (x_panel, weight_panel, y_panel)
LARGEST_WHOLE = 2000
LIMITS = tuple(
    Limits(*limits)
    for limits in ((28, 40, 12), (18, 20, 8), (12, 14, 5), (10, 11, 4), (9, 9, 3), (7, 7, 2), (5, 5, 1), (3, 2, 1))
)
# The sizes of their numbers, with the most height they may take; and how they are put on lines.
FONTS = ((10.0, 110), (9.0, 150), (8.0, 230), (7.0, 270), (6.0, 270), (5.5, 270))
SPLITS = ((slice(0, 3),), (slice(0, 2), slice(2, 3)), (slice(0, 1), slice(1, 3)))
# The size of the remarks in lines.
LINE = 6.4
# The most letters of a line; PNG rounds the width of a letter up.
WIDEST = int(0.96 * ROOM / (LINE * LETTER))
# A line of this many letters has room for most sums and counts.
COMFORTABLE = 62


class Placed(NamedTuple):
    """A sheet with the place of its upper left corner on the figure."""

    x: float
    y: float
    sheet: Sheet


def lines_sheet(name: str, lines: Iterable[str], size: float = LINE) -> Sheet:
    """Return a sheet of lines of text; the first one is black."""
    sheet = Sheet(name)
    for index, line in enumerate(lines):
        if line:
            sheet.label(Label(0, (index + 0.7) * size * 1.5, line, size, remark=False))
    return sheet


def placed_sheets(view: View) -> tuple[list[Placed], float]:
    """Return where all panels stand, and the height of them. M has the height that the others leave."""
    before = [_arrays(view), _remarks(view), _products(view)]
    after = [_gradients(view)] if view.backward else []
    taken = sum(height + BELOW for _, height in before + after)
    parts = [*before, _connections(view, max(TALLEST - 2 * MARGIN - taken, LOWEST)), *after]
    placed: list[Placed] = []
    top = 0.0
    for found, height in parts:
        placed += [Placed(x, y + top, sheet) for x, y, sheet in found]
        top += height + BELOW
    return placed, top - BELOW


def _arrays(view: View) -> tuple[list[Placed], float]:
    """Place x, weight and y beside each other, or on two lines; the largest is cut until they fit."""
    problem = view.facts.problem
    steps = [0 if size <= LARGEST_WHOLE else 1 for size in (problem.x.size, problem.weight.size, prod(problem.y_shape))]
    panels = [make(view, LIMITS[step]) for make, step in zip(ARRAYS, steps)]
    while True:
        found = _fitted(panels, FONTS if not any(steps) else FONTS[2:])
        if found is not None:
            return found
        able = [index for index, step in enumerate(steps) if step + 1 < len(LIMITS)]
        if not able:
            raise AssertionError("the last limits fit")
        largest = max(able, key=lambda index: _area(panels[index]))
        steps[largest] += 1
        panels[largest] = ARRAYS[largest](view, LIMITS[steps[largest]])


def _area(panel: Panel) -> float:
    sheet = sheet_of(panel, size_of_cells(panel, FONTS[-1][0]), 1, measure=True)
    return sheet.width * sheet.height


def _fitted(panels: list[Panel], fonts: Sequence[tuple[float, float]]) -> tuple[list[Placed], float] | None:
    """Return where the panels stand with the largest text with which they fit, or None."""
    for font, highest in fonts:
        sizes = [size_of_cells(panel, font) for panel in panels]
        measured = [_measured(panel, size) for panel, size in zip(panels, sizes)]
        for split in SPLITS if font <= 7 else SPLITS[:1]:
            chosen = [_narrowed(measured[line]) for line in split]
            height = sum(max(size.height for size in line) + BELOW for line in chosen) - BELOW
            if height > highest or any(_width(line) > ROOM for line in chosen):
                continue
            numbers = [size.per_line for line in chosen for size in line]
            sheets = [sheet_of(panel, size, number) for panel, size, number in zip(panels, sizes, numbers)]
            return _in_lines([sheets[line] for line in split])
    return None


class Measured(NamedTuple):
    """What a panel takes with some blocks on a line."""

    per_line: int
    width: float
    height: float


def _measured(panel: Panel, size: Size) -> list[Measured]:
    """Return what a panel takes for every number of blocks on a line."""
    most = max((len(blocks) for _, blocks in panel.lines), default=1)
    sheets = [(number, sheet_of(panel, size, number, measure=True)) for number in range(1, most + 1)]
    return [Measured(number, sheet.width, sheet.height) for number, sheet in sheets]


def _width(line: Sequence[Measured]) -> float:
    return sum(size.width + BESIDE for size in line) - BESIDE


def _narrowed(panels: list[list[Measured]]) -> tuple[Measured, ...]:
    """Return the lowest way to place panels beside each other, or if none fits, the narrowest."""
    ways = list(combinations(*panels))
    fitting = [way for way in ways if _width(way) <= ROOM]
    if not fitting:
        return min(ways, key=_width)
    return min(fitting, key=lambda way: (max(size.height for size in way), _width(way)))


def _in_lines(lines: list[list[Sheet]]) -> tuple[list[Placed], float]:
    """Place lines of sheets below each other."""
    placed: list[Placed] = []
    top = 0.0
    for line in lines:
        found, height = _in_a_row(line)
        placed += [Placed(x, y + top, sheet) for x, y, sheet in found]
        top += height + BELOW
    return placed, top - BELOW


def _in_a_row(sheets: list[Sheet]) -> tuple[list[Placed], float]:
    """Place sheets beside each other, with what is left of the width between them, but not too far apart."""
    free = ROOM - sum(sheet.width for sheet in sheets)
    gap = min(free / max(len(sheets) - 1, 1), 60.0)
    placed, left = [], 0.0
    for sheet in sheets:
        placed.append(Placed(left, 0, sheet))
        left += sheet.width + gap
    return placed, max(sheet.height for sheet in sheets)


def _remarks(view: View) -> tuple[list[Placed], float]:
    """Place the options, and the size of the output with the numbers put in, on a line each."""
    problem, geometry = view.facts.problem, view.facts.problem.geometry
    options = size_lines(replace(view, width=10_000))[1]
    sizes = []
    for axis, name in enumerate(AXES[problem.rank], 3 - problem.rank):
        extent = geometry.dilation[axis] * (geometry.kernel[axis] - 1) + 1
        sizes.append(f"{name} {size_of(view, axis, extent)}")
    line = "     ".join(sizes)
    size = min(LINE, LINE * WIDEST / len(line))
    sheet = lines_sheet("size", [options, line], size)
    return [Placed(0, 0, sheet)], sheet.height


def _headed(name: str, title: str, remark: str) -> Sheet:
    sheet = Sheet(f"title-{name}")
    sheet.head(title, remark)
    return sheet


def _products(view: View) -> tuple[list[Placed], float]:
    """Place K, P and Y in Falk's arrangement, and beside or below them the sum of one output and the counts."""
    placed: list[Placed] = []
    if not products.is_shown(view):
        sheet = lines_sheet("sum", [*_sum_lines(replace(view, width=100)), "", *counts_lines(replace(view, width=100))])
        return [Placed(0, 0, sheet)], sheet.height
    transposed, bias = view.facts.problem.transposed, view.facts.problem.bias is not None
    title = "C = K.T @ X" if transposed else "Y = K @ P" + " + bias" * bias
    remark = "a kernel is a row of K, a window a column of P: where they meet is one output"
    if transposed:
        remark = "every column of C is added to a window of y; what is added to one output is outlined"
    head = _headed("Y", title, remark)
    product = _product(view)
    top = head.height + 3
    corner = product.corner
    left = (0.0, top + corner[1] + products.BETWEEN)
    placed = [
        Placed(0, 0, head),
        Placed(*left, product.left),
        Placed(corner[0] + products.BETWEEN, top, product.above),
        Placed(corner[0] + products.BETWEEN, left[1], product.meeting),
    ]
    notes, bottom = _notes(view, product)
    placed += [Placed(x, y + top, sheet) for x, y, sheet in notes]
    return placed, top + max(bottom, product.height)


def _product(view: View) -> products.Product:
    """Return K, P and Y; with smaller text if there is room for the sum beside them then."""
    tried = [products.product_of(view, (ROOM, HIGHEST_PRODUCT))]
    for font in (7.0, 6.5, 6.0):
        if _letters_beside(tried[-1]) >= COMFORTABLE:
            return tried[-1]
        tried.append(products.product_of(view, (ROOM, HIGHEST_PRODUCT), font))
    return tried[0]


def _letters_beside(product: products.Product) -> int:
    """Return how many letters of a line there is room for beside K, P and Y."""
    return int(0.96 * (ROOM - product.width - BESIDE) / (LINE * LETTER))


def _sum_lines(view: View) -> list[str]:
    """Return the sum of one output; the picture has outlines in place of brackets."""
    return [line.replace("bracketed", "outlined") for line in sum_lines(view)]


def _notes(view: View, product: products.Product) -> tuple[list[Placed], float]:
    """Place the sum and the counts: to the right of the product, in its empty corner, or below it."""
    size, corner, letters = (product.width, product.height), product.corner, _letters_beside(product)
    if letters >= 46:
        narrow = replace(view, width=min(letters, 84))
        sheet = lines_sheet("sum", [*_sum_lines(narrow), "", *counts_lines(narrow)])
        return [Placed(size[0] + BESIDE, 4.0, sheet)], sheet.height + 4
    wide = replace(view, width=WIDEST)
    inside = int(0.96 * corner[0] / (LINE * LETTER))
    if inside >= 42:
        total = lines_sheet("sum", _sum_lines(replace(view, width=inside)))
        if total.height <= corner[1]:
            counts = lines_sheet("counts", counts_lines(wide))
            below = size[1] + BELOW
            return [Placed(0, 4.0, total), Placed(0, below, counts)], below + counts.height
    sheet = lines_sheet("sum", [*_sum_lines(wide), "", *counts_lines(wide)])
    return [Placed(0, size[1] + BELOW, sheet)], size[1] + BELOW + sheet.height


def _connections(view: View, room: float) -> tuple[list[Placed], float]:
    """Place M with x above it and y beside it."""
    counts, transposed = view.counts, view.facts.problem.transposed
    name = "M.T" if transposed else "M"
    cell = {"weight": "equal letters are one weight", "tap": "a letter is a tap", "": "a number is a weight"}
    kind = "a colour is a tap" if not connections.has_texts(view) else cell[view.letter_kind]
    kind = cell[""] if view.letters is False and connections.has_texts(view) else kind
    remark = f"{name} ({counts.outputs}, {counts.inputs}), a fully connected layer: {kind}, "
    remark += "what is empty is no connection"
    head = _headed("M", view.connection_sum, remark)
    if not connections.is_shown(view):
        return [Placed(0, 0, head)], head.height
    sheet = connections.matrix_sheet(view, (ROOM, room - head.height - 2))
    return [Placed(0, 0, head), Placed(0, head.height + 2, sheet)], head.height + 2 + sheet.height


def _gradients(view: View) -> tuple[list[Placed], float]:
    """Place the gradients of one weight and of one input, with what marks them."""
    weight, at = bracketed("weight", view.weight_at), bracketed("x", view.input_at)
    lines = [f"dashed: {weight} in all its places, dotted: {at} and the weights with which it is read", ""]
    lines += backward_lines(replace(view, width=WIDEST))
    sheet = lines_sheet("backward", lines)
    return [Placed(0, 0, sheet)], sheet.height


@np.errstate(invalid="ignore", over="ignore")
def figure_of(view: View, figsize: tuple[float, float] | None = None) -> Any:
    """Return the figure; with `figsize`, in inches, everything is scaled to it."""
    with style():
        from matplotlib.figure import Figure

        placed, height = placed_sheets(view)
        width, height = WIDTH, height + 2 * MARGIN
        inches = (width / 72, height / 72) if figsize is None else figsize
        scale = min(inches[0] * 72 / width, inches[1] * 72 / height)
        figure = Figure(figsize=inches, facecolor="white")
        across, down = inches[0] * 72 / scale, inches[1] * 72 / scale
        for x, y, sheet in placed:
            left, bottom = (x + MARGIN) / across, 1 - (y + MARGIN + sheet.height) / down
            axes = figure.add_axes((left, bottom, sheet.width / across, sheet.height / down))
            paint(sheet, axes, view.facts.taps, scale)
    return figure


def panel_sheet(view: View, name: str) -> Sheet:
    """Return the sheet of one panel."""
    if name in ("x", "weight", "y"):
        make = {"x": x_panel, "weight": weight_panel, "y": y_panel}[name]
        panel = make(view, Limits(60, 80, 6))
        return sheet_of(panel, size_of_cells(panel, 8.0), max((len(blocks) for _, blocks in panel.lines), default=1))
    if not (connections if name == "M" else products).is_shown(view):
        raise ValueError(f"{name} is not drawn: the layer is too large")
    if name == "M":
        return connections.matrix_sheet(view, (ROOM, TALLEST))
    product = products.product_of(view, (ROOM, TALLEST))
    return {"K": product.left, "P": product.above, "Y": product.meeting}[name]


@np.errstate(invalid="ignore", over="ignore")
def draw_panel(view: View, name: str, axes: Any = None) -> Any:
    """Draw one panel on axes, or on a figure of its own."""
    if name not in PANELS:
        raise ValueError(f"there is no panel {name!r}; the panels are {', '.join(PANELS)}")
    sheet = panel_sheet(view, name)
    with style():
        from matplotlib.figure import Figure

        if axes is None:
            size = (sheet.width + 2 * MARGIN) / 72, (sheet.height + 2 * MARGIN) / 72
            across, down = MARGIN / (size[0] * 72), MARGIN / (size[1] * 72)
            axes = Figure(figsize=size).add_axes((across, down, 1 - 2 * across, 1 - 2 * down))
        box = axes.get_window_extent()
        dots = axes.figure.dpi / 72
        paint(sheet, axes, view.facts.taps, min(box.width / sheet.width, box.height / sheet.height) / dots)
        axes.set_aspect("equal")
    return axes
