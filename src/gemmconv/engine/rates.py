"""Rates: the nanoseconds that one unit of each kind of work takes; costs.py says how much of it a kernel does.

The columns of the table are the instruction sets in `COLUMNS`, in float32 on one thread. Each was fitted to timings of
that instruction set beside a BLAS for one of its `BLAS_CORES`. These commands make a column again, with ``TIME`` for
``python -m gemmconv.bench.studies.algorithms``::

    TIME --random 350 --seed 1 --rounds 3 --save drawn.json
    TIME --kind small --random 120 --seed 1 --rounds 3 --save small.json
    TIME --kind long --random 120 --seed 1 --rounds 3 --save long.json
    TIME --rounds 3 --save suites.json
    TIME --op input_gradient --random 100 --seed 1 --rounds 3 --save input_gradient_drawn.json
    TIME --op input_gradient --kind long --random 60 --seed 1 --rounds 2 --save input_gradient_long.json
    TIME --op input_gradient --suite resnet50 --suite mobilenet --rounds 3 --save input_gradient_suites.json
    (the last three also with weight_gradient)
    python -m gemmconv.bench.studies.costs *.json --write

They ran on one Zen 4 core on 2026-11-27; for "avx2" with ``GEMMCONV_ISA=avx2 OPENBLAS_CORETYPE=Haswell``. The column
"baseline" was fitted with ``GEMMCONV_ISA=baseline OPENBLAS_CORETYPE=Nehalem``, to 162 shapes and to older kernels that
were compiled with -O2; its rates of fft are twice those of "avx2". Numbers here may be fitted again: they change which
algorithm ``"auto"`` takes, but never what an algorithm computes.
"""

from __future__ import annotations

from ..environment import INSTRUCTION_SETS
from .blas import SMALL_MATRIX_CORES

#: The instruction sets of the columns.
COLUMNS = INSTRUCTION_SETS
#: The cores whose BLAS the rates of a column are fitted beside, as OpenBLAS names them: what machines without a better
#: instruction set have. OPENBLAS_CORETYPE sets one of them on other machines.
BLAS_CORES = {"baseline": ("Nehalem",), "avx2": ("Haswell", "Zen"), "avx512": SMALL_MATRIX_CORES}
# The kernels whose time depends on the BLAS more than on our instruction set.
OF_BLAS = frozenset({"gemm_conv", "input_gradient", "weight_gradient_gemm"})


def column_of(kernel: str, isa: str, path: str) -> int:
    """Return the column of a kernel for an instruction set and a path of BLAS, or the nearest one.

    A BLAS whose path is "small" multiplies with AVX-512, whatever our own instruction set is. One with the path
    "packing" was not timed beside our AVX-512.
    """
    if kernel in OF_BLAS and path == "small":
        return COLUMNS.index("avx512")
    column = COLUMNS.index(isa) if isa in COLUMNS else 0
    return min(column, COLUMNS.index("avx2")) if kernel in OF_BLAS else column


