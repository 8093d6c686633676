"""gemmconv: its functions, and its `Plan`."""

from __future__ import annotations

from functools import partial

import numpy as np

import gemmconv

from ..operations import FORWARD, OPERATIONS
from ..problems import Array, Problem
from . import Call, Peer


def bind(op: str, problem: Problem, first: Array, second: Array, reuse: bool) -> Call:
    """Bind the arguments of the function of an operation."""
    operation = OPERATIONS[op]
    function = operation.bind(gemmconv, problem)
    out = np.empty(operation.result_shape(problem), np.result_type(first, np.float32)) if reuse else None
    return lambda: function(first, second, out=out)


def make_plan(problem: Problem, weight: Array) -> gemmconv.Plan:
    """Plan the forward convolution."""
    return gemmconv.Plan(weight, input_size=problem.input_size, channels_last=problem.channels_last, **problem.options)


def plan_convolution(problem: Problem, x: Array, weight: Array, reuse: bool) -> Call:
    """Make the plan and bind the arguments of its call."""
    plan = make_plan(problem, weight)
    out = np.empty(problem.output_shape, np.result_type(x, np.float32)) if reuse else None
    return lambda: plan(x, out)


def plan_input_gradient(problem: Problem, grad_output: Array, weight: Array, reuse: bool) -> Call:
    """Do the same for the gradient of the input."""
    plan = make_plan(problem, weight)
    out = np.empty(problem.input_shape, np.result_type(weight, np.float32)) if reuse else None
    return lambda: plan.input_gradient(grad_output, out)


def plan_transpose(problem: Problem, x: Array, weight: Array, reuse: bool) -> Call:
    """Do the same for the transposed convolution: the gradient by the conjugate weight."""
    return plan_input_gradient(problem, x, weight.conj() if np.iscomplexobj(weight) else weight, reuse)


def plan_weight_gradient(problem: Problem, grad_output: Array, x: Array, reuse: bool) -> Call:
    """Do the same for the gradient of the weight, which does not depend on the weight of the plan."""
    plan = make_plan(problem, np.zeros(problem.weight_shape, x.dtype))
    out = np.empty(problem.weight_shape, np.result_type(x, np.float32)) if reuse else None
    return lambda: plan.weight_gradient(grad_output, x, out)


def load(threads: int) -> Peer:
    """Set the number of threads."""
    gemmconv.set_num_threads(threads)
    return Peer(gemmconv.__version__, {op: partial(bind, op) for op in OPERATIONS})


def load_plan(threads: int) -> Peer:
    """Set the number of threads."""
    gemmconv.set_num_threads(threads)
    plans = {
        FORWARD: plan_convolution,
        "input_gradient": plan_input_gradient,
        "weight_gradient": plan_weight_gradient,
        "transpose": plan_transpose,
    }
    return Peer(gemmconv.__version__, plans)
