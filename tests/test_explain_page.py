"""The page of `gemmconv explain`: what it shows and lights, beside the library; its limits; the option --html."""

from __future__ import annotations

import base64
import json
import re
import zlib
from functools import cache
from html import escape

import numpy as np
import pytest
from browser import opened, wait_for_start

import gemmconv
from gemmconv import explain
from gemmconv.explanation import EXAMPLES, example, page
from gemmconv.explanation.grids import number

# The cells of all panels: [panel, what it is, its text].
CELLS = """() => [...document.querySelectorAll("svg .c")].map(cell => [
    cell.dataset.panel || cell.ownerSVGElement.dataset.panel,
    {...cell.dataset}, cell.lastElementChild.tagName === "text" ? cell.lastElementChild.textContent : ""])"""

# For some states: the cells that are lit, [panel, key, text, classes], and the sum.
LIT = """states => states.map(state => {
    page.set({pinned: true, ...state});
    return {
        lit: [...document.querySelectorAll("svg .on, svg .at, svg .hit")].map(cell => [
            cell.dataset.panel || cell.ownerSVGElement.dataset.panel,
            cell.dataset.pad || +(cell.dataset.cell || cell.dataset.at), cell.lastElementChild.textContent,
            ["on", "at", "hit"].filter(name => cell.classList.contains(name)).join(" ")]),
        title: document.querySelector("#sum h3").textContent,
        totals: [...document.querySelectorAll("#sum td:last-child")].map(cell => cell.textContent.replace("= ", "")),
        terms: document.querySelectorAll("#sum .term").length,
    };
})"""


