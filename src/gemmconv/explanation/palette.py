"""Palette: the colours of the picture, which carry no meaning that letters, outlines and hatches do not carry too."""

from __future__ import annotations

# Paul Tol's light colours, made for dark text on them. Each tap of a kernel has one.
TAPS = ("#77AADD", "#EE8866", "#EEDD88", "#FFAABB", "#99DDFF", "#44BB99", "#BBCC33", "#AAAA00", "#DDDDDD")
# Kernels of more taps use the part of cividis that is light enough for dark text, which begins here.
LIGHT_PART = 0.72
# The colour of text and of outlines, of remarks, of hatches, of the lines between cells, and of cells without a tap.
INK, REMARK, HATCH, LINE, PAPER = "#111111", "#555555", "#909090", "#BBBBBB", "#FFFFFF"
# The colour behind the cells of a matrix where it has no entry, and of the lines around it.
PALE, PALE_LINE = "#F8F8F8", "#E2E2E2"
# How much of its colour a cell that is not selected keeps.
SHARE = 0.4
# The same for cells without text, which may be small.
SHARE_WITHOUT_TEXT = 0.7


def tap_colours(taps: int) -> list[str]:
    """Return the colour of each tap of a kernel."""
    if taps <= len(TAPS):
        return list(TAPS[:taps])
    from matplotlib import colormaps
    from matplotlib.colors import to_hex

    scale = colormaps["cividis"]
    return [to_hex(scale(LIGHT_PART + (1 - LIGHT_PART) * tap / (taps - 1))) for tap in range(taps)]


def channels(colour: str) -> tuple[int, int, int]:
    """Return red, green and blue, from 0 to 255."""
    return int(colour[1:3], 16), int(colour[3:5], 16), int(colour[5:7], 16)


def mixed(colour: str, share: float = SHARE) -> str:
    """Return a colour mixed with white, of which it keeps a share."""
    parts = (round(255 + (part - 255) * share) for part in channels(colour))
    return "#" + "".join(f"{part:02x}" for part in parts)


def contrast(colour: str, other: str = INK) -> float:
    """Return the contrast of two colours as WCAG 2 defines it, from 1 to 21."""
    dark, light = sorted((_luminance(colour), _luminance(other)))
    return (light + 0.05) / (dark + 0.05)


def _luminance(colour: str) -> float:
    linear = [
        part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4
        for part in (channel / 255 for channel in channels(colour))
    ]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
