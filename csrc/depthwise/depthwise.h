/* depthwise: convolutions with one input channel per group, where there is nothing to multiply matrices of.
 *
 * A task is a band of output rows, cut into segments of columns if they are long, of one output depth, of a few groups
 * of one image. Rows are read where they are, and a block of outputs stays in registers during the walk over the taps:
 *
 *     table of rows (kernel 3x3)                      block: up to 8 output rows x 1 vector
 *
 *     row 0 -> 0 0 0 0 0 0 0 0 0 0   zeros, above the image
 *     row 1 -> x x x x x x x x x x                    the vector at row j and kernel column kw is loaded once, and
 *     row 2 -> x x[x x x x]x x x x                    multiplied into each output row that reads it:
 *     row 3 -> x x x x x x x x x x                        y[r] += weight[j - r, kw] * [x x x x]
 *
 * Rows. With stride sh and dilation dh, whose greatest common divisor is g, the output rows i, i + dh/g, i + 2 dh/g ...
 * read input rows that are dh apart: they are a band together, whose table has the input rows that are dh apart. In the
 * table output rows are `step` = sh/g entries apart and kernel rows 1. If the code has no such step, kernel rows share
 * nothing: the table has the rows of the first kernel row, then those of the second and so on.
 *
 *     step 1, 3 output rows    0 1 2 3 4        shared nothing    0 3 6 | 1 4 7 | 2 5 8
 *
 * Columns. The first and last vectors of a row lie partly outside the image: lanes there are masked. With stride 2 the
 * lanes are every second one of two vectors. With a larger stride the rows are copied into scratch, as sw planes one
 * after the other of every sw-th column each, so that the loads of one tap are contiguous; or one plane for every
 * kernel column, if that takes less room (few taps far apart).
 *
 *     sw = 3    | 0 x3 x6 .. | x1 x4 x7 .. | x2 x5 x8 .. |     kernel column 0 reads plane 0, 3 plane 0 at 1
 *
 * Without instructions for masked loads (baseline), narrow rows are copied too, with their zeros.
 *
 * Depth. There is a table of rows for each kernel slice.
 *
 * The laid-out weights have the taps of each output channel in the order in which they are used; where they are depends
 * on the width of a vector, their number does not. How the work is cut depends on the geometry of one image alone.
 *
 *     scratch    | columns, passes | addresses of rows | their advance | zeros | copied rows |
 */
#ifndef GEMMCONV_DEPTHWISE_H
#define GEMMCONV_DEPTHWISE_H

#include <stdint.h>

#include "problem.h"

enum {
    DEPTHWISE_LINE = 16,        /* planes are a multiple of so many elements: of a vector of any width */
    DEPTHWISE_BLOCK = 8,        /* the most output rows, or vectors of one, in registers at a time */
    DEPTHWISE_SLACK = 512,      /* elements after the copied rows, which may be read and do not matter */
    DEPTHWISE_SEGMENT = 2048,   /* output columns of a task */
    DEPTHWISE_COPIED = 256,     /* output columns of a task that copies rows; elements of a narrow row */
    DEPTHWISE_COPIES = 1 << 16, /* elements of all rows that a task copies, roughly */
    DEPTHWISE_WAY = 512,        /* elements: half of the addresses after which the sets of the first cache repeat */
    DEPTHWISE_NEAR = 24,
    DEPTHWISE_SCRATCH = 1 << 18, /* elements: 2 MiB of double */
    DEPTHWISE_WORK = 1 << 20,    /* multiplications that are worth a task */
    DEPTHWISE_TASKS = 8,         /* a task has at most one in so many of the groups */
    DEPTHWISE_WEIGHTS = 1 << 14, /* weights that a task lays out */
};

