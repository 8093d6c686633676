"""Convolutions compared with PyTorch, with == on integers; test_reference_gradients.py compares the way back."""

from __future__ import annotations

import numpy as np
import pytest
from cases import CASES, arrays_of, exact_algorithm

import gemmconv
from gemmconv import reference

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
def test_equals_torch(name):
    # the types and instruction sets that are not compared here are compared with the reference, on the same integers
    case = CASES[name]
    x, weight, bias = arrays_of(case, "float32")
    expected = torch_conv(x, weight, bias, case.options)
    y = gemmconv.conv(x, weight, bias, **case.options, algorithm=exact_algorithm(name))
    for actual in (y, reference.conv(x, weight, bias, **case.options)):
        assert actual.shape == expected.shape
        np.testing.assert_array_equal(actual, expected)
    assert gemmconv.conv(x, weight, bias, **case.options).dtype == expected.dtype


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
