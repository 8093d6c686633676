"""Compares the ways to compute with the one that ``"auto"`` takes: ``python -m gemmconv.bench.studies.algorithms``.

Every way that is defined for a shape is timed, in turns, on the layers of the suites or on shapes drawn at random
(``--random 200``); the last lines name the shapes where auto's choice is more than a tenth slower than the fastest.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import numpy as np

import gemmconv
from gemmconv.checks.geometry import Geometry
from gemmconv.engine.algorithms import WAYS, pick
from gemmconv.engine.blas import single_threaded_blas
from gemmconv.engine.normal_form import normal_form

from ..operations import FORWARD, OPERATIONS
from ..problems import Problem, parse_problem
from . import add_suite_option, chosen_problems, make_parser

#: What may be computed -> its name in the engine.
OPS = {FORWARD: "convolution", "input_gradient": "input_gradient", "weight_gradient": "weight_gradient"}

# A choice of auto is good if it takes at most this many times as long as the fastest way.
TOLERANCE = 1.1


def ways_of(op: str, geometry: Geometry, itemsize: int, threads: int, prepared: bool) -> tuple[dict[str, Any], str]:
    """Return name -> C problem of every way that is defined, and the name of the one that auto takes."""
    built = {way.name: way.build(geometry, itemsize, threads).problem for way in WAYS[OPS[op]](geometry)}
    return built, pick(OPS[op], geometry, prepared=prepared).name


def bind(problem: Problem, op: str, dtype: str, prepared: bool) -> tuple[dict[str, Callable[[], object]], str]:
    """Return a call of every way into a reused output, and the name of auto's; `prepared` calls lay out no weights."""
    geometry = normal_form(Geometry.from_shapes(problem.input_shape, problem.weight_shape, **problem.options))
    first, second = OPERATIONS[op].arrays(problem, dtype)
    out, threads = np.empty(OPERATIONS[op].result_shape(problem), dtype), gemmconv.get_num_threads()
    ways, auto = ways_of(op, geometry, out.itemsize, threads, prepared)
    calls: dict[str, Callable[[], object]] = {}
    for name, way in ways.items():
        if op == "weight_gradient":
            calls[name] = partial(way.run, first, second, out, threads)
        else:
            weight = way.lay_out(second, threads) if prepared else second
            calls[name] = partial(way.run, first, weight, None, out, threads)
    return calls, auto


class Timing(NamedTuple):
    """The seconds of each way, and which of them auto takes."""

    problem: Problem
    seconds: dict[str, float]
    auto: str

    @property
    def loss(self) -> float:
        """The time of auto's choice over that of the fastest."""
        return self.seconds[self.auto] / min(self.seconds.values())

    def line(self) -> str:
        """Return the effective GFLOP/s of every way; a star marks auto's choice."""
        rates = [
            f"{name} {self.problem.flops / seconds / 1e9:6.1f}{'*' if name == self.auto else ' '}"
            for name, seconds in self.seconds.items()
        ]
        return f"{self.problem.name:14} {'  '.join(rates)}  auto at {self.loss:.2f}"


def draw_problem(rng: np.random.Generator, number: int) -> Problem:
    """Return a convolution of one to three axes and of at most 1.5 GFLOP."""
    while True:
        rank = int(rng.choice([1, 2, 2, 2, 3]))
        kind = rng.choice(["dense", "dense", "few", "grouped", "depthwise"])
        base = int(2 ** rng.uniform(3, 9.5))
        in_channels = int(rng.integers(1, 5)) if kind == "few" else base
        out_channels = int(2 ** rng.uniform(2, 9))
        groups = 1
        if kind == "depthwise":
            groups, out_channels = base, base * int(rng.choice([1, 1, 2]))
        elif kind == "grouped":
            per_group = int(rng.choice([2, 4, 8, 16]))
            groups = max(base // per_group, 1)
            in_channels = out_channels = groups * per_group
        axes = "dhw"[3 - rank :]
        size = int(2 ** rng.uniform(*{1: (6, 14), 2: (2.5, 8), 3: (2, 5)}[rank]))
        kernel = int(rng.choice([1, 2, 3, 3, 3, 5, 7, 11] if rank < 3 else [1, 2, 3, 3]))
        stride, dilation = int(rng.choice([1, 1, 1, 2, 3])), int(rng.choice([1, 1, 1, 2, 4]))
        extent = (kernel - 1) * dilation + 1
        padding = int(rng.choice([0, extent // 2, extent // 2]))
        operations = 2.0 * out_channels * in_channels / groups * (size / stride) ** rank * kernel**rank
        if size + 2 * padding < extent or not 1e6 < operations < 1.5e9 or in_channels * size**rank > 2e7:
            continue
        words = [f"c{in_channels}", f"o{out_channels}", f"g{groups}"]
        for key, value in (("", size), ("k", kernel), ("s", stride), ("p", padding), ("d", dilation)):
            words += [f"{key}{axis}{value}" for axis in axes]
        return parse_problem(" ".join([f"random_{number}", "x0", *words]))


def time_ways(problem: Problem, op: str, dtype: str, prepared: bool, rounds: int) -> Timing:
    """Time every way, in turns."""
    calls, auto = bind(problem, op, dtype, prepared)
    times: dict[str, list[float]] = {name: [] for name in calls}
    for call in calls.values():
        call()
    repeats = {name: max(1, math.ceil(2e-3 / seconds_of(call, 1))) for name, call in calls.items()}
    for _ in range(rounds):
        for name, call in calls.items():
            times[name].append(seconds_of(call, repeats[name]))
    return Timing(problem, {name: float(np.median(of)) for name, of in times.items()}, auto)


def seconds_of(call: Callable[[], object], repeats: int) -> float:
    """Return the mean time of a call."""
    start = time.perf_counter()
    for _ in range(repeats):
        call()
    return (time.perf_counter() - start) / repeats


def main() -> None:
    """Print the times and what auto makes of them."""
    parser = make_parser("algorithms", __doc__)
    parser.add_argument("--random", type=int, default=0, metavar="N", help="time N drawn shapes, not the suites")
    parser.add_argument("--seed", type=int, default=0, help="of the drawn shapes")
    parser.add_argument("--op", default=FORWARD, choices=OPS, help="the convolution, or a gradient of it")
    parser.add_argument("--functional", action="store_true", help="time conv, which lays out its weights, not plans")
    parser.add_argument("--dtype", default="float32", choices=["float32", "float64"])
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=7)
    add_suite_option(parser)
    arguments = parser.parse_args()

    rng = np.random.default_rng(arguments.seed)
    problems = [draw_problem(rng, number) for number in range(arguments.random)] or chosen_problems(arguments)
    timings = []
    with gemmconv.num_threads(arguments.threads), single_threaded_blas:
        for problem in problems:
            prepared = not arguments.functional
            timings.append(time_ways(problem, arguments.op, arguments.dtype, prepared, arguments.rounds))
            print(timings[-1].line(), flush=True)
    losses = [timing for timing in timings if timing.loss > TOLERANCE]
    for timing in sorted(losses, key=lambda timing: -timing.loss):
        print(f"auto takes {timing.auto}, {timing.loss:.2f} times the fastest: {timing.problem.line}")
    print(f"auto is within {TOLERANCE - 1:.0%} of the fastest on {len(timings) - len(losses)} of {len(timings)} shapes")


if __name__ == "__main__":
    main()
