/* direct_channels: convolution in registers, with output channels in the lanes of vectors.
 *
 * A task computes a band of output positions, for some blocks of output channels of one group of one image. The weights
 * are laid out beforehand, so that a row of vectors belongs to one tap of one channel. Of the input, a slice of the
 * channels at a time is packed into rows with their padding:
 *
 *     layout  [group][block][strip][channel, kd, kh, kw][lane]    a strip: the channels whose sums fit the registers
 *     packed  [channel][slot][run][column]                        a slot: one row of the input
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
    CHANNELS_LEAST_SLICE = 128, /* terms for which a band has room, unless the sum has fewer */
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
    ptrdiff_t stride;       /* from element to element of a run, in the input */
    ptrdiff_t slots, pitch; /* of a channel, and the elements of a slot */
    ptrdiff_t channels;     /* of the input, which are packed at a time */
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

/* The size of a piece of the kernel along each axis; the last one along an axis may be smaller. Where an axis is cut,
 * the axes before it have pieces of one tap, so that the taps of a piece follow each other. */
static inline void channels_piece_size(const ptrdiff_t kernel[AXES], ptrdiff_t size[AXES])
{
    ptrdiff_t most = CHANNELS_SLICE;
    for (int axis = AXES - 1; axis >= 0; axis--) {
        size[axis] = equal_piece(kernel[axis], most);
        most /= size[axis];
    }
}

static inline int channels_is_one_piece(const struct conv_problem *problem)
{
    return volume(problem->kernel) <= CHANNELS_SLICE;
}

PLANNING ptrdiff_t channels_pieces(const struct conv_problem *problem)
{
    ptrdiff_t size[AXES], pieces = 1;

    if (channels_is_one_piece(problem))
        return 1;
    channels_piece_size(problem->kernel, size);
    for (int axis = 0; axis < AXES; axis++)
        pieces *= ceil_div(problem->kernel[axis], size[axis]);
    return pieces;
}

/* One of them, in `memory` if the problem has several. The first one is the largest. */
PLANNING struct channels_piece channels_piece_at(const struct conv_problem *problem, ptrdiff_t number,
                                                 struct conv_problem *memory)
{
    struct channels_piece piece = {problem, 0};
    ptrdiff_t size[AXES], step = 1;

    if (channels_is_one_piece(problem))
        return piece;
    *memory = *problem;
    piece.problem = memory;
    channels_piece_size(problem->kernel, size);
    for (int axis = AXES - 1; axis >= 0; axis--) {
        const ptrdiff_t taps = problem->kernel[axis], first = take(&number, ceil_div(taps, size[axis])) * size[axis];
        memory->kernel[axis] = min_size(size[axis], taps - first);
        memory->pad_before[axis] -= first * problem->dilation[axis];
        piece.first_tap += first * step;
        step *= taps;
    }
    return piece;
}

/* A band of `rows` and `columns`, for a piece of the kernel. */
PLANNING struct channels_band channels_band_of_size(const struct conv_problem *piece, ptrdiff_t rows, ptrdiff_t columns)
{
    const ptrdiff_t *stride = piece->stride, *dilation = piece->dilation, *kernel = piece->kernel;
    const ptrdiff_t shared = (rows - 1) * stride[1] + (kernel[1] - 1) * dilation[1] + 1, separate = rows * kernel[1];
    const ptrdiff_t run = (columns - 1) * stride[2] + (kernel[2] - 1) * dilation[2] + 1;
    const int by_tap = columns * kernel[2] < run / 2;
    return (struct channels_band){
        .rows = rows,
        .columns = columns,
        .depth_step = min_size(shared, separate),
        .tap_step = separate < shared ? rows : dilation[1],
        .row_step = separate < shared ? 1 : stride[1],
        .runs = by_tap ? kernel[2] : 1,
        .run_step = by_tap ? columns : dilation[2],
        .column_step = by_tap ? 1 : stride[2],
        .stride = by_tap ? stride[2] : 1,
        .slots = kernel[0] * min_size(shared, separate),
        .pitch = by_tap ? columns * kernel[2] : run,
    };
}

/* The blocks of channels that tasks of the same band share. */
static inline ptrdiff_t channels_blocks_per_task(const struct conv_problem *problem)
{
    return min_size(ceil_div(problem->tiling.block, CHANNEL_BLOCK), CHANNELS_BLOCKS);
}

/* A band has at least two rows, so that those of a kernel are not all packed again for the next one; but only as many
 * as fit, and so few positions that the channels of a slice are packed together. */
