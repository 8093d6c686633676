"""Arrays with channels first copied to arrays with channels last, and the other way round."""


def transpose(matrices, transposed, Py_ssize_t columns, Py_ssize_t count, Py_ssize_t itemsize, int threads):
    """Write the transposes of `count` matrices with this number of columns, one after the other."""
    cdef Memory source = matrices if isinstance(matrices, Memory) else Memory(matrices)
    cdef Memory target = target_of(transposed, source.view.len)
    cdef transposition moved
    cdef job tasks
    if source.view.len == 0:
        return
    moved.count, moved.columns = count, columns
    moved.rows = source.view.len // (count * columns * itemsize)
    moved.from_, moved.to = source.view.buf, target.view.buf
    tasks.run = transpose_task_float32 if itemsize == 4 else transpose_task_float64
    tasks.context, tasks.task_count = &moved, transposition_task_count(&moved)
    tasks.in_shares = True
    threads = threads_of(threads_for(source.view.len, threads), tasks.task_count)
    run_job(&tasks, OPERATIONS_PER_BYTE * source.view.len, threads)


def times_i(numbers, result, Py_ssize_t count, Py_ssize_t itemsize, bint are_added, int threads):
    """Write `count` pieces of complex numbers, each with its product with i after it; `are_added`: write the sums
    ``a + i * b`` of pieces that have two parts. `itemsize` is that of the parts of a number.
    """
    cdef Memory source = Memory(numbers)
    cdef Memory target = target_of(result, source.view.len // 2 if are_added else 2 * source.view.len)
    cdef products_with_i products
    cdef job tasks
    if source.view.len == 0:
        return
    products.count, products.are_added = count, are_added
    products.size = min(source.view.len, target.view.len) // (2 * count * itemsize)
    products.from_, products.to = source.view.buf, target.view.buf
    tasks.run = times_i_task_float32 if itemsize == 4 else times_i_task_float64
    tasks.context, tasks.task_count = &products, times_i_task_count(&products)
    tasks.in_shares = True
    threads = threads_of(threads_for(source.view.len, threads), tasks.task_count)
    run_job(&tasks, OPERATIONS_PER_BYTE * source.view.len, threads)
