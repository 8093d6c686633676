/* direct_channels: convolution in registers, with output channels in the lanes of vectors.
 *
 * A task computes a band of output positions, for some blocks of output channels of one group of one image. The weights
 * are laid out beforehand, so that a row of vectors belongs to one tap of one channel. Of the input, a slice of the
 * channels at a time is packed into rows with their padding:
 *
 *     layout  [group][block][strip][channel, kd, kh, kw][lane]    a strip: the channels whose sums fit the registers
 *     packed  [channel][slot][run][column]                        a slot: one row of the input
 *             [slot][run][column][channel]                        with channels last
 *     tiles   [strip][pixel][lane]                                the sums
 *
 *                                   one tap of one channel
 *                    strip of the layout   w w w w | w w w w | ...      lanes: output channels
 *                                          -----------------
 *          packed[pixel 0]   x             + + + +   + + + +
 *          packed[pixel 1]   x             + + + +   + + + +            sums of a slice, in registers
 *          ...
 *
 * Stride and dilation are no more than distances in packed. Taps that find only padding, for all pixels of a block, are
 * left out. At the end the tile is transposed into the output.
 *
 * With channels last nothing is transposed: rows are packed as they are, and the tile is copied to the output. A
 * convolution without padding then reads the input in place of packed.
 *
 * A kernel of more taps than a slice has terms is cut into pieces, which are computed one after the other. A piece is a
 * box of taps that follow each other in the weights. A kernel of 20 x 20 has two:
 *
 *     taps 0 to 199     rows 0 to 9
 *     taps 200 to 399   rows 10 to 19
 *
 * The sum behind one output is taken slice by slice, for less rounding: each slice is summed from zero, and then added
 * to the tile. The slices depend on the geometry of one image alone.
 */
#ifndef GEMMCONV_DIRECT_CHANNELS_H
#define GEMMCONV_DIRECT_CHANNELS_H

#include "problem.h"
#include "rows.h"

/* The tile, what is packed and the weights of a slice share the second-level cache. */
enum {
    CHANNEL_BLOCK = 64,         /* output channels of a block of the layout: a multiple of every strip */
    CHANNELS_BAND = 256,        /* output positions of a band, about: they share what is read of the layout */
    CHANNELS_TILES = 96 << 10,  /* elements of the tiles of all channels, at most */
    CHANNELS_PACKED = 64 << 10, /* elements that are packed at a time of some channels, at most */
    CHANNELS_WHOLE = 128 << 10, /* elements that are packed of all channels, at most */
    CHANNELS_BLOCKS = 48,       /* blocks of output channels of a task, at most */
    CHANNELS_SLICE = 256,       /* terms of a slice of the sum, at most: with vectors of 32 bytes, its weights for a
                                   strip take half of a first-level cache */
    CHANNELS_STEP = 16,         /* channels of a step of the sum, for kernels of one tap */
    CHANNELS_LEAST_SLICE = 128, /* terms for which a band has room, unless the sum has fewer */
    CHANNELS_ALIAS = 256, /* elements (1 KiB of float) whose multiples are distances that share sets of the cache */
    CHANNELS_PLACE = 2 * sizeof(ptrdiff_t) / sizeof(float), /* elements that a struct channels_place takes, at most */
};

/* A piece of the kernel: a convolution with these taps alone. */
struct channels_piece {
    const struct conv_problem *problem;
    ptrdiff_t first_tap; /* in the order of the weights */
};

/* How much of the output a band is, and where what it reads lies in packed, for one piece of the kernel: output (r, q)
 * reads for tap (kd, kh, kw)
 *
 *     slot    kd * depth_step + kh * tap_step + r * row_step
 *     place   kw * run_step + q * column_step                    of the slot
 *
 * Rows that several taps read are packed once, unless the taps are so far apart that the rows between them would be
 * more. A slot is one run of elements that follow each other in the input; or, where most of these would not be read,
 * one run for each tap, of nothing but what it reads. */
struct channels_band {
    ptrdiff_t rows, columns;
    ptrdiff_t depth_step, tap_step, row_step;
    ptrdiff_t runs, run_step, column_step;
    ptrdiff_t stride;                      /* from element to element of a run, in the input */
    ptrdiff_t slots, pitch;                /* of a channel, and the elements of a slot */
    ptrdiff_t channels;                    /* of the input, which are packed at a time */
    ptrdiff_t position_step, channel_step; /* the elements of packed between positions, and between channels */
    ptrdiff_t packed_size;                 /* 0 where the input is read in place */
};

/* Output positions of a row that are computed together, and the taps along the row that they need. */
struct channels_pixels {
    ptrdiff_t first, end;
    struct interval taps;
};

/* The taps of the kernel that some pixels need, and the channels of a strip of the layout. */
struct channels_taps {
    struct interval axis[AXES];
    ptrdiff_t strip;
};

/* Where one of them is, in packed and in the layout. */
struct channels_place {
    ptrdiff_t packed, layout;
};

static inline ptrdiff_t channel_blocks(const struct conv_problem *problem)
{
    return ceil_div(group_out_channels(problem), CHANNEL_BLOCK);
}

static inline int channels_is_one_piece(const struct conv_problem *problem)
{
    return volume(problem->kernel) <= CHANNELS_SLICE;
}

