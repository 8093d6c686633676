"""Picture files: a figure as SVG, PNG or PDF, and the figures of all outputs as one GIF."""

from __future__ import annotations

import io
import re
from collections.abc import Iterable
from math import prod
from typing import TYPE_CHECKING, Any
from zlib import crc32

import numpy as np

from .drawing import MissingError, style

if TYPE_CHECKING:
    from .explanation import Explanation

# Dots per inch of PNG and of GIF.
DOTS, DOTS_OF_GIF = 200, 100
# The time that a GIF shows each output, in milliseconds, and the most outputs of a GIF.
PAUSE, MOST_FRAMES = 700, 300
NO_PILLOW = 'Pillow is missing: pip install "gemmconv[explain]"'


def saved(figure: Any, form: str, dots: int = DOTS) -> bytes:
    """Return a figure as a file; the same figure gives the same bytes."""
    file = io.BytesIO()
    metadata = {"svg": {"Date": None, "Creator": "gemmconv"}, "pdf": {"CreationDate": None}}.get(form)
    with style():
        figure.savefig(file, format=form, dpi=dots, metadata=metadata)
    return compact(file.getvalue()) if form == "svg" else file.getvalue()


def compact(svg: bytes) -> bytes:
    """Return an SVG with classes in place of styles, and two digits after the point: half as large.

    A class is named after its style, so that several pictures on one page cannot disturb each other.
    """
    classes: dict[bytes, bytes] = {}

    def named(found: re.Match[bytes]) -> bytes:
        name = classes.setdefault(found[1], b"s%08x" % crc32(found[1]))
        return b'class="%s"' % name

    def shortened(found: re.Match[bytes]) -> bytes:
        path = b" ".join(found[2].split())
        return found[1] + re.sub(rb"-?\d+\.\d+", lambda number: b"%g" % round(float(number[0]), 2), path) + b'"'

    svg = re.sub(rb' transform="rotate\(-0 [^"]*"', b"", svg)
    svg = re.sub(rb'(\s(?:d|x|y|transform)=")([^"]*)"', shortened, svg)
    svg = re.sub(rb'style="([^"]*)"', named, svg)
    rules = b"".join(b".%s{%s}" % (name, rule) for rule, name in classes.items())
    return svg.replace(b"</style>", rules + b"</style>", 1)


def plotted(explanation: Explanation, form: str, **options: Any) -> bytes:
    """Return the picture as a file; as a GIF, all outputs one after another. `options` are those of `figure`."""
    if form != "gif":
        return saved(explanation.figure(**options), form)
    shape = explanation.problem.y_shape
    if prod(shape) > MOST_FRAMES:
        raise ValueError(f"y has {prod(shape)} outputs: a GIF shows at most {MOST_FRAMES}, one after another")
    explanations = (type(explanation)(explanation.problem, at) for at in np.ndindex(shape))
    return animation(each.figure(**options) for each in explanations)


def animation(figures: Iterable[Any]) -> bytes:
    """Return a GIF with one frame per figure."""
    try:
        from PIL import Image
    except ImportError as error:
        raise MissingError(NO_PILLOW) from error
    frames = [Image.open(io.BytesIO(saved(figure, "png", DOTS_OF_GIF))).convert("RGB") for figure in figures]
    size = max(frame.width for frame in frames), max(frame.height for frame in frames)
    pages = [Image.new("RGB", size, "white") for _ in frames]
    for page, frame in zip(pages, frames):
        page.paste(frame)
    first, *others = (page.quantize(64, dither=Image.Dither.NONE) for page in pages)
    file = io.BytesIO()
    first.save(file, format="GIF", save_all=True, append_images=others, duration=PAUSE, loop=0)
    return file.getvalue()
