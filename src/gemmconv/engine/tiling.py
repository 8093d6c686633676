"""Tiling: how the tile loop cuts a convolution into tasks, and tasks into calls of BLAS.

The calls depend on the geometry of one image, on the type and on the machine, never on the batch size or the number of
threads, so that an image gives the same bits in any batch and on any number of threads. Only how many of them make a
task, which changes no bit, depends on those.
"""

from __future__ import annotations

from math import inf, prod
from typing import NamedTuple

from ..checks.geometry import Geometry
from .blas import gemm_path


class Tiling(NamedTuple):
    """How the tile loop cuts ``Y = K @ P`` of one image and group; ``csrc/gemm/gemm_conv.h`` draws it."""

    pixels: int
    """Output positions of a task; for winograd the side of a tile."""
    block: int
    """Output channels of a task."""
    panel: int
    """Rows of P packed at a time."""
    channels: int
    """Output channels of a call of BLAS."""
    taps: int
    """Rows of P of a call of BLAS."""


class GemmCall(NamedTuple):
    """The largest call of BLAS for images of up to a number of pixels."""

    largest_image: float
    pixels: int
    channels: int
    taps: int


class Path(NamedTuple):
    """What suits one of the ways in which BLAS multiplies."""

    calls: tuple[GemmCall, ...]
    multiple: int
    """Of pixels: what a tile is rounded up to."""
    calls_per_image: int
    """An image has at least so many calls for each block of taps, for as many threads, ..."""
    least_channels: int
    """... unless a call had fewer channels."""


