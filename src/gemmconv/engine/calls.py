"""Calls: all that a call needs beside its arrays, found in a cache where shapes and options repeat."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any, NamedTuple

from .._gemmconv import Layout, Memory, Problem
from ..checks.arrays import Array
from ..checks.geometry import Geometry
from ..checks.options import Sizes, check_group_count, check_padding_mode, freeze
from ..checks.shapes import check_kernel_size
from ..threads import get_num_threads, threads_worth
from .algorithms import check_algorithm, choose, estimated_nanoseconds, problem_of
from .blas import may_start_threads, single_threaded_blas
from .tiling import Tiling, largest_gemm

# To move an element, which counts as two operations, takes as long as so many.
OPERATIONS_PER_MOVE = 32
# Where arithmetic is all there is to do.
OPERATIONS_PER_NANOSECOND = 130


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


class Call(NamedTuple):
    """One operation on arrays of certain shapes: how C computes it, and on how many threads."""

    geometry: Geometry
    computed: Geometry
    """What C computes: where `extension` is set, the same without padding on the extended input."""
    extension: str | None
    """numpy.pad's mode, where x is padded beforehand."""
    batched: bool
    out_shape: Sizes
    problem: Any
    """What C computes it by: a Problem, or what computes a gradient."""
    tiling: Tiling | None
    limits_blas: bool
    threads: int
    is_direct: bool = False
    """Whether arrays may go to C as they come: nothing is extended, BLAS is not limited."""

    def shape(self, batched_shape: Sizes) -> Sizes:
        """Return the shape of an array of this call: without the batch axis, if x has none."""
        return batched_shape if self.batched else batched_shape[1:]

    def compute(self, method: Callable[..., None], *arrays: Array | Memory | Layout | None) -> None:
        """Call a method of `problem`, with BLAS on one thread where that matters."""
        if self.limits_blas:
            with single_threaded_blas:
                method(*arrays, self.threads)
        else:
            method(*arrays, self.threads)


# Options of these types are keys of the cache as they are. No others: 1.0 equals 1, but has to be refused.
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


def prepare_convolution(x_shape: Sizes, weight_shape: Sizes, itemsize: int, options: Options) -> Call:
    """Validate a convolution and lay it out for the C layer."""
    return _prepare_convolution(x_shape, weight_shape, itemsize, hashable(options), get_num_threads())


def prepare_columns(x_shape: Sizes, kernel_size: object, itemsize: int, options: Options) -> Call:
    """Validate the patch matrix of images and lay it out for the C layer."""
    return _prepare_columns(x_shape, check_kernel_size(kernel_size), itemsize, hashable(options), get_num_threads())


@lru_cache(maxsize=512)
def _prepare_convolution(x_shape: Sizes, weight_shape: Sizes, itemsize: int, options: Options, threads: int) -> Call:
    algorithm = check_algorithm(options.algorithm)
    mode = check_padding_mode(options.padding_mode)
    geometry = Geometry.from_shapes(x_shape, weight_shape, rank=options.rank, **spatial(options), groups=options.groups)
    computed, extension = extended(geometry, mode)
    method = choose(computed, algorithm)
    threads = min(threads, threads_worth(OPERATIONS_PER_NANOSECOND * estimated_nanoseconds(method, computed)))
    problem, tiling = problem_of(method, computed, itemsize, threads, options.activation == "relu")
    limits_blas = may_start_threads(largest_gemm(tiling))
    batched = len(x_shape) == len(weight_shape)
    return Call(
        geometry,
        computed,
        extension,
        batched,
        geometry.out_shape if batched else geometry.out_shape[1:],
        problem,
        tiling,
        limits_blas,
        threads,
        is_direct=extension is None and not limits_blas,
    )


@lru_cache(maxsize=512)
def _prepare_columns(x_shape: Sizes, kernel_size: object, itemsize: int, options: Options, threads: int) -> Call:
    mode = check_padding_mode(options.padding_mode)
    geometry = Geometry.of_patches(x_shape, kernel_size, **spatial(options))
    computed, extension = extended(geometry, mode)
    batched = len(x_shape) == geometry.rank + 2
    columns = (geometry.batch, geometry.reduction_length, geometry.out_pixels)
    return Call(
        geometry,
        computed,
        extension,
        batched,
        columns if batched else columns[1:],
        Problem(computed, itemsize),
        tiling=None,
        limits_blas=False,
        threads=min(threads, threads_worth(OPERATIONS_PER_MOVE / 2 * computed.operations)),
    )


def spatial(options: Options) -> dict[str, Any]:
    """Return the options that the patch matrix depends on."""
    return {"stride": options.stride, "padding": options.padding, "dilation": options.dilation}


def extended(geometry: Geometry, mode: str) -> tuple[Geometry, str | None]:
    """Return what C computes, and numpy.pad's mode if the input is extended beforehand."""
    if mode == "constant" or not any(map(any, geometry.pads)):
        return geometry, None
    return geometry.padded(), mode
