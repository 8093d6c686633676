/* One convolution in numbers, and where its arrays are.
 *
 * Arrays are contiguous in C order, with three spatial axes (depth, height, width); axes that a 1-D or 2-D
 * convolution does not have are of size 1:
 *
 *     x       (batch, in_channels, in_size[0], in_size[1], in_size[2])
 *     weight  (out_channels, in_channels / groups, kernel[0], kernel[1], kernel[2])
 *     bias    (out_channels), or NULL
 *     y       (batch, out_channels, out_size[0], out_size[1], out_size[2])
 *             with channels_last, x and y have their channels as the last axis instead: (batch, in_size ...,
 * in_channels) P       (batch, in_channels * taps, outputs), the patch matrix
 *
 * What is read and what is written depends on what is computed:
 *
 *                          input           gradient        weight                      output
 *     a convolution        x                               the weight, or its layout   y
 *     input_gradient                       gradient of y   the weight, or its layout   gradient of x
 *     phases                               gradient of y   the weight, or its layout   gradient of x
 *     weight_gradient_*    x               gradient of y                               parts of the gradient of weight
 *     sum_parts            the parts                                                   their sum
 *     turn                                                 the weight of the other     the turned weight
 *                                                          convolution (turn.h)
 *     lay_out              phases: the                     the weight                  its layout
 *                          stacked weights
 *     stack                                                the weight                  the stacked weights
 *     im2col               x                                                           P
 *     col2im               P                                                           x
 *
 * Output position i reads input position i * stride - pad_before + tap * dilation along every axis; what lies outside
 * the input counts as zero. Padding may be negative. The padding after the input follows from out_size.
 *
 * Python has checked everything: all sizes are positive (batch may be 0), channels divide by groups, and every product
 * that is formed here fits ptrdiff_t.
 */
#ifndef GEMMCONV_PROBLEM_H
#define GEMMCONV_PROBLEM_H

#include <stdatomic.h>
#include <stddef.h>

#include "blas.h"

enum {
    AXES = 3,
    LONGEST_VECTOR = 16,      /* lanes of float32 in the longest vector of any instruction set; sizes rounded up to it
                                 suit every instruction set */
    LARGEST_SCRATCH = 2 << 20 /* bytes of scratch that a thread may use */
};

/* The numbers i with first <= i < end: positions, taps, columns. */
struct interval {
    ptrdiff_t first, end;
};

/* How the tile loop cuts the matrix product of one image and group (see gemm_conv.h). */
struct tiling {
    ptrdiff_t pixels;   /* columns of P in a task; winograd: the side of a tile; fft: the columns of a block */
    ptrdiff_t block;    /* rows of K in a task */
    ptrdiff_t panel;    /* rows of P packed at a time; fft: the rows of a block */
    ptrdiff_t channels; /* rows of K in one call of BLAS */
    ptrdiff_t taps;     /* rows of P in one call of BLAS */
};

struct phases;

struct conv_problem {
    ptrdiff_t batch, in_channels, out_channels, groups;
    ptrdiff_t in_size[AXES], out_size[AXES], kernel[AXES];
    ptrdiff_t stride[AXES], dilation[AXES], pad_before[AXES];
    struct tiling tiling;
    struct blas blas;
    const void *input, *gradient, *weight, *bias;
    void *output;
    int relu;                          /* whether what is below zero is replaced by zero */
    int transposed;                    /* panels: whether K is stored column by column in each group */
    ptrdiff_t parts;                   /* weight_gradient: sums that are computed apart and added afterwards */
    _Atomic unsigned char *not_finite; /* winograd and fft: one for each image, weight_gradient_pixels: a single one;
                                          set where a result is not finite */
    const struct phases *phases;       /* phases: how the way back is cut */
    ptrdiff_t itemsize;                /* the bytes of an element of the arrays */
    int channels_last;                 /* whether the channels are the last axis of x and y */
    ptrdiff_t out_steps[AXES];         /* phases with channels last: y is spread over a larger array, and these are the
                                          elements from one of its positions to the next, along each axis; otherwise 0 */
};

static inline ptrdiff_t min_size(ptrdiff_t a, ptrdiff_t b)
{
    return a < b ? a : b;
}

static inline ptrdiff_t max_size(ptrdiff_t a, ptrdiff_t b)
{
    return a > b ? a : b;
}

/* The smallest integer that is not below a / b; b is positive, a may be negative. */
static inline ptrdiff_t ceil_div(ptrdiff_t a, ptrdiff_t b)
{
    return a / b + (a % b > 0);
}

