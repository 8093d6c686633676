"""Counts: how many weights, connections and multiplications a convolution has, and which inputs no output reads.

All are exact for layers of any size. They are worked out along each axis and multiplied; no matrix is built.
"""

from __future__ import annotations

from functools import lru_cache
from math import gcd, prod
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..checks.geometry import Geometry
from ..engine.extension import extension_period
from ..windows import count_read, outputs_inside
from .problem import Problem

Positions = NDArray[np.int64]


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
    ends = [(int(counts.min()), int(counts.max())) for counts in outputs_inside(geometry, axis)]
    return min([least for least, _ in ends]), max([most for _, most in ends])


class Runs(NamedTuple):
    """Positions along one axis of x: each run has those from first to last, `stride` apart. An empty one has none."""

    first: Positions
    last: Positions


@lru_cache(maxsize=64)
def read_runs(geometry: Geometry, axis: int, mode: str) -> Runs:
    """Return runs that hold the positions that at least one output reads along one axis, and no other."""
    size, stride, outputs = geometry.in_size[axis], geometry.stride[axis], geometry.out_size[axis]
    begin = np.arange(geometry.kernel[axis]) * geometry.dilation[axis] - geometry.pad_before[axis]
    taps = Runs(begin, begin + (outputs - 1) * stride)
    if mode in ("wrap", "reflect", "symmetric") and size > 1:
        return _folded(taps, size, stride, mode)
    inside = _between(taps, 0, size - 1, stride)
    if mode == "constant":
        return inside
    ends = [0] * bool((taps.first < 0).any()) + [size - 1] * bool((taps.last >= size).any())
    return Runs(*(np.concatenate([part, np.array(ends, np.int64)]) for part in inside))


def _folded(taps: Runs, size: int, stride: int, mode: str) -> Runs:
    """Return the runs of positions of x that runs of positions of the extended axis repeat.

    The extended axis consists of pieces, each of which is x or its mirror image. They are numbered from x on::

        piece      -2    -1     0     1     2
        wrap       abcd  abcd  [abcd] abcd  abcd
        symmetric  abcd  dcba  [abcd] dcba  abcd

    For "reflect" neighbouring pieces share one element. Every run is cut into pieces. After a cycle of whole pieces
    the same positions of x come again.
    """
    length = size - (mode == "reflect")
    first, last = taps.first // length, taps.last // length
    cycle = 2 * (stride // gcd(stride, length))
    more = np.arange(min(cycle, int((last - first).max())) + 1)
    numbers = np.minimum(first[:, np.newaxis] + more, last[:, np.newaxis])
    numbers = np.concatenate([numbers, last[:, np.newaxis]], axis=1)
    cut = _between(Runs(*(part[:, np.newaxis] for part in taps)), numbers * length, numbers * length + size - 1, stride)
    period = extension_period(size, mode)
    if mode == "wrap":
        return Runs(*((part - numbers * period).ravel() for part in cut))
    shift = (numbers + 1) // 2 * period
    mirror = shift - (mode == "symmetric")
    is_mirrored = numbers % 2 == 1
    return Runs(
        np.where(is_mirrored, mirror - cut.last, cut.first - shift).ravel(),
        np.where(is_mirrored, mirror - cut.first, cut.last - shift).ravel(),
    )


def _between(runs: Runs, least: Positions | int, most: Positions | int, stride: int) -> Runs:
    """Return the parts of runs that are not below `least` and not above `most`."""
    first = np.maximum(runs.first, runs.first - (runs.first - least) // stride * stride)
    last = np.minimum(runs.last, runs.first + (most - runs.first) // stride * stride)
    return Runs(first, last)


def is_read_along(geometry: Geometry, axis: int, mode: str, positions: Positions) -> NDArray[np.bool_]:
    """Return which positions along one axis at least one output reads."""
    first, last = read_runs(geometry, axis, mode)
    places = positions[:, np.newaxis]
    inside = (places >= first) & (places <= last) & ((places - first) % geometry.stride[axis] == 0)
    return np.asarray(inside.any(axis=1))


@lru_cache(maxsize=64)
def unread_along(geometry: Geometry, axis: int, mode: str) -> int:
    """Return how many positions along one axis no output reads.

    The runs whose positions have the same remainder by the stride are intervals of one grid. All these grids are put
    one after another, and the overlaps of the intervals are not counted twice.
    """
    size, stride = geometry.in_size[axis], geometry.stride[axis]
    first, last = read_runs(geometry, axis, mode)
    first, last = first[first <= last], last[first <= last]
    if not len(first):
        return size
    grid = first % stride * (size // stride + 2)
    begin, end = grid + first // stride, grid + last // stride + 1
    order = np.argsort(begin)
    begin, end = begin[order], np.maximum.accumulate(end[order])
    before = np.concatenate([begin[:1], end[:-1]])
    return size - int(np.maximum(end - np.maximum(begin, before), 0).sum())
