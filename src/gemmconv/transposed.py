"""Transposed convolution: conv_transpose, conv_transpose1d, conv_transpose2d, conv_transpose3d.

A transposed convolution is the input gradient of the convolution whose output has the size of `x`, for complex weights
without the conjugate. It is computed as such. This file holds the public signatures and their documentation. The sizes
are worked out in checks/transposed_geometry.py.
"""

from __future__ import annotations

from functools import partial

import numpy as np
from numpy.typing import ArrayLike, DTypeLike

from .checks.arrays import Array, as_array, check_bool, contiguous
from .checks.options import Ints, Padding, PaddingMode
from .checks.shapes import check_bias_shape
from .checks.types import DType, check_bias_type, types_of
from .engine.calls import TransposedOptions, prepare_transposed
from .numbers.operation import Operation

__all__ = ["conv_transpose", "conv_transpose1d", "conv_transpose2d", "conv_transpose3d"]


def convolve_transposed(
    x: ArrayLike,
    weight: ArrayLike,
    bias: ArrayLike | None,
    options: TransposedOptions,
    dtype: DTypeLike | None,
    out: Array | None,
) -> Array:
    """Compute the result of conv_transpose, conv_transpose1d, conv_transpose2d or conv_transpose3d."""
    x, weight = as_array("x", x), as_array("weight", weight)
    types = types_of(x.dtype, weight.dtype, dtype)
    call = prepare_transposed(x.shape, weight.shape, types.computing.itemsize, options)
    if bias is not None:
        bias = as_array("bias", bias)
        check_bias_shape(bias.shape, call.geometry.in_channels)
        check_bias_type(bias.dtype, types)
    if types.kind == "real" and (bias is None or options.padding_mode in ("zeros", "constant")):
        return call.into(out, types.computing, x, weight, bias)
    operation = Operation("transposed", partial(run_transposed, options), call, options)
    return operation.compute(types, x, weight, bias, out)


def run_transposed(
    options: TransposedOptions,
    x: Array,
    weight: Array,
    bias: Array | None = None,
    *,
    computing: DType | None = None,
    **changes: object,
) -> Array:
    """Convolve real arrays transposed in the type `computing`, with changes of the options."""
    dtype = computing or x.dtype
    call = prepare_transposed(x.shape, weight.shape, dtype.itemsize, options._replace(**changes))  # type: ignore[arg-type]
    if bias is None or options.padding_mode in ("zeros", "constant"):
        return call.into(None, dtype, x, weight, bias)
    # what is folded back must not have the bias yet
    result = call.into(None, dtype, x, weight, None)
    with np.errstate(all="ignore"):
        axes = () if options.channels_last else [1] * call.geometry.rank
        result += contiguous(bias, dtype).reshape(-1, *axes)
    return result


