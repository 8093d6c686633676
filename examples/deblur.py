"""Deblur a photograph
===================

This restores a blurred, noisy photograph by least squares. It uses the convolution as a linear operator, and its
transpose.

Run it with::

    python examples/deblur.py before_after.png

It takes a few seconds. It uses a photograph that matplotlib ships; ``--picture`` names another. It needs Pillow and
matplotlib (``pip install ".[examples]"``).
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps
from scipy.sparse.linalg import LinearOperator, lsmr

import gemmconv


def disc(radius: float) -> np.ndarray:
    """Return the kernel of a lens that is out of focus: it turns every point into a disc."""
    reach = np.arange(-np.ceil(radius), np.ceil(radius) + 1)
    kernel = (reach[:, np.newaxis] ** 2 + reach**2 <= radius**2).astype(np.float32)
    return kernel / kernel.sum()


def blur_operator(shape: tuple[int, ...], kernel: np.ndarray) -> gemmconv.ConvolutionOperator:
    """Return the blur of a picture of shape (colours, height, width); beyond the border, the picture is mirrored."""
    weight = np.broadcast_to(kernel, (shape[0], 1, *kernel.shape))
    return gemmconv.ConvolutionOperator(weight, shape[1:], padding="same", padding_mode="symmetric", groups=shape[0])


class WithProgress(LinearOperator):
    """An operator that counts its products, and shows the count on one line."""

    def __init__(self, operator: LinearOperator, products: int) -> None:
        super().__init__(operator.dtype, operator.shape)
        self.operator, self.products, self.taken = operator, products, 0

    def _count(self) -> None:
        self.taken += 1
        if sys.stderr.isatty():
            print(f"\rdeblurring: product {self.taken} of at most {self.products}", end="", file=sys.stderr, flush=True)

    def _matvec(self, x: np.ndarray) -> np.ndarray:
        self._count()
        return self.operator.matvec(x)

    def _rmatvec(self, x: np.ndarray) -> np.ndarray:
        self._count()
        return self.operator.rmatvec(x)


def deblur(blurred: np.ndarray, kernel: np.ndarray, damp: float, iterations: int) -> np.ndarray:
    """Return the picture x that minimises ``|blur(x) - blurred|**2 + damp**2 * |x - blurred|**2``."""
    blur = WithProgress(blur_operator(blurred.shape, kernel), 2 * iterations + 3)
    missing = blurred.ravel() - blur @ blurred.ravel()
    correction = lsmr(blur, missing, damp=damp, atol=0, btol=0, maxiter=iterations)[0]
    if sys.stderr.isatty():
        print(file=sys.stderr)
    return blurred + correction.reshape(blurred.shape)


def rms(difference: np.ndarray) -> float:
    """Return the root of the mean square."""
    return float(np.sqrt(np.mean(difference**2)))


def read(path: str | None) -> np.ndarray:
    """Return a picture as floats from 0 to 1 of shape (colours, height, width)."""
    if path is None:
        from matplotlib.cbook import get_sample_data

        path = str(get_sample_data("grace_hopper.jpg", asfileobj=False))
    with Image.open(path) as picture:
        pixels = np.asarray(ImageOps.exif_transpose(picture).convert("RGB"))
    return np.moveaxis(pixels, -1, 0) / 255


def main() -> None:
    """Blur, add noise, deblur, and save the three pictures side by side."""
    parser = argparse.ArgumentParser(description="Blur a photograph, and recover it.")
    parser.add_argument("output", metavar="OUT", help="where to write the picture: the original, blurred, recovered")
    parser.add_argument("--picture", metavar="IN", help="default: a photograph that matplotlib ships")
    parser.add_argument("--radius", type=float, default=5, help="of the blur, in pixels; default: 5")
    parser.add_argument("--noise", type=float, default=0.001, help="its standard deviation, white is 1; default: 0.001")
    parser.add_argument("--iterations", type=int, default=60, help="of lsmr; default: 60")
    options = parser.parse_args()
    if Path(options.output).suffix.lower() not in Image.registered_extensions():
        parser.error(f"Pillow writes no pictures whose names end like that of {options.output!r}")

    original, kernel = read(options.picture), disc(options.radius)
    blur = blur_operator(original.shape, kernel)
    noise = np.random.default_rng(0).normal(0, options.noise, original.shape)
    blurred = (blur @ original.ravel()).reshape(original.shape) + noise
    recovered = deblur(blurred, kernel, damp=20 * options.noise, iterations=options.iterations)

    before, after = rms(blurred - original), rms(recovered - original)
    print(f"error before: {before:.4f}, after: {after:.4f} (root mean square; white is 1)")
    side_by_side = np.concatenate([original, blurred, recovered], axis=2)
    Image.fromarray(np.moveaxis((255 * side_by_side).round().clip(0, 255).astype(np.uint8), 0, -1)).save(options.output)


if __name__ == "__main__":
    main()
