/* How a tile of weight_gradient_pixels is walked, and the vectors of x that are read. */
#ifndef GEMMCONV_WEIGHT_GRADIENT_PIXELS_PLAN_H
#define GEMMCONV_WEIGHT_GRADIENT_PIXELS_PLAN_H

#include "pixels/weight_gradient_pixels.h"

/* What meets the same rows of x: `count` vectors of x from `first` of the table on, and rows of the kernel, which are
 * `step` elements of dW apart. The first row of the tile and of the kernel meet row `start` of the image. */
struct gradient_pixels_phase {
    ptrdiff_t first, count, rows, step, start;
};

/* How a tile is walked: `rows` of G in strips; rows that follow each other in a walk are `shift` rows apart. The
 * pitches are the distances of rows of x and G, those of G perhaps after they have been copied. */
struct gradient_pixels_tile {
    struct pixels_band band;
    int x_in_place, folded, g_copied; /* whether x is read where it is; the row is folded; G is copied */
    ptrdiff_t rows, strips, shift, x_pitch, g_pitch, copy_pitch;
    ptrdiff_t phases, slices; /* slices: channels times depth taps that are read */
    ptrdiff_t fold;           /* column taps in a row of the folded kernel */
    ptrdiff_t lane_step;      /* elements of x from lane to lane */
    ptrdiff_t mask_columns, input_rows, row_stride, planes_size;
};

/* A few groups, and the output channels first to end of each, whose vectors of sums begin at `sums`. The range is of
 * the input channels from `channel` on, of `channels` of the group. */
struct gradient_pixels_share {
    ptrdiff_t group, groups, first, end, sums, channel, channels;
};

/* Every shift-th row: where x and G begin, how many rows of G there are and how many of them lie before the first;
 * and the steps along rows of G and below them. */
struct gradient_pixels_walk {
    ptrdiff_t x, g, rows, before, steps[2];
};

/* The channel and the tap with which range `number` of dW begins. Returns where it begins in a row of dW, and takes the
 * range from the number. */
static inline ptrdiff_t gradient_pixels_range_at(const struct conv_problem *problem,
                                                 const struct gradient_pixels_cut *cut, ptrdiff_t *number,
                                                 ptrdiff_t first[GRADIENT_PIXELS_SIZES])
{
    ptrdiff_t place = 0, step = 1;

    for (int i = AXES; i >= 0; i--) {
        const ptrdiff_t whole = i ? problem->kernel[i - 1] : group_in_channels(problem);
        first[i] = take(number, ceil_div(whole, cut->sizes[i])) * cut->sizes[i];
        place += first[i] * step;
        step *= whole;
    }
    return place;
}

/* Tile `number` of all images, without what depends on the instruction set. */
static inline struct gradient_pixels_tile
gradient_pixels_tile_at(const struct conv_problem *problem, const struct gradient_pixels_cut *cut, ptrdiff_t number)
{
    const ptrdiff_t *out = problem->out_size;
    struct pixels_band band = {.column = take(&number, ceil_div(out[2], cut->columns)) * cut->columns};

    band.row = take(&number, ceil_div(out[1], cut->rows)) * cut->rows;
    band.depth = take(&number, out[0]);
    band.image = number;
    band.rows = min_size(cut->rows, out[1] - band.row);
    band.columns = min_size(cut->columns, out[2] - band.column);
    band.height = pixels_axis_of(problem, 1, cut->periods[1], band.rows);
    band.width = gradient_pixels_width(problem, cut->periods[2], band.columns);
    band.plane_size = gradient_pixels_plane_size(&band.height, &band.width);
    return (struct gradient_pixels_tile){.band = band};
}

/* Where in the image the first output of a tile reads with the first tap. */
static inline ptrdiff_t gradient_pixels_corner(const struct conv_problem *problem, const struct pixels_band *band)
{
    return row_offset(problem, input_position(problem, 0, band->depth, 0), input_position(problem, 1, band->row, 0)) +
           input_position(problem, 2, band->column, 0);
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
    struct pixels_band *band = &tile->band;

    band->height = pixels_axis_of(problem, 1, tap_period(problem, 1), band->rows);
    if (band->height.shift > 1 && band->rows < GRADIENT_PIXELS_FEW * band->height.shift)
        band->height = pixels_axis_of(problem, 1, kernel[1], band->rows);
    tile->slices = group_in_channels(problem) * gradient_pixels_depth_taps(problem, band->depth);
    tile->lane_step = stride[2];
    tile->mask_columns = kernel[2] * stride[2];
    tile->x_pitch = in[2] * stride[1];
    tile->input_rows = in[1];
    tile->row_stride = stride[1];
}

