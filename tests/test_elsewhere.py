"""The calls that the README sets side by side with those of SciPy and NumPy give the same numbers."""

from __future__ import annotations

import numpy as np
import pytest
from cases import integers
from scipy import ndimage, signal

from gemmconv import conv1d, conv2d

X, W = integers((1, 12, 15), np.float64, 1), integers((1, 1, 3, 5), np.float64, 2)

PAIRS = {
    "correlate2d_valid": (
        lambda x, w: signal.correlate2d(x, w, mode="valid"),
        lambda x, w: conv2d(x[None], w[None, None])[0],
    ),
    "convolve2d_full": (
        lambda x, w: signal.convolve2d(x, w),
        lambda x, w: conv2d(x[None], w[None, None], padding="full", flip=True)[0],
    ),
    "convolve2d_same_symm": (
        lambda x, w: signal.convolve2d(x, w, mode="same", boundary="symm"),
        lambda x, w: conv2d(x[None], w[None, None], padding="same", padding_mode="symmetric", flip=True)[0],
    ),
    "convolve2d_same_wrap": (
        lambda x, w: signal.convolve2d(x, w, mode="same", boundary="wrap"),
        lambda x, w: conv2d(x[None], w[None, None], padding="same", padding_mode="wrap", flip=True)[0],
    ),
    "ndimage_nearest": (
        lambda x, w: ndimage.correlate(x, w, mode="nearest"),
        lambda x, w: conv2d(x[None], w[None, None], padding="same", padding_mode="edge")[0],
    ),
    "numpy_full": (
        lambda x, w: np.convolve(x[0], w[0]),
        lambda x, w: conv1d(x[:1], w[None, :1], padding="full", flip=True)[0],
    ),
    "numpy_valid": (
        lambda x, w: np.convolve(x[0], w[0], mode="valid"),
        lambda x, w: conv1d(x[:1], w[None, :1], flip=True)[0],
    ),
}


@pytest.mark.parametrize("name", PAIRS)
def test_same_numbers(name):
    theirs, ours = PAIRS[name]
    np.testing.assert_array_equal(ours(X[0], W[0, 0]), theirs(X[0], W[0, 0]))
