"""Convolution: conv, conv1d, conv2d, conv3d.

The functions check their arguments (checks/) and run a prepared call (engine/calls.py). This file holds the public
signatures and their documentation. What an argument may be is decided in checks/, how the result is computed in
engine/.
"""

from __future__ import annotations

from functools import partial

from numpy.typing import ArrayLike, DTypeLike

from .checks.arrays import Array, as_array, check_bool, flipped
from .checks.options import Ints, Padding, PaddingMode
from .checks.types import DType, check_bias_type, types_of
from .engine.calls import Options, prepare_convolution
from .engine.weights import Weights
from .numbers.narrow import convolve_narrow, is_narrow
from .numbers.operation import Operation

__all__ = ["conv", "conv1d", "conv2d", "conv3d"]


def convolve(
    x: ArrayLike,
    weight: ArrayLike,
    bias: ArrayLike | None,
    options: Options,
    flip: bool,
    dtype: DTypeLike | None,
    out: Array | None,
) -> Array:
    """Compute the result of conv, conv1d, conv2d or conv3d."""
    x, weight = as_array("x", x), as_array("weight", weight)
    types = types_of(x.dtype, weight.dtype, dtype)
    call = prepare_convolution(x.shape, weight.shape, types.computing.itemsize, options)
    if bias is not None:
        bias = as_array("bias", bias)
        call.geometry.check_bias(bias.shape)
        check_bias_type(bias.dtype, types)
    weight = flipped(weight, flip)
    if is_narrow(call, x, types):
        return convolve_narrow(call, options, types, x, Weights(weight, bias), out)
    if types.kind == "real":
        return call.into(out, types.computing, x, weight, bias)
    operation = Operation("convolution", partial(run_convolution, options), call, options)
    return operation.compute(types, x, weight, bias, out)


