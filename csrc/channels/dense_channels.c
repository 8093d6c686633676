/* How dense_channels cuts a problem, for every type and instruction set; dense_channels.h draws the picture. */
#include "channels/dense_channels.h"

struct channels_band dense_band_of(const struct conv_problem *problem)
{
    const ptrdiff_t most = min_size(DENSE_BLOCKS * DENSE_BLOCK, dense_room(problem));
    const ptrdiff_t columns = equal_piece(problem->out_size[2], most);
    const ptrdiff_t rows = equal_piece(problem->out_size[1], most / columns);
    struct channels_band band = channels_band_of_size(problem, rows, columns);
    band.channels = equal_piece(group_in_channels(problem), dense_most_staged(&band));
    return band;
}

void dense_find_positions(const struct conv_problem *problem, const struct channels_band *band, ptrdiff_t rows,
                          ptrdiff_t columns, struct dense_positions *positions)
{
    const ptrdiff_t *kernel = problem->kernel, count = rows * columns, blocks = dense_blocks(count);
    const struct channels_taps all = {{{0, kernel[0]}, {0, kernel[1]}, {0, kernel[2]}}, 0};

    positions->blocks = blocks;
    positions->taps = channels_find_places(problem, band, &all, positions->places);
    for (ptrdiff_t block = 0; block <= blocks; block++)
        positions->first[block] = count * block / blocks;
    for (ptrdiff_t block = 0; block < blocks; block++)
        for (ptrdiff_t p = 0; p < DENSE_BLOCK; p++) {
            const ptrdiff_t position = positions->first[block] + p;
            const ptrdiff_t at = min_size(position, positions->first[block + 1] - 1);
            positions->offsets[block][p] =
                at / columns * band->row_step * band->pitch + at % columns * band->column_step + position - at;
        }
}
