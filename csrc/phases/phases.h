/* phases: the gradient of the input of a convolution with strides, as convolutions of the gradient of y.
 *
 * Along an axis tap t of output o meets the element i = o * stride + t * dilation - pad_before of x. Taps that are
 * stride / gcd(stride, dilation) apart meet the same elements: they are a phase, named by its first tap, and belong to
 * every stride-th element of x, to one residue. Between these and the outputs they are a convolution of stride 1, its
 * taps in reverse:
 *
 *     stride 2, kernel 3, padding 1           x elements   0  1  2  3  4  5  6
 *                                             phase        1  0  1  0  1  0  1
 *     phase 0 has the taps 2 and 0:   dx[2n - 1] = w[2] dy[n - 1] + w[0] dy[n]
 *     phase 1 has tap 1:              dx[2n]     = w[1] dy[n]
 *
 * In general dx[residue + n * stride - pad_before] is such a sum, where n counts from minus something on. Residues that
 * no phase belongs to are zero. Phases of as many taps that read dy at the same places are a class: its convolution has
 * them all as output channels:
 *
 *     weight of x -> y  (out_channels, in_channels / groups, kernel)
 *     stacked           (groups, phases, in_channels / groups, out_channels / groups, taps in reverse)
 *
 * A task is a band: some positions n of a block of the channels (or groups) of one image, with all residues of the
 * height and all or some of the width. It computes each class of the block by a kernel of the forward convolution, and
 * then weaves their results, which are in the cache, into dx:
 *
 *     scratch     phase 1   a b c d          phase 0   A B C D
 *     row of dx   a A b B c C d D
 *
 * How the work is cut depends on the geometry of one image alone.
 */
#ifndef GEMMCONV_PHASES_H
#define GEMMCONV_PHASES_H

#include "depthwise/depthwise.h"
#include "channels/direct_channels.h"
#include "pixels/direct_pixels.h"
#include "kernels.h"

enum {
    PHASES_LINE = 16,    /* the parts of scratch and of the layout are multiples of so many elements */
    PHASES_CHANNELS = 16 /* weights are stacked for so many channels at a time */
};

/* How the weights of a class come to their layout: stacked first; or that of direct_channels at once, for whole vectors
 * of channels, with those of the other classes of the block; or at once, if the lanes are phases of the width that
 * follow each other in the weights. */
enum phase_layout { STACKED, CHANNELS_OF_BLOCK, PHASES_OF_ROW };

/* A class of a block: `problem` is its convolution for one image, of which a band has an out_size and a pad_before of
 * its own. */
struct phase_class {
    struct conv_problem problem;
    enum conv_kernel kernel;
    enum phase_layout layout_by;
    ptrdiff_t block;
    ptrdiff_t first_group, first_channel;      /* those of its block */
    ptrdiff_t first_phase[AXES], phases[AXES]; /* along an axis its phases follow each other */
    ptrdiff_t lead[AXES];                      /* pad_before, if the first position is 0 */
    struct interval inside[AXES];              /* positions that belong to an element of x for any of its phases */
    ptrdiff_t stacked, layout;                 /* where its weights begin */
    ptrdiff_t stack_task, layout_task;         /* the first of its tasks */
};

struct phase_block {
    ptrdiff_t first_group, groups;
    ptrdiff_t first_channel, channels; /* of each group */
    struct interval residues;          /* of the width */
    const struct phase_class *classes;
    ptrdiff_t class_count;
    int shared; /* whether all classes read the same planes of direct_pixels */
};

struct phases {
    struct phase_block *blocks;
    const struct phase_class *classes; /* of all blocks */
    ptrdiff_t block_count, class_count;
    struct interval positions[AXES];
    ptrdiff_t band[AXES];       /* positions of a task */
    ptrdiff_t results, scratch; /* elements of scratch for the results of all classes, and for a kernel */
    ptrdiff_t stacked, layout;  /* elements of all weights */
    int stacks;                 /* whether any of them are stacked on the way to their layout */
    ptrdiff_t stack_tasks, layout_tasks;
};

struct phases_task {
    ptrdiff_t image;
    const struct phase_block *block;
    struct interval band[AXES];
};

/* Where the results of one residue of the width are: those of a channel for a row of positions. */
struct phase_source {
    ptrdiff_t from, group_step, channel_step, depth_step, row_step;
};

/* The parts of scratch, in elements from its beginning. */
struct phases_places {
    ptrdiff_t sources, rows, results, scratch, size;
};

static inline ptrdiff_t phases_round_up(ptrdiff_t size)
{
    return ceil_div(size, PHASES_LINE) * PHASES_LINE;
}

