"""Every operation once more, in slow and obvious NumPy in float64. The tests compare with it, and it documents them.

As in `gemmconv.conv`, a convolution is a cross-correlation unless ``flip=True``. Nothing here is tiled, packed or
clever, and nothing should be: the code shows what the options mean. Nothing of engine/ is used, so that mistakes there
cannot be repeated here.
"""

from .convolution import col2im, conv, conv1d, conv2d, conv3d, im2col
from .fft import fft_bound, fft_conv
from .gradients import (
    conv_bias_gradient,
    conv_input_gradient,
    conv_transpose,
    conv_transpose1d,
    conv_transpose2d,
    conv_transpose3d,
    conv_weight_gradient,
)
from .matrices import convolution_matrix, kernel_matrix, tied_weights
from .winograd import winograd_bound, winograd_conv, winograd_transforms

__all__ = [
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
    "fft_bound",
    "fft_conv",
    "im2col",
    "kernel_matrix",
    "tied_weights",
    "winograd_bound",
    "winograd_conv",
    "winograd_transforms",
]
