"""ONNX Runtime: a network of one `Conv` node whose weights are known beforehand, so that it may pack them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

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
        if x.dtype != np.float32:
            raise UnsupportedError(f"its convolution on the CPU does not take {x.dtype}")
        session = onnxruntime.InferenceSession(model(problem, weight), self.options, providers=["CPUExecutionProvider"])
        if not reuse:
            return lambda: session.run(None, {"x": x})[0]  # in memory of its own, which is not copied
        output = np.empty(problem.output_shape, x.dtype)
        binding = session.io_binding()
        binding.bind_cpu_input("x", x)
        binding.bind_ortvalue_output("y", onnxruntime.OrtValue.ortvalue_from_numpy(output))

        def call() -> Array:
            session.run_with_iobinding(binding)
            return output

        return call


def model(problem: Problem, weight: Array) -> Any:
    """Write the network down.

    Parameters
    ----------
    problem : Problem
        The geometry.
    weight : ndarray
        The weights, of dtype float32.

    Returns
    -------
    bytes
        The serialised ONNX model; its input is ``x``, its output ``y``.
    """
    node = helper.make_node(
        "Conv",
        ["x", "weight"],
        ["y"],
        strides=problem.stride,
        pads=problem.padding * 2,  # before all axes, then after all axes
        dilations=problem.dilation,
        group=problem.groups,
    )
    graph = helper.make_graph(
        [node],
        problem.name,
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, problem.input_shape)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, problem.output_shape)],
        [numpy_helper.from_array(weight, "weight")],
    )
    return helper.make_model(graph, opset_imports=[OPERATORS], ir_version=FORMAT).SerializeToString()


def load(threads: int) -> Peer:
    """Limit the threads of its sessions."""
    return OnnxRuntime(threads)
