"""Algorithms: which of the ways to compute an operation is taken.

A way is a means of computing one operation for one geometry, with its estimated time. ways.py has those by C kernels,
channels_last_ways.py those for arrays with channels last, and this file those by Fourier transforms. `pick` takes the
fastest.

For a convolution or an input gradient, the choice depends on the geometry of one image. It must not depend on the
batch or on the number of threads, so that an image gives the same bits in any batch. A weight gradient is a sum over
the batch, so there the choice depends on the batch size too, but not on the number of threads.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from math import inf, prod
from typing import Any

from ..checks.geometry import Geometry
from ..checks.options import raise_undefined
from . import costs, fft_costs
from .channels_last_ways import with_channels_last
from .counts import Counts
from .empty import Empty
from .fft_cut import fft_cut, roundings
from .kernels import FFT, that_fit
from .scipy_fft_blocks import Blocks, Correlation, choose_blocks, correlation_of, least_nanoseconds
from .ways import (
    Built,
    Way,
    build_convolution,
    time_of_prepared,
    turned_way,
    way_of,
    ways_of_convolution,
    ways_of_input_gradient,
    ways_of_weight_gradient,
)

# The taps from which "auto" considers Fourier transforms.
LEAST_TAPS = 32


def way_of_empty(operation: str, algorithm: str, channels_last: bool) -> Way:
    """Return the way for arrays without elements, by the name of an algorithm."""

    def build(geometry: Geometry, _itemsize: int, _threads: int = 1, relu: bool = False) -> Built:
        return Built(Empty(geometry, channels_last, relu, operation == "input_gradient"), None, limits_blas=False)

    return Way(algorithm, "empty", "there is nothing to sum", 0.0, build, (), tuple)


def fft_ways(operation: str, geometry: Geometry, most: float = inf, fastest: float = inf) -> list[Way]:
    """Return the ways to compute an operation by fast Fourier transforms: those with at most `most` roundings.

    The C kernel is the faster one for few channels. The way by scipy.fft is defined for every geometry; it multiplies
    matrices where there are many channels. Its blocks take long to find. So it is left out if it cannot be faster than
    `fastest`, in nanoseconds.
    """
    turned = operation == "input_gradient"
    correlation = correlation_of(geometry, turned=turned)
    ways: list[Way] = []
    has_kernel = operation == "convolution" or (turned and geometry.stride == (1, 1, 1))
    if has_kernel:
        computed = replace(geometry, batch=1).turned() if turned else geometry
        has_kernel = bool(that_fit((FFT,), computed))
        if has_kernel and roundings(fft_cut(computed).elements, correlation.sources) <= most:
            way = way_of(FFT, Counts(computed), partial(build_convolution, FFT))
            ways.append(turned_way(way, computed) if turned else way)
    if (has_kernel and not correlation.has_matrices) or least_nanoseconds(correlation) >= fastest:
        return ways
    blocks = choose_blocks(correlation)
    if roundings(prod(blocks.length), correlation.sources) <= most:
        ways.append(scipy_fft_way(operation, geometry, correlation, blocks))
    return ways


def scipy_fft_way(operation: str, geometry: Geometry, correlation: Correlation, blocks: Blocks) -> Way:
    """Return the way to compute an operation by scipy.fft."""
    names = "fft", "scipy_fft", "products of fast Fourier transforms, by scipy.fft"
    work: costs.Work = (("scipy_fft", fft_costs.scipy_fft(correlation, blocks)),)
    layout_work: costs.Work = (("scipy_fft_layout", fft_costs.scipy_fft_layout(correlation, blocks)),)
    if operation == "weight_gradient":  # the sums are transformed back, once for the batch
        (kernel, terms), batch = layout_work[0], max(geometry.batch, 1)
        work, layout_work = (*work, (kernel, {name: count / batch for name, count in terms.items()})), ()
    build = partial(build_scipy_fft, operation)
    return Way(*names, costs.nanoseconds(work), build, work, lambda: layout_work)


WAYS: dict[str, Callable[[Geometry], list[Way]]] = {
    "convolution": ways_of_convolution,
    "input_gradient": ways_of_input_gradient,
    "weight_gradient": ways_of_weight_gradient,
}


def candidates(
    operation: str, geometry: Geometry, *, promising: bool = False, channels_last: bool = False
) -> list[Way]:
    """Return the ways among which "auto" chooses.

    They are all ways, but those by Fourier transforms only where their bound, in the norm of a block, is not above that
    of one long sum. Kernels with few taps are left out without a search for blocks, because there transforms are slow.
    With `promising`, a way whose blocks take long to find is left out where it cannot be the fastest.
    """
    if geometry.is_empty:
        return [way_of_empty(operation, "direct", channels_last)]
    ways, taps = WAYS[operation](geometry), prod(geometry.kernel)
    if channels_last:
        ways = with_channels_last(operation, geometry, ways)
    if taps < LEAST_TAPS:
        return ways
    terms = {
        "convolution": geometry.in_channels // geometry.groups * taps,
        "input_gradient": geometry.out_channels // geometry.groups * taps,
        "weight_gradient": geometry.out_pixels,
    }
    fastest = min([way.nanoseconds for way in ways]) if promising else inf
    by_fft = fft_ways(operation, geometry, terms[operation] + 2, fastest)
    return [*ways, *(with_channels_last(operation, geometry, by_fft, ()) if channels_last else by_fft)]


def pick(
    operation: str,
    geometry: Geometry,
    algorithm: str = "auto",
    *,
    prepared: bool = False,
    wish: bool = False,
    channels_last: bool = False,
) -> Way:
    """Return the way by which an operation is computed for a geometry.

    `prepared` says that weights are laid out once for many calls, so that the layout costs nothing. `wish` says that
    `algorithm` may be replaced by the fastest if it is not defined; otherwise that raises.
    """
    if geometry.is_empty:
        return way_of_empty(operation, "direct" if algorithm == "auto" else algorithm, channels_last)
    if algorithm == "fft":
        by_fft = fft_ways(operation, geometry)
        return way_of_each_algorithm(with_channels_last(operation, geometry, by_fft, ()) if channels_last else by_fft)[
            "fft"
        ]
    ways = way_of_each_algorithm(candidates(operation, geometry, promising=True, channels_last=channels_last))
    if algorithm in ways:
        return ways[algorithm]
    if algorithm != "auto" and not wish:
        raise_undefined(algorithm, operation, [*ways, "fft"])
    return min(ways.values(), key=time_of_prepared if prepared else _time_of_call)


def way_of_each_algorithm(ways: list[Way]) -> dict[str, Way]:
    """Return the way that the name of each algorithm means: its fastest, if weights are laid out already.

    A function and a plan take the same way for a name, whatever the layout costs the function. So a plan gives the same
    bits as a function with the name of the plan's algorithm.
    """
    taken: dict[str, Way] = {}
    for way in ways:
        if way.algorithm not in taken or way.nanoseconds < taken[way.algorithm].nanoseconds:
            taken[way.algorithm] = way
    return taken


def _time_of_call(way: Way) -> float:
    return way.nanoseconds + way.layout_nanoseconds


def defined_algorithms(geometry: Geometry, operation: str = "convolution") -> tuple[str, ...]:
    """Return the names of the algorithms that can compute an operation."""
    return tuple(dict.fromkeys([*[way.algorithm for way in WAYS[operation](geometry)], "fft"]))


def build_scipy_fft(operation: str, geometry: Geometry, itemsize: int, _threads: int = 1, relu: bool = False) -> Built:
    """Return the object that runs an operation by scipy.fft."""
    from .scipy_fft import FftConvolution, FftWeightGradient  # few calls need what it imports

    def exact() -> tuple[Any, bool]:
        """Build what computes an image, or a weight gradient, whose result is not finite."""
        one = geometry if operation == "weight_gradient" else replace(geometry, batch=1)
        direct = "direct" in defined_algorithms(one, operation)
        way = pick(operation, one, "direct" if direct else "gemm")
        built = way.build(one, itemsize, 1, **({"relu": True} if relu else {}))
        return built.problem, built.limits_blas

    if operation == "weight_gradient":
        return Built(FftWeightGradient(geometry, itemsize, exact), None, limits_blas=False)
    turned = operation == "input_gradient"
    return Built(FftConvolution(geometry, itemsize, exact, relu=relu, turned=turned), None, limits_blas=False)
