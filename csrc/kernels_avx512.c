#include "kernels.h"

#ifdef __x86_64__
#define KERNELS kernels_avx512
#define ISA "avx512"
#include "kernels.inc"
#endif
