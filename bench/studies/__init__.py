"""Studies of single questions, each a command of its own: ``python -m gemmconv.bench.studies.NAME``.

=====================  ===================================================================================
``algorithms.py``      does ``"auto"`` take the fastest way to compute?
``costs.py``           the rates of engine/rates.py, fitted to timings that ``algorithms.py`` saved
``accuracy.py``        the errors of the algorithms and of other libraries
``complex.py``         complex convolutions beside real ones
``matrices.py``        the convolution as a matrix: im2col, M and the operator
``without_avx512.py``  libraries that ask the processor for its instruction set, made to do without AVX-512
=====================  ===================================================================================
"""

from __future__ import annotations

import argparse

from ..problems import SUITES, Problem, load_suite


def make_parser(name: str, doc: str | None) -> argparse.ArgumentParser:
    """Return the parser of a study; its docstring begins with what it does, a colon, and the command."""
    what = (doc or "").partition(":")[0]
    return argparse.ArgumentParser(prog=f"python -m {__name__}.{name}", description=f"{what}.")


def add_suite_option(parser: argparse.ArgumentParser) -> None:
    """Declare ``--suite``."""
    parser.add_argument("--suite", choices=SUITES, action="append", help="one of the suites; may be repeated")


def chosen_problems(arguments: argparse.Namespace) -> list[Problem]:
    """Return the problems of the suites that were given, or of all."""
    return [problem for suite in arguments.suite or SUITES for problem in load_suite(suite)]
