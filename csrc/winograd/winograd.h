/* winograd: convolutions with a 3x3 kernel and stride 1 by the minimal filtering algorithm F(m x m, 3 x 3), m = 4 or 2.
 *
 * The output is cut into tiles of m x m. A tile depends on m + 2 by m + 2 elements d of the input, and
 *
 *     y = A^T ((G g G^T) * (B^T d B)) A           * is elementwise, g the kernel
 *
 * The elementwise product has (m + 2)^2 terms, the frequencies: 36 products where the definition takes 144 (m = 4), or
 * 16 where it takes 36 (m = 2). Summed over the channels, each frequency f is a matrix product over the tiles t of a
 * task: M[f] = V[f] @ U[f].
 *
 *     padded  [row][column][c]                                 x of one row of tiles or more     pack_rows
 *     V       [f][c / lanes][t][c % lanes]                     B^T d B                           transform_input
 *     U       [group][block][slice][f][o / pair][c][o % pair]  G g G^T, the laid-out weights     lay_out
 *     M       [f][o / pair][t][o % pair]                       the sum over c of V U             multiply_frequencies
 *     y                                                        A^T M A + bias, clamped           transform_output
 *
 * where `lanes` is the number of elements of a vector and `pair` is that of two vectors. A vector holds channels, so
 * images of few tiles need no special case. Where the input channels do not fill the last vector, its other lanes hold
 * zeros and are not read; where the output channels do not, its other lanes are never written to y. BLAS is not used:
 * it is slow for products of few tiles, and on some instruction sets for all small matrices.
 *
 * A task computes a block of tiles for a block of output channels, starting from the input: tasks of the same tiles
 * transform the same input again. Tasks of the same output channels follow each other and find their U in the cache;
 * where U fits no cache, an image of few tiles is one task for each block, so that U is read once. U is laid out in the
 * order in which a task reads it. The sum over c is cut into chunks whose V fits the cache. In three dimensions only
 * rows and columns are transformed; the sum also runs over the taps of the depth. A slice of the sum is one chunk for
 * one tap; all chunks of a tap follow each other. M collects the sums of all slices.
 *
 * The sizes of the caches decide how many tiles a task has and how long a chunk is. Results do not depend on either:
 * the sum of a tile is taken in partial sums of WINOGRAD_PARTIAL channels, of which a chunk is a multiple.
 *
 * A result may be not finite because x is not, or because the transform overflowed. Each image with such a result is
 * marked and its convolution is computed again by direct_channels, so that infinities and NaNs are where the definition
 * has them.
 *
 * A 1x3 kernel is transformed along one axis only: its tiles are 1 x m, and m + 2 products do the work of 3 m.
 */
#ifndef GEMMCONV_WINOGRAD_H
#define GEMMCONV_WINOGRAD_H

#include "caches.h"
#include "problem.h"

enum {
    WINOGRAD_TILES = 14,        /* the most tiles of a task of several rows of tiles: their sums fit the registers */
    WINOGRAD_COLUMNS = 28,      /* the most tiles of a task of one row of tiles */
    WINOGRAD_CHUNK = 96,        /* the fewest input channels of a chunk: fewer are not worth beginning */
    WINOGRAD_IMAGE = 18,        /* the most tiles of an image that is one task where U does not fit the cache */
    WINOGRAD_BLOCK = 128,       /* the most output channels of a task */
    WINOGRAD_TASKS = 4,         /* blocks of output channels are made smaller until an image has this many tasks */
    WINOGRAD_ELEMENTS = 240000, /* the most elements of V and M together: nearly 2 MiB in double */
    WINOGRAD_PARTIAL = 32,      /* the channels that are summed before the sum is added to M, for less rounding */
    WINOGRAD_PAIR = 2 * LONGEST_VECTOR, /* the most lanes of two vectors: the unit of blocks of output channels */
    WINOGRAD_SIDE = 6,                  /* the longest m + 2 */
};

/* The output positions of a tile along its axes: m, or 1 along an axis where the kernel is 1. */
struct winograd_tile {
    int height, width;
};

