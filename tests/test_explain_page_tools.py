"""What the page reads and writes: numbers in text, links, programs, pictures, text, and itself."""

from __future__ import annotations

import base64
import io
import json
import re
from contextlib import suppress
from random import Random
from xml.etree import ElementTree

import numpy as np
import pytest
from browser import opened
from page_states import random_problem, random_state

from gemmconv import conv, conv_transpose
from gemmconv.explanation import EXAMPLES, example
from gemmconv.explanation.code import LIBRARIES

PANELS = ["x", "weight", "y", "P", "K", "Y", "M"]

# In JSON, inf, -inf, nan and -0 are strings.
REVIVE = """text => JSON.parse(text, (_, value) =>
  ["inf", "-inf", "nan", "-0"].includes(value) ? numbers.number(value) : value)"""
SAME = """(function same(a, b) {
  if (a === null || typeof a !== "object") return Object.is(a, b);
  if (b === null || Object.keys(a).length !== Object.keys(b).length) return false;
  return Object.keys(a).every(key => same(a[key], b[key]));
})"""
OUTCOME = "texts => texts.map(text => { try { return %s; } catch (error) { return {error: error.message}; } })"


@pytest.fixture(scope="module")
def page(chromium, tmp_path_factory):
    """Return the page of the example channels; at the end it must have asked for nothing."""
    file = tmp_path_factory.mktemp("tools") / "page.html"
    file.write_text(example("channels").html())
    one = opened(chromium, file, accept_downloads=True, permissions=["clipboard-read", "clipboard-write"])
    yield one.page
    one.check()
    one.page.context.close()


@pytest.fixture
def fresh(page):
    """Return the page in the state in which it starts."""
    before = page.evaluate("JSON.stringify(page.state)")
    yield page
    page.evaluate("text => page.set(JSON.parse(text))", before)


def parsed(page, texts):
    """Return the arrays that the page reads in texts, or the messages."""
    outcome = "(({shape, data}) => ({shape, data: data.map(numbers.text)}))(numbers.parse(text))"
    answers = page.evaluate(OUTCOME % outcome, texts)
    return [a if "error" in a else np.array([float(n) for n in a["data"]]).reshape(a["shape"]) for a in answers]


FORMS = {
    "[[1, 2], [3, 4.5]]": [[1, 2], [3, 4.5]],
    '[["nan", -1e-3], [true, "-inf"]]': [[np.nan, -1e-3], [1, -np.inf]],
    "array([[1., 2.],\n       [3., nan]], dtype=float32)": [[1, 2], [3, np.nan]],
    "array([[1., 2.]], dtype=np.float32)": [[1, 2]],
    "tensor([[1., 2.]], dtype=torch.float64)": [[1, 2]],
    "[np.float64(1.0), np.float64(-inf)]": [1, -np.inf],
    "[[1. 2.]\n [3. inf]]": [[1, 2], [3, np.inf]],
    "[1 2; 3 4]": [[1, 2], [3, 4]],
    "W = [1, 2; 3, 4];": [[1, 2], [3, 4]],
    "[1; 2; 3]": [[1], [2], [3]],
    "{[1 2; 3 4], [5 6; 7 8]}": [[[1, 2], [3, 4]], [[5, 6], [7, 8]]],
    "W =\n\n     1     2\n     3     4\n": [[1, 2], [3, 4]],
    "1\t2\r\n3\t4\r\n": [[1, 2], [3, 4]],
    "1,5\t2\n-3,25\t4": [[1.5, 2], [-3.25, 4]],
    "1,5; 2\n3; 4": [[1.5, 2], [3, 4]],
    "1, 2,\n3, 4,\n": [[1, 2], [3, 4]],
    "1 2\n3 4\n\n5 6\n7 8": [[[1, 2], [3, 4]], [[5, 6], [7, 8]]],
    "1\n2\n3\n": [1, 2, 3],
    "  7  ": [7],
    "\u22121.5d3": [-1500],
    "[[[[[1]]]]]": [[[[[1]]]]],
    "[1,\n 2\n 3]": [1, 2, 3],
}

