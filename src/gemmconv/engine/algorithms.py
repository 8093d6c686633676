"""Algorithms: the ways to compute each operation, and which one is taken.

A way is a means of computing one operation for one geometry, by one C kernel or several, with its estimated time. For
each operation, one function in `WAYS` lists the ways, and `pick` takes the fastest. A new way of an operation is added
to its list.

For a convolution or an input gradient, the choice depends on the geometry of one image. It must not depend on the
batch or on the number of threads, so that an image gives the same bits in any batch. A weight gradient is a sum over
the batch, so there the choice depends on the batch size too, but not on the number of threads.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from math import inf, prod
from typing import Any, NamedTuple

from .._gemmconv import InputGradient, Phases, Problem, WeightGradient
from ..checks.geometry import Geometry
from ..checks.options import raise_undefined
from . import costs, fft_costs
from .blas import may_start_threads
from .channels_last import (
    MovedDefinition,
    Product,
    WithChannelsFirst,
    is_product,
    moves_of_x,
    moves_of_y,
    product_geometry,
)
from .counts import Counts
from .empty import Empty
from .fft_cut import fft_cut, roundings
from .kernels import CHANNELS_LAST, CONVOLUTION, FFT, INPUT_GRADIENT, WEIGHT_GRADIENT, Kernel, that_fit
from .not_finite import Definition, reads_padding, watched_inputs, watched_outputs
from .phases import Cut, cut_into_phases, cut_with_channels_last, phases_layout_work, phases_work
from .scipy_fft_blocks import Blocks, Correlation, choose_blocks, correlation_of, least_nanoseconds
from .tiling import Tiling, largest_gemm

# The kernels of a convolution that give the right infinities and NaNs where winograd and fft do not.
EXACT = tuple(kernel for kernel in CONVOLUTION if kernel.algorithm == "direct")
# Those that multiply weights by all zeros of the padding, and call no BLAS.
MULTIPLY_ALL = frozenset({"panels", "direct_pixels", "depthwise", "depthwise_channels"})
MULTIPLY_PADDING = tuple(kernel for kernel in CONVOLUTION if kernel.name in MULTIPLY_ALL)
# The taps from which "auto" considers Fourier transforms.
LEAST_TAPS = 32


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


def way_of_empty(operation: str, algorithm: str, channels_last: bool) -> Way:
    """Return the way for arrays without elements, by the name of an algorithm."""

    def build(geometry: Geometry, _itemsize: int, _threads: int = 1, relu: bool = False) -> Built:
        return Built(Empty(geometry, channels_last, relu, operation == "input_gradient"), None, limits_blas=False)

    return Way(algorithm, "empty", "there is nothing to sum", 0.0, build, (), tuple)


def with_channels_last(
    operation: str, geometry: Geometry, ways: list[Way], kernels: tuple[Kernel, ...] = CHANNELS_LAST
) -> list[Way]:
    """Return the ways for arrays with channels last: those of kernels that take them, and the others by copies."""
    one = replace(geometry, batch=1)
    elements = sum([prod(step) for step in (*moves_of_x(one), *moves_of_y(one))])
    moved: costs.Work = (("moving", costs.moving(elements)),)
    native: list[Way] = []
    if operation == "convolution":
        native = ways_of_kernels(kernels, one)
    elif operation == "input_gradient" and kernels:
        native = ways_by_phases(one, cut_with_channels_last(one))
        if one.stride == (1, 1, 1):
            turned = one.turned()
            native += [turned_way(way, turned) for way in ways_of_kernels(kernels, turned) if way.algorithm != "direct"]
    elif operation == "weight_gradient" and kernels:
        native = [
            way_of(kernel, Counts(geometry), partial(build_weight_gradient, kernel, channels_last=True))
            for kernel in WEIGHT_GRADIENT
            if kernel.name == "weight_gradient_channels"
        ]
    if operation != "convolution" and kernels and is_product(geometry):
        native.append(way_of_product(operation, geometry))
    names = {way.name for way in native if way.kernel != "phases"}  # by copies, phases have other classes
    copied = [
        way._replace(nanoseconds=way.nanoseconds + costs.nanoseconds(moved), work=(*way.work, *moved), by_copies=True)
        for way in ways
        if way.name not in names
    ]
    return [*native, *copied]


def way_of_product(operation: str, geometry: Geometry) -> Way:
    """Return the way to compute a gradient of arrays with channels last that is a product of matrices."""
    one = replace(geometry, batch=1)
    work: costs.Work = (("panels", costs.panels(Counts(product_geometry(operation, one)))),)
    if one.stride != (1, 1, 1):
        work = (*work, ("moving", costs.moving(prod(one.x_shape))))
    names = "gemm", "panels", "the product of two of the arrays, in registers"
    return Way(*names, costs.nanoseconds(work), partial(build_product, operation), work, lambda: ())


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
    return min(ways.values(), key=_time_of_prepared if prepared else _time_of_call)


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


def _time_of_prepared(way: Way) -> float:
    return way.nanoseconds


def _time_of_call(way: Way) -> float:
    return way.nanoseconds + way.layout_nanoseconds


def defined_algorithms(geometry: Geometry, operation: str = "convolution") -> tuple[str, ...]:
    """Return the names of the algorithms that can compute an operation."""
    return tuple(dict.fromkeys([*[way.algorithm for way in WAYS[operation](geometry)], "fft"]))


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
        ways = ways_of_kernels(CHANNELS_LAST, one) if channels_last else ways_of_convolution(one, EXACT)
        direct = min([way for way in ways if way.algorithm == "direct"], key=_time_of_prepared)
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
    return min(ways, key=_time_of_prepared).build(geometry, itemsize, threads, relu)


def build_turned(build: Callable[..., Built], geometry: Geometry, itemsize: int, threads: int = 1) -> Built:
    """Return the object that runs an input gradient with stride 1: `build` builds the convolution that computes it."""
    return build(geometry.turned(), itemsize, threads, turned=True)


def build_input_gradient(geometry: Geometry, itemsize: int, threads: int = 1) -> Built:
    """Return the object that runs an input gradient by BLAS."""
    tiling = INPUT_GRADIENT.tiling(geometry, itemsize, threads)
    return Built(InputGradient(geometry, itemsize, tiling), tiling, may_start_threads(largest_gemm(tiling)))


def build_phases(cut: Cut, geometry: Geometry, itemsize: int, threads: int = 1) -> Built:
    """Return the object that runs an input gradient by phases."""
    problem = Phases(geometry, itemsize, cut)
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


def build_product(operation: str, geometry: Geometry, itemsize: int, threads: int = 1) -> Built:
    """Return the object that computes a gradient as a product of matrices."""
    product = Product(operation, geometry, itemsize, threads)
    return Built(product, product.tiling, limits_blas=False)


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
