"""Threads: how many threads a call uses.

A call uses the number that `num_threads` has set for its context, or else the number of the process. That is set by
`set_num_threads`, and threadpoolctl can read and limit it too. Small calls use fewer threads (`threads_worth`). The
number of threads never changes the bits of a result. The threads themselves are in csrc/thread_pool.c.
"""

from __future__ import annotations

import math
import operator
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from pathlib import Path

import threadpoolctl

from . import _gemmconv, environment

__all__ = ["get_num_threads", "num_threads", "set_num_threads"]

# The least work that a thread should get, in nanoseconds. Waking a thread takes a few microseconds.
NANOSECONDS_PER_THREAD = 15_400

_threads_of_context: ContextVar[int | None] = ContextVar("gemmconv.num_threads", default=None)


def _check_threads(name: str, threads: object) -> int:
    """Return the number of threads as an int, or raise an error that names the argument."""
    try:
        number = operator.index(threads)  # type: ignore[arg-type]
    except TypeError:
        raise TypeError(f"{name} must be an int, not {threads!r}") from None
    if not 1 <= number <= _gemmconv.MAX_THREADS:
        raise ValueError(f"{name} must be from 1 to {_gemmconv.MAX_THREADS}, not {number}")
    return number


def get_num_threads() -> int:
    """Return the largest number of threads that a call uses here and now.

    Returns
    -------
    int
        The number set by the innermost `num_threads` of this context, or else the number of the process.

    Examples
    --------
    >>> from gemmconv import get_num_threads, num_threads
    >>> with num_threads(1):
    ...     get_num_threads()
    1
    """
    threads = _threads_of_context.get()
    return _gemmconv.get_num_threads() if threads is None else threads


def set_num_threads(threads: int) -> None:
    """Set the number of threads of the process: it holds for every call outside `num_threads`.

    At first it is the value of the environment variable ``GEMMCONV_NUM_THREADS``, or else the number of processors that
    the process may use, but at most 64. That is the smaller of its affinity and the quota of its control group.
    If the variable has no such value, there is a `RuntimeWarning`, and the default is used, or 64 for a larger number.
    threadpoolctl can read and limit the number too.

    Parameters
    ----------
    threads : int
        From 1 to 64. Results do not depend on the number.

    Raises
    ------
    TypeError, ValueError
        If it is not an int, or out of range.

    Examples
    --------
    >>> from gemmconv import get_num_threads, set_num_threads
    >>> before = get_num_threads()
    >>> set_num_threads(2)
    >>> get_num_threads()
    2
    >>> set_num_threads(before)
    """
    _gemmconv.set_num_threads(_check_threads("threads", threads))


def threads_worth(nanoseconds: float) -> int:
    """Return the largest number of threads worth waking for work that takes one thread this many nanoseconds."""
    return max(1, min(int(nanoseconds / NANOSECONDS_PER_THREAD), _gemmconv.MAX_THREADS))


@contextmanager
def num_threads(threads: int) -> Iterator[None]:
    """Set the number of threads for the calls in a ``with`` block, only in this thread or asynchronous task.

    Parameters
    ----------
    threads : int
        From 1 to 64. Results do not depend on the number.

    Raises
    ------
    TypeError, ValueError
        If it is not an int, or out of range.

    Examples
    --------
    >>> from gemmconv import get_num_threads, num_threads
    >>> with num_threads(2):
    ...     get_num_threads()
    2
    """
    token = _threads_of_context.set(_check_threads("threads", threads))
    try:
        yield
    finally:
        _threads_of_context.reset(token)


def _quota_of_control_groups(root: Path, groups: str) -> float:
    """Return how many processors the control groups of the process let it use at a time.

    `root` is the folder where they are mounted. `groups` is the text of ``/proc/self/cgroup``, which has one line
    ``NUMBER:CONTROLLERS:PATH`` for each hierarchy. Every folder on the path may have a quota. In version 2 there is one
    hierarchy, without controllers, and the quota is in ``cpu.max``. In version 1 the hierarchy of the controller
    ``cpu`` has the quotas, in two files.
    """
    quotas = [math.inf]
    for line in groups.splitlines():
        _, controllers, path = line.split(":", 2)
        if controllers and "cpu" not in controllers.split(","):
            continue
        top = root / "cpu" if controllers else root
        folder = top / path.lstrip("/")
        quotas += [_quota_of(parent) for parent in (folder, *folder.parents) if parent.is_relative_to(top)]
    return min(quotas)


def _quota_of(folder: Path) -> float:
    """Return the quota of one control group in processors, or infinity if it has none."""
    for names in (("cpu.max",), ("cpu.cfs_quota_us", "cpu.cfs_period_us")):
        with suppress(OSError, ValueError):
            quota, period = " ".join([(folder / name).read_text() for name in names]).split()
            if int(quota) > 0:  # "max" (a ValueError) and -1 mean that there is no quota
                return int(quota) / int(period)
    return math.inf


def usable_processors() -> int:
    """Return the number of processors the process may use: the smaller of its affinity and its quota, rounded up."""
    processors = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    quota = math.inf
    with suppress(OSError, ValueError):  # this system has no control groups
        quota = _quota_of_control_groups(Path("/sys/fs/cgroup"), Path("/proc/self/cgroup").read_text())
    return math.ceil(min(processors, quota))


def _default_num_threads() -> int:
    most = _gemmconv.MAX_THREADS
    return environment.number_of_threads(min(usable_processors(), most), most)


class _Controller(threadpoolctl.LibController):  # type: ignore[misc]
    """The threads of gemmconv as threadpoolctl sees them.

    threadpoolctl finds the extension module by its file name and its symbols.
    """

    user_api = "gemmconv"
    internal_api = "gemmconv"
    filename_prefixes = ("_gemmconv",)
    check_symbols = ("gemmconv_get_num_threads", "gemmconv_set_num_threads")

    def get_num_threads(self) -> int:
        return int(self.dynlib.gemmconv_get_num_threads())

    def set_num_threads(self, num_threads: int) -> None:
        self.dynlib.gemmconv_set_num_threads(num_threads)

    def get_version(self) -> None:
        return None


_gemmconv.set_processors(usable_processors())
_gemmconv.set_num_threads(_default_num_threads())
threadpoolctl.register(_Controller)
