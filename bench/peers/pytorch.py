"""PyTorch, without recording: `torch.nn.functional`, and what makes it faster when the data may be laid out first."""

from __future__ import annotations

from functools import partial

import numpy as np
import torch

from ..operations import FORWARD, OPERATIONS, output_padding
from ..problems import Array, Problem, as_image
from . import Call, Peer, UnsupportedError

# Operation -> the name of its functions, before the number of spatial axes.
FUNCTIONS = {FORWARD: "conv", "transpose": "conv_transpose"}
# Number of spatial axes -> layout.
CHANNELS_LAST = {2: torch.channels_last, 3: torch.channels_last_3d}


class PyTorch:
    """`torch.nn.functional.conv1d`, `conv_transpose1d` and their like, and the gradients as autograd computes them.

    Tensors are contiguous. There is no way to give the memory of the output.
    """

    def geometry(self, problem: Problem) -> Problem:
        """Return the problem as PyTorch gets it."""
        return problem

    def tensor(self, array: Array) -> torch.Tensor:
        """Wrap an array, which copies nothing."""
        return torch.from_numpy(array)

    def prepare(self, op: str, problem: Problem, x: Array, weight: Array, _reuse: bool) -> Call:
        """Lay the operands out."""
        geometry, arguments = self.geometry(problem), [self.tensor(x), self.tensor(weight)]
        function = getattr(torch.nn.functional, f"{FUNCTIONS[op]}{len(geometry.input_size)}d")
        options, shape = geometry.options, OPERATIONS[op].result_shape(problem)
        if op == "transpose":
            options["output_padding"] = output_padding(geometry)
        return lambda: as_array(function(*arguments, **options), shape)

    def prepare_input_gradient(self, problem: Problem, grad_output: Array, weight: Array, _reuse: bool) -> Call:
        """Lay the operands out, and an input, of which the shape and the layout alone matter."""
        x = np.empty(problem.input_shape, weight.dtype)
        return self.bind_gradient(0, problem, grad_output, x, weight)

    def prepare_weight_gradient(self, problem: Problem, grad_output: Array, x: Array, _reuse: bool) -> Call:
        """Lay the operands out, and a weight, of which the shape and the layout alone matter."""
        weight = np.empty(problem.weight_shape, x.dtype)
        return self.bind_gradient(1, problem, grad_output, x, weight)

    def bind_gradient(self, wanted: int, problem: Problem, *arrays: Array) -> Call:
        """Return a call that computes one gradient: number 0 of the input, 1 of the weight."""
        geometry, tensors = self.geometry(problem), [self.tensor(array) for array in arrays]
        sizes = geometry.spatial_options.values()  # stride, padding, dilation
        not_transposed = (False, [0] * len(geometry.input_size))
        mask = [wanted == 0, wanted == 1, False]  # input, weight, bias
        shape = (problem.input_shape, problem.weight_shape)[wanted]
        backward = torch.ops.aten.convolution_backward
        arguments = (*tensors, None, *sizes, *not_transposed, geometry.groups, mask)
        return lambda: as_array(backward(*arguments)[wanted], shape)

    def as_peer(self, threads: int) -> Peer:
        """Limit the threads and return all that is computed."""
        gradients = {"input_gradient": self.prepare_input_gradient, "weight_gradient": self.prepare_weight_gradient}
        return Peer(limit(threads), gradients | {op: partial(self.prepare, op) for op in FUNCTIONS})


class ChannelsLast(PyTorch):
    """The same functions on tensors whose channels are the last axis in memory."""

    def geometry(self, problem: Problem) -> Problem:
        """Return the problem of images or volumes."""
        return as_image(problem)

    def tensor(self, array: Array) -> torch.Tensor:
        """Lay an array out with the channels last."""
        tensor = with_height(array)
        return tensor.to(memory_format=CHANNELS_LAST[tensor.ndim - 2])


def prepack(problem: Problem, x: Array, weight: Array, _reuse: bool) -> Call:
    """Pack the weights for oneDNN's convolution, as ``torch.compile`` does for a frozen network.

    The input is an ordinary contiguous tensor, the output has its channels last.
    """
    if x.dtype != np.float32:
        raise UnsupportedError(f"oneDNN has no convolution of {x.dtype}")
    options, inputs = as_image(problem).options, with_height(x)
    operators = torch.ops.mkldnn
    packed = operators._reorder_convolution_weight(with_height(weight), **options, input_size=list(inputs.shape))
    convolve = operators._convolution_pointwise
    nothing_after = {"attr": "none", "scalars": [], "algorithm": ""}
    return lambda: as_array(convolve(inputs, packed, None, **options, **nothing_after), problem.output_shape)


def with_height(array: Array) -> torch.Tensor:
    """View a signal or its weight as one of height 1, and others as they are."""
    tensor = torch.from_numpy(array)
    return tensor.unsqueeze(2) if tensor.ndim == 3 else tensor


def as_array(tensor: torch.Tensor, shape: tuple[int, ...]) -> Array:
    """View a tensor as an array of a shape, without the height that `with_height` has given it."""
    array: Array = tensor.numpy().reshape(shape)
    return array


def limit(threads: int) -> str:
    """Limit the threads, switch the recording of gradients off, and return the version."""
    torch.set_num_threads(threads)
    torch.set_num_interop_threads(threads)
    torch.set_grad_enabled(False)
    return str(torch.__version__)


def load(threads: int) -> Peer:
    """Have contiguous tensors convolved."""
    return PyTorch().as_peer(threads)


def load_channels_last(threads: int) -> Peer:
    """Have tensors convolved whose channels are last."""
    return ChannelsLast().as_peer(threads)


def load_prepacked(threads: int) -> Peer:
    """Have the weights packed beforehand."""
    return Peer(limit(threads), {FORWARD: prepack})
