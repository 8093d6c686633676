"""The check: what is shown against the functions of gemmconv that compute all of it."""

from __future__ import annotations

from math import prod

import numpy as np
from numpy.typing import NDArray

from ..checks.arrays import Array, contiguous, flipped
from ..checks.types import computing_dtype
from ..columns import col2im, im2col
from ..matrices import kernel_matrix, matrix_entries
from .facts import Facts
from .grids import counted
from .problem import ONLY_TRANSPOSED, Problem
from .view import View, bracketed

# The most numbers of P, and entries of M, for which both are built for the check.
MOST_NUMBERS = 1 << 19


def check_line(view: View) -> str:
    """Return what was compared, and whether it agrees."""
    facts, counts = view.facts, view.counts
    name = "conv_transpose" if facts.problem.transposed else "conv"
    if facts.y is None or not view.has_terms:
        return f"not checked: the layer is too large for gemmconv.{name}"
    if max(counts.entries, counts.patch_rows * counts.patch_columns) <= MOST_NUMBERS:
        ways = "col2im(K.T @ X), M.T @ x" if facts.problem.transposed else "K @ P, M @ x"
        ways += " + c" * (facts.problem.value != 0)
        others = by_matrices(facts)
        what, size = f"{ways} and gemmconv.{name}", counted(facts.y.size, "number")
        difference = max(_difference(other, facts.y) for other in others)
    else:
        what, size = f"the sum above and gemmconv.{name}", bracketed("y", view.at)
        bias = 0.0 if facts.problem.bias is None else float(facts.problem.bias[view.at[0]])
        total = float(view.terms.factors @ view.terms.values) + bias
        difference = _difference(np.float64(total), facts.y[view.at])
    if difference == 0:
        return f"checked: {what} agree (y: {size})"
    return f"checked: {what} differ by at most {difference:.2g} (y: {size})"


def _difference(first: Array | np.float64, second: Array) -> float:
    """Return the largest difference; it is 0 where both are the same infinity or NaN."""
    with np.errstate(invalid="ignore"):
        same = (first == second) | (np.isnan(first) & np.isnan(second))
        return float(np.where(same, 0.0, np.abs(np.subtract(first, second, dtype=np.float64))).max(initial=0.0))


def by_matrices(facts: Facts) -> tuple[NDArray[np.floating], NDArray[np.floating]]:
    """Return y as the product with K and as the product with M."""
    problem = facts.problem
    bias = np.zeros(problem.y_shape[0]) if problem.bias is None else problem.bias
    bias = bias.reshape(-1, *[1] * problem.rank)
    by_connections = product_with_connections(facts).reshape(problem.y_shape) + facts.constant
    return product_with_kernels(facts).reshape(problem.y_shape) + bias, by_connections + bias


def product_with_kernels(facts: Facts) -> Array:
    """Return the product of K and P; for a transposed convolution that of K.T and X, added up.

    K has one block per group. They are multiplied one by one, as other blocks are zeros.
    """
    problem, geometry = facts.problem, facts.problem.geometry
    weight, flip = problem.weight.array, bool(problem.options.flip)
    assert weight is not None
    blocks = [kernel_matrix(block, flip=flip) for block in np.split(weight, geometry.groups)]
    if not problem.transposed:
        P = np.split(patches(problem), geometry.groups)
        return np.concatenate([np.asarray(K @ part) for K, part in zip(blocks, P)])
    assert problem.x.array is not None
    X = np.split(problem.x.array.reshape(len(problem.x.array), -1), geometry.groups)
    C = np.concatenate([np.asarray(K.T @ part) for K, part in zip(blocks, X)])
    options = {name: value for name, value in problem.linear_options.items() if name not in ("groups", "flip")}
    return col2im(C, geometry.in_size[3 - problem.rank :], weight.shape[2:], **options)


def check_patches(problem: Problem, shape: tuple[int, int], max_bytes: int) -> None:
    """Raise if the patch matrix, which would have this shape, would be too large."""
    size = prod(shape) * computing_dtype(problem.x.dtype, problem.weight.dtype).itemsize
    if size > max_bytes:
        raise ValueError(
            f"the patch matrix of shape {shape} would take {size} bytes, but max_bytes is {max_bytes}; "
            "gemmconv.ConvolutionOperator is the same linear map without a matrix"
        )


def patches(problem: Problem) -> Array:
    """Return the patch matrix P of a convolution."""
    x, options = problem.x.array, problem.options.keywords("groups", "flip", *ONLY_TRANSPOSED)
    # a padding value need not fit the type of x, if the weight has a larger one
    x = np.asarray(x, computing_dtype(problem.x.dtype, problem.weight.dtype))
    return im2col(x, problem.weight.shape[2:], **{**options, "padding": problem.geometry.pads})


def product_with_connections(facts: Facts) -> Array:
    """Return the product of M, or of M.T, and x, from the entries of which `convolution_matrix` makes M."""
    problem = facts.problem
    weight, x = problem.weight.array, problem.x.array
    assert weight is not None
    assert x is not None
    values = contiguous(flipped(weight, bool(problem.options.flip)), computing_dtype(weight.dtype, weight.dtype))
    data, columns, indptr = matrix_entries(values, problem.geometry, problem.modes)
    rows = np.repeat(np.arange(len(indptr) - 1), np.diff(indptr))
    if problem.transposed:
        rows, columns = columns, rows
    return np.bincount(rows, data * x.ravel()[columns], minlength=prod(problem.y_shape))
