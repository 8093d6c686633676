"""Filter a picture
================

This filters a picture file, and writes the result to another file.

Run it with::

    python examples/filter_picture.py photo.jpg sharp.png --kernel sharpen

It needs Pillow (``pip install pillow``).
"""

from __future__ import annotations

import argparse

import numpy as np
from PIL import Image, ImageOps

import gemmconv

# A smooth bump: along both axes, the row 1 4 6 4 1 of Pascal's triangle.
BINOMIAL = np.outer([1, 4, 6, 4, 1], [1, 4, 6, 4, 1]) / 256

KERNELS = {
    "blur": BINOMIAL,
    "sharpen": [[0, -1, 0], [-1, 5, -1], [0, -1, 0]],
    "emboss": [[-2, -1, 0], [-1, 1, 1], [0, 1, 2]],
    "edges": [[-1, -1, -1], [-1, 8, -1], [-1, -1, -1]],
}


def filter_picture(pixels: np.ndarray, kernel: np.ndarray) -> np.ndarray:
    """Filter each colour of a picture separately; beyond the border, its outermost pixels are repeated.

    Parameters
    ----------
    pixels : ndarray of uint8 of shape (height, width, colours)
    kernel : ndarray of float32 of shape (KH, KW)

    Returns
    -------
    ndarray of uint8 of shape (height, width, colours)
    """
    colours = pixels.shape[-1]
    x = np.moveaxis(pixels, -1, 0)
    weight = np.broadcast_to(kernel, (colours, 1, *kernel.shape))
    y = gemmconv.conv2d(x, weight, padding="same", padding_mode="edge", groups=colours)
    return np.moveaxis(y.round().clip(0, 255).astype(np.uint8), 0, -1)


def main() -> None:
    """Read a picture, filter it, and write it."""
    parser = argparse.ArgumentParser(description="Filter a picture.")
    parser.add_argument("input", metavar="IN", help="a picture that Pillow can read")
    parser.add_argument("output", metavar="OUT", help="where to write the result; the ending tells the format")
    parser.add_argument("--kernel", choices=KERNELS, default="sharpen", help="default: sharpen")
    options = parser.parse_args()

    with Image.open(options.input) as picture:
        pixels = np.asarray(ImageOps.exif_transpose(picture).convert("RGB"))
    kernel = np.asarray(KERNELS[options.kernel], np.float32)
    Image.fromarray(filter_picture(pixels, kernel)).save(options.output)


if __name__ == "__main__":
    main()