/* The even lanes of two vectors. */
#define DEPTHWISE_EVEN_2 0, 2
#define DEPTHWISE_EVEN_4 0, 2, 4, 6
#define DEPTHWISE_EVEN_8 0, 2, 4, 6, 8, 10, 12, 14
#define DEPTHWISE_EVEN_16 0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30
#define DEPTHWISE_ODD_2 1, 3
#define DEPTHWISE_ODD_4 1, 3, 5, 7
#define DEPTHWISE_ODD_8 1, 3, 5, 7, 9, 11, 13, 15
#define DEPTHWISE_ODD_16 1, 3, 5, 7, 9, 11, 13, 15, 17, 19, 21, 23, 25, 27, 29, 31
/* A vector without its first lane, and the first lane of another. */
#define DEPTHWISE_NEXT_2 1, 2
#define DEPTHWISE_NEXT_4 1, 2, 3, 4
#define DEPTHWISE_NEXT_8 1, 2, 3, 4, 5, 6, 7, 8
#define DEPTHWISE_NEXT_16 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16
#define DEPTHWISE_LANES(which, lanes) DEPTHWISE_##which##_##lanes
#define DEPTHWISE_EVEN(lanes) DEPTHWISE_LANES(EVEN, lanes)
#define DEPTHWISE_ODD(lanes) DEPTHWISE_LANES(ODD, lanes)
#define DEPTHWISE_NEXT(lanes) DEPTHWISE_LANES(NEXT, lanes)

struct depthwise_cut {
    ptrdiff_t groups, group_blocks; /* groups of a task, tasks that share one piece of all groups */
    ptrdiff_t columns, segments;
    ptrdiff_t rows, bands;                         /* rows of a band, bands of a phase */
    ptrdiff_t phases, spacing, step, row_dilation; /* of the rows */
    int shared;                                    /* whether kernel rows share entries of the table */
    ptrdiff_t entries;                             /* of the table for one kernel slice */
    ptrdiff_t load_stride;                         /* columns between the lanes of a vector as it is loaded */
    ptrdiff_t planes, plane_step, plane;           /* of a copied row: number, columns between them, elements */
    ptrdiff_t pitch;                               /* elements between copied rows */
    int copied, narrow;                            /* whether rows are copied, or where loads have no masks */
};

static inline ptrdiff_t depthwise_round_up(ptrdiff_t size, ptrdiff_t multiple)
{
    return ceil_div(size, multiple) * multiple;
}

/* The distance of the kernel's columns in input columns, which means nothing if there is but one. */
static inline ptrdiff_t depthwise_column_dilation(const struct conv_problem *problem)
{
    return problem->kernel[2] == 1 ? 1 : problem->dilation[2];
}

/* The distance of the kernel's first and last column. */
static inline ptrdiff_t depthwise_extent(const struct conv_problem *problem)
{
    return (problem->kernel[2] - 1) * depthwise_column_dilation(problem);
}

/* Whether rows are taken apart into planes: the smaller strides have code. */
static inline int depthwise_splits(const struct conv_problem *problem)
{
    return problem->stride[2] > 2;
}

/* Whether the rows' distance is so close to a multiple of 2 KiB (of float) that many share one set of the cache. */
static inline int depthwise_collides(const struct conv_problem *problem)
{
    const ptrdiff_t width = problem->in_size[2];
    return width >= DEPTHWISE_WAY / 2 && (width + DEPTHWISE_NEAR) % DEPTHWISE_WAY <= 2 * DEPTHWISE_NEAR;
}

static inline int depthwise_one_row(const struct conv_problem *problem)
{
    return problem->kernel[0] == 1 && problem->kernel[1] == 1;
}

static inline void depthwise_cut_columns(const struct conv_problem *problem, struct depthwise_cut *cut)
{
    const ptrdiff_t taps = problem->kernel[2], stride = problem->stride[2], extent = depthwise_extent(problem);
    const int splits = depthwise_splits(problem);

    cut->copied = splits || (depthwise_collides(problem) && problem->kernel[1] > 1);
    cut->columns = equal_part(problem->out_size[2], splits ? DEPTHWISE_COPIED : DEPTHWISE_SEGMENT);
    cut->columns = min_size(depthwise_round_up(cut->columns, DEPTHWISE_LINE), problem->out_size[2]);
    cut->segments = ceil_div(problem->out_size[2], cut->columns);
    cut->load_stride = splits ? 1 : stride;
    cut->planes = splits ? stride : 1;
    cut->plane_step = 1;
    cut->plane = depthwise_round_up(cut->columns, DEPTHWISE_LINE) * cut->load_stride + extent / cut->planes;
    cut->narrow = !splits && cut->plane <= DEPTHWISE_COPIED;
    if (splits && taps * cut->columns < stride * cut->plane) {
        cut->planes = taps;
        cut->plane_step = depthwise_column_dilation(problem);
        cut->plane = cut->columns;
    }
    cut->plane = depthwise_round_up(cut->plane, DEPTHWISE_LINE);
    cut->pitch = cut->planes * cut->plane + (splits ? 0 : DEPTHWISE_LINE); /* to align the image's part */
}

