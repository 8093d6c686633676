"""The page of `gemmconv explain` for everybody: screen readers, keys, any width, dark and light, less motion, paper."""

from __future__ import annotations

import pytest
from browser import opened

from gemmconv.explanation import EXAMPLES, example

PHONE, DESKTOP = {"width": 360, "height": 800}, {"width": 1200, "height": 900}
WIDTHS = (320, 360, 768, 1200, 1920)
GRIDS = ("x", "weight", "y", "M")

# What an example has wrong in its layout: a body that is too wide, panels that overlap, small texts, small targets.
LAYOUT = """() => {
    const wrong = [], shown = element => element.getClientRects().length > 0;
    const body = document.documentElement;
    if (body.scrollWidth > innerWidth) wrong.push(`body is ${body.scrollWidth} wide`);
    const boxes = [...document.querySelectorAll("main .box, #sum, #counts, main h2, #P svg, #K svg, #Y svg, .note")];
    const inside = boxes.filter(box => shown(box) && box.id !== "matrices").map(box => {
        const {left, top, right, bottom} = box.getBoundingClientRect();
        return {box, left, top, right, bottom, name: box.id || box.parentNode.id};
    });
    for (const a of inside) for (const b of inside) {
        if (a === b || a.box.contains(b.box) || b.box.contains(a.box)) continue;
        const wide = Math.min(a.right, b.right) - Math.max(a.left, b.left);
        const high = Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top);
        const clipped = document.querySelector("#matrices");
        if (wide > 1 && high > 1 && !(clipped.contains(a.box) && innerWidth < 700 && a.name === "K")
            && !(clipped.contains(b.box) && innerWidth < 700 && b.name === "K")) wrong.push(`${a.name} over ${b.name}`);
    }
    for (const text of document.querySelectorAll("body *")) {
        const own = [...text.childNodes].some(node => node.nodeType === 3 && node.data.trim());
        if (!own || !shown(text)) continue;
        const size = parseFloat(getComputedStyle(text).fontSize);
        if (size < 9) wrong.push(`small: ${text.textContent}`);
    }
    for (const cell of document.querySelectorAll("#x [data-kind], #weight [data-kind], #y [data-kind]")) {
        const {width, height} = cell.querySelector("rect").getBoundingClientRect();
        if (width < 24 || height < 24) wrong.push(`target of ${width} x ${height}`);
    }
    for (const target of document.querySelectorAll("button, select, summary, input:not([type=range])")) {
        const {width, height} = target.getBoundingClientRect();
        const small = shown(target) && (width < 24 || height < 24);
        if (small) wrong.push(`${target.textContent || target.type}: ${width} x ${height}`);
    }
    return wrong;
}"""

# Where the focus is: a grid and the flat index in it, or the text of a button.
FOCUS = """() => {
    const {activeElement: cell} = document;
    return cell.dataset.at ? [cell.ownerSVGElement.dataset.panel, +cell.dataset.at] : [cell.id || cell.tagName, null];
}"""


