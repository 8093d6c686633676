"""Tasks in Python: independent pieces of work whose time is spent in NumPy and SciPy, without the GIL.

The caller works too. The other threads belong to one pool of the process; a child of fork starts its own.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable
from contextlib import suppress
from threading import Lock, Semaphore
from typing import TYPE_CHECKING

import numpy as np

from .._gemmconv import MAX_THREADS

if TYPE_CHECKING:
    from concurrent.futures import ThreadPoolExecutor


class _Pool:
    """The threads beside the caller. They are started when they are first needed."""

    executor: ThreadPoolExecutor | None = None

    def __init__(self) -> None:
        self.lock = Lock()

    def forget(self) -> None:
        """Start again without threads: those of the parent do not exist in a forked child."""
        self.lock, self.executor = Lock(), None

    def started(self) -> ThreadPoolExecutor:
        """Return the executor."""
        from concurrent.futures import ThreadPoolExecutor  # it takes some milliseconds to import

        with self.lock:
            if self.executor is None:
                self.executor = ThreadPoolExecutor(MAX_THREADS, "gemmconv")
            return self.executor


_pool = _Pool()
os.register_at_fork(after_in_child=_pool.forget)


def run_tasks(task: Callable[[int], None], count: int, threads: int) -> None:
    """Call ``task(0)`` to ``task(count - 1)``, on at most `threads` threads.

    NumPy's warnings about overflow are off. If a task raises, no further one is begun, and the exception is raised.
    """
    numbers = itertools.count()
    begun: list[None] = []
    ended = Semaphore(0)
    errors: list[BaseException] = []

    def work() -> None:
        begun.append(None)  # before it takes a number: the caller waits for all that may have one
        try:
            with np.errstate(all="ignore"):
                while (number := next(numbers)) < count:
                    task(number)
        except BaseException as error:
            errors.append(error)
            for _ in zip(numbers, range(count)):
                pass  # leave nothing to the others
        finally:
            ended.release()

    # If no thread can be started, or the interpreter ends, the pool raises, perhaps with `work` in its queue already.
    with suppress(RuntimeError):
        for _ in range(min(threads, count) - 1):
            _pool.started().submit(work)
    work()
    waited_for = 0
    while waited_for < len(begun):  # tasks of this call write to its arrays; who begins from now on finds no number
        try:
            ended.acquire()
            waited_for += 1
        except BaseException as error:  # of a signal's handler
            errors.append(error)
    if errors:
        raise errors[0]