def conv_transpose(
    x: ArrayLike,
    weight: ArrayLike,
    bias: ArrayLike | None = None,
    *,
    stride: Ints = 1,
    padding: Padding = 0,
    output_padding: Ints = 0,
    output_size: Ints | None = None,
    dilation: Ints = 1,
    groups: int = 1,
    padding_mode: PaddingMode = "zeros",
    algorithm: str = "auto",
    channels_last: bool = False,
    dtype: DTypeLike | None = None,
    out: Array | None = None,
) -> Array:
    r"""Convolve transposed, over one to three spatial axes: the transpose of a convolution (cross-correlation).

    Each element of `x` is multiplied by the kernel, and the products are added to the output. Neighbouring elements of
    `x` are added `stride` positions apart. `weight` determines the number of spatial axes.

    Parameters
    ----------
    x : array_like of shape (N, C, \*spatial) or (C, \*spatial)
        The input. Without the batch axis N the result has none either.
    weight : array_like of shape (C, O/groups, \*kernel)
        The kernels. This is the weight of the convolution, from O channels to C, of which this is the transpose.
        Complex ones multiply as they are, without a conjugate.
    bias : array_like of shape (O,), optional
        One value per output channel, added to every output of that channel.
    stride : int or sequence of int, optional
        Step between the places to which neighbouring elements of `x` are added, in output positions.
    padding : int, str or sequence, optional
        How many positions are cut off at the borders of the output: an int, one int per axis, or one (before, after)
        pair per axis. Negative numbers make the output longer. ``"valid"`` is 0. With ``"same"`` and ``"same_lower"``
        the output is `stride` times as large as `x`, or has the size `output_size`. The padding is that of the
        convolution of an input of this size; see `gemmconv.resolve_padding`.
    output_padding : int or sequence of int, optional
        How many positions are added at the end of the output: less than max(stride, dilation).
    output_size : int or sequence of int, optional
        The spatial size of the output, instead of `output_padding`: at least the size without output_padding, and less
        than max(stride, dilation) more. With ``"same"`` and ``"same_lower"``, ``ceil(output_size / stride)`` must be
        the size of `x`.
    dilation : int or sequence of int, optional
        Step between neighbouring taps of the kernel, in output positions.
    groups : int, optional
        Number of groups, as in `gemmconv.conv`.
    padding_mode : str or sequence of str, optional
        ``"zeros"``, or the padding mode of the convolution of which this is the transpose, as in `gemmconv.conv`. With
        another mode than ``"zeros"``, positions that `padding` cuts off are not dropped. They are folded back: each is
        added to the output position that the convolution reads in its place.
    algorithm : str, optional
        As in `gemmconv.conv_input_gradient`.
    channels_last : bool, optional
        As in `gemmconv.conv`.
    dtype : dtype_like, optional
        The type of the result, as in `gemmconv.conv`.
    out : ndarray, optional
        As in `gemmconv.conv`.

    Returns
    -------
    ndarray of shape (N, O, \*output) or (O, \*output)
        The result; with `channels_last` of shape (N, \*output, O) or (\*output, O). Along each axis ``output = (input -
        1) * stride - before - after + dilation * (kernel - 1) + output_padding + 1``. Its type is `dtype`, or else
        ``numpy.result_type(x, weight, numpy.float32)``: float32, float64, complex64 or complex128. If `out` was given,
        `out` is returned.

    Raises
    ------
    TypeError, ValueError
        If an argument has the wrong kind or value. The message names it and the rule. Nothing has been written to
        `out` then.

    See Also
    --------
    conv_input_gradient : For real weights the same linear map (it conjugates complex ones), with the options of the
        convolution.

    Notes
    -----
    With stride s, dilation d and padding b before the output, element i of x adds
    ``x[n, c, i] * weight[c, o, t]`` to output position ``i * s - b + t * d`` of channel o, for every tap t [1]_.
    Let L be the size of the output along an axis. If a position p is not in the output (``p < 0`` or ``p >= L``), the
    product is added to this position instead:

    ===============  ====================================================================
    `padding_mode`   position
    ===============  ====================================================================
    ``"zeros"``      none: the product is dropped
    ``"edge"``       the nearer one of 0 and L - 1
    ``"wrap"``       p mod L
    ``"symmetric"``  the smaller one of q and 2 * L - 1 - q, with q = p mod (2 * L)
    ``"reflect"``    the smaller one of q and 2 * L - 2 - q, with q = p mod (2 * L - 2);
                     if L is 1, position 0
    ===============  ====================================================================

    So the result is that of ``gemmconv.convolution_matrix(weight, output_size, ...).T @ x`` with the same options. For
    all x and y, ``<conv(y, weight, ...), x> == <y, conv_transpose(x, weight, output_size=L, ...)>``, where ``<, >`` is
    the sum of the products of all elements, and L is the spatial size of y.

    Section 19 of docs/tutorial.md shows this with small numbers.

    References
    ----------
    .. [1] V. Dumoulin, F. Visin, "A guide to convolution arithmetic for deep learning", arXiv:1603.07285.

    Examples
    --------
    >>> from gemmconv import conv_transpose
    >>> conv_transpose([[1, 10, 100]], [[[1, 2, 3]]], stride=2)
    array([[  1.,   2.,  13.,  20., 130., 200., 300.]])
    >>> conv_transpose([[1, 10, 100]], [[[1, 2, 3]]], stride=2, padding="same").shape
    (1, 6)
    """
    last = check_bool("channels_last", channels_last)
    options = TransposedOptions(
        None, stride, padding, output_padding, output_size, dilation, groups, padding_mode, algorithm, last
    )
    return convolve_transposed(x, weight, bias, options, dtype, out)


def conv_transpose1d(
    x: ArrayLike,
    weight: ArrayLike,
    bias: ArrayLike | None = None,
    *,
    stride: Ints = 1,
    padding: Padding = 0,
    output_padding: Ints = 0,
    output_size: Ints | None = None,
    dilation: Ints = 1,
    groups: int = 1,
    padding_mode: PaddingMode = "zeros",
    algorithm: str = "auto",
    channels_last: bool = False,
    dtype: DTypeLike | None = None,
    out: Array | None = None,
) -> Array:
    """Convolve transposed, over one spatial axis: the transpose of a convolution (cross-correlation).

    It is `conv_transpose` for a fixed number of spatial axes. See `conv_transpose` for the options.

    Parameters
    ----------
    x : array_like of shape (N, C, L) or (C, L)
        The input.
    weight : array_like of shape (C, O/groups, KL)
        The kernels.
    bias : array_like of shape (O,), optional
        One value per output channel.
    stride, padding, output_padding, output_size, dilation, groups, padding_mode, algorithm, channels_last, dtype, out
        As in `conv_transpose`.

    Returns
    -------
    ndarray of shape (N, O, OL) or (O, OL)
        The result. Its type, and its shape with `channels_last`, are as in `conv_transpose`.

    Raises
    ------
    TypeError, ValueError
        As in `conv_transpose`, and if `weight` does not have three axes.

    Examples
    --------
    >>> from gemmconv import conv_transpose1d
    >>> conv_transpose1d([[1, 2, 3]], [[[1, 1]]], stride=2)
    array([[1., 1., 2., 2., 3., 3.]])
    """
    last = check_bool("channels_last", channels_last)
    options = TransposedOptions(
        1, stride, padding, output_padding, output_size, dilation, groups, padding_mode, algorithm, last
    )
    return convolve_transposed(x, weight, bias, options, dtype, out)


