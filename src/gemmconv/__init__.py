"""Convolutions of NumPy arrays as matrix multiplications.

A convolution here is the one of neural networks, a cross-correlation, unless ``flip=True`` is given.
"""

from importlib.metadata import version

from . import reference
from .convolution import conv, conv1d, conv2d, conv3d
from .geometry import output_size, resolve_padding
from .threads import get_num_threads, num_threads, set_num_threads

__version__ = version("gemmconv")

__all__ = [
    "conv",
    "conv1d",
    "conv2d",
    "conv3d",
    "get_num_threads",
    "num_threads",
    "output_size",
    "reference",
    "resolve_padding",
    "set_num_threads",
]
