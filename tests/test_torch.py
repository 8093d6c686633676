"""Comparison with PyTorch, on integers and with ==, over the whole case table."""

from __future__ import annotations

import numpy as np
import pytest
from cases import CASES, TRANSPOSED_CASES, arrays_of, integer_weights, integers

import gemmconv

# On a machine without PyTorch the comparison is skipped; in continuous integration conftest.py stops the run instead.
torch = pytest.importorskip("torch")

TORCH_FUNCTIONS = {3: torch.nn.functional.conv1d, 4: torch.nn.functional.conv2d, 5: torch.nn.functional.conv3d}
TORCH_MODES = {"zeros": "constant", "reflect": "reflect", "edge": "replicate", "replicate": "replicate"}
TORCH_MODES |= {"wrap": "circular", "circular": "circular"}
NUMPY_MODES = {"replicate": "edge", "circular": "wrap"}


def torch_conv(x, weight, bias, options):
    """Convolve with PyTorch; padding of every kind goes through functional.pad, or numpy.pad where that refuses."""
    options = dict(options)
    padding, mode = options.pop("padding", 0), options.pop("padding_mode", "zeros")
    rank = weight.ndim - 2
    sizes = {name: options.get(name, 1) for name in ("stride", "dilation")}
    pads = gemmconv.resolve_padding(padding, x.shape[-rank:], weight.shape[2:], **sizes)
    if options.pop("flip", False):
        weight = np.flip(weight, tuple(range(2, weight.ndim))).copy()
    return TORCH_FUNCTIONS[weight.ndim](
        torch_pad(x, pads, mode), torch.from_numpy(weight), torch.from_numpy(bias), **options
    ).numpy()


def torch_pad(x, pads, mode):
    """Pad with PyTorch, then crop with PyTorch; what it has no mode for, or refuses, numpy.pad does."""
    wider = [(max(before, 0), max(after, 0)) for before, after in pads]
    narrower = [(min(before, 0), min(after, 0)) for before, after in pads]
    size = x.shape[-len(pads) :]
    fits = mode == "zeros" or all(max(pair) < n for pair, n in zip(wider, size))
    batched = x if x.ndim == len(pads) + 2 else x[np.newaxis]
    if mode in TORCH_MODES and fits:
        padded = torch.nn.functional.pad(torch.from_numpy(batched), flat(wider), mode=TORCH_MODES[mode])
    else:
        padded = torch.from_numpy(np.pad(batched, [(0, 0), (0, 0), *wider], mode=NUMPY_MODES.get(mode, mode)))
    cropped = torch.nn.functional.pad(padded, flat(narrower))
    return cropped if x.ndim == len(pads) + 2 else cropped[0]


def flat(pads):
    """Return pairs in PyTorch's order: the last axis first."""
    return [value for pair in reversed(pads) for value in pair]


@pytest.mark.parametrize("name", CASES)
def test_equals_torch(name, dtype, isa):
    case = CASES[name]
    x, weight, bias = arrays_of(case, dtype)
    expected = torch_conv(x, weight, bias, case.options)
    actual = gemmconv.conv(x, weight, bias, **case.options)
    assert actual.dtype == expected.dtype
    assert actual.shape == expected.shape
    np.testing.assert_array_equal(actual, expected)


def torch_gradients(x, weight, grad_output, options):
    """Return PyTorch's gradients of x and weight."""
    arguments = [torch.from_numpy(array).requires_grad_() for array in (x, weight)]
    options = dict(options)
    pads = gemmconv.resolve_padding(
        options.pop("padding", 0),
        x.shape[2 - weight.ndim :],
        weight.shape[2:],
        **{name: options.get(name, 1) for name in ("stride", "dilation")},
    )
    kernels = arguments[1].flip(tuple(range(2, weight.ndim))) if options.pop("flip", False) else arguments[1]
    padded = arguments[0]
    for pick in (max, min):  # at first wider, then narrower
        padded = torch.nn.functional.pad(padded, flat([[pick(pad, 0) for pad in pair] for pair in pads]))
    y = TORCH_FUNCTIONS[weight.ndim](padded, kernels, **options)
    return [gradient.numpy() for gradient in torch.autograd.grad(y, arguments, torch.from_numpy(grad_output))]


@pytest.mark.parametrize("name", [name for name in CASES if "padding_mode" not in CASES[name].options])
def test_gradients_equal_torch(name, dtype):
    case = CASES[name]
    x, weight, _ = arrays_of(case, dtype)
    grad_output = integers(gemmconv.conv(x, weight, **case.options).shape, dtype, 4)
    of_x, of_weight = torch_gradients(x, weight, grad_output, case.options)
    size, kernel = x.shape[2 - weight.ndim :], weight.shape[2:]
    np.testing.assert_array_equal(gemmconv.conv_input_gradient(grad_output, weight, size, **case.options), of_x)
    np.testing.assert_array_equal(gemmconv.conv_weight_gradient(grad_output, x, kernel, **case.options), of_weight)


def has_torch(options):
    """Tell whether PyTorch's transposed convolutions take these options."""
    padding = options.get("padding", 0)
    return "output_size" not in options and (isinstance(padding, int) or all(isinstance(pad, int) for pad in padding))


@pytest.mark.parametrize("name", [name for name, case in TRANSPOSED_CASES.items() if has_torch(case.options)])
def test_transposed_equals_torch(name, dtype, isa):
    case = TRANSPOSED_CASES[name]
    x, weight = integers(case.x, dtype, 1), integer_weights(case.weight, dtype, 2)
    bias = integers((case.weight[1] * case.options.get("groups", 1),), dtype, 3)
    transpose = getattr(torch.nn.functional, f"conv_transpose{weight.ndim - 2}d")
    expected = transpose(*map(torch.from_numpy, (x, weight, bias)), **case.options).numpy()
    np.testing.assert_array_equal(gemmconv.conv_transpose(x, weight, bias, **case.options), expected)


@pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel")
@pytest.mark.parametrize("kernel", [1, 2, 3, 4])
@pytest.mark.parametrize("dilation", [1, 2, 3])
def test_same_padding_is_that_of_torch(kernel, dilation):
    x = np.arange(11, dtype=np.float32).reshape(1, 1, 11)
    weight = np.arange(1, 1 + kernel, dtype=np.float32).reshape(1, 1, kernel)
    expected = torch.nn.functional.conv1d(
        torch.from_numpy(x), torch.from_numpy(weight), padding="same", dilation=dilation
    )
    np.testing.assert_array_equal(gemmconv.conv1d(x, weight, padding="same", dilation=dilation), expected.numpy())


def test_torch_tensors_are_array_likes():
    x, weight = torch.ones((1, 2, 5)), torch.ones((3, 2, 3))
    np.testing.assert_array_equal(gemmconv.conv(x, weight), np.full((1, 3, 3), 6))