static inline ptrdiff_t phases_bands(const struct phases *phases, int axis)
{
    return ceil_div(interval_length(&phases->positions[axis]), phases->band[axis]);
}

static inline ptrdiff_t phases_task_count(const struct conv_problem *problem)
{
    const struct phases *phases = problem->phases;
    return problem->batch * phases->block_count * phases_bands(phases, 0) * phases_bands(phases, 1) *
           phases_bands(phases, 2);
}

static inline struct interval phases_band_at(const struct phases *phases, int axis, ptrdiff_t number)
{
    const ptrdiff_t first = phases->positions[axis].first + number * phases->band[axis];
    return (struct interval){first, min_size(first + phases->band[axis], phases->positions[axis].end)};
}

/* Bands of the same block follow each other: they share its weights. */
static inline struct phases_task phases_task_at(const struct conv_problem *problem, ptrdiff_t number)
{
    const struct phases *phases = problem->phases;
    struct phases_task task;
    for (int axis = AXES - 1; axis >= 0; axis--) {
        const ptrdiff_t bands = phases_bands(phases, axis);
        task.band[axis] = phases_band_at(phases, axis, number % bands);
        number /= bands;
    }
    task.block = phases->blocks + number % phases->block_count;
    task.image = number / phases->block_count;
    return task;
}

/* The convolution of a class for a band; returns 0 if none of its elements are there. */
static inline int phases_cut(const struct phase_class *class, const struct interval band[AXES],
                             struct conv_problem *part)
{
    *part = class->problem;
    for (int axis = 0; axis < AXES; axis++) {
        const ptrdiff_t first = max_size(band[axis].first, class->inside[axis].first);
        part->out_size[axis] = min_size(band[axis].end, class->inside[axis].end) - first;
        part->pad_before[axis] = class->lead[axis] - first;
        if (part->out_size[axis] <= 0)
            return 0;
    }
    return 1;
}

/* The planes of direct_pixels for a band of a block, of which its classes read the whole or a part: they are large
 * enough for all of them, and begin at an element of dy that may be outside. */
static inline struct pixels_task phases_planes(const struct phase_block *block, const struct interval band[AXES],
                                               ptrdiff_t begin[AXES])
{
    const ptrdiff_t nowhere = PTRDIFF_MAX / 2; /* until a class has been found */
    struct interval read[AXES] = {band[0], {nowhere, -nowhere}, {nowhere, -nowhere}};
    const ptrdiff_t *dilation = block->classes->problem.dilation;
    struct conv_problem part;

    for (ptrdiff_t i = 0; i < block->class_count; i++)
        for (int axis = 1; phases_cut(block->classes + i, band, &part) && axis < AXES; axis++) {
            const ptrdiff_t first = -part.pad_before[axis];
            const ptrdiff_t end = first + part.out_size[axis] + (part.kernel[axis] - 1) * dilation[axis];
            read[axis] = (struct interval){min_size(read[axis].first, first), max_size(read[axis].end, end)};
        }
    struct pixels_task planes = {
        .height = {1, dilation[1], 1, interval_length(&read[1])},
        .width = {1, dilation[2], 1, interval_length(&read[2])},
    };
    planes.plane_size = pixels_plane_size(&planes.height, &planes.width);
    for (int axis = 0; axis < AXES; axis++)
        begin[axis] = read[axis].first;
    return planes;
}

/* The elements of scratch that the results of a class for a band take. */
static inline ptrdiff_t phases_results_size(const struct conv_problem *part)
{
    return phases_round_up(part->out_channels * volume(part->out_size));
}

/* How a band is woven into rows of x: its first column would be that of its first position and residue. If a block has
 * all residues, those before the row are left out: its groups of residues begin with another, the `shift` of them that
 * come first are woven as the last ones, a position later. `middle` are the positions of which all residues are in the
 * row, before column `end`. */
struct phases_columns {
    ptrdiff_t shift, origin, end;
    struct interval middle;
};

static inline struct phases_columns phases_columns(const struct conv_problem *problem, const struct phases_task *task)
{
    const ptrdiff_t stride = problem->stride[2], before = problem->pad_before[2];
    const struct interval *band = &task->band[2], *residues = &task->block->residues;
    const ptrdiff_t count = interval_length(residues), first = before - band->first * stride;
    struct phases_columns columns = {
        .shift = count == stride && first > 0 && first < stride ? first : 0,
        .end = min_size(problem->in_size[2], band->end * stride - before + residues->first),
    };
    columns.origin = residues->first + columns.shift - before;
    const ptrdiff_t inside = ceil_div(-columns.origin, stride);
    const ptrdiff_t end = ceil_div(columns.end - columns.origin - (count - 1), stride);
    columns.middle.first = min_size(max_size(inside, band->first), band->end);
    columns.middle.end = max_size(min_size(end, band->end), columns.middle.first);
    return columns;
}

