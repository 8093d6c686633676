"""The threads of BLAS: limited while a large product is computed, and restored; several callers at once."""

from __future__ import annotations

import platform
import threading

import numpy as np
import pytest
import threadpoolctl
from cases import integers
from fresh import run_python

import gemmconv
from gemmconv import reference, threads
from gemmconv.geometry import Geometry


def blas_threads() -> list[int]:
    """Return the number of threads of each BLAS that the limit is for."""
    return [get() for get, _ in threads._openblas_functions()]


ONE_EACH = [1 for _ in blas_threads()]

needs_openblas = pytest.mark.skipif(not ONE_EACH, reason="SciPy's BLAS is not an OpenBLAS with threads of its own")


@needs_openblas
def test_the_blas_of_scipy_is_told_from_that_of_numpy():
    homes = [library["filepath"] for library in threads.scipy_blas_info()]
    everything = [library["filepath"] for library in threadpoolctl.threadpool_info() if library["user_api"] == "blas"]
    assert set(homes) <= set(everything)
    if any("scipy.libs" in path for path in everything):
        assert all("scipy.libs" in path for path in homes)


@needs_openblas
def test_limit_is_set_nested_and_restored():
    before = blas_threads()
    with threads.single_threaded_blas:
        assert blas_threads() == ONE_EACH
        with threads.single_threaded_blas:
            assert blas_threads() == ONE_EACH
        assert blas_threads() == ONE_EACH
    assert blas_threads() == before


@needs_openblas
def test_limit_is_restored_after_an_error():
    before = blas_threads()
    with pytest.raises(KeyError), threads.single_threaded_blas:
        raise KeyError
    assert blas_threads() == before


@needs_openblas
def test_limit_is_shared_by_threads():
    before = blas_threads()
    inside, leave = threading.Barrier(3), threading.Event()

    def hold():
        with threads.single_threaded_blas:
            inside.wait()
            leave.wait()

    workers = [threading.Thread(target=hold) for _ in range(2)]
    for worker in workers:
        worker.start()
    inside.wait()
    with threads.single_threaded_blas:
        pass
    meanwhile = blas_threads()
    leave.set()
    for worker in workers:
        worker.join()
    assert meanwhile == ONE_EACH
    assert blas_threads() == before


@needs_openblas
def test_limit_holds_while_another_thread_controls_threadpoolctl():
    before = blas_threads()
    controlled, leave, seen = threading.Event(), threading.Event(), []

    def control():
        with threadpoolctl.threadpool_limits(limits=2):
            controlled.set()
            leave.wait()

    def limit():
        with threads.single_threaded_blas:
            seen.extend(blas_threads())

    controller, user = threading.Thread(target=control), threading.Thread(target=limit)
    controller.start()
    controlled.wait()
    user.start()
    user.join()
    leave.set()
    controller.join()
    assert seen == ONE_EACH
    assert blas_threads() == before


def test_which_products_may_start_threads(monkeypatch):
    monkeypatch.setattr(threads, "gemm_path", lambda: "small")
    assert [threads.may_start_threads(n) for n in (262_145, 1_000_000, 1_000_001)] == [False, False, True]
    monkeypatch.setattr(threads, "gemm_path", lambda: "packing")
    assert [threads.may_start_threads(n) for n in (262_144, 262_145)] == [False, True]


@pytest.mark.parametrize(
    ("libraries", "path"),
    [
        ([{"internal_api": "openblas", "architecture": "SkylakeX"}], "small"),
        ([{"internal_api": "openblas", "architecture": "Haswell"}], "packing"),
        ([{"internal_api": "openblas"}], "packing"),
        ([{"internal_api": "mkl", "architecture": "SkylakeX"}], "packing"),
        ([], "packing"),
    ],
)
def test_gemm_path(monkeypatch, libraries, path):
    monkeypatch.setattr(threads, "scipy_blas_info", lambda: libraries)
    assert threads.gemm_path.__wrapped__() == path


