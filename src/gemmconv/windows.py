"""Windows: which elements of the input each output reads, and with which taps.

The window of an output is the set of all elements that it reads. It is the product of its windows along each axis and
of the channels, so the windows are worked out along each axis first and then multiplied. Zeros of the padding are not
read, so windows differ in length. Matrices and explanations use this
file; convolutions do not.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from math import gcd, prod
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from .checks.geometry import Geometry
from .engine.extension import extended_from, extension_period

Indices = NDArray[np.int64]

# The number of elements that are worked out at a time. Their intermediate arrays take some MiB.
CHUNK = 1 << 18


class Windows(NamedTuple):
    """Rows of different lengths: row i is the entries from ``indptr[i]`` to ``indptr[i + 1]``, in the order of taps."""

    indptr: Indices
    """The first entry of each row, and the number of all entries."""
    positions: Indices
    """The position that each entry reads."""
    taps: Indices
    """The tap with which each entry reads it."""


def along_axis(geometry: Geometry, axis: int, mode: str) -> Windows:
    """Return the windows along one axis."""
    size, before = geometry.in_size[axis], geometry.pad_before[axis]
    kernel, dilation = geometry.kernel[axis], geometry.dilation[axis]
    begins = np.arange(geometry.out_size[axis]) * geometry.stride[axis]
    if mode != "constant":
        read = extended_from(begins[:, np.newaxis] - before + np.arange(kernel) * dilation, size, mode)
        return Windows(np.arange(len(begins) + 1) * kernel, read.ravel(), np.tile(np.arange(kernel), len(begins)))
    # the taps inside the input; the first is the smallest t with begin - before + t * dilation >= 0
    first = np.clip(-((begins - before) // dilation), 0, kernel)
    end = np.clip((size - 1 - begins + before) // dilation + 1, first, kernel)
    indptr = np.concatenate([[0], np.cumsum(end - first)])
    row = np.repeat(np.arange(len(begins)), end - first)
    taps = np.arange(indptr[-1]) - (indptr[:-1] - first)[row]
    return Windows(indptr, begins[row] - before + taps * dilation, taps)


def count_read(geometry: Geometry, axis: int, mode: str) -> int:
    """Return the sum, over all windows along one axis, of the number of different elements in a window.

    Nothing is built that grows with the padding.
    """
    if mode == "constant":
        return _count_inside(geometry, axis)
    if mode == "edge":
        return _count_edge(geometry, axis)
    size, kernel, dilation = geometry.in_size[axis], geometry.kernel[axis], geometry.dilation[axis]
    period = extension_period(size, mode)
    taps = min(kernel, period // gcd(period, dilation))  # further taps read the same elements again
    if mode == "wrap":
        return geometry.out_size[axis] * taps
    return _count_mirrored(geometry, axis, mode, taps)


def count_terms(geometry: Geometry, axis: int, mode: str) -> int:
    """Return the sum of the lengths of all windows along one axis: an element that is read twice counts twice."""
    if mode == "constant":
        return _count_inside(geometry, axis)
    return geometry.out_size[axis] * geometry.kernel[axis]


def _chunks(end: int, step: int = CHUNK) -> Iterator[Indices]:
    """Yield the numbers from 0 to ``end - 1``, some at a time."""
    for begin in range(0, end, step):
        yield np.arange(begin, min(begin + step, end))


def outputs_inside(geometry: Geometry, axis: int) -> Iterator[Indices]:
    """Yield, for each tap, the number of outputs along an axis for which it reads a position from 0 to size - 1."""
    size, stride, outputs = geometry.in_size[axis], geometry.stride[axis], geometry.out_size[axis]
    for taps in _chunks(geometry.kernel[axis]):
        offsets = taps * geometry.dilation[axis] - geometry.pad_before[axis]
        first = np.maximum(-(offsets // stride), 0)
        end = np.minimum((size - 1 - offsets) // stride + 1, outputs)
        yield np.maximum(end - first, 0)


def _count_inside(geometry: Geometry, axis: int) -> int:
    """Count for zeros as padding."""
    return sum([int(counts.sum()) for counts in outputs_inside(geometry, axis)])


def _count_edge(geometry: Geometry, axis: int) -> int:
    """Count for the mode "edge".

    These are the elements inside. A window that begins before them also reads the first one, and a window that ends
    behind them also reads the last one; it counts once more unless the window reads it at its own place too.
    """
    size, before, stride = geometry.in_size[axis], geometry.pad_before[axis], geometry.stride[axis]
    kernel, outputs = geometry.kernel[axis], geometry.out_size[axis]
    if size == 1:
        return outputs
    begin_before = min(max(-(-before // stride), 0), outputs)
    last_inside = (size - 1 + before - (kernel - 1) * geometry.dilation[axis]) // stride
    end_behind = outputs - min(max(last_inside + 1, 0), outputs)
    twice = _count_readers(geometry, axis, 0, 1) + _count_readers(geometry, axis, size - 1, 0)
    return _count_inside(geometry, axis) + begin_before + end_behind - twice


def _count_readers(geometry: Geometry, axis: int, position: int, first: int) -> int:
    """Return how many windows read a position with one of kernel - 1 taps, from the tap `first` on."""
    total = 0
    for taps in _chunks(geometry.kernel[axis] - 1):
        output, rest = np.divmod(
            position + geometry.pad_before[axis] - (first + taps) * geometry.dilation[axis], geometry.stride[axis]
        )
        total += int(np.count_nonzero((rest == 0) & (output >= 0) & (output < geometry.out_size[axis])))
    return total


def _count_mirrored(geometry: Geometry, axis: int, mode: str, taps: int) -> int:
    """Count for "reflect" and "symmetric".

    The taps read different positions of a period. So at most two of them read the same element: one at a position p,
    and one at its mirror image ``-p`` ("reflect") or ``-1 - p`` ("symmetric"). These pairs are subtracted. For output i
    the taps s and t are such a pair if ::

        2 * (i * stride - before) + (s + t) * dilation = 0 or -1  (mod period)

    For each sum s + t this is a linear congruence for i, and its solutions are a fixed step apart.
    """
    size, stride, outputs = geometry.in_size[axis], geometry.stride[axis], geometry.out_size[axis]
    period = extension_period(size, mode)
    divisor = gcd(2 * stride, period)
    step = period // divisor
    inverse = pow(2 * stride // divisor, -1, step)
    mirror = 2 * geometry.pad_before[axis] - (mode == "symmetric")
    twice = 0
    for sums in _chunks(2 * taps - 2):  # the largest sum is 2 * taps - 3
        pairs = (sums + 1) // 2 - np.maximum(sums - taps + 1, 0)
        number, rest = np.divmod(mirror - sums * geometry.dilation[axis], divisor)
        first = number % step * inverse % step
        solutions = np.maximum(-((first - outputs) // step), 0)
        twice += int((pairs * solutions)[rest == 0].sum())
    return outputs * taps - twice


def product_of_rows(outer: Windows, inner: Windows, sizes: tuple[int, int], rows: range) -> tuple[Indices, Indices]:
    """Return positions and taps of some rows of the product of two axes.

    `sizes` are the numbers of elements and of taps of the inner axis. Row ``i * (rows of inner) + j`` of the product is
    the product of row i of `outer` and row j of `inner`.
    """
    of_outer, of_inner = np.divmod(np.arange(rows.start, rows.stop), len(inner.indptr) - 1)
    inner_counts = np.diff(inner.indptr)[of_inner]
    counts = np.diff(outer.indptr)[of_outer] * inner_counts
    row = np.repeat(np.arange(len(counts)), counts)
    within = np.arange(len(row)) - (np.cumsum(counts) - counts)[row]
    i, j = np.divmod(within, inner_counts[row])
    i, j = i + outer.indptr[of_outer][row], j + inner.indptr[of_inner][row]
    size, taps = sizes
    return outer.positions[i] * size + inner.positions[j], outer.taps[i] * taps + inner.taps[j]


def product(outer: Windows, inner: Windows, sizes: tuple[int, int]) -> Windows:
    """Return the product of the windows of two axes; `sizes` are the numbers of elements and taps of the inner axis."""
    counts = np.diff(outer.indptr)[:, np.newaxis] * np.diff(inner.indptr)
    indptr = np.concatenate([[0], np.cumsum(counts)])
    return Windows(indptr, *product_of_rows(outer, inner, sizes, range(counts.size)))


class Pattern(NamedTuple):
    """The windows of all outputs of one channel; the entries come in chunks, to save memory."""

    indptr: Indices
    """The first entry of each row, and the number of all entries."""
    chunks: Iterator[tuple[slice, Indices, Indices]]
    """Which entries a chunk holds, their positions in the flattened ``(C/groups, *input)``, and their taps in the
    flattened ``(C/groups, *kernel)``."""


def pattern(geometry: Geometry, modes: Sequence[str]) -> Pattern:
    """Return the windows of the outputs of one channel of the first group, in the order of the outputs.

    `modes` has the padding mode of each of the three axes, as numpy.pad names it.

    Within a window the entries are in the order of the weights. With zeros as padding this is also the order of the
    positions.
    """
    channels = np.arange(geometry.in_channels // geometry.groups)
    outer = Windows(np.array([0, len(channels)]), channels, channels)
    for axis in (0, 1):
        sizes = geometry.in_size[axis], geometry.kernel[axis]
        outer = product(outer, along_axis(geometry, axis, modes[axis]), sizes)
    inner, sizes = along_axis(geometry, 2, modes[2]), (geometry.in_size[2], geometry.kernel[2])
    indptr = np.concatenate([[0], np.cumsum(np.diff(outer.indptr)[:, np.newaxis] * np.diff(inner.indptr))])

    def chunks() -> Iterator[tuple[slice, Indices, Indices]]:
        row, rows = 0, prod(geometry.out_size)
        while row < rows:
            end = max(int(np.searchsorted(indptr, indptr[row] + CHUNK, "right")) - 1, row + 1)
            positions, taps = product_of_rows(outer, inner, sizes, range(row, end))
            yield slice(int(indptr[row]), int(indptr[end])), positions, taps
            row = end

    return Pattern(indptr, chunks())
