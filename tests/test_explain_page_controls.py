"""The controls of the page: each one changes the problem as it says, and nothing else."""

from __future__ import annotations

import json
from math import prod

import numpy as np
import pytest
from browser import opened

from gemmconv import conv, conv_transpose
from gemmconv.explanation import EXAMPLES, example

SHAPES = "({problem}) => [problem.x.shape, problem.weight.shape]"


@pytest.fixture(scope="module")
def page(chromium, tmp_path_factory):
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
def fresh(page):
    """Return the page in the state in which it starts."""
    page.evaluate("window.first ??= {...page.state}")
    yield page
    page.evaluate("document.querySelector('#controls dialog').close(); page.set({...first})")


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


SLIDERS = {
    "channels": (5, [[5, 4, 4], [2, 5, 2, 2]]),
    "size": (6, [[3, 6, 6], [2, 3, 2, 2]]),
    "kernels": (4, [[3, 4, 4], [4, 3, 2, 2]]),
    "kernel": (3, [[3, 4, 4], [2, 3, 3, 3]]),
}


@pytest.mark.parametrize("label", SLIDERS)
def test_sliders_of_sizes(fresh, label):
    value, shapes = SLIDERS[label]
    fresh.get_by_label(label, exact=True).fill(str(value))
    assert fresh.evaluate(f"({SHAPES})(page.state)") == shapes
    assert fresh.get_by_label(f"{label} as a number").input_value() == str(value)
    for name in ("x", "weight"):  # they were 1, 2, 3, ... and still are
        assert problem(fresh)[name]["data"] == list(range(1, prod(problem(fresh)[name]["shape"]) + 1))
    assert fresh.evaluate("page.state.name") == ""
    assert fresh.get_by_label("example", exact=True).input_value() == ""
    check_y(fresh)
    enter(fresh, f"{label} as a number", value - 1)
    assert fresh.get_by_label(label, exact=True).input_value() == str(value - 1)
    check_y(fresh)


OPTIONS = {
    "stride": (2, "stride", [2, 2]),
    "padding": (-1, "padding", [[-1, -1], [-1, -1]]),
    "dilation": (3, "dilation", [3, 3]),
}


@pytest.mark.parametrize("label", OPTIONS)
def test_sliders_of_options(fresh, label):
    value, name, expected = OPTIONS[label]
    fresh.get_by_label(label, exact=True).fill(str(value))
    assert problem(fresh)[name] == expected
    check_y(fresh)


LIMITS = {
    "channels": (1, 8),
    "size": (1, 16),
    "kernels": (1, 8),
    "kernel": (1, 7),
    "stride": (1, 4),
    "padding": (-2, 6),
    "dilation": (1, 4),
    "padding before of axis 0": (-2, 6),
    "output padding of axis 0": (0, 3),
    "size of axis 1": (1, 16),
}


def test_limits(fresh):
    def limits(label):
        return fresh.get_by_label(label, exact=True).evaluate("({min, max}) => [Number(min), Number(max)]")

    assert {label: tuple(limits(label)) for label in LIMITS} == LIMITS
    for rank, largest in ((1, 32), (3, 4)):
        fresh.get_by_label("axes").select_option(str(rank))
        assert limits("size") == [1, largest]
    enter(fresh, "channels as a number", 99)
    assert problem(fresh)["x"]["shape"][0] == 8
    assert message(fresh) == "channels: at most 8, not 99."
    enter(fresh, "channels as a number", "")
    assert problem(fresh)["x"]["shape"][0] == 8
    fresh.evaluate("page.set({problem: {...first.problem, x: {shape: [3, 20, 4], data: Array(240).fill(1)}}})")
    assert limits("size") == [1, 20]
    assert fresh.get_by_label("size as a number").input_value() == ""


AXES = {
    "size of axis 0": (6, "x", [3, 6, 4]),
    "kernel of axis 1": (3, "weight", [2, 3, 2, 3]),
    "stride of axis 0": (2, "stride", [2, 1]),
    "dilation of axis 1": (2, "dilation", [1, 2]),
    "padding before of axis 0": (2, "padding", [[2, 0], [0, 0]]),
    "padding after of axis 1": (-1, "padding", [[0, 0], [0, -1]]),
}


@pytest.mark.parametrize("label", AXES)
def test_what_is_set_per_axis(fresh, label):
    value, name, expected = AXES[label]
    enter(fresh, label, value)
    found = problem(fresh)[name]
    assert (found["shape"] if name in ("x", "weight") else found) == expected
    check_y(fresh)


