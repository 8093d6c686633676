"""Environment variables: what a user may set before gemmconv is imported.

A value that makes no sense does not make the import fail. A warning says what is wrong, and what is used instead.
"""

from __future__ import annotations

import os
import re
import warnings
from collections.abc import Sequence

# The names of the variables.
NUM_THREADS = "GEMMCONV_NUM_THREADS"
ISA = "GEMMCONV_ISA"
CACHES = "GEMMCONV_CACHES"

# The instruction sets that gemmconv has kernels for, slowest first. A machine may have fewer.
INSTRUCTION_SETS = ("baseline", "avx2", "avx512")

UNITS = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30}
# The size of the largest cache that may be asked for, in bytes: kernels count in 64-bit integers.
LARGEST_CACHE = 1 << 40


def value_of(variable: str) -> str:
    """Return the value of a variable, which is empty if it is not set."""
    return os.environ.get(variable, "").strip()


def warn(variable: str, wrong: str, instead: str) -> None:
    """Warn that a variable has a value of no use, and say what is used instead."""
    text = f"{variable}={value_of(variable)[:100]!r} {wrong}; {instead}"
    warnings.warn_explicit(text, RuntimeWarning, "environment", 0)  # no line of code is to blame


def number_of_threads(default: int, most: int) -> int:
    """Return the number of threads that GEMMCONV_NUM_THREADS asks for, or the default."""
    text = value_of(NUM_THREADS)
    if not text:
        return default
    if not re.fullmatch(r"[0-9]+", text) or not text.strip("0"):
        warn(NUM_THREADS, f"is not a number from 1 to {most}", f"the default of {default} is used")
        return default
    digits = text.lstrip("0")
    if len(digits) > len(str(most)) or int(digits) > most:
        warn(NUM_THREADS, f"is not a number from 1 to {most}", f"{most} threads are used")
        return most
    return int(digits)


def instruction_set(supported: Sequence[str]) -> str:
    """Return the instruction set that GEMMCONV_ISA asks for, or the fastest of those that the machine supports."""
    name, best = value_of(ISA).lower(), supported[-1]
    if not name or name in supported:
        return name or best
    if name in INSTRUCTION_SETS:
        warn(ISA, f"is not supported by this machine, which has {', '.join(supported)}", f"{best} is used")
    else:
        warn(ISA, f"is not one of {', '.join(INSTRUCTION_SETS)}", f"{best} is used")
    return best


def cache_sizes() -> list[int]:
    """Return the three sizes in bytes that GEMMCONV_CACHES names, or an empty list."""
    text = value_of(CACHES)
    if not text:
        return []
    sizes = [bytes_of(word) for word in text.split(",")]
    if len(sizes) == 3 and all(0 < size <= LARGEST_CACHE for size in sizes):
        return sizes
    warn(
        CACHES,
        "is not the sizes of three caches, such as 32K,512K,16M, of at most 1024G each",
        "the sizes that the system tells are used",
    )
    return []


def bytes_of(text: str) -> int:
    """Return the number of bytes that a text such as 512K means, or 0."""
    match = re.fullmatch(r"([0-9]{1,15})([KMG]?)", text.strip().upper())
    return int(match[1]) * UNITS[match[2]] if match else 0
