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
 * is copied into the planes of direct_pixels.h, with rows of whole lines, and G into rows that end in zeros where they
 * end in a part of a vector. With a stride the rows of x that meet the same rows of the kernel make a phase; with
 * dilation the rows that follow each other in a walk are `shift` rows apart. An output of one row is folded: its strips
 * follow each other as if they were the rows of one strip, and column tap j * lanes + i is tap i of row j of the
 * kernel, which with dilation has one row.
 *
 * A task computes the dW of a few groups (or of some output channels of a large one) over a part of all tiles. What is
 * infinite in x may meet the zeros around G where the definition has no product, so not_finite[0] is set if a result is
 * not finite.
 */
#ifndef GEMMCONV_WEIGHT_GRADIENT_PIXELS_H
#define GEMMCONV_WEIGHT_GRADIENT_PIXELS_H

#include "pixels/direct_pixels.h"
#include "problem.h"

enum {
    PIXEL_GRADIENT_SUMS = 5120,       /* elements of dW in a task, at most */
    PIXEL_GRADIENT_PLANES = 1 << 16,  /* elements of the planes of x, at most */
    PIXEL_GRADIENT_ROWS = 1 << 15,    /* elements of the rows of G, at most */
    PIXEL_GRADIENT_MASKS = 8192,      /* masks of the strips of a tile, at most */
    PIXEL_GRADIENT_OUTPUTS = 4,       /* output channels of a register block, at most */
    PIXEL_GRADIENT_TAPS = 25,         /* taps for which wide outputs and stride 2 need no copies */
    PIXEL_GRADIENT_TILE = 8192,       /* output positions of a tile, at most; */
    PIXEL_GRADIENT_SMALL_TILE = 2048, /* if this makes too few parts, not less than this */
    PIXEL_GRADIENT_COLUMNS = 128,     /* the columns of a tile, unless it has few rows, */
    PIXEL_GRADIENT_FEW = 8,           /* too few rows for a walk to share */
    PIXEL_GRADIENT_LONG = 8192,       /* which then has so many positions */
    PIXEL_GRADIENT_CHUNK = 4096,      /* positions of several groups that are multiplied together, at most */
    PIXEL_GRADIENT_TASKS = 32,        /* tasks, if each has */
    PIXEL_GRADIENT_LITTLE = 1 << 18,  /* so many multiplications */
    PIXEL_GRADIENT_COPIES = 1 << 18   /* elements of all copies of dW, at most, unless there is one */
};

/* How dW is cut: `groups` of a task, or `channels` of one group; `blocks` of dW altogether. How the sum is cut: into
 * tiles of `rows` and `columns`, of which one image has `tiles`, and `parts` of all tiles. */
struct pixel_gradient_cut {
    ptrdiff_t groups, channels, blocks;
    ptrdiff_t rows, columns, tiles, parts;
    ptrdiff_t chunk; /* small pictures: so many groups are multiplied by one register block after the other */
};

/* A vector of x: where its strip begins relative to that of the first tap; the column tap, whose mask it takes; its
 * element of dW (of one output channel) for row 0 of the kernel, and for how many rows of the kernel there is one. */
struct pixel_gradient_read {
    ptrdiff_t offset;
    int column, element, rows;
};

/* What meets the same rows of x: `count` vectors of x from `first` of the table on, and rows of the kernel, which are
 * `step` elements of dW apart. The first row of the tile and of the kernel meet row `start` of the image. */
struct pixel_gradient_phase {
    ptrdiff_t first, count, rows, step, start;
};

/* How a tile is walked: `rows` of G in strips; rows that follow each other in a walk are `shift` rows apart. The
 * pitches are the distances of rows of x and G, those of G perhaps after they have been copied. */
struct pixel_gradient_tile {
    struct pixels_task task;
    int direct, folded, copies; /* x is not copied; the row is folded; G is copied */
    ptrdiff_t rows, strips, shift, x_pitch, g_pitch, copy_pitch;
    ptrdiff_t phases, slices; /* slices: channels times depth taps that are read */
    ptrdiff_t fold;           /* column taps in a row of the folded kernel */
    ptrdiff_t lane_step, mask_columns, input_rows, row_stride, planes_size;
};

