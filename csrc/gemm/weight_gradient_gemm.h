/* weight_gradient_gemm: the gradient of the weight by BLAS, for every geometry.
 *
 * A task is a block of dK, of `block` rows and `panel` columns. For each tile of output positions it packs the rows of
 * P that belong to these columns, and BLAS multiplies (a 1x1 convolution multiplies the image in place):
 *
 *                     tile
 *                   +------+
 *      rows of P    | panel|                 packed into scratch by pack_panel
 *                   +------+
 *          tile
 *       +--------+  +------+
 *    G  |channels|  |  dK  |  += G[block, tile] @ panel^T
 *       +--------+  +------+
 */
#ifndef GEMMCONV_WEIGHT_GRADIENT_GEMM_H
#define GEMMCONV_WEIGHT_GRADIENT_GEMM_H

#include "gemm/gemm_conv.h"
#include "parts.h"

/* The blocks next to each other along the columns of dK, which are the rows of P. */
static inline ptrdiff_t weight_gradient_gemm_row_blocks(const struct conv_problem *problem)
{
    return ceil_div(reduction_length(problem), problem->tiling.panel);
}

static inline ptrdiff_t weight_gradient_gemm_blocks(const struct conv_problem *problem)
{
    return problem->groups * gemm_conv_blocks(problem) * weight_gradient_gemm_row_blocks(problem);
}

static inline ptrdiff_t weight_gradient_gemm_parts(const struct conv_problem *problem)
{
    return parts_of_sum(problem, problem->batch * gemm_conv_tiles(problem), weight_gradient_gemm_blocks(problem));
}

static inline ptrdiff_t weight_gradient_gemm_task_count(const struct conv_problem *problem)
{
    return problem->parts * weight_gradient_gemm_blocks(problem);
}

/* The elements of scratch that a task needs: one panel. */
static inline ptrdiff_t weight_gradient_gemm_scratch_size(const struct conv_problem *problem)
{
    return gemm_conv_scratch_size(problem);
}

#endif
