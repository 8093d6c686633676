#define KERNELS kernels_avx2
#define ISA "avx2"
#include "kernels.inc"
