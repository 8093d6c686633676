"""Another instruction set for a test; conftest.py restores the one before it. One test for all of them."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from itertools import product
from typing import Any

import numpy as np

from gemmconv import _gemmconv
from gemmconv.engine import calls, phases

_CACHES = [
    function for module in (calls, phases) for function in vars(module).values() if hasattr(function, "cache_clear")
]


def select_isa(isa: str) -> None:
    """Use the kernels of an instruction set, and forget what was chosen for another: costs differ."""
    if isa != _gemmconv.isa():
        _gemmconv.select_isa(isa)
        for cache in _CACHES:
            cache.cache_clear()


def once_for_all(test: Callable[..., None]) -> Callable[..., None]:
    """Call a test with every `isa` and `dtype` that it asks for, as one test; a failure has a note of which it was.

    Of a test that takes a few milliseconds, the fixtures of these names would make six, each of which takes pytest as
    long again.
    """
    choices = {"dtype": (np.dtype("float32"), np.dtype("float64")), "isa": _gemmconv.supported_isas()}
    parameters = inspect.signature(test).parameters
    asked = {name: values for name, values in choices.items() if name in parameters}
    assert asked

    @functools.wraps(test)
    def for_each(**others: Any) -> None:
        for values in product(*asked.values()):
            chosen = dict(zip(asked, values))
            if "isa" in chosen:
                select_isa(chosen["isa"])
            try:
                test(**others, **chosen)
            except Exception as error:
                error.add_note(", ".join(f"{name}: {value}" for name, value in chosen.items()))
                raise

    rest = [parameter for name, parameter in parameters.items() if name not in asked]
    for_each.__signature__ = inspect.Signature(rest)  # what pytest sees
    return for_each
