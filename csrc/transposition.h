/* Matrices transposed, one for each image: between arrays with channels first and with channels last.
 *
 *     from  (count, rows, columns)        a b c       to  (count, columns, rows)        a d
 *                                         d e f                                         b e
 *                                                                                       c f
 *
 * A task moves a block of rows of a matrix. It goes through the block in squares of TRANSPOSED_SIDE elements: a line of
 * the cache along the rows of both matrices.
 *
 * A matrix of two rows or two columns, such as the real and imaginary parts of complex numbers, is moved by vectors, a
 * block of the longer side in each task.
 *
 * Here are also the products of complex numbers with i, and sums with them:
 *
 *     from  (count, size)       a b c         to  (count, 2, size)    a b c  ia ib ic
 *                               d e f                                 d e f  id ie if
 *
 *     from  (count, 2, size)    a b c  d e f  to  (count, size)       a+id  b+ie  c+if  */
#ifndef GEMMCONV_TRANSPOSITION_H
#define GEMMCONV_TRANSPOSITION_H

#include <stddef.h>

enum {
    TRANSPOSED_SIDE = 16,         /* rows and columns of a square */
    TRANSPOSED_ELEMENTS = 1 << 15 /* elements of a task, about, and of pairs at most */
};

struct transposition {
    ptrdiff_t count, rows, columns;
    const void *from;
    void *to;
};

ptrdiff_t transposition_task_count(const struct transposition *transposition);

struct products_with_i {
    ptrdiff_t count, size;
    const void *from;
    void *to;
    int are_added; /* to what is there, as in the second picture */
};

ptrdiff_t times_i_task_count(const struct products_with_i *products);

/* The tasks have the form that thread_pool.h asks for. */
void transpose_task_float32(const void *transposition, ptrdiff_t task, int thread);
void transpose_task_float64(const void *transposition, ptrdiff_t task, int thread);
void times_i_task_float32(const void *products, ptrdiff_t task, int thread);
void times_i_task_float64(const void *products, ptrdiff_t task, int thread);

#endif
