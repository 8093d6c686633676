"""The process of one library: ``python -m gemmconv.bench.worker PEER --threads N``.

It answers requests, one JSON object per line on its standard input, with one JSON object per line
on its standard output. The first line comes unasked once the library is imported.

================================================  =============================================
request                                           reply
================================================  =============================================
(none: the library is imported)                   ``{"version": "2.13.0"}``
``{"do": "prepare", "op": "forward",``            ``{}``, or ``{"unsupported": WHY}``
``"problem": LINE, "dtype": "float32",``
``"reuse": false, "keep": false}``
``{"do": "check", "expected": FILE}``             ``{"wrong": null, "inexact": null, "off": 2e-7,``
                                                  ``"rms": 3e-8}``, or, with what is wrong or inexact,
                                                  ``{"wrong": WHAT, "inexact": WHAT, ...}``
``{"do": "time", "seconds": 0.1}``                ``{"seconds": [0.00123, 0.00119, ...]}``
================================================  =============================================

With ``keep``, the problems prepared before stay prepared. The one that was prepared last is checked; all of them, in
their order, are timed as one call, which is how a network is timed.

Any reply may be ``{"error": WHAT}`` instead. The process ends when its input does. The other end of the pipe is
`gemmconv.bench.process`.
"""

from __future__ import annotations

import argparse
import ctypes
import gc
import json
import math
import os
import signal
import sys
import time
import traceback
from collections.abc import Callable
from typing import Any, TextIO

import numpy as np

from .operations import OPERATIONS
from .peers import Call, Peer, UnsupportedError, load_peer, prepare
from .problems import DTYPES, Array, parse_problem

Message = dict[str, Any]

# The least number of calls of a measurement. A single call that takes longer than LONG_CALL seconds is enough.
LEAST_CALLS = 3
LONG_CALL = 1.0

# The largest error of an element that passes, over the root mean square of the output. It is ten times the error of
# Winograd's algorithm in the suites, less than that of float16, and far below that of a wrong border.
LARGEST_ERROR = {"float32": 1e-4, "float64": 1e-11}

# The largest root mean square of all errors that passes, over that of the output: 84 times the distance of 1 from the
# next number in float32, and 90 times in float64. Winograd's algorithm is ten times better with tiles of 4x4 outputs,
# and ten times worse with tiles of 6x6.
LARGEST_RMS_ERROR = {"float32": 1e-5, "float64": 2e-14}

# The relative error of a result of float32 that is rounded to another type at its end.
ROUNDING = {"float16": 2.0**-11, "bfloat16": 2.0**-8}

# The largest element of an output over the root mean square, if it is normally distributed.
LARGEST_ELEMENT = 8

# Up to this multiple of `LARGEST_ERROR`, a result is inexact: it is timed but does not count. Beyond, it is wrong, as
# one with a wrong border is.
INEXACT = 1000
# So is one with a larger error than this.
LARGEST_INEXACT = 0.1


def compare(output: Array, expected: Array, dtype: str, terms: float = 1) -> tuple[str | None, float | None]:
    """Compare the whole of an output with the oracle's, which is in float64.

    Return what is wrong, None if rounding can explain every error, and the largest error over the root mean square of
    the output, None if there is no such number.
    """
    right = DTYPES[dtype].results
    if output.shape != expected.shape or output.dtype.name not in right:
        what = f"the output has shape {output.shape} and dtype {output.dtype}"
        return f"{what}, expected {expected.shape} and {' or '.join(right)}", None
    errors = abs(output - expected) / root_mean_square(expected)
    different = ~(errors <= largest_errors(output.dtype.name, terms)[0])
    number = int(np.count_nonzero(different))
    if not number:
        return None, float(errors.max())
    first = tuple(int(index) for index in np.argwhere(different)[0])
    what = (
        f"{number} of {output.size} elements differ, the first at {first}: {output[first]} instead of {expected[first]}"
    )
    return what, float(errors.max()) if np.isfinite(errors).all() else None


def largest_errors(result: str, terms: float) -> tuple[float, float]:
    """Return the limits of the error of an element and of the root mean square of all errors, by the result's type.

    Each part of a complex number is a sum of twice as many real products.
    """
    kind, rounding = DTYPES[result], ROUNDING.get(result, 0)
    limits = [
        with_terms(table[kind.real], kind.real, kind.parts * terms) for table in (LARGEST_ERROR, LARGEST_RMS_ERROR)
    ]
    return limits[0] + LARGEST_ELEMENT * rounding, limits[1] + rounding


def largest_inexact(result: str, terms: float) -> float:
    """Return the largest error of an element of what is inexact and not wrong."""
    return min(INEXACT * largest_errors(result, terms)[0], LARGEST_INEXACT)


def with_terms(limit: float, dtype: str, terms: float) -> float:
    """Return a limit of errors for sums of `terms` products.

    The weight gradient of a picture has millions of terms. A library that adds them one after the other is off by about
    the square root of their number.
    """
    return max(limit, float(np.finfo(dtype).eps) * math.sqrt(terms))


