"""Costs: the estimated time of each C kernel for a geometry. algorithms.py takes the way with the lowest estimate.

The function of a kernel has its name and returns nanoseconds on one thread for one image. It adds up terms and
multiplies the sum by the number of operations. Each term is what one operation pays for a piece of work: the share of
operations that do this work, divided by their rate in GFLOP/s. For example, writing an output happens once per sum of K
terms, so its share is 1 / K; reading an element of the input that all output channels share has the share 1 / O.

The rates were fitted to times measured on one Zen 4 core with AVX-512: for 1000 drawn shapes and all suites
(``python -m gemmconv.bench.studies.algorithms --random 420 --seed 21``), and for 300 shapes of gradients
(``--op weight_gradient --random 150 --seed 5``, ``--random 170 --seed 6``). No rule names a shape. Numbers here may be
fitted again: they change which algorithm ``"auto"`` takes, but never what an algorithm computes.
"""

from __future__ import annotations

from math import ceil, prod
from typing import NamedTuple

from .._gemmconv import CHANNEL_BLOCK, LONGEST_VECTOR
from ..checks.geometry import Geometry
from .blas import gemm_path
from .tiling import winograd_tiles

# The neighbouring pixels of a row that direct_channels computes together.
PIXELS = 6
# The rows of sums that weight_gradient_channels computes together.
ROWS_OF_SUMS = 6
# The output positions of the largest tile of weight_gradient_pixels.
PIXELS_OF_TILE = 8192
# About the number of taps along an axis from which the share of products with padding is estimated.
SAMPLED_TAPS = 32
# The elements of the largest gradient of y, of one image, that still stays in the cache.
CACHED = 1 << 20
# The time that laying out weights takes even if they are few: allocating, and waking the threads.
NANOSECONDS_PER_LAYOUT = 2000
# The time to copy one element into or out of the patch matrix.
NANOSECONDS_PER_MOVE = 0.25
# Phases: the time to weave one element into its row of the gradient of x.
NANOSECONDS_PER_ELEMENT = 0.15
# Phases: the time to begin a row of the gradient of x.
NANOSECONDS_PER_ROW = 15
# Phases: the time to stack one weight.
NANOSECONDS_PER_WEIGHT = 0.3
# Phases: the time to copy one element into a plane of direct_pixels.
NANOSECONDS_PER_COPY = 0.25
# Phases: the time to begin one class of a band.
NANOSECONDS_PER_CLASS = 150
# Phases: the time to begin one group of a class of a band.
NANOSECONDS_PER_GROUP = 80
# Phases: the time to read one element of the gradient of y for a class.
NANOSECONDS_PER_READ = 0.15


class Counts:
    """The numbers of a geometry on which costs depend, for one group of one image."""

    __slots__ = (
        "geometry",
        "in_place",
        "inputs",
        "operations",
        "outputs",
        "pixels",
        "reduction",
        "stride",
        "taps",
        "width",
    )

    def __init__(self, geometry: Geometry) -> None:
        depth, height, width = geometry.out_size
        taps = prod(geometry.kernel)
        self.geometry = geometry
        #: the output channels of a group: O
        self.outputs = geometry.out_channels // geometry.groups
        #: the taps of the kernel
        self.taps = taps
        #: the terms in the sum of one output: K
        self.reduction = geometry.in_channels // geometry.groups * taps
        #: the output positions of an image
        self.pixels = depth * height * width
        #: the output positions of a row
        self.width = width
        #: the stride along a row
        self.stride = geometry.stride[2]
        #: the elements of an input channel, per output position
        self.inputs = prod(geometry.in_size) / self.pixels
        #: whether P is the image itself
        self.in_place = taps == 1 and geometry.reads_image_in_place
        #: the multiplications and additions of the whole image, all groups together
        self.operations = 2 * geometry.out_channels * self.pixels * self.reduction


def grown(count: int, unit: int) -> float:
    """Return the factor by which a count grows when it is rounded up to a multiple of a unit, such as lanes."""
    return ceil(count / unit) * unit / count


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