/* A few groups, and a range of output channels of each, whose vectors of sums begin at `sums`. */
struct pixel_gradient_part {
    ptrdiff_t group, groups, first, end, sums;
};

/* Every shift-th row: where x and G begin, how many rows of G there are and how many of them lie before the first;
 * and the steps along rows of G and below them. */
struct pixel_gradient_walk {
    ptrdiff_t x, g, rows, before, steps[2];
};

/* Rows of planes are whole lines of the cache. */
static inline struct pixels_axis pixel_gradient_width(const struct conv_problem *problem, ptrdiff_t period,
                                                      ptrdiff_t columns)
{
    struct pixels_axis width = pixels_axis_of(problem, 2, period, columns);
    width.length = ceil_div(width.length, PIXELS_LINE) * PIXELS_LINE;
    return width;
}

/* Planes have room for two vectors behind their end, which folded outputs read. */
static inline ptrdiff_t pixel_gradient_plane_size(const struct pixels_axis *height, const struct pixels_axis *width)
{
    return pixels_plane_size(height, width) + 2 * PIXELS_LINE;
}

/* The elements of all planes of a tile and group. */
static inline ptrdiff_t pixel_gradient_planes_size(const struct conv_problem *problem, ptrdiff_t rows,
                                                   ptrdiff_t columns)
{
    const struct pixels_axis height = pixels_axis_of(problem, 1, pixels_period(problem, 1, rows), rows);
    const struct pixels_axis width = pixel_gradient_width(problem, pixels_period(problem, 2, columns), columns);
    return group_in_channels(problem) * problem->kernel[0] * height.planes * width.planes *
           pixel_gradient_plane_size(&height, &width);
}

/* Whether the kernel takes a problem: the sums of one output channel and the smallest planes must fit the scratch. */
static inline int weight_gradient_pixels_fits(const struct conv_problem *problem)
{
    return reduction_length(problem) <= PIXEL_GRADIENT_SUMS &&
           pixel_gradient_planes_size(problem, 1, min_size(problem->out_size[2], PIXELS_LINE)) <= PIXEL_GRADIENT_PLANES;
}

/* The tile: of at most `positions`, its rows as many as possible, its planes not too large. */
static inline void pixel_gradient_cut_tiles(const struct conv_problem *problem, ptrdiff_t positions,
                                            struct pixel_gradient_cut *cut)
{
    const ptrdiff_t *out = problem->out_size;
    const ptrdiff_t widest = max_size(PIXEL_GRADIENT_COLUMNS, min_size(positions, PIXEL_GRADIENT_LONG) / out[1]);
    ptrdiff_t columns = out[2] <= 2 * PIXEL_GRADIENT_COLUMNS ? out[2] : equal_part(out[2], widest), rows;

    while (columns > PIXELS_LINE &&
           pixel_gradient_planes_size(problem, min_size(4, out[1]), columns) > PIXEL_GRADIENT_PLANES)
        columns = (columns + 1) / 2;
    if (columns < out[2])
        columns = min_size(ceil_div(columns, PIXELS_LINE) * PIXELS_LINE, out[2]);
    rows = equal_part(out[1], positions / (ceil_div(columns, PIXELS_LINE) * PIXELS_LINE));
    while (rows > 1 && pixel_gradient_planes_size(problem, rows, columns) > PIXEL_GRADIENT_PLANES)
        rows = (rows + 1) / 2;
    cut->columns = columns;
    cut->rows = equal_part(out[1], rows);
    cut->tiles = out[0] * ceil_div(out[1], cut->rows) * ceil_div(out[2], columns);
    cut->chunk = min_size(PIXEL_GRADIENT_CHUNK / (cut->rows * ceil_div(columns, PIXELS_LINE) * PIXELS_LINE),
                          PIXEL_GRADIENT_PLANES / pixel_gradient_planes_size(problem, cut->rows, columns));
    cut->chunk = max_size(min_size(cut->chunk, cut->groups), 1);
}

