"""Channels last: calls for arrays of shape (N, *spatial, C), by kernels that take (N, C, *spatial).

The arrays are copied with their channels first, and the result is copied back. So every way serves both layouts. Ways
that read channels last themselves need nothing of this file.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from math import prod
from typing import TYPE_CHECKING, Any

import numpy as np

from .._gemmconv import transpose
from ..checks.arrays import Array
from ..checks.geometry import Geometry

if TYPE_CHECKING:
    from .calls import Call

# How an array is moved: it is taken as matrices of so many rows and columns, which are transposed; then perhaps again.
Steps = tuple[tuple[int, int], ...]
# The steps of the arrays of a call, by their numbers.
Moves = dict[int, Steps]


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


class MovedDefinition:
    """A definition (not_finite.py) for arrays with channels last, as the compiled module holds them."""

    def __init__(self, definition: Callable[..., None], geometry: Geometry, itemsize: int) -> None:
        self._definition, self._geometry = definition, geometry
        self._dtype = np.dtype(f"f{itemsize}")

    def __call__(self, x: Any, weight: Any, bias: Any, out: Any, threads: int) -> None:
        """Do as the definition does, on copies."""
        first = np.empty(prod(self._geometry.x_shape), self._dtype)
        result = np.empty(prod(self._geometry.out_shape), self._dtype)
        transpose(x, first, self._geometry.in_channels, self._geometry.batch, first.itemsize, threads)
        self._definition(first, weight, bias, result, threads)
        transpose(result, out, self._geometry.out_pixels, self._geometry.batch, first.itemsize, threads)


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
