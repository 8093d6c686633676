"""Gradients: the transposes of a convolution."""

from __future__ import annotations

import numpy as np

from .arrays import Array, fold
from .calls import Options, prepare_input_gradient
from .options import Sizes


def input_gradient(grad_output: Array, weight: Array, x_shape: Sizes, options: Options) -> Array:
    """Return the gradient of the input, of shape `x_shape` (N, C, *spatial): the transpose of a convolution.

    `grad_output`, of the shape of the output, and `weight` are contiguous arrays of one computing dtype.
    """
    call = prepare_input_gradient(x_shape, weight.shape, weight.itemsize, options)
    gradient = np.empty(call.computed.x_shape, weight.dtype)
    call.compute(call.problem.input_gradient, grad_output, weight, gradient)
    return fold(gradient, call.geometry, call.extension) if call.extension else gradient
