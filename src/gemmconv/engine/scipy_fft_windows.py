"""Windows: where the blocks of a task are in an array.

scipy_fft.py reads x and writes results through them. A window is a strided view: the blocks of x overlap, and those of
a stride's phase take every `stride`-th element. Where blocks reach beyond the array, a copy with zeros around it is
read.
"""

from __future__ import annotations

from itertools import product
from math import prod
from typing import Any, NamedTuple

import numpy as np

from ..checks.arrays import Array
from ..checks.options import Sizes
from .scipy_fft_blocks import Side

#: The number of the first block along each axis, and of the blocks.
Box = tuple[Sizes, Sizes]
Slices = tuple[slice, ...]


class Piece(NamedTuple):
    """Some of the results of a window, and where they are in the array."""

    of_values: tuple[Any, ...]
    """Which of the results."""
    shape: Sizes
    strides: Sizes
    offset: int


class Window(NamedTuple):
    """The blocks of a box in an array (groups, channels, three axes), as a view of it or of a region around them."""

    shape: Sizes
    """Groups, channels and three axes of phases, without those of size 1; three axes of blocks, three of elements."""
    strides: Sizes
    """The bytes between neighbours along each axis."""
    offset: int
    """The bytes before the first element."""
    inside: Slices
    """The part of the array that is in the region too."""
    region: Sizes | None
    """The shape of the region, which also has positions outside of the array; None if the view is of the array."""
    of_region: Slices
    """The part of the region that is in the array too."""
    pieces: tuple[Piece, ...]
    """What is written to the array directly: whole blocks, and parts of the last ones; none if there are phases."""

    def read(self, array: Array) -> Array:
        """Return the blocks; outside of the array are zeros."""
        if self.region is None:
            return np.ndarray(self.shape, array.dtype, array, self.offset, self.strides)
        region = np.zeros(self.region, array.dtype)
        region[self.of_region] = array[self.inside]
        return np.ndarray(self.shape, array.dtype, region, self.offset, self.strides)

    def write(self, array: Array, values: Array) -> Array:
        """Write the blocks, and zeros between phases, and return the part of the array that was written."""
        values = values.reshape(self.shape)
        part: Array = array[self.inside]
        for piece in self.pieces:
            target = np.ndarray(piece.shape, array.dtype, array, piece.offset, piece.strides)
            np.copyto(target, values[piece.of_values])
        if not self.pieces and self.region is not None:
            region = np.zeros(self.region, array.dtype)
            np.copyto(np.ndarray(self.shape, array.dtype, region, self.offset, self.strides), values)
            part[...] = region[self.of_region]
        return part


class Steps(NamedTuple):
    """The shape and the strides of a view, axis by axis."""

    lead: list[tuple[int, int]]
    blocks: list[tuple[int, int]]
    elements: list[tuple[int, int]]

    def view(self) -> tuple[Sizes, Sizes]:
        """Return the shape and the strides, without leading axes of size 1."""
        axes = [axis for axis in self.lead if axis[0] > 1] + self.blocks + self.elements
        return tuple([count for count, _ in axes]), tuple([step for _, step in axes])


def steps_in(size: Sizes, lead: Sizes, sides: list[Side], counts: Sizes, hop: Sizes, length: Sizes) -> Steps:
    """Return the steps in an array of the given size along its three axes, counted in elements."""
    steps = (size[1] * size[2], size[2], 1)
    channel = prod(size)
    return Steps(
        [(lead[0], lead[1] * channel), (lead[1], channel)]
        + [(side.phases, side.phase_step * step) for side, step in zip(sides, steps)],
        [(count, m * side.step * step) for count, m, side, step in zip(counts, hop, sides, steps)],
        [(n, side.step * step) for n, side, step in zip(length, sides, steps)],
    )


def make_window(lead: Sizes, sides: list[Side], box: Box, hop: Sizes, length: Sizes | None, itemsize: int) -> Window:
    """Return the window of a box: its blocks begin `hop` elements apart, and each has `length` elements.

    `lead` are the numbers of groups and channels. Without `length` it is the window of a sink: the elements are those
    up to the next block, and all positions up to the next box belong to it.
    """
    starts = [first * m * side.step - side.before for side, first, m in zip(sides, box[0], hop)]
    extents = []
    for side, count, m, n in zip(sides, box[1], hop, length or hop):
        elements = (count - 1) * m + n
        covered = (elements - 1) * side.step + (side.phases - 1) * side.phase_step + 1
        extents.append(covered if length else elements * side.step)
    parts = []
    for start, extent, side in zip(starts, extents, sides):
        first = min(max(start, 0), side.size)
        parts.append((first, max(first, min(start + extent, side.size))))
    has_phases = any(side.step > 1 for side in sides)
    whole = not (has_phases and length is None)  # positions between phases get zeros
    whole = whole and all(part == (start, start + extent) for part, start, extent in zip(parts, starts, extents))
    size = tuple([side.size for side in sides])
    region = None if whole else tuple(extents)
    steps = steps_in(region or size, lead, sides, box[1], hop, length or hop)
    shape, strides = steps.view()
    first = 0 if region else (starts[0] * size[1] + starts[1]) * size[2] + starts[2]
    everything = (slice(None), slice(None))
    pieces = () if length or has_phases else make_pieces(lead, sides, box, hop, itemsize)
    return Window(
        shape,
        tuple([step * itemsize for step in strides]),
        first * itemsize,
        everything + tuple([slice(first, end) for first, end in parts]),
        None if region is None else (*lead, *region),
        everything + tuple([slice(first - start, end - start) for (first, end), start in zip(parts, starts)]),
        pieces,
    )


def make_pieces(lead: Sizes, sides: list[Side], box: Box, hop: Sizes, itemsize: int) -> tuple[Piece, ...]:
    """Return the whole blocks of a box without phases, and the parts of its last blocks that are in the array."""
    size = tuple([side.size for side in sides])
    along = []
    for first, count, m, n in zip(*box, hop, size):
        whole, rest = divmod(min((first + count) * m, n) - first * m, m)
        along.append([(0, whole, m)] * (whole > 0) + [(whole, 1, rest)] * (rest > 0))
    pieces = []
    for cuts in product(*along):
        counts, length = tuple([count for _, count, _ in cuts]), tuple([n for _, _, n in cuts])
        shape, strides = steps_in(size, lead, sides, counts, hop, length).view()
        starts = [(first + begin) * m for first, m, (begin, _, _) in zip(box[0], hop, cuts)]
        offset = (starts[0] * size[1] + starts[1]) * size[2] + starts[2]
        of_values = (..., *[slice(begin, begin + count) for begin, count, _ in cuts], *map(slice, length))
        pieces.append(Piece(of_values, shape, tuple([step * itemsize for step in strides]), offset * itemsize))
    return tuple(pieces)
