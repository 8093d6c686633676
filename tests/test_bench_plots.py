"""The picture of the benchmark: what is in it, and that it is the same every time."""

from __future__ import annotations

import re
from xml.etree import ElementTree

import pytest

from gemmconv.bench.problems import parse_problem
from gemmconv.bench.results import Measurement, Results, Row

pytest.importorskip("matplotlib")
from gemmconv.bench import plots
from gemmconv.bench.scaling import Curve, Point, Series, find_jumps

SVG = "{http://www.w3.org/2000/svg}"
LINE = "{} x1 c64 h56 w56 o64 kh3 kw3 ph1 pw1"


def make_row(name, **milliseconds):
    timed = {library: Measurement("timed", rounds=[[1e-3 * time]] * 3) for library, time in milliseconds.items()}
    return Row(parse_problem(LINE.format(name)), timed)


def make_results(*rows, op="forward"):
    return Results(
        machine={"cpu": "a processor", "peak_gflops": 200.0, "bandwidth_gbytes": 12.5},
        versions={},
        arguments={"op": op, "dtype": "float32", "threads": 2},
        rows=list(rows),
    )


MIXED = (
    make_row("early", gemmconv=2, plan=2, torch=3, numpy=9, torch_cl=1),
    make_row("late", gemmconv=2, plan=1, torch=1, onnxruntime=4),
    make_row("function", gemmconv=2, numpy=2),
    make_row("alone", gemmconv=2, plan=1),
)


def draw(tmp_path, results):
    file = tmp_path / "picture.svg"
    plots.plot_results(results, str(file))
    return ElementTree.parse(file).getroot()


def texts_of(root):
    return {"".join(element.itertext()).strip() for element in root.iter(f"{SVG}text")}


def group(root, name):
    (element,) = root.iterfind(f".//{SVG}g[@id='{name}']")
    return element


def colour_of(root, bar):
    return re.search("fill: (#[0-9a-f]{6})", group(root, bar).find(f"{SVG}path").get("style")).group(1)


def test_names_are_in_the_picture(tmp_path):
    texts = texts_of(draw(tmp_path, make_results(*MIXED, op="weight_gradient")))
    assert {"early", "late", "function"} <= texts
    assert {"torch 1.50x", "torch_cl 0.50x", "torch 0.50x", "onnxruntime 4.00x", "numpy 1.00x"} <= texts
    assert {"weight_gradient: a processor, float32, threads: 2", "memory: 12.5 GB/s", "peak: 200.0 GFLOP/s"} <= texts


def test_rows_without_a_comparison_have_a_speed_but_no_bar(tmp_path):
    root = draw(tmp_path, make_results(*MIXED))
    assert "alone" not in texts_of(root)
    assert len(list(group(root, "ours").iter(f"{SVG}use"))) == 4
    assert len(list(group(root, "peers").iter(f"{SVG}use"))) == 3


def test_bars_of_losses_and_gains_differ_in_colour(tmp_path):
    root = draw(tmp_path, make_results(*MIXED))
    functional = {name: colour_of(root, f"functional-{name}") for name in ("early", "late", "function")}
    prepared = {name: colour_of(root, f"prepared-{name}") for name in ("early", "late")}
    assert functional["early"] == functional["function"] != functional["late"]
    assert prepared["late"] != prepared["early"]
    assert not {*functional.values()} & {*prepared.values()}


def test_same_results_give_the_same_file(tmp_path):
    files = [tmp_path / name for name in ("once.svg", "again.svg")]
    for file in files:
        plots.plot_results(make_results(*MIXED), str(file))
    once, again = (file.read_bytes() for file in files)
    assert once == again
    assert b"<dc:date>" not in once


def test_nobodys_settings_change_the_picture(tmp_path):
    import matplotlib

    before = ElementTree.tostring(draw(tmp_path, make_results(*MIXED)))
    with matplotlib.rc_context({"font.size": 20, "svg.fonttype": "path", "axes.facecolor": "red"}):
        assert ElementTree.tostring(draw(tmp_path, make_results(*MIXED))) == before


@pytest.mark.parametrize("row", [make_row("alone", gemmconv=2), make_row("nobody")], ids=["no peer", "nothing timed"])
def test_picture_without_bars(tmp_path, row):
    texts = texts_of(draw(tmp_path, make_results(row)))
    assert "speed and its roofs" in texts
    assert row.problem.name not in texts


def test_nothing_is_refused(tmp_path):
    with pytest.raises(ValueError, match="nothing to plot"):
        draw(tmp_path, make_results())
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("itemsize", [4, 8])
def test_intensity(itemsize):
    problem = parse_problem("some x1 n2 c4 h7 w6 o6 g2 kh3 kw2")
    elements = 2 * 4 * 7 * 6 + 6 * 2 * 3 * 2 + 2 * 6 * 5 * 5
    assert plots.intensity(problem, itemsize) == pytest.approx(problem.flops / (itemsize * elements))


def test_speed_is_that_of_the_plan_if_it_is_timed(tmp_path):
    flops = MIXED[0].problem.flops
    assert plots._our_speed(MIXED[1]) == pytest.approx(flops / 1e-3 / 1e9)
    assert plots._our_speed(MIXED[2]) == pytest.approx(flops / 2e-3 / 1e9)
    assert plots._peer_speed(MIXED[1]) == pytest.approx(flops / 1e-3 / 1e9), "torch is faster than onnxruntime"
    assert plots._peer_speed(MIXED[2]) == pytest.approx(flops / 2e-3 / 1e9)


def make_curve(name, operation, *times):
    points = [Point(value + 1, time, 1 / time) for value, time in enumerate(times)]
    return Curve(Series(name, "what", (), operation, find_jumps), points)


CURVES = [
    make_curve("kernel", "forward", 1e-3, 2e-3, 3e-3),
    make_curve("taps_1d", "forward", 1e-3, 1e-3, 1e-3),
    make_curve("taps_2d", "forward", 1e-3, 1e-3, 5e-3),
    make_curve("taps_1d", "weight_gradient", 1e-3, 1e-3, 1e-3),
]


def test_curves_of_taps_share_a_panel(tmp_path):
    file = tmp_path / "curves.svg"
    plots.plot_curves(CURVES, "a processor, float32", str(file))
    root = ElementTree.parse(file).getroot()
    assert len([element for element in root.iter() if element.get("id", "").startswith("axes_")]) == 3
    assert {"a processor, float32", "convolution", "gradient of the weight", "taps", "kernel"} <= texts_of(root)
    for curve in CURVES:
        group(root, f"{curve.series.operation}-{curve.series.name}")
    group(root, "cliffs-forward-taps_2d")
    assert root.find(f".//{SVG}g[@id='cliffs-forward-taps_1d']") is None
    first = file.read_bytes()
    plots.plot_curves(CURVES, "a processor, float32", str(file))
    assert file.read_bytes() == first
