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
 * In general dx[residue + n * stride - pad_before] is such a sum; the position n may be negative. Residues that no
 * phase belongs to are zero. Phases with the same number of taps, which read dy at the same places, are a class. Its
 * convolution has all of them as output channels:
 *
 *     weight of x -> y  (out_channels, in_channels / groups, kernel)
 *     stacked           (groups, phases, in_channels / groups, out_channels / groups, taps in reverse)
 *
 * A task is a band: some positions n of a block of the channels (or groups) of one image, with all residues of the
 * height and all or some of the width. It computes each class of the block by a kernel of the forward convolution. Then
 * it weaves the results, which are in the cache, into dx:
 *
 *     scratch     phase 1   a b c d          phase 0   A B C D
 *     row of dx   a A b B c C d D
 *
 * With channels last nothing is woven. Each phase is a class of its own, with all channels of an image. Its kernel
 * writes the C channels of a position of dx where they belong:
 *
 *     row of dx   aaa AAA bbb BBB ccc CCC            here C is 3
 *
 * A task is then one task of a class, or it fills those positions of a row of dx that no phase belongs to.
 *
 * How the work is cut depends on the geometry of one image alone.
 */
#ifndef GEMMCONV_PHASES_H
#define GEMMCONV_PHASES_H

#include "channels/direct_channels.h"
#include "depthwise/depthwise_channels.h"
#include "kernels.h"
#include "pixels/direct_pixels.h"

enum {
    PHASES_CHANNELS =
        LONGEST_VECTOR,    /* input channels whose weights a task stacks or lays out: whole vectors of them */
    PHASES_TABLE = 1 << 15 /* taps of a kernel, at most, whose places in a layout are listed in scratch */
};

/* How the weights of a class get into their layout. */
enum phase_layout {
    STACKED,           /* they are stacked first, then laid out by the kernel of the class */
    CHANNELS_OF_BLOCK, /* written at once into the layout of direct_channels, with those of all classes of the block:
                          for whole vectors of channels and kernels that are not too large */
    PHASES_OF_ROW,     /* written at once into the layout of direct_channels: the lanes are phases of the width, which
                          follow each other in the weights */
    GROUPS_OF_PHASE    /* written at once into the layout of depthwise_channels: the lanes are groups */
};

/* A class of a block: `problem` is its convolution for one image. Each band has its own out_size and pad_before. */
struct phase_class {
    struct conv_problem problem;
    enum kernel kernel;
    enum phase_layout layout_by;
    ptrdiff_t block;
    ptrdiff_t first_group, first_channel;      /* those of its block */
    ptrdiff_t first_phase[AXES], phases[AXES]; /* its phases along each axis, which follow each other */
    ptrdiff_t lead[AXES];                      /* pad_before, if the first position is 0 */
    struct interval inside[AXES];              /* the positions that belong to an element of x for any of its phases */
    ptrdiff_t stacked, layout;                 /* where its weights begin */
    ptrdiff_t stack_task, layout_task;         /* the first task that stacks them, and that lays them out */
    ptrdiff_t begin, first_task;               /* with channels last: where its first element is in an image of dx, and
                                                  the first task of an image that computes it */
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
    ptrdiff_t residues;         /* of the width, of a block, at most */
    ptrdiff_t results, scratch; /* elements of scratch for the results of all classes, and for a kernel */
    ptrdiff_t stacked, layout;  /* elements of all weights */
    int stacks;                 /* whether the weights of any class are stacked */
    ptrdiff_t stack_tasks, layout_tasks;
    ptrdiff_t tasks, fill_task; /* with channels last: the tasks of an image; those from fill_task on fill a row each */
};

struct phases_task {
    ptrdiff_t image;
    const struct phase_block *block;
    struct interval band[AXES];
};

/* Where the results of one residue of the width are: the row of the first group, channel, depth and height begins at
 * `from`, and the others follow in these steps. */
struct phase_source {
    ptrdiff_t from, group_step, channel_step, depth_step, row_step;
};

/* Where the sections of scratch begin, in elements:
 *
 *     zeros | sources | rows | results of all classes | scratch of their kernels */
struct phases_places {
    ptrdiff_t sources, rows, results, scratch, size;
};

/* Only what Python has cut into phases can be computed. */
static inline int phases_fits(const struct conv_problem *problem)
{
    return problem->phases != NULL;
}

static inline ptrdiff_t phases_bands(const struct phases *phases, int axis)
{
    return ceil_div(interval_length(&phases->positions[axis]), phases->band[axis]);
}

