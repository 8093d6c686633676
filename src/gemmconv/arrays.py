"""Arrays: any array-like becomes what the C layer takes, once; and back into the caller's `out`.

The C layer takes contiguous, aligned arrays of one native type. The computing dtype is
``numpy.result_type(x, weight, numpy.float32)``, which must be float32 or float64.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .geometry import Geometry, check_out_shape
from .options import Sizes

Array = NDArray[Any]

# The type codes of NumPy for booleans, integers, float16, float32 and float64: what float64 holds or nearly holds. Long
# doubles are not among them, even where they have 64 bits.
COMPUTABLE = "?bBhHiIlLqQefd"


def as_array(name: str, value: object) -> Array:
    """Return an array of real numbers that fit float64, or raise naming the argument."""
    if type(value) is np.ndarray:
        array = value
    elif isinstance(value, np.ma.MaskedArray):
        raise TypeError(f"{name} is a masked array, whose mask would be lost; fill it first: {name}.filled(0)")
    else:
        try:
            array = np.asarray(value)
        except (RuntimeError, TypeError, ValueError) as error:  # PyTorch's tensors raise all of them
            raise type(error)(f"{name} cannot be made an array: {error}") from None
    if array.dtype.char not in COMPUTABLE:
        hint = "; convolve the real and the imaginary part apart" if array.dtype.kind == "c" else ""
        raise TypeError(
            f"{name} has dtype {array.dtype}; gemmconv computes in float32 or float64 and takes "
            f"booleans, integers and floats of up to 64 bits{hint}"
        )
    return array


@lru_cache(maxsize=256)
def computing_dtype(x: np.dtype[Any], weight: np.dtype[Any]) -> np.dtype[Any]:
    """Return float32 or float64: the type in which a convolution of such arrays is computed."""
    return np.result_type(x, weight, np.float32)


def check_flip(flip: object) -> bool:
    """Return whether the kernel is to be reversed."""
    if not isinstance(flip, bool | np.bool_):
        raise TypeError(f"flip must be True or False, not {flip!r}")
    return bool(flip)


def contiguous(array: Array, dtype: np.dtype[Any]) -> Array:
    """Return the array itself, or a contiguous, aligned, native copy of the wanted type."""
    flags = array.flags
    if array.dtype is dtype and flags.c_contiguous and flags.aligned:
        return array
    if array.dtype == dtype and array.dtype.isnative and flags.c_contiguous and flags.aligned:
        return array
    return np.array(array, dtype=dtype, order="C", subok=False)


def extend(x: Array, geometry: Geometry, mode: str) -> Array:
    """Return x padded by one of numpy.pad's modes; negative padding crops the extended signal afterwards."""
    other_axes = x.ndim - geometry.rank
    pads = [(0, 0)] * other_axes + [(max(before, 0), max(after, 0)) for before, after in geometry.pads]
    extended = np.pad(x, pads, mode=mode)  # type: ignore[call-overload]
    crop = [slice(max(-before, 0), after if after < 0 else None) for before, after in geometry.pads]
    cropped: Array = extended[(..., *crop)]
    return cropped


def check_out(out: object, shape: Sizes, dtype: np.dtype[Any]) -> None:
    """Raise unless a result of this shape and type may be written to `out`."""
    if not isinstance(out, np.ndarray):
        raise TypeError(f"out must be a numpy.ndarray, not {type(out).__name__}")
    if isinstance(out, np.ma.MaskedArray):
        raise TypeError("out is a masked array, whose mask would not be written; pass its data: out.data")
    check_out_shape(out.shape, shape)
    if not out.flags.writeable:
        raise ValueError("out is read-only")
    if not np.can_cast(dtype, out.dtype, "same_kind"):
        raise TypeError(f"out has dtype {out.dtype}, to which a result of dtype {dtype} cannot be cast (same_kind)")


def can_hold_result(out: Array, dtype: np.dtype[Any], inputs: list[Array]) -> bool:
    """Whether the C layer may write to `out` directly: nothing to convert, and no input is overwritten."""
    flags = out.flags
    return bool(
        out.dtype == dtype
        and out.dtype.isnative
        and flags.c_contiguous
        and flags.aligned
        and not any(np.may_share_memory(out, array) for array in inputs)
    )
