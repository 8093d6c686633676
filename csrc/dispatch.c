/* Compiled with the baseline's flags: this file runs before anything is known about the machine. */
#include "dispatch.h"

#include "caches.h"

#include <stdatomic.h>
#include <string.h>

/* Sizes of small caches, until Python has given those of the machine. */
struct caches caches = {512 << 10, 8 << 20};

static int always(void)
{
    return 1;
}

#ifdef __x86_64__
static int has_avx2(void)
{
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
}

static int has_avx512(void)
{
    return has_avx2() && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512vl") &&
           __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512bw");
}
#endif

static const struct {
    const struct kernels *kernels;
    int (*supported)(void);
} instruction_sets[] = {
    {&kernels_baseline, always},
#ifdef __x86_64__
    {&kernels_avx2, has_avx2},
    {&kernels_avx512, has_avx512},
#endif
};

enum { INSTRUCTION_SETS = sizeof instruction_sets / sizeof instruction_sets[0] };

static const struct kernels *_Atomic active;

const struct kernels *supported_kernels(int index)
{
    for (int i = 0; i < INSTRUCTION_SETS; i++)
        if (instruction_sets[i].supported() && index-- == 0)
            return instruction_sets[i].kernels;
    return NULL;
}

const struct kernels *active_kernels(void)
{
    const struct kernels *kernels = atomic_load_explicit(&active, memory_order_relaxed);

    if (!kernels) {
        for (int i = 0; supported_kernels(i); i++)
            kernels = supported_kernels(i);
        atomic_store(&active, kernels);
    }
    return kernels;
}

int select_kernels(const char *isa)
{
    const struct kernels *kernels;

    for (int i = 0; (kernels = supported_kernels(i)); i++)
        if (strcmp(kernels->isa, isa) == 0) {
            atomic_store(&active, kernels);
            return 1;
        }
    return 0;
}
