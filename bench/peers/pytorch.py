"""PyTorch, without recording: `torch.nn.functional`, and what makes it faster when the data may be laid out first."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import torch

from ..operations import output_padding
from ..problems import Array, Problem
from . import Peer, UnsupportedError

FUNCTIONS = {
    1: torch.nn.functional.conv1d,
    2: torch.nn.functional.conv2d,
    3: torch.nn.functional.conv3d,
}
TRANSPOSED = {
    1: torch.nn.functional.conv_transpose1d,
    2: torch.nn.functional.conv_transpose2d,
    3: torch.nn.functional.conv_transpose3d,
}
CHANNELS_LAST = {2: torch.channels_last, 3: torch.channels_last_3d}


class PyTorch:
    """`torch.nn.functional.conv1d`, `conv_transpose1d` and their like, and the gradients as autograd computes them.

    Tensors are contiguous. There is no way to give the memory of the output.
    """

    def version(self) -> str:
        """Return the version of PyTorch."""
        return str(torch.__version__)

    def geometry(self, problem: Problem) -> Problem:
        """Return the problem as PyTorch gets it."""
        return problem

    def tensor(self, array: Array) -> torch.Tensor:
        """Wrap an array, which copies nothing."""
        return torch.from_numpy(array)

    def prepare(self, problem: Problem, x: Array, weight: Array, reuse: bool) -> Callable[[], Array]:  # noqa: ARG002
        """Lay the operands out."""
        geometry, arguments = self.geometry(problem), [self.tensor(x), self.tensor(weight)]
        function, options = FUNCTIONS[len(geometry.input_size)], geometry.options
        return lambda: as_array(function(*arguments, **options), problem.output_shape)

    def prepare_transpose(
        self,
        problem: Problem,
        x: Array,
        weight: Array,
        reuse: bool,  # noqa: ARG002
    ) -> Callable[[], Array]:
        """Lay the operands out."""
        geometry, arguments = self.geometry(problem), [self.tensor(x), self.tensor(weight)]
        function = TRANSPOSED[len(geometry.input_size)]
        options = geometry.options | {"output_padding": output_padding(geometry)}
        return lambda: as_array(function(*arguments, **options), problem.input_shape)

    def prepare_input_gradient(
        self,
        problem: Problem,
        grad_output: Array,
        weight: Array,
        reuse: bool,  # noqa: ARG002
    ) -> Callable[[], Array]:
        """Lay the operands out, and an input, of which the shape and the layout alone matter."""
        x = np.empty(problem.input_shape, weight.dtype)
        gradients = self.bind_gradients(problem, [grad_output, x, weight], [True, False, False])
        return lambda: as_array(gradients()[0], problem.input_shape)

    def prepare_weight_gradient(
        self,
        problem: Problem,
        grad_output: Array,
        x: Array,
        reuse: bool,  # noqa: ARG002
    ) -> Callable[[], Array]:
        """Lay the operands out, and a weight, of which the shape and the layout alone matter."""
        weight = np.empty(problem.weight_shape, x.dtype)
        gradients = self.bind_gradients(problem, [grad_output, x, weight], [False, True, False])
        return lambda: as_array(gradients()[1], problem.weight_shape)

    def bind_gradients(self, problem: Problem, arrays: list[Array], wanted: list[bool]) -> Callable[[], Any]:
        """Return a call that computes those gradients, of input, weight and bias, that are wanted."""
        geometry, tensors = self.geometry(problem), [self.tensor(array) for array in arrays]
        sizes = geometry.spatial_options.values()  # stride, padding, dilation
        not_transposed = (False, [0] * len(geometry.input_size))
        return lambda: torch.ops.aten.convolution_backward(
            *tensors, None, *sizes, *not_transposed, geometry.groups, wanted
        )


class ChannelsLast(PyTorch):
    """The same functions on tensors whose channels are the last axis in memory."""

    def geometry(self, problem: Problem) -> Problem:
        """Return the problem of images or volumes."""
        return as_image(problem)

    def tensor(self, array: Array) -> torch.Tensor:
        """Lay an array out with the channels last."""
        tensor = with_height(array)
        return tensor.to(memory_format=CHANNELS_LAST[tensor.ndim - 2])


class Prepacked:
    """oneDNN's convolution on weights that are packed for it, as ``torch.compile`` calls it for a frozen network.

    The input is an ordinary contiguous tensor, the output has its channels last.
    """

    def version(self) -> str:
        """Return the version of PyTorch."""
        return str(torch.__version__)

    def prepare(self, problem: Problem, x: Array, weight: Array, reuse: bool) -> Callable[[], Array]:  # noqa: ARG002
        """Pack the weights."""
        if x.dtype != np.float32:
            raise UnsupportedError(f"oneDNN has no convolution of {x.dtype}")
        options, inputs = as_image(problem).options, with_height(x)
        operators = torch.ops.mkldnn
        packed = operators._reorder_convolution_weight(with_height(weight), **options, input_size=list(inputs.shape))
        convolve = operators._convolution_pointwise
        nothing_after = {"attr": "none", "scalars": [], "algorithm": ""}

        return lambda: as_array(convolve(inputs, packed, None, **options, **nothing_after), problem.output_shape)


def as_image(problem: Problem) -> Problem:
    """Turn the problem of a signal into that of an image of height 1, and leave images and volumes as they are."""
    if len(problem.input_size) > 1:
        return problem
    return replace(
        problem,
        input_size=(1, *problem.input_size),
        kernel_size=(1, *problem.kernel_size),
        stride=(1, *problem.stride),
        padding=(0, *problem.padding),
        dilation=(1, *problem.dilation),
    )


def with_height(array: Array) -> torch.Tensor:
    """View a signal or its weight as one of height 1, and others as they are."""
    tensor = torch.from_numpy(array)
    return tensor.unsqueeze(2) if tensor.ndim == 3 else tensor


def as_array(tensor: torch.Tensor, shape: tuple[int, ...]) -> Array:
    """View a tensor as an array of a shape, without the height that `with_height` has given it."""
    array: Array = tensor.numpy().reshape(shape)
    return array


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
