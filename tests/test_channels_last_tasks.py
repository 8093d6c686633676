"""Gradients of arrays with channels last on several threads: the number of tasks, and the same bits."""

from __future__ import annotations

import numpy as np
import pytest

from gemmconv.checks.geometry import Geometry
from gemmconv.engine.channels_last import Product, is_product, product_geometry
from gemmconv.engine.phases import cut_with_channels_last
from gemmconv.engine.tiling import TASKS_PER_THREAD
from gemmconv.engine.ways import build_phases

# Small images, which one thread computes in a task or two.
GEOMETRIES = {
    "1x1": Geometry.from_shapes((1, 256, 7, 8), (12, 256, 1, 1)),
    "1x1_stride": Geometry.from_shapes((2, 130, 9, 9), (70, 130, 1, 1), stride=2),
    "3x3_stride": Geometry.from_shapes((2, 200, 9, 8), (5, 200, 3, 3), stride=2, padding=1),
}
PRODUCTS = ("input_gradient", "weight_gradient")


def normal(*shapes: tuple[int, ...]) -> list[np.ndarray]:
    rng = np.random.default_rng(7)
    return [rng.standard_normal(shape, np.float32) for shape in shapes]


def last(shape: tuple[int, ...]) -> tuple[int, ...]:
    return (shape[0], *shape[2:], shape[1])


@pytest.mark.parametrize("name", GEOMETRIES)
def test_phases(name, isa):
    geometry = GEOMETRIES[name]
    grad_output, weight = normal(last(geometry.out_shape), geometry.weight_shape)
    cut = cut_with_channels_last(geometry)
    results, tasks = [], []
    for threads in (1, 4):
        phases = build_phases(cut, geometry, 4, threads).problem
        results.append(np.full(last(geometry.x_shape), np.nan, np.float32))
        phases.run(grad_output, weight, None, results[-1], threads)
        tasks.append(phases.task_count)
    assert tasks[1] > tasks[0]
    np.testing.assert_array_equal(*results)


@pytest.mark.parametrize("operation", PRODUCTS)
@pytest.mark.parametrize("threads", [2, 3, 6])
@pytest.mark.parametrize(
    "shape", [(64, 64, 56, 56), (32, 64, 112, 112), (128, 64, 56, 56), (64, 256, 28, 28), (9, 7, 6, 5)]
)
def test_tasks_of_products(operation, threads, shape):
    channels, outputs, *size = shape
    geometry = Geometry.from_shapes((1, channels, *size), (outputs, channels, 1, 1))
    rows = product_geometry(operation, geometry).out_channels
    product = Product(operation, geometry, 4, threads)
    assert product.tiling.block <= rows
    if product.task_count < threads * TASKS_PER_THREAD and rows >= 64:
        assert product.task_count % threads == 0


@pytest.mark.parametrize("operation", PRODUCTS)
def test_bits_of_products(operation, isa):
    geometry = Geometry.from_shapes((3, 33, 10, 11), (65, 33, 1, 1))
    assert is_product(geometry)
    shapes = last(geometry.x_shape), geometry.weight_shape
    first, second = normal(last(geometry.out_shape), shapes[operation == "input_gradient"])
    out_shape = shapes[operation != "input_gradient"]
    results, tasks = [], []
    for threads in (1, 2, 5):
        product = Product(operation, geometry, 4, threads)
        results.append(np.full(out_shape, np.nan, np.float32))
        arguments = (None, results[-1]) if operation == "input_gradient" else (results[-1],)
        product.run(first, second, *arguments, threads)
        tasks.append(product.task_count)
    assert tasks[0] < tasks[1] <= tasks[2]
    for other in results[1:]:
        np.testing.assert_array_equal(other, results[0])
