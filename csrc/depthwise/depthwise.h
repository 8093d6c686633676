/* depthwise: convolutions with one input channel per group, which leave no matrices to multiply.
 *
 * A task is a band of output rows, cut into segments of columns if they are long, of one output depth, for a few groups
 * of one image. Rows are read in place, and a block of outputs stays in registers during the walk over the taps:
 *
 *     table of rows (kernel 3x3)                      block: up to 8 output rows x 1 vector
 *
 *     row 0 -> 0 0 0 0 0 0 0 0 0 0   zeros, above the image
 *     row 1 -> x x x x x x x x x x                    the vector at row j and kernel column kw is loaded once, and
 *     row 2 -> x x[x x x x]x x x x                    multiplied for each output row that reads it:
 *     row 3 -> x x x x x x x x x x                        y[r] += weight[j - r, kw] * [x x x x]
 *
 * Rows. With stride sh and dilation dh, whose greatest common divisor is g, the output rows i, i + dh/g, i + 2 dh/g ...
 * read input rows that are dh apart. They are computed together, from a table of input rows that are dh apart: an
 * output row begins `step` = sh/g entries after the one before, a kernel row reads the entry after the one before. If
 * there is no code for a step, the kernel rows share no entries: the table has the input rows that the first kernel row
 * reads, then those of the second and so on. The tables of 3 output rows and 3 kernel rows:
 *
 *     step 1, shared    0 1 2 3 4        step 3, nothing shared    0 3 6 | 1 4 7 | 2 5 8
 *
 * Columns. The first and last vectors of a row lie partly outside the image: a mask leaves these lanes out. With stride
 * 2 the lanes are every second one of two vectors. With a larger stride sw the rows are copied into scratch, split into
 * sw planes. Plane p holds every sw-th column from p on, so that the loads of one tap are contiguous. If it takes less
 * room (few taps far apart) there is one plane for each kernel column instead.
 *
 *     sw = 3    | x0 x3 x6 .. | x1 x4 x7 .. | x2 x5 x8 .. |     kernel column 0 reads plane 0, column 3 plane 0 from x3
 *
 * Without instructions for masked loads (baseline) narrow rows are copied too, with zeros around them.
 *
 * Depth. Each depth of the kernel has a table of rows of its own.
 *
 * Slices. A kernel whose tables or copied rows would not fit scratch is cut into slices, which are as equal as possible
 * along each axis. A task computes one slice after the other, each as a convolution with a smaller kernel and another
 * padding, and adds each to the output that the slices before it left. How a kernel is cut does not depend on the size
 * of the output.
 *
 *     7 taps, 3 slices    0 1 | 2 3 | 4 5 6
 *
 * Long sums. At most DEPTHWISE_TERMS products are added in registers, from zero on. These partial sums are then added
 * to the sum, which begins with the bias, or with what the slices before left.
 *
 * The laid-out weights have the taps of each output channel in the order in which they are used. This order depends on
 * the width of a vector, the number of weights does not. How the work is cut depends on the geometry of one image
 * alone.
 *
 *     scratch    | columns, passes | addresses of rows | their advance | zeros | copied rows |
 */
#ifndef GEMMCONV_DEPTHWISE_H
#define GEMMCONV_DEPTHWISE_H

#include <stdint.h>

#include "memory.h"
#include "rows.h"

enum {
    DEPTHWISE_BLOCK = 8,           /* the most output rows, or vectors of one row, of a block */
    DEPTHWISE_SLACK = 512,         /* elements after the copied rows that loads may read, without effect */
    DEPTHWISE_SEGMENT = 2048,      /* the most output columns of a task that reads rows in place */
    DEPTHWISE_SPLIT_SEGMENT = 256, /* the most output columns of a task that splits rows into planes */
    DEPTHWISE_NARROW = 256,        /* the most elements of a row that is copied if there are no masked loads */
    DEPTHWISE_COPIES = 1 << 16,    /* elements of all rows that a task copies, about */
    DEPTHWISE_L1 = 1 << 12,        /* elements of the channels that 3x3 computes together, so that L1 keeps them */
    DEPTHWISE_ALIAS = 512,         /* elements (2 KiB of float) after which addresses share sets of the first cache */
    DEPTHWISE_ALIAS_MARGIN = 24,   /* elements by which a distance may miss a multiple of DEPTHWISE_ALIAS and collide */
    DEPTHWISE_WORK = 1 << 20,      /* multiplications of a task, about */
    DEPTHWISE_TASKS = 8,           /* the least number of tasks that many groups of an image are cut into */
    DEPTHWISE_WEIGHTS = 1 << 14,   /* weights that a task lays out, about */
    DEPTHWISE_TERMS = 256,         /* the most products of a partial sum */
    DEPTHWISE_ENTRIES = 1 << 14,   /* entries of the tables of rows of a task, about */
    DEPTHWISE_LEAST_SEGMENT = 1024, /* the least limit of the output columns of a task that reads rows in place */
    DEPTHWISE_WHOLE = 49,           /* a kernel with no more taps is one slice, unless they are far apart */
    DEPTHWISE_FAR = 1024,           /* input columns between taps from which on they are called far apart */
    DEPTHWISE_UNBOUNDED = 1 << 20,  /* an axis of the output that is longer than any task */
};

