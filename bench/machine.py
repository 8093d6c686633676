"""Facts about the machine and the versions in use; above all the peak, a yardstick of speeds."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

import gemmconv
from gemmconv import _gemmconv

# The best of several bursts: other work on the machine can only make a burst slower.
BURSTS = 7
SECONDS_PER_BURST = 0.05
FIRST_ROUNDS = 100_000
BYTES_TO_COPY = 2**27


def cpu_name() -> str:
    """Find the name of the processor.

    Returns
    -------
    str
        As the system gives it, or else the architecture.
    """
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


def usable_processors() -> int:
    """Count the processors that this process may use.

    Returns
    -------
    int
        Fewer than the machine has where the affinity of the process says so.
    """
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def versions() -> dict[str, str]:
    """Collect the versions of what takes part.

    Returns
    -------
    dict
        Name of the software -> version.
    """
    return {
        "python": platform.python_version(),
        "gemmconv": gemmconv.__version__,
        **{name: importlib.metadata.version(name) for name in ("numpy", "scipy", "threadpoolctl")},
    }


def measure_peak(itemsize: int) -> float:
    """Measure the arithmetic peak of one core.

    Parameters
    ----------
    itemsize : int
        4 for float32, 8 for float64.

    Returns
    -------
    float
        Floating-point operations per second of independent fused multiply-adds in registers, the
        best of several bursts.
    """
    speed, seconds = _burst(itemsize, FIRST_ROUNDS)
    rounds = max(1, round(FIRST_ROUNDS * SECONDS_PER_BURST / seconds))
    return max(speed, *(_burst(itemsize, rounds)[0] for _ in range(BURSTS)))


def measure_bandwidth(threads: int) -> float:
    """Measure how fast memory is read and written.

    Parameters
    ----------
    threads : int
        How many threads copy.

    Returns
    -------
    float
        Bytes per second, read and written, of copying arrays that no cache holds; the best of several copies.
    """
    source, target = np.ones(BYTES_TO_COPY // 8), np.zeros(BYTES_TO_COPY // 8)
    parts = list(zip(np.array_split(target, threads), np.array_split(source, threads)))
    seconds = []
    with ThreadPoolExecutor(threads) as pool:
        for _ in range(BURSTS):
            begin = time.perf_counter()
            list(pool.map(lambda part: np.copyto(*part), parts))
            seconds.append(time.perf_counter() - begin)
    return 2 * source.nbytes / min(seconds)


def _burst(itemsize: int, rounds: int) -> tuple[float, float]:
    """Return operations per second and seconds of one burst."""
    begin = time.perf_counter()
    operations = _gemmconv.fma_burst(itemsize, rounds)
    seconds = time.perf_counter() - begin
    return operations / seconds, seconds
