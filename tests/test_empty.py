"""Arrays without elements: no channels, no outputs, an axis of length 0, an empty batch.

Results are those of the definition: a sum without terms is zero, and padding is read as ever.
"""

import numpy as np
import pytest

import gemmconv
from gemmconv import ConvolutionOperator, Plan, reference

# (x, weight, options); x has channels first
CASES = {
    "no_channels": ((2, 0, 5, 4), (3, 0, 2, 2), {"padding": 1}),
    "no_channels_in_groups": ((2, 0, 5, 4), (4, 0, 2, 2), {"groups": 2}),
    "no_outputs": ((2, 3, 5, 4), (0, 3, 2, 2), {"stride": 2}),
    "no_outputs_in_groups": ((2, 4, 5, 4), (0, 2, 2, 2), {"groups": 2, "padding_mode": "wrap", "padding": 1}),
    "nothing_at_all": ((0, 0, 5), (0, 0, 3), {}),
    "empty_batch_without_channels": ((0, 0, 5), (2, 0, 3), {}),
    "no_rows": ((2, 3, 0, 4), (2, 3, 2, 3), {"padding": 2}),
    "no_columns": ((2, 4, 3, 0), (4, 2, 2, 2), {"padding": ((0, 0), (3, 2)), "groups": 2, "stride": (1, 2)}),
    "no_depth": ((1, 2, 0, 3, 3), (2, 2, 2, 1, 3), {"padding": (1, 0, 1), "dilation": (1, 2, 1)}),
    "no_positions": ((2, 3, 0), (2, 3, 3), {"padding": "full"}),
    "no_positions_one_tap": ((2, 3, 0), (2, 3, 1), {"padding": ((0, 1),)}),
    "constant": ((2, 3, 0), (2, 3, 3), {"padding": 2, "padding_value": 5}),
    "constant_beside_wrap": (
        (2, 3, 0, 4),
        (2, 3, 2, 3),
        {"padding": 2, "padding_mode": ("zeros", "wrap"), "padding_value": 3},
    ),
    "no_rows_and_no_channels": ((2, 0, 0), (2, 0, 3), {"padding": 2, "padding_value": 5}),
}


def integers(shape, dtype="float32"):
    return np.random.default_rng(1).integers(-9, 10, shape).astype(dtype)


def arranged(array, last):
    """Return an array with its channels moved, if they are to be last."""
    return np.moveaxis(array, 1, -1) if last else array


def without_constant(options):
    return {name: value for name, value in options.items() if name != "padding_value"}


def same(found, expected):
    assert found.shape == expected.shape
    np.testing.assert_array_equal(found, expected)


each_case = pytest.mark.parametrize("case", CASES.values(), ids=CASES)
each_layout = pytest.mark.parametrize("last", [False, True], ids=["channels_first", "channels_last"])


@each_case
@each_layout
@pytest.mark.parametrize("dtype", ["float32", "float64", "uint8"])
def test_convolution(case, last, dtype):
    x_shape, weight_shape, options = case
    x = arranged(np.ones(x_shape, dtype), last)
    weight, bias = integers(weight_shape), integers(weight_shape[0])
    options = {**options, "channels_last": last}
    expected = reference.conv(x, weight, bias, **options)
    out = np.full(expected.shape, np.nan)
    assert gemmconv.conv(x, weight, bias, **options, out=out) is out
    same(out, expected)
    same(gemmconv.conv(x, weight, **options), reference.conv(x, weight, **options))
    if len(x):
        same(gemmconv.conv(x[0], weight, bias, **options), expected[0])


@each_case
@each_layout
@pytest.mark.parametrize("algorithm", ["gemm", "direct", "fft"])
def test_every_algorithm(case, last, algorithm):
    x_shape, weight_shape, options = case
    x, weight, bias = arranged(np.ones(x_shape), last), integers(weight_shape), integers(weight_shape[0])
    options = {**options, "channels_last": last}
    expected = reference.conv(x, weight, bias, **options)
    found = gemmconv.conv(x, weight, bias, **options, algorithm=algorithm)
    assert found.shape == expected.shape
    np.testing.assert_allclose(found, expected, atol=1e-10)


