"""Exports: an explanation as JSON, and its matrices in LaTeX."""

from __future__ import annotations

import json
from math import isfinite
from typing import Any

import numpy as np

from .. import __version__
from ..checks.arrays import Array
from ..checks.options import Sizes
from .grids import number
from .view import View, unravel

# The most numbers of an array in JSON, and the most rows and columns of a matrix in LaTeX.
MOST_NUMBERS = 20_000
MOST_ROWS, MOST_COLUMNS = 60, 80


def plain_number(value: float) -> int | float | str:
    """Return a number for JSON, which has no infinities and NaN: they become strings."""
    value = float(value)
    if not isfinite(value):
        return str(value)
    return int(value) if value.is_integer() and abs(value) < 2**53 else value


def plain_array(array: Array | None) -> Any:
    """Return an array as nested lists, or None if it is too large."""
    if array is None or array.size > MOST_NUMBERS:
        return None
    flat: list[Any] = [plain_number(value) for value in array.ravel()]
    for size in reversed(array.shape[1:]):
        flat = [flat[begin : begin + size] for begin in range(0, len(flat), size)]
    return flat


def to_json(view: View, K: Array | None, P: Array | None, M: list[list[list[Any]]] | None) -> str:
    """Return everything as JSON. Arrays that are too large are null; `M` has [column, weight, value] by row."""
    facts, problem, counts = view.facts, view.facts.problem, view.counts
    options = {name: np.asarray(value).tolist() for name, value in vars(problem.options).items()}
    options["padding_value"] = plain_number(problem.value)
    terms = view.terms if view.has_terms and len(view.terms.weights) <= MOST_NUMBERS else None
    document = {
        "gemmconv": __version__,
        "options": options,
        "shapes": {"x": problem.x.shape, "weight": problem.weight.shape, "y": problem.y_shape},
        "padding": problem.geometry.pads,
        "counts": counts._asdict(),
        "x": plain_array(problem.x.array),
        "weight": plain_array(problem.weight.array),
        "bias": plain_array(problem.bias),
        "y": plain_array(facts.y),
        "K": plain_array(K),
        "P": plain_array(P),
        "M": M,
        "c": plain_array(facts.constant) if facts.is_computed else None,
        "at": view.at,
        "terms": None if terms is None else as_lists(terms._asdict()),
        "input_at": view.input_at,
        "weight_at": view.weight_at,
    }
    if facts.is_computed:
        document["readers"] = as_lists(facts.readers(view.input_at)._asdict())
        document["places"] = as_lists(facts.places(view.weight_at)._asdict())
    return json.dumps(document, allow_nan=False) + "\n"


def as_lists(values: dict[str, Array | float]) -> dict[str, Any]:
    """Return the arrays as lists, None if they are too long, and the numbers for JSON."""
    return {
        name: plain_array(value) if isinstance(value, np.ndarray) else plain_number(value)
        for name, value in values.items()
    }


def check_latex(name: str, shape: tuple[int, int]) -> None:
    """Raise if a matrix is too large for a page."""
    if shape[0] > MOST_ROWS or shape[1] > MOST_COLUMNS:
        raise ValueError(
            f"{name} has shape {shape}; LaTeX is written for at most {MOST_ROWS} rows and {MOST_COLUMNS} columns"
        )


def latex(name: str, matrix: Array, stored: Array | None = None) -> str:
    r"""Return a matrix as a bmatrix; where nothing is stored it has a \cdot."""
    columns = matrix.shape[1]
    lines = [
        "  "
        + " & ".join(
            number(value) if stored is None or stored[row, column] else r"\cdot" for column, value in enumerate(values)
        )
        for row, values in enumerate(matrix.tolist())
    ]
    # amsmath has ten columns, unless it is told that there are more
    more = f"\\setcounter{{MaxMatrixCols}}{{{columns}}}\n" if columns > 10 else ""
    return f"{more}{name} =\n\\begin{{bmatrix}}\n" + " \\\\\n".join(lines) + "\n\\end{bmatrix}\n"


def rows_of(view: View) -> list[list[list[Any]]] | None:
    """Return the entries of M row by row as [column, weight, value], or None if they are too many."""
    if view.counts.multiplications > MOST_NUMBERS:
        return None
    rows = []
    for row in range(view.counts.outputs):
        at: Sizes = unravel(row, view.facts.problem.y_shape)
        terms = view.facts.terms(at)
        inside = terms.inputs >= 0
        triples = zip(terms.inputs[inside].tolist(), terms.weights[inside].tolist(), terms.factors[inside])
        rows.append([[column, weight, plain_number(value)] for column, weight, value in triples])
    return rows
