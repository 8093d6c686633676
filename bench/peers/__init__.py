"""The libraries that are measured, one small module each, behind one interface.

To add a library, write a module with a function ``load(threads)`` that imports it, limits its
threads and returns a `Peer`, and enter it in `LOADERS`. A variant (weights laid out beforehand, another
algorithm) is another function and another entry.
"""

from __future__ import annotations

import pkgutil
from collections.abc import Callable
from typing import Protocol

from ..problems import Array, Problem

#: The library under test, and the one its ratio is taken against.
OURS = "gemmconv"
RIVAL = "torch"

#: Name of a peer -> where its loader is; the order of the names is that of the columns.
LOADERS = {
    OURS: f"{__name__}.gemmconv_functions:load",
    RIVAL: f"{__name__}.pytorch:load",
    "numpy": f"{__name__}.numpy_windows:load",
}


class UnsupportedError(Exception):
    """Raised by `Peer.prepare` for a problem that the library cannot, or should not, compute."""


class Peer(Protocol):
    """One library, imported and limited to its number of threads."""

    def version(self) -> str:
        """Return the version of the library."""

    def prepare(self, problem: Problem, x: Array, weight: Array) -> Callable[[], Array]:
        """Do everything that is not to be timed.

        Parameters
        ----------
        problem : Problem
            The geometry.
        x, weight : ndarray
            The data, C-contiguous, of the dtype to compute in.

        Returns
        -------
        callable
            Each call computes the convolution once and returns it as a fresh array of shape
            `problem.output_shape`.

        Raises
        ------
        UnsupportedError
            If the library cannot compute this problem; the message says why.
        """


def load_peer(name: str, threads: int) -> Peer:
    """Import a library.

    Parameters
    ----------
    name : str
        A key of `LOADERS`, or any ``module:function``.
    threads : int
        How many threads the library may use.

    Returns
    -------
    Peer
    """
    loader: Callable[[int], Peer] = pkgutil.resolve_name(LOADERS.get(name, name))
    return loader(threads)
