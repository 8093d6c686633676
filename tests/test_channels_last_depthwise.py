"""Arrays with channels last and one channel per group: every way to cut depthwise_channels, and the gradients."""

from __future__ import annotations

import numpy as np
import pytest
from cases import integers
from guarded import guarded
from kernels_under_test import LARGEST_SCRATCH, arrays_for
from test_channels_last import last, native_ways, same

from gemmconv import Plan, conv_input_gradient, num_threads, reference
from gemmconv.checks.geometry import Geometry
from gemmconv.engine.normal_form import normal_form

DEPTHWISE_SHAPES = {
    "three_channels": ((2, 3, 9, 50), (3, 3), {"padding": 1}),
    "three_channels_dilated": ((1, 3, 12, 33), (3, 5), {"padding": (4, 6), "dilation": 3, "stride": (2, 1)}),
    "columns_of_few_channels": ((1, 7, 9000), (5,), {"padding": 2}),
    "columns_that_leave_few": ((1, 1, 262147), (3,), {"padding": 1}),
    "part_of_a_block": ((1, 21, 8, 19), (3, 3), {"padding": 1, "stride": 2}),
    "a_last_share_of_one_lane": ((2, 193, 8, 14), (3, 3), {"padding": 1}),
    "a_last_share_of_half_a_vector": ((1, 200, 14, 14), (3, 3), {"padding": 1}),
    "a_last_share_in_place": ((1, 3841, 3, 5), (3, 3), {"padding": 1, "stride": 2}),
    "one_tap_of_a_long_row": ((1, 3, 100000), (1,), {}),
    "several_shares": ((1, 600, 7, 9), (3, 3), {"padding": 1, "stride": 2}),
    "taps_in_padding_only": ((1, 18, 3, 4), (2, 4), {"padding": 7, "dilation": 5}),
    "packed_shares": ((1, 1024, 7, 7), (3, 3), {"padding": 1, "stride": (1, 2)}),
    "bands_of_packed_shares": ((1, 80, 100, 30), (5, 5), {"padding": 2}),
    "columns_in_place": ((1, 16, 40000), (9,), {"padding": 4, "stride": 2}),
}


@pytest.mark.parametrize("name", DEPTHWISE_SHAPES)
def test_depthwise_channels(name, isa):
    shape, kernel, options = DEPTHWISE_SHAPES[name]
    channels, rank = shape[1], len(kernel)
    geometry = Geometry.from_shapes(shape, (channels, 1, *kernel), groups=channels, **options)
    way = next(way for way in native_ways("convolution", geometry) if way.kernel == "depthwise_channels")
    for dtype, at in ("float32", "end"), ("float64", "start"):
        x, weight = integers(shape, dtype, 1), integers((channels, 1, *kernel), dtype, 2)
        bias = integers((channels,), dtype, 3)
        expected = last(np.maximum(reference.conv(x, weight, bias, groups=channels, **options), 0), rank)
        problem = way.build(geometry, np.dtype(dtype).itemsize, 2, relu=True).problem
        arrays = guarded(last(x, rank), at), guarded(weight, at), guarded(bias, at)
        out = guarded(np.full(expected.shape, np.nan, dtype), at)
        problem.run(*arrays, out, 2)
        same(out, expected)
        assert problem.scratch_bytes <= LARGEST_SCRATCH


# Their phases are convolutions by depthwise_channels, which write every other element: of few channels, and in place.
@pytest.mark.parametrize(("channels", "stride"), [(3, 2), (3, (2, 1)), (5, (1, 3)), (21, 2), (40, (1, 2))])
def test_input_gradients_of_depthwise_layers(channels, stride, isa):
    options = {"padding": 1, "stride": stride, "groups": channels}
    geometry = Geometry.from_shapes((1, channels, 7, 120), (channels, 1, 3, 3), **options)
    way = next(way for way in native_ways("input_gradient", geometry) if way.kernel == "phases")
    for dtype, at in ("float32", "end"), ("float64", "start"):
        g, weight, _ = arrays_for("input_gradient", geometry, dtype)
        expected = last(reference.conv_input_gradient(g, weight, (7, 120), **options), 2)
        problem = way.build(geometry, np.dtype(dtype).itemsize, 2).problem
        out = guarded(np.full(expected.shape, np.nan, dtype), at)
        problem.run(guarded(last(g, 2), at), guarded(weight, at), None, out, 2)
        same(out, expected)


