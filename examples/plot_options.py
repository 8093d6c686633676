"""What each option does to the matrix M
=====================================

A convolution is a matrix M: one row per output, one column per input. This draws M for nine choices of the options.

Run it with::

    python examples/plot_options.py options.png

M multiplies the input as one long vector: ``y.ravel() == M @ x.ravel()``. The input is 4 x 4, the kernel is 2 x 2 with
the weights a, b, c, d. A cell with a letter is a weight, with one colour for each tap of a kernel. An empty cell is no
connection: it is zero, and stays zero in training. It needs matplotlib (``pip install ".[examples]"``).
"""

from __future__ import annotations

import argparse
from string import ascii_letters
from typing import Any, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure

import gemmconv

SIZE = (4, 4)
KERNEL = (2, 2)
TAPS = 4
# One colour per tap (Paul Tol's light colours): readers who confuse colours can tell them apart.
COLOURS = ListedColormap(["#77aadd", "#ee8866", "#eedd88", "#44bb99"])


class Panel(NamedTuple):
    """One picture: the options, what they do to M, and the channels."""

    title: str
    effect: str
    options: dict[str, Any]
    weight_shape: tuple[int, ...] = (1, 1, *KERNEL)
    transposed: bool = False


PANELS = [
    Panel("no option", "every row holds the same kernel, moved", {}),
    Panel("stride=2", "every second output along each axis", {"stride": 2}),
    Panel("dilation=2", "gaps between the weights of a row", {"dilation": 2}),
    Panel("padding=1", "more outputs; weights that meet the padding are cut off", {"padding": 1}),
    Panel('padding="same"', "as many outputs as inputs: M is square", {"padding": "same"}),
    Panel(
        'padding="same", padding_mode="wrap"',
        "no weight is cut off: it reads the other side",
        {"padding": "same", "padding_mode": "wrap"},
    ),
    Panel("flip=True", "the kernel is reversed: d c b a", {"flip": True}),
    Panel(
        "groups=2, two channels in and out",
        "blocks without a connection between the groups",
        {"groups": 2},
        (2, 1, *KERNEL),
    ),
    Panel("conv_transpose", "the transpose of the first: outputs become inputs", {}, transposed=True),
]


def weights_in_m(panel: Panel) -> np.ndarray:
    """Return which weight each entry of M is, as an index into the flat weight, and -1 where there is none."""
    ties = gemmconv.tied_weights(panel.weight_shape, SIZE, **panel.options).tocoo()
    weights = np.full(ties.shape, -1)
    weights[ties.row, ties.col] = ties.data
    return weights.T if panel.transposed else weights


def draw(panel: Panel, ax: Axes) -> None:
    """Draw the M of one panel."""
    weights = weights_in_m(panel)
    ax.imshow(np.ma.masked_less(weights, 0) % TAPS, COLOURS, vmin=0, vmax=TAPS - 1)
    for row, column in np.argwhere(weights >= 0):
        letter = ascii_letters[weights[row, column]]
        ax.text(column, row, letter, ha="center", va="center_baseline", fontsize=90 / max(weights.shape) + 3.5)
    for line, count in ((ax.axvline, weights.shape[1]), (ax.axhline, weights.shape[0])):
        for place in range(1, count):
            line(place - 0.5, color="0.75", linewidth=0.3)
    ax.set_title(f"{panel.title}\n{panel.effect}", fontsize=10)
    ax.set_xlabel("{1} inputs, {0} outputs".format(*weights.shape))
    ax.set(xticks=[], yticks=[])


def picture() -> Figure:
    """Return the picture of all panels."""
    figure = Figure((13, 13), layout="constrained")
    for panel, ax in zip(PANELS, figure.subplots(3, 3).flat):
        draw(panel, ax)
    return figure


def main() -> None:
    """Draw, and save."""
    parser = argparse.ArgumentParser(description="Draw what each option of a convolution does to its matrix.")
    parser.add_argument("output", metavar="OUT", help="where to write the picture; the ending tells the format")
    picture().savefig(parser.parse_args().output)


if __name__ == "__main__":
    main()