class Shown:
    """What an example's page shows and lights."""

    def __init__(self, name, open_file):
        self.explanation = example(name)
        self.html = self.explanation.html(name=name)
        self.opened = open_file(self.html)
        self.page = self.opened.page
        self.said = self.opened.requests + self.opened.errors
        self.cells = self.page.evaluate(CELLS)
        self.checked = self.page.inner_text("#checked")
        self.wrong = self.page.is_visible("#wrong")
        e, terms = self.explanation, self.explanation.terms()
        inside = np.flatnonzero(terms.inputs >= 0)
        middle = inside[len(inside) // 2]
        self.input_at = np.unravel_index(terms.inputs[middle], e.problem.x.shape)
        self.weight_at = np.unravel_index(terms.weights[middle], e.problem.weight.shape)
        self.selections = {
            "output": np.ravel_multi_index(e.at, e.y.shape),
            "input": terms.inputs[middle],
            "weight": terms.weights[middle],
        }
        self.connection = int(terms.weights[inside[-1]]), int(terms.inputs[inside[-1]])
        states = [{"selection": {"kind": kind, "at": int(at)}} for kind, at in self.selections.items()]
        at = {"at": int(self.selections["output"]), "other": self.connection[0]}
        states.append({"selection": {"kind": "connection", **at}})
        states += [{**state, "backward": True} for state in states[:3]]
        names = [*self.selections, "connection", *(f"{kind} backward" for kind in self.selections)]
        self.states = dict(zip(names, self.page.evaluate(LIT, states)))
        self.said += self.opened.requests + self.opened.errors

    def texts(self, panel):
        """Return the texts of a panel by what they are: the flat index, or the place in the matrix."""
        cells = [(data, text) for name, data, text in self.cells if name == panel and "pad" not in data]
        return {int(data.get("cell", data.get("at"))): text for data, text in cells}

    def lit(self, state, panel, classes=("on", "at", "hit", "on at")):
        """Return the keys of the lit cells of a panel."""
        return {key for name, key, _, lit in self.states[state]["lit"] if name == panel and lit in classes}

    def lit_texts(self, state, panel):
        return [text for name, _, text, _ in self.states[state]["lit"] if name == panel]


@pytest.fixture(scope="module")
def open_file(chromium, tmp_path_factory):
    """Return a function that shows some HTML, always in the same window, which is faster than a new one."""
    file, window = tmp_path_factory.mktemp("page") / "page.html", []

    def show(html):
        file.write_text(html, "utf-8")
        if window:
            window[0].requests.clear()
            window[0].errors.clear()
            window[0].page.goto("about:blank")
            window[0].page.goto(file.as_uri())
            wait_for_start(window[0].page)
        else:
            window.append(opened(chromium, file, viewport={"width": 1300, "height": 900}))
        return window[0]

    yield show
    for one in window:
        one.page.context.close()


@pytest.fixture(scope="module")
def shown(open_file):
    """Return a function from the name of an example to what its page shows; each page is opened once."""
    return cache(lambda name: Shown(name, open_file))


every_example = pytest.mark.parametrize("name", EXAMPLES)


def texts_of(array):
    return {at: number(value) for at, value in enumerate(np.asarray(array).ravel().tolist())}


def check_opens_alone_and_agrees(one):
    assert one.said == []
    count = one.explanation.y.size
    outputs = "1 output" if count == 1 else f"{count} outputs"
    assert one.checked == f"checked: all {outputs} equal those of gemmconv {gemmconv.__version__}"
    assert not one.wrong


def check_numbers_of_the_cells(one):
    e = one.explanation
    assert one.texts("x") == texts_of(e.problem.x.array)
    assert one.texts("weight") == texts_of(e.problem.weight.array)
    assert one.texts("y") == texts_of(e.y)
    assert one.texts("P") == texts_of(e.P)
    if not e.problem.transposed:
        assert one.texts("Y") == texts_of(e.y)
    else:
        assert one.texts("X") == texts_of(e.problem.x.array)
    assert one.texts("K") == texts_of(e.problem.weight.array)
    assert one.texts("xs") == texts_of(e.problem.x.array)
    assert one.texts("ys") == texts_of(e.y)


def check_letters_of_the_matrix(one):
    e = one.explanation
    ties = e.ties.tocoo()
    found = {int(row) * e.counts.inputs + int(column) for row, column in zip(*ties.nonzero())}
    letters = one.texts("M")
    assert letters.keys() >= found
    assert len(letters) == e.counts.entries
    at = e.at
    terms = e.terms(at)
    row = int(np.ravel_multi_index(at, e.y.shape)) * e.counts.inputs
    for weight, column in zip(terms.weights.tolist(), terms.inputs.tolist()):
        if column >= 0:
            assert letters[row + column] == "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"[weight]


def check_an_output_lights_its_window_and_row(one):
    e = one.explanation
    terms, output = e.terms(), int(one.selections["output"])
    inside = terms.inputs[terms.inputs >= 0].tolist()
    assert one.lit("output", "y", {"at"}) == one.lit("output", "ys", {"at"}) == {output}
    assert one.lit("output", "weight") == one.lit("output", "K") == {*terms.weights.tolist()}
    assert one.lit("output", "xs") == {*inside}
    assert one.lit("output", "M") == {output * e.counts.inputs + column for column in inside}
    seen = one.lit("output", "x")
    if e.problem.transposed:
        assert seen == {*inside}
        assert sum(map(float, one.lit_texts("output", "P"))) == e.y[e.at]
        return
    window, places = e.window(), set()
    for channel in window.channels:
        for where in np.stack(np.meshgrid(*window.positions, indexing="ij"), -1).reshape(-1, len(window.positions)):
            outside = any(not 0 <= at < size for at, size in zip(where, e.problem.x.shape[1:]))
            flat = None if outside else int(np.ravel_multi_index((channel, *where), e.problem.x.shape))
            places.add(f"{channel}:{','.join(map(str, where))}" if outside else flat)
    assert seen == places
    assert one.lit("output", "Y") == {output}
    column = [float(text) for text in one.lit_texts("output", "P")]
    assert column == terms.values.tolist()
    assert {key % e.P.shape[1] for key in one.lit("output", "P")} == {output % e.P.shape[1]}


def check_an_input_lights_its_readers_and_copies(one):
    e = one.explanation
    readers, at = e.readers([*map(int, one.input_at)]), int(one.selections["input"])
    assert at in one.lit("input", "x", {"at"})
    assert one.lit("input", "xs") == {at}
    assert one.lit("input", "y", {"hit"}) == one.lit("input", "ys") == {*readers.outputs.tolist()}
    assert one.lit("input", "weight") == one.lit("input", "K") == {*readers.weights.tolist()}
    assert one.lit("input", "M") == {output * e.counts.inputs + at for output in readers.outputs.tolist()}
    assert one.states["input"]["terms"] == len(readers.outputs)
    if not e.problem.transposed:
        options = e.problem.options.keywords()
        numbered = np.arange(1.0, e.problem.x.size + 1).reshape(e.problem.x.shape)
        patches = explain(numbered, e.problem.weight.array, **options).P
        copies = np.flatnonzero(patches == at + 1)
        assert one.lit("input", "P") == {*copies.tolist()}


def check_a_weight_lights_its_ties(one):
    e = one.explanation
    places, at = e.places([*map(int, one.weight_at)]), int(one.selections["weight"])
    assert one.lit("weight", "weight", {"on at"}) == one.lit("weight", "K", {"on at"}) == {at}
    assert one.lit("weight", "x") == one.lit("weight", "xs") == {*places.inputs.tolist()}
    assert one.lit("weight", "y", {"hit"}) == one.lit("weight", "ys") == {*places.outputs.tolist()}
    entries = zip(places.outputs.tolist(), places.inputs.tolist())
    assert one.lit("weight", "M") == {output * e.counts.inputs + column for output, column in entries}
    rows = {key // e.P.shape[1] for key in one.lit("weight", "P")}
    assert len(rows) == 1
    assert len(one.lit("weight", "P")) == e.P.shape[1]


def check_a_connection_lights_one_term(one):
    e = one.explanation
    weight, column = one.connection
    output = int(one.selections["output"])
    assert one.lit("connection", "M") == {output * e.counts.inputs + column}
    assert one.lit("connection", "weight") == {weight}
    assert one.lit("connection", "xs") == {column}
    assert one.lit("connection", "y") == {output}
    assert one.states["connection"]["title"].startswith(f"M[{output}, {column}] is the weight")


def check_sums_and_gradients(one):
    e = one.explanation
    index = ", ".join(map(str, e.at))
    assert one.states["output"]["title"] == f"y[{index}] = {number(e.y[e.at])}"
    assert one.states["output"]["terms"] == len(e.terms().weights)
    assert one.states["output"]["totals"][-1] == number(e.y[e.at])
    readers, places = e.readers([*map(int, one.input_at)]), e.places([*map(int, one.weight_at)])
    gradient = number(float(readers.factors @ readers.gradients))
    assert one.states["input backward"]["title"].endswith(f"]: {gradient}")
    assert one.states["input backward"]["totals"][-1] == gradient
    gradient = number(float(places.gradients @ places.values))
    assert one.states["weight backward"]["title"].endswith(f": {gradient}")
    assert one.states["weight backward"]["totals"] == [gradient]
    assert one.states["output backward"]["title"].startswith("g[")


@every_example
def test_an_example(shown, name):
    """All checks of an example are one test: then only one process opens its page."""
    for check in (
        check_opens_alone_and_agrees,
        check_numbers_of_the_cells,
        check_letters_of_the_matrix,
        check_an_output_lights_its_window_and_row,
        check_an_input_lights_its_readers_and_copies,
        check_a_weight_lights_its_ties,
        check_a_connection_lights_one_term,
        check_sums_and_gradients,
    ):
        check(shown(name))


def test_padding_is_hatched_and_what_is_not_read_is_marked(shown):
    padding = [data for panel, data, _ in shown("padding").cells if panel == "x" and "pad" in data]
    assert len(padding) == 36 - 16
    copies = [(data["pad"], text) for panel, data, text in shown("circular").cells if panel == "x" and "pad" in data]
    assert copies == [("0:-1", "5"), ("0:5", "1")]


def test_inputs_that_no_output_reads(open_file):
    page = open_file(example("stride").html()).page
    found = page.evaluate('[...document.querySelectorAll("#x .unread")].map(cell => +cell.dataset.at)')
    assert found == [4, 9, 14, 19, *range(20, 25)]
    assert page.inner_text("#note-x") == "9 inputs are read by no output (dotted)"


def test_zero_weights_differ_from_no_connection(open_file):
    page = open_file(example("sharpen").html()).page
    assert page.locator("#M .zero").count() == 4 * 12
    assert page.locator("#weight .zero").count() == page.locator("#K .zero").count() == 12
    page.evaluate("page.set({letters: false})")
    texts = page.evaluate("""[...document.querySelectorAll('#M .c[data-at="0"][data-kind="connection"] text')]
        .map(text => text.textContent)""")
    assert texts == ["0", "-1", "0", "-1", "5", "-1", "0", "-1", "0"]


def test_a_wrong_result_is_told_in_red(open_file):
    html = example("channels").html()
    assert '"y":[2060,' in html
    page = open_file(html.replace('"y":[2060,', '"y":[2061,')).page
    assert page.get_by_role("alert").filter(has_text="differs").inner_text() == (
        f"1 output of this page differs from gemmconv {gemmconv.__version__}. Do not trust it."
    )
    assert page.inner_text("#checked") == ""


def test_the_check_is_of_the_numbers_it_was_made_with(open_file):
    page = open_file(example("channels").html(name="channels")).page
    assert page.inner_text("#checked").startswith("checked: all 18 outputs")
    page.evaluate("page.set({problem: {...page.state.problem, stride: [2, 2]}, name: ''})")
    assert page.inner_text("#checked").startswith("Computed by this page.")
    assert page.inner_text("#title-y") == "y output: 2 feature maps of 2 \u00d7 2"
    page.go_back()
    assert page.evaluate("page.state.problem.stride") == [1, 1]
    assert page.inner_text("#checked").startswith("checked: all 18 outputs")
    assert page.title() == "channels: a convolution as a matrix multiplication"


def test_an_input_that_is_read_twice(open_file):
    e = explain([[1, 2, 3]], [[[1, 2, 3, 4, 5]]], padding=2, padding_mode="reflect")
    page = open_file(e.html()).page
    assert page.inner_text("#note-M").endswith("* is a sum of weights.")
    texts = """() => [...document.querySelectorAll("#M [role=gridcell] text")].map(text => text.textContent)"""
    assert "*" in page.evaluate(texts)
    page.evaluate("page.set({letters: false})")
    assert page.evaluate(texts) == [number(value) for value in e.M.toarray().ravel()]


def test_in_the_sandboxed_frame_of_a_notebook(open_file):
    text = escape(example("channels").html())
    one = open_file(f'<iframe sandbox="allow-scripts allow-downloads" width=900 height=600 srcdoc="{text}"></iframe>')
    frame = one.page.frames[1]
    wait_for_start(frame)
    frame.locator("#weight [data-at='5']").click()
    assert frame.inner_text("#sum h3") == "weight f = 6 stands in 9 places of M"
    assert one.requests + one.errors == []


def test_floats_and_numbers_that_are_not_finite(open_file):
    x = np.random.default_rng(0).standard_normal((2, 5, 5)).astype(np.float32)
    weight = np.random.default_rng(1).standard_normal((2, 2, 3, 3))
    page = open_file(explain(x, weight, [0.5, -1], padding=1, grad_output=np.ones((2, 5, 5))).html()).page
    assert page.inner_text("#checked").endswith("to rounding")
    page = open_file(explain([[1.0, np.inf, 2.0, np.nan]], [[[1.0, -1.0]]]).html()).page
    assert not page.is_visible("#wrong")
    assert page.evaluate("""[...document.querySelectorAll("#y text")].map(text => text.textContent)""") == [
        "-inf",
        "inf",
        "nan",
    ]


ROUNDED = {
    "large whole numbers": ((0, 1 << 40), (0, 1 << 40), 0),
    "a padding value that is not whole": ((0, 36), (1, 9), 0.1),
    "a large padding value": ((0, 2), (0, 2), 1e9 / 3),
}


@pytest.mark.parametrize("name", ROUNDED)
def test_rounding_is_not_told_as_wrong(open_file, name):
    """gemmconv adds in another order, and the last digits differ."""
    of_x, of_weight, value = ROUNDED[name]
    rng = np.random.default_rng(0)
    x, weight = rng.integers(*of_x, (2, 6, 6)), rng.integers(*of_weight, (3, 2, 3, 3))
    if value > 1:
        x, weight = rng.random(x.shape), rng.random(weight.shape)
    page = open_file(explain(x.astype(float), weight.astype(float), padding=2, padding_value=value).html()).page
    assert not page.is_visible("#wrong")
    assert page.inner_text("#checked").endswith("to rounding")


def test_padding_that_is_not_a_number(open_file):
    page = open_file(explain(np.ones((1, 2, 2)), np.ones((1, 1, 2, 2)), padding=1, padding_value=np.nan).html()).page
    assert {*page.locator("#x .pad text").all_text_contents()} == {"nan"}
    assert {*page.locator("#P .pad text").all_text_contents()} == {"nan"}
    page.evaluate("page.set({selection: {kind: 'output', at: 0}})")
    assert page.locator("#sum .term.pad").first.inner_text() == "a1\u00b7nan"
    assert "padding 1, padding value nan, " in page.evaluate("exporter.text(page.state)")


def test_a_browser_that_cannot_show_it_says_so(chromium, tmp_path):
    file = tmp_path / "page.html"
    example("small").html(file)
    for script, place, said in ((True, "#wrong", "This browser is too old"), (False, "noscript", "draws and computes")):
        where = chromium.new_context(java_script_enabled=script)
        where.add_init_script("delete globalThis.DecompressionStream")
        page = where.new_page()
        page.goto(file.as_uri())
        page.locator(place).wait_for()
        assert said in page.inner_text(place)
        where.close()


HOSTILE = "</script><script>window.bad = 1</script><img src=x onerror='window.bad = 1'>&amp;{{data}}"


def test_hostile_strings(open_file):
    html = example("small").html(name=HOSTILE)
    assert HOSTILE not in html
    assert "<img" not in html
    page = open_file(html).page
    assert page.title() == f"{HOSTILE}: a convolution as a matrix multiplication"
    assert page.evaluate("[window.bad, page.state.name]") == [None, HOSTILE]


def test_everything_is_in_one_file():
    html = example("small").html()
    assert isinstance(html, str)
    assert not re.search(r"(src|href)=|url\(|@import|https?:", html)
    policy = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; img-src data:; "
    assert f"content=\"{policy}base-uri 'none'; form-action 'none'\"" in html
    assert "{{" not in html
    packed = base64.b64decode(re.search(r'id="packed">(.*?)</script>', html).group(1))
    script = zlib.decompress(packed, -15).decode()
    assert script.startswith('"use strict";')
    assert not re.search(r"fetch\(|XMLHttpRequest|import\(|https?://(?!www.w3.org)|@import", script)
    assert all(page.stripped(page.asset(name)) in script for name in page.SCRIPTS)


@every_example
def test_size(name):
    assert len(example(name).html(name=name).encode()) <= 60_000


def test_numbers_are_left_out_where_they_count():
    data = json.loads(re.search(r'id="data">(.*?)</script>', example("channels").html()).group(1))
    assert data["problem"] == {"x": {"shape": [3, 4, 4], "data": None}, "weight": {"shape": [2, 3, 2, 2], "data": None}}
    assert data["result"]["y"] == example("channels").y.ravel().tolist()
    assert [one["name"] for one in data["examples"]] == list(EXAMPLES)


# x, weight, options, whether M is on a canvas, and what the note of M begins with
LARGE = {
    "canvas": ((1, 20, 20), (1, 1, 3, 3), {}, True, "Each square"),
    "window": ((3, 40, 40), (2, 3, 3, 3), {"padding": 1}, False, "rows "),
    "long kernel": ((1, 400), (4, 1, 99), {}, False, "rows "),
    "many numbers": ((8, 49, 49), (8, 8, 3, 3), {"stride": 4}, False, "rows "),
    "transposed": ((4, 20, 20), (4, 4, 3, 3), {"transposed": True}, False, "rows "),
    "3-D": ((2, 9, 9, 9), (2, 2, 3, 3, 3), {}, False, "rows "),
}


@pytest.mark.parametrize("name", LARGE)
def test_large(open_file, name):
    x, weight, options, canvas, note = LARGE[name]
    e = explain(np.arange(np.prod(x)).reshape(x) % 7, np.arange(np.prod(weight)).reshape(weight) % 5, **options)
    one = open_file(e.html())
    page = one.page
    assert page.inner_text("#note-M").startswith(note)
    assert bool(page.locator("#M canvas").count()) == canvas
    assert page.locator("svg .c").count() <= 5000
    assert page.inner_text("#checked").startswith("checked: all")
    last = {"kind": "output", "at": e.y.size - 1}
    for state in (
        last,
        {"kind": "input", "at": int(np.prod(x)) - 1},
        {"kind": "weight", "at": int(np.prod(weight)) - 1},
    ):
        page.evaluate("selection => page.set({selection})", state)
    page.evaluate("selection => page.set({selection})", last)
    assert page.locator(f'#y [data-at="{e.y.size - 1}"].at').count() == 1
    index = ", ".join(str(size - 1) for size in e.y.shape)
    assert page.inner_text("#sum h3") == f"y[{index}] = {number(e.y.flat[-1])}"
    assert one.requests + one.errors == []


def test_the_page_begins_with_what_is_asked_for(call, open_file):
    now = "[page.state.backward, page.state.selection.kind, page.state.selection.at]"
    weight_at, input_at = ["--weight-at", "1,0,1,0"], ["--input-at", "0,2,3"]
    both = ["--example", "channels", "--html", "-"]
    for words, begin, title in (
        (["--backward", *weight_at, *input_at], [True, "weight", 14], "gradient of weight o: "),
        (["--backward", *input_at], [True, "input", 11], "gradient of x[0, 2, 3]: "),
        (["--backward"], [True, "output", 5], "g[0, 1, 2] = 1"),
        (input_at, [False, "input", 11], "x[0, 2, 3] = "),
    ):
        code, html, _ = call(*both, *words)
        assert code == 0
        page = open_file(html).page
        assert page.evaluate(now) == begin
        assert page.inner_text("#sum h3").startswith(title)
        assert page.get_by_role("radio", name="Backward").is_checked() is begin[0]
        assert page.get_by_label("output", exact=True).input_value() == ("5" if begin[1] == "output" else "0")
    code, _, err = call(*both, "--weight-at", "5,0,0,0")
    assert (code, "weight_at is (5, 0, 0, 0)" in err) == (2, True)


def test_headings_name_the_size_of_what_is_drawn(open_file):
    headings = "['product', 'M'].map(name => document.getElementById(`title-${name}`).textContent)"
    page = open_file(example("channels").html(backward=True)).page
    assert page.evaluate(headings) == [
        "g @ PT P is 12 \u00d7 9: a row of it times a row of g is the gradient of a weight; g stands in place of Y",
        "MT @ g M is 18 \u00d7 48: a column of it times g is the gradient of an input",
    ]
    assert page.inner_text("#title-y") == "g gradient of the loss with respect to y"
    e = example("transposed")
    page = open_file(e.html(backward=True)).page
    assert page.evaluate(headings)[1].startswith(f"M @ g MT is {e.y.size} \u00d7 {e.problem.x.size}: ")
    page.evaluate("page.set({selection: {kind: 'input', at: 1}})")
    assert page.inner_text("#sum p") == "column 1 of M\u1d40 times g: one output of the convolution"


def test_scripts_are_only_stripped():
    script = "/* a\n   comment */\n  // another\n\n  const a = `/* not */`;\n    b(a); // kept\n"
    assert page.stripped(script) == "const a = `/* not */`;\nb(a); // kept\n"
    for name in (*page.SCRIPTS, *page.STYLES):
        assert page.stripped(page.asset(name)).strip()
