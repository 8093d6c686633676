"""Algorithms: what ``algorithm=`` may name, and what ``"auto"`` takes for which geometry.

The costs (costs.py) see the geometry of one image, never the batch size or the number of threads, so that an image
gives the same bits in any batch.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from math import prod
from typing import NamedTuple

from .._gemmconv import Problem
from ..checks.geometry import Geometry
from . import costs
from .tiling import Tiling, choose_direct_tiling, choose_tiling, choose_winograd_tiling

LARGEST_SCRATCH = 2 << 20


class Method(NamedTuple):
    """One kernel of the C layer, and what decides about taking it."""

    algorithm: str
    """Its name for users, which several kernels may share."""
    kernel: str
    """Its name in C."""
    why: str
    """What speaks for it."""
    defined: Callable[[Geometry], bool]
    """Whether it can compute a convolution."""
    cost: Callable[[costs.Counts], float]
    """How long it takes; see costs.py."""
    tiling: Callable[[Geometry, int, int], Tiling]
    """How it cuts a geometry, for elements of so many bytes and so many threads."""
    layout_cost: Callable[[costs.Counts], float]
    """How long it takes to lay the weights out, which a plan does once, and every other call."""


def _has_channels_in_lanes(geometry: Geometry) -> bool:
    """Tell whether direct_channels keeps to its scratch: what a row of one channel takes, and sums for all channels."""
    columns = min(geometry.out_size[2], 256) * geometry.stride[2] + geometry.kernel[2] * geometry.dilation[2]
    packed = geometry.kernel[0] * geometry.kernel[1] * columns
    return packed <= 65536 and geometry.out_channels // geometry.groups <= 6144 and prod(geometry.kernel) <= 4096


def _is_3x3(geometry: Geometry) -> bool:
    """Tell whether the kernel is 3x3, or 1x3, and stride and dilation are 1."""
    flat = geometry.in_size[0] == geometry.out_size[0] == geometry.kernel[0] == 1 and geometry.pad_before[0] == 0
    height = geometry.kernel[1] == 1 or (geometry.kernel[1] == 3 and geometry.dilation[1] == 1)
    width = geometry.kernel[2] == 3 and geometry.dilation[2] == 1
    return flat and height and width and geometry.stride[1:] == (1, 1)


METHODS: tuple[Method, ...] = (
    Method(
        algorithm="gemm",
        kernel="gemm_conv",
        why="the product of the kernel matrix and patches, tile by tile",
        defined=lambda _geometry: True,
        cost=costs.gemm_conv,
        tiling=choose_tiling,
        layout_cost=lambda _counts: 0.0,
    ),
    Method(
        algorithm="direct",
        kernel="direct_channels",
        why="the sums of many output channels at a time, in registers",
        defined=_has_channels_in_lanes,
        cost=costs.direct_channels,
        tiling=choose_direct_tiling,
        layout_cost=costs.direct_layout,
    ),
    Method(
        algorithm="direct",
        kernel="direct_pixels",
        why="the sums of many output positions at a time, in registers",
        defined=lambda geometry: geometry.reduction_length <= 4096,
        cost=costs.direct_pixels,
        tiling=choose_direct_tiling,
        layout_cost=costs.direct_layout,
    ),
    Method(
        algorithm="direct",
        kernel="depthwise",
        why="each row of the input read once for all rows of the output that need it: for one input channel per group",
        defined=lambda geometry: (
            geometry.in_channels == geometry.groups
            and Problem(geometry, 8, kernel="depthwise").scratch_bytes <= LARGEST_SCRATCH
        ),
        cost=costs.depthwise,
        tiling=choose_direct_tiling,
        layout_cost=costs.direct_layout,
    ),
    Method(
        algorithm="winograd",
        kernel="winograd",
        why="a quarter of the multiplications of a 3x3 kernel, by Winograd's algorithm",
        defined=lambda geometry: _is_3x3(geometry) and _has_channels_in_lanes(geometry),
        cost=costs.winograd,
        tiling=choose_winograd_tiling,
        layout_cost=costs.winograd_layout,
    ),
    Method(
        algorithm="winograd2",
        kernel="winograd",
        why="less than half of the multiplications of a 3x3 kernel, by Winograd's algorithm with small tiles",
        defined=lambda geometry: _is_3x3(geometry) and _has_channels_in_lanes(geometry),
        cost=partial(costs.winograd, sides=(2,)),
        tiling=partial(choose_winograd_tiling, sides=(2,)),
        layout_cost=partial(costs.winograd_layout, sides=(2,)),
    ),
)

ALGORITHMS = tuple(dict.fromkeys(method.algorithm for method in METHODS))


def estimated_nanoseconds(method: Method, geometry: Geometry) -> float:
    """Return how long a method takes on one thread."""
    return method.cost(costs.Counts(geometry)) * geometry.operations


def name_of(method: Method) -> str:
    """Return a name for developers that no other method has."""
    return f"{method.algorithm}-{method.kernel}"


def problem_of(
    method: Method, geometry: Geometry, itemsize: int, threads: int = 1, relu: bool = False
) -> tuple[Problem, Tiling]:
    """Return what the C layer needs to compute a convolution by a method, and how it is cut."""
    tiling = method.tiling(geometry, itemsize, threads)
    exact = None
    if method.kernel == "winograd":
        one = replace(geometry, batch=1)
        exact, _ = problem_of(choose(one, "direct"), one, itemsize, threads, relu)
    return Problem(geometry, itemsize, tiling, relu, method.kernel, exact), tiling


# What the algorithms need that are not defined for every convolution.
_WINOGRAD_NEEDS = "kernel 3x3 or 1x3 (or 3 in 1-D), stride and dilation 1, one or two axes"
NEEDS = {
    "direct": "at most 4096 taps in a kernel, which span no more than some 10000 positions of a row",
    "winograd": _WINOGRAD_NEEDS,
    "winograd2": _WINOGRAD_NEEDS,
}


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
    counts = costs.Counts(geometry)
    ways = [
        (method.cost(counts), number)
        for number, method in enumerate(METHODS)
        if algorithm in ("auto", method.algorithm) and method.defined(geometry)
    ]
    if algorithm == "auto":
        calls = ways if prepared else [(cost + METHODS[number].layout_cost(counts), number) for cost, number in ways]
        algorithm = METHODS[min(calls)[1]].algorithm
        ways = [way for way in ways if METHODS[way[1]].algorithm == algorithm]
    if ways:
        return METHODS[min(ways)[1]]
    others = ", ".join(map(repr, defined_algorithms(geometry)))
    raise ValueError(
        f"algorithm={algorithm!r} is not defined for this convolution, only {others} and 'auto'; "
        f"rule: {NEEDS[algorithm]}"
    )
