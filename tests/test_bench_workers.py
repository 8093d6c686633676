"""The workers of the benchmark, those that fail too, and the session that leads them."""

from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import pytest

import gemmconv.reference
from gemmconv.bench import worker
from gemmconv.bench.operations import OPERATIONS
from gemmconv.bench.peers import Peer, UnsupportedError, load_peer, numpy_windows
from gemmconv.bench.problems import parse_problem
from gemmconv.bench.process import Session, Settings, WorkerError, WorkerProcess

TINY = "tiny x2 n2 c4 h7 w6 o6 g2 kh3 kw2 sh2 ph1 pw2 dw2"

# What a library can do to its worker. `load` is called with the number of threads; PYTHONPATH leads here.
FAULTY_PEERS = """
import os, signal, sys
import numpy as np
from gemmconv.bench.peers import Peer, UnsupportedError
from gemmconv.bench.peers.numpy_windows import convolve

def faulty(change=lambda output: output, get_ready=lambda: None):
    def prepare(problem, x, weight, reuse):
        get_ready()
        return lambda: change(convolve(problem, x, weight))
    return Peer("1.0", {"forward": prepare})

def spoil(output):
    output[1, 2, 3, 4] += 100
    return output

def refuse():
    raise UnsupportedError("it has no batches")

def die_later(output, calls=[]):
    calls.append(1)
    return output if len(calls) < 2 else os.kill(os.getpid(), signal.SIGKILL)

right = lambda threads: faulty()
wrong = lambda threads: faulty(spoil)
transposed = lambda threads: faulty(lambda output: output.T)
other_type = lambda threads: faulty(lambda output: output.astype("float64"))
raises = lambda threads: faulty(get_ready=lambda: [][1])
inexact = lambda threads: faulty(lambda output: output * np.float32(1 + 2e-5))
far = lambda threads: faulty(lambda output: output * np.float32(1 + 2e-4))
refuses_1x1 = lambda threads: Peer("1.0", {"forward": lambda problem, x, weight, reuse: (
    refuse() if problem.kernel_size == (1, 1) else lambda: convolve(problem, x, weight))})
unsupported = lambda threads: faulty(get_ready=refuse)
killed = lambda threads: faulty(die_later)
quits = lambda threads: faulty(get_ready=lambda: (print("last words"), sys.stdout.flush(), os._exit(3)))
hangs = lambda threads: faulty(get_ready=signal.pause)
chatty = lambda threads: faulty(get_ready=lambda: (print("hello"), os.write(1, b"hello\\n"), sys.stdin.read()))
"""


@pytest.fixture
def faulty(tmp_path, monkeypatch):
    """Make the peers above known to workers, as ``faulty_peers:NAME``."""
    (tmp_path / "faulty_peers.py").write_text(FAULTY_PEERS)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))


@pytest.fixture
def start(tmp_path, faulty):
    """Start workers that end with the test."""
    started = []

    def start_worker(peer):
        started.append(WorkerProcess(peer, 1, tmp_path))
        return started[-1]

    yield start_worker
    for process in started:
        process.close()


# The worker, from inside.


def test_compare_finds_what_is_wrong():
    right = np.arange(6.0).reshape(2, 3)
    output = right.astype("float32")
    assert worker.compare(output, right, "float32") == (None, 0)
    rms = np.sqrt(np.mean(right**2))
    assert worker.compare(output + np.float32(2**-12), right, "float32") == (None, pytest.approx(2**-12 / rms))
    assert worker.compare(output + np.float32(2**-10), right, "float32")[0].startswith("6 of 6 elements differ")
    assert worker.compare(output + np.float32(2**-10), right, "float32", 1e7)[0] is None
    output[1, 0:2] = 7, np.nan
    what, error = worker.compare(output, right, "float32")
    assert what == "2 of 6 elements differ, the first at (1, 0): 7.0 instead of 3.0"
    assert error is None
    assert worker.compare(right + 1e-9, right, "float64")[0].startswith("6 of 6 elements differ")
    assert "dtype float64" in worker.compare(right, right, "float32")[0]
    assert "shape (3, 2)" in worker.compare(output.T, right, "float32")[0]