PLANNING struct channels_band channels_band_of(const struct conv_problem *problem)
{
    struct conv_problem memory;
    const struct conv_problem *piece = channels_piece_at(problem, 0, &memory).problem;
    const ptrdiff_t block = min_size(channel_blocks(problem), CHANNELS_BLOCKS) * CHANNEL_BLOCK;
    const ptrdiff_t pixels = min_size(CHANNELS_BAND, CHANNELS_TILES / block), channels = group_in_channels(problem);
    const ptrdiff_t together = min_size(ceil_div(CHANNELS_LEAST_SLICE, volume(piece->kernel)), channels);
    ptrdiff_t columns = equal_piece(problem->out_size[2], pixels);
    const ptrdiff_t least = 2 * columns * block <= CHANNELS_TILES ? 2 : 1;
    ptrdiff_t rows = equal_piece(problem->out_size[1], max_size(pixels / columns, least));
    struct channels_band band = channels_band_of_size(piece, rows, columns);

    while (rows * columns > 1 && together * band.slots * band.pitch > CHANNELS_PACKED) {
        if (rows > 1)
            rows = (rows + 1) / 2;
        else
            columns = (columns + 1) / 2;
        band = channels_band_of_size(piece, rows, columns);
    }
    const ptrdiff_t of_channel = band.slots * band.pitch;
    const int whole = channels * of_channel <= CHANNELS_WHOLE && channels_is_one_piece(problem);
    band.channels = whole ? channels : equal_piece(channels, CHANNELS_PACKED / of_channel);
    return band;
}

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
    return round_up(band->channels * band->slots * band->pitch, CHANNEL_BLOCK);
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
PLANNING struct interval channels_taps_inside(const struct conv_problem *problem, int axis, ptrdiff_t first,
                                              ptrdiff_t last)
{
    const ptrdiff_t size = problem->in_size[axis], dilation = problem->dilation[axis], taps = problem->kernel[axis];
    const ptrdiff_t begin = positions_inside(size, dilation, input_position(problem, axis, last, 0), taps).first;
    const ptrdiff_t end = positions_inside(size, dilation, input_position(problem, axis, first, 0), taps).end;
    return begin < end ? (struct interval){begin, end} : (struct interval){0, 1};
}

static inline int channels_same_taps(const struct channels_taps *a, const struct channels_taps *b)
{
    int same = 1;
    for (int axis = 0; axis < AXES; axis++)
        same = same && a->axis[axis].first == b->axis[axis].first && a->axis[axis].end == b->axis[axis].end;
    return same;
}

/* The next of them after the one at `at`, in the order of the weights; returns whether there is one. */
static inline int channels_next_tap(const struct channels_taps *taps, ptrdiff_t at[AXES])
{
    for (int axis = AXES - 1; axis >= 0; axis--) {
        if (++at[axis] < taps->axis[axis].end)
            return 1;
        at[axis] = taps->axis[axis].first;
    }
    return 0;
}

/* Find where they are, from the first tap of the piece on; `places` has room for all taps of the piece. Returns their
 * number. */
PLANNING ptrdiff_t channels_find_places(const struct conv_problem *piece, const struct channels_band *band,
                                        const struct channels_taps *taps, struct channels_place *places)
{
    const ptrdiff_t *kernel = piece->kernel;
    ptrdiff_t at[AXES] = {taps->axis[0].first, taps->axis[1].first, taps->axis[2].first}, count = 0;

    do
        places[count++] = (struct channels_place){
            (at[0] * band->depth_step + at[1] * band->tap_step) * band->pitch + at[2] * band->run_step,
            ((at[0] * kernel[1] + at[1]) * kernel[2] + at[2]) * taps->strip,
        };
    while (channels_next_tap(taps, at));
    return count;
}

/* The first output position after `at` along the width at which other taps lie inside the input; or out_size. */
static inline ptrdiff_t channels_end_of_same_taps(const struct conv_problem *problem, ptrdiff_t at)
{
    const ptrdiff_t stride = problem->stride[2], dilation = problem->dilation[2], before = problem->pad_before[2];
    const ptrdiff_t taps = problem->kernel[2];
    const ptrdiff_t first = min_size(ceil_div(before - at * stride, dilation), taps);
    const ptrdiff_t end = min_size(ceil_div(problem->in_size[2] + before - at * stride, dilation), taps);
    ptrdiff_t change = problem->out_size[2];

    if (first > 0)
        change = min_size(change, ceil_div(before - (first - 1) * dilation, stride));
    if (end > 0)
        change = min_size(change, ceil_div(problem->in_size[2] + before - (end - 1) * dilation, stride));
    return max_size(change, at + 1);
}

/* Cut the positions of a row that a band covers into pixels, at most `most` at a time. They need the same taps, unless
 * these change after every few positions. Returns their number. */
PLANNING ptrdiff_t channels_find_pixels(const struct conv_problem *problem, ptrdiff_t first, ptrdiff_t end,
                                        ptrdiff_t most, struct channels_pixels pixels[CHANNELS_BAND])
{
    const ptrdiff_t few = 4;
    ptrdiff_t count = 0;

    for (; first < end; first = pixels[count++].end) {
        ptrdiff_t same = first;
        while (same < end && same - first < few)
            same = channels_end_of_same_taps(problem, same);
        if (end - same < few)
            same = end;
        pixels[count].first = first;
        pixels[count].end = first + equal_piece(same - first, most);
        pixels[count].taps = channels_taps_inside(problem, 2, first, pixels[count].end - 1);
    }
    return count;
}

#endif
