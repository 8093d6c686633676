"""Another instruction set for a test; conftest.py restores the one before it. One test for all of them."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from itertools import product
from typing import Any

import numpy as np
import pytest

from gemmconv import _gemmconv
from gemmconv.engine import calls, phases
from gemmconv.numbers import integers, narrow

# Those to test: all that this machine has, up to that of GEMMCONV_ISA.
_SUPPORTED = _gemmconv.supported_isas()
ISAS = _SUPPORTED[: _SUPPORTED.index(_gemmconv.isa()) + 1]

_MODULES = calls, phases, integers, narrow
_CACHES = [function for module in _MODULES for function in vars(module).values() if hasattr(function, "cache_clear")]


def select_isa(isa: str) -> None:
    """Use the kernels of an instruction set, and forget what was chosen for another: costs differ."""
    if isa != _gemmconv.isa():
        _gemmconv.select_isa(isa)
        for cache in _CACHES:
            cache.cache_clear()


def once_for_all(test: Callable[..., None]) -> Callable[..., None]:
    """Call a test with every `isa` and `dtype` that it asks for, as one test; a failure has a note of which it was.

    With the fixtures of these names, pytest would make six tests. If a test takes a few milliseconds, pytest itself
    takes as long for each.
    """
    choices = {"isa": ISAS, "dtype": (np.dtype("float32"), np.dtype("float64"))}
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
            except pytest.skip.Exception as skipped:
                raise AssertionError("a test for all must not skip some") from skipped
            except Exception as error:
                error.add_note(", ".join(f"{name}: {value}" for name, value in chosen.items()))
                raise

    rest = [parameter for name, parameter in parameters.items() if name not in asked]
    for_each.__signature__ = inspect.Signature(rest)  # what pytest sees
    return for_each
