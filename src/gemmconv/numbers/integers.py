"""Integers: exact results, by floating-point numbers of which every sum is exact."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..checks.arrays import Array
from ..checks.types import Types

if TYPE_CHECKING:
    from .operation import Operation


def compute_integers(operation: Operation, types: Types, first: Array, second: Array, bias: Array | None) -> Array:
    """Compute exactly for arrays of integers, or raise if the result may not fit its type."""
    raise NotImplementedError