ERRORS = {
    "": "there are no numbers",
    "[]": "there are no numbers",
    "[1, 2, ..., 9]": r"\.\.\. stands for missing numbers: in NumPy, print after .* \(line 1, column 8\)",
    "[1,, 2]": r"a number is missing \(line 1, column 4\)",
    "[[1, 2],\n [3, 4]": r"a \] is missing at the end \(line 2, column 8\)",
    "[1]]": r'"\]" is outside of the brackets \(line 1, column 4\)',
    "[1] 2": r'"2" is outside of the brackets \(line 1, column 5\)',
    "[[1, 2],\n [3]]": r"a row has 1 entries, but the first one has 2 \(line 2, column 2\)",
    "[1, [2]]": r"numbers and rows are mixed \(line 1, column 1\)",
    "[1 2; 3]": r"a row has 1 entries, but the first one has 2",
    "1\t\t3": r"a cell is empty \(line 1, column 3\)",
    "1 2\n3 x": r'"x" is not a number \(line 2, column 3\)',
    "1\n\n2 3": "a row has 2 entries, but the first one has 1",
    "[1+2j]": r'"1\+2j" is not a number \(line 1, column 2\)',
    "[null]": '"null" is not a number',
    "[constructor]": '"constructor" is not a number',
    "[" * 100: "more than 8 brackets",
    "1\n" * 20_001: "20001 numbers are too many: give at most 20000",
}


def test_numbers_are_read_in_many_forms(page):
    for text, array, expected in zip(FORMS, parsed(page, list(FORMS)), FORMS.values(), strict=True):
        assert not isinstance(array, dict), (text, array)
        np.testing.assert_array_equal(array, np.array(expected, float), text)
        assert array.shape == np.shape(expected), text


def test_mistakes_say_what_and_where(page):
    for text, answer in zip(ERRORS, parsed(page, list(ERRORS)), strict=True):
        assert isinstance(answer, dict), (text, answer)
        assert re.search(ERRORS[text], answer["error"]), (text, answer["error"])


def test_what_numpy_prints_is_read_back(page):
    random = np.random.default_rng(1)
    arrays = [random.normal(size=random.integers(1, 6, random.integers(1, 5))) for _ in range(30)]
    arrays += [
        np.arange(60.0).reshape(1, 60),
        np.array([[np.nan, np.inf], [-np.inf, -0.0]]),
        np.array([1e-300, 5e-324]),
    ]
    with np.printoptions(threshold=10**6, floatmode="unique"):
        texts = [form(array) for array in arrays for form in (str, repr, lambda a: json.dumps(a.tolist()))]
    texts = [text.replace("NaN", "nan") for text in texts]
    for text, array, expected in zip(texts, parsed(page, texts), np.repeat(np.array(arrays, object), 3), strict=True):
        assert array.shape == expected.shape, text
        assert array.tobytes() == expected.tobytes() or np.isnan(expected).any(), text
        np.testing.assert_array_equal(array, expected)


def test_numbers_are_written_so_that_they_are_read_back(page):
    assert page.evaluate("""() => [1, 2, 3, 4, 5].every(rank => {
        const shape = draw.range(2, rank), some = n => [-0, 1e-300, NaN, n / 3, -Infinity][n % 5];
        const data = draw.range(0, draw.product(shape)).map(some);
        const back = numbers.parse(numbers.write({shape, data}));
        return String(back.shape) === String(shape) && back.data.every((value, at) => Object.is(value, data[at]));
    })""")


def test_one_number_is_edited_and_the_problem_stays_as_it_was(page):
    assert page.evaluate("""() => {
        const before = page.state.problem, text = JSON.stringify(before);
        const {x} = numbers.edit(before, "x", 5, -7.5), {bias} = numbers.edit(before, "bias", 1, 3);
        const {grad} = numbers.edit(before, "grad", 17, 2), {weight} = numbers.edit(before, "weight", 0, NaN);
        return JSON.stringify(before) === text && x.data[5] === -7.5 && x.data[4] === 5 && String(bias) === "0,3" &&
            grad.length === 18 && grad[17] === 2 && grad[0] === 1 && weight.data[1] === 2;
    }""")


