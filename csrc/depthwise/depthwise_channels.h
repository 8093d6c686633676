/* depthwise_channels: one input and one output channel per group, with channels last and in the lanes of vectors.
 *
 * A task is a block of output positions, for a share of the channels of an image. A register block has the sums of a
 * few neighbouring outputs of a row, for one or two vectors of channels; each weight that is loaded serves all of these
 * outputs:
 *
 *     layout   [tap][lane]
 *     x        [row][column][channel]          y[p] += layout[tap] * x[p * stride + tap * dilation]
 *
 *                 column   0       1       2       3       4
 *     x                    c c c c c c c c c c c c c c c c c c c c
 *     taps 0 1 2 of p 0    w w w w w w w w w w w w
 *               of p 1             w w w w w w w w w w w w
 *
 * The input is read in place, and taps that would read padding are left out; or else a task packs what it reads with
 * its padding, as direct_channels does, so that all outputs need the same taps. The last block of the lanes overlaps
 * the one before, so that there are no parts of vectors. A sum is taken tap by tap, however the work is cut.
 *
 * Few channels fill no vector. With stride 1, several positions of a row together are then taken as one: its lanes are
 * the channels repeated, and the weights of a channel are repeated too. For three channels and vectors of four lanes:
 *
 *     x        r g b r   g b r g   b r g b        four positions: as many lanes as both numbers divide
 *     tap      r g b r   g b r g   b r g b        one position further: three elements
 *
 * A kernel has at most CHANNELS_SLICE taps, so that the sum is taken in one go.
 */
#ifndef GEMMCONV_DEPTHWISE_CHANNELS_H
#define GEMMCONV_DEPTHWISE_CHANNELS_H

#include "channels/direct_channels.h"

enum {
    LANE_OUTPUTS = 4,                      /* outputs of a register block */
    DEPTHWISE_CHANNELS_SHARE = 256,        /* channels of a task, at most: their weights fit the first-level cache */
    DEPTHWISE_CHANNELS_PACKED_SHARE = 64,  /* the same where the input is packed */
    DEPTHWISE_CHANNELS_PRODUCTS = 1 << 18, /* products of a task, about */
    DEPTHWISE_CHANNELS_PACKED = 48 << 10,  /* elements that are packed, about */
    DEPTHWISE_CHANNELS_LARGEST = 1 << 17,  /* elements that are packed, at most */
    DEPTHWISE_CHANNELS_ALIAS = 1 << 10, /* channels (4 KiB of float) whose multiples make all positions share the same
                                           sets of the first-level cache */
    DEPTHWISE_CHANNELS_TAPS = 12,       /* taps up to which wide rows are read in place */
    DEPTHWISE_CHANNELS_NARROW = 32,     /* outputs of a row, below which many of them are beside padding */
    DEPTHWISE_CHANNELS_NARROW_TAPS = 8, /* taps up to which narrow rows are read in place */
};

/* Whether several positions are taken as one. */
static inline int depthwise_channels_are_few(const struct conv_problem *problem)
{
    return problem->in_channels < LONGEST_VECTOR;
}

/* Whether the input is packed: where each element is read often, or in rows of which a large part is beside padding, or
 * where positions would push each other out of the cache. */
static inline int depthwise_channels_packs(const struct conv_problem *problem)
{
    const ptrdiff_t most =
        problem->out_size[2] < DEPTHWISE_CHANNELS_NARROW ? DEPTHWISE_CHANNELS_NARROW_TAPS : DEPTHWISE_CHANNELS_TAPS;
    return depthwise_channels_are_few(problem) || problem->in_channels % DEPTHWISE_CHANNELS_ALIAS == 0 ||
           volume(problem->kernel) > most * volume(problem->stride);
}

/* The lanes of a position, or of several as one. */
static inline ptrdiff_t depthwise_channels_lanes(const struct conv_problem *problem)
{
    const ptrdiff_t channels = problem->in_channels;
    if (!depthwise_channels_are_few(problem))
        return channels;
    return channels * (LONGEST_VECTOR / greatest_common_divisor(channels, LONGEST_VECTOR));
}

/* The output positions of a task, and where its taps are. */
struct channels_band depthwise_channels_band_of(const struct conv_problem *problem);

