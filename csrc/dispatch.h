/* Which instruction sets this machine has, and which kernels are in use. */
#ifndef GEMMCONV_DISPATCH_H
#define GEMMCONV_DISPATCH_H

#include "kernels.h"

/* The kernels of the index-th instruction set that this machine supports, slowest first, or NULL beyond the last. */
const struct kernels *supported_kernels(int index);

/* The kernels in use: at first the fastest supported ones. */
const struct kernels *active_kernels(void);

/* Use the kernels named `isa`; returns 0 and changes nothing if the machine does not support them. */
int select_kernels(const char *isa);

#endif
