"""ONNX Runtime: a network of one node whose weights are known beforehand, so that it may pack them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

from ..operations import output_padding
from ..problems import Array, Problem
from . import Peer, UnsupportedError

# The first versions with all that is used here, which every ONNX Runtime of today reads.
OPERATORS = helper.make_opsetid("", 13)
FORMAT = 8


class OnnxRuntime:
    """`onnxruntime.InferenceSession` on the CPU.

    Parameters
    ----------
    threads : int
        How many threads a session may use.
    """

    def __init__(self, threads: int) -> None:
        self.options = onnxruntime.SessionOptions()
        self.options.intra_op_num_threads = threads
        self.options.inter_op_num_threads = 1

    def version(self) -> str:
        """Return the version of ONNX Runtime."""
        return str(onnxruntime.__version__)

    def prepare(self, problem: Problem, x: Array, weight: Array, reuse: bool) -> Callable[[], Array]:
        """Build the session, which optimises the network and packs the weights."""
        return self.session(convolution(problem), x, weight, problem.output_shape, reuse)

    def prepare_transpose(self, problem: Problem, x: Array, weight: Array, reuse: bool) -> Callable[[], Array]:
        """Build the session."""
        return self.session(transposed_convolution(problem), x, weight, problem.input_shape, reuse)

    def session(
        self, node: onnx.NodeProto, x: Array, weight: Array, shape: tuple[int, ...], reuse: bool
    ) -> Callable[[], Array]:
        """Build the session of a network of one node, and return a call of it."""
        if x.dtype != np.float32:
            raise UnsupportedError(f"its convolution on the CPU does not take {x.dtype}")
        network = model(node, x, weight, shape)
        session = onnxruntime.InferenceSession(network, self.options, providers=["CPUExecutionProvider"])
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


def convolution(problem: Problem) -> onnx.NodeProto:
    """Describe the convolution; its inputs are ``x`` and ``weight``, its output is ``y``."""
    return helper.make_node("Conv", ["x", "weight"], ["y"], **attributes(problem))


def transposed_convolution(problem: Problem) -> onnx.NodeProto:
    """Describe the transposed convolution, with the same inputs and output."""
    more = {"output_padding": output_padding(problem)}
    return helper.make_node("ConvTranspose", ["x", "weight"], ["y"], **attributes(problem), **more)


def attributes(problem: Problem) -> dict[str, Any]:
    """Return the attributes that both nodes have."""
    return {
        "strides": problem.stride,
        "pads": problem.padding * 2,  # before all axes, then after all axes
        "dilations": problem.dilation,
        "group": problem.groups,
    }


def model(node: onnx.NodeProto, x: Array, weight: Array, shape: tuple[int, ...]) -> bytes:
    """Write the network down.

    Parameters
    ----------
    node : NodeProto
        The only node.
    x, weight : ndarray
        The input, of which the shape alone is taken, and the weights; both of dtype float32.
    shape : tuple of int
        The shape of the output.

    Returns
    -------
    bytes
        The serialised ONNX model; its input is ``x``, its output ``y``.
    """
    graph = helper.make_graph(
        [node],
        "network",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, x.shape)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, shape)],
        [numpy_helper.from_array(weight, "weight")],
    )
    written: bytes = helper.make_model(graph, opset_imports=[OPERATORS], ir_version=FORMAT).SerializeToString()
    return written


def load(threads: int) -> Peer:
    """Limit the threads of its sessions."""
    return OnnxRuntime(threads)
