/* Compiled with the baseline's flags: this file runs before anything is known about the machine. */
#include "dispatch.h"

#include <string.h>

static int always(void)
{
    return 1;
}

#ifdef GEMMCONV_HAVE_AVX2
static int has_avx2(void)
{
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
}
#endif

#ifdef GEMMCONV_HAVE_AVX512
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
#ifdef GEMMCONV_HAVE_AVX2
    {&kernels_avx2, has_avx2},
#endif
#ifdef GEMMCONV_HAVE_AVX512
    {&kernels_avx512, has_avx512},
#endif
};

enum { INSTRUCTION_SETS = sizeof instruction_sets / sizeof instruction_sets[0] };

static const struct kernels *active;

const struct kernels *supported_kernels(int index)
{
    for (int i = 0; i < INSTRUCTION_SETS; i++)
        if (instruction_sets[i].supported() && index-- == 0)
            return instruction_sets[i].kernels;
    return NULL;
}

const struct kernels *active_kernels(void)
{
    if (!active)
        for (int i = 0; supported_kernels(i); i++)
            active = supported_kernels(i);
    return active;
}

int select_kernels(const char *isa)
{
    const struct kernels *kernels;

    for (int i = 0; (kernels = supported_kernels(i)); i++)
        if (strcmp(kernels->isa, isa) == 0) {
            active = kernels;
            return 1;
        }
    return 0;
}