def gemm_conv(n: Counts) -> float:
    """Return the time of the product of K and packed tiles of P."""
    cost = grown(n.outputs, 4) / 112  # BLAS takes four channels at a time
    cost += grown(n.pixels, 64) / n.outputs / 240  # BLAS reads P in steps of 64 pixels
    cost += 1 / n.reduction / 24 + 1 / n.pixels / 34
    cost += 1 / (n.reduction * n.outputs) / 4.3
    if gemm_path() == "packing":  # BLAS packs both matrices for every tile; fitted with AVX2
        cost += 1 / n.outputs / 3.7 + 1 / n.pixels / 2.8
    if not n.in_place:  # packing P; each row of the output is a new beginning
        cost += (1 / 16 + (n.stride > 1) / 8.2 + 1 / n.width / 2.2) / n.outputs
    return cost * n.operations


def input_gradient(n: Counts) -> float:
    """Return the time of the products of K^T and tiles of the gradient of y, which col2im adds up."""
    cost = grown(n.pixels, 64) / n.outputs / 240 + 1 / 112
    cost += 1 / n.reduction / 24 + 1 / n.pixels / 12 + 1 / (n.reduction * n.outputs) / 4.3
    if not n.in_place:
        cost += (1 / 14 + (n.stride > 1) / 3.6 + 1 / n.width / 2.2) / n.outputs
    cost += 1 / (n.reduction * n.outputs * n.pixels) / 0.004  # beginning a group
    if n.geometry.in_channels == 1:
        cost *= 1.3  # an image is one task, unless it is read in place
    return cost * n.operations


def turning(n: Counts) -> float:
    """Return the time to turn the weight once: to reverse its kernels and to swap its channels."""
    return n.operations / n.pixels / 4 + NANOSECONDS_PER_LAYOUT


def weight_gradient_gemm(n: Counts) -> float:
    """Return the time of the products of the gradient of y and packed tiles of P."""
    cost = 1 / 78 + 1 / (n.reduction * n.outputs) / 13
    if not n.in_place:  # packing P; each row of the output is a new beginning
        cost += (1 / 24 + (n.stride > 1) / 8 + 1 / n.width / 0.44) / n.outputs
    return (cost + reading_gradient(n) / 200) * n.operations


def weight_gradient_channels(n: Counts) -> float:
    """Return the time of sums over output positions, with output channels in the lanes."""
    lanes = grown(n.outputs, LONGEST_VECTOR)
    rows = grown(n.reduction, ROWS_OF_SUMS)
    cost = lanes * rows / 112 + lanes / n.reduction / 20  # the sums; transposing the gradient of y
    cost += 1 / (n.pixels * max(n.geometry.batch, 1)) / 21  # writing the gradient of the weight
    cost += (1 + n.taps / 6) / (n.reduction * n.outputs * n.width) / 0.1  # beginning a row
    return (cost + reading_gradient(n) / 41) * n.operations


def weight_gradient_pixels(n: Counts) -> float:
    """Return the time of sums over output positions, with output positions in the lanes."""
    folded = n.geometry.out_size[1] == n.geometry.kernel[1] == 1 and n.width > 4 * LONGEST_VECTOR
    lanes = 1.0 if folded else grown(n.width, LONGEST_VECTOR)
    in_channels = n.reduction // n.taps
    cost = lanes / 92 + lanes / (n.taps * n.outputs) / 32 + lanes / n.reduction / 63  # the sums; reading x and dy
    cost += ((n.stride > 1) / 27 + (n.stride > 2) / 3.8) * n.inputs / (n.taps * n.outputs)  # copying the input
    cost += 1 / (n.pixels * max(n.geometry.batch, 1)) / 0.36  # adding up the lanes
    cost += 1 / min(n.pixels, PIXELS_OF_TILE) / 0.3  # adding a tile to the sums
    cost += max(0, in_channels - 32) / 6900 + max(0, n.outputs - 32) / 2e6  # planes and sums leave the cache
    return (cost + reading_gradient(n) / 18) * n.operations


def reading_gradient(n: Counts) -> float:
    """Return the share of operations that read the gradient of y from memory, because it does not fit the cache."""
    return (n.geometry.out_channels * n.pixels > CACHED) / n.reduction


def direct_channels(n: Counts) -> float:
    """Return the time of sums in registers, with output channels in the lanes."""
    row = grown(n.width, PIXELS) if n.width >= PIXELS else 1 + 0.5 * (n.width < 3)
    cost = grown(n.outputs, LONGEST_VECTOR) * inside(n.geometry) / 111  # the sums; lanes may be unused
    cost += row * ceil(n.outputs / CHANNEL_BLOCK) / n.outputs / 48  # reading pixels for a block of channels
    cost += 1 / n.reduction / 7.6  # transposing the sums
    cost += n.inputs / (n.taps * n.outputs) / 10  # packing the input
    cost += 1 / n.pixels / 28  # reading the weights
    cost += 1 / (n.reduction * n.outputs) / 0.26  # for each output position
    return cost * n.operations


