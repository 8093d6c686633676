"""JAX: `jax.lax.conv_general_dilated` and what JAX makes its transposes, compiled by XLA.

The compiled functions are called with arrays that are on the device. There is no way to give the memory of the output.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import partial

import jax
import numpy as np

from ..operations import FORWARD, OPERATIONS
from ..problems import Array, Problem
from . import Call, Peer, UnsupportedError

# The largest strided convolution of volumes whose input gradient is timed: it runs at well below 0.1 GFLOP/s.
MOST_STRIDED_FLOPS = 1e9


def prepare(problem: Problem, x: Array, weight: Array, _reuse: bool) -> Call:
    """Compile the convolution."""
    return compiled(partial(convolve, problem), x, own_weight(problem, weight))


def prepare_gradient(op: str, problem: Problem, grad_output: Array, known: Array, _reuse: bool) -> Call:
    """Refuse what would take minutes, and compile a gradient: the transpose of the convolution by one of its operands.

    The other operand is `known`. The transposed convolution is the gradient of the input by the conjugate weight.
    """
    of_weight = OPERATIONS[op].result == "weight"
    strided = len(problem.input_size) > 2 and max(problem.stride) > 1
    if strided and problem.flops > MOST_STRIDED_FLOPS and not of_weight:
        raise UnsupportedError("XLA has only a plain loop for the gradient of a strided convolution of volumes")
    unknown = jax.ShapeDtypeStruct(OPERATIONS[op].result_shape(problem), known.dtype)

    def gradient(grad_output: jax.Array, known: jax.Array) -> jax.Array:
        known = known if op == "transpose" else known.conj()
        function = partial(convolve, problem, known, own=False) if of_weight else lambda x: convolve(problem, x, known)
        (transposed,) = jax.linear_transpose(function, unknown)(grad_output)
        return transposed

    return compiled(gradient, grad_output, known if of_weight else own_weight(problem, known))


def own_weight(problem: Problem, weight: Array) -> Array:
    """Return the weight in XLA's layout for arrays with the channels last: ``(*kernel_size, C/groups, O)``."""
    return np.moveaxis(weight, (1, 0), (-2, -1)) if problem.channels_last else weight


def convolve(problem: Problem, x: jax.Array, weight: jax.Array, own: bool = True) -> jax.Array:
    """Convolve, for JAX to trace; `own` says that the weight comes from `own_weight`."""
    axes, last = "DHW"[-len(problem.input_size) :], problem.channels_last
    image = f"N{axes}C" if last else f"NC{axes}"
    return jax.lax.conv_general_dilated(
        x,
        weight,
        dimension_numbers=(image, f"{axes}IO" if last and own else f"OI{axes}", image),
        window_strides=problem.stride,
        padding=[(size, size) for size in problem.padding],
        rhs_dilation=problem.dilation,
        feature_group_count=problem.groups,
    )


def compiled(function: Callable[[jax.Array, jax.Array], jax.Array], *arrays: Array) -> Call:
    """Compile a function and put its arguments on the device."""
    arguments = [jax.device_put(np.ascontiguousarray(array)) for array in arrays]
    compute = jax.jit(function)
    compute(*arguments)  # it compiles when it is first called
    return lambda: np.asarray(compute(*arguments).block_until_ready())  # a view


def load(threads: int) -> Peer:
    """Limit the threads: XLA starts one for each processor it may run on, when it is first used."""
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:threads])
    jax.config.update("jax_platforms", "cpu")
    jax.config.update("jax_enable_x64", True)
    gradients = {op: partial(prepare_gradient, op) for op in OPERATIONS if op != FORWARD}
    return Peer(jax.__version__, {FORWARD: prepare, **gradients})
