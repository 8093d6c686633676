"""OpenCV: `cv2.filter2D`, a correlation, for each channel of each picture; it leaves the size as it is."""

from __future__ import annotations

import cv2
import numpy as np

from ..operations import FORWARD
from ..problems import Array, Problem
from . import Call, Peer, UnsupportedError, refuse_other_types


def prepare(problem: Problem, x: Array, weight: Array, reuse: bool) -> Call:
    """Refuse what is no filter."""
    refuse_other_types(x, "float32", "float64")
    rank = len(problem.input_size)
    if rank != 2:
        raise UnsupportedError(f"a picture has two axes, not {rank}")
    if not problem.in_channels == problem.out_channels == problem.groups:
        raise UnsupportedError("it filters channel by channel and adds none up")
    if max(problem.stride + problem.dilation) > 1:
        raise UnsupportedError("it has neither strides nor dilation")
    if problem.kernel_size != tuple(2 * size + 1 for size in problem.padding):
        raise UnsupportedError("its output is as large as its input")
    kernels = weight[:, 0]

    def filter_into(output: Array) -> Array:
        for picture, filtered in zip(x, output):
            for channel, kernel, result in zip(picture, kernels, filtered):
                cv2.filter2D(channel, -1, kernel, dst=result, borderType=cv2.BORDER_CONSTANT)
        return output

    output = np.empty(problem.output_shape, x.dtype)
    return lambda: filter_into(output if reuse else np.empty_like(output))


def load(threads: int) -> Peer:
    """Limit the threads."""
    cv2.setNumThreads(threads)
    return Peer(str(cv2.__version__), {FORWARD: prepare})
