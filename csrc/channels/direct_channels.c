/* How direct_channels cuts a problem, for every type and instruction set; direct_channels.h draws the picture. */
#include "channels/direct_channels.h"

/* The size of a piece of the kernel along each axis; the last one along an axis may be smaller. Where an axis is cut,
 * the axes before it have pieces of one tap, so that the taps of a piece follow each other. */
static void channels_piece_size(const ptrdiff_t kernel[AXES], ptrdiff_t size[AXES])
{
    ptrdiff_t most = CHANNELS_SLICE;
    for (int axis = AXES - 1; axis >= 0; axis--) {
        size[axis] = equal_piece(kernel[axis], most);
        most /= size[axis];
    }
}

ptrdiff_t channels_pieces(const struct conv_problem *problem)
{
    ptrdiff_t size[AXES], pieces = 1;

    if (channels_is_one_piece(problem))
        return 1;
    channels_piece_size(problem->kernel, size);
    for (int axis = 0; axis < AXES; axis++)
        pieces *= ceil_div(problem->kernel[axis], size[axis]);
    return pieces;
}

struct channels_piece channels_piece_at(const struct conv_problem *problem, ptrdiff_t number,
                                        struct conv_problem *memory)
{
    struct channels_piece piece = {problem, 0};
    ptrdiff_t size[AXES], step = 1;

    if (channels_is_one_piece(problem))
        return piece;
    *memory = *problem;
    piece.problem = memory;
    channels_piece_size(problem->kernel, size);
    for (int axis = AXES - 1; axis >= 0; axis--) {
        const ptrdiff_t taps = problem->kernel[axis], first = take(&number, ceil_div(taps, size[axis])) * size[axis];
        memory->kernel[axis] = min_size(size[axis], taps - first);
        memory->pad_before[axis] -= first * problem->dilation[axis];
        piece.first_tap += first * step;
        step *= taps;
    }
    return piece;
}

struct channels_band channels_band_of_size(const struct conv_problem *piece, ptrdiff_t rows, ptrdiff_t columns)
{
    const ptrdiff_t *stride = piece->stride, *dilation = piece->dilation, *kernel = piece->kernel;
    const ptrdiff_t shared = (rows - 1) * stride[1] + (kernel[1] - 1) * dilation[1] + 1, separate = rows * kernel[1];
    const ptrdiff_t run = (columns - 1) * stride[2] + (kernel[2] - 1) * dilation[2] + 1;
    const int by_tap = columns * kernel[2] < run / 2;
    return (struct channels_band){
        .rows = rows,
        .columns = columns,
        .depth_step = min_size(shared, separate),
        .tap_step = separate < shared ? rows : dilation[1],
        .row_step = separate < shared ? 1 : stride[1],
        .runs = by_tap ? kernel[2] : 1,
        .run_step = by_tap ? columns : dilation[2],
        .column_step = by_tap ? 1 : stride[2],
        .stride = by_tap ? stride[2] : 1,
        .slots = kernel[0] * min_size(shared, separate),
        .pitch = by_tap ? columns * kernel[2] : run,
        .position_step = 1,
        .channel_step = kernel[0] * min_size(shared, separate) * (by_tap ? columns * kernel[2] : run),
    };
}

/* Whether no position of the output reads padding. */
static int channels_is_inside(const struct conv_problem *problem)
{
    int inside = 1;
    for (int axis = 0; axis < AXES; axis++) {
        const ptrdiff_t last = input_position(problem, axis, problem->out_size[axis] - 1, problem->kernel[axis] - 1);
        inside = inside && problem->pad_before[axis] <= 0 && last < problem->in_size[axis];
    }
    return inside;
}

struct channels_band channels_band_in_place(const struct conv_problem *problem, ptrdiff_t rows, ptrdiff_t columns)
{
    return (struct channels_band){
        .rows = rows,
        .columns = columns,
        .depth_step = problem->dilation[0] * problem->in_size[1],
        .tap_step = problem->dilation[1],
        .row_step = problem->stride[1],
        .run_step = problem->dilation[2],
        .column_step = problem->stride[2],
        .pitch = problem->in_size[2],
        .channels = group_in_channels(problem),
        .position_step = problem->in_channels,
        .channel_step = 1,
    };
}

struct channels_band channels_band_of(const struct conv_problem *problem)
{
    struct conv_problem memory;
    const struct conv_problem *piece = channels_piece_at(problem, 0, &memory).problem;
    const ptrdiff_t block = min_size(channel_blocks(problem), CHANNELS_BLOCKS) * CHANNEL_BLOCK;
    const ptrdiff_t pixels = min_size(CHANNELS_BAND, CHANNELS_TILES / block), channels = group_in_channels(problem);
    const ptrdiff_t together = min_size(ceil_div(CHANNELS_LEAST_SLICE, volume(piece->kernel)), channels);
    ptrdiff_t columns = equal_piece(problem->out_size[2], pixels);
    const ptrdiff_t least = 2 * columns * block <= CHANNELS_TILES ? 2 : 1;
    ptrdiff_t rows = equal_piece(problem->out_size[1], max_size(pixels / columns, least));
    struct channels_band band = channels_band_of_size(piece, rows, columns);

