#define KERNELS kernels_baseline
#define ISA "baseline"
#include "kernels.inc"
