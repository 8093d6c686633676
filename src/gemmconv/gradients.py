"""Gradients of a convolution with respect to its input, its weight and its bias.

Each gradient is a separate function; you compute only the ones you need. This file holds the public signatures and
their documentation. What an argument may be is decided in checks/, how a gradient is computed in engine/.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import numpy as np
from numpy.typing import ArrayLike, DTypeLike

from .checks.arrays import Array, as_array, check_bool, check_out, deliver, flipped
from .checks.options import Ints, Padding, PaddingMode
from .checks.shapes import check_batched_gradient
from .checks.types import DType, Types, types_of
from .engine.calls import Options, prepare_input_gradient, prepare_weight_gradient
from .numbers.bias_gradient import sum_over_positions
from .numbers.operation import Operation

__all__ = ["conv_bias_gradient", "conv_input_gradient", "conv_weight_gradient"]


def run_input_gradient(
    options: Options,
    input_size: object,
    grad_output: Array,
    weight: Array,
    _bias: None = None,
    *,
    computing: DType | None = None,
    **changes: object,
) -> Array:
    """Return the input gradient for real arrays, in the type `computing`, with changes of the options."""
    dtype, options = computing or grad_output.dtype, options._replace(**changes)  # type: ignore[arg-type]
    call = prepare_input_gradient(grad_output.shape, weight.shape, input_size, dtype.itemsize, options)
    return call.into(None, dtype, grad_output, weight, None)


def run_weight_gradient(
    options: Options,
    kernel_size: Sequence[int],
    grad_output: Array,
    x: Array,
    _bias: None = None,
    *,
    computing: DType | None = None,
    wish: bool = False,
    **changes: object,
) -> Array:
    """Return the weight gradient for real arrays, in the type `computing`, with changes of the options.

    `wish` says that the algorithm is a wish, as for a plan.
    """
    dtype, options = computing or grad_output.dtype, options._replace(**changes)  # type: ignore[arg-type]
    call = prepare_weight_gradient(grad_output.shape, x.shape, kernel_size, dtype.itemsize, options, wish=wish)
    return call.into(None, dtype, grad_output, x)


def compute_weight_gradient(
    operation: Operation, types: Types, grad_output: Array, x: Array, flip: object, out: Array | None
) -> Array:
    """Return the gradient of a weight; where the weight was reversed (`flip`), the gradient is reversed too."""

    def compute(operation: Operation, out: Array | None) -> Array:
        if types.kind == "real":
            return operation.call.into(out, types.computing, grad_output, x)
        return operation.compute(types, grad_output, x, out=out)

    if not check_bool("flip", flip):
        return compute(operation, out)
    # no C kernel writes a reversed array
    if out is not None:
        check_out(out, operation.call.out_shape, types.result)
        operation = operation._replace(out_type=out.dtype)
    gradient = flipped(compute(operation, None), True)
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
    padding_mode: PaddingMode = "zeros",
    padding_value: complex = 0,
    flip: bool = False,
    algorithm: str = "auto",
    channels_last: bool = False,
    dtype: DTypeLike | None = None,
    out: Array | None = None,
) -> Array:
    r"""Return the gradient of a convolution (cross-correlation) with respect to its input.

    The convolution is a linear map of x; this is its adjoint, for real weights the transpose. The result is that of
    ``gemmconv.convolution_matrix(...).conj().T @ grad_output``, but the matrix is never built.

    Parameters
    ----------
    grad_output : array_like of shape (N, O, \*output) or (O, \*output)
        The gradient of a loss with respect to the output ``conv(x, weight, ...)``. It has the shape of that output.
    weight : array_like of shape (O, C/groups, \*kernel)
        The kernels of the convolution, one per output channel.
    input_size : int or sequence of int
        The spatial size of x: ``(L,)``, ``(H, W)`` or ``(D, H, W)``. It must be given because with a stride several
        input sizes have the same output size.
    stride, padding, dilation, groups, padding_mode, padding_value, flip
        The options of the convolution, as in `gemmconv.conv`. The gradient does not depend on `padding_value`.
    algorithm : str, optional
        ``"auto"`` takes the algorithm that is likely to be the fastest. ``"gemm"`` multiplies by the transposed kernel
        matrix and adds up the products; it is defined for every convolution. The others compute the gradient as
        convolutions of `grad_output`: ``"direct"`` where each axis has a stride or a dilation of 1, or the product of
        the strides is at most 64, and in some other cases; ``"winograd"`` and ``"winograd2"`` for kernels that are 3x3
        or 1x3 along the last two axes, with stride 1, and dilation 1 along these axes. ``"fft"`` multiplies Fourier
        transforms; it is defined for every convolution.
    channels_last : bool, optional
        Whether the channels are the last axis of `grad_output` and of the result; see `gemmconv.conv`.
    dtype, out : optional
        As in `gemmconv.conv`.

    Returns
    -------
    ndarray of shape (N, C, \*input_size) or (C, \*input_size)
        The gradient; with `channels_last` of shape (N, \*input_size, C) or (\*input_size, C). Its type is `dtype`, or
        else ``numpy.result_type(grad_output, weight, numpy.float32)``: float32, float64, complex64 or complex128. If
        `out` was given, `out` is returned.

    Raises
    ------
    TypeError, ValueError
        If an argument has the wrong kind or value. The message names it and the rule. Nothing has been written to
        `out` then.

    See Also
    --------
    conv_transpose : For real weights the same linear map (it has no conjugate), with the name and the options that are
        usual in neural networks.
    ConvolutionOperator : The convolution and its transpose as a linear operator of SciPy.

    Notes
    -----
    With stride s, dilation d and padding b before the input, element i of channel c is ::

        sum over o, t of conj(weight[o, c, t]) * grad_output[n, o, (i + b - t * d) / s]

    over the taps t for which the quotient is an output position. With stride 1 that is a convolution with reversed
    kernels and swapped channels. With a larger stride, all elements with the same remainder of ``(i + b) / s`` use the
    same taps. Each remainder is therefore a convolution of its own [1]_. With a padding mode other than zeros, an
    element that is repeated in the padding gets the sum over all its copies.

    The error of each element of ``"gemm"`` and ``"direct"`` is at most ``(k + 2) * eps`` times the same sum of absolute
    values, with k the number of terms of the sum. k is at most O/groups times the number of taps; with a padding mode
    other than zeros, also times the number of copies of the element.

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
    types = types_of(grad_output.dtype, weight.dtype, dtype)
    last = check_bool("channels_last", channels_last)
    options = Options(None, stride, padding, dilation, groups, padding_mode, padding_value, algorithm, None, last)
    call = prepare_input_gradient(grad_output.shape, weight.shape, input_size, types.computing.itemsize, options)
    weight = flipped(weight, flip)
    if types.kind == "real":
        return call.into(out, types.computing, grad_output, weight, None)
    operation = Operation("input_gradient", partial(run_input_gradient, options, input_size), call, options)
    return operation.compute(types, grad_output, weight, out=out)


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
    algorithm: str = "auto",
    channels_last: bool = False,
    dtype: DTypeLike | None = None,
    out: Array | None = None,
) -> Array:
    r"""Return the gradient of a convolution (cross-correlation) with respect to its weight.

    Each weight appears many times in the matrix M of the convolution (see `gemmconv.tied_weights`). Its gradient is the
    sum over all these entries. For complex arrays it is the sum of products of `grad_output` and the conjugate of `x`.

    Parameters
    ----------
    grad_output : array_like of shape (N, O, \*output) or (O, \*output)
        The gradient of a loss with respect to the output ``conv(x, weight, ...)``. It has the shape of that output.
    x : array_like of shape (N, C, \*spatial) or (C, \*spatial)
        The input of the convolution, without padding.
    kernel_size : sequence of int
        The spatial size of the kernel: ``(KL,)``, ``(KH, KW)`` or ``(KD, KH, KW)``.
    stride, padding, dilation, groups, padding_mode, padding_value, flip
        The options of the convolution, as in `gemmconv.conv`.
    algorithm : str, optional
        ``"auto"`` takes the algorithm that is likely to be the fastest. ``"gemm"`` multiplies `grad_output` by tiles of
        patches, ``"direct"`` sums in registers, ``"fft"`` multiplies Fourier transforms. All are defined for every
        convolution.
    channels_last : bool, optional
        Whether the channels are the last axis of `grad_output` and of `x`; see `gemmconv.conv`.
    dtype, out : optional
        As in `gemmconv.conv`.

    Returns
    -------
    ndarray of shape (O, C/groups, \*kernel_size)
        The gradient, also with `channels_last` of this shape. Its type is `dtype`, or else
        ``numpy.result_type(grad_output, x, numpy.float32)``: float32, float64, complex64 or complex128. For an empty
        batch it is zero. If `out` was given, `out` is returned.

    Raises
    ------
    TypeError, ValueError
        If an argument has the wrong kind or value. The message names it and the rule. Nothing has been written to
        `out` then.

    Notes
    -----
    Let G[n] be the gradient of the output of image n, as a matrix with one row per channel, and P[n] the patch matrix
    of its input (`gemmconv.im2col`). For one group, the gradient of the kernel matrix is
    ``sum over n of G[n] @ P[n].conj().T``.

    Each element is a sum of N * L terms, one for each of the L output positions of N images. It is computed in three
    steps. First some positions are summed from zero, at most 512 of them one after the other. Then these sums are added
    up for each part of all positions, and at last the parts. There are at most 32 parts; together they take up to 2**18
    numbers of memory. So the error of an element is at most ``(t + m + 34) * eps`` times the same sum of absolute
    values, with t the positions that are summed one after the other, and m the number of such sums [1]_.

    How the sum is cut depends on the shapes and the type alone. So its bits are the same for any number of threads.

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
    types = types_of(grad_output.dtype, x.dtype, dtype)
    last = check_bool("channels_last", channels_last)
    options = Options(None, stride, padding, dilation, groups, padding_mode, padding_value, algorithm, None, last)
    call = prepare_weight_gradient(grad_output.shape, x.shape, kernel_size, types.computing.itemsize, options)
    if types.kind == "real" and flip is False:
        return call.into(out, types.computing, grad_output, x)
    operation = Operation("weight_gradient", partial(run_weight_gradient, options, kernel_size), call, options)
    return compute_weight_gradient(operation, types, grad_output, x, flip, out)


def conv_bias_gradient(grad_output: ArrayLike, *, channels_last: bool = False, dtype: DTypeLike | None = None) -> Array:
    r"""Return the gradient of a convolution (cross-correlation) with respect to its bias.

    It is the sum over images and positions. The batch axis is required, because (O, H, W) could also be (N, O, L).

    Parameters
    ----------
    grad_output : array_like of shape (N, O, \*output)
        The gradient of a loss with respect to the output of the convolution. For a single image pass
        ``grad_output[None]``.
    channels_last : bool, optional
        Whether the channels are the last axis of `grad_output`; see `gemmconv.conv`.
    dtype : dtype_like, optional
        The type of the result, as in `gemmconv.conv`.

    Returns
    -------
    ndarray of shape (O,)
        The sums, of the type `dtype`, or else ``numpy.result_type(grad_output, numpy.float32)``: float32, float64,
        complex64 or complex128. Sums of integers are exact with a type of integers.

    Raises
    ------
    TypeError, ValueError
        If `grad_output` is not an array of numbers with three to five axes.

    Examples
    --------
    >>> import numpy as np
    >>> from gemmconv import conv_bias_gradient
    >>> conv_bias_gradient(np.ones((2, 3, 4, 5), np.float32))
    array([40., 40., 40.], dtype=float32)
    """
    grad_output = as_array("grad_output", grad_output)
    last = check_bool("channels_last", channels_last)
    check_batched_gradient(grad_output.shape, last)
    types = types_of(grad_output.dtype, grad_output.dtype, dtype)
    if last:
        grad_output = np.moveaxis(grad_output, -1, 1)
    return sum_over_positions(grad_output, types)
