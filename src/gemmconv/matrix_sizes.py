"""Matrix sizes: how large the matrix M of a convolution would be, worked out without building it.

matrices.py builds M, and refuses one that would be too large.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from math import prod
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import DTypeLike

from .checks.geometry import Geometry
from .checks.options import (
    LARGEST_INT,
    Ints,
    Padding,
    PaddingMode,
    Sizes,
    as_shape,
    check_extendable,
    check_no_value,
    padding_modes,
)
from .checks.shapes import x_shape_of
from .checks.types import check_dtype
from .windows import count_read

__all__ = ["MatrixSize", "convolution_matrix_size"]

# For a weight in place of its shape.
HINT_SHAPE = "; of a weight, pass weight.shape"

# The name of the padding mode of each of the three axes in numpy.pad.
Modes = tuple[str, ...]


class MatrixSize(NamedTuple):
    """The size of a convolution matrix in CSR format."""

    shape: tuple[int, int]
    entries: int
    """The number of stored entries."""
    nbytes: int


def convolution_matrix_size(
    weight_shape: Sequence[int],
    input_size: Ints,
    *,
    stride: Ints = 1,
    padding: Padding = 0,
    dilation: Ints = 1,
    groups: int = 1,
    padding_mode: PaddingMode = "zeros",
    padding_value: float = 0,
    dtype: DTypeLike = np.float32,
) -> MatrixSize:
    r"""Return the size that the matrix of a convolution (cross-correlation) would have, without building it.

    The matrix is that of `convolution_matrix`.

    Parameters
    ----------
    weight_shape : sequence of int
        ``(O, C/groups, *kernel)``.
    input_size : int or sequence of int
        ``(L,)``, ``(H, W)`` or ``(D, H, W)``.
    stride, padding, dilation, groups, padding_mode : optional
        As in `gemmconv.conv`.
    padding_value : float, optional
        It must be 0: with another constant in the padding, a convolution is no linear map.
    dtype : dtype_like, optional
        The type of the weight. The entries have the type ``numpy.result_type(dtype, numpy.float32)``.

    Returns
    -------
    MatrixSize
        A named tuple of the ``shape``, the number of stored ``entries``, and ``nbytes``, the bytes of the entries and
        their indices in CSR format.

    Raises
    ------
    TypeError, ValueError
        If an argument has the wrong kind or value.

    Examples
    --------
    >>> from gemmconv import convolution_matrix_size
    >>> convolution_matrix_size((32, 16, 3, 3), (32, 32), padding=1)
    MatrixSize(shape=(32768, 16384), entries=4524032, nbytes=36323332)
    """
    check_no_value(padding_value)
    geometry, modes = matrix_geometry(
        as_shape("weight_shape", weight_shape, hint=HINT_SHAPE),
        input_size,
        stride,
        padding,
        dilation,
        groups,
        padding_mode,
    )
    return size_of(geometry, modes, check_dtype("dtype", dtype).itemsize)


def matrix_geometry(
    weight_shape: Sizes,
    input_size: Ints,
    stride: Ints,
    padding: Padding,
    dilation: Ints,
    groups: int,
    padding_mode: PaddingMode,
) -> tuple[Geometry, Modes]:
    """Return the geometry of one image, and the name of the padding mode of each of its three axes in numpy.pad."""
    x_shape = x_shape_of(weight_shape, input_size, groups)
    geometry = Geometry.from_shapes(
        x_shape, weight_shape, stride=stride, padding=padding, dilation=dilation, groups=groups
    )
    modes = padding_modes(padding_mode, geometry.rank)
    check_extendable(modes, x_shape[1:], geometry.pads)
    read = [mode if any(pad) else "constant" for mode, pad in zip(modes, geometry.pads)]
    return geometry, ("constant",) * (3 - len(read)) + tuple(read)


def index_dtype(entries: int, columns: int) -> type[np.signedinteger[Any]]:
    """Return the type of the indices of a sparse matrix."""
    return np.int32 if max(entries, columns) <= LARGEST_INT else np.int64


def size_of(
    geometry: Geometry, modes: Modes, itemsize: int, count: Callable[[Geometry, int, str], int] = count_read
) -> MatrixSize:
    """Return the size of the matrix; `count` counts the entries along one axis."""
    channels = geometry.in_channels // geometry.groups
    entries = geometry.out_channels * channels * prod([count(geometry, axis, modes[axis]) for axis in range(3)])
    rows, columns = geometry.out_channels * geometry.out_pixels, geometry.in_channels * prod(geometry.in_size)
    index = np.dtype(index_dtype(entries, columns)).itemsize
    return MatrixSize((rows, columns), entries, entries * (itemsize + index) + (rows + 1) * index)


def check_limit(max_bytes: object) -> int:
    """Return max_bytes as an int, or raise."""
    try:
        return operator.index(max_bytes)  # type: ignore[arg-type]
    except TypeError:
        raise TypeError(f"max_bytes must be an int, not {max_bytes!r}") from None


def check_bytes(geometry: Geometry, max_bytes: int, measure: Callable[[], MatrixSize]) -> None:
    """Raise if the matrix would be too large.

    A very large matrix is refused for its row pointers alone, before its entries are counted.
    """
    limit = check_limit(max_bytes)
    rows = geometry.out_channels * geometry.out_pixels
    size = None if 4 * rows > limit else measure()
    if size is None or size.nbytes > limit:
        amount = (
            f"at least {4 * rows} bytes" if size is None else f"{size.entries} entries and take {size.nbytes} bytes"
        )
        shape = (rows, geometry.in_channels * prod(geometry.in_size))
        raise ValueError(
            f"the convolution matrix of shape {shape} would have {amount}, but max_bytes is {max_bytes}; "
            "gemmconv.ConvolutionOperator is the same linear map without the matrix"
        )
