"""Drawing: a sheet on axes of matplotlib. Nothing else imports matplotlib, and this does only when it draws."""

from __future__ import annotations

import re
from contextlib import AbstractContextManager
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .palette import HATCH, INK, LINE, PALE, PALE_LINE, PAPER, SHARE_WITHOUT_TEXT, channels, mixed, tap_colours
from .palette import REMARK as GREY
from .sheet import INPUT, PADDING, UNREAD, WEIGHT, Box, Label, Picture, Sheet

MISSING = 'matplotlib is missing: pip install "gemmconv[explain]"'
FIXED, PROPORTIONAL = ["DejaVu Sans Mono", "monospace"], ["DejaVu Sans", "sans-serif"]
# Deterministic files, in which text stays text.
STYLE = {"svg.hashsalt": "gemmconv", "svg.fonttype": "none", "pdf.fonttype": 42, "hatch.linewidth": 0.5}
# The width of the lines between cells, and of the outline of the selection.
THIN, OUTLINE = 0.4, 1.5
# The smallest letter in the corner of a cell.
SMALLEST_LETTER = 4.6
HATCHES = {"": None, PADDING: "//////", UNREAD: "xxxxxx"}
DASHES: dict[str, Any] = {WEIGHT: (0, (2.2, 1.2)), INPUT: (0, (0.8, 0.9))}


class MissingError(ImportError):
    """matplotlib, or Pillow, cannot be imported."""


def style() -> AbstractContextManager[Any]:
    """Return a context in which matplotlib has its own settings, not the caller's."""
    try:
        import matplotlib.style
    except ImportError as error:
        raise MissingError(MISSING) from error
    context: AbstractContextManager[Any] = matplotlib.style.context(["default", STYLE])
    return context


def paint(sheet: Sheet, axes: Any, taps: int, scale: float) -> None:
    """Draw a sheet on axes; a point of the sheet takes `scale` points."""
    from matplotlib.patches import Rectangle

    axes.set_xlim(0, sheet.width)
    axes.set_ylim(sheet.height, 0)
    axes.set_axis_off()
    axes.set_gid(f"panel-{sheet.name}")
    colours = tap_colours(taps)
    for left, top, width, height in sheet.frames:
        frame = Rectangle((left, top), width, height, facecolor=PALE, edgecolor=PALE_LINE, linewidth=THIN * scale)
        _add(axes, frame)
    for picture in sheet.pictures:
        _paint_picture(axes, picture, colours)
    for box in sheet.boxes:
        _paint_box(axes, box, colours, scale)
    for label in sheet.labels:
        _paint_label(axes, label, scale)


def _paint_box(axes: Any, box: Box, colours: list[str], scale: float) -> None:
    from matplotlib.patches import Rectangle

    tile, (width, height, font) = box.tile, box.size
    fill = PAPER if tile.tap is None else colours[tile.tap]
    if not tile.selected:
        fill = mixed(fill)
    strong = tile.selected or tile.marked
    rectangle = Rectangle(
        (box.x, box.y),
        width,
        height,
        facecolor=fill,
        edgecolor=HATCH if tile.hatch else INK if strong else LINE,
        linewidth=(OUTLINE if strong and not tile.hatch else THIN) * scale,
        linestyle=DASHES.get(tile.marked, "-"),
        hatch=HATCHES[tile.hatch],
        zorder=3 if tile.marked else 2 if tile.selected else 1,
        gid=f"cell-{box.name}",
    )
    _add(axes, rectangle)
    if strong and tile.hatch:  # the hatch has the colour of the edge, which is to be pale
        outline = Rectangle((box.x, box.y), width, height, fill=False, edgecolor=INK, linewidth=OUTLINE * scale)
        outline.set(linestyle=DASHES.get(tile.marked, "-"), zorder=3)
        _add(axes, outline)
    if tile.text:
        place = (box.x + width / 2, box.y + height * (0.62 if tile.corner else 0.5))
        text = _text(axes, place, tile.text, font * scale)
        text.set(gid=f"text-{box.name}", weight="bold" if tile.selected else "normal")
        if box.turned:
            text.set(rotation=90, va="center")
    if tile.corner:
        place = (box.x + 0.25 * font, box.y + 0.42 * font)
        _text(axes, place, tile.corner, max(0.62 * font, SMALLEST_LETTER) * scale, "left").set(gid=f"letter-{box.name}")


def _add(axes: Any, artist: Any) -> None:
    """Add an artist whose lines may stand half outside the axes."""
    axes.add_artist(artist)
    artist.set_clip_on(False)


def _paint_label(axes: Any, label: Label, scale: float) -> None:
    # browsers show several blanks of an SVG as one
    shown = re.sub("  +", lambda blanks: len(blanks[0]) * "\N{NO-BREAK SPACE}", label.text)
    text = _text(axes, (label.x, label.y), shown, label.size * scale, label.align)
    text.set(color=GREY if label.remark else INK, weight="bold" if label.bold else "normal")
    text.set_fontfamily(FIXED if label.fixed else PROPORTIONAL)


def _text(axes: Any, place: tuple[float, float], text: str, size: float, align: str = "center") -> Any:
    return axes.text(
        *place, text, fontsize=size, color=INK, ha=align, va="center_baseline", family=FIXED, zorder=4, parse_math=False
    )


def _paint_picture(axes: Any, picture: Picture, colours: list[str]) -> None:
    from matplotlib.patches import Rectangle

    x, y, width, height = picture[:4]
    image = axes.imshow(
        colours_of(picture, colours),
        extent=(x, x + width, y + height, y),
        interpolation="nearest",
        aspect="auto",
        resample=False,
    )
    image.set_gid(f"cells-{picture.name}")
    _add(axes, Rectangle((x, y), width, height, fill=False, edgecolor=LINE, linewidth=THIN))
    if picture.selected.any():
        rows, columns = np.nonzero(picture.selected)
        down, across = height / picture.selected.shape[0], width / picture.selected.shape[1]
        corner = (x + columns.min() * across, y + rows.min() * down)
        size = (np.ptp(columns) + 1) * across, (np.ptp(rows) + 1) * down
        _add(axes, Rectangle(corner, *size, fill=False, edgecolor=INK, linewidth=OUTLINE / 2, zorder=3))


def colours_of(picture: Picture, colours: list[str]) -> NDArray[np.uint8]:
    """Return red, green and blue of every cell of a picture; a selected cell without a tap is dark."""
    table = [mixed(colour, SHARE_WITHOUT_TEXT) for colour in colours] + [PAPER] + colours + [INK]
    numbers = np.where(picture.taps < 0, len(colours), picture.taps)
    numbers = numbers + np.where(picture.selected, len(colours) + 1, 0)
    return np.array([channels(colour) for colour in table], np.uint8)[numbers]
