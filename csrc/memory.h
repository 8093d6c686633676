/* Memory for scratch and layouts. */
#ifndef GEMMCONV_MEMORY_H
#define GEMMCONV_MEMORY_H

#include <stdlib.h>
#ifdef __linux__
#include <sys/mman.h>
#endif

enum { CACHE_LINE = 64, HUGE_PAGE = 2 << 20 };

/* Memory that begins on a cache line, or NULL. What is large asks for huge pages: those that come fresh from the system
 * cost a fraction of as many small ones. Given back by free. */
static inline void *allocate_lines(size_t size)
{
    const size_t unit = size < 2 * HUGE_PAGE ? CACHE_LINE : HUGE_PAGE, whole = (size + unit - 1) / unit * unit;
    void *memory = aligned_alloc(unit, whole);
#ifdef MADV_HUGEPAGE
    if (memory && unit == HUGE_PAGE)
        madvise(memory, whole, MADV_HUGEPAGE); /* a hint, which may be refused */
#endif
    return memory;
}

#endif
