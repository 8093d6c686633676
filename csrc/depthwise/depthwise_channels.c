/* How depthwise_channels cuts a problem, for every type and instruction set; depthwise_channels.h draws the picture. */
#include "depthwise/depthwise_channels.h"

#include "rows.h"

/* A band of which all channels of a task are packed at once. */
static struct channels_band band_of_size(const struct conv_problem *problem, ptrdiff_t rows, ptrdiff_t columns)
{
    struct channels_band band = channels_band_of_size(problem, rows, columns);
    const struct interval last = depthwise_channels_share_at(problem, depthwise_channels_share_count(problem) - 1);
    const ptrdiff_t most = max_size(depthwise_channels_share(problem), interval_length(&last));
    band.channels = band.position_step = min_size(most, problem->in_channels);
    band.channel_step = 1;
    band.packed_size = band.slots * band.pitch * band.position_step;
    return band;
}

struct channels_band depthwise_channels_band_of(const struct conv_problem *problem)
{
    const int few = depthwise_channels_are_few(problem);
    const ptrdiff_t channels = few ? problem->in_channels : depthwise_channels_share(problem);
    const ptrdiff_t most = few ? DEPTHWISE_CHANNELS_PACKED : DEPTHWISE_CHANNELS_PRODUCTS / volume(problem->kernel);
    const ptrdiff_t positions = min_size(most, DEPTHWISE_CHANNELS_PRODUCTS / volume(problem->kernel)) / channels;
    const ptrdiff_t width = problem->out_size[2];
    ptrdiff_t columns = equal_piece(width, max_size(positions, LONGEST_VECTOR));
    ptrdiff_t rows = equal_piece(problem->out_size[1], positions / columns);

    while (few && width % columns > 0 && width % columns < LONGEST_VECTOR) /* the last band fills its lanes, too */
        columns++;
    if (!depthwise_channels_packs(problem))
        return channels_band_in_place(problem, rows, columns);
    struct channels_band band = band_of_size(problem, rows, columns);
    while (band.packed_size > DEPTHWISE_CHANNELS_PACKED && rows > 1) {
        rows = (rows + 1) / 2;
        band = band_of_size(problem, rows, columns);
    }
    return band;
}

void depthwise_channels_find_row(const struct conv_problem *problem, const struct channels_band *band,
                                 const ptrdiff_t output[AXES], struct channels_place *places, struct depthwise_row *row)
{
    struct channels_taps needed = {.strip = depthwise_channels_pitch(problem)};
    ptrdiff_t from[AXES], taps = 1;

    for (int axis = 0; axis < AXES; axis++) {
        const ptrdiff_t size = problem->in_size[axis], kernel = problem->kernel[axis];
        from[axis] = input_position(problem, axis, output[axis], 0);
        needed.axis[axis] = band->packed_size ? (struct interval){0, kernel}
                                              : positions_inside(size, problem->dilation[axis], from[axis], kernel);
        taps *= interval_length(&needed.axis[axis]);
    }
    if (!row->taps.strip || !channels_same_taps(&needed, &row->taps))
        row->count = taps ? channels_find_places(problem, band, &needed, places) : 0;
    row->taps = needed;
    row->from = (row_offset(problem, from[0], from[1]) + from[2]) * problem->in_channels;
}
