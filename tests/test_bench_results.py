"""The results of the benchmark: their arithmetic, their JSON and their tables."""

from __future__ import annotations

import io
import json
import re
import statistics
import sys

import pytest

from gemmconv.bench import comparison, environment, report, results, terminal
from gemmconv.bench.problems import load_suite
from gemmconv.bench.results import Library, Measurement, Network, Results, Row, Total


def make_results(op="forward"):
    """Two layers of VGG-16, computed by three libraries; NumPy skips the second."""
    first, second = (problem for problem in load_suite("vgg16") if problem.name in ("vgg1_1", "vgg3_2"))
    timed = {
        "gemmconv": Measurement("timed", error=2e-7, rounds=[[1e-3, 2e-3, 3e-3], [2e-3], [4e-3]]),
        "torch": Measurement("timed", error=3e-6, rounds=[[1e-3], [4e-3], [3e-3]]),
    }
    skipped = Measurement("skipped", "it is too large")
    results = Results(
        machine={"cpu": "a processor", "instruction_set": "avx2", "peak_gflops": 200.0, "environment": {}},
        versions={"numpy": "2.0"},
        arguments={"op": op, "dtype": "float32", "threads": 1, "rounds": 3, "reuse": False, "network": False},
        libraries={name: Library(version="1.0") for name in ("gemmconv", "torch", "numpy")},
        complete=True,
    )
    results.rows.append(Row(first, {**timed, "numpy": Measurement("timed", rounds=[[5e-3]] * 3)}))
    results.rows.append(Row(second, {"gemmconv": timed["torch"], "torch": timed["gemmconv"], "numpy": skipped}))
    return results


def test_ratio_is_the_median_of_the_rounds():
    first, second = make_results().rows
    expected = statistics.median([1 / 2, 4 / 2, 3 / 4])
    assert first.comparison("functional") == ("gemmconv", "torch", pytest.approx(expected))
    assert second.comparison("functional").ratio == pytest.approx(statistics.median([2 / 1, 2 / 4, 4 / 3]))
    assert first.comparison("prepared") is None
    assert first.measurements["gemmconv"].median == 2e-3
    assert first.measurements["gemmconv"].minimum == 1e-3
    assert first.gflops("gemmconv") == pytest.approx(2 * 64 * 224 * 224 * 27 / 2e-3 / 1e9)
    assert second.gflops("numpy") is None


def test_total_counts_layers_and_is_silent_where_one_is_missing():
    (total,) = make_results().totals
    assert (total.layers, total.layers_of_network) == (3, 13)
    assert total.seconds("gemmconv") == pytest.approx(2e-3 + 2 * 3e-3)
    assert total.seconds("torch") == pytest.approx(3e-3 + 2 * 2e-3)
    assert total.seconds("numpy") is None
    assert total.comparison("functional") == ("gemmconv", "torch", pytest.approx(7 / 8))
    assert total.geometric_mean_ratio("functional") == pytest.approx((0.75 * 4 / 3) ** 0.5)
    assert total.geometric_mean_ratio("prepared") is None


def test_only_libraries_of_a_kind_are_compared():
    first = make_results().rows[0]
    fast = Measurement("timed", rounds=[[1e-6]] * 3)
    others = {
        name: Measurement("timed", rounds=[[seconds]] * 3) for name, seconds in (("torch_cl", 5e-6), ("ncnn", 2e-6))
    }
    row = Row(first.problem, {**first.measurements, "plan": fast, **others})
    assert row.comparison("functional").peer == "torch"
    assert row.comparison("prepared") == ("plan", "ncnn", pytest.approx(2))
    assert row.comparison("prepared").ratio == pytest.approx(2)


