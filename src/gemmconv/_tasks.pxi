"""Running tasks on the thread pool, and looking at signals meanwhile."""

import atexit
import os
import threading


cdef unsigned long main_thread = threading.main_thread().ident


def _after_fork():
    """In a forked child the thread that forked is the main thread."""
    global main_thread
    main_thread = PyThread_get_thread_ident()


os.register_at_fork(after_in_child=_after_fork)

# The caller looks at the signals after about this many of its own operations: 5 to 50 ms.
cdef double OPERATIONS_BETWEEN_SIGNALS = 5e8

# Weights smaller than this are laid out by the caller alone.
cdef Py_ssize_t BYTES_WORTH_THREADS = 1 << 18


cdef struct shared_by_tasks:
    # What all tasks of a job read; each thread has `scratch_bytes` of the scratch.
    const conv_problem *problem
    task_kernel *run
    char *scratch
    size_t scratch_bytes


cdef struct signal_watch:
    # The caller looks at the signals after `period` of its tasks, next after `tasks_left`.
    ptrdiff_t period, tasks_left


cdef void run_task(const void *context, ptrdiff_t task, int thread) noexcept nogil:
    cdef const shared_by_tasks *shared = <const shared_by_tasks *>context
    shared.run(shared.problem, task, shared.scratch + thread * shared.scratch_bytes)


cdef int keep_going(void *state) noexcept nogil:
    """Ctrl-C ends a long call: when a signal's handler has raised, no more tasks are begun."""
    cdef signal_watch *watch = <signal_watch *>state
    watch.tasks_left -= 1
    if watch.tasks_left:
        return 1
    watch.tasks_left = watch.period
    with gil:
        return PyErr_CheckSignals() == 0


cdef ptrdiff_t tasks_between_signals(ptrdiff_t task_count, double operations, bint in_main_thread):
    """Return after how many tasks the caller has to look at the signals.

    Python runs their handlers in its main thread only. Any other must not ask for the GIL here: when the interpreter
    ends, that ends the thread, while the workers still use the memory of its call.
    """
    if operations < OPERATIONS_BETWEEN_SIGNALS or not in_main_thread:
        return PY_SSIZE_T_MAX
    return 1 + <ptrdiff_t>(OPERATIONS_BETWEEN_SIGNALS * task_count / operations)


cdef int threads_for(Py_ssize_t weight_bytes, int threads):
    """Return how many threads lay out a weight of this size."""
    return 1 if weight_bytes < BYTES_WORTH_THREADS else threads


cdef int run_tasks(
    const conv_problem *problem,
    task_kernel *run,
    ptrdiff_t task_count,
    ptrdiff_t scratch_size,
    Py_ssize_t itemsize,
    int threads,
) except -1:
    """Run all tasks of a problem on at most `threads` threads; each task needs `scratch_size` elements of scratch."""
    cdef double operations = 2.0 * problem.batch * problem.out_channels * volume(problem.out_size)
    operations *= reduction_length(problem)
    threads = threads_of(threads, task_count)
    cdef size_t scratch_bytes = scratch_size * itemsize
    scratch_bytes = (scratch_bytes + CACHE_LINE - 1) // CACHE_LINE * CACHE_LINE
    cdef shared_by_tasks shared = shared_by_tasks(problem, run, NULL, scratch_bytes)
    cdef job tasks
    tasks.run, tasks.context, tasks.task_count = run_task, &shared, task_count
    # Where neighbouring tasks are blocks of channels of the same input, threads take turns: each reads a part of K.
    tasks.in_shares = not 0 < problem.tiling.block < problem.out_channels // problem.groups
    shared.scratch = <char *>allocate(threads * scratch_bytes)
    try:
        return run_job(&tasks, operations, threads)
    finally:
        free_lines(shared.scratch)


cdef int threads_of(int threads, ptrdiff_t task_count):
    """Return the number of threads for a job with this many tasks."""
    return max(1, min(threads, MAX_THREADS_IN_C, <int>min(task_count, MAX_THREADS_IN_C)))


cdef int run_job(job *tasks, double operations, int threads) except -1:
    """Run a job without the GIL, and look at signals meanwhile; `operations` are those of all its tasks together."""
    cdef bint in_main_thread = PyThread_get_thread_ident() == main_thread
    cdef signal_watch watch
    watch.period = watch.tasks_left = tasks_between_signals(tasks.task_count, operations, in_main_thread)
    tasks.keep_going, tasks.state, tasks.outlives_closing = keep_going, &watch, in_main_thread
    cdef int finished
    with nogil:
        finished = thread_pool_run(tasks, threads)
    if not finished and not in_main_thread and thread_pool_is_closed():
        # A daemon thread at the end of the process, which the interpreter would end when it next asks for the GIL.
        with nogil:
            while True:
                pause()
    return 0 if finished else -1


@atexit.register
def _close():
    """Wait for the calls of daemon threads, before OpenBLAS is torn down beneath them."""
    with nogil:
        thread_pool_close()
