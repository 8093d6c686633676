"""The picture of an explanation: its numbers, its places, its colours, and the option --plot of the command."""

from __future__ import annotations

import io
import sys
from functools import cache
from itertools import combinations
from xml.etree import ElementTree

import numpy as np
import pytest
from drawn import FEWER
from explained import explanations
from fresh import run_python
from hypothesis import given, settings
from numpy.testing import assert_array_equal

from gemmconv import cli, explain
from gemmconv.explanation import EXAMPLES, Explanation, example
from gemmconv.explanation.examples import LETTERS
from gemmconv.explanation.files import write_new
from gemmconv.explanation.grids import number
from gemmconv.explanation.palette import INK, PAPER, SHARE_WITHOUT_TEXT, TAPS, contrast, mixed, tap_colours
from gemmconv.explanation.problem import Numbers, Options, Problem
from gemmconv.explanation.sheet import LETTER, SMALLEST, Track, around

pytest.importorskip("matplotlib")

from gemmconv.explanation import picture
from gemmconv.explanation.picture_files import plotted, saved

SVG = "{http://www.w3.org/2000/svg}"


def layer(x, weight, **options):
    return Explanation(Problem.make(Numbers(x), Numbers(weight), options=Options(**options)))


# Layers too large to be shown whole, and some whose M, or P, is shown without texts.
LARGE = {
    "first of ResNet": lambda: layer((3, 224, 224), (64, 3, 7, 7), stride=2, padding=3),
    "depthwise": lambda: layer((32, 28, 28), (32, 1, 3, 3), padding=1, groups=32),
    "transposed": lambda: layer((64, 14, 14), (64, 32, 4, 4), stride=2, padding=1, transposed=True),
    "3-D": lambda: layer((1, 1000, 1000, 1000), (1, 1, 3, 3, 3)),
    "1-D": lambda: layer((2, 16000), (32, 2, 80), stride=4),
    "long rows": lambda: layer((128, 7, 7), (1024, 128, 7, 7)),
    "too long rows": lambda: layer((1, 1100, 1100), (1, 1, 1050, 1050)),
    "colours": lambda: layer((3, 10, 10), (4, 3, 3, 3), padding=1),
    "transposed, colours": lambda: layer((4, 10, 10), (4, 2, 3, 3), transposed=True, padding=1),
}


def view_of(explanation, **options):
    return picture.replace(explanation._view(None, None), **options)


@cache
def svg_of(name, **options):
    return saved(example(name).figure(**options), "svg")


def texts(svg, kind="text"):
    """Return the texts of the cells by their names; each has one."""
    found = {}
    for group in ElementTree.fromstring(svg).iter(f"{SVG}g"):
        begin, _, name = group.get("id", "").partition("-")
        if begin == kind:
            assert name not in found
            found[name] = "".join(group.itertext()).strip()
    return found


def expected(array, name):
    return {"-".join(map(str, (name, *index))): number(value) for index, value in np.ndenumerate(array)}


def part(found, name):
    return {key: text for key, text in found.items() if key.split("-")[0] == name}


@pytest.mark.parametrize(
    "name", ["small", "channels", "1d", "full", "stride", "groups", "circular", "transposed", "3d", "sharpen"]
)
def test_numbers(name):
    """The text in every cell is the number that the library computes."""
    explanation, found = example(name), texts(svg_of(name))
    transposed = explanation.problem.transposed
    K = explanation.K if isinstance(explanation.K, np.ndarray) else explanation.K.toarray()
    x = np.asarray(explanation.problem.x.array)
    inside = {key: text for key, text in part(found, "x").items() if "--" not in key}
    wanted = expected(x, "x")
    assert {key: text for key, text in inside.items() if key in wanted} == wanted
    assert part(found, "weight") == expected(explanation.problem.weight.array, "weight")
    assert part(found, "y") == expected(explanation.y, "y")
    assert part(found, "C" if transposed else "P") == expected(explanation.P, "C" if transposed else "P")
    shown = part(found, "K")
    connected = {key: text for key, text in expected(K, "K").items() if text != "0" or key in shown}
    assert shown == connected
    if transposed:
        assert part(found, "X") == expected(x.reshape(len(x), -1), "X")
    else:
        assert part(found, "Y") == expected(explanation.y.reshape(len(explanation.y), -1), "Y")
    assert part(found, "Mx") == expected(x.ravel(), "Mx")
    assert part(found, "My") == expected(explanation.y.ravel(), "My")


