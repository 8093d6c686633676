"""Memory that C reads and writes: that of arrays, held while a call needs it, and our own."""

from cpython.buffer cimport PyBUF_SIMPLE, PyBuffer_Release, PyObject_GetBuffer


@cython.final
cdef class Memory:
    """The contiguous bytes of an array, held as long as this object lives."""

    cdef Py_buffer view

    def __cinit__(self, array):
        PyObject_GetBuffer(array, &self.view, PyBUF_SIMPLE)

    def __dealloc__(self):
        PyBuffer_Release(&self.view)


@cython.final
cdef class Layout:
    """Weights as a kernel of one instruction set reads them, in memory on a cache line; and as they came."""

    cdef void *data
    cdef Py_ssize_t size
    cdef Memory weight
    cdef const conv_kernels *kernels

    def __cinit__(self, Py_ssize_t size, Memory weight):
        self.data = allocate(size)
        self.size = size
        self.weight = weight

    def __dealloc__(self):
        free_lines(self.data)


cdef Memory memory_of(array, Py_ssize_t size):
    """Hold an array to be read, of a known size; it may be held already."""
    cdef Memory memory = array if isinstance(array, Memory) else Memory(array)
    if memory.view.len != size:
        raise ValueError(f"an array of {size} bytes was expected, but one of {memory.view.len} came")
    return memory


cdef Memory target_of(array, Py_ssize_t size):
    """Hold an array to be written, of a known size."""
    cdef Memory memory = memory_of(array, size)
    if memory.view.readonly:
        raise ValueError("an array to be written was expected, but a read-only one came")
    return memory


cdef void *allocate(size_t size) except? NULL:
    """Return memory on a cache line of its own, or NULL for none."""
    if size == 0:
        return NULL
    cdef void *memory = allocate_lines(size)
    if memory == NULL:
        raise MemoryError(f"no {size} bytes of scratch memory")
    return memory
