"""The gradient of the input by phases: exact on integers, the same bits however it is cut, and within its memory."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from cases import Case, integers
from guarded import guarded
from hypothesis import given
from hypothesis import strategies as st
from test_kernels import ALL_CASES, geometry_of
from test_properties import geometries

from gemmconv import conv_input_gradient, reference
from gemmconv._gemmconv import Phases
from gemmconv.checks.geometry import Geometry
from gemmconv.engine.phases import Cut, cut_into_phases

# Strides beyond the kernel, strides with a common divisor with the dilation or none, phases that read different places,
# blocks of channels, of groups and of residues, rows longer than a band, and axes of different strides.
MORE_CASES = {
    "blocks_of_channels": Case((1, 260, 9, 10), (20, 260, 3, 3), {"stride": 2, "padding": 1}),
    "whole_vectors": Case((1, 96, 12, 13), (20, 96, 3, 3), {"stride": 2, "padding": 1}),
    "whole_vectors_blocks": Case((1, 416, 6, 5), (3, 416, 2, 5), {"stride": 2, "padding": 1}),
    "whole_vectors_one_tap": Case((1, 160, 9, 9), (21, 160, 1, 1), {"stride": 2}),
    "whole_vectors_groups": Case((1, 64, 9, 9), (20, 32, 3, 3), {"groups": 2, "stride": 2}),
    "several_bands": Case((2, 70, 50, 49), (9, 70, 3, 3), {"stride": 2, "padding": 1}),
    "kernel_4": Case((1, 17, 40, 38), (5, 17, 4, 4), {"stride": 2, "padding": 1}),
    "kernel_7": Case((1, 3, 75, 74), (12, 3, 7, 7), {"stride": 2, "padding": 3}),
    "one_tap_blocks": Case((1, 300, 20, 21), (7, 300, 1, 1), {"stride": 2}),
    "long_row": Case((1, 40, 2500), (6, 40, 3), {"stride": 2}),
    "many_residues": Case((2, 1, 900), (5, 1, 100), {"stride": 40, "padding": 3}),
    "many_residues_unused": Case((1, 1, 2000), (5, 1, 70), {"stride": 100}),
    "many_residues_2d": Case((1, 2, 40, 300), (3, 2, 16, 70), {"stride": (16, 64)}),
    "stride_4": Case((1, 3, 30, 150), (4, 3, 6, 5), {"stride": 4, "padding": 2}),
    "stride_5": Case((1, 3, 30, 150), (4, 3, 3, 7), {"stride": (5, 3), "padding": 2}),
    "dilation_divides": Case((1, 6, 40, 41), (7, 6, 3, 5), {"stride": 4, "dilation": 2, "padding": 3}),
    "dilation_beyond_stride": Case((1, 6, 60, 61), (7, 6, 3, 5), {"stride": (3, 4), "dilation": (5, 6), "padding": 7}),
    "groups_stride": Case((2, 36, 21, 20), (24, 9, 3, 3), {"groups": 4, "stride": 2, "padding": 1}),
    "depthwise_stride_blocks": Case((1, 40, 60, 31), (40, 1, 3, 3), {"groups": 40, "stride": 2, "padding": 1}),
    "depthwise_row": Case((1, 9, 8, 200), (9, 1, 1, 9), {"groups": 9, "stride": 2, "padding": (0, 4)}),
    "depthwise_long": Case((1, 9, 3000), (9, 1, 31), {"groups": 9, "stride": 2, "padding": 15}),
    "padded_depth": Case((1, 1, 1, 2, 9), (2, 1, 1, 3, 3), {"stride": (1, 2, 2), "padding": ((1, 0), (1, 1), (1, 1))}),
    "stride_of_depth": Case((1, 5, 9, 8, 7), (6, 5, 3, 3, 3), {"stride": (3, 1, 2), "padding": 1}),
}
CASES = {**ALL_CASES, **MORE_CASES}


def cut_of(geometry: Geometry) -> Cut:
    cut = cut_into_phases(geometry)
    assert cut is not None
    return cut


def data_of(geometry: Geometry, dtype: Any) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the gradient of the output, weight and a bias as small integers."""
    shapes = geometry.out_shape, geometry.weight_shape, (geometry.in_channels,)
    grad_output, weight, bias = (integers(shape, dtype, seed) for seed, shape in enumerate(shapes))
    return grad_output, weight, bias


def compute(geometry: Geometry, grad_output: Any, weight: Any, bias: Any = None, threads: int = 1) -> np.ndarray:
    """Return the gradient of the input, in an array that was full of NaN."""
    phases = Phases(geometry, weight.itemsize, cut_of(geometry))
    out = guarded(np.full(geometry.x_shape, np.nan, weight.dtype))
    phases.run(grad_output, weight, bias, out, threads)
    return out


def expected_of(geometry: Geometry, grad_output: Any, weight: Any, options: dict[str, Any]) -> np.ndarray:
    size = geometry.x_shape[2:]
    return reference.conv_input_gradient(grad_output, weight, size, **options)


def options_of(case: Case) -> dict[str, Any]:
    return {name: value for name, value in case.options.items() if name != "flip"}


@pytest.mark.parametrize("name", CASES)
def test_exact(name, dtype, isa):
    geometry = geometry_of(CASES[name])
    grad_output, weight, bias = data_of(geometry, dtype)
    expected = expected_of(geometry, grad_output, weight, options_of(CASES[name]))
    np.testing.assert_array_equal(compute(geometry, guarded(grad_output), guarded(weight)), expected)
    actual = compute(geometry, guarded(grad_output, "begin"), guarded(weight, "begin"), guarded(bias), threads=2)
    np.testing.assert_array_equal(actual, expected + bias.reshape(-1, *[1] * geometry.rank))


