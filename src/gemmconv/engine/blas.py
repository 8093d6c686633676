"""BLAS as Python sees it: which BLAS SciPy uses, how it multiplies, and the limit on its threads.

gemmconv has its own threads, and BLAS must multiply on the thread that calls it. But OpenBLAS starts threads for large
products. While a call needs such products, the BLAS that SciPy uses is limited to one thread. The products themselves
are called in C (csrc/blas.h).
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from functools import lru_cache
from itertools import product
from pathlib import Path
from typing import Any

# The functions of an OpenBLAS that get and set its number of threads.
Functions = tuple[Callable[[], int], Callable[[int], None]]

# The most multiplications for which OpenBLAS starts no threads (SMP_THRESHOLD_MIN * GEMM_MULTITHREAD_THRESHOLD in its
# interface/gemm.c).
LARGEST_UNTHREADED_GEMM = 262_144

# The cores for which OpenBLAS has routines for small matrices. These pack nothing and never start threads.
SMALL_MATRIX_CORES = ("SkylakeX", "Cooperlake", "SapphireRapids")
# The most multiplications for which sgemm and dgemm use these routines.
LARGEST_SMALL_GEMM = 1_000_000


@lru_cache(maxsize=1)
def _scipy_blas() -> Any:
    """Return the controller of threadpoolctl for the BLAS libraries that SciPy may call.

    Scanning the loaded libraries takes a third of a millisecond, so the result is cached. The wheels of NumPy and of
    SciPy each carry a BLAS of their own, in a directory named after the package. If there is none, NumPy and SciPy
    share a BLAS of the system.
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
    """Return the information of threadpoolctl about the BLAS that SciPy uses, one dictionary per library.

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
    """Return how SciPy's BLAS multiplies the tiles of a convolution.

    It is ``"small"`` if it has routines for small matrices, which pack nothing, and otherwise ``"packing"``.
    """
    libraries = scipy_blas_info()
    small = all(
        library["internal_api"] == "openblas" and library.get("architecture") in SMALL_MATRIX_CORES
        for library in libraries
    )
    return "small" if libraries and small else "packing"


def may_start_threads(multiplications: int, *, transposed: bool = False) -> bool:
    """Return whether SciPy's BLAS may use several threads for a product of this size.

    `transposed` says that the second matrix is stored as its transpose. OpenBLAS's routines for small matrices take
    only very small ones of these.
    """
    small = gemm_path() == "small" and not transposed
    return multiplications > (LARGEST_SMALL_GEMM if small else LARGEST_UNTHREADED_GEMM)


class _Limit:
    """A limit of one thread on the OpenBLAS that SciPy uses. The first user sets it, and the last one lifts it.

    Where OpenBLAS makes its threads itself, its number of threads belongs to the whole process. threadpoolctl 3.8 lets
    only one Python thread change that number and ignores the others. Here the first and the last user may be different
    threads, so the functions of OpenBLAS are called directly. Other libraries, and an OpenBLAS that was built with
    OpenMP, are left alone: their number belongs to each thread, and several threads may safely call them.
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
        """Clean up in a forked child, where only the thread that forked goes on; another may have held the lock."""
        self.lock = threading.Lock()
        self.users = getattr(self.held, "times", 0)
        if self.users == 0:
            self.restore()


def _openblas_functions() -> list[Functions]:
    """Return the functions that get and set the number of threads, for each OpenBLAS that makes its threads itself."""
    functions = []
    for library in _scipy_blas().lib_controllers:
        if library.internal_api != "openblas" or library.threading_layer != "pthreads":
            continue
        # some builds add a prefix or a suffix to the names
        for prefix, suffix in product(("", "scipy_"), ("", "64_", "_64")):
            names = (f"{prefix}openblas_get_num_threads{suffix}", f"{prefix}openblas_set_num_threads{suffix}")
            if all(hasattr(library.dynlib, name) for name in names):
                functions.append((getattr(library.dynlib, names[0]), getattr(library.dynlib, names[1])))
                break
    return functions


#: A context in which BLAS starts no threads: ``with single_threaded_blas: ...``. It can be nested, and several threads
#: may use it at the same time.
single_threaded_blas = _Limit()
os.register_at_fork(after_in_child=single_threaded_blas.forget_other_threads)
