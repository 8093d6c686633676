/* gemm_conv: the tile loop. Y = K @ P, a tile of P at a time.
 *
 * A task is one tile of output pixels and one block of output channels, of one group of one image. Each task packs its
 * tile, even if tasks of other blocks pack the same one:
 *
 *                      pixels of the image
 *                   +------+------+------+--
 *      P  K rows    | tile |      |      |         packed into scratch by pack_panel, `panel` rows at a time
 *                   |      |      |      |         (a 1x1 convolution multiplies the image in place)
 *                   +------+------+------+--
 *      +--------+   +------+------+------+--        `block` channels in a task
 *   K  |channels|   |      |      |      |         one BLAS call: `channels` x `pixels` += `taps` of the sum
 *      +--------+   +------+------+------+--
 *      |        |   |      |      |      |   Y     BLAS writes the output itself, row by row
 *      +--------+   +------+------+------+--
 *
 * How an image is cut into calls of BLAS depends on its geometry alone, and the sum over the rows of P is taken in one
 * order. So the bits of the result depend neither on the batch, nor on the number of calls in a task, nor on the thread
 * that runs it.
 */
#ifndef GEMMCONV_GEMM_CONV_H
#define GEMMCONV_GEMM_CONV_H

#include "problem.h"

/* Whether P is the image itself. */
static inline int reads_image_in_place(const struct conv_problem *problem)
{
    int in_place = volume(problem->kernel) == 1;
    for (int axis = 0; axis < AXES; axis++)
        in_place = in_place && problem->stride[axis] == 1 && problem->pad_before[axis] == 0 &&
                   problem->in_size[axis] == problem->out_size[axis];
    return in_place;
}

static inline ptrdiff_t gemm_conv_tiles(const struct conv_problem *problem)
{
    return ceil_div(volume(problem->out_size), problem->tiling.pixels);
}

static inline ptrdiff_t gemm_conv_blocks(const struct conv_problem *problem)
{
    return ceil_div(group_out_channels(problem), problem->tiling.block);
}

static inline ptrdiff_t gemm_conv_task_count(const struct conv_problem *problem)
{
    return problem->batch * problem->groups * gemm_conv_tiles(problem) * gemm_conv_blocks(problem);
}

/* The elements of scratch that a task needs: one panel. */
static inline ptrdiff_t gemm_conv_scratch_size(const struct conv_problem *problem)
{
    return reads_image_in_place(problem) ? 0 : problem->tiling.panel * problem->tiling.pixels;
}

#endif
