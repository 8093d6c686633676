/* What phases need to know before they run. It does not depend on the instruction set: it is compiled once. */
#include "phases/phases.h"

enum { SOME_BANDS = 64 /* four along each axis: see some_band */ };

/* Whether a kernel reads weights in the layout of direct_channels: these kernels share the functions that lay out. */
static int reads_direct_channels(enum kernel kernel)
{
    return cuts[kernel].layout_size == cuts[KERNEL_direct_channels].layout_size;
}

static enum phase_layout layout_of(const struct phase_class *class, const struct conv_problem *problem)
{
    if (class->kernel == KERNEL_depthwise_channels)
        return GROUPS_OF_PHASE;
    if (!reads_direct_channels(class->kernel))
        return STACKED;
    if (phases_channels(class) % PHASES_CHANNELS == 0 && volume(problem->kernel) <= PHASES_TABLE)
        return CHANNELS_OF_BLOCK;
    if (group_in_channels(problem) == 1 && problem->kernel[0] == 1 && problem->kernel[1] == 1)
        return PHASES_OF_ROW;
    return STACKED;
}

/* The first class of a block has the tasks of all that are laid out together. */
static ptrdiff_t layout_task_count(const struct phase_class *class, const struct phase_class *before)
{
    if (class->layout_by == CHANNELS_OF_BLOCK)
        return before ? 0 : phases_stack_task_count(class);
    return cuts[class->kernel].layout_task_count(&class->problem);
}

static void place_weights(struct phases *phases, const struct conv_problem *gradient, struct phase_class *classes,
                          ptrdiff_t number)
{
    struct phase_class *class = classes + number;
    const struct conv_problem *problem = &class->problem;
    const struct phase_class *before = NULL;

    class->layout_by = layout_of(class, gradient);
    phases->stacks |= class->layout_by == STACKED;
    for (ptrdiff_t i = number; i-- > 0 && classes[i].block == class->block;)
        if (classes[i].layout_by == CHANNELS_OF_BLOCK)
            before = classes + i;

    class->stacked = phases->stacked;
    class->layout = phases->layout;
    class->stack_task = phases->stack_tasks;
    class->layout_task = phases->layout_tasks;
    phases->stacked += weight_size(problem);
    phases->layout += round_up(cuts[class->kernel].layout_size(problem), LONGEST_VECTOR);
    phases->stack_tasks += phases_stack_task_count(class);
    phases->layout_tasks += layout_task_count(class, before);
}

/* The planes and the longest table of offsets. */
static ptrdiff_t shared_scratch(const struct phase_block *block, const struct interval band[AXES])
{
    ptrdiff_t begin[AXES], taps = 0;
    const struct pixels_band planes = phases_planes(block, band, begin);

    for (ptrdiff_t i = 0; i < block->class_count; i++)
        taps = max_size(taps, reduction_length(&block->classes[i].problem));
    return group_in_channels(&block->classes->problem) * planes.plane_size + taps;
}

/* Whether all classes of a block are computed by direct_pixels from rows of the same depth. */
static int reads_alike(const struct phases *phases, const struct phase_block *block)
{
    int alike = block->class_count > 1 && phases->band[0] == 1;

    for (ptrdiff_t i = 0; i < block->class_count; i++) {
        const struct phase_class *class = block->classes + i;
        alike = alike && class->kernel == KERNEL_direct_pixels && class->problem.kernel[0] == 1 && class->lead[0] == 0;
    }
    return alike;
}

/* Make room for a band of a block. */
static void measure_band(struct phases *phases, const struct phase_block *block, const struct interval band[AXES])
{
    struct conv_problem problem;
    ptrdiff_t results = 0;

    if (block->shared)
        phases->scratch = max_size(phases->scratch, shared_scratch(block, band));
    for (ptrdiff_t i = 0; i < block->class_count; i++) {
        const struct phase_class *class = block->classes + i;
        if (!phases_find_problem(class, band, &problem))
            continue;
        results += phases_results_size(&problem);
        if (!block->shared)
            phases->scratch = max_size(phases->scratch, cuts[class->kernel].scratch_size(&problem));
    }
    phases->results = max_size(phases->results, results);
}

/* The first and the last bands along an axis may be smaller than the others, or empty. So the first two and the last
 * two bands along each axis represent all. */
static struct interval some_band(const struct phases *phases, int axis, int which)
{
    const ptrdiff_t last = phases_bands(phases, axis) - 1;
    const ptrdiff_t some[] = {0, min_size(1, last), max_size(last - 1, 0), last};
    return phases_band_at(phases, axis, some[which]);
}

static void find_some_band(const struct phases *phases, int which, struct interval band[AXES])
{
    band[0] = some_band(phases, 0, which / 16);
    band[1] = some_band(phases, 1, which / 4 % 4);
    band[2] = some_band(phases, 2, which % 4);
}

/* Classes share planes if these have no more elements than direct_pixels takes itself. */
static void find_shared(const struct phases *phases, struct phase_block *block)
{
    struct interval band[AXES];

    block->shared = reads_alike(phases, block);
    for (int which = 0; block->shared && which < SOME_BANDS; which++) {
        find_some_band(phases, which, band);
        block->shared = shared_scratch(block, band) <= PIXELS_PLANES;
    }
}

/* With channels last: tell a class where its elements of x are. */
static void place_elements(struct phases *phases, const struct conv_problem *gradient, struct phase_class *class)
{
    ptrdiff_t step = gradient->in_channels;

    class->problem.channels_last = 1;
    class->begin = 0;
    for (int axis = AXES - 1; axis >= 0; axis--) {
        const ptrdiff_t stride = gradient->stride[axis];
        const ptrdiff_t residue = phase_residue(gradient, axis, class->first_phase[axis]);
        class->begin += (residue + class->inside[axis].first * stride - gradient->pad_before[axis]) * step;
        class->problem.out_steps[axis] = stride * step;
        step *= gradient->in_size[axis];
    }
    class->first_task = phases->tasks;
    phases->tasks += cuts[class->kernel].task_count(&class->problem);
    phases->scratch = max_size(phases->scratch, cuts[class->kernel].scratch_size(&class->problem));
}

/* Whether some elements of x belong to no phase. */
static int leaves_gaps(const struct conv_problem *problem)
{
    int gaps = 0;
    for (int axis = 0; axis < AXES; axis++)
        for (ptrdiff_t i = 0; i < min_size(problem->in_size[axis], problem->stride[axis]); i++)
            gaps |= !phases_meet(problem, axis, i);
    return gaps;
}

void phases_prepare(const struct conv_problem *problem, struct phases *phases, struct phase_class *classes)
{
    struct interval band[AXES];

    for (ptrdiff_t i = 0; i < phases->class_count; i++)
        place_weights(phases, problem, classes, i);
    if (problem->channels_last) {
        for (ptrdiff_t i = 0; i < phases->class_count; i++)
            place_elements(phases, problem, classes + i);
        phases->fill_task = phases->tasks;
        phases->tasks += leaves_gaps(problem) ? problem->in_size[0] * problem->in_size[1] : 0;
        return;
    }
    for (ptrdiff_t i = 0; i < phases->block_count; i++) {
        phases->residues = max_size(phases->residues, interval_length(&phases->blocks[i].residues));
        find_shared(phases, phases->blocks + i);
    }
    for (int which = 0; which < SOME_BANDS; which++) {
        find_some_band(phases, which, band);
        for (ptrdiff_t i = 0; i < phases->block_count; i++)
            measure_band(phases, phases->blocks + i, band);
    }
}
