"""The calls that docs/coming_from.md sets side by side give the same numbers: the table is read and run."""

from __future__ import annotations

import math
import re
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from cases import integers
from scipy import ndimage, signal

import gemmconv

PAGE = (Path(__file__).parents[1] / "docs/coming_from.md").read_text()
NAMES = {"np": np, "ndimage": ndimage, "signal": signal, **{name: getattr(gemmconv, name) for name in gemmconv.__all__}}


def rows(heading: str) -> list[tuple[str, str]]:
    """Return the pairs of calls below a heading of the table."""
    table = PAGE.split(f"| **{heading}** | |\n")[1].split("| **")[0].split("\n\n")[0]
    return re.findall(r"^\| `(.*?)` \| `(.*?)` \|$", table, re.MULTILINE)


@pytest.mark.parametrize("kernel", [(3, 5), (4, 2), (1, 1)], ids=str)
@pytest.mark.parametrize(("theirs", "ours"), rows("SciPy, NumPy"))
def test_scipy(theirs, ours, kernel):
    names = {**NAMES, "x": integers((12, 15), np.float64, 1), "w": integers(kernel, np.float64, 2)}
    np.testing.assert_array_equal(eval(ours, names), eval(theirs, names))


@pytest.mark.parametrize("kernel", [(3, 5), (4, 2), (1, 1)], ids=str)
@pytest.mark.parametrize(("theirs", "ours"), rows("SciPy, NumPy with complex x and w: radio, MRI"))
def test_complex(theirs, ours, kernel):
    x, w = (integers(shape, np.float64, 1) + 1j * integers(shape, np.float64, 2) for shape in ((12, 15), kernel))
    names = {**NAMES, "x": x, "w": w}
    np.testing.assert_allclose(eval(ours, names), eval(theirs, names), rtol=1e-12, atol=1e-9)


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


def tf_conv2d(x, w, strides, padding):
    """Return what TensorFlow specifies for conv2d: of "SAME", the larger half of the padding is after the image."""
    kernel, pairs = w.shape[:2], [(0, 0), (0, 0)]
    if padding.upper() == "SAME":
        totals = [max((-(-n // strides) - 1) * strides + k - n, 0) for n, k in zip(x.shape[1:3], kernel)]
        pairs = [(total // 2, total - total // 2) for total in totals]
    padded = np.pad(x, [(0, 0), *pairs, (0, 0)])
    windows = np.lib.stride_tricks.sliding_window_view(padded, kernel, (1, 2))[:, ::strides, ::strides]
    return np.einsum("nijchw,hwco->nijo", windows, w)


def tf_depthwise_conv2d(x, w, strides, padding):
    """Return what TensorFlow specifies for depthwise_conv2d: output channel c * M + m reads channel c."""
    channels = [tf_conv2d(x[..., c : c + 1], w[:, :, c : c + 1], strides, padding) for c in range(x.shape[-1])]
    return np.concatenate(channels, axis=-1)


def tf_conv2d_transpose(x, w, output_shape, strides, padding):
    """Return what TensorFlow specifies for conv2d_transpose: the gradient of conv2d with respect to its input."""
    ones = np.eye(math.prod(output_shape[1:])).reshape(-1, *output_shape[1:])  # of each image, one element is 1
    return np.tensordot(x, tf_conv2d(ones, w, strides, padding), ([1, 2, 3], [1, 2, 3])).reshape(output_shape)


LIBRARIES = {
    "tf": SimpleNamespace(
        nn=SimpleNamespace(
            conv2d=tf_conv2d,
            depthwise_conv2d=lambda x, w, strides, padding: tf_depthwise_conv2d(x, w, strides[1], padding),
            conv2d_transpose=tf_conv2d_transpose,
        )
    ),
    "keras": SimpleNamespace(
        ops=SimpleNamespace(conv=tf_conv2d, depthwise_conv=lambda x, w, padding: tf_depthwise_conv2d(x, w, 1, padding))
    ),
}


@pytest.mark.parametrize("kernel", [(3, 5), (4, 3)], ids=str)
@pytest.mark.parametrize(("theirs", "ours"), rows("TensorFlow") + rows("Keras"))
def test_tensorflow(theirs, ours, kernel):
    names = {"x": integers((2, 12, 15, 4), np.float64, 1), "w": integers((*kernel, 4, 3), np.float64, 2)}
    if "transpose" in theirs:
        names["w"] = names["w"].swapaxes(2, 3)
    np.testing.assert_array_equal(eval(ours, {**NAMES, **names}), eval(theirs, {**LIBRARIES, **names}))


def test_weights_of_layers():
    table = re.findall(r"^\| `(\w+)` \| `\((.*)\)` \| `(w\..*?)`", PAGE, re.MULTILINE)
    assert len(table) == 5
    sizes = {"KD": 2, "KL": 3, "KH": 4, "KW": 5, "C": 6, "M": 7, "O": 8}
    for layer, shape, ours in table:
        axes = shape.split(", ")
        kernel = [sizes[axis] for axis in axes if axis.startswith("K")]
        channels = {"DepthwiseConv2D": [42, 1], "Conv2DTranspose": [6, 8]}.get(layer, [8, 6])
        weight = eval(ours, {"w": np.ones([sizes[axis] for axis in axes]), **sizes})
        assert weight.shape == (*channels, *kernel), layer


def test_the_table_was_read():
    assert len(rows("SciPy, NumPy with complex x and w: radio, MRI")) == 6
    assert (len(rows("TensorFlow")), len(rows("Keras"))) == (4, 2)
    assert len(rows("ONNX")) == 8
    assert len(rows("SciPy, NumPy")) == 13
    assert len(rows("OpenCV")) == 2
    assert len(rows("MATLAB")) == 3
    assert len(rows("PyTorch")) == 10
