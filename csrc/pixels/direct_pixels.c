/* How direct_pixels cuts a problem, for every type and instruction set; direct_pixels.h draws the picture. */
#include "pixels/direct_pixels.h"

/* The elements of all planes of a band of `rows` times `columns` outputs. */
static ptrdiff_t pixels_planes_size(const struct conv_problem *problem, ptrdiff_t rows, ptrdiff_t columns)
{
    const struct pixels_axis height = pixels_axis_of(problem, 1, pixels_period(problem, 1, rows), rows);
    const struct pixels_axis width = pixels_axis_of(problem, 2, pixels_period(problem, 2, columns), columns);
    return group_in_channels(problem) * problem->kernel[0] * height.planes * width.planes *
           pixels_plane_size(&height, &width);
}

/* The rows of which the planes have about PIXELS_PLANES elements; at least one. The room grows with the rows, except
 * where distant taps share planes only if there are rows enough: there the rows are halved until they fit. Two rows
 * fit. One row may not: planes that are shared by two may be separate for one, which leaves more of each to rounding
 * up. The growth is measured between 1 row and 101 rows. */
static ptrdiff_t pixels_rows_that_fit(const struct conv_problem *problem, ptrdiff_t columns)
{
    const ptrdiff_t one = pixels_planes_size(problem, 1, columns);
    const ptrdiff_t many = pixels_planes_size(problem, 101, columns), least = min_size(2, problem->out_size[1]);
    ptrdiff_t rows = problem->out_size[1];

    if (many > one)
        return max_size(1 + (PIXELS_PLANES - one) * 100 / (many - one), least);
    while (rows > least && pixels_planes_size(problem, rows, columns) > PIXELS_PLANES)
        rows = (rows + 1) / 2;
    return rows;
}

/* The columns of a piece of two rows, of at most `longest`, so that its planes fit. They are halved until they do;
 * PIXELS_LEAST_PIECE of them fit, even if fewer do not. A single row then takes as many whole vectors more as fit,
 * because there are no rows to fill the planes with. */
static ptrdiff_t pixels_columns(const struct conv_problem *problem, ptrdiff_t longest)
{
    const ptrdiff_t *out = problem->out_size, rows = min_size(2, out[1]), all = equal_piece(out[2], longest);
    ptrdiff_t columns = all;

    while (columns > LONGEST_VECTOR && pixels_planes_size(problem, rows, columns) > PIXELS_PLANES)
        columns = equal_piece(out[2], columns / 2);
    if (pixels_planes_size(problem, rows, columns) > PIXELS_PLANES)
        columns = min_size(PIXELS_LEAST_PIECE, out[2]);
    if (rows > 1 || columns == all)
        return columns;
    for (ptrdiff_t more = round_up(columns, LONGEST_VECTOR); more >= LONGEST_VECTOR; more /= 2) {
        const ptrdiff_t wider = (columns + more) / LONGEST_VECTOR * LONGEST_VECTOR;
        if (pixels_planes_size(problem, rows, wider) <= PIXELS_PLANES)
            columns = wider;
    }
    return min_size(round_up(equal_piece(out[2], columns), LONGEST_VECTOR), columns);
}

struct conv_problem pixels_panel(const struct conv_problem *problem, const struct pixels_box *first,
                                 const struct pixels_box *size)
{
    struct conv_problem panel = *problem;

    panel.in_channels = min_size(size->channels, group_in_channels(problem) - first->channels) * problem->groups;
    for (int axis = 0; axis < AXES; axis++) {
        panel.kernel[axis] = min_size(size->taps[axis], problem->kernel[axis] - first->taps[axis]);
        panel.pad_before[axis] -= first->taps[axis] * problem->dilation[axis];
    }
    return panel;
}

/* The largest panel: all terms, or, where they are too many or their planes too large, half of the channels, halved
 * again until they fit. If those of one channel do not fit, its taps along the first axis are halved, and so on. */
static struct pixels_box pixels_largest_panel(const struct conv_problem *problem)
{
    const ptrdiff_t *kernel = problem->kernel, *out = problem->out_size;
    const ptrdiff_t rows = min_size(2, out[1]), columns = min_size(PIXELS_LEAST_PIECE, out[2]);
    const struct pixels_box nothing = {0};
    struct pixels_box box = {group_in_channels(problem), {kernel[0], kernel[1], kernel[2]}};
    ptrdiff_t *sizes[] = {&box.channels, box.taps, box.taps + 1, box.taps + 2};

    for (int i = 0; i <= AXES;) {
        const struct conv_problem panel = pixels_panel(problem, &nothing, &box);
        if (reduction_length(&panel) <= PIXELS_TERMS && pixels_planes_size(&panel, rows, columns) <= PIXELS_PLANES)
            break;
        if (*sizes[i] > 1)
            *sizes[i] = (*sizes[i] + 1) / 2;
        else
            i++;
    }
    return box;
}

int pixels_find_panel(const struct conv_problem *problem, const struct pixels_box *size, ptrdiff_t number,
                      struct pixels_box *first)
{
    for (int axis = AXES - 1; axis >= 0; axis--)
        first->taps[axis] = take(&number, ceil_div(problem->kernel[axis], size->taps[axis])) * size->taps[axis];
    first->channels = number * size->channels;
    return first->channels < group_in_channels(problem);
}

ptrdiff_t pixels_first_term(const struct conv_problem *problem, const struct pixels_box *first)
{
    ptrdiff_t term = first->channels;

    for (int axis = 0; axis < AXES; axis++)
        term = term * problem->kernel[axis] + first->taps[axis];
    return term;
}

