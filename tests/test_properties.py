"""Laws that hold for every geometry; hypothesis draws geometries, the data are small integers."""

from __future__ import annotations

import numpy as np
from cases import integer_weights, integers
from drawn import DTYPES, PADDING_MODES, convolutions
from hypothesis import assume, given
from hypothesis import strategies as st
from instruction_sets import select_isa

import gemmconv
from gemmconv import reference


@given(convolutions(), DTYPES, st.booleans())
def test_equals_reference(drawn, dtype, flip):
    x_shape, weight_shape, options, isa = drawn
    select_isa(isa)
    x, weight, bias = integers(x_shape, dtype), integer_weights(weight_shape, dtype), integers(weight_shape[:1], dtype)
    expected = reference.conv(x, weight, bias, **options, flip=flip)
    out = np.full(expected.shape, np.nan, dtype)
    gemmconv.conv(x, weight, bias, **options, flip=flip, out=out)
    np.testing.assert_array_equal(out, expected)


@given(convolutions(), PADDING_MODES)
def test_padding_modes_are_those_of_numpy(drawn, mode):
    x_shape, weight_shape, options, isa = drawn
    select_isa(isa)
    x, weight = integers(x_shape, "float32"), integer_weights(weight_shape, "float32")
    options["padding"] = tuple((max(before, 0), max(after, 0)) for before, after in options["padding"])
    padded = np.pad(x, [(0, 0), (0, 0), *options["padding"]], mode=mode)
    expected = gemmconv.conv(padded, weight, **{**options, "padding": 0})
    np.testing.assert_array_equal(gemmconv.conv(x, weight, **options, padding_mode=mode), expected)


@given(convolutions(), PADDING_MODES)
def test_crops_read_the_extended_original(drawn, mode):
    # output i reads the extended signal at i * stride - before + tap * dilation, whatever the sign of `before`
    x_shape, weight_shape, options, isa = drawn
    select_isa(isa)
    x, weight = integers(x_shape, "float32"), integer_weights(weight_shape, "float32")
    far = 8
    extended = np.pad(x, [(0, 0), (0, 0)] + [(far, far)] * (x.ndim - 2), mode=mode)
    shifted = tuple((before - far, after - far) for before, after in options["padding"])
    expected = gemmconv.conv(extended, weight, **{**options, "padding": shifted})
    np.testing.assert_array_equal(gemmconv.conv(x, weight, **options, padding_mode=mode), expected)


@given(convolutions())
def test_linear_in_both_arguments(drawn):
    x_shape, weight_shape, options, isa = drawn
    select_isa(isa)
    x, other_x = integers(x_shape, "float64", 1), integers(x_shape, "float64", 2)
    weight, other_weight = integer_weights(weight_shape, "float64", 3), integer_weights(weight_shape, "float64", 4)

    def conv(x, weight):
        return gemmconv.conv(x, weight, **options)

    np.testing.assert_array_equal(conv(2 * x + other_x, weight), 2 * conv(x, weight) + conv(other_x, weight))
    np.testing.assert_array_equal(conv(x, weight - other_weight), conv(x, weight) - conv(x, other_weight))


@given(convolutions())
def test_groups_are_block_diagonal_weights(drawn):
    x_shape, weight_shape, options, isa = drawn
    select_isa(isa)
    groups = options.pop("groups")
    x, weight = integers(x_shape, "float32"), integer_weights(weight_shape, "float32")
    dense = np.zeros((weight_shape[0], x_shape[1], *weight_shape[2:]), "float32")
    inputs, outputs = weight_shape[1], weight_shape[0] // groups
    for g in range(groups):
        rows, columns = slice(g * outputs, (g + 1) * outputs), slice(g * inputs, (g + 1) * inputs)
        dense[rows, columns] = weight[rows]
    np.testing.assert_array_equal(
        gemmconv.conv(x, weight, **options, groups=groups), gemmconv.conv(x, dense, **options)
    )


@given(convolutions())
def test_a_stride_takes_every_nth_output(drawn):
    x_shape, weight_shape, options, isa = drawn
    select_isa(isa)
    x, weight = integers(x_shape, "float32"), integer_weights(weight_shape, "float32")
    every = gemmconv.conv(x, weight, **{**options, "stride": 1})
    steps = tuple(slice(None, None, step) for step in options["stride"])
    np.testing.assert_array_equal(gemmconv.conv(x, weight, **options), every[(..., *steps)])


