"""The panel M of the picture: a row per output, with x above it and y beside it.

Each weight stands under the input that it multiplies, and in the row of the output to which it is added. Only the rows
and columns that are shown are worked out.
"""

from __future__ import annotations

from math import prod

import numpy as np
from numpy.typing import NDArray

from .facts import Terms
from .grids import Shown, indices, with_gaps
from .picture_products import MOST_CELLS, MOST_TEXTS
from .sheet import (
    INPUT,
    LABEL,
    LETTER,
    SMALLEST,
    WEIGHT,
    Label,
    Picture,
    Sheet,
    Size,
    Tile,
    Track,
    around,
    letters_of,
    text_width,
)
from .text_connections import MOST_TERMS_SHOWN, entries_of
from .view import View, bracketed, ravel, unravel

# Rows and columns of a matrix that is shown in part, and the least height of a row.
MOST_ROWS, MOST_COLUMNS = 20, 60
LOWEST = 6.0
# The fewest rows and columns.
FEWEST = 3
# The largest cell of M, and the largest cell without text.
LARGEST, LARGEST_WITHOUT_TEXT = 20.0, 5.0
# Between M and x, and between M and y.
BETWEEN = 5.0


def is_shown(view: View) -> bool:
    """Return whether the rows of M are short enough to be shown."""
    return view.has_terms and len(view.terms.weights) <= MOST_TERMS_SHOWN


def has_texts(view: View) -> bool:
    """Return whether the cells of M have texts: it is small, or so large that it is shown in part."""
    rows, columns = view.counts.outputs, view.counts.inputs
    return (rows <= MOST_TEXTS[0] and columns <= MOST_TEXTS[1]) or max(rows, columns) > MOST_CELLS


def matrix_sheet(view: View, room: tuple[float, float]) -> Sheet:
    """Return M with x and y, as much of them as fits into a width and a height."""
    rows, columns = view.counts.outputs, view.counts.inputs
    if not has_texts(view):
        return _without_texts(view, room)
    in_part = max(rows, columns) > MOST_CELLS
    most, limit = (min(rows, MOST_ROWS), MOST_COLUMNS) if in_part else (rows, columns)
    while True:
        smallest = most <= FEWEST and limit <= FEWEST
        sheet = _Matrix(view, most, limit).sheet(room, smallest)
        if sheet is not None:
            return sheet
        if most > FEWEST and (room[1] / most < LOWEST or limit <= FEWEST):
            most = max(min(most - 1, int(room[1] / LOWEST)), FEWEST)
        else:
            limit = max(limit - 6, FEWEST)


