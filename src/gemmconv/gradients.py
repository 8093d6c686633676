"""Gradients of a convolution: with respect to its input, its weight and its bias, each by itself."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from .checks.arrays import (
    Array,
    as_array,
    check_flip,
    check_out,
    computing_dtype,
    contiguous,
    deliver,
    flipped,
)
from .checks.options import Ints, Padding
from .checks.shapes import check_batched_gradient
from .engine.calls import Call, Options, prepare_input_gradient, prepare_weight_gradient

__all__ = ["conv_bias_gradient", "conv_input_gradient", "conv_weight_gradient"]


def compute_weight_gradient(
    call: Call, grad_output: Array, x: Array, dtype: np.dtype[Any], flip: object, out: Array | None
) -> Array:
    """Return the gradient of a weight, reversed where that was."""
    if not check_flip(flip):
        return call.into(out, dtype, grad_output, x)
    if out is not None:
        check_out(out, call.out_shape, dtype)
    gradient = flipped(call.into(None, dtype, grad_output, x), True)
    return np.ascontiguousarray(gradient) if out is None else deliver(gradient, out)


def conv_input_gradient(
    grad_output: ArrayLike,
    weight: ArrayLike,
    input_size: Ints,
    *,
    stride: Ints = 1,
    padding: Padding = 0,
    dilation: Ints = 1,
    groups: int = 1,
    padding_mode: str = "zeros",
    flip: bool = False,
    algorithm: str = "auto",
    out: Array | None = None,
) -> Array:
    r"""Return the gradient of a convolution (cross-correlation) with respect to its input.

    It is the transpose of the convolution as a linear map of x: ``gemmconv.convolution_matrix(...).T @ grad_output``
    without the matrix.

    Parameters
    ----------
    grad_output : array_like of shape (N, O, \*output) or (O, \*output)
        The gradient of a loss with respect to the output ``conv(x, weight, ...)``, and of its shape.
    weight : array_like of shape (O, C/groups, \*kernel)
        The kernels of the convolution.
    input_size : int or sequence of int
        The spatial size of x: ``(L,)``, ``(H, W)`` or ``(D, H, W)``. With a stride several sizes have an output of the
        same size.
    stride, padding, dilation, groups, padding_mode, flip
        Those of the convolution, as in `gemmconv.conv`.
    algorithm : str, optional
        ``"auto"`` takes what is likely to be the fastest of: ``"gemm"``, products of the transposed kernel matrix,
        which are added up, for every convolution; and what computes the gradient as a convolution of `grad_output`:
        ``"direct"``, and for 3x3 and 1x3 kernels with stride and dilation 1 ``"winograd"`` and ``"winograd2"``.
    out : ndarray, optional
        As in `gemmconv.conv`.

    Returns
    -------
    ndarray of shape (N, C, \*input_size) or (C, \*input_size)
        Of type ``numpy.result_type(grad_output, weight, numpy.float32)``. This is `out` where that was given.

    Raises
    ------
    TypeError, ValueError
        If an argument has the wrong kind or value; the message names it and the rule. Nothing has been written to
        `out` then.

    See Also
    --------
    conv_transpose : The same linear map under the name and with the options that neural networks give it.
    ConvolutionOperator : The convolution and its transpose as a linear operator of SciPy.

    Notes
    -----
    With stride s, dilation d and padding b before the input, element i of channel c is ::

        sum over o, t of weight[o, c, t] * grad_output[n, o, (i + b - t * d) / s]

    over the taps t for which the quotient is an output position. With stride 1 that is a convolution with reversed
    kernels and swapped channels. With a stride, elements of one remainder of ``(i + b) / s`` see the same taps and are
    such a convolution each [1]_. Padding by another mode than zeros gives the elements that it repeats the sum of what
    all their copies get.

    The error of each element of ``"gemm"`` and ``"direct"`` is at most ``(k + 2) * eps`` times the same sum of absolute
    values, with k the number of its terms: at most O/groups times the number of taps, and with another padding mode
    than zeros times the copies of the element.

    References
    ----------
    .. [1] V. Dumoulin, F. Visin, "A guide to convolution arithmetic for deep learning", arXiv:1603.07285.

    Examples
    --------
    >>> import numpy as np
    >>> from gemmconv import conv_input_gradient
    >>> conv_input_gradient(np.ones((1, 3)), np.array([[[1.0, 2]]]), (4,))
    array([[1., 3., 3., 2.]])
    """
    grad_output, weight = as_array("grad_output", grad_output), as_array("weight", weight)
    dtype = computing_dtype(grad_output.dtype, weight.dtype)
    options = Options(None, stride, padding, dilation, groups, padding_mode, algorithm)
    call = prepare_input_gradient(grad_output.shape, weight.shape, input_size, dtype.itemsize, options)
    return call.into(out, dtype, grad_output, flipped(weight, flip), None)


def conv_weight_gradient(
    grad_output: ArrayLike,
    x: ArrayLike,
    kernel_size: Sequence[int],
    *,
    stride: Ints = 1,
    padding: Padding = 0,
    dilation: Ints = 1,
    groups: int = 1,
    padding_mode: str = "zeros",
    flip: bool = False,
    algorithm: str = "auto",
    out: Array | None = None,
) -> Array:
    r"""Return the gradient of a convolution (cross-correlation) with respect to its weight.

    In the matrix of the convolution every element of the weight stands in many places (`gemmconv.tied_weights`); its
    gradient is the sum of those of all its places.

    Parameters
    ----------
    grad_output : array_like of shape (N, O, \*output) or (O, \*output)
        The gradient of a loss with respect to the output ``conv(x, weight, ...)``, and of its shape.
    x : array_like of shape (N, C, \*spatial) or (C, \*spatial)
        The input of the convolution.
    kernel_size : sequence of int
        The kernel's spatial size: ``(KL,)``, ``(KH, KW)`` or ``(KD, KH, KW)``.
    stride, padding, dilation, groups, padding_mode, flip
        Those of the convolution, as in `gemmconv.conv`.
    algorithm : str, optional
        ``"auto"`` takes what is likely to be the fastest of ``"gemm"``, products of the gradient of the output and
        tiles of patches, for every convolution; and ``"direct"``, sums in registers, unless the kernel is huge.
    out : ndarray, optional
        As in `gemmconv.conv`.

    Returns
    -------
    ndarray of shape (O, C/groups, \*kernel_size)
        Of type ``numpy.result_type(grad_output, x, numpy.float32)``. This is `out` where that was given. Of an empty
        batch it is zero.

    Raises
    ------
    TypeError, ValueError
        If an argument has the wrong kind or value; the message names it and the rule. Nothing has been written to
        `out` then.

    Notes
    -----
    With the gradient of the output of image n as a matrix G[n] of one row per channel, and P[n] the patch matrix of its
    input (`gemmconv.im2col`), the gradient of the kernel matrix is ``sum over n of G[n] @ P[n].T``.

    The sum has a term for each output position of each image: N * L terms. It is taken in blocks: tiles of at most 4096
    positions from zero, then tiles of a part of the images, then at most 32 parts, which take up to 2**18 numbers of
    memory in all. So the error of an element is at
    most ``(t + m + 34) * eps`` times the same sum of absolute values, with t the positions of a tile and m the number
    of tiles [1]_. How the sum is cut depends on the shapes alone: its bits are the same for any number of threads.
    With a gradient of the output that is not finite, taps that read padding are not specified.

    References
    ----------
    .. [1] N. J. Higham, "The Accuracy of Floating Point Summation", SIAM Journal on Scientific Computing 14 (1993).

    Examples
    --------
    >>> import numpy as np
    >>> from gemmconv import conv_weight_gradient
    >>> conv_weight_gradient(np.ones((1, 3)), np.array([[1.0, 2, 3, 4]]), (2,))
    array([[[6., 9.]]])
    """
    grad_output, x = as_array("grad_output", grad_output), as_array("x", x)
    dtype = computing_dtype(grad_output.dtype, x.dtype)
    options = Options(None, stride, padding, dilation, groups, padding_mode, algorithm)
    call = prepare_weight_gradient(grad_output.shape, x.shape, kernel_size, dtype.itemsize, options)
    return compute_weight_gradient(call, grad_output, x, dtype, flip, out)


def conv_bias_gradient(grad_output: ArrayLike) -> Array:
    r"""Return the gradient of a convolution (cross-correlation) with respect to its bias.

    It is the sum over images and positions. A batch axis is required: (O, H, W) cannot be told from (N, O, L).

    Parameters
    ----------
    grad_output : array_like of shape (N, O, \*output)
        The gradient of a loss with respect to the output of the convolution; of a single image it is
        ``grad_output[None]``.

    Returns
    -------
    ndarray of shape (O,)
        Of type ``numpy.result_type(grad_output, numpy.float32)``.

    Raises
    ------
    TypeError, ValueError
        If it is no array of real numbers with three to five axes.

    Examples
    --------
    >>> import numpy as np
    >>> from gemmconv import conv_bias_gradient
    >>> conv_bias_gradient(np.ones((2, 3, 4, 5), np.float32))
    array([40., 40., 40.], dtype=float32)
    """
    grad_output = as_array("grad_output", grad_output)
    check_batched_gradient(grad_output.shape)
    dtype = computing_dtype(grad_output.dtype, grad_output.dtype)
    shape = grad_output.shape
    by_channel = contiguous(grad_output, dtype).reshape(*shape[:2], prod(shape[2:]))
    # NumPy adds up a contiguous axis pairwise, by which the error grows with the logarithm of its length
    by_image = np.ascontiguousarray(by_channel.sum(axis=2).T)
    return np.asarray(by_image.sum(axis=1))
