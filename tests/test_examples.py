"""The examples run as a user would run them, on a photograph that matplotlib ships."""

from __future__ import annotations

import re
import runpy
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from gemmconv import reference

Image = pytest.importorskip("PIL.Image")
cbook = pytest.importorskip("matplotlib.cbook")
EXAMPLES = Path(__file__).parents[1] / "examples"


@pytest.fixture(scope="module")
def photograph() -> str:
    return str(cbook.get_sample_data("grace_hopper.jpg", asfileobj=False))


@pytest.mark.parametrize("name", ["blur", "sharpen", "emboss", "edges"])
def test_filter_picture(name, photograph, tmp_path):
    out = tmp_path / "out.png"
    script = EXAMPLES / "filter_picture.py"
    subprocess.run([sys.executable, script, photograph, out, "--kernel", name], check=True)
    before, after = (np.asarray(Image.open(path).convert("RGB")) for path in (photograph, out))

    kernel = runpy.run_path(str(script))["KERNELS"][name]
    weight = np.broadcast_to(kernel, (3, 1, *np.shape(kernel)))
    expected = reference.conv2d(np.moveaxis(before, -1, 0), weight, padding="same", padding_mode="edge", groups=3)
    # A value half-way between two may go either way: the sum of the blur's sixteenths is exact, but not its rounding.
    np.testing.assert_allclose(np.moveaxis(after, -1, 0), expected.clip(0, 255), atol=0.51, rtol=0)
    assert not np.array_equal(before, after)


def test_deblur(tmp_path):
    out = tmp_path / "out.png"
    command = [sys.executable, EXAMPLES / "deblur.py", out, "--iterations", "30"]
    told = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    before, after = map(float, re.search(r"error before: ([0-9.]+), after: ([0-9.]+)", told).groups())
    assert after < before / 2
    original, blurred, recovered = np.split(np.asarray(Image.open(out), float) / 255, 3, axis=1)
    assert abs(np.sqrt(np.mean((blurred - original) ** 2)) - before) < 0.002
    assert abs(np.sqrt(np.mean((recovered - original) ** 2)) - after) < 0.01