@pytest.mark.parametrize(("dtype", "limit"), worker.LARGEST_RMS_ERROR.items())
def test_limit_of_the_rms_error(dtype, limit):
    eps = np.finfo(dtype).eps
    assert 80 * eps < limit < 100 * eps, "the same number of units in both types"
    assert limit < worker.LARGEST_ERROR[dtype]
    assert worker.with_terms(limit, dtype, 4608) == limit, "no layer of the suites has more products in its sums"
    assert worker.with_terms(limit, dtype, 1e6) == pytest.approx(1000 * eps)


@pytest.mark.parametrize(("step", "seconds", "calls"), [(0.25, 1.0, 4), (0.5, 0.1, 3), (2.0, 0.1, 1), (2.0, 5.0, 3)])
def test_number_of_timed_calls(monkeypatch, step, seconds, calls):
    now = [0.0]
    monkeypatch.setattr(worker.time, "perf_counter", lambda: now[0])

    def call():
        now[0] += step

    assert worker.time_calls(call, seconds) == [step] * calls


@pytest.mark.parametrize(
    "line",
    [
        TINY,
        "a x1 n3 c2 w11 o4 kw3 sw2 pw1 dw3",
        "a x1 c4 g4 h8 w9 o8 kh3 kw3 ph1 pw1",
        "a x1 c2 d4 h5 w6 o3 kd2 kh3 kw1 sd2 ph1 dd2",
    ],
)
def test_numpy_peer_is_right(line):
    problem = parse_problem(line)
    x, weight = problem.arrays("float64")
    output = numpy_windows.convolve(problem, x, weight)
    assert output.flags.c_contiguous
    assert worker.compare(output, gemmconv.reference.conv(x, weight, **problem.options), "float64")[0] is None


def test_numpy_peer_refuses_huge_matrices():
    problem = parse_problem("a x1 c1 h2048 w2048 o1 kh31 kw31 ph15 pw15")
    x, weight = np.empty((1, 1), "float32"), np.empty((1, 1), "float32")
    with pytest.raises(UnsupportedError, match=r"would need 15\.0 GiB"):
        numpy_windows.prepare(problem, x, weight, False)


def test_gemmconv_peer_sets_the_threads():
    before = gemmconv.get_num_threads()
    try:
        load_peer("gemmconv", 3)
        assert gemmconv.get_num_threads() == 3
    finally:
        gemmconv.set_num_threads(before)


# The worker, through its pipe.


def test_protocol(tmp_path):
    problem = parse_problem(TINY)
    x, weight = problem.arrays("float32")
    expected = tmp_path / "expected.npy"
    np.save(expected, gemmconv.reference.conv(x, weight, **problem.options))
    requests = [
        {"do": "check", "expected": str(expected)},
        {"do": "prepare", "op": "forward", "problem": problem.line, "dtype": "float32", "reuse": False},
        {"do": "check", "expected": str(expected)},
        {"do": "time", "seconds": 1e-9},
        {"do": "nonsense"},
    ]
    ended = subprocess.run(
        [sys.executable, "-m", "gemmconv.bench.worker", "gemmconv"],
        input="".join(json.dumps(request) + "\n" for request in requests),
        capture_output=True,
        text=True,
        check=True,
    )
    greeting, unprepared, prepared, checked, timed, refused = map(json.loads, ended.stdout.splitlines())
    assert checked["inexact"] is None
    assert 0 < checked["rms"] < checked["off"]
    assert greeting == {"version": gemmconv.__version__}
    assert unprepared == {"error": "RuntimeError: no problem is prepared"}
    assert prepared == {}
    assert checked["wrong"] is None
    assert 0 < checked["off"] < 1e-5
    assert len(timed["seconds"]) == worker.LEAST_CALLS
    assert all(seconds > 0 for seconds in timed["seconds"])
    assert refused == {"error": "KeyError: 'nonsense'"}


