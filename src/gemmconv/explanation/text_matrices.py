"""The sections K, P, Y and M of a text: the convolution as products of matrices.

Only the entries that are shown are worked out.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from .grids import GAP, MOST_ROWS, Cell, Shown, choose, fill, grid_row, indices, length, more, stands_for
from .view import View, ravel, unravel

# Columns of P with more taps than these are not shown, and outputs with more terms are not worked out for Y alone.
MOST_TAPS_SHOWN = 1 << 16
MOST_TERMS_OF_Y = 1 << 12
# The texts of a matrix by row and column.
Texts = dict[tuple[int, int], str]
# For an entry of K that is no weight.
NONE = "."


def product_lines(view: View, shown: Sequence[str]) -> list[str]:
    """Show those of the matrices K, P and Y that are asked for; for a transposed convolution K, X and K.T @ X."""
    problem, counts = view.facts.problem, view.counts
    rows, columns, kernels = counts.patch_rows, counts.patch_columns, problem.weight.shape[0]
    if problem.transposed:
        titles = {
            "K": f"K ({kernels}, {rows}): every kernel a row",
            "P": f"X ({kernels}, {columns}): every channel a row",
        }
        titles["Y"] = f"C ({rows}, {columns}): every column is added to a window of y"
        titles["Y"] += ", what lies beyond y is folded back" * problem.has_copies
        whole = "C = K.T @ X, y = col2im(C)"
        parts = {"K": kernel_matrix_lines, "P": inputs_lines, "Y": columns_lines}
    else:
        titles = {
            "K": f"K ({kernels}, {rows}): every kernel a row",
            "P": f"P ({rows}, {columns}): every window a column",
        }
        titles["Y"] = f"Y ({kernels}, {columns})"
        whole = "Y = K @ P" + (" + bias" if problem.bias is not None else "")
        parts = {"K": kernel_matrix_lines, "P": patches_lines, "Y": output_matrix_lines}
    lines = fill([*([whole] if len(shown) == 3 else []), *(titles[name] for name in shown)], view.width)
    for name in shown:
        lines += ["", *parts[name](view)]
    return lines


def _labelled(name: str, rows: list[str]) -> list[str]:
    """Put the name of a matrix before its first row."""
    return [f"  {name if not index else ' ' * len(name)}  {row}".rstrip() for index, row in enumerate(rows)]


def kernel_matrix_lines(view: View) -> list[str]:
    """Show K in numbers, and below them in letters."""
    facts, problem = view.facts, view.facts.problem
    rows = choose(problem.weight.shape[0], [] if problem.transposed else [view.at[0]], MOST_ROWS)
    total, keep = view.counts.patch_rows, []
    group = view.at[0] // facts.group_outputs if not problem.transposed else 0
    if problem.geometry.groups > 1:
        begin = group * facts.group_channels * facts.taps
        keep = [begin, begin + facts.group_channels * facts.taps - 1]
    limit = 2 * view.width
    while True:  # the width of the numbers is known when they are chosen
        columns = choose(total, keep, limit, fill=True)
        numbers = _kernel_rows(view, rows, columns, letters=False)
        widest = max(map(length, numbers))
        if widest + 5 <= view.width or limit == 1:
            break
        limit = max(1, min(limit - 1, len(columns) * (view.width - 5) // widest))
    lines = _labelled("K", numbers)
    if view.letter_kind:
        lines += ["", *(f"     {row}".rstrip() for row in _kernel_rows(view, rows, columns, letters=True))]
    return [*lines, *(f"   {line}" for line in stands_for(columns))]


def _kernel_rows(view: View, rows: Shown, columns: Shown, letters: bool) -> list[str]:
    """Return the rows of K that are shown; `letters` are as wide as the numbers."""
    facts, problem = view.facts, view.facts.problem
    texts = {}
    width = 1
    for row in rows:
        if isinstance(row, range):
            continue
        first = row // facts.group_outputs * facts.group_channels
        for column in columns:
            if isinstance(column, range):
                continue
            channel, tap = divmod(column, facts.taps)
            if not first <= channel < first + facts.group_channels:
                texts[row, column] = Cell(NONE)
                continue
            weight = facts.weight_of(row, channel - first, tap)
            value = view.number(float(problem.weight.at(weight.ravel())[0]))
            width = max(width, len(value))
            text = view.letter(int(weight)) if letters else value
            texts[row, column] = Cell(text, view.tap_of(int(weight)))
    lines = []
    for row in rows:
        if isinstance(row, range):
            lines.append(f" ... {more(len(row), 'row')}")
            continue
        line, before = "", 0
        for column in columns:
            # a channel begins after one more blank
            channel = before if isinstance(column, range) else column // facts.taps
            line += " " * (bool(line) + (bool(line) and channel != before))
            before = channel
            line += GAP if isinstance(column, range) else _painted(view, texts[row, column], width)
        selected = not problem.transposed and row == view.at[0]
        lines.append(f"[{line}]" if selected else f" {line} ")
    return lines


def _painted(view: View, cell: Cell, width: int) -> str:
    return view.paint(cell.text.rjust(width), cell.tap)


def tap_label(view: View, row: int) -> str:
    """Return the channel and the tap of a row of P."""
    channel, tap = divmod(row, view.facts.taps)
    problem = view.facts.problem
    where = ",".join(map(str, unravel(tap, problem.weight.shape[2:])))
    return f"channel {channel}, tap {where}" if problem.geometry.in_channels > 1 else f"tap {where}"


def _columns_of(view: View, pitch: int, label: int) -> Shown:
    """Return which columns, each of them one position, are shown beside labels of some length."""
    selected = [] if view.facts.problem.transposed else [_position(view)]
    limit = max((view.width - 8 - label) // pitch, 1)
    return choose(view.counts.patch_columns, selected, limit, fill=True)


def _position(view: View) -> int:
    """Return the column of the output that is written out."""
    return ravel(view.at[1:], view.facts.problem.y_shape[1:])


def _matrix(
    view: View, name: str, cells: dict[tuple[int, int], Cell], rows: Shown, columns: Shown, labels: bool
) -> list[str]:
    """Return the lines of a matrix whose cells are given by row and column."""
    width = max(len(cell.text) for cell in cells.values())
    lines = []
    labels = labels and len(columns) * (width + 2) + len(tap_label(view, view.counts.patch_rows - 1)) + 11 <= view.width
    for row in rows:
        if isinstance(row, range):
            lines.append(f"  ... {more(len(row), 'row')}")
            continue
        line = grid_row([None if isinstance(c, range) else cells[row, c] for c in columns], width, view.paint)
        lines.append(f"{line}     {tap_label(view, row)}" if labels else line)
    return [*_labelled(name, lines), *(f"   {line}" for line in stands_for(columns))]


def _fitting(make: Callable[[int], tuple[Shown, Shown, Texts]]) -> tuple[Shown, Shown, Texts]:
    """Return the rows and columns that fit, and their texts.

    `make` chooses them for a width of a cell, which is known only when they are chosen.
    """
    pitch = 4
    while True:
        rows, columns, texts = make(pitch)
        widest = max(map(len, texts.values())) + 2
        if widest <= pitch:
            return rows, columns, texts
        pitch = widest


def _shown_patches(view: View, pitch: int) -> tuple[Shown, Shown]:
    """Return which rows and columns of P, or of K.T @ X, are shown."""
    total = view.counts.patch_rows
    rows = choose(total, _rows_kept(view), MOST_ROWS)
    return rows, _columns_of(view, pitch, 4 + len(tap_label(view, total - 1)))


def _rows_kept(view: View) -> list[int]:
    """Return the first and the last row of P that the selected output reads, if that is not all."""
    facts = view.facts
    if facts.problem.transposed:
        return [view.at[0] * facts.taps]
    channels = view.window.channels
    return [channels[0] * facts.taps, (channels[-1] + 1) * facts.taps - 1] if facts.problem.geometry.groups > 1 else []


def patches_lines(view: View) -> list[str]:
    """Show P, with brackets around the column of the output that is written out."""
    facts, problem = view.facts, view.facts.problem
    if facts.taps > MOST_TAPS_SHOWN:
        return [f"  P  not shown: its columns have {view.counts.patch_rows} numbers"]

    def make(pitch: int) -> tuple[Shown, Shown, Texts]:
        rows, columns = _shown_patches(view, pitch)
        channels, taps = np.divmod(np.array(indices(rows)), facts.taps)
        texts = {}
        for column in indices(columns):
            read = facts.entries.row(column)[taps]
            values = problem.read(np.where(read < 0, -1, channels * facts.positions + read))
            texts.update({(row, column): view.number(value) for row, value in zip(indices(rows), values)})
        return rows, columns, texts

    rows, columns, texts = _fitting(make)
    selected, seen = _position(view), view.window.channels
    cells = {
        (row, column): Cell(
            text,
            view.tap_of(int(facts.weight_of(0, 0, row % facts.taps))) if column == selected else None,
            column == selected and row // facts.taps in seen,
        )
        for (row, column), text in texts.items()
    }
    return _matrix(view, "P", cells, rows, columns, labels=True)


def output_matrix_lines(view: View) -> list[str]:
    """Show Y."""
    facts, problem = view.facts, view.facts.problem
    if facts.y is None and problem.geometry.reduction_length > MOST_TERMS_OF_Y:
        return ["  Y  not computed"]

    def make(pitch: int) -> tuple[Shown, Shown, Texts]:
        rows, columns = choose(problem.y_shape[0], [view.at[0]], MOST_ROWS), _columns_of(view, pitch, 0)
        places = [(row, column) for row in indices(rows) for column in indices(columns)]
        values = (facts.value((row, *unravel(column, problem.y_shape[1:]))) for row, column in places)
        return rows, columns, dict(zip(places, map(view.number, values)))

    rows, columns, texts = _fitting(make)
    selected = (view.at[0], _position(view))
    cells = {where: Cell(text, None, where == selected) for where, text in texts.items()}
    return _matrix(view, "Y", cells, rows, columns, labels=False)


def inputs_lines(view: View) -> list[str]:
    """Show X, the input of a transposed convolution with one row per channel."""
    x, pixels = view.facts.problem.x, view.facts.pixels
    kept = [view.window.channels[0]]

    def make(pitch: int) -> tuple[Shown, Shown, Texts]:
        rows, columns = choose(x.shape[0], kept, MOST_ROWS), _columns_of(view, pitch, 0)
        places = [(row, column) for row in indices(rows) for column in indices(columns)]
        values = x.at(np.array([row * pixels + column for row, column in places]))
        return rows, columns, dict(zip(places, map(view.number, values)))

    rows, columns, texts = _fitting(make)
    read = set(view.terms.inputs.tolist())
    cells = {(row, column): Cell(text, None, row * pixels + column in read) for (row, column), text in texts.items()}
    return _matrix(view, "X", cells, rows, columns, labels=False)


def columns_lines(view: View) -> list[str]:
    """Show C = K.T @ X of a transposed convolution, with brackets around what is added to the output written out."""
    facts = view.facts

    def make(pitch: int) -> tuple[Shown, Shown, Texts]:
        rows, columns = _shown_patches(view, pitch)
        texts = {}
        for row in indices(rows):
            values = row_of_columns(view, row, np.array(indices(columns)))
            texts.update({(row, column): view.number(value) for column, value in zip(indices(columns), values)})
        return rows, columns, texts

    rows, columns, texts = _fitting(make)
    outputs, taps = facts.entries.column(ravel(view.at[1:], facts.problem.y_shape[1:]))
    added = {(view.at[0] * facts.taps + int(tap), int(output)) for tap, output in zip(taps, outputs)}
    cells = {
        where: Cell(text, where[0] % facts.taps if where in added else None, where in added)
        for where, text in texts.items()
    }
    return _matrix(view, "C", cells, rows, columns, labels=True)


def row_of_columns(view: View, row: int, columns: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return some elements of one row of K.T @ X."""
    facts, problem = view.facts, view.facts.problem
    channel, tap = divmod(row, facts.taps)
    group, within = divmod(channel, facts.group_channels)
    inputs = np.arange(group * facts.group_outputs, (group + 1) * facts.group_outputs)
    weights = problem.weight.at((inputs * facts.group_channels + within) * facts.taps + tap)
    values = problem.x.at((inputs[:, np.newaxis] * facts.pixels + columns).ravel())
    return np.asarray(weights @ values.reshape(len(inputs), len(columns)))
