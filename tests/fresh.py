"""Run code in a fresh process."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap

# Seconds after which a process is taken to hang for ever. Nothing here comes near it, on however slow a machine.
LONGEST = 3600


def run_python(code: str, *arguments: str, **environment: str) -> str:
    """Return what the code prints; it must end well."""
    command = [sys.executable, "-c", textwrap.dedent(code), *arguments]
    run = subprocess.run(
        command, env={**os.environ, **environment}, capture_output=True, text=True, check=False, timeout=LONGEST
    )
    assert run.returncode == 0, run.stderr
    return run.stdout.strip()
