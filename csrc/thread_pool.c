/* For the parts of POSIX that -std=c11 hides. */
#define _XOPEN_SOURCE 700
#define _DARWIN_C_SOURCE

#include "thread_pool.h"

#include <fenv.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <time.h>

enum {
    /* How long a waiting thread looks before it sleeps; to wake it takes 15 to 30 us. A worker waits for the next job,
     * which may never come; the caller waits for tasks in progress, which end. */
    WORKER_LOOKS_MICROSECONDS = 100,
    CALLER_LOOKS_MICROSECONDS = 1000,
    /* After this number of looks, 2 us on Zen 4, a thread lets others that wait for its processor go first. */
    LOOKS_BEFORE_YIELD = 100,
    STACK_BYTES = 1 << 20,
    CACHE_LINE = 64,
};

/* The tasks of a job are cut into equal shares: as many as it has threads, or one. */
struct share {
    _Alignas(CACHE_LINE) atomic_ptrdiff_t next; /* the first task of the share that nobody has taken */
};

/* `lock` guards what is not atomic. A worker is either waiting, or working in the job. */
static struct {
    pthread_mutex_t lock;
    pthread_cond_t job_came, workers_left;
    const struct job *job;    /* in progress, or the last one */
    fenv_t environment;       /* the floating-point environment of its caller */
    int threads, max_threads; /* that have joined the job, caller included; and the most that may join */
    atomic_int workers;       /* threads that exist beside the callers */
    atomic_uint working;      /* workers in the job */
    atomic_int crowded;       /* whether the job has more threads than there are processors */
    atomic_uint generation;   /* counts the jobs: what a waiting worker looks at */
    struct share shares[MAX_THREADS];
} pool = {
    .lock = PTHREAD_MUTEX_INITIALIZER,
    .job_came = PTHREAD_COND_INITIALIZER,
    .workers_left = PTHREAD_COND_INITIALIZER,
};

static atomic_flag busy = ATOMIC_FLAG_INIT;
static atomic_int default_threads = 1, processors = 1;
static atomic_int callers, closed; /* calls in progress; whether thread_pool_close was called */
static unsigned forks;

int gemmconv_get_num_threads(void)
{
    return atomic_load(&default_threads);
}

void gemmconv_set_num_threads(int threads)
{
    atomic_store(&default_threads, threads < 1 ? 1 : threads > MAX_THREADS ? MAX_THREADS : threads);
}

static void relax(void)
{
#if defined(__x86_64__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("isb");
#endif
}

void thread_pool_set_processors(int count)
{
    atomic_store(&processors, count);
}

static int64_t microseconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

/* Wait, without sleeping, until a number is no longer `seen`, for at most `longest` microseconds. If threads outnumber
 * processors, a thread that looks keeps another from working: then this returns at once. Returns 1 if the number has
 * changed. */
static int changes(const atomic_uint *number, unsigned seen, int64_t longest)
{
    if (atomic_load(&pool.crowded))
        return 0;
    for (const int64_t end = microseconds() + longest; microseconds() < end; sched_yield())
        for (int looks = 0; looks < LOOKS_BEFORE_YIELD; looks++) {
            if (atomic_load_explicit(number, memory_order_acquire) != seen)
                return 1;
            relax();
        }
    return 0;
}

static int never_ends(void *state)
{
    (void)state;
    return 1;
}

static int is_ended(const struct job *job)
{
    return atomic_load_explicit(&closed, memory_order_relaxed) && !job->outlives_closing;
}

static int share_count(const struct job *job, int threads)
{
    return job->in_shares ? threads : 1;
}

static ptrdiff_t share_begin(const struct job *job, int share, int shares)
{
    return job->task_count * share / shares;
}

/* Takes the tasks of its own share, then those that are left of the others'. Returns 0 if keep_going or the closing of
 * the pool ended the job early. */
static int take_tasks(const struct job *job, int thread, int threads, int (*keep_going)(void *))
{
    const int shares = share_count(job, threads);
    for (int i = 0; i < shares; i++) {
        const int share = (thread + i) % shares;
        const ptrdiff_t end = share_begin(job, share + 1, shares);
        ptrdiff_t task;
        while ((task = atomic_fetch_add_explicit(&pool.shares[share].next, 1, memory_order_relaxed)) < end) {
            job->run(job->context, task, thread);
            if (is_ended(job) || !keep_going(job->state)) {
                for (int ended = 0; ended < shares; ended++)
                    atomic_store(&pool.shares[ended].next, job->task_count);
                return 0;
            }
        }
    }
    return 1;
}

/* Wait for a job later than `seen`. */
static void await_job(unsigned seen)
{
    changes(&pool.generation, seen, WORKER_LOOKS_MICROSECONDS);
    pthread_mutex_lock(&pool.lock);
    while (atomic_load(&pool.generation) == seen)
        pthread_cond_wait(&pool.job_came, &pool.lock);
    pthread_mutex_unlock(&pool.lock);
}

