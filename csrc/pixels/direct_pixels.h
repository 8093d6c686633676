/* direct_pixels: convolutions with few input channels per group, multiplied in registers; the lanes of a vector are
 * outputs.
 *
 * A task is a band of output rows (of wide outputs: a piece of one) of one image and group, and usually all its output
 * channels; or several bands, where one is a small image. What a band reads is copied into planes with their zero
 * padding. For stride s a plane holds every s-th row and column, so that neighbouring outputs read neighbouring
 * elements:
 *
 *     image row, stride 2, padding 1          planes of this row (3 outputs, kernel 3)
 *
 *       . a b c d e f                         plane 0   . b d f     taps 0 and 2
 *                                             plane 1   a c e       tap 1
 *
 * All planes have the same pitch from row to row, so that output (r, w) reads the element at r * pitch + w plus an
 * offset that depends on the tap alone: one table of offsets serves all outputs. Vectors of outputs run across the ends
 * of rows, where some of their lanes mean nothing and are dropped:
 *
 *     plane      r0w0 r0w1 r0w2  --   --  r1w0 r1w1 r1w2  --   --        (3 outputs in a row, kernel 3, pitch 5)
 *     vector   [  0    1    2    3    4    5    6    7  ]                (8 lanes, of which 6 are written)
 *
 * A register block is a few output channels times a few such vectors. For each term of the sum it loads its vectors and
 * multiplies each by one weight of each channel. So weights are laid out block by block of channels, and in each block
 * as (K, channels of the block):
 *
 *     weight  (O, K)   a0 a1 a2 ..            layout   a0 b0 c0 d0  a1 b1 c1 d1  a2 ..     (blocks of 4 channels)
 *                      b0 b1 b2 ..
 *
 * The blocks of a group are of nearly equal sizes, and the layout is as large as the weights. How many channels a block
 * has depends on the instruction set; how tasks are cut does not. All depends on the geometry of one image alone.
 *
 * A sum of any length is cut twice, in the order of its terms. A panel has the terms whose planes are in scratch at the
 * same time: some channels, or of one channel some taps. A slice has those that are summed in registers at the same
 * time; the first begins at the bias, and the others are added to y:
 *
 *     1200 terms in two panels     [           600           ][           600           ]
 *     slices of at most 256        [  200  ][  200  ][  200  ][  200  ][  200  ][  200  ]
 *     y                            = bias + the first,   then += each of the others
 *
 * With slices of s terms, a product is rounded at most s + 1 times in its slice (and the bias s times), and once more
 * for each later slice. So for n slices |error| <= (s + n + 2) * eps * (|x| conv |w| + |bias|), of which nearly half is
 * to spare, because a rounding costs eps / 2.
 */
#ifndef GEMMCONV_DIRECT_PIXELS_H
#define GEMMCONV_DIRECT_PIXELS_H

#include "memory.h"
#include "problem.h"
#include "rows.h"

enum {
    PIXELS_CHANNELS = 8,      /* output channels of a register block, at most, on any instruction set */
    PIXELS_BLOCK_VECTORS = 8, /* vectors of a register block, at most */
    PIXELS_SLICE = 256,       /* terms of a slice, at most */
    PIXELS_TERMS = 1 << 14,   /* terms of a panel, at most */
    PIXELS_VECTORS = 96,      /* vectors of a band that are listed at a time */
    PIXELS_PLANES = 1 << 16,  /* elements of the planes of a band, about, at most */
    PIXELS_TASKS = 16,        /* tasks that an image should make, if each has enough to do */
    PIXELS_LITTLE = 1 << 20,  /* multiplications that are enough for a band */
    PIXELS_MUCH = 1 << 22,    /* multiplications that are too many for a band */
    PIXELS_SMALL = 1 << 18,   /* multiplications and elements of planes that are enough for a task of several bands */
    PIXELS_ROWS = 4,          /* rows of a band, at least, if they fit: they share what they read */
    PIXELS_OUTPUTS = 192,     /* outputs of a band, at least: with fewer, too many lanes are wasted */
    PIXELS_LEAST_PIECE = 32,  /* columns of two rows whose planes must fit, for any panel */
    PIXELS_PIECE = 1920,      /* columns of a band, at most */
    PIXELS_LONG_PIECE = 8192, /* columns of a band, at most, where the output has one row */
};

/* What `count` outputs read along an axis: `planes`, each `length` elements. Plane i begins at what tap i reads and
 * takes every stride-th element; tap t reads plane t % period, t / period * shift elements further on. */
struct pixels_axis {
    ptrdiff_t period, shift, planes, length;
};

/* The channels of a group, and the taps along each axis. */
struct pixels_box {
    ptrdiff_t channels, taps[AXES];
};

/* How the output of an image and group is cut: `rows` and `columns` of a band, and `shares` of the channels; `panel` is
 * the largest one. */
struct pixels_cut {
    struct pixels_box panel;
    ptrdiff_t rows, columns, shares;
    ptrdiff_t row_period, column_period;
    ptrdiff_t planes;     /* elements of the planes of a band */
    ptrdiff_t bands, all; /* the bands of a task, and of the batch */
};

/* The terms of a sum from `first` on, and where each reads in the planes. */
struct pixels_terms {
    ptrdiff_t first, count;
    const int *offsets;
};

