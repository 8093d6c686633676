"""Matrices: a convolution as the kernel matrix K, which multiplies patches, and as M, which multiplies inputs.

Each row of K is one kernel. Each row of M is one output: it holds the kernel, in the columns of the inputs that the
output reads, and zeros elsewhere. Entries of M that are the same weight are tied.

These matrices are for looking at and for solvers; no convolution is computed by them. Which element each output reads
is worked out in windows.py, and how large M would be in matrix_sizes.py; this file puts the weights there.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from .checks.arrays import Array, as_array, contiguous, flipped
from .checks.geometry import Geometry
from .checks.options import Ints, Padding, PaddingMode, as_shape, check_group_count, check_no_value
from .checks.shapes import check_channels, check_weight_shape
from .checks.types import computing_dtype
from .matrix_sizes import HINT_SHAPE, Modes, check_bytes, index_dtype, matrix_geometry, size_of
from .windows import count_terms, pattern

if TYPE_CHECKING:  # its import takes longer than all the rest
    from scipy.sparse import csr_array, sparray

__all__ = ["convolution_matrix", "kernel_matrix", "tied_weights"]

FORMATS = ("bsr", "coo", "csc", "csr", "dia", "dok", "lil")


def kernel_matrix(weight: ArrayLike, *, groups: int = 1, flip: bool = False) -> Array | csr_array:
    r"""Return the kernel matrix K of a convolution (cross-correlation): each kernel is a row.

    ``kernel_matrix(weight) @ im2col(x, weight.shape[2:])`` is the convolution. The output positions are flattened into
    one axis.

    Parameters
    ----------
    weight : array_like of shape (O, C/groups, \*kernel)
        The kernels, one per output channel.
    groups : int, optional
        As in `gemmconv.conv`.
    flip : bool, optional
        Whether to reverse the kernels.

    Returns
    -------
    ndarray or scipy.sparse.csr_array of shape (O, C * prod(kernel))
        For one group it is dense, and a view of `weight` where possible. For several groups it is a sparse copy, with
        one block per group on its diagonal; it multiplies the P of one image at a time. The type is
        ``numpy.result_type(weight, numpy.float32)``.

    Raises
    ------
    TypeError, ValueError
        If an argument has the wrong kind or value.

    Notes
    -----
    Sections 1 and 5 of docs/tutorial.md show K with small numbers.

    Examples
    --------
    >>> import numpy as np
    >>> from gemmconv import conv, im2col, kernel_matrix
    >>> x = np.arange(9.0).reshape(1, 3, 3)
    >>> weight = np.array([[[[1.0, 2.0], [3.0, 4.0]]]])
    >>> kernel_matrix(weight)
    array([[1., 2., 3., 4.]])
    >>> kernel_matrix(weight) @ im2col(x, (2, 2))
    array([[27., 37., 57., 67.]])
    >>> conv(x, weight).ravel()
    array([27., 37., 57., 67.])
    """
    weight = as_array("weight", weight)
    check_weight_shape(weight.shape)
    count = check_group_count(groups)
    rows, channels = weight.shape[0], weight.shape[1] * count
    check_channels((channels, *weight.shape[2:]), weight.shape, count)
    weight = contiguous(flipped(weight, flip), computing_dtype(weight.dtype, weight.dtype))
    kernels = weight.reshape(rows, prod(weight.shape[1:]))
    if count == 1:
        return kernels
    length = kernels.shape[1]
    first = np.arange(count).repeat(rows // count) * length
    index = index_dtype(kernels.size, length * count)
    indices = (first[:, np.newaxis] + np.arange(length)).astype(index)
    indptr = (np.arange(rows + 1) * length).astype(index)

    from scipy.sparse import csr_array

    return csr_array((kernels.ravel().copy(), indices.ravel(), indptr), shape=(rows, length * count))


def convolution_matrix(
    weight: ArrayLike,
    input_size: Ints,
    *,
    stride: Ints = 1,
    padding: Padding = 0,
    dilation: Ints = 1,
    groups: int = 1,
    padding_mode: PaddingMode = "zeros",
    padding_value: float = 0,
    flip: bool = False,
    format: str = "csr",  # noqa: A002 - the name of SciPy
    max_bytes: int = 2**30,
) -> sparray:
    r"""Return the sparse matrix M of a convolution (cross-correlation): ``M @ x.ravel() == conv(x, weight).ravel()``.

    For one channel, one axis, stride 1, ``padding="full"`` and ``flip=True`` this is the Toeplitz matrix that
    `scipy.linalg.convolution_matrix` returns. For one channel, stride 1, ``padding="same"`` and
    ``padding_mode="wrap"`` it is circulant; in two dimensions it is made of circulant blocks. Its eigenvectors are then
    the Fourier modes, and its eigenvalues are the discrete Fourier transform of its first column, taken as an image.

    Parameters
    ----------
    weight : array_like of shape (O, C/groups, \*kernel)
        The kernels, one per output channel.
    input_size : int or sequence of int
        ``(L,)``, ``(H, W)`` or ``(D, H, W)``.
    stride, padding, dilation, groups, padding_mode, flip : optional
        As in `gemmconv.conv`.
    padding_value : float, optional
        It must be 0: with another constant in the padding, a convolution is no linear map.
    format : str, optional
        A format of scipy.sparse: ``"csr"``, ``"csc"``, ``"coo"`` and so on.
    max_bytes : int, optional
        The size of the largest matrix to build, in bytes of the CSR format.

    Returns
    -------
    scipy.sparse array of shape (O * prod(output), C * prod(input))
        Rows are the outputs and columns the inputs, both flattened from (channels, \*spatial) in C order. The entries
        have the type ``numpy.result_type(weight, numpy.float32)``. Nothing is stored for zeros of the padding. With
        another padding mode an output may read an element more than once; the entry is then the sum of these weights.

    Raises
    ------
    TypeError, ValueError
        If an argument has the wrong kind or value, or M would be larger than `max_bytes`.
    MemoryError
        If there is no memory for the matrix.

    See Also
    --------
    ConvolutionOperator : The same linear map without the matrix.
    convolution_matrix_size : The size that the matrix would have.
    tied_weights : Which weight each entry is.

    Notes
    -----
    Sections 1 to 12 of docs/tutorial.md show M with small numbers. Section 10 has its formula.

    Examples
    --------
    Two kernels on one channel of 3 x 3:

    >>> import numpy as np
    >>> from gemmconv import convolution_matrix
    >>> weight = np.arange(1, 9).reshape(2, 1, 2, 2)
    >>> convolution_matrix(weight, (3, 3)).toarray().astype(int)
    array([[1, 2, 0, 3, 4, 0, 0, 0, 0],
           [0, 1, 2, 0, 3, 4, 0, 0, 0],
           [0, 0, 0, 1, 2, 0, 3, 4, 0],
           [0, 0, 0, 0, 1, 2, 0, 3, 4],
           [5, 6, 0, 7, 8, 0, 0, 0, 0],
           [0, 5, 6, 0, 7, 8, 0, 0, 0],
           [0, 0, 0, 5, 6, 0, 7, 8, 0],
           [0, 0, 0, 0, 5, 6, 0, 7, 8]])
    """
    weight = as_array("weight", weight)
    dtype = computing_dtype(weight.dtype, weight.dtype)
    if not isinstance(format, str) or format not in FORMATS:
        raise ValueError(f"format must be one of {', '.join(map(repr, FORMATS))}, not {format!r}")
    check_no_value(padding_value)
    geometry, modes = matrix_geometry(weight.shape, input_size, stride, padding, dilation, groups, padding_mode)
    check_bytes(geometry, max_bytes, lambda: size_of(geometry, modes, dtype.itemsize))
    matrix = _sparse(contiguous(flipped(weight, flip), dtype), geometry, modes)
    if any(mode != "constant" for mode in modes):
        matrix.sum_duplicates()
    return matrix.asformat(format)


def tied_weights(
    weight_shape: Sequence[int],
    input_size: Ints,
    *,
    stride: Ints = 1,
    padding: Padding = 0,
    dilation: Ints = 1,
    groups: int = 1,
    padding_mode: PaddingMode = "zeros",
    padding_value: float = 0,
    flip: bool = False,
    max_bytes: int = 2**30,
) -> csr_array:
    r"""Return, for each entry of the matrix M of a convolution (cross-correlation), which weight it is.

    M is that of `convolution_matrix`.

    A convolution is a fully connected layer whose weights are tied: entries of M with the same index here are the same
    weight. So M for new weights is ``weight.ravel()`` indexed by this matrix, and the gradient of a weight is the sum
    over all entries with its index.

    Parameters
    ----------
    weight_shape : sequence of int
        ``(O, C/groups, *kernel)``.
    input_size : int or sequence of int
        ``(L,)``, ``(H, W)`` or ``(D, H, W)``.
    stride, padding, dilation, groups, padding_mode, flip : optional
        As in `gemmconv.conv`.
    padding_value : float, optional
        It must be 0: with another constant in the padding, a convolution is no linear map.
    max_bytes : int, optional
        The size of the largest matrix to build, in bytes.

    Returns
    -------
    scipy.sparse.csr_array of int of shape (O * prod(output), C * prod(input))
        ``data`` holds the index into ``weight.ravel()`` of each stored entry. 0 is the first weight; it does not mean
        that there is none. With a padding mode other than zeros an output may read an element more than once; all
        these weights are stored.

    Raises
    ------
    TypeError, ValueError
        If an argument has the wrong kind or value, or the matrix would be larger than `max_bytes`.

    Notes
    -----
    Sections 1, 9 and 18 of docs/tutorial.md show tied weights with small numbers.

    Examples
    --------
    >>> import numpy as np
    >>> from scipy.sparse import csr_array
    >>> from gemmconv import tied_weights
    >>> ties = tied_weights((1, 1, 2), (4,))
    >>> ties.indices, ties.data
    (array([0, 1, 1, 2, 2, 3], dtype=int32), array([0, 1, 0, 1, 0, 1]))
    >>> M = csr_array((np.array([5.0, 7.0])[ties.data], ties.indices, ties.indptr), ties.shape)
    >>> M.toarray()
    array([[5., 7., 0., 0.],
           [0., 5., 7., 0.],
           [0., 0., 5., 7.]])

    The gradient of the weights, from an input x and the gradient g of the output: the gradient of the entry in row i
    and column j is ``g[i] * x[j]``, and the gradient of a weight is the sum over its entries:

    >>> x, g = np.array([1.0, 2.0, 3.0, 4.0]), np.array([1.0, 10.0, 100.0])
    >>> rows = np.arange(3).repeat(np.diff(ties.indptr))
    >>> np.bincount(ties.data, g[rows] * x[ties.indices], minlength=2)
    array([321., 432.])
    """
    shape = as_shape("weight_shape", weight_shape, hint=HINT_SHAPE)
    check_no_value(padding_value)
    geometry, modes = matrix_geometry(shape, input_size, stride, padding, dilation, groups, padding_mode)
    check_bytes(geometry, max_bytes, lambda: size_of(geometry, modes, np.dtype(np.intp).itemsize, count_terms))
    ties = _sparse(np.ascontiguousarray(flipped(np.arange(prod(shape)).reshape(shape), flip)), geometry, modes)
    ties.sort_indices()
    return ties


class Entries(NamedTuple):
    """The entries of a matrix in CSR format, row by row."""

    data: Array
    indices: Array
    """The column of each entry."""
    indptr: Array
    """The first entry of each row, and the number of all entries."""


def _sparse(values: Array, geometry: Geometry, modes: Modes) -> csr_array:
    """Return the matrix of a convolution with one value per weight."""
    from scipy.sparse import csr_array

    entries = matrix_entries(values, geometry, modes)
    return csr_array(entries, shape=(len(entries.indptr) - 1, geometry.in_channels * prod(geometry.in_size)))


def matrix_entries(values: Array, geometry: Geometry, modes: Modes) -> Entries:
    """Return the entries of the matrix of a convolution with one value per weight.

    All output channels of a group have the same pattern, and each further group has it further to the right. So the
    pattern is worked out for one output channel only, and then repeated.
    """
    group_columns = geometry.in_channels // geometry.groups * prod(geometry.in_size)
    indptr, chunks = pattern(geometry, modes)
    length = int(indptr[-1])
    index = index_dtype(geometry.out_channels * length, geometry.groups * group_columns)
    columns, sources = np.empty(length, index), np.empty(length, index)
    for where, positions, taps in chunks:
        columns[where], sources[where] = positions, taps

    all_indptr = np.zeros(geometry.out_channels * geometry.out_pixels + 1, index)
    np.cumsum(np.tile(np.diff(indptr), geometry.out_channels), out=all_indptr[1:])
    indices = np.empty((geometry.groups, geometry.out_channels // geometry.groups, length), index)
    for group in range(geometry.groups):
        np.add(columns, index(group * group_columns), out=indices[group])
    data = np.take(values.reshape(geometry.out_channels, geometry.reduction_length), sources, axis=1)
    return Entries(data.ravel(), indices.ravel(), all_indptr)
