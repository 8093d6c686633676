"""The options of `gemmconv bench`."""

from __future__ import annotations

import argparse
import math
import re

from .operations import FORWARD, OPERATIONS
from .peers import OURS, PEERS
from .problems import CHANNELS_FIRST, DTYPES, LAYOUTS, SUITES

ALL = "all"
OTHERS = tuple(name for name in PEERS if name not in OURS.values())


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options; `fill_in` sets those that depend on ``--quick``."""
    add = parser.add_argument
    add("--suite", choices=[*SUITES, ALL], default=ALL, help="network or collection (default all)")
    what = "the operation to time: the convolution (default), one of its two gradients, or the transposed convolution"
    what += " from its output's shape to its input's"
    add("--op", choices=list(OPERATIONS), default=FORWARD, help=what)
    add("--match", type=_pattern, metavar="RE", help="only problems whose name has a match for RE")
    add("--dtype", choices=list(DTYPES), default="float32", help="type of the operands (default float32)")
    layout = "where the channels of inputs and outputs are (default channels_first)"
    add("--layout", choices=LAYOUTS, default=CHANNELS_FIRST, help=layout)
    rounds = "turns of every library at every problem (default 7, quick 3)"
    add("--rounds", type=_positive_integer, metavar="R", help=rounds)
    add("--seconds", type=_positive_number, metavar="S", help="seconds of each turn (default 0.05, quick 0.02)")
    add("--threads", type=_positive_integer, default=1, metavar="N", help="threads of each library (default 1)")
    libraries = f"libraries to compare with, with commas between (default {','.join(OTHERS)}, quick none);"
    libraries += " those that are not installed are left out"
    add("--peers", type=_peers, metavar="NAMES", help=libraries)
    network = "time the layers of each network one after another, each with weights and buffers of its own"
    add("--network", action="store_true", help=network)
    outputs = parser.add_mutually_exclusive_group()
    outputs.add_argument("--reuse", action="store_true", help="write to the same output again and again")
    outputs.add_argument("--fresh", dest="reuse", action="store_false", help="a fresh output for every call (default)")
    add("--quick", action="store_true", help="other defaults: gemmconv alone, 3 rounds of 0.02 seconds")
    compare = "show how fast gemmconv is beside the run whose --json is FILE; exit code 3 if it is slower in the mean"
    add("--compare", metavar="FILE", help=compare)
    add("--plot", metavar="FILE", help="draw the ratios and a roofline into FILE, which ends in .svg")
    add("--scaling", action="store_true", help="time gemmconv against threads, batch, sizes and taps instead")
    add("--json", metavar="FILE", help="write the results to FILE as well; - is standard output")
    add("--list", action="store_true", help="print the problems and do nothing else")


def fill_in(arguments: argparse.Namespace) -> None:
    """Set the options that were not given and whose default depends on ``--quick``."""
    peers, rounds, seconds = (tuple(OURS.values()), 3, 0.02) if arguments.quick else (tuple(PEERS), 7, 0.05)
    for name, default in {"peers": peers, "rounds": rounds, "seconds": seconds}.items():
        if getattr(arguments, name) is None:
            setattr(arguments, name, default)


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
