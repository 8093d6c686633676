# cython: language_level=3
"""Hands arrays to the C kernels and releases the GIL. Nothing is decided here, and nothing that a user could get wrong
is checked here; the Python layer has done both.

The arrays come through the buffer protocol as contiguous bytes of a known length, so that one function serves every
rank and both types, without the headers of NumPy.
"""

cimport cython

from . import environment, machine


def supported_isas():
    """Return the names of the instruction sets that this machine has kernels for, slowest first."""
    names = []
    while supported_kernels(<int>len(names)):
        names.append(supported_kernels(<int>len(names)).isa.decode())
    return tuple(names)


def isa():
    """Return the name of the instruction set in use."""
    return active_kernels().isa.decode()


def select_isa(name):
    """Use the kernels of another instruction set from now on, in the whole process."""
    if not select_kernels(name.encode()):
        raise ValueError(f"instruction set {name!r} is not one of {', '.join(supported_isas())}")


def set_cache_sizes(sizes):
    """Let kernels reckon with caches of these sizes, L2 and L3 in bytes; return the sizes from before.

    Weights that were laid out before are of no use afterwards.
    """
    before = caches.l2, caches.l3
    caches.l2, caches.l3 = sizes
    return before


def fma_burst(Py_ssize_t itemsize, ptrdiff_t rounds):
    """Run multiply-adds in registers on the machine's widest instruction set; return the number of operations."""
    cdef const kernels *best = supported_kernels(<int>len(supported_isas()) - 1)
    cdef double operations
    with nogil:
        operations = best.float32.fma_burst(rounds) if itemsize == 4 else best.float64.fma_burst(rounds)
    return operations


cdef inline const typed_kernels *kernels_of(Py_ssize_t itemsize) noexcept nogil:
    return active_kernels().float32 if itemsize == 4 else active_kernels().float64


include "_blas.pxi"
include "_memory.pxi"
include "_tasks.pxi"
include "_not_finite.pxi"
include "_kernels.pxi"
include "_problem.pxi"
include "_extension.pxi"
include "_transposition.pxi"
include "_gradients.pxi"
include "_phases.pxi"


# Limits of the C layer that Python needs.
MAX_THREADS = MAX_THREADS_IN_C
LARGEST_SCRATCH = LARGEST_SCRATCH_IN_C
LONGEST_VECTOR = LONGEST_VECTOR_IN_C
CHANNEL_BLOCK = CHANNEL_BLOCK_IN_C

# Sizes of what kernels cut, on which tilings and costs depend.
CHANNELS_BAND = CHANNELS_BAND_IN_C
CHANNELS_SLICE = CHANNELS_SLICE_IN_C
DENSE_BLOCK = DENSE_BLOCK_IN_C
DENSE_BLOCKS = DENSE_BLOCKS_IN_C
PANELS_PIXELS = PANELS_PIXELS_IN_C
PANELS_TAPS = PANELS_TAPS_IN_C
PIXELS_PLANES = PIXELS_PLANES_IN_C
PIXELS_SLICE = PIXELS_SLICE_IN_C
PIXELS_VECTORS = PIXELS_VECTORS_IN_C
FFT_ELEMENTS = FFT_ELEMENTS_IN_C
FFT_LEAST = FFT_LEAST_IN_C


def get_num_threads():
    """Return the default number of threads."""
    return gemmconv_get_num_threads()


def set_num_threads(int threads):
    """Set the default number of threads."""
    gemmconv_set_num_threads(threads)


def set_processors(int count):
    """Tell the pool how many processors the process may use."""
    thread_pool_set_processors(count)


select_isa(environment.instruction_set(supported_isas()))
set_cache_sizes((machine.caches().l2, machine.caches().l3))
