"""The times of all ways to compute a problem: what the studies of algorithms and of costs share.

Timings are kept in a file (JSON), so that costs can be fitted, and choices be looked at again, without timing anew. A
file also has the command that made it, and what the times depend on (`Origin`).
"""

from __future__ import annotations

import json
import math
import shlex
import sys
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

import gemmconv
from gemmconv import _gemmconv
from gemmconv.checks.geometry import Geometry
from gemmconv.engine.algorithms import candidates, pick
from gemmconv.engine.blas import gemm_path, scipy_blas_info
from gemmconv.engine.normal_form import normal_form
from gemmconv.machine import cpu_name

from ..operations import FORWARD, OPERATIONS
from ..problems import Problem, parse_problem

#: What may be computed -> its name in the engine.
OPS = {FORWARD: "convolution", "input_gradient": "input_gradient", "weight_gradient": "weight_gradient"}

# A choice is good if it takes at most this many times as long as the fastest way.
TOLERANCE = 1.1
# A way that is slower than the fastest by this factor is timed in the first and the last round only: no estimate should
# take it for good. If something else disturbed the first round, the last one corrects it.
FAR_BEHIND = 4
# The seconds that a round should take, at least: a call that is shorter is repeated.
ROUND = 1e-3

Call = Callable[[], object]


class Origin(NamedTuple):
    """What the timings of a file depend on, beside the problems."""

    cpu: str
    isa: str
    """The instruction set of our kernels."""
    gemm_path: str
    blas: str
    """The core that BLAS has chosen its routines for."""
    dtype: str
    threads: int

    @classmethod
    def here(cls, dtype: str, threads: int) -> Origin:
        """Return that of timings which this process makes."""
        cores = sorted({library.get("architecture", "unknown") for library in scipy_blas_info()})
        return cls(cpu_name(), _gemmconv.isa(), gemm_path(), ", ".join(cores), dtype, threads)


class Timing(NamedTuple):
    """The seconds of each way."""

    problem: Problem
    op: str
    seconds: dict[str, float]
    """Name of a way -> its time for the whole batch, with weights that are laid out already."""
    layouts: dict[str, float]
    """Name of a way -> the time to lay out its weights."""

    @property
    def geometry(self) -> Geometry:
        """The geometry that the engine sees."""
        return geometry_of(self.problem)

    def totals(self, prepared: bool) -> dict[str, float]:
        """Return the seconds of each way for one image, as auto compares them for plans or for functions."""
        batch = max(self.problem.batch, 1)
        return {name: of / batch + (0 if prepared else self.layouts[name]) for name, of in self.seconds.items()}

    def auto(self, prepared: bool) -> str:
        """Return the name of the way that auto takes now."""
        return pick(OPS[self.op], self.geometry, prepared=prepared).name

    def loss(self, prepared: bool, taken: str | None = None) -> float:
        """Return the time of a way, by default of auto's choice, over that of the fastest."""
        totals = self.totals(prepared)
        return totals[taken or self.auto(prepared)] / min(totals.values())

    def line(self, prepared: bool) -> str:
        """Return the effective GFLOP/s of every way; a star marks auto's choice."""
        auto = self.auto(prepared)
        flops = self.problem.flops / max(self.problem.batch, 1)
        rates = [
            f"{name} {flops / seconds / 1e9:6.1f}{'*' if name == auto else ' '}"
            for name, seconds in self.totals(prepared).items()
        ]
        return f"{self.problem.name:14} {'  '.join(rates)}  auto at {self.loss(prepared):.2f}"


def geometry_of(problem: Problem) -> Geometry:
    """Return the geometry of a problem as the engine sees it."""
    return normal_form(Geometry.from_shapes(problem.input_shape, problem.weight_shape, **problem.options))


def draw_usual(rng: np.random.Generator, name: str) -> Problem:
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
        return parse_problem(" ".join([name, "x0", *words]))