def test_what_a_library_prints_and_reads_stays_out_of_the_protocol(start):
    process = start("faulty_peers:chatty")
    process.prepare(TINY, "float32")
    assert len(process.time(1e-9)) == worker.LEAST_CALLS
    assert process.log.read_text().count("hello") == 2


def test_a_worker_that_hangs_is_killed(start):
    process = start("faulty_peers:hangs")
    process.longest_reply = 0.05
    with pytest.raises(WorkerError, match=r"no reply within 0\.05 s"):
        process.prepare(TINY, "float32")
    assert not process.alive


def test_a_worker_that_is_gone_is_reported(start):
    process = start("faulty_peers:right")
    process.process.kill()
    process.process.wait()
    with pytest.raises(WorkerError, match="ended by SIGKILL"):
        process.prepare(TINY, "float32")


def measure_with(*peers, lines=(TINY,), op="forward"):
    """Run a session; return its libraries and rows."""
    with Session(Settings(peers, rounds=2, seconds=1e-9, op=op)) as session:
        rows = [session.measure(parse_problem(line)) for line in lines]
        processes = list(session._workers.values())
    assert not any(process.alive for process in processes)
    return session.libraries, rows


@pytest.mark.usefixtures("faulty")
@pytest.mark.parametrize(
    ("peer", "status", "why"),
    [
        ("wrong", "wrong", "1 of 384 elements differ, the first at (1, 2, 3, 4)"),
        ("transposed", "wrong", "the output has shape (8, 4, 6, 2)"),
        ("other_type", "wrong", "dtype float64"),
        ("raises", "failed", "IndexError: list index out of range"),
        ("unsupported", "skipped", "it has no batches"),
        ("killed", "failed", "ended by SIGKILL"),
        ("quits", "failed", "the process ended with exit code 3: last words"),
        ("absent", "missing", "AttributeError"),
    ],
)
def test_failures_are_reported_and_others_go_on(peer, status, why):
    name = f"faulty_peers:{peer}"
    lines = (TINY, TINY.replace("tiny", "again"))
    libraries, rows = measure_with(name, "faulty_peers:right", lines=lines)
    assert (libraries[name].version is None) == (status == "missing")
    for row in rows:  # a worker that died was replaced: it fails alike on the second problem
        assert row.measurements[name].status == status
        assert why in row.measurements[name].why
        assert row.measurements["faulty_peers:right"].status == "timed"


@pytest.mark.usefixtures("faulty")
@pytest.mark.parametrize("peer", ["inexact", "far"])
def test_inexact_results_are_timed(peer):
    name = f"faulty_peers:{peer}"
    _, (row,) = measure_with(name)
    measurement = row.measurements[name]
    assert (measurement.status, measurement.why) == ("inexact", "its errors are too large for float32")
    assert 1e-5 < measurement.rms_error < measurement.error
    assert (measurement.error > worker.LARGEST_ERROR["float32"]) == (peer == "far")
    assert measurement.median > 0
    assert not measurement.counts


def measure_network_with(*peers):
    """Run the session of a network of two layers, the first of them twice."""
    lines = ("first x2 c2 h5 w5 o2 kh3 kw3", "second x1 c2 h5 w5 o2 kh1 kw1")
    with Session(Settings(peers, rounds=2, seconds=1e-9)) as session:
        return session.measure_network("vgg16", [parse_problem(line) for line in lines])


