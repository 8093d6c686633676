"""gemmconv: its functions, and its `Plan`."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

import gemmconv

from ..operations import FORWARD, OPERATIONS
from ..problems import Array, Problem
from . import Peer


class GemmconvFunctions:
    """`gemmconv.conv`, its gradients, and `gemmconv.conv_transpose`."""

    def version(self) -> str:
        """Return the version of gemmconv."""
        return gemmconv.__version__

    def prepare(self, problem: Problem, x: Array, weight: Array, reuse: bool) -> Callable[[], Array]:
        """Bind the arguments."""
        return bind(FORWARD, problem, x, weight, reuse)

    def prepare_input_gradient(
        self, problem: Problem, grad_output: Array, weight: Array, reuse: bool
    ) -> Callable[[], Array]:
        """Bind the arguments."""
        return bind("input_gradient", problem, grad_output, weight, reuse)

    def prepare_weight_gradient(
        self, problem: Problem, grad_output: Array, x: Array, reuse: bool
    ) -> Callable[[], Array]:
        """Bind the arguments."""
        return bind("weight_gradient", problem, grad_output, x, reuse)

    def prepare_transpose(self, problem: Problem, x: Array, weight: Array, reuse: bool) -> Callable[[], Array]:
        """Bind the arguments."""
        return bind("transpose", problem, x, weight, reuse)


def bind(op: str, problem: Problem, first: Array, second: Array, reuse: bool) -> Callable[[], Array]:
    """Return a call of the function of an operation."""
    operation = OPERATIONS[op]
    function = operation.bind(gemmconv, problem)
    out = np.empty(operation.result_shape(problem), first.dtype) if reuse else None
    return lambda: function(first, second, out=out)


class GemmconvPlan:
    """`gemmconv.Plan`."""

    def version(self) -> str:
        """Return the version of gemmconv."""
        return gemmconv.__version__

    def prepare(self, problem: Problem, x: Array, weight: Array, reuse: bool) -> Callable[[], Array]:
        """Make the plan."""
        plan = make_plan(problem, weight)
        out = np.empty(problem.output_shape, x.dtype) if reuse else None
        return lambda: plan(x, out)

    def prepare_input_gradient(
        self, problem: Problem, grad_output: Array, weight: Array, reuse: bool
    ) -> Callable[[], Array]:
        """Make the plan."""
        plan = make_plan(problem, weight)
        out = np.empty(problem.input_shape, weight.dtype) if reuse else None
        return lambda: plan.input_gradient(grad_output, out)

    #: The transposed convolution is that gradient.
    prepare_transpose = prepare_input_gradient

    def prepare_weight_gradient(
        self, problem: Problem, grad_output: Array, x: Array, reuse: bool
    ) -> Callable[[], Array]:
        """Make the plan, whose weight this gradient does not depend on."""
        plan = make_plan(problem, np.zeros(problem.weight_shape, x.dtype))
        out = np.empty(problem.weight_shape, x.dtype) if reuse else None
        return lambda: plan.weight_gradient(grad_output, x, out)


def make_plan(problem: Problem, weight: Array) -> gemmconv.Plan:
    """Plan the forward convolution."""
    return gemmconv.Plan(weight, input_size=problem.input_size, **problem.options)


def load(threads: int) -> Peer:
    """Set the number of threads."""
    gemmconv.set_num_threads(threads)
    return GemmconvFunctions()


def load_plan(threads: int) -> Peer:
    """Set the number of threads."""
    gemmconv.set_num_threads(threads)
    return GemmconvPlan()
