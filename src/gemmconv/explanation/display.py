"""Display: an explanation as a page and as a picture, and how it shows itself in a notebook.

A notebook shows the page in a frame, beside the text and the picture.
"""

from __future__ import annotations

import os
import sys
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import replace
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING

from ..checks.options import Sizes
from .facts import Facts
from .view import View

if TYPE_CHECKING:  # these are imported only when they are needed
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# The height of the frame, in pixels.
HEIGHT = 1130
# The frame may run the scripts of the page and save its files. It shares nothing with the notebook.
FRAME = (
    '<iframe sandbox="allow-scripts allow-downloads" srcdoc="{page}" width="100%" height="{height}" '
    'style="border: 0" title="{title}"></iframe>'
)


class Displayed(ABC):
    """What is a text, a page and a picture."""

    _facts: Facts

    @property
    @abstractmethod
    def at(self) -> Sizes:
        """The output that is written out."""

    @abstractmethod
    def text(self) -> str:
        """Return the text."""

    @abstractmethod
    def _view(self, weight_at: Sequence[int] | None, input_at: Sequence[int] | None) -> View:
        """Return what is shown, with the weight and the input that are written out."""

    def html(
        self,
        file: str | os.PathLike[str] | None = None,
        *,
        name: str = "",
        backward: bool = False,
        weight_at: Sequence[int] | None = None,
        input_at: Sequence[int] | None = None,
    ) -> str:
        """Return a page that shows the convolution: one HTML file that needs nothing else.

        Parameters
        ----------
        file : path, optional
            Where to write it as well; a file of that name is replaced.
        name : str, optional
            A name for its title.
        backward : bool, optional
            Whether the page begins in Backward, with the gradients.
        weight_at, input_at : sequence of int, optional
            The weight, or else the input, that is selected first. By default it is the output that `text` writes out.

        Returns
        -------
        str
            The page.

        Raises
        ------
        ValueError
            If x and weight have more than 20000 numbers, there is too much to compute in a browser, or there is no such
            weight or input.
        """
        from .page import build, selected

        selection = selected(self._view(weight_at, input_at), weight_at is not None, input_at is not None)
        text = build(self._facts, selection, name, backward)
        if file is not None:
            Path(file).write_text(text, "utf-8")
        return text

    def figure(
        self,
        figsize: tuple[float, float] | None = None,
        *,
        letters: bool | None = None,
        backward: bool = False,
        digits: int = 4,
        weight_at: Sequence[int] | None = None,
        input_at: Sequence[int] | None = None,
    ) -> Figure:
        """Return the explanation as a figure of matplotlib, which is not one of pyplot's.

        Parameters
        ----------
        figsize : tuple of float, optional
            Width and height in inches. By default it is 10 inches wide and as high as it has to be, at most 14.
        letters, backward, digits, weight_at, input_at : optional
            As in `text`. With `backward`, the weight and the input have outlines of their own.

        Returns
        -------
        matplotlib.figure.Figure
            The figure. Each cell has an id, such as ``cell-M-5-12`` for row 5 and column 12 of M.
        """
        from .picture import figure_of

        view = self._view(weight_at, input_at)
        view = replace(view, letters=letters, backward=backward or view.backward, digits=digits)
        figure: Figure = figure_of(view, figsize)
        return figure

    def draw(self, panel: str, ax: Axes | None = None, *, letters: bool | None = None, digits: int = 4) -> Axes:
        """Draw one panel of the figure, ``"x"``, ``"weight"``, ``"y"``, ``"P"``, ``"K"``, ``"Y"`` or ``"M"``.

        It is drawn on `ax`, or without it on a figure of its own, ``axes.figure``. The axes are returned.
        """
        from .picture import draw_panel

        axes: Axes = draw_panel(replace(self._view(None, None), letters=letters, digits=digits), panel, ax)
        return axes

    def _repr_html_(self) -> str | None:
        """Return the page in a frame; None if there is too much for a page."""
        try:
            page = self.html()
        except ValueError:
            return None
        return FRAME.format(page=escape(page), height=HEIGHT, title=escape(repr(self)))

    def _repr_mimebundle_(self, include: object = None, exclude: object = None) -> dict[str, str]:  # noqa: ARG002
        """Return the text, the page, and the picture if matplotlib is in use already."""
        forms = {"text/plain": self.text(), "text/html": self._repr_html_(), "image/svg+xml": self._picture()}
        return {form: text for form, text in forms.items() if text is not None}

    def _picture(self) -> str | None:
        """Return the picture as SVG; None if nothing has imported matplotlib, which takes long."""
        if "matplotlib" not in sys.modules:
            return None
        from .picture_files import saved

        return saved(self.figure(), "svg").decode()
