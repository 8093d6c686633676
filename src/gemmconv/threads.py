"""Threads: the one place that knows and limits the threads of BLAS.

gemmconv calls gemm on one thread only, from its own. OpenBLAS starts threads of its own for large products; while a
call needs such products, a limit of one thread is held on the BLAS that SciPy uses.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any

# OpenBLAS multiplies on the calling thread up to this many multiplications (in interface/gemm.c:
# SMP_THRESHOLD_MIN * GEMM_MULTITHREAD_THRESHOLD).
LARGEST_UNTHREADED_GEMM = 262_144

# The cores for which OpenBLAS has kernels for small matrices. They pack nothing and never start threads, and sgemm and
# dgemm take them up to 1e6 multiplications.
SMALL_MATRIX_CORES = ("SkylakeX", "Cooperlake", "SapphireRapids")
LARGEST_SMALL_GEMM = 1_000_000


@lru_cache(maxsize=1)
def _scipy_blas() -> Any:
    """Return threadpoolctl's controller of the BLAS libraries that SciPy may call.

    Scanning the loaded libraries takes a third of a millisecond, hence the cache. Wheels carry a BLAS each in a
    directory named after the package; where none is found, NumPy and SciPy share one of the system.
    """
    import scipy.linalg.cython_blas
    from threadpoolctl import ThreadpoolController

    package = Path(scipy.__file__).parent
    homes = (package, package.with_name("scipy.libs"))
    controller = ThreadpoolController().select(user_api="blas")
    own = [
        library.filepath
        for library in controller.lib_controllers
        if any(home in Path(library.filepath).parents for home in homes)
    ]
    return controller.select(filepath=own) if own else controller


def scipy_blas_info() -> list[dict[str, Any]]:
    """Return what threadpoolctl knows about the BLAS that SciPy uses, one dictionary per library.

    Examples
    --------
    >>> from gemmconv.threads import scipy_blas_info
    >>> all(library["num_threads"] >= 1 for library in scipy_blas_info())
    True
    """
    info: list[dict[str, Any]] = _scipy_blas().info()
    return info


@lru_cache(maxsize=1)
def gemm_path() -> str:
    """Return how SciPy's BLAS multiplies the tiles of a convolution: ``"small"`` or ``"packing"``."""
    libraries = scipy_blas_info()
    small = all(
        library["internal_api"] == "openblas" and library.get("architecture") in SMALL_MATRIX_CORES
        for library in libraries
    )
    return "small" if libraries and small else "packing"


def may_start_threads(multiplications: int) -> bool:
    """Whether SciPy's BLAS may compute a product of this size with several threads."""
    return multiplications > (LARGEST_SMALL_GEMM if gemm_path() == "small" else LARGEST_UNTHREADED_GEMM)


class _Limit:
    """A limit of one thread that the first user sets and the last one lifts."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.users = 0
        self.limiter: Any = None

    def acquire(self) -> None:
        controller = _scipy_blas()
        with self.lock:
            if self.users == 0:
                self.limiter = controller.limit(limits=1)
            self.users += 1

    def release(self) -> None:
        with self.lock:
            self.users -= 1
            if self.users == 0:
                self.limiter.restore_original_limits()


_limit = _Limit()


def _forget_limit() -> None:
    """In a forked child: the users of the limit are gone, and the lock may have been held."""
    global _limit
    held, _limit = _limit, _Limit()
    if held.users:
        held.limiter.restore_original_limits()


os.register_at_fork(after_in_child=_forget_limit)


@contextmanager
def single_threaded_blas() -> Iterator[None]:
    """Hold a limit of one thread on SciPy's BLAS; may be nested and shared by threads."""
    limit = _limit
    limit.acquire()
    try:
        yield
    finally:
        limit.release()
