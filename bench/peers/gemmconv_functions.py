"""gemmconv: its function `conv`, and its `Plan`."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

import gemmconv

from ..problems import Array, Problem
from . import Peer


class GemmconvFunctions:
    """`gemmconv.conv`."""

    def version(self) -> str:
        """Return the version of gemmconv."""
        return gemmconv.__version__

    def prepare(self, problem: Problem, x: Array, weight: Array, reuse: bool) -> Callable[[], Array]:
        """Bind the arguments."""
        options = problem.options
        out = np.empty(problem.output_shape, x.dtype) if reuse else None

        def call() -> Array:
            return gemmconv.conv(x, weight, **options, out=out)

        return call


class GemmconvPlan(GemmconvFunctions):
    """`gemmconv.Plan`."""

    def prepare(self, problem: Problem, x: Array, weight: Array, reuse: bool) -> Callable[[], Array]:
        """Make the plan."""
        plan = gemmconv.Plan(weight, input_size=problem.input_size, **problem.options)
        out = np.empty(problem.output_shape, x.dtype) if reuse else None

        def call() -> Array:
            return plan(x, out)

        return call


def load(threads: int) -> Peer:
    """Set the number of threads."""
    gemmconv.set_num_threads(threads)
    return GemmconvFunctions()


def load_plan(threads: int) -> Peer:
    """Set the number of threads."""
    gemmconv.set_num_threads(threads)
    return GemmconvPlan()
