"""Notebook: how an explanation shows itself in a notebook: the page in a frame, beside the text and the picture."""

from __future__ import annotations

import sys
from html import escape
from typing import Any

# The height of the frame, in pixels.
HEIGHT = 1130
# The frame may run the scripts of the page and save its files. It shares nothing with the notebook.
FRAME = (
    '<iframe sandbox="allow-scripts allow-downloads" srcdoc="{page}" width="100%" height="{height}" '
    'style="border: 0" title="{title}"></iframe>'
)


class Displayed:
    """What is a text, a page and a picture."""

    def text(self) -> str:
        """Return the text."""
        raise NotImplementedError

    def html(self) -> str:
        """Return the page."""
        raise NotImplementedError

    def figure(self) -> Any:
        """Return the picture, a figure of matplotlib."""
        raise NotImplementedError

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
