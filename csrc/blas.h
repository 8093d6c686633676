/* The only file that knows BLAS: its column-major view, its integers, its calling convention.
 *
 * BLAS reports a bad argument by printing a line and returning, so nothing doubtful may reach it: the callers see to it
 * that every dimension and leading dimension fits its integer, and the asserts below say so.
 */
#ifndef GEMMCONV_BLAS_H
#define GEMMCONV_BLAS_H

#include <assert.h>
#include <limits.h>
#include <stddef.h>
#include <stdint.h>

/* sgemm or dgemm as Fortran exports them, with 32-bit or 64-bit integers. */
typedef void gemm_int32(char *, char *, int *, int *, int *, void *, void *, int *, void *, int *, void *, void *,
                        int *);
typedef void gemm_int64(char *, char *, int64_t *, int64_t *, int64_t *, void *, void *, int64_t *, void *, int64_t *,
                        void *, void *, int64_t *);

/* One gemm and its scalars, all of one type: float or double. Exactly one of the two pointers is set. */
struct blas {
    gemm_int32 *gemm32;
    gemm_int64 *gemm64;
    const void *zero, *one;
};

/* A row-major product: C is m x n, A is m x k, B is k x n, each with its distance between rows. With `transposed_a` A
 * is stored as its transpose, k x m, and with `transposed_b` B, n x k. */
struct gemm_shape {
    ptrdiff_t m, n, k;
    ptrdiff_t lda, ldb, ldc;
    int transposed_a, transposed_b;
};

/* C = A @ B, or with `accumulate` C += A @ B.
 *
 * A row-major matrix is the column-major matrix of its transpose, and C^T = B^T @ A^T: so the operands change places
 * and nothing else is transposed. BLAS does not write to A and B, though its prototype does not say const. */
static inline void blas_gemm(const struct blas *blas, const struct gemm_shape *shape, const void *a, const void *b,
                             int accumulate, void *c)
{
    char transpose_b = shape->transposed_b ? 'T' : 'N', transpose_a = shape->transposed_a ? 'T' : 'N';
    void *alpha = (void *)blas->one;
    void *beta = (void *)(accumulate ? blas->one : blas->zero);

    assert(shape->lda >= (shape->transposed_a ? shape->m : shape->k));
    assert(shape->ldb >= (shape->transposed_b ? shape->k : shape->n) && shape->ldc >= shape->n);
    if (blas->gemm64) {
        int64_t m = shape->n, n = shape->m, k = shape->k;
        int64_t lda = shape->ldb, ldb = shape->lda, ldc = shape->ldc;
        blas->gemm64(&transpose_b, &transpose_a, &m, &n, &k, alpha, (void *)b, &lda, (void *)a, &ldb, beta, c, &ldc);
    } else {
        int m = (int)shape->n, n = (int)shape->m, k = (int)shape->k;
        int lda = (int)shape->ldb, ldb = (int)shape->lda, ldc = (int)shape->ldc;
        assert(shape->m <= INT_MAX && shape->lda <= INT_MAX && shape->ldb <= INT_MAX && shape->ldc <= INT_MAX);
        blas->gemm32(&transpose_b, &transpose_a, &m, &n, &k, alpha, (void *)b, &lda, (void *)a, &ldb, beta, c, &ldc);
    }
}

#endif
