"""The weight and bias of a plan, and their layouts: one per direction and computing dtype.

A layout is the weight in the order in which a C kernel reads it. The kernel makes it; this file only keeps it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from .._gemmconv import Layout, Memory
from ..checks.arrays import Array, contiguous
from ..checks.types import computing_dtype
from .calls import Call

if TYPE_CHECKING:
    from .scipy_fft import TransformedWeight


class LaidOut(NamedTuple):
    """The weight and the bias in one computing dtype, as the C layer takes them."""

    weight: Memory | Layout | TransformedWeight
    bias: Memory | Array | None


class Weights:
    """The weight and bias of a plan since its last `update`, and their layouts.

    A complex weight has no layouts, but plans with real weights: that for complex images, and that for real ones.

    Several threads may use it at the same time. Only the dictionaries change; if two threads set the same entry, both
    set equal values.
    """

    __slots__ = ("_backward", "_bands", "_forward", "bias", "dtype", "plans", "weight")

    def __init__(self, weight: Array, bias: Array | None) -> None:
        self.weight, self.bias = weight, bias
        # NumPy's own object for the type, which that of an unpickled array is not
        self.dtype = computing_dtype(weight.dtype, weight.dtype)
        self.plans: dict[tuple[object, ...], Any] = {}
        self._forward: dict[np.dtype[Any], LaidOut] = {}
        self._backward: dict[np.dtype[Any], Memory | Layout | TransformedWeight] = {}
        self._bands: Weights | None = None

    def for_convolution(self, dtype: np.dtype[Any], call: Call) -> LaidOut:
        """Return the weight and the bias laid out for the convolution."""
        laid_out = self._forward.get(dtype)
        if laid_out is None:
            bias: Any = None if self.bias is None else contiguous(self.bias, dtype)
            if bias is not None and call.problem.kernel not in ("scipy_fft", "empty"):
                bias = Memory(bias)
            laid_out = self._forward[dtype] = LaidOut(self._lay_out(dtype, call), bias)
        return laid_out

    def of_bands(self) -> Weights:
        """Return the same weight and bias, with layouts for the bands of an image (numbers/narrow.py)."""
        if self._bands is None:
            self._bands = Weights(self.weight, self.bias)
        return self._bands

    def for_input_gradient(self, dtype: np.dtype[Any], call: Call) -> Memory | Layout | TransformedWeight:
        """Return the weight laid out for the input gradient."""
        laid_out = self._backward.get(dtype)
        if laid_out is None:
            laid_out = self._backward[dtype] = self._lay_out(dtype, call)
        return laid_out

    def _lay_out(self, dtype: np.dtype[Any], call: Call) -> Memory | Layout | TransformedWeight:
        laid_out: Memory | Layout | TransformedWeight = call.problem.lay_out(
            contiguous(self.weight, dtype), call.threads
        )
        return laid_out

    def __reduce__(self) -> tuple[Any, ...]:
        """Return everything but what is made from it; layouts hold pointers."""
        return Weights, (self.weight, self.bias)
