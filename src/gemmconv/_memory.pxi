"""Memory that C reads and writes: that of arrays, held while it is needed, and our own."""

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
    """A weight as a kernel of one instruction set reads it, in memory on a cache line; perhaps also as it came.

    Without functions it is a weight that is not finite, only as it came.
    """

    cdef void *data
    cdef Py_ssize_t size
    cdef Memory weight
    cdef const kernel_functions *functions

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


cdef Memory bias_of(array, Py_ssize_t size):
    """Hold a bias, which may be None."""
    return None if array is None else memory_of(array, size)


cdef const void *address_of(Memory memory):
    """Return where held memory begins, or NULL for None."""
    return NULL if memory is None else memory.view.buf


cdef void *allocate(size_t size) except? NULL:
    """Return memory on a cache line of its own, or NULL for none."""
    if size == 0:
        return NULL
    cdef void *memory = allocate_lines(size)
    if memory == NULL:
        raise MemoryError(f"no {size} bytes of scratch memory")
    return memory
