"""OpenVINO: a network of one convolution whose weights are known beforehand, so that it may pack them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import openvino
from openvino import opset13

from ..problems import Array, Problem
from . import Peer, UnsupportedError


class OpenVino:
    """`openvino.CompiledModel` on the CPU.

    Parameters
    ----------
    threads : int
        How many threads a network may use.
    """

    def __init__(self, threads: int) -> None:
        self.core = openvino.Core()
        # Without the hint it may compute in bfloat16 where the processor can.
        self.settings = {"INFERENCE_NUM_THREADS": threads, "NUM_STREAMS": 1, "INFERENCE_PRECISION_HINT": "f32"}

    def version(self) -> str:
        """Return the version of OpenVINO."""
        return str(openvino.__version__)

    def prepare(self, problem: Problem, x: Array, weight: Array, reuse: bool) -> Callable[[], Array]:
        """Compile the network, which packs the weights, and hand a copy of the input over."""
        if x.dtype != np.float32:
            raise UnsupportedError(f"it would compute {x.dtype} in float32")
        request = self.core.compile_model(model(problem, weight), "CPU", self.settings).create_infer_request()
        request.set_input_tensor(openvino.Tensor(x))

        def provide_output() -> Array:
            output = np.empty(problem.output_shape, x.dtype)
            request.set_output_tensor(openvino.Tensor(output, shared_memory=True))  # keeps no reference
            return output

        output = provide_output()

        def call_again() -> Array:
            request.infer(share_outputs=True)
            return output

        def call_afresh() -> Array:
            output = provide_output()
            request.infer(share_outputs=True)
            return output

        return call_again if reuse else call_afresh


def model(problem: Problem, weight: Array) -> Any:
    """Describe the network.

    Parameters
    ----------
    problem : Problem
        The geometry.
    weight : ndarray
        The weights, which are copied.

    Returns
    -------
    openvino.Model
    """
    x = opset13.parameter(problem.input_shape, weight.dtype)
    options = {
        "strides": problem.stride,
        "pads_begin": problem.padding,
        "pads_end": problem.padding,
        "dilations": problem.dilation,
    }
    if problem.groups == 1:
        y = opset13.convolution(x, opset13.constant(weight), **options)
    else:
        by_group = weight.reshape(problem.groups, -1, *weight.shape[1:])
        y = opset13.group_convolution(x, opset13.constant(by_group), **options)
    return openvino.Model([y], [x], problem.name)


def load(threads: int) -> Peer:
    """Limit the threads of its networks."""
    return OpenVino(threads)
