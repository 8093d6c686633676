"""ONNX Runtime: a network of one node whose weights are known beforehand, so that it may pack them."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

from ..operations import FORWARD, OPERATIONS, output_padding
from ..problems import Array, Problem
from . import Call, Peer, UnsupportedError

# The first versions with all that is used here, which every ONNX Runtime of today reads.
OPERATORS = helper.make_opsetid("", 13)
FORMAT = 8


NODES = {FORWARD: "Conv", "transpose": "ConvTranspose"}


def prepare(op: str, settings: Any, problem: Problem, x: Array, weight: Array, reuse: bool) -> Call:
    """Build the session of a network, which optimises it and packs the weights, and return a call of it."""
    if x.dtype != np.float32:
        raise UnsupportedError(f"its convolution on the CPU does not take {x.dtype}")
    shape = OPERATIONS[op].result_shape(problem)
    network = model(op, problem, weight, x.shape, shape)
    session = onnxruntime.InferenceSession(network, settings, providers=["CPUExecutionProvider"])
    if not reuse:
        return lambda: session.run(None, {"x": x})[0]  # in memory of its own, which is not copied
    output = np.empty(shape, x.dtype)
    binding = session.io_binding()
    binding.bind_cpu_input("x", x)
    binding.bind_ortvalue_output("y", onnxruntime.OrtValue.ortvalue_from_numpy(output))

    def call() -> Array:
        session.run_with_iobinding(binding)
        return output

    return call


def model(op: str, problem: Problem, weight: Array, x_shape: tuple[int, ...], y_shape: tuple[int, ...]) -> bytes:
    """Serialise the network of one node, with the input ``x`` and the output ``y``."""
    attributes: dict[str, Any] = {
        "strides": problem.stride,
        "pads": problem.padding * 2,  # before all axes, then after all axes
        "dilations": problem.dilation,
        "group": problem.groups,
    }
    if op == "transpose":
        attributes["output_padding"] = output_padding(problem)
    node = helper.make_node(NODES[op], ["x", "weight"], ["y"], **attributes)
    graph = helper.make_graph(
        [node],
        "network",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, x_shape)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, y_shape)],
        [numpy_helper.from_array(weight, "weight")],
    )
    written: bytes = helper.make_model(graph, opset_imports=[OPERATORS], ir_version=FORMAT).SerializeToString()
    return written


def load(threads: int) -> Peer:
    """Limit the threads of its sessions."""
    settings = onnxruntime.SessionOptions()
    settings.intra_op_num_threads = threads
    settings.inter_op_num_threads = 1
    return Peer(str(onnxruntime.__version__), {op: partial(prepare, op, settings) for op in NODES})
