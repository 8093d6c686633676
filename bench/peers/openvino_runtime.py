"""OpenVINO: a network of one layer whose weights are known beforehand, so that it may pack them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import openvino
from openvino import opset13

from ..operations import output_padding
from ..problems import Array, Problem
from . import Peer, UnsupportedError

#: Makes a node.
Layer = Callable[..., Any]


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
        layers = (opset13.convolution, opset13.group_convolution)
        return self.compile(model(problem, x, weight, layers, {}), x, problem.output_shape, reuse)

    def prepare_transpose(self, problem: Problem, x: Array, weight: Array, reuse: bool) -> Callable[[], Array]:
        """Do the same with a transposed convolution."""
        layers = (opset13.convolution_backprop_data, opset13.group_convolution_backprop_data)
        more = {"output_padding": output_padding(problem)}
        return self.compile(model(problem, x, weight, layers, more), x, problem.input_shape, reuse)

    def compile(self, network: Any, x: Array, shape: tuple[int, ...], reuse: bool) -> Callable[[], Array]:
        """Compile a network and return a call of it."""
        if x.dtype != np.float32:
            raise UnsupportedError(f"it would compute {x.dtype} in float32")
        request = self.core.compile_model(network, "CPU", self.settings).create_infer_request()
        request.set_input_tensor(openvino.Tensor(x))

        def provide_output() -> Array:
            output = np.empty(shape, x.dtype)
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


def model(problem: Problem, x: Array, weight: Array, layers: tuple[Layer, Layer], more: dict[str, Any]) -> Any:
    """Describe the network.

    Parameters
    ----------
    problem : Problem
        The geometry.
    x, weight : ndarray
        The input, of which the shape and the dtype alone are taken, and the weights, which are copied.
    layers : tuple of callable
        What makes the node without groups, and with groups.
    more : dict
        Keyword arguments of theirs, beside those that all of them have.

    Returns
    -------
    openvino.Model
    """
    node = opset13.parameter(x.shape, x.dtype)
    options = {
        "strides": problem.stride,
        "pads_begin": problem.padding,
        "pads_end": problem.padding,
        "dilations": problem.dilation,
        **more,
    }
    dense, grouped = layers
    if problem.groups == 1:
        y = dense(node, opset13.constant(weight), **options)
    else:
        y = grouped(node, opset13.constant(weight.reshape(problem.groups, -1, *weight.shape[1:])), **options)
    return openvino.Model([y], [node], problem.name)


def load(threads: int) -> Peer:
    """Limit the threads of its networks."""
    return OpenVino(threads)
