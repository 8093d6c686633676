/* The kernels of one instruction set: what dispatch.c chooses among. */
#ifndef GEMMCONV_KERNELS_H
#define GEMMCONV_KERNELS_H

#include "im2col.h"
#include "problem.h"

/* The kernels for one type; `void` stands for float or double. */
struct typed_kernels {
    void (*im2col)(const struct conv_problem *, const struct panel *, const void *image, void *rows);
    void (*col2im)(const struct conv_problem *, const struct panel *, const void *rows, void *image);
    void (*gemm_conv_run)(const struct conv_problem *, ptrdiff_t task, void *scratch);
    double (*fma_burst)(ptrdiff_t rounds);
};

struct kernels {
    const char *isa;
    struct typed_kernels float32, float64;
};

extern const struct kernels kernels_baseline, kernels_avx2, kernels_avx512;

#endif
