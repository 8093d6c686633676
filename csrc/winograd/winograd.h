/* winograd: convolutions with a 3x3 kernel and stride 1 by the minimal filtering algorithm F(m x m, 3 x 3), m = 4 or 2.
 *
 * The output is cut into tiles of m x m. A tile depends on m + 2 by m + 2 elements d of the input, and
 *
 *     y = A^T ((G g G^T) * (B^T d B)) A           * is elementwise, g the kernel
 *
 * takes (m + 2)^2 products, the frequencies, where the definition takes 9 m^2: 36 for 144, or 16 for 36. Summed over
 * the channels, each frequency f is a matrix product of its own over the tiles t of a task: M[f] = V[f] @ U[f].
 *
 *     padded  [row][column][c]                                 x of one row of tiles or more     pack_rows
 *     V       [f][c / lanes][t][c % lanes]                     B^T d B                           transform_input
 *     U       [group][o / width][chunk][f][c][o % width]       G g G^T, the laid-out weights     lay_out
 *     M       [f][o / width][t][o % width]                     the sum over c of V U             multiply_frequencies
 *     y                                                        A^T M A + bias, clamped           transform_output
 *
 * where `lanes` is the number of elements of a vector and `width` two vectors. Vectors hold channels, so that images of
 * few tiles are no special case. Where channels do not fill the last vector, its other lanes hold zeros (of c, they are
 * not read), and those of o are never written to y. BLAS has no part in this: its products of few tiles would be slow,
 * and so would be those of instruction sets without its path for small matrices.
 *
 * A task computes a block of tiles for a block of output channels, from the input on: tasks of the same tiles transform
 * their input again each. Tasks of the same output channels follow each other and find their part of U in the cache.
 * The sum over c is cut into chunks whose V fits the cache; M collects their sums.
 *
 * Results that are not finite, because of what x holds or because the transform overflowed, are noted for each image:
 * its convolution is then computed anew, so that they are where the definition has them.
 *
 * A 1x3 kernel is the same with one axis left alone: its tiles are 1 x m, and its m + 2 frequencies do the work of 3 m.
 */
#ifndef GEMMCONV_WINOGRAD_H
#define GEMMCONV_WINOGRAD_H

#include "channels/direct_channels.h"
#include "problem.h"

enum {
    WINOGRAD_TILES = 14,        /* the tiles of a task that has several rows of them: as many as the registers hold */
    WINOGRAD_COLUMNS = 28,      /* the tiles of a task that has one row of them */
    WINOGRAD_BLOCK = 128,       /* the output channels of a task */
    WINOGRAD_TASKS = 4,         /* the tasks of an image, for which blocks are made smaller */
    WINOGRAD_ELEMENTS = 240000, /* the elements of V and M: about 1 MB, or 2 MB in double */
    WINOGRAD_PARTIAL = 32,      /* the channels that are summed up before they are added to M, for less rounding */
    WINOGRAD_LANES = 16,        /* the most lanes of a vector */
    WINOGRAD_WIDTH = 32,        /* the most lanes of two vectors */
    WINOGRAD_SIDE = 6,          /* the longest m + 2 */
};

/* The output positions of a tile along its axes: m, or 1 along an axis where the kernel is 1. */
struct winograd_tile {
    int height, width;
};

/* The size of the kernel along an axis, what a tile depends on, and the factor that makes G a matrix of integers. */
static inline int winograd_kernel_size(int m)
{
    return m == 1 ? 1 : 3;
}

static inline int winograd_tile_side(int m)
{
    return m + winograd_kernel_size(m) - 1;
}

static inline double winograd_weight_scale(int m)
{
    return m == 4 ? 24 : m;
}

/* A kernel of 3x3 or 1x3, with stride and dilation 1; and direct_channels must fit, which computes images anew that are
 * not finite. */
static inline int winograd_fits(const struct conv_problem *problem)
{
    const ptrdiff_t *kernel = problem->kernel, *stride = problem->stride, *dilation = problem->dilation;
    const int flat =
        problem->in_size[0] == 1 && problem->out_size[0] == 1 && kernel[0] == 1 && problem->pad_before[0] == 0;
    const int height = kernel[1] == 1 || (kernel[1] == 3 && dilation[1] == 1);
    const int width = kernel[2] == 3 && dilation[2] == 1;
    return flat && height && width && stride[1] == 1 && stride[2] == 1 && direct_channels_fits(problem);
}

static inline ptrdiff_t winograd_tile_size(const struct conv_problem *problem, int axis)
{
    return problem->kernel[axis] == 1 ? 1 : problem->tiling.pixels;
}

static inline ptrdiff_t winograd_frequencies(const struct conv_problem *problem)
{
    return (winograd_tile_size(problem, 1) + problem->kernel[1] - 1) *
           (winograd_tile_size(problem, 2) + problem->kernel[2] - 1);
}

