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
 * A task computes the dW of a few groups (or of some output channels of a large one) over a part of all tiles. What is
 * infinite in x may meet the zeros around G where the definition has no product, so not_finite[0] is set if a result is
 * not finite.
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
    GRADIENT_PIXELS_SMALL_TILE = 2048, /* output positions of a tile, at least, if cut for more parts */
    GRADIENT_PIXELS_COLUMNS = 128,     /* columns of a tile, at most, unless it has few rows */
    GRADIENT_PIXELS_LONG = 8192,       /* output positions of a tile of few rows, at most */
    GRADIENT_PIXELS_FEW = 8,           /* rows of a walk, at least, if dilated rows of the kernel share walks */
    GRADIENT_PIXELS_CHUNK = 4096,      /* output positions of the groups that are multiplied together, at most */
    GRADIENT_PIXELS_TASKS = 32,        /* tasks that there should be, if each has enough to do */
    GRADIENT_PIXELS_LITTLE = 1 << 18,  /* multiplications that are enough for a task */
    GRADIENT_PIXELS_COPIES = 1 << 18   /* elements of all copies of dW, at most, unless there is one */
};

/* How dW is cut: `groups` of a task, or `channels` of one group; `blocks` of dW altogether. How the sum is cut: into
 * tiles of `rows` and `columns`, of which one image has `tiles`, and `parts` of all tiles. */
struct gradient_pixels_cut {
    ptrdiff_t groups, channels, blocks;
    ptrdiff_t rows, columns, tiles, parts;
    ptrdiff_t chunk; /* of small images: the groups that are multiplied by one register block after the other */
};

/* A vector of x: where its strip begins relative to that of the first tap; the column tap, whose mask it takes; its
 * element of dW (of one output channel) for row 0 of the kernel, and for how many rows of the kernel there is one. */
struct gradient_pixels_read {
    ptrdiff_t offset;
    int column, element, rows;
};

/* What meets the same rows of x: `count` vectors of x from `first` of the table on, and rows of the kernel, which are
 * `step` elements of dW apart. The first row of the tile and of the kernel meet row `start` of the image. */
struct gradient_pixels_phase {
    ptrdiff_t first, count, rows, step, start;
};

/* How a tile is walked: `rows` of G in strips; rows that follow each other in a walk are `shift` rows apart. The
 * pitches are the distances of rows of x and G, those of G perhaps after they have been copied. */
struct gradient_pixels_tile {
    struct pixels_task task;
    int x_in_place, folded, g_copied; /* whether x is read where it is; the row is folded; G is copied */
    ptrdiff_t rows, strips, shift, x_pitch, g_pitch, copy_pitch;
    ptrdiff_t phases, slices; /* slices: channels times depth taps that are read */
    ptrdiff_t fold;           /* column taps in a row of the folded kernel */
    ptrdiff_t lane_step;      /* elements of x from lane to lane */
    ptrdiff_t mask_columns, input_rows, row_stride, planes_size;
};

/* A few groups, and a range of output channels of each, whose vectors of sums begin at `sums`. */
struct gradient_pixels_share {
    ptrdiff_t group, groups, first, end, sums;
};

/* Every shift-th row: where x and G begin, how many rows of G there are and how many of them lie before the first;
 * and the steps along rows of G and below them. */
struct gradient_pixels_walk {
    ptrdiff_t x, g, rows, before, steps[2];
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
static inline ptrdiff_t gradient_pixels_planes_size(const struct conv_problem *problem, ptrdiff_t rows,
                                                    ptrdiff_t columns)
{
    const struct pixels_axis height = pixels_axis_of(problem, 1, pixels_period(problem, 1, rows), rows);
    const struct pixels_axis width = gradient_pixels_width(problem, pixels_period(problem, 2, columns), columns);
    return group_in_channels(problem) * problem->kernel[0] * height.planes * width.planes *
           gradient_pixels_plane_size(&height, &width);
}

/* Whether the kernel takes a problem: the sums of one output channel and the smallest planes must fit the scratch. */
static inline int weight_gradient_pixels_fits(const struct conv_problem *problem)
{
    return reduction_length(problem) <= GRADIENT_PIXELS_SUMS &&
           gradient_pixels_planes_size(problem, 1, min_size(problem->out_size[2], LONGEST_VECTOR)) <=
               GRADIENT_PIXELS_PLANES;
}

/* The tile: of at most `positions`, its rows as many as possible, its planes not too large. */
static inline void gradient_pixels_cut_tiles(const struct conv_problem *problem, ptrdiff_t positions,
                                             struct gradient_pixels_cut *cut)
{
    const ptrdiff_t *out = problem->out_size;
    const ptrdiff_t widest = max_size(GRADIENT_PIXELS_COLUMNS, min_size(positions, GRADIENT_PIXELS_LONG) / out[1]);
    ptrdiff_t columns = out[2] <= 2 * GRADIENT_PIXELS_COLUMNS ? out[2] : equal_part(out[2], widest), rows;

