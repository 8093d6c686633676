"""How an explanation shows itself in a notebook."""

from __future__ import annotations

import sys
from html.parser import HTMLParser
from xml.etree import ElementTree

import pytest

from gemmconv.explanation import Explanation, example

PAGE = '<!doctype html><title>"a" & b</title><script>let x = 1 < 2;</script>'


class Frames(HTMLParser):
    """Collect the attributes of all elements."""

    def __init__(self, text):
        super().__init__()
        self.elements = []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))


def test_the_page_is_in_a_frame_of_its_own(monkeypatch):
    monkeypatch.setattr(Explanation, "html", lambda _: PAGE)
    [(tag, attributes)] = Frames(example("small")._repr_html_()).elements
    assert tag == "iframe"
    assert attributes["sandbox"] == "allow-scripts allow-downloads"
    assert attributes["srcdoc"] == PAGE
    assert attributes["title"] == repr(example("small"))


def test_what_is_too_large_for_a_page_is_shown_as_text(monkeypatch):
    def refuse(_):
        raise ValueError("too large")

    monkeypatch.setattr(Explanation, "html", refuse)
    monkeypatch.delitem(sys.modules, "matplotlib", raising=False)
    assert example("small")._repr_html_() is None
    assert example("small")._repr_mimebundle_() == {"text/plain": example("small").text()}


def test_the_picture_is_shown_only_where_matplotlib_is_in_use(monkeypatch):
    monkeypatch.setattr(Explanation, "html", lambda _: PAGE)
    with monkeypatch.context() as without:
        without.delitem(sys.modules, "matplotlib", raising=False)
        forms = example("small")._repr_mimebundle_(include=None, exclude=None)
    assert forms == {"text/plain": example("small").text(), "text/html": example("small")._repr_html_()}
    pytest.importorskip("matplotlib")
    picture = example("small")._repr_mimebundle_()["image/svg+xml"]
    assert ElementTree.fromstring(picture).tag.endswith("svg")
