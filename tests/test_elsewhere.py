"""The calls that docs/coming_from.md sets side by side give the same numbers: the table is read and run."""

from __future__ import annotations

import math
import re
from pathlib import Path

import numpy as np
import pytest
from cases import integers
from scipy import ndimage, signal

import gemmconv

PAGE = (Path(__file__).parents[1] / "docs/coming_from.md").read_text()
NAMES = {"np": np, "ndimage": ndimage, "signal": signal, **{name: getattr(gemmconv, name) for name in gemmconv.__all__}}


def rows(heading: str) -> list[tuple[str, str]]:
    """Return the pairs of calls below a heading of the table."""
    table = PAGE.split(f"| **{heading}** | |\n")[1].split("| **")[0]
    return re.findall(r"^\| `(.*?)` \| `(.*?)` \|$", table, re.MULTILINE)


@pytest.mark.parametrize("kernel", [(3, 5), (4, 2), (1, 1)], ids=str)
@pytest.mark.parametrize(("theirs", "ours"), rows("SciPy, NumPy"))
def test_scipy(theirs, ours, kernel):
    names = {**NAMES, "x": integers((12, 15), np.float64, 1), "w": integers(kernel, np.float64, 2)}
    np.testing.assert_array_equal(eval(ours, names), eval(theirs, names))


@pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel")
@pytest.mark.parametrize("kernel", [(3, 5), (4, 2)], ids=str)
@pytest.mark.parametrize(("theirs", "ours"), rows("PyTorch"))
def test_pytorch(theirs, ours, kernel):
    torch = pytest.importorskip("torch")
    channels = (3, 4) if "transpose" in theirs else (4, 3)
    arrays = {"x": integers((2, 3, 12, 15), np.float32, 1), "w": integers((*channels, *kernel), np.float32, 2)}
    arrays["b"] = integers((4,), np.float32, 3)
    arrays["g"] = integers((2, 4, 15 - kernel[0], 18 - kernel[1]), np.float32, 4)
    tensors = {name: torch.from_numpy(array) for name, array in arrays.items()}
    expected = eval(theirs, {"F": torch.nn.functional, "torch": torch, **tensors})
    np.testing.assert_array_equal(eval(ours, {**NAMES, **arrays}), expected.numpy())


@pytest.mark.parametrize("kernel", [(3, 5), (4, 2), (1, 1)], ids=str)
@pytest.mark.parametrize(("theirs", "ours"), rows("OpenCV"))
def test_opencv(theirs, ours, kernel):
    cv2 = pytest.importorskip("cv2")
    names = {**NAMES, "x": integers((12, 15), np.float64, 1), "w": integers(kernel, np.float64, 2)}
    np.testing.assert_array_equal(eval(ours, names), eval(theirs, {"cv2": cv2, **names}))


def conv2(x, w, shape="full"):
    """Return what MATLAB documents: "same" is the part of the full convolution that begins at ceil((size + 1) / 2)."""
    if shape != "same":
        return signal.convolve2d(x, w, shape)
    top, left = (math.ceil((size + 1) / 2) - 1 for size in w.shape)  # MATLAB counts from 1
    return signal.convolve2d(x, w)[top : top + x.shape[0], left : left + x.shape[1]]


@pytest.mark.parametrize("kernel", [(3, 5), (4, 2), (1, 1)], ids=str)
@pytest.mark.parametrize(("theirs", "ours"), [row for row in rows("MATLAB") if row[0].startswith("conv2")])
def test_matlab(theirs, ours, kernel):
    names = {**NAMES, "conv2": conv2, "x": integers((12, 15), np.float64, 1), "w": integers(kernel, np.float64, 2)}
    np.testing.assert_array_equal(eval(ours, names), eval(theirs, names))


def onnx_pads(total: int, auto_pad: str) -> tuple[int, int]:
    """Return (before, after) as ONNX splits a total: the larger half is before, except for SAME_UPPER."""
    half = total // 2
    return (half, total - half) if auto_pad == "SAME_UPPER" else (total - half, half)


def onnx_conv(x, w, strides=(1, 1), pads=(0, 0, 0, 0), auto_pad="NOTSET"):
    """Return what ONNX specifies for Conv; x is padded, and each output is the sum over one window."""
    pairs = list(zip(pads[:2], pads[2:]))
    if auto_pad != "NOTSET":
        totals = [max((-(-n // s) - 1) * s + k - n, 0) for n, s, k in zip(x.shape[2:], strides, w.shape[2:])]
        pairs = [onnx_pads(total, auto_pad) for total in totals]
    padded = np.pad(x, [(0, 0), (0, 0), *pairs])
    windows = np.lib.stride_tricks.sliding_window_view(padded, w.shape[2:], (2, 3))[:, :, :: strides[0], :: strides[1]]
    return np.einsum("ncijhw,ochw->noij", windows, w)


def onnx_conv_transpose(x, w, **attributes):
    """Return what ONNX specifies for ConvTranspose; each element of x adds a kernel, and the borders are cut off."""
    strides, auto_pad = attributes["strides"], attributes.get("auto_pad", "NOTSET")
    more, pads = attributes.get("output_padding", (0, 0)), attributes.get("pads", (0, 0, 0, 0))
    sizes = [(n - 1) * s + k for n, s, k in zip(x.shape[2:], strides, w.shape[2:])]
    shape = attributes.get("output_shape", tuple(n * s for n, s in zip(x.shape[2:], strides)))
    pairs = list(zip(pads[:2], pads[2:]))
    if auto_pad != "NOTSET" or "output_shape" in attributes:
        pairs = [onnx_pads(size + m - wanted, auto_pad) for size, m, wanted in zip(sizes, more, shape)]
    every = np.zeros((len(x), w.shape[1], *[size + m for size, m in zip(sizes, more)]))
    for i, j in np.ndindex(x.shape[2:]):
        top, left = i * strides[0], j * strides[1]
        every[:, :, top : top + w.shape[2], left : left + w.shape[3]] += np.tensordot(x[:, :, i, j], w, 1)
    (top, bottom), (left, right) = pairs
    return every[:, :, top : every.shape[2] - bottom, left : every.shape[3] - right]


@pytest.mark.parametrize("kernel", [(3, 5), (4, 3), (5, 4)], ids=str)
@pytest.mark.parametrize(("theirs", "ours"), rows("ONNX"))
def test_onnx(theirs, ours, kernel):
    channels = (3, 4) if "Transpose" in theirs else (4, 3)
    names = {"x": integers((2, 3, 12, 15), np.float64, 1), "w": integers((*channels, *kernel), np.float64, 2)}
    expected = eval(theirs, {"Conv": onnx_conv, "ConvTranspose": onnx_conv_transpose, **names})
    np.testing.assert_array_equal(eval(ours, {**NAMES, **names}), expected)


def test_the_table_was_read():
    assert len(rows("ONNX")) == 8
    assert len(rows("SciPy, NumPy")) == 13
    assert len(rows("OpenCV")) == 2
    assert len(rows("MATLAB")) == 3
    assert len(rows("PyTorch")) == 10
