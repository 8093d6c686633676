#define KERNELS kernels_avx512
#define ISA "avx512"
#include "kernels.inc"
