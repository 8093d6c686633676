"""The reference's way back: against PyTorch, finite differences, and the law that makes it a transpose."""

from __future__ import annotations

import numpy as np
import pytest
from cases import CASES, TRANSPOSED_CASES, integers

import gemmconv
from gemmconv import reference

ZERO_PADDED = [name for name, case in CASES.items() if "padding_mode" not in case.options]


def problem(case):
    """Return small integers of float64 for x, weight and grad_output of a case, and its output."""
    x, weight = integers(case.x, np.float64, 1), integers(case.weight, np.float64, 2)
    y = reference.conv(x, weight, **case.options)
    return x, weight, integers(y.shape, np.float64, 3), y


def torch_gradients(x, weight, grad_output, options):
    """Return the gradients of x, weight and bias by PyTorch's autograd; padding and crops by functional.pad."""
    torch = pytest.importorskip("torch")
    options, rank = dict(options), weight.ndim - 2
    padding, flip = options.pop("padding", 0), options.pop("flip", False)
    sizes = {name: options.get(name, 1) for name in ("stride", "dilation")}
    pads = gemmconv.resolve_padding(padding, x.shape[-rank:], weight.shape[2:], **sizes)
    arguments = [torch.from_numpy(array).requires_grad_() for array in (x, weight, np.zeros(len(weight)))]
    padded, kernels, bias = arguments
    for narrower in (False, True):
        pick = min if narrower else max
        padded = torch.nn.functional.pad(padded, [pick(pad, 0) for pair in reversed(pads) for pad in pair])
    if flip:
        kernels = torch.flip(kernels, tuple(range(2, weight.ndim)))
    y = getattr(torch.nn.functional, f"conv{rank}d")(padded, kernels, bias, **options)
    gradients = torch.autograd.grad(y, arguments, torch.from_numpy(grad_output))
    return [gradient.numpy() for gradient in gradients]


@pytest.mark.parametrize("name", ZERO_PADDED)
def test_gradients_are_those_of_torch(name):
    case = CASES[name]
    x, weight, g, _ = problem(case)
    of_x, of_weight, of_bias = torch_gradients(x, weight, g, case.options)
    size, kernel = x.shape[2 - weight.ndim :], weight.shape[2:]
    np.testing.assert_array_equal(reference.conv_input_gradient(g, weight, size, **case.options), of_x)
    np.testing.assert_array_equal(reference.conv_weight_gradient(g, x, kernel, **case.options), of_weight)
    batched = g if g.ndim == weight.ndim else g[np.newaxis]
    np.testing.assert_array_equal(reference.conv_bias_gradient(batched), of_bias)


@pytest.mark.parametrize("name", CASES)
def test_gradients_are_adjoint(name):
    case = CASES[name]
    x, weight, g, y = problem(case)
    of_x = reference.conv_input_gradient(g, weight, x.shape[2 - weight.ndim :], **case.options)
    of_weight = reference.conv_weight_gradient(g, x, weight.shape[2:], **case.options)
    assert (of_x.shape, of_weight.shape) == (x.shape, weight.shape)
    assert np.vdot(y, g) == np.vdot(x, of_x) == np.vdot(weight, of_weight)


@pytest.mark.parametrize("name", ["flip", "reflect_cropped", "symmetric", "1d_causal", "groups_uneven"])
def test_gradients_are_differences(name):
    case = CASES[name]
    rng = np.random.default_rng(7)
    x, weight = rng.standard_normal(case.x), rng.standard_normal(case.weight)
    bias = rng.standard_normal(len(weight))
    g = rng.standard_normal(reference.conv(x, weight, **case.options).shape)

    def differences(array):
        """Return the central differences of sum(g * y) by each element of one of the arguments."""
        gradient = np.empty_like(array)
        for index, value in np.ndenumerate(array):
            sums = []
            for step in (0.5, -0.5):
                array[index] = value + step
                sums.append(np.vdot(g, reference.conv(x, weight, bias, **case.options)))
            array[index] = value
            gradient[index] = sums[0] - sums[1]
        return gradient

    close = {"rtol": 1e-10, "atol": 1e-10}
    of_x = reference.conv_input_gradient(g, weight, x.shape[2:], **case.options)
    np.testing.assert_allclose(of_x, differences(x), **close)
    of_weight = reference.conv_weight_gradient(g, x, weight.shape[2:], **case.options)
    np.testing.assert_allclose(of_weight, differences(weight), **close)
    np.testing.assert_allclose(reference.conv_bias_gradient(g), differences(bias), **close)


