"""Threads: the one place that knows and limits the threads of BLAS.

gemmconv calls gemm on one thread only, from its own. OpenBLAS starts threads of its own for large products; while a
call needs such products, a limit of one thread is held on the BLAS that SciPy uses.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from functools import lru_cache
from itertools import product
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


class _SharedLimit:
    """A limit of one thread on the OpenBLAS of a process, which the first user sets and the last one lifts.

    threadpoolctl 3.8 lets only one Python thread change it and ignores the others, which here may well be the
    first and the last; so its functions are called directly.
    """

    def __init__(self, libraries: list[Any]) -> None:
        self.functions = [_openblas_functions(library) for library in libraries]
        self.lock = threading.Lock()
        self.users = 0
        self.before: list[int] = []

    def __enter__(self) -> None:
        with self.lock:
            if self.users == 0:
                self.before = [get() for get, _ in self.functions]
                for _, set_to in self.functions:
                    set_to(1)
            self.users += 1

    def __exit__(self, *exception: object) -> None:
        with self.lock:
            self.users -= 1
            if self.users == 0:
                self.restore()

    def restore(self) -> None:
        for (_, set_to), before in zip(self.functions, self.before):
            set_to(before)


def _openblas_functions(library: Any) -> tuple[Callable[[], int], Callable[[int], None]]:
    """Return the functions that get and set the number of threads; builds decorate their names differently."""
    for prefix, suffix in product(("", "scipy_"), ("", "64_", "_64")):
        names = (f"{prefix}openblas_get_num_threads{suffix}", f"{prefix}openblas_set_num_threads{suffix}")
        if all(hasattr(library.dynlib, name) for name in names):
            get, set_to = (getattr(library.dynlib, name) for name in names)
            return get, set_to
    raise ImportError(f"{library.filepath} lacks openblas_set_num_threads")


def _is_shared(library: Any) -> bool:
    """Whether the number of threads is one for the process; with OpenMP each thread has its own."""
    return bool(library.internal_api == "openblas" and library.threading_layer == "pthreads")


@lru_cache(maxsize=1)
def _shared_limit() -> _SharedLimit:
    return _SharedLimit([library for library in _scipy_blas().lib_controllers if _is_shared(library)])


def _forget_users() -> None:
    """In a forked child: the users of the limit are gone, and its lock may have been held."""
    if _shared_limit.cache_info().currsize:
        limit = _shared_limit()
        limit.lock = threading.Lock()
        if limit.users:
            limit.users = 0
            limit.restore()


os.register_at_fork(after_in_child=_forget_users)


@contextmanager
def single_threaded_blas() -> Iterator[None]:
    """Hold a limit of one thread on SciPy's BLAS; may be nested and shared by threads."""
    others = _per_thread_blas()
    with _shared_limit(), others.limit(limits=1) if others.lib_controllers else nullcontext():
        yield


@lru_cache(maxsize=1)
def _per_thread_blas() -> Any:
    return _scipy_blas().select(filepath=[lib.filepath for lib in _scipy_blas().lib_controllers if not _is_shared(lib)])
