"""The panels x, weight and y of the picture: arrays as grids, one per channel.

A panel is some lines of blocks; a block is one grid with its title. `sheet_of` places them for a size of the text.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import product as combinations
from math import prod
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..checks.options import Sizes
from .counts import is_read_along
from .grids import Cell, Shown, choose, indices, left_out, more
from .sheet import (
    INPUT,
    LABEL,
    PADDING,
    UNREAD,
    WEIGHT,
    Label,
    Sheet,
    Size,
    Tile,
    Track,
    around,
    letters_of,
    text_width,
)
from .text_arrays import ZEROS, InputGrid, indices_of
from .text_matrices import MOST_TERMS_OF_Y
from .view import View, ravel, unravel

# Between blocks of a line, and between lines.
BETWEEN, LINES = 7.0, 5.0


class Block(NamedTuple):
    """One grid with its title."""

    title: str
    tiles: dict[tuple[int, int], Tile]
    rows: Shown
    columns: Shown
    where: Sizes
    """What comes before row and column in the index of an element."""


class Panel(NamedTuple):
    """An array as lines of blocks; each line has a label."""

    name: str
    title: str
    remark: str
    lines: list[tuple[str, list[Block]]]
    rank: int
    missing: str = ""
    starts: tuple[int, int] = (0, 0)
    """The positions of row 0 and column 0: negative if there is padding."""


class Limits(NamedTuple):
    """The most rows and columns of a grid, and the most grids of a panel."""

    rows: int
    columns: int
    blocks: int


def x_panel(view: View, limits: Limits) -> Panel:
    """Return x with its padding; what the output sees is selected."""
    problem = view.facts.problem
    grid = InputGrid(view, has_unread=False)
    grid.marks = False
    outer = (problem.x.shape[0], *grid.sizes[:-2])
    rows: Shown = around(grid.sizes[-2], grid.seen[-2], limits.rows) if problem.rank > 1 else [0]
    columns = around(grid.sizes[-1], grid.seen[-1], limits.columns)
    keep = [ravel((c, *depths), outer) for c in view.window.channels[:12] for depths in grid.seen_depths()]
    shown = choose(prod(outer), keep, limits.blocks)
    blocks = []
    for where in indices_of(shown, outer):
        tiles = _x_tiles(view, grid, where, rows, columns)
        index = (where[0], *(depth + grid.starts[0] for depth in where[1:]))
        blocks.append(Block(block_title(index), tiles, rows, columns, index))
    remark = "hatched: padding" if any(grid.starts + grid.ends()) else ""
    if not problem.transposed and view.counts.unread:
        remark += ", " * bool(remark) + f"crossed out: {view.counts.unread} that no output reads"
    starts = (grid.starts[-2] if problem.rank > 1 else 0, grid.starts[-1])
    lines = in_lines(blocks, problem.rank)
    return Panel("x", f"x {problem.x.shape}", remark, lines, problem.rank, _missing(shown, outer), starts)


def _missing(shown: Shown, outer: Sizes) -> str:
    """Return how many blocks are left out."""
    noun = "channel" if len(outer) == 1 else "slice"
    return more(left_out(shown), noun) if left_out(shown) else ""


def _x_tiles(view: View, grid: InputGrid, where: Sizes, rows: Shown, columns: Shown) -> dict[tuple[int, int], Tile]:
    """Return the cells of one channel, or slice, of x."""
    problem, rank = view.facts.problem, view.facts.problem.rank
    taps = {}
    if problem.transposed and view.has_terms:
        taps = {i: view.tap_of(w) for i, w in zip(view.terms.inputs.tolist(), view.terms.weights.tolist())}
    along = [*([depth] for depth in where[1:]), *([indices(rows)] if rank > 1 else []), indices(columns)]
    unread = [_unread(view, axis, np.add(shown, start)) for axis, (shown, start) in enumerate(zip(along, grid.starts))]
    cells = grid.cells(where, rows, columns)
    tiles = {}
    for row, line in zip(indices(rows), cells):
        for column, cell in zip(columns, line):
            if cell is None or isinstance(column, range):
                continue
            index = tuple(p + start for p, start in zip((*where[1:], row, column)[-rank:], grid.starts))
            inside = all(0 <= position < size for position, size in zip(index, problem.x.shape[1:]))
            hatch = "" if inside else PADDING
            if inside and any(position in skipped for position, skipped in zip(index, unread)):
                hatch = UNREAD
            at = (where[0], *index)
            tap = taps.get(ravel(at, problem.x.shape)) if cell.selected and taps else cell.tap
            marked = INPUT if view.backward and at == view.input_at else ""
            tiles[row, column] = Tile(_text(cell), tap, cell.selected, hatch, marked)
    return tiles


def _text(cell: Cell) -> str:
    return "" if cell.text == ZEROS else cell.text


def _unread(view: View, axis: int, positions: NDArray[np.int64]) -> set[int]:
    """Return those of some positions along an axis of x that no output reads."""
    problem = view.facts.problem
    if problem.transposed or not view.counts.unread:
        return set()
    axis += 3 - problem.rank
    read = is_read_along(problem.geometry, axis, problem.modes[axis], positions)
    return set(positions[~read].tolist())


def weight_panel(view: View, limits: Limits) -> Panel:
    """Return the kernels, every weight with its letter in the corner."""
    facts, problem = view.facts, view.facts.problem
    shape, used = problem.weight.shape, set(view.terms.weights.tolist()) if view.has_terms else set()
    kept = [view.window.channels[0], view.window.channels[-1]] if problem.transposed else [view.at[0]]
    planes = (shape[1], *shape[2:-2])
    kernels = choose(shape[0], kept, limits.blocks if prod(planes) == 1 else (limits.blocks + 1) // 2)
    shown = choose(prod(planes), [view.weight_at[1]] if view.backward else [], limits.blocks)
    rows: Shown = choose(shape[-2], [], limits.rows, fill=True) if problem.rank > 1 else [0]
    columns = choose(shape[-1], [], limits.columns, fill=True)

    def tile(where: Sizes, row: int, column: int) -> Tile:
        index = (*where, row, column) if problem.rank > 1 else (*where, column)
        flat = ravel(index, shape)
        value = view.number(float(problem.weight.at(np.array([flat]))[0]))
        letter = view.letter(flat) if view.letter_kind else ""
        marked = WEIGHT if view.backward and index == view.weight_at else ""
        return Tile(value, flat % facts.taps, flat in used, "", marked, letter)

    single = len(indices(shown)) == 1
    lines: list[tuple[str, list[Block]]] = []
    for kernel in indices(kernels):
        blocks = []
        for plane in indices(shown):
            where = (kernel, *unravel(plane, planes))
            tiles = {(r, c): tile(where, r, c) for r in indices(rows) for c in indices(columns)}
            title = f"kernel {kernel}" if single else block_title(where[1:])
            blocks.append(Block(title, tiles, rows, columns, where))
        if single and lines and problem.rank > 1:
            lines[0][1].extend(blocks)
        else:
            lines.append(("" if single and problem.rank > 1 else f"kernel {kernel}", blocks))
    if single and problem.rank == 1:
        lines = [(label, [blocks[0]._replace(title="")]) for label, blocks in lines]
    remarks = [more(left_out(kernels), "kernel")] if left_out(kernels) else []
    remarks += [_missing(shown, planes)] if left_out(shown) else []
    return Panel("weight", f"weight {shape}", "", lines, problem.rank, ", ".join(remarks))


def y_panel(view: View, limits: Limits) -> Panel:
    """Return y; the output that is written out is selected."""
    facts, shape = view.facts, view.facts.problem.y_shape
    outer = (shape[0], *shape[1:-2])
    rows: Shown = around(shape[-2], [view.at[-2]], limits.rows) if len(shape) > 2 else [0]
    columns = around(shape[-1], [view.at[-1]], limits.columns)
    if facts.y is None and view.facts.problem.geometry.reduction_length > MOST_TERMS_OF_Y:
        return Panel("y", f"y {shape}", "", [], len(outer), "not computed: the layer is too large")
    shown = choose(prod(outer), [ravel(view.at[: len(outer)], outer)], limits.blocks)
    blocks = []
    for where in indices_of(shown, outer):
        tiles = {}
        for row, column in combinations(indices(rows), indices(columns)):
            index = (*where, row, column) if len(shape) > 2 else (*where, column)
            tiles[row, column] = Tile(view.number(facts.value(index)), None, index == view.at)
        blocks.append(Block(block_title(where), tiles, rows, columns, where))
    rank = len(shape) - 1
    return Panel("y", f"y {shape}", "", in_lines(blocks, rank), rank, _missing(shown, outer))


def block_title(where: Sizes) -> str:
    """Return the channel, and the depth, of a block."""
    return f"channel {where[0]}" + (f", depth {where[1]}" if len(where) > 1 else "")


def in_lines(blocks: list[Block], rank: int) -> list[tuple[str, list[Block]]]:
    """Return all blocks in one line, or one line per channel: with one axis, and with three."""
    if rank == 2:
        return [("", blocks)]
    if rank == 1:
        return [(block.title, [block._replace(title="")]) for block in blocks]
    lines: dict[int, list[Block]] = {}
    for block in blocks:
        lines.setdefault(block.where[0], []).append(block)
    return [("", line) for line in lines.values()]


def size_of_cells(panel: Panel, font: float) -> Size:
    """Return the size of all cells of a panel."""
    letters = max((letters_of(block.tiles) for _, blocks in panel.lines for block in blocks), default=1)
    if not any(tile.corner for _, blocks in panel.lines[:1] for tile in blocks[0].tiles.values()):
        return Size.of_text(letters, font)
    size = Size.of_text(letters + 1, font)  # the letter stands above the number
    return size._replace(height=size.height + 0.35 * font)


def sheet_of(panel: Panel, size: Size, per_line: int, measure: bool = False) -> Sheet:
    """Place the blocks of a panel, at most `per_line` beside each other; or only measure what they take."""
    sheet = Sheet(panel.name)
    top = sheet.head(panel.title, panel.remark)
    indent = max((text_width(label, LABEL) + 5 for label, _ in panel.lines if label), default=0.0)
    for label, blocks in panel.lines:
        for first in range(0, len(blocks), per_line):
            left, bottom = indent, top
            for block in blocks[first : first + per_line]:
                tracks = Track(block.rows, size.height), Track(block.columns, size.width)
                begin = top
                if block.title:
                    sheet.label(Label(left, top + 0.6 * LABEL, block.title))
                    begin += 1.4 * LABEL
                if label and block is blocks[0]:
                    sheet.label(Label(0, begin + tracks[0].length / 2, label))
                sheet.grid({} if measure else block.tiles, tracks, size, (left, begin), _namer(panel, block))
                bottom = max(bottom, begin + tracks[0].length)
                left += max(tracks[1].length, text_width(block.title, LABEL)) + BETWEEN
            top = bottom + (LINES if panel.rank > 1 or blocks[0].title else 0)
    for line in filter(None, (panel.missing, _ranges(panel))):
        sheet.label(Label(indent, top + LABEL, line))
        top += 1.5 * LABEL
    return sheet


def _ranges(panel: Panel) -> str:
    """Return which rows and columns are shown, if it is not all of them."""
    block = panel.lines[0][1][0] if panel.lines else None
    if block is None or not left_out(block.rows) + left_out(block.columns):
        return ""
    texts = []
    for noun, shown, start in zip(("rows", "columns"), (block.rows, block.columns), panel.starts):
        if noun == "columns" or panel.rank > 1:
            runs = (run(first + start, last + start) for first, last in Track(shown, 0).runs)
            texts.append(f"{noun} {', '.join(runs)}")
    return "; ".join(texts)


def run(first: int, last: int) -> str:
    """Return the name of a run of rows or columns."""
    return str(first) if first == last else f"{first} to {last}"


def _namer(panel: Panel, block: Block) -> Callable[[int, int], str]:
    """Return the function that gives the id of a cell: the name of the array and the index of the element."""

    def name(row: int, column: int) -> str:
        places = (row + panel.starts[0], column + panel.starts[1])
        return "-".join(map(str, (panel.name, *block.where, *places[-panel.rank :])))

    return name
