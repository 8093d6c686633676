/* How a kernel cuts a problem does not depend on the instruction set: the table of cuts is compiled once, here. */
#define KERNELS kernels_baseline
#define ISA "baseline"
#include "kernels.inc"

static ptrdiff_t default_parts(const struct conv_problem *problem)
{
    (void)problem;
    return 1;
}

static ptrdiff_t default_layout_size(const struct conv_problem *problem)
{
    (void)problem;
    return 0;
}

static ptrdiff_t default_layout_task_count(const struct conv_problem *problem)
{
    (void)problem;
    return 0;
}

static int default_fits(const struct conv_problem *problem)
{
    (void)problem;
    return 1;
}

#define CUT(operation, stem, parts, layout, fits)                                                                      \
    {#stem,                                                                                                            \
     operation,                                                                                                        \
     parts##_parts,                                                                                                    \
     stem##_task_count,                                                                                                \
     stem##_scratch_size,                                                                                              \
     layout##_layout_size,                                                                                             \
     layout##_layout_task_count,                                                                                       \
     fits##_fits},

const struct cut cuts[KERNEL_COUNT] = {ALL_KERNELS(CUT)};