def test_an_array_is_replaced_and_gets_axes(page):
    replace = """([name, text]) => { try {
        const problem = numbers.replace(page.state.problem, name, text && numbers.parse(text)), {x, weight} = problem;
        return {...problem, x: x.shape, weight: weight.shape, outputs: core.geometry(problem).outputs};
    } catch (error) { return error instanceof core.Misfit ? error.message : "threw " + error; } }"""

    def replaced(name, array):
        return page.evaluate(replace, [name, "" if array is None else json.dumps(np.asarray(array).tolist())])

    assert replaced("x", np.ones((3, 5, 2)))["outputs"] == [2, 4, 1]
    assert replaced("x", np.ones((1, 3, 5, 2)))["x"] == [3, 5, 2]
    assert replaced("weight", np.ones((3, 2, 2)))["weight"] == [1, 3, 2, 2]
    assert replaced("bias", [5, 6])["bias"] == [5, 6]
    assert replaced("bias", None)["bias"] is None
    assert replaced("grad", np.full((2, 3, 3), 4))["grad"] == [4] * 18
    assert "x has shape (2, 3, 4, 4); give at most 3 axes" in replaced("x", np.ones((2, 3, 4, 4)))
    assert "x has 1" in replaced("x", np.ones((4, 4)))
    assert replaced("bias", [1, 2, 3]) == "bias has shape (3); give shape (2)"
    assert "give shape (2, 3, 3)" in replaced("grad", np.ones((3, 3)))
    assert replaced("weight", np.ones((5, 3, 2, 2)))["outputs"] == [5, 3, 3]


def test_links_restore_every_state(page):
    random = Random(17)
    states = [random_state(random) for _ in range(300)]
    answers = page.evaluate(
        f"""text => {{
        const states = ({REVIVE})(text), same = {SAME};
        return states.map(state => {{
            if (state.selection && state.selection.other !== undefined && state.pinned) {{
                const {{outputs}} = core.geometry(state.problem);
                state.problem.grad = draw.range(0, draw.product(outputs)).map(n => n / 7);
            }}
            const {{fragment, message}} = link.write(state);
            if (!fragment) return message;
            const found = link.read(fragment);
            if (found.state && same(state, found.state) && fragment.length <= 2000) return "same";
            return fragment + (found.message || " differs");
        }});
    }}""",
        json.dumps(states),
    )
    assert set(answers) <= {"same", "too large for a link: save the file"}
    assert answers.count("same") >= 250


def test_a_link_is_short_and_a_long_one_is_refused(page):
    assert page.evaluate("link.write(page.state).fragment").startswith("#x=3x4x4&w=2x3x2x2&")
    large = """count => link.write({problem: {
        ...page.state.problem, x: {shape: [3, 4, count], data: Array(12 * count).fill(0.5)}}})"""
    assert page.evaluate(large, 100) == {"message": "too large for a link: save the file"}
    assert len(page.evaluate(large, 4)["fragment"]) < 300


def test_a_link_may_be_percent_encoded(page):
    fragment = "#x=1x1x2%3A5%2C6&w=1x1x1x2&p=1%3A0%2C0%3A1"
    found = page.evaluate("fragment => link.read(fragment)", fragment)["state"]["problem"]
    assert found["x"] == {"shape": [1, 1, 2], "data": [5, 6]}
    assert found["padding"] == [[1, 0], [0, 1]]


SMALL = "#x=1x4&w=1x1x2"
HOSTILE = [
    "#<img src=x onerror=alert(1)>",
    SMALL + "&e=<script>alert(1)</script>&z=1",
    SMALL + "&a=o99",
    SMALL + "&a=c0.9",
    SMALL + "&a=o0.1",
    SMALL + "&a=q1",
    SMALL + "&s=0",
    SMALL + "&s=1,1",
    SMALL + "&s=1e9",
    SMALL + "&p=99999:99999",
    SMALL + "&p=1:2:3",
    SMALL + "&p=constructor",
    SMALL + "&m=q",
    SMALL + "&m=zz",
    SMALL + "&g=2",
    SMALL + "&b=1,2",
    SMALL + "&u=1",
    SMALL + "&v=one",
    SMALL + "&__proto__=1",
    SMALL + "&constructor=1",
    SMALL + "&x=1x4",
    SMALL + "&t=1&f=1",
    SMALL + "=&=",
    "#x=1x4",
    "#x=1x4:1,2&w=1x1x2",
    "#x=1x4:1,2,3,<b>&w=1x1x2",
    "#x=99999x99999&w=1x1x2",
    "#x=1x20000&w=1x1x1&p=9000:9000",
    "#x=8x40x40&w=8x8x40x40&p=39:39,39:39",
    "#x=1x1x1x1x1x1x1&w=1x1x2",
    "#x=&w=",
    "#x=1x-4&w=1x1x2",
    "#x=0x4&w=1x0x2",
    "#x=1x4&w=1x1x2&e=%E0%A4%A",
    "#%00%ff&&&===",
    "#" + "x" * 5000,
]


