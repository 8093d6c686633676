/* The caches of this machine, in bytes: from them kernels work out how much of a problem a task takes at a time.
 *
 * Python gives the sizes to C when the module is imported, before any kernel runs, and they never change afterwards:
 * the layout of a weight may depend on them. Results must not: kernels let the sizes decide how outputs are cut into
 * tasks and in which order they are computed, but never the order of a sum. */
#ifndef GEMMCONV_CACHES_H
#define GEMMCONV_CACHES_H

#include <stddef.h>

struct caches {
    ptrdiff_t l2; /* of one core */
    ptrdiff_t l3; /* of the cores that share it */
};

extern struct caches caches;

#endif
