/* direct_pixels: convolutions with few input channels per group, multiplied in registers; the lanes of a vector are
 * outputs.
 *
 * A task is a band of output rows (of wide outputs: a piece of one) of one image and group, and usually all its output
 * channels. It copies what the band reads into planes with their zero padding. For stride s a plane holds every s-th
 * row and column, so that neighbouring outputs read neighbouring elements:
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
 * A register block is a few output channels times a few such vectors; it takes the whole sum in one pass. For each
 * element of the sum it loads its vectors and multiplies each by one weight of each channel. So weights are laid out
 * block by block of channels, and in each block as (K, channels of the block):
 *
 *     weight  (O, K)   a0 a1 a2 ..            layout   a0 b0 c0 d0  a1 b1 c1 d1  a2 ..     (blocks of 4 channels)
 *                      b0 b1 b2 ..
 *
 * The blocks of a group are of nearly equal sizes, and the layout is as large as the weights. How many channels a block
 * has depends on the instruction set; how tasks are cut does not. All depends on the geometry of one image alone.
 */
#ifndef GEMMCONV_DIRECT_PIXELS_H
#define GEMMCONV_DIRECT_PIXELS_H

#include "memory.h"
#include "problem.h"
#include "rows.h"

enum {
    PIXELS_CHANNELS = 8,      /* output channels of a register block, at most, on any instruction set */
    PIXELS_BLOCK_VECTORS = 8, /* vectors of a register block, at most */
    PIXELS_TAPS = 4096,       /* terms of a sum, at most */
    PIXELS_VECTORS = 96,      /* vectors of a task that are listed at a time */
    PIXELS_PLANES = 1 << 16,  /* elements of the planes of a task, at most, unless it has one row */
    PIXELS_TASKS = 16,        /* tasks that an image should make, if each has enough to do */
    PIXELS_LITTLE = 1 << 20,  /* multiplications that are enough for a task */
    PIXELS_MUCH = 1 << 22,    /* multiplications that are too many for a task */
    PIXELS_ROWS = 4,          /* rows of a task, at least, if they fit: they share what they read */
    PIXELS_OUTPUTS = 192,     /* outputs of a task, at least: with fewer, too many lanes are wasted */
    PIXELS_PIECE = 1920,      /* columns of a task, at most */
    PIXELS_LONG_PIECE = 8192, /* columns of a task, at most, where the output has one row */
};

/* What `count` outputs read along an axis: `planes`, each `length` elements. Plane i begins at what tap i reads and
 * takes every stride-th element; tap t reads plane t % period, t / period * shift elements further on. */
struct pixels_axis {
    ptrdiff_t period, shift, planes, length;
};

/* How the output of an image and group is cut: `rows` and `columns` of a task, and `shares` of the channels. */
struct pixels_cut {
    ptrdiff_t rows, columns, shares;
    ptrdiff_t row_period, column_period;
};

/* What a task computes of the output, and the planes it reads. */
struct pixels_task {
    ptrdiff_t image, group, share;
    ptrdiff_t depth, row, column; /* of the first output */
    ptrdiff_t rows, columns;
    struct pixels_axis height, width;
    ptrdiff_t plane_size;
};

/* Blocks of the channels of a group: from first to end, of `count` altogether. */
struct pixels_blocks {
    ptrdiff_t first, end, count;
};

/* A vector of outputs: where its first lane reads in a plane, where it writes, counted from the task's first output,
 * and which lanes are written, one after the other. */
struct pixels_vector {
    ptrdiff_t to;
    int from;
    unsigned lanes;
};

/* The output at which the next vector of a task begins. */
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

/* The elements of all planes of a task of `rows` times `columns` outputs. */
PLANNING ptrdiff_t pixels_planes_size(const struct conv_problem *problem, ptrdiff_t rows, ptrdiff_t columns)
{
    const struct pixels_axis height = pixels_axis_of(problem, 1, pixels_period(problem, 1, rows), rows);
    const struct pixels_axis width = pixels_axis_of(problem, 2, pixels_period(problem, 2, columns), columns);
    return group_in_channels(problem) * problem->kernel[0] * height.planes * width.planes *
           pixels_plane_size(&height, &width);
}

