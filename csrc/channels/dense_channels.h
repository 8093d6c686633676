/* dense_channels: convolution of small images in registers, with output channels in the lanes.
 *
 * A task is a band of output positions, as for direct_channels, and the weights have the same layout. But first the
 * patches of the band are packed, all of them, in the order in which they are read. Positions are numbered across the
 * rows of the band, and cut evenly into blocks of up to DENSE_BLOCK, which fill the registers whatever the width:
 *
 *     layout  [group][block of channels][strip][k][lane]     k: a channel and a tap, a row of the patch matrix P
 *     staged  [channel][slot][column]                        what direct_channels packs, of some channels at a time
 *     packed  [slice][block][k of the slice][DENSE_BLOCK]    P; of a short block the last element is not used
 *     tile    [position][lane]                               the sums of one strip
 *
 * For a band of 5 x 3 positions, if DENSE_BLOCK were 4:
 *
 *     a a a b b          blocks a to d              packed, block b, row k:  x  x  x  x
 *     b b c c c                                     what tap k reads for position  3  4  5  6
 *     c d d d d
 *
 * For each strip, and for each slice of P, all blocks use the same weights, which stay in the first-level cache, as do
 * the sums of the strip. So the weights are read once, in order.
 *
 * Products with padding are computed. The sum behind one output is taken in the order of the weights, each slice from
 * zero, whatever the band and the block: its bits depend on neither.
 */
#ifndef GEMMCONV_DENSE_CHANNELS_H
#define GEMMCONV_DENSE_CHANNELS_H

#include "channels/direct_channels.h"

enum {
    DENSE_BLOCK = 6,          /* positions of a block, at most: the rows of a register block */
    DENSE_BLOCKS = 17,        /* blocks of a band, at most */
    DENSE_STAGED = 8 << 10,   /* elements that are staged at a time, at most */
    DENSE_PACKED = 246 << 10, /* elements of packed, at most */
    DENSE_LEAST = 24, /* positions of a band that make it worth reading the weights, unless the image has fewer */
    DENSE_TAPS = CHANNELS_SLICE, /* taps of a kernel, at most */
    DENSE_STEP = 16, /* rows of P that are added between two fetches into the cache: a slice has whole steps */
};

/* Where the positions of a band lie: of block b, the positions first[b] <= p < first[b + 1] of the band, which read
 * offsets[b][0], offsets[b][1] ... behind the places of the taps in what is staged. A short block reads some elements
 * behind its last. */
struct dense_positions {
    ptrdiff_t blocks, taps;
    ptrdiff_t first[DENSE_BLOCKS + 1], offsets[DENSE_BLOCKS][DENSE_BLOCK];
    struct channels_place places[DENSE_TAPS];
};

static inline ptrdiff_t dense_blocks(ptrdiff_t positions)
{
    return ceil_div(positions, DENSE_BLOCK);
}

/* The rows of P in a slice of the sum: whole steps, except in the last one. */
static inline ptrdiff_t dense_slice(ptrdiff_t reduction)
{
    return round_up(equal_piece(reduction, CHANNELS_SLICE), DENSE_STEP);
}

/* The positions for which packed has room. */
static inline ptrdiff_t dense_room(const struct conv_problem *problem)
{
    return DENSE_PACKED / DENSE_BLOCK / reduction_length(problem) * DENSE_BLOCK;
}

/* The channels that may be staged at a time. What a short block reads behind its last position lies behind them. */
static inline ptrdiff_t dense_most_staged(const struct channels_band *band)
{
    return (DENSE_STAGED - DENSE_BLOCK) / (band->slots * band->pitch);
}

struct channels_band dense_band_of(const struct conv_problem *problem);

static inline int dense_channels_fits(const struct conv_problem *problem)
{
    if (volume(problem->kernel) > DENSE_TAPS || dense_room(problem) < min_size(volume(problem->out_size), DENSE_LEAST))
        return 0;
    const struct channels_band band = dense_band_of(problem);
    return dense_most_staged(&band) > 0;
}

/* The positions of `rows` and `columns` of a band. */
void dense_find_positions(const struct conv_problem *problem, const struct channels_band *band, ptrdiff_t rows,
                          ptrdiff_t columns, struct dense_positions *positions);

static inline ptrdiff_t dense_channels_task_count(const struct conv_problem *problem)
{
    const struct channels_band band = dense_band_of(problem);
    return channels_tasks(problem, &band);
}

static inline ptrdiff_t dense_packed_size(const struct conv_problem *problem, const struct channels_band *band)
{
    return dense_blocks(band->rows * band->columns) * DENSE_BLOCK * reduction_length(problem);
}

/* The tile is used after the last channels were staged, and takes their place. */
static inline ptrdiff_t dense_channels_scratch_size(const struct conv_problem *problem)
{
    const struct channels_band band = dense_band_of(problem);
    return dense_packed_size(problem, &band) +
           max_size(DENSE_STAGED, channels_tile_rows(band.rows * band.columns) * CHANNEL_BLOCK);
}

#endif