@pytest.mark.parametrize("name", ["channels", "full", "groups", "transposed", "sharpen"])
def test_entries_of_m(name):
    """M has a letter for each tied weight, or its number, and nothing where there is no connection."""
    explanation = example(name)
    ties, values = explanation.ties.tocoo(), explanation.M.tocoo()
    places = [f"M-{row}-{column}" for row, column in zip(*ties.coords)]
    assert part(texts(svg_of(name)), "M") == dict(zip(places, (LETTERS[weight] for weight in ties.data)))
    by_value = texts(saved(explanation.draw("M", letters=False).figure, "svg"))
    places = [f"M-{row}-{column}" for row, column in zip(*values.coords)]
    assert part(by_value, "M") == dict(zip(places, map(number, values.data)))


def test_letters_of_weights():
    letters = texts(svg_of("channels"), "letter")
    places = expected(np.zeros((2, 3, 2, 2)), "weight")
    assert letters == dict(zip(places, LETTERS))
    sheet = picture.panel_sheet(view_of(LARGE["colours"]()), "weight")
    kernels = {}
    for box in sheet.boxes:
        kernels.setdefault(tuple(box.name.split("-")[1:3]), []).append(box.tile.corner)
    assert all(len(set(letters)) == len(letters) == 9 for letters in kernels.values())


def test_numbers_of_a_part():
    """Of a large layer the cells that are shown have the numbers of the layer."""
    explanation = layer((4, 20, 20), (6, 2, 3, 3), groups=2, padding=1, stride=2)
    P, K, y = explanation.P, explanation.K.toarray(), explanation.y
    view = view_of(explanation, letters=False)
    boxes = [box for placed in picture.placed_sheets(view)[0] for box in placed.sheet.boxes]
    M = explanation.M.toarray()
    arrays = {"P": P, "K": K, "Y": y.reshape(6, -1), "M": M, "y": y, "weight": explanation.problem.weight.array}
    arrays |= {"Mx": explanation.problem.x.array.ravel(), "My": y.ravel()}
    seen = set()
    for box in boxes:
        name, *index = box.name.split("-")
        if name in arrays:
            assert box.tile.text == number(arrays[name][tuple(map(int, index))])
            seen.add(name)
    assert seen == {"y", "weight", "M", "Mx", "My"}  # K, P and Y are pictures
    names = [image.name for placed in picture.placed_sheets(view)[0] for image in placed.sheet.pictures]
    assert names == ["K", "P", "Y"]
    row = [box for box in boxes if box.name.startswith("M-") and box.tile.selected]
    output = int(np.ravel_multi_index(explanation.at, y.shape))
    assert {int(box.name.split("-")[2]) for box in row} == set(np.flatnonzero(M[output]))


@pytest.mark.parametrize("name", ["colours", "transposed, colours"])
def test_cells_without_texts(name):
    """Their colours are the taps of the weights."""
    explanation = LARGE[name]()
    images = {i.name: i for placed in picture.placed_sheets(view_of(explanation))[0] for i in placed.sheet.pictures}
    taps = np.full(explanation.M.shape, -1)
    ties = explanation.ties.tocoo()
    taps[ties.coords] = ties.data % explanation.problem.taps
    assert_array_equal(images["M"].taps, taps)
    output = int(np.ravel_multi_index(explanation.at, explanation.y.shape))
    assert_array_equal(images["Mx"].selected[0], taps[output] >= 0)
    if explanation.problem.transposed:
        assert explanation.P[images["C"].selected].sum() == explanation.y[explanation.at]
    else:
        column = int(np.ravel_multi_index(explanation.at[1:], explanation.y.shape[1:]))
        assert_array_equal(np.flatnonzero(images["P"].selected.any(axis=0)), [column])
        assert_array_equal(images["P"].taps[explanation.P != 0] >= 0, True)


@pytest.mark.parametrize("name", [*EXAMPLES, *LARGE])
def test_places(name):
    """No panels overlap, everything lies inside its panel and the figure, and no text is too small or too wide."""
    explanation = example(name) if name in EXAMPLES else LARGE[name]()
    check_places(view_of(explanation, backward=name in EXAMPLES))


@settings(FEWER, max_examples=40)
@given(explanations())
def test_places_of_others(drawn):
    explanation = drawn[0] if isinstance(drawn, tuple) else drawn
    check_places(view_of(explanation))


