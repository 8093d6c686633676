"""Calls: all that one operation needs beside its arrays, prepared once and found in a cache where sizes repeat.

Both directions are here. Each function ``prepare_...`` checks shapes and options, and returns a `Call`, whose `into` is
the end of every front door: it checks `out`, computes and delivers.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np

from .._gemmconv import Layout, Memory, Problem
from ..checks.arrays import Array, check_out, contiguous, deliver, extend, fold, result_array
from ..checks.geometry import Geometry
from ..checks.options import Frozen, Sizes, check_algorithm, check_group_count, check_padding_mode, freeze
from ..checks.shapes import (
    check_array_shape,
    check_kernel_size,
    weight_shape_of,
    x_shape_of_columns,
    x_shape_of_gradient,
)
from ..checks.transposed_geometry import transposed_geometry
from ..threads import get_num_threads, threads_worth
from .algorithms import Built, pick
from .blas import single_threaded_blas
from .costs import NANOSECONDS_PER_MOVE
from .normal_form import normal_form
from .tiling import Tiling

# Prepared calls that are kept, of each kind.
CACHE = 512

# Options that a message does not name.
DEFAULTS = {"stride": 1, "padding": 0, "dilation": 1, "groups": 1}


class Options(NamedTuple):
    """The options of a convolution as the caller gave them, and the number of spatial axes if that is fixed."""

    rank: int | None
    stride: object
    padding: object
    dilation: object
    groups: object
    padding_mode: object
    algorithm: object
    activation: object = None


class TransposedOptions(NamedTuple):
    """The options of a transposed convolution as the caller gave them."""

    rank: int | None
    stride: object
    padding: object
    output_padding: object
    output_size: object
    dilation: object
    groups: object
    algorithm: object


class Extension(NamedTuple):
    """A padding other than zeros: x is extended beforehand, or its gradient folded afterwards."""

    mode: str
    """numpy.pad's name of the padding mode."""
    shape: Sizes
    """The shape of the extended x."""
    x: int | None
    """Which of the arrays is x; None where the result is its gradient."""


class Call(NamedTuple):
    """One operation on arrays of certain shapes: how C computes it, and on how many threads."""

    geometry: Geometry
    computed: Geometry
    """What C computes: of an extended x without padding, and in normal form."""
    extension: Extension | None
    out_shape: Sizes
    problem: Any
    run: Callable[..., None]
    """(*arrays, result, threads): the method of `problem` that computes."""
    tiling: Tiling | None
    limits_blas: bool
    threads: int
    is_plain: bool
    """Whether arrays may go to C as they come: nothing is extended, BLAS is not limited."""

    def into(self, out: Array | None, dtype: np.dtype[Any], *arrays: Array | Memory | Layout | None) -> Array:
        """Compute from arrays of any type and layout, and return the result: `out`, if that was given.

        What is laid out already is taken as it is. Nothing is written to `out` if it does not fit.
        """
        if out is not None:
            check_out(out, self.out_shape, dtype)
        if self.extension:
            return self._into_extended(out, dtype, *arrays)
        ready = [array if array is None else contiguous(array, dtype) for array in arrays]
        result = np.empty(self.out_shape, dtype) if out is None else result_array(out, dtype, ready)
        if self.limits_blas:
            with single_threaded_blas:
                self.run(*ready, result, self.threads)
        else:
            self.run(*ready, result, self.threads)
        return result if out is None else deliver(result, out)

    def _into_extended(self, out: Array | None, dtype: np.dtype[Any], *arrays: Any) -> Array:
        """Do the same with x extended, or with the gradient of an extended x folded."""
        assert self.extension is not None
        mode, shape, x = self.extension
        plain = self._replace(extension=None)
        if x is None:
            extended = plain._replace(out_shape=shape).into(None, dtype, *arrays)
            folded = fold(extended, self.geometry, mode)
            return folded if out is None else deliver(folded, out)
        return plain.into(out, dtype, *arrays[:x], extend(arrays[x], self.geometry, mode), *arrays[x + 1 :])


# Options of these types are keys of the cache as they are. No others: 1.0 equals 1, but must be refused.
_PLAIN_TYPES = frozenset([int, str, type(None)])