def root_mean_square(numbers: Array) -> float:
    """Return the root of the mean of the squares."""
    return float(np.sqrt(np.mean(abs(numbers) ** 2)))


def time_calls(call: Callable[[], object], seconds: float) -> list[float]:
    """Return the seconds of each call of a function.

    Calls begin until `seconds` are spent and `LEAST_CALLS` are done; after one that takes longer than `LONG_CALL` only
    the time spent counts.
    """
    taken: list[float] = []
    spent = 0.0
    gc.disable()
    try:
        while not taken or spent < seconds or (len(taken) < LEAST_CALLS and max(taken) <= LONG_CALL):
            begin = time.perf_counter()
            call()
            taken.append(round(time.perf_counter() - begin, 9))
            spent += taken[-1]
    finally:
        gc.enable()
    return taken


class Worker:
    """The requests to one library as methods."""

    def __init__(self, peer: Peer) -> None:
        self.peer = peer
        self.dtype = ""
        self.terms = 1.0
        self.calls: list[Call] = []

    def prepare(self, request: Message) -> Message:
        """Make the data of a problem and have the library get ready."""
        if not request.get("keep", False):
            self.calls.clear()  # the memory of the last problem is free before the next is made
        problem = parse_problem(request["problem"])
        self.dtype = request["dtype"]
        self.terms = OPERATIONS[request["op"]].terms(problem)
        self.calls.append(prepare(self.peer, request["op"], problem, self.dtype, request["reuse"]))
        return {}

    def check(self, request: Message) -> Message:
        """Compute once and compare every element."""
        output, expected = np.asarray(self.prepared()[-1]()), np.load(request["expected"])
        wrong, error = compare(output, expected, self.dtype, self.terms)
        if error is None or error > largest_inexact(output.dtype.name, self.terms):
            return {"wrong": wrong, "inexact": None, "off": error, "rms": None}
        rms_error = root_mean_square(output - expected) / root_mean_square(expected)
        _, limit = largest_errors(output.dtype.name, self.terms)
        inexact = f"its errors are too large for {output.dtype}" if wrong or rms_error > limit else None
        return {"wrong": None, "inexact": inexact, "off": error, "rms": rms_error}

    def time(self, request: Message) -> Message:
        """Compute for a while all that is prepared, again and again."""
        calls = self.prepared()

        def in_their_order() -> None:
            for call in calls:
                call()

        return {"seconds": time_calls(in_their_order, request["seconds"])}

    def prepared(self) -> list[Call]:
        """Return the functions that `prepare` made."""
        if not self.calls:
            raise RuntimeError("no problem is prepared")
        return self.calls

    def answer(self, request: Message) -> Message:
        """Carry out one request; whatever goes wrong becomes a reply."""
        requests = {"prepare": self.prepare, "check": self.check, "time": self.time}
        try:
            return requests[request["do"]](request)
        except UnsupportedError as why:
            return {"unsupported": str(why)}
        except Exception as error:
            traceback.print_exc()
            return {"error": describe(error)}


def describe(error: Exception) -> str:
    """Put an exception into one line."""
    return " ".join(f"{type(error).__name__}: {error}".split())


def take_pipes() -> tuple[TextIO, TextIO]:
    """Return standard input and output, which are for the protocol alone from now on.

    What a library prints goes to standard error, even from C, and a library that reads finds nothing.
    """
    requests = os.fdopen(os.dup(0), "r", encoding="utf-8")
    replies = os.fdopen(os.dup(1), "w", encoding="utf-8", buffering=1)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    os.dup2(2, 1)
    return requests, replies


def end_with_parent() -> None:
    """Have Linux end this process when the benchmark is killed: while it is stopped it would not notice."""
    if sys.platform == "linux":
        PR_SET_PDEATHSIG = 1
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)


def main(arguments: list[str] | None = None) -> int:
    """Serve one library until the input ends; return 1 if it cannot be loaded, else 0."""
    parser = argparse.ArgumentParser(prog="gemmconv.bench.worker", description="Serve one library.")
    parser.add_argument("peer", help="name of the library, or module:function")
    parser.add_argument("--threads", type=int, default=1, help="the number it may use (default 1)")
    options = parser.parse_args(arguments)
    # Ctrl-C reaches the whole group of processes; the benchmark decides, and closes the pipe.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    end_with_parent()
    requests, replies = take_pipes()

    def reply(message: Message) -> None:
        print(json.dumps(message), file=replies, flush=True)

    try:
        peer = load_peer(options.peer, options.threads)
        reply({"version": peer.version})
    except Exception as error:
        traceback.print_exc()
        reply({"error": describe(error)})
        return 1
    worker = Worker(peer)
    for line in requests:
        reply(worker.answer(json.loads(line)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
