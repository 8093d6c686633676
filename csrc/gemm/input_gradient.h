/* input_gradient: the way back, from a gradient of y to that of x: the transpose of the convolution.
 *
 * For one image and group it is col2im(K^T @ G), with the gradient of y as the matrix G, a tile of it at a time. A task
 * is a block of input channels of one group of one image; no other task adds to them:
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
 * Where nothing is added to what is in the image, the tiles are tasks of their own. A bias, as transposed convolutions
 * have, is what the image begins with.
 *
 * How the work is cut into calls and tasks depends on the geometry of one image alone, and tiles are added in their
 * order: so the bits depend neither on the batch nor on the number of threads.
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
