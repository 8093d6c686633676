"""The command `gemmconv`: what it prints, where to, and its exit codes."""

from __future__ import annotations

import importlib.metadata
import json
import os
import subprocess
import sys

import pytest
from fresh import run_python

import gemmconv
from gemmconv import cli, get_num_threads, threads
from gemmconv.bench import arguments, process, roofs, scaling
from gemmconv.bench.problems import SUITES, load_suite, read_suite
from gemmconv.bench.results import Library, Measurement, Row
from gemmconv.engine import blas

QUICK = ["bench", "--match", "^inc_1x7$", "--rounds", "2", "--seconds", "1e-9"]


def exit_code(*arguments):
    """Run the command; argparse leaves by SystemExit."""
    try:
        return cli.main(arguments)
    except SystemExit as end:
        return end.code


@pytest.fixture
def only_gemmconv(monkeypatch):
    """Run the benchmark without the other libraries, which take long to import."""
    monkeypatch.setattr(arguments, "PEERS", {name: arguments.PEERS[name] for name in arguments.OURS.values()})


@pytest.fixture
def fake_session(monkeypatch):
    """Let sessions return what is put into this list, and raise the exceptions in it; the machine never varies."""
    outcomes = []

    class FakeSession:
        def __init__(self, settings):
            self.libraries = {name: Library(version="1.0") for name in settings.peers}

        def __enter__(self):
            return self

        def __exit__(self, *error):
            pass

        def measure(self, problem):
            outcome = outcomes.pop(0)
            if isinstance(outcome, BaseException):
                raise outcome
            return Row(problem, dict.fromkeys(self.libraries, outcome))

    monkeypatch.setattr(process, "Session", FakeSession)
    monkeypatch.setattr(roofs, "measure_peak", lambda itemsize: 4e11 / itemsize)
    monkeypatch.setattr(roofs, "measure_bandwidth", lambda threads: 1e10 * threads)
    return outcomes


TIMED = Measurement("timed", rounds=[[1e-3], [1e-3]])


def test_entry_point():
    (entry,) = importlib.metadata.entry_points(group="console_scripts", name="gemmconv")
    assert entry.load() is cli.main


def test_python_m_gemmconv_is_the_command():
    def run(*words):
        return subprocess.run([sys.executable, "-m", "gemmconv", *words], capture_output=True, text=True, check=False)

    assert run("--version").stdout == f"gemmconv {gemmconv.__version__}\n"
    listed = run("bench", "--list", "--match", "^inc_1x7$")
    assert listed.returncode == 0
    assert listed.stdout.startswith("# variants\ninc_1x7 ")
    assert run("bench", "--match", "no such name").returncode == 2


def test_version(capsys):
    assert exit_code("--version") == 0
    assert capsys.readouterr().out == f"gemmconv {gemmconv.__version__}\n"


@pytest.mark.parametrize("arguments", [["--help"], ["info", "--help"], ["bench", "--help"]])
def test_help(capsys, arguments):
    assert exit_code(*arguments) == 0
    assert "usage: gemmconv" in capsys.readouterr().out


def test_info(capsys):
    assert exit_code("info") == 0
    captured = capsys.readouterr()
    lines = {line.partition("  ")[0]: line.partition("  ")[2].strip() for line in captured.out.splitlines()}
    assert lines["gemmconv"] == gemmconv.__version__
    for name in ("numpy", "scipy", "threadpoolctl"):
        assert lines[name] == importlib.metadata.version(name)
    assert lines["instruction sets"].endswith(f"active: {gemmconv._gemmconv.isa()}")
    assert lines["processor"]
    assert lines["BLAS of SciPy"]
    assert lines["threads of gemmconv"] == str(get_num_threads())
    assert captured.err == ""


def test_info_counts_the_processors_that_the_library_uses(capsys, monkeypatch):
    monkeypatch.setattr(threads, "usable_processors", lambda: 7)
    assert exit_code("info") == 0
    assert ", 7 usable\n" in capsys.readouterr().out


