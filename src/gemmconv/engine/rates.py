"""Rates: the nanoseconds that one unit of each kind of work takes; costs.py says how much of it a kernel does.

The columns of the table are the instruction sets in `COLUMNS`, in float32 on one thread. Each was fitted to timings of
that instruction set and of the BLAS that machines without a better one have. These commands make a column again::

    python -m gemmconv.bench.studies.algorithms --random 600 --seed 1 --save drawn.json
    python -m gemmconv.bench.studies.algorithms --save suites.json
    python -m gemmconv.bench.studies.algorithms --op weight_gradient --random 200 --seed 1 --save weight_gradient.json
    python -m gemmconv.bench.studies.algorithms --op input_gradient --random 200 --seed 1 --save input_gradient.json
    python -m gemmconv.bench.studies.costs *.json --write

They ran on one Zen 4 core on 2026-11-27: for "avx2" with ``GEMMCONV_ISA=avx2 OPENBLAS_CORETYPE=Haswell``, and for
"baseline" with ``GEMMCONV_ISA=baseline OPENBLAS_CORETYPE=Nehalem``. Numbers here may be fitted again: they change which
algorithm ``"auto"`` takes, but never what an algorithm computes.
"""

from __future__ import annotations

#: The instruction sets of the columns.
COLUMNS = ("baseline", "avx2", "avx512")
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
RATES: dict[str, dict[str, tuple[float, float, float]]] = {
    "gemm_conv": {
        "multiply-adds": (0.0279, 0.00125, 0.0137),
        "multiply-adds of blocks": (0.0467, 0.0196, 0.00188),
        "reading P": (0.0, 0.369, 0.0153),
        "weights from memory": (0.541, 0.0506, 0.000779),
        "outputs": (0.569, 0.124, 0.0421),
        "rows": (68.9, 141.0, 297.0),
        "calls": (5.08, 11.7, 30.2),
        "packing": (0.263, 0.191, 0.139),
        "packing with a stride": (0.0264, 0.191, 0.24),
        "packing a row": (2.24, 2.74, 0.0139),
        "from memory": (1.4, 0.142, 0.0673),
    },
    "input_gradient": {
        "multiply-adds": (0.0373, 0.0234, 0.0131),
        "reading P": (1.77, 0.135, 0.0507),
        "reading weights": (1.23, 0.161, 0.44),
        "gradients": (0.43, 0.169, 0.0479),
        "positions": (0.0, 0.0, 0.286),
        "groups": (0.0, 755.0, 523.0),
        "adding": (0.0776, 1.09, 0.949),
        "adding with a stride": (0.0309, 0.0372, 0.242),
        "adding a row": (1.17, 1.21, 1.21),
        "adding to one channel": (0.0, 1.45, 0.129),
    },
    "turning": {
        "weights": (0.617, 0.27, 0.523),
        "beginning": (0.0, 290.0, 178.0),
    },
    "weight_gradient_gemm": {
        "multiply-adds": (0.0691, 0.0262, 0.0268),
        "positions": (1.21, 4.35, 0.177),
        "patches": (0.365, 0.282, 0.0),
        "gradients": (0.642, 0.13, 0.00111),
        "packing": (0.0, 0.12, 0.15),
        "packing with a stride": (0.394, 0.308, 0.286),
        "packing a row": (5.89, 3.58, 5.88),
        "weights": (0.513, 0.227, 0.22),
        "groups": (0.0, 394.0, 0.0),
    },
    "weight_gradient_channels": {
        "multiply-adds": (0.000636, 0.00749, 0.0142),
        "transposing": (0.259, 0.165, 0.13),
        "gradients from memory": (0.208, 0.0544, 0.003),
        "weights": (0.356, 0.3, 0.313),
        "taps of rows": (0.0192, 7.55, 3.09),
        "reading P": (0.397, 0.167, 0.0932),
    },
    "weight_gradient_pixels": {
        "multiply-adds": (0.0871, 0.0421, 0.0305),
        "multiply-adds of many channels": (0.0, 0.249, 0.465),
        "reading x": (0.0, 0.0773, 0.04),
        "gradients": (0.218, 0.0194, 0.0),
        "gradients from memory": (0.0101, 0.0916, 0.109),
        "copying with a stride": (0.208, 0.241, 0.132),
        "copying with a long stride": (0.0, 0.0126, 0.64),
        "weights of tiles": (8.17, 5.34, 4.66),
    },
    "direct_channels": {
        "multiply-adds": (0.0339, 0.0145, 0.014),
        "steps": (1.14, 0.543, 0.531),
        "outputs": (0.637, 0.317, 0.236),
        "packing": (0.135, 0.197, 0.13),
        "packing a row": (0.0303, 0.0621, 2.7),
        "reading weights": (0.356, 0.0301, 0.0422),
        "planes": (105.0, 240.0, 89.9),
        "positions": (11.9, 10.7, 16.5),
        "from memory": (0.27, 0.0895, 0.0893),
    },
    "direct_channels_layout": {
        "weights": (0.0788, 0.0253, 0.0595),
        "lanes": (0.412, 0.175, 0.155),
        "beginning": (561.0, 480.0, 418.0),
    },
    "direct_pixels": {
        "multiply-adds": (0.00748, 0.0131, 0.0132),
        "reading planes": (0.0666, 0.0202, 0.00887),
        "steps": (1.06, 0.0, 0.968),
        "steps of long sums": (0.313, 1.19, 1.4),
        "reading weights": (0.00711, 0.307, 0.0),
        "outputs": (0.0739, 0.0252, 0.026),
        "rows": (1.74, 0.831, 0.0),
        "copying": (0.24, 0.166, 0.204),
        "copying with a stride": (0.339, 0.188, 0.116),
        "copying with a long stride": (0.313, 0.165, 0.754),
        "copying a row": (14.0, 8.15, 7.0),
        "planes": (94.5, 127.0, 7.76),
        "terms of planes": (0.0547, 0.079, 1.62),
        "from memory": (0.019, 0.0651, 0.025),
    },
    "direct_pixels_layout": {
        "weights": (0.413, 0.595, 0.338),
        "beginning": (920.0, 509.0, 578.0),
    },
    "depthwise": {
        "multiply-adds": (0.0158, 0.0229, 0.0225),
        "reading x": (0.0, 0.0, 0.0349),
        "reading x with stride 2": (0.544, 0.602, 1.1),
        "passes": (0.0, 4.33, 5.18),
        "passes for each row of the kernel": (9.25, 1.14, 0.0),
        "copying": (1.07, 0.82, 0.768),
        "copying a row": (58.8, 45.0, 115.0),
        "planes": (69.0, 0.956, 0.0),
        "from memory": (0.352, 0.123, 0.00844),
        "rows from memory": (0.0, 13.1, 9.67),
    },
    "depthwise_layout": {
        "weights": (2.59, 2.63, 2.59),
        "beginning": (854.0, 576.0, 541.0),
    },
    "winograd": {
        "products": (0.0614, 0.015, 0.0191),
        "transforming sums": (0.341, 0.349, 0.247),
        "transforming x": (0.0, 0.274, 0.0),
        "reading weights": (0.0382, 0.0564, 0.028),
        "weights from memory": (0.0, 0.0909, 0.122),
        "groups": (2800.0, 112.0, 0.0),
    },
    "winograd_layout": {
        "weights": (0.486, 0.32, 0.3),
        "weights to memory": (1.99, 1.01, 0.664),
        "beginning": (5920.0, 1100.0, 2430.0),
    },
    "phases": {
        "products": (0.942, 0.82, 0.813),
        "rows": (16.5, 17.1, 16.6),
        "elements": (0.346, 0.167, 0.204),
        "read": (0.542, 0.477, 0.426),
        "shared": (0.95, 0.601, 0.645),
    },
    "phases_layout": {
        "layouts": (0.59, 1.15, 0.841),
        "weights": (1.21, 0.67, 0.991),
    },
    "panels": {
        "multiply-adds": (0.0, 0.00838, 0.0179),
        "outputs": (0.0, 0.0, 0.0),
        "blocks": (13.3, 15.0, 22.6),
        "reading weights": (0.358, 0.112, 0.0432),
        "packing": (0.233, 0.0757, 0.0886),
        "packing patches": (0.0, 0.103, 0.065),
        "packing with a stride": (4.05, 0.375, 0.266),
        "packing with a long stride": (2.26, 0.888, 0.8),
        "packing a row": (0.0, 0.00797, 0.351),
        "taps of tiles": (1290.0, 74.6, 28.8),
        "taps of rows": (619.0, 1.64, 3.34),
        "from memory": (0.0438, 0.0832, 0.0659),
    },
    "dense_channels": {
        "multiply-adds": (0.00824, 0.014, 0.0175),
        "steps": (2.29, 0.0941, 0.14),
        "outputs": (1.05, 0.505, 0.203),
        "packing": (0.543, 0.615, 0.325),
        "packing a row": (0.771, 1.52, 2.16),
        "reading weights": (0.202, 0.0223, 0.0468),
        "taps of rows": (4.49, 1.76, 2.18),
        "bands": (96.6, 265.0, 853.0),
        "from memory": (0.223, 0.124, 0.38),
    },
    "dense_channels_layout": {
        "weights": (0.11, 0.0329, 0.0341),
        "lanes": (0.36, 0.172, 0.162),
        "beginning": (666.0, 482.0, 489.0),
    },
}
