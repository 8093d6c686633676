"""im2col and col2im of numbers of any type.

im2col moves elements. Those of 4 and 8 bytes are moved in C, as if they were floating-point numbers. The others are
moved by NumPy, and so are all with channels last, whose channels are copied together.

col2im adds floating-point numbers in C, complex numbers part by part, and integers in NumPy.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import DTypeLike, NDArray

from ..checks.arrays import Array, check_out, contiguous, deliver, result_array
from ..checks.geometry import Geometry, extents_of
from ..checks.options import check_value_fits, freeze_padding_value, padding_content
from ..checks.types import (
    FLOAT64,
    DType,
    as_dtype,
    computing_dtype,
    is_computable,
    is_integer,
    raise_for_dtype,
    real_part,
)
from ..engine.calls import Call, Options, prepare_col2im, prepare_im2col
from ..engine.extension import Positions, extended_from, refuse_value


def type_of_columns(name: str, given: DType, dtype: DTypeLike | None) -> DType:
    """Return the type of a result, or raise if numbers of the given type cannot become `dtype`."""
    if dtype is None:
        return given if given.isnative else given.newbyteorder("=")
    wanted = as_dtype("dtype", dtype)
    if not is_computable(wanted):
        raise_for_dtype(f"dtype is {wanted}")
    if not np.can_cast(given, wanted, "same_kind") and not (is_integer(given) and not is_integer(wanted)):
        raise TypeError(f"{name} has dtype {given}, which cannot be cast to dtype {wanted} (same_kind)")
    return wanted


def check_value_held(padding_value: Any, dtype: DType) -> None:
    """Raise unless numbers of a type can be the padding value: integers exactly, others unless it is too large."""
    value = freeze_padding_value(padding_value)
    if isinstance(value, complex) and dtype.kind != "c":
        refuse_value(value)
    if dtype == np.float32:
        check_value_fits(value, dtype.itemsize)
        return
    with np.errstate(all="ignore"):
        held = np.array(value).astype(dtype)[()]
    if is_integer(dtype):
        fits = bool(np.isfinite(value)) and abs(value) < 2.0**65 and padding_value == int(held)
    else:
        fits = not np.isfinite(value) or bool(np.isfinite(complex(held)))
    if not fits:
        raise ValueError(
            f"padding_value={padding_value!r} is no number of the type {dtype} of x; pass x or dtype of another type"
        )


def columns_of(x: Array, kernel_size: object, options: Options, dtype: DType, out: Array | None) -> Array:
    """Return the patch matrix of numbers of type `dtype`, which is `out` if that was given."""
    check_value_held(options.padding_value, dtype)
    moved = np.dtype(f"f{dtype.itemsize if dtype.itemsize in (4, 8) else 8}")
    call = prepare_im2col(x.shape, kernel_size, moved.itemsize, options)
    if dtype == moved and not options.channels_last:
        return call.into(out, dtype, x)
    if out is not None:
        check_out(out, call.out_shape, dtype)
    x = contiguous(x, dtype)
    # a constant in the padding need not have the same bits as a floating-point number
    if options.channels_last or dtype.itemsize != moved.itemsize or freeze_padding_value(options.padding_value) != 0:
        P = np.empty(call.out_shape, dtype) if out is None else result_array(out, dtype, [x])
        gather_columns(x, call, options, P)
    else:
        P = call.into(None, moved, x.view(moved)).view(dtype)
    return P if out is None else deliver(P, out)


def images_of(
    columns: Array, input_size: object, kernel_size: object, options: Options, dtype: DType, out: Array | None
) -> Array:
    """Return what columns add up to, in numbers of type `dtype`; it is `out` if that was given."""
    is_sum_of_integers, is_complex = is_integer(dtype), dtype.kind == "c"
    sums = FLOAT64 if is_sum_of_integers else real_part(computing_dtype(columns.dtype, dtype))
    call = prepare_col2im(columns.shape, input_size, kernel_size, sums.itemsize, options)
    if sums == dtype:
        return call.into(out, dtype, columns)
    if out is not None:
        check_out(out, call.out_shape, dtype)
    if is_sum_of_integers:
        images = add_columns(columns.astype(dtype, copy=False), call, options)
    elif is_complex:
        images = np.empty(call.out_shape, dtype)
        images.real, images.imag = call.into(None, sums, columns.real), call.into(None, sums, columns.imag)
    else:
        images = call.into(None, sums, columns).astype(dtype)  # rounded once
    return images if out is None else deliver(images, out)


def gather_columns(x: Array, call: Call, options: Options, P: Array) -> None:
    """Write the patch matrix by copying elements in NumPy."""
    geometry, first = call.geometry, first_axis(x, call.geometry, options)
    for axis, border in enumerate(borders_of(geometry, options), start=first):
        if geometry.pads[axis - first] == (0, 0):
            continue
        shape = list(x.shape)
        shape[axis] = len(border.is_inside)
        extended = np.full(shape, options.padding_value, x.dtype)
        extended[along(axis, border.is_inside)] = x.take(border.positions, axis)
        x = extended
    windows = windows_of(x, geometry, first)
    P.reshape(windows.shape)[...] = windows


def add_columns(columns: Array, call: Call, options: Options) -> Array:
    """Return the sums of columns in their own type: integers, whose sums wrap around."""
    geometry = call.geometry
    shape, rank = list(call.out_shape), geometry.rank
    first = first_axis(np.empty(shape), geometry, options)
    shape[first : first + rank] = geometry.padded_size[3 - rank :]
    images = np.zeros(shape, columns.dtype)
    windows = windows_of(images, geometry, first)
    columns = columns.reshape(windows.shape)
    # the windows of one tap do not overlap
    for tap in np.ndindex(*geometry.kernel[3 - rank :]):
        where = along(first + rank if options.channels_last else first, *tap)
        windows[where] += columns[where]
    for axis, border in enumerate(borders_of(geometry, options), start=first):
        shape[axis] = geometry.in_size[3 - rank + axis - first]
        folded = np.zeros(shape, columns.dtype)
        where, inside = along(axis, border.positions), images[along(axis, border.is_inside)]
        if border.repeats:
            np.add.at(folded, where, inside)
        else:
            folded[where] = inside
        images = folded
    return images


def along(axis: int, *where: Any) -> Any:
    """Return the index that has something along an axis and those that follow, and takes all before it."""
    return (*[slice(None)] * axis, *where)


class Border(NamedTuple):
    """What the positions of a padded axis hold."""

    is_inside: NDArray[np.bool_]
    """For each position, whether it repeats an element of the axis without padding."""
    positions: Positions
    """The elements that these positions repeat."""
    repeats: bool
    """Whether several positions may repeat one element."""


def borders_of(geometry: Geometry, options: Options) -> Iterator[Border]:
    """Yield what each spatial axis of the padded images holds."""
    modes, _ = padding_content(options.padding_mode, options.padding_value, geometry.rank)
    for size, (before, after), mode in zip(geometry.in_size[3 - geometry.rank :], geometry.pads, modes):
        positions = np.arange(-before, size + after)
        repeats = mode != "constant" and max(before, after) > 0
        if repeats:
            positions = extended_from(positions, size, mode)
        is_inside = (positions >= 0) & (positions < size)
        yield Border(is_inside, positions[is_inside], repeats)


def first_axis(x: Array, geometry: Geometry, options: Options) -> int:
    """Return the number of the first spatial axis of images."""
    return x.ndim - geometry.rank - (1 if options.channels_last else 0)


def windows_of(padded: Array, geometry: Geometry, first: int) -> Array:
    """Return a view of padded images: (..., C, *kernel, *output), or with channels last (..., *output, *kernel, C)."""
    rank = geometry.rank
    spatial = range(first, first + rank)
    extents = extents_of(geometry.kernel, geometry.dilation)[3 - rank :]
    windows = np.lib.stride_tricks.sliding_window_view(padded, extents, tuple(spatial), writeable=True)
    steps = [slice(None)] * windows.ndim
    steps[first : first + rank] = [slice(None, None, stride) for stride in geometry.stride[3 - rank :]]
    steps[-rank:] = [slice(None, None, dilation) for dilation in geometry.dilation[3 - rank :]]
    kernel = range(padded.ndim, padded.ndim + rank)
    if first + rank < padded.ndim:
        order = (*range(first + rank), *kernel, first + rank)
    else:
        order = (*range(first), *kernel, *spatial)
    return windows[tuple(steps)].transpose(order)
