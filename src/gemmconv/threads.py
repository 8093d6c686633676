"""Threads: how many a call uses.

That is the number of its context (`num_threads`), or else that of the process (`set_num_threads`), which threadpoolctl
knows as well. The results are the same bits with any number.
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

from . import _gemmconv

__all__ = ["get_num_threads", "num_threads", "set_num_threads"]

# Each thread should get at least this much work: waking it takes a few microseconds.
NANOSECONDS_PER_THREAD = 15_400

_threads_of_context: ContextVar[int | None] = ContextVar("gemmconv.num_threads", default=None)


def _check_threads(name: str, threads: object) -> int:
    """Return the number of threads, or raise naming the argument."""
    try:
        number = operator.index(threads)  # type: ignore[arg-type]
    except TypeError:
        raise TypeError(f"{name} must be an int, not {threads!r}") from None
    if not 1 <= number <= _gemmconv.MAX_THREADS:
        raise ValueError(f"{name} must be from 1 to {_gemmconv.MAX_THREADS}, not {number}")
    return number


def get_num_threads() -> int:
    """Return the number of threads that a call uses here and now.

    Returns
    -------
    int
        The number of the innermost `num_threads` of this context, or else that of the process.

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
    """Set the number of threads of the process: of every call outside `num_threads`.

    At first it is that of the environment variable ``GEMMCONV_NUM_THREADS``, or else the number of processors that the
    process may use: the smaller of its affinity and the quota of its control group. threadpoolctl knows and limits it
    too.

    Parameters
    ----------
    threads : int
        From 1 to 64. Results do not depend on it.

    Raises
    ------
    TypeError, ValueError
        If it is no int, or out of range.

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
    """Return the largest number of threads that work of this length on one thread is worth."""
    return max(1, min(int(nanoseconds / NANOSECONDS_PER_THREAD), _gemmconv.MAX_THREADS))


@contextmanager
def num_threads(threads: int) -> Iterator[None]:
    """Set the number of threads for the calls in a ``with`` block, in this thread or asynchronous task alone.

    Parameters
    ----------
    threads : int
        From 1 to 64. Results do not depend on it.

    Raises
    ------
    TypeError, ValueError
        If it is no int, or out of range.

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

    `root` is where they are mounted, `groups` the text of ``/proc/self/cgroup``: a line ``NUMBER:CONTROLLERS:PATH`` for
    each hierarchy. In version 2 there is one without controllers, and every folder on the path may have a quota in
    ``cpu.max``; in version 1 that of the controller ``cpu`` has it in two files.
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
    """Return the quota of one control group in processors; infinity where it has none."""
    for names in (("cpu.max",), ("cpu.cfs_quota_us", "cpu.cfs_period_us")):
        with suppress(OSError, ValueError):
            quota, period = " ".join([(folder / name).read_text() for name in names]).split()
            if int(quota) > 0:  # "max" and -1 stand for none
                return int(quota) / int(period)
    return math.inf


def _usable_processors() -> int:
    """Return the smaller of the affinity and the quota of the process."""
    processors = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    quota = math.inf
    with suppress(OSError, ValueError):  # there are none on this system
        quota = _quota_of_control_groups(Path("/sys/fs/cgroup"), Path("/proc/self/cgroup").read_text())
    return math.ceil(min(processors, quota))


def _default_num_threads() -> int:
    chosen = os.environ.get("GEMMCONV_NUM_THREADS")
    if not chosen:
        return min(_usable_processors(), _gemmconv.MAX_THREADS)
    if not chosen.strip().isdecimal():
        raise ValueError(f"GEMMCONV_NUM_THREADS must be a number of threads, not {chosen!r}")
    return _check_threads("GEMMCONV_NUM_THREADS", int(chosen))


class _Controller(threadpoolctl.LibController):  # type: ignore[misc]
    """gemmconv's own threads as threadpoolctl sees them; it finds the extension by its file name and symbols."""

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


_gemmconv.set_processors(_usable_processors())
_gemmconv.set_num_threads(_default_num_threads())
threadpoolctl.register(_Controller)
