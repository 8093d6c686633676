"""Problem: the arrays and the options of the convolution that is explained, validated.

A layer may be too large to compute, and is explained all the same. So x and weight are `Numbers`, which need no memory
if they are filled with 1, 2, 3, and so on.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..checks.arrays import Array, as_array, check_flip
from ..checks.geometry import Geometry
from ..checks.options import PADDING_MODES, Sizes, check_padding_mode
from ..checks.shapes import check_array_shape, check_bias_shape
from ..checks.transposed_geometry import transposed_geometry

# The most numbers of an array that is filled with 1, 2, 3, ... in memory.
MOST_IN_MEMORY = 1 << 22


class Numbers:
    """An array of numbers, or an array of 1, 2, 3, ... that is never built."""

    def __init__(self, shape: Sizes, array: Array | None = None) -> None:
        self.shape, self.size = shape, prod(shape)
        if array is None and self.size <= MOST_IN_MEMORY:
            array = np.arange(1.0, self.size + 1).reshape(shape)
        self.array = array

    def at(self, indices: NDArray[np.int64]) -> NDArray[np.float64]:
        """Return the elements at some flat indices; for -1, which is padding, return 0."""
        if self.array is None:
            return (indices + 1).astype(np.float64)
        values = np.where(indices < 0, 0.0, self.array.ravel()[indices])
        return np.asarray(values, np.float64)


@dataclass(frozen=True)
class Options:
    """The options of the convolution, as they were given."""

    stride: Any = 1
    padding: Any = 0
    dilation: Any = 1
    groups: Any = 1
    padding_mode: Any = "zeros"
    flip: Any = False
    transposed: bool = False
    output_padding: Any = 0

    def keywords(self, *without: str) -> dict[str, Any]:
        """Return the options that a function of gemmconv takes, except some."""
        ours = {"transposed", *without} | ({"padding_mode", "flip"} if self.transposed else {"output_padding"})
        return {name: value for name, value in vars(self).items() if name not in ours}


@dataclass(frozen=True)
class Problem:
    """One convolution of one image, or one transposed convolution.

    `geometry` is that of the convolution; for a transposed one, of the convolution whose input gradient it is. `modes`
    are the padding modes along depth, height and width, named as in numpy.pad.
    """

    x: Numbers
    weight: Numbers
    bias: Array | None
    grad_output: Array | None
    options: Options
    geometry: Geometry = field(repr=False)
    modes: tuple[str, ...] = field(repr=False)

    @classmethod
    def make(
        cls, x: object, weight: object, bias: object = None, options: Options = Options(), grad_output: object = None
    ) -> Problem:
        """Validate a convolution; x and weight are `Numbers` or whatever an array can be made of."""
        x, weight = as_numbers("x", x), as_numbers("weight", weight)
        geometry, mode = geometry_of(x.shape, weight.shape, options)
        if len(x.shape) > geometry.rank + 1:
            raise ValueError(f"x has shape {x.shape}, which is a batch; one image is explained at a time: pass x[0]")
        channels = geometry.in_channels if options.transposed else geometry.out_channels
        if bias is not None:
            bias = as_array("bias", bias)
            check_bias_shape(bias.shape, channels)
        problem = cls(x, weight, bias, None, options, geometry, (mode,) * 3)
        if grad_output is None:
            return problem
        grad_output = as_array("grad_output", grad_output)
        check_array_shape("grad_output", grad_output.shape, problem.y_shape, "the output")
        return cls(x, weight, problem.bias, grad_output, options, geometry, problem.modes)

    @property
    def rank(self) -> int:
        """The number of spatial axes."""
        return self.geometry.rank

    @property
    def transposed(self) -> bool:
        """Whether it is a transposed convolution."""
        return self.options.transposed

    @cached_property
    def y_shape(self) -> Sizes:
        """The shape of the output."""
        return self.geometry.x_shape[1:] if self.transposed else self.geometry.out_shape[1:]

    @property
    def pads_with_zeros(self) -> bool:
        """Whether the padding is zeros along every axis."""
        return set(self.modes) == {PADDING_MODES["zeros"]}

    @property
    def taps(self) -> int:
        """The number of taps of a kernel in one channel."""
        return prod(self.geometry.kernel)


def as_numbers(name: str, value: object) -> Numbers:
    """Return an argument as numbers, or raise an error that names it."""
    if isinstance(value, Numbers):
        return value
    array = as_array(name, value)
    return Numbers(array.shape, array)


def geometry_of(x_shape: Sizes, weight_shape: Sizes, options: Options) -> tuple[Geometry, str]:
    """Return the geometry of a problem and its padding mode, or raise what the library raises."""
    mode = check_padding_mode(options.padding_mode)
    check_flip(options.flip)
    keywords = options.keywords("padding_mode", "flip")
    if not options.transposed:
        if np.any(options.output_padding):
            raise ValueError("output_padding is for transposed convolutions")
        geometry = Geometry.from_shapes(x_shape, weight_shape, **keywords)
        return geometry, mode if any(map(any, geometry.pads)) else PADDING_MODES["zeros"]
    if mode != PADDING_MODES["zeros"] or options.flip:
        raise ValueError("a transposed convolution has neither padding_mode nor flip")
    return transposed_geometry(x_shape, weight_shape, **keywords), mode
