"""gemmconv's function `conv`."""

from __future__ import annotations

from collections.abc import Callable

import gemmconv

from ..problems import Array, Problem
from . import Peer


class GemmconvFunctions:
    """`gemmconv.conv`."""

    def version(self) -> str:
        """Return the version of gemmconv."""
        return gemmconv.__version__

    def prepare(self, problem: Problem, x: Array, weight: Array) -> Callable[[], Array]:
        """Bind the arguments."""
        options = problem.options

        def call() -> Array:
            return gemmconv.conv(x, weight, **options)

        return call


def load(threads: int) -> Peer:
    """Set the number of threads."""
    gemmconv.set_num_threads(threads)
    return GemmconvFunctions()
