"""The page as the tests of its controls use it: fixtures, and what they enter and check."""

from __future__ import annotations

import numpy as np
import pytest
from browser import opened

from gemmconv import conv, conv_transpose
from gemmconv.explanation import example

SHAPES = "({problem}) => [problem.x.shape, problem.weight.shape]"


@pytest.fixture(scope="module")
def controls_page(chromium, tmp_path_factory):
    """Return the page of the example channels, with all controls unfolded.

    What it draws is hidden except in tests that look at it, because laying that out takes most of the time.
    """
    file = tmp_path_factory.mktemp("controls") / "page.html"
    file.write_text(example("channels").html())
    one = opened(chromium, file, viewport={"width": 1200, "height": 900})
    one.page.clock.install()
    one.page.evaluate("document.querySelectorAll('#controls details').forEach(fold => { fold.open = true; })")
    one.page.evaluate("document.querySelector('main').hidden = true")
    yield one.page
    one.check()
    one.page.context.close()


@pytest.fixture
def fresh(controls_page):
    """Return the page in the state in which it starts."""
    controls_page.evaluate("window.first ??= {...page.state}")
    yield controls_page
    controls_page.evaluate("document.querySelector('#controls dialog').close(); page.set({...first})")


@pytest.fixture
def drawn(fresh):
    """Return the page with what it draws."""
    fresh.evaluate("document.querySelector('main').hidden = false; page.set({problem: {...first.problem}})")
    yield fresh
    fresh.evaluate("document.querySelector('main').hidden = true")


def problem(page):
    return page.evaluate("page.state.problem")


def enter(page, label, value):
    """Put a value into the number box of a control."""
    box = page.get_by_label(label, exact=True)
    box.fill(str(value))
    box.dispatch_event("change")


def choose(page, example_name):
    page.get_by_label("example", exact=True).select_option(example_name)


def check_y(page):
    """Assert that the output shown is the one of gemmconv."""
    p = problem(page)
    x, weight = (np.array(p[name]["data"], float).reshape(p[name]["shape"]) for name in ("x", "weight"))
    padding = p["padding"] if isinstance(p["padding"], str) else tuple(map(tuple, p["padding"]))
    options = {"stride": p["stride"], "padding": padding, "dilation": p["dilation"], "groups": p["groups"]}
    if p["transposed"]:
        expected = conv_transpose(x, weight, p["bias"], **options, output_padding=p["outputPadding"])
    else:
        modes = {"padding_mode": p["modes"], "padding_value": p["value"]}
        expected = conv(x, weight, p["bias"], **options, **modes, flip=p["flip"])
    assert page.evaluate("Array.from(core.forward(page.state.problem))") == expected.ravel().tolist()
    shown = page.locator("#y [data-kind=output]")
    assert shown.count() == expected.size
    assert message(page) == ""


def message(page):
    return page.locator("#controls > .message").inner_text()
