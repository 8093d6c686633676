"""Environment variables that change how fast a library is, for the record of a run."""

from __future__ import annotations

import os
from pathlib import Path

# Variables that choose an instruction set, or say which caches the machine has.
CHOICES = (
    "GEMMCONV_ISA",
    "GEMMCONV_CACHES",
    "OPENBLAS_CORETYPE",
    "ONEDNN_MAX_CPU_ISA",
    "ATEN_CPU_CAPABILITY",
    "GLIBC_TUNABLES",
)
# Variables that hold paths of libraries, such as another allocator. Only the names of the files are recorded.
PATHS = ("LD_PRELOAD",)
ENVIRONMENT = (*CHOICES, *PATHS)


def read_environment() -> dict[str, str]:
    """Return those of the variables that are set, without the folders of paths."""
    found = {name: value for name in ENVIRONMENT if (value := os.environ.get(name))}
    return {name: names_of_files(value) if name in PATHS else value for name, value in found.items()}


def names_of_files(paths: str) -> str:
    """Return the names of the files that LD_PRELOAD lists: its paths stand between colons or spaces."""
    return ":".join(Path(path).name for path in paths.replace(":", " ").split())
