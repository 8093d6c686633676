"""Tiling: the sizes by which C kernels cut an operation into tasks, and tasks into calls of BLAS.

The sizes of a call of BLAS change the bits of a result. They depend on the geometry of one image, on the type and on
the machine. They must not depend on the batch size or on the number of threads, so that an image gives the same bits in
any batch and on any number of threads. The number of calls in a task changes no bits; it may depend on both.

These sizes were found by timing, and may be changed to make things faster. Each kernel draws its tiles in its header
in csrc/.
"""

from __future__ import annotations

from math import inf, prod
from typing import NamedTuple

from .._gemmconv import (
    CHANNEL_BLOCK,
    CHANNELS_BAND,
    DENSE_BLOCK,
    DENSE_BLOCKS,
    LONGEST_VECTOR,
    PANELS_PIXELS,
)
from ..checks.geometry import Geometry
from .blas import gemm_path


class Tiling(NamedTuple):
    """How gemm_conv cuts ``Y = K @ P`` of one image and group; ``csrc/gemm/gemm_conv.h`` draws it.

    Other kernels use the same struct; their functions below say what the numbers mean there. 0 means not used.
    """

    pixels: int
    """The output positions of a task; for winograd the side of a tile."""
    block: int
    """The output channels of a task."""
    panel: int
    """The rows of P that are packed at a time."""
    channels: int
    """The output channels of a call of BLAS."""
    taps: int
    """The rows of P in a call of BLAS."""


class GemmCall(NamedTuple):
    """The largest call of BLAS for images of up to `largest_image` output positions."""

    largest_image: float
    pixels: int
    channels: int
    taps: int


class Path(NamedTuple):
    """The sizes that suit one of the paths that BLAS takes through a multiplication."""

    calls: tuple[GemmCall, ...]
    """The largest calls, for small images first."""
    multiple: int
    """The number of output positions in a tile is rounded up to a multiple of this."""
    calls_per_image: int
    """The number of calls that an image should have for each block of taps, so that several threads have work."""
    least_channels: int
    """The fewest output channels of a call that is made smaller to get more calls."""


# The sizes for each path of gemm (blas.gemm_path). Speeds in the comments are GFLOP/s of one Zen 4 core in float32; its
# peak is 117.
PATHS = {
    # The routines of OpenBLAS for small matrices pack nothing. They take up to 1e6 multiplications, and multiples of 64
    # pixels are fast. Below that limit the shape matters little: for a 3x3 kernel, 128->128 channels on 28x28, calls of
    # 128 x 32 x 244 reach 104, and 128 x 128 x 61 reach 102.5. So small images get small tiles, which makes more tasks.
    # Above the limit it is slower: 3x3, 256->256 on 56x56 reaches 108 with these tiles and 96 with larger ones.
    "small": Path(
        (
            # This tile is not a multiple of 64, so it has more channels: 512->512 on 7x7 reaches 100.7, not 96.5.
            GemmCall(56, pixels=56, channels=128, taps=139),
            GemmCall(2048, pixels=64, channels=64, taps=244),
            GemmCall(inf, pixels=128, channels=32, taps=244),
        ),
        multiple=64,
        calls_per_image=2,
        least_channels=64,
    ),
    # Otherwise gemm packs both matrices on every call. That pays if each of them is used often, so calls have many
    # channels and many pixels: 3x3, 256->256 on 56x56 with AVX2 reaches 95, and 71 with the tiles above. Pixels are
    # packed twice, by im2col and by gemm, so a task has many channels: 1x1, 256->1024 on 14x14 reaches 106 with all
    # channels in one task, and 88 with blocks of 64. Each call takes a lock, so tasks are large: on the layers of
    # 56x56, two threads are 1.5 to 1.7 times as fast as one, and 1.2 to 1.5 times with tasks of half the size.
    "packing": Path(
        (
            GemmCall(1024, pixels=256, channels=1 << 20, taps=256),
            GemmCall(inf, pixels=512, channels=1 << 20, taps=256),
        ),
        multiple=16,
        calls_per_image=4,
        least_channels=128,
    ),
}