static inline struct pixel_gradient_cut pixel_gradient_cut_of(const struct conv_problem *problem)
{
    const ptrdiff_t channels = group_out_channels(problem), taps = reduction_length(problem);
    const ptrdiff_t outputs = problem->batch * volume(problem->out_size), size = problem->out_channels * taps;
    const ptrdiff_t tasks = max_size(min_size(outputs * size / PIXEL_GRADIENT_LITTLE, PIXEL_GRADIENT_TASKS), 1);
    struct pixel_gradient_cut cut = {.channels = equal_part(channels, PIXEL_GRADIENT_SUMS / taps)};

    cut.groups = cut.channels < channels
                     ? 1
                     : max_size(min_size(problem->groups / tasks, PIXEL_GRADIENT_SUMS / (channels * taps)), 1);
    cut.blocks = ceil_div(problem->groups, cut.groups) * ceil_div(channels, cut.channels);
    const ptrdiff_t parts = max_size(min_size(ceil_div(tasks, cut.blocks), PIXEL_GRADIENT_COPIES / size), 1);
    const ptrdiff_t most =
        min_size(PIXEL_GRADIENT_TILE, PIXEL_GRADIENT_ROWS / min_size(channels, PIXEL_GRADIENT_OUTPUTS));
    pixel_gradient_cut_tiles(problem, max_size(min_size(outputs / parts, most), PIXEL_GRADIENT_SMALL_TILE), &cut);
    cut.parts = max_size(min_size(parts, problem->batch * cut.tiles), 1);
    return cut;
}

static inline ptrdiff_t weight_gradient_pixels_parts(const struct conv_problem *problem)
{
    return pixel_gradient_cut_of(problem).parts;
}

static inline ptrdiff_t weight_gradient_pixels_task_count(const struct conv_problem *problem)
{
    const struct pixel_gradient_cut cut = pixel_gradient_cut_of(problem);
    return cut.parts * cut.blocks;
}

/* Scratch holds, in this order: vectors of sums, one for each element of dW, up to a multiple of the lanes; a
 * vector of zeros; planes of x; rows of G; the table of reads; masks. */
static inline ptrdiff_t pixel_gradient_sums(const struct pixel_gradient_cut *cut, ptrdiff_t taps)
{
    return cut->groups * cut->channels * taps + PIXELS_LINE;
}

static inline ptrdiff_t pixel_gradient_rows_size(const struct pixel_gradient_cut *cut)
{
    return min_size(cut->channels, PIXEL_GRADIENT_OUTPUTS) * cut->rows * ceil_div(cut->columns, PIXELS_LINE) *
           PIXELS_LINE * cut->chunk;
}

static inline ptrdiff_t weight_gradient_pixels_scratch_size(const struct conv_problem *problem)
{
    const struct pixel_gradient_cut cut = pixel_gradient_cut_of(problem);
    const ptrdiff_t taps = reduction_length(problem);
    const ptrdiff_t ints =
        2 * taps * (ptrdiff_t)(sizeof(struct pixel_gradient_read) / sizeof(int)) + PIXEL_GRADIENT_MASKS / 2;
    return (pixel_gradient_sums(&cut, taps) + 1) * PIXELS_LINE +
           pixel_gradient_planes_size(problem, cut.rows, cut.columns) * cut.chunk + pixel_gradient_rows_size(&cut) +
           ints;
}

/* Tile `number` of all images, without what depends on the instruction set. */
static inline struct pixel_gradient_tile pixel_gradient_tile_at(const struct conv_problem *problem,
                                                                const struct pixel_gradient_cut *cut, ptrdiff_t number)
{
    const ptrdiff_t *out = problem->out_size;
    const ptrdiff_t bands = ceil_div(out[1], cut->rows), pieces = ceil_div(out[2], cut->columns);
    const ptrdiff_t piece = number % cut->tiles, band = piece / pieces;
    struct pixels_task task = {
        .image = number / cut->tiles,
        .depth = band / bands,
        .row = band % bands * cut->rows,
        .column = piece % pieces * cut->columns,
    };

    task.rows = min_size(cut->rows, out[1] - task.row);
    task.columns = min_size(cut->columns, out[2] - task.column);
    task.height = pixels_axis_of(problem, 1, pixels_period(problem, 1, cut->rows), task.rows);
    task.width = pixel_gradient_width(problem, pixels_period(problem, 2, cut->columns), task.columns);
    task.plane_size = pixel_gradient_plane_size(&task.height, &task.width);
    return (struct pixel_gradient_tile){.task = task};
}

