"""The libraries that are measured, one small module each, behind one interface.

To add a library, write a module with a function ``load(threads)`` that imports it, limits its
threads and returns a `Peer`, and enter it in `PEERS`. A variant (weights laid out beforehand, another
layout) is another function and another entry.
"""

from __future__ import annotations

import pkgutil
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from numpy.typing import ArrayLike

from ..operations import OPERATIONS
from ..problems import CHANNELS_LAST, Array, Problem

#: What a library gets: plain arrays and weights on every call, or weights (and layouts) beforehand.
FUNCTIONAL, PREPARED = KINDS = ("functional", "prepared")

#: Our own entries, which are compared with the others of their kind.
OURS = {FUNCTIONAL: "gemmconv", PREPARED: "plan"}

#: What arrays are like: plain ones, the channels before the axes of the image, or those of a layout that the library
#: prefers. To convert an array from one to the other is not timed.
NCHW, OWN_LAYOUT = "NCHW", "own layout"

#: Computes an operation once and returns its result: an array, or something that `np.asarray` makes into one, which is
#: not timed.
Call = Callable[[], ArrayLike]

#: Does everything that is not to be timed, and returns the call to be timed. It gets the problem, the two operands of
#: the operation, C-contiguous and of the dtype to compute in, and `reuse`. The result of each call is a fresh array,
#: unless `reuse` is True and the library can write to the same one again and again, or it is `Unread`. It raises
#: UnsupportedError, saying why, for a problem that the library cannot, or should not, compute.
Prepare = Callable[[Problem, Array, Array, bool], Call]


class Entry(NamedTuple):
    """One way to use one library: the function that loads it, ``module:function``, its kind, and its arrays' layout."""

    loader: str
    kind: str
    layout: str
    channels_last: bool
    """Whether it also computes, in its own way, with arrays whose channels are last."""


def _entry(loader: str, kind: str, layout: str = NCHW, channels_last: bool = False) -> Entry:
    return Entry(f"{__name__}.{loader}", kind, layout, channels_last)


#: Name of a peer -> how it is loaded; the order of the names is that of the columns.
PEERS = {
    OURS[FUNCTIONAL]: _entry("gemmconv_functions:load", FUNCTIONAL, channels_last=True),
    OURS[PREPARED]: _entry("gemmconv_functions:load_plan", PREPARED, channels_last=True),
    "torch": _entry("pytorch:load", FUNCTIONAL, channels_last=True),
    "torch_cl": _entry("pytorch:load_channels_last", PREPARED, OWN_LAYOUT, channels_last=True),
    "torch_pp": _entry("pytorch:load_prepacked", PREPARED, OWN_LAYOUT, channels_last=True),
    "onnxruntime": _entry("onnx_runtime:load", PREPARED),
    "openvino": _entry("openvino_runtime:load", PREPARED),
    "ncnn": _entry("ncnn_network:load", PREPARED),
    "litert": _entry("litert_model:load", PREPARED, OWN_LAYOUT, channels_last=True),
    "mnn": _entry("mnn_module:load", PREPARED),
    "mnn_c4": _entry("mnn_module:load_own_layout", PREPARED, OWN_LAYOUT),
    "jax": _entry("jax_lax:load", FUNCTIONAL, channels_last=True),
    "opencv": _entry("opencv_filter:load", FUNCTIONAL),
    "scipy": _entry("scipy_signal:load", FUNCTIONAL),
    "numpy": _entry("numpy_windows:load", FUNCTIONAL),
}


def entry_of(name: str) -> Entry:
    """Return how a peer is used; ``module:function`` is functional and takes every layout."""
    return PEERS.get(name, Entry(name, FUNCTIONAL, NCHW, True))


def why_left_out(name: str, layout: str) -> str | None:
    """Say why a library has no part in a run with arrays of a layout; None if it has."""
    takes_part = layout != CHANNELS_LAST or entry_of(name).channels_last
    return None if takes_part else "it has no convolution of its own with the channels last"


class Group(NamedTuple):
    """Libraries that are compared: all of a kind, or those of them whose arrays have a layout."""

    kind: str
    layout: str | None = None

    def has(self, name: str) -> bool:
        """Whether a peer belongs to it."""
        entry = entry_of(name)
        return entry.kind == self.kind and self.layout in (None, entry.layout)


#: Name of a group, as in the JSON -> the group. Those named after a kind have every library of it.
GROUPS = {kind: Group(kind) for kind in KINDS} | {
    "prepared_nchw": Group(PREPARED, NCHW),
    "prepared_own_layout": Group(PREPARED, OWN_LAYOUT),
}


class UnsupportedError(Exception):
    """The library cannot, or should not, compute a problem; the message says why."""


def refuse_other_types(array: Array, *names: str) -> None:
    """Raise UnsupportedError unless the type of an array is one of some."""
    if array.dtype.name not in names:
        raise UnsupportedError(f"it does not compute in {array.dtype}")


class Unread:
    """A result that a library keeps to itself, or in a layout of its own; `read` makes an array of it."""

    def __init__(self, read: Callable[[], Array]) -> None:
        self.read = read

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Array:
        """Return a new array, which is what `np.asarray` asks for."""
        return self.read()


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
    loader: Callable[[int], Peer] = pkgutil.resolve_name(entry_of(name).loader)
    return loader(threads)
