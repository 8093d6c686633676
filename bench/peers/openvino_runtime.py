"""OpenVINO: a network of one layer whose weights are known beforehand, so that it may pack them."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import openvino
from openvino import opset13

from ..operations import FORWARD, OPERATIONS, output_padding
from ..problems import Array, Problem
from . import Call, Peer, refuse_other_types

#: Compiles a network for the CPU.
Compiler = Callable[[Any], Any]

#: Operation -> what makes the node without groups, and with groups.
LAYERS = {
    FORWARD: (opset13.convolution, opset13.group_convolution),
    "transpose": (opset13.convolution_backprop_data, opset13.group_convolution_backprop_data),
}


def prepare(op: str, compile_model: Compiler, problem: Problem, x: Array, weight: Array, reuse: bool) -> Call:
    """Compile the network, which packs the weights, and hand a copy of the input over."""
    refuse_other_types(x, "float32")
    request = compile_model(model(op, problem, x, weight)).create_infer_request()
    request.set_input_tensor(openvino.Tensor(x))
    shape = OPERATIONS[op].result_shape(problem)

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


def model(op: str, problem: Problem, x: Array, weight: Array) -> Any:
    """Describe the network; it takes the shape and the dtype of the input alone, and a copy of the weights."""
    node = opset13.parameter(x.shape, x.dtype)
    options = {
        "strides": problem.stride,
        "pads_begin": problem.padding,
        "pads_end": problem.padding,
        "dilations": problem.dilation,
    }
    if op == "transpose":
        options["output_padding"] = output_padding(problem)
    dense, grouped = LAYERS[op]
    if problem.groups == 1:
        y = dense(node, opset13.constant(weight), **options)
    else:
        y = grouped(node, opset13.constant(weight.reshape(problem.groups, -1, *weight.shape[1:])), **options)
    return openvino.Model([y], [node], problem.name)


def load(threads: int) -> Peer:
    """Limit the threads of its networks."""
    # Without the hint it may compute in bfloat16 where the processor can.
    settings = {"INFERENCE_NUM_THREADS": threads, "NUM_STREAMS": 1, "INFERENCE_PRECISION_HINT": "f32"}
    compile_model = partial(openvino.Core().compile_model, device_name="CPU", config=settings)
    return Peer(str(openvino.__version__), {op: partial(prepare, op, compile_model) for op in LAYERS})
