/* im2col: pack a panel of the patch matrix P; col2im, its adjoint: add a panel back into an image.
 *
 * For one image and group, P has a row for every tap of the kernel and a column for every output position:
 *
 *     P[(c, kd, kh, kw), (od, oh, ow)] = x[c, od*sd - pd + kd*dd, oh*sh - ph + kh*dh, ow*sw - pw + kw*dw]
 *
 * or zero where that lies outside the image. A panel is a block of it, stored row by row:
 *
 *     image (1 channel)     P for a 2x2 kernel                   panel: P[1:3, 1:4], ld = 3
 *
 *     1 2 3                 kh kw   oh,ow: 0,0 0,1 1,0 1,1
 *     4 5 6                 0  0            1   2   4   5
 *     7 8 9                 0  1            2  [3   5   6]       3 5 6
 *                           1  0            4  [5   7   8]       5 7 8
 *                           1  1            5   6   8   9
 *
 * A row of a panel is made of runs: stretches of output positions within one output row, which for one tap read one
 * input row. For each run and tap the part that lies inside the image is one interval, worked out once for all
 * channels: zeros before it, a copy (every sw-th element) in the middle, zeros after it.
 */
#ifndef GEMMCONV_IM2COL_H
#define GEMMCONV_IM2COL_H

#include "problem.h"

/* Rows first_tap <= k < end_tap and columns first_pixel <= p < end_pixel of P, stored with `ld` elements from row to
 * row. */
struct panel {
    ptrdiff_t first_tap, end_tap;
    ptrdiff_t first_pixel, end_pixel;
    ptrdiff_t ld;
};

/* One tap of the kernel along each axis; the channels for which its row of P lies in the panel; and where the first of
 * these begins in the image, and its row in the panel. */
struct tap {
    ptrdiff_t at[AXES];
    ptrdiff_t channels, image, row;
};

/* The output positions [ow, ow + count) of output row (od, oh), which begin at `column` of the panel. */
struct run {
    ptrdiff_t od, oh, ow, column, count;
};

/* What one tap reads for a run of `count` positions, which begins at `column` of the panel: `lead` zeros, then `inside`
 * elements from `offset` (relative to the channel) on, then zeros. */
struct span {
    ptrdiff_t column, count, lead, inside, offset;
};

/* As many spans are worked out at a time, and packed for one channel after the other: so that channels are read and
 * rows are written in stretches, and not in pieces whose distance can make them share one set of the cache. */
enum { SPANS = 16 };

/* How a span repeats over the channels: the distances from one to the next in the image and in the panel, and, along
 * the row of the image, the stride. */
struct lines {
    ptrdiff_t channels, image_step, row_step, stride;
};

static inline struct tap tap_at(const struct conv_problem *problem, const struct panel *panel, ptrdiff_t t)
{
    const ptrdiff_t height = problem->kernel[1], width = problem->kernel[2], taps = volume(problem->kernel);
    const ptrdiff_t first_channel = max_size(ceil_div(panel->first_tap - t, taps), 0);
    const struct tap tap = {
        .at = {t / (height * width), t / width % height, t % width},
        .channels = max_size(ceil_div(panel->end_tap - t, taps), 0) - first_channel,
        .image = first_channel * volume(problem->in_size),
        .row = (first_channel * taps + t - panel->first_tap) * panel->ld,
    };
    return tap;
}

static inline struct lines lines_of(const struct conv_problem *problem, const struct panel *panel,
                                    const struct tap *tap)
{
    const struct lines lines = {
        .channels = tap->channels,
        .image_step = volume(problem->in_size),
        .row_step = volume(problem->kernel) * panel->ld,
        .stride = problem->stride[2],
    };
    return lines;
}

/* The run of at most `longest` positions that begins at `pixel`. */
static inline struct run run_at(const struct conv_problem *problem, const struct panel *panel, ptrdiff_t pixel,
                                ptrdiff_t longest)
{
    const ptrdiff_t height = problem->out_size[1], width = problem->out_size[2];
    struct run run = {pixel / (height * width), pixel / width % height, pixel % width, pixel - panel->first_pixel, 0};
    run.count = min_size(min_size(width - run.ow, panel->end_pixel - pixel), longest);
    return run;
}

static inline struct span span_of(const struct conv_problem *problem, const struct run *run, const struct tap *tap)
{
    const ptrdiff_t *in = problem->in_size, *stride = problem->stride, *before = problem->pad_before;
    const ptrdiff_t *dilation = problem->dilation;
    const ptrdiff_t id = run->od * stride[0] - before[0] + tap->at[0] * dilation[0];
    const ptrdiff_t ih = run->oh * stride[1] - before[1] + tap->at[1] * dilation[1];
    const ptrdiff_t iw = run->ow * stride[2] - before[2] + tap->at[2] * dilation[2];
    struct span span = {run->column, run->count, run->count, 0, 0};

    if (id < 0 || id >= in[0] || ih < 0 || ih >= in[1])
        return span;
    const ptrdiff_t first = iw >= 0 ? 0 : ceil_div(-iw, stride[2]);
    const ptrdiff_t end = iw >= in[2] ? 0 : ceil_div(in[2] - iw, stride[2]);
    span.lead = min_size(first, run->count);
    span.inside = max_size(min_size(end, run->count) - span.lead, 0);
    span.offset = (id * in[1] + ih) * in[2] + iw + span.lead * stride[2];
    return span;
}

/* Work out up to SPANS spans of one tap from `*pixel` on, none longer than `longest`; returns their number and moves
 * `*pixel` behind them. */
static inline int find_spans(const struct conv_problem *problem, const struct panel *panel, const struct tap *tap,
                             ptrdiff_t longest, ptrdiff_t *pixel, struct span spans[SPANS])
{
    int count = 0;
    for (; count < SPANS && *pixel < panel->end_pixel; count++) {
        const struct run run = run_at(problem, panel, *pixel, longest);
        spans[count] = span_of(problem, &run, tap);
        *pixel += run.count;
    }
    return count;
}

#endif
