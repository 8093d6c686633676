"""A network of one node in ONNX's format: ONNX Runtime runs it, and MNN converts it."""

from __future__ import annotations

from typing import Any

from onnx import TensorProto, helper, numpy_helper

from ..operations import FORWARD, output_padding
from ..problems import Array, Problem

# The first versions with all that is used here, which every library of today reads.
OPERATORS = helper.make_opsetid("", 13)
FORMAT = 8

#: Operation -> the type of its node.
NODES = {FORWARD: "Conv", "transpose": "ConvTranspose"}


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
