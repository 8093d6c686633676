/* panels: the product Y = K @ P in registers, with output positions in the lanes of vectors.
 *
 * A task is a tile of output positions, and a block of output channels, of one group of one image. It takes the sum in
 * slices. Of each slice it packs the rows of P for its tile into panels, which are as wide as a register block, and
 * multiplies every panel by all its channels:
 *
 *                        tile
 *                 +-----+-----+-----+
 *     rows of P   |panel|panel|panel|         packed   [panel][row of P][position]
 *                 +-----+-----+-----+
 *       slice
 *     +-------+   +-----+-----+-----+
 *     | block |   | sums|     |     |         sums, in registers for a whole slice: at most BLOCK_ROWS channels times
 *  K  +-------+   +-----+-----+-----+         the positions of a panel
 *     | block |   |     |     |     |  Y
 *
 * A panel stays in the cache of the core while the channels pass by; K is read in place. The sums of the first slice,
 * which begin with the bias, are written to Y; those of later slices are added there.
 *
 * How the sum is cut into slices depends on its length alone. So the bits of a result depend neither on the tile nor on
 * the block.
 */
#ifndef GEMMCONV_PANELS_H
#define GEMMCONV_PANELS_H

#include "gemm/im2col.h"
#include "problem.h"

enum {
    PANELS_PIXELS = 128, /* output positions of a tile, at most */
    PANELS_TAPS = 512,   /* rows of P in a slice, at most: with AVX2 a panel is as large as a first-level cache */
    PANELS_NARROWEST = 4 /* positions of a panel, at least, on any instruction set */
};

static inline ptrdiff_t panels_tiles(const struct conv_problem *problem)
{
    return ceil_div(volume(problem->out_size), min_size(problem->tiling.pixels, PANELS_PIXELS - LONGEST_VECTOR));
}

/* Where a tile begins, or the last one ends. Tiles are nearly equal, and begin with a vector. */
static inline ptrdiff_t panels_tile_begin(const struct conv_problem *problem, ptrdiff_t tile)
{
    const ptrdiff_t pixels = volume(problem->out_size), tiles = panels_tiles(problem);
    return tile == tiles ? pixels : pixels * tile / tiles / LONGEST_VECTOR * LONGEST_VECTOR;
}

static inline ptrdiff_t panels_slice(const struct conv_problem *problem)
{
    return equal_piece(reduction_length(problem), PANELS_TAPS);
}

static inline ptrdiff_t panels_blocks(const struct conv_problem *problem)
{
    return ceil_div(group_out_channels(problem), problem->tiling.block);
}

static inline ptrdiff_t panels_task_count(const struct conv_problem *problem)
{
    return problem->batch * problem->groups * panels_tiles(problem) * panels_blocks(problem);
}

/* The elements from panel to panel: each is followed by a line of the cache, so that not all begin in the same set. */
static inline ptrdiff_t panels_step(const struct conv_problem *problem, ptrdiff_t width)
{
    return panels_slice(problem) * width + LONGEST_VECTOR;
}

/* All panels of a tile are as wide as the instruction set has it; PANELS_PIXELS is a multiple of every width. */
static inline ptrdiff_t panels_scratch_size(const struct conv_problem *problem)
{
    return PANELS_PIXELS / PANELS_NARROWEST * panels_step(problem, PANELS_NARROWEST);
}

#endif
