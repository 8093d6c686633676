"""JAX: `jax.lax.conv_general_dilated` and what JAX makes its transposes, compiled by XLA."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import partial

import jax
import numpy as np

from ..problems import Array, Problem
from . import Peer, UnsupportedError

# Of the gradient of the input of a strided convolution of volumes, at well below 0.1 GFLOP/s.
MOST_STRIDED_FLOPS = 1e9


class Jax:
    """`jax.jit` of the convolution and of its transposes, called with arrays that are on the device.

    There is no way to give the memory of the output.
    """

    def version(self) -> str:
        """Return the version of JAX."""
        return str(jax.__version__)

    def prepare(self, problem: Problem, x: Array, weight: Array, reuse: bool) -> Callable[[], Array]:  # noqa: ARG002
        """Compile."""
        return compiled(partial(convolve, problem), x, weight)

    def prepare_input_gradient(
        self,
        problem: Problem,
        grad_output: Array,
        weight: Array,
        reuse: bool,  # noqa: ARG002
    ) -> Callable[[], Array]:
        """Refuse what would take minutes, and compile."""
        if len(problem.input_size) > 2 and max(problem.stride) > 1 and problem.flops > MOST_STRIDED_FLOPS:
            raise UnsupportedError("XLA has but a plain loop for the gradient of a strided convolution of volumes")
        x = jax.ShapeDtypeStruct(problem.input_shape, weight.dtype)

        def gradient(grad_output: jax.Array, weight: jax.Array) -> jax.Array:
            (transposed,) = jax.linear_transpose(lambda x: convolve(problem, x, weight), x)(grad_output)
            return transposed

        return compiled(gradient, grad_output, weight)

    #: The transposed convolution is that gradient.
    prepare_transpose = prepare_input_gradient

    def prepare_weight_gradient(
        self,
        problem: Problem,
        grad_output: Array,
        x: Array,
        reuse: bool,  # noqa: ARG002
    ) -> Callable[[], Array]:
        """Compile."""
        weight = jax.ShapeDtypeStruct(problem.weight_shape, x.dtype)

        def gradient(grad_output: jax.Array, x: jax.Array) -> jax.Array:
            (transposed,) = jax.linear_transpose(lambda weight: convolve(problem, x, weight), weight)(grad_output)
            return transposed

        return compiled(gradient, grad_output, x)


def convolve(problem: Problem, x: jax.Array, weight: jax.Array) -> jax.Array:
    """Convolve, for JAX to trace."""
    return jax.lax.conv_general_dilated(
        x,
        weight,
        window_strides=problem.stride,
        padding=[(size, size) for size in problem.padding],
        rhs_dilation=problem.dilation,
        feature_group_count=problem.groups,
    )


def compiled(function: Callable[[jax.Array, jax.Array], jax.Array], *arrays: Array) -> Callable[[], Array]:
    """Compile a function and put its arguments on the device."""
    arguments = [jax.device_put(array) for array in arrays]
    compute = jax.jit(function)
    compute(*arguments)  # it compiles when it is first called
    return lambda: np.asarray(compute(*arguments).block_until_ready())  # a view


def load(threads: int) -> Peer:
    """Limit the threads: XLA starts as many as there are processors it may run on, when it is first used."""
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:threads])
    jax.config.update("jax_platforms", "cpu")
    jax.config.update("jax_enable_x64", True)
    return Jax()