# The contrast of the texts of cells that is less than 4.5.
CONTRAST = """() => {
    const canvas = document.createElement("canvas").getContext("2d", {willReadFrequently: true});
    const linear = value => (value /= 255) <= .04045 ? value / 12.92 : ((value + .055) / 1.055) ** 2.4;
    const bright = colour => {
        canvas.fillStyle = "#000"; canvas.fillStyle = colour; canvas.fillRect(0, 0, 1, 1);
        const [r, g, b] = canvas.getImageData(0, 0, 1, 1).data;
        return .2126 * linear(r) + .7152 * linear(g) + .0722 * linear(b);
    };
    return [...document.querySelectorAll("svg .c")].filter(cell => !cell.classList.contains("pad")).flatMap(cell => {
        const back = getComputedStyle(cell.querySelector("rect")).fill;
        const paper = back === "none" ? getComputedStyle(document.body).backgroundColor : back;
        return [...cell.querySelectorAll("text")].map(text => {
            const [a, b] = [bright(getComputedStyle(text).fill), bright(paper)].sort((x, y) => y - x);
            return [(a + .05) / (b + .05), cell.getAttribute("class")];
        });
    }).filter(([contrast]) => contrast < 4.5);
}"""


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Return the page of each example."""
    folder = tmp_path_factory.mktemp("pages")
    for name in EXAMPLES:
        example(name).html(folder / name, name=name)
        (folder / name).rename(folder / f"{name}.html")
    return {name: folder / f"{name}.html" for name in EXAMPLES}


@pytest.fixture(scope="module")
def channels(chromium, files):
    """Return the page of the example with three channels; tests leave it as they like."""
    one = opened(chromium, files["channels"], viewport=DESKTOP, reduced_motion="reduce")
    yield one.page
    one.check()
    one.page.context.close()


@pytest.fixture
def fresh(channels):
    """Return the page of the example with three channels, as it was when it was opened."""
    at = example("channels")
    channels.evaluate(
        "at => { page.set({selection: {kind: 'output', at}, pinned: false, playing: false, backward: false}); }",
        int(at.at[1] * 3 + at.at[2]),
    )
    channels.evaluate("document.activeElement.blur()")
    channels.mouse.move(0, 0)
    return channels


@pytest.mark.parametrize(
    ("name", "viewport", "scheme"),
    [
        ("channels", DESKTOP, "light"),
        ("padding", DESKTOP, "dark"),
        ("channels", PHONE, "light"),
        ("transposed", PHONE, "dark"),
    ],
)
def test_axe(chromium, files, name, viewport, scheme):
    axe = pytest.importorskip("axe_playwright_python.sync_playwright")
    one = opened(chromium, files[name], viewport=viewport, color_scheme=scheme, reduced_motion="reduce")
    one.page.evaluate("for (const fold of document.querySelectorAll('details')) fold.open = true")
    # of what passes only the rules are collected, which is faster
    found = axe.Axe().run(one.page, options={"resultTypes": ["violations"]}).response["violations"]
    assert [(rule["id"], [node["html"][:200] for node in rule["nodes"]]) for rule in found] == []
    one.page.context.close()


@pytest.mark.parametrize("width", WIDTHS)
def test_layout(chromium, files, width):
    """Every example at one width: the page takes over the examples itself."""
    one = opened(chromium, files["small"], viewport={"width": width, "height": 900}, reduced_motion="reduce")
    wrong = one.page.evaluate(f"""() => page.examples.map(example => {{
        page.set({{...example}});
        return [example.name, ({LAYOUT})().slice(0, 5)];
    }})""")
    assert wrong == [[name, []] for name in EXAMPLES]
    one.page.context.close()


def test_tab_stops(fresh):
    found = []
    for _ in range(80):
        fresh.keyboard.press("Tab")
        found += [name for name in fresh.evaluate(FOCUS) if name in GRIDS]
        if len(found) == len(GRIDS):
            break
    assert found == [*GRIDS]
    assert all(fresh.locator(f"#{name} [tabindex='0']").count() == 1 for name in GRIDS)


def test_grids_have_names_and_rows(fresh):
    for name, label in (("x", "x, 3 by 4 by 4"), ("weight", "weight, 2 by 3 by 2 by 2"), ("M", "M, 18 by 48")):
        grid = fresh.locator(f"#{name} svg")
        assert grid.get_attribute("role") == "grid"
        assert grid.get_attribute("aria-label") == label
    assert fresh.locator("#M [role=row]").count() == 18
    assert fresh.locator("#M [role=row] > [role=gridcell]").count() == 216


@pytest.mark.parametrize(
    ("grid", "start", "keys", "end"),
    [
        ("x", 0, ["ArrowRight", "ArrowDown"], 5),
        ("x", 5, ["ArrowLeft", "ArrowUp", "ArrowUp"], 0),
        ("x", 5, ["Home"], 4),
        ("x", 3, ["ArrowRight"], 16),
        ("x", 5, ["PageDown", "PageDown", "PageDown", "PageUp"], 21),
        ("weight", 0, ["End"], 9),
        ("weight", 1, ["PageDown"], 13),
        ("y", 4, ["PageDown", "ArrowDown"], 16),
        ("M", 0, ["ArrowRight", "PageDown"], 9),
        ("M", 0, ["ArrowDown", "ArrowDown"], 2),
    ],
)
def test_keys_move_in_a_grid(fresh, grid, start, keys, end):
    fresh.evaluate(
        "([grid, at]) => document.querySelector(`#${grid} [role=gridcell][data-at='${at}']`).focus()", [grid, start]
    )
    for key in keys:
        fresh.keyboard.press(key)
    assert fresh.evaluate(FOCUS) == [grid, end]
    label = fresh.evaluate("document.activeElement.getAttribute('aria-label')")
    assert label.startswith("output" if grid == "M" else grid)


def test_focus_previews_enter_pins_escape_unpins(fresh):
    fresh.locator("#x [data-at='22'][role]").focus()
    assert fresh.evaluate("page.state.selection") == {"kind": "input", "at": 22}
    fresh.keyboard.press("Enter")
    fresh.keyboard.press("ArrowRight")
    assert fresh.evaluate("[page.state.selection.at, page.state.pinned]") == [22, True]
    fresh.keyboard.press("Escape")
    fresh.keyboard.press("ArrowLeft")
    fresh.keyboard.press("ArrowLeft")
    assert fresh.evaluate("[page.state.selection.at, page.state.pinned]") == [21, False]


def test_hover_previews_click_pins(fresh):
    fresh.locator("#weight [data-at='5']").hover()
    assert fresh.inner_text("#sum h3") == "weight f = 6 stands in 9 places of M"
    fresh.locator("#weight [data-at='5']").click()
    fresh.locator("#y [data-at='0']").hover()
    assert fresh.evaluate("page.state.selection") == {"kind": "weight", "at": 5}
    fresh.locator("#K [data-at='5']").click()
    assert fresh.evaluate("page.state.pinned") is False
    fresh.locator("#M [role=gridcell][data-weight='5']").first.click()
    assert fresh.evaluate("page.state.selection") == {"kind": "connection", "at": 0, "other": 5}


def test_other_keys(fresh):
    assert fresh.evaluate("page.state.selection.at") == 5
    for key in "[", "]", "]", "]":
        fresh.keyboard.press(key)
    assert fresh.evaluate("page.state.selection.at") == 7
    # as keyboards without a key of its own for it type a bracket
    fresh.evaluate("""dispatchEvent(new KeyboardEvent("keydown", {key: "[", ctrlKey: true, altKey: true}))""")
    assert fresh.evaluate("page.state.selection.at") == 6
    fresh.keyboard.press("b")
    assert fresh.evaluate("page.state.backward") is True
    assert fresh.inner_text("#title-y").startswith("g")
    fresh.keyboard.press("b")
    fresh.keyboard.press("?")
    assert fresh.is_visible("#keys")
    assert "Escape" in fresh.inner_text("#keys")
    fresh.keyboard.press("b")
    fresh.keyboard.press("Escape")
    fresh.wait_for_selector("#keys", state="hidden")
    fresh.evaluate("document.activeElement.blur()")  # its button may have the focus until the next frame
    assert fresh.evaluate("page.state.backward") is False
    fresh.keyboard.press("Space")
    assert fresh.evaluate("page.state.playing") is True
    fresh.keyboard.press("Space")
    assert fresh.evaluate("page.state.playing") is False


def test_live_text(fresh):
    assert fresh.get_attribute("#say", "aria-live") == "polite"
    fresh.locator("#y [data-at='5'][role]").focus()
    sentence = "y 0, 1, 2 is 2528: channel 0 gives 104, channel 1 gives 672, channel 2 gives 1752."
    fresh.wait_for_function("text => document.querySelector('#say').textContent === text", arg=sentence)
    texts = fresh.evaluate("""async () => {
        const texts = [], seen = new MutationObserver(() => texts.push(document.querySelector("#say").textContent));
        seen.observe(document.querySelector("#say"), {childList: true, characterData: true, subtree: true});
        for (let at = 0; at < 9; at++) page.set({selection: {kind: "output", at}});
        await new Promise(resolve => setTimeout(resolve, 400));
        return texts;
    }""")
    assert len(texts) == 1
    assert texts[0].startswith("y 0, 2, 2 is 2840")


def test_a_selection_changes_only_classes(fresh):
    kept = fresh.evaluate("""() => {
        const before = [...document.querySelectorAll("svg, svg g")];
        for (const kind of ["output", "input", "weight"]) page.set({selection: {kind, at: 3}});
        page.set({selection: {kind: "connection", at: 5, other: 5}});
        const after = [...document.querySelectorAll("svg, svg g")];
        return before.length === after.length && before.every((element, k) => element === after[k]);
    }""")
    assert kept


def test_dark_and_light(chromium, files):
    one = opened(chromium, files["small"], viewport=DESKTOP, color_scheme="dark")
    colour = "getComputedStyle(document.body).backgroundColor"
    dark = one.page.evaluate(colour)
    one.page.click("#scheme")
    light = one.page.evaluate(colour)
    assert light == "rgb(255, 255, 255)" != dark
    one.page.emulate_media(color_scheme="light")
    one.page.evaluate("new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")
    one.page.emulate_media(color_scheme="dark")
    one.page.wait_for_function(f"() => {colour} === '{dark}'")
    one.page.emulate_media(media="print")
    assert one.page.is_hidden("#controls")
    assert one.page.is_visible("#M svg")
    assert one.page.evaluate(colour) == "rgb(255, 255, 255)"
    one.page.emulate_media(media="screen", forced_colors="active")
    width = "getComputedStyle(document.querySelector(which)).strokeWidth"
    widths = f"""[".at > rect", ".on > rect"].map(which => {width})"""
    assert one.page.evaluate(widths) == ["3px", "3px"]
    one.page.wait_for_function("() => document.getAnimations().length === 0")  # colours change little by little
    assert one.page.evaluate(CONTRAST) == []
    one.check()
    one.page.context.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_contrast_of_cells(chromium, files, scheme):
    one = opened(chromium, files["sharpen"], viewport=DESKTOP, color_scheme=scheme, reduced_motion="reduce")
    for name in ("sharpen", "stride", "depthwise"):
        one.page.evaluate("name => { page.set({...page.examples.find(one => one.name === name)}); }", name)
        assert one.page.evaluate(CONTRAST) == []
    many = {"x": {"shape": [1, 8, 8], "data": None}, "weight": {"shape": [1, 1, 7, 7], "data": None}}
    one.page.evaluate("problem => { page.set({problem: page.complete(problem)}); }", many)
    assert one.page.evaluate(CONTRAST) == []
    one.page.context.close()


def test_a_phone_shows_weights_beside_inputs_and_scrolls(chromium, files):
    one = opened(chromium, files["channels"], viewport=PHONE)
    boxes = {name: one.page.locator(f"#{name} svg").bounding_box() for name in "KPY"}
    assert boxes["K"]["x"] + boxes["K"]["width"] <= boxes["P"]["x"] + 4
    assert abs(boxes["K"]["height"] - boxes["P"]["height"]) < 1
    heights = one.page.evaluate("""["K", "P"].map(name => [...document.querySelectorAll(`#${name} .c`)]
        .map(cell => cell.transform.baseVal[0].matrix.f))""")
    assert {*heights[0]} == {*heights[1]}
    size = one.page.locator("#M [role=gridcell] rect").first.bounding_box()
    assert min(size["width"], size["height"]) >= 14
    one.page.evaluate("page.set({selection: {kind: 'input', at: 47}, pinned: true})")
    frame, cell = one.page.locator("#M").bounding_box(), one.page.locator("#M [role=gridcell].on").first.bounding_box()
    assert frame["x"] <= cell["x"] <= frame["x"] + frame["width"]
    one.check()
    one.page.context.close()
