/* How depthwise cuts a problem, for every type and instruction set; depthwise.h draws the picture. */
#include "depthwise/depthwise.h"

/* Whether rows are so nearly a multiple of 2 KiB (of float) apart that many of them share a set of the cache. */
static int depthwise_collides(const struct conv_problem *problem)
{
    const ptrdiff_t width = problem->in_size[2];
    return width >= DEPTHWISE_ALIAS / 2 &&
           (width + DEPTHWISE_ALIAS_MARGIN) % DEPTHWISE_ALIAS <= 2 * DEPTHWISE_ALIAS_MARGIN;
}

static void depthwise_cut_columns(const struct conv_problem *problem, struct depthwise_cut *cut)
{
    const ptrdiff_t taps = cut->kernel[2], stride = problem->stride[2];
    const ptrdiff_t extent = depthwise_extent(problem, cut->kernel);
    const int splits = depthwise_splits(problem);

    cut->copied = splits || (depthwise_collides(problem) && cut->kernel[1] > 1);
    const ptrdiff_t segment =
        min_size(max_size(DEPTHWISE_WORK / cut->taps, DEPTHWISE_LEAST_SEGMENT), DEPTHWISE_SEGMENT);
    cut->columns = equal_piece(problem->out_size[2], splits ? DEPTHWISE_SPLIT_SEGMENT : segment);
    cut->columns = min_size(round_up(cut->columns, LONGEST_VECTOR), problem->out_size[2]);
    cut->segments = ceil_div(problem->out_size[2], cut->columns);
    cut->load_stride = splits ? 1 : stride;
    cut->planes = splits ? stride : 1;
    cut->plane_step = 1;
    cut->plane = round_up(cut->columns, LONGEST_VECTOR) * cut->load_stride + extent / cut->planes;
    cut->narrow = !splits && cut->plane <= DEPTHWISE_NARROW;
    if (splits && taps * round_up(cut->columns, LONGEST_VECTOR) < stride * round_up(cut->plane, LONGEST_VECTOR)) {
        cut->planes = taps;
        cut->plane_step = depthwise_column_dilation(problem, cut->kernel);
        cut->plane = cut->columns;
    }
    cut->plane = round_up(cut->plane, LONGEST_VECTOR);
    cut->pitch = cut->planes * cut->plane + (splits ? 0 : LONGEST_VECTOR); /* room to align what comes from the image */
}

/* The entries of the table for one depth of the kernel, for a number of output rows. The last block may be partly
 * outside of these. */
static ptrdiff_t depthwise_entries(const struct depthwise_cut *cut, ptrdiff_t rows)
{
    const ptrdiff_t most_rows = rows + DEPTHWISE_BLOCK - 1, taps = cut->kernel[1];
    return cut->shared ? (most_rows - 1) * cut->step + taps : most_rows * taps;
}

static void depthwise_cut_rows(const struct conv_problem *problem, struct depthwise_cut *cut)
{
    const ptrdiff_t taps = cut->kernel[1], stride = problem->stride[1];
    cut->row_dilation = taps == 1 ? stride : problem->dilation[1];
    cut->step = taps == 1 ? 1 : tap_period(problem, 1);
    cut->spacing = cut->row_dilation * cut->step / stride;
    cut->shared = taps > 1 && cut->step == cut->load_stride;
    cut->phases = min_size(cut->spacing, problem->out_size[1]);

    const ptrdiff_t phase_rows = ceil_div(problem->out_size[1], cut->spacing);
    const ptrdiff_t of_row = cut->kernel[0] * (cut->shared ? cut->step : taps); /* entries for an output row */
    ptrdiff_t rows = DEPTHWISE_WORK / (cut->columns * cut->taps * group_out_channels(problem));
    rows = min_size(rows, DEPTHWISE_ENTRIES / of_row);
    cut->narrow =
        cut->narrow && cut->kernel[0] * depthwise_entries(cut, DEPTHWISE_BLOCK) * cut->pitch <= DEPTHWISE_COPIES / 2;
    if (cut->copied || cut->narrow)
        rows = min_size(rows, DEPTHWISE_COPIES / (cut->pitch * of_row));
    cut->rows = min_size(round_up(max_size(rows, 1), DEPTHWISE_BLOCK), phase_rows);
    cut->rows = min_size(round_up(equal_piece(phase_rows, cut->rows), DEPTHWISE_BLOCK), phase_rows);
    cut->bands = ceil_div(phase_rows, cut->rows);
    cut->entries = depthwise_entries(cut, cut->rows);
}

