"""The libraries that are measured, one small module each, behind one interface.

To add a library, write a module with a function ``load(threads)`` that imports it, limits its
threads and returns a `Peer`, and enter it in `PEERS`. A variant (weights laid out beforehand, another
layout) is another function and another entry.
"""

from __future__ import annotations

import pkgutil
from collections.abc import Callable, Mapping
from typing import NamedTuple

from ..operations import OPERATIONS
from ..problems import Array, Problem

#: What a library gets: plain arrays and weights on every call, or weights (and layouts) beforehand.
FUNCTIONAL, PREPARED = KINDS = ("functional", "prepared")

#: Our own entries, which are compared with the others of their kind.
OURS = {FUNCTIONAL: "gemmconv", PREPARED: "plan"}

#: Computes an operation once and returns its result.
Call = Callable[[], Array]

#: Does everything that is not to be timed, and returns the call to be timed. It gets the problem, the two operands of
#: the operation, C-contiguous and of the dtype to compute in, and `reuse`. The result of each call is a fresh array,
#: unless `reuse` is True and the library can write to the same one again and again. It raises UnsupportedError, saying
#: why, for a problem that the library cannot, or should not, compute.
Prepare = Callable[[Problem, Array, Array, bool], Call]


class Entry(NamedTuple):
    """One way to use one library: the function that loads it, ``module:function``, and its kind."""

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
    """The library cannot, or should not, compute a problem; the message says why."""


class Peer(NamedTuple):
    """One library, imported and limited to its number of threads."""

    version: str
    prepare: Mapping[str, Prepare]
    """The functions by the name of the operation; one that is not there is not computed by the library."""


def prepare(peer: Peer, op: str, problem: Problem, dtype: str, reuse: bool) -> Call:
    """Make the data of an operation and have a library do everything that is not to be timed.

    Raise UnsupportedError if the library does not compute that.
    """
    if op not in peer.prepare:
        raise UnsupportedError(f"it has no {OPERATIONS[op].what}")
    return peer.prepare[op](problem, *OPERATIONS[op].arrays(problem, dtype), reuse)


def load_peer(name: str, threads: int) -> Peer:
    """Import a library: a key of `PEERS`, or any ``module:function``."""
    loader: Callable[[int], Peer] = pkgutil.resolve_name(PEERS[name].loader if name in PEERS else name)
    return loader(threads)
