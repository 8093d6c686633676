"""The weight and bias of a plan, and their layouts, one per computing dtype."""

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
    """The weight and bias that one `update` brought, and their layouts.

    Threads share it: all that changes are the entries of two dictionaries, which they may set twice to the same.
    """

    __slots__ = ("_backward", "_forward", "bias", "dtype", "weight")

    def __init__(self, weight: Array, bias: Array | None) -> None:
        self.weight, self.bias = weight, bias
        self.dtype = weight.dtype
        self._forward: dict[np.dtype[Any], LaidOut] = {}
        self._backward: dict[np.dtype[Any], Memory | Layout] = {}

    def for_convolution(self, dtype: np.dtype[Any], call: Call) -> LaidOut:
        """Return weight and bias laid out for the convolution."""
        laid_out = self._forward.get(dtype)
        if laid_out is None:
            bias = None if self.bias is None else Memory(contiguous(self.bias, dtype))
            laid_out = self._forward[dtype] = LaidOut(self._lay_out(dtype, call), bias)
        return laid_out

    def for_input_gradient(self, dtype: np.dtype[Any], call: Call) -> Memory | Layout:
        """Return the weight laid out for the gradient of the input."""
        laid_out = self._backward.get(dtype)
        if laid_out is None:
            laid_out = self._backward[dtype] = self._lay_out(dtype, call)
        return laid_out

    def _lay_out(self, dtype: np.dtype[Any], call: Call) -> Memory | Layout:
        laid_out: Memory | Layout = call.problem.lay_out(contiguous(self.weight, dtype), call.threads)
        return laid_out

    def __reduce__(self) -> tuple[Any, ...]:
        """Return all but the layouts, which point into memory."""
        return Weights, (self.weight, self.bias)
