"""Another instruction set for a test; conftest.py restores the one before it."""

from __future__ import annotations

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
