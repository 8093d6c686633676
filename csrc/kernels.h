/* The kernels of one instruction set: what dispatch.c chooses among. */
#ifndef GEMMCONV_KERNELS_H
#define GEMMCONV_KERNELS_H

#include "im2col.h"
#include "problem.h"

/* Computes one task of a problem; `scratch` is for this task alone, as large as the operation's scratch_size says. */
typedef void task_kernel(const struct conv_problem *, ptrdiff_t task, void *scratch);

/* The kernels for one type; `void` stands for float or double. */
struct typed_kernels {
    task_kernel *gemm_conv_run, *input_gradient_run, *im2col_run, *col2im_run;
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