@given(convolutions(), st.data())
def test_a_shifted_input_gives_a_shifted_output(drawn, data):
    # zeros in front of the input, and as much padding less: every output reads the same numbers
    x_shape, weight_shape, options, isa = drawn
    select_isa(isa)
    x, weight = integers(x_shape, "float32"), integer_weights(weight_shape, "float32")
    shifts = [data.draw(st.integers(0, 5)) for _ in x_shape[2:]]
    shifted = np.pad(x, [(0, 0), (0, 0), *((shift, 0) for shift in shifts)])
    paddings = tuple((before - shift, after) for (before, after), shift in zip(options["padding"], shifts))
    np.testing.assert_array_equal(
        gemmconv.conv(shifted, weight, **{**options, "padding": paddings}), gemmconv.conv(x, weight, **options)
    )


@given(convolutions())
def test_dilation_is_a_kernel_with_holes(drawn):
    x_shape, weight_shape, options, isa = drawn
    select_isa(isa)
    x, weight = integers(x_shape, "float32"), integer_weights(weight_shape, "float32")
    extents = [(k - 1) * d + 1 for k, d in zip(weight_shape[2:], options["dilation"])]
    holed = np.zeros((*weight_shape[:2], *extents), "float32")
    holed[(..., *(slice(None, None, d) for d in options["dilation"]))] = weight
    np.testing.assert_array_equal(
        gemmconv.conv(x, weight, **options), gemmconv.conv(x, holed, **{**options, "dilation": 1})
    )


@given(convolutions(), st.integers(1, 3))
def test_same_bits_in_any_batch(drawn, seed):
    x_shape, weight_shape, options, isa = drawn
    select_isa(isa)
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((3, *x_shape[1:]), "float32")
    weight = rng.standard_normal(weight_shape, "float32")
    together = gemmconv.conv(x, weight, **options)
    for n in range(3):
        np.testing.assert_array_equal(gemmconv.conv(x[n], weight, **options), together[n])


@given(convolutions())
def test_output_size(drawn):
    x_shape, weight_shape, options, isa = drawn
    select_isa(isa)
    groups = options.pop("groups")
    size = gemmconv.output_size(x_shape[2:], weight_shape[2:], **options)
    x, weight = np.zeros(x_shape, "float32"), np.zeros(weight_shape, "float32")
    assert gemmconv.conv(x, weight, **options, groups=groups).shape == (x_shape[0], weight_shape[0], *size)


@given(convolutions(), DTYPES, st.sampled_from(["zeros", "wrap", "reflect", "edge"]))
def test_the_convolution_as_a_matrix(drawn, dtype, mode):
    x_shape, weight_shape, options, isa = drawn
    select_isa(isa)
    options["padding_mode"] = mode
    size = x_shape[2:]
    counted = gemmconv.convolution_matrix_size(weight_shape, size, **options, dtype=dtype)
    assume(counted.entries < 1e6)
    weight = integer_weights(weight_shape, dtype, 1)
    x = integers((2, *x_shape[1:]), dtype, 2)
    y = gemmconv.conv(x, weight, **options)

    spatial = {name: value for name, value in options.items() if name != "groups"}
    P = gemmconv.im2col(x, weight_shape[2:], **spatial)
    K = gemmconv.kernel_matrix(weight, groups=options["groups"])
    for columns, image in zip(P, y):
        np.testing.assert_array_equal(K @ columns, image.reshape(len(image), -1))

    M = gemmconv.convolution_matrix(weight, size, **options)
    np.testing.assert_array_equal(M @ x.reshape(2, -1).T, y.reshape(2, -1).T)
    assert (counted.shape, counted.entries) == (M.shape, M.nnz)

    g = integers(y.shape, dtype, 3)
    A = gemmconv.ConvolutionOperator(weight, size, **options)
    np.testing.assert_array_equal(A.T @ g.reshape(2, -1).T, M.T @ g.reshape(2, -1).T)
    columns = integers(P.shape, dtype, 4)
    added = gemmconv.col2im(columns, size, weight_shape[2:], **spatial)
    assert np.vdot(P, columns) == np.vdot(x, added)
