"""Memory: a call needs little beside its arrays, and the pages that guard them in other tests do so."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from pathlib import Path

from fresh import run_python


def test_the_guard_guards():
    code = """
        import ctypes, sys
        import numpy as np
        sys.path.insert(0, sys.argv[1])
        from guarded import guarded
        array = guarded(np.ones(5))
        print("before", flush=True)
        ctypes.string_at(array.ctypes.data + array.nbytes, 1)
        print("after", flush=True)
    """
    command = [sys.executable, "-c", textwrap.dedent(code), str(Path(__file__).parent)]
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    assert run.stdout == "before\n"
    assert run.returncode < 0


PEAK = """
import resource, sys

def peak():
    # Linux hands ru_maxrss on to the programs a process starts, so that it would tell the peak of pytest
    if sys.platform == "darwin":
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with open("/proc/self/status") as status:
        return next(1024 * int(line.split()[1]) for line in status if line.startswith("VmHWM"))
"""

MEASURE = """
import gemmconv, numpy as np

gemmconv.conv(np.ones((1, 1, 5), np.float32), np.ones((1, 1, 3), np.float32))  # loads SciPy's BLAS
x = np.ones((1, 64, 224, 224), np.float32)
weight = np.ones((64, 64, 3, 3), np.float32)
out = np.ones((1, 64, 224, 224), np.float32)
before = peak()
CALL
print(peak() - before)
"""


def peak_growth(call: str) -> int:
    """Return by how many bytes the peak memory of a fresh process grows over its arrays when it computes `call`."""
    # each thread has its own scratch: with a given number of them, the limit is the same on every machine
    return int(run_python(PEAK + MEASURE.replace("CALL", call), GEMMCONV_NUM_THREADS="2"))


def test_the_patch_matrix_is_never_built():
    # vgg1_2: P would be 64 * 9 x 224 * 224 floats, 116 MB
    assert peak_growth("gemmconv.conv2d(x, weight, padding=1, out=out)") < 4_000_000


def test_the_peak_is_measured():
    assert peak_growth("gemmconv.conv2d(x, weight, padding=1)") > 12_000_000
