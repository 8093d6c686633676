"""One worker per library, one of them active at a time.

Idle threads of one library steal cycles from the next, so every library has a process of its own,
and all but one are stopped. Speeds of a shared machine drift, so the rounds are interleaved
(library after library, then again) and speeds are compared within a round.
"""

from __future__ import annotations

import contextlib
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np
from threadpoolctl import threadpool_limits

from gemmconv import reference

from .client import WorkerError, WorkerProcess
from .operations import FORWARD, OPERATIONS
from .peers import UnsupportedError
from .problems import Problem
from .results import Library, Measurement, Row


@dataclass(frozen=True)
class Settings:
    """How to measure.

    Parameters
    ----------
    peers : tuple of str
        The libraries, in order.
    dtype : str
        ``"float32"`` or ``"float64"``.
    rounds : int
        How often every library has its turn at a problem.
    seconds : float
        How long each turn is.
    threads : int
        How many threads each library may use.
    reuse : bool
        Whether calls may write to the same output again and again.
    op : str
        What of each problem is computed, a key of `OPERATIONS`.
    """

    peers: tuple[str, ...]
    dtype: str = "float32"
    rounds: int = 7
    seconds: float = 0.05
    threads: int = 1
    reuse: bool = False
    op: str = FORWARD


class Session:
    """The workers, as a context manager: at its end none is left.

    Parameters
    ----------
    settings : Settings
        How to measure.
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.libraries: dict[str, Library] = {}
        self._workers: dict[str, WorkerProcess] = {}
        self._stack = contextlib.ExitStack()

    def __enter__(self) -> Self:
        """Start the workers one after the other; those that fail are noted in `libraries`."""
        with contextlib.ExitStack() as stack:
            name = stack.enter_context(tempfile.TemporaryDirectory(prefix="gemmconv-bench-"))
            self._directory = Path(name)
            stack.callback(self._close_workers)
            for peer in self.settings.peers:
                try:
                    self.libraries[peer] = Library(version=self._worker(peer).version)
                except WorkerError as why:
                    self.libraries[peer] = Library(failure=str(why))
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """End the workers and remove the files."""
        self._stack.close()

    def measure(self, problem: Problem) -> Row:
        """Check and time one problem with every library.

        Parameters
        ----------
        problem : Problem
            The problem.

        Returns
        -------
        Row
        """
        expected = self._write_expected(problem)
        checks = {peer: self._check(peer, problem, expected) for peer in self.settings.peers}
        expected.unlink()
        failures = {peer: check for peer, check in checks.items() if check.status != "timed"}
        rounds: dict[str, list[list[float]]] = {peer: [] for peer in checks if peer not in failures}
        for _ in range(self.settings.rounds):
            for peer in [peer for peer in rounds if peer not in failures]:
                try:
                    rounds[peer].append(self._workers[peer].time(self.settings.seconds))
                except WorkerError as why:
                    failures[peer] = Measurement("failed", str(why))
        measurements = {
            peer: failures[peer] if peer in failures else replace(checks[peer], rounds=rounds[peer])
            for peer in self.settings.peers
        }
        return Row(problem, measurements)

    def _write_expected(self, problem: Problem) -> Path:
        """Compute the right output once, by the oracle, for all workers to compare with."""
        operation = OPERATIONS[self.settings.op]
        operands = operation.arrays(problem, self.settings.dtype)
        # BLAS threads of this process would go on spinning for a while, beside the first worker.
        with threadpool_limits(1, user_api="blas"):
            expected = operation.bind(reference, problem)(*operands)
        path = self._directory / "expected.npy"
        np.save(path, expected)
        return path

    def _check(self, peer: str, problem: Problem, expected: Path) -> Measurement:
        """Have a library get ready and compare its output: "timed", without times yet, if all is well."""
        if failure := self.libraries[peer].failure:
            return Measurement("missing", failure)
        try:
            worker = self._worker(peer)
            worker.prepare(problem.line, self.settings.dtype, self.settings.reuse, self.settings.op)
            wrong, error = worker.check(expected)
        except UnsupportedError as why:
            return Measurement("skipped", str(why))
        except WorkerError as why:
            return Measurement("failed", str(why))
        return Measurement("timed" if wrong is None else "wrong", wrong, error)

    def _worker(self, peer: str) -> WorkerProcess:
        """Return the worker of a library: a new one if the last has died."""
        if peer in self._workers:
            if self._workers[peer].alive:
                return self._workers[peer]
            self._workers.pop(peer).close()
        self._workers[peer] = WorkerProcess(peer, self.settings.threads, self._directory)
        return self._workers[peer]

    def _close_workers(self) -> None:
        while self._workers:
            self._workers.popitem()[1].close()