/* The residue of a phase, the positions of which begin at 0 for its class (see lead). */
static inline ptrdiff_t phase_residue(const struct conv_problem *problem, int axis, ptrdiff_t phase)
{
    return phase * problem->dilation[axis] % problem->stride[axis];
}

/* Which of the phases of a class along an axis has a residue, or -1. */
static inline ptrdiff_t phases_place(const struct conv_problem *problem, const struct phase_class *class, int axis,
                                     ptrdiff_t residue)
{
    for (ptrdiff_t i = 0; i < class->phases[axis]; i++)
        if (phase_residue(problem, axis, class->first_phase[axis] + i) == residue)
            return i;
    return -1;
}

/* The class to which a task of laying out or stacking belongs: the last that begins at it or before. */
static inline const struct phase_class *phases_class_of(const struct phases *phases, ptrdiff_t stack_task,
                                                        ptrdiff_t layout_task)
{
    const struct phase_class *class = phases->classes + phases->class_count - 1;
    while (class->stack_task > stack_task || class->layout_task > layout_task)
        class --;
    return class;
}

/* Where the taps of all phases of a class are in the kernel. */
static inline void phases_tap_offsets(const struct conv_problem *problem, const struct phase_class *class,
                                      ptrdiff_t *offsets)
{
    const ptrdiff_t *kernel = class->problem.kernel, *phases = class->phases;
    const ptrdiff_t taps = volume(kernel), count = volume(phases) * taps;
    ptrdiff_t step[AXES];

    for (int axis = 0; axis < AXES; axis++)
        step[axis] = problem->stride[axis] / greatest_common_divisor(problem->stride[axis], problem->dilation[axis]);
    for (ptrdiff_t i = 0; i < count; i++) {
        const ptrdiff_t phase = i / taps, tap = taps - 1 - i % taps;
        const ptrdiff_t phase_at[AXES] = {phase / (phases[1] * phases[2]), phase / phases[2] % phases[1],
                                          phase % phases[2]};
        const ptrdiff_t tap_at[AXES] = {tap / (kernel[1] * kernel[2]), tap / kernel[2] % kernel[1], tap % kernel[2]};
        offsets[i] = 0;
        for (int axis = 0; axis < AXES; axis++)
            offsets[i] = offsets[i] * problem->kernel[axis] + class->first_phase[axis] + phase_at[axis] +
                         tap_at[axis] * step[axis];
    }
}

static inline struct phases_places phases_places(const struct conv_problem *problem)
{
    const struct phases *phases = problem->phases;
    const ptrdiff_t pointer = sizeof(ptrdiff_t) / sizeof(float), source = sizeof(struct phase_source) / sizeof(float);
    struct phases_places places;
    places.sources = phases_round_up(phases->band[2] + PHASES_LINE); /* zeros come first */
    places.rows = places.sources + phases_round_up(problem->stride[2] * source);
    places.results = places.rows + phases_round_up(problem->stride[2] * pointer);
    places.scratch = places.results + phases->results + PHASES_LINE; /* rows are read beyond their end */
    places.size = places.scratch + phases->scratch;
    return places;
}

/* The input channels of a group whose weights a class stacks. */
static inline ptrdiff_t phases_channels(const struct phase_class *class)
{
    return group_out_channels(&class->problem) / volume(class->phases);
}

/* One for some channels of each group. */
static inline ptrdiff_t phases_stack_task_count(const struct phase_class *class)
{
    return class->problem.groups * ceil_div(phases_channels(class), PHASES_CHANNELS);
}

/* Where the weights of a tap of one channel are laid out: for the first output channel, and their distance, or 0 if
 * this is not the place. */
struct tap_layout {
    ptrdiff_t first, step;
};

/* A table of taps, and one of where they go. */
static inline ptrdiff_t phases_stack_scratch_size(const struct conv_problem *problem)
{
    return volume(problem->kernel) * (ptrdiff_t)((sizeof(ptrdiff_t) + sizeof(struct tap_layout)) / sizeof(float));
}

static inline ptrdiff_t phases_scratch_size(const struct conv_problem *problem)
{
    return phases_places(problem).size;
}

/* Set what follows from blocks and classes: where weights are, and how much scratch is needed. */
void phases_prepare(const struct conv_problem *problem, struct phases *phases, struct phase_class *classes);

#endif
