/* How fft cuts a problem, for every type and instruction set; fft.h draws the picture. */
#include "fft/fft.h"

struct fft_cut fft_cut_of(const struct conv_problem *problem)
{
    struct fft_cut cut = {.length = {problem->tiling.panel, problem->tiling.pixels}};
    for (int axis = 0; axis < 2; axis++) {
        const ptrdiff_t dense = cut.length[axis] - fft_extent(problem, axis + 1) + 1;
        cut.useful[axis] = ceil_div(dense, problem->stride[axis + 1]);
        cut.blocks[axis] = ceil_div(problem->out_size[axis + 1], cut.useful[axis]);
    }
    cut.elements = cut.length[0] * cut.length[1];
    cut.pairs = ceil_div(cut.blocks[0] * cut.blocks[1], 2);
    return cut;
}

struct fft_block fft_block_at(const struct conv_problem *problem, const struct fft_cut *cut, ptrdiff_t number)
{
    const ptrdiff_t place[2] = {number / cut->blocks[1], number % cut->blocks[1]};
    struct fft_block block;
    for (int axis = 0; axis < 2; axis++) {
        block.first[axis] = place[axis] * cut->useful[axis];
        block.count[axis] = max_size(min_size(cut->useful[axis], problem->out_size[axis + 1] - block.first[axis]), 0);
        block.start[axis] = block.first[axis] * problem->stride[axis + 1] - problem->pad_before[axis + 1];
    }
    return block;
}
