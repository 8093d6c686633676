"""The check: what is shown against the functions of gemmconv that compute all of it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..checks.arrays import Array
from ..columns import col2im, im2col
from ..matrices import convolution_matrix, kernel_matrix
from .facts import Facts
from .grids import counted
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
    problem, geometry = facts.problem, facts.problem.geometry
    x, weight, options = problem.x.array, problem.weight.array, problem.options.keywords("output_padding")
    assert x is not None
    assert weight is not None
    flat = x.reshape(len(x), -1)
    options["padding"] = geometry.pads
    K = kernel_matrix(weight, groups=geometry.groups, flip=bool(problem.options.flip))
    M = convolution_matrix(weight, geometry.in_size[3 - problem.rank :], **options)
    options = {name: value for name, value in options.items() if name not in ("groups", "flip")}
    kernel = weight.shape[2:]
    if problem.transposed:
        by_kernels = col2im(K.T @ flat, geometry.in_size[3 - problem.rank :], kernel, **options)
        by_connections = M.T @ x.ravel()
    else:
        by_kernels = K @ im2col(x, kernel, **options)
        by_connections = M @ x.ravel()
    bias = np.zeros(problem.y_shape[0]) if problem.bias is None else problem.bias
    shape = (len(bias), *[1] * problem.rank)
    return tuple(np.asarray(y).reshape(problem.y_shape) + bias.reshape(shape) for y in (by_kernels, by_connections))