def hashable(options: Options) -> Options:
    """Return options that can be a key of the cache: sequences become tuples of ints."""
    if _PLAIN_TYPES.issuperset(map(type, options)):
        return options
    check_padding_mode(options.padding_mode)
    return options._replace(
        padding_mode=str(options.padding_mode),
        algorithm=check_algorithm(options.algorithm),
        stride=freeze("stride", options.stride),
        padding=freeze("padding", options.padding),
        dilation=freeze("dilation", options.dilation),
        groups=check_group_count(options.groups),
    )


def spatial(options: Options) -> dict[str, Any]:
    """Return the options that the patch matrix depends on."""
    return {"stride": options.stride, "padding": options.padding, "dilation": options.dilation}


def geometry_of(x_shape: Sizes, weight_shape: Sizes, options: Options) -> tuple[Geometry, Geometry, Extension | None]:
    """Validate a convolution; return its geometry, what C computes, and how x is extended for that."""
    mode = check_padding_mode(options.padding_mode)
    geometry = Geometry.from_shapes(x_shape, weight_shape, rank=options.rank, **spatial(options), groups=options.groups)
    return geometry, *computed_of(geometry, x_shape, mode, 0)


def computed_of(geometry: Geometry, x_shape: Sizes, mode: str, x: int | None) -> tuple[Geometry, Extension | None]:
    """Return what C computes of a geometry, and how array number `x`, or the gradient of x, is extended for that."""
    if mode == "constant" or not any(map(any, geometry.pads)):
        return normal_form(geometry), None
    padded = geometry.padded()
    shape = padded.x_shape[-len(x_shape) :]
    return normal_form(padded), Extension(mode, shape, x)


def prepare_convolution(x_shape: Sizes, weight_shape: Sizes, itemsize: int, options: Options) -> Call:
    """Validate a convolution and prepare it."""
    return _prepare_convolution(x_shape, weight_shape, itemsize, hashable(options), get_num_threads())


@lru_cache(maxsize=CACHE)
def _prepare_convolution(x_shape: Sizes, weight_shape: Sizes, itemsize: int, options: Options, threads: int) -> Call:
    algorithm = check_algorithm(options.algorithm)
    geometry, computed, extension = geometry_of(x_shape, weight_shape, options)
    way = pick("convolution", computed, algorithm)
    threads = min(threads, threads_worth(way.nanoseconds * geometry.batch))
    built = way.build(computed, itemsize, threads, options.activation == "relu")
    return _call(geometry, computed, extension, geometry.out_shape[-len(x_shape) :], built, threads)


def prepare_im2col(x_shape: Sizes, kernel_size: object, itemsize: int, options: Options) -> Call:
    """Validate the patch matrix of images and prepare it."""
    kernel = check_kernel_size(kernel_size)
    return _prepare_columns(x_shape, kernel, itemsize, hashable(options), get_num_threads(), transposed=False)


def prepare_col2im(
    columns_shape: Sizes, input_size: object, kernel_size: object, itemsize: int, options: Options
) -> Call:
    """Validate the transpose of the patch matrix and prepare it."""
    kernel = check_kernel_size(kernel_size)
    x_shape = x_shape_of_columns(columns_shape, input_size, kernel)
    frozen, threads = hashable(options), get_num_threads()
    patches = _prepare_columns(x_shape, kernel, itemsize, frozen, threads, transposed=False)
    check_array_shape("columns", columns_shape, patches.out_shape, "what im2col would return")
    return _prepare_columns(x_shape, kernel, itemsize, frozen, threads, transposed=True)


@lru_cache(maxsize=CACHE)
def _prepare_columns(
    x_shape: Sizes, kernel: Sizes, itemsize: int, options: Options, threads: int, transposed: bool
) -> Call:
    mode = check_padding_mode(options.padding_mode)
    geometry = Geometry.of_patches(x_shape, kernel, **spatial(options))
    computed, extension = computed_of(geometry, x_shape, mode, None if transposed else 0)
    columns = (geometry.batch, geometry.reduction_length, geometry.out_pixels)
    elements = geometry.batch * geometry.reduction_length * geometry.out_pixels
    threads = min(threads, threads_worth(NANOSECONDS_PER_MOVE * elements))
    problem = Problem(computed, itemsize)
    built = Built(problem, None, limits_blas=False)
    if transposed:
        return _call(geometry, computed, extension, x_shape, built, threads)._replace(run=problem.col2im)
    out_shape = columns if len(x_shape) == geometry.rank + 2 else columns[1:]
    return _call(geometry, computed, extension, out_shape, built, threads)._replace(run=problem.im2col)