@pytest.mark.parametrize("arguments", [["info"], ["--version"], ["--help"]])
def test_only_bench_imports_the_benchmark(arguments):
    code = """
import contextlib, io, sys
from gemmconv import cli
with contextlib.redirect_stdout(io.StringIO()), contextlib.suppress(SystemExit):
    cli.main(sys.argv[1:])
print([name for name in sys.modules if name.startswith(("gemmconv.bench", "rich"))])
"""
    assert run_python(code, *arguments) == "[]"


def test_info_without_a_known_blas(capsys, monkeypatch):
    monkeypatch.setattr(blas, "scipy_blas_info", list)
    assert exit_code("info") == 0
    assert "not one that threadpoolctl knows" in capsys.readouterr().out


def test_blas_in_one_line():
    library = {"internal_api": "mkl", "version": None, "num_threads": 1, "filepath": "libmkl_rt.so"}
    assert cli.describe_blas(library) == "mkl, 1 thread, libmkl_rt.so"
    library |= {"version": "2024.1", "num_threads": 4, "threading_layer": "intel", "architecture": "Zen"}
    assert cli.describe_blas(library) == "mkl 2024.1, Zen, 4 threads, intel, libmkl_rt.so"


def test_series_are_listed(capsys):
    assert exit_code("bench", "--scaling", "--list", "--match", "taps_2d$") == 0
    first, second, third = capsys.readouterr().out.splitlines()
    assert first == "taps_2d: 1 channel of 256x256, one thread"
    assert second.startswith("taps_2d: gradient of the input, ")
    assert third.startswith("taps_2d: gradient of the weight")


def test_series_are_written(capsys, monkeypatch, tmp_path):
    monkeypatch.setattr(scaling, "measure", lambda *_: [scaling.Point(1, 1e-3, 1.0)])
    file = tmp_path / "curves.json"
    assert exit_code("bench", "--scaling", "--match", "^(image|kernel)$", "--json", str(file)) == 0
    printed = capsys.readouterr().out
    assert printed.startswith("image: 64 to 64 channels")
    assert "none" in printed
    written = json.loads(file.read_text())
    assert [series["name"] for series in written["series"]] == ["image", "kernel"]
    assert written["machine"]["instruction_set"]
    assert exit_code("bench", "--scaling", "--match", "image", "--json", "-") == 0
    captured = capsys.readouterr()
    assert json.loads(captured.out)["series"][0]["points"] == [{"value": 1, "seconds": 1e-3, "gflops": 1.0}]
    assert captured.err.startswith("image: 64")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "required: COMMAND"),
        (["paint"], "invalid choice: 'paint'"),
        (["bench", "--suite", "alexnet"], "invalid choice: 'alexnet'"),
        (["bench", "--op", "backward"], "invalid choice: 'backward'"),
        (
            ["bench", "--scaling", "--op", "weight_gradient"],
            "--scaling has no --op: it has its own problems, operations",
        ),
        (["bench", "--scaling", "--suite", "vgg16", "--list"], "--scaling has no --suite"),
        (["bench", "--scaling", "--threads", "2"], "--scaling has no --threads"),
        (["bench", "--scaling", "--peers", "torch"], "--scaling has no --peers"),
        (["bench", "--scaling", "--quick"], "--scaling has no --quick"),
        (["bench", "--scaling", "--reuse"], "--scaling has no --reuse"),
        (["bench", "--scaling", "--rounds", "3"], "--scaling has no --rounds"),
        (["bench", "--scaling", "--match", "zzz"], "'zzz' matches no series"),
        (["bench", "--scaling", "--plot", "plot.png"], "the name of its file must end in .svg, not 'plot.png'"),
        (["bench", "--scaling", "--compare", "run.json"], "--scaling has no --compare"),
        (["bench", "--dtype", "float8"], "invalid choice: 'float8'"),
        (["bench", "--match", "("], "'(' is no regular expression"),
        (["bench", "--match", "zzz"], "gemmconv bench --list prints their names"),
        (["bench", "--suite", "audio", "--match", "vgg"], "matches no problem of --suite audio"),
        (["bench", "--network", "--suite", "pictures"], "--network matches no layer of a network of --suite pictures"),
        (["bench", "--network", "--match", "wavenet"], "'wavenet' matches no layer of a network of --suite all"),
        (["bench", "--network", "--plot", "plot.svg"], "--network has neither --plot nor --compare"),
        (["bench", "--network", "--scaling"], "--scaling has no --network"),
        (["bench", "--peers", "torch,tensorflow"], "'tensorflow' is none of torch, torch_cl"),
        (["bench", "--reuse", "--fresh"], "not allowed with"),
        (["bench", "--plot", "plot.png"], "the name of its file must end in .svg, not 'plot.png'"),
        (["bench", "--rounds", "0"], "not a whole number of at least 1"),
        (["bench", "--rounds", "1.5"], "not a whole number of at least 1"),
        (["bench", "--seconds", "-1"], "not a number above 0"),
        (["bench", "--seconds", "nan"], "not a number above 0"),
        (["bench", "--seconds", "soon"], "not a number above 0"),
    ],
)
def test_senseless_commands(capsys, arguments, message):
    assert exit_code(*arguments) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert message in captured.err


