/* How winograd cuts a problem, for every type and instruction set; winograd.h draws the picture. */
#include "winograd/winograd.h"

/* The size of the pieces, a multiple of `unit`, when `total` is cut evenly into pieces of at most `most`. */
static ptrdiff_t winograd_even(ptrdiff_t total, ptrdiff_t most, ptrdiff_t unit)
{
    return round_up(equal_piece(total, most), unit);
}

/* The most tiles of a task of several rows of tiles. Where the U of a group leaves too little of the shared cache to
 * everything else, every task reads it from memory. */
static ptrdiff_t winograd_most_tiles(const struct conv_problem *problem, const struct winograd_cut *cut)
{
    const ptrdiff_t u =
        winograd_frequencies(problem) * problem->kernel[0] * group_in_channels(problem) * group_out_channels(problem);
    const int few = cut->rows * cut->columns <= WINOGRAD_IMAGE;
    return few && u > caches.l3 / 4 * 3 / problem->itemsize ? WINOGRAD_IMAGE : WINOGRAD_TILES;
}

struct winograd_cut winograd_cut_of(const struct conv_problem *problem)
{
    const ptrdiff_t channels = group_out_channels(problem), in = group_in_channels(problem);
    /* The elements of V and M for one frequency: they take seven eighths of the cache of a core, U flows through the
     * rest. */
    const ptrdiff_t fit =
        min_size(WINOGRAD_ELEMENTS, caches.l2 / 8 * 7 / problem->itemsize) / winograd_frequencies(problem);
    const ptrdiff_t least = min_size(WINOGRAD_CHUNK, round_up(in, WINOGRAD_PARTIAL));
    struct winograd_cut cut = {
        .rows = ceil_div(problem->out_size[1], winograd_tile_size(problem, 1)),
        .columns = ceil_div(problem->out_size[2], winograd_tile_size(problem, 2)),
    };
    cut.task_columns = equal_piece(cut.columns, min_size(WINOGRAD_COLUMNS, fit / (WINOGRAD_BLOCK + WINOGRAD_CHUNK)));
    cut.task_rows = equal_piece(cut.rows, winograd_most_tiles(problem, &cut) / cut.task_columns);

    const ptrdiff_t tiles = cut.task_rows * cut.task_columns;
    const ptrdiff_t most = max_size((fit / tiles - least) / WINOGRAD_PAIR, 1) * WINOGRAD_PAIR;
    cut.block = winograd_even(channels, min_size(WINOGRAD_BLOCK, most), WINOGRAD_PAIR);
    while (cut.block > WINOGRAD_PAIR &&
           problem->out_size[0] * winograd_tile_blocks(&cut) * ceil_div(channels, cut.block) < WINOGRAD_TASKS)
        cut.block = winograd_even(channels, cut.block - WINOGRAD_PAIR, WINOGRAD_PAIR);
    const ptrdiff_t longest = max_size((fit / tiles - cut.block) / WINOGRAD_PARTIAL, 1) * WINOGRAD_PARTIAL;
    cut.chunk = winograd_even(in, longest, WINOGRAD_PARTIAL);
    return cut;
}