def run_convolution(
    options: Options,
    x: Array,
    weight: Array,
    bias: Array | None = None,
    *,
    computing: DType | None = None,
    **changes: object,
) -> Array:
    """Convolve real arrays in the type `computing`, with changes of the options."""
    dtype = computing or x.dtype
    call = prepare_convolution(x.shape, weight.shape, dtype.itemsize, options._replace(**changes))  # type: ignore[arg-type]
    return call.into(None, dtype, x, weight, bias)


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
    algorithm: str = "auto",
    channels_last: bool = False,
    dtype: DTypeLike | None = None,
    out: Array | None = None,
) -> Array:
    r"""Convolve over one to three spatial axes: a cross-correlation, unless ``flip=True``.

    `weight` determines the number of spatial axes. By default the kernel is not reversed, as in neural networks.
    ``flip=True`` reverses it along every spatial axis, as in mathematics and in `numpy.convolve`.

    Parameters
    ----------
    x : array_like of shape (N, C, \*spatial) or (C, \*spatial)
        The input. Without the batch axis N the result has none either. Spatial is (L,), (H, W) or (D, H, W).
    weight : array_like of shape (O, C/groups, \*kernel)
        The kernels, one per output channel. Complex ones multiply as they are, without a conjugate.
    bias : array_like of shape (O,), optional
        One value per output channel, added to every output of that channel. It may be complex only if `x` or `weight`
        is.
    stride : int or sequence of int, optional
        Step between neighbouring outputs, in input positions.
    padding : int, str or sequence, optional
        Positions around the input: an int, one int per axis, one (before, after) pair per axis (negative numbers crop),
        or ``"valid"``, ``"same"``, ``"same_lower"``, ``"full"``, ``"causal"``; see `gemmconv.resolve_padding`.
    dilation : int or sequence of int, optional
        Step between neighbouring taps of the kernel, in input positions.
    groups : int, optional
        Number of groups. The channels are split into groups, and the outputs of a group read only the input channels
        of that group. ``groups=C`` is a depthwise convolution.
    padding_mode : str or sequence of str, optional
        ``"zeros"`` (or ``"constant"``), or how the input is continued in the padding, named as in `numpy.pad`:
        ``"reflect"``, ``"edge"`` (or ``"replicate"``), ``"wrap"`` (or ``"circular"``), ``"symmetric"``. One mode for
        all spatial axes, or one per axis, such as ``("zeros", "wrap")``. All but ``"zeros"`` make a padded copy of `x`.
    padding_value : float or complex, optional
        What the padding holds along axes with the mode ``"zeros"``: any number, also infinity or NaN; a complex one
        only if `x` is complex. Another value than 0 makes a padded copy of `x`.
    flip : bool, optional
        Whether to reverse the kernel.
    algorithm : str, optional
        ``"auto"`` takes the algorithm that is likely to be the fastest. The algorithms are:

        ``"gemm"``
            Multiplication of matrices in tiles. It is defined for every convolution.
        ``"direct"``
            Sums in registers. It is defined for every convolution.
        ``"winograd"``
            A quarter of the multiplications of a 3x3 kernel, and a larger error. It is defined for 3x3 and 1x3 kernels
            with stride and dilation 1. In three dimensions this must hold for the last two axes.
        ``"winograd2"``
            Less than half of the multiplications of a 3x3 kernel, and a small error. It is defined where
            ``"winograd"`` is.
        ``"fft"``
            Products of fast Fourier transforms, block by block. It is defined for every convolution, and fast for long
            filters and large kernels. Its error is relative to the largest values that a block reads, so it is not
            exact on integers. ``"auto"`` may take it for kernels of 32 taps or more (docs/accuracy.md).
    channels_last : bool, optional
        Whether the channels are the last axis of `x`, (N, \*spatial, C) or (\*spatial, C), and of the result, as in
        pictures and in TensorFlow. `weight` and `bias` are as without it.
    dtype : dtype_like, optional
        The type of the result, if not ``numpy.result_type(x, weight, numpy.float32)``. The sums are computed in float32
        or float64, whichever holds the types of `x`, `weight` and the result, and rounded once. So
        ``dtype=numpy.float32`` with float64 arrays computes in float64. A type of integers gives the exact integers. It
        needs arrays of integers or booleans, and a result that cannot be too large for it. The result is in the byte
        order of the machine.
    out : ndarray, optional
        The array to write the result to. It must have exactly the shape of the result, and a type to which the result
        can be cast (``"same_kind"``), in any byte order. With a `dtype` of integers it may be of integers too, if they
        hold the result. It may overlap the inputs.

    Returns
    -------
    ndarray of shape (N, O, \*output) or (O, \*output)
        The result; with `channels_last` of shape (N, \*output, O) or (\*output, O). `gemmconv.output_size` gives its
        spatial size. Its type is `dtype`, or else ``numpy.result_type(x, weight, numpy.float32)``: float32, float64,
        complex64 or complex128. If `out` was given, `out` is returned.

    Raises
    ------
    TypeError
        If an argument is of the wrong kind, for example an array of strings, or a stride that is not an integer.
    ValueError
        If a shape or value does not fit, or integers might be too large for `dtype` or `out`. The message names it and
        the rule. Nothing has been written to `out` then.
    MemoryError
        If there is no memory for the result.

    Notes
    -----
    With stride s, dilation d and padding b before the input, output channel o at position i is ::

        y[n, o, i] = bias[o] + sum over c, t of weight[o, c, t] * x[n, c, i * s - b + t * d]

    where x outside the input is what the padding holds. Each axis is continued on its own. In the corners, where the
    padding of several axes meets, it holds the constant if one of these axes has the mode ``"zeros"``.

    For one group this sum is a product of matrices, ``y[n] = K @ P``. K is ``weight.reshape(O, -1)``, and P has one
    column for each output position [1]_. With stride 1, P is larger than the image by a factor of the number of taps.
    So it is never built as a whole. docs/tutorial.md shows these matrices with small numbers.

    ``"winograd"`` computes a tile of 4x4 outputs of a 3x3 kernel with 36 products instead of 144 [2]_.

    For finite inputs the error of each output of ``"gemm"`` and ``"direct"`` is at most
    ``(min(k, 256) + k / 128 + 2) * eps * (|x| conv |weight| + |bias|) + k * tiny``, with k the number of terms in its
    sum and tiny the smallest subnormal number. ``"winograd"``, ``"winograd2"`` and ``"fft"`` have bounds of their own
    (docs/accuracy.md); the error of ``"winograd"`` is typically five times as large. With OpenBLAS, the bits of an
    output depend neither on the batch that it is in, nor on the number of threads, nor on the memory layout of the
    arrays.

    References
    ----------
    .. [1] K. Chellapilla, S. Puri, P. Simard, "High Performance Convolutional Neural Networks for Document Processing",
       Tenth International Workshop on Frontiers in Handwriting Recognition, 2006.
    .. [2] A. Lavin, S. Gray, "Fast Algorithms for Convolutional Neural Networks", arXiv:1509.09308.

    Examples
    --------
    >>> import numpy as np
    >>> from gemmconv import conv
    >>> x = np.arange(1, 17, dtype=np.float32).reshape(1, 4, 4)
    >>> weight = np.array([[[[1, 2], [3, 4]]]], dtype=np.float32)
    >>> conv(x, weight)
    array([[[ 44.,  54.,  64.],
            [ 84.,  94., 104.],
            [124., 134., 144.]]], dtype=float32)

    The exact integers, and a result in half precision, whose sums are computed in float32:

    >>> conv(np.full((1, 4), 200, np.uint8), np.array([[[1, 2, 1]]], np.uint8), dtype=np.int32)
    array([[800, 800]], dtype=int32)
    >>> conv(np.full((1, 4), 0.5, np.float16), np.array([[[1, 2, 1]]], np.float16), dtype=np.float16)
    array([[2., 2.]], dtype=float16)

    A picture with its channels last:

    >>> picture = np.ones((224, 224, 3), np.uint8)
    >>> conv(picture, np.ones((8, 3, 5, 5), np.float32), padding="same", channels_last=True).shape
    (224, 224, 8)
    """
    last = check_bool("channels_last", channels_last)
    options = Options(None, stride, padding, dilation, groups, padding_mode, padding_value, algorithm, None, last)
    return convolve(x, weight, bias, options, flip, dtype, out)


