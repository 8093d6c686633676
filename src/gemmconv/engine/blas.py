"""BLAS as Python sees it: which one SciPy uses, how it multiplies, and the limit on its threads.

gemmconv calls gemm on one thread only, from its own. OpenBLAS starts threads of its own for large products; while a
call needs such products, a limit of one thread is held on the BLAS that SciPy uses.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from functools import lru_cache
from itertools import product
from pathlib import Path
from typing import Any

Functions = tuple[Callable[[], int], Callable[[int], None]]

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

    package = Path(scipy.__file__).resolve().parent
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
    >>> from gemmconv.engine.blas import scipy_blas_info
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


def may_start_threads(multiplications: int, *, transposed: bool = False) -> bool:
    """Whether SciPy's BLAS may compute a product of this size with several threads.

    With `transposed` the second matrix is stored as its transpose: of these OpenBLAS's kernels for small matrices take
    very small ones only.
    """
    small = gemm_path() == "small" and not transposed
    return multiplications > (LARGEST_SMALL_GEMM if small else LARGEST_UNTHREADED_GEMM)


class _Limit:
    """A limit of one thread on the OpenBLAS that SciPy uses, which the first user sets and the last one lifts.

    The number of threads belongs to the process, where OpenBLAS makes its threads itself. threadpoolctl 3.8 lets only
    one Python thread change it and ignores the others, which here may well be the first and the last; so its functions
    are called directly. Other libraries, and an OpenBLAS made with OpenMP, are left as they are: their numbers belong
    to threads, and they are sound with several callers.
    """

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.functions: list[Functions] | None = None
        self.users = 0
        self.before: list[int] = []
        self.held = threading.local()

    def __enter__(self) -> None:
        with self.lock:
            if self.functions is None:
                self.functions = _openblas_functions()
            if self.users == 0:
                self.before = [get() for get, _ in self.functions]
            self.users += 1
            self.held.times = getattr(self.held, "times", 0) + 1
            if self.users == 1:
                for _, set_to in self.functions:
                    set_to(1)

    def __exit__(self, *exception: object) -> None:
        with self.lock:
            if self.users == 1:
                self.restore()
            self.users -= 1
            self.held.times -= 1

    def restore(self) -> None:
        for (_, set_to), before in zip(self.functions or [], self.before):
            set_to(before)
        self.before = []

    def forget_other_threads(self) -> None:
        """In a forked child only the thread that forked goes on; another one may have held the lock."""
        self.lock = threading.Lock()
        self.users = getattr(self.held, "times", 0)
        if self.users == 0:
            self.restore()


def _openblas_functions() -> list[Functions]:
    """Return the functions that get and set the number of threads, of each OpenBLAS whose number is the process's."""
    functions = []
    for library in _scipy_blas().lib_controllers:
        if library.internal_api != "openblas" or library.threading_layer != "pthreads":
            continue
        # builds decorate the names differently
        for prefix, suffix in product(("", "scipy_"), ("", "64_", "_64")):
            names = (f"{prefix}openblas_get_num_threads{suffix}", f"{prefix}openblas_set_num_threads{suffix}")
            if all(hasattr(library.dynlib, name) for name in names):
                functions.append((getattr(library.dynlib, names[0]), getattr(library.dynlib, names[1])))
                break
    return functions


#: Hold it while BLAS must not start threads: ``with single_threaded_blas: ...``; it nests, and threads may share it.
single_threaded_blas = _Limit()
os.register_at_fork(after_in_child=single_threaded_blas.forget_other_threads)
