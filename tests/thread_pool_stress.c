/* Several callers at once give jobs of many sizes to the pool; each task must run once, and no two at a time on a
 * thread of the same number. Run under the sanitizers by test_threads.py. */
#include "thread_pool.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

enum { CALLERS = 3, JOBS = 1000, MOST_TASKS = 40 };

struct context {
    int runs[MOST_TASKS];
    atomic_int busy[MAX_THREADS];
};

static void run(const void *shared, ptrdiff_t task, int thread)
{
    struct context *context = (struct context *)shared;
    if (atomic_fetch_add(&context->busy[thread], 1))
        abort();
    context->runs[task]++;
    for (volatile int i = 0; i < 100; i++)
        ;
    atomic_fetch_sub(&context->busy[thread], 1);
}

static int keep_going(void *state)
{
    return --*(int *)state != 0;
}

static void *call(void *first)
{
    for (int number = *(int *)first; number < JOBS; number++) {
        struct context context = {0};
        int looks = number % 10 ? -1 : 2; /* every tenth job is ended after two tasks of its caller */
        const struct job job = {run, keep_going, &context, &looks, 1 + number * 7 % MOST_TASKS, 0, number % 3 == 0};
        const int finished = thread_pool_run(&job, 1 + number % 8);
        int runs = 0;
        for (int i = 0; i < MOST_TASKS; i++) {
            if (context.runs[i] > 1)
                abort();
            runs += context.runs[i];
        }
        if (finished && runs != job.task_count)
            abort();
    }
    return NULL;
}

int main(void)
{
    pthread_t callers[CALLERS];
    int first[CALLERS];

    for (int i = 0; i < CALLERS; i++) {
        first[i] = i;
        pthread_create(&callers[i], NULL, call, &first[i]);
    }
    for (int i = 0; i < CALLERS; i++)
        pthread_join(callers[i], NULL);
    puts("every task was run once");
    return 0;
}
