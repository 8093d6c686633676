"""Selection: the output, the weight and the input that are written out, as given or by default."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..checks.options import Sizes, as_shape
from .facts import Facts


def index_of(name: str, array: str, given: Sequence[int] | None, shape: Sizes, default: Sizes) -> Sizes:
    """Return the index of an element of an array, or raise an error that names the argument."""
    if given is None:
        return default
    index = as_shape(name, given)
    if len(index) != len(shape) or any(i >= size for i, size in zip(index, shape)):
        expected = f"expected {len(shape)} numbers, each smaller than the size of its axis"
        raise ValueError(f"{name} is {index}, but {array} has shape {shape}: {expected}")
    return index


def middle_output(shape: Sizes) -> Sizes:
    """Return the output in the middle of channel 0."""
    return (0, *((size - 1) // 2 for size in shape[1:]))


def used_weight(facts: Facts, at: Sizes) -> Sizes:
    """Return the weight in the middle of a kernel that an output uses."""
    shape = facts.problem.weight.shape
    taps = int(np.prod(shape[2:]))
    middle = tuple(int(tap) for tap in np.unravel_index((taps - 1) // 2, shape[2:]))
    if facts.problem.transposed:
        return (facts.window(at).channels[0], at[0] % shape[1], *middle)
    return (at[0], shape[1] // 2, *middle)


def seen_input(facts: Facts, at: Sizes) -> Sizes:
    """Return the first input in x that an output sees, in the middle channel."""
    window, shape = facts.window(at), facts.problem.x.shape
    channel = window.channels[len(window.channels) // 2]
    inside = [
        next((int(place) for place in places if 0 <= place < size), 0)
        for places, size in zip(window.positions, shape[1:])
    ]
    return (channel, *inside)