/* The slice of the image that an output at `depth` reads with a depth tap. */
static inline ptrdiff_t pixel_gradient_depth(const struct conv_problem *problem, ptrdiff_t depth, ptrdiff_t kd)
{
    return depth * problem->stride[0] - problem->pad_before[0] + kd * problem->dilation[0];
}

/* What the first output of a tile reads with the first tap. */
static inline ptrdiff_t pixel_gradient_corner(const struct conv_problem *problem, const struct pixels_task *task)
{
    const ptrdiff_t d = pixel_gradient_depth(problem, task->depth, 0);
    const ptrdiff_t h = task->row * problem->stride[1] - problem->pad_before[1];
    const ptrdiff_t w = task->column * problem->stride[2] - problem->pad_before[2];
    return (d * problem->in_size[1] + h) * problem->in_size[2] + w;
}

/* The depth taps that read inside the image, for an output at `depth`. */
static inline ptrdiff_t pixel_gradient_depth_taps(const struct conv_problem *problem, ptrdiff_t depth)
{
    ptrdiff_t count = 0;
    for (ptrdiff_t kd = 0; kd < problem->kernel[0]; kd++) {
        const ptrdiff_t d = pixel_gradient_depth(problem, depth, kd);
        count += d >= 0 && d < problem->in_size[0];
    }
    return count;
}

static inline int pixel_gradient_folds(const struct conv_problem *problem)
{
    return problem->kernel[1] == 1 && problem->out_size[1] == 1;
}

/* With stride 2 two vectors of the image make one of x, every time it is read. */
static inline int pixel_gradient_needs_no_planes(const struct conv_problem *problem)
{
    return problem->stride[2] == 1 || (problem->stride[2] == 2 && group_out_channels(problem) == 1 &&
                                       volume(problem->kernel) <= PIXEL_GRADIENT_TAPS);
}

/* Finish a tile for vectors of so many lanes. With masks, x and G need not be copied unless there is a stride. */
static inline void pixel_gradient_plan(const struct conv_problem *problem, ptrdiff_t lanes, int masked,
                                       struct pixel_gradient_tile *tile)
{
    const ptrdiff_t *kernel = problem->kernel, *in = problem->in_size;
    struct pixels_task *task = &tile->task;
    const int in_place = masked && !pixel_gradient_folds(problem) &&
                         (task->columns == problem->out_size[2] || volume(kernel) <= PIXEL_GRADIENT_TAPS);

    tile->strips = ceil_div(task->columns, lanes);
    tile->copy_pitch = tile->strips * lanes;
    tile->planes_size =
        group_in_channels(problem) * kernel[0] * task->height.planes * task->width.planes * task->plane_size;
    tile->folded = pixel_gradient_folds(problem);
    tile->direct = in_place && pixel_gradient_needs_no_planes(problem) &&
                   tile->strips * (2 * kernel[2] + 1) <= PIXEL_GRADIENT_MASKS;
    tile->copies = !in_place && ((masked && !tile->folded) || task->columns % lanes);
    tile->lane_step = tile->direct ? problem->stride[2] : 1; /* elements of x from lane to lane */
    tile->mask_columns = tile->direct ? kernel[2] * problem->stride[2] : 1;
    tile->slices = group_in_channels(problem) * kernel[0];
    tile->input_rows = tile->direct ? in[1] : PTRDIFF_MAX;
    tile->row_stride = tile->direct ? problem->stride[1] : 1;
    if (tile->folded) {
        tile->fold = task->width.shift == 1 ? lanes : kernel[2];
        tile->rows = tile->strips;
        tile->strips = tile->shift = 1;
        tile->x_pitch = tile->g_pitch = lanes;
        tile->phases = task->width.planes;
        return;
    }
    if (tile->direct) {
        const ptrdiff_t period = problem->stride[1] / greatest_common_divisor(problem->stride[1], problem->dilation[1]);
        task->height = pixels_axis_of(problem, 1, period, task->rows);
        if (task->height.shift > 1 && task->rows < PIXEL_GRADIENT_FEW * task->height.shift)
            task->height = pixels_axis_of(problem, 1, kernel[1], task->rows);
        tile->slices = group_in_channels(problem) * pixel_gradient_depth_taps(problem, task->depth);
    }
    tile->rows = task->rows;
    tile->shift = task->height.shift;
    tile->x_pitch = tile->direct ? in[2] * problem->stride[1] : task->width.length;
    tile->g_pitch = tile->copies ? tile->copy_pitch : problem->out_size[2];
    tile->phases = task->height.planes;
}

