"""Steps through the page, numbers that are pasted or edited, the way back, and the controls on a phone."""

from __future__ import annotations

import json

import numpy as np
import pytest
from controls import SHAPES, check_y, problem

from gemmconv.explanation import example


def test_step_scrub_and_direction(fresh):
    def at():
        return fresh.evaluate("page.state.selection.at")

    fresh.get_by_role("button", name="Next", exact=True).click()
    assert at() == 6
    for _ in range(7):
        fresh.get_by_role("button", name="Previous", exact=True).click()
    assert at() == 17
    scrub = fresh.get_by_label("output", exact=True)
    scrub.fill("9")
    assert at() == 9
    assert scrub.evaluate("range => range.ariaValueText") == "y[1, 0, 0]"
    assert scrub.get_attribute("max") == "17"
    scrub.press("ArrowLeft")
    assert at() == 8
    fresh.get_by_role("radio", name="Backward").check()
    assert fresh.evaluate("page.state.backward") is True
    fresh.get_by_role("radio", name="Forward").check()
    assert fresh.evaluate("page.state.backward") is False
    fresh.get_by_role("radio", name="Values").check()
    assert fresh.evaluate("page.state.letters") is False
    fresh.get_by_role("radio", name="Values").press("ArrowRight")
    assert fresh.evaluate("page.state.letters") is True


@pytest.mark.parametrize("motion", ["no-preference", "reduce"])
def test_play(fresh, motion):
    def at():
        return fresh.evaluate("page.state.selection.at")

    fresh.emulate_media(reduced_motion=motion)
    fresh.clock.pause_at(fresh.evaluate("Date.now()") / 1000 + 10)
    fresh.clock.run_for(20_000)
    assert at() == 5  # it does not start by itself
    fresh.evaluate("page.set({pinned: true})")
    fresh.get_by_role("button", name="Play", exact=True).click()
    assert fresh.evaluate("page.state.pinned") is False  # the address does not follow each step
    fresh.clock.run_for(1001)
    assert at() == 6
    fresh.clock.run_for(600)
    fresh.evaluate("page.set({})")  # a change does not delay it
    fresh.clock.run_for(401)
    assert at() == 7
    fresh.get_by_label("per second").select_option("8")
    fresh.clock.run_for(1001)  # one second is under way
    before = at()
    fresh.clock.run_for(1001)
    assert at() == before + 8
    fresh.get_by_label("per second").select_option("0.25")
    fresh.clock.run_for(126)
    before = at()
    fresh.clock.run_for(3900)
    assert at() == before
    fresh.clock.run_for(101)
    assert at() == (before + 1) % 18
    fresh.get_by_role("button", name="Pause").click()
    before = at()
    fresh.clock.run_for(20_000)
    assert at() == before
    fresh.get_by_label("per second").select_option("1")
    fresh.clock.resume()
    fresh.emulate_media(reduced_motion="no-preference")


PASTED = {
    "x": ("[1 2; 3 4]", None),
    "weight": (json.dumps(np.arange(24).reshape(2, 3, 2, 2).tolist()), list(range(24))),
    "bias": ("10\n20", [10, 20]),
    "grad": ("\n".join(["1\t2\t3"] * 3) + "\n\n" + "\n".join(["4\t5\t6"] * 3), [1, 2, 3] * 3 + [4, 5, 6] * 3),
}


@pytest.mark.parametrize("name", PASTED)
def test_arrays_as_text(fresh, name):
    text, expected = PASTED[name]
    before = problem(fresh)
    fresh.get_by_role("button", name=f"{name} as text").click()
    dialog = fresh.get_by_role("dialog")
    assert dialog.get_by_role("heading").inner_text() == f"{name} as text"
    area = dialog.get_by_label("numbers")
    shape = {"bias": (2,), "grad": (2, 3, 3)}.get(name) or before[name]["shape"]
    assert np.shape(json.loads(area.input_value())) == tuple(shape)
    area.fill("[1, x]")
    dialog.get_by_role("button", name="Apply").click()
    assert '"x" is not a number (line 1, column 5)' in dialog.get_by_role("alert").inner_text()
    area.fill("1 2 3 4 5 6 7")
    dialog.get_by_role("button", name="Apply").click()
    assert dialog.get_by_role("alert").inner_text()
    assert problem(fresh) == before
    area.fill(text)
    dialog.get_by_role("button", name="Apply").click()
    if expected is None:  # one channel, but the kernels have three
        assert "weight has 3 input channels, but x has 1" in dialog.get_by_role("alert").inner_text()
        dialog.get_by_role("button", name="Cancel").click()
        assert not dialog.is_visible()
        assert problem(fresh) == before
        return
    assert not dialog.is_visible()
    found = problem(fresh)[name]
    assert (found["data"] if name == "weight" else found) == expected
    check_y(fresh)


