"""The calls that docs/coming_from.md sets side by side give the same numbers: the table is read and run."""

from __future__ import annotations

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


def test_the_table_was_read():
    assert len(rows("SciPy, NumPy")) == 9
    assert len(rows("PyTorch")) == 7
