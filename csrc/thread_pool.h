/* A pool of threads of our own: persistent workers, and the caller works too. The tasks of a job are one sequence
 * from which all threads take, or one share per thread: a thread takes the tasks of its own share first, then what is
 * left of the others.
 *
 * Nothing runs before the first job. Workers look for the next job for a short while (0.1 ms), then sleep. A caller
 * that finds the pool busy computes alone. After a fork the child has no workers and starts new ones when it needs
 * them. (A child that was forked while another thread multiplied may hang in OpenBLAS, if that holds a lock then.)
 * Workers take no signals, and compute in the floating-point environment of their caller. */
#ifndef GEMMCONV_THREAD_POOL_H
#define GEMMCONV_THREAD_POOL_H

#include <stddef.h>

/* The most threads of a job: OpenBLAS serves 64 callers at a time. */
enum { MAX_THREADS = 64 };

struct job {
    /* Computes one task. `thread` says which scratch to use: it is below the number of threads of the job, and no two
     * tasks with the same `thread` run at the same time. */
    void (*run)(const void *context, ptrdiff_t task, int thread);
    /* Asked by the caller between its own tasks; when it returns 0 the remaining tasks are dropped. */
    int (*keep_going)(void *state);
    const void *context;
    void *state;
    ptrdiff_t task_count;
    int outlives_closing; /* whether it is computed even after thread_pool_close */
    int in_shares;        /* whether each thread begins with a share of neighbouring tasks */
};

/* Run all tasks of a job on at most `threads` threads. Returns 0 if keep_going or thread_pool_close ended it early,
 * else 1. */
int thread_pool_run(const struct job *job, int threads);

/* End the jobs in progress and all later ones, except those that outlive closing, and wait for them. This is for the
 * end of the process, before the libraries that tasks use are torn down. */
void thread_pool_close(void);
int thread_pool_is_closed(void);

/* Set how many processors the process may use. In a job with more threads than that, waiting threads sleep at once. */
void thread_pool_set_processors(int count);

/* The default number of threads, from 1 to MAX_THREADS. These two are exported for threadpoolctl. */
__attribute__((visibility("default"))) int gemmconv_get_num_threads(void);
__attribute__((visibility("default"))) void gemmconv_set_num_threads(int threads);

#endif