def test_list_can_be_read_again(capsys, tmp_path):
    assert exit_code("bench", "--list") == 0
    printed = capsys.readouterr().out
    (tmp_path / "all.txt").write_text(printed)
    names = [problem.name for problem in read_suite(tmp_path / "all.txt")]
    assert names == [problem.name for suite in SUITES for problem in load_suite(suite)]
    assert [line[2:] for line in printed.splitlines() if line.startswith("#")] == list(SUITES)


def test_list_of_a_selection(capsys):
    assert exit_code("bench", "--list", "--suite", "vgg16", "--match", "4_") == 0
    assert capsys.readouterr().out.splitlines() == [
        "# vgg16",
        "vgg4_1 x1 c256 h28 w28 o512 kh3 kw3 ph1 pw1",
        "vgg4_2 x2 c512 h28 w28 o512 kh3 kw3 ph1 pw1",
    ]


@pytest.mark.usefixtures("only_gemmconv")
def test_bench(capsys, tmp_path, monkeypatch):
    monkeypatch.setenv("OPENBLAS_CORETYPE", "Haswell")
    file = tmp_path / "results.json"
    assert exit_code(*QUICK, "--json", str(file)) == 0
    captured = capsys.readouterr()
    assert "variants, forward\n" in captured.out
    assert "inc_1x7" in captured.out
    assert "\x1b" not in captured.out
    assert captured.err.splitlines()[-1] == "[0/1] inc_1x7"
    written = json.loads(file.read_text())
    assert written["arguments"] == {
        "op": "forward", "suite": "all", "match": "^inc_1x7$", "dtype": "float32", "rounds": 2, "seconds": 1e-9,
        "threads": 1, "reuse": False, "network": False, "layout": "channels_first",
    }  # fmt: skip
    assert written["versions"]["gemmconv"] == gemmconv.__version__
    assert written["machine"]["peak_gflops"] > 0
    assert written["machine"]["bandwidth_gbytes"] > 0
    assert written["machine"]["environment"]["OPENBLAS_CORETYPE"] == "Haswell"
    assert "environment: " in captured.out
    ours = {"version": gemmconv.__version__, "failure": None}
    assert written["libraries"] == {"gemmconv": ours, "plan": ours}
    (row,) = written["rows"]
    assert row["comparisons"] == dict.fromkeys(["functional", "prepared", "prepared_nchw", "prepared_own_layout"])
    for name in ("gemmconv", "plan"):
        assert row["libraries"][name]["checked"] is True


def test_choice_of_the_libraries(capsys, fake_session):
    fake_session.append(TIMED)
    assert exit_code(*QUICK, "--peers", "torch,ncnn", "--reuse") == 0
    printed = capsys.readouterr().out
    assert "gemmconv 1.0, plan 1.0, torch 1.0, ncnn 1.0\n" in printed
    assert "outputs: reused where the library can" in printed


