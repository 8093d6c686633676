"""The ways for arrays with channels last: by kernels that take them as they are, by products of matrices, by copies."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from math import prod

from ..checks.geometry import Geometry
from . import costs
from .channels_last import Product, is_product, moves_of_x, moves_of_y, product_geometry
from .counts import Counts
from .kernels import CHANNELS_LAST, WEIGHT_GRADIENT_CHANNELS_LAST, Kernel, that_fit
from .phases import cut_with_channels_last
from .ways import Built, Way, build_weight_gradient, turned_way, way_of, ways_by_phases, ways_of_kernels


def with_channels_last(
    operation: str, geometry: Geometry, ways: list[Way], kernels: tuple[Kernel, ...] = CHANNELS_LAST
) -> list[Way]:
    """Return the ways for arrays with channels last: those of kernels that take them, and the others by copies."""
    one = replace(geometry, batch=1)
    elements = sum([prod(step) for step in (*moves_of_x(one), *moves_of_y(one))])
    moved: costs.Work = (("moving", costs.moving(elements)),)
    native: list[Way] = []
    if operation == "convolution":
        native = ways_of_kernels(kernels, one)
    elif operation == "input_gradient" and kernels:
        native = ways_by_phases(one, cut_with_channels_last(one))
        if one.stride == (1, 1, 1):
            turned = one.turned()
            native += [turned_way(way, turned) for way in ways_of_kernels(kernels, turned) if way.algorithm != "direct"]
    elif operation == "weight_gradient" and kernels:
        native = [
            way_of(kernel, Counts(geometry), partial(build_weight_gradient, kernel, channels_last=True))
            for kernel in that_fit(WEIGHT_GRADIENT_CHANNELS_LAST, geometry, channels_last=True)
        ]
    if operation != "convolution" and kernels and is_product(geometry):
        native.append(way_of_product(operation, geometry))
    names = {way.name for way in native if way.kernel != "phases"}  # by copies, phases have other classes
    copied = [
        way._replace(nanoseconds=way.nanoseconds + costs.nanoseconds(moved), work=(*way.work, *moved), by_copies=True)
        for way in ways
        if way.name not in names
    ]
    return [*native, *copied]


def way_of_product(operation: str, geometry: Geometry) -> Way:
    """Return the way to compute a gradient of arrays with channels last that is a product of matrices."""
    one = replace(geometry, batch=1)
    work: costs.Work = (("panels", costs.panels(Counts(product_geometry(operation, one)))),)
    if one.stride != (1, 1, 1):
        work = (*work, ("moving", costs.moving(prod(one.x_shape))))
    names = "gemm", "panels", "the product of two of the arrays, in registers"
    return Way(*names, costs.nanoseconds(work), partial(build_product, operation), work, lambda: ())


def build_product(operation: str, geometry: Geometry, itemsize: int, threads: int = 1) -> Built:
    """Return the object that computes a gradient as a product of matrices."""
    product = Product(operation, geometry, itemsize, threads)
    return Built(product, product.tiling, limits_blas=False)
