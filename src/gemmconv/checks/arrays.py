"""Arrays: from the array-likes of the caller to arrays for the C layer, and from there into the caller's `out`.

The C layer takes contiguous, aligned arrays of one native type: the computing dtype (types.py), which is float32 or
float64. Layouts, byte orders and read-only flags are dealt with here, so that they never change a value.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeVar, overload

import numpy as np
from numpy import ndarray
from numpy.typing import NDArray

from .options import Sizes
from .shapes import check_array_shape
from .types import FLOAT64, DType, how_to_round, is_computable, is_integer, raise_for_dtype

Array = NDArray[Any]
T = TypeVar("T")


def as_array(name: str, value: object) -> Array:
    """Return an array of a type that can be computed with, or raise an error that names the argument."""
    if type(value) is np.ndarray:
        array = value
    elif isinstance(value, np.ma.MaskedArray):
        raise TypeError(f"{name} is a masked array, whose mask would be lost; fill it first: {name}.filled(0)")
    elif value is None:
        raise TypeError(f"{name} is None, but must be an array")
    elif hasattr(value, "toarray"):
        raise TypeError(f"{name} is a sparse array; make it dense first: {name}.toarray()")
    else:
        try:
            array = np.asarray(value)
        except (RuntimeError, TypeError, ValueError) as error:  # tensors of PyTorch raise all three
            raise type(error)(f"{name} cannot be made an array: {error}") from None
    if not is_computable(array.dtype):
        raise_for_dtype(f"{name} has dtype {array.dtype}", hint_dtype(name, value, array.dtype))
    return array


def hint_dtype(name: str, value: object, dtype: np.dtype[Any]) -> str:
    """Return how to make an array of another type one that can be computed with, or an empty string."""
    if dtype.char == "g":
        return f"; pass numpy.asarray({name}, numpy.float64)"
    if dtype.kind == "O" and hasattr(value, "to_numpy"):  # pandas, whose nullable types become objects
        return f"; pass {name}.to_numpy(dtype=float, na_value=numpy.nan)"
    return f"; if it holds numbers, pass numpy.asarray({name}, dtype=float)" if dtype.kind == "O" else ""


def check_bool(name: str, value: object) -> bool:
    """Return an option that is True or False, or raise an error that names it."""
    if not isinstance(value, bool | np.bool_):
        raise TypeError(f"{name} must be True or False, not {value!r}")
    return bool(value)


def flipped(weight: Array, flip: object) -> Array:
    """Return the weight with its kernels reversed, if flip is True."""
    return np.flip(weight, tuple(range(2, weight.ndim))) if check_bool("flip", flip) else weight


@overload
def contiguous(array: Array, dtype: np.dtype[Any]) -> Array: ...


@overload
def contiguous(array: T, dtype: np.dtype[Any]) -> T: ...


def contiguous(array: Any, dtype: np.dtype[Any]) -> Any:
    """Return the array if C can take it, else a contiguous, aligned, native copy of the type `dtype`.

    Anything that is not an array is returned as it is.
    """
    if type(array) is not ndarray:
        return array  # a weight that is laid out already
    flags = array.flags
    if array.dtype == dtype and array.dtype.isnative and flags.c_contiguous and flags.aligned:
        return array
    return np.array(array, dtype=dtype, order="C", subok=False)


def check_out(out: object, shape: Sizes, dtype: np.dtype[Any]) -> None:
    """Raise unless a result of this shape and type may be written to `out`."""
    if not isinstance(out, np.ndarray):
        raise TypeError(f"out must be a numpy.ndarray, not {type(out).__name__}")
    if isinstance(out, np.ma.MaskedArray):
        raise TypeError("out is a masked array, whose mask would not be written; pass its data: out.data")
    check_array_shape("out", out.shape, shape, "the result")
    if not out.flags.writeable:
        raise ValueError("out is read-only")
    holds_numbers = out.dtype.kind in "fcO" or is_computable(out.dtype)
    loses_fractions = is_integer(out.dtype) and not is_integer(dtype)
    if not holds_numbers or loses_fractions or not np.can_cast(dtype, out.dtype, "same_kind"):
        hint = ""
        if out.dtype.kind in "iu":
            exact = f"for exact sums of integers pass dtype=numpy.{out.dtype.name}"
            hint = f"; {exact}; without out, {how_to_round(out.dtype)}"
        raise TypeError(
            f"out has dtype {out.dtype}, to which a result of dtype {dtype} cannot be cast (same_kind){hint}"
        )


def result_array(out: Array, dtype: np.dtype[Any], inputs: Sequence[object]) -> Array:
    """Return the array to which the C layer writes.

    It is `out` if that needs no conversion and overlaps no input, and otherwise a new array.
    """
    flags = out.flags
    usable = out.dtype == dtype and out.dtype.isnative and flags.c_contiguous and flags.aligned
    for array in inputs:
        usable = usable and not (type(array) is ndarray and np.may_share_memory(out, array))
    return out if usable else np.empty(out.shape, dtype)


def rounded(result: Array, dtype: DType) -> Array:
    """Return the result in another type, each number rounded once."""
    if dtype.isbuiltin == 2 and result.dtype == FLOAT64:
        result = rounded_to_odd(result)
    return result.astype(dtype, copy=False)


def rounded_to_odd(values: Array) -> Array:
    """Return float64 numbers in float32 such that rounding them again, to fewer bits, is as if rounded once.

    Types that are not NumPy's, such as bfloat16, convert float64 by way of float32. If both conversions rounded to the
    nearest, a number just above the middle of two numbers of bfloat16 could first become the middle, and then the
    lower one. Here a number that float32 does not hold becomes that neighbour whose last bit is 1::

        float64                   to the nearest           to odd
        1.0000 0001 0...01        1.0000 0001 0...0        1.0000 0001 0...1     bfloat16 keeps what is left of the gap
    """
    nearest = values.astype(np.float32)
    inexact = nearest != values
    bits = nearest.view(np.int32)
    bits -= np.abs(nearest) > np.abs(values)  # towards zero
    bits |= inexact
    return nearest


def deliver(result: Array, out: Array) -> Array:
    """Copy the result into `out`, if it is not there already, and return `out`."""
    if out is not result:
        # converted first: if that raises (numpy.errstate), nothing has been written
        out[...] = rounded(result, out.dtype)
    return out
