/* direct_channels: convolution in registers, with output channels in the lanes of vectors.
 *
 * A task computes a band of output positions, for some blocks of output channels of one group of one image. The weights
 * are laid out beforehand, so that a row of vectors belongs to one tap of one channel. Of the input, a slice of the
 * channels at a time is packed into rows with their padding:
 *
 *     layout  [group][block][strip][channel, kd, kh, kw][lane]    a strip: the channels whose sums fit the registers
 *     packed  [channel][slot][column]                             a slot: one row of the input
 *     tiles   [strip][pixel][lane]                                the sums
 *
 *                                   one tap of one channel
 *                    strip of the layout   w w w w | w w w w | ...      lanes: output channels
 *                                          -----------------
 *          packed[pixel 0]   x             + + + +   + + + +
 *          packed[pixel 1]   x             + + + +   + + + +            sums, in registers for a whole slice
 *          ...
 *
 * Stride and dilation are no more than distances in packed. Taps that find only padding, for all pixels of a block, are
 * left out. At the end the tile is transposed into the output.
 *
 * The sum behind one output is taken in the order of the weights, whatever the band and the block: its bits depend on
 * neither.
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
    CHANNELS_MOST = 6144,       /* output channels of a group, at most */
    CHANNELS_TAPS = 4096,       /* taps of a kernel, at most */
    CHANNELS_PLACE = 2 * sizeof(ptrdiff_t) / sizeof(float), /* elements that a struct channels_place takes, at most */
};

/* How much of the output a band is, and where the rows of the input that it reads lie in packed: output row r reads for
 * tap (kd, kh) the slot kd * depth_step + kh * tap_step + r * row_step. Rows that several taps read are packed once,
 * unless the taps are so far apart that the rows between them would be more. */
struct channels_band {
    ptrdiff_t rows, columns;
    ptrdiff_t depth_step, tap_step, row_step;
    ptrdiff_t slots, pitch;
    ptrdiff_t channels; /* of the input, which are packed at a time */
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

/* A band of `rows` and `columns`. */
PLANNING struct channels_band channels_band_of_size(const struct conv_problem *problem, ptrdiff_t rows,
                                                    ptrdiff_t columns)
{
    const ptrdiff_t *stride = problem->stride, *dilation = problem->dilation, *kernel = problem->kernel;
    const ptrdiff_t shared = (rows - 1) * stride[1] + (kernel[1] - 1) * dilation[1] + 1, separate = rows * kernel[1];
    struct channels_band band = {
        .rows = rows,
        .columns = columns,
        .depth_step = min_size(shared, separate),
        .tap_step = separate < shared ? rows : dilation[1],
        .row_step = separate < shared ? 1 : stride[1],
        .slots = kernel[0] * min_size(shared, separate),
        .pitch = (columns - 1) * stride[2] + (kernel[2] - 1) * dilation[2] + 1,
    };
    const ptrdiff_t of_channel = band.slots * band.pitch, channels = group_in_channels(problem);
    band.channels =
        channels * of_channel <= CHANNELS_WHOLE ? channels : equal_piece(channels, CHANNELS_PACKED / of_channel);
    return band;
}

/* A band has at least two rows, so that those of a kernel are not all packed again for the next one; but only as many
 * as fit. Where one row of one channel is more than CHANNELS_PACKED, the band is that row. */
PLANNING struct channels_band channels_band_of(const struct conv_problem *problem)
{
    const ptrdiff_t pixels = min_size(CHANNELS_BAND, CHANNELS_TILES / CHANNEL_BLOCK / channel_blocks(problem));
    const ptrdiff_t columns = equal_piece(problem->out_size[2], pixels);
    const ptrdiff_t least = 2 * columns * channel_blocks(problem) * CHANNEL_BLOCK <= CHANNELS_TILES ? 2 : 1;
    ptrdiff_t rows = equal_piece(problem->out_size[1], max_size(pixels / columns, least));
    struct channels_band band = channels_band_of_size(problem, rows, columns);

    while (rows > 1 && band.slots * band.pitch > CHANNELS_PACKED) {
        rows = (rows + 1) / 2;
        band = channels_band_of_size(problem, rows, columns);
    }
    return band;
}

/* Whether a band of one row keeps to the scratch: what it packs of one channel, its sums for all channels, and the
 * table of its taps. */
static inline int direct_channels_fits(const struct conv_problem *problem)
{
    const ptrdiff_t columns =
        min_size(problem->out_size[2], CHANNELS_BAND) * problem->stride[2] + problem->kernel[2] * problem->dilation[2];
    return problem->kernel[0] * problem->kernel[1] * columns <= CHANNELS_PACKED &&
           group_out_channels(problem) <= CHANNELS_MOST && volume(problem->kernel) <= CHANNELS_TAPS;
}

/* The blocks of channels that tasks of the same band share. */
static inline ptrdiff_t channels_blocks_per_task(const struct conv_problem *problem)
{
    return ceil_div(problem->tiling.block, CHANNEL_BLOCK);
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

/* Where all channels are packed at once, the tile of only one strip is needed at a time. */
static inline ptrdiff_t channels_tiles_size(const struct conv_problem *problem, const struct channels_band *band)
{
    const ptrdiff_t blocks = band->channels < group_in_channels(problem) ? channels_blocks_per_task(problem) : 1;
    return channels_tile_rows(band->rows * band->columns) * blocks * CHANNEL_BLOCK;
}

static inline ptrdiff_t direct_channels_scratch_size(const struct conv_problem *problem)
{
    const struct channels_band band = channels_band_of(problem);
    return channels_packed_size(&band) + channels_tiles_size(problem, &band) + CHANNELS_PLACE * volume(problem->kernel);
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

/* Find where they are; `places` has room for all taps of the kernel. Returns their number. */
PLANNING ptrdiff_t channels_find_places(const struct conv_problem *problem, const struct channels_band *band,
                                        const struct channels_taps *taps, struct channels_place *places)
{
    const ptrdiff_t *kernel = problem->kernel;
    ptrdiff_t at[AXES] = {taps->axis[0].first, taps->axis[1].first, taps->axis[2].first}, count = 0;

    do
        places[count++] = (struct channels_place){
            (at[0] * band->depth_step + at[1] * band->tap_step) * band->pitch + at[2] * problem->dilation[2],
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