@each_case
@each_layout
def test_plan(case, last):
    x_shape, weight_shape, options = case
    x, weight, bias = arranged(np.ones(x_shape), last), integers(weight_shape), integers(weight_shape[0])
    options = {**options, "channels_last": last}
    plan = Plan(weight, bias, input_size=x_shape[2:], activation="relu", tune=True, **options)
    expected = reference.conv(x, weight, bias, **options)
    assert plan.input_shape == x.shape[1:]
    assert plan.output_shape == expected.shape[1:]
    for _ in range(2):
        np.testing.assert_allclose(plan(x), np.maximum(expected, 0), atol=1e-4)
    assert "gradients" in plan.describe()
    grad = integers(expected.shape)
    same(plan.input_gradient(grad), reference.conv_input_gradient(grad, weight, x_shape[2:], **options))
    same(plan.weight_gradient(grad, x), reference.conv_weight_gradient(grad, x, weight_shape[2:], **options))


@each_case
@each_layout
def test_gradients(case, last):
    x_shape, weight_shape, options = case
    x, weight = arranged(integers(x_shape), last), integers(weight_shape)
    options = {**options, "channels_last": last}
    size, kernel = x_shape[2:], weight_shape[2:]
    grad = integers(reference.conv(x, weight, **options).shape)
    same(
        gemmconv.conv_input_gradient(grad, weight, size, **options),
        reference.conv_input_gradient(grad, weight, size, **options),
    )
    same(
        gemmconv.conv_weight_gradient(grad, x, kernel, **options),
        reference.conv_weight_gradient(grad, x, kernel, **options),
    )
    same(gemmconv.conv_bias_gradient(grad, channels_last=last), reference.conv_bias_gradient(grad, channels_last=last))


@each_layout
@pytest.mark.parametrize(
    ("x_shape", "weight_shape", "options"),
    [
        ((2, 0, 4), (0, 3, 2), {}),
        ((2, 0, 4, 3), (0, 2, 2, 2), {"stride": 2, "groups": 2, "padding": 1}),
        ((2, 3, 4), (3, 0, 2), {"padding_mode": "wrap", "padding": 1}),
        ((2, 3, 0), (3, 2, 4), {"stride": 2}),
        ((2, 3, 0, 2), (3, 2, 3, 2), {"padding": ((0, 0), (1, 0)), "output_padding": (0, 0)}),
        ((0, 3, 4), (3, 2, 2), {}),
    ],
)
def test_transposed(x_shape, weight_shape, options, last):
    x, weight = arranged(integers(x_shape), last), integers(weight_shape)
    bias = integers(weight_shape[1] * options.get("groups", 1))
    found = gemmconv.conv_transpose(x, weight, bias, **options, channels_last=last)
    same(found, reference.conv_transpose(x, weight, bias, **options, channels_last=last))


def test_transposed_same_of_no_positions_has_none():
    assert gemmconv.conv_transpose(np.ones((1, 2, 0)), np.ones((2, 3, 3)), stride=2, padding="same").shape == (1, 3, 0)


@each_case
@each_layout
def test_columns(case, last):
    x_shape, weight_shape, options = case
    options = {name: value for name, value in options.items() if name != "groups"} | {"channels_last": last}
    x, size, kernel = arranged(integers(x_shape), last), x_shape[2:], weight_shape[2:]
    P = gemmconv.im2col(x, kernel, **options)
    same(P, reference.im2col(x, kernel, **options))
    same(gemmconv.col2im(P, size, kernel, **options), reference.col2im(P, size, kernel, **options))


@each_case
def test_matrices(case):
    x_shape, weight_shape, options = case
    options = without_constant(options)
    weight, size, groups = integers(weight_shape), x_shape[2:], options.get("groups", 1)
    K = gemmconv.kernel_matrix(weight, groups=groups)
    same(K if groups == 1 else K.toarray(), reference.kernel_matrix(weight, groups=groups))
    M = gemmconv.convolution_matrix(weight, size, **options)
    same(M.toarray(), reference.convolution_matrix(weight, size, **options))
    ties = gemmconv.tied_weights(weight_shape, size, **options)
    assert ties.shape == M.shape
    expected = gemmconv.convolution_matrix_size(weight_shape, size, **options)
    assert (M.shape, M.nnz) == expected[:2]
    A = ConvolutionOperator(weight, size, **options)
    x, y = integers(M.shape[1]), integers(M.shape[0])
    same(A @ x, M @ x)
    same(A.T @ y, M.T @ y)
    same(A @ np.stack([x, x], 1), M @ np.stack([x, x], 1))