def transposed_problem(case):
    """Return small integers of float64 for x, weight and bias of a transposed convolution."""
    out_channels = case.weight[1] * case.options.get("groups", 1)
    shapes = (case.x, case.weight, (out_channels,))
    return [integers(shape, np.float64, seed) for seed, shape in enumerate(shapes)]


def torch_accepts(options):
    """Return whether PyTorch's transposed convolutions take these options."""
    padding = options.get("padding", 0)
    numbers = isinstance(padding, int) or all(isinstance(pad, int) for pad in padding)
    return numbers and "padding_mode" not in options


@pytest.mark.parametrize("name", [name for name, case in TRANSPOSED_CASES.items() if torch_accepts(case.options)])
def test_transpose_is_that_of_torch(name):
    torch = pytest.importorskip("torch")
    case = TRANSPOSED_CASES[name]
    arrays = transposed_problem(case)
    rank, options = len(case.weight) - 2, dict(case.options)
    if options.pop("output_size", None):
        options["output_padding"] = (2, 1)
    transpose = getattr(torch.nn.functional, f"conv_transpose{rank}d")
    expected = transpose(*map(torch.from_numpy, arrays), **options).numpy()
    np.testing.assert_array_equal(reference.conv_transpose(*arrays, **case.options), expected)
    of_rank = getattr(reference, f"conv_transpose{rank}d")
    np.testing.assert_array_equal(of_rank(*arrays, **case.options), expected)


@pytest.mark.parametrize("name", TRANSPOSED_CASES)
def test_transpose_is_the_input_gradient(name):
    case = TRANSPOSED_CASES[name]
    x, weight, bias = transposed_problem(case)
    y = reference.conv_transpose(x, weight, **case.options)
    options = {name: value for name, value in case.options.items() if not name.startswith("output")}
    size = y.shape[2 - weight.ndim :]
    # with an output_padding of the stride or more, the convolution has outputs beyond x: their gradient is zero
    g = np.zeros(reference.conv(y, weight, **options).shape)
    g[tuple(map(slice, x.shape))] = x
    np.testing.assert_array_equal(reference.conv_input_gradient(g, weight, size, **options), y)
    if "padding_mode" not in options:
        np.testing.assert_array_equal(torch_gradients(y, weight, g, options)[0], y)
    biased = reference.conv_transpose(x, weight, bias, **case.options)
    np.testing.assert_array_equal(biased, y + bias.reshape(-1, *[1] * len(size)))


@pytest.mark.parametrize("name", [name for name in ZERO_PADDED if not CASES[name].options.get("flip")])
def test_transpose_undoes_the_shape(name):
    # the convolution's weight (O, C/groups, ...) is the transposed one's (C, O/groups, ...)
    case = CASES[name]
    x, weight, g, _ = problem(case)
    size = x.shape[2 - weight.ndim :]
    expected = reference.conv_input_gradient(g, weight, size, **case.options)
    np.testing.assert_array_equal(reference.conv_transpose(g, weight, **case.options, output_size=size), expected)


@pytest.mark.parametrize(
    ("padding", "size"), [("same", 20), ("same_lower", 20), ("valid", 22), (1, 20), (((0, 3),), 19), (-2, 26)]
)
def test_size_of_the_transpose(padding, size):
    x, weight = np.ones((1, 1, 5)), np.ones((1, 1, 6))
    assert reference.conv_transpose(x, weight, stride=4, padding=padding).shape == (1, 1, size)
    more = reference.conv_transpose(x, weight, stride=4, padding=((0, 3),), output_padding=3)
    np.testing.assert_array_equal(more, reference.conv_transpose(x, weight, stride=4))


def test_what_no_input_reaches_is_the_bias():
    # taps [1, 1] every fourth position, zeros between and after them
    y = reference.conv_transpose(np.ones((1, 1, 2)), np.ones((1, 1, 2)), [10], stride=4, padding=-1, output_padding=3)
    np.testing.assert_array_equal(y[0, 0], [10, 11, 11, 10, 10, 11, 11, 10, 10, 10, 10])


def test_transpose_of_another_rank():
    with pytest.raises(ValueError, match="weight has 4 axes, but with 1 spatial axes it has 3"):
        reference.conv_transpose1d(np.ones((1, 1, 4)), np.ones((1, 1, 1, 1)))
