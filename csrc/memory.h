/* Memory for scratch and layouts. */
#ifndef GEMMCONV_MEMORY_H
#define GEMMCONV_MEMORY_H

#include <stdint.h>
#include <stdlib.h>
#ifdef __linux__
#include <sys/mman.h>
#endif

enum { CACHE_LINE = 64, HUGE_PAGE = 2 << 20 };

/* Memory that begins on a cache line, or NULL. It comes from malloc, which keeps freed blocks for the next call
 * (aligned_alloc would map large blocks anew every time, page by page). The address of malloc's block is kept in front:
 *
 *     block           block of malloc, then   lines
 *     [... unused ...][where it began        ][what is returned ...
 *
 * Large blocks ask for huge pages, which the system hands out much faster than the same memory in small pages. */
static inline void *allocate_lines(size_t size)
{
    char *block = malloc(size + 2 * CACHE_LINE);
    if (!block)
        return NULL;
    void **lines = (void **)(block + 2 * CACHE_LINE - (uintptr_t)block % CACHE_LINE);
    lines[-1] = block;
#ifdef MADV_HUGEPAGE
    if (size >= 2 * HUGE_PAGE) {
        const uintptr_t first = ((uintptr_t)lines + HUGE_PAGE - 1) / HUGE_PAGE * HUGE_PAGE;
        const uintptr_t end = ((uintptr_t)lines + size) / HUGE_PAGE * HUGE_PAGE;
        madvise((void *)first, end - first, MADV_HUGEPAGE); /* a hint, which may be refused */
    }
#endif
    return lines;
}

static inline void free_lines(void *lines)
{
    if (lines)
        free(((void **)lines)[-1]);
}

#endif
