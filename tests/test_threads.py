"""Threads: how their number is chosen, and how a call is cut into tasks for them. test_thread_pool.py has the pool."""

from __future__ import annotations

import contextvars
import sys
import threading

import numpy as np
import pytest
import threadpoolctl
from cases import integers
from fresh import run_python

from gemmconv import get_num_threads, num_threads, reference, set_num_threads, threads
from gemmconv._gemmconv import Problem
from gemmconv.checks.geometry import Geometry
from gemmconv.engine.calls import Call, Options, prepare_convolution
from gemmconv.engine.tiling import Tiling


@pytest.fixture(autouse=True)
def _restore_the_number_of_threads():
    before = get_num_threads()
    yield
    set_num_threads(before)


# --- the tasks -----------------------------------------------------------------------------------------------


def prepared_convolution(x_shape: tuple[int, ...], weight_shape: tuple[int, ...], padding: int = 0) -> Call:
    """Return the prepared call of a convolution by "gemm" in float32, on the threads of this context."""
    return prepare_convolution(x_shape, weight_shape, 4, Options(None, 1, padding, 1, 1, "zeros", 0, "gemm"))


def test_calls_are_cut_for_the_threads_of_their_context():
    x, weight = np.ones((16, 14, 14), np.float32), np.ones((512, 16, 3, 3), np.float32)
    with num_threads(1):
        alone = prepared_convolution(x.shape, weight.shape, padding=1)
    with num_threads(8):
        shared = prepared_convolution(x.shape, weight.shape, padding=1)
    assert (alone.threads, shared.threads) == (1, 8)
    assert alone.problem.task_count < shared.problem.task_count


def test_the_fixture_by_which_small_calls_take_threads(threads_for_every_call):
    with num_threads(3):
        assert prepared_convolution((1, 1, 4), (1, 1, 3)).threads == 3


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


@pytest.mark.parametrize(("nanoseconds", "most"), [(0, 1), (1.5e4, 1), (3.1e4, 2), (1e7, 64), (1e30, 64)])
def test_what_is_worth_a_thread(nanoseconds, most):
    assert threads.threads_worth(nanoseconds) == most


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
