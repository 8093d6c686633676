"""Inputs of the command: from its words, from a file of NumPy, or from JSON to a `Problem`.

What makes no sense raises a ValueError or a TypeError; a file that cannot be read raises an OSError or
`UnreadableError`.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
import zipfile
from dataclasses import replace
from typing import Any

import numpy as np

from ..checks.options import Sizes
from .examples import problem_of
from .problem import Numbers, Options, Problem

ARRAYS = ("x", "weight", "bias", "grad_output")
OPTIONS = tuple(vars(Options()))


class UnreadableError(Exception):
    """A file that is not what it should be."""


def ints(text: str) -> int | tuple[int, ...]:
    """Return an int, or one per axis, from words such as ``2`` and ``2,1``."""
    numbers = [_int(part, text) for part in text.split(",")]
    return numbers[0] if len(numbers) == 1 else tuple(numbers)


def index(text: str) -> tuple[int, ...]:
    """Return the index of an element from words such as ``0,1,2``."""
    return tuple([_int(part, text) for part in text.split(",")])


def modes(text: str) -> str | tuple[str, ...]:
    """Return a padding mode, or one per axis, from words such as ``wrap`` and ``zeros,wrap``."""
    parts = tuple(text.split(","))
    return parts[0] if len(parts) == 1 else parts


def padding(text: str) -> object:
    """Return a padding from words such as ``1``, ``1,2``, ``1:2,0:3`` and ``same``."""
    if re.fullmatch("[A-Za-z_]+", text):
        return text
    parts = [[_int(number, text) for number in part.split(":")] for part in text.split(",")]
    if len(parts) == 1 and len(parts[0]) == 1:
        return parts[0][0]
    return tuple([part[0] if len(part) == 1 else tuple(part) for part in parts])


def _int(part: str, text: str) -> int:
    try:
        return int(part)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number, or numbers with commas between") from None


def read_problem(arguments: argparse.Namespace) -> tuple[Problem, Sizes | None, list[str]]:
    """Return the problem, the output that an example writes out, and remarks on what was added to its arrays."""
    given = {name: getattr(arguments, name) for name in OPTIONS if getattr(arguments, name) is not None}
    own = {name: getattr(arguments, name) for name in ARRAYS if getattr(arguments, name) is not None}
    if arguments.example is not None or not (own or arguments.file):
        if own or arguments.file or arguments.image is not None:
            raise ValueError(
                "an example has its own arrays: leave out --x, --weight, --bias, --grad, --from and --image"
            )
        problem, at = problem_of(arguments.example or "small")
        changed = Problem.make(problem.x, problem.weight, None, replace(problem.options, **given))
        return replace(changed, activation=problem.activation), None if given else at, []
    arrays, options = read_file(arguments.file) if arguments.file else ({}, {})
    arrays.update({name: read_array(name, text) for name, text in own.items()})
    for name in ("x", "weight"):
        if name not in arrays:
            raise ValueError(f"--{name} is missing")
    shapes = arrays["x"].shape, arrays["weight"].shape
    try:
        remarks = fit(arrays, arguments.image)
        problem = Problem.make(
            arrays["x"],
            arrays["weight"],
            _array(arrays.get("bias")),
            Options(**{**options, **given}),
            _array(arrays.get("grad_output")),
        )
    except ValueError as error:
        raise ValueError(f"{error}{_hint(str(error), *shapes)}") from error
    return problem, None, remarks


def _hint(message: str, x: Sizes, weight: Sizes) -> str:
    """Return what may help against an error, to be added to its message."""
    if "the kernel covers" in message:
        return "; use a smaller kernel, or --padding"
    if len(x) == len(weight) > 2 and ("input channels" in message or "is a batch" in message):
        example = "x".join(map(str, (weight[0], x[0], *weight[1:])))
        axes = f"{len(x) - 1} spatial axes, the shape of --weight needs {len(x) + 1} numbers, for example {example}"
        return f"; if x of shape {x} is one image with {axes}"
    return ""


def _array(numbers: Numbers | None) -> object:
    return None if numbers is None else numbers.array


def read_array(name: str, text: str) -> Numbers:
    """Return an array from JSON, a shape, or the name of a file; ``-`` reads JSON from standard input."""
    if re.fullmatch("[0-9]+(x[0-9]+)*", text):
        shape = tuple(map(int, text.split("x")))
        return Numbers(shape)
    if text.endswith(".npy"):
        return _numbers(name, _load(text))
    text = sys.stdin.read() if text == "-" else text
    try:
        value = json.loads(text)
    except ValueError:
        shown = text if len(text) <= 60 else text[:50] + "..."
        raise ValueError(f"--{name} is {shown!r}, but must be JSON, a shape such as 3x4x4, or FILE.npy") from None
    return _numbers(name, value)


def _numbers(name: str, value: object) -> Numbers:
    try:
        array = np.asarray(value)
    except ValueError:
        raise ValueError(f"{name} has rows of different lengths") from None
    if array.dtype.kind not in "biuf":
        raise TypeError(f"{name} must hold numbers, not {array.dtype}")
    array = array.astype(np.float64) if array.dtype.kind != "f" else array
    return Numbers(array.shape, array)


def _load(path: str) -> Any:
    try:
        return np.load(path, allow_pickle=False)
    except (ValueError, EOFError, zipfile.BadZipFile) as error:
        raise UnreadableError(f"{path} is no file of NumPy arrays: {error}") from error


def read_file(path: str) -> tuple[dict[str, Numbers], dict[str, Any]]:
    """Return the arrays and the options in an ``.npz`` file."""
    file = _load(path)
    if not hasattr(file, "files"):
        raise UnreadableError(f"{path} holds one array; --from reads an .npz file, with the arrays x and weight")
    arrays, options = {}, {}
    with file:
        for name in file.files:
            try:
                value = file[name]
            except (ValueError, EOFError, zipfile.BadZipFile) as error:
                raise UnreadableError(f"{path}: {name} cannot be read: {error}") from error
            if name in ARRAYS:
                arrays[name] = _numbers(name, value)
            elif name in OPTIONS:
                options[name] = value.tolist()
            else:
                known = ", ".join([*ARRAYS, *OPTIONS])
                raise ValueError(f"{path} holds {name!r}, which is none of {known}")
    return arrays, options


def fit(arrays: dict[str, Numbers], image: int | None) -> list[str]:
    """Add axes of size 1 that arrays lack, and take one image of a batch; return what was done."""
    remarks = []
    weight = arrays["weight"]
    if len(weight.shape) in (1, 2):
        arrays["weight"] = weight = _with_axes(weight, 2)
        remarks.append(f"weight is taken as one kernel of one channel, {weight.shape}")
    rank = len(weight.shape) - 2
    if len(arrays["x"].shape) == rank:
        arrays["x"] = _with_axes(arrays["x"], 1)
        remarks.append(f"x is taken as one channel, {arrays['x'].shape}")
    if "grad_output" in arrays and len(arrays["grad_output"].shape) == rank:
        arrays["grad_output"] = _with_axes(arrays["grad_output"], 1)
        remarks.append(f"grad_output is taken as one channel, {arrays['grad_output'].shape}")
    x = arrays["x"]
    if len(x.shape) != rank + 2:
        if image is not None:
            raise ValueError(f"--image is for a batch, but x has shape {x.shape}")
        return remarks
    number = image or 0
    if not 0 <= number < x.shape[0]:
        raise ValueError(f"--image is {number}, but x has {x.shape[0]} images")
    if x.array is None:
        one = "x".join(map(str, x.shape[1:]))
        raise ValueError(f"x of shape {x.shape} is a batch: give the shape of one image, {one}")
    arrays["x"] = Numbers(x.shape[1:], x.array[number])
    remarks.append(f"x is image {number} of {x.shape[0]}, {x.shape[1:]}")
    gradient = arrays.get("grad_output")
    if gradient is not None and gradient.array is not None and len(gradient.shape) == rank + 2:
        if gradient.shape[0] != x.shape[0]:
            raise ValueError(f"grad_output has {gradient.shape[0]} images, but x has {x.shape[0]}")
        arrays["grad_output"] = Numbers(gradient.shape[1:], gradient.array[number])
    return remarks


def _with_axes(numbers: Numbers, count: int) -> Numbers:
    shape = (1,) * count + numbers.shape
    return Numbers(shape, None if numbers.array is None else numbers.array.reshape(shape))
