"""Images extended beyond their borders, and the transpose of that."""

# Operations in the time it takes to move one byte.
cdef double OPERATIONS_PER_BYTE = 4


@cython.final
cdef class Extender:
    """Extends images of one size and type along their three axes, and folds extended images: see csrc/extension.h.

    `sizes` has the five numbers of each axis in one array of numpy.intp, and `border` has the borders of the three axes
    one after the other. `value` is held by the positions that repeat nothing.
    """

    cdef extension extension
    cdef Memory border
    cdef Py_ssize_t itemsize

    def __cinit__(self, sizes, border, Py_ssize_t itemsize, double value):
        cdef Memory numbers = memory_of(sizes, 15 * sizeof(ptrdiff_t))
        cdef const ptrdiff_t *number = <const ptrdiff_t *>numbers.view.buf
        cdef extended_axis *axis
        self.border, self.itemsize, self.extension.value = Memory(border), itemsize, value
        cdef const ptrdiff_t *repeated = <const ptrdiff_t *>self.border.view.buf
        cdef int i
        for i in range(3):
            axis = &self.extension.axes[i]
            axis.size, axis.extended, axis.first = number[5 * i], number[5 * i + 1], number[5 * i + 2]
            axis.start, axis.middle = number[5 * i + 3], number[5 * i + 4]
            axis.border = repeated
            repeated += axis.extended - axis.middle

    def extend(self, images, extended, int threads):
        """Write the extended images and return True; or return False if `images` are not contiguous and aligned."""
        cdef Memory source
        try:
            source = Memory(images)
        except (BufferError, ValueError):
            return False
        if <size_t>source.view.buf % self.itemsize:
            return False
        self.run(source, target_of(extended, self.extended_bytes(source)), threads, folds=False)
        return True

    def fold(self, extended, images, int threads):
        """Write to `images` the sum of all that repeats each position."""
        cdef Memory target = target_of(images, Memory(images).view.len)
        self.run(target, memory_of(extended, self.extended_bytes(target)), threads, folds=True)

    cdef ptrdiff_t count(self, Memory images):
        cdef const extended_axis *axes = self.extension.axes
        return images.view.len // (axes[0].size * axes[1].size * axes[2].size * self.itemsize)

    cdef Py_ssize_t extended_bytes(self, Memory images):
        cdef const extended_axis *axes = self.extension.axes
        return self.count(images) * axes[0].extended * axes[1].extended * axes[2].extended * self.itemsize

    cdef int run(self, Memory images, Memory extended, int threads, bint folds) except -1:
        cdef extension extension = self.extension
        extension.count = self.count(images)
        extension.images, extension.extended = images.view.buf, extended.view.buf
        cdef job tasks
        if self.itemsize == 4:
            tasks.run = fold_task_float32 if folds else extend_task_float32
        else:
            tasks.run = fold_task_float64 if folds else extend_task_float64
        tasks.context, tasks.task_count = &extension, extension_task_count(&extension)
        tasks.in_shares = True
        threads = threads_of(threads_for(extended.view.len, threads), tasks.task_count)
        return run_job(&tasks, OPERATIONS_PER_BYTE * extended.view.len, threads)