static inline void depthwise_cut_rows(const struct conv_problem *problem, struct depthwise_cut *cut)
{
    const ptrdiff_t taps = problem->kernel[1], stride = problem->stride[1];
    cut->row_dilation = taps == 1 ? stride : problem->dilation[1];
    const ptrdiff_t divisor = greatest_common_divisor(stride, cut->row_dilation);
    cut->spacing = cut->row_dilation / divisor;
    cut->step = stride / divisor;
    cut->shared = taps > 1 && cut->step == cut->load_stride;
    cut->phases = min_size(cut->spacing, problem->out_size[1]);

    const ptrdiff_t phase_rows = ceil_div(problem->out_size[1], cut->spacing);
    ptrdiff_t rows = DEPTHWISE_WORK / (cut->columns * volume(problem->kernel) * group_out_channels(problem));
    if (cut->copied || cut->narrow)
        rows = min_size(rows, DEPTHWISE_COPIES / (cut->pitch * problem->kernel[0] * (cut->shared ? cut->step : taps)));
    cut->rows = min_size(depthwise_round_up(max_size(rows, 1), DEPTHWISE_BLOCK), phase_rows);
    cut->rows = min_size(depthwise_round_up(equal_part(phase_rows, cut->rows), DEPTHWISE_BLOCK), phase_rows);
    cut->bands = ceil_div(phase_rows, cut->rows);
    const ptrdiff_t most_rows = cut->rows + DEPTHWISE_BLOCK - 1; /* the last block may be partly outside the band */
    cut->entries = cut->shared ? (most_rows - 1) * cut->step + taps : most_rows * taps;
}

static inline struct depthwise_cut depthwise_cut(const struct conv_problem *problem)
{
    struct depthwise_cut cut;
    depthwise_cut_columns(problem, &cut);
    depthwise_cut_rows(problem, &cut);
    const ptrdiff_t work = cut.rows * cut.columns * volume(problem->kernel) * group_out_channels(problem);
    cut.groups = max_size(min_size(DEPTHWISE_WORK / work, ceil_div(problem->groups, DEPTHWISE_TASKS)), 1);
    cut.group_blocks = ceil_div(problem->groups, cut.groups);
    return cut;
}

/* The outputs of a task. */
struct depthwise_piece {
    ptrdiff_t image, first_group, end_group;
    ptrdiff_t depth;
    ptrdiff_t first_row, rows; /* the rows are cut.spacing apart */
    ptrdiff_t first_column, columns;
};

static inline struct depthwise_piece depthwise_piece_at(const struct conv_problem *problem,
                                                        const struct depthwise_cut *cut, ptrdiff_t task)
{
    struct depthwise_piece piece;
    piece.first_column = task % cut->segments * cut->columns;
    piece.columns = min_size(cut->columns, problem->out_size[2] - piece.first_column);
    task /= cut->segments;
    const ptrdiff_t first = task % cut->bands * cut->rows;
    task /= cut->bands;
    const ptrdiff_t phase = task % cut->phases;
    piece.first_row = phase + first * cut->spacing;
    piece.rows = min_size(cut->rows, ceil_div(problem->out_size[1] - phase, cut->spacing) - first);
    task /= cut->phases;
    piece.depth = task % problem->out_size[0];
    task /= problem->out_size[0];
    piece.first_group = task % cut->group_blocks * cut->groups;
    piece.end_group = min_size(piece.first_group + cut->groups, problem->groups);
    piece.image = task / cut->group_blocks;
    return piece;
}

/* The input column that kernel column 0 reads for the first output column of a piece. */
static inline ptrdiff_t depthwise_first_input(const struct conv_problem *problem, const struct depthwise_piece *piece)
{
    return piece->first_column * problem->stride[2] - problem->pad_before[2];
}

static inline int depthwise_plane_per_column(const struct conv_problem *problem, const struct depthwise_cut *cut)
{
    return cut->plane_step != 1 || cut->planes != problem->stride[2];
}

