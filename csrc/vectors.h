/* What kernels know of the instruction set that they are compiled for: the size, the number and the types of its
 * vectors. vectors.inc has the verbs. Other kernel files do not ask for the name of the instruction set. */
#ifndef GEMMCONV_VECTORS_H
#define GEMMCONV_VECTORS_H

#include <stdint.h>

#if defined(__GNUC__) && !defined(__clang__) && __GNUC__ < 12
#error "gemmconv needs GCC 12 or newer, or Clang"
#endif

/* VECTOR_BYTES is the size of a vector. MASKED_LOADS is 1 where there are instructions for loads that leave lanes out,
 * and LANE_SETS is 1 where loads and stores do so at no cost, because masks are bits in registers of their own. */
#if defined(__AVX512F__)
#include <immintrin.h>
#define VECTOR_BYTES 64
#define FLOAT32_LANES 16
#define FLOAT64_LANES 8
#define MASKED_LOADS 1
#define LANE_SETS 1
#define INTRINSIC_float32(operation) _mm512_##operation##_ps
#define INTRINSIC_float64(operation) _mm512_##operation##_pd
#elif defined(__AVX2__)
#include <immintrin.h>
#define VECTOR_BYTES 32
#define FLOAT32_LANES 8
#define FLOAT64_LANES 4
#define MASKED_LOADS 1
#define LANE_SETS 0
#define INTRINSIC_float32(operation) _mm256_##operation##_ps
#define INTRINSIC_float64(operation) _mm256_##operation##_pd
#else
#define VECTOR_BYTES 16
#define FLOAT32_LANES 4
#define FLOAT64_LANES 2
#define MASKED_LOADS 0
#define LANE_SETS 0
#endif

/* VECTOR_REGISTERS is their number. BY_REGISTERS takes what fits 32 of them, or what fits 16. */
#if defined(__AVX512F__) || defined(__aarch64__)
#define VECTOR_REGISTERS 32
#define BY_REGISTERS(with_32, with_16) with_32
#else
#define VECTOR_REGISTERS 16
#define BY_REGISTERS(with_32, with_16) with_16
#endif

/* BY_SIZE takes what is fast, or what is small where few machines need it: on x86-64 without AVX2. */
#if defined(__x86_64__) && !defined(__AVX2__)
#define BY_SIZE(fast, small) small
#else
#define BY_SIZE(fast, small) fast
#endif

/* VECTOR_CONSTRAINT is how inline assembly names a vector register. BURST_VECTORS is the number of sums that keep the
 * multiply-add units busy: their latency times their number, of which ARM has up to four. HOLD keeps a compiler for x86
 * from loading a vector again at each use, as the memory operand of an instruction. */
#if defined(__x86_64__)
#define VECTOR_CONSTRAINT "v"
#define BURST_VECTORS 12
#define HOLD(vector) __asm__("" : "+v"(vector))
#elif defined(__aarch64__)
#define VECTOR_CONSTRAINT "w"
#define BURST_VECTORS 24
#define HOLD(vector)
#else
#define VECTOR_CONSTRAINT "m"
#define BURST_VECTORS 12
#define HOLD(vector)
#endif

enum {
    MAX_LANES = VECTOR_BYTES / sizeof(float),                         /* lanes of a vector of either type, at most */
    FUSED_MULTIPLY_ADD = VECTOR_REGISTERS == 32 || VECTOR_BYTES > 16, /* whether a product needs no register */
};

/* Functions inlined with a constant number of elements have their loops over them unrolled, so that the elements stay
 * in registers. NO_UNROLL keeps a loop small where speed does not depend on it. */
#define ALWAYS_INLINE static inline __attribute__((always_inline))
#define UNROLL _Pragma("GCC unroll 32")
/* FEW_POINTERS keeps the compiler from giving each address in a loop a pointer of its own, which adds code around it.
 */
#ifdef __clang__
#define FEW_POINTERS
#else
#define FEW_POINTERS __attribute__((optimize("no-ivopts")))
#endif
#define NO_UNROLL _Pragma("GCC unroll 1")
#define UNROLL_BY(n) PRAGMA_UNROLL(GCC unroll n)
#define PRAGMA_UNROLL(directive) _Pragma(#directive)

/* EACH_UP_TO(n, DO, ...) is DO(..., 1) DO(..., 2) and so on up to n, itself a macro perhaps. Where DO has such a list
 * inside, it must be one of another n, by its own name. */
#define EACH_UP_TO(n, DO, ...) EACH_UP_TO_N(n, DO, __VA_ARGS__)
#define EACH_UP_TO_N(n, DO, ...) EACH_UP_TO_##n(DO, __VA_ARGS__)
#define EACH_UP_TO_2(DO, ...) DO(__VA_ARGS__, 1) DO(__VA_ARGS__, 2)
#define EACH_UP_TO_4(DO, ...) DO(__VA_ARGS__, 1) DO(__VA_ARGS__, 2) DO(__VA_ARGS__, 3) DO(__VA_ARGS__, 4)
#define EACH_UP_TO_6(DO, ...)                                                                                          \
    DO(__VA_ARGS__, 1)                                                                                                 \
    DO(__VA_ARGS__, 2) DO(__VA_ARGS__, 3) DO(__VA_ARGS__, 4) DO(__VA_ARGS__, 5) DO(__VA_ARGS__, 6)
#define EACH_UP_TO_8(DO, ...)                                                                                          \
    DO(__VA_ARGS__, 1)                                                                                                 \
    DO(__VA_ARGS__, 2)                                                                                                 \
    DO(__VA_ARGS__, 3)                                                                                                 \
    DO(__VA_ARGS__, 4) DO(__VA_ARGS__, 5) DO(__VA_ARGS__, 6) DO(__VA_ARGS__, 7) DO(__VA_ARGS__, 8)

