"""The benchmark of arrays with the channels last, of complex numbers and of short floats."""

from __future__ import annotations

import argparse
from dataclasses import replace

import numpy as np
import pytest

import gemmconv
from gemmconv.bench import arguments, command, comparison, report, roofs, worker
from gemmconv.bench.operations import OPERATIONS
from gemmconv.bench.peers import OURS, PEERS, Peer, load_peer, prepare
from gemmconv.bench.peers.numpy_windows import convolve
from gemmconv.bench.problems import CHANNELS_FIRST, CHANNELS_LAST, DTYPES, load_suite, numpy_dtype, parse_problem
from gemmconv.bench.process import Session, Settings
from gemmconv.bench.results import Library, Measurement, Network, Results, Row
from gemmconv.bench.studies import complex as complex_study

TINY = "tiny x2 n2 c4 h7 w6 o6 g2 kh3 kw2 sh2 ph1 pw2 dw2"
LAST = f"{TINY} {CHANNELS_LAST}"


def arguments_of(*words):
    """Parse the options of the command."""
    parser = argparse.ArgumentParser()
    arguments.add_arguments(parser)
    return parser.parse_args(words)


# Channels last.


def test_a_line_says_the_layout():
    problem = parse_problem(LAST)
    assert problem == replace(parse_problem(TINY), channels_last=True)
    assert problem.line == LAST
    assert problem.input_shape == (2, 7, 6, 4)
    assert problem.output_shape == (2, 4, 8, 6)
    assert problem.weight_shape == (6, 2, 3, 2)
    assert problem.flops == parse_problem(TINY).flops


@pytest.mark.parametrize("op", OPERATIONS)
def test_functions_get_the_layout(op):
    operation, problem = OPERATIONS[op], parse_problem(LAST)
    operands = operation.arrays(problem, "float64")
    result = operation.bind(gemmconv.reference, problem)(*operands)
    assert result.shape == operation.result_shape(problem)
    first = [np.moveaxis(a, -1, 1) if name != "weight" else a for name, a in zip(operation.operands, operands)]
    expected = operation.bind(gemmconv.reference, parse_problem(TINY))(*first)
    assert np.array_equal(result, expected if operation.result == "weight" else np.moveaxis(expected, 1, -1))


def test_libraries_without_the_layout_are_left_out():
    settings = Settings(("gemmconv", "plan", "ncnn"), rounds=1, seconds=1e-9, layout=CHANNELS_LAST)
    with Session(settings) as session:
        row = session.measure(parse_problem(LAST))
        assert list(session._workers) == ["gemmconv", "plan"]
    assert session.libraries["ncnn"].failure == "it has no convolution of its own with the channels last"
    assert [measurement.status for measurement in row.measurements.values()] == ["timed", "timed", "missing"]
    assert row.comparison("functional") is None


def test_selected_problems_have_the_layout():
    given = arguments_of("--suite", "vgg16", "--layout", "channels_last")
    assert [problem.channels_last for problem in command.select_problems(given)] == [True] * len(load_suite("vgg16"))
    assert not any(problem.channels_last for problem in command.select_problems(arguments_of("--suite", "vgg16")))


def test_a_library_without_the_layout_is_refused():
    given = arguments_of("--layout", "channels_last", "--peers", "torch,ncnn")
    with pytest.raises(ValueError, match="ncnn has no part in --layout channels_last: it has no") as caught:
        command.check_arrays(given)
    named = str(caught.value).split("--peers may have ")[1].split(",")
    assert named == [name for name, entry in PEERS.items() if entry.channels_last and name not in ("gemmconv", "plan")]
    command.check_arrays(arguments_of("--layout", "channels_last", "--peers", "torch,litert"))
    command.check_arrays(arguments_of("--layout", "channels_last"))
    command.check_arrays(arguments_of("--peers", "ncnn"))
    assert command.without_effect(arguments_of("--scaling", "--layout", "channels_last")) == "layout"