    while (columns > LONGEST_VECTOR &&
           gradient_pixels_planes_size(problem, min_size(4, out[1]), columns) > GRADIENT_PIXELS_PLANES)
        columns = (columns + 1) / 2;
    if (columns < out[2])
        columns = min_size(round_up(columns, LONGEST_VECTOR), out[2]);
    rows = equal_part(out[1], positions / round_up(columns, LONGEST_VECTOR));
    while (rows > 1 && gradient_pixels_planes_size(problem, rows, columns) > GRADIENT_PIXELS_PLANES)
        rows = (rows + 1) / 2;
    cut->columns = columns;
    cut->rows = equal_part(out[1], rows);
    cut->tiles = out[0] * ceil_div(out[1], cut->rows) * ceil_div(out[2], columns);
    cut->chunk = min_size(GRADIENT_PIXELS_CHUNK / (cut->rows * round_up(columns, LONGEST_VECTOR)),
                          GRADIENT_PIXELS_PLANES / gradient_pixels_planes_size(problem, cut->rows, columns));
    cut->chunk = max_size(min_size(cut->chunk, cut->groups), 1);
}

static inline struct gradient_pixels_cut gradient_pixels_cut_of(const struct conv_problem *problem)
{
    const ptrdiff_t channels = group_out_channels(problem), taps = reduction_length(problem);
    const ptrdiff_t outputs = problem->batch * volume(problem->out_size), size = problem->out_channels * taps;
    const ptrdiff_t tasks = max_size(min_size(outputs * size / GRADIENT_PIXELS_LITTLE, GRADIENT_PIXELS_TASKS), 1);
    struct gradient_pixels_cut cut = {.channels = equal_part(channels, GRADIENT_PIXELS_SUMS / taps)};

    cut.groups = cut.channels < channels
                     ? 1
                     : max_size(min_size(problem->groups / tasks, GRADIENT_PIXELS_SUMS / (channels * taps)), 1);
    cut.blocks = ceil_div(problem->groups, cut.groups) * ceil_div(channels, cut.channels);
    const ptrdiff_t parts = max_size(min_size(ceil_div(tasks, cut.blocks), GRADIENT_PIXELS_COPIES / size), 1);
    const ptrdiff_t most =
        min_size(GRADIENT_PIXELS_TILE, GRADIENT_PIXELS_ROWS / min_size(channels, GRADIENT_PIXELS_OUTPUTS));
    gradient_pixels_cut_tiles(problem, max_size(min_size(outputs / parts, most), GRADIENT_PIXELS_SMALL_TILE), &cut);
    cut.parts = max_size(min_size(parts, problem->batch * cut.tiles), 1);
    return cut;
}

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
static inline ptrdiff_t gradient_pixels_sums(const struct gradient_pixels_cut *cut, ptrdiff_t taps)
{
    return cut->groups * cut->channels * taps + LONGEST_VECTOR;
}

static inline ptrdiff_t gradient_pixels_rows_size(const struct gradient_pixels_cut *cut)
{
    return min_size(cut->channels, GRADIENT_PIXELS_OUTPUTS) * cut->rows * round_up(cut->columns, LONGEST_VECTOR) *
           cut->chunk;
}

static inline ptrdiff_t weight_gradient_pixels_scratch_size(const struct conv_problem *problem)
{
    const struct gradient_pixels_cut cut = gradient_pixels_cut_of(problem);
    const ptrdiff_t taps = reduction_length(problem);
    const ptrdiff_t ints =
        2 * taps * (ptrdiff_t)(sizeof(struct gradient_pixels_read) / sizeof(int)) + GRADIENT_PIXELS_MASKS / 2;
    return (gradient_pixels_sums(&cut, taps) + 1) * LONGEST_VECTOR +
           gradient_pixels_planes_size(problem, cut.rows, cut.columns) * cut.chunk + gradient_pixels_rows_size(&cut) +
           ints;
}

/* Tile `number` of all images, without what depends on the instruction set. */
static inline struct gradient_pixels_tile
gradient_pixels_tile_at(const struct conv_problem *problem, const struct gradient_pixels_cut *cut, ptrdiff_t number)
{
    const ptrdiff_t *out = problem->out_size;
    struct pixels_task task = {.column = take(&number, ceil_div(out[2], cut->columns)) * cut->columns};

    task.row = take(&number, ceil_div(out[1], cut->rows)) * cut->rows;
    task.depth = take(&number, out[0]);
    task.image = number;
    task.rows = min_size(cut->rows, out[1] - task.row);
    task.columns = min_size(cut->columns, out[2] - task.column);
    task.height = pixels_axis_of(problem, 1, pixels_period(problem, 1, cut->rows), task.rows);
    task.width = gradient_pixels_width(problem, pixels_period(problem, 2, cut->columns), task.columns);
    task.plane_size = gradient_pixels_plane_size(&task.height, &task.width);
    return (struct gradient_pixels_tile){.task = task};
}

/* Where in the image the first output of a tile reads with the first tap. */
static inline ptrdiff_t gradient_pixels_corner(const struct conv_problem *problem, const struct pixels_task *task)
{
    return row_offset(problem, input_position(problem, 0, task->depth, 0), input_position(problem, 1, task->row, 0)) +
           input_position(problem, 2, task->column, 0);
}

/* Whether an output at `depth` reads inside the image with depth tap `kd`. */
static inline int gradient_pixels_reads_depth(const struct conv_problem *problem, ptrdiff_t depth, ptrdiff_t kd)
{
    return is_inside(input_position(problem, 0, depth, kd), problem->in_size[0]);
}

/* The number of depth taps with which an output at `depth` reads inside the image. */
static inline ptrdiff_t gradient_pixels_depth_taps(const struct conv_problem *problem, ptrdiff_t depth)
{
    ptrdiff_t count = 0;
    for (ptrdiff_t kd = 0; kd < problem->kernel[0]; kd++)
        count += gradient_pixels_reads_depth(problem, depth, kd);
    return count;
}

static inline int gradient_pixels_folds(const struct conv_problem *problem)
{
    return problem->kernel[1] == 1 && problem->out_size[1] == 1;
}

/* With stride 2 two vectors of the image make one of x, every time it is read. */
static inline int gradient_pixels_needs_no_planes(const struct conv_problem *problem)
{
    return problem->stride[2] == 1 || (problem->stride[2] == 2 && group_out_channels(problem) == 1 &&
                                       volume(problem->kernel) <= GRADIENT_PIXELS_TAPS);
}

/* x is read where it is: its rows end at the image, and of each channel only the depth taps inside it are read. */
static inline void gradient_pixels_plan_in_place(const struct conv_problem *problem, struct gradient_pixels_tile *tile)
{
    const ptrdiff_t *kernel = problem->kernel, *in = problem->in_size, *stride = problem->stride;
    struct pixels_task *task = &tile->task;

    task->height = pixels_axis_of(problem, 1, tap_period(problem, 1), task->rows);
    if (task->height.shift > 1 && task->rows < GRADIENT_PIXELS_FEW * task->height.shift)
        task->height = pixels_axis_of(problem, 1, kernel[1], task->rows);
    tile->slices = group_in_channels(problem) * gradient_pixels_depth_taps(problem, task->depth);
    tile->lane_step = stride[2];
    tile->mask_columns = kernel[2] * stride[2];
    tile->x_pitch = in[2] * stride[1];
    tile->input_rows = in[1];
    tile->row_stride = stride[1];
}

/* x is copied into planes. */
static inline void gradient_pixels_plan_planes(const struct conv_problem *problem, struct gradient_pixels_tile *tile)
{
    const struct pixels_axis *height = &tile->task.height, *width = &tile->task.width;

    tile->slices = group_in_channels(problem) * problem->kernel[0];
    tile->planes_size = tile->slices * height->planes * width->planes * tile->task.plane_size;
    tile->lane_step = tile->mask_columns = 1;
    tile->x_pitch = width->length;
    tile->input_rows = PTRDIFF_MAX;
    tile->row_stride = 1;
}

/* The strips of a row become the rows of one strip. */
static inline void gradient_pixels_fold(const struct conv_problem *problem, ptrdiff_t lanes,
                                        struct gradient_pixels_tile *tile)
{
    const struct pixels_axis *width = &tile->task.width;