/* Lists of 2 * n indices: i, i + 1, i + 2 ...; i, i + 2, i + 4 ...; and those that weave two vectors of `lanes` lanes
 * into a[i], b[i], a[i + 1], b[i + 1] ... */
#define NEXT_1(i) (i), (i) + 1
#define NEXT_2(i) NEXT_1(i), NEXT_1((i) + 2)
#define NEXT_4(i) NEXT_2(i), NEXT_2((i) + 4)
#define NEXT_8(i) NEXT_4(i), NEXT_4((i) + 8)
#define SECOND_1(i) (i), (i) + 2
#define SECOND_2(i) SECOND_1(i), SECOND_1((i) + 4)
#define SECOND_4(i) SECOND_2(i), SECOND_2((i) + 8)
#define SECOND_8(i) SECOND_4(i), SECOND_4((i) + 16)
#define WEAVE_1(i, lanes) (i), (i) + (lanes)
#define WEAVE_2(i, lanes) WEAVE_1(i, lanes), WEAVE_1((i) + 1, lanes)
#define WEAVE_4(i, lanes) WEAVE_2(i, lanes), WEAVE_2((i) + 2, lanes)
#define WEAVE_8(i, lanes) WEAVE_4(i, lanes), WEAVE_4((i) + 4, lanes)

/* The types and the shuffles of vectors of 2 * `half` lanes:
 *
 *     vector       a vector in registers             unaligned    one anywhere in memory
 *     lane_bits    integers as large as the lanes, such as the results of comparisons: all bits are 1, or all 0
 *
 *     a, b               0 1 2 3   4 5 6 7           (4 lanes)
 *     even_lanes         0 2 4 6                     odd_lanes          1 3 5 7
 *     even_lanes_mixed   the same lanes as even_lanes, in the order that the fewest instructions give, and
 *     odd_lanes_mixed    those of odd_lanes in the same order; unmix_lanes puts them into theirs
 *     next_lanes         1 2 3 4
 *     weave_low          0 4 1 5                     weave_high         2 6 3 7 */
#define DEFINE_SHUFFLE(shuffle, name, ...)                                                                             \
    ALWAYS_INLINE vector_##name shuffle##_##name(vector_##name a, vector_##name b)                                     \
    {                                                                                                                  \
        return __builtin_shufflevector(a, b, __VA_ARGS__);                                                             \
    }
#define DEFINE_VECTOR(name, real, integer, half)                                                                       \
    typedef real vector_##name __attribute__((vector_size(VECTOR_BYTES)));                                             \
    typedef real unaligned_##name __attribute__((vector_size(VECTOR_BYTES), aligned(sizeof(real)), may_alias));        \
    typedef integer lane_bits_##name __attribute__((vector_size(VECTOR_BYTES)));                                       \
    ALWAYS_INLINE lane_bits_##name lane_numbers_##name(void)                                                           \
    {                                                                                                                  \
        return (lane_bits_##name){NEXT_##half(0)};                                                                     \
    }                                                                                                                  \
    DEFINE_SHUFFLE(even_lanes, name, SECOND_##half(0))                                                                 \
    DEFINE_SHUFFLE(odd_lanes, name, SECOND_##half(1))                                                                  \
    DEFINE_SHUFFLE(next_lanes, name, NEXT_##half(1))                                                                   \
    DEFINE_SHUFFLE(weave_low, name, WEAVE_##half(0, 2 * half))                                                         \
    DEFINE_SHUFFLE(weave_high, name, WEAVE_##half(half, 2 * half))

/* Where there is one instruction for the order of even_lanes, there is no mixed one. */
#define DEFINE_MIXED(name, half)                                                                                       \
    DEFINE_SHUFFLE(even_lanes_mixed, name, SECOND_##half(0))                                                           \
    DEFINE_SHUFFLE(odd_lanes_mixed, name, SECOND_##half(1))                                                            \
    DEFINE_SHUFFLE(unmix_lanes, name, NEXT_##half(0))

#if VECTOR_BYTES == 64
DEFINE_VECTOR(float32, float, int, 8)
DEFINE_VECTOR(float64, double, long long, 4)
DEFINE_MIXED(float32, 8)
DEFINE_MIXED(float64, 4)
#elif VECTOR_BYTES == 32
DEFINE_VECTOR(float32, float, int, 4)
DEFINE_VECTOR(float64, double, long long, 2)
DEFINE_SHUFFLE(even_lanes_mixed, float32, 0, 2, 8, 10, 4, 6, 12, 14)
DEFINE_SHUFFLE(odd_lanes_mixed, float32, 1, 3, 9, 11, 5, 7, 13, 15)
DEFINE_SHUFFLE(unmix_lanes, float32, 0, 1, 4, 5, 2, 3, 6, 7)
DEFINE_SHUFFLE(even_lanes_mixed, float64, 0, 4, 2, 6)
DEFINE_SHUFFLE(odd_lanes_mixed, float64, 1, 5, 3, 7)
DEFINE_SHUFFLE(unmix_lanes, float64, 0, 2, 1, 3)
#else
DEFINE_VECTOR(float32, float, int, 2)
DEFINE_VECTOR(float64, double, long long, 1)
DEFINE_MIXED(float32, 2)
DEFINE_MIXED(float64, 1)
#endif

/* A mask: which lanes a load reads. */
#if LANE_SETS
typedef __mmask16 mask_float32;
typedef __mmask8 mask_float64;
#else
typedef lane_bits_float32 mask_float32;
typedef lane_bits_float64 mask_float64;
#endif

#endif
