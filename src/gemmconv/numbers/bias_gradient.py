"""The gradient of a bias, of any numbers: a sum over images and positions."""

from __future__ import annotations

from math import prod

import numpy as np

from ..checks.arrays import Array, contiguous, rounded
from ..checks.types import Types
from .integer_bounds import exact_sums, hint_holding, holds, interval, plain


def sum_over_positions(grad_output: Array, types: Types) -> Array:
    """Return the sums over all axes but that of the channels, for an array of shape (N, O, spatial...)."""
    if types.kind == "integer":
        sums = exact_sums(plain(grad_output), (0, *range(2, grad_output.ndim)))
        least, most = interval(sums)
        if not holds(types.result, least, most):
            hint = hint_holding(least, most)
            raise ValueError(f"the sums are from {least} to {most}, which dtype {types.result} does not hold{hint}")
        return sums.astype(types.result)
    computing = np.result_type(types.computing, np.complex64) if types.kind == "complex" else types.computing
    shape = grad_output.shape
    by_channel = contiguous(grad_output, computing).reshape(*shape[:2], prod(shape[2:]))
    # NumPy sums a contiguous axis pairwise, so the error grows only with the logarithm of its length
    by_image = np.ascontiguousarray(by_channel.sum(axis=2).T)
    return rounded(np.asarray(by_image.sum(axis=1)), types.result)
