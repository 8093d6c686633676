/* weight_gradient_channels: the gradient of the weight of dense layers, with output channels in the lanes of vectors.
 *
 *     dK[o, c, tap] = sum over positions p of gradient[o, p] * x[c, where tap reads for p]
 *
 * A task computes a block of dK, some input channels and taps for a block of output channels of one group, for one part
 * of the sum (see parts.h). It goes through the output positions a tile at a time, and transposes the
 * gradient there, so that the channels of a position are a row of vectors; x is read where it is:
 *
 *     tile      [position][lane]                  the gradient, for the channels whose sums fit the registers
 *     rows      [channel, kd, kh, kw][lane]       the sums of all tiles so far, the transpose of a block of dK
 *     output    [part of the sum][o][channel, kd, kh, kw]
 *
 *                                        one position
 *                               tile     g g g g         lanes: output channels
 *                                        -------
 *     x[channel 0, what a tap reads]  x  + + + +
 *     x[channel 1, what a tap reads]  x  + + + +         sums, in registers for a whole tile
 *     ...
 *
 * A tile is some lines, which are the rows of the output of one image after the other; or a piece of a line. A tap
 * finds elements of x for some spans of its positions, and only these are multiplied: nothing is packed, padding costs
 * nothing, and no element of x reaches a sum that it is not part of. Spans that follow each other both in x and in the
 * tile are one, so that narrow images need not pay for short rows:
 *
 *     3x3 image, padding 1     tap (1, 0):   . a b | . d e | . g h       spans of 2, 2 and 2
 *     a b c                    tap (1, 1):   a b c   d e f   g h i       a span of 9
 *     d e f                    tap (0, 1):   . . .   a b c   d e f       a span of 6
 *     g h i
 *
 * Tiles are summed from zero and then added up in order, so that errors grow with the length of a tile plus the number
 * of tiles, not with their product.
 */
#ifndef GEMMCONV_WEIGHT_GRADIENT_CHANNELS_H
#define GEMMCONV_WEIGHT_GRADIENT_CHANNELS_H

#include "channels/direct_channels.h"
#include "problem.h"
#include "parts.h"

enum {
    GRADIENT_CHANNELS_TILE = 256,     /* positions of a tile, at most */
    GRADIENT_CHANNELS_BUNDLE = 24,    /* rows of a bundle of taps, at most, unless it is one tap */
    GRADIENT_CHANNELS_LEAST = 128,    /* rows of a task, at least: fewer would not pay for transposing the gradient */
    GRADIENT_CHANNELS_MOST = 512,     /* rows of a task, at most: more would leave the second-level cache */
    GRADIENT_CHANNELS_LITTLE = 6,     /* channels of a task, at least: the rows of a register block */
    GRADIENT_CHANNELS_WORK = 1 << 21, /* multiplications that a task should have */
};

/* How dK and the output positions are cut. */
struct gradient_channels_cut {
    ptrdiff_t channels, taps;         /* of a task, */
    ptrdiff_t slices, tap_slices;     /* and the number of such slices */
    ptrdiff_t lines, columns, pieces; /* of a tile, and the pieces of a line */
    ptrdiff_t tiles, parts;           /* of the sum */
};

/* `count` positions of a tile, from `position` on, for which a tap reads x from `from` on. */
struct gradient_channels_span {
    ptrdiff_t from, position, count;
};

/* The lines of the output: the rows of all images. */
static inline ptrdiff_t gradient_channels_lines(const struct conv_problem *problem)
{
    return problem->batch * problem->out_size[0] * problem->out_size[1];
}

/* Both dK and the positions are cut, to make tasks. The positions are cut into as many parts as are allowed, and dK for
 * the rest, as long as its blocks have enough rows. */
struct gradient_channels_cut gradient_channels_cut_of(const struct conv_problem *problem);

static inline ptrdiff_t weight_gradient_channels_parts(const struct conv_problem *problem)
{
    return gradient_channels_cut_of(problem).parts;
}

static inline ptrdiff_t weight_gradient_channels_task_count(const struct conv_problem *problem)
{
    const struct gradient_channels_cut cut = gradient_channels_cut_of(problem);
    return problem->parts * problem->groups * channel_blocks(problem) * cut.tap_slices * cut.slices;
}

static inline ptrdiff_t gradient_channels_rows_size(const struct gradient_channels_cut *cut)
{
    return cut->channels * cut->taps * CHANNEL_BLOCK;
}

static inline ptrdiff_t weight_gradient_channels_scratch_size(const struct conv_problem *problem)
{
    const struct gradient_channels_cut cut = gradient_channels_cut_of(problem);
    return gradient_channels_rows_size(&cut) + cut.lines * cut.columns * CHANNEL_BLOCK;
}

/* The positions of a piece of a line for which tap kw finds an element of x. */
static inline struct interval gradient_channels_columns(const struct conv_problem *problem, ptrdiff_t kw,
                                                        struct interval piece)
{
    const struct interval inside = positions_inside(
        problem->in_size[2], problem->stride[2], input_position(problem, 2, piece.first, kw), interval_length(&piece));
    return (struct interval){piece.first + inside.first, piece.first + inside.end};
}

/* Whether they are the same for all taps of a row of the kernel. */
static inline int gradient_channels_same_columns(const struct conv_problem *problem, struct interval piece)
{
    const struct interval first = gradient_channels_columns(problem, 0, piece);
    const struct interval last = gradient_channels_columns(problem, problem->kernel[2] - 1, piece);
    return first.first == last.first && first.end == last.end;
}

/* Whether the spans of two taps have the same positions, and read x at the same distance from each other everywhere. */
static inline int gradient_channels_same_spans(const struct gradient_channels_span *a,
                                               const struct gradient_channels_span *b, ptrdiff_t count)
{
    int same = 1;
    for (ptrdiff_t i = 0; i < count; i++)
        same = same && a[i].position == b[i].position && a[i].count == b[i].count &&
               a[i].from - a[0].from == b[i].from - b[0].from;
    return same;
}

#endif
