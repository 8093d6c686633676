"""What is not finite: where kernels would put infinities and NaNs that the definition does not have, or leave some out.

A product of zero and infinity is NaN. So it matters which products with zeros a kernel computes::

                          the definition                           kernels
    convolution           multiplies by zeros of the padding       some leave them out
    input gradient        has no padding                           those that convolve the gradient pad it with zeros
    weight gradient       has no padding                           gemm and pixels multiply by zeros

In a convolution and an input gradient, that changes results only if a weight is not finite. Then such a kernel does not
compute; a `Definition` does, which has the right products.

To look at all weights in each call of a function would take too long for large ones. So the kernel computes first. An
output is not finite if it has a product with a weight that is not, whatever the other factor is. So it is enough to
look at outputs that together have a product with each weight, of one image: `watched_outputs`. Only if one of them is
not finite, the weights are looked at. They are the same for all images, so that the result of an image does not
depend on the others.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ..checks.geometry import Geometry
from .blas import single_threaded_blas
from .normal_form import Axis, axes_of

# Along each axis, the first output and the one after the last.
Box = tuple[tuple[int, int], ...]


class Definition:
    """What computes an operation by a way that has the products of the definition; it is built when it is needed."""

    def __init__(self, build: Callable[..., Any], *arguments: Any) -> None:
        self._build, self._arguments = build, arguments

    def __call__(self, x: Any, weight: Any, bias: Any, out: Any, threads: int) -> None:
        """Do as `run` of a problem of the compiled module does, with a weight that is not laid out."""
        problem = self._build(*self._arguments).problem
        with single_threaded_blas:
            problem.run(x, problem.lay_out(weight, threads), bias, out, threads)


def reads_padding(geometry: Geometry) -> bool:
    """Whether a convolution may read the padding."""
    return any(pad > 0 for pad in (*geometry.pad_before, *geometry.pad_after))


def watched_outputs(geometry: Geometry) -> Box | None:
    """Return outputs of a channel of a convolution in which every tap of the kernel reads an element of the input.

    None if a tap reads nothing but padding.
    """
    return _box([_watched_along(axis) for axis in axes_of(geometry)])


def watched_inputs(geometry: Geometry) -> Box | None:
    """Return elements of the input of a convolution that, together, are read by every tap of the kernel.

    None if a tap reads nothing but padding. They are outputs of the input gradient.
    """
    return _box([_watched_back_along(axis) for axis in axes_of(geometry)])


def _box(sides: list[tuple[int, int] | None]) -> Box | None:
    box = tuple([side for side in sides if side is not None])
    return box if len(box) == len(sides) else None


def _watched_along(axis: Axis) -> tuple[int, int] | None:
    """Return an output in which no tap reads the padding, or else all outputs, or None if they are not enough."""
    in_size, kernel, stride, dilation, before, _, out_size = axis
    first = max(-(-before // stride), 0)
    last = min((in_size - 1 + before - (kernel - 1) * dilation) // stride, out_size - 1)
    if first <= last:
        return first, first + 1
    return (0, out_size) if _all_taps_read(axis) else None


def _watched_back_along(axis: Axis) -> tuple[int, int] | None:
    """Return `stride` neighbours that every tap reads for some output, or else all elements, or None."""
    in_size, kernel, stride, dilation, before, _, out_size = axis
    first = max((kernel - 1) * dilation - before, 0)
    last = min(stride * (out_size - 2) + 1 - before, in_size - stride)
    if first <= last:
        return first, first + stride
    return (0, in_size) if _all_taps_read(axis) else None


def _all_taps_read(axis: Axis) -> bool:
    """Whether every tap reads an element of the input for some output."""
    in_size, kernel, stride, dilation, before, _, out_size = axis
    starts = before - np.arange(kernel) * dilation  # what an output must be at least, times the stride
    first = np.maximum(-(-starts // stride), 0)
    last = np.minimum((starts + in_size - 1) // stride, out_size - 1)
    return bool((first <= last).all())