/* Whether the terms of a panel are all terms of a sum. */
static int pixels_is_whole(const struct conv_problem *problem, const struct pixels_box *panel)
{
    return panel->channels * volume(panel->taps) == reduction_length(problem);
}

/* The bands of a task: one, or several if a band is a small image of a group. */
static ptrdiff_t pixels_bands(const struct conv_problem *problem, const struct pixels_cut *cut)
{
    const ptrdiff_t *out = problem->out_size, pixels = out[1] * out[2];
    const ptrdiff_t work = reduction_length(problem) * group_out_channels(problem) * pixels + cut->planes;
    const int whole = cut->rows * cut->columns == pixels && cut->shares == 1 && pixels_is_whole(problem, &cut->panel);

    return whole ? max_size(min_size(PIXELS_SMALL / work, cut->all / PIXELS_TASKS), 1) : 1;
}

struct pixels_cut pixels_cut_of(const struct conv_problem *problem)
{
    const ptrdiff_t *out = problem->out_size, channels = group_out_channels(problem);
    const ptrdiff_t work = reduction_length(problem) * channels; /* for one output */
    const ptrdiff_t even = problem->groups * volume(out) * work / PIXELS_TASKS;
    const ptrdiff_t outputs = max_size(min_size(max_size(even, PIXELS_LITTLE), PIXELS_MUCH) / work, PIXELS_OUTPUTS);
    const ptrdiff_t longest =
        out[1] > 1 ? PIXELS_PIECE : min_size(max_size(outputs, PIXELS_PIECE / 2), PIXELS_LONG_PIECE);
    struct pixels_cut cut = {.panel = pixels_largest_panel(problem), .shares = 1};
    const struct conv_problem panel = pixels_panel(problem, &(struct pixels_box){0}, &cut.panel);

    cut.columns = pixels_columns(&panel, longest);
    cut.rows = equal_piece(out[1], min_size(max_size(ceil_div(outputs, cut.columns), PIXELS_ROWS),
                                            pixels_rows_that_fit(&panel, cut.columns)));
    while ((cut.planes = pixels_planes_size(&panel, cut.rows, cut.columns)) > 2 * PIXELS_PLANES && cut.rows > 1)
        cut.rows = (cut.rows + 1) / 2;
    cut.row_period = pixels_period(&panel, 1, cut.rows);
    cut.column_period = pixels_period(&panel, 2, cut.columns);
    cut.all = problem->groups * out[0] * ceil_div(out[1], cut.rows) * ceil_div(out[2], cut.columns);
    if (cut.all < PIXELS_TASKS)
        cut.shares =
            min_size(ceil_div(cut.rows * cut.columns * work, PIXELS_MUCH), ceil_div(channels, PIXELS_CHANNELS));
    cut.all *= problem->batch * cut.shares;
    cut.bands = pixels_bands(problem, &cut);
    return cut;
}

struct pixels_band pixels_band_at(const struct conv_problem *problem, const struct pixels_cut *cut,
                                  const struct conv_problem *panel, ptrdiff_t number)
{
    const ptrdiff_t *out = problem->out_size;
    struct pixels_band band = {.share = take(&number, cut->shares), .shares = cut->shares};

    band.column = take(&number, ceil_div(out[2], cut->columns)) * cut->columns;
    band.row = take(&number, ceil_div(out[1], cut->rows)) * cut->rows;
    band.depth = take(&number, out[0]);
    band.group = take(&number, problem->groups);
    band.image = number;
    band.rows = min_size(cut->rows, out[1] - band.row);
    band.columns = min_size(cut->columns, out[2] - band.column);
    band.height = pixels_axis_of(panel, 1, cut->row_period, band.rows);
    band.width = pixels_axis_of(panel, 2, cut->column_period, band.columns);
    band.plane_size = pixels_plane_size(&band.height, &band.width);
    return band;
}

void pixels_offsets(const struct conv_problem *problem, const struct pixels_band *band, int *offsets)
{
    const struct pixels_axis *height = &band->height, *width = &band->width;
    const ptrdiff_t slices = group_in_channels(problem) * problem->kernel[0];

    for (ptrdiff_t slice = 0; slice < slices; slice++)
        for (ptrdiff_t kh = 0; kh < problem->kernel[1]; kh++)
            for (ptrdiff_t kw = 0; kw < problem->kernel[2]; kw++) {
                const ptrdiff_t plane = (kw % width->period * slices + slice) * height->planes + kh % height->period;
                const ptrdiff_t row = kh / height->period * height->shift, column = kw / width->period * width->shift;
                *offsets++ = (int)(plane * band->plane_size + row * width->length + column);
            }
}

int pixels_list(const struct pixels_band *band, ptrdiff_t lanes, ptrdiff_t width, struct pixels_place *next,
                struct pixels_vector vectors[PIXELS_VECTORS])
{
    const ptrdiff_t pitch = band->width.length, first = next->row * width + next->column;
    int count = 0;

    for (; count < PIXELS_VECTORS && next->row < band->rows; count++) {
        struct pixels_vector *vector = &vectors[count];
        *vector = (struct pixels_vector){
            .to = next->row * width + next->column - first,
            .from = (int)(next->row * pitch + next->column),
        };
        for (ptrdiff_t lane = 0; lane < lanes && next->row < band->rows;) {
            const ptrdiff_t run = min_size(lanes - lane, band->columns - next->column);
            vector->lanes |= ((1u << run) - 1) << lane;
            next->column += run;
            if (next->column < band->columns)
                break;
            lane += band->columns < width ? lanes : run + pitch - band->columns;
            next->column = 0;
            next->row++;
        }
    }
    return count;
}
