"""Rates: the nanoseconds that one unit of each kind of work takes; costs.py says how much of it a kernel does.

The columns of the table are the instruction sets in `COLUMNS`, in float32 on one thread. Each was fitted to timings of
that instruction set beside a BLAS for one of its `BLAS_CORES`. These commands make a column again, with ``TIME`` for
``python -m gemmconv.bench.studies.algorithms``::

    TIME --random 1200 --seed 1 --rounds 3 --save drawn.json
    TIME --rounds 4 --save suites.json
    TIME --op input_gradient --random 120 --seed 1 --rounds 3 --save input_gradient.json
    TIME --op weight_gradient --random 120 --seed 1 --rounds 3 --save weight_gradient.json
    TIME --op input_gradient --suite resnet50 --suite mobilenet --rounds 3 --save input_gradient_suites.json
    TIME --op weight_gradient --suite resnet50 --suite mobilenet --rounds 3 --save weight_gradient_suites.json
    TIME --random 200 --seed 2027 --save check.json
    python -m gemmconv.bench.studies.costs drawn.json suites.json *_gradient*.json --check check.json --write

They ran on one Zen 4 core on 2026-11-27; for "avx2" with ``GEMMCONV_ISA=avx2 OPENBLAS_CORETYPE=Haswell``. The column
"baseline" was fitted on the same day, with ``GEMMCONV_ISA=baseline OPENBLAS_CORETYPE=Nehalem``, to 162 shapes and to
kernels that were compiled with -O2. Numbers here may be fitted again: they change which
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
        "multiply-adds": (0.0681, 0.022, 0.0117),
        "multiply-adds of blocks": (0.0035, 0.000698, 0.00399),
        "reading P": (0.0, 0.258, 0.0177),
        "weights from memory": (1.3, 0.427, 0.0446),
        "outputs": (0.611, 0.134, 0.0348),
        "rows": (46.0, 47.2, 220.0),
        "calls": (22.4, 86.4, 29.9),
        "packing": (0.201, 0.31, 0.155),
        "packing with a stride": (0.192, 0.497, 0.333),
        "packing a row": (6.0, 4.58, 0.00218),
        "packing a row inside": (0.0, 0.0, 0.27),
        "from memory": (1.17, 0.049, 0.115),
        "from memory in place": (0.0469, 0.012, 0.0),
        "from main memory": (0.0101, 0.287, 0.00475),
    },
    "input_gradient": {
        "multiply-adds": (0.0423, 0.0223, 0.0128),
        "reading P": (1.5, 0.0217, 0.0477),
        "reading weights": (0.948, 0.696, 0.436),
        "gradients": (0.454, 0.167, 0.0778),
        "positions": (0.0, 10.5, 0.0),
        "groups": (0.0, 223.0, 1040.0),
        "adding": (0.119, 0.283, 0.69),
        "adding with a stride": (0.285, 0.0323, 0.359),
        "adding a row": (0.0505, 10.7, 0.0337),
        "adding to one channel": (0.0, 0.00145, 0.14),
    },
    "scipy_fft": {
        "transforms": (1.0, 0.505, 2.21),
        "elements": (0.5, 1.59, 0.403),
        "elements of matrices": (1.5, 0.0, 0.629),
        "elements outside the cache": (0.6, 0.00504, 0.834),
        "products": (0.8, 1.47, 0.8),
        "products of matrices": (0.8, 0.24, 0.133),
        "matrices": (96.0, 75.3, 46.6),
        "tasks": (30000.0, 555.0, 12800.0),
        "beginning": (10000.0, 32600.0, 12800.0),
    },
    "scipy_fft_layout": {
        "transforms": (1.0, 0.0389, 1.36),
        "elements": (1.0, 2.1, 0.177),
        "tasks": (15000.0, 0.0, 17000.0),
        "beginning": (15000.0, 112000.0, 0.0),
    },
    "turning": {
        "weights": (0.62, 0.465, 0.331),
        "beginning": (0.0, 151.0, 168.0),
    },
    "weight_gradient_gemm": {
        "multiply-adds": (0.069, 0.033, 0.0257),
        "positions": (1.06, 0.333, 0.0288),
        "patches": (0.364, 0.145, 0.0),
        "gradients": (0.727, 0.178, 0.000366),
        "packing": (0.0, 0.419, 0.128),
        "packing with a stride": (0.405, 0.391, 0.288),
        "packing a row": (5.32, 4.19, 6.0),
        "weights": (0.691, 0.145, 0.266),
        "groups": (0.0, 428.0, 57.6),
    },
    "weight_gradient_channels": {
        "multiply-adds": (0.0162, 0.00629, 0.0139),
        "transposing": (0.625, 0.148, 0.116),
        "gradients from memory": (0.00074, 0.105, 0.0013),
        "weights": (0.188, 0.306, 0.322),
        "taps of rows": (1.49, 3.63, 3.21),
        "reading P": (0.265, 0.222, 0.0823),
    },
    "weight_gradient_pixels": {
        "multiply-adds": (0.0854, 0.0282, 0.0291),
        "multiply-adds of many channels": (0.0, 0.886, 0.492),
        "reading x": (0.0, 0.00599, 0.0347),
        "gradients": (0.000734, 0.149, 0.0),
        "gradients from memory": (0.205, 0.702, 0.0221),
        "copying with a stride": (0.376, 0.218, 0.131),
        "copying with a long stride": (0.0, 0.483, 0.657),
        "weights of tiles": (4.62, 9.8, 4.26),
    },
    "direct_channels": {
        "multiply-adds": (0.0393, 0.0089, 0.0146),
        "steps": (0.835, 0.723, 0.452),
        "outputs": (0.842, 0.508, 0.288),
        "packing": (0.339, 0.184, 0.0817),
        "packing a row": (0.00817, 4.76, 3.66),
        "reading weights": (0.0, 0.000219, 0.0184),
        "weights from memory": (0.991, 0.296, 0.0545),
        "planes": (158.0, 225.0, 151.0),
        "positions": (10.5, 6.09, 6.32),
        "from memory": (0.0144, 0.00881, 0.108),
        "from main memory": (0.0, 0.0, 0.00277),
    },
    "direct_channels_layout": {
        "weights": (0.0719, 0.377, 0.0198),
        "lanes": (0.385, 0.161, 0.171),
        "weights to memory": (0.674, 0.872, 1.52),
        "beginning": (645.0, 480.0, 459.0),
    },
    "direct_pixels": {
        "multiply-adds": (0.0424, 0.0118, 0.0131),
        "reading planes": (0.0532, 0.0242, 0.00211),
        "reading planes from memory": (0.000123, 0.0106, 6.92e-05),
        "steps": (0.0151, 0.0045, 1.3),
        "steps of long sums": (0.296, 0.387, 4.75),
        "reading weights": (0.788, 0.22, 0.0),
        "outputs": (0.0882, 0.0388, 0.0105),
        "rows": (0.00939, 3.1, 1.06),
        "copying": (0.197, 0.154, 0.242),
        "copying with a stride": (0.431, 0.242, 0.0234),
        "copying with a long stride": (0.211, 0.463, 0.259),
        "copying a row": (12.0, 5.13, 4.27),
        "planes": (118.0, 48.6, 120.0),
        "terms of planes": (0.0117, 0.236, 0.00828),
        "from memory": (0.0172, 0.0636, 0.0482),
        "from main memory": (0.0, 0.247, 0.0321),
    },
    "direct_pixels_layout": {
        "weights": (0.415, 0.853, 0.334),
        "weights to memory": (0.845, 0.315, 0.323),
        "beginning": (924.0, 398.0, 350.0),
    },
    "depthwise": {
        "multiply-adds": (0.0425, 0.0307, 0.014),
        "multiply-adds of other kernels": (0.0, 0.0, 0.00546),
        "reading x": (0.0, 0.0, 0.0),
        "reading x for other kernels": (0.0, 0.0, 0.0119),
        "reading rows": (0.0, 0.0, 0.12),
        "reading x with stride 2": (0.56, 0.267, 0.472),
        "reading x with stride 2 for other kernels": (0.0, 0.354, 0.47),
        "passes": (0.0, 0.821, 0.0),
        "passes of rows": (0.0, 0.0859, 11.2),
        "passes for other kernels": (0.0, 2.23, 0.0532),
        "passes for each row of the kernel": (5.42, 0.0314, 2.63),
        "copying": (0.928, 0.506, 0.743),
        "copying a row": (85.8, 425.0, 55.5),
        "planes": (0.0, 0.0, 0.0),
        "phases of planes": (88.9, 37.8, 28.2),
        "from memory": (0.387, 0.0, 0.0015),
        "from main memory": (0.0, 0.26, 0.207),
        "rows from memory": (0.0, 9.84, 5.96),
    },
    "depthwise_layout": {
        "weights": (2.7, 2.97, 2.48),
        "beginning": (795.0, 530.0, 542.0),
    },
    "winograd": {
        "products": (0.0645, 0.0195, 0.0125),
        "transforming sums": (0.33, 0.503, 0.213),
        "transforming x": (0.186, 0.209, 0.341),
        "reading weights": (0.0803, 0.0204, 0.0307),
        "weights from memory": (0.0, 0.16, 0.0984),
        "groups": (2850.0, 201.0, 3890.0),
    },
    "winograd_layout": {
        "weights": (0.52, 0.541, 0.344),
        "weights to memory": (1.94, 1.96, 0.895),
        "beginning": (6140.0, 1660.0, 2950.0),
    },
    "phases": {
        "products": (1.05, 0.931, 0.937),
        "rows": (17.0, 64.0, 8.07),
        "elements": (0.237, 0.281, 0.196),
        "read": (0.651, 0.191, 0.00401),
        "shared": (1.09, 0.372, 0.175),
    },
    "phases_layout": {
        "layouts": (0.542, 1.61, 1.25),
        "weights": (1.24, 3.46, 0.789),
    },
    "panels": {
        "multiply-adds": (0.0399, 0.0149, 0.0176),
        "outputs": (0.662, 0.0, 0.000176),
        "blocks": (0.652, 11.9, 42.2),
        "reading weights": (0.0, 0.00268, 0.0309),
        "weights from memory": (1.05, 0.349, 0.11),
        "packing": (2.13, 0.173, 0.112),
        "packing in place": (0.0543, 0.119, 0.108),
        "packing with a stride": (3.33, 0.4, 0.131),
        "packing with a long stride": (4.51, 1.84, 1.08),
        "packing a row": (0.0, 0.00278, 0.792),
        "taps of tiles": (363.0, 47.5, 42.9),
        "taps of rows": (0.0, 6.96, 4.03),
        "from memory": (0.509, 0.107, 0.00146),
        "from main memory": (0.0, 0.373, 0.336),
    },
    "dense_channels": {
        "multiply-adds": (0.0585, 0.0101, 0.0185),
        "steps": (0.116, 0.599, 0.0115),
        "outputs": (0.823, 0.451, 0.26),
        "packing": (0.405, 0.183, 0.154),
        "packing a row": (2.3, 0.0365, 1.44),
        "staging": (0.275, 0.557, 0.338),
        "staging a row": (0.362, 5.3, 0.595),
        "reading weights": (0.0, 0.0, 0.000143),
        "weights from memory": (0.000595, 0.00437, 0.000744),
        "taps of rows": (2.94, 3.25, 0.626),
        "bands": (282.0, 215.0, 338.0),
        "from memory": (0.0201, 0.14, 0.241),
        "from main memory": (0.0, 0.0, 0.0),
    },
    "dense_channels_layout": {
        "weights": (0.106, 0.286, 0.0157),
        "lanes": (0.363, 0.18, 0.167),
        "weights to memory": (0.902, 0.948, 1.11),
        "beginning": (669.0, 473.0, 513.0),
    },
    "fft": {
        "transforms": (0.0364, 0.00566, 0.0298),
        "elements": (1.23, 0.525, 0.491),
        "elements outside the cache": (0.0843, 0.0716, 0.0771),
        "products": (2.12, 1.34, 2.09),
        "weights from memory": (0.349, 0.106, 0.119),
        "outputs": (0.467, 0.189, 0.143),
        "outputs with a stride": (2.71, 0.717, 1.49),
        "pairs": (51.3, 103.0, 25.9),
    },
    "fft_layout": {
        "transforms": (0.218, 0.0211, 0.088),
        "elements": (1.33, 1.57, 0.635),
        "weights": (11.8, 6.01, 6.03),
        "weights to memory": (0.757, 0.183, 0.245),
        "roots": (2.28, 0.0, 0.978),
        "channels": (2910.0, 911.0, 1460.0),
        "beginning": (929.0, 1170.0, 419.0),
    },
}