struct depthwise_cut {
    ptrdiff_t taps, kernel[AXES];   /* taps of the kernel; the size of its largest slice */
    ptrdiff_t slices[AXES];         /* slices along each axis */
    ptrdiff_t slice_count;          /* slices of the kernel */
    int one_row;                    /* whether the kernel has one row */
    ptrdiff_t groups, group_blocks; /* groups of a task, tasks for all groups */
    ptrdiff_t columns, segments;    /* output columns of a task, tasks for all columns */
    ptrdiff_t rows, bands;          /* output rows of a task, tasks for the rows of a phase */
    ptrdiff_t phases, spacing;      /* phases of output rows; the rows of a phase are `spacing` apart */
    ptrdiff_t step, row_dilation;   /* entries between output rows, input rows between entries (see above) */
    int shared;                     /* whether kernel rows share entries of the table */
    ptrdiff_t entries;              /* of the table for one kernel slice */
    ptrdiff_t load_stride;          /* columns between the lanes of a vector as it is loaded */
    ptrdiff_t planes, plane_step;   /* planes of a copied row, columns between their beginnings */
    ptrdiff_t plane, pitch;         /* elements of a plane, elements from one copied row to the next */
    int copied, narrow;             /* whether rows are copied always, or only where there are no masked loads */
};

/* The distance in input columns of the columns of a kernel of this size; it means nothing if there is only one. */
static inline ptrdiff_t depthwise_column_dilation(const struct conv_problem *problem, const ptrdiff_t kernel[AXES])
{
    return kernel[2] == 1 ? 1 : problem->dilation[2];
}

/* The distance of the kernel's first and last column. */
static inline ptrdiff_t depthwise_extent(const struct conv_problem *problem, const ptrdiff_t kernel[AXES])
{
    return (kernel[2] - 1) * depthwise_column_dilation(problem, kernel);
}

/* Whether rows are split into planes: there is code for the smaller strides. */
static inline int depthwise_splits(const struct conv_problem *problem)
{
    return problem->stride[2] > 2;
}

/* A kernel column of one depth. */
struct depthwise_column {
    ptrdiff_t rows;   /* where the table of rows of its depth begins */
    ptrdiff_t offset; /* where the column reads in a row */
};

/* The taps that one call of code multiplies (see plan.inc). */
struct depthwise_pass {
    void (*code)(void);
    const struct depthwise_column *columns;
    ptrdiff_t column_count, rows;
    ptrdiff_t row;    /* the entry of the table that its first kernel row reads */
    ptrdiff_t weight; /* where its weights begin */
    int first, last;  /* whether sums or parts begin, with the bias or with zero; whether sums end as outputs */
    int tail;         /* whether the same call does the next pass too, of the same rows without the last */
    int ends_part;    /* whether it is the last of a partial sum, which is not the last of the slice */
};

/* The most passes of a kernel: its rows in runs of one or more, its columns in runs of 32 or more; if the kernel is
 * folded, rows in runs of nearly four or more. */
static inline ptrdiff_t depthwise_most_passes(const ptrdiff_t kernel[AXES])
{
    return kernel[1] * (kernel[0] * kernel[2] / 32 + 1) + kernel[2] / 4 + 4;
}

/* Where scratch holds what (see above), in elements from its beginning. */
struct depthwise_scratch {
    ptrdiff_t passes, rows, advance, zeros, copies, size;
};

/* The elements that hold `count` things of `bytes` each, even if the elements are float. */
static inline ptrdiff_t depthwise_room(ptrdiff_t count, size_t bytes)
{
    return round_up(count * (ptrdiff_t)(bytes / sizeof(float)), LONGEST_VECTOR);
}