/* The rows of which the planes have about PIXELS_PLANES elements; at least one. The room grows with the rows, except
 * where distant taps share planes only if there are rows enough: there the rows are halved until they fit.
 * The growth is measured between 1 row and 101 rows. */
static inline ptrdiff_t pixels_rows_that_fit(const struct conv_problem *problem, ptrdiff_t columns)
{
    const ptrdiff_t one = pixels_planes_size(problem, 1, columns);
    const ptrdiff_t many = pixels_planes_size(problem, 101, columns);
    ptrdiff_t rows = problem->out_size[1];

    if (many > one)
        return max_size(1 + (PIXELS_PLANES - one) * 100 / (many - one), 1);
    while (rows > 1 && pixels_planes_size(problem, rows, columns) > PIXELS_PLANES)
        rows = (rows + 1) / 2;
    return rows;
}

/* The columns of a piece of a row, of at most `longest`, so that its planes fit. They are halved until they do. A
 * single row then takes as many whole vectors more as fit, because there are no rows to fill the planes with. */
static inline ptrdiff_t pixels_columns(const struct conv_problem *problem, ptrdiff_t longest)
{
    const ptrdiff_t *out = problem->out_size, rows = min_size(2, out[1]), all = equal_piece(out[2], longest);
    ptrdiff_t columns = all;

    while (columns > LONGEST_VECTOR && pixels_planes_size(problem, rows, columns) > PIXELS_PLANES)
        columns = equal_piece(out[2], columns / 2);
    if (rows > 1 || columns == all)
        return columns;
    for (ptrdiff_t more = round_up(columns, LONGEST_VECTOR); more >= LONGEST_VECTOR; more /= 2) {
        const ptrdiff_t wider = (columns + more) / LONGEST_VECTOR * LONGEST_VECTOR;
        if (pixels_planes_size(problem, rows, wider) <= PIXELS_PLANES)
            columns = wider;
    }
    return min_size(round_up(equal_piece(out[2], columns), LONGEST_VECTOR), columns);
}

PLANNING struct pixels_cut pixels_cut_of(const struct conv_problem *problem)
{
    const ptrdiff_t *out = problem->out_size, channels = group_out_channels(problem);
    const ptrdiff_t work = reduction_length(problem) * channels; /* for one output */
    const ptrdiff_t even = problem->groups * volume(out) * work / PIXELS_TASKS;
    const ptrdiff_t outputs = max_size(min_size(max_size(even, PIXELS_LITTLE), PIXELS_MUCH) / work, PIXELS_OUTPUTS);
    const ptrdiff_t longest =
        out[1] > 1 ? PIXELS_PIECE : min_size(max_size(outputs, PIXELS_PIECE / 2), PIXELS_LONG_PIECE);
    struct pixels_cut cut = {.columns = pixels_columns(problem, longest), .shares = 1};

    cut.rows = equal_piece(out[1], min_size(max_size(ceil_div(outputs, cut.columns), PIXELS_ROWS),
                                            pixels_rows_that_fit(problem, cut.columns)));
    if (problem->groups * out[0] * ceil_div(out[1], cut.rows) * ceil_div(out[2], cut.columns) < PIXELS_TASKS)
        cut.shares =
            min_size(ceil_div(cut.rows * cut.columns * work, PIXELS_MUCH), ceil_div(channels, PIXELS_CHANNELS));
    cut.row_period = pixels_period(problem, 1, cut.rows);
    cut.column_period = pixels_period(problem, 2, cut.columns);
    return cut;
}

static inline ptrdiff_t direct_pixels_task_count(const struct conv_problem *problem)
{
    const struct pixels_cut cut = pixels_cut_of(problem);
    return problem->batch * problem->groups * problem->out_size[0] * ceil_div(problem->out_size[1], cut.rows) *
           ceil_div(problem->out_size[2], cut.columns) * cut.shares;
}

/* The elements of scratch that a task needs: its planes and the table of offsets. */
static inline ptrdiff_t direct_pixels_scratch_size(const struct conv_problem *problem)
{
    const struct pixels_cut cut = pixels_cut_of(problem);
    return pixels_planes_size(problem, cut.rows, cut.columns) + reduction_length(problem);
}

