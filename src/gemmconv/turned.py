"""The input gradient of a convolution with stride 1: a convolution of grad_output with the turned weight.

Turned: the kernels reversed along every spatial axis, the channels of input and output swapped within each group.
"""

from __future__ import annotations

import numpy as np

from ._gemmconv import Layout, Memory, Phases, Problem
from .checks.arrays import Array
from .checks.geometry import Geometry
from .engine.phases import cut_into_phases


def turned_weight(weight: Array, groups: int) -> Array:
    """Return the weight (O, C/groups, *kernel) as (C, O/groups, *reversed kernel), by NumPy."""
    by_group = weight.reshape(groups, -1, *weight.shape[1:])
    reversed_kernels = np.flip(by_group, tuple(range(3, by_group.ndim)))
    swapped = np.swapaxes(reversed_kernels, 1, 2)
    return np.ascontiguousarray(swapped).reshape(-1, swapped.shape[2], *weight.shape[2:])


class Turned:
    """A problem that computes a turned convolution, with the interface of `InputGradient`.

    `geometry` is that of the convolution whose gradient is computed, of one image. With stride 1 all taps are of one
    phase, whose stacked weights are the turned ones.
    """

    def __init__(self, problem: Problem, geometry: Geometry) -> None:
        self.problem = problem
        self.geometry = geometry
        cut = cut_into_phases(geometry)
        self.phases = None if cut is None else Phases(geometry, problem.itemsize, cut)
        self.scratch_bytes = problem.scratch_bytes
        self.task_count = problem.task_count

    def lay_out(self, weight: Array, threads: int = 1) -> Memory | Layout:
        """Return the weights as `run` takes them."""
        shape = self.geometry.weight_shape
        if self.phases is None:
            turned = turned_weight(weight.reshape(shape), self.geometry.groups)
        else:
            turned = np.empty(shape, weight.dtype)
            self.phases.stack(weight, turned, threads)
        return self.problem.lay_out(turned, threads)

    def run(
        self, grad_output: Array, weight: Array | Memory | Layout, bias: Array | None, out: Array, threads: int = 1
    ) -> None:
        """Compute the gradient of the input, plus a bias per channel or None. All of `out` is written."""
        laid_out = self.lay_out(weight, threads) if isinstance(weight, np.ndarray) else weight
        self.problem.run(grad_output, laid_out, bias, out, threads)
