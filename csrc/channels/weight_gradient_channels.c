/* How weight_gradient_channels cuts a problem, for every type and instruction set; weight_gradient_channels.h draws the
 * picture. */
#include "channels/weight_gradient_channels.h"

/* The number of tasks that there should be. */
static ptrdiff_t gradient_channels_wanted(const struct conv_problem *problem)
{
    const double work =
        (double)gradient_channels_lines(problem) * (double)problem->out_size[2] * (double)weight_size(problem);
    const double tasks = work / GRADIENT_CHANNELS_WORK;
    return tasks < GRADIENT_TASKS ? (ptrdiff_t)tasks + 1 : GRADIENT_TASKS;
}

struct gradient_channels_cut gradient_channels_cut_of(const struct conv_problem *problem)
{
    const ptrdiff_t taps = volume(problem->kernel), channels = group_in_channels(problem);
    const ptrdiff_t lines = max_size(gradient_channels_lines(problem), 1), wanted = gradient_channels_wanted(problem);
    struct gradient_channels_cut cut = {
        .taps = equal_piece(taps, GRADIENT_CHANNELS_LEAST),
        .columns = equal_piece(problem->out_size[2], GRADIENT_CHANNELS_TILE),
    };
    cut.tap_slices = ceil_div(taps, cut.taps);
    cut.pieces = ceil_div(problem->out_size[2], cut.columns);
    cut.lines = cut.pieces > 1 ? 1 : equal_piece(lines, GRADIENT_CHANNELS_TILE / cut.columns);
    cut.tiles = ceil_div(lines, cut.lines) * cut.pieces;

    const ptrdiff_t blocks = problem->groups * channel_blocks(problem) * cut.tap_slices;
    const ptrdiff_t parts = max_size(min_size(PARTS_ELEMENTS / weight_size(problem), cut.tiles), 1);
    const ptrdiff_t least = max_size(ceil_div(GRADIENT_CHANNELS_LEAST, cut.taps), GRADIENT_CHANNELS_LITTLE);
    const ptrdiff_t most = max_size(GRADIENT_CHANNELS_MOST / cut.taps, GRADIENT_CHANNELS_LITTLE);
    const ptrdiff_t enough = ceil_div(channels, ceil_div(wanted, blocks * parts));
    cut.channels = equal_piece(channels, min_size(max_size(enough, least), most));
    cut.slices = ceil_div(channels, cut.channels);
    cut.parts = min_size(ceil_div(wanted, blocks * cut.slices), parts);
    return cut;
}