/* Not too many terms, and scratch within LARGEST_SCRATCH even for float64. */
static inline int direct_pixels_fits(const struct conv_problem *problem)
{
    return reduction_length(problem) <= PIXELS_TAPS &&
           direct_pixels_scratch_size(problem) * (ptrdiff_t)sizeof(double) <= LARGEST_SCRATCH;
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

static inline struct pixels_task pixels_task_at(const struct conv_problem *problem, const struct pixels_cut *cut,
                                                ptrdiff_t number)
{
    const ptrdiff_t *out = problem->out_size;
    struct pixels_task task = {.share = take(&number, cut->shares)};

    task.column = take(&number, ceil_div(out[2], cut->columns)) * cut->columns;
    task.row = take(&number, ceil_div(out[1], cut->rows)) * cut->rows;
    task.depth = take(&number, out[0]);
    task.group = take(&number, problem->groups);
    task.image = number;
    task.rows = min_size(cut->rows, out[1] - task.row);
    task.columns = min_size(cut->columns, out[2] - task.column);
    task.height = pixels_axis_of(problem, 1, cut->row_period, task.rows);
    task.width = pixels_axis_of(problem, 2, cut->column_period, task.columns);
    task.plane_size = pixels_plane_size(&task.height, &task.width);
    return task;
}

/* The blocks of one of `shares` of the channels, where a block has at most `most` channels. */
static inline struct pixels_blocks pixels_blocks_of(ptrdiff_t channels, ptrdiff_t most, ptrdiff_t share,
                                                    ptrdiff_t shares)
{
    const ptrdiff_t count = ceil_div(channels, most);
    return (struct pixels_blocks){count * share / shares, count * (share + 1) / shares, count};
}

/* The planes are stored as (column planes, channels, depth taps, row planes). */
static inline void pixels_offsets(const struct conv_problem *problem, const struct pixels_task *task, int *offsets)
{
    const struct pixels_axis *height = &task->height, *width = &task->width;
    const ptrdiff_t slices = group_in_channels(problem) * problem->kernel[0];

    for (ptrdiff_t slice = 0; slice < slices; slice++)
        for (ptrdiff_t kh = 0; kh < problem->kernel[1]; kh++)
            for (ptrdiff_t kw = 0; kw < problem->kernel[2]; kw++) {
                const ptrdiff_t plane = (kw % width->period * slices + slice) * height->planes + kh % height->period;
                const ptrdiff_t row = kh / height->period * height->shift, column = kw / width->period * width->shift;
                *offsets++ = (int)(plane * task->plane_size + row * width->length + column);
            }
}

/* List the next vectors of a task; returns their number, 0 at the end. Each begins at an output and has what its lanes
 * meet in this row and, where the next row of the task follows it in y, in the rows after it. */
static inline int pixels_list(const struct conv_problem *problem, const struct pixels_task *task, ptrdiff_t lanes,
                              struct pixels_place *next, struct pixels_vector vectors[PIXELS_VECTORS])
{
    const ptrdiff_t pitch = task->width.length, width = problem->out_size[2];
    int count = 0;

    for (; count < PIXELS_VECTORS && next->row < task->rows; count++) {
        struct pixels_vector *vector = &vectors[count];
        *vector = (struct pixels_vector){
            .to = next->row * width + next->column,
            .from = (int)(next->row * pitch + next->column),
        };
        for (ptrdiff_t lane = 0; lane < lanes && next->row < task->rows;) {
            const ptrdiff_t run = min_size(lanes - lane, task->columns - next->column);
            vector->lanes |= ((1u << run) - 1) << lane;
            next->column += run;
            if (next->column < task->columns)
                break;
            lane += task->columns < width ? lanes : run + pitch - task->columns;
            next->column = 0;
            next->row++;
        }
    }
    return count;
}

/* The vectors that the next register block takes of `vectors`: `limit`, but the last two blocks are nearly equal. */
static inline int pixels_next_count(int vectors, int limit)
{
    if (vectors <= limit)
        return vectors;
    return vectors < 2 * limit ? (vectors + 1) / 2 : limit;
}

#endif
