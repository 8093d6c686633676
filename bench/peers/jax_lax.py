"""JAX: `jax.lax.conv_general_dilated`, compiled by XLA."""

from __future__ import annotations

import os
from collections.abc import Callable

import jax
import numpy as np

from ..problems import Array, Problem
from . import Peer


class Jax:
    """`jax.jit` of the convolution, called with arrays that are on the device."""

    def version(self) -> str:
        """Return the version of JAX."""
        return str(jax.__version__)

    def prepare(self, problem: Problem, x: Array, weight: Array, reuse: bool) -> Callable[[], Array]:  # noqa: ARG002
        """Compile and put the arrays on the device; there is no way to give the memory of the output."""

        def convolve(x: jax.Array, weight: jax.Array) -> jax.Array:
            return jax.lax.conv_general_dilated(
                x,
                weight,
                window_strides=problem.stride,
                padding=[(size, size) for size in problem.padding],
                rhs_dilation=problem.dilation,
                feature_group_count=problem.groups,
            )

        arguments = (jax.device_put(x), jax.device_put(weight))
        compiled = jax.jit(convolve)
        compiled(*arguments)  # it compiles when it is first called

        def call() -> Array:
            return np.asarray(compiled(*arguments).block_until_ready())  # a view

        return call


def load(threads: int) -> Peer:
    """Limit the threads: XLA starts as many as there are processors it may run on, when it is first used."""
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:threads])
    jax.config.update("jax_platforms", "cpu")
    jax.config.update("jax_enable_x64", True)
    return Jax()
