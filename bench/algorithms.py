"""Compares the kernels with the one that ``"auto"`` takes: ``python -m gemmconv.bench.algorithms``.

Every kernel that is defined for a shape is timed, in turns, on the layers of the suites or on shapes drawn at random
(``--random 200``); the last lines tell where auto's choice is more than a tenth slower than the fastest.
"""

from __future__ import annotations

import argparse
import math
import time
from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import numpy as np

import gemmconv
from gemmconv.checks.geometry import Geometry
from gemmconv.engine.algorithms import choose, defined_methods, name_of, problem_of
from gemmconv.engine.blas import single_threaded_blas
from gemmconv.engine.gradient_algorithms import (
    WEIGHT_GRADIENT_METHODS,
    choose_input_gradient,
    choose_weight_gradient,
    input_gradient_ways,
    weight_gradient_problem,
)

from .operations import OPERATIONS
from .problems import SUITES, Problem, load_suite, parse_problem

TOLERANCE = 1.1

# A call of every kernel, and the name of that which auto takes.
Calls = tuple[dict[str, Callable[[], object]], str]


class Timing(NamedTuple):
    """The seconds of each kernel, and which of them auto takes."""

    problem: Problem
    seconds: dict[str, float]
    auto: str

    @property
    def loss(self) -> float:
        """The time of auto's choice over that of the fastest."""
        return self.seconds[self.auto] / min(self.seconds.values())

    def line(self) -> str:
        """Return the effective GFLOP/s of every kernel; a star marks auto's choice."""
        rates = [
            f"{name} {self.problem.flops / seconds / 1e9:6.1f}{'*' if name == self.auto else ' '}"
            for name, seconds in self.seconds.items()
        ]
        return f"{self.problem.name:14} {'  '.join(rates)}  auto at {self.loss:.2f}"


def draw_problem(rng: np.random.Generator, number: int) -> Problem:
    """Return a convolution of one to three axes and of up to some GFLOP."""
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


def bind_forward(problem: Problem, geometry: Geometry, dtype: str, prepared: bool) -> Calls:
    """Return a call of every kernel into a reused output; unless `prepared` it lays out the weights each time."""
    x, weight = OPERATIONS["forward"].arrays(problem, dtype)
    out, threads = np.empty(geometry.out_shape, x.dtype), gemmconv.get_num_threads()
    calls: dict[str, Callable[[], object]] = {}
    for method in defined_methods(geometry):
        kernel, _ = problem_of(method, geometry, x.itemsize, threads)
        laid_out = kernel.lay_out(weight, threads) if prepared else weight
        calls[name_of(method)] = partial(kernel.run, x, laid_out, None, out, threads)
    return calls, name_of(choose(geometry, prepared=prepared))


def bind_input_gradient(problem: Problem, geometry: Geometry, dtype: str, prepared: bool) -> Calls:
    """Do the same for the gradient of the input."""
    gradient, weight = OPERATIONS["input_gradient"].arrays(problem, dtype)
    out, threads = np.empty(geometry.x_shape, gradient.dtype), gemmconv.get_num_threads()
    calls: dict[str, Callable[[], object]] = {}
    for way in input_gradient_ways(geometry):
        kernel, _ = way.build(geometry, gradient.itemsize, threads)
        laid_out = kernel.lay_out(weight, threads) if prepared else weight
        calls[f"{way.algorithm}-{way.kernel}"] = partial(kernel.run, gradient, laid_out, None, out, threads)
    auto = choose_input_gradient(geometry, "auto", prepared=prepared)
    return calls, f"{auto.algorithm}-{auto.kernel}"


def bind_weight_gradient(problem: Problem, geometry: Geometry, dtype: str, prepared: bool) -> Calls:
    """Do the same for the gradient of the weight, of which nothing can be prepared."""
    del prepared
    gradient, x = OPERATIONS["weight_gradient"].arrays(problem, dtype)
    out, threads = np.empty(geometry.weight_shape, x.dtype), gemmconv.get_num_threads()
    calls: dict[str, Callable[[], object]] = {}
    for method in WEIGHT_GRADIENT_METHODS:
        if method.defined(geometry):
            kernel, _ = weight_gradient_problem(method, geometry, x.itemsize)
            calls[method.kernel] = partial(kernel.run, gradient, x, out, threads)
    return calls, choose_weight_gradient(geometry, "auto").kernel


BINDINGS = {
    "forward": bind_forward,
    "input_gradient": bind_input_gradient,
    "weight_gradient": bind_weight_gradient,
}


def time_kernels(problem: Problem, op: str, dtype: str, prepared: bool, rounds: int) -> Timing:
    """Time every kernel, in turns."""
    geometry = Geometry.from_shapes(problem.input_shape, problem.weight_shape, **problem.options)
    calls, auto = BINDINGS[op](problem, geometry, dtype, prepared)
    times: dict[str, list[float]] = {kernel: [] for kernel in calls}
    for call in calls.values():
        call()
    repeats = {kernel: max(1, math.ceil(2e-3 / seconds_of(call, 1))) for kernel, call in calls.items()}
    for _ in range(rounds):
        for kernel, call in calls.items():
            times[kernel].append(seconds_of(call, repeats[kernel]))
    return Timing(problem, {kernel: float(np.median(of)) for kernel, of in times.items()}, auto)


def seconds_of(call: Callable[[], object], repeats: int) -> float:
    """Return the mean time of a call."""
    start = time.perf_counter()
    for _ in range(repeats):
        call()
    return (time.perf_counter() - start) / repeats


def main() -> None:
    """Print the times and what auto makes of them."""
    parser = argparse.ArgumentParser(prog="python -m gemmconv.bench.algorithms", description=__doc__.splitlines()[0])
    parser.add_argument("--random", type=int, default=0, metavar="N", help="time so many drawn shapes, not the suites")
    parser.add_argument("--seed", type=int, default=0, help="of the drawn shapes")
    parser.add_argument("--op", default="forward", choices=list(BINDINGS), help="the convolution, or a gradient of it")
    parser.add_argument("--functional", action="store_true", help="time conv, which lays out its weights, not plans")
    parser.add_argument("--dtype", default="float32", choices=["float32", "float64"])
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--suite", choices=SUITES, action="append", help="one of the suites; may be repeated")
    arguments = parser.parse_args()

    rng = np.random.default_rng(arguments.seed)
    problems = [draw_problem(rng, number) for number in range(arguments.random)] or [
        problem for suite in arguments.suite or SUITES for problem in load_suite(suite)
    ]
    timings = []
    with gemmconv.num_threads(arguments.threads), single_threaded_blas:
        for problem in problems:
            prepared = not arguments.functional
            timings.append(time_kernels(problem, arguments.op, arguments.dtype, prepared, arguments.rounds))
            print(timings[-1].line(), flush=True)
    losses = [timing for timing in timings if timing.loss > TOLERANCE]
    for timing in sorted(losses, key=lambda timing: -timing.loss):
        print(f"auto takes {timing.auto}, {timing.loss:.2f} times the fastest: {timing.problem.line}")
    print(f"auto is within {TOLERANCE - 1:.0%} of the fastest on {len(timings) - len(losses)} of {len(timings)} shapes")


if __name__ == "__main__":
    main()