static inline int depthwise_channels_fits(const struct conv_problem *problem)
{
    if (!problem->channels_last || group_in_channels(problem) > 1 || group_out_channels(problem) > 1 ||
        volume(problem->kernel) > CHANNELS_SLICE)
        return 0;
    if (depthwise_channels_are_few(problem) && (problem->stride[2] > 1 || problem->out_size[2] < LONGEST_VECTOR))
        return 0;
    return depthwise_channels_band_of(problem).packed_size <= DEPTHWISE_CHANNELS_LARGEST;
}

/* The lanes of a task, except for the last share. */
static inline ptrdiff_t depthwise_channels_share(const struct conv_problem *problem)
{
    const int packed = depthwise_channels_packs(problem) && !depthwise_channels_are_few(problem);
    const ptrdiff_t most = packed ? DEPTHWISE_CHANNELS_PACKED_SHARE : DEPTHWISE_CHANNELS_SHARE;
    return round_up(equal_piece(depthwise_channels_lanes(problem), most), LONGEST_VECTOR);
}

/* The shares of the lanes. The last one takes what is left, if it would not fill a vector: so each share has room for
 * whole blocks, and no two tasks write the same outputs. */
static inline ptrdiff_t depthwise_channels_share_count(const struct conv_problem *problem)
{
    return ceil_div(depthwise_channels_lanes(problem) - (LONGEST_VECTOR - 1), depthwise_channels_share(problem));
}

static inline struct interval depthwise_channels_share_at(const struct conv_problem *problem, ptrdiff_t number)
{
    const ptrdiff_t share = depthwise_channels_share(problem), first = number * share;
    const int is_last = number + 1 == depthwise_channels_share_count(problem);
    return (struct interval){first, is_last ? depthwise_channels_lanes(problem) : first + share};
}

static inline ptrdiff_t depthwise_channels_task_count(const struct conv_problem *problem)
{
    const struct channels_band band = depthwise_channels_band_of(problem);
    return problem->batch * problem->out_size[0] * ceil_div(problem->out_size[1], band.rows) *
           ceil_div(problem->out_size[2], band.columns) * depthwise_channels_share_count(problem);
}

/* The elements of a row of outputs of few channels; otherwise 0. */
static inline ptrdiff_t depthwise_channels_row_size(const struct conv_problem *problem,
                                                    const struct channels_band *band)
{
    return depthwise_channels_are_few(problem) ? band->columns * problem->in_channels : 0;
}

/* The places of the taps, what is packed, the bias of few channels, repeated, and a row of their outputs. */
static inline ptrdiff_t depthwise_channels_scratch_size(const struct conv_problem *problem)
{
    const struct channels_band band = depthwise_channels_band_of(problem);
    return channels_packed_size(&band) + DEPTHWISE_CHANNELS_SHARE +
           round_up(depthwise_channels_row_size(problem, &band), LONGEST_VECTOR) + CHANNELS_PLACE * CHANNELS_SLICE;
}

/* The elements of the layout from a tap to the next one: one vector more where taps would share a set of the cache. */
static inline ptrdiff_t depthwise_channels_pitch(const struct conv_problem *problem)
{
    const ptrdiff_t lanes = round_up(depthwise_channels_lanes(problem), LONGEST_VECTOR);
    return lanes + (lanes % CHANNELS_ALIAS ? 0 : LONGEST_VECTOR);
}

static inline ptrdiff_t depthwise_channels_layout_size(const struct conv_problem *problem)
{
    return depthwise_channels_pitch(problem) * volume(problem->kernel);
}

/* What a row of outputs that need the same taps reads of the input: these taps, their number, and where the first
 * output reads with tap 0, from the image on; this may be padding. */
struct depthwise_row {
    struct channels_taps taps;
    ptrdiff_t count, from;
};

/* Find it for the row that begins with an output, and the places of the taps; `row` and `places` may be those of the
 * row before, or the taps of `row` are all zero. Where the input is packed, all taps are needed. */
void depthwise_channels_find_row(const struct conv_problem *problem, const struct channels_band *band,
                                 const ptrdiff_t output[AXES], struct channels_place *places,
                                 struct depthwise_row *row);

static inline ptrdiff_t depthwise_channels_layout_task_count(const struct conv_problem *problem)
{
    return ceil_div(depthwise_channels_lanes(problem), LONGEST_VECTOR);
}

#endif