def columns_shown(view: View, limit: int) -> Shown:
    """Return which columns of M are shown: all, or those of the rows of x that the selected output reads."""
    shape = view.facts.problem.x.shape
    count, size = prod(shape), shape[-1]
    if count <= limit:
        return list(range(count))
    read = view.terms.inputs[view.terms.inputs >= 0]
    seen, blocks = sorted({*(read % size).tolist()}), sorted({*(read // size).tolist()})
    if not blocks:
        return around(count, [], limit)
    room = min(seen[-1] - seen[0] + 5, size, limit)
    number = max(min(len(blocks), limit // room), 1)
    inner = indices(around(size, seen, limit // number))
    return with_gaps(count, [block * size + index for block in blocks[:number] for index in inner])


class _Matrix:
    """M with texts: the cells that are shown, from which its sheet is made."""

    def __init__(self, view: View, most_rows: int, most_columns: int) -> None:
        facts, problem = view.facts, view.facts.problem
        self.view, self.selected = view, ravel(view.at, problem.y_shape)
        self.rows = around(view.counts.outputs, [self.selected], most_rows)
        self.columns = columns_shown(view, most_columns)
        self.inputs = problem.x.at(np.array(indices(self.columns))).tolist()
        self.read = set(view.terms.inputs.tolist())
        self.tiles: dict[tuple[int, int], Tile] = {}
        self.outputs: dict[tuple[int, int], Tile] = {}
        known = np.array(indices(self.columns))
        for row in indices(self.rows):
            terms = facts.terms(view.y_of(row))
            self._add_row(row, terms, known)
            total = view.number(self._value(row, terms))
            self.outputs[row, 0] = Tile(total, None, row == self.selected)

    def _value(self, row: int, terms: Terms) -> float:
        facts = self.view.facts
        if facts.y is not None:
            return float(facts.y.ravel()[row])
        bias = facts.problem.bias
        added = 0.0 if bias is None else float(bias[self.view.y_of(row)[0]])
        return float(terms.factors @ terms.values) + added

    def _add_row(self, row: int, terms: Terms, known: NDArray[np.int64]) -> None:
        """Add the entries of one row of M that are shown."""
        view, problem = self.view, self.view.facts.problem
        letters = view.letters is not False and bool(view.letter_kind)
        weight, column_of = ravel(view.weight_at, problem.weight.shape), ravel(view.input_at, problem.x.shape)
        tied = set(terms.inputs[terms.weights == weight].tolist()) if view.backward else set()
        seen = np.isin(terms.inputs, known)
        for column, entry in entries_of(view, _part(terms, seen)).items():
            marked = WEIGHT if column in tied else INPUT if view.backward and column == column_of else ""
            text = entry.letter if letters else entry.value
            self.tiles[row, column] = Tile(text, entry.tap, row == self.selected, "", marked)

    def sheet(self, room: tuple[float, float], smallest: bool) -> Sheet | None:
        """Return the sheet, or None if its texts would be too small and it is not the smallest one."""
        shape, step = self.view.facts.problem.x.shape, self.view.facts.problem.y_shape[-1]
        labels = {row: bracketed("y", self.view.y_of(row), ",") for row in indices(self.rows)}
        left = max(len(label) for label in labels.values()) * LETTER * LABEL + 4
        beside = letters_of(self.outputs) * LETTER * 7 + 4
        free = room[0] - left - beside - BETWEEN - Track(self.columns, 0, shape[-1]).length - 2
        letters = letters_of(self.tiles)
        width = min(free / len(self.inputs), max(LARGEST, letters * LETTER * 7 + 2))
        font = min((width - 0.5) / (LETTER * letters + 0.15), 8.0)
        numbers = [self.view.number(value) for value in self.inputs]
        longest = max(map(len, numbers))
        turned = (width - 1) / (LETTER * longest) < SMALLEST + 0.5
        above = min(7.0, width - 0.5 if turned else (width - 1) / (LETTER * longest))
        strip = longest * LETTER * above + 5 if turned else above * 1.7
        free_height = room[1] - strip - BETWEEN - 3 * LABEL - Track(self.rows, 0, step).length
        height = min(LARGEST * 0.85, max(font * 1.6, width * 0.85), free_height / len(self.outputs))
        font = min(font, height / 1.25)
        if min(font, above) < SMALLEST - 0.3 and not smallest:
            return None
        tracks = Track(self.rows, height, step), Track(self.columns, width, shape[-1])
        sheet = Sheet("M")
        top = self._column_labels(sheet, left, tracks[1])
        inputs = {
            (0, column): Tile(text, None, column in self.read, "", self._mark(column))
            for column, text in zip(indices(self.columns), numbers)
        }
        size = Size(width, strip, above)
        sheet.grid(inputs, (Track([0], strip), tracks[1]), size, (left, top), lambda _, c: f"Mx-{c}", turned)
        top += strip + BETWEEN
        sheet.grid(self.tiles, tracks, Size(width, height, font), (left, top), lambda r, c: f"M-{r}-{c}")
        right = left + tracks[1].length + BETWEEN
        size = Size(beside, height, min(7.0, height / 1.25))
        sheet.grid(self.outputs, (tracks[0], Track([0], beside)), size, (right, top), lambda r, _: f"My-{r}")
        for row, begin in tracks[0].begins.items():
            here = row == self.selected
            font_of_label = min(LABEL, height / 1.1)
            middle = top + begin + height / 2
            sheet.label(Label(left - 4, middle, labels[row], font_of_label, "right", bold=here, remark=not here))
        sheet.label(Label(left - 4, top - BETWEEN - strip / 2, "x", LABEL + 1, "right"))
        return sheet

    def _mark(self, column: int) -> str:
        view = self.view
        return INPUT if view.backward and column == ravel(view.input_at, view.facts.problem.x.shape) else ""

    def _column_labels(self, sheet: Sheet, left: float, track: Track) -> float:
        """Write above each run of columns which elements of x they are, if all of that fits; return where it ends."""
        shape = self.view.facts.problem.x.shape
        outer = [",".join(map(str, unravel(first, shape)[:-1])) for first, _ in track.runs]
        inner = [_span(first % shape[-1], last % shape[-1], shape[-1]) for first, last in track.runs]
        names = [f"x[{block},{span}]" for block, span in zip(outer, inner)]
        begins = [track.begins[first] for first, _ in track.runs]
        ends = [*begins[1:], track.length + 20]
        if any(text_width(name, LABEL - 0.5) > end - begin for name, begin, end in zip(names, begins, ends)):
            names = outer
        if any(text_width(name, LABEL - 0.5) > end - begin for name, begin, end in zip(names, begins, ends)):
            return 0.0
        for name, begin in zip(names, begins):
            sheet.label(Label(left + begin, LABEL * 0.7, name, LABEL - 0.5))
        return LABEL * 1.5


def _part(terms: Terms, seen: NDArray[np.bool_]) -> Terms:
    return Terms(terms.weights[seen], terms.inputs[seen], terms.factors[seen], terms.values[seen])


def _span(first: int, last: int, size: int) -> str:
    if last - first == size - 1:
        return ":"
    return str(first) if first == last else f"{first}:{last + 1}"


def _without_texts(view: View, room: tuple[float, float]) -> Sheet:
    """Return M whole, as cells without texts, with x above and y beside it."""
    facts, problem = view.facts, view.facts.problem
    rows, columns = view.counts.outputs, view.counts.inputs
    taps = np.full((rows, columns), -1, np.int16)
    for row in range(rows):
        terms = facts.terms(view.y_of(row))
        inside = terms.inputs >= 0
        taps[row, terms.inputs[inside]] = terms.weights[inside] % facts.taps
    selected = ravel(view.at, problem.y_shape)
    mine = np.arange(rows)[:, np.newaxis] == selected
    read = np.isin(np.arange(columns), view.terms.inputs)[np.newaxis]
    names = [bracketed("y", view.y_of(row), ",") for row in (0, rows - 1, selected)]
    left = max(map(len, names)) * LETTER * LABEL + 4
    strip = 8.0
    width = min((room[0] - left - strip - BETWEEN) / columns, LARGEST_WITHOUT_TEXT)
    height = min((room[1] - strip - BETWEEN - 3 * LABEL) / rows, max(width, 300 / rows), LARGEST_WITHOUT_TEXT)
    sheet = Sheet("M")
    right, top = left + columns * width, LABEL * 1.5
    for at, align, x in ((0, "left", left), (columns - 1, "right", right)):
        name = bracketed("x", unravel(at, problem.x.shape), ",")
        sheet.label(Label(x, LABEL * 0.7, name, LABEL, align))
    sheet.pictures.append(Picture(left, top, columns * width, strip, taps[selected][np.newaxis], read, "Mx"))
    top += strip + BETWEEN
    sheet.pictures.append(Picture(left, top, columns * width, rows * height, taps, mine & (taps >= 0), "M"))
    beside = np.full((rows, 1), -1, np.int16)
    sheet.pictures.append(Picture(right + BETWEEN, top, strip, rows * height, beside, mine, "My"))
    places = sorted({0: names[0], rows - 1: names[1], selected: names[2]}.items())
    before = -LABEL
    for row, name in places:
        middle = top + (row + 0.5) * height
        if middle - before >= LABEL or row == selected:
            sheet.label(Label(left - 4, middle, name, LABEL, "right"))
            before = middle
    sheet.grow(right + BETWEEN + strip, top + rows * height)
    return sheet
