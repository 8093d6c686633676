"""Channels last: calls for arrays of shape (N, *spatial, C), by kernels that take (N, C, *spatial).

The arrays are copied with their channels first, and the result is copied back. So every way serves both layouts. Ways
that read channels last themselves need nothing of that.

A gradient of a convolution with one tap needs no copies at all: with channels last it is a product of matrices.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from math import gcd, prod
from typing import TYPE_CHECKING, Any

import numpy as np

from .._gemmconv import Layout, Memory, Phases, Problem, transpose
from ..checks.arrays import Array
from ..checks.geometry import Geometry
from ..checks.options import Sizes
from .normal_form import normal_form
from .tiling import LEAST_TASKS_PER_THREAD, TASKS_PER_THREAD, Tiling, choose_panels_tiling

if TYPE_CHECKING:
    from .calls import Call

# How an array is moved: each step (rows, columns) takes it as matrices of this size, and transposes them.
Steps = tuple[tuple[int, int], ...]
# The steps of the arrays of a call, by their numbers.
Moves = dict[int, Steps]
# The elements of the first matrix of a product that a task reads, at most.
PRODUCT_ELEMENTS = 1 << 17
# The rows of the first matrix of a product that a task reads, if it has as many. Each task packs the second again.
PRODUCT_ROWS = 96
# The rows of the first matrix, and the columns of the second one, of a task that is made smaller for several threads.
PRODUCT_LEAST_ROWS = 12
PRODUCT_LEAST_TILE = 32


def steps_of(positions: int, channels: int) -> Steps:
    """Return how an array is moved, from channels last to channels first: not at all if it is the same in both."""
    return ((positions, channels),) if positions > 1 and channels > 1 else ()


def moves_of_x(geometry: Geometry) -> Steps:
    """Return how x is moved, from channels last to channels first."""
    return steps_of(prod(geometry.in_size), geometry.in_channels)


def moves_of_y(geometry: Geometry) -> Steps:
    """Return how y, or its gradient, is moved, from channels last to channels first."""
    return steps_of(geometry.out_pixels, geometry.out_channels)


def moves_of_columns(geometry: Geometry) -> Steps:
    """Return how patches (L, taps, C) are moved to the patch matrix, (C, taps, L)."""
    taps = prod(geometry.kernel)
    of_rows = steps_of(geometry.out_pixels, taps * geometry.in_channels)
    return (*steps_of(taps, geometry.in_channels), *of_rows)


def back(steps: Steps) -> Steps:
    """Return the steps from channels first to channels last."""
    return tuple([(columns, rows) for rows, columns in reversed(steps)])


def by_copies(call: Call, moves: Moves, result: Steps = ()) -> Call:
    """Return the call for arrays with channels last; `result` are the steps of its result."""
    return call._replace(run=partial(run_by_copies, call.run, moves, back(result)), run_plain=None)


def run_by_copies(run: Callable[..., None], moves: Moves, result: Steps, *arguments: Any) -> None:
    """Run on copies with channels first, and copy the result back; the last arguments are the result and threads."""
    *arrays, out, threads = arguments
    for number, steps in moves.items():
        arrays[number] = moved(arrays[number], steps, threads)
    if not result:
        run(*arrays, out, threads)
        return
    first = np.empty(out.size, out.dtype)
    run(*arrays, first, threads)
    first = moved(first, result[:-1], threads)
    transpose_into(out, first, result[-1], threads)


class WithChannelsFirst:
    """An input gradient of arrays with channels first, by one for arrays with channels last: it copies the arrays."""

    def __init__(self, problem: Phases, geometry: Geometry) -> None:
        self._problem, self._y, self._x = problem, back(moves_of_y(geometry)), moves_of_x(geometry)
        self.lay_out, self.kernel, self.layout_bytes = problem.lay_out, problem.kernel, problem.layout_bytes
        self.task_count, self.scratch_bytes = problem.task_count, problem.scratch_bytes

    def run(
        self, grad_output: Array, weight: Array | Memory | Layout, bias: Array | None, out: Array, threads: int = 1
    ) -> None:
        """Write the gradient of x, plus a bias per channel or None, to `out`."""
        run_by_copies(self._problem.run, {0: self._y}, self._x, grad_output, weight, bias, out, threads)


class MovedDefinition:
    """A definition (not_finite.py) for arrays with channels last, as the compiled module holds them."""

    def __init__(self, definition: Callable[..., None], x_shape: Sizes, out_shape: Sizes, itemsize: int) -> None:
        """Take the shapes of the arrays with channels first."""
        self._definition, self._x_shape, self._out_shape = definition, x_shape, out_shape
        self._dtype = np.dtype(f"f{itemsize}")

    def __call__(self, x: Any, weight: Any, bias: Any, out: Any, threads: int) -> None:
        """Do as the definition does, on copies."""
        first = np.empty(prod(self._x_shape), self._dtype)
        result = np.empty(prod(self._out_shape), self._dtype)
        batch, channels, *_ = self._x_shape
        transpose(x, first, channels, batch, first.itemsize, threads)
        self._definition(first, weight, bias, result, threads)
        transpose(result, out, prod(self._out_shape[2:]), batch, first.itemsize, threads)


def is_product(geometry: Geometry) -> bool:
    """Return whether the gradients of a convolution of arrays with channels last are products of matrices.

    It has one tap, one group and no padding. With strides, every position of x that can be read is read.
    """
    sizes = zip(geometry.in_size, geometry.stride, geometry.out_size)
    return (
        geometry.groups == prod(geometry.kernel) == 1
        and not any(geometry.pad_before)
        and all(-(-size // stride) == out for size, stride, out in sizes)
    )


def product_geometry(operation: str, geometry: Geometry) -> Geometry:
    """Return the product as a convolution with one tap: the first matrix is its weight, the second one its image.

    The product for an empty batch is that for one image.
    """
    positions, channels = max(geometry.batch, 1) * geometry.out_pixels, geometry.in_channels
    rows, terms = positions, geometry.out_channels
    if operation == "weight_gradient":
        rows, terms = terms, rows
    return normal_form(Geometry.from_shapes((1, terms, channels), (rows, terms, 1)))


class Product:
    """The gradient of the input or of the weight of a convolution with one tap, by the C kernel `panels`.

    Arrays with channels last are matrices with one row for each position, and so is the weight, one row for each
    output channel::

        gradient of x       (positions, C)     gradient of y @ weight
        gradient of weight  (O, C)             gradient of y, transposed @ x

    With strides, x has other positions between those of y. Their gradient is zero.
    """

    kernel, layout_bytes = "panels", 0

    def __init__(self, operation: str, geometry: Geometry, itemsize: int, threads: int) -> None:
        product = product_geometry(operation, geometry)
        of_weight = operation == "weight_gradient"
        self.tiling = product_tiling(product, itemsize, threads)
        self._problem = Problem(product, itemsize, self.tiling, kernel="panels", turned=of_weight)
        self._geometry, self._dtype = geometry, np.dtype(f"f{itemsize}")
        self._last = (geometry.batch, *geometry.in_size, geometry.in_channels)
        self._strided = geometry.stride != (1, 1, 1)
        self.task_count, self.scratch_bytes = self._problem.task_count, self._problem.scratch_bytes
        self.run = self._run_weight_gradient if of_weight else self._run_input_gradient

    def lay_out(self, weight: Array, _threads: int = 1) -> Memory:
        """Return the weight as `run` reads it."""
        return Memory(weight)

    def _read(self, x: Array) -> Array:
        """Return the positions of x that are read, as a view of the array."""
        steps = [slice(None, None, stride) for stride in self._geometry.stride]
        return x.reshape(self._last)[(slice(None), *steps)]

    def _run_input_gradient(
        self, grad_output: Array, weight: Array | Memory, bias: Array | None, out: Array, threads: int = 1
    ) -> None:
        """Write the gradient of x, plus a bias per channel or None, to `out`."""
        if out.size == 0:
            return
        product = out
        if self._strided:
            product = np.empty((grad_output.size // self._geometry.out_channels, self._last[-1]), self._dtype)
        self._problem.run(weight, grad_output, None, product, threads)
        pixels = out.reshape(self._last)
        if self._strided:
            pixels[...] = 0
            read = self._read(out)
            read[...] = product.reshape(read.shape)
        if bias is not None:
            with np.errstate(all="ignore"):
                pixels += np.asarray(bias)

    def _run_weight_gradient(self, grad_output: Array, x: Array, out: Array, threads: int = 1) -> None:
        """Write the gradient of the weight to `out`."""
        if x.size == 0:
            out[...] = 0
            return
        self._problem.run(np.ascontiguousarray(self._read(x)) if self._strided else x, grad_output, None, out, threads)


def product_tiling(product: Geometry, itemsize: int, threads: int) -> Tiling:
    """Return the tiling of a product: the rows of the first matrix that a task reads stay in the cache.

    If there are few tasks, their number is a multiple of the threads. Each task packs its tile of the second matrix.
    If a block would have fewer rows than a tile has columns, the tiles are halved instead.
    """
    pixels, rows = choose_panels_tiling(product, itemsize, threads).pixels, product.out_channels
    tiles = -(-product.out_pixels // pixels)
    blocks = -(-rows // max(PRODUCT_ELEMENTS // product.in_channels, PRODUCT_ROWS))
    if threads > 1 and tiles * blocks < threads * TASKS_PER_THREAD:
        multiple = threads // gcd(threads, tiles)
        blocks = -(-max(blocks, -(-threads * LEAST_TASKS_PER_THREAD // tiles)) // multiple) * multiple
        if rows < blocks * pixels and pixels >= 2 * PRODUCT_LEAST_TILE and blocks % 2 == 0:
            pixels, blocks = -(-pixels // 2), blocks // 2
    block = min(max(-(-rows // blocks), PRODUCT_LEAST_ROWS), rows)
    return Tiling(pixels=pixels, block=block, panel=0, channels=0, taps=0)


def moved(array: Array, steps: Steps, threads: int) -> Array:
    """Return the elements of an array in another order."""
    for step in steps:
        copy = np.empty(array.size, array.dtype)
        transpose_into(copy, array, step, threads)
        array = copy
    return array


def transpose_into(out: Array, array: Array, step: tuple[int, int], threads: int) -> None:
    """Write the transposes of the matrices of an array to `out`."""
    transpose(array, out, step[1], array.size // prod(step), array.itemsize, threads)
