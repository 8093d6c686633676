"""What the library runs on: the name of the processor, and the versions of Python and its packages."""

from __future__ import annotations

import importlib.metadata
import platform
import subprocess
from pathlib import Path


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


def versions() -> dict[str, str]:
    """Return the version of Python, of gemmconv and of the packages that it needs, by name."""
    packages = ("gemmconv", "numpy", "scipy", "threadpoolctl")
    return {"python": platform.python_version(), **{name: importlib.metadata.version(name) for name in packages}}
