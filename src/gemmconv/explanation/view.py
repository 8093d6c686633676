"""View: what the sections of a text share: the facts, the selection, the width, the names of weights."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from math import prod

from ..checks.options import Sizes
from .counts import Counts, count
from .examples import LETTERS
from .facts import MOST_TERMS, Facts, Terms, Window
from .grids import Paint, number, plain

AXES = {1: ("length",), 2: ("height", "width"), 3: ("depth", "height", "width")}


def times(sizes: Sizes) -> str:
    """Return sizes as ``4 x 4``."""
    return " x ".join(map(str, sizes))


def product(sizes: Sizes) -> str:
    """Return sizes as ``4 * 4``."""
    return " * ".join(map(str, sizes))


def bracketed(name: str, index: Sizes, gap: str = ", ") -> str:
    """Return an element as ``x[0, 1, 2]``."""
    return f"{name}[{gap.join(map(str, index))}]"


@dataclass(frozen=True)
class View:
    """One explanation as it is to be shown.

    `letters` says whether M is shown by letters, by numbers (False), or both where both fit (None). `backward` says
    whether a picture marks one weight and one input.
    """

    facts: Facts
    at: Sizes
    weight_at: Sizes
    input_at: Sizes
    width: int = 100
    digits: int = 4
    letters: bool | None = None
    paint: Paint = plain
    backward: bool = False

    @cached_property
    def counts(self) -> Counts:
        """The counts of the problem."""
        return count(self.facts.problem)

    @cached_property
    def has_terms(self) -> bool:
        """Whether the sum of one output is short enough to be worked out."""
        geometry = self.facts.problem.geometry
        if not self.facts.problem.transposed:
            return geometry.reduction_length <= MOST_TERMS
        return geometry.out_channels // geometry.groups * prod(geometry.kernel) <= MOST_TERMS

    @cached_property
    def terms(self) -> Terms:
        """The terms of the output that is written out."""
        return self.facts.terms(self.at)

    @cached_property
    def window(self) -> Window:
        """What this output sees."""
        return self.facts.window(self.at)

    def number(self, value: float) -> str:
        """Return a number as it is shown."""
        return number(value, self.digits)

    @property
    def connection_sum(self) -> str:
        """How y comes from M, which of a transposed convolution is M.T."""
        problem = self.facts.problem
        product = "y = M.T @ x" if problem.transposed else "y = M @ x"
        return product + " + c" * (problem.value != 0) + " + bias" * (problem.bias is not None)

    @property
    def letter_kind(self) -> str:
        """What a letter names: a "weight", a "tap" of every kernel, or "" if there are too many."""
        problem = self.facts.problem
        if problem.weight.size <= len(LETTERS):
            return "weight"
        return "tap" if problem.taps <= len(LETTERS) else ""

    def letter(self, weight: int) -> str:
        """Return the letter of a weight, from its flat index."""
        kind = self.letter_kind
        if not kind:
            return "#"
        return LETTERS[weight] if kind == "weight" else LETTERS[weight % self.facts.taps]

    def tap_of(self, weight: int) -> int:
        """Return the tap of a weight, which gives its colour."""
        return weight % self.facts.taps

    def y_of(self, flat: int) -> Sizes:
        """Return the index of an output from its flat index."""
        return unravel(flat, self.facts.problem.y_shape)


def unravel(flat: int, shape: Sizes) -> Sizes:
    """Return an index from a flat index, in Python's integers."""
    index = []
    for size in reversed(shape):
        flat, rest = divmod(flat, size)
        index.append(rest)
    return tuple(reversed(index))


def ravel(index: Sizes, shape: Sizes) -> int:
    """Return a flat index, in Python's integers."""
    flat = 0
    for position, size in zip(index, shape):
        flat = flat * size + position
    return flat
