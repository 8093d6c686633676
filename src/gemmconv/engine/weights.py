"""Weights of a plan, laid out for its kernels once in each type that is computed in."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from .._gemmconv import Layout, Memory
from ..checks.arrays import Array, contiguous
from .calls import Call


class LaidOut(NamedTuple):
    """Weight and bias in one computing dtype, as the C layer takes them."""

    weight: Memory | Layout
    bias: Memory | None


class Weights:
    """What one `update` brought, and the same laid out in each computing dtype that was asked for.

    Threads share it: all that changes are the entries of a dictionary, which they may set twice to the same.
    """

    __slots__ = ("bias", "dtype", "laid_out", "turned", "weight")

    def __init__(self, weight: Array, bias: Array | None) -> None:
        self.weight, self.bias = weight, bias
        self.dtype = weight.dtype
        self.laid_out: dict[np.dtype[Any], LaidOut] = {}
        self.turned: dict[np.dtype[Any], Memory | Layout] = {}

    def lay_out(self, dtype: np.dtype[Any], call: Call) -> LaidOut:
        """Return weight and bias laid out for the convolution."""
        laid_out = self.laid_out.get(dtype)
        if laid_out is None:
            bias = None if self.bias is None else Memory(contiguous(self.bias, dtype))
            laid_out = LaidOut(call.problem.lay_out(contiguous(self.weight, dtype), call.threads), bias)
            self.laid_out[dtype] = laid_out
        return laid_out

    def turn(self, dtype: np.dtype[Any], call: Call) -> Memory | Layout:
        """Return the weight laid out for the gradient of the input."""
        turned = self.turned.get(dtype)
        if turned is None:
            turned = self.turned[dtype] = call.problem.lay_out(contiguous(self.weight, dtype), call.threads)
        return turned

    def __reduce__(self) -> tuple[Any, ...]:
        """Return all but what is laid out, which points into memory."""
        return Weights, (self.weight, self.bias)