def test_layouts_are_compared_apart():
    first = make_results().rows[0]
    times = {"plan": 2e-6, "onnxruntime": 4e-6, "mnn": 3e-6, "torch_cl": 5e-6, "litert": 1e-6}
    row = Row(first.problem, {name: Measurement("timed", rounds=[[seconds]] * 3) for name, seconds in times.items()})
    assert row.comparison("prepared") == ("plan", "litert", pytest.approx(1 / 2))
    assert row.comparison("prepared_nchw") == ("plan", "mnn", pytest.approx(3 / 2))
    assert row.comparison("prepared_own_layout") == row.comparison("prepared")
    assert row.comparison("functional") is None
    assert Total("vgg16", [row]).comparison("prepared_nchw") == ("plan", "mnn", pytest.approx(3 / 2))


def test_what_is_inexact_is_shown_and_does_not_count():
    made = make_results()
    made.libraries["plan"] = made.libraries["mnn"] = made.libraries["ncnn"] = Library(version="1.0")
    for row in made.rows:
        rounds = [[2e-3]] * 3
        row.measurements["plan"] = row.measurements["ncnn"] = Measurement("timed", rounds=rounds)
        row.measurements["mnn"] = Measurement("inexact", "too large", 3e-3, 2e-4, [[1e-3]] * 3)
        assert row.comparison("prepared") == ("plan", "ncnn", 1)
    (total,) = made.totals
    assert total.seconds("mnn") is None
    assert total.comparison("prepared").peer == "ncnn"
    (table,) = report.make_tables(made)
    assert "1.000*" in [cell.text for cell in table.rows[0]]
    assert "mnn inexact vgg1_1 and 1 more: too large" in report.make_notes(made)
    assert "*: " in report.make_legend()
    assert made.as_json()["rows"][0]["libraries"]["mnn"]["checked"] is True
    assert made.ours_is_right
    made.rows[0].measurements["plan"] = made.rows[0].measurements["mnn"]
    assert not made.ours_is_right
    assert made.rows[0].comparison("prepared") is None


def make_network():
    """VGG-16 as a network, computed by two libraries; NumPy cannot compute it."""
    made = make_results()
    measurements = dict(made.rows[0].measurements)
    measurements["plan"] = Measurement("timed", error=1e-6, rounds=[[1e-3], [1e-3], [2e-3]])
    measurements["numpy"] = Measurement("skipped", "vgg3_2: it is too large")
    made.networks.append(Network("vgg16", load_suite("vgg16"), measurements))
    made.rows.clear()
    made.libraries["plan"] = Library(version="1.0")
    return made


def test_network_table():
    made = make_network()
    (table,) = report.make_tables(made)
    assert table.title == "vgg16, forward: 13 of 13 layers, one after another"
    assert [[cell.text for cell in row] for row in table.rows] == [
        ["gemmconv", "functional", "NCHW", "2.000", "15346.6", "-", "2.00x", "2e-7"],
        ["torch", "functional", "NCHW", "3.000", "10231.1", "0.75x", "1.50x", "3e-6"],
        ["plan", "prepared", "NCHW", "1.000", "30693.3", "0.50x", "-", "1e-6"],
    ]
    assert report.make_notes(made) == ["numpy skipped vgg16: vgg3_2: it is too large"]
    assert made.ours_is_right


def test_network_json():
    (network,) = json.loads(json.dumps(make_network().as_json(), allow_nan=False))["networks"]
    assert (network["suite"], network["layers"], network["layers_of_network"]) == ("vgg16", 13, 13)
    assert network["flops"] == sum(problem.count * problem.flops for problem in load_suite("vgg16"))
    assert network["comparisons"]["functional"] == {"ours": "gemmconv", "peer": "torch", "ratio": 0.75}
    assert network["libraries"]["torch"]["median_seconds"] == 3e-3
    assert network["libraries"]["numpy"]["status"] == "skipped"


@pytest.mark.parametrize(
    ("statuses", "joined"),
    [
        (("timed", "timed"), "timed"),
        (("inexact", "timed"), "inexact"),
        (("timed", "inexact"), "inexact"),
        (("timed", "wrong"), "wrong"),
        (("inexact", "skipped"), "skipped"),
    ],
)
def test_layers_of_a_network_are_joined(statuses, joined):
    first, second = (Measurement(status, status, 10.0**-n, 1e-7 * n) for n, status in enumerate(statuses, start=1))
    found = first.joined(second)
    assert (found.status, found.why) == (joined, joined)
    if found.is_right:
        assert (found.error, found.rms_error) == (0.1, 2e-7)