    tile->fold = width->shift == 1 ? lanes : problem->kernel[2];
    tile->rows = tile->strips;
    tile->strips = tile->shift = 1;
    tile->x_pitch = tile->g_pitch = lanes;
    tile->phases = width->planes;
}

/* Finish a tile for vectors of `lanes`. With masks, x and G need not be copied unless there is a stride. */
static inline void gradient_pixels_plan(const struct conv_problem *problem, ptrdiff_t lanes, int masked,
                                        struct gradient_pixels_tile *tile)
{
    const struct pixels_task *task = &tile->task;
    const ptrdiff_t *kernel = problem->kernel;
    const int folded = gradient_pixels_folds(problem);
    const int in_place =
        masked && !folded && (task->columns == problem->out_size[2] || volume(kernel) <= GRADIENT_PIXELS_TAPS);

    tile->strips = ceil_div(task->columns, lanes);
    tile->copy_pitch = tile->strips * lanes;
    tile->folded = folded;
    tile->x_in_place = in_place && gradient_pixels_needs_no_planes(problem) &&
                       tile->strips * (2 * kernel[2] + 1) <= GRADIENT_PIXELS_MASKS;
    tile->g_copied = !in_place && ((masked && !folded) || task->columns % lanes);
    if (tile->x_in_place)
        gradient_pixels_plan_in_place(problem, tile);
    else
        gradient_pixels_plan_planes(problem, tile);
    if (folded) {
        gradient_pixels_fold(problem, lanes, tile);
        return;
    }
    tile->rows = task->rows;
    tile->shift = task->height.shift;
    tile->g_pitch = tile->g_copied ? tile->copy_pitch : problem->out_size[2];
    tile->phases = task->height.planes;
}

static inline struct gradient_pixels_phase
gradient_pixels_phase_of(const struct conv_problem *problem, const struct gradient_pixels_tile *tile, ptrdiff_t phase)
{
    const struct pixels_axis *height = &tile->task.height, *width = &tile->task.width;
    const ptrdiff_t *kernel = problem->kernel;

    if (tile->folded) {
        const ptrdiff_t taps = ceil_div(kernel[2] - phase, width->period);
        return (struct gradient_pixels_phase){
            .first = phase * tile->slices * min_size(ceil_div(kernel[2], width->period), tile->fold),
            .count = tile->slices * min_size(taps, tile->fold),
            .rows = ceil_div(taps, tile->fold),
            .step = tile->fold * width->period,
        };
    }
    return (struct gradient_pixels_phase){
        .first = phase * tile->slices * kernel[2],
        .count = tile->slices * kernel[2],
        .rows = ceil_div(kernel[1] - phase, height->period),
        .step = height->period * kernel[2],
        .start = tile->x_in_place ? input_position(problem, 1, tile->task.row, phase) : 0,
    };
}

/* The vectors of x of one channel and depth tap, `slice` of them all, in a phase. */
static inline void gradient_pixels_list_slice(const struct conv_problem *problem,
                                              const struct gradient_pixels_tile *tile, ptrdiff_t slice, ptrdiff_t phase,
                                              struct gradient_pixels_read *reads)
{
    const struct pixels_axis *height = &tile->task.height, *width = &tile->task.width;
    const ptrdiff_t *kernel = problem->kernel, *in = problem->in_size;
    const ptrdiff_t slices = group_in_channels(problem) * kernel[0];
    const struct gradient_pixels_phase rows = gradient_pixels_phase_of(problem, tile, phase);