def test_modes_per_axis_and_the_padding_value(fresh):
    fresh.get_by_label("padding", exact=True).fill("2")
    enter(fresh, "padding value", 7)
    assert problem(fresh)["value"] == 7
    check_y(fresh)
    fresh.get_by_label("beyond the edge of axis 1").select_option("wrap")
    assert problem(fresh)["modes"] == ["zeros", "wrap"]
    assert problem(fresh)["value"] == 7
    check_y(fresh)
    for mode in ("reflect", "edge", "wrap", "symmetric", "zeros"):
        fresh.get_by_label("beyond the edge", exact=True).select_option(mode)
        assert problem(fresh)["modes"] == [mode] * 2
        assert problem(fresh)["value"] == 0
        check_y(fresh)
    enter(fresh, "padding value", 7)
    fresh.get_by_label("beyond the edge of axis 0").select_option("edge")
    fresh.get_by_label("beyond the edge of axis 1").select_option("edge")
    assert problem(fresh)["value"] == 0
    enter(fresh, "padding value", 7)
    assert "padding_value=7 is for padding_mode='zeros'" in message(fresh)


def test_padding_by_name(fresh):
    fresh.get_by_label("kernel", exact=True).fill("3")
    boxes = [fresh.locator("#controls").get_by_label(label, exact=True) for label in ("padding", "padding as a number")]
    assert [box.is_disabled() for box in boxes] == [False, False]
    for name, size in {"same": 4, "same_lower": 4, "full": 6, "valid": 2}.items():
        fresh.get_by_label("padding by name").select_option(name)
        assert [box.is_disabled() for box in boxes] == [name != "valid"] * 2
        assert problem(fresh)["padding"] == name
        assert fresh.evaluate("core.geometry(page.state.problem).outputs") == [2, size, size]
        check_y(fresh)
    fresh.get_by_label("padding by name").select_option("same")
    fresh.get_by_label("padding by name").select_option("numbers")
    assert problem(fresh)["padding"] == [[1, 1], [1, 1]]
    assert [box.is_disabled() for box in boxes] == [False, False]
    fresh.get_by_label("padding by name").select_option("causal")
    assert "is for 1-D convolutions" in message(fresh)
    assert problem(fresh)["padding"] == [[1, 1], [1, 1]]
    assert fresh.get_by_label("padding by name").input_value() == "numbers"
    fresh.get_by_label("axes").select_option("1")
    fresh.get_by_label("padding by name").select_option("causal")
    check_y(fresh)


def test_groups_divide_the_channels(fresh):
    groups = fresh.get_by_label("groups", exact=True)
    enabled = "select => [...select.options].filter(option => !option.disabled).map(option => Number(option.value))"
    assert groups.evaluate(enabled) == [1]
    choose(fresh, "groups")
    fresh.get_by_label("kernels", exact=True).fill("8")
    assert groups.evaluate(enabled) == [1, 2, 4]
    groups.select_option("4")
    assert fresh.evaluate(f"({SHAPES})(page.state)") == [[4, 3, 3], [8, 1, 2, 2]]
    check_y(fresh)
    fresh.get_by_label("channels", exact=True).fill("6")
    assert problem(fresh)["groups"] == 2
    assert fresh.evaluate(f"({SHAPES})(page.state)") == [[6, 3, 3], [8, 3, 2, 2]]
    check_y(fresh)


def test_flip_and_bias(fresh):
    fresh.get_by_label("flip").check()
    assert problem(fresh)["flip"] is True
    check_y(fresh)
    fresh.get_by_label("bias", exact=True).check()
    assert problem(fresh)["bias"] == [1, 2]
    check_y(fresh)
    fresh.get_by_label("kernels", exact=True).fill("3")
    assert problem(fresh)["bias"] == [1, 2, 3]
    check_y(fresh)
    fresh.get_by_label("bias", exact=True).uncheck()
    fresh.get_by_label("flip").uncheck()
    assert problem(fresh)["bias"] is None
    check_y(fresh)


def test_transposed(fresh):
    choose(fresh, "full")
    fresh.get_by_label("transposed").check()
    assert problem(fresh)["padding"] == "valid"
    assert problem(fresh)["flip"] is False
    check_y(fresh)
    fresh.get_by_label("stride", exact=True).fill("3")
    enter(fresh, "output padding of axis 0", 2)
    fresh.get_by_label("kernels", exact=True).fill("2")
    assert fresh.evaluate(f"({SHAPES})(page.state)") == [[1, 4], [1, 2, 3]]
    assert problem(fresh)["outputPadding"] == [2]
    check_y(fresh)
    fresh.get_by_label("padding", exact=True).fill("1")
    check_y(fresh)
    fresh.get_by_label("flip").click()
    assert message(fresh).startswith("a transposed convolution has neither flip")
    assert not fresh.get_by_label("flip").is_checked()
    fresh.get_by_label("transposed").uncheck()
    assert problem(fresh)["outputPadding"] == [0]
    check_y(fresh)


