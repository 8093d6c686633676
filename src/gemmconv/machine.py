"""What the library runs on: the processor and its caches, and the versions of Python and its packages."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import subprocess
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import NamedTuple

from . import environment


def cpu_name() -> str:
    """Return the name of the processor as the system gives it, or else the architecture."""
    finders = {"Linux": _cpu_name_linux, "Darwin": _cpu_name_macos}
    finder = finders.get(platform.system(), platform.processor)
    return finder() or platform.machine()


def _cpu_name_linux() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return ""
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, "")


def _cpu_name_macos() -> str:
    question = ["/usr/sbin/sysctl", "-n", "machdep.cpu.brand_string"]
    try:
        return subprocess.run(question, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return ""


class Caches(NamedTuple):
    """The sizes of the caches in bytes: of one core for data, and the one that cores share."""

    l1: int
    l2: int
    l3: int
    assumed: tuple[str, ...] = ()
    """The names of those that the system does not tell."""


# What is assumed where the system tells nothing.
ASSUMED = Caches(32 << 10, 512 << 10, 8 << 20)


@cache
def caches() -> Caches:
    """Return the sizes from GEMMCONV_CACHES, from the system, or assumed ones. They are found once."""
    given = environment.cache_sizes()
    if given:
        l1, l2, l3 = given
        return Caches(l1, l2, l3)
    finders = {"Linux": [_caches_linux, _caches_sysconf], "Darwin": [_caches_macos]}
    return merge_caches(finders.get(platform.system(), []))


def merge_caches(finders: Sequence[Callable[[], Mapping[str, int]]]) -> Caches:
    """Return for each cache the first size above zero that a finder knows; virtual machines may report none."""
    sizes: dict[str, int] = {}
    for finder in finders:
        if len(sizes) < 3:
            sizes = {name: size for name, size in finder().items() if size > 0} | sizes
    assumed = tuple(name for name in ("l1", "l2", "l3") if name not in sizes)
    l1, l2, l3 = (sizes.get(name, getattr(ASSUMED, name)) for name in ("l1", "l2", "l3"))
    return Caches(l1, l2, l3, assumed)


def _caches_linux() -> dict[str, int]:
    """Return the sizes of the caches of the first processor that the process may use."""
    processor = min(os.sched_getaffinity(0), default=0) if hasattr(os, "sched_getaffinity") else 0
    sizes = {}
    for index in Path(f"/sys/devices/system/cpu/cpu{processor}/cache").glob("index*"):
        try:
            level, kind, size = (
                (index / name).read_text(encoding="ascii").strip() for name in ("level", "type", "size")
            )
        except (OSError, ValueError):
            continue
        if level in ("1", "2", "3") and kind != "Instruction":
            sizes[f"l{level}"] = environment.bytes_of(size)
    return sizes


def _caches_sysconf() -> dict[str, int]:
    """Return what the C library knows; Python has no names for these questions of glibc."""
    sizes = {}
    for name, question in {"l1": 188, "l2": 191, "l3": 194}.items():
        try:
            sizes[name] = os.sysconf(question)
        except (OSError, ValueError):
            continue
    return sizes


def _caches_macos() -> dict[str, int]:
    """Return the sizes of the caches of the fast cores, which come first where there are two kinds."""
    names = {"l1": "l1dcachesize", "l2": "l2cachesize", "l3": "l3cachesize"}
    sizes = {name: _sysctl(f"hw.perflevel0.{key}") or _sysctl(f"hw.{key}") for name, key in names.items()}
    return {name: size for name, size in sizes.items() if size}


def _sysctl(name: str) -> int:
    """Return an integer that the kernel of macOS knows, or 0."""
    import ctypes

    value, size = ctypes.c_int64(0), ctypes.c_size_t(8)
    failed = ctypes.CDLL(None).sysctlbyname(name.encode(), ctypes.byref(value), ctypes.byref(size), None, 0)
    return 0 if failed else value.value


def versions() -> dict[str, str]:
    """Return the version of Python, of gemmconv and of the packages that it needs, by name."""
    packages = ("gemmconv", "numpy", "scipy", "threadpoolctl")
    return {"python": platform.python_version(), **{name: importlib.metadata.version(name) for name in packages}}
