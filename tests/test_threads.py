"""Threads: the same bits with any number of them, how the number is chosen, and a pool that survives everything."""

from __future__ import annotations

import contextvars
import shutil
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
import threadpoolctl
from cases import CASES, integers
from fresh import run_python

from gemmconv import get_num_threads, num_threads, reference, set_num_threads, threads
from gemmconv._gemmconv import Problem
from gemmconv.checks.geometry import Geometry
from gemmconv.engine.blas import single_threaded_blas
from gemmconv.engine.calls import Options, prepare_convolution
from gemmconv.engine.tiling import PATHS, Tiling, choose_tiling

ROOT = Path(__file__).parents[1]


@pytest.fixture(autouse=True)
def _keep_the_number():
    before = get_num_threads()
    yield
    set_num_threads(before)


# --- the same bits -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("name", [name for name in CASES if "padding_mode" not in CASES[name].options])
def test_same_bits_with_any_number_of_threads(name, dtype, path):
    # many of these are too small to be worth a thread: so the pool is asked for by hand
    case = CASES[name]
    options = {key: value for key, value in case.options.items() if key != "flip"}
    geometry = Geometry.from_shapes(case.x, case.weight, **options)
    rng = np.random.default_rng(5)
    x, weight = rng.standard_normal(case.x).astype(dtype), rng.standard_normal(case.weight).astype(dtype)
    outs = []
    for number in (1, 2, 3, 8):
        problem = Problem(geometry, dtype.itemsize, choose_tiling(geometry, dtype.itemsize, number, path))
        outs.append(np.full(geometry.out_shape, np.nan, dtype))
        with single_threaded_blas:
            problem.run(x, weight, None, outs[-1], number)
        np.testing.assert_array_equal(outs[-1], outs[0])
    assert not np.isnan(outs[0]).any()


def test_calls_are_cut_for_the_threads_of_their_context():
    x, weight = np.ones((16, 14, 14), np.float32), np.ones((512, 16, 3, 3), np.float32)
    options = Options(None, 1, 1, 1, 1, "zeros", "gemm")
    with num_threads(1):
        alone = prepare_convolution(x.shape, weight.shape, 4, options)
    with num_threads(8):
        shared = prepare_convolution(x.shape, weight.shape, 4, options)
    assert (alone.threads, shared.threads) == (1, 8)
    assert alone.problem.task_count < shared.problem.task_count


@pytest.mark.parametrize("number", [0, 1, 2, 3, 8, 64, 1000])
def test_every_task_is_computed_once(number, dtype):
    geometry = Geometry.from_shapes((4, 3, 64, 64), (8, 3, 3, 3), padding=1)
    x, weight = integers((4, 3, 64, 64), dtype, 1), integers((8, 3, 3, 3), dtype, 2)
    problem = Problem(geometry, dtype.itemsize, Tiling(pixels=7, block=3, panel=5, channels=2, taps=4))
    assert problem.task_count == 4 * 586 * 3
    expected = reference.conv(x, weight, padding=1)
    for _ in range(3):
        out = np.full(geometry.out_shape, np.nan, dtype)
        problem.run(x, weight, None, out, number)
        np.testing.assert_array_equal(out, expected)


@pytest.mark.parametrize(("operations", "most"), [(0, 1), (1.9e6, 1), (4e6, 2), (1e9, 64), (1e30, 64)])
def test_what_is_worth_a_thread(operations, most):
    assert threads.threads_worth(operations) == most


# --- the number --------------------------------------------------------------------------------------------------


def test_number_of_the_process_and_of_the_context():
    set_num_threads(3)
    assert get_num_threads() == 3
    with num_threads(2):
        assert get_num_threads() == 2
        with num_threads(5):
            assert get_num_threads() == 5
        assert get_num_threads() == 2
        set_num_threads(4)
        assert get_num_threads() == 2
    assert get_num_threads() == 4