def test_axes(fresh):
    fresh.get_by_label("axes").select_option("3")
    assert fresh.evaluate(f"({SHAPES})(page.state)") == [[3, 4, 4, 4], [2, 3, 2, 2, 2]]
    check_y(fresh)
    assert fresh.locator("#controls th:visible").all_inner_texts()[-3:] == ["0: depth", "1: height", "2: width"]
    fresh.get_by_label("axes").select_option("1")
    assert fresh.evaluate(f"({SHAPES})(page.state)") == [[3, 4], [2, 3, 2]]
    check_y(fresh)
    assert fresh.locator("#controls th:visible").all_inner_texts()[-1] == "0: length"
    choose(fresh, "sharpen")
    enter(fresh, "stride of axis 1", 2)
    fresh.get_by_label("axes").select_option("1")
    assert problem(fresh)["stride"] == [2]
    assert problem(fresh)["x"] == {"shape": [1, 4], "data": [10, 10, 20, 20]}
    assert problem(fresh)["weight"]["data"] == [0, -1, 0] * 3
    fresh.get_by_label("axes").select_option("2")
    assert problem(fresh)["x"] == {"shape": [1, 4, 4], "data": [10, 10, 20, 20] + [0] * 12}
    check_y(fresh)


def test_numbers_stay_where_sizes_overlap(fresh):
    choose(fresh, "sharpen")
    enter(fresh, "size of axis 1", 5)
    assert problem(fresh)["x"]["data"] == [10, 10, 20, 20, 0] * 4
    enter(fresh, "size of axis 0", 3)
    assert problem(fresh)["x"]["data"] == [10, 10, 20, 20, 0] * 3
    fresh.get_by_label("kernels", exact=True).fill("1")
    assert problem(fresh)["weight"]["data"] == [0, -1, 0, -1, 5, -1, 0, -1, 0]
    check_y(fresh)


def test_what_does_not_fit_is_explained_and_the_last_problem_stays(fresh):
    before = problem(fresh)
    fresh.get_by_label("kernel", exact=True).fill("7")
    assert "the kernel covers 7 positions of spatial axis 0, but the padded input has 4" in message(fresh)
    assert problem(fresh) == before
    assert fresh.get_by_label("kernel", exact=True).input_value() == "2"
    assert fresh.get_by_label("kernel as a number").input_value() == "2"
    fresh.get_by_label("kernel", exact=True).fill("3")
    check_y(fresh)


def test_a_number_beyond_the_limit_is_named(fresh):
    enter(fresh, "kernel as a number", 9)
    assert message(fresh).startswith("kernel: at most 7, not 9. With 7: the kernel covers 7 positions")
    enter(fresh, "stride as a number", 0)
    assert message(fresh) == "stride: at least 1, not 0."
    enter(fresh, "stride as a number", 2)
    assert message(fresh) == ""


def test_what_is_too_large_is_refused(fresh):
    fresh.get_by_label("axes").select_option("3")
    for label in ("kernels", "channels"):
        fresh.get_by_label(label, exact=True).fill("8")
    fresh.get_by_label("padding", exact=True).fill("6")
    before = problem(fresh)
    fresh.get_by_label("kernel", exact=True).fill("7")
    assert message(fresh) == "the page takes at most 20000 numbers in x and weight, not 22464: choose smaller sizes"
    fresh.get_by_label("kernel", exact=True).fill("6")
    assert "at most 4194304 multiplications" in message(fresh)
    assert problem(fresh) == before


@pytest.mark.parametrize("name", EXAMPLES)
def test_examples(fresh, name):
    choose(fresh, name)
    assert fresh.evaluate("page.state.name") == name
    one = example(name)
    assert fresh.evaluate("[page.state.selection.kind, page.state.selection.at]") == [
        "output",
        int(np.ravel_multi_index(one.at, one.y.shape)),
    ]
    check_y(fresh)
    shown = fresh.get_by_label("example", exact=True).evaluate("select => select.selectedOptions[0].textContent")
    assert shown == EXAMPLES[name].about


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
