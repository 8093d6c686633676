/* im2col: pack the patch matrix P, or a panel of it; col2im, its adjoint: add it back into an image.
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
 * input row. For each run and tap, what lies inside the image is one interval, worked out once for all channels: zeros
 * before it, a copy (every sw-th element) in the middle, zeros after it.
 */
#ifndef GEMMCONV_IM2COL_H
#define GEMMCONV_IM2COL_H

#include "problem.h"
#include "rows.h"

/* Rows first_tap <= k < end_tap and columns first_pixel <= p < end_pixel of P, stored with `ld` elements from row to
 * row. */
struct panel {
    ptrdiff_t first_tap, end_tap;
    ptrdiff_t first_pixel, end_pixel;
    ptrdiff_t ld;
};

/* One tap of the kernel along each axis; the channels for which its row of P lies in the panel; and where the first of
 * these begins in the image and in the panel. */
struct tap {
    ptrdiff_t at[AXES];
    ptrdiff_t channels, image, row;
};

/* The output positions [ow, ow + count) of output row (od, oh), which begin at `column` of the panel. */
struct run {
    ptrdiff_t od, oh, ow, column, count;
};

enum {
    SPANS = 128,             /* spans that are worked out at a time */
    IM2COL_CHANNELS = 32,    /* channels in a task of im2col */
    COL2IM_CHANNELS = 8,     /* channels in a task of col2im, unless the image has few */
    COL2IM_FEW_CHANNELS = 16 /* an image of fewer channels has one in each task of col2im */
};

/* What a tap reads for some runs: each span in the first of the channels whose row of P lies in the panel. They are of
 * one tap after the other, and are packed for one channel after the other: so the image and the panel are walked
 * through in order. (Channels innermost would be a trap: where their distance is a multiple of 4 KiB, all share one set
 * of the cache.) */
struct spans {
    int count;
    int vectors; /* whether they are packed by masks, and none is longer than a vector */
    ptrdiff_t channels;
    struct span span[SPANS];
};

/* Where the next spans begin. */
struct place {
    ptrdiff_t tap;
    struct run run;
};

static inline struct tap tap_of_panel(const struct conv_problem *problem, const struct panel *panel, ptrdiff_t t)
{
    const ptrdiff_t taps = volume(problem->kernel);
    const ptrdiff_t first_channel = max_size(ceil_div(panel->first_tap - t, taps), 0);
    struct tap tap = {
        .channels = max_size(ceil_div(panel->end_tap - t, taps), 0) - first_channel,
        .image = first_channel * volume(problem->in_size),
        .row = (first_channel * taps + t - panel->first_tap) * panel->ld,
    };
    tap_at(problem->kernel, t, tap.at);
    return tap;
}

/* The empty run at the first pixel of the panel. */
static inline struct run first_run(const struct conv_problem *problem, const struct panel *panel)
{
    ptrdiff_t pixel = panel->first_pixel;
    struct run run = {.ow = take(&pixel, problem->out_size[2])};
    run.oh = take(&pixel, problem->out_size[1]);
    run.od = pixel;
    return run;
}

/* The run of at most `longest` positions after another; it is empty at the end of the panel. */
static inline struct run run_after(const struct conv_problem *problem, const struct panel *panel, struct run run,
                                   ptrdiff_t longest)
{
    const ptrdiff_t columns = panel->end_pixel - panel->first_pixel;
    run.column += run.count;
    run.ow += run.count;
    if (run.ow == problem->out_size[2]) {
        run.ow = 0;
        run.oh++;
    }
    if (run.oh == problem->out_size[1]) {
        run.oh = 0;
        run.od++;
    }
    run.count = min_size(min_size(problem->out_size[2] - run.ow, columns - run.column), longest);
    return run;
}

/* What a tap reads for a run. */
static inline struct span span_of(const struct conv_problem *problem, const struct run *run, const struct tap *tap)
{
    const ptrdiff_t id = input_position(problem, 0, run->od, tap->at[0]);
    const ptrdiff_t ih = input_position(problem, 1, run->oh, tap->at[1]);
    const ptrdiff_t iw = input_position(problem, 2, run->ow, tap->at[2]);
    struct span span = {.count = run->count, .lead = run->count};

    if (row_is_inside(problem, id, ih)) {
        span = span_inside(problem->in_size[2], problem->stride[2], iw, run->count);
        span.from += row_offset(problem, id, ih);
    }
    span.from += tap->image;
    span.to = tap->row + run->column;
    return span;
}