@pytest.mark.parametrize("shape", [(3, 200, 240, 3), (3, 28, 28, 256), (3, 14, 14, 512)])
@pytest.mark.parametrize("stride", [1, 2])
def test_bits_do_not_depend_on_batch_or_threads(shape, stride, isa):
    rng = np.random.default_rng(3)
    x = rng.standard_normal(shape).astype(np.float32)
    weight = rng.standard_normal((shape[-1], 1, 3, 3)).astype(np.float32)
    options = {"stride": stride, "padding": 1, "groups": shape[-1], "channels_last": True}
    plan = Plan(weight, input_size=shape[1:3], **options, algorithm="direct")
    whole = plan(x)
    with num_threads(2):
        same(plan(x), whole)
    same(plan(x[1]), whole[1])


@pytest.mark.parametrize("channels_last", [False, True])
def test_gradients_of_strided_depthwise(channels_last, dtype, isa):
    """Channels in the lanes: with channels first the arrays are copied."""
    g, weight = integers((2, 70, 9, 9), dtype, 1), integers((70, 1, 3, 3), dtype, 2)
    expected = reference.conv_input_gradient(g, weight, (17, 18), stride=2, padding=1, groups=70)
    arrange = (lambda array: last(array, 2)) if channels_last else (lambda array: array)
    out = np.full(arrange(expected).shape, np.nan, dtype)
    options = {"stride": 2, "padding": 1, "groups": 70, "channels_last": channels_last}
    conv_input_gradient(arrange(g), weight, (17, 18), **options, out=out)
    same(out, arrange(expected))
    weight[3, 0, 0, 0] = np.inf  # in the definition, the padding is not multiplied
    with np.errstate(invalid="ignore"):
        expected = reference.conv_input_gradient(g, weight, (17, 18), stride=2, padding=1, groups=70)
    same(conv_input_gradient(arrange(g), weight, (17, 18), **options), arrange(expected))


@pytest.mark.parametrize(
    ("x_shape", "kernel", "options"),
    [
        ((3, 9, 8, 200), (3, 3), {"padding": 1}),
        ((2, 11, 10, 33), (5, 7), {"stride": 2, "padding": (2, 3)}),
        ((1, 4, 600, 3), (1, 5), {"stride": (1, 2), "dilation": (1, 3)}),
        ((2, 5, 4, 6, 17), (2, 2, 3), {"padding": 1, "dilation": (1, 2, 2)}),
    ],
)
def test_weight_gradients_of_depthwise(x_shape, kernel, options, dtype, isa):
    """One way has the channels in the lanes. Its bits do not depend on the threads, and it reads inside the arrays."""
    channels, weight_shape = x_shape[-1], (x_shape[-1], 1, *kernel)
    x, options = integers(x_shape, dtype, 2), {"groups": x_shape[-1], **options}
    first_shape = x_shape[0], channels, *x_shape[1:-1]
    geometry = normal_form(Geometry.from_shapes(first_shape, weight_shape, **options))
    (way,) = [way for way in native_ways("weight_gradient", geometry) if way.kernel == "weight_gradient_depthwise"]
    problem = way.build(geometry, dtype.itemsize).problem
    g = integers(reference.conv(x, np.ones(weight_shape), **options, channels_last=True).shape, dtype, 1)
    expected = reference.conv_weight_gradient(g, x, kernel, channels_last=True, **options)
    for at in "start", "end":
        out = guarded(np.full(expected.shape, np.nan, dtype), at)
        problem.run(guarded(g, at), guarded(x, at), out)
        same(out, expected)
    rng = np.random.default_rng(3)
    g, x = rng.standard_normal(g.shape).astype(dtype), rng.standard_normal(x.shape).astype(dtype)
    alone, shared = np.empty_like(out), np.empty_like(out)
    problem.run(g, x, alone)
    problem.run(g, x, shared, 3)
    same(shared, alone)
    x[0, 0, 1, ..., 2] = np.inf  # only the taps that read it are not finite
    problem.run(g, x, out)
    with np.errstate(invalid="ignore"):
        expected = reference.conv_weight_gradient(g, x, kernel, channels_last=True, **options)
    same(np.isfinite(out), np.isfinite(expected))