def prepare_input_gradient(
    grad_shape: Sizes,
    weight_shape: Sizes,
    input_size: object,
    itemsize: int,
    options: Options,
    *,
    prepared: bool = False,
) -> Call:
    """Validate the gradient of an input and prepare it.

    With `prepared` weights are laid out once for many calls, and the algorithm is a wish.
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
    x_shape = x_shape_of_gradient(grad_shape, weight_shape, input_size, options.groups)
    geometry = _convolution_of(grad_shape, x_shape, weight_shape, options)
    computed, extension = computed_of(geometry, x_shape, check_padding_mode(options.padding_mode), None)
    call = _input_gradient(computed, x_shape, itemsize, check_algorithm(options.algorithm), threads, prepared)
    return call._replace(geometry=geometry, extension=extension, is_plain=call.is_plain and extension is None)


def prepare_transposed(x_shape: Sizes, weight_shape: Sizes, itemsize: int, options: TransposedOptions) -> Call:
    """Validate a transposed convolution and prepare it."""
    size = options.output_size
    frozen = options._replace(
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
    sizes = {name: value for name, value in options._asdict().items() if name != "algorithm"}
    geometry = transposed_geometry(x_shape, weight_shape, **sizes)
    out_shape = geometry.x_shape[-len(x_shape) :]
    algorithm = check_algorithm(options.algorithm)
    call = _input_gradient(normal_form(geometry), out_shape, itemsize, algorithm, threads, prepared=False)
    return call._replace(geometry=geometry)


def _input_gradient(
    computed: Geometry, out_shape: Sizes, itemsize: int, algorithm: str, threads: int, prepared: bool
) -> Call:
    """Return how C computes the gradient of an input."""
    way = pick("input_gradient", computed, algorithm, prepared=prepared, wish=prepared)
    threads = min(threads, threads_worth(way.nanoseconds * computed.batch))
    return _call(computed, computed, None, out_shape, way.build(computed, itemsize, threads), threads)


def prepare_weight_gradient(
    grad_shape: Sizes,
    x_shape: Sizes,
    kernel_size: object,
    itemsize: int,
    options: Options,
    *,
    wish: bool = False,
) -> Call:
    """Validate the gradient of a weight and prepare it; with `wish` the algorithm is a wish."""
    kernel = check_kernel_size(kernel_size)
    return _prepare_weight_gradient(grad_shape, x_shape, kernel, itemsize, hashable(options), get_num_threads(), wish)


@lru_cache(maxsize=CACHE)
def _prepare_weight_gradient(
    grad_shape: Sizes, x_shape: Sizes, kernel_size: Sizes, itemsize: int, options: Options, threads: int, wish: bool
) -> Call:
    weight_shape = weight_shape_of(grad_shape, x_shape, kernel_size, options.groups)
    geometry = _convolution_of(grad_shape, x_shape, weight_shape, options)
    computed, extension = computed_of(geometry, x_shape, check_padding_mode(options.padding_mode), 1)
    way = pick("weight_gradient", computed, check_algorithm(options.algorithm), wish=wish)
    threads = min(threads, threads_worth(way.nanoseconds * geometry.batch))
    return _call(geometry, computed, extension, weight_shape, way.build(computed, itemsize, threads), threads)


def _convolution_of(grad_shape: Sizes, x_shape: Sizes, weight_shape: Sizes, options: Options) -> Geometry:
    """Return the convolution whose output has a gradient of this shape, or raise if it has another."""
    geometry = Geometry.from_shapes(x_shape, weight_shape, **spatial(options), groups=options.groups)
    expected = geometry.out_shape[-len(grad_shape) :]
    if grad_shape != expected:
        given = {**spatial(options), "groups": options.groups}
        given = {name: value for name, value in given.items() if value != DEFAULTS[name]}
        named = "".join(f", {name}={value!r}" for name, value in given.items())
        meaning = f"the output for x of shape {x_shape}, weight of shape {weight_shape}{named}"
        check_array_shape("grad_output", grad_shape, expected, meaning)
    return geometry


def _call(
    geometry: Geometry,
    computed: Geometry,
    extension: Extension | None,
    out_shape: Sizes,
    built: Built,
    threads: int,
) -> Call:
    """Return the call that runs what was built."""
    return Call(
        geometry,
        computed,
        extension,
        out_shape,
        built.problem,
        built.problem.run,
        built.tiling,
        built.limits_blas,
        threads,
        is_plain=extension is None and not built.limits_blas,
    )