static inline ptrdiff_t round_up(ptrdiff_t size, ptrdiff_t unit)
{
    return ceil_div(size, unit) * unit;
}

/* The last digit of a number that counts through `count` of something, fastest last; the number goes on with the rest:
 *
 *     number = (image * rows + row) * columns + column      column = take(&number, columns)
 *                                                           row = take(&number, rows)        image = number */
static inline ptrdiff_t take(ptrdiff_t *number, ptrdiff_t count)
{
    const ptrdiff_t digit = *number % count;
    *number /= count;
    return digit;
}

static inline ptrdiff_t interval_length(const struct interval *interval)
{
    return max_size(interval->end - interval->first, 0);
}

/* The size of the pieces when a total is cut into as few as possible, of nearly equal sizes, each of at most
 * max(limit, 1). */
static inline ptrdiff_t equal_piece(ptrdiff_t total, ptrdiff_t limit)
{
    return ceil_div(total, ceil_div(total, max_size(limit, 1)));
}

static inline ptrdiff_t greatest_common_divisor(ptrdiff_t a, ptrdiff_t b)
{
    while (b) {
        const ptrdiff_t rest = a % b;
        a = b;
        b = rest;
    }
    return a;
}

static inline ptrdiff_t volume(const ptrdiff_t size[AXES])
{
    return size[0] * size[1] * size[2];
}

/* The place along each axis of tap number `tap` of a kernel of this size. */
static inline void tap_at(const ptrdiff_t kernel[AXES], ptrdiff_t tap, ptrdiff_t at[AXES])
{
    for (int axis = AXES - 1; axis >= 0; axis--)
        at[axis] = take(&tap, kernel[axis]);
}

/* How many taps apart along an axis taps read elements that are a multiple of the stride apart. */
static inline ptrdiff_t tap_period(const struct conv_problem *problem, int axis)
{
    return problem->stride[axis] / greatest_common_divisor(problem->stride[axis], problem->dilation[axis]);
}

static inline ptrdiff_t group_in_channels(const struct conv_problem *problem)
{
    return problem->in_channels / problem->groups;
}

static inline ptrdiff_t group_out_channels(const struct conv_problem *problem)
{
    return problem->out_channels / problem->groups;
}

/* The elements of x and of y from a position to the next one, and from a channel to the next one. */
static inline ptrdiff_t in_position_step(const struct conv_problem *problem)
{
    return problem->channels_last ? problem->in_channels : 1;
}

static inline ptrdiff_t in_channel_step(const struct conv_problem *problem)
{
    return problem->channels_last ? 1 : volume(problem->in_size);
}

static inline ptrdiff_t out_position_step(const struct conv_problem *problem)
{
    if (problem->out_steps[2])
        return problem->out_steps[2];
    return problem->channels_last ? problem->out_channels : 1;
}

/* Where an output position begins in a channel of y, or with channels last in an image of y. */
static inline ptrdiff_t out_offset(const struct conv_problem *problem, ptrdiff_t d, ptrdiff_t h, ptrdiff_t w)
{
    const ptrdiff_t *steps = problem->out_steps, *size = problem->out_size;
    if (steps[2])
        return d * steps[0] + h * steps[1] + w * steps[2];
    return ((d * size[1] + h) * size[2] + w) * out_position_step(problem);
}

static inline ptrdiff_t out_channel_step(const struct conv_problem *problem)
{
    return problem->channels_last ? 1 : volume(problem->out_size);
}

/* Where a group of an image begins in x and in y; the groups of all images are numbered. */
static inline ptrdiff_t in_group_offset(const struct conv_problem *problem, ptrdiff_t image_and_group)
{
    const ptrdiff_t image = image_and_group / problem->groups, group = image_and_group % problem->groups;
    return image * problem->in_channels * volume(problem->in_size) +
           group * group_in_channels(problem) * in_channel_step(problem);
}

static inline ptrdiff_t out_group_offset(const struct conv_problem *problem, ptrdiff_t image_and_group)
{
    const ptrdiff_t image = image_and_group / problem->groups, group = image_and_group % problem->groups;
    return image * problem->out_channels * volume(problem->out_size) +
           group * group_out_channels(problem) * out_channel_step(problem);
}

/* The length of the sum behind one output: the rows of P, the columns of K. */
static inline ptrdiff_t reduction_length(const struct conv_problem *problem)
{
    return group_in_channels(problem) * volume(problem->kernel);
}

/* The elements of the weight. */
static inline ptrdiff_t weight_size(const struct conv_problem *problem)
{
    return problem->out_channels * reduction_length(problem);
}

#endif
