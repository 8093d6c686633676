/* A pool of threads of our own: persistent workers, one atomic task counter, the caller works too.
 *
 * Nothing runs before the first job. Workers look for the next job for a short while, then sleep. A caller that finds
 * the pool busy computes alone. After a fork the child has no workers and starts new ones when it needs them (but where
 * OpenBLAS takes locks, a child that was forked while another thread multiplied may wait for one for ever). Workers
 * take no signals, and compute in the floating-point environment of their caller. */
#ifndef GEMMCONV_THREAD_POOL_H
#define GEMMCONV_THREAD_POOL_H

#include <stddef.h>

/* OpenBLAS serves 64 callers at a time. */
enum { MAX_THREADS = 64 };

struct job {
    /* Computes one task; `thread` is below the number of threads of the job, and no two tasks of one `thread` run at
     * the same time: it tells which scratch to use. */
    void (*run)(const void *context, ptrdiff_t task, int thread);
    /* Asked by the caller between its own tasks; when it returns 0 the remaining tasks are dropped. */
    int (*keep_going)(void *state);
    const void *context;
    void *state;
    ptrdiff_t task_count;
    int outlives_closing; /* whether it is computed even after thread_pool_close */
};

/* Run all tasks of a job on at most `threads` threads. Returns 0 if keep_going or thread_pool_close put an end to it,
 * else 1. */
int thread_pool_run(const struct job *job, int threads);

/* End the jobs in progress and all that come, except those that outlive it, and wait for them: at the end of the
 * process, before the libraries that tasks use are torn down. */
void thread_pool_close(void);
int thread_pool_is_closed(void);

/* How many processors the process may use: with more threads than that, those that wait sleep at once. */
void thread_pool_set_processors(int count);

/* The number of threads of a call that does not say otherwise; at least 1, at most MAX_THREADS. These two are
 * exported for threadpoolctl. */
__attribute__((visibility("default"))) int gemmconv_get_num_threads(void);
__attribute__((visibility("default"))) void gemmconv_set_num_threads(int threads);

#endif
