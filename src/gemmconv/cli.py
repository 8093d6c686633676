"""The command `gemmconv`: ``gemmconv info``, ``explain``, ``bench``, and ``gemmconv --version``.

``info`` is here. The others are imported only if they are asked for: ``explain`` from `gemmconv.explanation`, ``bench``
from `gemmconv.bench`. Exit codes: 0 all is well, 1 it is not, 2 the command makes no sense, 3 slower than the run to
compare with, 130 interrupted. Data go to standard output, everything else to standard error.
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
from gemmconv import machine


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
    words = sys.argv[1:] if arguments is None else arguments
    options = make_parser("bench" in words, "explain" in words).parse_args(words)
    try:
        code: int = options.run(options)
        sys.stdout.flush()
    except KeyboardInterrupt:
        return 130
    except OSError as error:
        # Whoever read our output has gone (`| head`), or there is no space for it.
        if not isinstance(error, BrokenPipeError):
            print(f"gemmconv: error: {error}", file=sys.stderr)
        # The rest of it must not fail again at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    return code


def make_parser(with_bench: bool, with_explain: bool = False) -> argparse.ArgumentParser:
    """Declare the commands, each of which leaves its function in ``run``; options only of those that are asked for."""
    parser = argparse.ArgumentParser(
        prog="gemmconv", description="Convolutions of NumPy arrays as matrix multiplications."
    )
    parser.add_argument("--version", action="version", version=f"gemmconv {gemmconv.__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    info = commands.add_parser(
        "info",
        help="versions, processor, caches, BLAS, threads",
        description="Print what gemmconv runs on.",
    )
    info.set_defaults(run=run_info)

    explain = commands.add_parser(
        "explain",
        help="the matrices and sums of a convolution of yours",
        description="Show one convolution with its own numbers: windows, matrices, and the sum of one output.",
    )
    if with_explain:
        from gemmconv.explanation import command as explanation

        explanation.add_arguments(explain)
        explain.set_defaults(run=explanation.run)

    bench = commands.add_parser(
        "bench",
        help="check and time convolutions of known networks",
        description="Check and time convolutions of known networks, with gemmconv and with other libraries.",
    )
    if with_bench:
        # By name: these modules are elsewhere in the repository, where type checkers do not find them.
        options, command = (importlib.import_module(f"gemmconv.bench.{name}") for name in ("arguments", "command"))
        options.add_arguments(bench)
        bench.set_defaults(run=command.run)
    return parser


def run_info(_: argparse.Namespace) -> int:
    """Print what gemmconv runs on."""
    lines = collect_info()
    width = max(len(name) for name, _ in lines)
    for name, text in lines:
        print(f"{name:{width}}  {text}")
    return 0


def collect_info() -> list[tuple[str, str]]:
    """Return the name and the text of each line of ``gemmconv info``."""
    from gemmconv import _gemmconv, threads
    from gemmconv.engine import blas

    isas = ", ".join(_gemmconv.supported_isas())
    libraries = [describe_blas(library) for library in blas.scipy_blas_info()]
    return [
        *machine.versions().items(),
        ("platform", platform.platform()),
        ("processor", f"{machine.cpu_name()}, {threads.usable_processors()} usable"),
        ("caches", describe_caches(machine.caches())),
        ("instruction sets", f"{isas}; active: {_gemmconv.isa()}"),
        *(("BLAS of SciPy", text) for text in libraries or ["not one that threadpoolctl knows"]),
        ("threads of gemmconv", str(threads.get_num_threads())),
    ]


def describe_caches(caches: machine.Caches) -> str:
    """Put the sizes of the caches into one line, the larger ones in MiB."""
    parts = []
    for name in ("l1", "l2", "l3"):
        size: int = getattr(caches, name)
        text = f"{size / 2**20:g} MiB" if size >= 2**20 else f"{size / 2**10:g} KiB"
        parts.append(f"{name.upper()} {text}" + " (assumed)" * (name in caches.assumed))
    return ", ".join(parts)


def describe_blas(library: Mapping[str, Any]) -> str:
    """Put what threadpoolctl knows about a BLAS, an element of `scipy_blas_info`, into one line."""
    parts = [
        f"{library['internal_api']} {library['version'] or ''}".strip(),
        library.get("architecture"),
        f"{library['num_threads']} {'thread' if library['num_threads'] == 1 else 'threads'}",
        library.get("threading_layer"),
        library["filepath"],
    ]
    return ", ".join(part for part in parts if part)
