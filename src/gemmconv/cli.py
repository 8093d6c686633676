"""The command `gemmconv`: ``gemmconv info``, ``gemmconv bench``, ``gemmconv --version``.

Only the arguments and ``info`` live here; the benchmark is in `gemmconv.bench`. Exit codes: 0 all
is well, 1 it is not, 2 the command makes no sense, 130 interrupted. Data go to standard output,
everything else to standard error.
"""

from __future__ import annotations

import argparse
import importlib
import os
import platform
import sys
from collections.abc import Mapping, Sequence
from typing import Any

import gemmconv


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command.

    Parameters
    ----------
    arguments : sequence of str, optional
        The command line without the name of the program.

    Returns
    -------
    int
        The exit code.
    """
    options = make_parser().parse_args(arguments)
    try:
        code: int = options.run(options)
        sys.stdout.flush()
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        # Whoever read our output has gone (`| head`); the rest of it must not fail again at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    return code


def make_parser() -> argparse.ArgumentParser:
    """Declare the arguments.

    Returns
    -------
    argparse.ArgumentParser
        Each subcommand leaves its function in ``run``.
    """
    parser = argparse.ArgumentParser(
        prog="gemmconv", description="Convolutions of NumPy arrays as matrix multiplications."
    )
    parser.add_argument("--version", action="version", version=f"gemmconv {gemmconv.__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    info = commands.add_parser(
        "info",
        help="versions, processor, BLAS, threads",
        description="Print what gemmconv runs on.",
    )
    info.set_defaults(run=run_info)

    # By name: they lie elsewhere in the repository, where type checkers do not find them.
    options, command = (importlib.import_module(f"gemmconv.bench.{name}") for name in ("arguments", "command"))
    bench = commands.add_parser(
        "bench",
        help="check and time convolutions of known networks",
        description="Check and time convolutions of known networks, beside PyTorch and NumPy.",
    )
    options.add_arguments(bench)
    bench.set_defaults(run=command.run)
    return parser


def run_info(_: argparse.Namespace) -> int:
    """Print what gemmconv runs on.

    Returns
    -------
    int
        0.
    """
    terminal = importlib.import_module("gemmconv.bench.terminal")
    rows = [[terminal.Cell(name), terminal.Cell(text)] for name, text in collect_info()]
    terminal.show_table(terminal.Table("", [], rows, justify="left"), sys.stdout)
    return 0


def collect_info() -> list[tuple[str, str]]:
    """Collect what gemmconv runs on.

    Returns
    -------
    list of (str, str)
        Name and text of each line.
    """
    from gemmconv import _gemmconv, threads
    from gemmconv.engine import blas

    machine = importlib.import_module("gemmconv.bench.machine")
    lines = [*machine.versions().items()]
    lines.append(("platform", platform.platform()))
    lines.append(("processor", f"{machine.cpu_name()}, {machine.usable_processors()} usable"))
    isas = ", ".join(_gemmconv.supported_isas())
    lines.append(("instruction sets", f"{isas}; active: {_gemmconv.isa()}"))
    libraries = blas.scipy_blas_info()
    lines += [("BLAS of SciPy", describe_blas(library)) for library in libraries]
    if not libraries:
        lines.append(("BLAS of SciPy", "not one that threadpoolctl knows"))
    lines.append(("threads of gemmconv", str(threads.get_num_threads())))
    return lines


def describe_blas(library: Mapping[str, Any]) -> str:
    """Put what threadpoolctl knows about a BLAS into one line.

    Parameters
    ----------
    library : mapping
        One element of `gemmconv.engine.blas.scipy_blas_info`.

    Returns
    -------
    str
    """
    parts = [
        f"{library['internal_api']} {library['version'] or ''}".strip(),
        library.get("architecture"),
        f"{library['num_threads']} {'thread' if library['num_threads'] == 1 else 'threads'}",
        library.get("threading_layer"),
        library["filepath"],
    ]
    return ", ".join(part for part in parts if part)
