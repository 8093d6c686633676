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