def test_number_of_the_context_is_not_seen_elsewhere():
    set_num_threads(3)
    seen = []
    with num_threads(1):
        other = threading.Thread(target=lambda: seen.append(get_num_threads()))
        other.start()
        other.join()
        seen.append(contextvars.Context().run(get_num_threads))
        seen.append(contextvars.copy_context().run(get_num_threads))
    assert seen == [3, 3, 1]


def test_number_is_restored_after_an_error():
    before = get_num_threads()
    with pytest.raises(KeyError), num_threads(7):
        raise KeyError
    assert get_num_threads() == before


@pytest.mark.parametrize(
    ("number", "error", "message"),
    [
        (0, ValueError, "threads must be from 1 to 64, not 0"),
        (-1, ValueError, "threads must be from 1 to 64, not -1"),
        (65, ValueError, "threads must be from 1 to 64, not 65"),
        (2.0, TypeError, "threads must be an int, not 2.0"),
        ("2", TypeError, "threads must be an int, not '2'"),
        (None, TypeError, "threads must be an int, not None"),
    ],
)
def test_wrong_numbers(number, error, message):
    before = get_num_threads()
    with pytest.raises(error, match=message):
        set_num_threads(number)
    with pytest.raises(error, match=message), num_threads(number):
        pass
    assert get_num_threads() == before


NUMBER = "import gemmconv; print(gemmconv.get_num_threads())"


def test_number_from_the_environment():
    assert run_python(NUMBER, GEMMCONV_NUM_THREADS="5") == "5"
    for wrong in ("0", "many", "-1", "65", "1.5"):
        with pytest.raises(AssertionError, match="ValueError: GEMMCONV_NUM_THREADS must be"):
            run_python(NUMBER, GEMMCONV_NUM_THREADS=wrong)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="sets the affinity of a process")
def test_number_from_the_affinity():
    code = "import os; os.sched_setaffinity(0, {min(os.sched_getaffinity(0))}); " + NUMBER
    assert run_python(code, GEMMCONV_NUM_THREADS="") == "1"


@pytest.mark.parametrize(
    ("files", "groups", "quota"),
    [
        ({}, "0::/", float("inf")),
        ({"cpu.max": "max 100000"}, "0::/", float("inf")),
        ({"cpu.max": "150000 100000"}, "0::/", 1.5),
        ({"cpu.max": "400000 100000", "a/cpu.max": "200000 100000", "a/b/cpu.max": "max 100000"}, "0::/a/b", 2),
        ({"cpu/job/cpu.cfs_quota_us": "50000", "cpu/job/cpu.cfs_period_us": "100000"}, "4:cpu,cpuacct:/job", 0.5),
        ({"cpu/cpu.cfs_quota_us": "-1", "cpu/cpu.cfs_period_us": "100000"}, "4:cpu:/", float("inf")),
        ({"cpu.max": "100000 100000"}, "3:memory:/\n", float("inf")),
    ],
)
def test_quota_of_control_groups(tmp_path, files, groups, quota):
    for name, text in files.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text + "\n")
    assert threads._quota_of_control_groups(tmp_path, groups) == quota


def test_threadpoolctl_knows_and_limits_the_threads():
    set_num_threads(3)
    (ours,) = [library for library in threadpoolctl.threadpool_info() if library["user_api"] == "gemmconv"]
    assert ours["num_threads"] == 3
    with threadpoolctl.threadpool_limits(limits=1):
        assert get_num_threads() == 1
    assert get_num_threads() == 3
    with threadpoolctl.threadpool_limits(limits={"gemmconv": 2}):
        assert get_num_threads() == 2
    assert get_num_threads() == 3


# --- the pool ----------------------------------------------------------------------------------------------------

SETUP = """
    import os, signal, sys, threading
    import numpy as np
    import gemmconv
    gemmconv.set_num_threads(4)
    x, weight = np.ones((4, 32, 64, 64), np.float32), np.ones((32, 32, 3, 3), np.float32)
    def right():
        return bool((gemmconv.conv(x, weight, algorithm="gemm") == 288).all())
    def native_threads():
        return len(os.listdir("/proc/self/task"))
"""