    if (tile->folded) {
        const ptrdiff_t taps = ceil_div(kernel[2] - phase, width->period);
        for (ptrdiff_t i = 0; i < min_size(taps, tile->fold); i++)
            *reads++ = (struct gradient_pixels_read){
                .offset = (phase * slices + slice) * tile->task.plane_size + i * width->shift,
                .element = (int)(slice * kernel[2] + phase + i * width->period),
                .rows = (int)ceil_div(taps - i, tile->fold),
            };
        return;
    }
    for (ptrdiff_t kw = 0; kw < kernel[2]; kw++) {
        const ptrdiff_t plane = (kw % width->period * slices + slice) * height->planes + phase;
        const ptrdiff_t image = slice / kernel[0] * in[0] + slice % kernel[0] * problem->dilation[0];
        *reads++ = (struct gradient_pixels_read){
            .offset = tile->x_in_place
                          ? (image * in[1] + phase * problem->dilation[1]) * in[2] + kw * problem->dilation[2]
                          : plane * tile->task.plane_size + kw / width->period * width->shift,
            .column = tile->x_in_place ? (int)(kw * problem->stride[2]) : 0,
            .element = (int)((slice * kernel[1] + phase) * kernel[2] + kw),
            .rows = (int)rows.rows,
        };
    }
}

/* List the vectors of x of all phases. */
static inline void gradient_pixels_list(const struct conv_problem *problem, const struct gradient_pixels_tile *tile,
                                        struct gradient_pixels_read *reads)
{
    const ptrdiff_t slices = group_in_channels(problem) * problem->kernel[0];

    for (ptrdiff_t number = 0; number < tile->phases; number++) {
        const struct gradient_pixels_phase phase = gradient_pixels_phase_of(problem, tile, number);
        struct gradient_pixels_read *next = reads + phase.first;
        for (ptrdiff_t slice = 0; slice < slices; slice++) {
            if (tile->x_in_place && !gradient_pixels_reads_depth(problem, tile->task.depth, slice % problem->kernel[0]))
                continue;
            gradient_pixels_list_slice(problem, tile, slice, number, next);
            next += phase.count / tile->slices;
        }
    }
}

#endif