def draw_long(rng: np.random.Generator, name: str) -> Problem:
    """Return a convolution of one to three axes with 1 to 2000 taps along each, few channels, and at most 1 GFLOP."""
    while True:
        rank = int(rng.choice([1, 1, 1, 2, 2, 2, 3]))
        in_channels, out_channels = (int(number) for number in rng.choice([1, 1, 1, 2, 3, 8, 16], 2))
        groups = int(rng.choice([1, 1, in_channels]))
        out_channels = -(-out_channels // groups) * groups
        axes = "dhw"[3 - rank :]
        kernel = [int(2000 ** rng.uniform(0, 1)) for _ in axes]
        out = [int(2 ** rng.uniform(*{1: (8, 16), 2: (3, 9.5), 3: (1, 6)}[rank])) for _ in axes]
        stride, dilation = int(rng.choice([1, 1, 1, 1, 2])), int(rng.choice([1, 1, 1, 2]))
        size = [(count - 1) * stride + (taps - 1) * dilation + 1 for count, taps in zip(out, kernel)]
        operations = 2.0 * out_channels * in_channels / groups * math.prod(out) * math.prod(kernel)
        if not 1e6 < operations < 1e9 or in_channels * math.prod(size) > 2e6 or math.prod(kernel) > 5e4:
            continue
        words = [f"c{in_channels}", f"o{out_channels}", f"g{groups}"]
        for key, values in (("", size), ("k", kernel), ("s", [stride] * rank), ("d", [dilation] * rank)):
            words += [f"{key}{axis}{value}" for axis, value in zip(axes, values)]
        return parse_problem(" ".join([name, "x0", *words]))


def draw_small(rng: np.random.Generator, name: str) -> Problem:
    """Return a batch, of at least 1 MFLOP, of a convolution of one or two axes of at most 1 MFLOP an image."""
    while True:
        rank, kernel = int(rng.integers(1, 3)), int(rng.integers(1, 8))
        size = int(2 ** rng.uniform(*{1: (3, 10), 2: (2, 5)}[rank]))
        in_channels, out_channels = (int(2 ** rng.uniform(0, 5)) for _ in "co")
        padding, stride = int(rng.choice([0, kernel // 2])), int(rng.choice([1, 1, 2]))
        operations = 2.0 * out_channels * in_channels * (size / stride) ** rank * kernel**rank
        if size + 2 * padding < kernel or operations > 1e6:
            continue
        words = [f"n{math.ceil(1e6 / operations)}", f"c{in_channels}", f"o{out_channels}"]
        for key, value in (("", size), ("k", kernel), ("s", stride), ("p", padding)):
            words += [f"{key}{axis}{value}" for axis in "hw"[2 - rank :]]
        return parse_problem(" ".join([name, "x0", *words]))


#: The kinds of shapes that are drawn.
DRAWS = {"usual": draw_usual, "long": draw_long, "small": draw_small}


def draw_problems(kind: str, count: int, seed: int) -> list[Problem]:
    """Return shapes of a kind; the same seed gives the same shapes."""
    rng = np.random.default_rng(seed)
    prefix = "random" if kind == "usual" else kind
    return [DRAWS[kind](rng, f"{prefix}_{number}") for number in range(count)]


def bind(problem: Problem, op: str, dtype: str) -> tuple[dict[str, Call], dict[str, Call]]:
    """Return, by the name of a way, its call with weights laid out into a reused output, and that which lays them out.

    The weight gradient has no weights to lay out.
    """
    geometry = geometry_of(problem)
    first, second = OPERATIONS[op].arrays(problem, dtype)
    out, threads = np.empty(OPERATIONS[op].result_shape(problem), dtype), gemmconv.get_num_threads()
    calls: dict[str, Call] = {}
    layouts: dict[str, Call] = {}
    for way in candidates(OPS[op], geometry):
        built: Any = way.build(geometry, out.itemsize, threads).problem
        if op == "weight_gradient":
            calls[way.name] = partial(built.run, first, second, out, threads)
        else:
            calls[way.name] = partial(built.run, first, built.lay_out(second, threads), None, out, threads)
            layouts[way.name] = partial(built.lay_out, second, threads)
    return calls, layouts


def time_ways(problem: Problem, op: str, dtype: str, rounds: int) -> Timing:
    """Time every way of a problem, in turns."""
    calls, layouts = bind(problem, op, dtype)
    layout_times = time_in_turns(layouts, rounds)
    return Timing(problem, op, time_in_turns(calls, rounds), {name: layout_times.get(name, 0.0) for name in calls})


def time_in_turns(calls: dict[str, Call], rounds: int) -> dict[str, float]:
    """Return the seconds of each call: those of its fastest round."""
    best: dict[str, float] = {}
    for name, call in calls.items():
        call()
        best[name] = seconds_of(call, 1)
    repeats = {name: max(1, math.ceil(ROUND / max(seconds, 1e-9))) for name, seconds in best.items()}
    for number in range(rounds):
        fastest = min(best.values(), default=0.0)
        for name, call in calls.items():
            if number in (0, rounds - 1) or best[name] < FAR_BEHIND * fastest:
                best[name] = min(best[name], seconds_of(call, repeats[name]))
    return best


def seconds_of(call: Call, repeats: int) -> float:
    """Return the mean time of a call."""
    start = time.perf_counter()
    for _ in range(repeats):
        call()
    return (time.perf_counter() - start) / repeats


def save_timings(path: Path, timings: Sequence[Timing], origin: Origin) -> None:
    """Write timings to a file, with their origin and the command that runs now."""
    rows = [[timing.problem.line, timing.op, timing.seconds, timing.layouts] for timing in timings]
    command = f"python -m gemmconv.bench.studies.algorithms {shlex.join(sys.argv[1:])}"
    text = json.dumps({"command": command, "origin": origin._asdict(), "timings": rows}, indent=0)
    path.write_text(text, encoding="utf-8")


def load_timings(paths: Sequence[Path]) -> list[Timing]:
    """Read the timings of the ways that there are; raise ValueError if files have none for some of these."""
    timings: list[Timing] = []
    for path in paths:
        saved = _read(path)
        for line, op, seconds, layouts in saved["timings"]:
            problem = parse_problem(line)
            names = [way.name for way in candidates(OPS[op], geometry_of(problem))]
            for name in names:
                if name not in seconds:
                    raise ValueError(f"{path} has no time of {name} for {line!r}; make it again: {saved['command']}")
            of_ways = ({name: times[name] for name in names} for times in (seconds, layouts))
            timings.append(Timing(problem, op, *of_ways))
    return timings


def load_origin(paths: Sequence[Path]) -> Origin:
    """Return the origin of some files; raise ValueError if it is not the same for all."""
    origins = {path: Origin(**_read(path)["origin"]) for path in paths}
    first = paths[0]
    for path in paths:
        if origins[path] != origins[first]:
            raise ValueError(f"{first} and {path} do not belong together: {origins[first]}, {origins[path]}")
    return origins[first]


def _read(path: Path) -> dict[str, Any]:
    """Read a file; raise ValueError if it has timings of another instruction set or path of BLAS."""
    saved: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    if "origin" not in saved:
        raise ValueError(f"{path} does not say on what its timings depend: it is of an older version, make it again")
    here = {"isa": _gemmconv.isa(), "gemm_path": gemm_path()}
    there = {name: saved["origin"][name] for name in here}
    if there != here:
        raise ValueError(f"{path} has timings for {there}, but here it is {here}")
    return saved