static inline ptrdiff_t phases_task_count(const struct conv_problem *problem)
{
    const struct phases *phases = problem->phases;
    if (problem->channels_last)
        return problem->batch * phases->tasks;
    return problem->batch * phases->block_count * phases_bands(phases, 0) * phases_bands(phases, 1) *
           phases_bands(phases, 2);
}

static inline struct interval phases_band_at(const struct phases *phases, int axis, ptrdiff_t number)
{
    const ptrdiff_t first = phases->positions[axis].first + number * phases->band[axis];
    return (struct interval){first, min_size(first + phases->band[axis], phases->positions[axis].end)};
}

/* Bands of the same block follow each other, because they share its weights. */
static inline struct phases_task phases_task_at(const struct conv_problem *problem, ptrdiff_t number)
{
    const struct phases *phases = problem->phases;
    struct phases_task task;
    for (int axis = AXES - 1; axis >= 0; axis--)
        task.band[axis] = phases_band_at(phases, axis, take(&number, phases_bands(phases, axis)));
    task.block = phases->blocks + take(&number, phases->block_count);
    task.image = number;
    return task;
}

/* Find the convolution of a class for a band; returns 0 if the band has none of its elements. */
static inline int phases_find_problem(const struct phase_class *class, const struct interval band[AXES],
                                      struct conv_problem *problem)
{
    *problem = class->problem;
    for (int axis = 0; axis < AXES; axis++) {
        const ptrdiff_t first = max_size(band[axis].first, class->inside[axis].first);
        problem->out_size[axis] = min_size(band[axis].end, class->inside[axis].end) - first;
        problem->pad_before[axis] = class->lead[axis] - first;
        if (problem->out_size[axis] <= 0)
            return 0;
    }
    return 1;
}

/* The planes of direct_pixels for a band of a block. They are large enough for all its classes, and begin at an element
 * of dy that may be outside. */
static inline struct pixels_band phases_planes(const struct phase_block *block, const struct interval band[AXES],
                                               ptrdiff_t begin[AXES])
{
    const ptrdiff_t nowhere = PTRDIFF_MAX / 2; /* until a class has been found */
    struct interval read[AXES] = {band[0], {nowhere, -nowhere}, {nowhere, -nowhere}};
    const ptrdiff_t *dilation = block->classes->problem.dilation;
    struct conv_problem problem;

    for (ptrdiff_t i = 0; i < block->class_count; i++)
        for (int axis = 1; phases_find_problem(block->classes + i, band, &problem) && axis < AXES; axis++) {
            const ptrdiff_t first = -problem.pad_before[axis];
            const ptrdiff_t end = first + problem.out_size[axis] + (problem.kernel[axis] - 1) * dilation[axis];
            read[axis] = (struct interval){min_size(read[axis].first, first), max_size(read[axis].end, end)};
        }
    struct pixels_band planes = {
        .shares = 1,
        .height = {1, dilation[1], 1, interval_length(&read[1])},
        .width = {1, dilation[2], 1, interval_length(&read[2])},
    };
    planes.plane_size = pixels_plane_size(&planes.height, &planes.width);
    for (int axis = 0; axis < AXES; axis++)
        begin[axis] = read[axis].first;
    return planes;
}

/* The elements of scratch for the results of one of these convolutions. */
static inline ptrdiff_t phases_results_size(const struct conv_problem *problem)
{
    return round_up(problem->out_channels * volume(problem->out_size), LONGEST_VECTOR);
}

/* How a band is woven into rows of x. Position n begins at column n * stride + origin, and all columns are before
 * `end`. In a block of all residues, those of the first position that lie before the row are left out: every position
 * then begins with residue `shift`, and has the first `shift` residues of the next position as its last ones. `middle`
 * are the positions of which all residues are in the row. */
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

/* The residues of depth or height of which a band has elements of x. They are to be taken modulo the stride. */
static inline struct interval phases_residues(const struct conv_problem *problem, const struct phases_task *task,
                                              int axis)
{
    const ptrdiff_t stride = problem->stride[axis];
    const ptrdiff_t before = problem->pad_before[axis] - task->band[axis].first * stride;
    const ptrdiff_t first = max_size(before, 0);
    const ptrdiff_t end = min_size(interval_length(&task->band[axis]) * stride, before + problem->in_size[axis]);
    return (struct interval){first, min_size(end, first + stride)};
}

/* The residue of a phase, the positions of which begin at 0 for its class (see lead). */
static inline ptrdiff_t phase_residue(const struct conv_problem *problem, int axis, ptrdiff_t phase)
{
    return phase * problem->dilation[axis] % problem->stride[axis];
}

