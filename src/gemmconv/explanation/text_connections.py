"""The section M of a text: a row per output, in letters or in numbers.

The columns are in blocks, each of which is one row of one channel of x. Only the rows and columns that are shown are
worked out.
"""

from __future__ import annotations

from itertools import pairwise
from math import prod
from typing import NamedTuple

from .facts import Terms
from .grids import GAP, MOST_ROWS, Shown, choose, counted, fill, more
from .view import View, ravel

# Rows with more terms than these are not shown.
MOST_TERMS_SHOWN = 1 << 16
# For no connection, and for an entry that is the sum of several weights.
NONE, SEVERAL = ".", "*"


class Entry(NamedTuple):
    """One entry of M."""

    letter: str
    value: str
    tap: int


def matrix_lines(view: View) -> list[str]:
    """Show M row by row, in letters, in numbers, or both beside each other."""
    facts, problem, counts = view.facts, view.facts.problem, view.counts
    name = "M.T" if problem.transposed else "M"
    meaning = {"weight": "A letter is a weight", "tap": "A letter is a tap", "": "# is a weight"}[view.letter_kind]
    kind = f"{name} ({counts.outputs}, {counts.inputs}): a fully connected layer. {meaning}, . no connection"
    lines = fill([view.connection_sum, kind], view.width)
    if not view.has_terms or len(view.terms.weights) > MOST_TERMS_SHOWN:
        return [*lines, "  not shown: its rows have too many entries"]
    selected = ravel(view.at, problem.y_shape)
    rows = choose(counts.outputs, [selected], MOST_ROWS)
    terms = {row: facts.terms(view.y_of(row)) for row in rows if isinstance(row, int)}
    found = {row: entries_of(view, of_row) for row, of_row in terms.items()}
    constants = constants_of(view, terms)
    labels = {row: "y[" + ",".join(map(str, view.y_of(row))) + "]" for row in found}
    label = max(8, *map(len, labels.values()))
    room = view.width - label - 8 - max(map(len, constants.values()))
    parts, missing = layouts(view, [entry for row in found.values() for entry in row.values()], room)
    lines.append("")
    for row in rows:
        if isinstance(row, range):
            lines.append(f"    ... {more(len(row), 'row')}")
            continue
        body = f"{labels[row]:{label}}  " + "      ".join(part.line(found[row]) for part in parts)
        body += constants[row]
        lines.append(f"  > {body} <" if row == selected else f"    {body}".rstrip())
    if missing:
        lines.append(f"    .. stands for {counted(missing, 'column')}")
    if any(entry.letter == SEVERAL for row in found.values() for entry in row.values()):
        lines += fill([f"    {SEVERAL} is a sum of weights: the output reads this input more than once"], view.width)
    if problem.value != 0:
        value = view.number(problem.value)
        lines += fill([f"    + c is what the padding adds: the weights that meet it times {value}"], view.width)
    return lines


def constants_of(view: View, terms: dict[int, Terms]) -> dict[int, str]:
    """Return, for some rows of M, what the padding value adds to them; empty texts if it is 0."""
    if view.facts.problem.value == 0:
        return dict.fromkeys(terms, "")
    outside = {row: of_row.inputs < 0 for row, of_row in terms.items()}
    texts = {
        row: view.number(float(of_row.factors[outside[row]] @ of_row.values[outside[row]]))
        for row, of_row in terms.items()
    }
    width = max(map(len, texts.values()))
    return {row: f"   + {text:>{width}}" for row, text in texts.items()}


def entries_of(view: View, terms: Terms) -> dict[int, Entry]:
    """Return the entries of one row of M by their column."""
    entries: dict[int, Entry] = {}
    sums: dict[int, float] = {}
    for weight, column, factor in zip(terms.weights.tolist(), terms.inputs.tolist(), terms.factors.tolist()):
        if column < 0:
            continue
        letter = SEVERAL if column in sums else view.letter(weight)
        sums[column] = sums.get(column, 0.0) + factor
        entries[column] = Entry(letter, view.number(sums[column]), view.tap_of(weight))
    return entries


