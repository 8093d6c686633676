"""The threads of BLAS: limited while a large product is computed, and restored, across threads and forks."""

from __future__ import annotations

import platform
import threading

import pytest
import threadpoolctl
from fresh import run_python

from gemmconv.engine import blas


def blas_threads() -> list[int]:
    """Return the number of threads of each BLAS that the limit is for."""
    return [get() for get, _ in blas._openblas_functions()]


ONE_EACH = [1 for _ in blas_threads()]


@pytest.fixture(autouse=True)
def _two_threads():
    """Give BLAS more than one thread, which is where it starts on a machine with one processor."""
    before = blas_threads()
    for _, set_to in blas._openblas_functions():
        set_to(2)
    yield
    for (_, set_to), number in zip(blas._openblas_functions(), before):
        set_to(number)


needs_openblas = pytest.mark.skipif(not ONE_EACH, reason="SciPy's BLAS is not an OpenBLAS with threads of its own")


@needs_openblas
def test_the_blas_of_scipy_is_told_from_that_of_numpy():
    homes = [library["filepath"] for library in blas.scipy_blas_info()]
    everything = [library["filepath"] for library in threadpoolctl.threadpool_info() if library["user_api"] == "blas"]
    assert set(homes) <= set(everything)
    if any("scipy.libs" in path for path in everything):
        assert all("scipy.libs" in path for path in homes)


@needs_openblas
def test_limit_is_set_nested_and_restored():
    before = blas_threads()
    with blas.single_threaded_blas:
        assert blas_threads() == ONE_EACH
        with blas.single_threaded_blas:
            assert blas_threads() == ONE_EACH
        assert blas_threads() == ONE_EACH
    assert blas_threads() == before


@needs_openblas
def test_limit_is_restored_after_an_error():
    before = blas_threads()
    with pytest.raises(KeyError), blas.single_threaded_blas:
        raise KeyError
    assert blas_threads() == before


@needs_openblas
def test_limit_is_shared_by_threads():
    before = blas_threads()
    inside, leave = threading.Barrier(3), threading.Event()

    def hold():
        with blas.single_threaded_blas:
            inside.wait()
            leave.wait()

    workers = [threading.Thread(target=hold) for _ in range(2)]
    for worker in workers:
        worker.start()
    inside.wait()
    with blas.single_threaded_blas:
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
        with blas.single_threaded_blas:
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
    monkeypatch.setattr(blas, "gemm_path", lambda: "small")
    assert [blas.may_start_threads(n) for n in (262_145, 1_000_000, 1_000_001)] == [False, False, True]
    assert [blas.may_start_threads(n, transposed=True) for n in (262_144, 262_145)] == [False, True]
    monkeypatch.setattr(blas, "gemm_path", lambda: "packing")
    assert [blas.may_start_threads(n) for n in (262_144, 262_145)] == [False, True]


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
    monkeypatch.setattr(blas, "scipy_blas_info", lambda: libraries)
    assert blas.gemm_path.__wrapped__() == path


@needs_openblas
@pytest.mark.skipif(platform.machine() not in ("x86_64", "AMD64"), reason="pretends to be another x86-64 machine")
def test_a_machine_without_small_matrix_kernels():
    # There gemm would start threads for these tiles: the limit is held meanwhile, and the result is as right.
    code = """
        import gemmconv, numpy as np
        from gemmconv import reference
        from gemmconv.engine import blas, calls
        assert blas.gemm_path() == "packing", blas.scipy_blas_info()
        held = []
        class Spy:
            def __enter__(self):
                held.append(True)
                blas.single_threaded_blas.__enter__()
            def __exit__(self, *exception):
                blas.single_threaded_blas.__exit__(*exception)
        calls.single_threaded_blas = Spy()
        rng = np.random.default_rng(0)
        x = rng.integers(-4, 5, (2, 40, 30, 30)).astype(np.float32)
        grad = rng.integers(-4, 5, (2, 50, 30, 30)).astype(np.float32)
        before = blas.scipy_blas_info()
        result = gemmconv.conv_weight_gradient(grad, x, (3, 3), padding=1, algorithm="gemm")
        assert (result == reference.conv_weight_gradient(grad, x, (3, 3), padding=1)).all()
        assert blas.scipy_blas_info() == before
        gemmconv.conv_weight_gradient(grad[:, :1, :3, :3], x[:, :1, :5, :5], (3, 3), algorithm="gemm")
        print(len(held))
    """
    assert run_python(code, OPENBLAS_CORETYPE="Haswell", OPENBLAS_NUM_THREADS="2") == "1"


@needs_openblas
def test_first_users_that_come_together_share_one_limit():
    code = """
        import sys, threading
        import scipy.linalg
        from gemmconv.engine import blas
        before = [library["num_threads"] for library in blas.scipy_blas_info()]
        find = blas._openblas_functions
        def find_slowly():
            found = find()
            for _ in range(100_000):
                pass
            return found
        blas._openblas_functions = find_slowly
        sys.setswitchinterval(1e-6)
        def use():
            with blas.single_threaded_blas:
                pass
        users = [threading.Thread(target=use) for _ in range(8)]
        for user in users:
            user.start()
        for user in users:
            user.join()
        print([library["num_threads"] for library in blas.scipy_blas_info()] == before)
    """
    assert run_python(code, OPENBLAS_NUM_THREADS="2") == "True"


FORK = """
    import os, threading
    import gemmconv, numpy as np
    from gemmconv.engine import blas
    x, weight = np.ones((1, 3, 20)), np.ones((2, 3, 3))
    def count():
        return [library["num_threads"] for library in blas.scipy_blas_info()]
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
        with blas.single_threaded_blas:
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
        blas.single_threaded_blas.__exit__()
        return still_limited and count() == before
    with blas.single_threaded_blas:
        print(fork_and_wait(check_child))
    print(count() == before)
    """
    )
    assert run_python(code, OPENBLAS_NUM_THREADS="2").split() == ["0", "True"]
