"""Problem: the arrays and the options of the convolution that is explained, validated.

A layer may be too large to compute, and is explained all the same. So x and weight are `Numbers`, which need no memory
if they are filled with 1, 2, 3, and so on.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import cached_property
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..checks.arrays import Array, as_array, check_bool
from ..checks.geometry import Geometry, extents_of
from ..checks.options import (
    Pair,
    Sizes,
    check_value_fits,
    freeze,
    freeze_padding_mode,
    freeze_padding_value,
    named_padding,
    padding_content,
)
from ..checks.shapes import check_array_shape, check_bias_shape
from ..checks.transposed_geometry import SAME, resolve_transposed_padding, transposed_geometry
from ..checks.types import computing_dtype

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
        """Return the elements at some flat indices."""
        values = indices + 1 if self.array is None else self.array.ravel()[indices]
        return np.asarray(values, np.float64)

    @property
    def dtype(self) -> np.dtype[Any]:
        """The type of the elements."""
        return np.dtype(np.float64) if self.array is None else self.array.dtype


@dataclass(frozen=True)
class Options:
    """The options of the convolution, as they were given."""

    stride: Any = 1
    padding: Any = 0
    dilation: Any = 1
    groups: Any = 1
    padding_mode: Any = "zeros"
    padding_value: Any = 0
    flip: Any = False
    transposed: bool = False
    output_padding: Any = 0
    output_size: Any = None

    def keywords(self, *without: str) -> dict[str, Any]:
        """Return the options that `conv` or `conv_transpose` takes, except some."""
        others = ONLY_CONV if self.transposed else ONLY_TRANSPOSED
        return {name: value for name, value in vars(self).items() if name not in {"transposed", *others, *without}}


# The options that `conv_transpose` does not have, and those that `conv` does not have.
ONLY_CONV = ("padding_value", "flip")
ONLY_TRANSPOSED = ("output_padding", "output_size")


@dataclass(frozen=True)
class Problem:
    """One convolution of one image, or one transposed convolution.

    `geometry` is that of the convolution; for a transposed one, of the convolution whose input gradient it is. `modes`
    are the padding modes along depth, height and width, named as in numpy.pad; an axis without padding has "constant".
    `value` is what the padding holds along axes with the mode "constant". `activation` is "relu" if the text goes on
    with ``max(y, 0)``.
    """

    x: Numbers
    weight: Numbers
    bias: Array | None
    grad_output: Array | None
    options: Options
    geometry: Geometry = field(repr=False)
    modes: tuple[str, ...] = field(repr=False)
    value: float = field(repr=False)
    activation: str | None = None

    @classmethod
    def make(
        cls, x: object, weight: object, bias: object = None, options: Options = Options(), grad_output: object = None
    ) -> Problem:
        """Validate a convolution; x and weight are `Numbers` or whatever an array can be made of."""
        x, weight = as_numbers("x", x), as_numbers("weight", weight)
        geometry, modes, value = geometry_of(x.shape, weight.shape, options)
        if len(x.shape) > geometry.rank + 1:
            raise ValueError(f"x has shape {x.shape}, which is a batch; one image is explained at a time: pass x[0]")
        channels = geometry.in_channels if options.transposed else geometry.out_channels
        if bias is not None:
            bias = real_array("bias", bias)
            check_bias_shape(bias.shape, channels)
        dtype = computing_dtype(x.dtype, weight.dtype)
        check_value_fits(value, dtype.itemsize)
        problem = cls(x, weight, bias, None, options, geometry, modes, float(dtype.type(value)))
        if grad_output is None:
            return problem
        grad_output = real_array("grad_output", grad_output)
        check_array_shape("grad_output", grad_output.shape, problem.y_shape, "the output")
        return replace(problem, grad_output=grad_output)

    @property
    def rank(self) -> int:
        """The number of spatial axes."""
        return self.geometry.rank

    @property
    def transposed(self) -> bool:
        """Whether it is a transposed convolution."""
        return bool(self.options.transposed)

    @cached_property
    def y_shape(self) -> Sizes:
        """The shape of the output."""
        return self.geometry.x_shape[1:] if self.transposed else self.geometry.out_shape[1:]

    @property
    def has_copies(self) -> bool:
        """Whether the padding repeats the input along some axis."""
        return set(self.modes) != {"constant"}

    @property
    def pads_with_zeros(self) -> bool:
        """Whether the padding is zeros along every axis."""
        return not self.has_copies and self.value == 0

    @cached_property
    def pads(self) -> tuple[Pair, ...]:
        """The padding (before, after) along each spatial axis; of a transposed one, what is cut off without more."""
        geometry, axes = self.geometry, slice(3 - self.rank, 3)
        if not self.transposed:
            return geometry.pads
        given = freeze("padding", self.options.padding)
        extents = extents_of(geometry.kernel[axes], geometry.dilation[axes])
        if isinstance(given, str) and given in SAME:
            return named_padding(given, geometry.in_size[axes], extents, geometry.stride[axes])
        return resolve_transposed_padding(given, extents)

    @property
    def output_padding(self) -> Sizes:
        """The positions added at the end of a transposed convolution's output, along each spatial axis."""
        return tuple([after - rest for (_, after), (_, rest) in zip(self.pads, self.geometry.pads)])

    @property
    def linear_options(self) -> dict[str, Any]:
        """The options of M: those of the convolution of which a transposed one is the transpose, and no constant."""
        options = self.options.keywords("padding_value", *ONLY_TRANSPOSED)
        return {**options, "padding": self.geometry.pads}

    def read(self, indices: NDArray[np.int64]) -> NDArray[np.float64]:
        """Return the elements of x at some flat indices; for -1 return what the padding holds."""
        return np.where(indices < 0, self.value, self.x.at(indices))

    @property
    def taps(self) -> int:
        """The number of taps of a kernel in one channel."""
        return prod(self.geometry.kernel)


