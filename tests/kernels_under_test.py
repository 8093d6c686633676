"""Every C kernel of every operation, to be built and run alone.

It finds the kernels in the engine's tables, so a new row of a table is tested without a change here. `KERNELS` has one
entry per kernel and way to cut it; its key is operation-algorithm-kernel, and for BLAS the row of the tiling table
(`PATHS`).
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache, partial
from typing import Any, NamedTuple

import numpy as np
from cases import STRIDED_CASES, ZERO_PADDED_CASES, Case, geometry_of, geometry_options, integer_weights, integers
from guarded import guarded

from gemmconv import reference
from gemmconv._gemmconv import InputGradient, Problem
from gemmconv.checks.geometry import Geometry
from gemmconv.engine.algorithms import WAYS, pick
from gemmconv.engine.blas import single_threaded_blas
from gemmconv.engine.kernels import CONVOLUTION, WEIGHT_GRADIENT
from gemmconv.engine.tiling import PATHS, choose_input_gradient_tiling, choose_tiling
from gemmconv.engine.ways import Way

# Of one thread, without the weights that are laid out.
LARGEST_SCRATCH = 2 * 2**20

Arrays = tuple[np.ndarray | None, ...]
Shape = tuple[int, ...]


class Operation(NamedTuple):
    """What a kernel computes."""

    arrays: Callable[[Geometry], tuple[Shape, ...]]
    """The shapes of its arrays: two, and perhaps a bias, in whose place None may be given."""
    has_weight: bool
    """Whether the second array is a weight."""
    result: Callable[[Geometry], Shape]
    reference: Callable[..., np.ndarray]
    """(geometry, options, *arrays) -> the result."""


def _reference_conv(_geometry: Geometry, options: dict[str, Any], *arrays: np.ndarray) -> np.ndarray:
    return reference.conv(*arrays, **options)


def _reference_input_gradient(
    geometry: Geometry, options: dict[str, Any], g: np.ndarray, weight: np.ndarray, bias: np.ndarray | None = None
) -> np.ndarray:
    gradient = reference.conv_input_gradient(g, weight, geometry.x_shape[2:], **options)
    return gradient if bias is None else gradient + bias.reshape(-1, *[1] * geometry.rank)


def _reference_weight_gradient(geometry: Geometry, options: dict[str, Any], g: np.ndarray, x: np.ndarray) -> np.ndarray:
    return reference.conv_weight_gradient(g, x, geometry.weight_shape[2:], **options)


OPERATIONS = {
    "convolution": Operation(
        arrays=lambda geometry: (geometry.x_shape, geometry.weight_shape, (geometry.out_channels,)),
        has_weight=True,
        result=lambda geometry: geometry.out_shape,
        reference=_reference_conv,
    ),
    "input_gradient": Operation(
        arrays=lambda geometry: (geometry.out_shape, geometry.weight_shape, (geometry.in_channels,)),
        has_weight=True,
        result=lambda geometry: geometry.x_shape,
        reference=_reference_input_gradient,
    ),
    "weight_gradient": Operation(
        arrays=lambda geometry: (geometry.out_shape, geometry.x_shape),
        has_weight=False,
        result=lambda geometry: geometry.weight_shape,
        reference=_reference_weight_gradient,
    ),
}


class Kernel(NamedTuple):
    """One kernel of the C layer."""

    operation: str
    defined: Callable[[Geometry], bool]
    build: Callable[[Geometry, int, int, bool], Any]
    """(geometry, itemsize, threads, relu) -> what has `run`, `task_count` and `scratch_bytes`."""


# --- where the engine is read ----------------------------------------------------------------------------------------


def _always(_geometry: Geometry) -> bool:
    return True


def _gemm_conv(path: str, geometry: Geometry, itemsize: int, threads: int, relu: bool) -> Any:
    return Problem(geometry, itemsize, choose_tiling(geometry, itemsize, threads, path), relu)


def _input_gradient_gemm(path: str, geometry: Geometry, itemsize: int, threads: int, relu: bool) -> Any:
    return InputGradient(geometry, itemsize, choose_input_gradient_tiling(geometry, itemsize, path=path))


def _way(operation: str, name: str, geometry: Geometry) -> Way | None:
    """Return a way of an operation by its name, or None where it is not defined."""
    return next((way for way in WAYS[operation](geometry) if way.name == name), None)


def _build(operation: str, name: str, geometry: Geometry, itemsize: int, threads: int, relu: bool) -> Any:
    way = _way(operation, name, geometry)
    return way.build(geometry, itemsize, threads, **({"relu": relu} if operation == "convolution" else {})).problem


def _is_defined(operation: str, name: str, geometry: Geometry) -> bool:
    return _way(operation, name, geometry) is not None


_CONVOLUTIONS = [f"{kernel.algorithm}-{kernel.name}" for kernel in CONVOLUTION if kernel.name != "gemm_conv"]
_NAMES = {
    "convolution": _CONVOLUTIONS,
    "input_gradient": [*_CONVOLUTIONS, "direct-phases"],
    "weight_gradient": [f"{kernel.algorithm}-{kernel.name}" for kernel in WEIGHT_GRADIENT],
}
KERNELS: dict[str, Kernel] = {}
for _path in PATHS:
    KERNELS[f"convolution-gemm-gemm_conv-{_path}"] = Kernel("convolution", _always, partial(_gemm_conv, _path))
    KERNELS[f"input_gradient-gemm-input_gradient-{_path}"] = Kernel(
        "input_gradient", _always, partial(_input_gradient_gemm, _path)
    )
for _operation, _names in _NAMES.items():
    for _name in _names:
        KERNELS[f"{_operation}-{_name}"] = Kernel(
            _operation, partial(_is_defined, _operation, _name), partial(_build, _operation, _name)
        )

CONVOLUTIONS, INPUT_GRADIENTS, WEIGHT_GRADIENTS = (
    {name: kernel for name, kernel in KERNELS.items() if kernel.operation == operation} for operation in OPERATIONS
)


def chosen_convolution(geometry: Geometry, algorithm: str = "auto", *, prepared: bool) -> str:
    """Return "algorithm-kernel" of what computes a convolution; `prepared` tells whether a plan does."""
    return pick("convolution", geometry, algorithm, prepared=prepared).name


def chosen_input_gradient(geometry: Geometry, *, prepared: bool) -> str:
    """Return "algorithm-kernel" of what "auto" takes for an input gradient."""
    return pick("input_gradient", geometry, prepared=prepared).name


# --- what tests do with a kernel -------------------------------------------------------------------------------------

ALL_CASES = {**ZERO_PADDED_CASES, **{f"strided_{name}": case for name, case in STRIDED_CASES.items()}}


def cases_of(kernel: Kernel) -> dict[str, Case]:
    """Return the cases that a kernel is defined for; those of strided gradients are for input gradients alone."""
    cases = ALL_CASES if kernel.operation == "input_gradient" else ZERO_PADDED_CASES
    return {name: case for name, case in cases.items() if kernel.defined(geometry_of(case))}


def arrays_for(operation: str, geometry: Geometry, dtype: Any) -> Arrays:
    """Return small integers for the arrays of an operation, with which every kernel is exact."""
    shapes = OPERATIONS[operation].arrays(geometry)
    arrays = [integers(shape, dtype, seed) for seed, shape in enumerate(shapes)]
    if OPERATIONS[operation].has_weight:
        arrays[1] = integer_weights(geometry.weight_shape, dtype, 1)
    return tuple(arrays)


def normal_arrays_for(operation: str, geometry: Geometry, dtype: Any) -> Arrays:
    """Return normally distributed numbers for the arrays of an operation."""
    rng = np.random.default_rng(5)
    shapes = OPERATIONS[operation].arrays(geometry)
    return tuple(rng.standard_normal(shape).astype(dtype) for shape in shapes)


def run(
    kernel: Kernel, geometry: Geometry, arrays: Arrays, threads: int = 1, *, relu: bool = False, at: str = "end"
) -> np.ndarray:
    """Return what a kernel computes into an output full of NaN, one of whose ends is at a forbidden page."""
    dtype = arrays[0].dtype
    problem = kernel.build(geometry, dtype.itemsize, threads, relu)
    out = guarded(np.full(OPERATIONS[kernel.operation].result(geometry), np.nan, dtype), at)
    with single_threaded_blas:
        problem.run(*arrays, out, threads)
    return out


def expected(operation: str, geometry: Geometry, options: dict[str, Any], arrays: Arrays) -> np.ndarray:
    """Return what the reference computes."""
    return OPERATIONS[operation].reference(geometry, options, *arrays)


@cache
def expected_of_case(operation: str, name: str) -> np.ndarray:
    """Return the result for the integers of `arrays_for`, which is the same in both types."""
    case = ALL_CASES[name]
    geometry = geometry_of(case)
    return expected(operation, geometry, geometry_options(case), arrays_for(operation, geometry, np.float64))
