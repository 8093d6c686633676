"""Grids: numbers in rows and columns, put beside each other, with what does not fit left out and counted.

Everything here is a pure function of its arguments. A width is a number of columns of the terminal.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

# Rows of which not all are shown.
MOST_ROWS = 24
# Blocks, such as the channels of x, of which not all are shown.
MOST_BLOCKS = 12
# The same for blocks of which parts are left out.
MOST_BLOCKS_IN_PART = 4
GAP = ".."

# Paul Tol's light colours, in the palette of 256 colours that terminals have; the text on them is black.
COLOURS = (110, 209, 222, 217, 117, 72, 149, 142, 253)
ESCAPE = re.compile(r"\x1b\[[0-9;]*m")

Paint = Callable[[str, int | None], str]
# The indices that are shown; a range stands for those that are left out.
Shown = list[int | range]


class Cell(NamedTuple):
    """One number of a grid."""

    text: str
    tap: int | None = None
    """The tap that reads it, for its colour."""
    selected: bool = False
    """Whether it is in the brackets."""


def plain(text: str, _tap: int | None) -> str:
    """Return a text without colour."""
    return text


def coloured(text: str, tap: int | None) -> str:
    """Return a text in the colour of a tap."""
    if tap is None:
        return text
    return f"\x1b[30;48;5;{COLOURS[tap % len(COLOURS)]}m{text}\x1b[0m"


def length(line: str) -> int:
    """Return the number of columns that a line takes."""
    return len(ESCAPE.sub("", line))


def padded(line: str, width: int) -> str:
    """Return a line with blanks at its end."""
    return line + " " * (width - length(line))


def number(value: float, digits: int = 4) -> str:
    """Return a number: an integer without a point, any other with some significant digits."""
    if float(value).is_integer() and abs(value) < 1e15:
        return str(int(value))
    return f"{value:.{digits}g}"


def choose(count: int, keep: Iterable[int], limit: int, fill: bool = False) -> Shown:
    """Return which of `count` things to show: if possible those to keep, their neighbours, and the ends.

    At most `limit` indices and gaps are returned. With `fill`, as many as possible are shown.
    """
    if count <= limit:
        return list(range(count))
    kept = sorted({index for index in keep if 0 <= index < count})
    if len(kept) > limit - 2:
        kept = [*kept[:3], *kept[-3:]]
    wanted = [*kept[:1], *kept[-1:], *kept[:limit], 0, count - 1]
    wanted += [index + step for index in kept[:limit] for step in (-1, 1) if 0 <= index + step < count]
    wanted += [1, count - 2, 2, count - 3, *(range(3, limit) if fill else ())]
    wanted = list(dict.fromkeys(wanted))[: max(limit, 1)]
    while True:
        shown = with_gaps(count, sorted(wanted))
        if len(shown) <= limit or len(wanted) == 1:
            return shown
        wanted.pop()


def with_gaps(count: int, indices: Sequence[int]) -> Shown:
    """Return the indices with a range wherever some are left out."""
    shown: Shown = []
    following = 0
    for index in [*indices, count]:
        if index > following:
            shown.append(range(following, index))
        if index < count:
            shown.append(index)
        following = index + 1
    return shown


def indices(shown: Shown) -> list[int]:
    """Return the indices that are shown, without the gaps."""
    return [item for item in shown if isinstance(item, int)]


def left_out(shown: Shown) -> int:
    """Return how many things are not shown."""
    return sum(len(item) for item in shown if isinstance(item, range))


def more(count: int, noun: str) -> str:
    """Return what stands for things that are left out."""
    return counted(count, f"more {noun}")


def stands_for(shown: Shown) -> list[str]:
    """Return the line that says for how many columns the gaps stand, if there are gaps."""
    return [f"  {GAP} stands for {counted(left_out(shown), 'column')}"] if left_out(shown) else []


def grid_row(cells: Sequence[Cell | None], width: int, paint: Paint) -> str:
    """Return one row: cells of the same width, brackets around those that are selected; None is a gap."""
    line, inside = "", False
    for cell in cells:
        selected = cell is not None and cell.selected
        line += ("]" if inside and not selected else " ") + ("[" if selected and not inside else " ")
        line += GAP if cell is None else paint(cell.text.rjust(width), cell.tap)
        inside = selected
    return line + ("]" if inside else " ")


def beside(blocks: Sequence[list[str]], width: int, indent: int = 2, gap: int = 4) -> list[str]:
    """Put blocks of lines beside each other, as many as fit, and the others below."""
    lines: list[str] = []
    row: list[list[str]] = []
    taken = 0
    for block in [*blocks, None]:
        size = 0 if block is None else max(map(length, block))
        if row and (block is None or taken + gap + size > width):
            lines += _joined(row, indent, gap)
            row = []
        if block is not None:
            taken = (taken + gap if row else indent) + size
            row.append(block)
    return lines


def _joined(blocks: Sequence[list[str]], indent: int, gap: int) -> list[str]:
    widths = [max(map(length, block)) for block in blocks]
    lines = []
    for index in range(max(map(len, blocks))):
        parts = [padded(block[index] if index < len(block) else "", size) for block, size in zip(blocks, widths)]
        lines.append((" " * indent + (" " * gap).join(parts)).rstrip())
    return lines


def fill(pieces: Sequence[str], width: int, gap: str = "     ", indent: int = 2) -> list[str]:
    """Put pieces on one line with gaps between them, or on several; those after the first are indented."""
    lines = [pieces[0]]
    for piece in pieces[1:]:
        if length(lines[-1]) + len(gap) + length(piece) <= width:
            lines[-1] += gap + piece
        else:
            lines.append(" " * indent + piece)
    return [line for long in lines for line in _broken(long, width, indent + 2)]


def _broken(line: str, width: int, indent: int) -> list[str]:
    """Break a line that is too long at its blanks."""
    lines = []
    while length(line) > width:
        cut = line.rfind(" ", 0, width + 1)
        if not line[:cut].strip():
            break
        lines.append(line[:cut].rstrip())
        line = " " * indent + line[cut:].strip()
    return [*lines, line]


def counted(count: int, noun: str) -> str:
    """Return a number with its noun in the right form."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"
