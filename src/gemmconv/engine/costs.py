"""Costs: the estimated time of each C kernel for a geometry. algorithms.py takes the way with the lowest estimate.

The function of a kernel has its name. From the numbers of a geometry (`Counts`) it returns the kernel's terms: how much
it does of each kind of work, for one image on one thread. The estimated time is the sum over the terms, each multiplied
by its rate (rates.py): the nanoseconds that one unit of this work takes on an instruction set. For example, the term
"outputs" is the number of outputs, and its rate is the time to write one.

So a time is linear in the rates, and ``python -m gemmconv.bench.studies.costs`` fits them to timings. A new kernel
needs a function here, a row in kernels.py and, from the fit, a row in rates.py. No term names a shape.
"""

from __future__ import annotations

from functools import lru_cache
from math import ceil, gcd
from operator import mul
from typing import NamedTuple

from .._gemmconv import (
    CHANNEL_BLOCK,
    CHANNELS_BAND,
    DENSE_BLOCK,
    LONGEST_VECTOR,
    PANELS_TAPS,
    PIXELS_SLICE,
    PIXELS_VECTORS,
    isa,
)
from .blas import gemm_path
from .counts import Counts, rows_of_bands, rows_of_planes
from .rates import RATES, column_of
from .tiling import DENSE_PIXELS, PANELS_TILE, PATHS

#: Name of a kind of work -> its amount.
Terms = dict[str, float]
#: What a way does: names in the table of rates, and the terms of each.
Work = tuple[tuple[str, Terms], ...]

# The independent sums that keep the multipliers busy, by the lanes of a vector.
BUSY_SUMS = {4: 6, 8: 8, 16: 4}
# The vectors of a register block, by the lanes of a vector. Its rows are at most DENSE_BLOCK.
BLOCK_VECTORS = {4: 2, 8: 2, 16: 4}
# direct_pixels: the channels that are computed together, at most, by the lanes of a vector.
PIXELS_CHANNELS = {4: 4, 8: 4, 16: 8}
# direct_pixels: the registers for sums and vectors that are read, by the lanes of a vector.
PIXELS_REGISTERS = {4: 14, 8: 15, 16: 31}
# depthwise: the rows of outputs that are computed together, at most.
ROWS_OF_BLOCK = 8
# The output positions of the largest tile of weight_gradient_pixels.
PIXELS_OF_TILE = 8192
# The elements of the largest gradient of y, of one image, that still stays in the cache.
CACHED = 1 << 20
# The transformed weights that still stay in the cache, in elements.
CACHED_WEIGHTS = 1 << 22
# The weights that still stay in the cache, beside their layout.
CACHED_COPIES = 1 << 20
# The weights that still stay in the second-level cache, in elements.
CACHED_LAYOUT = 1 << 17
# direct_channels: the share of the time for a step that is left where the input is read in place with one tap.
STEPS_IN_PLACE = 0.6
# The terms of a sum whose weights and planes still stay in the first-level cache.
CACHED_TERMS = 1000


@lru_cache(maxsize=16)
def _rates(active: str, path: str) -> dict[str, tuple[float, ...]]:
    """Return kernel -> the rates of its terms in their order, for an instruction set and a path of BLAS."""
    return {
        kernel: tuple([of[column_of(kernel, active, path)] for of in terms.values()]) for kernel, terms in RATES.items()
    }


def forget_rates() -> None:
    """Read the table of rates again: a fit has changed it."""
    _rates.cache_clear()


def nanoseconds(work: Work) -> float:
    """Return the estimated time of some work, on the instruction set in use."""
    table = _rates(isa(), gemm_path())
    # the table has the terms of each kernel in the order in which its function returns them
    total = 0.0
    for name, terms in work:
        total += sum(map(mul, table[name], terms.values()))
    return total