@pytest.mark.parametrize(
    ("options", "libraries", "rounds", "seconds"),
    [
        ([], "gemmconv 1.0, plan 1.0", 3, 0.02),
        (["--peers", "torch"], "gemmconv 1.0, plan 1.0, torch 1.0", 3, 0.02),
        (["--rounds", "2", "--seconds", "0.5"], "gemmconv 1.0, plan 1.0", 2, 0.5),
    ],
)
def test_quick_sets_what_is_not_given(capsys, fake_session, tmp_path, options, libraries, rounds, seconds):
    fake_session.append(TIMED)
    file = tmp_path / "results.json"
    assert exit_code("bench", "--match", "^inc_1x7$", "--quick", "--json", str(file), *options) == 0
    assert f"{libraries}\nop: forward, threads: 1, rounds: {rounds}, outputs: fresh" in capsys.readouterr().out
    written = json.loads(file.read_text())["arguments"]
    assert (written["rounds"], written["seconds"]) == (rounds, seconds)


@pytest.mark.parametrize(("seconds", "code"), [(1e-4, 0), (1e-3, 0), (1.05e-3, 0), (1.06e-3, 3), (1e-2, 3)])
def test_comparison_with_an_earlier_run(capsys, fake_session, tmp_path, seconds, code):
    file = str(tmp_path / "earlier.json")
    fake_session += [TIMED, Measurement("timed", rounds=[[seconds], [seconds]])]
    assert exit_code(*QUICK, "--json", file) == 0
    capsys.readouterr()
    assert exit_code(*QUICK, "--compare", file) == code
    captured = capsys.readouterr()
    assert "geometric mean" in captured.out.split("share of the peak, earlier and now")[1]
    last = captured.err.splitlines()[-1]
    why = "gemmconv bench: slower than the earlier run: the geometric mean of the speeds is"
    assert last == (f"{why} {1e-3 / seconds:.3f}x, less than 0.95x" if code else "[0/1] inc_1x7")


def test_json_on_standard_output_stays_alone(capsys, fake_session, tmp_path):
    file = str(tmp_path / "earlier.json")
    fake_session += [TIMED, TIMED]
    assert exit_code(*QUICK, "--json", file) == 0
    capsys.readouterr()
    assert exit_code(*QUICK, "--json", "-", "--compare", file) == 0
    captured = capsys.readouterr()
    assert json.loads(captured.out)["complete"] is True
    assert "share of the peak, earlier and now" in captured.err


def test_runs_that_cannot_be_compared(capsys, fake_session, tmp_path):
    file = str(tmp_path / "earlier.json")
    fake_session += [TIMED, TIMED]
    assert exit_code(*QUICK, "--json", file) == 0
    assert exit_code(*QUICK, "--compare", file, "--threads", "2") == 2
    assert "the run to compare with has threads 1, this one 2" in capsys.readouterr().err
    assert exit_code(*QUICK, "--compare", file, "--op", "transpose") == 2
    assert "the run to compare with has op forward, this one transpose" in capsys.readouterr().err
    assert exit_code("bench", "--match", "^inc_7x1$", "--quick", "--compare", file) == 2
    assert "has none of these problems" in capsys.readouterr().err


def test_runs_from_before_there_was_a_choice_of_the_operation(fake_session, tmp_path):
    file = tmp_path / "earlier.json"
    fake_session += [TIMED, TIMED]
    assert exit_code(*QUICK, "--json", str(file)) == 0
    written = json.loads(file.read_text())
    del written["arguments"]["op"]
    file.write_text(json.dumps(written))
    assert exit_code(*QUICK, "--compare", str(file)) == 0
    assert exit_code(*QUICK, "--compare", str(file), "--op", "transpose") == 2


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("absent.json", None, "cannot read"),
        ("text.json", "text", "is not JSON"),
        ("other.json", "[]", "is not the JSON of a run"),
        ("old.json", '{"schema": 1}', "is not the JSON of a run"),
    ],
)
@pytest.mark.usefixtures("fake_session")
def test_what_is_no_earlier_run_is_refused(capsys, tmp_path, name, content, message):
    if content is not None:
        (tmp_path / name).write_text(content)
    assert exit_code(*QUICK, "--compare", str(tmp_path / name)) == 2
    assert message in capsys.readouterr().err