def make_results(layout=None):
    """One network computed by three libraries, and one of its layers; older files name no layout."""
    timed = {name: Measurement("timed", rounds=[[1e-3]]) for name in ("plan", "onnxruntime", "litert")}
    results = Results(
        machine={"cpu": "a processor", "instruction_set": "avx2", "peak_gflops": 200.0, "environment": {}},
        versions={},
        arguments={"op": "forward", "dtype": "float32", "threads": 1, "rounds": 1, "reuse": False, "network": False},
        libraries={name: Library("1.0") for name in timed},
    )
    if layout:
        results.arguments["layout"] = layout
    problems = load_suite("vgg16")
    results.rows.append(Row(problems[0], timed))
    results.networks.append(Network("vgg16", problems, timed))
    return results


@pytest.mark.parametrize(
    ("layout", "heads", "layouts"),
    [
        (None, ["prepared\nother", "own layout\nother"], ["NCHW", "NCHW", "own layout"]),
        (CHANNELS_FIRST, ["prepared\nother", "own layout\nother"], ["NCHW", "NCHW", "own layout"]),
        (CHANNELS_LAST, ["prepared\nother"], ["channels last"] * 3),
    ],
)
def test_the_report_names_the_layout(layout, heads, layouts):
    results = make_results(layout)
    assert (", channels last" in report.make_heading(results)) == (layout == CHANNELS_LAST)
    (table,) = report.make_tables(results)
    assert [row[2].text for row in table.rows] == layouts
    results.networks.clear()
    (table,) = report.make_tables(results)
    assert [head for head in table.headers if head.endswith("other")] == heads


def test_runs_of_other_arrays_are_not_compared():
    now = {"op": "forward", "layout": CHANNELS_FIRST, "dtype": "float32", "threads": 1, "reuse": False}
    old = {"arguments": {"threads": 1, "reuse": False}}
    comparison.check_arguments(old, now)
    for other in ({"layout": CHANNELS_LAST}, {"dtype": "complex64"}):
        ((name, value),) = other.items()
        with pytest.raises(ValueError, match=rf"the run to compare with has {name} {now[name]}, this one {value}$"):
            comparison.check_arguments(old, now | other)


# Types.


@pytest.mark.parametrize("dtype", DTYPES)
def test_data_of_every_type(dtype):
    if dtype == "bfloat16":
        pytest.importorskip("ml_dtypes")
    for array in parse_problem(TINY).draw(dtype):
        assert array.dtype == numpy_dtype(dtype)
        assert array.flags.c_contiguous
        parts = [array.real, array.imag] if np.iscomplexobj(array) else [array.astype("float64")]
        assert all(0.5 < part.std() < 1.5 for part in parts)
        assert len(parts) == DTYPES[dtype].parts
        if dtype == "complex64":
            assert abs(np.corrcoef(*map(np.ravel, parts))[0, 1]) < 0.5


def test_a_type_that_is_not_installed_is_refused(monkeypatch):
    monkeypatch.setattr(command.importlib.util, "find_spec", lambda _: None)
    with pytest.raises(ValueError, match="--dtype bfloat16 needs ml_dtypes: pip install ml_dtypes"):
        command.check_arrays(arguments_of("--dtype", "bfloat16"))
    command.check_arrays(arguments_of("--dtype", "float16"))


def test_an_operation_on_complex_numbers_counts_once(monkeypatch):
    monkeypatch.setattr(roofs, "measure_peak", {4: 64e9, 8: 32e9}.get)
    monkeypatch.setattr(roofs, "measure_bandwidth", lambda _: 1e9)
    for dtype, peak in {"float32": 128, "float16": 128, "complex64": 32, "complex128": 16}.items():
        results = Results({}, {}, {})
        command.describe_machine(results, dtype, 2)
        assert results.machine["peak_gflops"] == peak


@pytest.mark.parametrize(
    ("dtype", "result", "limit", "rms_limit"),
    [
        ("float32", "float32", 1e-4, 1e-5),
        ("complex64", "complex64", 1e-4, 1e-5),
        ("complex128", "complex128", 1e-11, 2e-14),
        ("float16", "float32", 1e-4, 1e-5),
        ("float16", "float16", 1e-4 + 2**-8, 1e-5 + 2**-11),
        ("bfloat16", "bfloat16", 1e-4 + 2**-5, 1e-5 + 2**-8),
    ],
)
def test_limits_of_the_errors_are_those_of_the_result(dtype, result, limit, rms_limit):
    assert result in DTYPES[dtype].results
    assert worker.largest_errors(result, 1) == pytest.approx((limit, rms_limit))
    assert worker.largest_inexact(result, 1) == pytest.approx(min(1000 * limit, 0.1))
    if "complex" in dtype:
        many = 1e12
        assert worker.largest_errors(result, many) == worker.largest_errors(DTYPES[dtype].real, 2 * many)