static void *worker_main(void *unused)
{
    unsigned seen = 0;
    (void)unused;

    for (;;) {
        const struct job *job = NULL;
        fenv_t environment;
        int thread = 0, threads = 0;

        await_job(seen);
        pthread_mutex_lock(&pool.lock);
        seen = atomic_load(&pool.generation);
        if (pool.threads < pool.max_threads) {
            thread = pool.threads++;
            threads = pool.max_threads;
            job = pool.job;
            environment = pool.environment;
            atomic_fetch_add(&pool.working, 1);
        }
        const int places = pool.threads < pool.max_threads;
        pthread_mutex_unlock(&pool.lock);
        if (!job)
            continue;
        if (places) /* each wakes the next, so that the caller need not wake them all before its first task */
            pthread_cond_signal(&pool.job_came);

        fesetenv(&environment);
        take_tasks(job, thread, threads, never_ends);
        pthread_mutex_lock(&pool.lock);
        if (atomic_fetch_sub(&pool.working, 1) == 1)
            pthread_cond_signal(&pool.workers_left);
        pthread_mutex_unlock(&pool.lock);
    }
    return NULL;
}

/* In the child of a fork there are no workers, and other threads of the parent may have held the locks. */
static void forget_workers(void)
{
    pthread_mutex_init(&pool.lock, NULL);
    pthread_cond_init(&pool.job_came, NULL);
    pthread_cond_init(&pool.workers_left, NULL);
    atomic_store(&pool.workers, 0);
    forks++;
    pool.max_threads = 0;
    atomic_store(&pool.working, 0);
    atomic_flag_clear(&busy);
    atomic_store(&callers, 0);
}

/* Start workers until there are `wanted`, or until the system refuses. They take only the signals of their own faults;
 * the others are for the threads of Python. */
static void start_workers(int wanted)
{
    static const int faults[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGABRT};
    static int registered;
    pthread_attr_t attributes;
    sigset_t all, before;

    if (!registered)
        registered = pthread_atfork(NULL, NULL, forget_workers) == 0;
    pthread_attr_init(&attributes);
    pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
    pthread_attr_setstacksize(&attributes, STACK_BYTES);
    sigfillset(&all);
    for (size_t i = 0; i < sizeof faults / sizeof faults[0]; i++)
        sigdelset(&all, faults[i]);
    pthread_sigmask(SIG_BLOCK, &all, &before);
    while (atomic_load(&pool.workers) < wanted) {
        pthread_t thread;
        if (pthread_create(&thread, &attributes, worker_main, NULL))
            break;
        atomic_fetch_add(&pool.workers, 1);
    }
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    pthread_attr_destroy(&attributes);
}

static int run_alone(const struct job *job)
{
    for (ptrdiff_t task = 0; task < job->task_count; task++) {
        job->run(job->context, task, 0);
        if (is_ended(job) || !job->keep_going(job->state))
            return 0;
    }
    return 1;
}

static void open_job(const struct job *job, int threads)
{
    pthread_mutex_lock(&pool.lock);
    start_workers(threads - 1);
    pool.job = job;
    fegetenv(&pool.environment);
    pool.threads = 1;
    pool.max_threads = threads;
    atomic_store(&pool.crowded, threads > atomic_load(&processors));
    const int shares = share_count(job, threads);
    for (int share = 0; share < shares; share++)
        atomic_store(&pool.shares[share].next, share_begin(job, share, shares));
    atomic_fetch_add(&pool.generation, 1);
    pthread_mutex_unlock(&pool.lock);
    pthread_cond_signal(&pool.job_came);
}

/* Let no worker join any more, and wait for those that have joined, because they read memory of the caller. */
static void close_job(void)
{
    pthread_mutex_lock(&pool.lock);
    pool.max_threads = 0;
    pthread_mutex_unlock(&pool.lock);
    for (unsigned left; (left = atomic_load(&pool.working)) && changes(&pool.working, left, CALLER_LOOKS_MICROSECONDS);)
        ;
    pthread_mutex_lock(&pool.lock);
    while (atomic_load(&pool.working))
        pthread_cond_wait(&pool.workers_left, &pool.lock);
    pthread_mutex_unlock(&pool.lock);
}

static int run_together(const struct job *job, int threads)
{
    const unsigned forks_before = forks;

    open_job(job, threads);
    const int finished = take_tasks(job, 0, threads, job->keep_going);
    /* A signal's handler may have forked. In the child the workers are gone, and their tasks may be unfinished: every
     * task is computed again, which does no harm. */
    if (forks != forks_before)
        return finished ? run_alone(job) : 0;
    close_job();
    atomic_flag_clear(&busy);
    return finished;
}

int thread_pool_run(const struct job *job, int threads)
{
    const unsigned forks_before = forks;
    int finished;

    if (job->task_count < threads)
        threads = (int)job->task_count;
    atomic_fetch_add(&callers, 1);
    if (threads <= 1 || atomic_flag_test_and_set(&busy))
        finished = run_alone(job);
    else
        finished = run_together(job, threads);
    if (forks == forks_before) /* otherwise forget_workers has set it to 0 */
        atomic_fetch_sub(&callers, 1);
    return finished && !is_ended(job); /* a worker may have ended it, and its caller found no task left */
}

void thread_pool_close(void)
{
    const struct timespec moment = {0, 100000};

    atomic_store(&closed, 1);
    while (atomic_load(&callers))
        nanosleep(&moment, NULL);
}

int thread_pool_is_closed(void)
{
    return atomic_load(&closed);
}