@pytest.mark.usefixtures("faulty")
def test_network():
    faulty = {"faulty_peers:inexact": "inexact", "faulty_peers:refuses_1x1": "skipped", "nowhere:load": "missing"}
    network = measure_network_with("gemmconv", "plan", *faulty)
    assert network.layers == 3
    assert network.flops == 2 * (2 * 2 * 9 * 18 + 2 * 25 * 2)
    for name in ("gemmconv", "plan"):
        measurement = network.measurements[name]
        assert (measurement.status, measurement.why) == ("timed", None)
        assert 0 < measurement.rms_error < measurement.error < 1e-5
        assert [len(calls) for calls in measurement.rounds] == [worker.LEAST_CALLS] * 2
    assert {name: network.measurements[name].status for name in faulty} == faulty
    assert network.measurements["faulty_peers:inexact"].why == "first: its errors are too large for float32"
    assert network.measurements["faulty_peers:refuses_1x1"].why == "second: it has no batches"
    assert network.ratio("gemmconv", "plan") > 0
    assert network.ratio("gemmconv", "nowhere:load") is None


def test_kept_problems_are_computed_in_their_order():
    calls = []

    def prepare(problem, x, weight, reuse):
        return lambda: calls.append((problem.name, id(weight))) or np.zeros(problem.output_shape)

    busy = worker.Worker(Peer("1.0", {"forward": prepare}))
    request = {"do": "prepare", "op": "forward", "dtype": "float32", "reuse": False}
    for name, keep in (("gone", False), ("a", False), ("b", True), ("b", True)):
        assert busy.answer(request | {"problem": f"{name} x1 c1 w4 o1 kw2", "keep": keep}) == {}
    (seconds,) = busy.answer({"do": "time", "seconds": 1e-9}).values()
    assert [name for name, _ in calls] == ["a", "b", "b"] * len(seconds)
    assert len(set(calls)) == 3, "each has weights of its own"


def test_a_library_that_is_not_installed_is_missing():
    libraries, (row,) = measure_with("no_such_library:load")
    assert "No module named 'no_such_library'" in libraries["no_such_library:load"].failure
    assert row.measurements["no_such_library:load"].status == "missing"


def test_every_library_computes_every_rank():
    pytest.importorskip("torch")
    lines = (TINY, "a x1 n2 c3 w20 o4 kw3 sw2 pw1 dw2", "b x1 c2 d4 h5 w6 o3 kd2 kh3 kw1 sd2 ph1 dd2")
    names = ("gemmconv", "plan", "torch", "numpy")
    libraries, rows = measure_with(*names, lines=lines)
    assert {name: library.failure for name, library in libraries.items()} == dict.fromkeys(names)
    for row in rows:
        assert row.comparison("functional").ratio > 0
        assert row.comparison("prepared") is None
        for measurement in row.measurements.values():
            assert (measurement.status, measurement.why) == ("timed", None)
            assert 0 < measurement.error < 1e-5
            assert [len(calls) for calls in measurement.rounds] == [worker.LEAST_CALLS] * 2


@pytest.mark.parametrize("op", ["input_gradient", "weight_gradient", "transpose"])
def test_other_operations(op):
    libraries, (row,) = measure_with("gemmconv", "plan", "numpy", op=op)
    assert not any(library.failure for library in libraries.values())
    for name in ("gemmconv", "plan"):
        measurement = row.measurements[name]
        assert (measurement.status, measurement.why) == ("timed", None)
        assert 0 < measurement.error < 1e-5
        assert row.gflops(name) == pytest.approx(row.problem.flops / measurement.median / 1e9)
    assert row.measurements["numpy"].status == "skipped"
    assert row.measurements["numpy"].why == f"it has no {OPERATIONS[op].what}"


@pytest.mark.usefixtures("faulty")
def test_no_worker_outlives_an_interruption():
    session = Session(Settings(("faulty_peers:right",)))
    processes = []

    def interrupt():
        with session:
            processes.extend(session._workers.values())
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupt()
    assert [process.alive for process in processes] == [False]
    assert not session._directory.exists()
