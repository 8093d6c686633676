"""The kernel matrix K, the matrix M of a convolution, and which weight each entry of M is. All matrices are dense.

M is built from the definition of the convolution (convolution.py), column by column.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from .convolution import Array, as_numbers, conv


def kernel_matrix(weight: ArrayLike, *, groups: int = 1, flip: bool = False) -> Array:
    """Return the dense kernel matrix K of a convolution; the kernels of each group are a block on its diagonal.

    Examples
    --------
    >>> from gemmconv.reference import kernel_matrix
    >>> kernel_matrix([[[1, 2]], [[3, 4]]], groups=2)
    array([[1., 2., 0., 0.],
           [0., 0., 3., 4.]])
    """
    weight = as_numbers(weight)
    if flip:
        weight = np.flip(weight, tuple(range(2, weight.ndim)))
    rows, columns = len(weight), prod(weight.shape[1:])
    K = np.zeros((rows, groups * columns), weight.dtype)
    for o in range(rows):
        group = o // (rows // groups)
        K[o, group * columns : (group + 1) * columns] = weight[o].ravel()
    return K


def convolution_matrix(weight: ArrayLike, input_size: Sequence[int], *, groups: int = 1, **options: Any) -> Array:
    """Return the dense matrix M of a convolution; each column is the output for an input with a single 1 and zeros.

    Examples
    --------
    >>> from gemmconv.reference import convolution_matrix
    >>> convolution_matrix([[[5, 7]]], (4,))
    array([[5., 7., 0., 0.],
           [0., 5., 7., 0.],
           [0., 0., 5., 7.]])
    """
    channels = np.shape(weight)[1] * groups
    ones = np.eye(channels * prod(input_size))
    y = conv(ones.reshape(len(ones), channels, *input_size), weight, groups=groups, **options)
    return y.reshape(len(ones), prod(y.shape[1:])).T


def tied_weights(weight_shape: Sequence[int], input_size: Sequence[int], **options: Any) -> Array:
    """Return which weight each entry of M is, counted from 0, and -1 where M has no weight.

    With a padding mode other than zeros, an entry can be the sum of several weights. It is then the sum of their
    numbers, counted from 1, minus 1.

    Examples
    --------
    >>> from gemmconv.reference import tied_weights
    >>> tied_weights((1, 1, 2), (4,)).astype(int)
    array([[ 0,  1, -1, -1],
           [-1,  0,  1, -1],
           [-1, -1,  0,  1]])
    """
    counted_from_1 = np.arange(1, 1 + prod(weight_shape)).reshape(weight_shape)
    return convolution_matrix(counted_from_1, input_size, **options) - 1