def check_places(view):
    placed, height = picture.placed_sheets(view)
    assert 0 < height <= picture.TALLEST - 2 * picture.MARGIN
    for x, y, sheet in placed:
        assert x >= 0
        assert y >= 0
        assert x + sheet.width <= picture.ROOM + 0.01
        assert y + sheet.height <= height + 0.01
        for box in sheet.boxes:
            assert min(box.x, box.y) >= 0
            assert box.x + box.size.width <= sheet.width + 0.01
            assert box.y + box.size.height <= sheet.height + 0.01
            length, room = len(box.tile.text) * LETTER * box.size.font, box.size.width
            assert length <= (box.size.height if box.turned else room) + 0.01
            assert box.size.font >= SMALLEST - 0.31 or not box.tile.text
        for label in sheet.labels:
            assert label.x - (len(label.text) * label.size * LETTER if label.align == "right" else 0) >= -0.01
    for (ax, ay, a), (bx, by, b) in combinations(placed, 2):
        apart = ax + a.width <= bx or bx + b.width <= ax or ay + a.height <= by or by + b.height <= ay
        assert apart, (a.name, b.name)


def test_texts_stay_inside_the_figure():
    """The true extents of all texts lie inside, and those of different panels do not overlap."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    figure = example("channels").figure(backward=True)
    with picture.style():
        renderer = FigureCanvasAgg(figure).get_renderer()
        figure.draw(renderer)
        panels = [[text.get_window_extent(renderer) for text in axes.texts] for axes in figure.axes]
    for extents in panels:
        for box in extents:
            assert box.x0 >= 0
            assert box.y0 >= 0
            assert box.x1 <= figure.bbox.width
            assert box.y1 <= figure.bbox.height
    for one, other in combinations(panels, 2):
        assert not any(a.overlaps(b) for a in one for b in other)


@pytest.mark.parametrize("taps", [1, 4, 9, 10, 25, 52, 1000])
def test_contrast(taps):
    colours = tap_colours(taps)
    assert len(colours) == taps
    for colour in [*colours, PAPER]:
        for shown in (colour, mixed(colour), mixed(colour, SHARE_WITHOUT_TEXT)):
            assert contrast(shown) >= 7.5


def test_contrast_is_that_of_wcag():
    assert contrast("#000000", "#FFFFFF") == pytest.approx(21)
    assert contrast("#777777", "#FFFFFF") == pytest.approx(4.48, abs=0.01)
    assert contrast(INK, INK) == 1
    assert len({*TAPS}) == 9


def test_colour_is_that_of_the_tap():
    root = ElementTree.fromstring(svg_of("channels"))
    rules = dict(rule.split("{") for rule in root.find(f"{SVG}defs/{SVG}style").text.split("}")[:-1])
    cells = [group for group in root.iter(f"{SVG}g") if group.get("id", "").startswith("cell-")]
    styles = {cell.get("id"): rules["." + cell.find(f"{SVG}path").get("class")] for cell in cells}
    selected, other = styles["cell-M-5-6"], styles["cell-M-0-0"]
    assert TAPS[0].lower() in selected
    assert mixed(TAPS[0]) in other
    assert TAPS[1].lower() in styles["cell-M-5-7"]
    assert "stroke-width: 1.5" in selected
    assert "stroke-width: 0.4" in other
    assert "cell-M-0-2" not in styles


def test_hatches_and_second_outlines():
    sheets = {placed.sheet.name: placed.sheet for placed in picture.placed_sheets(view_of(example("padding")))[0]}
    hatched = {box.name for box in sheets["x"].boxes if box.tile.hatch == "padding"}
    assert len(hatched) == 20
    assert "x-0--1--1" in hatched
    P = {box.name: box.tile for box in sheets["P"].boxes}
    assert sum(tile.hatch == "padding" for tile in P.values()) == 44
    sheets = {placed.sheet.name: placed.sheet for placed in picture.placed_sheets(view_of(example("stride")))[0]}
    assert sum(box.tile.hatch == "unread" for box in sheets["x"].boxes) == 9
    explanation = example("channels")
    view = view_of(explanation, backward=True)
    sheets = {placed.sheet.name: placed.sheet for placed in picture.placed_sheets(view)[0]}
    marked = {"weight": set(), "input": set()}
    for box in sheets["M"].boxes:
        if box.tile.marked and box.name.startswith("M-"):
            marked[box.tile.marked].add(tuple(map(int, box.name.split("-")[1:])))
    places, readers = explanation.places(), explanation.readers()
    column = int(np.ravel_multi_index(view.input_at, (3, 4, 4)))
    assert marked["weight"] == set(zip(places.outputs.tolist(), places.inputs.tolist()))
    assert marked["input"] == {(output, column) for output in readers.outputs.tolist()} - marked["weight"]


def test_same_bytes_and_no_trace():
    """The same arguments give the same file, whatever the settings of matplotlib are, which stay as they are."""
    printed = run_python(
        """
        import hashlib, sys, warnings
        import matplotlib
        from gemmconv.explanation import example
        from gemmconv.explanation.picture_files import saved
        warnings.simplefilter("error")
        changes = {"font.size": 20, "svg.fonttype": "path", "axes.facecolor": "red", "hatch.color": "red"}
        matplotlib.rcParams.update(changes)
        before = matplotlib.rcParams.copy()  # dict() would import pyplot
        for form in ("svg", "png", "pdf"):
            print(hashlib.sha256(saved(example("full").figure(), form)).hexdigest())
        example("full").draw("M")
        assert matplotlib.rcParams.copy() == before
        assert "matplotlib.pyplot" not in sys.modules
        """
    )
    import hashlib

    figures = [saved(example("full").figure(), form) for form in ("svg", "png", "pdf")]
    assert printed.splitlines() == [hashlib.sha256(data).hexdigest() for data in figures]
    assert b"<text" in figures[0]


def test_figure():
    from matplotlib.figure import Figure

    figure = example("channels").figure()
    assert isinstance(figure, Figure)
    width, height = figure.get_size_inches()
    assert width == 10
    assert 5 < height <= 14
    assert tuple(example("valid").figure((5, 4)).get_size_inches()) == (5, 4)


@pytest.mark.parametrize("name", picture.PANELS)
def test_draw(name):
    from matplotlib.figure import Figure

    axes = Figure().add_subplot()
    assert example("groups").draw(name, axes) is axes
    assert axes.patches or axes.artists or axes.get_children()
    own = example("groups").draw(name)
    assert own.figure.axes == [own]
    assert any(child.get_gid() and child.get_gid().startswith("cell-") for child in own.get_children())


def test_draw_refuses():
    with pytest.raises(ValueError, match="there is no panel 'Q'; the panels are x, weight, y, P, K, Y, M"):
        example("small").draw("Q")
    with pytest.raises(ValueError, match="M is not drawn: the layer is too large"):
        LARGE["too long rows"]().draw("M")


def test_limits():
    """Cells have texts up to 60 x 80; beyond it all are shown without texts, up to 512 x 512; beyond it, a part."""

    def shown(size):
        sheet = picture.panel_sheet(view_of(layer((1, size), (1, 1, 3), padding=1)), "M")
        return {box.name for box in sheet.boxes if box.name.startswith("My")}, sheet.pictures

    boxes, pictures = shown(60)
    assert len(boxes) == 60
    assert not pictures
    boxes, pictures = shown(61)
    assert not boxes
    assert pictures[1].taps.shape == (61, 61)
    boxes, pictures = shown(512)
    assert pictures[1].taps.shape == (512, 512)
    boxes, pictures = shown(513)
    assert 10 < len(boxes) < 60
    assert not pictures


def test_around():
    assert around(5, [4], 5) == [0, 1, 2, 3, 4]
    assert around(9, [4], 3) == [range(3), 3, 4, 5, range(6, 9)]
    assert around(9, [0], 3) == [0, 1, 2, range(3, 9)]
    assert around(9, [8], 3) == [range(6), 6, 7, 8]
    assert around(9, [-1, 3, 4, 5, 6], 3) == [range(2), 2, 3, 4, range(5, 9)]
    assert around(100, [10, 90], 7)[1:3] != [range(9), 9]


def test_track():
    track = Track([0, 1, range(2, 5), 5, 6], 10, 3)
    assert track.runs == [(0, 1), (5, 5), (6, 6)]
    assert track.begins[1] == 10
    assert track.begins[6] - track.begins[5] == 12.5
    assert track.length == max(track.begins.values()) + 10
    assert track.gaps == [(20, range(2, 5))]


def test_gif():
    image_of = pytest.importorskip("PIL.Image").open
    explanation = explain([[1, 2, 3, 4]], [[[5, 6, 7]]], padding=1)
    image = image_of(io.BytesIO(plotted(explanation, "gif")))
    assert image.n_frames == 4
    assert image.info["loop"] == 0
    with pytest.raises(ValueError, match="y has 802816 outputs: a GIF shows at most 300, one after another"):
        plotted(LARGE["first of ResNet"](), "gif")


@pytest.fixture
def call(capfdbinary):
    """Return a function that runs the command and returns its exit code, standard output and standard error."""

    def run(*words):
        try:
            code = cli.main(["explain", *map(str, words)])
        except SystemExit as end:
            code = end.code
        captured = capfdbinary.readouterr()
        return code, captured.out, captured.err.decode()

    return run


def test_plot(call, tmp_path):
    for suffix, begin in ((".svg", b"<?xml"), (".PNG", b"\x89PNG"), (".pdf", b"%PDF")):
        file = tmp_path / f"picture{suffix}"
        assert call("--example", "valid", "--plot", file) == (0, b"", f"{file}\n")
        assert file.read_bytes().startswith(begin)
    assert (tmp_path / "picture.svg").read_bytes() == svg_of("valid")
    code, out, _ = call("--example", "valid", "--plot", tmp_path / "other.svg", "--show", "size")
    assert (code, out) == (0, example("valid").text(100, ["size"]).encode())
    code, out, _ = call("--example", "valid", "--plot", tmp_path / "third.svg", "--backward", "--values")
    assert (code, out) == (0, b"")
    wanted = saved(example("valid").figure(backward=True, letters=False), "svg")
    assert (tmp_path / "third.svg").read_bytes() == wanted


def test_plot_on_standard_output(call):
    assert call("--example", "valid", "--plot", "-") == (0, svg_of("valid"), "")


def test_plot_keeps_files(call, tmp_path):
    file = tmp_path / "picture.svg"
    file.write_bytes(b"mine")
    message = f"gemmconv explain: error: {file} exists; give --force to overwrite it\n"
    assert call("--example", "valid", "--plot", file) == (1, b"", message)
    assert file.read_bytes() == b"mine"
    assert call("--example", "valid", "--plot", file, "--force")[0] == 0
    assert file.read_bytes() == svg_of("valid")
    assert [path.name for path in tmp_path.iterdir()] == ["picture.svg"]


def test_plot_to_a_name_that_is_a_suffix(call, tmp_path):
    assert call("--example", "valid", "--plot", tmp_path / ".svg")[0] == 0
    assert (tmp_path / ".svg").read_bytes() == svg_of("valid")


def test_plot_refuses(call, tmp_path):
    code, _, error = call("--plot", "picture.jpg")
    assert code == 2
    assert "'picture.jpg' ends with none of .svg, .png, .pdf, .gif" in error
    code, out, error = call("--plot", tmp_path / "none" / "picture.svg")
    assert (code, out) == (1, b"")
    assert f"there is no folder {str(tmp_path / 'none')!r}" in error
    gif = ["--x", "1x40x40", "--weight", "1x1x3x3", "--plot", tmp_path / "a.gif"]
    assert call(*gif)[0] == 2
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(("module", "form"), [("matplotlib", "svg"), ("PIL", "gif")])
def test_missing_libraries(call, tmp_path, monkeypatch, module, form):
    for name in [name for name in sys.modules if name.split(".")[0] == module]:
        monkeypatch.setitem(sys.modules, name, None)
    monkeypatch.setitem(sys.modules, module, None)
    code, out, error = call("--example", "valid", "--plot", tmp_path / f"picture.{form}")
    assert (code, out) == (1, b"")
    assert 'pip install "gemmconv[explain]"' in error
    assert error.startswith("gemmconv explain: error: ")
    assert not list(tmp_path.iterdir())


def test_write_new(tmp_path, monkeypatch):
    file = tmp_path / "file"
    write_new(str(file), b"one", False)
    with pytest.raises(FileExistsError, match="exists; give --force to overwrite it"):
        write_new(str(file), b"two", False)
    write_new(str(file), b"three", True)
    assert file.read_bytes() == b"three"

    def fail(*_):
        raise OSError("full")

    monkeypatch.setattr("os.replace", fail)
    with pytest.raises(OSError, match="full"):
        write_new(str(file), b"four", True)
    assert file.read_bytes() == b"three"
    assert list(tmp_path.iterdir()) == [file]
