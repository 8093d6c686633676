"""What `gemmconv bench` does, from its arguments to its exit code."""

from __future__ import annotations

import argparse
import json
import math
import platform
import re
import sys
from pathlib import Path
from typing import TextIO

from .peers import LOADERS
from .problems import SUITES, Problem, load_suite
from .results import Results

ALL = "all"
DTYPE_SIZES = {"float32": 4, "float64": 8}
STANDARD_OUTPUT = "-"

# 128 + SIGINT, as shells have it.
INTERRUPTED = 130


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options.

    Parameters
    ----------
    parser : argparse.ArgumentParser
        The parser of the subcommand.
    """
    parser.add_argument("--suite", choices=[*SUITES, ALL], default=ALL, help="network or collection (default all)")
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
    parser.add_argument("--json", metavar="FILE", help="write the results to FILE as well; - is standard output")
    parser.add_argument("--list", action="store_true", help="print the problems and do nothing else")


def _pattern(text: str) -> re.Pattern[str]:
    try:
        return re.compile(text)
    except re.error as error:
        raise argparse.ArgumentTypeError(f"{text!r} is no regular expression: {error}") from error


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


def run(arguments: argparse.Namespace) -> int:
    """Run the benchmark.

    Parameters
    ----------
    arguments : argparse.Namespace
        What the options of `add_arguments` became.

    Returns
    -------
    int
        0; 1 if gemmconv computed something wrongly or not at all; 2 if the arguments make no sense;
        130 if interrupted.
    """
    problems = select_problems(arguments.suite, arguments.match)
    if not problems:
        return _refuse(
            f"--match {arguments.match.pattern!r} matches no problem of --suite {arguments.suite};"
            " gemmconv bench --list prints their names"
        )
    if arguments.list:
        print_problems(problems, sys.stdout)
        return 0
    to_file = arguments.json not in (None, STANDARD_OUTPUT)
    if to_file:
        try:
            # Better now than after the run. Appending keeps what is there until then.
            Path(arguments.json).open("a", encoding="utf-8").close()
        except OSError as error:
            return _refuse(f"cannot write to {arguments.json}: {error.strerror}")
    results = measure_all(problems, arguments)
    if to_file:
        with Path(arguments.json).open("w", encoding="utf-8") as file:
            write_json(results, file)
    if arguments.json == STANDARD_OUTPUT:
        write_json(results, sys.stdout)
    else:
        print_report(results, sys.stdout)
    if not results.complete:
        return INTERRUPTED
    return 0 if results.ours_is_right else 1


def _refuse(message: str) -> int:
    print(f"gemmconv bench: error: {message}", file=sys.stderr)
    return 2


def select_problems(suite: str, pattern: re.Pattern[str] | None) -> list[Problem]:
    """Find the problems to run.

    Parameters
    ----------
    suite : str
        One of `SUITES`, or `ALL`.
    pattern : re.Pattern or None
        What must match somewhere in the name.

    Returns
    -------
    list of Problem
    """
    names = SUITES if suite == ALL else (suite,)
    return [
        problem for name in names for problem in load_suite(name) if pattern is None or pattern.search(problem.name)
    ]


def print_problems(problems: list[Problem], stream: TextIO) -> None:
    """Print problems as a suite file has them.

    Parameters
    ----------
    problems : list of Problem
        The problems.
    stream : text file
        Where to.
    """
    for suite in dict.fromkeys(problem.suite for problem in problems):
        print(f"# {suite}", file=stream)
        for problem in problems:
            if problem.suite == suite:
                print(problem.line, file=stream)


def measure_all(problems: list[Problem], arguments: argparse.Namespace) -> Results:
    """Check and time problems with every library, showing progress on standard error.

    Parameters
    ----------
    problems : list of Problem
        The problems.
    arguments : argparse.Namespace
        What the options became.

    Returns
    -------
    Results
        Not complete if the keyboard interrupted the run.
    """
    # Imported here: `gemmconv bench --help` needs none of it.
    from .session import Session, Settings
    from .terminal import show_progress

    settings = Settings(tuple(LOADERS), arguments.dtype, arguments.rounds, arguments.seconds, arguments.threads)
    results = Results(
        machine={},
        versions={},
        arguments={
            "suite": arguments.suite,
            "match": arguments.match.pattern if arguments.match else None,
            "dtype": settings.dtype,
            "rounds": settings.rounds,
            "seconds": settings.seconds,
            "threads": settings.threads,
        },
    )
    try:
        with show_progress(len(problems), sys.stderr) as tell:
            tell(0, "measuring the peak of the machine")
            describe_machine(results, settings.dtype, settings.threads)
            tell(0, "starting the libraries")
            with Session(settings) as session:
                results.libraries = session.libraries
                for done, problem in enumerate(problems):
                    tell(done, problem.name)
                    results.rows.append(session.measure(problem))
        results.complete = True
    except KeyboardInterrupt:
        print("gemmconv bench: interrupted", file=sys.stderr)
    return results


def describe_machine(results: Results, dtype: str, threads: int) -> None:
    """Enter the machine and the versions into the results.

    Parameters
    ----------
    results : Results
        To be filled in.
    dtype : str
        What the peak is measured in.
    threads : int
        Of how many cores it is the peak.
    """
    from gemmconv import _gemmconv

    from .machine import cpu_name, measure_peak, usable_processors, versions

    results.versions = versions()
    results.machine = {
        "cpu": cpu_name(),
        "platform": platform.platform(),
        "processors": usable_processors(),
        "instruction_set": _gemmconv.isa(),
        "peak_gflops": threads * measure_peak(DTYPE_SIZES[dtype]) / 1e9,
    }


def write_json(results: Results, stream: TextIO) -> None:
    """Write the results as one JSON object.

    Parameters
    ----------
    results : Results
        The run.
    stream : text file
        Where to.
    """
    json.dump(results.as_json(), stream, allow_nan=False)
    stream.write("\n")


def print_report(results: Results, stream: TextIO) -> None:
    """Print the tables and what must be said beside them.

    Parameters
    ----------
    results : Results
        The run.
    stream : text file
        Where to.
    """
    from .report import make_heading, make_legend, make_notes, make_tables
    from .terminal import show_table

    if not results.rows:
        return
    print(make_heading(results), file=stream)
    for table in make_tables(results):
        print(file=stream)
        show_table(table, stream)
    print(file=stream)
    for line in (*make_notes(results), make_legend(results)):
        print(line, file=stream)
