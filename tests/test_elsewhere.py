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


def test_the_table_was_read():
    assert len(rows("SciPy, NumPy")) == 10
    assert len(rows("OpenCV")) == 2
    assert len(rows("MATLAB")) == 3
    assert len(rows("PyTorch")) == 7