/* Whether any phase has the residue of a position of x along an axis. */
static inline int phases_meet(const struct conv_problem *problem, int axis, ptrdiff_t position)
{
    const ptrdiff_t distance = position + problem->pad_before[axis];
    int meet = 0;

    for (ptrdiff_t phase = 0; phase < min_size(problem->kernel[axis], tap_period(problem, axis)); phase++)
        meet |= (distance - phase_residue(problem, axis, phase)) % problem->stride[axis] == 0;
    return meet;
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

/* The class of a task that stacks weights, or that lays them out: the last class whose tasks begin there or before. */
static inline const struct phase_class *phases_class_of(const struct phases *phases, ptrdiff_t stack_task,
                                                        ptrdiff_t layout_task)
{
    const struct phase_class *class = phases->classes + phases->class_count - 1;
    while (class->stack_task > stack_task || class->layout_task > layout_task)
        class --;
    return class;
}

/* Where the first tap of a phase of a class is in the kernel. */
static inline ptrdiff_t phase_offset(const struct conv_problem *problem, const struct phase_class *class,
                                     ptrdiff_t number)
{
    ptrdiff_t phase[AXES], offset = 0;

    tap_at(class->phases, number, phase);
    for (int axis = 0; axis < AXES; axis++)
        offset = offset * problem->kernel[axis] + class->first_phase[axis] + phase[axis];
    return offset;
}

/* Where the taps of all phases of a class are in the kernel. */
static inline void phases_tap_offsets(const struct conv_problem *problem, const struct phase_class *class,
                                      ptrdiff_t *offsets)
{
    const ptrdiff_t *kernel = class->problem.kernel, taps = volume(kernel);
    ptrdiff_t tap[AXES];

    for (ptrdiff_t i = 0; i < volume(class->phases) * taps; i++) {
        ptrdiff_t offset = 0;
        tap_at(kernel, taps - 1 - i % taps, tap);
        for (int axis = 0; axis < AXES; axis++)
            offset = offset * problem->kernel[axis] + tap[axis] * tap_period(problem, axis);
        offsets[i] = phase_offset(problem, class, i / taps) + offset;
    }
}

static inline struct phases_places phases_places(const struct conv_problem *problem)
{
    const struct phases *phases = problem->phases;
    const ptrdiff_t pointer = sizeof(ptrdiff_t) / sizeof(float), source = sizeof(struct phase_source) / sizeof(float);
    struct phases_places places;
    /* the zeros are a row of results; vectors read beyond the end of a row */
    places.sources = round_up(phases->band[2] + LONGEST_VECTOR, LONGEST_VECTOR);
    places.rows = places.sources + round_up(phases->residues * source, LONGEST_VECTOR);
    places.results = places.rows + round_up(phases->residues * pointer, LONGEST_VECTOR);
    places.scratch = places.results + phases->results + LONGEST_VECTOR;
    places.size = places.scratch + phases->scratch;
    return places;
}

/* The input channels of a group whose weights a class stacks. */
static inline ptrdiff_t phases_channels(const struct phase_class *class)
{
    return group_out_channels(&class->problem) / volume(class->phases);
}

/* The tasks that stack the weights of a class: some channels of a group each. */
static inline ptrdiff_t phases_stack_task_count(const struct phase_class *class)
{
    return class->problem.groups * ceil_div(phases_channels(class), PHASES_CHANNELS);
}

/* Where the weights of a tap of one channel are laid out: that of output channel o at first + o * step. A step of 0
 * says that the tap is laid out elsewhere. */
struct tap_layout {
    ptrdiff_t first, step;
};

/* Tasks that lay out weights may have a table of taps, and one of their places in the layout. */
static inline ptrdiff_t phases_stack_scratch_size(const struct conv_problem *problem)
{
    const ptrdiff_t taps = volume(problem->kernel);
    return taps > PHASES_TABLE ? 0
                               : taps * (ptrdiff_t)((sizeof(ptrdiff_t) + sizeof(struct tap_layout)) / sizeof(float));
}

static inline ptrdiff_t phases_scratch_size(const struct conv_problem *problem)
{
    return problem->channels_last ? problem->phases->scratch : phases_places(problem).size;
}

static inline ptrdiff_t phases_layout_size(const struct conv_problem *problem)
{
    return problem->phases->layout;
}

static inline ptrdiff_t phases_layout_task_count(const struct conv_problem *problem)
{
    return problem->phases->layout_tasks;
}

/* Complete `phases`, whose blocks and classes are known: where weights are, and how much scratch is needed. */
void phases_prepare(const struct conv_problem *problem, struct phases *phases, struct phase_class *classes);

#endif