def layouts(view: View, entries: list[Entry], room: int) -> tuple[list[Layout], int]:
    """Return how the rows are laid out, and how many columns are left out; `room` is the width for them."""
    letters = Layout(view, 1, False, room)
    numbers = Layout(view, max((len(entry.value) for entry in entries), default=1), True, room)
    if view.letters is False:
        return [numbers], numbers.missing
    fits = not letters.missing and not numbers.missing
    if view.letters is None and fits and len(letters.line({})) + 6 + len(numbers.line({})) <= room:
        return [letters, numbers], 0
    return [letters], letters.missing


class Layout:
    """The columns of M that fit, in letters or in numbers."""

    def __init__(self, view: View, cell: int, numbers: bool, room: int) -> None:
        """Choose the columns; `cell` is the width of an entry."""
        self.view, self.cell, self.numbers = view, cell, numbers
        self.shape = shape = view.facts.problem.x.shape
        read = view.terms.inputs[view.terms.inputs >= 0]
        self.gap = " " if numbers else ""
        step = cell + len(self.gap)
        seen, blocks = (sorted({*part.tolist()}) for part in (read % shape[-1], read // shape[-1]))
        limit = max((room - 1) // step, 3)
        while True:  # fewer columns of each block, until several blocks fit that the selected row reads
            self.inner = choose(shape[-1], seen, limit, fill=True)
            wide = len(self.gap.join(self._text(index, {}, 0) for index in self.inner))
            self.blocks = self._fitting(blocks, wide, room)
            read_blocks = len({*blocks}.intersection(item for item in self.blocks if isinstance(item, int)))
            too_wide = self._width(self.blocks, wide) > room
            if limit == 1 or (not too_wide and (read_blocks >= min(len(blocks), 2) or limit <= 5)):
                break
            limit = limit - 1 if too_wide else max(2 * limit // 3, 5)

    def _fitting(self, seen: list[int], wide: int, room: int) -> Shown:
        """Return the blocks that fit into the width, those first that the selected row reads."""
        count = prod(self.shape[:-1])
        blocks: Shown = []
        for limit in range(min(count, room // (min(wide, 2) + 1) + 1), 0, -1):
            blocks = choose(count, seen, limit, fill=True)
            if self._width(blocks, wide) <= room:
                break
        return blocks

    def _width(self, blocks: Shown, wide: int) -> int:
        """Return the width of a row with these blocks, each of which has a width."""
        between = sum(len(self._between(*pair)) for pair in pairwise(blocks))
        return between + sum(len(GAP) if isinstance(block, range) else wide for block in blocks)

    @property
    def missing(self) -> int:
        """The number of columns that are left out."""
        shown = [item for item in self.blocks if isinstance(item, int)]
        return prod(self.shape) - len(shown) * (len(self.inner) - _gaps(self.inner))

    def line(self, entries: dict[int, Entry]) -> str:
        """Return one row."""
        line = ""
        before: int | range | None = None
        for block in self.blocks:
            if before is not None:
                line += self._between(before, block)
            if isinstance(block, range):
                line += GAP
            else:
                line += self.gap.join(self._text(index, entries, block * self.shape[-1]) for index in self.inner)
            before = block
        return line

    def _text(self, index: int | range, entries: dict[int, Entry], first: int) -> str:
        if isinstance(index, range):
            return GAP
        entry = entries.get(first + index)
        if entry is None:
            return NONE.rjust(self.cell)
        return self.view.paint((entry.value if self.numbers else entry.letter).rjust(self.cell), entry.tap)

    def _between(self, before: int | range, block: int | range) -> str:
        """Return what separates two blocks: a bar where a channel begins, more blanks where a slice begins."""
        if isinstance(before, range) or isinstance(block, range):
            return self.gap + " "
        channel, slices = prod(self.shape[1:-1]), prod(self.shape[2:-1])
        if before // channel != block // channel:
            return f"{self.gap}|{self.gap}"
        return self.gap + " " * (1 + (len(self.shape) == 4 and before // slices != block // slices))


def _gaps(shown: Shown) -> int:
    return sum(isinstance(item, range) for item in shown)
