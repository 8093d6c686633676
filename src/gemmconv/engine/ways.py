"""Ways: the means of computing an operation for a geometry by C kernels, and what builds the objects that run them.

A way is one C kernel or several, with its estimated time. For each operation, one function lists the ways; a new way is
added to its list. Those for arrays with channels last are in channels_last_ways.py. algorithms.py adds those by Fourier
transforms, and chooses.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from math import prod
from typing import Any, NamedTuple

from .._gemmconv import InputGradient, Phases, Problem, WeightGradient
from ..checks.geometry import Geometry
from . import costs
from .blas import may_start_threads
from .channels_last import MovedDefinition, WithChannelsFirst, moves_of_x, moves_of_y
from .counts import Counts
from .kernels import CHANNELS_LAST, CONVOLUTION, INPUT_GRADIENT, WEIGHT_GRADIENT, Kernel, that_fit
from .not_finite import Definition, reads_padding, watched_inputs, watched_outputs
from .phases import Cut, cut_for_threads, cut_into_phases, cut_with_channels_last, phases_layout_work, phases_work
from .tiling import Tiling, largest_gemm

# The kernels of a convolution that give the right infinities and NaNs where winograd and fft do not.
DIRECT_KERNELS = tuple(kernel for kernel in CONVOLUTION if kernel.algorithm == "direct")

# Those that multiply weights by all zeros of the padding, and call no BLAS.
MULTIPLY_ALL = frozenset({"panels", "direct_pixels", "depthwise"})

MULTIPLY_PADDING = tuple(kernel for kernel in CONVOLUTION if kernel.name in MULTIPLY_ALL)


class Built(NamedTuple):
    """The object that runs a way, for one geometry and type."""

    problem: Any
    """A `Problem`, `InputGradient`, `Phases` or `WeightGradient` of the compiled module, or of scipy_fft.py."""
    tiling: Tiling | None
    """How its work is cut; None for phases, whose classes have tilings, and for scipy_fft, im2col and col2im."""
    limits_blas: bool
    """Whether BLAS must be limited to one thread while it runs."""


class Way(NamedTuple):
    """One means of computing one operation for one geometry."""

    algorithm: str
    """The name for users, which several ways may share."""
    kernel: str
    """The name in C."""
    why: str
    """The reason to take it, as `Plan.describe` shows it."""
    nanoseconds: float
    """The estimated time for one image on one thread, with weights that are laid out already."""
    build: Callable[..., Built]
    """(geometry, itemsize, threads) -> the object that runs it. That of a convolution also takes `relu`."""
    work: costs.Work
    """What takes `nanoseconds`."""
    layout_work: Callable[[], costs.Work]
    """Returns what takes `layout_nanoseconds`. Most choices need it for a few ways only."""
    by_copies: bool = False
    """Whether the arrays have channels last, and are copied to arrays with channels first."""

    @property
    def layout_nanoseconds(self) -> float:
        """The estimated time to lay out the weights."""
        return costs.nanoseconds(self.layout_work())

    @property
    def name(self) -> str:
        """A name for developers; no other way of the operation has the same."""
        return f"{self.algorithm}-{self.kernel}"


def way_of(kernel: Kernel, counts: Counts, build: Callable[..., Built]) -> Way:
    """Return the way that consists of one C kernel."""
    work = kernel.work(counts)
    nanoseconds = costs.nanoseconds(work)
    return Way(kernel.algorithm, kernel.name, kernel.why, nanoseconds, build, work, partial(kernel.layout_work, counts))


def ways_of_convolution(geometry: Geometry, kernels: tuple[Kernel, ...] = CONVOLUTION) -> list[Way]:
    """Return all ways to compute a convolution, or those by some of the kernels."""
    counts = Counts(geometry)
    return [way_of(kernel, counts, partial(build_convolution, kernel)) for kernel in that_fit(kernels, geometry)]


def ways_of_kernels(kernels: tuple[Kernel, ...], geometry: Geometry) -> list[Way]:
    """Return the ways to compute a convolution of arrays with channels last, by kernels that take them as they are."""
    counts, fitting = Counts(geometry), that_fit(kernels, geometry, channels_last=True)
    return [way_of(kernel, counts, partial(build_convolution, kernel, channels_last=True)) for kernel in fitting]


def ways_of_input_gradient(geometry: Geometry) -> list[Way]:
    """Return all ways to compute the input gradient of a convolution.

    One way multiplies by BLAS. With stride 1 the others are convolutions of the gradient of the output with the turned
    weight: kernels reversed, channels swapped. With a larger stride the other way is by phases (phases.py), where that
    is defined.
    """
    one = replace(geometry, batch=1)
    ways = [way_of(INPUT_GRADIENT, Counts(one), build_input_gradient)]
    if geometry.stride == (1, 1, 1):
        turned = one.turned()
        for way in ways_of_convolution(turned):
            if way.kernel == "gemm_conv":
                continue  # it would also multiply by BLAS; the way above is the better one
            reads_transpose = way.kernel == "panels" and prod(one.kernel) == 1
            of_turned = turned_way(way, turned)
            ways.append(of_turned._replace(layout_work=way.layout_work) if reads_transpose else of_turned)
    else:
        ways += ways_by_phases(one, cut_into_phases(one))
        if one.groups == one.in_channels == one.out_channels > 1:  # channels in the lanes pay for two copies
            copied = (*moves_of_x(one), *moves_of_y(one))
            moved: costs.Work = (("moving", costs.moving(sum([prod(step) for step in copied]))),)
            ways += [
                way._replace(
                    kernel="phases_by_copies",
                    nanoseconds=way.nanoseconds + costs.nanoseconds(moved),
                    work=(*way.work, *moved),
                    build=partial(build_by_copies, way.build),
                )
                for way in ways_by_phases(one, cut_with_channels_last(one))
            ]
    return ways


def ways_by_phases(one: Geometry, cut: Cut | None) -> list[Way]:
    """Return the way to compute an input gradient by phases, if there is a cut."""
    if cut is None:
        return []
    names = "direct", "phases", "a convolution for each remainder of the stride, in registers"
    work, layout_work = phases_work(one, cut), partial(phases_layout_work, one, cut)
    return [Way(*names, costs.nanoseconds(work), partial(build_phases, cut), work, layout_work)]


def turned_way(way: Way, turned: Geometry) -> Way:
    """Return the way to compute an input gradient with stride 1 by one to compute the turned convolution."""
    return way._replace(build=partial(build_turned, way.build), layout_work=partial(turned_layout_work, way, turned))


def turned_layout_work(way: Way, turned: Geometry) -> costs.Work:
    """Return the work to turn the weight, and to lay it out for a way to compute the turned convolution."""
    return (*way.layout_work(), ("turning", costs.turning(Counts(turned))))


def ways_of_weight_gradient(geometry: Geometry) -> list[Way]:
    """Return all ways to compute the gradient of the weight of a convolution."""
    counts = Counts(geometry)
    kernels = that_fit(WEIGHT_GRADIENT, geometry)
    return [way_of(kernel, counts, partial(build_weight_gradient, kernel)) for kernel in kernels]


def time_of_prepared(way: Way) -> float:
    """Return the estimated time with weights that are laid out already."""
    return way.nanoseconds


def build_convolution(
    kernel: Kernel,
    geometry: Geometry,
    itemsize: int,
    threads: int = 1,
    relu: bool = False,
    turned: bool = False,
    channels_last: bool = False,
) -> Built:
    """Return the object that runs a convolution.

    With `turned` the convolution computes an input gradient. It then takes the weight of the original convolution, and
    turns it when it lays it out. With `channels_last` the kernel must take such arrays.
    """
    tiling = kernel.tiling(geometry, itemsize, threads)
    exact = None
    if kernel.name in ("winograd", "fft"):  # an image with a result that is not finite is computed again, by this
        one = replace(geometry, batch=1)
        ways = ways_of_kernels(CHANNELS_LAST, one) if channels_last else ways_of_convolution(one, DIRECT_KERNELS)
        direct = min([way for way in ways if way.algorithm == "direct"], key=time_of_prepared)
        exact = direct.build(one, itemsize, threads, relu, turned).problem
    problem = Problem(geometry, itemsize, tiling, relu, kernel.name, exact, turned, channels_last)
    definition = None
    if reads_padding(geometry) and turned:
        definition = Definition(build_input_gradient, geometry.turned(), itemsize, threads)
    elif reads_padding(geometry) and kernel.algorithm != "gemm" and kernel.name not in MULTIPLY_ALL:
        definition = Definition(build_with_padding, geometry, itemsize, threads, relu)
    if definition:
        watched = watched_outputs(geometry)
        shapes = geometry.x_shape, geometry.out_shape
        problem.watch(MovedDefinition(definition, *shapes, itemsize) if channels_last else definition, watched)
    return Built(problem, tiling, may_start_threads(largest_gemm(tiling)))


def build_with_padding(geometry: Geometry, itemsize: int, threads: int, relu: bool) -> Built:
    """Return the object that runs a convolution and multiplies weights by all zeros of the padding."""
    ways = ways_of_convolution(replace(geometry, batch=1), MULTIPLY_PADDING)
    return min(ways, key=time_of_prepared).build(geometry, itemsize, threads, relu)


def build_turned(build: Callable[..., Built], geometry: Geometry, itemsize: int, threads: int = 1) -> Built:
    """Return the object that runs an input gradient with stride 1: `build` builds the convolution that computes it."""
    return build(geometry.turned(), itemsize, threads, turned=True)


def build_input_gradient(geometry: Geometry, itemsize: int, threads: int = 1) -> Built:
    """Return the object that runs an input gradient by BLAS."""
    tiling = INPUT_GRADIENT.tiling(geometry, itemsize, threads)
    return Built(InputGradient(geometry, itemsize, tiling), tiling, may_start_threads(largest_gemm(tiling)))


def build_phases(cut: Cut, geometry: Geometry, itemsize: int, threads: int = 1) -> Built:
    """Return the object that runs an input gradient by phases."""
    problem = Phases(geometry, itemsize, cut_for_threads(cut, geometry.batch, threads))
    definition = Definition(build_input_gradient, geometry, itemsize, threads)
    shapes = geometry.out_shape, geometry.x_shape
    problem.watch(
        MovedDefinition(definition, *shapes, itemsize) if cut.channels_last else definition, watched_inputs(geometry)
    )
    return Built(problem, None, limits_blas=False)


def build_by_copies(build: Callable[..., Built], geometry: Geometry, itemsize: int, threads: int = 1) -> Built:
    """Return the object that runs an input gradient by what `build` builds for arrays with channels last."""
    return Built(WithChannelsFirst(build(geometry, itemsize, threads).problem, geometry), None, limits_blas=False)


def build_weight_gradient(
    kernel: Kernel, geometry: Geometry, itemsize: int, threads: int = 1, channels_last: bool = False
) -> Built:
    """Return the object that runs a weight gradient; with `channels_last` the kernel must take such arrays."""
    tiling = kernel.tiling(geometry, itemsize, threads)
    exact = None
    if kernel.name == "weight_gradient_pixels" or (kernel.algorithm == "gemm" and reads_padding(geometry)):
        # They also multiply by zeros that are not in the definition. Infinities and NaNs would give wrong results
        # there, so a gradient that is not finite is computed again, by `exact`.
        channels = next(other for other in WEIGHT_GRADIENT if other.name == "weight_gradient_channels")
        exact = build_weight_gradient(channels, geometry, itemsize).problem
    problem = WeightGradient(geometry, itemsize, tiling, kernel.name, exact, channels_last)
    return Built(problem, tiling, may_start_threads(largest_gemm(tiling), transposed=True))
