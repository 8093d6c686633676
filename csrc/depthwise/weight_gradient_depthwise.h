/* weight_gradient_depthwise: the gradient of the weight with one input and one output channel per group, with channels
 * last and in the lanes of vectors.
 *
 *     dK[c, tap] = sum over positions p of gradient[p, c] * x[where tap reads for p, c]
 *
 * A task computes some channels of dK, for one part of the sum (see parts.h). A tile is a row of the output, or a piece
 * of one. It is cut where the taps that find an element of x change, so nothing is packed and padding costs nothing.
 * The sums of some taps stay in registers for all columns between two cuts:
 *
 *     column                0     1     2     3     4            stride 1, padding 1
 *     tap 0                       +     +     +     +
 *     tap 1                 +     +     +     +     +
 *     tap 2                 +     +     +     +
 *     cuts                     |                 |
 *
 *     rows                  [block of CHANNEL_BLOCK channels][tap][lane]     the sums so far
 *     output                [part of the sum][channel][tap]
 */
#ifndef GEMMCONV_WEIGHT_GRADIENT_DEPTHWISE_H
#define GEMMCONV_WEIGHT_GRADIENT_DEPTHWISE_H

#include "channels/direct_channels.h"
#include "parts.h"

enum {
    GRADIENT_LANES_BLOCK = 2 * CHANNEL_BLOCK, /* channels of a task, at most */
    GRADIENT_LANES_COLUMNS = 256,             /* columns of a tile, at most */
    GRADIENT_LANES_WORK = 1 << 16,            /* multiplications that a task should have */
};

static inline int weight_gradient_depthwise_fits(const struct conv_problem *problem)
{
    return problem->channels_last && group_in_channels(problem) == 1 && group_out_channels(problem) == 1 &&
           volume(problem->kernel) <= CHANNELS_SLICE;
}

static inline ptrdiff_t gradient_lanes_blocks(const struct conv_problem *problem)
{
    return ceil_div(problem->out_channels, GRADIENT_LANES_BLOCK);
}

static inline ptrdiff_t gradient_lanes_columns(const struct conv_problem *problem)
{
    return equal_piece(problem->out_size[2], GRADIENT_LANES_COLUMNS);
}

static inline ptrdiff_t gradient_lanes_tiles(const struct conv_problem *problem)
{
    return problem->batch * problem->out_size[0] * problem->out_size[1] *
           ceil_div(problem->out_size[2], gradient_lanes_columns(problem));
}

static inline ptrdiff_t weight_gradient_depthwise_parts(const struct conv_problem *problem)
{
    const double work = (double)problem->batch * (double)volume(problem->out_size) * (double)weight_size(problem);
    const double tasks = work / GRADIENT_LANES_WORK / (double)gradient_lanes_blocks(problem);
    const ptrdiff_t parts = parts_of_sum(problem, gradient_lanes_tiles(problem), gradient_lanes_blocks(problem));
    return tasks < (double)parts ? (ptrdiff_t)tasks + 1 : parts;
}

static inline ptrdiff_t weight_gradient_depthwise_task_count(const struct conv_problem *problem)
{
    return problem->parts * gradient_lanes_blocks(problem);
}

static inline ptrdiff_t weight_gradient_depthwise_scratch_size(const struct conv_problem *problem)
{
    return GRADIENT_LANES_BLOCK * volume(problem->kernel);
}

#endif
