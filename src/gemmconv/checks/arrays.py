"""Arrays: from the array-likes of the caller to arrays for the C layer, and from there into the caller's `out`.

The C layer takes contiguous, aligned arrays of one native type: the computing dtype,
``numpy.result_type(x, weight, numpy.float32)``, which is float32 or float64. Layouts, byte orders and read-only flags
are dealt with here, so that they never change a value. Padding modes other than zeros are here too: `extend` pads x
before the convolution, `fold` is its transpose for gradients.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any, NoReturn, TypeVar, overload

import numpy as np
from numpy import ndarray
from numpy.typing import NDArray

from .geometry import Geometry
from .options import Sizes
from .shapes import check_array_shape

Array = NDArray[Any]
T = TypeVar("T")

# The type codes of NumPy for booleans, integers, float16, float32 and float64. float64 holds their values, except that
# large integers are rounded. Long doubles are not included, even where they have 64 bits.
COMPUTABLE = "?bBhHiIlLqQefd"


def as_array(name: str, value: object) -> Array:
    """Return an array of one of the computable types, or raise an error that names the argument."""
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
    if array.dtype.char not in COMPUTABLE:
        raise_for_dtype(f"{name} has dtype {array.dtype}", hint_dtype(name, value, array.dtype))
    return array


def hint_dtype(name: str, value: object, dtype: np.dtype[Any]) -> str:
    """Return how to make an array of another type one that can be computed with, or an empty string."""
    if dtype.kind == "c":
        return "; convolve the real and the imaginary part apart"
    if dtype.char == "g":
        return f"; pass numpy.asarray({name}, numpy.float64)"
    if dtype.kind == "O" and hasattr(value, "to_numpy"):  # pandas, whose nullable types become objects
        return f"; pass {name}.to_numpy(dtype=float, na_value=numpy.nan)"
    return f"; if it holds numbers, pass numpy.asarray({name}, dtype=float)" if dtype.kind == "O" else ""


def raise_for_dtype(what: str, hint: str = "") -> NoReturn:
    """Raise for a type that cannot be computed with; `what` begins the message."""
    kinds = "booleans, integers and floats of up to 64 bits"
    raise TypeError(f"{what}; gemmconv computes in float32 or float64 and takes {kinds}{hint}")


def check_dtype(name: str, value: object) -> np.dtype[Any]:
    """Return the computing dtype for weights of this type, or raise an error that names the argument."""
    try:
        dtype = np.dtype(value)  # type: ignore[call-overload]
    except TypeError:
        raise TypeError(f"{name} must be a type of NumPy, not {value!r}") from None
    if value is None or dtype.char not in COMPUTABLE:
        raise_for_dtype(f"{name} is {value!r}")
    return computing_dtype(dtype, dtype)


@lru_cache(maxsize=256)
def computing_dtype(x: np.dtype[Any], weight: np.dtype[Any]) -> np.dtype[Any]:
    """Return the type in which a convolution of arrays of these types is computed: float32 or float64."""
    return np.result_type(x, weight, np.float32)


def check_flip(flip: object) -> bool:
    """Return whether kernels are to be reversed, or raise."""
    if not isinstance(flip, bool | np.bool_):
        raise TypeError(f"flip must be True or False, not {flip!r}")
    return bool(flip)


def flipped(weight: Array, flip: object) -> Array:
    """Return the weight with its kernels reversed, if flip is True."""
    return np.flip(weight, tuple(range(2, weight.ndim))) if check_flip(flip) else weight


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


def extend(x: Array, geometry: Geometry, mode: str) -> Array:
    """Return x padded with a mode of numpy.pad; negative padding crops the extended signal afterwards."""
    other_axes = x.ndim - geometry.rank
    pads = [(0, 0)] * other_axes + [(max(before, 0), max(after, 0)) for before, after in geometry.pads]
    extended = np.pad(x, pads, mode=mode)  # type: ignore[call-overload]
    crop = [slice(max(-before, 0), after if after < 0 else None) for before, after in geometry.pads]
    cropped: Array = extended[(..., *crop)]
    return cropped


def extension_period(size: int, mode: str) -> int:
    """Return after how many positions an extended axis repeats itself; 0 for "edge", which does not."""
    return {"wrap": size, "symmetric": 2 * size, "reflect": max(2 * size - 2, 1), "edge": 0}[mode]


def extended_from(positions: NDArray[np.int64], size: int, mode: str) -> NDArray[np.int64]:
    """Return, for positions of an extended axis counted from the first element of x, those in x that they repeat."""
    if mode == "edge":
        return np.clip(positions, 0, size - 1)
    period = extension_period(size, mode)
    within = positions % period
    if mode == "wrap":
        return within
    return np.minimum(within, period - (1 if mode == "symmetric" else 0) - within)


def extension_indices(size: int, before: int, after: int, mode: str) -> NDArray[np.int64]:
    """Return, for each position of the extended axis, the position in x that it repeats, or -1 for a zero."""
    positions = np.arange(-before, size + after)
    if mode == "constant":
        return np.where((positions >= 0) & (positions < size), positions, -1)
    return extended_from(positions, size, mode)


def fold(extended: Array, geometry: Geometry, mode: str) -> Array:
    """Return the transpose of `extend`: every element is added to the element of x that it repeats."""
    sizes = geometry.in_size[3 - geometry.rank :]
    for axis, (size, (before, after)) in enumerate(zip(sizes, geometry.pads), start=extended.ndim - geometry.rank):
        if before or after:
            extended = np.moveaxis(fold_first(np.moveaxis(extended, axis, 0), size, before, after, mode), 0, axis)
    return np.ascontiguousarray(extended)


def fold_first(extended: Array, size: int, before: int, after: int, mode: str) -> Array:
    """Return the transpose of `extend` along the first axis."""
    indices = extension_indices(size, before, after, mode)
    folded = np.zeros((size, *extended.shape[1:]), extended.dtype)
    # the elements that are not in the padding are one block
    first, end = max(-before, 0), size - max(-after, 0)
    start = max(before, 0) if first < end else 0
    stop = start + max(end - first, 0)
    folded[first : first + stop - start] = extended[start:stop]
    for border in (slice(0, start), slice(stop, None)):
        np.add.at(folded, indices[border], extended[border])
    return folded


def check_out(out: object, shape: Sizes, dtype: np.dtype[Any]) -> None:
    """Raise unless a result of this shape and type may be written to `out`."""
    if not isinstance(out, np.ndarray):
        raise TypeError(f"out must be a numpy.ndarray, not {type(out).__name__}")
    if isinstance(out, np.ma.MaskedArray):
        raise TypeError("out is a masked array, whose mask would not be written; pass its data: out.data")
    check_array_shape("out", out.shape, shape, "the result")
    if not out.flags.writeable:
        raise ValueError("out is read-only")
    if out.dtype.kind not in "fcO" or not np.can_cast(dtype, out.dtype, "same_kind"):
        hint = ""
        if out.dtype.kind in "iu" and out.dtype.itemsize <= 2:  # the limits of wider types are no floats
            least, most = np.iinfo(out.dtype).min, np.iinfo(out.dtype).max
            rounded = f"numpy.rint(result).clip({least}, {most}).astype(numpy.{out.dtype.name})"
            hint = f"; without out, round and clip: {rounded}"
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


def deliver(result: Array, out: Array) -> Array:
    """Copy the result into `out`, if it is not there already, and return `out`."""
    if out is not result:
        # converted first: if that raises (numpy.errstate), nothing has been written
        out[...] = result.astype(out.dtype, casting="same_kind", copy=False)
    return out