/* Cut the output, for slices of the size cut->kernel. */
static void depthwise_cut_output(const struct conv_problem *problem, struct depthwise_cut *cut)
{
    depthwise_cut_columns(problem, cut);
    depthwise_cut_rows(problem, cut);
}

/* The size of the largest slice along the axis that takes the most scratch. */
static ptrdiff_t *depthwise_longest(const struct conv_problem *problem, ptrdiff_t kernel[AXES])
{
    if (kernel[2] > 1 && depthwise_extent(problem, kernel) >= max_size(kernel[0], kernel[1]))
        return kernel + 2;
    return kernel + (kernel[1] >= kernel[0]);
}

/* Cut the kernel into slices that need at most half of the scratch with an output of any size. The other half is for
 * smaller outputs, of which a task has more rows. No slice has a single row unless all have: the table of rows would be
 * another one. Where a row has taps far apart, each of them is a slice: blocks at the ends of the row would copy what
 * lies between. */
static void depthwise_cut_kernel(const struct conv_problem *problem, struct depthwise_cut *cut)
{
    struct conv_problem unbounded = *problem;
    unbounded.out_size[1] = unbounded.out_size[2] = DEPTHWISE_UNBOUNDED;
    if (cut->one_row && problem->dilation[2] >= DEPTHWISE_FAR)
        cut->kernel[2] = 1;
    for (;;) {
        ptrdiff_t *longest = depthwise_longest(problem, cut->kernel);
        depthwise_cut_output(&unbounded, cut);
        const ptrdiff_t bytes = depthwise_scratch_of(&unbounded, cut).size * (ptrdiff_t)sizeof(double);
        if (bytes <= LARGEST_SCRATCH / 2 || *longest == 1)
            break;
        *longest = *longest <= 3 ? 1 : ceil_div(*longest, 2);
    }
    for (int axis = 0; axis < AXES; axis++) {
        const ptrdiff_t taps = problem->kernel[axis], slices = ceil_div(taps, cut->kernel[axis]);
        cut->slices[axis] = slices == 1 || taps / slices > 1 ? slices : taps;
        cut->kernel[axis] = ceil_div(taps, cut->slices[axis]);
    }
}

struct depthwise_cut depthwise_cut_of(const struct conv_problem *problem)
{
    const ptrdiff_t *kernel = problem->kernel;
    struct depthwise_cut cut = {
        .taps = volume(kernel),
        .kernel = {kernel[0], kernel[1], kernel[2]},
        .slices = {1, 1, 1},
        .one_row = kernel[0] == 1 && kernel[1] == 1,
    };
    if (cut.taps > DEPTHWISE_WHOLE || depthwise_extent(problem, kernel) >= DEPTHWISE_FAR || depthwise_collides(problem))
        depthwise_cut_kernel(problem, &cut);
    depthwise_cut_output(problem, &cut);
    const ptrdiff_t work = cut.rows * cut.columns * cut.taps * group_out_channels(problem);
    cut.groups = max_size(min_size(DEPTHWISE_WORK / work, ceil_div(problem->groups, DEPTHWISE_TASKS)), 1);
    cut.group_blocks = ceil_div(problem->groups, cut.groups);
    cut.slice_count = volume(cut.slices);
    return cut;
}