static inline struct depthwise_scratch depthwise_scratch_of(const struct conv_problem *problem,
                                                            const struct depthwise_cut *cut)
{
    const ptrdiff_t *kernel = cut->kernel, extent = depthwise_extent(problem, kernel);
    const ptrdiff_t entries = max_size(kernel[0] * cut->entries, DEPTHWISE_BLOCK + kernel[2]);
    const ptrdiff_t reach = round_up(cut->columns, LONGEST_VECTOR) * problem->stride[2] + extent;
    const ptrdiff_t line = (DEPTHWISE_BLOCK + 2) * LONGEST_VECTOR * problem->stride[2] + extent;
    const int copies = cut->copied || cut->narrow, splits = depthwise_splits(problem);
    struct depthwise_scratch scratch;
    scratch.passes = depthwise_room(kernel[0] * kernel[2], sizeof(struct depthwise_column));
    scratch.rows = scratch.passes + depthwise_room(depthwise_most_passes(kernel), sizeof(struct depthwise_pass));
    scratch.advance = scratch.rows + depthwise_room(entries, sizeof(uintptr_t));
    scratch.zeros = scratch.advance + depthwise_room(entries, sizeof(uintptr_t));
    scratch.copies = scratch.zeros + (splits ? 0 : round_up(min_size(reach, problem->in_size[2]), LONGEST_VECTOR));
    scratch.size = scratch.copies + max_size(copies ? kernel[0] * cut->entries * cut->pitch : 0,
                                             cut->one_row ? (splits ? cut->pitch : max_size(line, cut->pitch)) : 0);
    scratch.size += DEPTHWISE_SLACK;
    return scratch;
}

struct depthwise_cut depthwise_cut_of(const struct conv_problem *problem);

/* The outputs of a task. */
struct depthwise_task {
    ptrdiff_t image, depth;
    struct interval groups;
    ptrdiff_t first_row, rows; /* the rows are cut.spacing apart */
    ptrdiff_t first_column, columns;
};

static inline struct depthwise_task depthwise_task_at(const struct conv_problem *problem,
                                                      const struct depthwise_cut *cut, ptrdiff_t number)
{
    struct depthwise_task task;
    task.first_column = take(&number, cut->segments) * cut->columns;
    task.columns = min_size(cut->columns, problem->out_size[2] - task.first_column);
    const ptrdiff_t first = take(&number, cut->bands) * cut->rows, phase = take(&number, cut->phases);
    task.first_row = phase + first * cut->spacing;
    task.rows = min_size(cut->rows, ceil_div(problem->out_size[1] - phase, cut->spacing) - first);
    task.depth = take(&number, problem->out_size[0]);
    task.groups.first = take(&number, cut->group_blocks) * cut->groups;
    task.groups.end = min_size(task.groups.first + cut->groups, problem->groups);
    task.image = number;
    return task;
}

/* The input column that kernel column 0 reads for the first output column of a task. */
static inline ptrdiff_t depthwise_first_input(const struct conv_problem *problem, const struct depthwise_task *task)
{
    return input_position(problem, 2, task->first_column, 0);
}

static inline int depthwise_plane_per_column(const struct conv_problem *problem, const struct depthwise_cut *cut)
{
    return cut->plane_step != 1 || cut->planes != problem->stride[2];
}

/* The offset of what kernel column kw reads from what kernel column 0 reads. */
static inline ptrdiff_t depthwise_column_offset(const struct conv_problem *problem, const struct depthwise_cut *cut,
                                                ptrdiff_t kw)
{
    const ptrdiff_t column = kw * depthwise_column_dilation(problem, problem->kernel), stride = problem->stride[2];
    if (!depthwise_splits(problem))
        return column;
    return depthwise_plane_per_column(problem, cut) ? kw * cut->plane : column % stride * cut->plane + column / stride;
}

static inline ptrdiff_t depthwise_task_count(const struct conv_problem *problem)
{
    const struct depthwise_cut cut = depthwise_cut_of(problem);
    return problem->batch * cut.group_blocks * problem->out_size[0] * cut.phases * cut.bands * cut.segments;
}

static inline ptrdiff_t depthwise_scratch_size(const struct conv_problem *problem)
{
    const struct depthwise_cut cut = depthwise_cut_of(problem);
    return depthwise_scratch_of(problem, &cut).size;
}

/* One input channel per group. Slices keep scratch within LARGEST_SCRATCH, even for float64. A product is
 * rounded in its slice and once for each later slice, by half an eps each. With many slices of a few taps that would be
 * above the bound of docs/accuracy.md, (256 + taps / 128) * eps. */
static inline int depthwise_fits(const struct conv_problem *problem)
{
    if (problem->in_channels != problem->groups)
        return 0;
    const struct depthwise_cut cut = depthwise_cut_of(problem);
    const ptrdiff_t terms = min_size(cut.taps / cut.slice_count, DEPTHWISE_TERMS);
    return terms + cut.slice_count <= 2 * DEPTHWISE_TERMS + cut.taps / 64 &&
           depthwise_scratch_of(problem, &cut).size * (ptrdiff_t)sizeof(double) <= LARGEST_SCRATCH;
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
