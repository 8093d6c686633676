/* weight_gradient: the gradient of the weight from those of y and from x. For one group, with the gradient of y of
 * image n as the matrix G[n], channels x output positions, and the patch matrix P[n]:
 *
 *     dK = sum over images n of G[n] @ P[n]^T          (rows: output channels; columns: input channels and taps)
 *
 * Kernels cut dK into blocks and the output positions of an image into tiles. A task is a block of dK; it adds up the
 * products of the tiles of all images, in order. If there are few blocks, the sequence of tiles is cut into parts. Each
 * part has its own tasks and its own dK, and sum_parts adds these in order:
 *
 *     image            0           1           2
 *     tiles       0 1 2 3 4 | 0 1 2 3 4 | 0 1 2 3 4
 *     parts       -----0----- ----1----- -----2-----
 *
 * How the sum is cut depends on sizes alone, so the bits do not depend on the number of threads. Every tile is summed
 * from zero. So the error grows with the positions of a tile plus the tiles of a part plus the parts, not with their
 * product.
 */
#ifndef GEMMCONV_PARTS_H
#define GEMMCONV_PARTS_H

#include "problem.h"

enum {
    GRADIENT_TASKS = 16,         /* a weight gradient is cut into at least this many tasks, if its size allows */
    PARTS_ELEMENTS = 256 << 10,  /* elements that all parts together may have */
    SUM_PARTS_ELEMENTS = 4 << 10 /* elements of dK that a task of sum_parts adds */
};

/* The parts of the sum over all `tiles` of all images, if dK has `blocks` blocks. */
static inline ptrdiff_t parts_of_sum(const struct conv_problem *problem, ptrdiff_t tiles, ptrdiff_t blocks)
{
    const ptrdiff_t wanted = min_size(ceil_div(GRADIENT_TASKS, blocks), PARTS_ELEMENTS / weight_size(problem));
    return max_size(min_size(wanted, tiles), 1);
}

/* The first tile of a part; it is also the end of the part before. */
static inline ptrdiff_t first_tile(const struct conv_problem *problem, ptrdiff_t tiles, ptrdiff_t part)
{
    return tiles / problem->parts * part + tiles % problem->parts * part / problem->parts;
}

static inline ptrdiff_t sum_parts_task_count(const struct conv_problem *problem)
{
    return ceil_div(weight_size(problem), SUM_PARTS_ELEMENTS);
}

#endif
