"""Bounds of sums of products of integers, from the values in the arrays.

All arithmetic on bounds is done by integers of Python, or in 64 bits where that is known to be enough.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import prod
from typing import TYPE_CHECKING, NamedTuple, NoReturn

import numpy as np

from ..checks.arrays import Array
from ..checks.geometry import Geometry
from ..checks.options import padding_content
from ..checks.types import DType
from ..engine.extension import extended_from

if TYPE_CHECKING:
    from .operation import Operation

Axes = tuple[int, ...]

# The types that a message may suggest.
SUGGESTED = tuple(map(np.dtype, (np.int32, np.int64, np.uint64)))


class Side(NamedTuple):
    """One of the two arrays, with an interval that holds its values, those of its padding, and 0."""

    name: str
    array: Array
    least: int
    most: int

    @property
    def largest(self) -> int:
        """The largest absolute value."""
        return max(-self.least, self.most)


class SumsOfProducts(NamedTuple):
    """Sums of products of two arrays of integers.

    Bounds are made from the least and the largest value of `ranged` and from sums of the values of `summed`.
    """

    ranged: Side
    summed: Side
    sum_shape: tuple[int, ...]
    """The shape that the summed array is brought to."""
    sum_axes: Axes
    """The axes of this shape along which the factors of one result lie."""
    copies: int
    """How often a factor occurs in one result, at most: more than once if padding that repeats x is folded back."""
    terms: int
    """The most products in one result."""
    bias: Array | None
    padding: int
    """What the padding holds."""
    is_second_ranged: bool


class Bounds(NamedTuple):
    """What the results cannot exceed."""

    least: int
    most: int
    sums: int
    """The largest absolute value of a sum of some of the products, and of the bias."""
    summed: int
    """The largest sum of absolute values of the factors of one result, in the array that is summed."""


class Target(NamedTuple):
    """A type of integers that must hold the results."""

    name: str
    """What has this type, as a message begins."""
    type: DType
    has_relu: bool = False
    """Whether negative results become 0 before they are brought to this type."""

    def interval(self, bounds: Bounds) -> tuple[int, int]:
        """Return the least and the largest number that this type must hold."""
        return (max(bounds.least, 0), max(bounds.most, 0)) if self.has_relu else (bounds.least, bounds.most)


def plain(array: Array) -> Array:
    """Return integers of a type of NumPy."""
    return array if array.dtype.kind in "biu" else array.astype(np.int64)


def interval(array: Array, *others: int) -> tuple[int, int]:
    """Return the least and the largest of all values."""
    values = [*others, int(array.min()), int(array.max())] if array.size else [*others, 0]
    return min(values), max(values)


def sums_of_products(operation: Operation, first: Array, second: Array, bias: Array | None) -> SumsOfProducts:
    """Return the sums of products of an operation on integers."""
    geometry, copies, padding = operation.call.geometry, 1, 0
    sides = {"x": first, "weight": second}
    if operation.name == "weight_gradient":
        sides = {"x": second, "grad_output": first}
    elif operation.name == "input_gradient":
        sides = {"grad_output": first, "weight": second}
    (ranged_name, ranged), (summed_name, summed) = sides.items()
    shape, axes = summed.shape, tuple(range(1, summed.ndim))
    if operation.name == "weight_gradient":
        channels = summed.ndim - 1 if operation.channels_last else summed.ndim - geometry.rank - 1
        axes = tuple(axis for axis in range(summed.ndim) if axis != channels)
    elif operation.name != "convolution":
        groups = geometry.groups
        shape = (groups, geometry.out_channels // groups, geometry.in_channels // groups, prod(geometry.kernel))
        axes = (1, 3)
        copies = most_copies(geometry, operation.options.padding_mode)
    if operation.name in ("convolution", "weight_gradient"):
        padding = integer_padding(getattr(operation.options, "padding_value", 0))
    return SumsOfProducts(
        Side(ranged_name, ranged, *interval(ranged, 0, padding)),
        Side(summed_name, summed, *interval(summed, 0)),
        shape,
        axes,
        copies,
        copies * prod(shape[axis] for axis in axes),
        bias,
        padding,
        operation.name == "weight_gradient",
    )


def integer_padding(value: object) -> int:
    """Return the value in the padding as an integer, or raise."""
    try:
        return value.__index__()  # type: ignore[attr-defined, no-any-return]
    except (AttributeError, TypeError):
        number = float(value)  # type: ignore[arg-type]
    if not number.is_integer():
        raise ValueError(f"padding_value must be an integer for a result of integers, not {value!r}")
    return int(number)


def most_copies(geometry: Geometry, padding_mode: object) -> int:
    """Return how often an element is repeated at most, with its copies in the padding."""
    copies = 1
    for mode, size, (before, after) in zip(
        padding_content(padding_mode, 0, geometry.rank).modes, geometry.in_size[3 - geometry.rank :], geometry.pads
    ):
        if mode != "constant" and size and max(before, after) > 0:
            copies *= int(np.bincount(extended_from(np.arange(-before, size + after), size, mode), minlength=1).max())
    return copies


def bounds_of(products: SumsOfProducts, targets: Sequence[Target], exact: int) -> Bounds:
    """Return bounds of the results, or raise if a result may not fit one of the types that must hold it.

    Where bounds by the intervals of both arrays are not good enough, one array is summed. Good enough are sums up to
    `exact`.
    """
    bounds = bounds_by_intervals(products)
    if bounds.sums > exact or not all(holds(target.type, *target.interval(bounds)) for target in targets):
        bounds = bounds_by_sums(products, bounds)
    for target in targets:
        if not holds(target.type, *target.interval(bounds)):
            raise_for_bounds(products, target, *target.interval(bounds))
    return bounds


def holds(type_: DType, least: int, most: int) -> bool:
    """Return whether a type of integers holds all from `least` to `most`."""
    if type_.kind in "iu":
        limits = np.iinfo(type_)
        return bool(limits.min <= least and most <= limits.max)
    ends = np.array([max(least, -(2**63)), min(most, 2**63 - 1)])  # such as int4 of ml_dtypes, which wraps around
    return bool((ends.astype(type_).astype(np.int64) == ends).all())


def bounds_by_intervals(products: SumsOfProducts) -> Bounds:
    """Return bounds of results from the number of terms and the intervals of the factors."""
    _, _, a, b = products.ranged
    _, _, c, d = products.summed
    least, most = products.terms * min(a * d, b * c), products.terms * max(a * c, b * d)
    below, above = (0, 0) if products.bias is None else interval(products.bias)
    sums = max(most + max(above, 0), -least - min(below, 0))
    return Bounds(least + below, most + above, sums, products.terms * products.summed.largest)


def bounds_by_sums(products: SumsOfProducts, bounds: Bounds) -> Bounds:
    """Return bounds from the sums of the positive and of the negative factors of each result.

    `bounds` are those by the intervals.
    """
    factors, axes = products.summed.array.reshape(products.sum_shape), products.sum_axes
    positive, negative = (exact_sums(factors, axes, where).reshape(-1) for where in (factors > 0, factors < 0))
    if max(bounds.sums, bounds.summed) >= 2**62:
        positive, negative = positive.astype(object), negative.astype(object)
    a, b, copies = products.ranged.least, products.ranged.most, products.copies
    least, most = copies * (positive * a + negative * b), copies * (positive * b + negative * a)
    bias = np.zeros(1, np.int64) if products.bias is None else products.bias.astype(least.dtype)
    below, above = np.minimum(bias, 0), np.maximum(bias, 0)
    return Bounds(
        extreme(least + bias, min),
        extreme(most + bias, max),
        max(extreme(most + above, max), -extreme(least + below, min)),
        copies * extreme(positive - negative, max),
    )


def extreme(values: Array, choose: Callable[..., object]) -> int:
    """Return the least or the largest of integers, or 0 of none."""
    return int((values.min() if choose is min else values.max()) if values.size else 0)


def exact_sums(array: Array, axes: Axes, where: Array | bool = True) -> Array:
    """Return sums of integers of a type of NumPy: in 64 bits, or as integers of Python where 64 bits may be too few."""
    least, most = interval(array, 0)
    if prod(array.shape[axis] for axis in axes) * max(-least, most) < 2**63:
        return np.asarray(array.sum(axes, np.int64, where=where))
    values = array if array.dtype.itemsize == 8 else array.astype(np.int64)
    half = values.dtype.type(32)
    high = np.asarray((values >> half).sum(axes, np.int64, where=where))
    low = np.asarray((values & values.dtype.type(2**32 - 1)).sum(axes, np.int64, where=where))
    return np.asarray(high.astype(object) * 2**32 + low.astype(object))


def raise_for_bounds(products: SumsOfProducts, target: Target, least: int, most: int) -> NoReturn:
    """Raise for results from `least` to `most`, which may not fit their type."""
    sides = " and ".join(f"{side.name} from {side.least} to {side.most}" for side in (products.ranged, products.summed))
    raise ValueError(
        f"the result may be from {least} to {most}, which {target.name} {target.type} does not hold: up to "
        f"{products.terms} products of {sides}{hint_holding(least, most, target.name)}"
    )


def hint_holding(least: int, most: int, name: str = "dtype") -> str:
    """Return which type holds these integers; `name` as in `Target`."""
    for type_ in SUGGESTED:
        if holds(type_, least, most):
            return f"; pass dtype=numpy.{type_}" if name == "dtype" else f"; pass {name} {type_}"
    return "; no type of integers does; leave dtype out, for rounded results in float64"