ptrdiff_t channels_pieces(const struct conv_problem *problem);

/* One of them, in `memory` if the problem has several. The first one is the largest. */
struct channels_piece channels_piece_at(const struct conv_problem *problem, ptrdiff_t number,
                                        struct conv_problem *memory);

/* A band of `rows` and `columns`, for a piece of the kernel. */
struct channels_band channels_band_of_size(const struct conv_problem *piece, ptrdiff_t rows, ptrdiff_t columns);

/* A band of the input itself, with channels last: its slots are rows of the image. */
struct channels_band channels_band_in_place(const struct conv_problem *problem, ptrdiff_t rows, ptrdiff_t columns);

/* The blocks of channels that tasks of the same band share. */
static inline ptrdiff_t channels_blocks_per_task(const struct conv_problem *problem)
{
    return min_size(ceil_div(problem->tiling.block, CHANNEL_BLOCK), CHANNELS_BLOCKS);
}

/* A band has at least two rows, so that those of a kernel are not all packed again for the next one; but only as many
 * as fit, and so few positions that the channels of a slice are packed together. */
struct channels_band channels_band_of(const struct conv_problem *problem);

/* The tasks of a problem that is cut into such bands. */
static inline ptrdiff_t channels_tasks(const struct conv_problem *problem, const struct channels_band *band)
{
    return problem->batch * problem->groups * problem->out_size[0] * ceil_div(problem->out_size[1], band->rows) *
           ceil_div(problem->out_size[2], band->columns) *
           ceil_div(channel_blocks(problem), channels_blocks_per_task(problem));
}

static inline ptrdiff_t direct_channels_task_count(const struct conv_problem *problem)
{
    const struct channels_band band = channels_band_of(problem);
    return channels_tasks(problem, &band);
}

static inline ptrdiff_t channels_packed_size(const struct channels_band *band)
{
    return round_up(band->packed_size, CHANNEL_BLOCK);
}

/* The rows of a tile: of the last square that is transposed, all but one may lie beyond the last pixel. */
static inline ptrdiff_t channels_tile_rows(ptrdiff_t pixels)
{
    return round_up(pixels, LONGEST_VECTOR) + LONGEST_VECTOR;
}

/* Whether all terms are packed at once. Then the tile of only one strip is needed at a time. */
static inline int channels_packs_once(const struct conv_problem *problem, const struct channels_band *band)
{
    return band->channels == group_in_channels(problem) && channels_is_one_piece(problem);
}

static inline ptrdiff_t channels_tiles_size(const struct conv_problem *problem, const struct channels_band *band)
{
    const ptrdiff_t blocks = channels_packs_once(problem, band) ? 1 : channels_blocks_per_task(problem);
    return channels_tile_rows(band->rows * band->columns) * blocks * CHANNEL_BLOCK;
}

static inline ptrdiff_t direct_channels_scratch_size(const struct conv_problem *problem)
{
    const struct channels_band band = channels_band_of(problem);
    return channels_packed_size(&band) + channels_tiles_size(problem, &band) + CHANNELS_PLACE * CHANNELS_SLICE;
}

static inline ptrdiff_t direct_channels_layout_size(const struct conv_problem *problem)
{
    return problem->groups * channel_blocks(problem) * CHANNEL_BLOCK * reduction_length(problem);
}

/* One for each block. */
static inline ptrdiff_t direct_channels_layout_task_count(const struct conv_problem *problem)
{
    return problem->groups * channel_blocks(problem);
}

/* The taps along an axis that find an element of the input for some output position from `first` to `last`; or tap 0,
 * which finds padding, if there are none. */
struct interval channels_taps_inside(const struct conv_problem *problem, int axis, ptrdiff_t first, ptrdiff_t last);

static inline int channels_same_taps(const struct channels_taps *a, const struct channels_taps *b)
{
    int same = 1;
    for (int axis = 0; axis < AXES; axis++)
        same = same && a->axis[axis].first == b->axis[axis].first && a->axis[axis].end == b->axis[axis].end;
    return same;
}

/* Find where they are, from the first tap of the piece on; `places` has room for all taps of the piece. Returns their
 * number. */
ptrdiff_t channels_find_places(const struct conv_problem *piece, const struct channels_band *band,
                               const struct channels_taps *taps, struct channels_place *places);

/* The places of the channels of a step, for a kernel of one tap. */
static inline void channels_find_step(const struct channels_band *band, ptrdiff_t strip, struct channels_place *places)
{
    for (ptrdiff_t c = 0; c < CHANNELS_STEP; c++)
        places[c] = (struct channels_place){c * band->channel_step, c * strip};
}

/* The first output position after `at` along the width at which other taps lie inside the input; or out_size. */
ptrdiff_t channels_end_of_same_taps(const struct conv_problem *problem, ptrdiff_t at);

/* Cut the positions of a row that a band covers into pixels, at most `most` at a time. They need the same taps, unless
 * these change after every few positions. Returns their number. */
ptrdiff_t channels_find_pixels(const struct conv_problem *problem, ptrdiff_t first, ptrdiff_t end, ptrdiff_t most,
                               struct channels_pixels pixels[CHANNELS_BAND]);

#endif
