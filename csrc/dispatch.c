/* Compiled with the baseline's flags: this file runs before anything is known about the machine. */
#include "dispatch.h"

#include <stdatomic.h>
#include <string.h>

#include "depthwise/depthwise.h"
#include "channels/direct_channels.h"
#include "pixels/direct_pixels.h"
#include "winograd/winograd.h"
#include "gemm/gemm_conv.h"
#include "channels/weight_gradient_channels.h"
#include "gemm/weight_gradient_gemm.h"
#include "pixels/weight_gradient_pixels.h"

static ptrdiff_t none(const struct conv_problem *problem)
{
    (void)problem;
    return 0;
}

#define CUTTING(stem) {#stem, stem##_task_count, stem##_scratch_size, stem##_layout_size, stem##_layout_task_count}

const struct cutting cuttings[CONV_KERNELS] = {
    [GEMM_CONV] = {"gemm_conv", gemm_conv_task_count, gemm_conv_scratch_size, none, none},
    [DIRECT_CHANNELS] = CUTTING(direct_channels),
    [DIRECT_PIXELS] = CUTTING(direct_pixels),
    [DEPTHWISE] = CUTTING(depthwise),
    [WINOGRAD] = CUTTING(winograd),
};

static int always_fits(const struct conv_problem *problem)
{
    (void)problem;
    return 1;
}

#undef CUTTING
#define CUTTING(stem, fits) {#stem, stem##_parts, stem##_task_count, stem##_scratch_size, fits}

const struct weight_gradient_cutting weight_gradient_cuttings[WEIGHT_GRADIENTS] = {
    [WEIGHT_GRADIENT_GEMM] = CUTTING(weight_gradient_gemm, always_fits),
    [WEIGHT_GRADIENT_CHANNELS] = CUTTING(weight_gradient_channels, always_fits),
    [WEIGHT_GRADIENT_PIXELS] = CUTTING(weight_gradient_pixels, weight_gradient_pixels_fits),
};

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