def as_numbers(name: str, value: object) -> Numbers:
    """Return an argument as numbers, or raise an error that names it."""
    if isinstance(value, Numbers):
        return value
    array = real_array(name, value)
    return Numbers(array.shape, array)


def real_array(name: str, value: object) -> Array:
    """Return an array of real numbers, or raise an error that names the argument."""
    array = as_array(name, value)
    if np.iscomplexobj(array):
        raise TypeError(f"{name} has dtype {array.dtype}; explain shows real numbers: pass {name}.real or {name}.imag")
    return array


def geometry_of(x_shape: Sizes, weight_shape: Sizes, options: Options) -> tuple[Geometry, tuple[str, ...], float]:
    """Return the geometry of a problem, its padding modes and its padding value, or raise what the library raises."""
    freeze_padding_mode(options.padding_mode)
    value = freeze_padding_value(options.padding_value)
    if isinstance(value, complex):
        raise TypeError(f"padding_value={value!r} is complex; explain shows real numbers")
    check_bool("flip", options.flip)
    check_bool("transposed", options.transposed)
    keywords = options.keywords("padding_mode", *ONLY_CONV)
    if options.transposed:
        if value != 0 or options.flip:
            raise ValueError("a transposed convolution has neither padding_value nor flip")
        geometry = transposed_geometry(x_shape, weight_shape, **keywords)
    else:
        if np.any(options.output_padding) or options.output_size is not None:
            raise ValueError("output_padding and output_size are for transposed convolutions")
        geometry = Geometry.from_shapes(x_shape, weight_shape, **keywords)
    for name, shape in (("x", x_shape[-geometry.rank - 1 :]), ("weight", weight_shape)):
        if 0 in shape:
            raise ValueError(f"{name} has shape {shape}: no axis may be empty")
    content = padding_content(options.padding_mode, value, geometry.rank)
    # along an axis without padding all modes are the same
    modes = [mode if any(pad) else "constant" for mode, pad in zip(content.modes, geometry.pads)]
    is_read = any(mode == "constant" and max(pad) > 0 for mode, pad in zip(modes, geometry.pads))
    return geometry, ("constant",) * (3 - len(modes)) + tuple(modes), value if is_read else 0.0
