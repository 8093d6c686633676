"""Complex numbers: operations on them by operations on their real and imaginary parts."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..checks.arrays import Array
from ..checks.types import Types

if TYPE_CHECKING:
    from .operation import Operation


def compute_complex(operation: Operation, types: Types, first: Array, second: Array, bias: Array | None) -> Array:
    """Compute for arrays of which at least one is complex."""
    raise NotImplementedError