def test_padding_beside_weights_that_are_not_finite():
    x, weight = np.ones((1, 2, 0)), np.full((1, 2, 3), np.inf)
    same(gemmconv.conv(x, weight, padding=2), np.full((1, 1, 2), np.nan))
    grad = np.full((1, 1, 2), np.inf)
    same(gemmconv.conv_weight_gradient(grad, x, (3,), padding=2), np.zeros((1, 2, 3)))


def test_like_pytorch():
    torch = pytest.importorskip("torch")
    weight = integers((3, 2, 2, 2))
    x = np.ones((0, 2, 4, 4), np.float32)
    same(gemmconv.conv(x, weight), torch.nn.functional.conv2d(*map(torch.tensor, (x, weight))).numpy())
    padded = torch.nn.functional.pad(torch.ones((1, 2, 0, 4)), (1, 1, 2, 2), value=3.0)
    found = gemmconv.conv(np.ones((1, 2, 0, 4), np.float32), weight, padding=(2, 1), padding_value=3)
    same(found, torch.nn.functional.conv2d(padded, torch.tensor(weight)).numpy())


def test_like_jax():
    lax = pytest.importorskip("jax.lax")
    for x_shape, weight_shape in ((2, 0, 5), (3, 0, 2)), ((2, 3, 5), (0, 3, 2)), ((2, 3, 0), (4, 3, 2)):
        x, weight = np.ones(x_shape, np.float32), integers(weight_shape)
        expected = lax.conv_general_dilated(x, weight, (1,), [(1, 1)])
        same(gemmconv.conv(x, weight, padding=1), np.asarray(expected))


MISTAKES = [
    ({"x": (1, 3, 0, 5)}, {}, "covers 2 positions of spatial axis 0, but the padded input has 0 "),
    ({"x": (1, 3, 0, 5)}, {"padding": ((0, 1), (0, 0))}, "the padded input has 1 "),
    ({"x": (1, 3, 0, 5)}, {"padding": 2, "padding_mode": "edge"}, "length 0, so padding_mode='edge' has nothing"),
    ({"weight": (4, 3, 0, 2)}, {}, "no axis of the kernel may be empty"),
    ({"x": (1, 0, 5, 5)}, {}, "weight has 3 input channels, but x has 0"),
    ({"weight": (4, 0, 2, 2)}, {}, "weight has 0 input channels, but x has 3"),
    ({"x": (1, 0, 5, 5), "weight": (3, 0, 2, 2)}, {"groups": 2}, "groups=2 does not divide the 3 output channels"),
    ({"x": (1, 0, 5, 5), "weight": (4, 1, 2, 2)}, {"groups": 2}, "weight has 1 input channels, but x has 0"),
]


@pytest.mark.parametrize(("shapes", "options", "message"), MISTAKES)
def test_mistakes(shapes, options, message):
    x, weight = (np.ones(shapes.get(name, usual)) for name, usual in (("x", (1, 3, 5, 5)), ("weight", (4, 3, 2, 2))))
    with pytest.raises(ValueError, match=message):
        gemmconv.conv(x, weight, **options)


def test_a_matrix_cannot_repeat_nothing():
    with pytest.raises(ValueError, match="length 0, so padding_mode='wrap' has nothing to repeat"):
        gemmconv.convolution_matrix(np.ones((1, 1, 3)), (0,), padding=2, padding_mode="wrap")


def test_explanations_need_elements():
    for shapes in ((0, 5), (2, 0, 3)), ((2, 0), (2, 2, 3)), ((2, 5), (0, 2, 3)):
        with pytest.raises(ValueError, match="no axis may be empty"):
            gemmconv.explain(*map(np.ones, shapes), padding=2)
