"""The way NumPy offers: `sliding_window_view`, and `tensordot` of the windows and the weights."""

from __future__ import annotations

import math

import numpy as np
from threadpoolctl import threadpool_limits

from ..operations import FORWARD
from ..problems import Array, Problem
from . import Call, Peer, UnsupportedError, refuse_other_types

# tensordot copies the windows of a group of channels into a matrix; beyond this that makes no sense.
LARGEST_MATRIX = 4 * 2**30


def prepare(problem: Problem, x: Array, weight: Array, _reuse: bool) -> Call:
    """Refuse patch matrices that are too large."""
    refuse_other_types(x, "float32", "float64", "complex64", "complex128")
    pixels = problem.batch * math.prod(problem.output_size)
    size = problem.reduction * pixels * x.itemsize
    if size > LARGEST_MATRIX:
        raise UnsupportedError(
            f"its patch matrix would need {size / 2**30:.1f} GiB (the limit is {LARGEST_MATRIX / 2**30:.0f} GiB)"
        )
    return lambda: convolve(problem, x, weight)


def convolve(problem: Problem, x: Array, weight: Array) -> Array:
    """Convolve by windows: x (N, C, *input_size), weight (O, C/groups, *kernel_size) -> (N, O, *output_size)."""
    rank = len(problem.input_size)
    windows = _windows(problem, x)  # (N, C, *output_size, *kernel_size)
    kernel_axes = tuple(range(2 + rank, 2 + 2 * rank))
    outputs = [
        # (O/g, N, *output_size) = (O/g, [C/g, *kernel]) . (N, [C/g], *output_size, [*kernel])
        np.tensordot(w, v, axes=((1, *range(2, 2 + rank)), (1, *kernel_axes)))
        for w, v in zip(np.split(weight, problem.groups), np.split(windows, problem.groups, axis=1))
    ]
    stacked = outputs[0] if len(outputs) == 1 else np.concatenate(outputs)
    return np.ascontiguousarray(np.moveaxis(stacked, 0, 1))


def _windows(problem: Problem, x: Array) -> Array:
    """View every window of the padded input, of shape (N, C, *output_size, *kernel_size)."""
    rank = len(problem.input_size)
    if any(problem.padding):
        x = np.pad(x, ((0, 0), (0, 0), *((size, size) for size in problem.padding)))
    extent = tuple(d * (k - 1) + 1 for d, k in zip(problem.dilation, problem.kernel_size))
    windows = np.lib.stride_tricks.sliding_window_view(x, extent, axis=tuple(range(2, 2 + rank)))
    steps = (slice(None, None, s) for s in problem.stride + problem.dilation)
    return windows[(slice(None), slice(None), *steps)]


def load(threads: int) -> Peer:
    """Limit the threads of NumPy's BLAS."""
    threadpool_limits(threads, user_api="blas")
    return Peer(np.__version__, {FORWARD: prepare})