/* A band: what is computed of the output, and the planes that are read. */
struct pixels_band {
    ptrdiff_t image, group, share, shares;
    ptrdiff_t depth, row, column; /* of the first output */
    ptrdiff_t rows, columns;
    struct pixels_axis height, width;
    ptrdiff_t plane_size;
};

/* Blocks of the channels of a group: from first to end, of `count` altogether. */
struct pixels_blocks {
    ptrdiff_t first, end, count;
};

/* A vector of outputs: where its first lane reads in a plane, where it writes, counted from the first one that is
 * listed, and which lanes are written, one after the other. */
struct pixels_vector {
    ptrdiff_t to;
    int from;
    unsigned lanes;
};

/* The output at which the next vector of a band begins. */
struct pixels_place {
    ptrdiff_t row, column;
};

static inline struct pixels_axis pixels_axis_of(const struct conv_problem *problem, int axis, ptrdiff_t period,
                                                ptrdiff_t count)
{
    const ptrdiff_t taps = problem->kernel[axis], dilation = problem->dilation[axis];
    const ptrdiff_t shift = dilation / greatest_common_divisor(problem->stride[axis], dilation);
    return (struct pixels_axis){period, shift, min_size(taps, period), count + (taps - 1) / period * shift};
}

/* The number of taps after which the planes repeat. Where dilation makes planes much longer than their outputs, one for
 * each tap takes less room than shared ones. */
static inline ptrdiff_t pixels_period(const struct conv_problem *problem, int axis, ptrdiff_t count)
{
    const ptrdiff_t taps = problem->kernel[axis], period = tap_period(problem, axis);
    const struct pixels_axis shared = pixels_axis_of(problem, axis, period, count);
    return shared.planes * shared.length <= taps * count ? period : taps;
}

/* The elements of one plane: with room for a vector that begins at its last element, and an odd number of lines of the
 * cache, so that planes do not share its sets. */
static inline ptrdiff_t pixels_plane_size(const struct pixels_axis *height, const struct pixels_axis *width)
{
    return round_up(height->length * width->length + LONGEST_VECTOR - 1, LONGEST_VECTOR) | LONGEST_VECTOR;
}

/* The planning, which is the same for every type and instruction set, is in direct_pixels.c. */

struct pixels_cut pixels_cut_of(const struct conv_problem *problem);

/* The problem of the terms of one panel: those from `first` on, `size` of them, as far as there are such. */
struct conv_problem pixels_panel(const struct conv_problem *problem, const struct pixels_box *first,
                                 const struct pixels_box *size);

/* Find the channel and the taps at which a panel begins; returns 0 if there is none of this number. Panels are in the
 * order of the terms. */
int pixels_find_panel(const struct conv_problem *problem, const struct pixels_box *size, ptrdiff_t number,
                      struct pixels_box *first);

/* The place in the sum of the first term of a panel. */
ptrdiff_t pixels_first_term(const struct conv_problem *problem, const struct pixels_box *first);

/* A band, and the planes of a panel that it reads. */
struct pixels_band pixels_band_at(const struct conv_problem *problem, const struct pixels_cut *cut,
                                  const struct conv_problem *panel, ptrdiff_t number);

/* Where each term of a panel reads. The planes are stored as (column planes, channels, depth taps, row planes). */
void pixels_offsets(const struct conv_problem *problem, const struct pixels_band *band, int *offsets);

/* List the next vectors of a band whose results have rows of `width`; returns their number, 0 at the end. Each begins
 * at an output and has what its lanes meet in this row and, where the next row of the band follows it in y, in the rows
 * after it. */
int pixels_list(const struct pixels_band *band, ptrdiff_t lanes, ptrdiff_t width, struct pixels_place *next,
                struct pixels_vector vectors[PIXELS_VECTORS]);

static inline ptrdiff_t direct_pixels_task_count(const struct conv_problem *problem)
{
    const struct pixels_cut cut = pixels_cut_of(problem);
    return ceil_div(cut.all, cut.bands);
}

/* The elements of scratch that a task needs: its planes and the table of offsets. */
static inline ptrdiff_t direct_pixels_scratch_size(const struct conv_problem *problem)
{
    const struct pixels_cut cut = pixels_cut_of(problem);
    return cut.planes + cut.panel.channels * volume(cut.panel.taps);
}

static inline ptrdiff_t direct_pixels_layout_size(const struct conv_problem *problem)
{
    return weight_size(problem);
}

/* The shares of a group's channels whose weights are laid out independently of each other. */
static inline ptrdiff_t pixels_layout_shares(const struct conv_problem *problem)
{
    return ceil_div(group_out_channels(problem), PIXELS_CHANNELS);
}

static inline ptrdiff_t direct_pixels_layout_task_count(const struct conv_problem *problem)
{
    return problem->groups * pixels_layout_shares(problem);
}

/* The blocks of one of `shares` of the channels, where a block has at most `most` channels. */
static inline struct pixels_blocks pixels_blocks_of(ptrdiff_t channels, ptrdiff_t most, ptrdiff_t share,
                                                    ptrdiff_t shares)
{
    const ptrdiff_t count = ceil_div(channels, most);
    return (struct pixels_blocks){count * share / shares, count * (share + 1) / shares, count};
}

/* The vectors that the next register block takes of `vectors`: `limit`, but the last two blocks are nearly equal. */
static inline int pixels_next_count(int vectors, int limit)
{
    if (vectors <= limit)
        return vectors;
    return vectors < 2 * limit ? (vectors + 1) / 2 : limit;
}

#endif
