"""The libraries that are measured, one small module each, behind one interface.

To add a library, write a module with a function ``load(threads)`` that imports it, limits its
threads and returns a `Peer`, and enter it in `PEERS`. A variant (weights laid out beforehand, another
layout) is another function and another entry.
"""

from __future__ import annotations

import pkgutil
from collections.abc import Callable
from typing import NamedTuple, Protocol

from ..operations import FORWARD, OPERATIONS
from ..problems import Array, Problem

#: What a library gets: plain arrays and weights on every call, or weights (and layouts) beforehand.
FUNCTIONAL, PREPARED = KINDS = ("functional", "prepared")

#: Our own entries, which are compared with the others of their kind.
OURS = {FUNCTIONAL: "gemmconv", PREPARED: "plan"}


class Entry(NamedTuple):
    """One way to use one library."""

    loader: str
    kind: str


def _entry(loader: str, kind: str) -> Entry:
    return Entry(f"{__name__}.{loader}", kind)


#: Name of a peer -> how it is loaded; the order of the names is that of the columns.
PEERS = {
    OURS[FUNCTIONAL]: _entry("gemmconv_functions:load", FUNCTIONAL),
    OURS[PREPARED]: _entry("gemmconv_functions:load_plan", PREPARED),
    "torch": _entry("pytorch:load", FUNCTIONAL),
    "torch_cl": _entry("pytorch:load_channels_last", PREPARED),
    "torch_pp": _entry("pytorch:load_prepacked", PREPARED),
    "onnxruntime": _entry("onnx_runtime:load", PREPARED),
    "openvino": _entry("openvino_runtime:load", PREPARED),
    "ncnn": _entry("ncnn_network:load", PREPARED),
    "jax": _entry("jax_lax:load", FUNCTIONAL),
    "opencv": _entry("opencv_filter:load", FUNCTIONAL),
    "scipy": _entry("scipy_signal:load", FUNCTIONAL),
    "numpy": _entry("numpy_windows:load", FUNCTIONAL),
}


def kind_of(name: str) -> str:
    """Return the kind of a peer; ``module:function`` is functional."""
    return PEERS[name].kind if name in PEERS else FUNCTIONAL


class UnsupportedError(Exception):
    """Raised by `Peer.prepare` for a problem that the library cannot, or should not, compute."""


class Peer(Protocol):
    """One library, imported and limited to its number of threads.

    Those that compute another operation than the convolution have a method for it as well, with the same arguments
    except that `x` and `weight` are the operands of that operation: ``prepare_input_gradient(problem, grad_output,
    weight, reuse)``, ``prepare_weight_gradient(problem, grad_output, x, reuse)`` and ``prepare_transpose(problem, x,
    weight, reuse)``, where `x` has the shape of the output of `problem` and the result that of its input.
    """

    def version(self) -> str:
        """Return the version of the library."""

    def prepare(self, problem: Problem, x: Array, weight: Array, reuse: bool) -> Callable[[], Array]:
        """Do everything that is not to be timed.

        Parameters
        ----------
        problem : Problem
            The geometry.
        x, weight : ndarray
            The data, C-contiguous, of the dtype to compute in.
        reuse : bool
            Whether all calls may write to the same output, where the library can do that.

        Returns
        -------
        callable
            Each call computes the convolution once and returns it as an array of shape
            `problem.output_shape`, a fresh one unless `reuse`.

        Raises
        ------
        UnsupportedError
            If the library cannot compute this problem; the message says why.
        """


def prepare(peer: Peer, op: str, problem: Problem, dtype: str, reuse: bool) -> Callable[[], Array]:
    """Make the data of an operation and have a library do everything that is not to be timed.

    Parameters
    ----------
    peer : Peer
        The library.
    op : str
        A key of `OPERATIONS`.
    problem : Problem
        The geometry.
    dtype : str
        ``"float32"`` or ``"float64"``.
    reuse : bool
        Whether all calls may write to the same output.

    Returns
    -------
    callable
        As `Peer.prepare` does.

    Raises
    ------
    UnsupportedError
        If the library does not compute that.
    """
    method = getattr(peer, "prepare" if op == FORWARD else f"prepare_{op}", None)
    if method is None:
        raise UnsupportedError(f"it has no {OPERATIONS[op].what}")
    call: Callable[[], Array] = method(problem, *OPERATIONS[op].arrays(problem, dtype), reuse)
    return call


def load_peer(name: str, threads: int) -> Peer:
    """Import a library.

    Parameters
    ----------
    name : str
        A key of `PEERS`, or any ``module:function``.
    threads : int
        How many threads the library may use.

    Returns
    -------
    Peer
    """
    loader: Callable[[int], Peer] = pkgutil.resolve_name(PEERS[name].loader if name in PEERS else name)
    return loader(threads)