# By the path that gemm takes (blas.gemm_path). The figures are GFLOP/s of one Zen 4 core in float32, peak 117.
PATHS = {
    # OpenBLAS's kernels for small matrices pack nothing; they take up to 1e6 multiplications and like multiples of 64
    # pixels. Within that window the shape matters little (3x3 128->128 on 28x28: 128 x 32 x 244 gives 104, 128 x 128 x
    # 61 gives 102.5), so small images get small tiles for more tasks. Larger tiles leave the window and give 96 where
    # these give 108 (3x3 256->256 on 56x56).
    "small": Path(
        (
            # A tile that is no multiple of 64; more channels make up for it: 512->512 on 7x7: 100.7 instead of 96.5.
            GemmCall(56, pixels=56, channels=128, taps=139),
            GemmCall(2048, pixels=64, channels=64, taps=244),
            GemmCall(inf, pixels=128, channels=32, taps=244),
        ),
        multiple=64,
        calls_per_image=2,
        least_channels=64,
    ),
    # Elsewhere gemm packs both operands on every call, which pays when each is used often: many channels and many
    # pixels. 3x3 256->256 on 56x56 with AVX2: 95, with the tiles above 71. Pixels are packed twice, by im2col and by
    # gemm: 1x1 256->1024 on 14x14 gives 106 with all channels in one task, 88 with blocks of 64. And each call takes a
    # lock: with tasks half as large two threads gain 1.2 to 1.5 instead of 1.5 to 1.7 on the layers of 56x56.
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

# Tasks of the same tile pack it again each, which these two bound. A panel for 128 channels costs a tenth of their
# multiplication; 1x1 1024->2048 with stride 2 on 14x14 gives 88 with 16 blocks, 100 with 4. An image of a single tile
# has no other tasks, so there a call may be one.
LEAST_CHANNELS = 128
MOST_BLOCKS = 4
# What several threads find to do, so that the last one to finish is not late.
TASKS_PER_THREAD = 8
# An image is cut into about so many blocks of input channels for the way back, for the threads of a machine;
# but each has so many rows of K^T if there are as many.
GRADIENT_BLOCKS = 16
LEAST_ROWS = 64
# Of the gradient of a weight, a call of BLAS sums over so many output positions, for so many output channels.
SUMMED_PIXELS = 512
SUMMED_CHANNELS = 256
# There should be so many blocks of it, unless they had fewer rows and columns.
SUMS = 16
LEAST_SUMMED = 64
# Of a direct convolution, a task has about so many output positions and a multiple of so many output channels.
BAND_PIXELS = 256
CHANNEL_BLOCK = 64
FEW_TILES = 6
# A panel fills half of a second-level cache of 1 MiB.
PANEL_BYTES = 512 * 1024


def choose_tiling(geometry: Geometry, itemsize: int, threads: int = 1, path: str | None = None) -> Tiling:
    """Return the tiling of a convolution that so many threads share.

    `path` is a key of PATHS; by default the one that this machine's BLAS takes.
    """
    limits = PATHS[gemm_path() if path is None else path]
    image, reduction = geometry.out_pixels, geometry.reduction_length
    call = next(row for row in limits.calls if image <= row.largest_image)
    pixels = equal_part(image, call.pixels, limits.multiple)
    taps = equal_part(reduction, call.taps)
    panel = PANEL_BYTES // (pixels * itemsize) // taps * taps

    group_channels = geometry.out_channels // geometry.groups
    tiles = geometry.groups * -(-image // pixels)
    parts = max(min(-(-limits.calls_per_image // tiles), group_channels // limits.least_channels), 1)
    channels = equal_part(group_channels, min(call.channels, -(-group_channels // parts)), multiple=4)
    return Tiling(
        pixels=pixels,
        block=block_of_calls(geometry, channels, tiles, threads),
        panel=min(max(panel, taps), reduction),
        channels=channels,
        taps=taps,
    )


def choose_direct_tiling(geometry: Geometry, itemsize: int, threads: int = 1) -> Tiling:
    """Return the tiling of a direct convolution, of which the C layer cuts all but the output channels of a task."""
    del itemsize
    group_channels = geometry.out_channels // geometry.groups
    bands = max(geometry.batch, 1) * geometry.groups * max(geometry.out_pixels // BAND_PIXELS, 1)
    wanted = 1 if threads == 1 else min(-(-threads * TASKS_PER_THREAD // bands), max(MOST_BLOCKS, 2 * threads))
    block = equal_part(group_channels, -(-group_channels // wanted), multiple=CHANNEL_BLOCK)
    return Tiling(pixels=0, block=block, panel=0, channels=0, taps=0)


class WinogradTiles(NamedTuple):
    """How Winograd's algorithm cuts an image."""

    side: int
    """Output positions of a tile along an axis of three taps."""
    frequencies: int
    """Products for a tile."""
    tiles: int

    @property
    def products(self) -> int:
        """The products of an image; those of few tiles take as long as reading the weights."""
        return self.frequencies * max(self.tiles, FEW_TILES)


def winograd_tiles(geometry: Geometry, sides: tuple[int, ...] = (4, 2)) -> WinogradTiles:
    """Return the tiles that take fewer products: large ones, unless they do not fit the image."""
    ways = []
    for side in sides:
        frequencies = tiles = 1
        for size, kernel in zip(geometry.out_size[1:], geometry.kernel[1:]):
            along = side if kernel > 1 else 1
            frequencies *= along + kernel - 1
            tiles *= -(-size // along)
        ways.append(WinogradTiles(side, frequencies, tiles))
    return min(ways, key=lambda way: way.products)


def choose_winograd_tiling(
    geometry: Geometry, itemsize: int, threads: int = 1, sides: tuple[int, ...] = (4, 2)
) -> Tiling:
    """Return the tiling of Winograd's algorithm, of which the C layer cuts all but the tiles."""
    del itemsize, threads
    return Tiling(pixels=winograd_tiles(geometry, sides).side, block=0, panel=0, channels=0, taps=0)


def choose_input_gradient_tiling(
    geometry: Geometry, itemsize: int, threads: int = 1, path: str | None = None
) -> Tiling:
    """Return the tiling of the transpose of a convolution; ``csrc/gemm/input_gradient.h`` draws it.

    The panel holds a tile of ``K^T @ G``: `taps` are the rows of K^T in a call of BLAS, `channels` the output channels
    that it sums over. `block` is the number of input channels in a task.
    """
    del threads
    limits = PATHS[gemm_path() if path is None else path]
    image = geometry.out_pixels
    call = next(row for row in limits.calls if image <= row.largest_image)
    pixels = equal_part(image, call.pixels, limits.multiple)
    channels = equal_part(geometry.out_channels // geometry.groups, call.taps)
    window = call.pixels * call.channels * call.taps
    kernel = prod(geometry.kernel)
    block = max(-(-geometry.in_channels // GRADIENT_BLOCKS), -(-LEAST_ROWS // kernel))
    block = min(block, geometry.in_channels // geometry.groups)
    rows = block * kernel
    taps = equal_part(rows, max(min(window // (pixels * channels), PANEL_BYTES // (pixels * itemsize)), 1))
    panel = PANEL_BYTES // (pixels * itemsize) // taps * taps
    return Tiling(
        pixels=pixels,
        block=block,
        panel=min(max(panel, taps), rows),
        channels=channels,
        taps=taps,
    )


def choose_weight_gradient_tiling(geometry: Geometry, itemsize: int, threads: int = 1) -> Tiling:
    """Return the tiling of the gradient of a weight by BLAS; ``csrc/gemm/weight_gradient_gemm.h`` draws it."""
    del threads
    pixels = equal_part(geometry.out_pixels, SUMMED_PIXELS, 16)
    group_channels = geometry.out_channels // geometry.groups
    rows, channels = max(PANEL_BYTES // (pixels * itemsize), 1), SUMMED_CHANNELS
    while True:
        panel = equal_part(geometry.reduction_length, rows)
        block = equal_part(group_channels, channels, multiple=4)
        blocks = geometry.groups * -(-geometry.reduction_length // panel) * -(-group_channels // block)
        if blocks >= SUMS or max(panel, block) < 2 * LEAST_SUMMED:
            break
        if panel >= block:
            rows = -(-panel // 2)
        else:
            channels = block // 2
    return Tiling(pixels=pixels, block=block, panel=panel, channels=block, taps=panel)


def block_of_calls(geometry: Geometry, channels: int, tiles: int, threads: int) -> int:
    """Return the output channels of a task: a multiple of the `channels` of a call, or all of a group."""
    group_channels = geometry.out_channels // geometry.groups
    if threads == 1:
        return group_channels
    least = channels
    if not geometry.reads_image_in_place:
        least = max(LEAST_CHANNELS if tiles > 1 else channels, -(-group_channels // MOST_BLOCKS))
    blocks = -(-threads * TASKS_PER_THREAD // max(geometry.batch * tiles, 1))
    wanted = max(least, -(-group_channels // blocks))
    return min(-(-wanted // channels) * channels, group_channels)


def equal_part(total: int, limit: int, multiple: int = 1) -> int:
    """Return the size of the parts when `total` is cut into as few equal parts of at most `limit` as possible.

    All but the last are rounded up to a multiple.
    """
    parts = -(-total // limit)
    part = -(-total // parts)
    return min(-(-part // multiple) * multiple, total)


def largest_gemm(tiling: Tiling) -> int:
    """Return the number of multiplications in the largest call of BLAS."""
    return tiling.pixels * tiling.channels * tiling.taps
