"""ncnn: a network of one layer, whose weights are packed when it is loaded.

It runs on the CPU with its default algorithms: it multiplies matrices, or transforms 3 x 3 (Winograd).
"""

from __future__ import annotations

import math
import tempfile
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import ncnn
import numpy as np

from ..operations import FORWARD, output_padding
from ..problems import Array, Problem
from . import Call, Peer, UnsupportedError, refuse_other_types

# Names of the options that would compute with fewer bits than float32 has.
HALF_PRECISION = (
    "use_fp16_packed",
    "use_fp16_storage",
    "use_fp16_arithmetic",
    "use_bf16_packed",
    "use_bf16_storage",
)
# The text of a network begins with the version of its format.
PARAMETER_FORMAT = 7767517
# Its weights begin with four bytes that say how they are stored.
PLAIN_FLOAT32 = bytes(4)
# Where networks find the memory that they have freed. They do not keep these alive, and neither do their outputs.
WORKSPACE = ncnn.PoolAllocator()
OUTPUTS = ncnn.PoolAllocator()


def prepare(threads: int, problem: Problem, x: Array, weight: Array, reuse: bool) -> Call:
    """Load the network and lay the input out."""
    refuse(problem, x)
    network = load_network(parameters("Convolution", problem, problem.out_channels), weight, threads, reuse)
    return bind(network, x, problem.output_shape)


def prepare_transpose(threads: int, problem: Problem, x: Array, weight: Array, reuse: bool) -> Call:
    """Do the same with a transposed convolution, whose weights have the channels of the output first."""
    refuse(problem, x)
    by_group = weight.reshape(problem.groups, -1, *weight.shape[1:]).swapaxes(1, 2)
    network = load_network(parameters("Deconvolution", problem, problem.in_channels), by_group, threads, reuse)
    return bind(network, x, problem.input_shape)


def refuse(problem: Problem, x: Array) -> None:
    """Raise UnsupportedError for what ncnn does not compute."""
    rank = len(problem.input_size)
    refuse_other_types(x, "float32")
    if problem.batch > 1:
        raise UnsupportedError("it takes one input at a time")
    if rank > 2:
        raise UnsupportedError(f"its layer has two spatial axes, not {rank}")


def load_network(text: str, weight: Array, threads: int, reuse: bool) -> Any:
    """Load the network that `parameters` describes, with weights of dtype float32 in ncnn's order.

    With `reuse` its outputs may take the memory of earlier ones that are gone.
    """
    network = ncnn.Net()
    options = network.opt
    options.num_threads = threads
    options.workspace_allocator = WORKSPACE
    if reuse:
        options.blob_allocator = OUTPUTS
    for name in HALF_PRECISION:
        setattr(options, name, False)
    OUTPUTS.clear()  # of what earlier networks have left
    WORKSPACE.clear()
    with tempfile.TemporaryDirectory() as directory:
        weights = Path(directory, "weights.bin")
        weights.write_bytes(PLAIN_FLOAT32 + weight.tobytes())
        if network.load_param_mem(text) or network.load_model(str(weights)):
            raise RuntimeError("ncnn did not load the network")
    return network


def bind(network: Any, x: Array, shape: tuple[int, ...]) -> Call:
    """Return a call of a network, whose output gets a shape."""
    channels, *size = x.shape[1:]
    image = ncnn.Mat(x.reshape(channels, *height_and_width(size, 1))).clone()  # Mat itself does not copy

    def call() -> Array:
        extractor = network.create_extractor()
        extractor.input("x", image)
        _, output = extractor.extract("y")
        return np.asarray(output).reshape(shape)  # a view, the channels aligned in memory

    return call


def height_and_width(numbers: Sequence[int], of_height_1: int) -> tuple[int, int]:
    """Return two numbers, one of an image of height 1 in front of that of a signal."""
    height, width = (of_height_1, *numbers)[-2:]
    return height, width


def parameters(layer: str, problem: Problem, channels: int) -> str:
    """Write the network down in ncnn's text format; its input is ``x``, its output ``y``.

    `layer` is ncnn's name of the layer without groups, ``"Convolution"`` or ``"Deconvolution"``.
    """
    values = {0: channels, 6: math.prod(problem.weight_shape)}
    if problem.groups > 1:
        layer += "DepthWise"
        values[7] = problem.groups
    sizes = [(1, problem.kernel_size, 1), (2, problem.dilation, 1), (3, problem.stride, 1), (4, problem.padding, 0)]
    for key, size, of_height_1 in sizes:
        height, width = height_and_width(size, of_height_1)
        values |= {key: width, 10 + key: height}  # the padding is the same on the other side by default
    if layer.startswith("Deconvolution"):
        values[19], values[18] = height_and_width(output_padding(problem), 0)
    words = " ".join(f"{key}={value}" for key, value in values.items())
    return f"{PARAMETER_FORMAT}\n2 2\nInput x 0 1 x\n{layer} y 1 1 x y {words}\n"


def load(threads: int) -> Peer:
    """Limit the threads of its networks."""
    functions = {FORWARD: partial(prepare, threads), "transpose": partial(prepare_transpose, threads)}
    return Peer(str(ncnn.__version__), functions)
