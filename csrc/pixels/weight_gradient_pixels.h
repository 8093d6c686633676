/* weight_gradient_pixels: the gradient of the weight of convolutions with few channels per group; the lanes of a vector
 * are output positions.
 *
 *     dW[o, c, kd, kh, kw] = sum over n and p of G[n, o, p] * x[n, c, p * stride - pad_before + tap * dilation]
 *
 * A tile is a band of rows (of wide outputs: a piece of one) of the output of one image. It is cut into strips of as
 * many columns as a vector has lanes, and a strip is walked down row by row. The vectors of x are of a channel and a
 * column kw of the kernel; those of G are of an output channel and a row kh of the kernel. A vector of G meets the row
 * of x below it next, so it stays in its register, and all rows of the kernel take one vector of G and one of x for
 * each kw:
 *
 *     3x3 kernel, step h of a strip              sums of products, each a vector
 *
 *       x[h, 0:8]  x[h, 1:9]  x[h, 2:10]           G[h]      x 3  ->  dW[kh = 0, kw = 0 1 2]
 *                                                  G[h - 1]  x 3  ->  dW[kh = 1, kw = 0 1 2]
 *                                                  G[h - 2]  x 3  ->  dW[kh = 2, kw = 0 1 2]
 *
 * A register block is a few vectors of G times a few of x. Its sums begin with zero in every tile and are added to one
 * vector for each element of dW in scratch; only the end of a task adds up their lanes.
 *
 * With masks, which leave out what lies outside the image, x and G are read where they are, unless there are many taps:
 * then it pays to copy those of wide outputs, piece by piece, because distant rows share sets of the cache. Otherwise x
 * is copied into the planes of direct_pixels.h, with rows of whole lines, and G into rows that end in zeros where
 * they do not fill the last vector. With a stride the rows of x that meet the same rows of the kernel make a phase;
 * with dilation the rows that follow each other in a walk are `shift` rows apart. An output of one row is folded: its
 * strips follow each other as if they were the rows of one strip, and column tap j * lanes + i is tap i of row j of the
 * kernel, which with dilation has one row.
 *
 * A task computes the dW of a few groups (or of some output channels of a large one) over a part of all tiles. Of long
 * kernels it computes a range of the channels and taps, the gradient of a smaller kernel whose first tap reads further
 * on. A range is as many channels as fit the scratch, or of one channel some taps, so that it has no gaps in dW:
 *
 *     dW[o, 0:3, 0:4], 4 elements fit       a a a a  b b b b  c c c c         one channel
 *                      3 elements fit       a a b b  c c d d  e e f f         half of the taps of a channel
 *
 * What is infinite in x may meet the zeros around G where the definition has no product, so not_finite[0] is set if a
 * result is not finite.
 */
#ifndef GEMMCONV_WEIGHT_GRADIENT_PIXELS_H
#define GEMMCONV_WEIGHT_GRADIENT_PIXELS_H

#include "parts.h"
#include "pixels/direct_pixels.h"
#include "problem.h"

enum {
    GRADIENT_PIXELS_SUMS = 5120,       /* elements of dW in a task, at most */
    GRADIENT_PIXELS_PLANES = 1 << 16,  /* elements of the planes of x, at most */
    GRADIENT_PIXELS_ROWS = 1 << 15,    /* elements of the rows of G, at most */
    GRADIENT_PIXELS_MASKS = 8192,      /* masks of the strips of a tile, at most */
    GRADIENT_PIXELS_OUTPUTS = 4,       /* output channels of a register block, at most */
    GRADIENT_PIXELS_TAPS = 25,         /* taps of a kernel, at most, if wide outputs and stride 2 need no copies */
    GRADIENT_PIXELS_TILE = 8192,       /* output positions of a tile, at most */
    GRADIENT_PIXELS_CHANNELS = 32,     /* channels of a range, at most: their planes have room for large tiles */
    GRADIENT_PIXELS_STEPS = 512,       /* products that are added up in a register, at most */
    GRADIENT_PIXELS_SMALL_TILE = 2048, /* output positions of a tile, at least, if cut for more parts */
    GRADIENT_PIXELS_COLUMNS = 128,     /* columns of a tile, at most, unless it has few rows */
    GRADIENT_PIXELS_LONG = 8192,       /* output positions of a tile of few rows, at most */
    GRADIENT_PIXELS_FEW = 8,           /* rows of a walk, at least, if dilated rows of the kernel share walks */
    GRADIENT_PIXELS_CHUNK = 4096,      /* output positions of the groups that are multiplied together, at most */
    GRADIENT_PIXELS_TASKS = 32,        /* tasks that there should be, if each has enough to do */
    GRADIENT_PIXELS_LITTLE = 1 << 18   /* multiplications that are enough for a task */
};

