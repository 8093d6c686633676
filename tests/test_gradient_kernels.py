"""The kernels of gradients, each by itself: exact between forbidden pages, within their memory and their error."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from cases import integers
from guarded import guarded
from hypothesis import given
from hypothesis import strategies as st
from test_gradients import data_of, options_of
from test_kernels import ALL_CASES, geometry_of
from test_properties import geometries

from gemmconv import reference
from gemmconv._gemmconv import InputGradient, Phases
from gemmconv.checks.geometry import Geometry
from gemmconv.engine.blas import single_threaded_blas
from gemmconv.engine.gradient_algorithms import WEIGHT_GRADIENT_METHODS, input_gradient_ways, weight_gradient_problem
from gemmconv.engine.phases import cut_into_phases
from gemmconv.engine.tiling import PATHS, choose_input_gradient_tiling
from gemmconv.turned import turned_weight

KERNELS = {method.kernel: method for method in WEIGHT_GRADIENT_METHODS}


def defined_weight_gradients():
    return [
        pytest.param(kernel, name, id=f"{kernel}-{name}")
        for kernel, method in KERNELS.items()
        for name, case in ALL_CASES.items()
        if geometry_of(case).batch and method.defined(geometry_of(case))
    ]


def weight_gradient(kernel, geometry, g, x, threads=1):
    """Return what one kernel computes into an output full of NaN between forbidden pages."""
    problem, _ = weight_gradient_problem(KERNELS[kernel], geometry, x.itemsize)
    out = guarded(np.full(geometry.weight_shape, np.nan, x.dtype))
    with single_threaded_blas:
        problem.run(g, x, out, threads)
    return out


@pytest.mark.parametrize(("kernel", "name"), defined_weight_gradients())
def test_weight_gradient_between_forbidden_pages(kernel, name, dtype, isa):
    case = ALL_CASES[name]
    x, weight, g = data_of(case, dtype)
    expected = reference.conv_weight_gradient(g, x, weight.shape[2:], **options_of(case))
    for at in ("end", "start"):
        out = weight_gradient(kernel, geometry_of(case), guarded(g, at), guarded(x, at), threads=3)
        np.testing.assert_array_equal(out, expected)


@given(geometries(), st.sampled_from(sorted(KERNELS)), st.sampled_from(["float32", "float64"]))
def test_weight_gradient_for_drawn_geometries(drawn, kernel, dtype):
    x_shape, weight_shape, options = drawn
    geometry = Geometry.from_shapes(x_shape, weight_shape, **options)
    if not geometry.batch or not KERNELS[kernel].defined(geometry):
        return
    x, g = integers(x_shape, dtype), integers(geometry.out_shape, dtype, 2)
    out = weight_gradient(kernel, geometry, guarded(g), guarded(x))
    np.testing.assert_array_equal(out, reference.conv_weight_gradient(g, x, weight_shape[2:], **options))


@pytest.mark.parametrize("name", ALL_CASES)
def test_input_gradient_between_forbidden_pages(name, dtype, isa):
    case = ALL_CASES[name]
    x, weight, g = data_of(case, dtype)
    geometry = geometry_of(case)
    size = x.shape[2 - weight.ndim :]
    bias = integers((geometry.in_channels,), dtype, 5)
    expected = reference.conv_input_gradient(g, weight, size, **options_of(case))
    biased = expected + bias.reshape(-1, *[1] * len(size))
    for way in input_gradient_ways(geometry):
        problem, _ = way.build(geometry, dtype.itemsize, 3)
        for at in ("end", "start"):
            for given_bias, result in ((None, expected), (guarded(bias, at), biased)):
                out = guarded(np.full(x.shape, np.nan, dtype), at)
                with single_threaded_blas:
                    problem.run(guarded(g, at), guarded(weight, at), given_bias, out, 3)
                np.testing.assert_array_equal(out, result)


@pytest.mark.parametrize("name", ALL_CASES)
def test_memory_is_bounded(name):
    geometry = geometry_of(ALL_CASES[name])
    for itemsize in (4, 8):
        for way in input_gradient_ways(geometry):
            assert way.build(geometry, itemsize, 8)[0].scratch_bytes <= 2 * 2**20
        for method in KERNELS.values():
            if geometry.batch and method.defined(geometry):
                problem, _ = weight_gradient_problem(method, geometry, itemsize)
                assert problem.scratch_bytes <= 2 * 2**20
                assert problem.parts_bytes <= 2**18 * itemsize


@pytest.mark.parametrize("name", ALL_CASES)
def test_turned_weights(name, dtype):
    # those of the C layer are those of NumPy
    geometry = replace(geometry_of(ALL_CASES[name]), stride=(1, 1, 1), batch=1)
    weight = integers(geometry.weight_shape, dtype)
    cut = cut_into_phases(geometry)
    stacked = np.full(weight.size, np.nan, dtype)
    Phases(geometry, dtype.itemsize, cut).stack(weight, stacked, 3)
    np.testing.assert_array_equal(stacked, turned_weight(weight, geometry.groups).ravel())


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize(
    ("x_shape", "weight_shape", "stride"),
    [
        ((1, 1, 200_000), (1, 1, 30_000), 2),
        ((1, 1, 28, 28), (1, 1, 7, 7), 1),
        ((1, 2048, 14, 14), (512, 2048, 5, 5), 1),
        ((1, 4096, 14, 14), (1, 4096, 7, 7), 2),
        ((1, 64, 200, 200), (64, 64, 100, 100), 1),
    ],
)
def test_memory_is_bounded_on_every_path(x_shape, weight_shape, stride, path):
    geometry = Geometry.from_shapes(x_shape, weight_shape, stride=stride)
    for itemsize in (4, 8):
        tiling = choose_input_gradient_tiling(geometry, itemsize, path)
        assert InputGradient(geometry, itemsize, tiling).scratch_bytes <= 2 * 2**20


def test_large_layers_have_many_tasks():
    for x, weight in (((1, 64, 56, 56), (256, 64, 3, 3)), ((1, 1024, 14, 14), (256, 1024, 1, 1))):
        geometry = Geometry.from_shapes(x, weight, padding=weight[2] // 2)
        for method in KERNELS.values():
            assert weight_gradient_problem(method, geometry, 4)[0].task_count >= 12


@pytest.mark.parametrize("kernel", KERNELS)
def test_several_parts(kernel, dtype):
    geometry = Geometry.from_shapes((7, 8, 60, 50), (20, 8, 3, 3), padding=1)
    problem, _ = weight_gradient_problem(KERNELS[kernel], geometry, dtype.itemsize)
    assert problem.parts > 1
    assert problem.task_count >= 3
    x, g = integers(geometry.x_shape, dtype, 1), integers(geometry.out_shape, dtype, 2)
    expected = reference.conv_weight_gradient(g, x, (3, 3), padding=1)
    np.testing.assert_array_equal(weight_gradient(kernel, geometry, g, x, threads=2), expected)


@pytest.mark.parametrize("kernel", KERNELS)
def test_weight_gradient_error_bound(kernel, dtype):
    # 3 images of 2500 positions: by the bound that conv_weight_gradient states, with tiles of at most 4096
    rng = np.random.default_rng(10)
    geometry = Geometry.from_shapes((3, 4, 50, 50), (6, 4, 3, 3), padding=1)
    x = (rng.standard_normal(geometry.x_shape) + 3).astype(dtype)
    g = (rng.standard_normal(geometry.out_shape) - 2).astype(dtype)
    exact = reference.conv_weight_gradient(g.astype("f8"), x.astype("f8"), (3, 3), padding=1)
    size = reference.conv_weight_gradient(abs(g), abs(x), (3, 3), padding=1)
    error = abs(weight_gradient(kernel, geometry, g, x) - exact)
    slack = 1 if dtype == np.float32 else 2  # the reference's own error
    assert (error <= slack * (4096 + 34) * np.finfo(dtype).eps * size).all()


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("value", [np.inf, np.nan])
def test_what_is_not_finite_reaches_only_the_taps_that_read_it(kernel, value, dtype, isa):
    x, g = integers((1, 2, 9, 20), dtype), integers((1, 3, 3, 7), dtype, 1)
    x[0, 1, 8, 19] = value  # in the unused tail: stride 3 leaves the last row and column out
    geometry = Geometry.from_shapes(x.shape, (3, 2, 2, 2), stride=3)
    expected = integers(x.shape, dtype)
    expected = reference.conv_weight_gradient(g, expected, (2, 2), stride=3)
    np.testing.assert_array_equal(weight_gradient(kernel, geometry, g, x), expected)
    x[0, 1, 8, 19], x[0, 0, 4, 4] = 0, value  # the second tap of both axes alone reads it
    actual = weight_gradient(kernel, geometry, g, x)
    touched = np.zeros(actual.shape, bool)
    touched[:, 0, 1, 1] = True
    np.testing.assert_array_equal(actual[~touched], expected[~touched])
    assert not np.isfinite(actual[touched]).any()
