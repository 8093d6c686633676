"""MNN: a network of one convolution, whose weights are packed when it is loaded.

MNN computes in its own layout, NC4HW4, in which a few channels of a pixel are next to each other. It is given plain
arrays, which it converts to that layout and back, or its own layout: then the input is laid out beforehand, and the
output is read afterwards, neither of which is timed.
"""

from __future__ import annotations

import tempfile
from functools import partial
from pathlib import Path
from typing import Any

import _tools  # MNN's converter as a function; its command installs packages
import MNN
import numpy as np
from MNN import expr, nn

from ..operations import FORWARD
from ..problems import Array, Problem, as_image
from . import Call, Peer, Unread, UnsupportedError, refuse_other_types
from .onnx_model import model


def prepare(layout: Any, settings: Any, problem: Problem, x: Array, weight: Array, _reuse: bool) -> Call:
    """Load the network and hand a copy of the input over in a layout, which the output has, too."""
    refuse_other_types(x, "float32")
    if len(problem.input_size) > 2:
        raise UnsupportedError("it has no convolution of volumes")
    if layout != expr.NCHW and problem.groups > 1 and not problem.groups == problem.in_channels == problem.out_channels:
        raise UnsupportedError("its converter splits the channels into groups, which a few of them together do not fit")
    image = as_image(problem)
    network = load_network(image, weight.reshape(image.weight_shape), layout, settings)
    pixels = expr.convert(expr.const(x, list(image.input_shape), expr.NCHW, expr.float), layout)
    pixels.fix_as_const()  # or else it would be converted on every call

    def call() -> Unread:
        output = network.forward(pixels)
        return Unread(lambda: np.array(expr.convert(output, expr.NCHW).read()).reshape(problem.output_shape))

    return call


def load_network(image: Problem, weight: Array, layout: Any, settings: Any) -> Any:
    """Convert a network in ONNX's format to MNN's, with input and output in a layout, and load it."""
    keep = int(layout == expr.NCHW)
    with tempfile.TemporaryDirectory() as directory:
        source, target = Path(directory, "network.onnx"), Path(directory, "network.mnn")
        source.write_bytes(model(FORWARD, image, weight, image.input_shape, image.output_shape))
        options = ["--framework=ONNX", f"--modelFile={source}", f"--MNNModel={target}", f"--keepInputFormat={keep}"]
        _tools.mnnconvert(["", *options])
        # Only a manager of the runtime limits the threads.
        manager = nn.create_runtime_manager((settings,))
        return nn.load_module_from_file(str(target), ["x"], ["y"], runtime_manager=manager, shape_mutable=False)


def as_peer(layout: Any, threads: int) -> Peer:
    """Limit the threads of networks in a layout, and have them compute in float32."""
    settings = {"backend": "CPU", "numThread": threads, "precision": "high"}
    return Peer(MNN.version(), {FORWARD: partial(prepare, layout, settings)})


def load(threads: int) -> Peer:
    """Have plain arrays convolved."""
    return as_peer(expr.NCHW, threads)


def load_own_layout(threads: int) -> Peer:
    """Have arrays in its own layout convolved."""
    return as_peer(expr.NC4HW4, threads)
