/* weight_gradient: the gradient of the weight from those of y and from x. For one group, with the gradient of y of
 * image n as the matrix G[n], channels x output positions, and the patch matrix P[n]:
 *
 *     dK = sum over images n of G[n] @ P[n]^T          (rows: output channels; columns: input channels and taps)
 *
 * Kernels cut dK into blocks and the output positions of an image into tiles. A task is a block of dK; it adds up what
 * the tiles of all images give, in their order. Where there are few blocks, the sequence of tiles is cut into parts,
 * which are tasks of their own, each with a dK of its own; sum_parts adds these, in their order:
 *
 *     image            0           1           2
 *     tiles       0 1 2 3 4 | 0 1 2 3 4 | 0 1 2 3 4
 *     parts       -----0----- ----1----- -----2-----
 *
 * How the sum is cut depends on sizes alone, never on the number of threads: so its bits do not either. A tile is
 * summed from zero, so that the error is that of sums of a tile's, a part's tiles' and the parts' length.
 */
#ifndef GEMMCONV_PARTS_H
#define GEMMCONV_PARTS_H

#include "problem.h"

enum {
    GRADIENT_TASKS = 16,         /* wanted at least */
    PARTS_ELEMENTS = 256 << 10,  /* of all parts together */
    SUM_PARTS_ELEMENTS = 4 << 10 /* of a task of sum_parts */
};

static inline ptrdiff_t weight_size(const struct conv_problem *problem)
{
    return problem->out_channels * reduction_length(problem);
}

/* The parts of the sum over `tiles` of all images, for dK of so many blocks. */
static inline ptrdiff_t parts_of_sum(const struct conv_problem *problem, ptrdiff_t tiles, ptrdiff_t blocks)
{
    const ptrdiff_t wanted = min_size(ceil_div(GRADIENT_TASKS, blocks), PARTS_ELEMENTS / weight_size(problem));
    return max_size(min_size(wanted, tiles), 1);
}

/* The first of the tiles of part `part`; that of the next part is the end of this one's. */
static inline ptrdiff_t first_tile(const struct conv_problem *problem, ptrdiff_t tiles, ptrdiff_t part)
{
    return tiles / problem->parts * part + tiles % problem->parts * part / problem->parts;
}

static inline ptrdiff_t sum_parts_task_count(const struct conv_problem *problem)
{
    return ceil_div(weight_size(problem), SUM_PARTS_ELEMENTS);
}

#endif
