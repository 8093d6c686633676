"""Gradient algorithms: what ``algorithm=`` may name for gradients, and what ``"auto"`` takes for which geometry.

As with convolutions, the choice depends on the geometry of one image alone.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import NamedTuple

from .._gemmconv import InputGradient, Phases, WeightGradient
from ..checks.geometry import Geometry
from ..turned import Turned
from . import costs
from .algorithms import NEEDS, Method, defined_methods, problem_of
from .blas import may_start_threads
from .phases import Cut, cut_into_phases, phases_layout_nanoseconds, phases_nanoseconds
from .tiling import (
    Tiling,
    choose_direct_tiling,
    choose_input_gradient_tiling,
    choose_weight_gradient_tiling,
    largest_gemm,
)

# The kernel of a convolution that the gradient has a better way for.
MULTIPLIES_PATCHES = "gemm_conv"

# The kernel of a weight gradient in which what is not finite meets zeros that the definition does not have: then the
# gradient is computed anew by another.
MULTIPLIES_ZEROS = "weight_gradient_pixels"
MULTIPLIES_NO_ZEROS = "weight_gradient_channels"

# What computes the gradient of an input.
InputGradientProblem = InputGradient | Turned | Phases


class InputGradientWay(NamedTuple):
    """One way to compute the gradient of an input."""

    algorithm: str
    kernel: str
    """The kernel of the C layer."""
    nanoseconds: float
    """For one image on one thread, with weights that are laid out."""
    layout_nanoseconds: float
    build: Callable[[Geometry, int, int], tuple[InputGradientProblem, bool]]
    """(geometry, itemsize, threads) -> the problem, and whether BLAS has to be limited to one thread."""


class WeightGradientMethod(NamedTuple):
    """One kernel of the C layer for the gradient of a weight."""

    algorithm: str
    kernel: str
    defined: Callable[[Geometry], bool]
    cost: Callable[[costs.Counts], float]
    """How long it takes; see costs.py."""
    tiling: Callable[[Geometry, int], Tiling]

    def nanoseconds(self, geometry: Geometry) -> float:
        """Return how long it takes on one thread."""
        return self.cost(costs.Counts(geometry)) * geometry.operations


WEIGHT_GRADIENT_METHODS = (
    WeightGradientMethod(
        algorithm="gemm",
        kernel="weight_gradient_gemm",
        defined=lambda _geometry: True,
        cost=costs.weight_gradient_gemm,
        tiling=choose_weight_gradient_tiling,
    ),
    WeightGradientMethod(
        algorithm="direct",
        kernel="weight_gradient_channels",
        defined=lambda _geometry: True,
        cost=costs.weight_gradient_channels,
        tiling=choose_direct_tiling,
    ),
    WeightGradientMethod(
        algorithm="direct",
        kernel="weight_gradient_pixels",
        defined=lambda geometry: (
            WeightGradient(geometry, 8, choose_direct_tiling(geometry, 8), "weight_gradient_pixels").fits
        ),
        cost=costs.weight_gradient_pixels,
        tiling=choose_direct_tiling,
    ),
)


def _by_blas(geometry: Geometry, itemsize: int, threads: int) -> tuple[InputGradientProblem, bool]:
    del threads
    tiling = choose_input_gradient_tiling(geometry, itemsize)
    return InputGradient(geometry, itemsize, tiling), may_start_threads(largest_gemm(tiling))


def _as_convolution(
    method: Method, geometry: Geometry, itemsize: int, threads: int
) -> tuple[InputGradientProblem, bool]:
    problem, tiling = problem_of(method, geometry.turned(), itemsize, threads)
    return Turned(problem, replace(geometry, batch=1)), may_start_threads(largest_gemm(tiling))


def _by_phases(cut: Cut, geometry: Geometry, itemsize: int, threads: int) -> tuple[InputGradientProblem, bool]:
    del threads
    return Phases(geometry, itemsize, cut), False


def input_gradient_ways(geometry: Geometry) -> list[InputGradientWay]:
    """Return all ways to compute the gradient of an input.

    They are by BLAS; without stride, as a convolution with the turned weight; and with stride, by phases. They do not
    depend on the batch, so that weights laid out for one serve any other.
    """
    one = replace(geometry, batch=1)
    nanoseconds = costs.input_gradient_gemm(costs.Counts(one)) * one.operations
    ways = [InputGradientWay("gemm", "input_gradient", nanoseconds, 0.0, _by_blas)]
    if geometry.stride == (1, 1, 1):
        ways += _convolutions(one.turned())
    elif cut := cut_into_phases(one):
        times = phases_nanoseconds(one, cut), phases_layout_nanoseconds(one, cut)
        ways.append(InputGradientWay("direct", "phases", *times, partial(_by_phases, cut)))
    return ways


def _convolutions(turned: Geometry) -> list[InputGradientWay]:
    """Return the ways of a turned convolution of one image."""
    counts, operations = costs.Counts(turned), turned.operations
    return [
        InputGradientWay(
            method.algorithm,
            method.kernel,
            method.cost(counts) * operations,
            (method.layout_cost(counts) + costs.turning(counts)) * operations,
            partial(_as_convolution, method),
        )
        for method in defined_methods(turned)
        if method.kernel != MULTIPLIES_PATCHES
    ]


def choose_input_gradient(geometry: Geometry, algorithm: str, *, prepared: bool = False) -> InputGradientWay:
    """Return how the gradient of an input is computed.

    `prepared` tells whether weights are laid out once, by a plan, whose algorithm is a wish. An algorithm by name is
    computed in the same way in both cases.
    """
    ways = input_gradient_ways(geometry)
    if algorithm == "auto" or (prepared and algorithm not in [way.algorithm for way in ways]):
        best = min(ways, key=lambda way: way.nanoseconds + (0 if prepared else way.layout_nanoseconds))
        algorithm = best.algorithm
    named = [way for way in ways if way.algorithm == algorithm]
    if not named:
        raise_undefined(algorithm, [way.algorithm for way in ways], NEEDS[algorithm])
    return min(named, key=lambda way: way.nanoseconds)


def choose_weight_gradient(geometry: Geometry, algorithm: str, *, wished: bool = False) -> WeightGradientMethod:
    """Return the kernel that computes the gradient of a weight; where the algorithm is a wish, it may be another."""
    counts = costs.Counts(geometry)
    methods = [method for method in WEIGHT_GRADIENT_METHODS if method.defined(geometry)]
    named = [method for method in methods if algorithm in ("auto", method.algorithm)]
    if wished and not named:
        named = methods
    if not named:
        need = "a gradient of the weight knows 'gemm' and 'direct'"
        raise_undefined(algorithm, [method.algorithm for method in methods], need)
    return min(named, key=lambda method: method.cost(counts))


def raise_undefined(algorithm: str, others: list[str], need: str) -> None:
    """Raise for an algorithm that cannot compute a gradient."""
    names = ", ".join(map(repr, dict.fromkeys(others)))
    raise ValueError(
        f"algorithm={algorithm!r} is not defined for this gradient (or transposed convolution), only {names} "
        f"and 'auto'; rule: {need}"
    )


def weight_gradient_problem(
    method: WeightGradientMethod, geometry: Geometry, itemsize: int
) -> tuple[WeightGradient, bool]:
    """Return what the C layer needs for the gradient of a weight, and whether BLAS has to be limited to one thread."""
    tiling = method.tiling(geometry, itemsize)
    exact = None
    if method.kernel == MULTIPLIES_ZEROS:
        by_channels = next(other for other in WEIGHT_GRADIENT_METHODS if other.kernel == MULTIPLIES_NO_ZEROS)
        exact, _ = weight_gradient_problem(by_channels, geometry, itemsize)
    problem = WeightGradient(geometry, itemsize, tiling, method.kernel, exact)
    return problem, may_start_threads(largest_gemm(tiling), transposed=True)
