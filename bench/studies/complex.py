"""Compares complex convolutions with real ones: ``python -m gemmconv.bench.studies.complex``.

Complex data needs the products of two real convolutions with a real weight, and of four with a complex one. The three
take turns. ``gemmconv bench --dtype complex64`` compares with other libraries.
"""

from __future__ import annotations

import re
import statistics

import numpy as np

import gemmconv

from ..operations import FORWARD
from ..peers import OURS, Call, load_peer
from ..problems import Problem
from ..worker import time_calls
from . import add_suite_option, chosen_problems, make_parser

ROUNDS = 5
SECONDS = 0.02


def calls_of(name: str, problem: Problem) -> list[Call]:
    """Return a real convolution, one of complex data and a real weight, and a complex one, of one of our peers."""
    x, weight = problem.arrays("complex64")
    real_x, real_weight = np.ascontiguousarray(x.real), np.ascontiguousarray(weight.real)
    prepare = load_peer(name, gemmconv.get_num_threads()).prepare[FORWARD]
    return [prepare(problem, *pair, True) for pair in ((real_x, real_weight), (x, real_weight), (x, weight))]


def measure(calls: list[Call]) -> list[float]:
    """Return the times of the second and the third call over that of the first: medians over the rounds."""
    rounds = [[statistics.median(time_calls(call, SECONDS)) for call in calls] for _ in range(ROUNDS)]
    return [statistics.median(times[n] / times[0] for times in rounds) for n in (1, 2)]


def main() -> None:
    """Print a table in Markdown."""
    parser = make_parser("complex", __doc__)
    add_suite_option(parser)
    parser.add_argument("--match", default="", metavar="RE", help="only problems whose name has a match for RE")
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    gemmconv.set_num_threads(arguments.threads)
    print("| layer | | real weight / real | complex weight / real |\n|---|---|---|---|")
    for problem in chosen_problems(arguments):
        if re.search(arguments.match, problem.name):
            for name in OURS.values():
                real, both = measure(calls_of(name, problem))
                print(f"| {problem.name} | {name} | {real:.2f} | {both:.2f} |", flush=True)


if __name__ == "__main__":
    main()
