"""Columns: im2col builds the patch matrix P of images; col2im is its transpose.

This file holds the public signatures and their documentation. What an argument may be is decided in checks/, how the
matrix is built in engine/ and csrc/gemm.
"""

from __future__ import annotations

from collections.abc import Sequence

from numpy.typing import ArrayLike, DTypeLike

from .checks.arrays import Array, as_array, check_bool
from .checks.options import Ints, Padding, PaddingMode
from .engine.calls import Options
from .numbers.columns import columns_of, images_of, type_of_columns

__all__ = ["col2im", "im2col"]


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
    dtype: DTypeLike | None = None,
    out: Array | None = None,
) -> Array:
    r"""Return the patch matrix P: one column for each output position of a convolution (cross-correlation).

    The product of the kernel matrix and P is the convolution: ``kernel_matrix(weight) @ im2col(x, weight.shape[2:])``.

    Parameters
    ----------
    x : array_like of shape (N, C, \*spatial) or (C, \*spatial)
        The input. Without the batch axis N the result has none either.
    kernel_size : sequence of int
        The spatial size of the kernel: ``(KL,)``, ``(KH, KW)`` or ``(KD, KH, KW)``.
    stride, padding, dilation, padding_mode, padding_value : optional
        As in `gemmconv.conv`. P holds what the padding holds; `padding_value` must be a number of the type of P.
    channels_last : bool, optional
        Whether the channels are the last axis of `x`. The result is then the transpose of P, (N, L, prod(kernel_size) *
        C), whose columns ``(*tap, c)`` have the channels of a tap together.
    dtype : dtype_like, optional
        The type of the result, if not that of `x`: any to which `x` can be cast (``"same_kind"``).
    out : ndarray, optional
        The array to write the result to. It must have exactly the shape of the result, and a type to which the result
        can be cast (``"same_kind"``). It may overlap the input.

    Returns
    -------
    ndarray of shape (N, C * prod(kernel_size), L) or (C * prod(kernel_size), L)
        Row ``(c, *tap)`` and column ``position``, both counted in C order, hold the element of channel c that this tap
        reads for the output at this position. The type is `dtype`, or else that of `x`: a boolean, integer,
        floating-point or complex type, in the byte order of the machine. If `out` was given, `out` is returned.

    Raises
    ------
    TypeError, ValueError
        If an argument has the wrong kind or value. The message names it and the rule.
    MemoryError
        If there is no memory for the result. With stride 1 it is about ``prod(kernel_size)`` times as large as `x`.

    See Also
    --------
    col2im : The transpose of this linear map.
    kernel_matrix : The matrix to multiply it by.

    Notes
    -----
    Section 13 of docs/tutorial.md shows P with small numbers.

    Examples
    --------
    >>> import numpy as np
    >>> from gemmconv import im2col
    >>> im2col(np.arange(1, 10, dtype=np.float32).reshape(1, 3, 3), (2, 2))
    array([[1., 2., 4., 5.],
           [2., 3., 5., 6.],
           [4., 5., 7., 8.],
           [5., 6., 8., 9.]], dtype=float32)
    """
    x = as_array("x", x)
    result = type_of_columns("x", x.dtype, dtype)
    last = check_bool("channels_last", channels_last)
    options = Options(None, stride, padding, dilation, 1, padding_mode, padding_value, "auto", None, last)
    return columns_of(x, kernel_size, options, result, out)


def col2im(
    columns: ArrayLike,
    input_size: Ints,
    kernel_size: Sequence[int],
    *,
    stride: Ints = 1,
    padding: Padding = 0,
    dilation: Ints = 1,
    padding_mode: PaddingMode = "zeros",
    padding_value: complex = 0,
    channels_last: bool = False,
    dtype: DTypeLike | None = None,
    out: Array | None = None,
) -> Array:
    r"""Add up columns into images: the transpose of `im2col`, the patch matrix of a convolution (cross-correlation).

    Each element of the result is the sum of all entries of the columns to which `im2col` would copy that element. It is
    not the inverse of `im2col`: ``col2im(im2col(x, ...), ...)`` multiplies each element of x by the number of patches
    that contain it.

    Parameters
    ----------
    columns : array_like of shape (N, C * prod(kernel_size), L) or (C * prod(kernel_size), L)
        A matrix of the shape that `im2col` returns. Without the batch axis N the result has none either.
    input_size : int or sequence of int
        The spatial size of the images: ``(L,)``, ``(H, W)`` or ``(D, H, W)``.
    kernel_size : sequence of int
        The spatial size of the kernel.
    stride, padding, dilation, padding_mode, padding_value : optional
        As in `gemmconv.conv`. Entries that belong to the padding are dropped; with a `padding_mode` other than
        ``"zeros"`` they are added to the element that is repeated there. The result does not depend on `padding_value`.
    channels_last : bool, optional
        Whether the columns are what `im2col` returns with this option. The channels are then the last axis of the
        result.
    dtype : dtype_like, optional
        The type of the result, if not that of the columns: any to which they can be cast (``"same_kind"``).
    out : ndarray, optional
        The array to write the result to. It must have exactly the shape of the result, and a type to which the result
        can be cast (``"same_kind"``). It may overlap the input.

    Returns
    -------
    ndarray of shape (N, C, \*input_size) or (C, \*input_size)
        The sums; with `channels_last` of shape (N, \*input_size, C) or (\*input_size, C). The type is `dtype`, or else
        that of the columns. Integers are added as integers, whose sums wrap around as in NumPy; for larger sums pass
        ``dtype=numpy.int64``. Booleans are added by "or", as in NumPy. Sums of float16 and bfloat16 are computed in
        float32 and rounded once. If `out` was given, `out` is returned.

    Raises
    ------
    TypeError, ValueError
        If an argument has the wrong kind or value. The message names it and the rule.

    Examples
    --------
    >>> import numpy as np
    >>> from gemmconv import col2im, im2col
    >>> col2im(np.ones((4, 4)), (3, 3), (2, 2))[0]  # in how many patches each element is
    array([[1., 2., 1.],
           [2., 4., 2.],
           [1., 2., 1.]])
    """
    columns = as_array("columns", columns)
    result = type_of_columns("columns", columns.dtype, dtype)
    last = check_bool("channels_last", channels_last)
    options = Options(None, stride, padding, dilation, 1, padding_mode, padding_value, "auto", None, last)
    return images_of(columns, input_size, kernel_size, options, result, out)
