"""What `gemmconv bench` does, from its arguments to its exit code; `arguments.py` declares them."""

from __future__ import annotations

import argparse
import importlib.util
import json
import platform
import re
import sys
from pathlib import Path
from typing import Any, TextIO

from .arguments import ALL, DTYPE_SIZES
from .comparison import check_arguments, read_results
from .operations import FORWARD
from .peers import OURS
from .problems import SUITES, Problem, load_suite
from .results import Results

STANDARD_OUTPUT = "-"

SLOWER = 3

# 128 + SIGINT, as shells have it.
INTERRUPTED = 130


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
        3 if it is slower than in the run to compare with; 130 if interrupted.
    """
    if arguments.scaling:
        if arguments.op != FORWARD:
            return _refuse(f"--scaling times the convolution alone, and so has no --op {arguments.op}")
        from .scaling import run_scaling

        run_scaling(arguments.dtype, arguments.seconds, sys.stdout)
        return 0
    if arguments.quick:
        arguments.peers, arguments.rounds, arguments.seconds = tuple(OURS.values()), 3, 0.02
    problems = select_problems(arguments.suite, arguments.match)
    if not problems:
        return _refuse(
            f"--match {arguments.match.pattern!r} matches no problem of --suite {arguments.suite};"
            " gemmconv bench --list prints their names"
        )
    if arguments.list:
        print_problems(problems, sys.stdout)
        return 0
    earlier = None
    try:
        if arguments.compare:
            earlier = read_results(arguments.compare)
            check_arguments(earlier, vars(arguments))
        check_files(arguments)
    except ValueError as error:
        return _refuse(str(error))
    results = measure_all(problems, arguments)
    to_file = arguments.json not in (None, STANDARD_OUTPUT)
    if to_file:
        with Path(arguments.json).open("w", encoding="utf-8") as file:
            write_json(results, file)
    if arguments.json == STANDARD_OUTPUT:
        write_json(results, sys.stdout)
    else:
        print_report(results, sys.stdout)
    if arguments.plot and results.rows:
        from .plots import plot_results

        plot_results(results, arguments.plot)
    if not results.complete:
        return INTERRUPTED
    if not results.ours_is_right:
        return 1
    return compare_with(earlier, results) if earlier else 0


def check_files(arguments: argparse.Namespace) -> None:
    """Raise ValueError unless the files to be written can be: better now than after the run.

    Parameters
    ----------
    arguments : argparse.Namespace
        What the options became.
    """
    if arguments.plot:
        if not arguments.plot.endswith(".svg"):
            raise ValueError(f"--plot writes SVG: the name of its file must end in .svg, not {arguments.plot!r}")
        if importlib.util.find_spec("matplotlib") is None:
            raise ValueError('--plot needs matplotlib: pip install "gemmconv[peers]"')
    for file in (arguments.json, arguments.plot):
        if file not in (None, STANDARD_OUTPUT):
            try:
                Path(file).open("a", encoding="utf-8").close()  # which keeps what is there until then
            except OSError as error:
                raise ValueError(f"cannot write to {file}: {error.strerror}") from error


def compare_with(earlier: dict[str, Any], results: Results) -> int:
    """Print the run beside an earlier one.

    Parameters
    ----------
    earlier : dict
        The JSON of that.
    results : Results
        The run.

    Returns
    -------
    int
        0; 2 if they have no problem in common; 3 if gemmconv is slower now.
    """
    from .comparison import changes, is_slower, make_table
    from .terminal import show_table

    found = changes(earlier, results)
    if not found:
        return _refuse("the run to compare with has none of these problems")
    print(file=sys.stdout)
    show_table(make_table(results.op, found), sys.stdout)
    return SLOWER if is_slower(found) else 0


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

    settings = Settings(
        arguments.peers,
        arguments.dtype,
        arguments.rounds,
        arguments.seconds,
        arguments.threads,
        arguments.reuse,
        arguments.op,
    )
    results = Results(
        machine={},
        versions={},
        arguments={
            "op": settings.op,
            "suite": arguments.suite,
            "match": arguments.match.pattern if arguments.match else None,
            "dtype": settings.dtype,
            "rounds": settings.rounds,
            "seconds": settings.seconds,
            "threads": settings.threads,
            "reuse": settings.reuse,
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

    from .machine import cpu_name, measure_bandwidth, measure_peak, usable_processors, versions

    results.versions = versions()
    results.machine = {
        "cpu": cpu_name(),
        "platform": platform.platform(),
        "processors": usable_processors(),
        "instruction_set": _gemmconv.isa(),
        "peak_gflops": threads * measure_peak(DTYPE_SIZES[dtype]) / 1e9,
        "bandwidth_gbytes": measure_bandwidth(threads) / 1e9,
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
    for line in (*make_notes(results), make_legend()):
        print(line, file=stream)
