"""ncnn: a network of one convolution, whose weights are packed when it is loaded."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import ncnn
import numpy as np

from ..problems import Array, Problem
from . import Peer, UnsupportedError

# Names of the options that would compute with fewer bits than float32 has.
HALF_PRECISION = (
    "use_fp16_packed",
    "use_fp16_storage",
    "use_fp16_arithmetic",
    "use_bf16_packed",
    "use_bf16_storage",
)
# Each file begins with a number that says which version of the format it has, or how the weights are stored.
PARAMETER_FORMAT = 7767517
PLAIN_FLOAT32 = bytes(4)
# Where networks find the memory that they have freed. They do not keep these alive, and neither do their outputs.
WORKSPACE = ncnn.PoolAllocator()
OUTPUTS = ncnn.PoolAllocator()


class Ncnn:
    """`ncnn.Net` on the CPU, with its default algorithms: it multiplies matrices, or transforms 3 x 3 (Winograd).

    Parameters
    ----------
    threads : int
        How many threads a network may use.
    """

    def __init__(self, threads: int) -> None:
        self.threads = threads

    def version(self) -> str:
        """Return the version of ncnn."""
        return str(ncnn.__version__)

    def prepare(self, problem: Problem, x: Array, weight: Array, reuse: bool) -> Callable[[], Array]:
        """Load the network and lay the input out."""
        rank = len(problem.input_size)
        if x.dtype != np.float32:
            raise UnsupportedError(f"it does not compute in {x.dtype}")
        if problem.batch > 1:
            raise UnsupportedError("it takes one input at a time")
        if rank > 2:
            raise UnsupportedError(f"its layer has two spatial axes, not {rank}")
        network = self.network(problem, weight, reuse)
        height_and_width = (1, *problem.input_size)[-2:]
        image = ncnn.Mat(x.reshape(problem.in_channels, *height_and_width)).clone()  # Mat itself does not copy

        def call() -> Array:
            extractor = network.create_extractor()
            extractor.input("x", image)
            _, output = extractor.extract("y")
            return np.asarray(output).reshape(problem.output_shape)  # a view, the channels aligned in memory

        return call

    def network(self, problem: Problem, weight: Array, reuse: bool) -> Any:
        """Make a network.

        Parameters
        ----------
        problem : Problem
            The geometry, of one or two spatial axes.
        weight : ndarray
            The weights, of dtype float32.
        reuse : bool
            Whether outputs may take the memory of earlier ones that are gone.

        Returns
        -------
        ncnn.Net
        """
        network = ncnn.Net()
        options = network.opt
        options.num_threads = self.threads
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
            if network.load_param_mem(parameters(problem)) or network.load_model(str(weights)):
                raise RuntimeError("ncnn did not load the network")
        return network


def parameters(problem: Problem) -> str:
    """Write the network down.

    Parameters
    ----------
    problem : Problem
        The geometry, of one or two spatial axes.

    Returns
    -------
    str
        ncnn's text format; the input of the network is ``x``, its output ``y``.
    """
    layer = "Convolution" if problem.groups == 1 else "ConvolutionDepthWise"
    values = {0: problem.out_channels, 6: problem.out_channels * problem.reduction}
    if problem.groups > 1:
        values[7] = problem.groups
    sizes = ((1, problem.kernel_size, 1), (2, problem.dilation, 1), (3, problem.stride, 1), (4, problem.padding, 0))
    for key, size, size_of_height_1 in sizes:
        height, width = (size_of_height_1, *size)[-2:]
        values |= {key: width, 10 + key: height}  # the padding is the same on the other side by default
    words = " ".join(f"{key}={value}" for key, value in values.items())
    return f"{PARAMETER_FORMAT}\n2 2\nInput x 0 1 x\n{layer} y 1 1 x y {words}\n"


def load(threads: int) -> Peer:
    """Limit the threads of its networks."""
    return Ncnn(threads)
