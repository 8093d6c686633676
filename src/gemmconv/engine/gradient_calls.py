"""Gradient calls: all that a gradient or a transposed convolution needs beside its arrays, found in a cache."""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

from ..checks.geometry import Geometry
from ..checks.options import Frozen, Sizes, check_group_count, check_padding_mode, freeze
from ..checks.shapes import check_array_shape, check_kernel_size, weight_shape_of, x_shape_of_gradient
from ..checks.transposed_geometry import transposed_geometry
from ..threads import get_num_threads, threads_worth
from .algorithms import check_algorithm
from .calls import OPERATIONS_PER_NANOSECOND, Call, Options, extended, hashable, spatial
from .gradient_algorithms import choose_input_gradient, choose_weight_gradient, weight_gradient_problem

# Options that a message does not name.
DEFAULTS = {"stride": 1, "padding": 0, "dilation": 1, "groups": 1}


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


def prepare_input_gradient(
    grad_shape: Sizes,
    weight_shape: Sizes,
    input_size: object,
    itemsize: int,
    options: Options,
    *,
    prepared: bool = False,
) -> Call:
    """Validate the gradient of an input and lay it out for the C layer.

    With `prepared` weights are laid out once for many calls, and the algorithm is a wish.
    """
    size = freeze("input_size", input_size)
    return _prepare_input_gradient(
        grad_shape, weight_shape, size, itemsize, hashable(options), get_num_threads(), prepared
    )


def prepare_transposed(x_shape: Sizes, weight_shape: Sizes, itemsize: int, options: TransposedOptions) -> Call:
    """Validate a transposed convolution and lay it out for the C layer."""
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


def prepare_weight_gradient(
    grad_shape: Sizes,
    x_shape: Sizes,
    kernel_size: object,
    itemsize: int,
    options: Options,
    *,
    prepared: bool = False,
) -> Call:
    """Validate the gradient of a weight and lay it out for the C layer; with `prepared` the algorithm is a wish."""
    kernel = check_kernel_size(kernel_size)
    return _prepare_weight_gradient(
        grad_shape, x_shape, kernel, itemsize, hashable(options), get_num_threads(), prepared
    )


@lru_cache(maxsize=512)
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
    computed, extension = extended(geometry, check_padding_mode(options.padding_mode))
    call = _input_gradient_call(computed, len(grad_shape), itemsize, options.algorithm, threads, prepared)
    return call._replace(geometry=geometry, extension=extension, out_shape=x_shape)


@lru_cache(maxsize=512)
def _prepare_transposed(
    x_shape: Sizes, weight_shape: Sizes, itemsize: int, options: TransposedOptions, threads: int
) -> Call:
    sizes = {name: value for name, value in options._asdict().items() if name != "algorithm"}
    geometry = transposed_geometry(x_shape, weight_shape, **sizes)
    return _input_gradient_call(geometry, len(x_shape), itemsize, options.algorithm, threads, prepared=False)


@lru_cache(maxsize=512)
def _prepare_weight_gradient(
    grad_shape: Sizes,
    x_shape: Sizes,
    kernel_size: Sizes,
    itemsize: int,
    options: Options,
    threads: int,
    prepared: bool,
) -> Call:
    weight_shape = weight_shape_of(grad_shape, x_shape, kernel_size, options.groups)
    geometry = _convolution_of(grad_shape, x_shape, weight_shape, options)
    computed, extension = extended(geometry, check_padding_mode(options.padding_mode))
    method = choose_weight_gradient(computed, check_algorithm(options.algorithm), wished=prepared)
    problem, limits_blas = weight_gradient_problem(method, computed, itemsize)
    return Call(
        geometry=geometry,
        computed=computed,
        extension=extension,
        batched=len(x_shape) == geometry.rank + 2,
        out_shape=weight_shape,
        problem=problem,
        tiling=None,
        limits_blas=limits_blas,
        threads=min(threads, threads_worth(OPERATIONS_PER_NANOSECOND * method.nanoseconds(computed))),
    )


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


def _input_gradient_call(
    geometry: Geometry, axes: int, itemsize: int, algorithm: object, threads: int, prepared: bool
) -> Call:
    """Return how C computes the gradient of an input, where that of the output has so many axes."""
    way = choose_input_gradient(geometry, check_algorithm(algorithm), prepared=prepared)
    nanoseconds = way.nanoseconds * geometry.batch
    threads = min(threads, threads_worth(OPERATIONS_PER_NANOSECOND * nanoseconds))
    problem, limits_blas = way.build(geometry, itemsize, threads)
    return Call(
        geometry=geometry,
        computed=geometry,
        extension=None,
        batched=axes == geometry.rank + 2,
        out_shape=geometry.x_shape[-axes:],
        problem=problem,
        tiling=None,
        limits_blas=limits_blas,
        threads=threads,
    )
