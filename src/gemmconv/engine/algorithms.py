"""Algorithms: the ways to compute each operation, and which one is taken.

A way is one C kernel, or several, for one geometry, with its estimated time. One function of `WAYS` lists the ways of
each operation, and `pick` takes the fastest.

The choice for a convolution or an input gradient sees the geometry of one image, never the batch or the number of
threads, so that an image gives the same bits in any batch. A weight gradient sums over the batch, so its choice sees
that; but not the number of threads.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any, NamedTuple

from .._gemmconv import InputGradient, Phases, Problem, WeightGradient
from ..checks.geometry import Geometry
from ..checks.options import raise_undefined
from . import costs
from .blas import may_start_threads
from .kernels import CONVOLUTION, INPUT_GRADIENT, WEIGHT_GRADIENT, Kernel, that_fit
from .phases import Cut, count_bands, cut_into_phases
from .tiling import Tiling, largest_gemm


class Built(NamedTuple):
    """What runs a way, for one geometry and type."""

    problem: Any
    """A `Problem`, or what computes a gradient."""
    tiling: Tiling | None
    limits_blas: bool
    """Whether BLAS must be limited to one thread meanwhile."""


class Way(NamedTuple):
    """One means of computing one operation for one geometry."""

    algorithm: str
    """Its name for users, which several ways may share."""
    kernel: str
    """Its name in C."""
    why: str
    """What speaks for it."""
    nanoseconds: float
    """Its estimated time for one image on one thread, with weights that are laid out."""
    layout_nanoseconds: float
    """The estimated time to lay the weights out."""
    build: Callable[..., Built]
    """(geometry, itemsize, threads, relu=False) -> what runs it."""

    @property
    def name(self) -> str:
        """A name for developers that no other way of the operation has."""
        return f"{self.algorithm}-{self.kernel}"


def ways_of_convolution(geometry: Geometry) -> list[Way]:
    """Return all ways to compute a convolution."""
    counts = costs.Counts(geometry)
    return [
        Way(
            kernel.algorithm,
            kernel.name,
            kernel.why,
            kernel.nanoseconds(counts),
            kernel.layout_nanoseconds(counts),
            partial(build_convolution, kernel),
        )
        for kernel in that_fit(CONVOLUTION, geometry)
    ]


def ways_of_input_gradient(geometry: Geometry) -> list[Way]:
    """Return all ways to compute the gradient of the input of a convolution.

    One is by BLAS. Without stride the others are convolutions of the output's gradient with the turned weight; with
    stride there is one by phases.
    """
    one = replace(geometry, batch=1)
    kernel = INPUT_GRADIENT
    nanoseconds = kernel.nanoseconds(costs.Counts(one))
    ways = [Way(kernel.algorithm, kernel.name, kernel.why, nanoseconds, 0.0, build_input_gradient)]
    if geometry.stride == (1, 1, 1):
        turned = one.turned()
        turning = costs.turning(costs.Counts(turned))
        # of two products by BLAS, the one above is the better
        ways += [
            way._replace(layout_nanoseconds=way.layout_nanoseconds + turning, build=partial(build_turned, way.build))
            for way in ways_of_convolution(turned)
            if way.kernel != "gemm_conv"
        ]
    elif cut := cut_into_phases(one):
        ways.append(
            Way(
                "direct",
                "phases",
                "a convolution for each remainder of the stride, in registers",
                costs.phases(one, cut, count_bands(cut)),
                costs.phases_layout(one, cut),
                partial(build_phases, cut),
            )
        )
    return ways


def ways_of_weight_gradient(geometry: Geometry) -> list[Way]:
    """Return all ways to compute the gradient of the weight of a convolution."""
    counts = costs.Counts(geometry)
    return [
        Way(
            kernel.algorithm,
            kernel.name,
            kernel.why,
            kernel.nanoseconds(counts),
            0.0,
            partial(build_weight_gradient, kernel),
        )
        for kernel in that_fit(WEIGHT_GRADIENT, geometry)
    ]


WAYS: dict[str, Callable[[Geometry], list[Way]]] = {
    "convolution": ways_of_convolution,
    "input_gradient": ways_of_input_gradient,
    "weight_gradient": ways_of_weight_gradient,
}


def pick(
    operation: str, geometry: Geometry, algorithm: str = "auto", *, prepared: bool = False, wish: bool = False
) -> Way:
    """Return the way that an operation takes for a geometry.

    `prepared` tells whether weights are laid out once for many calls. Where the algorithm is only a wish, it may be
    another if it is not defined. An algorithm by name is the same way in every case: a plan gives what the call that
    names its algorithm gives.
    """
    ways = WAYS[operation](geometry)
    names = [way.algorithm for way in ways]
    if algorithm not in names:
        if algorithm != "auto" and not wish:
            raise_undefined(algorithm, operation, names)
        algorithm = min(ways, key=_time_of_prepared if prepared else _time_of_call).algorithm
    return min([way for way in ways if way.algorithm == algorithm], key=_time_of_prepared)


def _time_of_prepared(way: Way) -> float:
    return way.nanoseconds


def _time_of_call(way: Way) -> float:
    return way.nanoseconds + way.layout_nanoseconds


def defined_algorithms(geometry: Geometry, operation: str = "convolution") -> tuple[str, ...]:
    """Return the names of the algorithms that can compute an operation."""
    return tuple(dict.fromkeys(way.algorithm for way in WAYS[operation](geometry)))


def build_convolution(
    kernel: Kernel, geometry: Geometry, itemsize: int, threads: int = 1, relu: bool = False, turned: bool = False
) -> Built:
    """Return what runs a convolution; with `turned` its weight is that of the one whose input gradient it is."""
    tiling = kernel.tiling(geometry, itemsize, threads)
    exact = None
    if kernel.name == "winograd":  # an image with a result that is not finite is computed anew
        one = replace(geometry, batch=1)
        exact = pick("convolution", one, "direct").build(one, itemsize, threads, relu, turned).problem
    problem = Problem(geometry, itemsize, tiling, relu, kernel.name, exact, turned)
    return Built(problem, tiling, may_start_threads(largest_gemm(tiling)))


def build_turned(build: Callable[..., Built], geometry: Geometry, itemsize: int, threads: int = 1) -> Built:
    """Return what runs the input gradient of a convolution without stride: the convolution that `build` builds."""
    return build(geometry.turned(), itemsize, threads, turned=True)


def build_input_gradient(geometry: Geometry, itemsize: int, threads: int = 1) -> Built:
    """Return what runs the gradient of an input by BLAS."""
    tiling = INPUT_GRADIENT.tiling(geometry, itemsize, threads)
    return Built(InputGradient(geometry, itemsize, tiling), tiling, may_start_threads(largest_gemm(tiling)))


def build_phases(cut: Cut, geometry: Geometry, itemsize: int, _threads: int = 1) -> Built:
    """Return what runs the gradient of an input by phases."""
    return Built(Phases(geometry, itemsize, cut), None, limits_blas=False)


def build_weight_gradient(kernel: Kernel, geometry: Geometry, itemsize: int, threads: int = 1) -> Built:
    """Return what runs the gradient of a weight."""
    tiling = kernel.tiling(geometry, itemsize, threads)
    exact = None
    if kernel.name == "weight_gradient_pixels":
        # What is not finite meets zeros there that the definition does not have: then it is computed anew.
        channels = next(other for other in WEIGHT_GRADIENT if other.name == "weight_gradient_channels")
        exact = build_weight_gradient(channels, geometry, itemsize).problem
    problem = WeightGradient(geometry, itemsize, tiling, kernel.name, exact)
    return Built(problem, tiling, may_start_threads(largest_gemm(tiling), transposed=True))