def test_a_collection_has_no_total():
    problem = load_suite("pictures")[0]
    timed = Measurement("timed", rounds=[[1e-3]])
    total = Total("pictures", [Row(problem, {"gemmconv": timed, "torch": timed})])
    assert total.seconds("gemmconv") is None
    assert total.comparison("functional") is None
    assert total.geometric_mean_ratio("functional") == 1.0


def test_json_is_as_documented():
    written = json.loads(json.dumps(make_results().as_json(), allow_nan=False))
    assert written["schema"] == 2
    assert written["complete"] is True
    assert set(written) == {
        "schema", "machine", "versions", "arguments", "complete", "libraries", "rows", "totals", "networks",
    }  # fmt: skip
    row = written["rows"][1]
    assert set(row) == {"name", "suite", "count", "problem", "output_shape", "flops", "comparisons", "libraries"}
    assert row["output_shape"] == [1, 256, 56, 56]
    assert row["problem"] == "vgg3_2 x2 c256 h56 w56 o256 kh3 kw3 ph1 pw1"
    ours = row["libraries"]["gemmconv"]
    assert ours["checked"] is True
    assert ours["error"] == 3e-6
    assert row["comparisons"]["functional"]["peer"] == "torch"
    assert row["comparisons"]["prepared"] is None
    assert ours["rounds"] == [1e-3, 4e-3, 3e-3]
    assert ours["fraction_of_peak"] == pytest.approx(ours["gflops"] / 200)
    assert row["libraries"]["numpy"] == {
        "status": "skipped", "checked": None, "why": "it is too large", "error": None, "rms_error": None, "rounds": [],
        "median_seconds": None, "minimum_seconds": None, "gflops": None, "fraction_of_peak": None,
    }  # fmt: skip
    assert written["totals"][0]["seconds"]["numpy"] is None
    assert all(
        f"``{member}``" in results.__doc__ for member in {*written, *row, *ours, *written["totals"][0]} - {"suite"}
    )


@pytest.mark.parametrize(
    ("op", "shape"),
    [("input_gradient", [1, 3, 224, 224]), ("weight_gradient", [64, 3, 3, 3]), ("transpose", [1, 3, 224, 224])],
)
def test_reports_name_the_operation(op, shape):
    results = make_results(op)
    row = results.as_json()["rows"][0]
    assert row["output_shape"] == shape
    assert row["flops"] == make_results().as_json()["rows"][0]["flops"]
    assert f"op: {op}, threads: 1" in report.make_heading(results)
    (table,) = report.make_tables(results)
    assert table.title == f"vgg16, {op}: 3 of 13 layers"
    assert comparison.make_table(op, []).title.startswith(f"{op}: ")


def test_the_report_shows_the_environment_and_whether_networks_were_timed():
    made = make_results()
    heading = report.make_heading(made)
    assert len(heading.splitlines()) == 3
    assert "one after another" not in heading
    made.machine["environment"] = {"GEMMCONV_ISA": "avx2", "LD_PRELOAD": "libjemalloc.so.2"}
    made.arguments["network"] = True
    *_, arguments, environment = report.make_heading(made).splitlines()
    assert arguments.endswith("outputs: fresh, layers one after another")
    assert environment == "environment: GEMMCONV_ISA=avx2, LD_PRELOAD=libjemalloc.so.2"


def test_only_the_variables_that_change_the_speed_are_recorded(monkeypatch):
    for name in environment.ENVIRONMENT:
        monkeypatch.delenv(name, raising=False)
    assert environment.read_environment() == {}
    monkeypatch.setenv("LD_PRELOAD", "/home/somebody/lib/libjemalloc.so.2:/usr/lib/libm.so plain.so")
    monkeypatch.setenv("GEMMCONV_ISA", "avx2")
    monkeypatch.setenv("OPENBLAS_CORETYPE", "")
    expected = {"GEMMCONV_ISA": "avx2", "LD_PRELOAD": "libjemalloc.so.2:libm.so:plain.so"}
    assert environment.read_environment() == expected


