"""Compares the ways to compute with the one that ``"auto"`` takes: ``python -m gemmconv.bench.studies.algorithms``.

Every way that is defined for a shape is timed, in turns, on the layers of the suites or on shapes drawn at random
(``--random 200``); the last lines name the shapes where auto's choice is more than a tenth slower than the fastest.
``--save`` keeps the timings in a file, and ``--read`` looks at the choices of auto with timings from files.
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Iterator
from pathlib import Path

import gemmconv
from gemmconv.engine.blas import single_threaded_blas

from ..operations import FORWARD
from ..problems import Problem
from . import add_suite_option, chosen_problems, make_parser
from .timings import DRAWS, OPS, TOLERANCE, Origin, Timing, draw_problems, load_timings, save_timings, time_ways


def problems_of(arguments: argparse.Namespace) -> list[Problem]:
    """Return the problems that were asked for."""
    problems = draw_problems(arguments.kind, arguments.random, arguments.seed) or chosen_problems(arguments)
    return [problem for problem in problems if re.search(arguments.match, problem.name)]


def timings_of(arguments: argparse.Namespace) -> Iterator[Timing]:
    """Read the timings that were asked for, or time one problem after the other."""
    if arguments.read:
        yield from load_timings(arguments.read)
        return
    with gemmconv.num_threads(arguments.threads), single_threaded_blas:
        for problem in problems_of(arguments):
            yield time_ways(problem, arguments.op, arguments.dtype, arguments.rounds)


def parse_arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = make_parser("algorithms", __doc__)
    parser.add_argument("--random", type=int, default=0, metavar="N", help="time N drawn shapes, not the suites")
    parser.add_argument("--kind", default="usual", choices=DRAWS, help="of the drawn shapes: up to 2000 taps, or tiny")
    parser.add_argument("--seed", type=int, default=0, help="of the drawn shapes")
    parser.add_argument("--match", default="", metavar="PATTERN", help="only problems whose name has this pattern")
    parser.add_argument("--op", default=FORWARD, choices=OPS, help="the convolution, or a gradient of it")
    parser.add_argument("--functional", action="store_true", help="add the time to lay out weights, as conv does")
    parser.add_argument("--dtype", default="float32", choices=["float32", "float64"])
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--save", type=Path, metavar="FILE", help="write the timings to a file")
    parser.add_argument("--read", type=Path, nargs="+", metavar="FILE", help="take the timings from files")
    add_suite_option(parser)
    return parser.parse_args()


def main() -> None:
    """Print the times and what auto makes of them."""
    arguments = parse_arguments()
    prepared = not arguments.functional
    timings = []
    for timing in timings_of(arguments):
        timings.append(timing)
        print(timing.line(prepared), flush=True)
    if arguments.save:
        save_timings(arguments.save, timings, Origin.here(arguments.dtype, arguments.threads))
    losses = sorted([(timing.loss(prepared), timing) for timing in timings], key=lambda pair: -pair[0])
    missed = [(loss, timing) for loss, timing in losses if loss > TOLERANCE]
    for loss, timing in missed:
        print(f"auto takes {timing.auto(prepared)}, {loss:.2f} times the fastest: {timing.problem.line}")
    print(f"auto is within {TOLERANCE - 1:.0%} of the fastest on {len(timings) - len(missed)} of {len(timings)} shapes")


if __name__ == "__main__":
    main()
