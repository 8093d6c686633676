"""Run code in a fresh process."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap

LONGEST = 300  # seconds; no code here comes near it, but a deadlock would last


def run_python(code: str, *arguments: str, **environment: str) -> str:
    """Return what the code prints; it must end well."""
    command = [sys.executable, "-c", textwrap.dedent(code), *arguments]
    run = subprocess.run(
        command, env={**os.environ, **environment}, capture_output=True, text=True, check=False, timeout=LONGEST
    )
    assert run.returncode == 0, run.stderr
    return run.stdout.strip()
