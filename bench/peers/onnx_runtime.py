"""ONNX Runtime: a network of one node whose weights are known beforehand, so that it may pack them."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import onnxruntime

from ..operations import OPERATIONS
from ..problems import Array, Problem
from . import Call, Peer, refuse_other_types
from .onnx_model import NODES, model


def prepare(op: str, settings: Any, problem: Problem, x: Array, weight: Array, reuse: bool) -> Call:
    """Build the session of a network, which optimises it and packs the weights, and return a call of it."""
    refuse_other_types(x, "float32")
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


def load(threads: int) -> Peer:
    """Limit the threads of its sessions."""
    settings = onnxruntime.SessionOptions()
    settings.intra_op_num_threads = threads
    settings.inter_op_num_threads = 1
    return Peer(str(onnxruntime.__version__), {op: partial(prepare, op, settings) for op in NODES})