/* x is copied into planes. */
static inline void gradient_pixels_plan_planes(const struct conv_problem *problem, struct gradient_pixels_tile *tile)
{
    const struct pixels_axis *height = &tile->band.height, *width = &tile->band.width;

    tile->slices = group_in_channels(problem) * problem->kernel[0];
    tile->planes_size = tile->slices * height->planes * width->planes * tile->band.plane_size;
    tile->lane_step = tile->mask_columns = 1;
    tile->x_pitch = width->length;
    tile->input_rows = PTRDIFF_MAX;
    tile->row_stride = 1;
}

/* The strips of a row become the rows of one strip. */
static inline void gradient_pixels_fold(const struct conv_problem *problem, ptrdiff_t lanes,
                                        struct gradient_pixels_tile *tile)
{
    const struct pixels_axis *width = &tile->band.width;

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
    const struct pixels_band *band = &tile->band;
    const ptrdiff_t *kernel = problem->kernel;
    const int folded = gradient_pixels_folds(problem);
    const int in_place =
        masked && !folded && (band->columns == problem->out_size[2] || volume(kernel) <= GRADIENT_PIXELS_TAPS);

    tile->strips = ceil_div(band->columns, lanes);
    tile->copy_pitch = tile->strips * lanes;
    tile->folded = folded;
    tile->x_in_place = in_place && gradient_pixels_needs_no_planes(problem) &&
                       tile->strips * (2 * kernel[2] + 1) <= GRADIENT_PIXELS_MASKS;
    tile->g_copied = !in_place && ((masked && !folded) || band->columns % lanes);
    if (tile->x_in_place)
        gradient_pixels_plan_in_place(problem, tile);
    else
        gradient_pixels_plan_planes(problem, tile);
    if (folded) {
        gradient_pixels_fold(problem, lanes, tile);
        return;
    }
    tile->rows = band->rows;
    tile->shift = band->height.shift;
    tile->g_pitch = tile->g_copied ? tile->copy_pitch : problem->out_size[2];
    tile->phases = band->height.planes;
}

static inline struct gradient_pixels_phase
gradient_pixels_phase_of(const struct conv_problem *problem, const struct gradient_pixels_tile *tile, ptrdiff_t phase)
{
    const struct pixels_axis *height = &tile->band.height, *width = &tile->band.width;
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
        .start = tile->x_in_place ? input_position(problem, 1, tile->band.row, phase) : 0,
    };
}

/* The vectors of x of one channel and depth tap, `slice` of them all, in a phase. */
static inline void gradient_pixels_list_slice(const struct conv_problem *problem,
                                              const struct gradient_pixels_tile *tile, ptrdiff_t slice, ptrdiff_t phase,
                                              struct gradient_pixels_read *reads)
{
    const struct pixels_axis *height = &tile->band.height, *width = &tile->band.width;
    const ptrdiff_t *kernel = problem->kernel, *in = problem->in_size;
    const ptrdiff_t slices = group_in_channels(problem) * kernel[0];
    const struct gradient_pixels_phase rows = gradient_pixels_phase_of(problem, tile, phase);

    if (tile->folded) {
        const ptrdiff_t taps = ceil_div(kernel[2] - phase, width->period);
        for (ptrdiff_t i = 0; i < min_size(taps, tile->fold); i++)
            *reads++ = (struct gradient_pixels_read){
                .offset = (phase * slices + slice) * tile->band.plane_size + i * width->shift,
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
                          : plane * tile->band.plane_size + kw / width->period * width->shift,
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
            if (tile->x_in_place && !gradient_pixels_reads_depth(problem, tile->band.depth, slice % problem->kernel[0]))
                continue;
            gradient_pixels_list_slice(problem, tile, slice, number, next);
            next += phase.count / tile->slices;
        }
    }
}

#endif