/* The offset of what kernel column kw reads from what kernel column 0 reads. */
static inline ptrdiff_t depthwise_column_offset(const struct conv_problem *problem, const struct depthwise_cut *cut,
                                                ptrdiff_t kw)
{
    const ptrdiff_t column = kw * depthwise_column_dilation(problem), stride = problem->stride[2];
    if (!depthwise_splits(problem))
        return column;
    return depthwise_plane_per_column(problem, cut) ? kw * cut->plane : column % stride * cut->plane + column / stride;
}

static inline ptrdiff_t depthwise_task_count(const struct conv_problem *problem)
{
    const struct depthwise_cut cut = depthwise_cut(problem);
    return problem->batch * cut.group_blocks * problem->out_size[0] * cut.phases * cut.bands * cut.segments;
}

/* A kernel column of a kernel slice: where its table begins, and its offset in a row. */
struct depthwise_column {
    ptrdiff_t rows, offset;
};

/* Part of the taps (see depthwise.inc), of which there are at most as many as kernel rows and columns together. */
struct depthwise_pass {
    void (*code)(void);
    const struct depthwise_column *columns;
    ptrdiff_t column_count, rows;
    ptrdiff_t row;    /* where in the table its first row is */
    ptrdiff_t weight; /* where its first weight is */
    int first, last;
    int tail; /* whether the next pass goes with it: of the same rows but for the last */
};

/* The parts of scratch, in elements from its beginning. */
struct depthwise_places {
    ptrdiff_t passes, rows, advance, zeros, copies, size;
};

/* Room for `count` things of so many bytes, enough even if elements are float. */
static inline ptrdiff_t depthwise_room(ptrdiff_t count, size_t bytes)
{
    return depthwise_round_up(count * (ptrdiff_t)(bytes / sizeof(float)), DEPTHWISE_LINE);
}

static inline struct depthwise_places depthwise_places(const struct conv_problem *problem,
                                                       const struct depthwise_cut *cut)
{
    const ptrdiff_t taps = problem->kernel[0] * problem->kernel[2], extent = depthwise_extent(problem);
    const ptrdiff_t entries = max_size(problem->kernel[0] * cut->entries, DEPTHWISE_BLOCK + problem->kernel[2]);
    const ptrdiff_t reach = depthwise_round_up(cut->columns, DEPTHWISE_LINE) * problem->stride[2] + extent;
    const int copies = cut->copied || cut->narrow;
    const ptrdiff_t line = (DEPTHWISE_BLOCK + problem->kernel[2]) * DEPTHWISE_LINE * problem->stride[2] + extent;
    struct depthwise_places places;
    places.passes = depthwise_room(taps, sizeof(struct depthwise_column));
    places.rows = places.passes + depthwise_room(problem->kernel[1] + problem->kernel[2] + problem->kernel[0],
                                                 sizeof(struct depthwise_pass));
    places.advance = places.rows + depthwise_room(entries, sizeof(uintptr_t));
    places.zeros = places.advance + depthwise_room(entries, sizeof(uintptr_t));
    places.copies = places.zeros + depthwise_round_up(min_size(reach, problem->in_size[2]), DEPTHWISE_LINE);
    places.size = places.copies + max_size(copies ? problem->kernel[0] * cut->entries * cut->pitch : 0,
                                           depthwise_one_row(problem) ? max_size(line, cut->pitch) : 0);
    places.size += DEPTHWISE_SLACK;
    return places;
}

static inline ptrdiff_t depthwise_scratch_size(const struct conv_problem *problem)
{
    const struct depthwise_cut cut = depthwise_cut(problem);
    return depthwise_places(problem, &cut).size;
}

/* One input channel per group, and scratch that suffices for float64. */
static inline int depthwise_fits(const struct conv_problem *problem)
{
    return problem->in_channels == problem->groups &&
           depthwise_scratch_size(problem) * (ptrdiff_t)sizeof(double) <= LARGEST_SCRATCH;
}

static inline ptrdiff_t depthwise_layout_size(const struct conv_problem *problem)
{
    return problem->out_channels * volume(problem->kernel);
}

/* The output channels whose weights a task lays out. */
static inline ptrdiff_t depthwise_layout_channels(const struct conv_problem *problem)
{
    return max_size(DEPTHWISE_WEIGHTS / volume(problem->kernel), 1);
}

static inline ptrdiff_t depthwise_layout_task_count(const struct conv_problem *problem)
{
    return ceil_div(problem->out_channels, depthwise_layout_channels(problem));
}

#endif