class Screen(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self):
        return True


def show(stream):
    (table,) = report.make_tables(make_results())
    terminal.show_table(table, stream)
    return stream.getvalue()


def test_plain_table():
    lines = show(io.StringIO()).splitlines()
    assert lines[0] == "vgg16, forward: 3 of 13 layers"
    assert lines[3].split() == [
        "vgg1_1",
        "1",
        "2.000",
        "86.7",
        "43%",
        "2e-7",
        "3.000",
        "3e-6",
        "5.000",
        "-",
        "0.75x",
        "torch",
    ]
    assert lines[4].split() == [
        "vgg3_2",
        "2",
        "3.000",
        "1233.1",
        "617%",
        "3e-6",
        "2.000",
        "2e-7",
        "-",
        "-",
        "1.33x",
        "torch",
    ]
    assert lines[5].split()[:6] == ["total", "3", "8.000", "946.5", "473%", "7.000"]
    assert lines[6].split() == ["geometric", "mean", "1.00x"]
    assert len({len(line) for line in lines[3:5]}) == 1


def test_table_without_rich_is_plain(monkeypatch):
    monkeypatch.setitem(sys.modules, "rich", None)
    assert show(Screen()) == show(io.StringIO())


def test_rich_table_shows_losses_in_red_and_obeys_no_color(monkeypatch):
    pytest.importorskip("rich")
    for name, value in {"TERM": "xterm", "COLUMNS": "120"}.items():
        monkeypatch.setenv(name, value)
    for name in ("NO_COLOR", "FORCE_COLOR", "TTY_COMPATIBLE", "TTY_INTERACTIVE"):
        monkeypatch.delenv(name, raising=False)
    colours = show(Screen())
    assert re.search(r"\x1b\[31m +0\.75x", colours)
    assert re.search(r"\x1b\[32m +1\.33x", colours)
    monkeypatch.setenv("NO_COLOR", "1")
    sober = show(Screen())
    assert "0.75x" in sober
    assert not any(f"{code}m" in sober for code in ("[31", "[32", ";31", ";32"))


def test_progress(monkeypatch):
    plain = io.StringIO()
    with terminal.show_progress(2, plain) as tell:
        tell(0, "first")
        tell(1, "second")
    assert plain.getvalue() == "[0/2] first\n[1/2] second\n"
    pytest.importorskip("rich")
    monkeypatch.setenv("TERM", "xterm")
    screen = Screen()
    with terminal.show_progress(2, screen) as tell:
        tell(1, "second [x]")
    assert "second [x]" in screen.getvalue()


def test_notes_tell_what_the_table_cannot():
    results = make_results()
    results.libraries["torch"] = Library(failure="No module named 'torch'")
    results.complete = False
    assert report.make_notes(results) == [
        "torch is left out: No module named 'torch'",
        "numpy skipped vgg3_2: it is too large",
        "interrupted: some problems are missing",
    ]
    (table,) = report.make_tables(results)
    assert not any(header.startswith("torch") for header in table.headers)
    assert "peak of 1 core(s), float32: 200.0 GFLOP/s" in report.make_heading(results)


def test_wrong_outputs_stand_out_in_the_table():
    results = make_results()
    results.rows[0].measurements["gemmconv"] = Measurement("wrong", "1 of 8 elements differ")
    (table,) = report.make_tables(results)
    assert table.rows[0][2].text == "WRONG"
    assert not results.ours_is_right


def test_a_run_without_gemmconv_is_a_failure():
    results = make_results()
    results.libraries["gemmconv"] = Library(failure="no such file")
    for row in results.rows:
        row.measurements["gemmconv"] = Measurement("missing", "no such file")
    (table,) = report.make_tables(results)
    assert [cell.text for cell in table.rows[0][2:6]] == ["-", "-", "-", "-"]
    assert table.rows[0][-1].text == "-"
    assert report.make_notes(results)[0] == "gemmconv is left out: no such file"
    assert not results.ours_is_right
