"""The examples run as a user would run them, on pictures that matplotlib and scikit-learn ship."""

from __future__ import annotations

import re
import runpy
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from gemmconv import num_threads, reference

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
    printed = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    before, after = map(float, re.search(r"error before: ([0-9.]+), after: ([0-9.]+)", printed).groups())
    assert after < before / 2
    original, blurred, recovered = np.split(np.asarray(Image.open(out), float) / 255, 3, axis=1)
    assert abs(np.sqrt(np.mean((blurred - original) ** 2)) - before) < 0.002
    assert abs(np.sqrt(np.mean((recovered - original) ** 2)) - after) < 0.01


@pytest.fixture(scope="module")
def train_digits() -> dict:
    pytest.importorskip("sklearn")
    return runpy.run_path(str(EXAMPLES / "train_digits.py"))


def test_gradients_of_the_network_that_reads_digits(train_digits):
    # in float64, along a random direction in every array of parameters, by central differences
    rng = np.random.default_rng(0)
    network = train_digits["Network"](rng)
    for layer in network.layers:
        layer.parameters = [rng.normal(parameter, 0.1) for parameter in layer.parameters]
    pictures, labels = rng.random((5, 1, 8, 8)), np.arange(5)

    def loss() -> tuple[float, np.ndarray]:
        return train_digits["cross_entropy"](network.forward(pictures), labels)

    gradients = network.backward(loss()[1])
    assert len(gradients) == len(network.parameters()) == 8
    for parameter, gradient in zip(network.parameters(), gradients):
        assert gradient.dtype == np.float64
        assert gradient.shape == parameter.shape
        direction = rng.choice([-1e-6, 1e-6], parameter.shape)
        parameter += direction
        above = loss()[0]
        parameter -= 2 * direction
        below = loss()[0]
        parameter += direction
        assert (above - below) / 2 == pytest.approx(np.sum(gradient * direction), rel=1e-5)


def test_training_is_the_same_on_any_number_of_threads(train_digits):
    def losses(threads: int) -> list[float]:
        rng = np.random.default_rng(0)
        pictures, labels = rng.random((200, 1, 8, 8), np.float32), rng.integers(10, size=200)
        with num_threads(threads):
            return list(train_digits["train"](train_digits["Network"](rng), pictures, labels, 2, rng))

    assert losses(1) == losses(3)


def test_train_digits(train_digits, tmp_path):
    out = tmp_path / "out.png"
    command = [sys.executable, EXAMPLES / "train_digits.py", out, "--epochs", "2"]
    run = subprocess.run(command, check=True, capture_output=True, text=True)
    accuracy, misread, tested = map(
        float, re.fullmatch(r"test accuracy: ([0-9.]+)% \((\d+) of (\d+) misread\)\n", run.stdout).groups()
    )
    assert accuracy > 80
    assert abs(accuracy - 100 * (1 - misread / tested)) < 0.051
    assert len(run.stderr.splitlines()) == 2  # one line per epoch where there is no terminal
    assert np.asarray(Image.open(out)).shape[:2] == (840, 1200)


@pytest.fixture(scope="module")
def plot_options() -> dict:
    return runpy.run_path(str(EXAMPLES / "plot_options.py"))


def test_plot_options_draws_every_weight_of_every_matrix(plot_options):
    panels = plot_options["PANELS"]
    axes = plot_options["picture"]().axes
    assert len(axes) == len(panels) == 9
    for panel, ax in zip(panels, axes):
        weight = np.arange(1.0, 1 + np.prod(panel.weight_shape)).reshape(panel.weight_shape)
        M = reference.convolution_matrix(weight, (4, 4), **panel.options)
        M = M.T if panel.transposed else M
        np.testing.assert_array_equal(plot_options["weights_in_m"](panel) + 1, M)
        drawn = np.zeros_like(M)
        for text in ax.texts:
            column, row = text.get_position()
            drawn[row, column] = 1 + "abcdefgh".index(text.get_text())
        np.testing.assert_array_equal(drawn, M)
        assert ax.get_xlabel() == f"{M.shape[1]} inputs, {M.shape[0]} outputs"


def test_plot_options(tmp_path):
    out = tmp_path / "out.png"
    subprocess.run([sys.executable, EXAMPLES / "plot_options.py", out], check=True)
    assert np.asarray(Image.open(out)).shape[:2] == (1300, 1300)


def test_plot_sharpen(tmp_path):
    out = tmp_path / "out.png"
    script = EXAMPLES / "plot_sharpen.py"
    printed = subprocess.run([sys.executable, script, out], check=True, capture_output=True, text=True).stdout
    assert printed.endswith("  channel 0    10   0 [30] 20\n\n")
    assert min(np.asarray(Image.open(out)).shape[:2]) > 400
