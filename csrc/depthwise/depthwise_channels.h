/* depthwise_channels: one input and one output channel per group, with channels last and in the lanes of vectors.
 *
 * A task is a band of output positions, for some blocks of LANE_BLOCK channels of an image. For each block, what the
 * band reads is packed with its padding, as direct_channels does. So neighbours are close together, whatever the number
 * of channels. A register block has the sums of a few neighbouring outputs of a row; each weight that is loaded serves
 * all of them:
 *
 *     layout   [block][tap][lane]
 *     packed   [slot][column][lane]            y[p] += layout[tap] * packed[p * stride + tap * dilation]
 *
 *                 column   0       1       2       3       4
 *     packed               c c c c c c c c c c c c c c c c c c c c
 *     taps 0 1 2 of p 0    w w w w w w w w w w w w
 *               of p 1             w w w w w w w w w w w w
 *
 * Products with padding are computed. A kernel has at most CHANNELS_SLICE taps, so that the sum is taken in one go.
 */
#ifndef GEMMCONV_DEPTHWISE_CHANNELS_H
#define GEMMCONV_DEPTHWISE_CHANNELS_H

#include "channels/direct_channels.h"

enum {
    LANE_BLOCK = 2 * LONGEST_VECTOR,      /* channels of a block: two lines of the cache */
    DEPTHWISE_CHANNELS_COLUMNS = 256,     /* output columns of a band, at most */
    DEPTHWISE_CHANNELS_PACKED = 48 << 10, /* elements that are packed of a block, about */
    DEPTHWISE_CHANNELS_LARGEST = 1 << 17, /* elements that are packed of a block, at most */
    DEPTHWISE_CHANNELS_BLOCKS = 8         /* blocks of a task, at most */
};

/* A band of which all channels of a block are packed at once. */
struct channels_band depthwise_channels_band_of(const struct conv_problem *problem);

static inline int depthwise_channels_fits(const struct conv_problem *problem)
{
    if (!problem->channels_last || group_in_channels(problem) > 1 || group_out_channels(problem) > 1 ||
        volume(problem->kernel) > CHANNELS_SLICE)
        return 0;
    return depthwise_channels_band_of(problem).packed_size <= DEPTHWISE_CHANNELS_LARGEST;
}

/* The tasks of a band. */
static inline ptrdiff_t depthwise_channels_shares(const struct conv_problem *problem)
{
    return ceil_div(problem->out_channels, DEPTHWISE_CHANNELS_BLOCKS * LANE_BLOCK);
}

static inline ptrdiff_t depthwise_channels_task_count(const struct conv_problem *problem)
{
    const struct channels_band band = depthwise_channels_band_of(problem);
    return problem->batch * problem->out_size[0] * ceil_div(problem->out_size[1], band.rows) *
           ceil_div(problem->out_size[2], band.columns) * depthwise_channels_shares(problem);
}

/* Packed, and the places of the taps. */
static inline ptrdiff_t depthwise_channels_scratch_size(const struct conv_problem *problem)
{
    return depthwise_channels_band_of(problem).packed_size + CHANNELS_PLACE * CHANNELS_SLICE;
}

static inline ptrdiff_t depthwise_channels_layout_size(const struct conv_problem *problem)
{
    return round_up(problem->out_channels, LANE_BLOCK) * volume(problem->kernel);
}

static inline ptrdiff_t depthwise_channels_layout_task_count(const struct conv_problem *problem)
{
    return ceil_div(problem->out_channels, LANE_BLOCK);
}

#endif
