/* fft: convolutions of one or two axes by fast Fourier transforms, block by block (overlap-save).
 *
 * A block is a rectangle of x of `length` rows and columns. Its circular convolution with the reversed kernel has, in
 * its first rows and columns, the outputs of the definition; the others read around the circle and are dropped. The
 * next block begins there, so blocks overlap by the extent of the kernel less one:
 *
 *     x         |-----------length-----------|
 *     y         |-------useful-------|         |-------useful-------|
 *     x                              |-----------length-----------|
 *
 * Kernels are real, so two blocks are one complex number: block A its real part, block B its imaginary part. That is
 * also the layout in memory. With 4 lanes and a row of 8 columns, an item is a vector of A and the same of B:
 *
 *     a0 a1 a2 a3  b0 b1 b2 b3    a4 a5 a6 a7  b4 b5 b6 b7          z [row][item][A or B][lane]
 *
 * No lane ever meets another: transforms run along the items of a row, lane by lane, and along the rows. So a row of
 * `length` columns is transformed over length / lanes items only, and what is left in the lanes of an item is a
 * polynomial with a term for each lane. Let u be the step by a column. A row is a polynomial in u modulo u^length - 1;
 * with v = u^lanes, the transform over items splits that into factors u^lanes - v_k, one for each item k, with v_k a
 * root of unity. So the product with a kernel is, in each item, a product of polynomials of `lanes` terms, in which
 * what goes beyond the last lane comes back multiplied by v_k:
 *
 *     y[lane] = sum over a <= lane of z[a] g[lane - a]  +  v_k * sum over a > lane of z[a] g[lane - a + lanes]
 *
 * The laid-out weights hold g twice, so that each term is one load:
 *
 *     v_k g_0 .. v_k g_3   g_0 g_1 g_2 g_3     the real parts, then the imaginary parts; term a loads from lanes - a on
 *
 *     laid-out weights   [output channel][roots of unity, for items and for rows][input channel][item][the above]
 *
 * The order of the frequencies does not matter, so it stays as the passes leave it: no pass reorders anything.
 *
 * A task computes a pair of blocks of one image and group, for some output channels. A stride takes every stride-th
 * output of a block. Images with a result that is not finite are marked, and computed again by another kernel: a
 * transform spreads what is not finite over a whole pair.
 */
#ifndef GEMMCONV_FFT_H
#define GEMMCONV_FFT_H

#include <math.h>

#include "problem.h"

enum {
    FFT_LEAST = 16,         /* the fewest columns of a block, of which their number is a multiple */
    FFT_ELEMENTS = 1 << 17, /* the most elements of a block, for all channels that are in memory together */
    FFT_CACHED = 1 << 12,   /* the elements that stay in the first-level cache from one pass to the next */
    FFT_MOST_PASSES = 16,   /* more than any transform has */
    FFT_ROOTS = 32,         /* roots of unity are products of one of these and of a multiple of their number */
};

/* Functions with a loop that takes time, and those around them, which are compiled for size. */
#define OUT_OF_LINE __attribute__((noinline, hot)) static
#define SMALL __attribute__((noinline, cold)) static

/* How an image is cut; axis 0 are the rows, axis 1 the columns. */
struct fft_cut {
    ptrdiff_t length[2]; /* of x in a block */
    ptrdiff_t useful[2]; /* outputs of a block */
    ptrdiff_t blocks[2];
    ptrdiff_t elements; /* of a block */
    ptrdiff_t pairs;    /* of blocks */
};

/* The elements from the first tap to the last, along an axis of the problem. */
static inline ptrdiff_t fft_extent(const struct conv_problem *problem, int axis)
{
    return (problem->kernel[axis] - 1) * problem->dilation[axis] + 1;
}

/* The radix of the first pass of a transform of `size` items. */
static inline int fft_radix(ptrdiff_t size)
{
    return size % 4 == 0 ? 4 : size % 2 == 0 ? 2 : 3;
}

/* Blocks have the lengths of the tiling. */
struct fft_cut fft_cut_of(const struct conv_problem *problem);

/* A block: its first outputs and their number along both axes, and where it begins in x. */
struct fft_block {
    ptrdiff_t first[2], count[2], start[2];
};

/* Block number `number` of an image; there are no outputs in one that does not exist. */
struct fft_block fft_block_at(const struct conv_problem *problem, const struct fft_cut *cut, ptrdiff_t number);

/* The spectra that are in memory together: of each input channel and of one output channel. With one channel each, the
 * product takes the place of its factor. */
static inline ptrdiff_t fft_spectra(const struct conv_problem *problem)
{
    const ptrdiff_t in = group_in_channels(problem);
    return in + (in > 1 || group_out_channels(problem) > 1);
}

/* Images without depth, whose kernels leave room for some channels. */
static inline int fft_fits(const struct conv_problem *problem)
{
    ptrdiff_t rows = 1, columns = FFT_LEAST;
    if (problem->in_size[0] > 1 || problem->out_size[0] > 1 || problem->kernel[0] > 1 || problem->pad_before[0] != 0)
        return 0;
    while (rows < fft_extent(problem, 1) && rows <= FFT_ELEMENTS)
        rows *= 2;
    while (columns < fft_extent(problem, 2) && columns <= FFT_ELEMENTS)
        columns *= 2;
    return fft_spectra(problem) <= FFT_ELEMENTS / rows / columns;
}

static inline ptrdiff_t fft_output_blocks(const struct conv_problem *problem)
{
    return ceil_div(group_out_channels(problem), problem->tiling.block);
}

static inline ptrdiff_t fft_task_count(const struct conv_problem *problem)
{
    return problem->batch * problem->groups * fft_cut_of(problem).pairs * fft_output_blocks(problem);
}

static inline ptrdiff_t fft_scratch_size(const struct conv_problem *problem)
{
    return 2 * fft_cut_of(problem).elements * fft_spectra(problem);
}

/* The elements of the roots of unity: two for each item, of which a row has at most half as many as columns, and two
 * for each row. */
static inline ptrdiff_t fft_roots_size(const struct fft_cut *cut)
{
    return cut->length[1] + round_up(2 * cut->length[0], LONGEST_VECTOR);
}

/* The elements of the laid-out weights of one output channel. */
static inline ptrdiff_t fft_channel_layout_size(const struct conv_problem *problem, const struct fft_cut *cut)
{
    return fft_roots_size(cut) + 4 * cut->elements * group_in_channels(problem);
}

static inline ptrdiff_t fft_layout_size(const struct conv_problem *problem)
{
    const struct fft_cut cut = fft_cut_of(problem);
    return problem->out_channels * fft_channel_layout_size(problem, &cut);
}

static inline ptrdiff_t fft_layout_task_count(const struct conv_problem *problem)
{
    return problem->out_channels;
}

#endif