def test_hostile_links_are_ignored_with_a_message(page):
    answers = page.evaluate("fragments => fragments.map(fragment => link.read(fragment))", HOSTILE)
    for fragment, answer in zip(HOSTILE, answers, strict=True):
        assert set(answer) == {"message"}, fragment
        assert re.match("this link is (ignored: .|not complete; )", answer["message"]), fragment
        assert answer["message"].endswith("; the page shows its own numbers"), fragment
    assert page.evaluate("[link.read(''), link.read('#'), ({}).polluted]") == [{}, {}, None]


def programs(page, problems):
    """Return the programs for each problem, or the reasons."""
    write = """code.libraries.map(library => {
        try { return code.write(problem, library); } catch (error) { return "cannot " + error.message; } })"""
    return page.evaluate(f"text => ({REVIVE})(text).map(problem => {write})", json.dumps(problems))


def result(problem):
    """Return the output by gemmconv itself."""
    x, weight = (np.array(problem[name]["data"], float).reshape(problem[name]["shape"]) for name in ("x", "weight"))
    bias = None if problem["bias"] is None else np.array(problem["bias"], float)
    padding = problem["padding"] if isinstance(problem["padding"], str) else tuple(map(tuple, problem["padding"]))
    options = {
        "stride": problem["stride"],
        "dilation": problem["dilation"],
        "groups": problem["groups"],
        "padding": padding,
    }
    if problem["transposed"]:
        return conv_transpose(x, weight, bias, **options, output_padding=problem["outputPadding"])
    modes = {"padding_mode": problem["modes"], "padding_value": problem["value"]}
    return conv(x, weight, bias, **options, **modes, flip=problem["flip"])


def test_programs_compute_y(page):
    pytest.importorskip("torch")
    random, ran = Random(5), dict.fromkeys(["gemmconv", "torch", "scipy"], 0)
    problems = [random_problem(random, plain=True) for _ in range(120)]
    for problem, written in zip(problems, programs(page, problems), strict=True):
        expected = result(problem)
        for library, program in zip(ran, written):
            if program.startswith("cannot "):
                assert program.startswith(f"cannot {library}: ")
                continue
            names = {}
            exec(compile(program, "<program>", "exec"), names)
            assert (np.asarray(names["y"]) == expected).all(), program
            assert np.shape(names["y"]) == expected.shape
            ran[library] += 1
    assert ran["gemmconv"] == 120
    assert ran["torch"] > 50
    assert ran["scipy"] > 15


@pytest.mark.parametrize(
    "name", ["channels", "1d", "full", "groups", "sharpen", "stride", "circular", "transposed", "3d"]
)
def test_programs_are_those_of_the_command(page, name):
    problem = page.evaluate("name => page.examples.find(one => one.name === name).problem", name)
    [written] = programs(page, [problem])
    for library, program in zip(["gemmconv", "torch", "scipy", "matlab"], written):
        with suppress(ValueError):  # what the command refuses
            expected = example(name).code(library)
            assert re.sub(r"[\s(),]", "", program) == re.sub(r"[\s(),]", "", expected), program
    assert set(LIBRARIES) >= set(page.evaluate("code.libraries"))


def test_matlab_pads_with_copies_and_crops(page):
    """Every row and column of the padded matrix is a row and a column of x, counted from 1, or the constant."""
    problem = page.evaluate("page.examples[0].problem")
    problem |= {"padding": [[2, 1], [-1, 1]], "modes": ["reflect", "zeros"], "value": -1.5}
    [[*_, program]] = programs(page, [problem])
    assert "    padded = repmat(-1.5, 7, 4);" in program.splitlines()
    assert "    padded(1:7, 1:3) = x{c}([3 2 1 2 3 4 3], 2:4);" in program.splitlines()
    rows, columns = [2, 1, 0, 1, 2, 3, 2], [1, 2, 3]
    x = np.array(problem["x"]["data"], float).reshape(4, 4)
    padded = np.full((7, 4), -1.5)
    padded[:, :3] = x[np.ix_(rows, columns)]
    assert (conv(padded[np.newaxis], [[[[1, 2], [3, 4]]]]) == result(problem)).all()


