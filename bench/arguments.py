"""The options of `gemmconv bench`."""

from __future__ import annotations

import argparse
import math
import re

from .operations import FORWARD, OPERATIONS
from .peers import OURS, PEERS
from .problems import SUITES

ALL = "all"
DTYPE_SIZES = {"float32": 4, "float64": 8}
OTHERS = tuple(name for name in PEERS if name not in OURS.values())


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options.

    Parameters
    ----------
    parser : argparse.ArgumentParser
        The parser of the subcommand.
    """
    parser.add_argument("--suite", choices=[*SUITES, ALL], default=ALL, help="network or collection (default all)")
    parser.add_argument(
        "--op",
        choices=list(OPERATIONS),
        default=FORWARD,
        help="what of each problem to compute: the convolution (default), one of its two gradients, or the transposed"
        " convolution that makes its input's shape out of its output's",
    )
    parser.add_argument("--match", type=_pattern, metavar="RE", help="only problems whose name has a match for RE")
    parser.add_argument("--dtype", choices=list(DTYPE_SIZES), default="float32")
    parser.add_argument(
        "--rounds",
        type=_positive_integer,
        default=7,
        metavar="R",
        help="turns of every library at every problem (default 7)",
    )
    parser.add_argument(
        "--seconds",
        type=_positive_number,
        default=0.05,
        metavar="S",
        help="seconds of each turn (default 0.05)",
    )
    parser.add_argument(
        "--threads",
        type=_positive_integer,
        default=1,
        metavar="N",
        help="threads of each library (default 1)",
    )
    parser.add_argument(
        "--peers",
        type=_peers,
        default=tuple(PEERS),
        metavar="NAMES",
        help=f"libraries to compare with, with commas between (default {','.join(OTHERS)}; those that are not installed"
        " are left out)",
    )
    outputs = parser.add_mutually_exclusive_group()
    outputs.add_argument("--reuse", action="store_true", help="write to the same output again and again")
    outputs.add_argument("--fresh", dest="reuse", action="store_false", help="a fresh output for every call (default)")
    parser.add_argument("--quick", action="store_true", help="gemmconv alone, 3 rounds of 0.02 seconds")
    parser.add_argument(
        "--compare",
        metavar="FILE",
        help="show how fast gemmconv is beside the run whose --json is FILE; exit code 3 if it is slower in the mean",
    )
    parser.add_argument("--plot", metavar="FILE", help="draw the ratios and a roofline into FILE, which ends in .svg")
    parser.add_argument(
        "--scaling", action="store_true", help="time gemmconv.conv against threads, batch and sizes instead"
    )
    parser.add_argument("--json", metavar="FILE", help="write the results to FILE as well; - is standard output")
    parser.add_argument("--list", action="store_true", help="print the problems and do nothing else")


def _pattern(text: str) -> re.Pattern[str]:
    try:
        return re.compile(text)
    except re.error as error:
        raise argparse.ArgumentTypeError(f"{text!r} is no regular expression: {error}") from error


def _peers(text: str) -> tuple[str, ...]:
    names = [name for name in text.split(",") if name]
    for name in names:
        if name not in OTHERS:
            raise argparse.ArgumentTypeError(f"{name!r} is none of {', '.join(OTHERS)}")
    return (*OURS.values(), *names)


def _positive_integer(text: str) -> int:
    if not re.fullmatch("[0-9]+", text) or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number of at least 1")
    return int(text)


def _positive_number(text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not 0 < number < math.inf:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number above 0")
    return number