/* The size of the kernel along an axis where a tile has m output positions. */
static inline int winograd_kernel_size(int m)
{
    return m == 1 ? 1 : 3;
}

/* The input positions that a tile depends on, along an axis. */
static inline int winograd_tile_side(int m)
{
    return m + winograd_kernel_size(m) - 1;
}

/* The smallest factor that makes G a matrix of integers. */
static inline double winograd_weight_scale(int m)
{
    return m == 4 ? 24 : m;
}

/* A kernel of 3x3 or 1x3 along rows and columns, with stride 1 there and dilation 1 along axes of three taps. The depth
 * may have any kernel, stride and dilation. */
static inline int winograd_fits(const struct conv_problem *problem)
{
    const ptrdiff_t *kernel = problem->kernel, *stride = problem->stride, *dilation = problem->dilation;
    const int height = kernel[1] == 1 || (kernel[1] == 3 && dilation[1] == 1);
    const int width = kernel[2] == 3 && dilation[2] == 1;
    return height && width && stride[1] == 1 && stride[2] == 1;
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
    ptrdiff_t chunk;                   /* input channels that are transformed and multiplied at a time */
};

static inline ptrdiff_t winograd_tile_blocks(const struct winograd_cut *cut)
{
    return ceil_div(cut->rows, cut->task_rows) * ceil_div(cut->columns, cut->task_columns);
}

struct winograd_cut winograd_cut_of(const struct conv_problem *problem);

static inline ptrdiff_t winograd_task_count(const struct conv_problem *problem)
{
    const struct winograd_cut cut = winograd_cut_of(problem);
    return problem->batch * problem->groups * problem->out_size[0] * winograd_tile_blocks(&cut) *
           ceil_div(group_out_channels(problem), cut.block);
}

/* The elements of the padded rows of a task. The last vector of columns may be stored beyond their end. */
static inline ptrdiff_t winograd_rows_size(const struct conv_problem *problem, const struct winograd_cut *cut)
{
    const ptrdiff_t rows = cut->task_rows * winograd_tile_size(problem, 1) + problem->kernel[1] - 1;
    const ptrdiff_t columns = cut->task_columns * winograd_tile_size(problem, 2) + problem->kernel[2] - 1;
    return (rows * columns + LONGEST_VECTOR) * LONGEST_VECTOR;
}

/* The elements from one frequency of V or M to the next, for this number of channels: an odd number of vectors, because
 * with a power of two all frequencies of a tile would share a set of the cache. */
static inline ptrdiff_t winograd_frequency_size(const struct winograd_cut *cut, ptrdiff_t channels)
{
    return (cut->task_rows * cut->task_columns * channels / LONGEST_VECTOR | 1) * LONGEST_VECTOR;
}

static inline ptrdiff_t winograd_scratch_size(const struct conv_problem *problem)
{
    const struct winograd_cut cut = winograd_cut_of(problem);
    return winograd_rows_size(problem, &cut) +
           winograd_frequencies(problem) *
               (winograd_frequency_size(&cut, cut.chunk) + winograd_frequency_size(&cut, cut.block));
}

/* The elements of U for one group. Each frequency and slice of a pair of vectors is one vector longer than needed,
 * again so that frequencies do not share a set of the cache. */
static inline ptrdiff_t winograd_group_layout_size(const struct conv_problem *problem)
{
    const ptrdiff_t blocks = ceil_div(group_out_channels(problem), WINOGRAD_PAIR);
    const ptrdiff_t in = group_in_channels(problem), chunks = ceil_div(in, winograd_cut_of(problem).chunk);
    return blocks * winograd_frequencies(problem) * problem->kernel[0] *
           (in * WINOGRAD_PAIR + chunks * WINOGRAD_PAIR / 2);
}

static inline ptrdiff_t winograd_layout_size(const struct conv_problem *problem)
{
    return problem->groups * winograd_group_layout_size(problem);
}

static inline ptrdiff_t winograd_layout_task_count(const struct conv_problem *problem)
{
    return problem->groups * ceil_div(group_out_channels(problem), WINOGRAD_PAIR);
}

#endif