static inline struct pixel_gradient_phase
pixel_gradient_phase_of(const struct conv_problem *problem, const struct pixel_gradient_tile *tile, ptrdiff_t phase)
{
    const struct pixels_axis *height = &tile->task.height, *width = &tile->task.width;
    const ptrdiff_t *kernel = problem->kernel;

    if (tile->folded) {
        const ptrdiff_t taps = ceil_div(kernel[2] - phase, width->period);
        return (struct pixel_gradient_phase){
            .first = phase * tile->slices * min_size(ceil_div(kernel[2], width->period), tile->fold),
            .count = tile->slices * min_size(taps, tile->fold),
            .rows = ceil_div(taps, tile->fold),
            .step = tile->fold * width->period,
        };
    }
    return (struct pixel_gradient_phase){
        .first = phase * tile->slices * kernel[2],
        .count = tile->slices * kernel[2],
        .rows = ceil_div(kernel[1] - phase, height->period),
        .step = height->period * kernel[2],
        .start = tile->direct
                     ? tile->task.row * problem->stride[1] - problem->pad_before[1] + phase * problem->dilation[1]
                     : 0,
    };
}

/* The vectors of x of one channel and depth tap, `slice` of them all, in a phase. */
static inline void pixel_gradient_list_slice(const struct conv_problem *problem, const struct pixel_gradient_tile *tile,
                                             ptrdiff_t slice, ptrdiff_t phase, struct pixel_gradient_read *reads)
{
    const struct pixels_axis *height = &tile->task.height, *width = &tile->task.width;
    const ptrdiff_t *kernel = problem->kernel, *in = problem->in_size;
    const ptrdiff_t slices = group_in_channels(problem) * kernel[0];
    const struct pixel_gradient_phase rows = pixel_gradient_phase_of(problem, tile, phase);

    if (tile->folded) {
        const ptrdiff_t taps = ceil_div(kernel[2] - phase, width->period);
        for (ptrdiff_t i = 0; i < min_size(taps, tile->fold); i++)
            *reads++ = (struct pixel_gradient_read){
                .offset = (phase * slices + slice) * tile->task.plane_size + i * width->shift,
                .element = (int)(slice * kernel[2] + phase + i * width->period),
                .rows = (int)ceil_div(taps - i, tile->fold),
            };
        return;
    }
    for (ptrdiff_t kw = 0; kw < kernel[2]; kw++) {
        const ptrdiff_t plane = (kw % width->period * slices + slice) * height->planes + phase;
        const ptrdiff_t image = slice / kernel[0] * in[0] + slice % kernel[0] * problem->dilation[0];
        *reads++ = (struct pixel_gradient_read){
            .offset = tile->direct ? (image * in[1] + phase * problem->dilation[1]) * in[2] + kw * problem->dilation[2]
                                   : plane * tile->task.plane_size + kw / width->period * width->shift,
            .column = tile->direct ? (int)(kw * problem->stride[2]) : 0,
            .element = (int)((slice * kernel[1] + phase) * kernel[2] + kw),
            .rows = (int)rows.rows,
        };
    }
}

/* List the vectors of x of all phases. */
static inline void pixel_gradient_list(const struct conv_problem *problem, const struct pixel_gradient_tile *tile,
                                       struct pixel_gradient_read *reads)
{
    const ptrdiff_t slices = group_in_channels(problem) * problem->kernel[0];

    for (ptrdiff_t number = 0; number < tile->phases; number++) {
        const struct pixel_gradient_phase phase = pixel_gradient_phase_of(problem, tile, number);
        struct pixel_gradient_read *next = reads + phase.first;
        for (ptrdiff_t slice = 0; slice < slices; slice++) {
            const ptrdiff_t d = pixel_gradient_depth(problem, tile->task.depth, slice % problem->kernel[0]);
            if (tile->direct && (d < 0 || d >= problem->in_size[0]))
                continue;
            pixel_gradient_list_slice(problem, tile, slice, number, next);
            next += phase.count / tile->slices;
        }
    }
}

#endif
