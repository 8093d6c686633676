/* input_gradient: the gradient of x from that of y, by the transpose of the convolution.
 *
 * For one image and group it is col2im(K^T @ G), a tile at a time, where G is the gradient of y as a matrix. A task is
 * a block of input channels of one group of one image; no other task adds to these channels:
 *
 *                          pixels of the output
 *                       +------+------+------+--
 *      G  channels      | tile |      |      |
 *                       +------+------+------+--
 *      +----------+     +------+
 *  K^T | channels |     |      |   `panel` rows at a time in scratch; one BLAS call: `taps` x `pixels` += `channels` of
 *      |          |     +------+   the sum
 *      +----------+        |
 *                          |  col2im adds every row to its channel (a 1x1 convolution multiplies into the image)
 *                          v
 *         the block's channels of the image
 *
 * A 1x1 convolution adds nothing to an element twice, so there each tile is a task. The image begins with the bias,
 * which transposed convolutions have, or with zeros.
 *
 * How the work is cut into calls of BLAS and tasks depends on the geometry of one image alone, and tiles are added in
 * order. So the bits depend neither on the batch nor on the number of threads.
 */
#ifndef GEMMCONV_INPUT_GRADIENT_H
#define GEMMCONV_INPUT_GRADIENT_H

#include "gemm/gemm_conv.h"
#include "gemm/im2col.h"

static inline ptrdiff_t input_gradient_blocks(const struct conv_problem *problem)
{
    return ceil_div(group_in_channels(problem), problem->tiling.block);
}

/* The tasks that share a block. */
static inline ptrdiff_t input_gradient_shares(const struct conv_problem *problem)
{
    return reads_image_in_place(problem) ? gemm_conv_tiles(problem) : 1;
}

static inline ptrdiff_t input_gradient_task_count(const struct conv_problem *problem)
{
    return problem->batch * problem->groups * input_gradient_blocks(problem) * input_gradient_shares(problem);
}

/* The elements of scratch that a task needs: one panel. */
static inline ptrdiff_t input_gradient_scratch_size(const struct conv_problem *problem)
{
    return gemm_conv_scratch_size(problem);
}

#endif
