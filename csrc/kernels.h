/* Every C kernel: the list of them, how they cut problems, and their functions for one instruction set. */
#ifndef GEMMCONV_KERNELS_H
#define GEMMCONV_KERNELS_H

#include "gemm/im2col.h"
#include "problem.h"

enum operation { CONVOLUTION, INPUT_GRADIENT, WEIGHT_GRADIENT };

/* The list of kernels. To add one, add a row here, its two files in all_kernels.inc and an entry in engine/kernels.py.
 * The columns are the first words of the names of its functions; `default` stands for functions that kernels share:
 *
 *     stem      <stem>_task_count, <stem>_scratch_size, <stem>_run
 *     parts     <parts>_parts                                            default: the sum is one part
 *     layout    <layout>_layout_size, _layout_task_count, _lay_out       default: the weight is read as it is
 *     fits      <fits>_fits                                              default: the kernel fits every geometry
 *
 *         operation        stem                      parts                     layout           fits */
/* clang-format off */
#define ALL_KERNELS(ROW)                                                                                               \
    ROW(CONVOLUTION,     gemm_conv,                default,                  default,         default)                 \
    ROW(CONVOLUTION,     direct_channels,          default,                  direct_channels, default)                 \
    ROW(CONVOLUTION,     dense_channels,           default,                  direct_channels, dense_channels)          \
    ROW(CONVOLUTION,     panels,                   default,                  default,         default)                 \
    ROW(CONVOLUTION,     direct_pixels,            default,                  direct_pixels,   default)                 \
    ROW(CONVOLUTION,     depthwise,                default,                  depthwise,       depthwise)               \
    ROW(CONVOLUTION,     depthwise_channels,       default,                  depthwise_channels, depthwise_channels)    \
    ROW(CONVOLUTION,     winograd,                 default,                  winograd,        winograd)                \
    ROW(CONVOLUTION,     fft,                      default,                  fft,             fft)                     \
    ROW(INPUT_GRADIENT,  input_gradient,           default,                  default,         default)                 \
    ROW(INPUT_GRADIENT,  phases,                   default,                  phases,          phases)                  \
    ROW(WEIGHT_GRADIENT, weight_gradient_gemm,     weight_gradient_gemm,     default,         default)                 \
    ROW(WEIGHT_GRADIENT, weight_gradient_channels, weight_gradient_channels, default,         default)                 \
    ROW(WEIGHT_GRADIENT, weight_gradient_pixels,   weight_gradient_pixels,   default,         default)                 \
    ROW(WEIGHT_GRADIENT, weight_gradient_depthwise, weight_gradient_depthwise, default,       weight_gradient_depthwise)
/* clang-format on */

#define NUMBER(operation, stem, parts, layout, fits) KERNEL_##stem,
enum kernel { ALL_KERNELS(NUMBER) KERNEL_COUNT };
#undef NUMBER

/* What is known of a kernel before it runs: what it computes, whether it fits, how it divides its work. */
struct cut {
    const char *name;
    enum operation operation;
    ptrdiff_t (*parts)(const struct conv_problem *);
    ptrdiff_t (*task_count)(const struct conv_problem *);
    ptrdiff_t (*scratch_size)(const struct conv_problem *);      /* elements, for one task */
    ptrdiff_t (*layout_size)(const struct conv_problem *);       /* elements; 0 if the weight is read as it is */
    ptrdiff_t (*layout_task_count)(const struct conv_problem *); /* the tasks that lay the weight out */
    int (*fits)(const struct conv_problem *);                    /* whether it can compute a problem */
};

extern const struct cut cuts[KERNEL_COUNT];

/* Computes one task of a problem; `scratch` is for this task alone, as large as scratch_size says. */
typedef void task_kernel(const struct conv_problem *, ptrdiff_t task, void *scratch);

/* `lay_out` reads problem->weight and writes the layout to problem->output; `run` reads the layout as
 * problem->weight. */
struct kernel_functions {
    task_kernel *run, *lay_out;
};

/* The kernels for one type; `void` stands for float or double. */
struct typed_kernels {
    struct kernel_functions kernels[KERNEL_COUNT];
    task_kernel *turn, *stack, *sum_parts, *im2col, *col2im;
    void (*pack_panel)(const struct conv_problem *, const struct panel *, const void *image, void *rows);
    void (*add_panel)(const struct conv_problem *, const struct panel *, const void *rows, void *image);
    double (*fma_burst)(ptrdiff_t rounds);
};

/* The kernels of one instruction set: what dispatch.c chooses among. */
struct kernels {
    const char *isa;
    const struct typed_kernels *float32, *float64;
};

extern const struct kernels kernels_baseline, kernels_avx2, kernels_avx512;

#endif