linux = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="counts threads in /proc")


@linux
def test_nothing_runs_at_import_and_workers_stay():
    code = (
        SETUP
        + """
    import scipy.linalg.cython_blas
    before = native_threads()
    gemmconv.set_num_threads(1)
    assert right() and native_threads() == before
    gemmconv.set_num_threads(4)
    for _ in range(5):
        assert right()
        assert native_threads() == before + 3
    print("ended")
    """
    )
    assert run_python(code) == "ended"


@linux
def test_small_problems_need_no_workers():
    code = (
        SETUP
        + """
    import scipy.linalg.cython_blas
    before = native_threads()
    gemmconv.conv(x[:1, :, :8, :8], weight, algorithm="gemm")
    print(native_threads() == before)
    """
    )
    assert run_python(code) == "True"


@linux
@pytest.mark.parametrize("warm", [False, True])
def test_child_of_a_fork_starts_its_own_workers(warm):
    code = (
        SETUP
        + f"""
    if {warm}:
        assert right()
    def starts_workers():
        with gemmconv.num_threads(1):
            alone = right() and native_threads()
        return right() and native_threads() == alone + 3 and right() and native_threads() == alone + 3
    child = os.fork()
    if child == 0:
        os._exit(0 if starts_workers() else 1)
    assert right()
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
    """
    )
    assert run_python(code) == "0"


@pytest.mark.skipif(sys.platform == "win32", reason="needs fork")
def test_fork_while_another_thread_computes():
    # but not while it imports SciPy, which no child could do any more
    code = (
        SETUP
        + """
    assert right()
    stop = threading.Event()
    results = []
    def compute():
        while not stop.is_set():
            results.append(right())
    computing = threading.Thread(target=compute)
    computing.start()
    codes = []
    for _ in range(20):
        child = os.fork()
        if child == 0:
            os._exit(0 if right() else 1)
        codes.append(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
    stop.set()
    computing.join()
    print(set(codes), all(results))
    """
    )
    assert run_python(code) == "{0} True"


def test_several_callers_at_once():
    code = (
        SETUP
        + """
    results = []
    def compute():
        for _ in range(10):
            results.append(right())
    callers = [threading.Thread(target=compute) for _ in range(4)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join()
    print(len(results), all(results))
    """
    )
    assert run_python(code) == "40 True"


def test_a_signal_ends_a_long_call():
    code = (
        SETUP
        + """
    x = np.ones((64, 64, 112, 112), np.float32)
    weight = np.ones((64, 64, 3, 3), np.float32)
    out = np.zeros((64, 64, 112, 112), np.float32)
    def interrupt():
        while not out.flat[0]:
            pass
        signal.raise_signal(signal.SIGINT)
    threading.Thread(target=interrupt).start()
    try:
        gemmconv.conv(x, weight, padding=1, out=out, algorithm="gemm")
    except KeyboardInterrupt:
        print("interrupted", "early" if not out[-1].any() else "late")
    x, weight = x[:4, :32, :64, :64], weight[:32, :32]
    print(right())
    """
    )
    assert run_python(code).split() == ["interrupted", "early", "True"]


@pytest.mark.parametrize("number", [1, 4])
def test_workers_compute_in_the_callers_floating_point_environment(number):
    # Rounded towards minus infinity, 1 + 2**-30 is 1 in float32 and -1 - 2**-30 is below -1, on every thread.
    code = (
        SETUP
        + """
    import ctypes, ctypes.util, platform
    libm = ctypes.CDLL(ctypes.util.find_library("m"))
    downward = {"x86_64": 0x400, "aarch64": 0x800000, "arm64": 0x800000}[platform.machine()]
    gemmconv.set_num_threads(int(sys.argv[1]))
    x = np.full((4, 2, 256, 256), 1, np.float32)
    x[:, 1] = 2**-30
    weight = np.full((64, 2, 1, 1), -1, np.float32)
    assert not libm.fesetround(downward)
    y = gemmconv.conv(x, weight, algorithm="gemm")
    assert not libm.fesetround(0)
    print((y < -1).all(), (gemmconv.conv(x, weight, algorithm="gemm") == -1).all())
    """
    )
    assert run_python(code, str(number)) == "True True"


