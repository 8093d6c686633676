#include "kernels.h"

#ifdef __x86_64__
#define KERNELS kernels_avx2
#define ISA "avx2"
#include "kernels.inc"
#endif
