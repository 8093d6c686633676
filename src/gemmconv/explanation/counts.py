"""Counts: how many weights, connections and multiplications a convolution has, and which inputs no output reads.

All are exact for layers of any size. They are worked out along each axis and multiplied; no matrix is built.
"""

from __future__ import annotations

from functools import lru_cache
from math import prod
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..checks.geometry import Geometry
from ..engine.extension import extended_from
from ..windows import count_read
from .facts import Entries
from .problem import Problem


class Counts(NamedTuple):
    """The counts of one convolution. M is its matrix, P the patch matrix; of a transposed one, M is the transpose."""

    weights: int
    places: tuple[int, int]
    """In how many places of M a weight stands, the fewest and the most."""
    outputs: int
    inputs: int
    fully_connected: int
    """The weights of a fully connected layer of this size: the elements of M."""
    entries: int
    """The entries of M that are connections."""
    multiplications: int
    """The multiplications of a convolution that reads zeros like any other input."""
    patch_rows: int
    patch_columns: int
    unread: int
    """The inputs that no output reads; for a transposed convolution, the outputs that read no input."""


def count(problem: Problem) -> Counts:
    """Return the counts of a problem."""
    geometry, modes = problem.geometry, problem.modes
    channels, outputs = geometry.in_channels // geometry.groups, geometry.out_channels * geometry.out_pixels
    inputs = geometry.in_channels * prod(geometry.in_size)
    read = prod([count_read(geometry, axis, modes[axis]) for axis in range(3)])
    size = prod([geometry.in_size[axis] - unread_along(geometry, axis, modes[axis]) for axis in range(3)])
    places = [places_along(geometry, axis, modes[axis]) for axis in range(3)]
    rows, columns = (inputs, outputs) if problem.transposed else (outputs, inputs)
    return Counts(
        weights=problem.weight.size,
        places=(prod([least for least, _ in places]), prod([most for _, most in places])),
        outputs=rows,
        inputs=columns,
        fully_connected=rows * columns,
        entries=geometry.out_channels * channels * read,
        multiplications=outputs * geometry.reduction_length,
        patch_rows=geometry.in_channels * prod(geometry.kernel),
        patch_columns=geometry.out_pixels,
        unread=inputs - geometry.in_channels * size,
    )


@lru_cache(maxsize=64)
def places_along(geometry: Geometry, axis: int, mode: str) -> tuple[int, int]:
    """Return the fewest and the most outputs along one axis for which a tap reads an element."""
    if mode != "constant":
        return (geometry.out_size[axis],) * 2
    entries = Entries(geometry, (mode,) * 3)
    counts = [count_read(entries.of_tap(axis, tap), axis, mode) for tap in range(geometry.kernel[axis])]
    return min(counts), max(counts)


def _runs(geometry: Geometry, axis: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return, for each tap, the first position that it reads along an axis and how many it reads, padding included.

    The positions of one tap are `stride` apart.
    """
    first = np.arange(geometry.kernel[axis]) * geometry.dilation[axis] - geometry.pad_before[axis]
    return first, np.full(len(first), geometry.out_size[axis])


@lru_cache(maxsize=64)
def copied_along(geometry: Geometry, axis: int, mode: str) -> frozenset[int]:
    """Return the positions along one axis of which an output reads a copy in the padding."""
    if mode == "constant":
        return frozenset()
    size, stride, outputs = geometry.in_size[axis], geometry.stride[axis], geometry.out_size[axis]
    copied: set[int] = set()
    for begin in _runs(geometry, axis)[0].tolist():
        before = range(begin, min(0, begin + outputs * stride), stride)
        skipped = max(-(-(size - begin) // stride), 0)
        after = range(begin + skipped * stride, begin + outputs * stride, stride)
        outside = np.array([*before, *after], np.int64)
        copied.update(extended_from(outside, size, mode).tolist())
    return frozenset(copied)


def is_read_along(geometry: Geometry, axis: int, mode: str, positions: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Return which positions along one axis at least one output reads."""
    first, outputs = _runs(geometry, axis)
    number, rest = np.divmod(positions[:, np.newaxis] - first, geometry.stride[axis])
    read = ((rest == 0) & (number >= 0) & (number < outputs)).any(axis=1)
    return np.asarray(read | np.isin(positions, list(copied_along(geometry, axis, mode))))


@lru_cache(maxsize=64)
def unread_along(geometry: Geometry, axis: int, mode: str) -> int:
    """Return how many positions along one axis no output reads.

    The positions of taps whose first positions have the same remainder by the stride form intervals of one grid.
    """
    size, stride, outputs = geometry.in_size[axis], geometry.stride[axis], geometry.out_size[axis]
    read = 0
    ends: dict[int, int] = {}
    for begin in _runs(geometry, axis)[0].tolist():  # ascending
        number, remainder = divmod(begin, stride)
        least = max(number, 0, ends.get(remainder, 0))
        end = min(number + outputs, -(-(size - remainder) // stride))
        read += max(end - least, 0)
        ends[remainder] = max(end, ends.get(remainder, 0))
    only_copied = np.array(sorted(copied_along(geometry, axis, mode)), np.int64)
    inside = is_read_along(geometry, axis, "constant", only_copied)
    return size - read - int(np.count_nonzero(~inside))
