"""Page: one HTML file that shows a convolution, computes it again in the browser, and needs nothing else.

The folder ``page`` holds its parts. They are put into one file: the numbers into a
``<script type="application/json">``, and the scripts and styles, compressed, into a ``<script type="text/plain">``.
The page unpacks and runs them. The browser is told to load nothing.
"""

from __future__ import annotations

import base64
import html
import json
import zlib
from dataclasses import replace
from importlib.resources import files
from math import prod
from typing import Any

import numpy as np

from .. import __version__
from ..checks.arrays import Array
from .examples import EXAMPLES, problem_of
from .exports import plain_number
from .facts import Facts
from .page_sources import stripped
from .problem import Numbers, Problem
from .view import View, ravel

# The order in which the scripts are put into the page. Each defines one object, and may use those before it.
SCRIPTS = (
    "core.js",
    "numbers.js",
    "link.js",
    "code.js",
    "export.js",
    "draw.js",
    "matrix.js",
    "lit.js",
    "sum.js",
    "controls.js",
    "page.js",
)

STYLES = ("page.css", "controls.css")

# What the scripts begin with. The element that holds them is removed: a page that saves itself has them once.
BEGIN = '"use strict";\ndocument.currentScript.remove();\n'

# The most numbers that the page takes: of x and weight together, of y, and of the products that it computes.
MOST_NUMBERS = 20_000
MOST_OUTPUTS = 100_000
MOST_MULTIPLICATIONS = 1 << 22


def build(facts: Facts, selection: dict[str, Any], name: str = "", backward: bool = False) -> str:
    """Return the page. It begins with a selection, as `selected` returns it, in Forward or in Backward.

    `name` is that of an example, or of the file that the numbers came from.
    """
    problem = facts.problem
    check_size(problem, facts.entries.geometry.operations // 2)
    data = {
        "problem": described(problem),
        "name": name,
        "selection": selection,
        "backward": backward,
        "result": {"version": __version__, "y": plain(in_double(problem).y)},
        "examples": [described_example(example) for example in EXAMPLES],
    }
    about = "A convolution as a matrix multiplication"
    style = "".join(stripped(asset(style)) for style in STYLES)
    script = "".join(stripped(asset(script)) for script in SCRIPTS)
    parts = {
        "title": html.escape(f"{name}: {about[0].lower()}{about[1:]}" if name else about),
        "data": json.dumps(data, allow_nan=False, separators=(",", ":")).replace("<", "\\u003c"),
        "packed": packed(f"{BEGIN}const STYLE = {json.dumps(style)};\n{script}"),
    }
    before, *rest = asset("template.html").split("{{")
    pieces = [piece.partition("}}") for piece in rest]
    return before + "".join(parts[key] + after for key, _, after in pieces)


def selected(view: View, has_weight: bool, has_input: bool) -> dict[str, Any]:
    """Return the weight of a view, its input, or else its output, as the page knows a selection."""
    problem = view.facts.problem
    if has_weight:
        return {"kind": "weight", "at": ravel(view.weight_at, problem.weight.shape)}
    if has_input:
        return {"kind": "input", "at": ravel(view.input_at, problem.x.shape)}
    return {"kind": "output", "at": ravel(view.at, problem.y_shape)}


def asset(name: str) -> str:
    """Return a file of the page."""
    return (files(__package__) / "page" / name).read_text("utf-8")


def packed(text: str) -> str:
    """Return a text compressed, in letters: base64 of raw deflate."""
    compress = zlib.compressobj(9, zlib.DEFLATED, -15)
    return base64.b64encode(compress.compress(text.encode()) + compress.flush()).decode()


def check_size(problem: Problem, multiplications: int) -> None:
    """Raise if the page would be too large for a browser, and say what to do."""
    name, cut = ("x", "x[:" + ", :8" * problem.rank + "]")
    if problem.weight.size > problem.x.size:
        name, cut = "weight", "weight[:8, :8]"
    for what, count, noun, most in (
        ("x and weight have", problem.x.size + problem.weight.size, "numbers", MOST_NUMBERS),
        ("y has", prod(problem.y_shape), "numbers", MOST_OUTPUTS),
        ("the sums of all outputs have", multiplications, "terms", MOST_MULTIPLICATIONS),
    ):
        if count > most:
            raise ValueError(
                f"{name} has shape {getattr(problem, name).shape}; {what} {count} {noun}, and the page takes {most}: "
                f"cut {name}, for example {cut}"
            )


def in_double(problem: Problem) -> Facts:
    """Return the facts of a problem in double precision, in which the page computes."""
    x, weight = (np.asarray(array.array, np.float64) for array in (problem.x, problem.weight))
    return Facts(replace(problem, x=Numbers(x.shape, x), weight=Numbers(weight.shape, weight)))


def plain(array: Array | None) -> list[Any] | None:
    """Return the elements in C order, for JSON."""
    return None if array is None else [plain_number(value) for value in np.asarray(array, np.float64).ravel()]


def described(problem: Problem) -> dict[str, Any]:
    """Return a problem as the page knows it; what has its usual value is left out."""
    options, rank, geometry = problem.options, problem.rank, problem.geometry
    mode, named = options.padding_mode, isinstance(options.padding, str)
    adds = problem.transposed and not (named and options.padding.startswith("same"))  # "same" decides the size itself
    described = {
        "x": described_numbers(problem.x),
        "weight": described_numbers(problem.weight),
        "bias": plain(problem.bias),
        "grad": plain(problem.grad_output),
        "stride": geometry.stride[3 - rank :],
        "dilation": geometry.dilation[3 - rank :],
        "groups": geometry.groups,
        "padding": options.padding if named else problem.pads,
        "modes": [mode] * rank if isinstance(mode, str) else [*mode],
        "value": plain_number(problem.value),
        "flip": bool(options.flip),
        "transposed": problem.transposed,
        "outputPadding": list(problem.output_padding) if adds else [0] * rank,
    }
    usual = {
        "bias": None,
        "grad": None,
        "stride": (1,) * rank,
        "dilation": (1,) * rank,
        "groups": 1,
        "padding": ((0, 0),) * rank,
        "modes": ["zeros"] * rank,
        "value": 0,
        "flip": False,
        "transposed": False,
        "outputPadding": [0] * rank,
    }
    return {key: value for key, value in described.items() if key not in usual or value != usual[key]}


def described_numbers(numbers: Numbers) -> dict[str, Any]:
    """Return an array for the page; the numbers 1, 2, 3 and so on are left out."""
    flat = np.asarray(numbers.array).ravel()
    counted = np.array_equal(flat, np.arange(1.0, len(flat) + 1))
    return {"shape": numbers.shape, "data": None if counted else plain(flat)}


def described_example(name: str) -> dict[str, Any]:
    """Return a named example for the page."""
    problem, at = problem_of(name)
    at = (0, *((size - 1) // 2 for size in problem.y_shape[1:])) if at is None else at
    return {
        "name": name,
        "about": EXAMPLES[name].about,
        "problem": described(problem),
        "at": ravel(at, problem.y_shape),
    }
