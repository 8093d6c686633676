"""The examples run as a user would run them, on a photograph that matplotlib ships."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

cbook = pytest.importorskip("matplotlib.cbook")
EXAMPLES = Path(__file__).parents[1] / "examples"


@pytest.fixture(scope="module")
def photograph() -> str:
    return str(cbook.get_sample_data("grace_hopper.jpg", asfileobj=False))


@pytest.fixture(params=["blur", "sharpen", "emboss", "edges"])
def filtered(request, photograph, tmp_path) -> tuple[str, np.ndarray, np.ndarray]:
    out = tmp_path / "out.png"
    command = [sys.executable, EXAMPLES / "filter_picture.py", photograph, out, "--kernel", request.param]
    subprocess.run(command, check=True)
    before, after = (np.asarray(Image.open(path).convert("RGB"), float) for path in (photograph, out))
    return request.param, before, after


def roughness(picture: np.ndarray) -> float:
    """Return the mean difference of neighbouring pixels."""
    return float(np.abs(np.diff(picture, axis=0)).mean() + np.abs(np.diff(picture, axis=1)).mean())


def test_filter_picture(filtered):
    kernel, before, after = filtered
    assert before.shape == after.shape
    if kernel == "blur":
        assert roughness(after) < 0.8 * roughness(before)
        assert abs(after.mean() - before.mean()) < 1
        scaled = np.pad(before, [(2, 2), (2, 2), (0, 0)], mode="edge")
        corner = sum(a * b * scaled[i, j] for i, a in enumerate([1, 4, 6, 4, 1]) for j, b in enumerate([1, 4, 6, 4, 1]))
        np.testing.assert_allclose(after[0, 0], corner / 256, atol=0.5)
    elif kernel == "sharpen":
        assert roughness(after) > 1.3 * roughness(before)
    elif kernel == "edges":
        assert after[before.std(axis=(0, 1)).argmin()].mean() < before.mean()
    else:
        assert not np.array_equal(before, after)
