/* How weight_gradient_pixels cuts a problem, for every type and instruction set; weight_gradient_pixels.h draws the
 * picture. */
#include "pixels/weight_gradient_pixels.h"

ptrdiff_t gradient_pixels_planes_size(const struct conv_problem *problem, ptrdiff_t rows, ptrdiff_t columns)
{
    const struct pixels_axis height = pixels_axis_of(problem, 1, pixels_period(problem, 1, rows), rows);
    const struct pixels_axis width = gradient_pixels_width(problem, pixels_period(problem, 2, columns), columns);
    return group_in_channels(problem) * problem->kernel[0] * height.planes * width.planes *
           gradient_pixels_plane_size(&height, &width);
}

/* Cut dW into ranges whose sums and smallest planes fit the scratch. Returns the convolution of the first. */
static struct conv_problem gradient_pixels_cut_ranges(const struct conv_problem *problem,
                                                      struct gradient_pixels_cut *cut)
{
    const ptrdiff_t *kernel = problem->kernel, none[GRADIENT_PIXELS_SIZES] = {0};
    const ptrdiff_t columns = min_size(problem->out_size[2], LONGEST_VECTOR);
    const ptrdiff_t whole[GRADIENT_PIXELS_SIZES] = {group_in_channels(problem), kernel[0], kernel[1], kernel[2]};
    struct conv_problem range = *problem;
    ptrdiff_t most = GRADIENT_PIXELS_SUMS, terms;

    for (;; most = cut->terms / 2) {
        terms = reduction_length(problem);
        cut->ranges = cut->terms = 1;
        for (int i = 0; i < GRADIENT_PIXELS_SIZES; i++) {
            terms /= whole[i];
            const ptrdiff_t fit = most / terms;
            cut->sizes[i] = equal_piece(whole[i], i || fit >= whole[0] ? fit : min_size(fit, GRADIENT_PIXELS_CHANNELS));
            cut->ranges *= ceil_div(whole[i], cut->sizes[i]);
            cut->terms *= cut->sizes[i];
        }
        range = gradient_pixels_range(problem, none, cut->sizes);
        if (cut->terms == 1 || gradient_pixels_planes_size(&range, 1, columns) <= GRADIENT_PIXELS_PLANES)
            return range;
    }
}

/* The tile: of at most `positions`, its rows as many as possible, its planes not too large. Columns are chosen so that
 * the planes of a few rows fit; those of fewer rows may be larger, where they are not shared. */
static void gradient_pixels_cut_tiles(const struct conv_problem *problem, ptrdiff_t positions,
                                      struct gradient_pixels_cut *cut)
{
    const ptrdiff_t *out = problem->out_size, few = min_size(4, out[1]);
    const ptrdiff_t widest = max_size(GRADIENT_PIXELS_COLUMNS, min_size(positions, GRADIENT_PIXELS_LONG) / out[1]);
    const ptrdiff_t equal = min_size(round_up(equal_piece(out[2], widest), LONGEST_VECTOR), out[2]);
    ptrdiff_t columns = out[2] <= 2 * GRADIENT_PIXELS_COLUMNS ? out[2] : equal, least = few;

    while (gradient_pixels_planes_size(problem, few, columns) > GRADIENT_PIXELS_PLANES) {
        if (columns <= LONGEST_VECTOR) {
            least = 1; /* of which the planes fit */
            break;
        }
        columns = round_up((columns + 1) / 2, LONGEST_VECTOR);
    }
    ptrdiff_t rows = equal_piece(out[1], positions / round_up(columns, LONGEST_VECTOR));
    while (rows > least && gradient_pixels_planes_size(problem, rows, columns) > GRADIENT_PIXELS_PLANES)
        rows = max_size((rows + 1) / 2, least);
    cut->columns = columns;
    cut->rows = equal_piece(out[1], rows);
    cut->tiles = out[0] * ceil_div(out[1], cut->rows) * ceil_div(out[2], columns);
    cut->planes = gradient_pixels_planes_size(problem, cut->rows, columns);
    cut->periods[1] = pixels_period(problem, 1, cut->rows);
    cut->periods[2] = pixels_period(problem, 2, columns);
    cut->chunk = min_size(GRADIENT_PIXELS_CHUNK / (cut->rows * round_up(columns, LONGEST_VECTOR)),
                          GRADIENT_PIXELS_PLANES / cut->planes);
    cut->chunk = max_size(min_size(cut->chunk, cut->groups), 1);
}

struct gradient_pixels_cut gradient_pixels_cut_of(const struct conv_problem *problem)
{
    const ptrdiff_t channels = group_out_channels(problem);
    const ptrdiff_t outputs = problem->batch * volume(problem->out_size), size = weight_size(problem);
    const ptrdiff_t tasks = max_size(min_size(outputs * size / GRADIENT_PIXELS_LITTLE, GRADIENT_PIXELS_TASKS), 1);
    struct gradient_pixels_cut cut;
    const struct conv_problem range = gradient_pixels_cut_ranges(problem, &cut);

    cut.channels = equal_piece(channels, GRADIENT_PIXELS_SUMS / cut.terms);
    cut.groups = cut.channels < channels || cut.ranges > 1
                     ? 1
                     : max_size(min_size(problem->groups / tasks, GRADIENT_PIXELS_SUMS / (channels * cut.terms)), 1);
    cut.blocks = ceil_div(problem->groups, cut.groups) * ceil_div(channels, cut.channels) * cut.ranges;
    const ptrdiff_t parts = max_size(min_size(ceil_div(tasks, cut.blocks), PARTS_ELEMENTS / size), 1);
    const ptrdiff_t most =
        min_size(GRADIENT_PIXELS_TILE, GRADIENT_PIXELS_ROWS / min_size(channels, GRADIENT_PIXELS_OUTPUTS));
    gradient_pixels_cut_tiles(&range, max_size(min_size(outputs / parts, most), GRADIENT_PIXELS_SMALL_TILE), &cut);
    cut.parts = max_size(min_size(parts, problem->batch * cut.tiles), 1);
    return cut;
}
