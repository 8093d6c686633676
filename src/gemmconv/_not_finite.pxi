"""Whether numbers are finite: see engine/not_finite.py."""

from libc.math cimport isfinite


ctypedef fused real:
    float
    double


cdef struct box:
    # Some elements of an image: along each axis, the first and the one after the last, and the size of the axis; the
    # channels, and the elements from a channel and from a position to the next one.
    interval axis[3]
    ptrdiff_t size[3]
    ptrdiff_t channels, channel_step, position_step


cdef bint row_is_finite(const real *numbers, Py_ssize_t count) noexcept nogil:
    for i in range(count):
        if not isfinite(numbers[i]):
            return False
    return True


cdef bint are_finite(const void *numbers, Py_ssize_t count, Py_ssize_t itemsize) noexcept nogil:
    """Return whether all of these numbers are finite."""
    if itemsize == sizeof(float):
        return row_is_finite(<const float *>numbers, count)
    return row_is_finite(<const double *>numbers, count)


cdef bint real_box_is_finite(const real *image, const box *box) noexcept nogil:
    cdef const interval *axis = &box.axis[0]
    cdef ptrdiff_t depth, row, column, channel, step = box.channel_step
    cdef const real *first
    cdef bint spoiled = False  # without a branch for each element: mostly there is one per channel
    for depth in range(axis[0].first, axis[0].end):
        for row in range(axis[1].first, axis[1].end):
            for column in range(axis[2].first, axis[2].end):
                first = image + ((depth * box.size[1] + row) * box.size[2] + column) * box.position_step
                for channel in range(box.channels):
                    spoiled |= not isfinite(first[channel * step])
    return not spoiled


cdef bint box_is_finite(const void *image, const box *box, Py_ssize_t itemsize) noexcept nogil:
    """Return whether all elements in this box of each channel of an image are finite."""
    if itemsize == sizeof(float):
        return real_box_is_finite(<const float *>image, box)
    return real_box_is_finite(<const double *>image, box)
