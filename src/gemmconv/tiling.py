"""Tiling: how the tile loop cuts a convolution into tasks, and tasks into calls of BLAS.

What is chosen here depends on the geometry of one image, on the type and on the machine, never on the batch size, so
that an image gives the same bits in any batch.
"""

from __future__ import annotations

from math import inf
from typing import NamedTuple

from .blas import gemm_path
from .geometry import Geometry


class Tiling(NamedTuple):
    """How the tile loop cuts ``Y = K @ P`` of one image and group; ``csrc/gemm_conv.h`` draws it."""

    pixels: int
    """Output positions of a task."""
    block: int
    """Output channels of a task."""
    panel: int
    """Rows of P packed at a time."""
    channels: int
    """Output channels of a call of BLAS."""
    taps: int
    """Rows of P of a call of BLAS."""


class Call(NamedTuple):
    """The largest call of BLAS for images of up to a number of pixels."""

    largest_image: float
    pixels: int
    channels: int
    taps: int


class Path(NamedTuple):
    """What suits one of the ways in which BLAS multiplies."""

    calls: tuple[Call, ...]
    multiple: int
    """Of pixels: what a tile is rounded up to."""
    tasks: int
    """An image is cut into about so many tasks at least, for the threads of a machine."""
    least_channels: int
    """Of a task that shares its tile of pixels with others, because each packs the tile for itself."""


# By the path that gemm takes (blas.gemm_path). The figures are GFLOP/s of one Zen 4 core in float32, peak 117.
PATHS = {
    # OpenBLAS's kernels for small matrices pack nothing; they take up to 1e6 multiplications and like multiples of 64
    # pixels. Within that window the shape matters little (3x3 128->128 on 28x28: 128 x 32 x 244 gives 104, 128 x 128 x
    # 61 gives 102.5), so small images get small tiles for more tasks. Larger tiles leave the window and give 96 where
    # these give 108 (3x3 256->256 on 56x56). A panel for 128 channels costs a tenth of their multiplication.
    "small": Path(
        (
            # A tile that is no multiple of 64; more channels make up for it: 512->512 on 7x7: 100.7 instead of 96.5.
            Call(56, pixels=56, channels=128, taps=139),
            Call(2048, pixels=64, channels=64, taps=244),
            Call(inf, pixels=128, channels=32, taps=244),
        ),
        multiple=64,
        tasks=16,
        least_channels=128,
    ),
    # Elsewhere gemm packs both operands on every call, which pays when each is used often: many channels and many
    # pixels. 3x3 256->256 on 56x56 with AVX2: 95, with the tiles above 71. Pixels are packed twice, by im2col and by
    # gemm: 1x1 256->1024 on 14x14 gives 106 with all channels in one task, 88 with blocks of 64. And each call takes a
    # lock: with tasks half as large two threads gain 1.2 to 1.5 instead of 1.5 to 1.7 on the layers of 56x56.
    "packing": Path(
        (
            Call(1024, pixels=256, channels=1 << 20, taps=256),
            Call(inf, pixels=512, channels=1 << 20, taps=256),
        ),
        multiple=16,
        tasks=4,
        least_channels=256,
    ),
}

# Each block of channels packs its tile again, which this bounds: 1x1 1024->2048 with stride 2 on 14x14 gives 88 with 16
# blocks, 100 with 4.
MOST_BLOCKS = 4
# A panel fills half of a second-level cache of 1 MiB.
PANEL_BYTES = 512 * 1024


def choose_tiling(geometry: Geometry, itemsize: int, path: str | None = None) -> Tiling:
    """Return the tiling of a convolution.

    `path` is a key of PATHS; by default the one that this machine's BLAS takes.
    """
    limits = PATHS[gemm_path() if path is None else path]
    call = next(row for row in limits.calls if geometry.out_pixels <= row.largest_image)
    pixels = equal_part(geometry.out_pixels, call.pixels, limits.multiple)
    taps = equal_part(geometry.reduction_length, call.taps)
    panel = PANEL_BYTES // (pixels * itemsize) // taps * taps

    channels = geometry.out_channels // geometry.groups
    tiles = geometry.groups * -(-geometry.out_pixels // pixels)
    wanted = -(-limits.tasks // tiles)
    if geometry.reads_image_in_place:  # nothing is packed by im2col
        blocks = min(wanted, -(-channels // min(limits.least_channels, call.channels)))
    else:
        # an image of a single tile has no other tasks
        least = limits.least_channels // (2 if tiles == 1 else 1)
        blocks = max(min(wanted, MOST_BLOCKS, channels // least), 1)
    block = -(-channels // blocks)
    return Tiling(
        pixels=pixels,
        block=block,
        panel=min(max(panel, taps), geometry.reduction_length),
        channels=min(call.channels, block),
        taps=taps,
    )


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
