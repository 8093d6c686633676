"""A benchmark problem is one line of text, and this module is all that knows how to read it.

A line of a suite gives the name of the layer, how often the network has it, and its geometry::

    r50_2_3x3  x3  n1 c64 g1 h56 w56 o64 kh3 kw3 sh1 sw1 ph1 pw1 dh1 dw1

=============  =========================================  ==========================
key            meaning                                    if absent
=============  =========================================  ==========================
``n``          batch                                      1
``c o``        input and output channels                  an error
``g``          groups                                     1
``d h w``      depth, height, width of the input          fewer dimensions: ``w`` alone
                                                          is 1-D, ``h w`` is 2-D
``kd kh kw``   size of the kernel                         an error
``sd sh sw``   stride                                     1
``pd ph pw``   zeros before and after the axis            0
``dd dh dw``   dilation                                   1
=============  =========================================  ==========================

``x0`` keeps a problem out of the network's total. ``#`` starts a comment; blank lines are skipped.
The channels are in front of the axes of the image, or, with the word ``channels_last`` at the end of the line, behind.
"""

from __future__ import annotations

import importlib
import itertools
import math
import re
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

import gemmconv

Array = NDArray[Any]

#: In the order in which they run.
SUITES = ("resnet50", "vgg16", "mobilenet", "audio", "pictures", "variants", "transposed")

#: Where the channels of inputs and outputs are. The weight is the same in both.
CHANNELS_FIRST, CHANNELS_LAST = LAYOUTS = ("channels_first", "channels_last")


class Type(NamedTuple):
    """The type of the operands."""

    real: str
    """That of the sums of products, or of their real and imaginary parts."""
    results: tuple[str, ...]
    """Those that the result of a library may have, that of gemmconv first."""
    parts: int = 1
    """Real numbers in an element: a product has the square of that many real products."""


DTYPES = {
    "float32": Type("float32", ("float32",)),
    "float64": Type("float64", ("float64",)),
    "complex64": Type("float32", ("complex64",), 2),
    "complex128": Type("float64", ("complex128",), 2),
    "float16": Type("float32", ("float32", "float16")),
    "bfloat16": Type("float32", ("float32", "bfloat16")),
}


def numpy_dtype(name: str) -> np.dtype[Any]:
    """Return NumPy's object for a type; that of bfloat16 comes from the package ml_dtypes."""
    known: np.dtype[Any] = np.dtype(importlib.import_module("ml_dtypes").bfloat16 if name == "bfloat16" else name)
    return known


class Key(NamedTuple):
    """The attribute of a problem that a key sets, its default (None: it must be given) and its least value."""

    attribute: str
    default: int | None
    least: int
    per_axis: bool

    def names(self, prefix: str, axes: str) -> list[str]:
        """Return the key of a line: one per axis, or the prefix alone."""
        return [prefix + axis for axis in axes] if self.per_axis else [prefix]


#: Key, or what stands in front of the letter of the axis, -> what it means; in the order of a line.
KEYS = {
    "n": Key("batch", 1, 1, per_axis=False),
    "c": Key("in_channels", None, 1, per_axis=False),
    "": Key("input_size", None, 1, per_axis=True),
    "o": Key("out_channels", None, 1, per_axis=False),
    "g": Key("groups", 1, 1, per_axis=False),
    "k": Key("kernel_size", None, 1, per_axis=True),
    "s": Key("stride", 1, 1, per_axis=True),
    "p": Key("padding", 0, 0, per_axis=True),
    "d": Key("dilation", 1, 1, per_axis=True),
}
KNOWN_NAMES = {name for prefix, key in KEYS.items() for name in key.names(prefix, "dhw")}