enum { GRADIENT_PIXELS_SIZES = 1 + AXES }; /* a range has channels, and taps along each axis */

/* How dW is cut: `groups` of a task, or `channels` of one group; ranges of `sizes`, which are `terms` elements of a row
 * of dW; `blocks` of dW altogether. How the sum is cut: into tiles of `rows` and `columns`, of which one image has
 * `tiles`, and `parts` of all tiles. */
struct gradient_pixels_cut {
    ptrdiff_t groups, channels, blocks;
    ptrdiff_t sizes[GRADIENT_PIXELS_SIZES], ranges, terms;
    ptrdiff_t rows, columns, tiles, parts;
    ptrdiff_t chunk;         /* of small images: the groups that are multiplied by one register block after the other */
    ptrdiff_t planes;        /* elements of the planes of a group, */
    ptrdiff_t periods[AXES]; /* which repeat after this number of taps, for ranges of any size */
};

/* A vector of x: where its strip begins relative to that of the first tap; the column tap, whose mask it takes; its
 * element of dW (of one output channel) for row 0 of the kernel, and for how many rows of the kernel there is one. */
struct gradient_pixels_read {
    ptrdiff_t offset;
    int column, element, rows;
};

/* Rows of planes are whole lines of the cache. */
static inline struct pixels_axis gradient_pixels_width(const struct conv_problem *problem, ptrdiff_t period,
                                                       ptrdiff_t columns)
{
    struct pixels_axis width = pixels_axis_of(problem, 2, period, columns);
    width.length = round_up(width.length, LONGEST_VECTOR);
    return width;
}

/* Planes have room for two vectors behind their end, which folded outputs read. */
static inline ptrdiff_t gradient_pixels_plane_size(const struct pixels_axis *height, const struct pixels_axis *width)
{
    return pixels_plane_size(height, width) + 2 * LONGEST_VECTOR;
}

/* The elements of all planes of a tile and group. */
ptrdiff_t gradient_pixels_planes_size(const struct conv_problem *problem, ptrdiff_t rows, ptrdiff_t columns);

/* The convolution of some channels and taps of each group, from the channel and tap `first` on. Its input begins at the
 * channel first[0] of a group. */
static inline struct conv_problem gradient_pixels_range(const struct conv_problem *problem,
                                                        const ptrdiff_t first[GRADIENT_PIXELS_SIZES],
                                                        const ptrdiff_t sizes[GRADIENT_PIXELS_SIZES])
{
    struct conv_problem range = *problem;

    range.in_channels = problem->groups * min_size(sizes[0], group_in_channels(problem) - first[0]);
    for (int axis = 0; axis < AXES; axis++) {
        range.kernel[axis] = min_size(sizes[1 + axis], problem->kernel[axis] - first[1 + axis]);
        range.pad_before[axis] = -input_position(problem, axis, 0, first[1 + axis]);
    }
    return range;
}

struct gradient_pixels_cut gradient_pixels_cut_of(const struct conv_problem *problem);

static inline ptrdiff_t weight_gradient_pixels_parts(const struct conv_problem *problem)
{
    return gradient_pixels_cut_of(problem).parts;
}

static inline ptrdiff_t weight_gradient_pixels_task_count(const struct conv_problem *problem)
{
    const struct gradient_pixels_cut cut = gradient_pixels_cut_of(problem);
    return cut.parts * cut.blocks;
}

/* Scratch holds, in this order: vectors of sums, one for each element of dW, up to a multiple of the lanes; a
 * vector of zeros; planes of x; rows of G; the table of reads; masks. */
static inline ptrdiff_t gradient_pixels_sums(const struct gradient_pixels_cut *cut)
{
    return cut->groups * cut->channels * cut->terms + LONGEST_VECTOR;
}

static inline ptrdiff_t gradient_pixels_rows_size(const struct gradient_pixels_cut *cut)
{
    return min_size(cut->channels, GRADIENT_PIXELS_OUTPUTS) * cut->rows * round_up(cut->columns, LONGEST_VECTOR) *
           cut->chunk;
}

static inline ptrdiff_t weight_gradient_pixels_scratch_size(const struct conv_problem *problem)
{
    const struct gradient_pixels_cut cut = gradient_pixels_cut_of(problem);
    const ptrdiff_t ints =
        2 * cut.terms * (ptrdiff_t)(sizeof(struct gradient_pixels_read) / sizeof(int)) + GRADIENT_PIXELS_MASKS / 2;
    return (gradient_pixels_sums(&cut) + 1) * LONGEST_VECTOR + cut.planes * cut.chunk +
           gradient_pixels_rows_size(&cut) + ints;
}

#endif