def test_compare_complex_numbers_and_short_floats():
    random = np.random.default_rng(1)
    right = random.standard_normal((40, 50, 2)).view("complex128")[..., 0]
    assert worker.compare(right.astype("complex64"), right, "complex64")[0] is None
    assert "2000 of 2000" in worker.compare((right + 1e-3j).astype("complex64"), right, "complex64")[0]
    assert (
        "dtype float32, expected (40, 50) and complex64"
        in worker.compare(right.real.astype("f4"), right, "complex64")[0]
    )
    assert worker.compare(right.real.astype("float16"), right.real, "float16")[0] is None
    assert worker.compare(right.real.astype("float32"), right.real, "float16")[0] is None
    assert (
        "of 2000 elements differ" in worker.compare(right.real.astype("float16").astype("f4"), right.real, "float16")[0]
    )
    assert "float32 or float16" in worker.compare(right.real, right.real, "float16")[0]


def test_complex_outputs_are_checked_whole(monkeypatch):
    problem = parse_problem(TINY)
    monkeypatch.setattr(gemmconv.reference, "conv", lambda x, weight, **_: convolve(problem, x, weight))
    with Session(Settings(("numpy",), "complex128", rounds=1, seconds=1e-9)) as session:
        row = session.measure(problem)
        assert row.measurements["numpy"].status == "timed"
        monkeypatch.setattr(gemmconv.reference, "conv", lambda x, weight, **_: convolve(problem, x, weight).conj())
        row = session.measure(problem)
        assert row.measurements["numpy"].status == "wrong"
        assert "384 of 384 elements differ" in row.measurements["numpy"].why


def test_study_of_complex_numbers(monkeypatch, capsys):
    asked = []

    def prepare(problem, x, weight, reuse):
        asked.append((x.dtype.name, weight.dtype.name, x.shape == problem.input_shape, reuse))
        return len(asked)

    monkeypatch.setattr(complex_study, "load_peer", lambda *_: Peer("1.0", {"forward": prepare}))
    monkeypatch.setattr(complex_study, "measure", lambda calls: (calls[1] / calls[0], calls[2] / calls[0]))
    monkeypatch.setattr("sys.argv", ["complex", "--suite", "vgg16", "--match", "vgg3_2"])
    before = gemmconv.get_num_threads()
    complex_study.main()
    gemmconv.set_num_threads(before)
    types = [("float32", "float32"), ("complex64", "float32"), ("complex64", "complex64")]
    assert asked == [(*pair, True, True) for pair in types * 2]
    assert capsys.readouterr().out.splitlines() == [
        "| layer | | real weight / real | complex weight / real |",
        "|---|---|---|---|",
        "| vgg3_2 | gemmconv | 2.00 | 3.00 |",
        "| vgg3_2 | plan | 1.25 | 1.50 |",
    ]


def test_study_takes_ratios_within_a_round(monkeypatch):
    times = iter([1.0, 2.0, 4.0, 10.0, 30.0, 50.0, 2.0, 4.0, 10.0])
    monkeypatch.setattr(complex_study, "ROUNDS", 3)
    monkeypatch.setattr(complex_study, "time_calls", lambda *_: [next(times)])
    assert complex_study.measure([None] * 3) == [2.0, 5.0]


@pytest.mark.parametrize("name", OURS.values())
@pytest.mark.parametrize("op", OPERATIONS)
def test_our_results_of_short_floats_are_float32(name, op):
    peer = load_peer(name, gemmconv.get_num_threads())
    for reuse in (False, True):
        assert prepare(peer, op, parse_problem(TINY), "float16", reuse)().dtype == "float32"