static inline struct place first_place(const struct conv_problem *problem, const struct panel *panel)
{
    return (struct place){0, first_run(problem, panel)};
}

/* Whether to cut runs into vectors of `lanes`: making their masks pays where many channels share them and runs are
 * short. */
static inline int packs_vectors(const struct conv_problem *problem, const struct panel *panel, const struct tap *tap,
                                ptrdiff_t lanes)
{
    const ptrdiff_t longest = min_size(problem->out_size[2], panel->end_pixel - panel->first_pixel);
    return problem->stride[2] <= 2 && tap->channels >= 8 && longest < 4 * lanes;
}

/* The longest run that may begin at a column. Where a row of the output is as wide as one of the image, what a tap
 * reads goes on from row to row: there runs end where vectors of the panel do, so that those of two rows fit one
 * vector. */
static inline ptrdiff_t longest_run(const struct conv_problem *problem, ptrdiff_t column, ptrdiff_t lanes)
{
    const int goes_on =
        problem->stride[1] == 1 && problem->stride[2] == 1 && problem->in_size[2] == problem->out_size[2];
    return goes_on ? lanes - column % lanes : lanes;
}

/* Work out the next spans, all of the same number of channels; returns how many there are, 0 at the end. `lanes` is 0
 * where vectors are not to be packed by masks. */
static inline int find_spans(const struct conv_problem *problem, const struct panel *panel, ptrdiff_t lanes,
                             struct place *next, struct spans *spans)
{
    const struct run first = first_run(problem, panel);
    spans->count = 0;
    for (; next->tap < volume(problem->kernel); next->tap++, next->run = first) {
        const struct tap tap = tap_of_panel(problem, panel, next->tap);
        if (!tap.channels)
            continue;
        if (spans->count && tap.channels != spans->channels)
            break;
        spans->channels = tap.channels;
        spans->vectors = packs_vectors(problem, panel, &tap, lanes);
        for (;;) {
            const ptrdiff_t column = next->run.column + next->run.count;
            const ptrdiff_t longest = spans->vectors ? longest_run(problem, column, lanes) : PTRDIFF_MAX;
            const struct run run = run_after(problem, panel, next->run, longest);
            if (run.count == 0)
                break;
            if (spans->count == SPANS)
                return SPANS;
            spans->span[spans->count++] = span_of(problem, &run, &tap);
            next->run = run;
        }
    }
    return spans->count;
}

/* im2col and col2im as operations of their own, on the whole of P, of problems of one group. Tasks write whole rows,
 * so that they do not meet in lines of the cache: those of im2col the rows of one tap for a block of channels, and
 * those of col2im a block of channels of the image. */
static inline ptrdiff_t col2im_channels(const struct conv_problem *problem)
{
    return problem->in_channels < COL2IM_FEW_CHANNELS ? 1 : COL2IM_CHANNELS;
}

static inline ptrdiff_t im2col_task_count(const struct conv_problem *problem)
{
    return problem->batch * ceil_div(problem->in_channels, IM2COL_CHANNELS) * volume(problem->kernel);
}

static inline ptrdiff_t col2im_task_count(const struct conv_problem *problem)
{
    return problem->batch * ceil_div(problem->in_channels, col2im_channels(problem));
}

/* The convolution that has tap `t` alone: its P has the rows of that tap, one for each channel. */
static inline struct conv_problem one_tap_of(const struct conv_problem *problem, ptrdiff_t t)
{
    struct conv_problem one_tap = *problem;
    ptrdiff_t at[AXES];

    tap_at(problem->kernel, t, at);
    for (int axis = 0; axis < AXES; axis++) {
        one_tap.kernel[axis] = 1;
        one_tap.pad_before[axis] -= at[axis] * problem->dilation[axis];
    }
    return one_tap;
}

#endif