def direct_pixels(n: Counts) -> float:
    """Return the time of sums in registers, with output positions in the lanes."""
    span = (n.geometry.kernel[2] - 1) * n.geometry.dilation[2]
    pitch = 1 + span / n.stride / n.width if 2 * n.width > span else 2  # lanes between two rows are not used
    cost = pitch * grown(n.pixels, LONGEST_VECTOR) / 110
    cost += 1 / n.reduction / 38 + 1 / (n.reduction * n.outputs) / 5.3  # writing the sums
    cost += pitch / n.outputs / 234
    packing = ((n.stride > 1) / 12 + (n.stride > 2) / 17) * n.inputs + n.geometry.kernel[0] / 11
    cost += packing / (n.taps * n.outputs)
    beyond = max(0, n.reduction - 500) / 4096  # the planes of many channels leave the cache
    cost += beyond * (pitch / 490 + 8 / n.outputs / 290 + (n.stride > 1) / 204)
    return cost * n.operations


def depthwise(n: Counts) -> float:
    """Return the time of sums in registers, with one input channel per group."""
    lanes = grown(n.width, LONGEST_VECTOR)
    cost = lanes / 97 + lanes / n.taps / 14.7  # the sums; writing the outputs
    cost += 1 / (n.taps * n.pixels) / 0.44
    if n.stride == 2:
        cost += lanes / 69
    if n.stride > 2:  # rows are copied
        cost += 1 / 13
    if n.outputs > 1:
        cost += n.inputs / n.taps / n.outputs / 43
    return cost * n.operations


def winograd(n: Counts, sides: tuple[int, ...] = (4, 2)) -> float:
    """Return the time of Winograd's algorithm, with tiles of the best of these sides."""
    cut = winograd_tiles(n.geometry, sides)
    share = cut.frequencies * cut.tiles / (n.taps * n.pixels)  # its products, relative to those of the definition
    in_channels = n.reduction // n.taps
    cost = share * grown(n.outputs, 32) / 116  # the products
    cost += share * grown(n.outputs, LONGEST_VECTOR) / in_channels / 7.6  # transforming the sums
    cost += share * ceil(n.outputs / 128) / n.outputs * grown(in_channels, LONGEST_VECTOR) / 23  # the input
    cost += cut.frequencies / n.taps / n.pixels / 51  # reading the weights
    return cost * n.operations


def no_layout(_n: Counts) -> float:
    """Return 0, for a kernel that takes the weights as they are."""
    return 0.0


def direct_layout(n: Counts) -> float:
    """Return the time to lay out the weights once."""
    return n.operations / n.pixels / 8 + NANOSECONDS_PER_LAYOUT


def winograd_layout(n: Counts, sides: tuple[int, ...] = (4, 2)) -> float:
    """Return the time to transform the weights once; many weights do not fit the cache."""
    size = winograd_tiles(n.geometry, sides).frequencies / n.taps
    beyond = size * n.reduction * n.outputs * n.geometry.groups > 4e6
    return size * (1 + beyond) / n.pixels / 10 * n.operations + NANOSECONDS_PER_LAYOUT


class PhaseCounts(NamedTuple):
    """How often the input gradient by phases does what takes time besides its products, for one image."""

    classes: int
    """Classes that are begun, once in each band."""
    groups: int
    """Groups of classes that are begun, once in each band."""
    rows: int
    """Rows of x that are begun."""
    elements: int
    """Elements of x that are woven into their rows."""
    read: int
    """Elements of the gradient of y that are read, for each class."""
    shared: int
    """Elements of planes of direct_pixels that need no copy, because classes share them."""


def phases(n: PhaseCounts) -> float:
    """Return the time of phases besides that of their products."""
    begun = NANOSECONDS_PER_CLASS * n.classes + NANOSECONDS_PER_GROUP * n.groups + NANOSECONDS_PER_ROW * n.rows
    moved = NANOSECONDS_PER_ELEMENT * n.elements + NANOSECONDS_PER_READ * n.read
    return begun + moved - NANOSECONDS_PER_COPY * n.shared


def stacking(weights: int) -> float:
    """Return the time to stack the weights of phases."""
    return NANOSECONDS_PER_WEIGHT * weights