def conv1d(
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
    algorithm: str = "auto",
    channels_last: bool = False,
    dtype: DTypeLike | None = None,
    out: Array | None = None,
) -> Array:
    """Convolve over one spatial axis: a cross-correlation, unless ``flip=True``.

    It is `conv` for a fixed number of spatial axes. See `conv` for the options.

    Parameters
    ----------
    x : array_like of shape (N, C, L) or (C, L)
        The input.
    weight : array_like of shape (O, C/groups, KL)
        The kernels, one per output channel.
    bias : array_like of shape (O,), optional
        One value per output channel.
    stride, padding, dilation, groups, padding_mode, padding_value, flip, algorithm, channels_last, dtype, out
        As in `conv`.

    Returns
    -------
    ndarray of shape (N, O, OL) or (O, OL)
        The result. Its type, and its shape with `channels_last`, are as in `conv`.

    Raises
    ------
    TypeError, ValueError
        As in `conv`, and if `weight` does not have three axes.

    Examples
    --------
    >>> from gemmconv import conv1d
    >>> conv1d([[1, 2, 3, 4]], [[[5, 6, 7]]])
    array([[38., 56.]])
    >>> conv1d([[1, 2, 3, 4]], [[[5, 6, 7]]], padding="full", flip=True)  # as numpy.convolve
    array([[ 5., 16., 34., 52., 45., 28.]])
    >>> conv1d([[1, 2, 3, 4]], [[[1, 1, 1]]], padding=1, padding_value=10)
    array([[13.,  6.,  9., 17.]])
    """
    last = check_bool("channels_last", channels_last)
    options = Options(1, stride, padding, dilation, groups, padding_mode, padding_value, algorithm, None, last)
    return convolve(x, weight, bias, options, flip, dtype, out)


def conv2d(
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
    algorithm: str = "auto",
    channels_last: bool = False,
    dtype: DTypeLike | None = None,
    out: Array | None = None,
) -> Array:
    """Convolve over two spatial axes: a cross-correlation, unless ``flip=True``.

    It is `conv` for a fixed number of spatial axes. See `conv` for the options.

    Parameters
    ----------
    x : array_like of shape (N, C, H, W) or (C, H, W)
        The input.
    weight : array_like of shape (O, C/groups, KH, KW)
        The kernels, one per output channel.
    bias : array_like of shape (O,), optional
        One value per output channel.
    stride, padding, dilation, groups, padding_mode, padding_value, flip, algorithm, channels_last, dtype, out
        As in `conv`.

    Returns
    -------
    ndarray of shape (N, O, OH, OW) or (O, OH, OW)
        The result. Its type, and its shape with `channels_last`, are as in `conv`.

    Raises
    ------
    TypeError, ValueError
        As in `conv`, and if `weight` does not have four axes.

    Examples
    --------
    >>> import numpy as np
    >>> from gemmconv import conv2d
    >>> x = np.ones((8, 3, 224, 224), np.float32)
    >>> weight = np.ones((64, 3, 7, 7), np.float32)
    >>> conv2d(x, weight, stride=2, padding=3).shape
    (8, 64, 112, 112)
    """
    last = check_bool("channels_last", channels_last)
    options = Options(2, stride, padding, dilation, groups, padding_mode, padding_value, algorithm, None, last)
    return convolve(x, weight, bias, options, flip, dtype, out)


def conv3d(
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
    algorithm: str = "auto",
    channels_last: bool = False,
    dtype: DTypeLike | None = None,
    out: Array | None = None,
) -> Array:
    """Convolve over three spatial axes: a cross-correlation, unless ``flip=True``.

    It is `conv` for a fixed number of spatial axes. See `conv` for the options.

    Parameters
    ----------
    x : array_like of shape (N, C, D, H, W) or (C, D, H, W)
        The input.
    weight : array_like of shape (O, C/groups, KD, KH, KW)
        The kernels, one per output channel.
    bias : array_like of shape (O,), optional
        One value per output channel.
    stride, padding, dilation, groups, padding_mode, padding_value, flip, algorithm, channels_last, dtype, out
        As in `conv`.

    Returns
    -------
    ndarray of shape (N, O, OD, OH, OW) or (O, OD, OH, OW)
        The result. Its type, and its shape with `channels_last`, are as in `conv`.

    Raises
    ------
    TypeError, ValueError
        As in `conv`, and if `weight` does not have five axes.

    Examples
    --------
    >>> import numpy as np
    >>> from gemmconv import conv3d
    >>> x = np.ones((1, 8, 16, 32, 32), np.float32)
    >>> weight = np.ones((8, 1, 3, 3, 3), np.float32)
    >>> conv3d(x, weight, padding="same", groups=8).shape
    (1, 8, 16, 32, 32)
    """
    last = check_bool("channels_last", channels_last)
    options = Options(3, stride, padding, dilation, groups, padding_mode, padding_value, algorithm, None, last)
    return convolve(x, weight, bias, options, flip, dtype, out)
