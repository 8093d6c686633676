"""Compares the errors of the algorithms, and of other libraries: ``python -m gemmconv.bench.studies.accuracy``.

Each of them computes, in float32, those 3x3 layers of the suites that Winograd's algorithm can compute. The results are
compared with one in float64.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np

import gemmconv
from gemmconv.checks.geometry import Geometry
from gemmconv.checks.options import ALGORITHMS
from gemmconv.engine.algorithms import defined_algorithms

from ..operations import FORWARD
from ..peers import Peer, UnsupportedError, load_peer
from ..problems import Array, Problem
from . import add_suite_option, chosen_problems, make_parser

UNIT = 1e-7
OTHERS = ("torch", "ncnn")


def with_spike(x: Array) -> Array:
    """Return x with one pixel in the middle multiplied by a million."""
    x[..., x.shape[2] // 2, x.shape[3] // 2] *= 1e6
    return x


#: What the inputs may be like: a function of normally distributed numbers.
INPUTS: dict[str, Callable[[Array], Array]] = {
    "normal": lambda x: x,
    "positive": lambda x: np.maximum(x, 0),
    "mean": lambda x: x + 100,
    "smooth": lambda x: x.cumsum(axis=2).cumsum(axis=3),
    "range": lambda x: np.sign(x) * abs(x) ** 5,
    "spike": with_spike,
}

#: What computes a problem: from the problem, x and weight.
Rival = Callable[[Problem, Array, Array], Array]


def by_algorithm(algorithm: str, problem: Problem, x: Array, weight: Array) -> Array:
    """Compute by one of gemmconv's algorithms."""
    return gemmconv.conv(x, weight, **problem.options, algorithm=algorithm)


def by_peer(peer: Peer, problem: Problem, x: Array, weight: Array) -> Array:
    """Compute by another library."""
    return np.asarray(peer.prepare[FORWARD](problem, x, weight, False)())


def load_rivals(others: list[str], threads: int) -> dict[str, Rival]:
    """Return the algorithms and those other libraries that are installed."""
    gemmconv.set_num_threads(threads)
    rivals: dict[str, Rival] = {name: partial(by_algorithm, name) for name in ALGORITHMS}
    for name in others:
        try:
            peer = load_peer(name, threads)
        except ImportError:
            print(f"{name} is not installed")
            continue
        rivals[name] = partial(by_peer, peer)
    return rivals


def has_winograd(problem: Problem) -> bool:
    """Tell whether Winograd's algorithm can compute a problem of a kernel of 3x3."""
    geometry = Geometry.from_shapes(problem.input_shape, problem.weight_shape, **problem.options)
    return problem.kernel_size == (3, 3) and "winograd" in defined_algorithms(geometry)


def errors_of(rivals: dict[str, Rival], problem: Problem, kind: str) -> dict[str, tuple[float, float]]:
    """Return the root mean square and the largest of the errors of each, relative to the output's root mean square."""
    x, weight = problem.arrays("float32")
    x = INPUTS[kind](x)
    exact = by_algorithm("gemm", problem, x.astype(np.float64), weight.astype(np.float64))
    scale = np.sqrt(np.mean(exact**2))
    errors = {}
    for name, compute in rivals.items():
        try:
            error = compute(problem, x, weight) - exact
        except UnsupportedError:
            continue
        errors[name] = float(np.sqrt(np.mean(error**2)) / scale), float(abs(error).max() / scale)
    return errors


def line_of(problem: Problem, rivals: dict[str, Rival], errors: dict[str, tuple[float, float]]) -> str:
    """Return a row of the table."""
    shape = f"{problem.in_channels} to {problem.out_channels}, {' x '.join(map(str, problem.output_size))}"
    shape += f", {problem.groups} groups" if problem.groups > 1 else ""
    cells = [f"{errors[name][0] / UNIT:.2f}, {errors[name][1] / UNIT:.0f}" if name in errors else "" for name in rivals]
    return f"| {' | '.join([problem.name, shape, *cells])} |"


def main() -> None:
    """Print the table, in Markdown."""
    parser = make_parser("accuracy", __doc__)
    add_suite_option(parser)
    parser.add_argument("--peers", default=",".join(OTHERS), help="other libraries, with commas; default: %(default)s")
    parser.add_argument("--input", choices=INPUTS, default="normal", help="what it is like; default: %(default)s")
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()

    rivals = load_rivals([name for name in arguments.peers.split(",") if name], arguments.threads)
    problems = [problem for problem in chosen_problems(arguments) if has_winograd(problem)]
    if not problems:
        parser.error("there is no layer of 3x3 with stride 1")
    print(f"Errors in units of {UNIT:.0e} of the output's root mean square: their root mean square, and the largest.\n")
    print(f"| {' | '.join(['layer', 'channels, outputs', *rivals])} |\n|{'---|' * (len(rivals) + 2)}")
    ratios = []
    for problem in problems:
        errors = errors_of(rivals, problem, arguments.input)
        ratios.append(errors["winograd"][0] / errors["gemm"][0])
        print(line_of(problem, rivals, errors), flush=True)
    typical = np.exp(np.mean(np.log(ratios)))
    print(f"\nwinograd's root mean square is {typical:.1f} times that of gemm in the geometric mean over the layers,")
    print(f"from {min(ratios):.1f} to {max(ratios):.1f} times.")


if __name__ == "__main__":
    main()