def conv_transpose2d(
    x: ArrayLike,
    weight: ArrayLike,
    bias: ArrayLike | None = None,
    *,
    stride: Ints = 1,
    padding: Padding = 0,
    output_padding: Ints = 0,
    output_size: Ints | None = None,
    dilation: Ints = 1,
    groups: int = 1,
    padding_mode: PaddingMode = "zeros",
    algorithm: str = "auto",
    channels_last: bool = False,
    dtype: DTypeLike | None = None,
    out: Array | None = None,
) -> Array:
    """Convolve transposed, over two spatial axes: the transpose of a convolution (cross-correlation).

    It is `conv_transpose` for a fixed number of spatial axes. See `conv_transpose` for the options.

    Parameters
    ----------
    x : array_like of shape (N, C, H, W) or (C, H, W)
        The input.
    weight : array_like of shape (C, O/groups, KH, KW)
        The kernels.
    bias : array_like of shape (O,), optional
        One value per output channel.
    stride, padding, output_padding, output_size, dilation, groups, padding_mode, algorithm, channels_last, dtype, out
        As in `conv_transpose`.

    Returns
    -------
    ndarray of shape (N, O, OH, OW) or (O, OH, OW)
        The result. Its type, and its shape with `channels_last`, are as in `conv_transpose`.

    Raises
    ------
    TypeError, ValueError
        As in `conv_transpose`, and if `weight` does not have four axes.

    Examples
    --------
    >>> import numpy as np
    >>> from gemmconv import conv_transpose2d
    >>> x = np.ones((8, 64, 56, 56), np.float32)
    >>> conv_transpose2d(x, np.ones((64, 32, 4, 4), np.float32), stride=2, padding=1).shape
    (8, 32, 112, 112)
    """
    last = check_bool("channels_last", channels_last)
    options = TransposedOptions(
        2, stride, padding, output_padding, output_size, dilation, groups, padding_mode, algorithm, last
    )
    return convolve_transposed(x, weight, bias, options, dtype, out)


def conv_transpose3d(
    x: ArrayLike,
    weight: ArrayLike,
    bias: ArrayLike | None = None,
    *,
    stride: Ints = 1,
    padding: Padding = 0,
    output_padding: Ints = 0,
    output_size: Ints | None = None,
    dilation: Ints = 1,
    groups: int = 1,
    padding_mode: PaddingMode = "zeros",
    algorithm: str = "auto",
    channels_last: bool = False,
    dtype: DTypeLike | None = None,
    out: Array | None = None,
) -> Array:
    """Convolve transposed, over three spatial axes: the transpose of a convolution (cross-correlation).

    It is `conv_transpose` for a fixed number of spatial axes. See `conv_transpose` for the options.

    Parameters
    ----------
    x : array_like of shape (N, C, D, H, W) or (C, D, H, W)
        The input.
    weight : array_like of shape (C, O/groups, KD, KH, KW)
        The kernels.
    bias : array_like of shape (O,), optional
        One value per output channel.
    stride, padding, output_padding, output_size, dilation, groups, padding_mode, algorithm, channels_last, dtype, out
        As in `conv_transpose`.

    Returns
    -------
    ndarray of shape (N, O, OD, OH, OW) or (O, OD, OH, OW)
        The result. Its type, and its shape with `channels_last`, are as in `conv_transpose`.

    Raises
    ------
    TypeError, ValueError
        As in `conv_transpose`, and if `weight` does not have five axes.

    Examples
    --------
    >>> import numpy as np
    >>> from gemmconv import conv_transpose3d
    >>> x = np.ones((8, 4, 5, 6), np.float32)
    >>> conv_transpose3d(x, np.ones((8, 2, 2, 2, 2), np.float32), stride=2).shape
    (2, 8, 10, 12)
    """
    last = check_bool("channels_last", channels_last)
    options = TransposedOptions(
        3, stride, padding, output_padding, output_size, dilation, groups, padding_mode, algorithm, last
    )
    return convolve_transposed(x, weight, bias, options, dtype, out)