    while (rows * columns > 1 && together * band.slots * band.pitch > CHANNELS_PACKED) {
        if (rows > 1)
            rows = (rows + 1) / 2;
        else
            columns = (columns + 1) / 2;
        band = channels_band_of_size(piece, rows, columns);
    }
    const ptrdiff_t of_channel = band.slots * band.pitch;
    const int whole = channels * of_channel <= CHANNELS_WHOLE && channels_is_one_piece(problem);
    if (problem->channels_last && channels_is_one_piece(problem) && channels_is_inside(problem))
        return channels_band_in_place(problem, rows, columns);
    band.channels = whole ? channels : equal_piece(channels, CHANNELS_PACKED / of_channel);
    if (problem->channels_last) {
        /* one vector more where positions would share a set of the cache */
        band.position_step = band.channels + (band.channels % CHANNELS_ALIAS ? 0 : LONGEST_VECTOR);
        band.channel_step = 1;
    }
    band.packed_size = problem->channels_last ? of_channel * band.position_step : of_channel * band.channels;
    return band;
}

struct interval channels_taps_inside(const struct conv_problem *problem, int axis, ptrdiff_t first, ptrdiff_t last)
{
    const ptrdiff_t size = problem->in_size[axis], dilation = problem->dilation[axis], taps = problem->kernel[axis];
    const ptrdiff_t begin = positions_inside(size, dilation, input_position(problem, axis, last, 0), taps).first;
    const ptrdiff_t end = positions_inside(size, dilation, input_position(problem, axis, first, 0), taps).end;
    return begin < end ? (struct interval){begin, end} : (struct interval){0, 1};
}

/* The next of them after the one at `at`, in the order of the weights; returns whether there is one. */
static int channels_next_tap(const struct channels_taps *taps, ptrdiff_t at[AXES])
{
    for (int axis = AXES - 1; axis >= 0; axis--) {
        if (++at[axis] < taps->axis[axis].end)
            return 1;
        at[axis] = taps->axis[axis].first;
    }
    return 0;
}

ptrdiff_t channels_find_places(const struct conv_problem *piece, const struct channels_band *band,
                               const struct channels_taps *taps, struct channels_place *places)
{
    const ptrdiff_t *kernel = piece->kernel;
    ptrdiff_t at[AXES] = {taps->axis[0].first, taps->axis[1].first, taps->axis[2].first}, count = 0;

    do
        places[count++] = (struct channels_place){
            ((at[0] * band->depth_step + at[1] * band->tap_step) * band->pitch + at[2] * band->run_step) *
                band->position_step,
            ((at[0] * kernel[1] + at[1]) * kernel[2] + at[2]) * taps->strip,
        };
    while (channels_next_tap(taps, at));
    return count;
}

ptrdiff_t channels_end_of_same_taps(const struct conv_problem *problem, ptrdiff_t at)
{
    const ptrdiff_t stride = problem->stride[2], dilation = problem->dilation[2], before = problem->pad_before[2];
    const ptrdiff_t taps = problem->kernel[2];
    const ptrdiff_t first = min_size(ceil_div(before - at * stride, dilation), taps);
    const ptrdiff_t end = min_size(ceil_div(problem->in_size[2] + before - at * stride, dilation), taps);
    ptrdiff_t change = problem->out_size[2];

    if (first > 0)
        change = min_size(change, ceil_div(before - (first - 1) * dilation, stride));
    if (end > 0)
        change = min_size(change, ceil_div(problem->in_size[2] + before - (end - 1) * dilation, stride));
    return max_size(change, at + 1);
}

ptrdiff_t channels_find_pixels(const struct conv_problem *problem, ptrdiff_t first, ptrdiff_t end, ptrdiff_t most,
                               struct channels_pixels pixels[CHANNELS_BAND])
{
    const ptrdiff_t few = 4;
    ptrdiff_t count = 0;

    for (; first < end; first = pixels[count++].end) {
        ptrdiff_t same = first;
        while (same < end && same - first < few)
            same = channels_end_of_same_taps(problem, same);
        if (end - same < few)
            same = end;
        pixels[count].first = first;
        pixels[count].end = first + equal_piece(same - first, most);
        pixels[count].taps = channels_taps_inside(problem, 2, first, pixels[count].end - 1);
    }
    return count;
}
