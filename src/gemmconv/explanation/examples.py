"""The named examples, and the letters that name weights."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from string import ascii_letters
from typing import Any, NamedTuple

import numpy as np

from ..checks.options import Sizes
from .problem import Options, Problem

# One letter per weight, or per tap of a kernel, while there are enough of them.
LETTERS = ascii_letters


def counted(*shape: int) -> Any:
    """Return an array of the numbers 1, 2, 3 and so on."""
    return np.arange(1.0, np.prod(shape) + 1).reshape(shape)


class Example(NamedTuple):
    """One named example."""

    about: str
    arrays: Callable[[], tuple[Any, Any]]
    """Return x and weight."""
    options: Options = Options()
    at: Sizes | None = None
    """The output that is written out; None is the one in the middle of channel 0."""
    activation: str | None = None
    """What is computed from the output: "relu", or nothing."""


def _sharpen() -> tuple[Any, Any]:
    kernel = np.array([[0.0, -1.0, 0.0], [-1.0, 5.0, -1.0], [0.0, -1.0, 0.0]])
    return np.tile([10.0, 10.0, 20.0, 20.0], (1, 4, 1)), np.tile(kernel, (3, 1, 1, 1))


def _sequence() -> tuple[Any, Any]:
    return counted(1, 4), np.array([[[5.0, 6.0, 7.0]]])


EXAMPLES = {
    "small": Example("one channel, one kernel", lambda: (counted(1, 4, 4), counted(1, 1, 2, 2))),
    "channels": Example("three channels, two kernels", lambda: (counted(3, 4, 4), counted(2, 3, 2, 2)), at=(0, 1, 2)),
    "1d": Example(
        "a sequence of three channels, stride 2", lambda: (counted(3, 12), counted(2, 3, 4)), Options(stride=2), (0, 1)
    ),
    "full": Example("every overlap, flipped", _sequence, Options(padding="full", flip=True), (0, 1)),
    "valid": Example("the same numbers inside the input, not flipped", _sequence),
    "neurons": Example(
        "one input channel, three feature maps, and what ReLU makes of them",
        lambda: (counted(1, 5), np.array([[[1.0, 0.0, -1.0]], [[1.0, 2.0, 1.0]], [[-1.0, 2.0, -1.0]]])),
        activation="relu",
    ),
    "letters": Example("two kernels with the weights a to h", lambda: (counted(1, 3, 3), counted(2, 1, 2, 2))),
    "sharpen": Example("three equal kernels that sharpen an edge", _sharpen, at=(0, 0, 1)),
    "stride": Example(
        "stride 2 leaves a row and a column over", lambda: (counted(1, 5, 5), counted(1, 1, 2, 2)), Options(stride=2)
    ),
    "padding": Example(
        "a border of zeros", lambda: (counted(1, 4, 4), counted(1, 1, 3, 3)), Options(padding=1), (0, 0, 1)
    ),
    "dilation": Example("a kernel with holes", lambda: (counted(1, 5, 5), counted(1, 1, 2, 2)), Options(dilation=2)),
    "groups": Example("two groups of two channels", lambda: (counted(4, 3, 3), counted(2, 2, 2, 2)), Options(groups=2)),
    "depthwise": Example("one kernel per channel", lambda: (counted(3, 4, 4), counted(3, 1, 2, 2)), Options(groups=3)),
    "pointwise": Example("a 1 x 1 kernel mixes channels", lambda: (counted(3, 2, 2), counted(2, 3, 1, 1))),
    "circular": Example(
        "the input continues at its other end: M is circulant",
        lambda: (counted(1, 5), counted(1, 1, 3)),
        Options(padding="same", padding_mode="wrap"),
        (0, 0),
    ),
    "causal": Example(
        "no output reads a later input", lambda: (counted(1, 6), counted(1, 1, 3)), Options(padding="causal"), (0, 1)
    ),
    "transposed": Example(
        "a transposed convolution enlarges",
        lambda: (counted(1, 3), counted(1, 1, 3)),
        Options(stride=2, transposed=True),
        (0, 2),
    ),
    "3d": Example("three spatial axes", lambda: (counted(1, 3, 3, 3), counted(1, 1, 2, 2, 2))),
    "dense": Example(
        "a kernel as large as x: a fully connected layer", lambda: (counted(2, 2, 2), counted(3, 2, 2, 2))
    ),
}


def problem_of(name: str) -> tuple[Problem, Sizes | None]:
    """Return the problem of a named example, and the output to write out."""
    if name not in EXAMPLES:
        raise ValueError(f"there is no example {name!r}; the examples are {', '.join(EXAMPLES)}")
    example = EXAMPLES[name]
    x, weight = example.arrays()
    problem = Problem.make(x, weight, options=example.options)
    return replace(problem, activation=example.activation), example.at