/* How an image and group is cut into tasks, and its sum over the input channels into chunks. */
struct winograd_cut {
    ptrdiff_t rows, columns;           /* tiles of the image */
    ptrdiff_t task_rows, task_columns; /* tiles of a task */
    ptrdiff_t block;                   /* output channels of a task */
    ptrdiff_t chunk;                   /* input channels transformed at a time */
};

/* The size of all parts but the last when `total` is cut evenly into parts of at most `most`, a multiple of `unit`. */
static inline ptrdiff_t even_part(ptrdiff_t total, ptrdiff_t most, ptrdiff_t unit)
{
    const ptrdiff_t parts = ceil_div(total, most);
    return ceil_div(ceil_div(total, parts), unit) * unit;
}

static inline ptrdiff_t winograd_tile_blocks(const struct winograd_cut *cut)
{
    return ceil_div(cut->rows, cut->task_rows) * ceil_div(cut->columns, cut->task_columns);
}

static inline struct winograd_cut winograd_cut_of(const struct conv_problem *problem)
{
    const ptrdiff_t channels = group_out_channels(problem);
    struct winograd_cut cut = {
        .rows = ceil_div(problem->out_size[1], winograd_tile_size(problem, 1)),
        .columns = ceil_div(problem->out_size[2], winograd_tile_size(problem, 2)),
        .block = even_part(channels, WINOGRAD_BLOCK, WINOGRAD_WIDTH),
    };
    cut.task_columns = even_part(cut.columns, WINOGRAD_COLUMNS, 1);
    cut.task_rows = even_part(cut.rows, max_size(WINOGRAD_TILES / cut.task_columns, 1), 1);
    while (cut.block > WINOGRAD_WIDTH && winograd_tile_blocks(&cut) * ceil_div(channels, cut.block) < WINOGRAD_TASKS)
        cut.block = even_part(channels, cut.block - WINOGRAD_WIDTH, WINOGRAD_WIDTH);

    const ptrdiff_t tiles = cut.task_rows * cut.task_columns;
    const ptrdiff_t fit = WINOGRAD_ELEMENTS / (winograd_frequencies(problem) * tiles) - cut.block;
    const ptrdiff_t most = fit / WINOGRAD_LANES * WINOGRAD_LANES;
    cut.chunk = even_part(group_in_channels(problem), most, WINOGRAD_LANES);
    return cut;
}

static inline ptrdiff_t winograd_task_count(const struct conv_problem *problem)
{
    const struct winograd_cut cut = winograd_cut_of(problem);
    return problem->batch * problem->groups * winograd_tile_blocks(&cut) *
           ceil_div(group_out_channels(problem), cut.block);
}

/* The elements of the padded rows of a task, where one vector of columns may end too late; and of one frequency of V or
 * M for so many channels: an odd number of cache lines, lest all frequencies of a tile share a set of the cache. */
static inline ptrdiff_t winograd_rows_size(const struct conv_problem *problem, const struct winograd_cut *cut)
{
    const ptrdiff_t rows = cut->task_rows * winograd_tile_size(problem, 1) + problem->kernel[1] - 1;
    const ptrdiff_t columns = cut->task_columns * winograd_tile_size(problem, 2) + problem->kernel[2] - 1;
    return (rows * columns + WINOGRAD_LANES) * WINOGRAD_LANES;
}

static inline ptrdiff_t winograd_frequency_size(const struct winograd_cut *cut, ptrdiff_t channels)
{
    return (cut->task_rows * cut->task_columns * channels / WINOGRAD_LANES | 1) * WINOGRAD_LANES;
}

static inline ptrdiff_t winograd_scratch_size(const struct conv_problem *problem)
{
    const struct winograd_cut cut = winograd_cut_of(problem);
    return winograd_rows_size(problem, &cut) +
           winograd_frequencies(problem) *
               (winograd_frequency_size(&cut, cut.chunk) + winograd_frequency_size(&cut, cut.block));
}

/* The elements of U for one group, and for all. Each frequency and chunk of two vectors of output channels is one
 * vector longer than needed, again so that frequencies do not share a set of the cache. */
static inline ptrdiff_t winograd_group_layout_size(const struct conv_problem *problem)
{
    const struct winograd_cut cut = winograd_cut_of(problem);
    const ptrdiff_t in = group_in_channels(problem);
    const ptrdiff_t blocks = ceil_div(group_out_channels(problem), WINOGRAD_WIDTH), chunks = ceil_div(in, cut.chunk);
    return blocks * winograd_frequencies(problem) * (in * WINOGRAD_WIDTH + chunks * WINOGRAD_WIDTH / 2);
}

static inline ptrdiff_t winograd_layout_size(const struct conv_problem *problem)
{
    return problem->groups * winograd_group_layout_size(problem);
}

static inline ptrdiff_t winograd_layout_task_count(const struct conv_problem *problem)
{
    return problem->groups * ceil_div(group_out_channels(problem), WINOGRAD_WIDTH);
}

#endif
