"""The processes that compute: one worker per library, one of them active at a time.

Idle threads of one library steal cycles from the next, so every library has a process of its own,
and all but one are stopped. Speeds of a shared machine drift, so the rounds are interleaved
(library after library, then again) and speeds are compared within a round.

A worker may fail in every way a library can: it cannot be imported, it raises, it kills its process, it hangs. Whatever
happens becomes a `WorkerError` with a reason in one line. `gemmconv.bench.worker` is what runs in the process.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self

import numpy as np
from threadpoolctl import threadpool_limits

from gemmconv import reference

from .operations import FORWARD, OPERATIONS
from .peers import UnsupportedError, why_left_out
from .problems import CHANNELS_FIRST, Problem
from .results import TIMED, Library, Measurement, Network, Row

Message = dict[str, Any]

# Seconds until a worker that does not reply is killed: no computation of any suite comes near this.
LONGEST_REPLY = 600.0
# Seconds from the end of a worker's output to the end of its process.
LONGEST_END = 10.0

# Libraries read these when they are loaded, so they are set before the worker starts.
THREAD_VARIABLES = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "BLIS_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
)

# By default glibc hands large arrays back to the system when they are freed, or keeps them, depending on what was freed
# before: whether a fresh output costs page faults would depend on the library's habits. Here all keep them.
MEMORY_VARIABLES = {"MALLOC_MMAP_THRESHOLD_": str(2**30), "MALLOC_TRIM_THRESHOLD_": str(2**33)}


class WorkerError(Exception):
    """The worker could not do what it was asked; the message says why."""


class WorkerProcess:
    """The worker of one library, from its start to its end; what it prints is kept in a file of `directory`.

    Between its turns it is stopped: many libraries keep idle threads spinning for a while, which would
    steal cycles from the library whose turn is next.
    """

    def __init__(self, peer: str, threads: int, directory: Path, longest_reply: float = LONGEST_REPLY) -> None:
        self.longest_reply = longest_reply
        self.log = directory / f"{peer.replace(':', '-')}.log"
        # -P: a file in the current directory must not pass for a module.
        command = [sys.executable, "-P", "-m", "gemmconv.bench.worker", peer]
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [*command, "--threads", str(threads)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                env=os.environ | dict.fromkeys(THREAD_VARIABLES, str(threads)) | MEMORY_VARIABLES,
            )
        try:
            self.version = str(self._receive(longest_reply)["version"])
            self.process.send_signal(signal.SIGSTOP)
        except BaseException:
            self.close()
            raise

    @property
    def alive(self) -> bool:
        """Whether the process still runs."""
        return self.process.poll() is None

    def prepare(self, line: str, dtype: str, reuse: bool = False, op: str = FORWARD, keep: bool = False) -> None:
        """Have the worker make its data and get ready; raise UnsupportedError if it does not compute such a problem.

        With `keep`, what it has prepared before is timed together with this.
        """
        request = {"do": "prepare", "op": op, "problem": line, "dtype": dtype, "reuse": reuse, "keep": keep}
        reply = self._ask(request)
        if "unsupported" in reply:
            raise UnsupportedError(reply["unsupported"])

    def check(self, expected: Path) -> Measurement:
        """Have the worker compute what it prepared last, and compare it with a ``.npy`` file; no times yet."""
        reply = self._ask({"do": "check", "expected": str(expected)})
        status = next((status for status in ("wrong", "inexact") if reply[status]), TIMED)
        return Measurement(status, reply.get(status), reply["off"], reply["rms"])

    def time(self, seconds: float) -> list[float]:
        """Have the worker compute for a while; return the seconds of each call."""
        taken: list[float] = self._ask({"do": "time", "seconds": seconds}, seconds)["seconds"]
        return taken

    def close(self) -> None:
        """End the process, whatever it is doing; all its memory is free when this returns."""
        self.process.kill()
        self.process.communicate()

    def _ask(self, request: Message, working_time: float = 0.0) -> Message:
        """Send one request and wait for its reply."""
        assert self.process.stdin is not None
        self.process.send_signal(signal.SIGCONT)
        try:
            self.process.stdin.write(json.dumps(request).encode() + b"\n")
            self.process.stdin.flush()
        except BrokenPipeError:
            raise WorkerError(self._why_it_ended()) from None
        try:
            return self._receive(self.longest_reply + working_time)
        finally:
            self.process.send_signal(signal.SIGSTOP)

    def _receive(self, longest: float) -> Message:
        """Wait for one reply; an error it reports is raised."""
        assert self.process.stdout is not None
        too_late = threading.Event()

        def give_up() -> None:
            too_late.set()
            self.process.kill()

        # Killing the worker ends its output, so the reading below always comes to an end.
        timer = threading.Timer(longest, give_up)
        timer.start()
        try:
            line = self.process.stdout.readline()
        finally:
            timer.cancel()
        if too_late.is_set():
            self.process.wait()
            raise WorkerError(f"no reply within {longest:g} s")
        if not line.endswith(b"\n"):
            raise WorkerError(self._why_it_ended())
        reply: Message = json.loads(line)
        if "error" in reply:
            raise WorkerError(reply["error"])
        return reply

    def _why_it_ended(self) -> str:
        """Describe the end of the process by its exit code and its last words."""
        try:
            code = self.process.wait(LONGEST_END)
        except subprocess.TimeoutExpired:
            self.close()
            return "the process closed its output"
        if code < 0:
            return f"the process was ended by {signal.Signals(-code).name}"
        words = self.log.read_text(encoding="utf-8", errors="replace").split("\n")
        last = next((line.strip() for line in reversed(words) if line.strip()), "no message")
        return f"the process ended with exit code {code}: {last}"


@dataclass(frozen=True)
class Settings:
    """How to measure: the options of `gemmconv bench` that have the same names."""

    peers: tuple[str, ...]
    dtype: str = "float32"
    rounds: int = 7
    seconds: float = 0.05
    threads: int = 1
    reuse: bool = False
    op: str = FORWARD
    layout: str = CHANNELS_FIRST


class Session:
    """The workers, as a context manager: at its end none is left."""

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
                    why = why_left_out(peer, self.settings.layout)
                    self.libraries[peer] = Library(failure=why) if why else Library(version=self._worker(peer).version)
                except WorkerError as why:
                    self.libraries[peer] = Library(failure=str(why))
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *exception: object) -> None:
        """End the workers and remove the files."""
        self._stack.close()

    def measure(self, problem: Problem) -> Row:
        """Check one problem with every library, and time it with those that are right."""
        expected = self._write_expected(problem)
        checks = {peer: self._check(peer, problem, expected) for peer in self.settings.peers}
        expected.unlink()
        return Row(problem, self._time(checks))

    def measure_network(self, suite: str, problems: list[Problem]) -> Network:
        """Check every layer of a network with every library, and time all layers one after another.

        A layer that the network has several times is prepared as often, with weights and buffers of its own. A library
        that cannot compute a layer is not asked for the layers after it.
        """
        checks: dict[str, Measurement] = {}
        for problem in problems:
            expected = self._write_expected(problem)
            for peer in self.settings.peers:
                for _ in range(problem.count):
                    before = checks.get(peer)
                    if before is None or before.is_right:
                        check = self._check(peer, problem, expected, keep=before is not None)
                        if check.why and check.status != "missing":
                            check = replace(check, why=f"{problem.name}: {check.why}")
                        checks[peer] = check if before is None else before.joined(check)
            expected.unlink()
        return Network(suite, problems, self._time(checks))

    def _time(self, checks: dict[str, Measurement]) -> dict[str, Measurement]:
        """Time what the libraries have prepared, in turns, where it is right."""
        failures = {peer: check for peer, check in checks.items() if not check.is_right}
        rounds: dict[str, list[list[float]]] = {peer: [] for peer in checks if peer not in failures}
        for _ in range(self.settings.rounds):
            for peer in [peer for peer in rounds if peer not in failures]:
                try:
                    rounds[peer].append(self._workers[peer].time(self.settings.seconds))
                except WorkerError as why:
                    failures[peer] = Measurement("failed", str(why))
        return {
            peer: failures[peer] if peer in failures else replace(check, rounds=rounds[peer])
            for peer, check in checks.items()
        }

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

    def _check(self, peer: str, problem: Problem, expected: Path, keep: bool = False) -> Measurement:
        """Have a library get ready and compare its output: `TIMED`, without times yet, if all is well."""
        if failure := self.libraries[peer].failure:
            return Measurement("missing", failure)
        try:
            worker = self._worker(peer)
            worker.prepare(problem.line, self.settings.dtype, self.settings.reuse, self.settings.op, keep)
            return worker.check(expected)
        except UnsupportedError as why:
            return Measurement("skipped", str(why))
        except WorkerError as why:
            return Measurement("failed", str(why))

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
