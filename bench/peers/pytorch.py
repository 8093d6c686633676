"""PyTorch, without gradients: `torch.nn.functional`, and what makes it faster when the data may be laid out first."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from ..problems import Array, Problem
from . import Peer, UnsupportedError

FUNCTIONS = {
    1: torch.nn.functional.conv1d,
    2: torch.nn.functional.conv2d,
    3: torch.nn.functional.conv3d,
}
CHANNELS_LAST = {2: torch.channels_last, 3: torch.channels_last_3d}


class PyTorch:
    """`torch.nn.functional.conv1d`, `conv2d`, `conv3d` on contiguous tensors."""

    def version(self) -> str:
        """Return the version of PyTorch."""
        return str(torch.__version__)

    def prepare(self, problem: Problem, x: Array, weight: Array, reuse: bool) -> Callable[[], Array]:  # noqa: ARG002
        """Wrap the arrays as tensors, which copies nothing; there is no way to give the memory of the output."""
        function = FUNCTIONS[len(problem.input_size)]
        arguments = (torch.from_numpy(x), torch.from_numpy(weight))
        options = problem.options

        def call() -> Array:
            output: Array = function(*arguments, **options).numpy()
            return output

        return call


class ChannelsLast(PyTorch):
    """The same functions on tensors whose channels are the last axis in memory."""

    def prepare(self, problem: Problem, x: Array, weight: Array, reuse: bool) -> Callable[[], Array]:  # noqa: ARG002
        """Lay both arrays out with the channels last."""
        inputs, weights, options = as_images(problem, x, weight)
        rank = inputs.ndim - 2
        function = FUNCTIONS[rank]
        arguments = [tensor.to(memory_format=CHANNELS_LAST[rank]) for tensor in (inputs, weights)]

        def call() -> Array:
            output: Array = function(*arguments, **options).numpy()
            return output.reshape(problem.output_shape)  # drops the height, copies nothing

        return call


class Prepacked(PyTorch):
    """oneDNN's convolution on weights that are packed for it, as ``torch.compile`` calls it for a frozen network.

    The input is an ordinary contiguous tensor, the output has its channels last.
    """

    def prepare(self, problem: Problem, x: Array, weight: Array, reuse: bool) -> Callable[[], Array]:  # noqa: ARG002
        """Pack the weights."""
        if x.dtype != np.float32:
            raise UnsupportedError(f"oneDNN has no convolution of {x.dtype}")
        inputs, weights, options = as_images(problem, x, weight)
        operators = torch.ops.mkldnn
        packed = operators._reorder_convolution_weight(weights, **options, input_size=list(inputs.shape))
        convolve = operators._convolution_pointwise
        nothing_after = {"attr": "none", "scalars": [], "algorithm": ""}

        def call() -> Array:
            output: Array = convolve(inputs, packed, None, **options, **nothing_after).numpy()
            return output.reshape(problem.output_shape)  # drops the height, copies nothing

        return call


def as_images(problem: Problem, x: Array, weight: Array) -> tuple[torch.Tensor, torch.Tensor, dict[str, Any]]:
    """Turn a signal into an image of height 1, and leave images and volumes as they are.

    Parameters
    ----------
    problem : Problem
        The geometry.
    x, weight : ndarray
        The data.

    Returns
    -------
    inputs, weights : Tensor
        Views of the data, with two spatial axes or three.
    options : dict
        The keyword arguments of `torch.nn.functional.conv2d` or `conv3d`.
    """
    inputs, weights, options = torch.from_numpy(x), torch.from_numpy(weight), problem.options
    if len(problem.input_size) == 1:
        inputs, weights = inputs.unsqueeze(2), weights.unsqueeze(2)
        options |= {
            "stride": (1, *problem.stride),
            "padding": (0, *problem.padding),
            "dilation": (1, *problem.dilation),
        }
    return inputs, weights, options


def load(threads: int) -> Peer:
    """Have contiguous tensors convolved."""
    limit(threads)
    return PyTorch()


def load_channels_last(threads: int) -> Peer:
    """Have tensors convolved whose channels are last."""
    limit(threads)
    return ChannelsLast()


def load_prepacked(threads: int) -> Peer:
    """Have the weights packed beforehand."""
    limit(threads)
    return Prepacked()


def limit(threads: int) -> None:
    """Limit the threads and switch the recording of gradients off."""
    torch.set_num_threads(threads)
    torch.set_num_interop_threads(threads)
    torch.set_grad_enabled(False)
