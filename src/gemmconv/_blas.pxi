"""SciPy's gemm, looked up once for each type."""

import re

from cpython.pycapsule cimport PyCapsule_GetName, PyCapsule_GetPointer


cdef float[2] ZERO_ONE_FLOAT32 = [0, 1]
cdef double[2] ZERO_ONE_FLOAT64 = [0, 1]


GEMM_SIGNATURE = re.compile(
    r"void \(char \*, char \*, (\w+) \*, \1 \*, \1 \*, (\w+) \*, \2 \*, \1 \*, \2 \*, \1 \*, \2 \*, \2 \*, \1 \*\)"
)


def gemm_integer(signature):
    """Return the integer type, ``"int"`` or ``"int64_t"``, in the signature of a gemm from scipy.linalg.cython_blas."""
    match = GEMM_SIGNATURE.fullmatch(signature)
    if not match or match[1] not in ("int", "int64_t"):
        raise ImportError(f"scipy.linalg.cython_blas has a gemm that gemmconv does not know: {signature}")
    return match[1]


cdef blas found_gemms[2]


cdef blas gemm_of(Py_ssize_t itemsize) except *:
    """Return SciPy's sgemm or dgemm, looked up once."""
    cdef blas *found = &found_gemms[itemsize == 8]
    if found.one == NULL:
        found[0] = find_gemm(itemsize)
    return found[0]


cdef blas find_gemm(Py_ssize_t itemsize) except *:
    """Look up SciPy's sgemm or dgemm.

    The capsule is fetched by hand at first use, because ``cimport scipy.linalg.cython_blas`` would import scipy.linalg
    together with this module: 0.15 s for everyone who imports gemmconv. The name of the capsule is the signature of
    the function, and the only thing that tells the width of its integers.
    """
    from scipy.linalg import cython_blas

    capsule = cython_blas.__pyx_capi__["sgemm" if itemsize == 4 else "dgemm"]
    cdef const char *signature = PyCapsule_GetName(capsule)
    cdef void *gemm = PyCapsule_GetPointer(capsule, signature)
    cdef bint wide = gemm_integer(signature.decode()) == "int64_t"
    cdef blas found
    found.gemm32 = NULL if wide else <gemm_int32 *>gemm
    found.gemm64 = <gemm_int64 *>gemm if wide else NULL
    found.zero = <const void *>&ZERO_ONE_FLOAT32[0] if itemsize == 4 else <const void *>&ZERO_ONE_FLOAT64[0]
    found.one = <const void *>&ZERO_ONE_FLOAT32[1] if itemsize == 4 else <const void *>&ZERO_ONE_FLOAT64[1]
    return found
