"""Geometry: padding, output sizes, and a clear error for everything that does not fit."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

import gemmconv
from gemmconv import output_size, resolve_padding
from gemmconv.checks.geometry import Geometry

# --- resolve_padding -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("padding", "expected"),
    [
        (0, ((0, 0), (0, 0))),
        (2, ((2, 2), (2, 2))),
        (-1, ((-1, -1), (-1, -1))),
        ((1, 2), ((1, 1), (2, 2))),
        ([1, 2], ((1, 1), (2, 2))),
        (((1, 2), (3, -4)), ((1, 2), (3, -4))),
        ((1, (3, 4)), ((1, 1), (3, 4))),
        (np.array([[1, 2], [3, 4]]), ((1, 2), (3, 4))),
        (np.int64(3), ((3, 3), (3, 3))),
        ("valid", ((0, 0), (0, 0))),
        ("same", ((1, 1), (1, 2))),
        ("same_lower", ((1, 1), (2, 1))),
        ("full", ((2, 2), (3, 3))),
    ],
)
def test_forms_of_padding(padding, expected):
    assert resolve_padding(padding, (10, 11), (3, 4)) == expected


def test_causal_padding():
    assert resolve_padding("causal", (10,), (3,), dilation=4) == ((8, 0),)
    with pytest.raises(ValueError, match="'causal' is for 1-D convolutions; this one has 2"):
        resolve_padding("causal", (10, 10), (3, 3))


@pytest.mark.parametrize("name", ["same", "same_lower"])
def test_same_gives_a_stride_th_of_the_input(name):
    for size, kernel, stride, dilation in itertools.product(range(1, 12), range(1, 5), range(1, 6), range(1, 4)):
        options = {"stride": stride, "dilation": dilation}
        (pads,) = resolve_padding(name, (size,), (kernel,), **options)
        assert min(pads) >= 0
        assert pads[1] - pads[0] in ((0, 1) if name == "same" else (0, -1))
        assert output_size((size,), (kernel,), padding=name, **options) == (-(-size // stride),)
        # and it is the smallest padding that does
        total = sum(pads)
        if total:
            smaller = ((0, total - 1),)
            short = size + total - 1 < (kernel - 1) * dilation + 1
            assert short or output_size((size,), (kernel,), padding=smaller, **options)[0] < -(-size // stride)


def test_output_size_counts_positions():
    for size, kernel, stride, pads, dilation in itertools.product(
        range(1, 9), range(1, 4), range(1, 4), [(0, 0), (1, 3), (-1, 2)], range(1, 4)
    ):
        padded = range(-pads[0], size + pads[1])
        starts = [i for i in padded if i + (kernel - 1) * dilation in padded][::stride]
        arguments = {"stride": stride, "padding": (pads,), "dilation": dilation}
        if starts:
            assert output_size((size,), (kernel,), **arguments) == (len(starts),)
        else:
            with pytest.raises(ValueError, match="the kernel covers"):
                output_size((size,), (kernel,), **arguments)


def test_output_size_of_known_layers():
    assert output_size((224, 224), (7, 7), stride=2, padding=3) == (112, 112)
    assert output_size((160_000,), (10,), stride=5) == (31_999,)
    assert output_size((4, 9, 16), 3, padding="same", stride=(1, 2, 3)) == (4, 5, 6)


# --- errors: the argument, the value, the rule -----------------------------------------------------------------------

X, WEIGHT = np.ones((2, 4, 9, 8)), np.ones((6, 4, 3, 3))

ERRORS = {
    "stride_zero": ({"stride": 0}, ValueError, r"stride must be at least 1, not 0"),
    "stride_negative": ({"stride": (1, -2)}, ValueError, r"stride must be at least 1, not -2"),
    "stride_float": ({"stride": 1.0}, TypeError, r"stride must be an int or one int per spatial axis, not 1.0"),
    "stride_float_in_tuple": ({"stride": (1, 1.0)}, TypeError, r"stride .* not 1.0"),
    "stride_string": ({"stride": "same"}, TypeError, r"stride must be an int or one int per spatial axis, not 'same'"),
    "stride_none": ({"stride": None}, TypeError, r"stride must be an int or one int per spatial axis, not None"),
    "stride_three": ({"stride": (1, 1, 1)}, ValueError, r"stride .*, of which there are 2, not \(1, 1, 1\)"),
    "stride_pairs": ({"stride": ((1, 1), (1, 1))}, TypeError, r"stride must be an int or one int per spatial axis"),
    "stride_set": ({"stride": {1, 2}}, TypeError, r"stride must be an int or one int per spatial axis, not \{1, 2\}"),
    "stride_bytes": ({"stride": b"12"}, TypeError, r"stride must be .* not b'12'"),
    "stride_0d_array": ({"stride": np.array(2.0)}, TypeError, r"stride must be .* not array\(2"),
    "stride_generator": ({"stride": (i for i in (1, 1))}, TypeError, r"stride must be .* not <generator"),
    "stride_huge": ({"stride": 2**40}, ValueError, r"stride must be at most 2147483647, not 1099511627776"),
    "dilation_zero": ({"dilation": 0}, ValueError, r"dilation must be at least 1, not 0"),
    "dilation_one": ({"dilation": (1,)}, ValueError, r"dilation .*, of which there are 2, not \(1,\)"),
    "groups_zero": ({"groups": 0}, ValueError, r"groups must be at least 1, not 0"),
    "groups_float": ({"groups": 2.0}, TypeError, r"groups must be an int, not 2.0"),
    "groups_tuple": ({"groups": (1, 1)}, TypeError, r"groups must be an int, not \(1, 1\)"),
    "groups_input": ({"groups": 3}, ValueError, r"groups=3 does not divide the 4 input channels of x"),
    "groups_output": (
        {"groups": 4, "weight": np.ones((6, 1, 3, 3))},
        ValueError,
        r"groups=4 does not divide the 6 output channels of weight",
    ),
    "channels": (
        {"weight": np.ones((6, 3, 3, 3))},
        ValueError,
        r"weight has 3 input channels, but x has 4 \(groups=1\); rule: .* = 4",
    ),
    "channels_last": (
        {"x": np.ones((2, 9, 8, 4))},
        ValueError,
        r"weight has 4 .* x of shape \(2, 9, 8, 4\) is \(N, C, H, W\).*pass channels_last=True",
    ),
    "no_channel_axis": (
        {"x": np.ones((5, 9, 8)), "weight": np.ones((6, 1, 3, 3))},
        ValueError,
        r"for 5 inputs of one channel pass x\[:, None\]",
    ),
    "channels_of_group": ({"groups": 2}, ValueError, r"weight has 4 input channels, but x has 4 \(groups=2\).* = 2"),
    "padding_name": (
        {"padding": "sames"},
        ValueError,
        r"padding must be numbers or one of the names .*'same'.* not 'sames'",
    ),
    "padding_upper_case": ({"padding": "SAME"}, ValueError, r"did you mean 'same'\?"),
    "padding_is_a_mode": ({"padding": "reflect"}, ValueError, r"'reflect' is a padding_mode"),
    "padding_of_torch": ({"padding": (1, 2, 3, 4)}, ValueError, r"functional.pad's .* padding=\(\(3, 4\), \(1, 2\)\)"),
    "padding_none": ({"padding": None}, TypeError, r"padding must be an int, a name, or .* not None"),
    "padding_float": (
        {"padding": 0.5},
        TypeError,
        r"padding must be an int, a name, or one int or .before, after. pair per spatial axis, not 0.5",
    ),
    "padding_three": ({"padding": (1, 1, 1)}, ValueError, r"padding .*, of which there are 2, not \(1, 1, 1\)"),
    "padding_triple": ({"padding": ((1, 1, 1), (1, 1, 1))}, TypeError, r"\(before, after\) pairs"),
    "padding_names": ({"padding": ("same", "same")}, TypeError, r"padding must hold ints or"),
    "padding_crops_all": ({"padding": -4}, ValueError, r"the kernel covers 3 .* axis 0.* has 1 \(input 9, padding"),
    "padding_huge": ({"padding": 2**31}, ValueError, r"padding must be at most 2147483647"),
    "mode": ({"padding_mode": "mirror"}, ValueError, r"padding_mode must be one of 'zeros'.* not 'mirror'"),
    "mode_of_ndimage": ({"padding_mode": "mirror"}, ValueError, r"; here that is 'reflect'"),
    "mode_none": (
        {"padding_mode": None},
        TypeError,
        r"padding_mode must be a string or one string per spatial axis, not None",
    ),
    "kernel_wide": ({"weight": np.ones((6, 4, 3, 9))}, ValueError, r"covers 9 positions of spatial axis 1.* has 8"),
    "kernel_dilated": ({"dilation": 5}, ValueError, r"covers 11 positions of spatial axis 0, .* has 9 .*rule: input"),
    "kernel_empty": ({"weight": np.ones((6, 4, 0, 3))}, ValueError, r"weight has shape \(6, 4, 0, 3\): no axis"),
    "channels_empty": ({"x": np.ones((2, 0, 9, 8))}, ValueError, r"weight has 4 input channels, but x has 0"),
    "no_pixels": ({"x": np.ones((2, 4, 0, 8))}, ValueError, r"covers 3 positions of spatial axis 0, .* has 0 \(input"),
    "few_padded": ({"x": np.ones((2, 4, 0, 8)), "padding": 1}, ValueError, r"axis 0, .* has 2 \(input 0, padding"),
    "nothing_to_repeat": (
        {"x": np.ones((2, 4, 9, 0)), "padding": 2, "padding_mode": "wrap"},
        ValueError,
        r"spatial axis 1 of the input has length 0, so padding_mode='wrap' has nothing to repeat",
    ),
    "x_rank": ({"x": np.ones((9, 8))}, ValueError, r"x has shape \(9, 8\), .* must be \(N, C, H, W\) or \(C, H, W\)"),
    "x_scalar": ({"x": 1.0}, ValueError, r"x has shape \(\)"),
    "weight_rank": (
        {"weight": np.ones((4, 3, 3))},
        ValueError,
        r"weight has shape .* a 2-D convolution needs \(O, C/g",
    ),
    "x_picture": ({"x": np.ones((9, 8))}, ValueError, r"for a single channel pass x\[None\]"),
    "weight_kernel": ({"weight": np.ones((3, 3))}, ValueError, r"for a single kernel pass weight\[None, None\]"),
    "flip": ({"flip": "no"}, TypeError, r"flip must be True or False, not 'no'"),
    "bias_length": ({"bias": np.ones(4)}, ValueError, r"bias has shape \(4,\), but weight has 6 .* expected \(6,\)"),
    "bias_column": ({"bias": np.ones((6, 1))}, ValueError, r"bias has shape \(6, 1\)"),
    "bias_scalar": ({"bias": 1.0}, ValueError, r"bias has shape \(\)"),
}


@pytest.mark.parametrize("name", ERRORS)
def test_error(name):
    arguments, error, message = ERRORS[name]
    with pytest.raises(error, match=message):
        gemmconv.conv2d(**{"x": X, "weight": WEIGHT, **arguments})


def test_a_valid_call_does_not_make_an_invalid_one_pass():
    # 1 == 1.0 == True: a cache must not take one for the other
    gemmconv.conv2d(X, WEIGHT, stride=1)
    gemmconv.conv2d(X, WEIGHT, stride=(1, 1))
    for stride in (1.0, (1.0, 1), (1, 1.0)):
        with pytest.raises(TypeError, match="stride"):
            gemmconv.conv2d(X, WEIGHT, stride=stride)


def test_1d_padding_hint():
    with pytest.raises(ValueError, match=r"for 1 before and 2 after write padding=\(\(1, 2\),\)"):
        gemmconv.conv1d(np.ones((1, 5)), np.ones((1, 1, 3)), padding=(1, 2))


def test_conv_names_all_ranks():
    with pytest.raises(ValueError, match=r"weight has shape \(3,\), but a convolution needs .*KL.* or .*KH.* or .*KD"):
        gemmconv.conv(np.ones((1, 5)), np.ones(3))


@pytest.mark.parametrize(
    ("function", "shape"),
    [(gemmconv.conv1d, (1, 1, 3, 3)), (gemmconv.conv2d, (1, 1, 3)), (gemmconv.conv3d, (1, 1, 3, 3))],
)
def test_rank_is_checked(function, shape):
    with pytest.raises(ValueError, match="weight has shape"):
        function(np.ones((1, *[5] * (len(shape) - 2))), np.ones(shape))


@pytest.mark.parametrize("function", [output_size, resolve_padding])
def test_spatial_sizes(function):
    padding = [0] if function is resolve_padding else []
    with pytest.raises(TypeError, match="input_size must be a sequence"):
        function(*padding, 5, 3)
    with pytest.raises(ValueError, match="input_size must have one to three spatial axes, not 4"):
        function(*padding, (5, 5, 5, 5), 3)
    with pytest.raises(ValueError, match=r"kernel_size .*, of which there are 2, not"):
        function(*padding, (5, 5), (3,))
    with pytest.raises(ValueError, match="input_size must be at least 0, not -1"):
        function(*padding, (5, -1), 3)


# --- sizes beyond what can be counted, without the memory ------------------------------------------------------------


def huge(*shape: int) -> np.ndarray:
    return np.broadcast_to(np.float32(1), shape)


@pytest.mark.parametrize(
    ("x", "weight", "options", "message"),
    [
        ((2**31, 2**28), (1, 2**31, 1), {}, r"the sum behind one output would have 2147483648 terms"),
        ((1, 2**31), (1, 1, 1), {}, r"an output channel would have 2147483648 positions"),
        ((1, 2**17, 2**17), (1, 1, 1, 1), {}, r"an output channel would have 17179869184 positions"),
        ((2**31, 1, 2**28), (16, 1, 1), {}, r"the output would have 73786976294838206464 bytes"),
        ((1, 4, 4, 4), (1, 1, 2, 2, 2), {"padding": 2**31 - 1, "stride": 2**31 - 1}, r"the padded input would have"),
    ],
)  # fmt: skip
def test_sizes_that_cannot_be_represented(x, weight, options, message):
    with pytest.raises(ValueError, match=message):
        gemmconv.conv(huge(*x), huge(*weight), **options)


def test_memory_error():
    with pytest.raises(MemoryError):
        gemmconv.conv(huge(2**28, 1, 2**30), huge(1, 1, 1))


def test_geometry_in_numbers():
    geometry = Geometry.from_shapes((2, 6, 10, 20), (4, 3, 3, 5), stride=(1, 2), padding=((1, 2), (0, 3)), groups=2)
    assert geometry.in_size == (1, 10, 20)
    assert geometry.kernel == (1, 3, 5)
    assert geometry.out_size == (1, 11, 10)
    assert geometry.out_shape == (2, 4, 11, 10)
    assert geometry.pads == ((1, 2), (0, 3))
    assert geometry.reduction_length == 45
    assert geometry.padded().in_size == (1, 13, 23)
    assert geometry.padded().out_size == geometry.out_size


def test_geometry_is_safe_to_share():
    geometry = Geometry.from_shapes((1, 2, 5), (3, 2, 2))
    with pytest.raises(AttributeError):
        geometry.batch = 2
