"""The input gradient by phases: how it is cut, and the layout of its weights. test_kernels.py has the values."""

from __future__ import annotations

import numpy as np
import pytest
from cases import STRIDED_CASES, geometry_of, integers
from guarded import guarded
from kernels_under_test import KERNELS, arrays_for, expected_of_case

from gemmconv import conv_input_gradient, reference
from gemmconv.checks.geometry import Geometry
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


def test_absurd_sizes_are_left_to_others():
    assert not PHASES.defined(Geometry.from_shapes((1, 1, 70000), (1, 1, 65537)))
    assert not PHASES.defined(Geometry.from_shapes((1, 1, 70000), (1, 1, 3), stride=5000))


@pytest.mark.parametrize(
    ("name", "blocks"), [("several_bands", 1), ("blocks_of_channels", 3), ("depthwise_stride_blocks", 3)]
)
def test_cut(name, blocks):
    geometry = geometry_of(STRIDED_CASES[name])
    assert len(cut_into_phases(geometry).blocks) >= blocks
    assert PHASES.build(geometry, 4, 1, False).task_count >= 2


def test_strides_far_beyond_the_image():
    # a million residues, nearly all without an element, are not looked at one by one
    weight = integers((2, 3, 3, 3, 3), "float32")
    gradient = integers((1, 2, 1, 1, 1), "float32", 1)
    assert not PHASES.defined(Geometry.from_shapes((1, 3, 3, 3, 3), weight.shape, stride=1000))
    expected = reference.conv_input_gradient(gradient, weight, (3, 3, 3), stride=1000)
    np.testing.assert_array_equal(conv_input_gradient(gradient, weight, (3, 3, 3), stride=1000), expected)
