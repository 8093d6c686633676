"""The gradients of a convolution, and the transposed convolution.

The gradients are the derivatives of the sum of ``grad_output * conv(x, weight, bias, ...)`` with respect to x, weight
and bias. Of complex arrays, they are the products with the conjugates of the weight or of x, so that the input gradient
is the adjoint of the convolution: the convention of PyTorch. Keep this file short and slow, as convolution.py.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from ..checks.geometry import resolve_padding
from ..checks.options import Ints, Padding, PaddingMode, padding_content, per_axis
from .convolution import (
    Array,
    as_numbers,
    channel_product,
    channels_first,
    extend,
    like_x,
    product,
    tap_windows,
)


def conv_input_gradient(
    grad_output: ArrayLike,
    weight: ArrayLike,
    input_size: Sequence[int],
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
    r"""Return the gradient of the input of a convolution (a cross-correlation, unless ``flip=True``).

    Each tap multiplies `grad_output` by its weight, and adds the products to the elements of the padded input that it
    reads. The sums in the padding are dropped, or added to the element that is repeated there.

    Parameters
    ----------
    grad_output : array_like of shape (N, O, \*output_size) or (O, \*output_size)
        The gradient of a loss with respect to the output.
    weight : array_like of shape (O, C/groups, \*kernel_size)
        The kernels.
    input_size : sequence of int
        The spatial size of the input.
    stride, padding, dilation, groups, padding_mode, padding_value, flip, channels_last
        As in `gemmconv.conv`.

    Returns
    -------
    ndarray of shape (N, C, \*input_size) or (C, \*input_size)
        For each element of the input, the sum of ``weight * grad_output`` over all taps and outputs that read it.

    Examples
    --------
    >>> from gemmconv.reference import conv_input_gradient
    >>> conv_input_gradient([[1, 10]], [[[5, 6, 7]]], (4,))
    array([[ 5., 56., 67., 70.]])
    """
    weight = as_numbers(weight)
    grad_output = channels_first(grad_output, weight.ndim - 2, channels_last)
    batched = grad_output.ndim == weight.ndim
    G = grad_output if batched else grad_output[np.newaxis]
    rank, kernel = weight.ndim - 2, weight.shape[2:]
    size = per_axis("input_size", input_size, rank, minimum=0)
    strides, dilations = per_axis("stride", stride, rank), per_axis("dilation", dilation, rank)
    pads = resolve_padding(padding, size, kernel, stride=strides, dilation=dilations)
    if flip:
        weight = np.flip(weight, tuple(range(2, weight.ndim)))

    by_input = np.concatenate([block.swapaxes(0, 1) for block in np.split(weight, groups)])
    type_ = np.result_type(G, weight)
    padded = np.zeros((len(G), len(by_input), *[n + sum(pair) for n, pair in zip(size, pads)]), type_)
    taps = by_input.conj().reshape(*by_input.shape[:2], prod(kernel))
    for t, window in enumerate(tap_windows(padded, kernel, strides, dilations)):
        window += channel_product(taps[:, :, t], G, groups)
    modes, _ = padding_content(padding_mode, padding_value, rank)
    gradient = fold(padded, size, pads, modes)
    return like_x(gradient if batched else gradient[0], rank, channels_last)


def fold(padded: Array, size: Sequence[int], pads: Sequence[tuple[int, int]], modes: Sequence[str]) -> Array:
    """Return the transpose of `extend`: each element is added to the one that it repeats; those of zeros are dropped.

    `padded` is (N, C, spatial), `size` the spatial size before the padding.
    """
    # The position of each element of the padded array before the padding, counted from 1; 0 is a zero of the padding.
    positions = extend(np.arange(1.0, 1 + prod(size)).reshape(1, 1, *size), pads, modes)[0, 0].astype(int)
    sums = np.zeros((*padded.shape[:2], 1 + prod(size)), padded.dtype)
    for n, c in np.ndindex(padded.shape[:2]):
        np.add.at(sums[n, c], positions, padded[n, c])
    return sums[:, :, 1:].reshape(*padded.shape[:2], *size)


def conv_weight_gradient(
    grad_output: ArrayLike,
    x: ArrayLike,
    kernel_size: Sequence[int],
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
    r"""Return the gradient of the weight of a convolution (a cross-correlation, unless ``flip=True``).

    Where a tap reads a zero of the padding, there is no product.

    Parameters
    ----------
    grad_output : array_like of shape (N, O, \*output_size) or (O, \*output_size)
        The gradient of a loss with respect to the output.
    x : array_like of shape (N, C, \*input_size) or (C, \*input_size)
        The input.
    kernel_size : sequence of int
        The spatial size of the kernel; its length is the number of spatial axes.
    stride, padding, dilation, groups, padding_mode, padding_value, flip, channels_last
        As in `gemmconv.conv`.

    Returns
    -------
    ndarray of shape (O, C/groups, \*kernel_size)
        For each tap, the sum over images and output positions of `grad_output` times the element that the tap reads.

    Examples
    --------
    >>> from gemmconv.reference import conv_weight_gradient
    >>> conv_weight_gradient([[1, 10]], [[1, 2, 3, 4]], (3,))
    array([[[21., 32., 43.]]])
    """
    rank = len(kernel_size)
    grad_output, x = channels_first(grad_output, rank, channels_last), channels_first(x, rank, channels_last)
    if x.ndim == rank + 1:
        grad_output, x = grad_output[np.newaxis], x[np.newaxis]
    strides, dilations = per_axis("stride", stride, rank), per_axis("dilation", dilation, rank)
    pads = resolve_padding(padding, x.shape[2:], kernel_size, stride=strides, dilation=dilations)
    content = padding_content(padding_mode, padding_value, rank)
    padded = extend(x, pads, *content)
    is_constant = float(content.value != 0)
    is_read = extend(np.ones((1, 1, *x.shape[2:])), pads, content.modes, is_constant)[0, 0] != 0  # not a zero

    taps = []
    for window, read in zip(*[tap_windows(of, kernel_size, strides, dilations) for of in (padded, is_read)]):
        by_group = [
            product("noi,nci->oc", g[..., read], w[..., read].conj())
            for g, w in zip(np.split(grad_output, groups, axis=1), np.split(window, groups, axis=1))
        ]
        taps.append(np.concatenate(by_group))
    gradient = np.stack(taps, axis=-1).reshape(*taps[0].shape, *kernel_size)
    return np.flip(gradient, tuple(range(2, rank + 2))) if flip else gradient


def conv_bias_gradient(grad_output: ArrayLike, *, channels_last: bool = False) -> Array:
    r"""Return the gradient of the bias of a convolution (a cross-correlation, or with ``flip=True``).

    Parameters
    ----------
    grad_output : array_like of shape (N, O, \*output_size)
        The gradient of a loss with respect to the output.
    channels_last : bool
        Whether the channels are its last axis.

    Returns
    -------
    ndarray of shape (O,)
        The sum over images and positions.

    Examples
    --------
    >>> from gemmconv.reference import conv_bias_gradient
    >>> conv_bias_gradient([[[1, 2], [3, 4]], [[10, 20], [30, 40]]])
    array([33., 77.])
    """
    grad_output = channels_first(grad_output, np.ndim(grad_output) - 2, channels_last)
    gradient: Array = grad_output.sum(axis=(0, *range(2, grad_output.ndim)))
    return gradient


def conv_transpose(
    x: ArrayLike,
    weight: ArrayLike,
    bias: ArrayLike | None = None,
    *,
    stride: Ints = 1,
    padding: Padding = 0,
    output_padding: Ints = 0,
    output_size: Sequence[int] | None = None,
    dilation: Ints = 1,
    groups: int = 1,
    padding_mode: PaddingMode = "zeros",
    channels_last: bool = False,
) -> Array:
    r"""Return the transposed convolution (the transpose of a cross-correlation): each input adds a scaled kernel.

    Along each axis, ``x[n, c, i] * weight[c, o, t]`` is added to ``out[n, o, i * stride - before + t * dilation]``.
    What would be added outside `out` is dropped, or with a padding mode added to the position that is repeated there.
    This is the input gradient of the convolution with the same weight and options whose input has the size of `out`.

    Parameters
    ----------
    x : array_like of shape (N, C, \*input_size) or (C, \*input_size)
        The input.
    weight : array_like of shape (C, O/groups, \*kernel_size)
        The kernels.
    bias : array_like of shape (O,), optional
        One value per output channel, added to every output of that channel.
    stride, dilation, groups, padding_mode, channels_last
        As in `gemmconv.conv`.
    padding : int, "valid", "same", "same_lower" or sequence
        How many positions are cut off the output before and after: an int, or one int or one (before, after) pair per
        axis. With ``"same"`` and ``"same_lower"`` the output has the size `output_size`, or ``input_size * stride``;
        the padding is that of `gemmconv.resolve_padding` for this size.
    output_padding : int or sequence of int
        How many positions are added at the end of the output.
    output_size : sequence of int, optional
        The spatial size of the output, instead of `output_padding`.

    Returns
    -------
    ndarray of shape (N, O, \*output_size) or (O, \*output_size)
        Along each axis the size is
        ``(input - 1) * stride - before - after + dilation * (kernel - 1) + output_padding + 1``.

    Examples
    --------
    >>> from gemmconv.reference import conv_transpose
    >>> conv_transpose([[1, 10]], [[[5, 6, 7]]])
    array([[ 5., 56., 67., 70.]])
    >>> conv_transpose([[1, 10]], [[[5, 6, 7]]], stride=2, padding="same")
    array([[ 5.,  6., 57., 60.]])
    """
    weight = as_numbers(weight)
    rank, kernel = weight.ndim - 2, weight.shape[2:]
    x = channels_first(x, rank, channels_last)
    strides, dilations = per_axis("stride", stride, rank), per_axis("dilation", dilation, rank)
    X = x if x.ndim == rank + 2 else x[np.newaxis]

    every = [(n - 1) * s + (k - 1) * d + 1 for n, k, s, d in zip(X.shape[2:], kernel, strides, dilations)]
    times_stride = tuple(n * s for n, s in zip(X.shape[2:], strides))
    forward_size = times_stride if output_size is None else per_axis("output_size", output_size, rank)
    pads = resolve_padding(padding, forward_size, kernel, stride=strides, dilation=dilations)
    if output_size is not None or (isinstance(padding, str) and padding in ("same", "same_lower")):
        size = list(forward_size)
    else:
        more = np.broadcast_to(output_padding, rank)
        size = [n - before - after + int(m) for n, (before, after), m in zip(every, pads, more)]

    by_output = np.concatenate([block.swapaxes(0, 1) for block in np.split(weight, groups)])
    taps = by_output.reshape(*by_output.shape[:2], prod(kernel))
    y = np.zeros((len(X), len(taps), *every), np.result_type(X, weight))
    for t, window in enumerate(tap_windows(y, kernel, strides, dilations)):
        window += channel_product(taps[:, :, t], X, groups)
    y = fold(y, size, [(before, n - m - before) for n, m, (before, _) in zip(every, size, pads)], padding_mode)
    if bias is not None:
        y = y + np.reshape(as_numbers(bias), (-1,) + (1,) * rank)
    return like_x(y if x.ndim == rank + 2 else y[0], rank, channels_last)


def conv_transpose1d(x: ArrayLike, weight: ArrayLike, bias: ArrayLike | None = None, **options: Any) -> Array:
    """Return `conv_transpose` for one spatial axis.

    Examples
    --------
    >>> from gemmconv.reference import conv_transpose1d
    >>> conv_transpose1d([[1, 10]], [[[5, 6]]], stride=2)
    array([[ 5.,  6., 50., 60.]])
    """
    return transpose_of_rank(1, x, weight, bias, options)


def conv_transpose2d(x: ArrayLike, weight: ArrayLike, bias: ArrayLike | None = None, **options: Any) -> Array:
    """Return `conv_transpose` for two spatial axes.

    Examples
    --------
    >>> from gemmconv.reference import conv_transpose2d
    >>> conv_transpose2d([[[1, 10]]], [[[[5, 6], [7, 8]]]])
    array([[[ 5., 56., 60.],
            [ 7., 78., 80.]]])
    """
    return transpose_of_rank(2, x, weight, bias, options)


def conv_transpose3d(x: ArrayLike, weight: ArrayLike, bias: ArrayLike | None = None, **options: Any) -> Array:
    """Return `conv_transpose` for three spatial axes.

    Examples
    --------
    >>> from gemmconv.reference import conv_transpose3d
    >>> conv_transpose3d([[[[1, 10]]]], [[[[[5, 6]]]]], stride=(1, 1, 2))
    array([[[[ 5.,  6., 50., 60.]]]])
    """
    return transpose_of_rank(3, x, weight, bias, options)


def transpose_of_rank(
    rank: int, x: ArrayLike, weight: ArrayLike, bias: ArrayLike | None, options: dict[str, Any]
) -> Array:
    """Return the transposed convolution, or raise unless weight has `rank` spatial axes."""
    if np.ndim(weight) != rank + 2:
        raise ValueError(f"weight has {np.ndim(weight)} axes, but with {rank} spatial axes it has {rank + 2}")
    return conv_transpose(x, weight, bias, **options)
