"""Operation: what a public function is to compute, for arrays of any numbers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from ..checks.arrays import Array, check_out, deliver, rounded
from ..checks.types import DType, Types
from ..engine.calls import Call, Options, TransposedOptions
from .complex_numbers import compute_complex
from .integers import compute_integers

# What computes an operation on real arrays.
RunReal = Callable[..., Array]


class Operation(NamedTuple):
    """A convolution, or one of its transposes, that is linear in each of two arrays."""

    name: str
    """"convolution", "transposed", "input_gradient" or "weight_gradient"."""
    run: RunReal
    """Computes it for two real arrays, and perhaps a bias: ``run(first, second, bias=None, *, computing=None,
    **changes)``. C computes in the type `computing`, or else in that of `first`. `changes` replace options that the
    caller gave. The shapes may have other numbers of images and channels."""
    call: Call
    """The call for the shapes that the caller gave; by it they are checked already."""
    options: Options | TransposedOptions
    """The options as the caller gave them."""
    prepared: Callable[[bool], RunReal] | None = None
    """Of a plan with a complex weight: what computes with its parts, prepared, for complex images or for real ones."""
    out_type: DType | None = None
    """The type of `out`, if that was given. Integers must fit it too."""

    @property
    def channels_last(self) -> bool:
        """Whether the channels of the arrays are last."""
        return self.options.channels_last

    @property
    def padding_value(self) -> Any:
        """The constant in the padding of x, if the result depends on it."""
        return getattr(self.options, "padding_value", 0) if self.name in ("convolution", "weight_gradient") else 0

    def compute(
        self, types: Types, first: Array, second: Array, bias: Array | None = None, out: Array | None = None
    ) -> Array:
        """Compute for arrays of any types, and return the result, which is `out` if that was given."""
        operation = self
        if out is not None:
            check_out(out, self.call.out_shape, types.result)
            operation = self._replace(out_type=out.dtype)
        # rounded once, and converted before anything is written
        result = rounded(COMPUTE[types.kind](operation, types, first, second, bias), types.result)
        return result if out is None else deliver(result, out)


def compute_real(operation: Operation, types: Types, first: Array, second: Array, bias: Array | None) -> Array:
    """Compute in the computing type; the caller rounds."""
    return operation.run(first, second, bias, computing=types.computing)


# How each kind of types is computed.
COMPUTE = {"real": compute_real, "rounded": compute_real, "complex": compute_complex, "integer": compute_integers}
