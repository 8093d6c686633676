/* Transposition for float and double. It moves memory, so it is compiled once for all instruction sets. */
#include "transposition.h"

#include "problem.h"
#include "vectors.h"

/* The rows of each task but the last of a matrix: whole squares. */
static ptrdiff_t rows_per_task(const struct transposition *transposition)
{
    const ptrdiff_t rows = TRANSPOSED_ELEMENTS / max_size(transposition->columns, TRANSPOSED_SIDE);
    return round_up(max_size(rows, 1), TRANSPOSED_SIDE);
}

/* The longer side of matrices of two rows or columns, and 0 for others. */
static ptrdiff_t pairs_of(const struct transposition *transposition)
{
    return transposition->columns == 2 ? transposition->rows : transposition->rows == 2 ? transposition->columns : 0;
}

ptrdiff_t transposition_task_count(const struct transposition *transposition)
{
    const ptrdiff_t pairs = pairs_of(transposition);
    if (pairs > 0)
        return transposition->count * ceil_div(2 * pairs, TRANSPOSED_ELEMENTS);
    return transposition->count * ceil_div(transposition->rows, rows_per_task(transposition));
}

ptrdiff_t times_i_task_count(const struct products_with_i *products)
{
    return products->count * ceil_div(2 * products->size, TRANSPOSED_ELEMENTS);
}

#define REAL float
#define LANES FLOAT32_LANES
#define NAME(stem) stem##_float32
#include "transposition.inc"

#define REAL double
#define LANES FLOAT64_LANES
#define NAME(stem) stem##_float64
#include "transposition.inc"
