"""Extension: images continued beyond their borders, for padding that does not hold zeros.

The convolution is then computed on the extended images, without padding along these axes. The gradient of the extended
images is folded: each element gets the sum over all its copies. This file works out which element each position of the
borders repeats; csrc/extension.c copies and adds.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple, NoReturn

import numpy as np
from numpy.typing import NDArray

from .._gemmconv import Extender
from ..checks.arrays import Array
from ..checks.geometry import Geometry
from ..checks.options import Sizes, check_value_fits

# What runs a call: (*arrays, result, threads).
RunCall = Callable[..., Any]
# Positions along an axis.
Positions = NDArray[np.int64]

# What a position repeats that holds a constant.
OUTSIDE = -1


class Axis(NamedTuple):
    """One axis of an extension; csrc/extension.h explains the numbers."""

    size: int
    extended: int
    first: int
    start: int
    middle: int
    border: NDArray[np.intp]


class Extension(NamedTuple):
    """How x is extended before a call, or the gradient of x folded after it."""

    geometry: Geometry
    """The geometry as the caller gave it."""
    modes: tuple[str, ...]
    """The name of each axis's mode in numpy.pad; an empty string if the axis is not extended."""
    value: complex
    """What the padding holds along axes with the mode "constant"."""
    shape: Sizes
    """The shape of the extended x."""
    x: int | None
    """The number of x among the arrays of the call; None if the result is the gradient of x."""
    channels_last: bool = False
    """Whether the channels of x are its last axis."""

    def around(self, run: RunCall, run_plain: RunCall | None, itemsize: int) -> tuple[RunCall, RunCall | None]:
        """Return functions that do as `run` and `run_plain` do, and extend x before it or fold the result after it."""
        check_value_fits(self.value, itemsize)
        if isinstance(self.value, complex):
            return partial(refuse_value, self.value), None
        if self.x is None:
            return partial(run_and_fold, run, extender_of(self.axes(), itemsize, self.value), self.shape), None
        if 0 in self.geometry.in_size:
            extender: Extender | Constant = Constant(self.value)
        else:
            extender = extender_of(self.axes(), itemsize, self.value)
        plain = partial(extend_and_run_plain, run_plain, extender, self.shape) if run_plain else None
        return partial(extend_and_run, run, extender, self.shape, self.x), plain

    def axes(self) -> list[Axis]:
        """Return the three axes for C; neighbouring axes that are not extended are taken as one.

        If the channels are last, those of a position belong to its last axis. Otherwise each channel is an image.
        """
        geometry, axes = self.geometry, list[Axis]()
        for size, before, after, mode in zip(geometry.in_size, geometry.pad_before, geometry.pad_after, self.modes):
            if mode:
                axes.append(extended_axis(size, before, after, mode))
            elif axes and axes[-1].middle == axes[-1].size and not axes[-1].border.size:
                axes[-1] = whole_axis(axes[-1].size * size)
            elif size > 1:
                axes.append(whole_axis(size))
        if self.channels_last:
            axes[-1] = axis_of_channels(axes[-1], geometry.in_channels)
        return [whole_axis(1)] * (3 - len(axes)) + axes


class Constant:
    """Extends images along an axis that has no elements: the extended images hold the constant alone."""

    def __init__(self, value: float) -> None:
        self._value = value

    def extend(self, _images: Array, extended: Array, _threads: int) -> bool:
        """Write the extended images, and return True."""
        extended.fill(self._value)
        return True


def extender_of(axes: list[Axis], itemsize: int, value: float) -> Extender:
    """Return what extends images along three axes."""
    sizes = np.array([axis[:-1] for axis in axes], np.intp)
    return Extender(sizes, np.concatenate([axis.border for axis in axes]), itemsize, value)


def whole_axis(size: int) -> Axis:
    """Return an axis that is not extended."""
    return Axis(size, size, 0, 0, size, np.empty(0, np.intp))


def axis_of_channels(axis: Axis, channels: int) -> Axis:
    """Return an axis whose positions have several elements each."""
    size, extended, first, start, middle, border = axis
    by_position = border[:, np.newaxis]
    elements = np.where(by_position == OUTSIDE, OUTSIDE, by_position * channels + np.arange(channels))
    sizes = size * channels, extended * channels, first * channels, start * channels, middle * channels
    return Axis(*sizes, elements.ravel().astype(np.intp))


def extended_axis(size: int, before: int, after: int, mode: str) -> Axis:
    """Return an axis that is extended, or cropped where `before` or `after` is negative."""
    first, end = max(-before, 0), size + min(after, 0)
    if first >= end:  # all of the image is cropped
        first, start, end = 0, 0, -before
    else:
        start = max(before, 0)
    positions = np.concatenate([np.arange(start) - before, np.arange(end, size + after)])
    border = np.full(len(positions), OUTSIDE) if mode == "constant" else extended_from(positions, size, mode)
    extended = size + before + after
    return Axis(size, extended, first, start, extended - len(positions), border.astype(np.intp))


def extension_period(size: int, mode: str) -> int:
    """Return after how many positions an extended axis repeats itself; 0 for "edge", which does not."""
    return {"wrap": size, "symmetric": 2 * size, "reflect": max(2 * size - 2, 1), "edge": 0}[mode]


def extended_from(positions: Positions, size: int, mode: str) -> Positions:
    """Return, for positions of an extended axis counted from the first element of x, those in x that they repeat."""
    if mode == "edge":
        return np.clip(positions, 0, size - 1)
    period = extension_period(size, mode)
    within = positions % period
    if mode == "wrap":
        return within
    return np.minimum(within, period - (1 if mode == "symmetric" else 0) - within)


def refuse_value(value: complex, *_arguments: Any) -> NoReturn:
    """Raise for a complex constant, which only complex images can have around them."""
    raise TypeError(f"padding_value={value!r} is complex, but x is real; pass x as complex64 or complex128")


def extend_and_run(run: RunCall, extender: Extender | Constant, shape: Sizes, x: int, *arguments: Any) -> None:
    """Run with the extended x in place of x; the last argument is the number of threads."""
    image: Array = arguments[x]
    extended = np.empty(shape, image.dtype)
    extender.extend(image, extended, arguments[-1])
    run(*arguments[:x], extended, *arguments[x + 1 :])


def extend_and_run_plain(
    run: RunCall, extender: Extender | Constant, shape: Sizes, image: Array, *arguments: Any
) -> bool:
    """Do as `extend_and_run` does for a convolution, and return True; or return False if C cannot take the arrays."""
    extended = np.empty(shape, image.dtype)
    return extender.extend(image, extended, arguments[-1]) and run(extended, *arguments)


def run_and_fold(run: RunCall, extender: Extender, shape: Sizes, *arguments: Any) -> None:
    """Run with the gradient of the extended x as the result, and fold that; the last arguments are result, threads."""
    *arrays, result, threads = arguments
    extended = np.empty(shape, result.dtype)
    run(*arrays, extended, threads)
    extender.fold(extended, result, threads)
