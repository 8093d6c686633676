/* The kernels of one instruction set: what dispatch.c chooses among. */
#ifndef GEMMCONV_KERNELS_H
#define GEMMCONV_KERNELS_H

#include "gemm/im2col.h"
#include "problem.h"

/* Computes one task of a problem; `scratch` is for this task alone, as large as the operation's scratch_size says. */
typedef void task_kernel(const struct conv_problem *, ptrdiff_t task, void *scratch);

/* The ways to compute a convolution. */
enum conv_kernel { GEMM_CONV, DIRECT_CHANNELS, DIRECT_PIXELS, DEPTHWISE, WINOGRAD, CONV_KERNELS };

/* How each cuts a problem: its tasks, the elements of scratch of a task, and the elements of its layout of the weights,
 * which is made by tasks of its own; without a layout it takes the weights as they are. */
struct cutting {
    const char *name;
    ptrdiff_t (*task_count)(const struct conv_problem *), (*scratch_size)(const struct conv_problem *);
    ptrdiff_t (*layout_size)(const struct conv_problem *), (*layout_task_count)(const struct conv_problem *);
};

extern const struct cutting cuttings[CONV_KERNELS];

/* The ways to compute the gradient of the weight, and how each cuts a problem. */
enum weight_gradient { WEIGHT_GRADIENT_GEMM, WEIGHT_GRADIENT_CHANNELS, WEIGHT_GRADIENT_PIXELS, WEIGHT_GRADIENTS };

struct weight_gradient_cutting {
    const char *name;
    ptrdiff_t (*parts)(const struct conv_problem *), (*task_count)(const struct conv_problem *);
    ptrdiff_t (*scratch_size)(const struct conv_problem *);
    int (*fits)(const struct conv_problem *); /* whether it can, within its scratch */
};

extern const struct weight_gradient_cutting weight_gradient_cuttings[WEIGHT_GRADIENTS];

/* The two kernels of a convolution: run reads the layout as problem->weight; lay_out reads the weights there and writes
 * the layout to problem->output. */
struct conv_kernels {
    task_kernel *run, *lay_out;
};

/* The kernels for one type; `void` stands for float or double. */
struct typed_kernels {
    struct conv_kernels conv[CONV_KERNELS];
    struct conv_kernels phases;
    task_kernel *phases_stack;
    task_kernel *weight_gradient_run[WEIGHT_GRADIENTS];
    task_kernel *input_gradient_run, *sum_parts_run, *im2col_run, *col2im_run;
    void (*pack_panel)(const struct conv_problem *, const struct panel *, const void *image, void *rows);
    void (*add_panel)(const struct conv_problem *, const struct panel *, const void *rows, void *image);
    double (*fma_burst)(ptrdiff_t rounds);
};

struct kernels {
    const char *isa;
    struct typed_kernels float32, float64;
};

extern const struct kernels kernels_baseline, kernels_avx2, kernels_avx512;

#endif
