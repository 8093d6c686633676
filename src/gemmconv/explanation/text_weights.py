"""The section weight of a text: every weight with its letter, and what is remarkable about the weights."""

from __future__ import annotations

from math import prod

import numpy as np

from .examples import LETTERS
from .grids import (
    GAP,
    MOST_BLOCKS,
    MOST_ROWS,
    Shown,
    beside,
    choose,
    counted,
    fill,
    indices,
    length,
    more,
    padded,
    stands_for,
)
from .view import View


def weight_lines(view: View) -> list[str]:
    """Show every weight with its letter, and what is remarkable about the weights."""
    problem = view.facts.problem
    kind = view.letter_kind
    title = {"weight": "weight, and the letter by which M names each", "tap": "weight, and the letter of each tap"}
    lines = [title.get(kind, "weight")]
    shape = problem.weight.shape
    kernels = choose(shape[0], [] if problem.transposed else [view.at[0]], 8 if is_small(view) else 3)
    for kernel in kernels:
        if isinstance(kernel, range):
            lines.append(f"  ... {more(len(kernel), 'kernel')}")
        else:
            lines += _kernel_lines(view, kernel)
    return [*lines, *remarks(view)]


def is_small(view: View) -> bool:
    """Return whether a kernel has so few weights that several can be shown."""
    return prod(view.facts.problem.weight.shape[1:]) <= len(LETTERS)


def _kernel_lines(view: View, kernel: int) -> list[str]:
    """Return the lines of one kernel, its channels beside each other."""
    problem = view.facts.problem
    _, channels, *_ = shape = problem.weight.shape
    planes = (channels, *shape[2:-2])
    label = f"kernel {kernel}"
    label = label.ljust(len(f"kernel {min(shape[0], 10) - 1}"))
    shown = choose(prod(planes), [], MOST_BLOCKS if is_small(view) else 4)
    rows = choose(shape[-2] if len(shape) > 3 else 1, [], MOST_ROWS // 2)
    blocks = []
    for plane in shown:
        if isinstance(plane, range):
            blocks.append([f".. {more(len(plane), 'channel' if len(planes) == 1 else 'slice')}"])
            continue
        first = (kernel * prod(planes) + plane) * prod(shape[-2:] if len(shape) > 3 else shape[-1:])
        blocks.append(_plane(view, first, rows, shape[-1]))
    lines = beside(blocks, view.width - length(label) - 5, indent=0, gap=6)
    return [f"  {label if not index else ' ' * len(label)}   {line}".rstrip() for index, line in enumerate(lines)]


def _plane(view: View, first: int, rows: Shown, size: int) -> list[str]:
    """Return one channel of one kernel; its first weight has the flat index `first`."""
    room, pitch = view.width - 20, 3
    while True:  # the width of a cell is known when they are chosen
        columns = choose(size, [], max(room // pitch, 1), fill=True)
        texts = _texts(view, first, size, [(r, c) for r in indices(rows) for c in indices(columns)])
        width = max(map(len, texts.values()))
        if width + 2 <= pitch:
            break
        pitch = width + 2
    lines = []
    for row in rows:
        if isinstance(row, range):
            lines.append(f"... {more(len(row), 'row')}")
            continue
        cells = [
            GAP
            if isinstance(column, range)
            else view.paint(padded(texts[row, column], width), view.tap_of(first + row * size + column))
            for column in columns
        ]
        lines.append("  ".join(cells))
    return [*lines, *(line.strip() for line in stands_for(columns))]


def _texts(view: View, first: int, size: int, places: list[tuple[int, int]]) -> dict[tuple[int, int], str]:
    """Return some weights with their letters, by row and column."""
    flat = [first + row * size + column for row, column in places]
    values = map(view.number, view.facts.problem.weight.at(np.array(flat, np.int64)))
    named = bool(view.letter_kind)
    return {
        place: (f"{view.letter(weight)}=" if named else "") + value
        for place, weight, value in zip(places, flat, values)
    }


def remarks(view: View) -> list[str]:
    """Return what is remarkable about the weights: the flip, zeros, equal kernels, the bias."""
    problem = view.facts.problem
    pieces = []
    if problem.bias is not None:
        values = " ".join(map(view.number, problem.bias[:20])) + (
            f" ... {more(len(problem.bias) - 20, 'number')}" if len(problem.bias) > 20 else ""
        )
        pieces.append(f"bias {values}: one number per output channel")
    weight = problem.weight.array
    if weight is not None:
        zeros = weight.size - int(np.count_nonzero(weight))
        if zeros:
            happens = f"{zeros} weights happen to be 0: they are weights all the same, and may change in training"
            if zeros == 1:
                happens = "1 weight happens to be 0: it is a weight all the same, and may change in training"
            pieces.append(happens)
        if len(weight) > 1 and (weight == weight[:1]).all():
            tied = f"not tied: {counted(weight.size, 'weight')}, not {weight.size // len(weight)}"
            pieces.append(f"kernels 0 to {len(weight) - 1} are equal now, but {tied}")
    return [line for piece in pieces for line in fill([f"  {piece}"], view.width)]
