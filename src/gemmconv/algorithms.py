"""Algorithms: what ``algorithm=`` may name, and what ``"auto"`` takes for which geometry.

The rules see the geometry of one image, never the batch size or the number of threads, so that an image gives the same
bits in any batch.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from .geometry import Geometry
from .tiling import Tiling, choose_tiling


class Algorithm(NamedTuple):
    """One way to compute a convolution."""

    wins: Callable[[Geometry], bool]
    """Whether "auto" takes it, where no algorithm above it in the table wins."""
    why: str
    """What speaks for it."""
    tiling: Callable[[Geometry, int, int], Tiling]
    """How it cuts a geometry, for elements of so many bytes and so many threads."""


ALGORITHMS = {
    # The product K @ P by BLAS, in tiles: defined for every geometry.
    "gemm": Algorithm(
        wins=lambda _geometry: True,
        why="the product of the kernel matrix and patches, tile by tile: for every convolution",
        tiling=choose_tiling,
    ),
}


def check_algorithm(algorithm: object) -> str:
    """Return the name of an algorithm, or "auto"."""
    if not isinstance(algorithm, str):
        raise TypeError(f"algorithm must be a string, not {algorithm!r}")
    names = ["auto", *ALGORITHMS]
    if algorithm not in names:
        raise ValueError(f"algorithm must be one of {', '.join(map(repr, names))}, not {algorithm!r}")
    return str(algorithm)


def choose(geometry: Geometry, algorithm: str = "auto") -> str:
    """Return the name of the algorithm that computes a convolution."""
    if algorithm != "auto":
        return algorithm
    return next(name for name, row in ALGORITHMS.items() if row.wins(geometry))
