"""SciPy: `scipy.signal.correlate`, by Fourier transform where SciPy expects that to be faster."""

from __future__ import annotations

from functools import partial

import numpy as np
import scipy
import scipy.fft
import scipy.signal

from ..operations import FORWARD
from ..problems import Array, Problem
from . import Call, Peer, UnsupportedError, refuse_other_types


def prepare(threads: int, problem: Problem, x: Array, weight: Array, _reuse: bool) -> Call:
    """Have SciPy choose how; there is no way to give the memory of the output."""
    refuse_other_types(x, "float32", "float64", "complex64", "complex128")
    if (problem.batch, problem.in_channels, problem.out_channels) != (1, 1, 1):
        raise UnsupportedError("it takes one signal and one kernel")
    if max(problem.stride + problem.dilation) > 1:
        raise UnsupportedError("it has neither strides nor dilation")
    signal, kernel = x[0, 0], weight[0, 0].conj()  # `correlate` takes the conjugate of its second argument
    widths = [(size, size) for size in problem.padding]
    method = scipy.signal.choose_conv_method(np.pad(signal, widths), kernel, mode="valid")

    def call() -> Array:
        with scipy.fft.set_workers(threads):
            output: Array = scipy.signal.correlate(np.pad(signal, widths), kernel, mode="valid", method=method)
        return output.reshape(problem.output_shape)

    return call


def load(threads: int) -> Peer:
    """Limit the threads of its Fourier transforms."""
    return Peer(str(scipy.__version__), {FORWARD: partial(prepare, threads)})
