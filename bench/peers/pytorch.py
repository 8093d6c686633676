"""PyTorch, without recording: `torch.nn.functional`, and what makes it faster when the data may be laid out first."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np
import torch

from ..operations import FORWARD, OPERATIONS, output_padding
from ..problems import Array, Problem, as_image, numpy_dtype
from . import Call, Peer, refuse_other_types

# Operation -> the name of its functions, before the number of spatial axes.
FUNCTIONS = {FORWARD: "conv", "transpose": "conv_transpose"}
# Makes an array of a result.
Read = Callable[[torch.Tensor], Array]
# Number of spatial axes -> layout.
CHANNELS_LAST = {2: torch.channels_last, 3: torch.channels_last_3d}


class PyTorch:
    """`torch.nn.functional.conv1d`, `conv_transpose1d` and their like, and the gradients as autograd computes them.

    Tensors are contiguous, or have their channels last if the arrays have, or with `channels_last`. There is no way to
    give the memory of the output.
    """

    def __init__(self, channels_last: bool = False) -> None:
        self.channels_last = channels_last

    def geometry(self, problem: Problem) -> Problem:
        """Return the problem as PyTorch gets it: signals have no such layout, images have."""
        return as_image(problem) if self.channels_last or problem.channels_last else problem

    def tensors(self, problem: Problem, names: tuple[str, ...], *arrays: Array) -> list[torch.Tensor]:
        """Wrap the arrays of a problem, called as in `OPERATIONS`; those are copied that get another layout."""
        if not (self.channels_last or problem.channels_last):
            return [as_tensor(array) for array in arrays]
        tensors = [with_height(problem, name, array) for name, array in zip(names, arrays)]
        return [tensor.to(memory_format=CHANNELS_LAST[tensor.ndim - 2]) for tensor in tensors]

    def prepare(self, op: str, problem: Problem, x: Array, weight: Array, _reuse: bool) -> Call:
        """Lay the operands out."""
        geometry, operation = self.geometry(problem), OPERATIONS[op]
        arguments = self.tensors(problem, operation.operands, x, weight)
        function = getattr(torch.nn.functional, f"{FUNCTIONS[op]}{len(geometry.input_size)}d")
        options, read = geometry.options, reader(problem, operation.result)
        if op == "transpose":
            options["output_padding"] = output_padding(geometry)
        return lambda: read(function(*arguments, **options))

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
        geometry, read = self.geometry(problem), reader(problem, ("input", "weight")[wanted])
        tensors = self.tensors(problem, ("output", "input", "weight"), *arrays)
        if tensors[0].is_complex():
            return bind_complex_gradient(geometry, tensors, wanted, read)
        sizes = geometry.spatial_options.values()  # stride, padding, dilation
        not_transposed = (False, [0] * len(geometry.input_size))
        mask = [wanted == 0, wanted == 1, False]  # input, weight, bias
        backward = torch.ops.aten.convolution_backward
        arguments = (*tensors, None, *sizes, *not_transposed, geometry.groups, mask)
        return lambda: read(backward(*arguments)[wanted])

    def as_peer(self, threads: int) -> Peer:
        """Limit the threads and return all that is computed."""
        gradients = {"input_gradient": self.prepare_input_gradient, "weight_gradient": self.prepare_weight_gradient}
        return Peer(limit(threads), gradients | {op: partial(self.prepare, op) for op in FUNCTIONS})


def bind_complex_gradient(geometry: Problem, tensors: list[torch.Tensor], wanted: int, read: Read) -> Call:
    """Record a convolution, which is not timed, and return a call of autograd: its operator has no complex numbers."""
    grad_output, x, weight = tensors
    operand = (x, weight)[wanted].requires_grad_()
    with torch.enable_grad():
        output = getattr(torch.nn.functional, f"conv{len(geometry.input_size)}d")(x, weight, **geometry.options)
    return lambda: read(torch.autograd.grad(output, operand, grad_output, retain_graph=True)[0])


def prepack(problem: Problem, x: Array, weight: Array, _reuse: bool) -> Call:
    """Pack the weights for oneDNN's convolution, as ``torch.compile`` does for a frozen network.

    The input is a contiguous tensor, or has its channels last if the array has; the output has its channels last.
    """
    refuse_other_types(x, "float32")
    options, inputs = as_image(problem).options, with_height(problem, "input", x)
    operators = torch.ops.mkldnn
    plain = with_height(problem, "weight", weight)
    packed = operators._reorder_convolution_weight(plain, **options, input_size=list(inputs.shape))
    read = reader(problem, "output")
    convolve = operators._convolution_pointwise
    nothing_after = {"attr": "none", "scalars": [], "algorithm": ""}
    return lambda: read(convolve(inputs, packed, None, **options, **nothing_after))


def as_tensor(array: Array) -> torch.Tensor:
    """Wrap an array, which copies nothing. Only the bits of bfloat16 pass between the libraries."""
    if array.dtype.name == "bfloat16":
        return torch.from_numpy(array.view(np.int16)).view(torch.bfloat16)
    return torch.from_numpy(array)


def with_height(problem: Problem, name: str, array: Array) -> torch.Tensor:
    """View an array with the channels in front, and a signal or its weight as one of height 1."""
    tensor = as_tensor(array)
    if problem.channels_last and name != "weight":
        tensor = tensor.movedim(-1, 1)
    return tensor.unsqueeze(2) if tensor.ndim == 3 else tensor


def reader(problem: Problem, name: str) -> Read:
    """Return a function that views a tensor as the array `name` of a problem, without a height that it has not.

    A result is copied that should have its channels last and has not.
    """
    shape, last = problem.shapes[name], problem.channels_last and name != "weight"

    def read(tensor: torch.Tensor) -> Array:
        if last:
            tensor = tensor.movedim(1, -1).contiguous()
        if tensor.dtype == torch.bfloat16:
            bits: Array = tensor.view(torch.int16).numpy().reshape(shape)
            return bits.view(numpy_dtype("bfloat16"))
        array: Array = tensor.numpy().reshape(shape)
        return array

    return read


def limit(threads: int) -> str:
    """Limit the threads, switch the recording of gradients off, and return the version."""
    torch.set_num_threads(threads)
    torch.set_num_interop_threads(threads)
    torch.set_grad_enabled(False)
    return str(torch.__version__)


def load(threads: int) -> Peer:
    """Have tensors convolved in the layout of the arrays."""
    return PyTorch().as_peer(threads)


def load_channels_last(threads: int) -> Peer:
    """Have tensors convolved whose channels are last."""
    return PyTorch(channels_last=True).as_peer(threads)


def load_prepacked(threads: int) -> Peer:
    """Have the weights packed beforehand."""
    return Peer(limit(threads), {FORWARD: prepack})