def grown(count: int, unit: int) -> float:
    """Return the factor by which a count grows when it is rounded up to a multiple of a unit, such as lanes."""
    return -(-count // unit) * unit / count


def busy(n: Counts, blocks: int, sums: float) -> float:
    """Return the lanes of some register blocks: at least as many sums as keep the multipliers busy."""
    return blocks * max(sums, BUSY_SUMS[n.lanes]) * n.lanes


def gemm_conv(n: Counts) -> Terms:
    """Return the work of the product of K and packed tiles of P."""
    for largest in PATHS[gemm_path()].calls:
        if n.pixels <= largest.largest_image:
            break
    tiles, blocks = -(-n.pixels // largest.pixels), -(-n.outputs // largest.channels)
    slices = -(-n.reduction // largest.taps)
    packed = 0 if n.in_place else n.patches
    return {
        "multiply-adds": n.multiply_adds,
        "multiply-adds of blocks": n.multiply_adds * grown(n.outputs, 4) * grown(n.pixels, 16),
        "reading P": n.patches * grown(n.pixels, 64) * blocks,  # BLAS reads P in steps of 64 pixels
        "weights from memory": max(0, n.weights - CACHED_LAYOUT) * tiles,
        "outputs": n.results * slices,
        "rows": n.rows * (packed > 0),
        "calls": n.groups * tiles * blocks * slices,
        "packing": packed,
        "packing with a stride": packed * n.inside * (n.stride > 1),
        "packing a row": packed / n.width,
        "packing a row inside": packed * n.inside / n.width,
        "from memory": n.from_memory,
        "from memory in place": n.from_memory * (packed == 0),
        "from main memory": n.from_main_memory,
    }


def panels(n: Counts) -> Terms:
    """Return the work of the product of K and packed panels of P, in registers."""
    width = BLOCK_VECTORS[n.lanes] * n.lanes
    blocks = -(-n.outputs // DENSE_BLOCK)
    vectors, last = divmod(-(-n.pixels // n.lanes), BLOCK_VECTORS[n.lanes])
    rows = n.outputs / blocks
    sums = busy(n, blocks * vectors, rows * BLOCK_VECTORS[n.lanes]) + busy(n, blocks, rows * last) * (last > 0)
    slices = -(-n.reduction // PANELS_TAPS)
    tiles = -(-n.pixels // PANELS_TILE)
    packed = 0 if n.in_place else n.patches
    return {
        "multiply-adds": n.groups * n.reduction * sums,
        "outputs": n.results * slices,
        "blocks": n.groups * slices * blocks * (vectors + (last > 0)),
        "reading weights": n.weights * -(-n.pixels // width),
        "weights from memory": max(0, n.weights - CACHED_LAYOUT) * tiles,
        "packing": packed,
        "packing in place": n.patches - packed,
        "packing with a stride": packed * (n.stride > 1),
        "packing with a long stride": packed * (n.stride > 2),
        "packing a row": packed / n.width,
        "taps of tiles": n.groups * tiles * slices * n.taps,
        "taps of rows": n.rows * slices * n.taps,
        "from memory": n.from_memory,
        "from main memory": n.from_main_memory,
    }


def input_gradient(n: Counts) -> Terms:
    """Return the work of the products of K^T and tiles of the gradient of y, which col2im adds up."""
    packed = 0 if n.in_place else n.patches
    return {
        "multiply-adds": n.multiply_adds,
        "reading P": n.patches * grown(n.pixels, 64),
        "reading weights": n.weights * ceil(n.pixels / 256),
        "gradients": n.results,
        "positions": n.positions,
        "groups": n.groups,
        "adding": packed,
        "adding with a stride": packed * (n.stride > 1),
        "adding a row": packed / n.width,
        "adding to one channel": packed * (n.geometry.in_channels == 1),  # an image is one task
    }


def turning(n: Counts) -> Terms:
    """Return the work to turn the weight once: to reverse its kernels and to swap its channels."""
    return {"weights": n.weights, "beginning": 1}


def weight_gradient_gemm(n: Counts) -> Terms:
    """Return the work of the products of the gradient of y and packed tiles of P."""
    packed = 0 if n.in_place else n.patches
    return {
        "multiply-adds": n.multiply_adds,
        "positions": n.positions,
        "patches": n.patches,
        "gradients": n.results,
        "packing": packed,
        "packing with a stride": packed * (n.stride > 1),
        "packing a row": packed / n.width,
        "weights": n.weights / max(n.geometry.batch, 1),
        "groups": n.groups,
    }


def weight_gradient_channels(n: Counts) -> Terms:
    """Return the work of sums over output positions, with output channels in the lanes."""
    lanes = grown(n.outputs, n.lanes)
    return {
        "multiply-adds": n.multiply_adds * lanes * grown(n.reduction, DENSE_BLOCK),
        "transposing": n.results * lanes,
        "gradients from memory": n.results * (n.results > CACHED),
        "weights": n.weights / max(n.geometry.batch, 1),
        "taps of rows": n.positions / n.width * n.taps,
        "reading P": n.patches * ceil(n.outputs / (CHANNEL_BLOCK if n.lanes == LONGEST_VECTOR else 2 * n.lanes)),
    }


def weight_gradient_pixels(n: Counts) -> Terms:
    """Return the work of sums over output positions, with output positions in the lanes."""
    folded = n.geometry.out_size[1] == n.geometry.kernel[1] == 1 and n.width > 4 * n.lanes
    lanes = 1.0 if folded else grown(n.width, n.lanes)
    beyond = max(0, n.in_channels - 32) / 4096  # the planes leave the cache
    return {
        "multiply-adds": n.multiply_adds * lanes,
        "multiply-adds of many channels": n.multiply_adds * beyond,
        "reading x": n.positions * n.in_channels * lanes,
        "gradients": n.results * lanes,
        "gradients from memory": n.results * (n.results > CACHED),
        "copying with a stride": n.inputs * (n.stride > 1),
        "copying with a long stride": n.inputs * (n.stride > 2),
        "weights of tiles": n.weights * n.pixels / min(n.pixels, PIXELS_OF_TILE),  # adding a tile to the sums
    }


def weight_gradient_depthwise(n: Counts) -> Terms:
    """Return the work of sums over output positions, with the channels of a depthwise convolution in the lanes."""
    lanes = grown(n.groups, 2 * n.lanes)
    return {
        "multiply-adds": n.multiply_adds * n.inside * lanes,
        "gradients": n.results,
        "rows of taps": n.results / n.width * n.taps,
    }


def direct_channels(n: Counts) -> Terms:
    """Return the work of sums in registers, with output channels in the lanes."""
    strip = BLOCK_VECTORS[n.lanes] * n.lanes
    strips, blocks = -(-n.outputs // strip), -(-n.width // DENSE_BLOCK)
    # a block of few pixels or vectors of channels waits for its own sums
    last = -(-(n.outputs - (strips - 1) * strip) // n.lanes)
    sums = busy(n, (strips - 1) * blocks, n.width / blocks * BLOCK_VECTORS[n.lanes])
    sums += busy(n, blocks, n.width / blocks * last)
    bands = -(-n.pixels // CHANNELS_BAND)
    rows, packed = rows_of_bands(n, CHANNELS_BAND)
    return {
        "multiply-adds": n.rows * sums * n.reduction * n.inside,
        "steps": n.rows * blocks * strips * n.reduction,  # a register block takes one for each term of its sums
        "outputs": n.results,
        "packing": packed,
        "packing a row": rows,
        "reading weights": n.weights * bands,
        "weights from memory": max(0, n.weights - CACHED_LAYOUT) * bands,
        "planes": n.groups * n.geometry.out_size[0],
        "positions": n.positions,
        "from memory": n.from_memory,
        "from main memory": n.from_main_memory,
    }


def dense_channels(n: Counts) -> Terms:
    """Return the work of sums in registers, with output channels in the lanes, of patches that are packed densely."""
    strip = BLOCK_VECTORS[n.lanes] * n.lanes
    strips = -(-n.outputs // strip)
    bands = -(-n.pixels // DENSE_PIXELS)
    blocks = bands * -(-n.pixels // (bands * DENSE_BLOCK))
    rows, staged = rows_of_bands(n, DENSE_PIXELS)
    last = -(-(n.outputs - (strips - 1) * strip) // n.lanes)
    sums = busy(n, (strips - 1) * blocks, n.pixels / blocks * BLOCK_VECTORS[n.lanes])
    sums += busy(n, blocks, n.pixels / blocks * last)
    return {
        "multiply-adds": n.groups * sums * n.reduction,
        "steps": n.groups * blocks * strips * n.reduction,
        "outputs": n.results,
        "packing": n.patches,
        "packing a row": n.patches / n.width,
        "staging": staged,
        "staging a row": rows,
        "reading weights": n.weights * bands,
        "weights from memory": max(0, n.weights - CACHED_LAYOUT) * bands,
        "taps of rows": n.rows * n.taps,
        "bands": n.groups * bands,
        "from memory": n.from_memory,
        "from main memory": n.from_main_memory,
    }


def direct_channels_last(n: Counts) -> Terms:
    """Return the work of `direct_channels` for arrays with channels last.

    Without padding the input is read in place.
    """
    terms = direct_channels(n)
    in_place = not any(n.geometry.pad_before) and not any(n.geometry.pad_after)
    if n.taps == 1:
        terms["steps"] *= STEPS_IN_PLACE
    return terms | {"packing": terms["packing"] * (not in_place), "packing a row": 0, "outputs": terms["outputs"] / 2}


def direct_channels_layout(n: Counts) -> Terms:
    """Return the work to lay out the weights once."""
    return {
        "weights": n.weights,
        "lanes": n.weights * grown(n.outputs, CHANNEL_BLOCK),
        "weights to memory": max(0, n.weights - CACHED_COPIES),
        "beginning": 1,
    }


def direct_pixels(n: Counts) -> Terms:
    """Return the work of sums in registers, with output positions in the lanes."""
    depth, height, width = n.geometry.out_size
    gap = 0.0 if height == 1 else (n.geometry.kernel[2] - 1) * n.geometry.dilation[2] / n.stride
    # lanes between two rows are not used, but no vector begins there
    vectors = ceil(height * min(-(-width // n.lanes), (width + min(gap, n.lanes / 2)) / n.lanes))
    blocks = -(-n.outputs // PIXELS_CHANNELS[n.lanes])
    channels = n.outputs / blocks
    most = min(8, PIXELS_REGISTERS[n.lanes] // (-(-n.outputs // blocks) + 1))
    planes = depth * n.groups
    passes = -(-vectors // most)
    terms = planes * n.reduction
    rows, behind = rows_of_planes(n)
    copied = rows * n.copied_columns
    return {
        "multiply-adds": terms * blocks * busy(n, passes, channels * vectors / passes),
        "reading planes": terms * vectors * n.lanes * blocks,
        "reading planes from memory": terms * vectors * n.lanes * blocks * max(0.0, 1 - CACHED_LAYOUT / behind),
        "steps": terms * passes * blocks,
        "steps of long sums": terms * passes * blocks * max(0.0, 1 - CACHED_TERMS / n.reduction),
        "reading weights": n.weights * depth * -(-vectors // PIXELS_VECTORS),
        "outputs": n.results * -(-n.reduction // PIXELS_SLICE),
        "rows": n.rows * n.outputs,
        "copying": copied,
        "copying with a stride": copied * (n.stride > 1),
        "copying with a long stride": copied * (n.stride > 2),
        "copying a row": rows,
        "planes": planes,
        "terms of planes": terms,
        "from memory": n.from_memory,
        "from main memory": n.from_main_memory,
    }


def direct_pixels_layout(n: Counts) -> Terms:
    """Return the work to lay out the weights once."""
    return {"weights": n.weights, "weights to memory": max(0, n.weights - CACHED_COPIES), "beginning": 1}


def depthwise(n: Counts) -> Terms:
    """Return the work of sums in registers, with one input channel per group."""
    height, taps = n.geometry.out_size[1], n.geometry.kernel[1]
    step = gcd(n.geometry.stride[1], n.geometry.dilation[1])
    phases = min(n.geometry.dilation[1] // step, height) if taps > 1 else 1
    # the rows of a phase may share the vectors that they read, a block of rows at a time
    of_phase = -(-height // phases)
    blocks = phases * -(-of_phase // ROWS_OF_BLOCK)
    rows = height / blocks
    apart = n.geometry.stride[1] // step
    shared = apart == (n.stride if n.stride <= 2 else 1)
    read = min((rows - 1) * apart + taps, rows * taps) if shared else rows * taps
    is_square = n.geometry.kernel == (1, 3, 3) and n.outputs == 1 and n.stride <= 2
    vectors = n.rows // height * n.outputs * -(-n.width // n.lanes)
    passes = vectors * blocks if height > 1 else -(-vectors // ROWS_OF_BLOCK)
    loads = vectors * blocks * read * n.taps // taps
    return {
        "multiply-adds": n.taps * vectors * height * n.lanes,
        "multiply-adds of other kernels": n.taps * vectors * height * n.lanes * (not is_square),
        "reading x": loads,
        "reading x for other kernels": loads * (not is_square),
        "reading rows": loads * (height == 1),
        "reading x with stride 2": loads * (n.stride == 2),
        "reading x with stride 2 for other kernels": loads * (n.stride == 2) * (not is_square),
        "passes": passes,
        "passes of rows": passes * (height == 1),
        "passes for other kernels": passes * (not is_square),
        "passes for each row of the kernel": passes * (n.taps // n.geometry.kernel[2]),
        "copying": n.copied * (n.stride > 2),
        "copying a row": n.copied_rows * (n.stride > 2),
        "planes": n.rows // height * n.outputs,
        "phases of planes": n.rows // height * n.outputs * phases,
        "from memory": n.from_memory,
        "from main memory": n.from_main_memory,
        "rows from memory": n.from_memory / n.width,
    }


def depthwise_channels(n: Counts) -> Terms:
    """Return the work of sums in registers, of arrays with channels last."""
    channels = n.geometry.out_channels
    # few channels are repeated, and fill all lanes
    growth = 1.0 if channels < LONGEST_VECTOR else grown(channels, LONGEST_VECTOR)
    return {
        "multiply-adds": n.multiply_adds * growth,
        "outputs": n.results,
        "reading x": n.inputs,
    }


def moving(elements: int) -> Terms:
    """Return the work to copy arrays with channels last to arrays with channels first, and back."""
    return {"elements": elements, "elements from memory": max(0, elements - CACHED), "beginning": 1}


def depthwise_layout(n: Counts) -> Terms:
    """Return the work to lay out the weights once."""
    return {"weights": n.weights, "beginning": 1}


def winograd(n: Counts, sides: tuple[int, ...] = (4, 2)) -> Terms:
    """Return the work of Winograd's algorithm, with tiles of the best of these sides."""
    cut = n.winograd_tiles(sides)
    values = cut.frequencies * cut.tiles * n.groups  # of all frequencies, for one channel of each group
    depth = n.geometry.kernel[0]  # each depth of the output transforms all depths that it reads
    weights = cut.frequencies * n.weights * depth / n.taps
    return {
        "products": values * depth * n.in_channels * n.outputs * grown(n.outputs, n.lanes),
        "transforming sums": values * n.outputs * grown(n.outputs, n.lanes),
        "transforming x": values * depth * n.in_channels * grown(n.in_channels, n.lanes) * ceil(n.outputs / 128),
        "reading weights": weights,
        "weights from memory": max(0, weights - CACHED_WEIGHTS),
        "groups": n.groups,
    }


def winograd_layout(n: Counts, sides: tuple[int, ...] = (4, 2)) -> Terms:
    """Return the work to transform the weights once; many weights do not fit the cache."""
    weights = n.winograd_tiles(sides).frequencies * n.weights * n.geometry.kernel[0] / n.taps
    return {"weights": weights, "weights to memory": max(0, weights - CACHED_WEIGHTS), "beginning": 1}


class PhaseCounts(NamedTuple):
    """How often the input gradient by phases does what takes time, for one image."""

    products: float
    """The estimated nanoseconds of the convolutions of all classes."""
    rows: int
    """Rows of x that are begun."""
    elements: int
    """Elements of x that are woven into their rows."""
    read: int
    """Elements of the gradient of y that are read, for each class."""
    shared: int
    """Elements of planes of direct_pixels that need no copy, because classes share them."""


def phases(n: PhaseCounts) -> Terms:
    """Return the work of phases."""
    return {**n._asdict(), "shared": -n.shared}


def phases_layout(layouts: float, weights: int) -> Terms:
    """Return the work to lay out the weights of phases: `layouts` are the nanoseconds for those of all classes."""
    return {"layouts": layouts, "weights": weights}
