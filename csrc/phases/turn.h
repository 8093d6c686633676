/* turn: the weight of the convolution that computes a gradient of the input with stride 1.
 *
 * With stride 1 that gradient is a convolution of the gradient of y. Its kernels are reversed along every axis, and the
 * channels of input and output change places within each group:
 *
 *     weight   (out_channels, in_channels / groups, kernel)
 *     turned   (in_channels, out_channels / groups, kernel in reverse)
 *
 *     2 outputs, 3 inputs, kernels of 2 taps       turned
 *         a b   c d   e f                              b a   h g
 *         g h   i j   k l                              d c   j i
 *                                                      f e   l k
 *
 *     turned[g, c, o, tap] = weight[g, o, c, taps - 1 - tap]
 *
 * The problem is the convolution that reads the turned weight. So it counts the channels the other way round: its
 * out_channels are the rows of `turned`. A task turns some rows of one group.
 */
#ifndef GEMMCONV_TURN_H
#define GEMMCONV_TURN_H

#include "problem.h"

enum {
    TURN_CHANNELS = 16 /* the sides of the squares of channels that are transposed one after the other: their rows and
                          columns stay in the first-level cache */
};

/* The blocks of rows of one group: a task each. */
static inline ptrdiff_t turn_blocks(const struct conv_problem *problem)
{
    return ceil_div(group_out_channels(problem), TURN_CHANNELS);
}

static inline ptrdiff_t turn_task_count(const struct conv_problem *problem)
{
    return problem->groups * turn_blocks(problem);
}

#endif