@pytest.mark.parametrize("end", ["", "sys.exit(0)", "raise SystemExit", "os._exit(0)"])
def test_clean_exit(end):
    code = (
        SETUP
        + f"""
    assert right()
    print("computed", flush=True)
    {end}
    """
    )
    assert run_python(code) == "computed"


@pytest.mark.parametrize("number", [1, 4])
def test_exit_while_a_daemon_thread_computes(number):
    # deep in frames, so that the end of the thread takes its stack away, and with calls long enough to look at signals
    code = (
        SETUP
        + """
    gemmconv.set_num_threads(int(sys.argv[1]))
    x, weight = np.ones((16, 64, 56, 56), np.float32), np.ones((64, 64, 3, 3), np.float32)
    begun = threading.Event()
    def compute(depth):
        if depth:
            return list(map(compute, [depth - 1]))
        while True:
            begun.set()
            gemmconv.conv(x, weight, algorithm="gemm")
    threading.Thread(target=compute, args=(100,), daemon=True).start()
    begun.wait()
    gemmconv.conv(x, weight, algorithm="gemm")
    print("computed", flush=True)
    """
    )
    for _ in range(3):
        assert run_python(code, str(number)) == "computed"


@pytest.mark.skipif(sys.platform == "win32", reason="needs fork")
def test_a_signal_handler_that_forks():
    # the child goes on inside the call, without the workers and what they had begun
    code = (
        SETUP
        + """
    x, weight = np.ones((64, 64, 56, 56), np.float32), np.ones((64, 64, 3, 3), np.float32)
    children = []
    def fork(*_):
        children.append(os.fork())
    signal.signal(signal.SIGALRM, fork)
    gemmconv.conv(x[:1], weight, algorithm="gemm")
    signal.setitimer(signal.ITIMER_REAL, 0.03)
    out = np.full((64, 64, 54, 54), np.nan, np.float32)
    gemmconv.conv(x, weight, out=out, algorithm="gemm")
    right = bool((out == 576).all()) and bool((gemmconv.conv(x, weight, algorithm="gemm") == 576).all())
    if children == [0]:
        os._exit(0 if right else 1)
    print(right, [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children])
    """
    )
    assert run_python(code) == "True [0]"


COMPILER = shutil.which("cc") or shutil.which("gcc")


@pytest.mark.skipif(not sys.platform.startswith("linux") or not COMPILER, reason="needs Linux and a C compiler")
@pytest.mark.parametrize("sanitizer", ["address,undefined", "thread"])
def test_pool_under_a_sanitizer(sanitizer, tmp_path):
    program = tmp_path / "stress"
    flags = ["-std=c11", "-O1", "-g", f"-fsanitize={sanitizer}", "-fno-sanitize-recover=all", f"-I{ROOT / 'csrc'}"]
    sources = [str(ROOT / "csrc" / "thread_pool.c"), str(ROOT / "tests" / "thread_pool_stress.c")]
    built = subprocess.run(
        [COMPILER, *flags, *sources, "-o", str(program), "-lpthread", "-lm"],
        capture_output=True,
        text=True,
        check=False,
    )
    if built.returncode and "cannot find" in built.stderr:
        pytest.skip(f"the compiler has no {sanitizer} sanitizer")
    assert built.returncode == 0, built.stderr
    command = [str(program)]
    if sanitizer == "thread":
        # it cannot place its shadow with as much randomness as some kernels use
        if not shutil.which("setarch") or subprocess.run(["setarch", "-R", "true"], check=False).returncode:
            pytest.skip("cannot switch the randomness of addresses off")
        command = ["setarch", "-R", *command]
    run = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
    assert run.returncode == 0, run.stderr
    assert run.stdout == "every task was run once\n"
