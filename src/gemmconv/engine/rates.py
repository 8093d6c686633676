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
    TIME --random 200 --seed 777 --save check.json
    python -m gemmconv.bench.studies.costs drawn.json suites.json *_gradient*.json --check check.json --write

They ran on one Zen 4 core on 2026-11-27: for "avx2" with ``GEMMCONV_ISA=avx2 OPENBLAS_CORETYPE=Haswell``, and for
"baseline" with ``GEMMCONV_ISA=baseline OPENBLAS_CORETYPE=Nehalem``. Numbers here may be fitted again: they change which
algorithm ``"auto"`` takes, but never what an algorithm computes.
"""

from __future__ import annotations

from .blas import SMALL_MATRIX_CORES

#: The instruction sets of the columns.
COLUMNS = ("baseline", "avx2", "avx512")
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
        "multiply-adds": (0.0681, 0.0176, 0.0124),
        "multiply-adds of blocks": (0.0035, 0.00421, 0.00295),
        "reading P": (0.0, 0.114, 0.00953),
        "weights from memory": (1.3, 0.368, 0.0126),
        "outputs": (0.611, 0.176, 0.0544),
        "rows": (46.0, 222.0, 380.0),
        "calls": (22.4, 0.0, 12.6),
        "packing": (0.201, 0.573, 0.148),
        "packing with a stride": (0.192, 0.187, 0.31),
        "packing a row": (6.0, 0.148, 0.00346),
        "packing a row inside": (0.0, 0.0, 0.325),
        "from memory": (1.17, 0.000791, 0.0681),
        "from memory in place": (0.0469, 0.232, 0.0),
        "from main memory": (0.0101, 0.106, 0.00111),
    },
    "input_gradient": {
        "multiply-adds": (0.0423, 0.0251, 0.0136),
        "reading P": (1.5, 0.101, 0.0328),
        "reading weights": (0.948, 0.0658, 0.388),
        "gradients": (0.454, 0.23, 0.0634),
        "positions": (0.0, 0.0, 0.163),
        "groups": (0.0, 1070.0, 967.0),
        "adding": (0.119, 1.31, 0.74),
        "adding with a stride": (0.285, 0.0117, 0.429),
        "adding a row": (0.0505, 1.04, 0.0568),
        "adding to one channel": (0.0, 1.13, 0.153),
    },
    "turning": {
        "weights": (0.62, 0.281, 0.518),
        "beginning": (0.0, 277.0, 149.0),
    },
    "weight_gradient_gemm": {
        "multiply-adds": (0.069, 0.0264, 0.0267),
        "positions": (1.06, 4.94, 0.19),
        "patches": (0.364, 0.257, 0.0),
        "gradients": (0.727, 0.125, 0.000829),
        "packing": (0.0, 0.112, 0.157),
        "packing with a stride": (0.405, 0.311, 0.278),
        "packing a row": (5.32, 3.5, 5.77),
        "weights": (0.691, 0.258, 0.258),
        "groups": (0.0, 383.0, 0.0),
    },
    "weight_gradient_channels": {
        "multiply-adds": (0.0162, 0.00726, 0.0141),
        "transposing": (0.625, 0.164, 0.129),
        "gradients from memory": (0.00074, 0.0518, 0.0025),
        "weights": (0.188, 0.317, 0.322),
        "taps of rows": (1.49, 7.6, 3.08),
        "reading P": (0.265, 0.17, 0.097),
    },
    "weight_gradient_pixels": {
        "multiply-adds": (0.0854, 0.0423, 0.0304),
        "multiply-adds of many channels": (0.0, 0.279, 0.482),
        "reading x": (0.0, 0.0775, 0.0469),
        "gradients": (0.000734, 0.0174, 0.0),
        "gradients from memory": (0.205, 0.0906, 0.115),
        "copying with a stride": (0.376, 0.237, 0.126),
        "copying with a long stride": (0.0, 0.0142, 0.646),
        "weights of tiles": (4.62, 5.34, 4.83),
    },
    "direct_channels": {
        "multiply-adds": (0.0393, 0.0143, 0.014),
        "steps": (0.835, 0.445, 0.478),
        "outputs": (0.842, 0.42, 0.295),
        "packing": (0.339, 0.137, 0.158),
        "packing a row": (0.00817, 1.04, 2.4),
        "reading weights": (0.0, 0.0805, 0.000311),
        "weights from memory": (0.991, 0.00677, 0.0363),
        "planes": (158.0, 228.0, 180.0),
        "positions": (10.5, 11.1, 9.16),
        "from memory": (0.0144, 0.0528, 0.0524),
        "from main memory": (0.0, 0.0, 0.0351),
    },
    "direct_channels_layout": {
        "weights": (0.0719, 0.0266, 0.0282),
        "lanes": (0.385, 0.177, 0.167),
        "weights to memory": (0.674, 0.207, 1.31),
        "beginning": (645.0, 488.0, 459.0),
    },
    "direct_pixels": {
        "multiply-adds": (0.0424, 0.012, 0.0121),
        "reading planes": (0.0532, 0.0219, 0.00862),
        "reading planes from memory": (0.000123, 0.0128, 0.00019),
        "steps": (0.0151, 0.0, 1.32),
        "steps of long sums": (0.296, 0.533, 1.93),
        "reading weights": (0.788, 0.0594, 0.0),
        "outputs": (0.0882, 0.0319, 0.0107),
        "rows": (0.00939, 1.85, 1.05),
        "copying": (0.197, 0.14, 0.223),
        "copying with a stride": (0.431, 0.194, 0.0462),
        "copying with a long stride": (0.211, 0.143, 0.364),
        "copying a row": (12.0, 6.55, 4.99),
        "planes": (118.0, 255.0, 184.0),
        "terms of planes": (0.0117, 0.00615, 0.0236),
        "from memory": (0.0172, 0.0924, 0.000357),
        "from main memory": (0.0, 0.00858, 0.0905),
    },
    "direct_pixels_layout": {
        "weights": (0.415, 0.56, 0.363),
        "weights to memory": (0.845, 0.0, 0.176),
        "beginning": (924.0, 531.0, 612.0),
    },
    "depthwise": {
        "multiply-adds": (0.0425, 0.0258, 0.0225),
        "multiply-adds of other kernels": (0.0, 0.000252, 0.00284),
        "reading x": (0.0, 0.0, 0.0),
        "reading x for other kernels": (0.0, 0.0, 0.00361),
        "reading rows": (0.0, 0.074, 0.118),
        "reading x with stride 2": (0.56, 0.0744, 0.442),
        "reading x with stride 2 for other kernels": (0.0, 0.73, 0.84),
        "passes": (0.0, 0.0, 0.0),
        "passes of rows": (0.0, 4.0, 8.71),
        "passes for other kernels": (0.0, 0.0435, 0.0644),
        "passes for each row of the kernel": (5.42, 0.888, 0.0289),
        "copying": (0.928, 0.494, 0.607),
        "copying a row": (85.8, 73.8, 55.1),
        "planes": (0.0, 0.0, 0.0),
        "phases of planes": (88.9, 33.0, 29.5),
        "from memory": (0.387, 0.0821, 0.0234),
        "from main memory": (0.0, 0.183, 0.177),
        "rows from memory": (0.0, 15.5, 6.13),
    },
    "depthwise_layout": {
        "weights": (2.7, 2.44, 2.42),
        "beginning": (795.0, 576.0, 572.0),
    },
    "winograd": {
        "products": (0.0645, 0.0133, 0.0148),
        "transforming sums": (0.33, 0.505, 0.209),
        "transforming x": (0.186, 0.199, 0.275),
        "reading weights": (0.0803, 0.0383, 0.038),
        "weights from memory": (0.0, 0.0884, 0.0956),
        "groups": (2850.0, 959.0, 826.0),
    },
    "winograd_layout": {
        "weights": (0.52, 0.316, 0.279),
        "weights to memory": (1.94, 0.747, 0.576),
        "beginning": (6140.0, 1320.0, 2220.0),
    },
    "phases": {
        "products": (1.05, 0.817, 0.837),
        "rows": (17.0, 15.1, 10.9),
        "elements": (0.237, 0.119, 0.197),
        "read": (0.651, 0.597, 0.386),
        "shared": (1.09, 0.639, 0.595),
    },
    "phases_layout": {
        "layouts": (0.542, 1.25, 0.775),
        "weights": (1.24, 0.677, 0.98),
    },
    "panels": {
        "multiply-adds": (0.0399, 0.0086, 0.0179),
        "outputs": (0.662, 0.0, 0.0),
        "blocks": (0.652, 12.7, 26.5),
        "reading weights": (0.0, 0.106, 0.032),
        "weights from memory": (1.05, 0.054, 0.0914),
        "packing": (2.13, 0.18, 0.141),
        "packing in place": (0.0543, 0.0732, 0.1),
        "packing with a stride": (3.33, 0.228, 0.164),
        "packing with a long stride": (4.51, 1.42, 0.942),
        "packing a row": (0.0, 0.00325, 0.213),
        "taps of tiles": (363.0, 63.2, 20.2),
        "taps of rows": (0.0, 3.73, 8.55),
        "from memory": (0.509, 0.21, 0.0424),
        "from main memory": (0.0, 0.012, 0.232),
    },
    "dense_channels": {
        "multiply-adds": (0.0585, 0.00797, 0.0177),
        "steps": (0.116, 0.616, 0.11),
        "outputs": (0.823, 0.554, 0.259),
        "packing": (0.405, 0.43, 0.131),
        "packing a row": (2.3, 0.0174, 1.03),
        "staging": (0.275, 0.155, 0.332),
        "staging a row": (0.362, 7.79, 1.95),
        "reading weights": (0.0, 0.00275, 0.03),
        "weights from memory": (0.000595, 0.00482, 0.00692),
        "taps of rows": (2.94, 0.677, 3.12),
        "bands": (282.0, 203.0, 463.0),
        "from memory": (0.0201, 0.0778, 0.126),
        "from main memory": (0.0, 0.0, 0.00875),
    },
    "dense_channels_layout": {
        "weights": (0.106, 0.0368, 0.0245),
        "lanes": (0.363, 0.17, 0.165),
        "weights to memory": (0.902, 0.235, 1.0),
        "beginning": (669.0, 510.0, 491.0),
    },
}