def test_pictures_are_complete_files(fresh):
    fresh.evaluate("page.set({selection: {kind: 'weight', at: 5}, pinned: true})")
    for panel in ["", *PANELS]:
        text = fresh.evaluate("name => exporter.svg(name)", panel)
        root = ElementTree.fromstring(text)
        assert root.tag == "{http://www.w3.org/2000/svg}svg"
        assert not re.search(
            r"class=|style=|var\(|color-mix|currentcolor|color\(|https?://(?!www.w3.org/2000/svg)", text, re.IGNORECASE
        )
        ids = set(re.findall(r' id="([^"]*)"', text))
        assert set(re.findall(r"url\(#([^)]*)\)", text)) <= ids
        found = [node.text for node in root.iter("{http://www.w3.org/2000/svg}text")]
        assert "2528" in found or panel not in ("", "y", "Y")
        assert float(root.get("width")) > 50
        assert float(root.get("height")) > 30
        for rect in root.iter("{http://www.w3.org/2000/svg}rect"):
            assert rect.get("fill")
    assert {"f", "channel 0", "weight", "24"} <= set(
        re.findall(r">([^<>]+)</text>", fresh.evaluate("exporter.svg('')"))
    )


def test_a_large_matrix_is_an_image_in_the_picture(fresh):
    fresh.evaluate("""page.set({problem: {...page.state.problem, x: {shape: [3, 9, 9], data: draw.range(1, 243)},
        weight: {shape: [4, 3, 2, 2], data: draw.range(1, 48)}}})""")
    assert fresh.locator("#M canvas").count() == 1
    for panel in ("", "M"):
        text = fresh.evaluate("name => exporter.svg(name)", panel)
        [image] = ElementTree.fromstring(text).iter("{http://www.w3.org/2000/svg}image")
        assert image.get("href").startswith("data:image/png;base64,")
        assert float(image.get("width")) > 200


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_png_has_the_picture_twice_as_large(fresh, scheme):
    image = pytest.importorskip("PIL.Image")
    fresh.emulate_media(color_scheme=scheme)
    fresh.wait_for_function("scheme => document.documentElement.dataset.scheme === scheme", arg=scheme)
    size, data = fresh.evaluate("""async () => {
        const svg = exporter.svg("M"), size = /width="(\\d+)" height="(\\d+)"/.exec(svg).slice(1).map(Number);
        const bytes = new Uint8Array(await (await exporter.png(svg)).arrayBuffer());
        return [size, btoa(Array.from(bytes, byte => String.fromCharCode(byte)).join(""))];
    }""")
    picture = image.open(io.BytesIO(base64.b64decode(data))).convert("RGB")
    assert picture.format is None
    assert picture.size == (2 * size[0], 2 * size[1])
    colours = picture.getcolors(1 << 20)
    assert len(colours) > 50
    corner = picture.getpixel((0, 0))
    assert min(corner) > 200 if scheme == "light" else max(corner) < 60
    fresh.emulate_media(color_scheme="light")


def read_matrix(text, name):
    """Return a matrix of the text by its heading."""
    body = re.search(rf"^{name} \(\d+, \d+\)\n((?:    .*\n)+)", text, re.MULTILINE)[1]
    return np.array([[float(word) for word in line.split()] for line in body.splitlines()])


@pytest.mark.parametrize("name", [name for name in EXAMPLES if name not in ("transposed", "circular")])
def test_the_text_has_all_matrices(fresh, name):
    fresh.evaluate(
        """name => {
        const {problem, at} = page.examples.find(one => one.name === name);
        page.set({problem, selection: {kind: "output", at}});
    }""",
        name,
    )
    text = fresh.evaluate("exporter.text(page.state)")
    assert text.isascii()
    assert all(line == line.rstrip() for line in text.splitlines())
    expected = example(name)
    Y = read_matrix(text, "Y")
    assert (read_matrix(text, "K") @ read_matrix(text, "P") == Y).all()
    assert (Y.ravel() == expected.y.ravel()).all()
    letters = {letter: float(value) for letter, value in re.findall(r"\b([A-Za-z])=(\S+)", text)} | {".": 0.0}
    rows = [re.sub(r"[ |]", "", row) for row in re.findall(r"^    y\[[\d,]+\] +(.*)$", text, re.MULTILINE)]
    M = np.array([[letters[sign] for sign in row] for row in rows])
    assert (expected.M.toarray() == M).all()
    assert (M @ expected.problem.x.array.ravel() == expected.y.ravel()).all()
    terms, value = re.search(r"ONE OUTPUT .* = (.*) = (\S+)$", text, re.MULTILINE).groups()
    assert eval(terms) == float(value)


