"""The thread pool, in fresh processes: workers, forks, several callers, signals, and the end of the process."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from fresh import LONGEST, run_python

ROOT = Path(__file__).parents[1]

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


# --- signals ---------------------------------------------------------------------------------------------------------

# A thread sends signals without pause. Their handler acts only when it finds the first image begun and the last one
# untouched, which is within the call. Calls are repeated until that has happened, whatever the machine's speed; but
# after MOST_CALLS the process ends with a message, since then calls do not look at signals.
SIGNALS = (
    SETUP
    + """
    images, out = np.ones((64, 32, 56, 56), np.float32), np.empty((64, 32, 54, 54), np.float32)
    def begun():
        return not np.isnan(out.item(0))
    def untouched(image):
        return bool(np.isnan(out[image]).all())
    looking = threading.Lock()
    def in_the_middle():  # and no handler looks already: handlers that interrupt each other would pile up
        if not looking.acquire(blocking=False):
            return False
        try:
            return begun() and untouched(-1)
        finally:
            looking.release()
    def long_call():
        gemmconv.conv(images, weight, algorithm="gemm", out=out)
    MOST_CALLS = 100
    UNSEEN = "no signal was handled in the middle of a call"
"""
)


def test_a_signal_ends_a_long_call():
    # On one thread nothing is computed while the handler runs, so that all can be told: once a signal has come in the
    # first half of a call, the call must not reach its end, and nothing is written after the handler has raised.
    code = (
        SIGNALS
        + """
    gemmconv.set_num_threads(1)
    attempt, sent_in_time, seen = 0, None, []
    def interrupt(*_):
        if not seen and in_the_middle():
            seen.append(out.copy())
            raise KeyboardInterrupt
    def send():
        global sent_in_time
        while not seen:
            current = attempt
            if begun():
                signal.raise_signal(signal.SIGINT)
                if untouched(32) and attempt == current:
                    sent_in_time = current
    signal.signal(signal.SIGINT, interrupt)
    sender = threading.Thread(target=send)
    sender.start()
    while not seen:
        if attempt == MOST_CALLS:
            seen.append(None)
            sys.exit(UNSEEN)
        out[...] = np.nan
        attempt += 1
        try:
            long_call()
        except KeyboardInterrupt:
            break
        if sent_in_time == attempt:
            seen.append(None)
            sys.exit("a signal came in the first half of a call, and the call went on to its end")
    sender.join()
    print(np.array_equal(seen[0], out, equal_nan=True), in_the_middle(), right())
    """
    )
    assert run_python(code) == "True True True"


def test_a_signal_ends_a_long_call_on_several_threads():
    # The workers go on while the handler runs, and may come to the end meanwhile: then the next call is interrupted.
    code = (
        SIGNALS
        + """
    armed = early = ended = False
    def interrupt(*_):
        global armed
        if armed and in_the_middle():
            armed = False
            raise KeyboardInterrupt
    def send():
        while not ended:
            signal.raise_signal(signal.SIGINT)
    signal.signal(signal.SIGINT, interrupt)
    sender = threading.Thread(target=send)
    sender.start()
    for _ in range(MOST_CALLS):
        out[...] = np.nan
        armed = True
        try:
            long_call()
        except KeyboardInterrupt:
            early = untouched(-1)
        if early:
            break
    armed, ended = False, True
    sender.join()
    print(early or UNSEEN, right())
    """
    )
    assert run_python(code) == "True True"


@pytest.mark.skipif(sys.platform == "win32", reason="needs fork")
def test_a_signal_handler_that_forks():
    # the child goes on inside the call, without the workers and what they had begun
    code = (
        SIGNALS
        + """
    children, once, ended = [], threading.Lock(), False
    def fork(*_):  # which may be interrupted by the next signal
        if in_the_middle() and once.acquire(blocking=False):
            children.append(os.fork())
    def send():
        while not children and not ended:
            signal.raise_signal(signal.SIGUSR1)
    signal.signal(signal.SIGUSR1, fork)
    sender = threading.Thread(target=send)
    sender.start()
    for _ in range(MOST_CALLS):
        out[...] = np.nan
        long_call()
        if children:
            break
    else:
        ended = True
        sys.exit(UNSEEN)
    correct = bool((out == 288).all()) and right()
    if children == [0]:
        os._exit(0 if correct else 1)
    sender.join()
    print(correct, [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children])
    """
    )
    assert run_python(code) == "True [0]"


# --- sanitizers ------------------------------------------------------------------------------------------------------

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
    run = subprocess.run(command, capture_output=True, text=True, check=False, timeout=LONGEST)
    assert run.returncode == 0, run.stderr
    assert run.stdout == "every task was run once\n"