@needs_openblas
@pytest.mark.skipif(platform.machine() not in ("x86_64", "AMD64"), reason="pretends to be another x86-64 machine")
def test_a_machine_without_small_matrix_kernels():
    # There gemm would start threads for these tiles: the limit is held meanwhile, and the result is as right.
    code = """
        import gemmconv, numpy as np
        from gemmconv import convolution, reference, threads
        assert threads.gemm_path() == "packing", threads.scipy_blas_info()
        held = []
        class Spy:
            def __enter__(self):
                held.append(True)
                threads.single_threaded_blas.__enter__()
            def __exit__(self, *exception):
                threads.single_threaded_blas.__exit__(*exception)
        convolution.single_threaded_blas = Spy()
        rng = np.random.default_rng(0)
        x = rng.integers(-4, 5, (2, 40, 30, 30)).astype(np.float32)
        weight = rng.integers(-4, 5, (50, 40, 3, 3)).astype(np.float32)
        before = threads.scipy_blas_info()
        assert (gemmconv.conv2d(x, weight, padding=1) == reference.conv2d(x, weight, padding=1)).all()
        assert threads.scipy_blas_info() == before
        gemmconv.conv2d(x[:, :1, :5, :5], weight[:1, :1])
        print(len(held))
    """
    assert run_python(code, OPENBLAS_CORETYPE="Haswell", OPENBLAS_NUM_THREADS="2") == "1"


@needs_openblas
def test_first_users_that_come_together_share_one_limit():
    code = """
        import sys, threading, time
        import scipy.linalg
        from gemmconv import threads
        before = [library["num_threads"] for library in threads.scipy_blas_info()]
        find = threads._openblas_functions
        def find_slowly():
            found = find()
            for _ in range(100_000):
                pass
            return found
        threads._openblas_functions = find_slowly
        sys.setswitchinterval(1e-6)
        def use():
            with threads.single_threaded_blas:
                pass
        users = [threading.Thread(target=use) for _ in range(8)]
        for user in users:
            user.start()
        for user in users:
            user.join()
        print([library["num_threads"] for library in threads.scipy_blas_info()] == before)
    """
    assert run_python(code, OPENBLAS_NUM_THREADS="2") == "True"


def test_several_callers_at_once(dtype):
    x, weight = integers((2, 20, 40, 40), dtype, 1), integers((30, 20, 3, 3), dtype, 2)
    expected = reference.conv(x, weight)
    results: list[np.ndarray] = []

    def call():
        for _ in range(5):
            results.append(gemmconv.conv(x, weight))  # noqa: PERF401

    callers = [threading.Thread(target=call) for _ in range(4)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join()
    assert len(results) == 20
    for result in results:
        np.testing.assert_array_equal(result, expected)


def test_other_python_threads_run_meanwhile():
    # The GIL is released: while one thread is inside a long call, the main thread gets to end it by a signal, and the
    # exception arrives although the call has hundreds of tasks left.
    code = """
        import signal, threading
        import gemmconv, numpy as np
        x, weight = np.ones((64, 64, 112, 112), np.float32), np.ones((64, 64, 3, 3), np.float32)
        out = np.zeros((64, 64, 112, 112), np.float32)
        gemmconv.conv2d(x[:1, :, :3, :3], weight)
        def interrupt():
            while not out.flat[0]:
                pass
            signal.raise_signal(signal.SIGINT)
        threading.Thread(target=interrupt).start()
        try:
            gemmconv.conv2d(x, weight, padding=1, out=out)
        except KeyboardInterrupt:
            print("interrupted", "early" if not out[-1].any() else "late")
    """
    assert run_python(code) == "interrupted early"


FORK = """
    import os, threading
    import gemmconv, numpy as np
    from gemmconv import threads
    x, weight = np.ones((1, 3, 20)), np.ones((2, 3, 3))
    def count():
        return [library["num_threads"] for library in threads.scipy_blas_info()]
    before = count()
    def fork_and_wait(check):
        child = os.fork()
        if child == 0:
            os._exit(0 if check() and (gemmconv.conv(x, weight) == 9).all() else 1)
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
"""


@needs_openblas
def test_fork_while_another_thread_holds_the_limit():
    code = (
        FORK
        + """
    held, leave = threading.Event(), threading.Event()
    def hold():
        with threads.single_threaded_blas:
            held.set()
            leave.wait()
    holder = threading.Thread(target=hold)
    holder.start()
    held.wait()
    print(fork_and_wait(lambda: count() == before))
    leave.set()
    holder.join()
    print(count() == before)
    """
    )
    assert run_python(code, OPENBLAS_NUM_THREADS="2").split() == ["0", "True"]


@needs_openblas
def test_fork_while_this_thread_holds_the_limit():
    code = (
        FORK
        + """
    def check_child():
        still_limited = all(n == 1 for n in count())
        threads.single_threaded_blas.__exit__()
        return still_limited and count() == before
    with threads.single_threaded_blas:
        print(fork_and_wait(check_child))
    print(count() == before)
    """
    )
    assert run_python(code, OPENBLAS_NUM_THREADS="2").split() == ["0", "True"]


def test_geometry_is_safe_to_share():
    geometry = Geometry.from_shapes((1, 2, 5), (3, 2, 2))
    with pytest.raises(AttributeError):
        geometry.batch = 2
