/* The register blocks of the kernels whose lanes are output channels: some vectors of channels times some rows.
 *
 * DEFINE_REGISTER_BLOCKS(stem) makes a function for each pair of these numbers from the inlined function
 * NAME(stem)(pass, vectors, rows), and a table of them:
 *
 *     NAME(stem_blocks)[vectors - 1][rows - 1](const struct NAME(stem_pass) *pass)
 */
#ifndef GEMMCONV_REGISTER_BLOCKS_H
#define GEMMCONV_REGISTER_BLOCKS_H

#include "vectors.h"

/* The vectors of a strip, which are those of a register block, at most. With BLOCK_ROWS rows, their sums, the vectors
 * themselves and one factor fill the registers. */
#define STRIP_VECTORS BY_REGISTERS(4, 2)
#define BLOCK_ROWS 6

#define REGISTER_BLOCK(stem, vectors, rows)                                                                            \
    static void NAME(stem##_##vectors##_##rows)(const struct NAME(stem##_pass) * pass)                                 \
    {                                                                                                                  \
        NAME(stem)(pass, vectors, rows);                                                                               \
    }
#define REGISTER_BLOCK_ENTRY(stem, vectors, rows) NAME(stem##_##vectors##_##rows),
#define REGISTER_BLOCKS(stem, vectors) EACH_UP_TO_6(REGISTER_BLOCK, stem, vectors)
#define REGISTER_BLOCK_ENTRIES(stem, vectors) {EACH_UP_TO_6(REGISTER_BLOCK_ENTRY, stem, vectors)},
#define DEFINE_REGISTER_BLOCKS(stem)                                                                                   \
    EACH_UP_TO(STRIP_VECTORS, REGISTER_BLOCKS, stem)                                                                   \
    static void (*const NAME(stem##_blocks)[STRIP_VECTORS][BLOCK_ROWS])(const struct NAME(stem##_pass) *) = {          \
        EACH_UP_TO(STRIP_VECTORS, REGISTER_BLOCK_ENTRIES, stem)};

#endif
