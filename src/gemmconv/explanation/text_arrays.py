"""The sections x and y of a text: arrays as grids, one per channel."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import product as combinations
from math import prod
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..checks.arrays import Array
from ..checks.options import Sizes
from ..engine.extension import extended_from
from .counts import is_read_along
from .grids import (
    MOST_BLOCKS,
    MOST_BLOCKS_IN_PART,
    MOST_ROWS,
    Cell,
    Shown,
    beside,
    choose,
    counted,
    fill,
    grid_row,
    indices,
    left_out,
    more,
    stands_for,
)
from .view import View, bracketed, ravel, unravel

Indices = NDArray[np.int64]
ZEROS, VALUE, COPY, UNREAD = ".", "p", "'", "x"


def x_lines(view: View) -> list[str]:
    """Show x with its padding, and in brackets what one output sees."""
    problem = view.facts.problem
    pads = problem.geometry.pads
    notes = [f"x, and in brackets what {bracketed('y', view.at)} sees"]
    unread = 0
    if not problem.transposed:
        unread = view.counts.unread
        if any(before > 0 or after > 0 for before, after in pads):
            notes.append(f"({'; '.join(_padding_marks(view))})")
    if unread:
        verb = "input that no output reads" if unread == 1 else "inputs that no output reads"
        notes.append(f"({UNREAD} marks {unread} {verb})")
    grid = InputGrid(view, unread > 0)
    return [*fill(notes, view.width, "  "), *grid.lines()]


def _padding_marks(view: View) -> list[str]:
    """Return what the marks of padding mean."""
    problem, marks = view.facts.problem, []
    if problem.value != 0:
        marks.append(f"{VALUE} marks padding, which holds {view.number(problem.value)}")
    elif any(mode == "constant" and max(pad) > 0 for mode, pad in zip(problem.modes[-problem.rank :], problem.pads)):
        marks.append(f"{ZEROS} is padding")
    if problem.has_copies:
        marks.append(f"{COPY} marks copies beyond the edge")
    return marks


class InputGrid:
    """x with its padding; an axis begins at ``starts[axis]``, which is negative if there is padding."""

    def __init__(self, view: View, has_unread: bool) -> None:
        problem = view.facts.problem
        self.view, self.problem, self.has_unread = view, problem, has_unread
        pads = [(0, 0)] * problem.rank if problem.transposed else problem.geometry.pads
        self.starts = [-max(before, 0) for before, _ in pads]
        self.sizes = [size + max(before, 0) + max(after, 0) for size, (before, after) in zip(problem.x.shape[1:], pads)]
        self.marks = has_unread or (not problem.pads_with_zeros and any(self.starts + self.ends()))
        self.seen = [
            {int(position) - start: tap for tap, position in reversed(list(enumerate(along)))}
            for along, start in zip(view.window.positions, self.starts)
        ]

    def ends(self) -> list[int]:
        """Return how much padding there is after x along each axis."""
        return [size + start - inner for size, start, inner in zip(self.sizes, self.starts, self.problem.x.shape[1:])]

    def lines(self) -> list[str]:
        """Return the grids of all channels, or of the first ones and those that are seen."""
        outer = (self.problem.x.shape[0], *self.sizes[:-2])
        keep = [
            ravel((channel, *depths), outer)
            for channel in self.view.window.channels[:MOST_BLOCKS]
            for depths in self.seen_depths()
        ]
        rows: Shown = choose(self.sizes[-2], self.seen[-2], MOST_ROWS) if self.problem.rank > 1 else [0]

        def make(pitch: int) -> Grids:
            fit = max(room(self.view, rows, outer[0]) // pitch, 1)
            columns = choose(self.sizes[-1], self.seen[-1], fit, fill=True)
            shown = chosen_blocks(outer, keep, rows, columns)
            cells = {where: self.cells(where, rows, columns) for where in indices_of(shown, outer)}
            return Grids(rows, columns, cells, left_out(shown))

        return show_grids(self.view, make, self.starts[0] if len(outer) > 1 else 0)

    def seen_depths(self) -> list[Sizes]:
        """Return the depths that are seen, each as the part of an index; with fewer axes, one empty part."""
        if self.problem.rank < 3:
            return [()]
        return [(depth,) for depth in sorted(self.seen[0]) if 0 <= depth < self.sizes[0]]

    def cells(self, where: Sizes, rows: Shown, columns: Shown) -> list[list[Cell | None]]:
        """Return the cells of one grid; None is a gap."""
        problem, rank = self.problem, self.problem.rank
        along = [*([depth] for depth in where[1:]), *([indices(rows)] if rank > 1 else []), indices(columns)]
        sources, inside, read = self._sources(along)
        flat = where[0] * prod(problem.x.shape[1:]) + sources
        values = problem.read(np.where(sources < 0, -1, flat).ravel())
        seen_here = where[0] in self.view.window.channels
        cells = iter(
            self._cell(index, value, bool(is_inside), bool(is_read), source, seen_here)
            for index, value, is_inside, is_read, source in zip(
                combinations(*along), values, inside.ravel(), read.ravel(), sources.ravel().tolist()
            )
        )
        return [[None if isinstance(c, range) else next(cells) for c in columns] for r in rows if isinstance(r, int)]

    def _sources(self, along: list[list[int]]) -> tuple[Indices, NDArray[np.bool_], NDArray[np.bool_]]:
        """Return, for a product of positions, the elements of x they hold (-1: zeros), and whether inside and read."""
        problem = self.problem
        sources, inside, read = np.zeros((), np.int64), np.ones((), bool), np.ones((), bool)
        shape = problem.x.shape[1:]
        for axis, (shown, start, size) in enumerate(zip(along, self.starts, shape), 3 - problem.rank):
            mode = problem.modes[axis]
            positions = np.array(shown, np.int64) + start
            within = (positions >= 0) & (positions < size)
            source = np.where(within, positions, -1) if mode == "constant" else extended_from(positions, size, mode)
            is_read = np.ones(len(shown), bool)
            if self.has_unread:
                is_read = is_read_along(problem.geometry, axis, mode, positions)
            outside = (sources < 0)[..., np.newaxis] | (source < 0)
            sources = np.where(outside, -1, sources[..., np.newaxis] * size + source)
            inside, read = inside[..., np.newaxis] & within, read[..., np.newaxis] & is_read
        return sources, inside, read

    def _cell(self, index: Sizes, value: float, inside: bool, read: bool, source: int, seen_here: bool) -> Cell:
        zeros = source < 0 and self.problem.value == 0
        text = ZEROS if zeros else self.view.number(value)
        if self.marks:
            beyond = " " if zeros else VALUE if source < 0 else COPY
            text += beyond if not inside else UNREAD if self.has_unread and not read else " "
        selected = seen_here and all(position in seen for position, seen in zip(index, self.seen))
        tap = None
        if selected and not self.problem.transposed:
            taps = [seen[position] for position, seen in zip(index, self.seen)]
            tap = ravel(tuple(taps), self.problem.geometry.kernel[-self.problem.rank :])
            tap = self.view.facts.taps - 1 - tap if self.problem.options.flip else tap
        return Cell(text, tap, selected)


class Grids(NamedTuple):
    """The rows and columns that are shown of every grid, the cells of each, and how many grids are left out."""

    rows: Shown
    columns: Shown
    cells: dict[Sizes, list[list[Cell | None]]]
    missing: int


def chosen_blocks(outer: Sizes, keep: Sequence[int], rows: Shown, columns: Shown) -> Shown:
    """Return which grids are shown: fewer if they are not shown as a whole."""
    whole = not left_out(rows) and not left_out(columns)
    return choose(prod(outer), keep, MOST_BLOCKS if whole else MOST_BLOCKS_IN_PART)


def indices_of(shown: Shown, outer: Sizes) -> list[Sizes]:
    """Return the channel, and the depth, of the grids that are shown."""
    return [unravel(index, outer) for index in shown if isinstance(index, int)]


def show_grids(view: View, make: Callable[[int], Grids], first_depth: int) -> list[str]:
    """Return the lines of grids; `make` chooses them for a width of a cell, which is known when they are chosen."""
    pitch = 4
    while True:
        grids = make(pitch)
        cells = (cell for rows in grids.cells.values() for row in rows for cell in row if cell is not None)
        width = max(len(cell.text) for cell in cells)
        if width + 2 <= pitch:
            break
        pitch = width + 2
    blocks = []
    for where, rows in grids.cells.items():
        title = f"channel {where[0]}" + (f", depth {where[1] + first_depth}" if len(where) > 1 else "")
        blocks.append((title, *grid_lines(view, rows, grids.rows, grids.columns, width)))
    return show_blocks(view, blocks, grids.missing, "channel" if len(next(iter(grids.cells))) == 1 else "slice")


def room(view: View, rows: Shown, channels: int) -> int:
    """Return the width for the cells of a grid; a grid of one row has its title before it."""
    title = f"channel {channels}" + (", depth 000" if view.facts.problem.rank > 2 else "")
    return view.width - (5 if len(rows) > 1 else 6 + len(title))


def grid_lines(view: View, cells: list[list[Cell | None]], rows: Shown, columns: Shown, width: int) -> list[str]:
    """Return the lines of one grid; `cells` has the rows that are shown."""
    lines, following = [], iter(cells)
    for row in rows:
        if isinstance(row, range):
            lines.append(f"  ... {more(len(row), 'row')}")
        else:
            lines.append(grid_row(next(following), width, view.paint))
    return [*lines, *stands_for(columns)]


def show_blocks(view: View, blocks: list[tuple[str, ...]], missing: int, noun: str) -> list[str]:
    """Put grids with their titles beside each other; a grid of one row stands beside its title."""
    if all(len(block) == 2 for block in blocks):
        widest = max(len(block[0]) for block in blocks)
        lines = [f"  {title:{widest}}  {line}".rstrip() for title, line in blocks]
    elif view.facts.problem.rank == 1:
        widest = max(len(block[0]) for block in blocks)
        lines = []
        for title, *rows in blocks:
            lines += [f"  {title if not index else '':{widest}}  {row}".rstrip() for index, row in enumerate(rows)]
    else:
        lines = beside([[f" {title}", *rows] for title, *rows in blocks], view.width)
    if missing:
        lines.append(f"  ... {more(missing, noun)}")
    return lines


def y_lines(view: View) -> list[str]:
    """Show y by channels and what an activation makes of it, or say that it is too large to be computed."""
    facts = view.facts
    title = "y, the rows of Y as feature maps"
    if facts.problem.transposed:
        unread = view.counts.unread
        title = "y, the feature maps" + f"  ({counted(unread, 'output')} read no input)" * (unread > 0)
    if facts.y is None:
        multiplications = view.counts.multiplications
        return [title, *fill([f"  not computed: it takes {multiplications} multiplications"], view.width)]
    lines = [title, *feature_maps(view, facts.y)]
    if facts.problem.activation == "relu":
        lines += ["", "A = max(y, 0), the activations (ReLU)", *feature_maps(view, np.maximum(facts.y, 0))]
    return lines


def feature_maps(view: View, y: Array) -> list[str]:
    """Return the grids of the channels of y, or of as many numbers."""
    shape = y.shape
    outer = (shape[0], *shape[1:-2])
    rows: Shown = choose(shape[-2], [view.at[-2]], MOST_ROWS) if len(shape) > 2 else [0]

    def make(pitch: int) -> Grids:
        columns = choose(shape[-1], [view.at[-1]], max(room(view, rows, shape[0]) // pitch, 1), fill=True)
        shown = chosen_blocks(outer, [ravel(view.at[: len(outer)], outer)], rows, columns)
        places = [(row,) if len(shape) > 2 else () for row in rows if isinstance(row, int)]
        cells = {
            where: [[_y_cell(view, y, (*where, *place), column) for column in columns] for place in places]
            for where in indices_of(shown, outer)
        }
        return Grids(rows, columns, cells, left_out(shown))

    return show_grids(view, make, 0)


def _y_cell(view: View, y: Array, row: Sizes, column: int | range) -> Cell | None:
    if isinstance(column, range):
        return None
    return Cell(view.number(y[*row, column]), None, (*row, column) == view.at)
