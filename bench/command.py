"""What `gemmconv bench` does, from its arguments to its exit code; `arguments.py` declares them.

Modules that ``--help`` and ``--list`` do not need are imported where they are used.
"""

from __future__ import annotations

import argparse
import importlib.util
import itertools
import json
import platform
import re
import sys
from dataclasses import asdict, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

import numpy as np

from .arguments import ALL, OTHERS, fill_in
from .comparison import changes, check_arguments, make_table, read_results, why_slower
from .environment import read_environment
from .operations import FORWARD
from .peers import why_left_out
from .problems import CHANNELS_FIRST, CHANNELS_LAST, DTYPES, SUITES, Problem, load_suite
from .results import Results
from .terminal import Progress, show_progress, show_table

if TYPE_CHECKING:
    from .process import Session

STANDARD_OUTPUT = "-"

# What options have that are not given, if it is not None.
DEFAULTS = {
    "suite": ALL,
    "op": FORWARD,
    "layout": CHANNELS_FIRST,
    "threads": 1,
    "network": False,
    "reuse": False,
    "quick": False,
}

# Exit codes. That of an interruption is 128 + SIGINT, as shells have it.
SENSELESS = 2
SLOWER = 3
INTERRUPTED = 130


def run(arguments: argparse.Namespace) -> int:
    """Run the benchmark with the options of `add_arguments`, and return its exit code.

    It is 0 if all is well; 1 if gemmconv computed something wrongly or not at all; 2 if the arguments make no sense; 3
    if gemmconv is slower than in the run to compare with; 130 if the run was interrupted.
    """
    try:
        check_arrays(arguments)
    except ValueError as error:
        return _refuse(str(error))
    if arguments.scaling:
        if option := without_effect(arguments):
            return _refuse(f"--scaling has no --{option}: it has its own problems, operations, rounds and threads")
        fill_in(arguments)
        return time_series(arguments)
    fill_in(arguments)
    problems = select_problems(arguments)
    if not problems:
        option = f"--match {arguments.match.pattern!r}" if arguments.match else "--network"
        what = "layer of a network" if arguments.network else "problem"
        return _refuse(
            f"{option} matches no {what} of --suite {arguments.suite}; gemmconv bench --list prints their names"
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
    write_results(results, arguments)
    if not results.complete:
        return INTERRUPTED
    if not results.ours_is_right:
        return 1
    # JSON on standard output stays alone there.
    stream = sys.stderr if arguments.json == STANDARD_OUTPUT else sys.stdout
    return compare_with(earlier, results, stream) if earlier else 0


def without_effect(arguments: argparse.Namespace) -> str | None:
    """Return an option that was given but means nothing to ``--scaling``, or None."""
    for option in ("suite", "op", "layout", "threads", "peers", "rounds", "network", "reuse", "quick", "compare"):
        if getattr(arguments, option) != DEFAULTS.get(option):
            return option
    return None


def time_series(arguments: argparse.Namespace) -> int:
    """Time convolutions against one quantity at a time, and return the exit code."""
    from .scaling import run_scaling, select_series

    chosen = select_series(arguments.match)
    if not chosen:
        return _refuse(f"--match {arguments.match.pattern!r} matches no series; gemmconv bench --scaling runs all")
    if arguments.list:
        print("\n".join(series.title for series in chosen))
        return 0
    try:
        check_files(arguments)
    except ValueError as error:
        return _refuse(str(error))
    results = Results({}, {}, {"dtype": arguments.dtype, "seconds": arguments.seconds})
    describe_machine(results, arguments.dtype, 1)
    # JSON on standard output stays alone there.
    stream = sys.stderr if arguments.json == STANDARD_OUTPUT else sys.stdout
    curves = run_scaling(chosen, arguments.dtype, arguments.seconds, stream)
    if arguments.json:
        recorded = {"machine": results.machine, "versions": results.versions, "arguments": results.arguments}
        text = json.dumps(recorded | {"series": [curve.as_json() for curve in curves]}, allow_nan=False) + "\n"
        if arguments.json == STANDARD_OUTPUT:
            sys.stdout.write(text)
        else:
            Path(arguments.json).write_text(text, encoding="utf-8")
    if arguments.plot:
        from .plots import plot_curves

        title = f"{results.machine['cpu']}, {results.machine['instruction_set']}, {arguments.dtype}, one thread"
        plot_curves(curves, title, arguments.plot)
    return 0


def _refuse(message: str) -> int:
    print(f"gemmconv bench: error: {message}", file=sys.stderr)
    return SENSELESS


def check_arrays(arguments: argparse.Namespace) -> None:
    """Raise ValueError if the arrays cannot be made, or a library was asked for that does not take them."""
    if arguments.dtype == "bfloat16" and importlib.util.find_spec("ml_dtypes") is None:
        raise ValueError("--dtype bfloat16 needs ml_dtypes: pip install ml_dtypes")
    for peer in arguments.peers or ():
        if why := why_left_out(peer, arguments.layout):
            others = ",".join(name for name in OTHERS if not why_left_out(name, arguments.layout))
            raise ValueError(f"{peer} has no part in --layout {arguments.layout}: {why}; --peers may have {others}")


def check_files(arguments: argparse.Namespace) -> None:
    """Raise ValueError unless the files to be written can be: better now than after the run."""
    if arguments.network and (arguments.plot or arguments.compare):
        raise ValueError("--network has neither --plot nor --compare")
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


def select_problems(arguments: argparse.Namespace) -> list[Problem]:
    """Return the problems of a suite, or of all, whose names have a match; of a network, those that it has."""
    names = SUITES if arguments.suite == ALL else (arguments.suite,)
    pattern: re.Pattern[str] = arguments.match or re.compile("")
    return [
        replace(problem, channels_last=arguments.layout == CHANNELS_LAST)
        for name in names
        for problem in load_suite(name)
        if pattern.search(problem.name) and (problem.count or not arguments.network)
    ]


def print_problems(problems: list[Problem], stream: TextIO) -> None:
    """Print problems as a suite file has them."""
    for suite in dict.fromkeys(problem.suite for problem in problems):
        print(f"# {suite}", file=stream)
        for problem in problems:
            if problem.suite == suite:
                print(problem.line, file=stream)


def measure_all(problems: list[Problem], arguments: argparse.Namespace) -> Results:
    """Check and time problems with every library, showing progress on standard error.

    The results are not complete if the keyboard interrupted the run.
    """
    from .process import Session, Settings

    settings = Settings(**{field.name: getattr(arguments, field.name) for field in fields(Settings)})
    recorded = asdict(settings)
    del recorded["peers"]  # the results list the libraries
    match = arguments.match.pattern if arguments.match else None
    results = Results({}, {}, {"suite": arguments.suite, "match": match, "network": arguments.network, **recorded})
    try:
        with show_progress(len(problems), sys.stderr) as tell:
            tell(0, "measuring the peak of the machine")
            describe_machine(results, settings.dtype, settings.threads)
            tell(0, "starting the libraries")
            with Session(settings) as session:
                results.libraries = session.libraries
                if arguments.network:
                    measure_networks(session, problems, results, tell)
                else:
                    for done, problem in enumerate(problems):
                        tell(done, problem.name)
                        results.rows.append(session.measure(problem))
        results.complete = True
    except KeyboardInterrupt:
        print("gemmconv bench: interrupted", file=sys.stderr)
    return results


def measure_networks(session: Session, problems: list[Problem], results: Results, tell: Progress) -> None:
    """Time the problems of each suite one after another."""
    done = 0
    for suite, layers in itertools.groupby(problems, lambda problem: problem.suite):
        tell(done, suite)
        results.networks.append(session.measure_network(suite, list(layers)))
        done += len(results.networks[-1].problems)


def describe_machine(results: Results, dtype: str, threads: int) -> None:
    """Enter the machine and the versions into the results; the roofs are those of `threads` cores.

    An operation on complex numbers counts as one.
    """
    from gemmconv import _gemmconv
    from gemmconv.machine import cpu_name, versions
    from gemmconv.threads import usable_processors

    from .roofs import measure_bandwidth, measure_peak

    kind = DTYPES[dtype]
    peak = measure_peak(np.dtype(kind.real).itemsize) / kind.parts**2
    results.versions = versions()
    results.machine = {
        "cpu": cpu_name(),
        "platform": platform.platform(),
        "processors": usable_processors(),
        "instruction_set": _gemmconv.isa(),
        "peak_gflops": threads * peak / 1e9,
        "bandwidth_gbytes": measure_bandwidth(threads) / 1e9,
        "environment": read_environment(),
    }


def write_results(results: Results, arguments: argparse.Namespace) -> None:
    """Write the JSON and the picture that were asked for, and print the report unless the JSON is printed."""
    if arguments.json == STANDARD_OUTPUT:
        write_json(results, sys.stdout)
    else:
        if arguments.json:
            with Path(arguments.json).open("w", encoding="utf-8") as file:
                write_json(results, file)
        print_report(results, sys.stdout)
    if arguments.plot and results.rows:
        from .plots import plot_results

        plot_results(results, arguments.plot)


def write_json(results: Results, stream: TextIO) -> None:
    """Write the results as one JSON object."""
    json.dump(results.as_json(), stream, allow_nan=False)
    stream.write("\n")


def print_report(results: Results, stream: TextIO) -> None:
    """Print the tables and what must be said beside them."""
    from .report import make_heading, make_legend, make_notes, make_tables

    if not (results.rows or results.networks):
        return
    print(make_heading(results), file=stream)
    for table in make_tables(results):
        print(file=stream)
        show_table(table, stream)
    print(file=stream)
    for line in (*make_notes(results), make_legend()):
        print(line, file=stream)


def compare_with(earlier: dict[str, Any], results: Results, stream: TextIO) -> int:
    """Print the run beside the JSON of an earlier one, and return the exit code; no common problem makes no sense."""
    found = changes(earlier, results)
    if not found:
        return _refuse("the run to compare with has none of these problems")
    print(file=stream)
    show_table(make_table(results.op, found), stream)
    why = why_slower(found)
    if why:
        print(f"gemmconv bench: {why}", file=sys.stderr)
    return SLOWER if why else 0