# The fewest output channels of a task that packs its tile of P: each task packs the tile again. Packing for 128
# channels takes a tenth of the time of multiplying them. If an image is a single tile, a task may be a single call.
LEAST_CHANNELS = 128
# The most tasks that pack the same tile. 1x1, 1024->2048 with stride 2 on 14x14 reaches 100 with 4 and 88 with 16. A
# direct convolution may have more, for many threads.
MOST_BLOCKS = 4
# The number of tasks wanted for each thread, so that no thread finishes long after the others.
TASKS_PER_THREAD = 8
# Input gradient: the number of blocks, at most, into which the input channels of one group are cut, so that several
# threads have work.
GRADIENT_BLOCKS = 16
# Input gradient: the fewest rows of K^T in a block, if a group has as many.
LEAST_ROWS = 64
# Weight gradient: the most output positions over which a call of BLAS sums.
SUMMED_PIXELS = 512
# Weight gradient: the most output channels of a call of BLAS.
SUMMED_CHANNELS = 256
# Weight gradient: the number of blocks wanted, so that several threads have work.
SUMS = 16
# Weight gradient: a block is halved to get more blocks only if each half keeps this number of rows or columns.
LEAST_SUMMED = 64
# Tasks that share their work badly, because each packs the same again: the number for each thread, at least.
LEAST_TASKS_PER_THREAD = 2
# Panels: the output positions of a tile, at most; C adds up to a vector to some.
PANELS_TILE = PANELS_PIXELS - LONGEST_VECTOR
# Panels: the output positions of a tile, at least, where tiles are made smaller so that several threads have work.
PANELS_LEAST_TILE = 48
# Panels: the number of tiles wanted for each thread.
PANELS_TASKS_PER_THREAD = 4
# Panels: the output channels of a task are a multiple of this, or all of a group.
PANELS_LEAST_CHANNELS = 24
# Dense channels: the output positions of a band, at most.
DENSE_PIXELS = DENSE_BLOCKS * DENSE_BLOCK
# Winograd: an image with fewer tiles than this is estimated as if it had this number of tiles. Reading the weights then
# takes most of the time.
FEW_TILES = 6
# The bytes of a panel: half of a second-level cache of 1 MiB.
PANEL_BYTES = 512 * 1024


