"""The benchmark's end of the pipe to a worker.

A worker is a process that may fail in every way a library can: it cannot be imported, it raises, it
kills its process, it hangs. Whatever happens becomes a `WorkerError` with a reason in one line.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

from .operations import FORWARD
from .peers import UnsupportedError

Message = dict[str, Any]

# No computation of any suite comes near this, even by way of NumPy: a worker that does hangs.
LONGEST_REPLY = 600.0
# From the end of a worker's output to the end of its process.
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
    """A worker, from its start to its end.

    Between its turns it is stopped: many libraries keep idle threads spinning for a while, which would
    steal cycles from the library whose turn is next.

    Parameters
    ----------
    peer : str
        Name of the library, or ``module:function``.
    threads : int
        How many threads the library may use.
    directory : Path
        Where the worker's standard error is kept.
    longest_reply : float, optional
        Seconds after which a worker that does not reply is killed.

    Raises
    ------
    WorkerError
        If the library cannot be loaded.
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

    def prepare(self, line: str, dtype: str, reuse: bool = False, op: str = FORWARD) -> None:
        """Have the worker make its data and get ready.

        Parameters
        ----------
        line : str
            The problem.
        dtype : str
            ``"float32"`` or ``"float64"``.
        reuse : bool, optional
            Whether all calls may write to the same output.
        op : str, optional
            What of the problem to compute.

        Raises
        ------
        UnsupportedError
            If the library does not compute such a problem.
        WorkerError
            If it failed.
        """
        reply = self._ask({"do": "prepare", "op": op, "problem": line, "dtype": dtype, "reuse": reuse})
        if "unsupported" in reply:
            raise UnsupportedError(reply["unsupported"])

    def check(self, expected: Path) -> tuple[str | None, float | None]:
        """Have the worker compute once and compare.

        Parameters
        ----------
        expected : Path
            The right output as a ``.npy`` file.

        Returns
        -------
        wrong : str or None
            What is wrong with the output, None if nothing is.
        error : float or None
            Its largest error over its root mean square.
        """
        reply = self._ask({"do": "check", "expected": str(expected)})
        return reply["wrong"], reply["off"]

    def time(self, seconds: float) -> list[float]:
        """Have the worker compute for a while.

        Parameters
        ----------
        seconds : float
            How long.

        Returns
        -------
        list of float
            Seconds of each call.
        """
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