def test_bias_is_removed_by_nothing_and_keys_accept(fresh):
    fresh.evaluate("controls.edit('bias')")
    fresh.get_by_label("numbers").fill("[1, 2]")
    fresh.get_by_label("numbers").press("Control+Enter")
    assert problem(fresh)["bias"] == [1, 2]
    fresh.evaluate("controls.edit('bias')")
    fresh.get_by_label("numbers").fill(" ")
    fresh.get_by_role("button", name="Apply").click()
    assert problem(fresh)["bias"] is None
    fresh.evaluate("controls.edit('x')")
    fresh.get_by_label("numbers").fill(" ")
    fresh.get_by_role("button", name="Apply").click()
    assert fresh.get_by_role("dialog").get_by_role("alert").inner_text() == "there are no numbers"
    fresh.get_by_label("numbers").press("Escape")
    assert not fresh.get_by_role("dialog").is_visible()


def test_cells_are_edited(drawn):
    drawn.locator("#x [data-kind=input][data-at='5']").dblclick()
    dialog = drawn.get_by_role("dialog")
    assert dialog.get_by_role("heading").inner_text() == "x[0, 1, 1]"
    assert dialog.get_by_label("numbers").input_value() == "6"
    dialog.get_by_label("numbers").fill("1 2")
    dialog.get_by_label("numbers").press("Enter")
    assert dialog.get_by_role("alert").inner_text() == "give one number"
    dialog.get_by_label("numbers").fill("-2.5")
    dialog.get_by_label("numbers").press("Enter")
    assert not dialog.is_visible()
    assert problem(drawn)["x"]["data"][4:7] == [5, -2.5, 7]
    drawn.locator("#weight [data-kind=weight][data-at='3']").focus()
    drawn.keyboard.press("F2")
    assert dialog.get_by_role("heading").inner_text() == "weight[0, 0, 1, 1]"
    drawn.keyboard.type("inf")
    drawn.keyboard.press("Enter")
    assert problem(drawn)["weight"]["data"][3] == float("inf")
    focused = "(({kind, at}) => [kind, at])(document.activeElement.dataset)"
    assert drawn.evaluate(focused) == ["weight", "3"]
    drawn.evaluate("controls.edit('output', 2)")
    drawn.get_by_label("numbers").fill("4")
    drawn.get_by_role("button", name="Apply").click()
    assert problem(drawn)["grad"] == [1, 1, 4] + [1] * 15
    drawn.get_by_label("size", exact=True).fill("5")  # y has another size now
    assert problem(drawn)["grad"] is None


def test_back_returns_to_the_problem_before(fresh):
    fresh.get_by_label("size", exact=True).fill("5")
    fresh.get_by_label("kernels", exact=True).fill("3")
    fresh.go_back()
    assert fresh.evaluate(f"({SHAPES})(page.state)") == [[3, 5, 5], [2, 3, 2, 2]]
    assert fresh.get_by_label("kernels", exact=True).input_value() == "2"


def test_back_returns_to_numbers_that_are_too_many_for_a_link(fresh):
    fresh.evaluate("""page.set({problem: {...page.state.problem, x: {
        shape: [3, 16, 16], data: draw.range(0, 768).map(n => n / 7)}}})""")
    fresh.get_by_label("stride", exact=True).fill("2")
    fresh.go_back()
    assert fresh.evaluate(f"({SHAPES})(page.state)") == [[3, 16, 16], [2, 3, 2, 2]]
    assert problem(fresh)["stride"] == [1, 1]
    assert problem(fresh)["x"]["data"][1] == 1 / 7


CONTROLS = "#controls input, #controls select, #controls button, #controls summary, #out select, #out button"
NAMELESS = """selector => [...document.querySelectorAll(selector)].filter(one => !(
  one.ariaLabel || (one.matches("input") && one.labels[0]?.textContent.trim()) ||
  (one.matches("button, summary") && one.textContent.trim()))).map(one => one.outerHTML)"""
SMALL = """selector => [...document.querySelectorAll(selector)].filter(one => one.checkVisibility())
  .map(one => [one.outerHTML, one.getBoundingClientRect()])
  .filter(([, {width, height}]) => width < 24 || height < 24)
  .map(([html, {width, height}]) => `${html} ${width} ${height}`)"""


def test_every_control_has_a_name_and_is_large_enough(drawn):
    assert drawn.evaluate(NAMELESS, CONTROLS) == []
    assert drawn.evaluate(SMALL, CONTROLS) == []


def test_on_a_phone_the_controls_are_folded(open_page, tmp_path):
    file = tmp_path / "page.html"
    file.write_text(example("small").html())
    page = open_page(file, viewport={"width": 360, "height": 740}, has_touch=True).page
    assert page.locator("#controls details[open]").count() == 0
    for summary in page.locator("#controls summary").all():
        summary.click()
    assert page.locator("#controls details[open]").count() == 2
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    assert page.evaluate(SMALL, CONTROLS) == []
    page.get_by_role("button", name="x as text").click()
    box = page.get_by_role("dialog").bounding_box()
    assert box["x"] >= 0
    assert box["x"] + box["width"] <= 360


def test_on_a_phone_playing_shows_y(open_page, tmp_path):
    file = tmp_path / "page.html"
    file.write_text(example("channels").html())
    page = open_page(file, viewport={"width": 390, "height": 844}).page
    seen = (
        "(({top, bottom}) => top >= 0 && bottom <= innerHeight)(document.getElementById('y').getBoundingClientRect())"
    )
    assert page.evaluate(seen) is False
    page.evaluate("page.set({playing: true})")
    assert page.evaluate(seen) is True
    page.evaluate("page.set({playing: false})")
