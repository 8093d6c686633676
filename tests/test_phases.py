"""The input gradient by phases: how it is cut, and the layout of its weights. test_kernels.py has the values."""

from __future__ import annotations

from itertools import product
from math import prod

import numpy as np
import pytest
from cases import STRIDED_CASES, geometry_of, integers
from comparisons import assert_equal
from guarded import guarded
from instruction_sets import ISAS, select_isa
from kernels_under_test import KERNELS, LARGEST_SCRATCH, arrays_for, expected_of_case, run

from gemmconv import conv_input_gradient, reference
from gemmconv.checks.geometry import Geometry
from gemmconv.engine.algorithms import defined_algorithms
from gemmconv.engine.phases import cut_into_phases

PHASES = KERNELS["input_gradient-direct-phases"]


def test_weights_are_laid_out_once():
    geometry = geometry_of(STRIDED_CASES["several_bands"])
    grad_output, weight, bias_of_case = arrays_for(PHASES.operation, geometry, "float32")
    phases = PHASES.build(geometry, 4, 1, False)
    layout = phases.lay_out(weight, threads=2)
    bias = np.zeros(geometry.in_channels, np.float32)
    biased = expected_of_case("input_gradient", "strided_several_bands")
    expected = biased - bias_of_case.reshape(-1, 1, 1)
    for given_bias in (None, bias):
        out = guarded(np.full(geometry.x_shape, np.nan, np.float32))
        phases.run(grad_output, layout, given_bias, out)
        np.testing.assert_array_equal(out, expected)
    with pytest.raises(ValueError, match="a layout of"):
        PHASES.build(geometry, 8, 1, False).run(grad_output.astype("float64"), layout, None, np.empty(geometry.x_shape))


@pytest.mark.parametrize("name", STRIDED_CASES)
def test_defined_for_every_strided_case(name):
    assert PHASES.defined(geometry_of(STRIDED_CASES[name]))


# Kernels and strides far beyond those of cases.py.
FAR_GEOMETRIES = {
    "long_kernel": Geometry.from_shapes((1, 1, 66000), (1, 1, 65537), stride=17),
    "long_kernel_of_channels": Geometry.from_shapes((1, 16, 33500), (3, 16, 33000), stride=999),
    "long_stride": Geometry.from_shapes((1, 1, 30000), (1, 1, 7), stride=5000),
    "stride_longer_than_a_block": Geometry.from_shapes((2, 3, 20000), (2, 3, 9000), stride=9500, padding=3),
    "groups": Geometry.from_shapes((1, 3, 20000), (3, 1, 10), stride=9500, groups=3),
    "stride_beyond_the_image": Geometry.from_shapes((1, 3, 3, 3, 3), (2, 3, 3, 3, 3), stride=1000),
    "many_phases": Geometry.from_shapes((1, 1, 800, 800), (2, 1, 390, 390), stride=400),
    "cropped": Geometry.from_shapes((1, 2, 90, 95), (2, 2, 30, 9), stride=(37, 40), padding=-3),
}


@pytest.mark.parametrize("name", FAR_GEOMETRIES)
def test_far_geometries(name):
    geometry = FAR_GEOMETRIES[name]
    gradient, weight = integers(geometry.out_shape, "float64", 1), integers(geometry.weight_shape, "float64")
    options = {"stride": geometry.stride, "padding": geometry.pad_before, "groups": geometry.groups}
    options = {name: value[3 - geometry.rank :] if name != "groups" else value for name, value in options.items()}
    expected = reference.conv_input_gradient(gradient, weight, geometry.x_shape[2:], **options)
    for dtype, (threads, at) in product(("float32", "float64"), ((1, "end"), (2, "start"))):
        arrays = (*(guarded(array.astype(dtype), at) for array in (gradient, weight)), None)
        for isa in ISAS:
            select_isa(isa)
            assert_equal(run(PHASES, geometry, arrays, threads, at=at), expected, dtype, isa, at)
    assert PHASES.build(geometry, 8, 1, False).scratch_bytes <= LARGEST_SCRATCH


def test_absurd_strides_are_left_to_others():
    assert not PHASES.defined(Geometry.from_shapes((1, 1, 3), (1, 1, 3), stride=2**21))


@pytest.mark.parametrize(
    ("name", "blocks"), [("several_bands", 1), ("blocks_of_channels", 3), ("depthwise_stride_blocks", 3)]
)
def test_cut(name, blocks):
    geometry = geometry_of(STRIDED_CASES[name])
    assert len(cut_into_phases(geometry).blocks) >= blocks
    assert PHASES.build(geometry, 4, 1, False).task_count >= 2


STRIDES = [(1, 1, 1), (1, 70, 3), (7, 90, 1), (2, 5, 6), (64, 1, 1), (1, 1, 64), (1, 5000, 1)]
DILATIONS = [(1, 1, 1), (1, 1, 33), (5, 7, 11), (13, 1, 1)]


def test_the_rule_in_the_message():
    """What the message of an undefined algorithm asks for is enough for "direct" to be defined."""
    for stride, dilation in product(STRIDES, DILATIONS):
        pairs = list(zip(stride, dilation))
        if prod(stride) <= 64 or all(1 in pair for pair in pairs):
            x_shape = (1, 2, *[4 * d + 1 + 2 * s for s, d in pairs])
            geometry = Geometry.from_shapes(x_shape, (2, 2, 5, 5, 5), stride=stride, dilation=dilation)
            assert "direct" in defined_algorithms(geometry, "input_gradient"), (stride, dilation)


def test_the_message_of_what_is_not_defined():
    message = "only 'gemm', 'fft' and 'auto'; rule: along each axis a stride or a dilation of 1, or strides whose"
    weight, options = np.ones((1, 1, 70, 70)), {"stride": 71, "dilation": 70}
    with pytest.raises(ValueError, match=message):
        conv_input_gradient(np.ones((1, 1, 1)), weight, (4900, 4900), **options, algorithm="direct")
