"""Calls: everything that one operation needs beside its arrays, prepared once and kept in a cache.

Each function ``prepare_...`` checks the shapes and options of one operation, and returns a `Call`. Calls for the latest
sizes and options are kept. Convolutions and gradients go the same way through this file. A public function ends with
`Call.into`, which checks `out`, computes, and returns the result.

Small convolutions spend much of their time here. So new checks belong in the cached functions (``_prepare_...``).
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from math import prod
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from .._gemmconv import Layout, Memory, Problem
from ..checks.arrays import Array, check_out, contiguous, deliver, result_array
from ..checks.geometry import LARGEST_ARRAY, Geometry, check_limits
from ..checks.options import (
    Frozen,
    PaddingContent,
    Sizes,
    check_algorithm,
    check_extendable,
    check_group_count,
    freeze,
    freeze_padding_mode,
    freeze_padding_value,
    padding_content,
)
from ..checks.shapes import (
    arranged,
    check_array_shape,
    check_kernel_size,
    check_weight_shape,
    hint_kernel_first,
    moved_channels,
    moved_x_channels,
    telling_of_moved_channels,
    weight_shape_of,
    x_shape_of_columns,
    x_shape_of_gradient,
)
from ..checks.transposed_geometry import transposed_geometry
from ..threads import get_num_threads, threads_worth
from .algorithms import pick
from .blas import single_threaded_blas
from .channels_last import by_copies, moves_of_columns, moves_of_x, moves_of_y
from .empty import Empty
from .extension import Extension
from .normal_form import normal_form
from .tiling import Tiling
from .ways import Built

if TYPE_CHECKING:
    from .scipy_fft import TransformedWeight

# The most prepared calls that are kept of each operation.
CACHE = 512
# The time to copy one element into or out of the patch matrix.
NANOSECONDS_PER_MOVE = 0.25

# The default of each option. A message names only the options that have another value.
DEFAULTS = {"stride": 1, "padding": 0, "dilation": 1, "groups": 1}


class Options(NamedTuple):
    """The options of a convolution as the caller gave them; `rank` is the number of spatial axes, if it is fixed."""

    rank: int | None
    stride: object
    padding: object
    dilation: object
    groups: object
    padding_mode: object
    padding_value: object
    algorithm: object
    activation: object = None
    channels_last: bool = False


class TransposedOptions(NamedTuple):
    """The options of a transposed convolution as the caller gave them; `rank` as in `Options`."""

    rank: int | None
    stride: object
    padding: object
    output_padding: object
    output_size: object
    dilation: object
    groups: object
    padding_mode: object
    algorithm: object
    channels_last: bool = False


class Call(NamedTuple):
    """A prepared call: one operation on arrays of fixed shapes, how C computes it, and on how many threads."""

    geometry: Geometry
    """The geometry as the caller gave it."""
    computed: Geometry
    """The geometry that C computes: in normal form, and without padding if x is extended."""
    out_shape: Sizes
    problem: Any
    """The object of the compiled module that computes; see `ways.Built`."""
    run: Callable[..., None]
    """What computes: (*arrays, result, threads). It is a method of `problem`, perhaps with an extension around it."""
    tiling: Tiling | None
    limits_blas: bool
    """Whether BLAS must be limited to one thread while it runs."""
    threads: int
    run_plain: Callable[..., bool] | None
    """For convolutions: does as `run` does and returns True, if C can take the arrays as they are, and returns False
    if not. It is None if BLAS is limited."""

    def into(
        self, out: Array | None, dtype: np.dtype[Any], *arrays: Array | Memory | Layout | TransformedWeight | None
    ) -> Array:
        """Compute from arrays of any type and layout, and return the result, which is `out` if that was given.

        A weight that is laid out already is taken as it is. If `out` does not fit, this raises before anything is
        written to it.
        """
        if out is not None:
            check_out(out, self.out_shape, dtype)
        ready = []
        for array in arrays:  # those that are ready, the usual case, cost no further call
            usable = type(array) is not np.ndarray or (array.dtype is dtype and array.flags.carray)
            ready.append(array if usable else contiguous(array, dtype))
        result = np.empty(self.out_shape, dtype) if out is None else result_array(out, dtype, ready)
        if self.limits_blas:
            with single_threaded_blas:
                self.run(*ready, result, self.threads)
        else:
            self.run(*ready, result, self.threads)
        return result if out is None else deliver(result, out)


# The types of options that can be keys of the cache as they are. Other types must be checked first: as a key, 1.0 is
# the same as 1, but as an option it must be refused.
_PLAIN_TYPES = frozenset([int, bool, str, type(None)])


def hashable(options: Options) -> Options:
    """Return the options in a form that can be a key of the cache: sequences become tuples of ints."""
    if _PLAIN_TYPES.issuperset(map(type, options)):
        return options
    return options._replace(
        padding_mode=freeze_padding_mode(options.padding_mode),
        padding_value=freeze_padding_value(options.padding_value),
        algorithm=check_algorithm(options.algorithm),
        stride=freeze("stride", options.stride),
        padding=freeze("padding", options.padding),
        dilation=freeze("dilation", options.dilation),
        groups=check_group_count(options.groups),
    )


def spatial(options: Options) -> dict[str, Any]:
    """Return the options on which the patch matrix depends."""
    return {"stride": options.stride, "padding": options.padding, "dilation": options.dilation}


def geometry_of(x_shape: Sizes, weight_shape: Sizes, options: Options) -> tuple[Geometry, Geometry, Extension | None]:
    """Validate a convolution; return its geometry, the geometry that C computes, and how x is extended for that."""
    with telling_of_moved_channels(options.channels_last):
        if options.channels_last:
            channels = weight_shape[1] * check_group_count(options.groups) if len(weight_shape) > 1 else 0
            x_shape = moved_x_channels(x_shape, weight_shape, options.rank, channels)
        geometry = Geometry.from_shapes(
            x_shape, weight_shape, rank=options.rank, **spatial(options), groups=options.groups
        )
        content = padding_content(options.padding_mode, options.padding_value, geometry.rank)
    return geometry, *computed_of(geometry, x_shape, content, 0, options.channels_last)


def computed_of(
    geometry: Geometry, x_shape: Sizes, content: PaddingContent, x: int | None, are_last: bool = False
) -> tuple[Geometry, Extension | None]:
    """Return the geometry that C computes, and how x is extended for that.

    `x_shape` has the channels first. `x` is the number of x among the arrays of the call, or None if the result is the
    gradient of x. That does not depend on a constant in the padding. `are_last` says that the channels of x are last.
    """
    value = 0.0 if x is None else content.value
    sizes = geometry.in_size[3 - geometry.rank :]
    check_extendable(content.modes, sizes, geometry.pads)
    modes = [
        mode if max(pad) > 0 and (mode != "constant" or value != 0 or (size == 0 and x == 0)) else ""
        for mode, size, pad in zip(content.modes, sizes, geometry.pads)
    ]
    if not any(modes):
        return normal_form(geometry), None
    axes = ("",) * (3 - len(modes)) + tuple(modes)
    padded = geometry.padded(axes)
    shape = arranged(padded.x_shape[-len(x_shape) :], geometry.rank, are_last)
    return normal_form(padded), Extension(geometry, axes, value, shape, x, are_last)


def with_extension(call: Call, extension: Extension | None, itemsize: int) -> Call:
    """Return the call that extends x before it computes, or folds the gradient of x afterwards."""
    if extension is None or isinstance(call.problem, Empty):
        return call
    run, run_plain = extension.around(call.run, call.run_plain, itemsize)
    return call._replace(run=run, run_plain=run_plain)


def prepare_convolution(x_shape: Sizes, weight_shape: Sizes, itemsize: int, options: Options) -> Call:
    """Validate a convolution and prepare it."""
    return _prepare_convolution(x_shape, weight_shape, itemsize, hashable(options), get_num_threads())


@lru_cache(maxsize=CACHE)
def _prepare_convolution(x_shape: Sizes, weight_shape: Sizes, itemsize: int, options: Options, threads: int) -> Call:
    algorithm = check_algorithm(options.algorithm)
    geometry, computed, extension = geometry_of(x_shape, weight_shape, options)
    way = pick("convolution", computed, algorithm, channels_last=options.channels_last)
    threads = min(threads, threads_worth(way.nanoseconds * geometry.batch))
    built = way.build(computed, itemsize, threads, options.activation == "relu")
    out_shape = arranged(geometry.out_shape[-len(x_shape) :], geometry.rank, options.channels_last)
    call = _call(geometry, computed, out_shape, built, threads)
    if way.by_copies:
        call = by_copies(call, {0: moves_of_x(computed)}, moves_of_y(computed))
    return with_extension(call, extension, itemsize)


def prepare_im2col(x_shape: Sizes, kernel_size: object, itemsize: int, options: Options) -> Call:
    """Validate the patch matrix of images (im2col) and prepare it."""
    kernel = check_kernel_size(kernel_size)
    return _prepare_columns(x_shape, kernel, itemsize, hashable(options), get_num_threads(), transposed=False)


def prepare_col2im(
    columns_shape: Sizes, input_size: object, kernel_size: object, itemsize: int, options: Options
) -> Call:
    """Validate the transpose of the patch matrix (col2im) and prepare it."""
    kernel = check_kernel_size(kernel_size)
    x_shape = x_shape_of_columns(columns_shape, input_size, kernel, options.channels_last)
    frozen, threads = hashable(options), get_num_threads()
    patches = _prepare_columns(x_shape, kernel, itemsize, frozen, threads, transposed=False)
    check_array_shape("columns", columns_shape, patches.out_shape, "what im2col would return")
    return _prepare_columns(x_shape, kernel, itemsize, frozen, threads, transposed=True)


@lru_cache(maxsize=CACHE)
def _prepare_columns(
    x_shape: Sizes, kernel: Sizes, itemsize: int, options: Options, threads: int, transposed: bool
) -> Call:
    with telling_of_moved_channels(options.channels_last):
        if options.channels_last:
            x_shape = moved_channels("x", x_shape, len(kernel), f"kernel_size {kernel}")
        geometry = Geometry.of_patches(x_shape, kernel, **spatial(options))
        content = padding_content(options.padding_mode, options.padding_value, geometry.rank)
    computed, extension = computed_of(geometry, x_shape, content, None if transposed else 0, options.channels_last)
    columns = (geometry.batch, geometry.reduction_length, geometry.out_pixels)
    elements = geometry.batch * geometry.reduction_length * geometry.out_pixels
    threads = min(threads, threads_worth(NANOSECONDS_PER_MOVE * elements))
    problem = Empty(computed, options.channels_last) if computed.is_empty else Problem(computed, itemsize)
    built = Built(problem, None, limits_blas=False)
    matrix = arranged(columns[geometry.rank + 2 - len(x_shape) :], 1, options.channels_last)
    out_shape = arranged(x_shape, geometry.rank, options.channels_last) if transposed else matrix
    call = _call(geometry, computed, out_shape, built, threads)
    call = call._replace(run=problem.col2im if transposed else problem.im2col)
    if options.channels_last and not computed.is_empty:
        x, patches = moves_of_x(computed), moves_of_columns(computed)
        call = by_copies(call, {0: patches if transposed else x}, x if transposed else patches)
    return with_extension(call, extension, itemsize)


def prepare_input_gradient(
    grad_shape: Sizes,
    weight_shape: Sizes,
    input_size: object,
    itemsize: int,
    options: Options,
    *,
    prepared: bool = False,
) -> Call:
    """Validate an input gradient and prepare it.

    `prepared` says that weights are laid out once for many calls, and that the algorithm is a wish (see `pick`).
    """
    size = freeze("input_size", input_size)
    return _prepare_input_gradient(
        grad_shape, weight_shape, size, itemsize, hashable(options), get_num_threads(), prepared
    )


@lru_cache(maxsize=CACHE)
def _prepare_input_gradient(
    grad_shape: Sizes,
    weight_shape: Sizes,
    input_size: Frozen,
    itemsize: int,
    options: Options,
    threads: int,
    prepared: bool,
) -> Call:
    with telling_of_moved_channels(options.channels_last):
        if options.channels_last:
            check_weight_shape(weight_shape)
            grad_shape = moved_channels(
                "grad_output", grad_shape, len(weight_shape) - 2, f"weight of shape {weight_shape}"
            )
        x_shape = x_shape_of_gradient(grad_shape, weight_shape, input_size, options.groups)
        geometry = _convolution_of(grad_shape, x_shape, weight_shape, options)
        content = padding_content(options.padding_mode, options.padding_value, geometry.rank)
    computed, extension = computed_of(geometry, x_shape, content, None, options.channels_last)
    out_shape = arranged(x_shape, geometry.rank, options.channels_last)
    call = _input_gradient(computed, out_shape, itemsize, options, threads, prepared)
    return with_extension(call._replace(geometry=geometry), extension, itemsize)


def prepare_transposed(x_shape: Sizes, weight_shape: Sizes, itemsize: int, options: TransposedOptions) -> Call:
    """Validate a transposed convolution and prepare it."""
    size, frozen = options.output_size, options
    if not _PLAIN_TYPES.issuperset(map(type, options)):
        frozen = options._replace(
            padding_mode=freeze_padding_mode(options.padding_mode),
            stride=freeze("stride", options.stride),
            padding=freeze("padding", options.padding),
            output_padding=freeze("output_padding", options.output_padding),
            output_size=None if size is None else freeze("output_size", size),
            dilation=freeze("dilation", options.dilation),
            groups=check_group_count(options.groups),
            algorithm=check_algorithm(options.algorithm),
        )
    return _prepare_transposed(x_shape, weight_shape, itemsize, frozen, get_num_threads())


@lru_cache(maxsize=CACHE)
def _prepare_transposed(
    x_shape: Sizes, weight_shape: Sizes, itemsize: int, options: TransposedOptions, threads: int
) -> Call:
    others = ("padding_mode", "algorithm", "channels_last")
    sizes = {name: value for name, value in options._asdict().items() if name not in others}
    with telling_of_moved_channels(options.channels_last):
        if options.channels_last:
            x_shape = moved_x_channels(x_shape, weight_shape, options.rank, (*weight_shape, 0)[0], transposed=True)
        geometry = transposed_geometry(x_shape, weight_shape, **sizes)
    out_shape = geometry.x_shape[-len(x_shape) :]
    content = padding_content(options.padding_mode, 0, geometry.rank)
    computed, extension = computed_of(geometry, out_shape, content, None, options.channels_last)
    if extension:
        check_limits({"the padded output": (8 * prod(extension.shape), LARGEST_ARRAY, "bytes")})
    arranged_shape = arranged(out_shape, geometry.rank, options.channels_last)
    call = _input_gradient(computed, arranged_shape, itemsize, options, threads, prepared=False)
    return with_extension(call._replace(geometry=geometry), extension, itemsize)


def _input_gradient(
    computed: Geometry,
    out_shape: Sizes,
    itemsize: int,
    options: Options | TransposedOptions,
    threads: int,
    prepared: bool,
) -> Call:
    """Return the call for an input gradient whose geometry is in normal form already."""
    algorithm, are_last = check_algorithm(options.algorithm), options.channels_last
    way = pick("input_gradient", computed, algorithm, prepared=prepared, wish=prepared, channels_last=are_last)
    layout = 0.0 if prepared else way.layout_nanoseconds
    threads = min(threads, threads_worth(way.nanoseconds * computed.batch + layout))
    call = _call(computed, computed, out_shape, way.build(computed, itemsize, threads), threads)
    return by_copies(call, {0: moves_of_y(computed)}, moves_of_x(computed)) if way.by_copies else call


def prepare_weight_gradient(
    grad_shape: Sizes,
    x_shape: Sizes,
    kernel_size: object,
    itemsize: int,
    options: Options,
    *,
    wish: bool = False,
) -> Call:
    """Validate a weight gradient and prepare it; `wish` says that the algorithm is a wish (see `pick`)."""
    kernel = check_kernel_size(kernel_size)
    return _prepare_weight_gradient(grad_shape, x_shape, kernel, itemsize, hashable(options), get_num_threads(), wish)


@lru_cache(maxsize=CACHE)
def _prepare_weight_gradient(
    grad_shape: Sizes, x_shape: Sizes, kernel_size: Sizes, itemsize: int, options: Options, threads: int, wish: bool
) -> Call:
    with telling_of_moved_channels(options.channels_last):
        if options.channels_last:
            given = f"kernel_size {kernel_size}"
            x_shape = moved_channels("x", x_shape, len(kernel_size), given)
            grad_shape = moved_channels("grad_output", grad_shape, len(kernel_size), given)
        weight_shape = weight_shape_of(grad_shape, x_shape, kernel_size, options.groups)
        geometry = _convolution_of(grad_shape, x_shape, weight_shape, options)
        content = padding_content(options.padding_mode, options.padding_value, geometry.rank)
    computed, extension = computed_of(geometry, x_shape, content, 1, options.channels_last)
    algorithm = check_algorithm(options.algorithm)
    way = pick("weight_gradient", computed, algorithm, wish=wish, channels_last=options.channels_last)
    threads = min(threads, threads_worth(way.nanoseconds * geometry.batch))
    call = _call(geometry, computed, weight_shape, way.build(computed, itemsize, threads), threads)
    if way.by_copies:
        call = by_copies(call, {0: moves_of_y(computed), 1: moves_of_x(computed)})
    return with_extension(call, extension, itemsize)


def _convolution_of(grad_shape: Sizes, x_shape: Sizes, weight_shape: Sizes, options: Options) -> Geometry:
    """Return the convolution of x and weight, or raise unless its output has the shape of the given gradient."""
    geometry = Geometry.from_shapes(x_shape, weight_shape, **spatial(options), groups=options.groups)
    expected = geometry.out_shape[-len(grad_shape) :]
    if grad_shape != expected:
        given = {**spatial(options), "groups": options.groups}
        given = {name: value for name, value in given.items() if value != DEFAULTS[name]}
        named = "".join(f", {name}={value!r}" for name, value in given.items())
        meaning = f"the output for x of shape {x_shape}, weight of shape {weight_shape}{named}"
        other_order = grad_shape[-geometry.rank - 1] == weight_shape[-1] != weight_shape[0]
        hint = hint_kernel_first(weight_shape) if other_order else ""
        check_array_shape("grad_output", grad_shape, expected, meaning, hint)
    return geometry


def _call(geometry: Geometry, computed: Geometry, out_shape: Sizes, built: Built, threads: int) -> Call:
    """Return the call that runs a built way."""
    return Call(
        geometry,
        computed,
        out_shape,
        built.problem,
        built.problem.run,
        built.tiling,
        built.limits_blas,
        threads,
        None if built.limits_blas else getattr(built.problem, "run_plain", None),
    )
