"""Files: how an explanation is written to a file."""

from __future__ import annotations

import contextlib
import os
import sys

STANDARD_OUTPUT = "-"


def write_new(path: str, data: bytes, force: bool) -> None:
    """Write a file whole or not at all; ``-`` is standard output.

    An existing file is replaced only with `force`; without it, FileExistsError is raised.
    """
    if path == STANDARD_OUTPUT:
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()
        return
    check_new(path, force)
    directory, name = os.path.split(path)
    temporary = os.path.join(directory, f".{name}.{os.getpid()}")
    try:
        with open(temporary, "xb") as file:
            file.write(data)
        os.replace(temporary, path)
    except BaseException as error:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        if isinstance(error, OSError) and error.filename:  # whoever reads the message does not know the other name
            raise OSError(error.errno, error.strerror, path) from error
        raise


def check_new(path: str, force: bool) -> None:
    """Raise an OSError if the folder is missing, or if there is a file that may not be replaced."""
    folder = os.path.dirname(path)
    if folder and not os.path.isdir(folder):
        raise FileNotFoundError(f"there is no folder {folder!r} to write the file to: {path!r}")
    if path != STANDARD_OUTPUT and not force and os.path.lexists(path):
        raise FileExistsError(f"{path} exists; give --force to overwrite it")
