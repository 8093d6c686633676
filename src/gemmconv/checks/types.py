"""Types of numbers: which are taken, in which type a result is computed, and which type it has.

C computes in float32 and float64. Other numbers are brought to these in numbers/.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any, NamedTuple, NoReturn

import numpy as np
from numpy.typing import DTypeLike

DType = np.dtype[Any]

FLOAT32, FLOAT64 = np.dtype(np.float32), np.dtype(np.float64)


class Types(NamedTuple):
    """The types of one result."""

    kind: str
    """How it is computed: "real" by C alone, or as numbers/ says: "rounded", "complex", "integer"."""
    computing: DType
    """The type in which C computes: float32 or float64."""
    result: DType


def is_computable(dtype: DType) -> bool:
    """Return whether float64 or complex128 holds the values of this type, except that large integers are rounded."""
    return np.can_cast(dtype, np.complex128)


def is_integer(dtype: DType) -> bool:
    """Return whether this is a type of integers or booleans, of at most 64 bits."""
    return np.can_cast(dtype, np.int64) or np.can_cast(dtype, np.uint64)


@lru_cache(maxsize=256)
def computing_dtype(first: DType, second: DType) -> DType:
    """Return the type of a product of such numbers: float32 or float64, or complex64 or complex128."""
    # each with float32 first: types that are not NumPy's, such as bfloat16, are promoted to few others
    return np.result_type(np.result_type(first, FLOAT32), np.result_type(second, FLOAT32))


def types_of(first: DType, second: DType, dtype: DTypeLike | None) -> Types:
    """Return the types of a result that is computed from arrays of two types, or raise if it cannot have `dtype`."""
    return _types_of(first, second, None if dtype is None else as_dtype("dtype", dtype))


@lru_cache(maxsize=256)
def _types_of(first: DType, second: DType, wanted: DType | None) -> Types:
    natural = computing_dtype(first, second)
    part = real_part(natural)
    if wanted is None:
        return Types("real" if natural == part else "complex", part, natural)
    if natural.kind == "c" and wanted.kind != "c":
        raise TypeError(
            f"dtype {wanted} cannot hold complex numbers; pass a complex dtype, or convolve the parts apart"
        )
    if is_integer(wanted):
        check_integers(first, second, wanted)
        return Types("integer", part, wanted)
    if not is_computable(wanted):
        raise_for_dtype(f"dtype is {wanted}")
    computing = real_part(computing_dtype(natural, wanted))
    if natural.kind == "c":
        return Types("complex", computing, wanted)
    return Types("real" if computing == wanted else "rounded", computing, wanted)


def check_integers(first: DType, second: DType, wanted: DType) -> None:
    """Raise unless exact integers of the type `wanted` can be had from arrays of two types."""
    if wanted.kind not in "iu":  # booleans, and types that are not NumPy's
        raise TypeError(f"dtype {wanted} is not a type of integers of NumPy; pass numpy.int64, and convert the result")
    if not (is_integer(first) and is_integer(second)):
        raise TypeError(
            f"dtype {wanted} needs arrays of integers, not {first} and {second}; without dtype, {how_to_round(wanted)}"
        )


def how_to_round(dtype: DType) -> str:
    """Return how to make a result one of integers of this type."""
    if dtype.itemsize > 2:  # its limits are no floats
        return f"round: numpy.rint(result).astype(numpy.{dtype.name})"
    least, most = np.iinfo(dtype).min, np.iinfo(dtype).max
    return f"round and clip: numpy.rint(result).clip({least}, {most}).astype(numpy.{dtype.name})"


def check_bias_type(bias: DType, types: Types) -> None:
    """Raise unless a bias of this type can be added to a result of these types."""
    if bias.kind == "c" and types.kind != "complex":
        raise TypeError(
            f"bias has dtype {bias}, but x and weight are real; make one of them complex too: x.astype({bias})"
        )
    if types.kind == "integer" and not is_integer(bias):
        raise TypeError(f"bias has dtype {bias}, but dtype {types.result} needs a bias of integers")


def real_part(dtype: DType) -> DType:
    """Return the type of the real part of numbers of a computing type."""
    return np.empty(0, dtype).real.dtype


def raise_for_dtype(what: str, hint: str = "") -> NoReturn:
    """Raise for a type that cannot be computed with; `what` begins the message."""
    kinds = "types that cast safely to float64 or complex128"
    raise TypeError(f"{what}; gemmconv computes in float32 or float64 and takes {kinds}{hint}")


def as_dtype(name: str, value: object) -> DType:
    """Return the type that is meant, in the byte order of the machine, or raise an error that names the argument."""
    try:
        dtype: DType = np.dtype(value).newbyteorder("=")  # type: ignore[call-overload]
        return dtype
    except TypeError:
        raise TypeError(f"{name} must be a type of NumPy, not {value!r}") from None


def check_dtype(name: str, value: object) -> DType:
    """Return the computing dtype for weights of this type, or raise an error that names the argument."""
    dtype = as_dtype(name, value)
    if value is None or not is_computable(dtype):
        raise_for_dtype(f"{name} is {value!r}")
    return computing_dtype(dtype, dtype)
