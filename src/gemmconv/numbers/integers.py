"""Integers: exact results, by floating-point numbers of which every sum is exact.

Each result is a sum of products. While no sum of some of the products exceeds 2**24, float32 holds them all, and 2**53
for float64. So the sums are exact, whatever their order. Before anything is computed, the values in the arrays give a
bound of these sums (integer_bounds.py). Where that is too large for float64, integers are cut into limbs, and the
convolutions of the limbs are added in 64 bits. That is exact modulo 2**64, so it is exact where the result fits::

    x = x[1] * 2**16 + x[0]   0 <= x[0] < 2**16   x[1] has the sign of x
    conv(x, weight) == conv(x[1], weight) * 2**16 + conv(x[0], weight)
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np

from ..checks.arrays import Array
from ..checks.geometry import Geometry
from ..checks.types import FLOAT32, FLOAT64, DType, Types, is_integer
from ..engine.algorithms import candidates
from ..engine.calls import CACHE
from .integer_bounds import Bounds, SumsOfProducts, Target, bounds_of, plain, sums_of_products

if TYPE_CHECKING:
    from .operation import Operation

# The algorithms that are exact on integers: they only multiply the numbers and add the products.
EXACT_ALGORITHMS = ("direct", "gemm")
# Up to these numbers, float32 and float64 hold all integers.
FLOAT32_INTEGERS, FLOAT64_INTEGERS = 2**24, 2**53
# The most limbs that an array needs, for any sum.
MOST_LIMBS = 8
# The elements that are converted at a time, in the caches.
ELEMENTS_AT_A_TIME = 2**15


def compute_integers(operation: Operation, types: Types, first: Array, second: Array, bias: Array | None) -> Array:
    """Compute exactly for arrays of integers, or raise if the result may not fit its type."""
    ways = "input_gradient" if operation.name == "transposed" else operation.name
    name, last = str(operation.options.algorithm), operation.channels_last
    algorithm = exact_algorithm(ways, operation.call.computed, name, last)
    first, second, bias = plain(first), plain(second), None if bias is None else plain(bias)
    products = sums_of_products(operation, first, second, bias)
    bounds = bounds_of(products, targets_of(operation, types), FLOAT32_INTEGERS)
    if bounds.sums > FLOAT64_INTEGERS:
        return compute_in_limbs(operation, algorithm, products, bounds, types.result)
    computing = FLOAT32 if bounds.sums <= FLOAT32_INTEGERS else FLOAT64
    return converted(operation.run(first, second, bias, computing=computing, algorithm=algorithm), types.result)


def targets_of(operation: Operation, types: Types) -> list[Target]:
    """Return the types that must hold the results."""
    targets, out_type = [Target("dtype", types.result)], operation.out_type
    if out_type is not None and is_integer(out_type):
        has_relu = getattr(operation.options, "activation", None) == "relu"
        targets.append(Target("out of dtype", out_type, has_relu))
    return targets


def converted(sums: Array, result: DType) -> Array:
    """Return sums in a type of integers that holds them, in the memory of `sums` if the sizes are equal.

    A second array of that size would cost more than the conversion.
    """
    if result.itemsize != sums.itemsize:
        return sums.astype(result)
    source = sums.reshape(-1)
    target = source.view(result)
    for start in range(0, source.size, ELEMENTS_AT_A_TIME):
        block = slice(start, start + ELEMENTS_AT_A_TIME)
        target[block] = source[block].astype(result)
    return target.reshape(sums.shape)


def exact_algorithm(operation: str, geometry: Geometry, name: str, channels_last: bool) -> str:
    """Return the name of the exact algorithm that is to be taken, or raise if the caller named another one."""
    if name in EXACT_ALGORITHMS:
        return name
    if name != "auto":
        raise ValueError(
            f"algorithm={name!r} does not give exact integers, because it computes with fractions; "
            "leave it out, or pass 'direct' or 'gemm'"
        )
    return fastest_exact(operation, geometry, channels_last)


@lru_cache(maxsize=CACHE)
def fastest_exact(operation: str, geometry: Geometry, channels_last: bool) -> str:
    """Return the exact algorithm that is likely to be the fastest."""
    ways = candidates(operation, geometry, promising=True, channels_last=channels_last)
    exact = [way for way in ways if way.algorithm in EXACT_ALGORITHMS]
    return min(exact, key=lambda way: way.nanoseconds + way.layout_nanoseconds).algorithm


def compute_in_limbs(
    operation: Operation, algorithm: str, products: SumsOfProducts, bounds: Bounds, result: DType
) -> Array:
    """Compute in parts, each exact in float64, and add them in 64 bits."""
    limbs, others = limb_counts(products, bounds)
    bits, other_bits = limb_bits(products.ranged.largest, limbs), limb_bits(products.summed.largest, others)
    total = np.zeros(operation.call.out_shape, np.uint64)
    for i in range(limbs):
        changes: dict[str, Any] = {"algorithm": algorithm, "computing": FLOAT64}
        if products.padding:
            changes["padding_value"] = float(limb(products.padding, i, limbs, bits))
        ranged = limb_array(products.ranged.array, i, limbs, bits)
        for j in range(others):
            summed = limb_array(products.summed.array, j, others, other_bits)
            arrays = (summed, ranged) if products.is_second_ranged else (ranged, summed)
            part = operation.run(*arrays, **changes).astype(np.int64).view(np.uint64)
            part <<= np.uint64(i * bits + j * other_bits)
            total += part
    if products.bias is not None:
        axes = () if operation.channels_last else [1] * operation.call.geometry.rank
        total += wide(products.bias).view(np.uint64).reshape(-1, *axes)
    return total.view(np.int64) if result.kind == "i" else total


def limb_counts(products: SumsOfProducts, bounds: Bounds) -> tuple[int, int]:
    """Return the numbers of limbs of `ranged` and of `summed` for which there are the fewest parts.

    Every part must be exact in float64.
    """

    def is_exact(limbs: int, others: int) -> bool:
        ranged, summed = products.ranged.largest, bounds.summed
        if limbs > 1:
            ranged = 2 ** limb_bits(ranged, limbs)
        if others > 1:
            summed = products.terms * 2 ** limb_bits(products.summed.largest, others)
        return ranged * summed <= FLOAT64_INTEGERS

    counts = range(1, MOST_LIMBS + 1)
    exact = [(limbs, others) for limbs in counts for others in counts if is_exact(limbs, others)]
    return min(exact, key=lambda pair: pair[0] * pair[1])


def limb_bits(largest: int, limbs: int) -> int:
    """Return the bits of each limb of integers with absolute values up to `largest`."""
    return -(-largest.bit_length() // limbs)


def limb_array(array: Array, i: int, limbs: int, bits: int) -> Array:
    """Return limb number i of integers, in float64; the last has their sign, and the others are not negative."""
    if limbs == 1:
        return array.astype(np.float64)
    values = wide(array)
    return np.asarray(limb(values, i, limbs, bits, values.dtype.type), np.float64)


def limb(value: Any, i: int, limbs: int, bits: int, type_: Any = int) -> Any:
    """Return limb number i of an integer, or of an array of integers of a type."""
    shifted = value >> type_(i * bits)
    return shifted if i == limbs - 1 else shifted & type_(2**bits - 1)


def wide(array: Array) -> Array:
    """Return integers in 64 bits; from 2**63 on they become negative, which is the same modulo 2**64."""
    return np.ascontiguousarray(array, np.int64)
