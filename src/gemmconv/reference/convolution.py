"""The convolution by its definition, one tap after the other; the patch matrix and its transpose.

This is the definition that the fast code must agree with. Keep it short and slow. Only checks/ is shared with the fast
code.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from math import prod
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..checks.geometry import Geometry, resolve_padding
from ..checks.options import Ints, Padding, PaddingMode, padding_content, padding_modes, per_axis
from ..checks.shapes import check_shapes

Array = NDArray[Any]  # of float64 or complex128


def as_numbers(value: ArrayLike) -> Array:
    """Return an array of float64 or complex128."""
    return np.asarray(value, np.complex128 if np.iscomplexobj(value) else np.float64)


def extend(
    x: Array, pads: Sequence[tuple[int, int]], padding_mode: PaddingMode = "zeros", padding_value: complex = 0
) -> Array:
    """Return x with its last axes padded, one after the other; negative numbers crop the extended signal."""
    modes = padding_modes(padding_mode, len(pads))
    for axis, (mode, (before, after)) in enumerate(zip(modes, pads), start=x.ndim - len(pads)):
        widths = [(0, 0)] * x.ndim
        widths[axis] = (max(before, 0), max(after, 0))
        constant = {"constant_values": padding_value} if mode == "constant" else {}
        x = np.pad(x, widths, mode=mode, **constant)  # type: ignore[call-overload]
        x = x.take(range(max(-before, 0), x.shape[axis] - max(-after, 0)), axis)
    return x


def channels_first(array: ArrayLike, rank: int, channels_last: bool) -> Array:
    """Return an array with its channels before the spatial axes; `channels_last` says that they are its last axis."""
    array = as_numbers(array)
    return np.moveaxis(array, -1, -rank - 1) if channels_last else array


def like_x(array: Array, rank: int, channels_last: bool) -> Array:
    """Return a result with channels first with its channels where those of x are."""
    return np.moveaxis(array, -rank - 1, -1) if channels_last else array


def tap_windows(x: Array, kernel: Sequence[int], stride: Sequence[int], dilation: Sequence[int]) -> Iterator[Array]:
    """Yield, for each tap of the kernel in order, the elements of a padded x that it reads for all outputs."""
    size = x.shape[x.ndim - len(kernel) :]
    starts = [range(0, n - (k - 1) * d, s) for n, k, s, d in zip(size, kernel, stride, dilation)]
    lengths = [r[-1] + 1 if r else 0 for r in starts]
    for tap in np.ndindex(*kernel):
        window: Any = (..., *[slice(t * d, t * d + n, s) for t, d, n, s in zip(tap, dilation, lengths, stride)])
        yield x[window]


def im2col(
    x: ArrayLike,
    kernel_size: Sequence[int],
    *,
    stride: Ints = 1,
    padding: Padding = 0,
    dilation: Ints = 1,
    padding_mode: PaddingMode = "zeros",
    padding_value: complex = 0,
    channels_last: bool = False,
) -> Array:
    r"""Return the patch matrix P of a convolution (a cross-correlation).

    Parameters
    ----------
    x : array_like of shape (N, C, \*spatial)
        The input.
    kernel_size : sequence of int
        The spatial size of the kernel; its length is the number of spatial axes.
    stride, padding, dilation, padding_mode, padding_value
        As in `gemmconv.conv`.
    channels_last : bool
        Whether the channels are the last axis of `x`.

    Returns
    -------
    ndarray of shape (N, C * prod(kernel_size), L)
        One row per channel and tap, one column per output position. With `channels_last` it is (N, L,
        prod(kernel_size) * C): one row per output position, one column per tap and channel.

    Examples
    --------
    >>> import numpy as np
    >>> from gemmconv.reference import im2col
    >>> im2col(np.arange(1, 10).reshape(1, 1, 3, 3), (2, 2))[0]
    array([[1., 2., 4., 5.],
           [2., 3., 5., 6.],
           [4., 5., 7., 8.],
           [5., 6., 8., 9.]])
    """
    rank = len(kernel_size)
    x = channels_first(x, rank, channels_last)
    strides, dilations = per_axis("stride", stride, rank), per_axis("dilation", dilation, rank)
    pads = resolve_padding(padding, x.shape[2:], kernel_size, stride=strides, dilation=dilations)
    padded = extend(x, pads, *padding_content(padding_mode, padding_value, rank))
    rows = np.stack(list(tap_windows(padded, kernel_size, strides, dilations)), axis=2)
    batch, channels, taps, outputs = *rows.shape[:3], prod(rows.shape[3:])
    if channels_last:
        return (
            rows.reshape(batch, channels, taps, outputs).transpose(0, 3, 2, 1).reshape(batch, outputs, taps * channels)
        )
    return rows.reshape(batch, channels * taps, outputs)


def col2im(
    columns: ArrayLike,
    input_size: Sequence[int],
    kernel_size: Sequence[int],
    *,
    stride: Ints = 1,
    padding: Padding = 0,
    dilation: Ints = 1,
    padding_mode: PaddingMode = "zeros",
    padding_value: complex = 0,
    channels_last: bool = False,
) -> Array:
    r"""Return the transpose of `im2col`: each entry is added to the element from which im2col would copy it.

    Parameters
    ----------
    columns : array_like of shape (N, C * prod(kernel_size), L)
        A matrix of the shape that `im2col` returns.
    input_size, kernel_size : sequence of int
        Spatial sizes.
    stride, padding, dilation, padding_mode, padding_value
        As in `gemmconv.conv`.
    channels_last : bool
        Whether `columns` is what `im2col` returns with this option, and the channels are the last axis of the result.

    Returns
    -------
    ndarray of shape (N, C, \*input_size)
        The sums.

    Examples
    --------
    >>> import numpy as np
    >>> from gemmconv.reference import col2im
    >>> col2im(np.ones((1, 4, 4)), (3, 3), (2, 2))[0, 0]  # how often each element was read
    array([[1., 2., 1.],
           [2., 4., 2.],
           [1., 2., 1.]])
    """
    columns = as_numbers(columns)
    rank, taps = len(kernel_size), prod(kernel_size)
    if channels_last:
        columns = columns.reshape(*columns.shape[:2], taps, columns.shape[2] // taps).transpose(0, 3, 2, 1)
        columns = columns.reshape(len(columns), columns.shape[1] * taps, columns.shape[3])
    strides, dilations = per_axis("stride", stride, rank), per_axis("dilation", dilation, rank)
    pads = resolve_padding(padding, input_size, kernel_size, stride=strides, dilation=dilations)
    batch, channels = columns.shape[0], columns.shape[1] // taps
    x = np.zeros((batch, channels, *input_size), columns.dtype)
    # The position in x of each element of the padded x, counted from 1; 0 is a zero of the padding.
    modes, _ = padding_content(padding_mode, padding_value, rank)
    positions = extend(np.arange(1.0, 1 + prod(input_size)).reshape(1, 1, *input_size), pads, modes)
    sources = im2col(positions, kernel_size, stride=strides, dilation=dilations)[0].astype(int)
    by_tap = columns.reshape(batch, channels, *sources.shape)
    flat = x.reshape(batch, channels, prod(input_size))
    for n, c in np.ndindex(batch, channels):
        np.add.at(flat[n, c], sources[sources > 0] - 1, by_tap[n, c][sources > 0])
    return like_x(x, rank, channels_last)


def conv(
    x: ArrayLike,
    weight: ArrayLike,
    bias: ArrayLike | None = None,
    *,
    stride: Ints = 1,
    padding: Padding = 0,
    dilation: Ints = 1,
    groups: int = 1,
    padding_mode: PaddingMode = "zeros",
    padding_value: complex = 0,
    flip: bool = False,
    channels_last: bool = False,
) -> Array:
    """Convolve (cross-correlate, unless ``flip=True``) by the definition, one tap of the kernel after the other.

    The arguments are those of `gemmconv.conv`; the result is float64 or complex128.

    Examples
    --------
    >>> from gemmconv.reference import conv
    >>> conv([[1, 2, 3, 4]], [[[5, 6, 7]]])
    array([[38., 56.]])
    """
    weight = as_numbers(weight)
    x = channels_first(x, weight.ndim - 2, channels_last)
    geometry = Geometry.from_shapes(
        x.shape, weight.shape, stride=stride, padding=padding, dilation=dilation, groups=groups
    )
    rank = geometry.rank
    strides, dilations = per_axis("stride", stride, rank), per_axis("dilation", dilation, rank)
    if flip:
        weight = np.flip(weight, tuple(range(2, weight.ndim)))
    content = padding_content(padding_mode, padding_value, rank)
    padded = extend(x if x.ndim == rank + 2 else x[np.newaxis], geometry.pads, *content)

    y = np.zeros(())
    if bias is not None:
        geometry.check_bias(np.shape(bias))
        y = np.reshape(as_numbers(bias), (-1,) + (1,) * rank)
    taps = weight.reshape(*weight.shape[:2], prod(weight.shape[2:]))
    for t, window in enumerate(tap_windows(padded, weight.shape[2:], strides, dilations)):
        y = y + channel_product(taps[:, :, t], window, groups)
    return like_x(y if x.ndim == rank + 2 else y[0], rank, channels_last)


def channel_product(weight: Array, window: Array, groups: int) -> Array:
    """Return ``y[n, o, ...] = sum over c of weight[o, c] * window[n, c, ...]``, within each group of channels."""
    outputs, per_group = weight.shape
    by_group = weight.reshape(groups, outputs // groups, per_group)
    windows = window.reshape(len(window), groups, per_group, *window.shape[2:])
    y = product("goc,ngc...->ngo...", by_group, windows)
    return y.reshape(len(window), outputs, *window.shape[2:])


def product(subscripts: str, a: Array, b: Array) -> Array:
    """Return a sum of products, as `numpy.einsum`; a real array has no imaginary part that infinity could meet."""
    if np.iscomplexobj(a) and not np.iscomplexobj(b):
        return of_parts(product(subscripts, a.real, b), product(subscripts, a.imag, b))
    if np.iscomplexobj(b) and not np.iscomplexobj(a):
        return of_parts(product(subscripts, a, b.real), product(subscripts, a, b.imag))
    result: Array = np.einsum(subscripts, a, b)  # BLAS leaves out some products of zero and infinity
    return result


def of_parts(real: Array, imaginary: Array) -> Array:
    """Return complex numbers with these parts; ``real + 1j * imaginary`` would make NaN of infinities."""
    result = real.astype(np.complex128)
    result.imag = imaginary
    return result


def conv1d(x: ArrayLike, weight: ArrayLike, bias: ArrayLike | None = None, **options: Any) -> Array:
    """Return `conv` for one spatial axis: a cross-correlation, unless ``flip=True``."""
    check_shapes(np.shape(x), np.shape(weight), 1)
    return conv(x, weight, bias, **options)


def conv2d(x: ArrayLike, weight: ArrayLike, bias: ArrayLike | None = None, **options: Any) -> Array:
    """Return `conv` for two spatial axes: a cross-correlation, unless ``flip=True``."""
    check_shapes(np.shape(x), np.shape(weight), 2)
    return conv(x, weight, bias, **options)


def conv3d(x: ArrayLike, weight: ArrayLike, bias: ArrayLike | None = None, **options: Any) -> Array:
    """Return `conv` for three spatial axes: a cross-correlation, unless ``flip=True``."""
    check_shapes(np.shape(x), np.shape(weight), 3)
    return conv(x, weight, bias, **options)
