"""PyTorch's functions `conv1d`, `conv2d`, `conv3d`, without gradients, on contiguous tensors."""

from __future__ import annotations

from collections.abc import Callable

import torch

from ..problems import Array, Problem
from . import Peer

FUNCTIONS = {
    1: torch.nn.functional.conv1d,
    2: torch.nn.functional.conv2d,
    3: torch.nn.functional.conv3d,
}


class PyTorch:
    """`torch.nn.functional`."""

    def version(self) -> str:
        """Return the version of PyTorch."""
        return str(torch.__version__)

    def prepare(self, problem: Problem, x: Array, weight: Array) -> Callable[[], Array]:
        """Wrap the arrays as tensors, which copies nothing."""
        function = FUNCTIONS[len(problem.input_size)]
        arguments = (torch.from_numpy(x), torch.from_numpy(weight))
        options = problem.options

        def call() -> Array:
            output: Array = function(*arguments, **options).numpy()
            return output

        return call


def load(threads: int) -> Peer:
    """Limit the threads and switch the recording of gradients off."""
    torch.set_num_threads(threads)
    torch.set_num_interop_threads(threads)
    torch.set_grad_enabled(False)
    return PyTorch()
