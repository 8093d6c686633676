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
    """Refuse what gemmconv does not have: more than one thread."""
    if threads != 1:
        raise ValueError(f"gemmconv computes with one thread, not with {threads}")
    return GemmconvFunctions()
