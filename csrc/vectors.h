/* Vectors of the instruction set's width, VECTOR_BYTES, of either type, and what C has no operator for. */
#ifndef GEMMCONV_VECTORS_H
#define GEMMCONV_VECTORS_H

#if defined(__GNUC__) && !defined(__clang__) && __GNUC__ < 12
#error "gemmconv needs GCC 12 or newer, or Clang"
#endif

/* What is inlined with a constant number of elements has its loops over them unrolled, so that they stay in registers.
 */
#define ALWAYS_INLINE static inline __attribute__((always_inline))
#define UNROLL _Pragma("GCC unroll 32")

/* Indices that weave two vectors of n lanes into a[i], b[i], a[i + 1], b[i + 1] and so on. */
#define WEAVE_1(i, n) (i), (i) + (n)
#define WEAVE_2(i, n) WEAVE_1(i, n), WEAVE_1((i) + 1, n)
#define WEAVE_4(i, n) WEAVE_2(i, n), WEAVE_2((i) + 2, n)
#define WEAVE_8(i, n) WEAVE_4(i, n), WEAVE_4((i) + 4, n)

/* A vector in registers, one anywhere in memory, and the first and the second half of two woven vectors, of `half`
 * lanes each. */
#define DEFINE_VECTOR(name, real, half)                                                                                \
    typedef real vector_##name __attribute__((vector_size(VECTOR_BYTES)));                                             \
    typedef real unaligned_##name __attribute__((vector_size(VECTOR_BYTES), aligned(sizeof(real)), may_alias));        \
    ALWAYS_INLINE vector_##name weave_low_##name(vector_##name a, vector_##name b)                                     \
    {                                                                                                                  \
        return __builtin_shufflevector(a, b, WEAVE_##half(0, 2 * half));                                               \
    }                                                                                                                  \
    ALWAYS_INLINE vector_##name weave_high_##name(vector_##name a, vector_##name b)                                    \
    {                                                                                                                  \
        return __builtin_shufflevector(a, b, WEAVE_##half(half, 2 * half));                                            \
    }

#if VECTOR_BYTES == 64
DEFINE_VECTOR(float32, float, 8)
DEFINE_VECTOR(float64, double, 4)
#elif VECTOR_BYTES == 32
DEFINE_VECTOR(float32, float, 4)
DEFINE_VECTOR(float64, double, 2)
#else
DEFINE_VECTOR(float32, float, 2)
DEFINE_VECTOR(float64, double, 1)
#endif

enum { MAX_LANES = VECTOR_BYTES / sizeof(float) };

#endif