@pytest.mark.parametrize("name", EXAMPLES)
def test_the_text_has_the_options_as_the_command_prints_them(fresh, name):
    fresh.evaluate("name => page.set({problem: page.examples.find(one => one.name === name).problem})", name)
    options = fresh.evaluate("exporter.text(page.state)").splitlines()[1]
    assert options.startswith("stride ")
    assert options in " ".join(example(name).text(400, ["size"]).split())


def test_the_text_of_other_problems(fresh):
    fresh.evaluate("page.set({problem: page.examples.find(one => one.name === 'circular').problem})")
    assert "padding mode wrap, " in fresh.evaluate("exporter.text(page.state)")
    fresh.evaluate("page.set({problem: page.examples.find(one => one.name === 'transposed').problem})")
    text = fresh.evaluate("exporter.text(page.state)")
    assert "output padding 0, transposed" in text
    assert "P = K.T @ X" in text
    assert "y = M.T @ x" in text
    fresh.evaluate("page.set({problem: {...page.examples[1].problem, bias: [3, -2]}})")
    text = fresh.evaluate("exporter.text(page.state)")
    assert "bias  3 -2" in text
    terms, value = re.search(r"ONE OUTPUT .* = (.*) = (\S+)$", text, re.MULTILINE).groups()
    assert eval(terms) == float(value)


def test_the_page_saves_itself_with_other_numbers(chromium, fresh, tmp_path):
    fresh.evaluate("""page.set({name: "</script><b>", selection: {kind: "output", at: 3}, problem: {
        ...page.state.problem, stride: [2, 1], x: {
            shape: [3, 4, 4], data: page.state.problem.x.data.map(n => ({5: NaN, 6: -Infinity})[n] ?? n / 3)}}})""")
    with fresh.expect_download() as download:
        fresh.get_by_role("button", name="Save page").click()
    assert download.value.suggested_filename == "convolution.html"
    file = tmp_path / "again.html"
    download.value.save_as(file)
    assert file.stat().st_size < 2 * len(example("channels").html())
    again = opened(chromium, file)
    state = "(({problem: {x, stride}, name, selection}) => [numbers.write(x), stride, name, selection])(page.state)"
    assert again.page.evaluate(state) == fresh.evaluate(state)
    assert again.page.locator("#wrong").is_hidden()
    assert again.page.locator("#checked").inner_text() == ""
    again.check()
    again.page.context.close()


def test_buttons_that_save_and_copy(fresh):
    for name, begin in {"SVG": b"<svg", "PNG": b"\x89PNG", "Text": b"x (3, 4, 4)"}.items():
        with fresh.expect_download() as download:
            fresh.get_by_role("button", name=name, exact=True).click()
        assert download.value.path().read_bytes().startswith(begin)
    status, clipboard = fresh.locator("#out [role=status]"), "navigator.clipboard.readText()"
    fresh.get_by_role("button", name="Copy link").click()
    status.get_by_text("link copied").wait_for()
    assert fresh.evaluate(clipboard) == fresh.evaluate("location.href.split('#')[0] + link.write(page.state).fragment")
    fresh.get_by_label("library").select_option("scipy")
    fresh.get_by_role("button", name="Copy code").click()
    status.get_by_text("code copied").wait_for()
    assert fresh.evaluate(clipboard).startswith("import numpy as np\nimport scipy.signal\n")
    fresh.locator("#out summary").click()
    fresh.locator("#out pre", has_text="scipy.signal.correlate").wait_for()
    fresh.evaluate("page.set({problem: {...page.state.problem, dilation: [2, 2]}})")
    assert (
        fresh.locator("#out pre").inner_text().startswith("scipy: there is no transposed convolution and no dilation")
    )


def test_copying_without_the_clipboard(fresh):
    fresh.evaluate("Object.defineProperty(navigator, 'clipboard', {value: undefined, configurable: true})")
    fresh.get_by_role("button", name="Copy link").click()
    fresh.locator("#out [role=status]").get_by_text("link copied").wait_for()
    fresh.evaluate("delete navigator.clipboard")
    assert "#x=3x4x4&w=2x3x2x2" in fresh.evaluate("navigator.clipboard.readText()")
