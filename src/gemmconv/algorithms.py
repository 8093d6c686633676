"""Algorithms: what ``algorithm=`` may name, and what ``"auto"`` takes for which geometry.

The rules see the geometry of one image, never the batch size or the number of threads, so that an image gives the same
bits in any batch.
"""

from __future__ import annotations

from collections.abc import Callable
from math import prod
from typing import NamedTuple

from .geometry import Geometry
from .tiling import Tiling, choose_direct_tiling, choose_tiling


class Method(NamedTuple):
    """One kernel of the C layer, and when to take it."""

    algorithm: str
    """Its name for users, which several kernels may share."""
    kernel: str
    """Its name in C."""
    defined: Callable[[Geometry], bool]
    """Whether it can compute a convolution."""
    wins: Callable[[Geometry, bool], bool]
    """Whether "auto" takes it, where no method above it in the table wins; the second argument tells whether the
    weights are laid out once for many calls."""
    why: str
    """What speaks for it."""
    tiling: Callable[[Geometry, int, int], Tiling]
    """How it cuts a geometry, for elements of so many bytes and so many threads."""


def _group_channels(geometry: Geometry) -> int:
    return geometry.out_channels // geometry.groups


def _packs_within_scratch(geometry: Geometry) -> bool:
    """Tell whether what one output row reads of one channel is no larger than what direct_channels packs at a time."""
    height, width = geometry.kernel[0] * geometry.kernel[1], geometry.kernel[2]
    columns = min(geometry.out_size[2], 256) * geometry.stride[2] + width * geometry.dilation[2]
    return 2 * height * columns <= 65536 and prod(geometry.kernel) <= 4096


METHODS = (
    Method(
        algorithm="direct",
        kernel="direct_pixels",
        defined=lambda geometry: geometry.reduction_length <= 4096,
        wins=lambda geometry, _prepared: geometry.in_channels // geometry.groups <= 8,
        why="the sums of many outputs in registers: for few input channels",
        tiling=choose_direct_tiling,
    ),
    Method(
        algorithm="direct",
        kernel="direct_channels",
        defined=_packs_within_scratch,
        wins=lambda geometry, prepared: (
            prod(geometry.kernel) > 1 and _group_channels(geometry) >= 16 and (prepared or geometry.out_pixels >= 128)
        ),
        why="the sums of many output channels in registers: for kernels of more than one tap",
        tiling=choose_direct_tiling,
    ),
    Method(
        algorithm="gemm",
        kernel="gemm_conv",
        defined=lambda _geometry: True,
        wins=lambda _geometry, _prepared: True,
        why="the product of the kernel matrix and patches, tile by tile: for every convolution",
        tiling=choose_tiling,
    ),
)

ALGORITHMS = tuple(dict.fromkeys(method.algorithm for method in reversed(METHODS)))


def check_algorithm(algorithm: object) -> str:
    """Return the name of an algorithm, or "auto"."""
    if not isinstance(algorithm, str):
        raise TypeError(f"algorithm must be a string, not {algorithm!r}")
    names = ["auto", *ALGORITHMS]
    if algorithm not in names:
        raise ValueError(f"algorithm must be one of {', '.join(map(repr, names))}, not {algorithm!r}")
    return str(algorithm)


def defined_methods(geometry: Geometry) -> list[Method]:
    """Return the methods that can compute a convolution."""
    return [method for method in METHODS if method.defined(geometry)]


def defined_algorithms(geometry: Geometry) -> tuple[str, ...]:
    """Return the names of the algorithms that can compute a convolution."""
    return tuple(dict.fromkeys(method.algorithm for method in defined_methods(geometry)))


def choose(geometry: Geometry, algorithm: str = "auto", prepared: bool = False) -> Method:
    """Return how a convolution is computed; `prepared` tells whether weights are laid out once for many calls.

    An algorithm by name is the same kernel in both cases: a plan gives what the call that names its algorithm gives.
    """
    methods = defined_methods(geometry)
    if algorithm == "auto":
        algorithm = next(method.algorithm for method in methods if method.wins(geometry, prepared))
    named = [method for method in methods if method.algorithm == algorithm]
    if named:
        return next((method for method in named if method.wins(geometry, True)), named[0])
    others = ", ".join(map(repr, defined_algorithms(geometry)))
    raise ValueError(f"algorithm={algorithm!r} is not defined for this convolution, only {others} and 'auto'")