@dataclass(frozen=True)
class Problem:
    """One convolution to be timed; `count` says how often the network has this layer."""

    suite: str
    name: str
    count: int
    batch: int
    in_channels: int
    out_channels: int
    groups: int
    input_size: tuple[int, ...]
    kernel_size: tuple[int, ...]
    stride: tuple[int, ...]
    padding: tuple[int, ...]
    dilation: tuple[int, ...]
    channels_last: bool = False

    @property
    def output_size(self) -> tuple[int, ...]:
        """Spatial size of the output."""
        return tuple(gemmconv.output_size(self.input_size, self.kernel_size, **self.spatial_options))

    @property
    def input_shape(self) -> tuple[int, ...]:
        """Shape of `x`: ``(N, C, *input_size)``, or ``(N, *input_size, C)``."""
        return self._shape(self.in_channels, self.input_size)

    @property
    def weight_shape(self) -> tuple[int, ...]:
        """Shape of `weight`: ``(O, C/groups, *kernel_size)``."""
        return (self.out_channels, self.in_channels // self.groups, *self.kernel_size)

    @property
    def output_shape(self) -> tuple[int, ...]:
        """Shape of the output: ``(N, O, *output_size)``, or ``(N, *output_size, O)``."""
        return self._shape(self.out_channels, self.output_size)

    def _shape(self, channels: int, size: tuple[int, ...]) -> tuple[int, ...]:
        return (self.batch, *size, channels) if self.channels_last else (self.batch, channels, *size)

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """The shapes of the three arrays by their names."""
        return {"input": self.input_shape, "weight": self.weight_shape, "output": self.output_shape}

    @property
    def reduction(self) -> int:
        """Number of products in the sum of one output element."""
        return math.prod(self.weight_shape[1:])

    @property
    def flops(self) -> int:
        """Floating-point operations of the direct sum: a multiplication and an addition for each product."""
        return 2 * math.prod(self.output_shape) * self.reduction

    @property
    def spatial_options(self) -> dict[str, Any]:
        """The keyword arguments of `gemmconv.output_size`."""
        return {"stride": self.stride, "padding": self.padding, "dilation": self.dilation}

    @property
    def options(self) -> dict[str, Any]:
        """The keyword arguments of `gemmconv.conv`, without the layout."""
        return {**self.spatial_options, "groups": self.groups}

    @property
    def line(self) -> str:
        """The problem as a line of a suite, without what is at its default."""
        axes = "dhw"[-len(self.input_size) :]
        words = [self.name, f"x{self.count}"]
        for prefix, key in KEYS.items():
            value = getattr(self, key.attribute)
            numbers = value if key.per_axis else [value]
            words += [
                f"{name}{number}" for name, number in zip(key.names(prefix, axes), numbers) if number != key.default
            ]
        return " ".join([*words, CHANNELS_LAST] if self.channels_last else words)

    def arrays(self, dtype: str) -> tuple[Array, Array]:
        """Make the operands of the convolution: the first two arrays of `draw`."""
        x, weight = itertools.islice(self.draw(dtype), 2)
        return x, weight

    def draw(self, dtype: str) -> Iterator[Array]:
        """Yield normally distributed data of every shape, in the order of `shapes`.

        They depend on the problem's name alone, so they are the same on every call and in every process.
        """
        random = np.random.default_rng(zlib.crc32(self.name.encode()))
        kind: Any = np.dtype(DTYPES[dtype].real)
        for shape in self.shapes.values():
            if DTYPES[dtype].parts == 2:
                yield random.standard_normal((*shape, 2), kind).view(dtype)[..., 0]
            else:
                yield random.standard_normal(shape, kind).astype(numpy_dtype(dtype), copy=False)


def as_image(problem: Problem) -> Problem:
    """Turn the problem of a signal into that of an image of height 1, and leave images and volumes as they are."""
    if len(problem.input_size) > 1:
        return problem
    return replace(
        problem,
        input_size=(1, *problem.input_size),
        kernel_size=(1, *problem.kernel_size),
        stride=(1, *problem.stride),
        padding=(0, *problem.padding),
        dilation=(1, *problem.dilation),
    )


def parse_problem(line: str, suite: str = "") -> Problem:
    """Read one line of a suite, without a comment.

    Raise ValueError if it is malformed or the convolution impossible; the message says what is wrong.
    """
    name, *words = line.split()
    if not words or not re.fullmatch("x[0-9]+", words[0]):
        raise ValueError(f"after the name {name!r} must come a count such as x1")
    channels_last = words[-1] == CHANNELS_LAST
    numbers = _read_numbers(words[1 : len(words) - channels_last])
    axes = next((axes for axes in ("dhw", "hw") if axes[0] in numbers), "w")
    values: dict[str, Any] = {}
    for prefix, key in KEYS.items():
        taken = tuple(_take(numbers, name_of_number, key) for name_of_number in key.names(prefix, axes))
        values[key.attribute] = taken if key.per_axis else taken[0]
    if numbers:
        raise ValueError(f"{' '.join(numbers)}: the input has only the axes {' '.join(axes)}")
    problem = Problem(suite, name, int(words[0][1:]), **values, channels_last=channels_last)
    _refuse_impossible(problem)
    return problem


def _read_numbers(words: list[str]) -> dict[str, int]:
    """Turn ``["c3", "kh7"]`` into ``{"c": 3, "kh": 7}``."""
    numbers: dict[str, int] = {}
    for word in words:
        match = re.fullmatch("([a-z]+)([0-9]+)", word)
        if not match:
            raise ValueError(f"{word!r} is not a key followed by a whole number")
        name, number = match.groups()
        if name not in KNOWN_NAMES:
            raise ValueError(f"{word!r} has an unknown key")
        if name in numbers:
            raise ValueError(f"{name!r} is given twice")
        numbers[name] = int(number)
    return numbers


def _take(numbers: dict[str, int], name: str, key: Key) -> int:
    """Remove and return one number."""
    number = numbers.pop(name, key.default)
    if number is None:
        raise ValueError(f"{name!r} is missing")
    if number < key.least:
        raise ValueError(f"{name}{number} is less than {key.least}")
    return number


def _refuse_impossible(problem: Problem) -> None:
    """Raise ValueError for what cannot be computed."""
    gemmconv.output_size(problem.input_size, problem.kernel_size, **problem.spatial_options)  # may raise
    if problem.in_channels % problem.groups or problem.out_channels % problem.groups:
        raise ValueError(f"g{problem.groups} does not divide c{problem.in_channels} and o{problem.out_channels}")


def read_suite(path: Path) -> list[Problem]:
    """Read the problems of one file, whose stem becomes the name of the suite.

    The message of a ValueError begins with the file's name and the line's number.
    """
    problems: dict[str, Problem] = {}
    for number, text in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        line = text.partition("#")[0].strip()
        if not line:
            continue
        try:
            problem = parse_problem(line, path.stem)
            if problem.name in problems:
                raise ValueError(f"the name {problem.name!r} is given twice")
        except ValueError as error:
            raise ValueError(f"{path.name}:{number}: {error}") from error
        problems[problem.name] = problem
    return list(problems.values())


def load_suite(name: str) -> list[Problem]:
    """Read a file of ``suites/``: one of `SUITES`, or a series of scaling.py."""
    return read_suite(Path(__file__).with_name("suites") / f"{name}.txt")
