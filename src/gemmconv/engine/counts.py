"""Counts: the numbers of a geometry on which the costs of kernels depend."""

from __future__ import annotations

from math import gcd, prod

from .._gemmconv import CHANNELS_SLICE, PIXELS_PLANES, isa
from ..checks.geometry import Geometry
from .tiling import WinogradTiles, winograd_tiles

# The lanes of a vector of float32. Instruction sets that are not named have those of "baseline".
LANES = {"baseline": 4, "avx2": 8, "avx512": 16}
# About the number of taps along an axis from which the share of products with padding is estimated.
SAMPLED_TAPS = 32
# The elements of x and y together that still stay in the cache.
CACHED_ARRAYS = 1 << 20
# The elements of x and y together that still stay in the last-level cache.
LAST_CACHED_ARRAYS = 1 << 22


def inside(geometry: Geometry) -> float:
    """Return the share of all products that read the input and not the padding; a little padding is ignored."""
    share = 1.0
    for axis in range(3):
        size, last = geometry.in_size[axis], geometry.out_size[axis] - 1
        stride, before = geometry.stride[axis], geometry.pad_before[axis]
        if 8 * max(before, geometry.pad_after[axis]) <= size:
            continue
        count = 0
        taps = range(0, geometry.kernel[axis], max(geometry.kernel[axis] // SAMPLED_TAPS, 1))
        for tap in taps:
            start = tap * geometry.dilation[axis] - before
            first, end = max(0, -(start // stride)), min(last, (size - 1 - start) // stride)
            count += max(0, end - first + 1)
        share *= count / ((last + 1) * len(taps))
    return share


class Counts:
    """The numbers of a geometry on which costs depend, for one image."""

    __slots__ = (
        "_cuts",
        "copied",
        "copied_columns",
        "copied_rows",
        "from_main_memory",
        "from_memory",
        "geometry",
        "groups",
        "in_channels",
        "in_place",
        "inputs",
        "inside",
        "lanes",
        "multiply_adds",
        "outputs",
        "patches",
        "pixels",
        "positions",
        "reduction",
        "results",
        "rows",
        "stride",
        "taps",
        "weights",
        "width",
    )

    def __init__(self, geometry: Geometry) -> None:
        depth, height, width = geometry.out_size
        groups = geometry.groups
        taps = prod(geometry.kernel)
        self.geometry = geometry
        self.groups = groups
        self._cuts: dict[tuple[int, ...], WinogradTiles] = {}
        #: the lanes of a vector of float32, on the instruction set in use
        self.lanes = LANES.get(isa(), LANES["baseline"])
        #: the input channels of a group
        self.in_channels = geometry.in_channels // groups
        #: the output channels of a group: O
        self.outputs = geometry.out_channels // groups
        #: the taps of the kernel
        self.taps = taps
        #: the terms in the sum of one output: K
        self.reduction = self.in_channels * taps
        #: the output positions of an image
        self.pixels = depth * height * width
        #: the output positions of a row
        self.width = width
        #: the stride along a row
        self.stride = geometry.stride[2]
        #: whether P is the image itself
        self.in_place = taps == 1 and geometry.reads_image_in_place
        #: the elements of the image
        self.inputs = geometry.in_channels * prod(geometry.in_size)
        #: the output positions of all groups
        self.positions = self.pixels * groups
        #: the elements of P of all groups
        self.patches = self.positions * self.reduction
        #: the elements of y
        self.results = geometry.out_channels * self.pixels
        #: the share of all products that read the input and not the padding
        self.inside = inside(geometry)
        #: the rows of y, of one channel of each group
        self.rows = self.positions // width
        #: the rows of x that are copied if each depth of the output copies those that it reads
        self.copied_rows = geometry.in_channels * (depth * geometry.kernel[0]) * read_along(geometry, 1)
        #: the elements of such a row that are copied
        self.copied_columns = read_along(geometry, 2)
        #: the elements of x that are then copied
        self.copied = self.copied_rows * self.copied_columns
        #: the elements of x and y that come from memory, because they do not fit the cache
        self.from_memory = max(0, self.inputs + self.results - CACHED_ARRAYS)
        #: those that come from main memory, because they do not fit the last-level cache either
        self.from_main_memory = max(0, self.inputs + self.results - LAST_CACHED_ARRAYS)
        #: the weights
        self.weights = geometry.out_channels * self.reduction
        #: the multiplications of the definition
        self.multiply_adds = self.results * self.reduction

    def winograd_tiles(self, sides: tuple[int, ...]) -> WinogradTiles:
        """Return how Winograd's algorithm cuts the image, with tiles of the best of these sides."""
        if sides not in self._cuts:
            self._cuts[sides] = winograd_tiles(self.geometry, sides)
        return self._cuts[sides]


def read_along(geometry: Geometry, axis: int) -> int:
    """Return about how many places of the input are read along an axis."""
    stride, kernel = geometry.stride[axis], geometry.kernel[axis]
    step = stride if kernel == 1 else gcd(stride, geometry.dilation[axis])
    return min(-(-geometry.in_size[axis] // step), geometry.out_size[axis] * kernel)


def rows_of_bands(n: Counts, pixels: int) -> tuple[float, float]:
    """Return the rows of x that bands of about `pixels` output positions pack, and the elements of these rows.

    A band packs what lies between the rows and columns that it reads too, unless taps are far apart. It does so for
    each piece of the kernel.
    """
    geometry = n.geometry
    _, taps, columns = geometry.kernel
    height = geometry.out_size[1]
    column_pieces = -(-columns // CHANNELS_SLICE)
    row_pieces = -(-taps // max(CHANNELS_SLICE * column_pieces // columns, 1))
    cuts = -(-n.width // pixels)
    width = n.width / cuts
    bands = -(-height // max(int(pixels // width), 1))
    rows = height / bands

    def read(axis: int, outputs: float, pieces: int) -> float:
        apart = pieces * ((outputs - 1) * geometry.stride[axis] + 1)
        return apart + (geometry.kernel[axis] - pieces) * geometry.dilation[axis]

    slots = min(read(1, rows, row_pieces), rows * taps)
    length = read(2, width, column_pieces)
    packed = geometry.in_channels * geometry.out_size[0] * geometry.kernel[0] * bands * cuts * slots
    return packed * column_pieces, packed * (width * columns if 2 * width * columns < length else length)


def rows_of_planes(n: Counts) -> tuple[float, float]:
    """Return the rows of x that tasks of direct_pixels copy, and the elements of the rows behind one row of outputs.

    Tasks of few rows share few of the rows that they copy.
    """
    geometry = n.geometry
    height, stride, taps = geometry.out_size[1], geometry.stride[1], geometry.kernel[1]
    step = stride if taps == 1 else gcd(stride, geometry.dilation[1])
    apart, distance = stride // step, (taps - 1) * geometry.dilation[1] // step
    row = n.in_channels * geometry.kernel[0] * n.copied_columns
    rows = max(1, min((PIXELS_PLANES // row - distance - 1) // apart + 1, height))
    slots = min((rows - 1) * apart + distance + 1, rows * taps)
    copied = geometry.in_channels * geometry.kernel[0] * geometry.out_size[0] * (height / rows) * slots
    return copied, row * taps