#: Kernel -> kind of work -> nanoseconds for one unit of it, in each column.
RATES: dict[str, dict[str, tuple[float, ...]]] = {
    "gemm_conv": {
        "multiply-adds": (0.0681, 0.022, 0.015),
        "multiply-adds of blocks": (0.0035, 0.000698, 0.00216),
        "reading P": (0.0, 0.258, 0.0244),
        "weights from memory": (1.3, 0.427, 0.00608),
        "outputs": (0.611, 0.134, 0.0294),
        "rows": (46.0, 47.2, 165.0),
        "calls": (22.4, 86.4, 35.5),
        "packing": (0.201, 0.31, 0.157),
        "packing with a stride": (0.192, 0.497, 0.209),
        "packing a row": (6.0, 4.58, 0.0),
        "packing a row inside": (0.0, 0.0, 0.566),
        "from memory": (1.17, 0.049, 0.157),
        "from memory in place": (0.0469, 0.012, 0.0),
        "from main memory": (0.0101, 0.287, 0.00785),
    },
    "input_gradient": {
        "multiply-adds": (0.0423, 0.0223, 0.0143),
        "reading P": (1.5, 0.0217, 0.00831),
        "reading weights": (0.948, 0.696, 0.263),
        "gradients": (0.454, 0.167, 0.061),
        "positions": (0.0, 10.5, 1.79),
        "groups": (0.0, 223.0, 490.0),
        "adding": (0.119, 0.283, 0.661),
        "adding with a stride": (0.285, 0.0323, 0.144),
        "adding a row": (0.0505, 10.7, 1.04),
        "adding to one channel": (0.0, 0.00145, 0.293),
    },
    "scipy_fft": {
        "transforms": (1.0, 0.505, 0.397),
        "elements": (0.5, 1.59, 2.19),
        "elements of matrices": (1.5, 0.0, 0.0323),
        "elements outside the cache": (0.6, 0.00504, 0.028),
        "products": (0.8, 1.47, 0.0),
        "products of matrices": (0.8, 0.24, 0.354),
        "matrices": (96.0, 75.3, 151.0),
        "tasks": (30000.0, 555.0, 3140.0),
        "beginning": (10000.0, 32600.0, 80200.0),
    },
    "scipy_fft_layout": {
        "transforms": (1.0, 0.0389, 0.0192),
        "elements": (1.0, 2.1, 3.42),
        "tasks": (15000.0, 0.0, 0.0),
        "beginning": (15000.0, 112000.0, 34500.0),
    },
    "turning": {
        "weights": (0.62, 0.465, 0.536),
        "beginning": (0.0, 151.0, 190.0),
    },
    "weight_gradient_gemm": {
        "multiply-adds": (0.069, 0.033, 0.0241),
        "positions": (1.06, 0.333, 0.0),
        "patches": (0.364, 0.145, 0.0),
        "gradients": (0.727, 0.178, 0.0),
        "packing": (0.0, 0.419, 0.105),
        "packing with a stride": (0.405, 0.391, 0.515),
        "packing a row": (5.32, 4.19, 7.6),
        "weights": (0.691, 0.145, 0.307),
        "groups": (0.0, 428.0, 164.0),
    },
    "weight_gradient_channels": {
        "multiply-adds": (0.0162, 0.00629, 0.013),
        "transposing": (0.625, 0.148, 0.125),
        "gradients from memory": (0.00074, 0.105, 0.0498),
        "weights": (0.188, 0.306, 0.355),
        "taps of rows": (1.49, 3.63, 5.33),
        "reading P": (0.265, 0.222, 0.0623),
    },
    "weight_gradient_depthwise": {
        "multiply-adds": (0.394, 0.0256, 0.0365),
        "gradients": (0.0, 0.137, 0.0396),
        "rows of taps": (0.146, 0.446, 0.576),
    },
    "weight_gradient_pixels": {
        "multiply-adds": (0.0854, 0.0282, 0.0211),
        "multiply-adds of many channels": (0.0, 0.886, 0.121),
        "reading x": (0.0, 0.00599, 0.0859),
        "gradients": (0.000734, 0.149, 0.0637),
        "gradients from memory": (0.205, 0.702, 0.183),
        "copying with a stride": (0.376, 0.218, 0.185),
        "copying with a long stride": (0.0, 0.483, 0.185),
        "weights of tiles": (4.62, 9.8, 6.28),
    },
    "direct_channels": {
        "multiply-adds": (0.0393, 0.0089, 0.0156),
        "steps": (0.835, 0.723, 0.36),
        "outputs": (0.842, 0.508, 0.312),
        "packing": (0.339, 0.184, 0.00112),
        "packing a row": (0.00817, 4.76, 6.56),
        "reading weights": (0.0, 0.000219, 0.000247),
        "weights from memory": (0.991, 0.296, 0.00129),
        "planes": (158.0, 225.0, 155.0),
        "positions": (10.5, 6.09, 3.52),
        "from memory": (0.0144, 0.00881, 0.185),
        "from main memory": (0.0, 0.0, 0.0202),
    },
    "direct_channels_layout": {
        "weights": (0.0719, 0.377, 0.515),
        "lanes": (0.385, 0.161, 0.154),
        "weights to memory": (0.674, 0.872, 1.36),
        "beginning": (645.0, 480.0, 438.0),
    },
    "direct_pixels": {
        "multiply-adds": (0.0424, 0.0118, 0.0106),
        "reading planes": (0.0532, 0.0242, 0.000102),
        "reading planes from memory": (0.000123, 0.0106, 0.0295),
        "steps": (0.0151, 0.0045, 2.78),
        "steps of long sums": (0.296, 0.387, 0.396),
        "reading weights": (0.788, 0.22, 0.00214),
        "outputs": (0.0882, 0.0388, 0.0097),
        "rows": (0.00939, 3.1, 0.541),
        "copying": (0.197, 0.154, 0.209),
        "copying with a stride": (0.431, 0.242, 0.00146),
        "copying with a long stride": (0.211, 0.463, 0.127),
        "copying a row": (12.0, 5.13, 6.95),
        "planes": (118.0, 48.6, 31.7),
        "terms of planes": (0.0117, 0.236, 0.0097),
        "from memory": (0.0172, 0.0636, 0.0993),
        "from main memory": (0.0, 0.247, 0.0259),
    },
    "direct_pixels_layout": {
        "weights": (0.415, 0.853, 0.793),
        "weights to memory": (0.845, 0.315, 1.1),
        "beginning": (924.0, 398.0, 376.0),
    },
    "depthwise": {
        "multiply-adds": (0.0425, 0.0307, 0.0246),
        "multiply-adds of other kernels": (0.0, 0.0, 0.0),
        "reading x": (0.0, 0.0, 0.0),
        "reading x for other kernels": (0.0, 0.0, 0.0),
        "reading rows": (0.0, 0.0, 0.0),
        "reading x with stride 2": (0.56, 0.267, 0.205),
        "reading x with stride 2 for other kernels": (0.0, 0.354, 0.627),
        "passes": (0.0, 0.821, 0.0795),
        "passes of rows": (0.0, 0.0859, 16.6),
        "passes for other kernels": (0.0, 2.23, 2.01),
        "passes for each row of the kernel": (5.42, 0.0314, 0.0),
        "copying": (0.928, 0.506, 0.795),
        "copying a row": (85.8, 425.0, 19.4),
        "planes": (0.0, 0.0, 0.0),
        "phases of planes": (88.9, 37.8, 95.1),
        "from memory": (0.387, 0.0, 0.0),
        "from main memory": (0.0, 0.26, 0.296),
        "rows from memory": (0.0, 9.84, 11.2),
    },
    "depthwise_layout": {
        "weights": (2.7, 2.97, 2.92),
        "beginning": (795.0, 530.0, 518.0),
    },
    "depthwise_channels": {
        "multiply-adds": (0.07, 0.04, 0.03),
        "outputs": (0.2, 0.1, 0.1),
        "reading x": (0.1, 0.05, 0.05),
    },
    "moving": {
        "elements": (0.19, 0.19, 0.19),
        "elements from memory": (0.4, 0.4, 0.4),
        "beginning": (1000.0, 1000.0, 1000.0),
    },
    "winograd": {
        "products": (0.0645, 0.0195, 0.0173),
        "transforming sums": (0.33, 0.503, 0.234),
        "transforming x": (0.186, 0.209, 0.289),
        "reading weights": (0.0803, 0.0204, 0.00554),
        "weights from memory": (0.0, 0.16, 0.164),
        "groups": (2850.0, 201.0, 1600.0),
    },
    "winograd_layout": {
        "weights": (0.52, 0.541, 0.55),
        "weights to memory": (1.94, 1.96, 1.94),
        "beginning": (6140.0, 1660.0, 2620.0),
    },
    "phases": {
        "products": (1.05, 0.931, 0.814),
        "rows": (17.0, 64.0, 0.18),
        "elements": (0.237, 0.281, 0.588),
        "read": (0.651, 0.191, 0.0),
        "shared": (1.09, 0.372, 0.23),
    },
    "phases_layout": {
        "layouts": (0.542, 1.61, 0.625),
        "weights": (1.24, 3.46, 7.22),
    },
    "panels": {
        "multiply-adds": (0.0399, 0.0149, 0.0104),
        "outputs": (0.662, 0.0, 0.0),
        "blocks": (0.652, 11.9, 83.9),
        "reading weights": (0.0, 0.00268, 0.229),
        "weights from memory": (1.05, 0.349, 0.187),
        "packing": (2.13, 0.173, 0.206),
        "packing in place": (0.0543, 0.119, 0.209),
        "packing with a stride": (3.33, 0.4, 0.335),
        "packing with a long stride": (4.51, 1.84, 1.33),
        "packing a row": (0.0, 0.00278, 0.558),
        "taps of tiles": (363.0, 47.5, 49.9),
        "taps of rows": (0.0, 6.96, 0.128),
        "from memory": (0.509, 0.107, 0.0677),
        "from main memory": (0.0, 0.373, 0.139),
    },
    "dense_channels": {
        "multiply-adds": (0.0585, 0.0101, 0.0173),
        "steps": (0.116, 0.599, 0.434),
        "outputs": (0.823, 0.451, 0.242),
        "packing": (0.405, 0.183, 0.153),
        "packing a row": (2.3, 0.0365, 0.433),
        "staging": (0.275, 0.557, 0.272),
        "staging a row": (0.362, 5.3, 4.96),
        "reading weights": (0.0, 0.0, 0.018),
        "weights from memory": (0.000595, 0.00437, 0.00773),
        "taps of rows": (2.94, 3.25, 1.15),
        "bands": (282.0, 215.0, 295.0),
        "from memory": (0.0201, 0.14, 0.202),
        "from main memory": (0.0, 0.0, 0.0),
    },
    "dense_channels_layout": {
        "weights": (0.106, 0.286, 0.0673),
        "lanes": (0.363, 0.18, 0.204),
        "weights to memory": (0.902, 0.948, 2.29),
        "beginning": (669.0, 473.0, 528.0),
    },
    "fft": {
        "transforms": (0.0364, 0.00566, 0.00576),
        "elements": (1.23, 0.525, 0.87),
        "elements outside the cache": (0.0843, 0.0716, 0.0),
        "products": (2.12, 1.34, 1.31),
        "weights from memory": (0.349, 0.106, 0.328),
        "outputs": (0.467, 0.189, 0.00399),
        "outputs with a stride": (2.71, 0.717, 1.88),
        "pairs": (51.3, 103.0, 11.3),
    },
    "fft_layout": {
        "transforms": (0.218, 0.0211, 0.0984),
        "elements": (1.33, 1.57, 0.573),
        "weights": (11.8, 6.01, 6.11),
        "weights to memory": (0.757, 0.183, 0.461),
        "roots": (2.28, 0.0, 0.0),
        "channels": (2910.0, 911.0, 1240.0),
        "beginning": (929.0, 1170.0, 734.0),
    },
}
