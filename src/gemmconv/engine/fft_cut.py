"""Cuts into blocks for Fourier transforms: the lengths by which the C kernel fft cuts an image.

The lengths change the bits of a result. They depend on the geometry of one image alone. They are found from estimates
of their own, not from the table of rates, which may be fitted again.
"""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache
from itertools import product
from math import inf, log2
from typing import NamedTuple

from .._gemmconv import FFT_ELEMENTS, FFT_LEAST
from ..checks.geometry import Geometry
from .tiling import LEAST_TASKS_PER_THREAD, Tiling, equal_piece

# The longest blocks that are considered, in extents of the kernel.
LONGEST_BLOCK = 10
# The length of a block that is always considered.
SHORT_BLOCK = 64
# Nanoseconds for an element of a block: of a transform, of one of its steps, and of the product of two channels.
ELEMENT, STEP, PRODUCT = 0.5, 0.03, 1.2
# The nanoseconds of a pair of blocks, beside its elements.
PAIR = 300.0
# The elements of a block that still stay in the second-level cache, and how much slower others are transformed.
CACHED, BEYOND_CACHE = 1 << 16, 1.2
# The laid-out weights that still stay in the cache, in elements, and the nanoseconds to read one from memory.
CACHED_WEIGHTS, FROM_MEMORY = 1 << 19, 0.1


class FftCut(NamedTuple):
    """How an image is cut; csrc/fft/fft.h draws it. Of two axes, the second are the columns."""

    length: tuple[int, int]
    """The elements of x in a block."""
    useful: tuple[int, int]
    """The outputs of a block."""
    pairs: int
    """The pairs of blocks of one channel."""

    @property
    def elements(self) -> int:
        """The elements of a block."""
        return self.length[0] * self.length[1]


# The lengths that blocks may have along each axis: powers of two, and three times such.
POWERS = [1 << power for power in range(FFT_ELEMENTS.bit_length())]
ROWS = sorted([2 * power for power in POWERS] + [3 * power for power in POWERS])
COLUMNS = sorted([FFT_LEAST * power for power in POWERS] + [3 * FFT_LEAST * power for power in POWERS])


def lengths_of(geometry: Geometry, axis: int) -> list[tuple[int, int, int]]:
    """Return the lengths that are worth a try along an axis, each with its outputs and the number of blocks.

    They begin with the extent of the kernel, and end where a block holds the whole axis.
    """
    outputs, stride = geometry.out_size[axis], geometry.stride[axis]
    extent = (geometry.kernel[axis] - 1) * geometry.dilation[axis] + 1
    if axis == 1 and extent == 1:
        return [(1, 1, outputs)]
    found: list[tuple[int, int, int]] = []
    for length in ROWS if axis == 1 else COLUMNS:
        useful = -(-(length - extent + 1) // stride)
        if useful > 0 and (not found or length <= max(LONGEST_BLOCK * extent, SHORT_BLOCK)):
            found.append((length, useful, -(-outputs // useful)))
            if useful >= outputs:
                break
    return found


@lru_cache(maxsize=512)
def _fft_cut(geometry: Geometry) -> FftCut:
    sources, sinks = (n // geometry.groups for n in (geometry.in_channels, geometry.out_channels))
    most = FFT_ELEMENTS // (sources + (sources > 1 or sinks > 1))
    best = (inf, FftCut((0, 0), (0, 0), 0))
    for (height, rows, down), (width, columns, across) in product(lengths_of(geometry, 1), lengths_of(geometry, 2)):
        elements, pairs = height * width, -(-down * across // 2)
        if elements <= most:
            of_element = (sources + sinks) * (ELEMENT + STEP * log2(elements)) + sources * sinks * PRODUCT
            if elements > CACHED:
                of_element *= BEYOND_CACHE
            weights = geometry.groups * sources * sinks * 4 * elements
            if weights > CACHED_WEIGHTS:
                of_element += FROM_MEMORY * 4 * sources * sinks
            time = pairs * (elements * of_element + PAIR)
            best = min(best, (time, FftCut((height, width), (rows, columns), pairs)))
    return best[1]


def fft_cut(geometry: Geometry) -> FftCut:
    """Return how the kernel fft cuts an image. It must fit the geometry."""
    return _fft_cut(replace(geometry, batch=1))


def roundings(elements: int, sources: int) -> float:
    """Return the factor of eps in the bound of the error (docs/accuracy.md).

    `elements` are those of a transform, and `sources` the channels that a sum has, each phase of a stride counted.
    """
    return 8 * log2(max(elements, 2)) + sources + 4


def choose_fft_tiling(geometry: Geometry, itemsize: int, threads: int = 1) -> Tiling:
    """Return the tiling of fft: `panel` and `pixels` are the rows and columns of a block.

    `block` is the output channels of a task. It changes no bits, and each task transforms its blocks of x again.
    """
    del itemsize
    cut, group_channels = fft_cut(geometry), geometry.out_channels // geometry.groups
    tasks = max(geometry.batch, 1) * geometry.groups * cut.pairs
    shares = 1 if threads == 1 else -(-threads * LEAST_TASKS_PER_THREAD // tasks)
    block = equal_piece(group_channels, -(-group_channels // shares))
    return Tiling(pixels=cut.length[1], block=block, panel=cut.length[0], channels=0, taps=0)
