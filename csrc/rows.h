/* What the taps of a kernel read of a row of the input: an interval of it, with zeros around it.
 *
 * Position i of a run of positions reads element `offset + i * stride` of the row, or zero if there is no such element.
 * For a row of 5 elements, stride 2, offset -3 and 6 positions:
 *
 *     element        -3  -2  -1   0   1   2   3   4   5   6   7
 *     the row         .   .   .   a   b   c   d   e   .   .   .
 *     position        0       1       2       3       4       5
 *     it reads        0       0       b       d       0       0       positions 2 and 3 lie inside the row
 */
#ifndef GEMMCONV_ROWS_H
#define GEMMCONV_ROWS_H

#include "problem.h"

/* What a run of `count` positions reads of a row: `lead` zeros, then `inside` elements, the first of them at `from`,
 * then zeros. `to` is where the positions begin in a packed row. A span with no element inside is all lead. */
struct span {
    ptrdiff_t to, count, lead, inside, from;
};

static inline int is_inside(ptrdiff_t position, ptrdiff_t size)
{
    return position >= 0 && position < size;
}

/* The positions 0 <= i < count for which 0 <= offset + i * stride < size. */
static inline struct interval positions_inside(ptrdiff_t size, ptrdiff_t stride, ptrdiff_t offset, ptrdiff_t count)
{
    const ptrdiff_t first = offset >= 0 ? 0 : min_size(ceil_div(-offset, stride), count);
    const ptrdiff_t end = offset >= size ? 0 : min_size(ceil_div(size - offset, stride), count);
    return (struct interval){first, max_size(first, end)};
}

/* The same, as a span of a row of `size` elements. */
static inline struct span span_inside(ptrdiff_t size, ptrdiff_t stride, ptrdiff_t offset, ptrdiff_t count)
{
    const struct interval inside = positions_inside(size, stride, offset, count);
    if (inside.first == inside.end)
        return (struct span){.count = count, .lead = count};
    return (struct span){
        .count = count,
        .lead = inside.first,
        .inside = inside.end - inside.first,
        .from = offset + inside.first * stride,
    };
}

/* The input position that output position `output` reads with tap `tap`, along one axis. */
static inline ptrdiff_t input_position(const struct conv_problem *problem, int axis, ptrdiff_t output, ptrdiff_t tap)
{
    return output * problem->stride[axis] - problem->pad_before[axis] + tap * problem->dilation[axis];
}

/* Whether the row at depth `d` and height `h` lies inside the input. */
static inline int row_is_inside(const struct conv_problem *problem, ptrdiff_t d, ptrdiff_t h)
{
    return is_inside(d, problem->in_size[0]) && is_inside(h, problem->in_size[1]);
}

/* Where the row at depth `d` and height `h` begins in a channel of the input. */
static inline ptrdiff_t row_offset(const struct conv_problem *problem, ptrdiff_t d, ptrdiff_t h)
{
    return (d * problem->in_size[1] + h) * problem->in_size[2];
}

#endif
