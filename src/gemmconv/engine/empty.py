"""Empty: operations on arrays without elements, such as images without channels. No C kernel sees them.

There is nothing to sum, so the result is the bias, or zeros; or it has no elements either. This file does not need to
know about padding: images with an axis of length 0 are extended first (extension.py).
"""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np

from ..checks.arrays import Array
from ..checks.geometry import Geometry


class Empty:
    """Computes an operation whose sums have no terms, in place of an object of the compiled module."""

    kernel = "empty"
    layout_bytes = scratch_bytes = task_count = 0

    def __init__(self, geometry: Geometry, channels_last: bool, relu: bool = False, is_gradient: bool = False) -> None:
        size, channels = geometry.out_size, geometry.out_channels
        if is_gradient:
            size, channels = geometry.in_size, geometry.in_channels
        self._by_channel = (channels, 1 if channels_last else prod(size))
        self._relu = relu

    def lay_out(self, weight: Array, _threads: int = 1) -> Array:
        """Return the weight as it is; it is not read."""
        return weight

    def run(self, *arguments: Any) -> None:
        """Write the bias, or zeros; the last arguments are the bias, unless it has none, the result and threads."""
        *arrays, out, _threads = arguments
        out.fill(0)
        if out.size == 0 or len(arrays) < 3 or arrays[2] is None:
            return
        by_channel = out.reshape(-1, *self._by_channel)
        by_channel += arrays[2][:, np.newaxis]
        if self._relu:
            np.maximum(out, 0, out=out)

    im2col = col2im = run