@given(geometries(), st.sampled_from(["float32", "float64"]))
def test_exact_for_drawn_geometries(drawn, dtype):
    x_shape, weight_shape, options = drawn
    geometry = Geometry.from_shapes(x_shape, weight_shape, **options)
    grad_output, weight, bias = data_of(geometry, dtype)
    expected = expected_of(geometry, grad_output, weight, options) + bias.reshape(-1, *[1] * geometry.rank)
    np.testing.assert_array_equal(compute(geometry, grad_output, weight, bias), expected)
    assert Phases(geometry, 8, cut_of(geometry)).scratch_bytes <= 2 << 20


@pytest.mark.parametrize("name", CASES)
def test_same_bits_for_threads_and_batch(name, isa):
    geometry = geometry_of(CASES[name])
    rng = np.random.default_rng(0)
    grad_output = rng.standard_normal((3, *geometry.out_shape[1:]), np.float32)
    weight = rng.standard_normal(geometry.weight_shape, np.float32)
    three, one = (
        Geometry.from_shapes((n, *geometry.x_shape[1:]), weight.shape, **options_of(CASES[name])) for n in (3, 1)
    )
    together = compute(three, grad_output, weight)
    np.testing.assert_array_equal(compute(three, grad_output, weight, threads=3), together)
    for image, result in zip(grad_output, together):
        np.testing.assert_array_equal(compute(one, image[np.newaxis].copy(), weight)[0], result)


@pytest.mark.parametrize("name", CASES)
def test_scratch_is_bounded(name):
    geometry = geometry_of(CASES[name])
    assert Phases(geometry, 8, cut_of(geometry)).scratch_bytes <= 2 << 20


@given(
    st.sampled_from([(1, 3000), (512, 512), (4000, 40), (64, 2048), (1, 1)]),
    st.sampled_from([(4096,), (40, 50), (300, 7), (7, 400), (9, 30, 40)]),
    st.integers(1, 40),
    st.integers(1, 9),
    st.integers(1, 9),
)
def test_scratch_is_bounded_for_large_geometries(channels, size, kernel, stride, dilation):
    rank = len(size)
    kernel = min(kernel, 9 if rank > 1 else 40)
    sizes = [max(n, dilation * (kernel - 1) + 1) for n in size]
    geometry = Geometry.from_shapes(
        (1, channels[0], *sizes), (channels[1], channels[0], *[kernel] * rank), stride=stride, dilation=dilation
    )
    cut = cut_into_phases(geometry)
    assert cut is None or Phases(geometry, 8, cut).scratch_bytes <= 2 << 20


def test_weights_are_laid_out_once():
    geometry = geometry_of(MORE_CASES["several_bands"])
    grad_output, weight, _ = data_of(geometry, "float32")
    phases = Phases(geometry, 4, cut_of(geometry))
    layout = phases.lay_out(weight, threads=2)
    outs = [np.full(geometry.x_shape, np.nan, np.float32) for _ in range(2)]
    for out in outs:
        phases.run(grad_output, layout, None, out)
        np.testing.assert_array_equal(out, compute(geometry, grad_output, weight))
    with pytest.raises(ValueError, match="a layout of"):
        Phases(geometry, 8, cut_of(geometry)).run(
            grad_output.astype("float64"), layout, None, np.empty(geometry.x_shape)
        )


def test_stacked_weights_of_stride_1_are_turned(dtype):
    geometry = geometry_of(Case((1, 40, 9, 9), (34, 20, 3, 2), {"groups": 2}))
    _, weight, _ = data_of(geometry, dtype)
    phases = Phases(geometry, weight.itemsize, cut_of(geometry))
    stacked = np.full((40, 17, 3, 2), np.nan, dtype)
    phases.stack(weight, stacked, threads=2)
    turned = weight.reshape(2, 17, 20, 3, 2).swapaxes(1, 2)[..., ::-1, ::-1].reshape(40, 17, 3, 2)
    np.testing.assert_array_equal(stacked, turned)


def test_absurd_sizes_are_left_to_others():
    assert cut_into_phases(Geometry.from_shapes((1, 1, 70000), (1, 1, 65537))) is None
    assert cut_into_phases(Geometry.from_shapes((1, 1, 70000), (1, 1, 3), stride=5000)) is None


@pytest.mark.parametrize(
    ("name", "blocks"), [("several_bands", 1), ("blocks_of_channels", 3), ("depthwise_stride_blocks", 3)]
)
def test_cut(name, blocks):
    geometry = geometry_of(MORE_CASES[name])
    cut = cut_of(geometry)
    assert len(cut.blocks) >= blocks
    assert Phases(geometry, 4, cut).task_count >= 2


def test_strides_far_beyond_the_image():
    # a million residues, nearly all without an element, are not looked at one by one
    weight = integers((2, 3, 3, 3, 3), "float32")
    gradient = integers((1, 2, 1, 1, 1), "float32", 1)
    assert cut_into_phases(Geometry.from_shapes((1, 3, 3, 3, 3), weight.shape, stride=1000)) is None
    expected = reference.conv_input_gradient(gradient, weight, (3, 3, 3), stride=1000)
    np.testing.assert_array_equal(conv_input_gradient(gradient, weight, (3, 3, 3), stride=1000), expected)
