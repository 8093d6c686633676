/* How depthwise_channels cuts a problem, for every type and instruction set; depthwise_channels.h draws the picture. */
#include "depthwise/depthwise_channels.h"

static struct channels_band band_of_size(const struct conv_problem *problem, ptrdiff_t rows, ptrdiff_t columns)
{
    struct channels_band band = channels_band_of_size(problem, rows, columns);
    band.channels = band.position_step = min_size(round_up(problem->in_channels, LONGEST_VECTOR), LANE_BLOCK);
    band.channel_step = 1;
    band.packed_size = band.slots * band.pitch * band.position_step;
    return band;
}

struct channels_band depthwise_channels_band_of(const struct conv_problem *problem)
{
    ptrdiff_t rows = problem->out_size[1], columns = equal_piece(problem->out_size[2], DEPTHWISE_CHANNELS_COLUMNS);
    struct channels_band band = band_of_size(problem, rows, columns);

    while (band.packed_size > DEPTHWISE_CHANNELS_PACKED && rows * columns > 1) {
        if (rows > 1)
            rows = equal_piece(problem->out_size[1], rows - 1);
        else
            columns = (columns + 1) / 2;
        band = band_of_size(problem, rows, columns);
    }
    return band;
}
