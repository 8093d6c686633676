"""The threads of BLAS: limited while a large product is computed, and restored; several callers at once."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
import threading

import numpy as np
import pytest
import threadpoolctl
from cases import integers

import gemmconv
from gemmconv import reference, threads
from gemmconv.geometry import Geometry


def blas_threads() -> list[int]:
    return [library["num_threads"] for library in threads.scipy_blas_info()]


def test_scipy_blas_is_found():
    (library,) = threads.scipy_blas_info()
    assert library["user_api"] == "blas"


def test_limit_is_set_nested_and_restored():
    before = blas_threads()
    with threads.single_threaded_blas():
        assert blas_threads() == [1]
        with threads.single_threaded_blas():
            assert blas_threads() == [1]
        assert blas_threads() == [1]
    assert blas_threads() == before


def test_limit_is_restored_after_an_error():
    before = blas_threads()
    with pytest.raises(KeyError), threads.single_threaded_blas():
        raise KeyError
    assert blas_threads() == before


def test_limit_is_shared_by_threads():
    before = blas_threads()
    inside, leave = threading.Barrier(3), threading.Event()

    def hold():
        with threads.single_threaded_blas():
            inside.wait()
            leave.wait()

    workers = [threading.Thread(target=hold) for _ in range(2)]
    for worker in workers:
        worker.start()
    inside.wait()
    with threads.single_threaded_blas():
        pass
    meanwhile = blas_threads()
    leave.set()
    for worker in workers:
        worker.join()
    assert meanwhile == [1]
    assert blas_threads() == before


def test_limit_holds_while_another_thread_controls_threadpoolctl():
    before = blas_threads()
    controlled, leave, seen = threading.Event(), threading.Event(), []

    def control():
        with threadpoolctl.threadpool_limits(limits=2):
            controlled.set()
            leave.wait()

    def limit():
        with threads.single_threaded_blas():
            seen.extend(blas_threads())

    controller, user = threading.Thread(target=control), threading.Thread(target=limit)
    controller.start()
    controlled.wait()
    user.start()
    user.join()
    leave.set()
    controller.join()
    assert seen == [1]
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


def run_python(code: str, **environment: str) -> str:
    run = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=True,
    )
    return run.stdout.strip()


@pytest.mark.skipif(not threads.scipy_blas_info()[0].get("architecture"), reason="needs OpenBLAS")
def test_a_machine_without_small_matrix_kernels():
    # There gemm would start threads for these tiles: the limit is held meanwhile, and the result is as right.
    code = """
        import gemmconv, numpy as np
        from gemmconv import convolution, reference, threads
        assert threads.gemm_path() == "packing", threads.scipy_blas_info()
        held, limit = [], convolution.single_threaded_blas
        def spy():
            held.append(True)
            return limit()
        convolution.single_threaded_blas = spy
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


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_fork_while_the_limit_is_held():
    code = """
        import os
        import gemmconv, numpy as np
        from gemmconv import threads
        x, weight = np.ones((1, 3, 20)), np.ones((2, 3, 3))
        before = [library["num_threads"] for library in threads.scipy_blas_info()]
        with threads.single_threaded_blas():
            child = os.fork()
            if child == 0:
                right = (gemmconv.conv(x, weight) == 9).all()
                restored = [library["num_threads"] for library in threads.scipy_blas_info()] == before
                os._exit(0 if right and restored else 1)
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
    """
    assert run_python(code, OPENBLAS_NUM_THREADS="2") == "0"


def test_geometry_is_safe_to_share():
    geometry = Geometry.from_shapes((1, 2, 5), (3, 2, 2))
    with pytest.raises(AttributeError):
        geometry.batch = 2