def choose_tiling(geometry: Geometry, itemsize: int, threads: int = 1, path: str | None = None) -> Tiling:
    """Return the tiling of gemm_conv for a convolution on a number of threads.

    `path` is a key of PATHS. By default it is the path that BLAS takes on this machine.
    """
    limits = PATHS[gemm_path() if path is None else path]
    image, reduction = geometry.out_pixels, geometry.reduction_length
    gemm = next(row for row in limits.calls if image <= row.largest_image)
    pixels = equal_piece(image, gemm.pixels, limits.multiple)
    taps = equal_piece(reduction, gemm.taps)
    panel = PANEL_BYTES // (pixels * itemsize) // taps * taps

    group_channels = geometry.out_channels // geometry.groups
    tiles = geometry.groups * -(-image // pixels)
    blocks = max(min(-(-limits.calls_per_image // tiles), group_channels // limits.least_channels), 1)
    channels = equal_piece(group_channels, min(gemm.channels, -(-group_channels // blocks)), multiple=4)
    return Tiling(
        pixels=pixels,
        block=block_of_calls(geometry, channels, tiles, threads),
        panel=min(max(panel, taps), reduction),
        channels=channels,
        taps=taps,
    )


def choose_direct_tiling(geometry: Geometry, itemsize: int, threads: int = 1) -> Tiling:
    """Return the tiling of a direct convolution.

    It only has `block`, the output channels of a task. Everything else is cut in C.
    """
    del itemsize
    group_channels = geometry.out_channels // geometry.groups
    bands = max(geometry.batch, 1) * geometry.groups * max(geometry.out_pixels // CHANNELS_BAND, 1)
    wanted = 1 if threads == 1 else min(-(-threads * TASKS_PER_THREAD // bands), max(MOST_BLOCKS, 2 * threads))
    block = equal_piece(group_channels, -(-group_channels // wanted), multiple=CHANNEL_BLOCK)
    return Tiling(pixels=0, block=block, panel=0, channels=0, taps=0)


def choose_panels_tiling(geometry: Geometry, itemsize: int, threads: int = 1) -> Tiling:
    """Return the tiling of panels: `pixels` is the most output positions of a tile, `block` the channels of a task.

    Neither changes a bit. Tasks of other tiles are better than tasks of other channels, which pack the same tile again.
    """
    del itemsize
    image, group_channels = geometry.out_pixels, geometry.out_channels // geometry.groups
    images = max(geometry.batch, 1) * geometry.groups
    tiles, shares = -(-image // PANELS_TILE), 1
    if threads > 1:
        wanted = -(-threads * PANELS_TASKS_PER_THREAD // images)
        tiles = max(tiles, min(wanted, image // PANELS_LEAST_TILE))
        if images * tiles < threads * TASKS_PER_THREAD:  # make their number a multiple of the threads
            tiles = -(-tiles // threads) * threads if tiles > 1 else 1
        shares = -(-threads * LEAST_TASKS_PER_THREAD // (images * tiles))
    block = equal_piece(group_channels, -(-group_channels // shares), multiple=PANELS_LEAST_CHANNELS)
    return Tiling(pixels=-(-image // tiles), block=block, panel=0, channels=0, taps=0)


def choose_dense_tiling(geometry: Geometry, itemsize: int, threads: int = 1) -> Tiling:
    """Return the tiling of dense_channels: `block` is the output channels of a task; each task packs its band again."""
    del itemsize
    group_channels = geometry.out_channels // geometry.groups
    bands = max(geometry.batch, 1) * geometry.groups * -(-geometry.out_pixels // DENSE_PIXELS)
    shares = 1 if threads == 1 else -(-threads * LEAST_TASKS_PER_THREAD // bands)
    block = equal_piece(group_channels, -(-group_channels // shares), multiple=CHANNEL_BLOCK)
    return Tiling(pixels=0, block=block, panel=0, channels=0, taps=0)


class WinogradTiles(NamedTuple):
    """How Winograd's algorithm cuts an image."""

    side: int
    """The output positions of a tile along an axis with three taps."""
    frequencies: int
    """The products of a tile, for one pair of channels."""
    tiles: int
    """The tiles of an image."""

    @property
    def products(self) -> int:
        """The products of an image. An image of few tiles counts as one of FEW_TILES."""
        return self.frequencies * max(self.tiles, FEW_TILES)


def winograd_tiles(geometry: Geometry, sides: tuple[int, ...] = (4, 2)) -> WinogradTiles:
    """Return the tiles with the fewest products: the large ones, unless small ones fit the image better."""
    cuts = []
    for side in sides:
        frequencies, tiles = 1, geometry.out_size[0]
        for size, kernel in zip(geometry.out_size[1:], geometry.kernel[1:]):
            along = side if kernel > 1 else 1
            frequencies *= along + kernel - 1
            tiles *= -(-size // along)
        cuts.append(WinogradTiles(side, frequencies, tiles))
    return min(cuts, key=lambda cut: cut.products)


def choose_winograd_tiling(
    geometry: Geometry, itemsize: int, threads: int = 1, sides: tuple[int, ...] = (4, 2)
) -> Tiling:
    """Return the tiling of Winograd's algorithm.

    It only has `pixels`, the side of a tile. Everything else is cut in C.
    """
    del itemsize, threads
    return Tiling(pixels=winograd_tiles(geometry, sides).side, block=0, panel=0, channels=0, taps=0)


def choose_input_gradient_tiling(
    geometry: Geometry, itemsize: int, threads: int = 1, path: str | None = None
) -> Tiling:
    """Return the tiling of an input gradient by BLAS; ``csrc/gemm/input_gradient.h`` draws it.

    `block` is the number of input channels of a task. The panel holds a tile of ``K^T @ G``: `panel` is its number of
    rows, and `pixels` the output positions of a tile. `taps` is the number of rows of K^T in a call of BLAS, and
    `channels` the number of output channels over which it sums.
    """
    del threads
    limits = PATHS[gemm_path() if path is None else path]
    image = geometry.out_pixels
    gemm = next(row for row in limits.calls if image <= row.largest_image)
    pixels = equal_piece(image, gemm.pixels, limits.multiple)
    channels = equal_piece(geometry.out_channels // geometry.groups, gemm.taps)
    window = gemm.pixels * gemm.channels * gemm.taps
    kernel = prod(geometry.kernel)
    block = max(-(-geometry.in_channels // GRADIENT_BLOCKS), -(-LEAST_ROWS // kernel))
    block = min(block, geometry.in_channels // geometry.groups)
    rows = block * kernel
    taps = equal_piece(rows, max(min(window // (pixels * channels), PANEL_BYTES // (pixels * itemsize)), 1))
    panel = PANEL_BYTES // (pixels * itemsize) // taps * taps
    return Tiling(
        pixels=pixels,
        block=block,
        panel=min(max(panel, taps), rows),
        channels=channels,
        taps=taps,
    )


def choose_weight_gradient_tiling(geometry: Geometry, itemsize: int, threads: int = 1) -> Tiling:
    """Return the tiling of a weight gradient by BLAS; ``csrc/gemm/weight_gradient_gemm.h`` draws it.

    A task is a block of dK: `block` (also `channels`) is its number of output channels, `panel` (also `taps`) its
    number of rows of P. `pixels` is the number of output positions over which a call of BLAS sums.
    """
    del threads
    pixels = equal_piece(geometry.out_pixels, SUMMED_PIXELS, 16)
    group_channels = geometry.out_channels // geometry.groups
    rows, channels = max(PANEL_BYTES // (pixels * itemsize), 1), SUMMED_CHANNELS
    while True:
        panel = equal_piece(geometry.reduction_length, rows)
        block = equal_piece(group_channels, channels, multiple=4)
        blocks = geometry.groups * -(-geometry.reduction_length // panel) * -(-group_channels // block)
        if blocks >= SUMS or max(panel, block) < 2 * LEAST_SUMMED:
            break
        if panel >= block:
            rows = -(-panel // 2)
        else:
            channels = block // 2
    return Tiling(pixels=pixels, block=block, panel=panel, channels=block, taps=panel)


def block_of_calls(geometry: Geometry, channels: int, tiles: int, threads: int) -> int:
    """Return the output channels of a task: a multiple of the `channels` of a call of BLAS, or all of a group."""
    group_channels = geometry.out_channels // geometry.groups
    if threads == 1:
        return group_channels
    least = channels
    if not geometry.reads_image_in_place:
        least = max(LEAST_CHANNELS if tiles > 1 else channels, -(-group_channels // MOST_BLOCKS))
    blocks = -(-threads * TASKS_PER_THREAD // max(geometry.batch * tiles, 1))
    wanted = max(least, -(-group_channels // blocks))
    return min(-(-wanted // channels) * channels, group_channels)


def equal_piece(total: int, limit: int, multiple: int = 1) -> int:
    """Return the size of the pieces when `total` is cut into the fewest equal pieces of at most `limit`.

    The size is rounded up to a multiple of `multiple`, but it is at most `total`. The last piece may be smaller.
    """
    pieces = -(-total // limit)
    size = -(-total // pieces)
    return min(-(-size // multiple) * multiple, total)


def largest_gemm(tiling: Tiling) -> int:
    """Return the number of multiplications in the largest call of BLAS."""
    return tiling.pixels * tiling.channels * tiling.taps