def test_plot(fake_session, tmp_path):
    pytest.importorskip("matplotlib")
    file = tmp_path / "plot.svg"
    fake_session.append(TIMED)
    assert exit_code(*QUICK, "--plot", str(file)) == 0
    assert file.read_text().startswith("<?xml")


@pytest.mark.usefixtures("only_gemmconv")
def test_bench_in_float64_with_json_on_standard_output(capsys):
    assert exit_code(*QUICK, "--dtype", "float64", "--json", "-") == 0
    written = json.loads(capsys.readouterr().out)
    assert written["arguments"]["dtype"] == "float64"
    assert written["rows"][0]["libraries"]["gemmconv"]["checked"] is True


@pytest.mark.usefixtures("only_gemmconv")
@pytest.mark.parametrize("op", ["input_gradient", "weight_gradient", "transpose"])
def test_bench_of_other_operations(capsys, tmp_path, op):
    file = tmp_path / "results.json"
    assert exit_code(*QUICK, "--op", op, "--json", str(file)) == 0
    printed = capsys.readouterr().out
    assert f"op: {op}, threads: 1" in printed
    assert f"variants, {op}\n" in printed
    written = json.loads(file.read_text())
    assert written["arguments"]["op"] == op
    for name in ("gemmconv", "plan"):
        assert written["rows"][0]["libraries"][name]["checked"] is True


@pytest.mark.parametrize("status", ["wrong", "failed", "missing"])
def test_mistakes_of_gemmconv_are_exit_code_1(capsys, fake_session, status):
    fake_session.append(Measurement(status, "so it is"))
    assert exit_code(*QUICK) == 1
    assert capsys.readouterr().out


def test_interrupted_bench_shows_what_it_has(capsys, fake_session, tmp_path):
    file = tmp_path / "results.json"
    fake_session += [TIMED, KeyboardInterrupt()]
    assert exit_code("bench", "--match", "^inc", "--json", str(file)) == 130
    captured = capsys.readouterr()
    assert "inc_1x7" in captured.out
    assert "interrupted: some problems are missing" in captured.out
    assert "interrupted" in captured.err
    written = json.loads(file.read_text())
    assert written["complete"] is False
    assert len(written["rows"]) == 1


def test_interrupted_before_the_first_row(capsys, fake_session):
    fake_session.append(KeyboardInterrupt())
    assert exit_code(*QUICK) == 130
    assert capsys.readouterr().out == ""


@pytest.mark.usefixtures("fake_session")
def test_unwritable_file_is_found_out_before_the_run(capsys, tmp_path):
    assert exit_code(*QUICK, "--json", str(tmp_path / "absent" / "results.json")) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "cannot write to" in captured.err
    assert "No such file or directory" in captured.err


def test_earlier_results_survive_until_there_are_new_ones(fake_session, tmp_path):
    file = tmp_path / "results.json"
    file.write_text("earlier")
    fake_session.append(RuntimeError("a bug"))
    with pytest.raises(RuntimeError, match="a bug"):
        cli.main([*QUICK, "--json", str(file)])
    assert file.read_text() == "earlier"


def test_reader_that_went_away():
    reading, writing = os.pipe()
    os.close(reading)
    program = "import sys; from gemmconv.cli import main; sys.exit(main(['bench', '--list']))"
    ended = subprocess.run([sys.executable, "-c", program], stdout=writing, stderr=subprocess.PIPE, check=False)
    os.close(writing)
    assert ended.returncode == 1
    assert ended.stderr == b""
