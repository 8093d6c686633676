"""Convolutions of NumPy arrays as matrix multiplications.

A convolution here is the one of neural networks, a cross-correlation, unless ``flip=True`` is given.
"""

from importlib import import_module
from importlib.metadata import version
from typing import TYPE_CHECKING

from . import reference
from .checks.geometry import output_size, resolve_padding
from .columns import col2im, im2col
from .convolution import conv, conv1d, conv2d, conv3d
from .gradients import conv_bias_gradient, conv_input_gradient, conv_weight_gradient
from .plan import Plan
from .threads import get_num_threads, num_threads, set_num_threads
from .transposed import conv_transpose, conv_transpose1d, conv_transpose2d, conv_transpose3d

if TYPE_CHECKING:
    from .explanation import Explanation, explain
    from .linear_operator import ConvolutionOperator
    from .matrices import convolution_matrix, kernel_matrix, tied_weights
    from .matrix_sizes import convolution_matrix_size

__version__ = version("gemmconv")

# What needs scipy.sparse, whose import takes longer than all the rest, comes when it is first asked for.
_LAZY = {
    "ConvolutionOperator": "linear_operator",
    "Explanation": "explanation",
    "convolution_matrix": "matrices",
    "convolution_matrix_size": "matrix_sizes",
    "explain": "explanation",
    "kernel_matrix": "matrices",
    "tied_weights": "matrices",
}

__all__ = [
    "ConvolutionOperator",
    "Explanation",
    "Plan",
    "col2im",
    "conv",
    "conv1d",
    "conv2d",
    "conv3d",
    "conv_bias_gradient",
    "conv_input_gradient",
    "conv_transpose",
    "conv_transpose1d",
    "conv_transpose2d",
    "conv_transpose3d",
    "conv_weight_gradient",
    "convolution_matrix",
    "convolution_matrix_size",
    "explain",
    "get_num_threads",
    "im2col",
    "kernel_matrix",
    "num_threads",
    "output_size",
    "reference",
    "resolve_padding",
    "set_num_threads",
    "tied_weights",
]


def __getattr__(name: str) -> object:
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f".{_LAZY[name]}", __name__), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *_LAZY})
