"""Algorithms: how a convolution is cut into tiles.

What is chosen here depends on the geometry of one image, on the type and on the machine, never on the batch size, so
that an image gives the same bits in any batch.
"""

from __future__ import annotations

from typing import NamedTuple

from .geometry import Geometry
from .threads import gemm_path

CACHE_LINE = 64


class Tiling(NamedTuple):
    """How the tile loop cuts ``Y = K @ P`` of one image and group; ``csrc/gemm_conv.h`` draws it."""

    pixels: int
    panel: int
    channels: int
    taps: int


class TileLimits(NamedTuple):
    """The largest tile for one way in which BLAS multiplies, in bytes where the type matters."""

    pixel_bytes: int
    channels: int
    taps: int
    panel_bytes: int


# By the path that gemm takes (threads.gemm_path). GFLOP/s of one Zen 4 core, float32, peak 117.
TILE_LIMITS = {
    # OpenBLAS's kernels for small matrices pack nothing: 128 pixels x 32 channels x 244 taps is just inside their
    # window of 1e6 multiplications (in float64 64 x 32 x 244 is within). 3x3 256->256 on 56x56: 108, where 128 x 64 x
    # 122 gives 106 and the tiles of the row below 96.
    "small": TileLimits(pixel_bytes=512, channels=32, taps=244, panel_bytes=512 * 1024),
    # Elsewhere gemm packs both operands on every call, which pays when each is used often: all channels at once, and
    # more pixels. The same layer on an AVX2 core: 95, with 128 x 64 x 122 only 71.
    "packing": TileLimits(pixel_bytes=2048, channels=1 << 20, taps=256, panel_bytes=512 * 1024),
}


def choose_tiling(geometry: Geometry, itemsize: int, path: str | None = None) -> Tiling:
    """Return the tiling of a convolution: equal parts, as large as the limits allow.

    `path` is a key of TILE_LIMITS; by default the one that this machine's BLAS takes.
    """
    limits = TILE_LIMITS[gemm_path() if path is None else path]
    pixels = equal_part(geometry.out_pixels, limits.pixel_bytes // itemsize, CACHE_LINE // itemsize)
    taps = equal_part(geometry.reduction_length, limits.taps)
    panel = limits.panel_bytes // (pixels * itemsize) // taps * taps
    return Tiling(
        pixels=pixels,
        panel=min(max(panel, taps), geometry.reduction_length),
        channels=min(limits.channels, geometry.out_channels // geometry.groups),
        taps=taps,
    )


def equal_part(total: int, limit: int, multiple: int = 1) -> int:
    """Return the size of the parts when `total` is cut into as few equal parts of at most `limit` as possible.

    All but the last are rounded up to a multiple, of which `limit` must be one.
    """
    parts = -(-total // limit)
    part = -(-total // parts)
    return min(-(-part // multiple) * multiple, total)


def largest_gemm(tiling: Tiling) -> int:
    """Return the number of multiplications in the largest call of BLAS."""
    return tiling.pixels * tiling.channels * tiling.taps
