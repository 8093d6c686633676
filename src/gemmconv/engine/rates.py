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
        "multiply-adds": (0.0571, 0.0113, 0.0118),
        "multiply-adds of blocks": (0.000131, 0.00598, 0.00428),
        "reading P": (0.209, 0.465, 0.0392),
        "weights from memory": (0.633, 0.00146, 0.00538),
        "outputs": (0.783, 0.16, 0.0157),
        "rows": (121.0, 119.0, 247.0),
        "calls": (1.34, 0.0, 14.2),
        "packing": (0.451, 0.463, 0.127),
        "packing with a stride": (0.00125, 0.284, 0.679),
        "packing a row": (0.807, 3.09, 0.0123),
        "from memory": (0.000997, 0.18, 0.133),
    },
    "input_gradient": {
        "multiply-adds": (0.0666, 0.0211, 0.0154),
        "reading P": (0.126, 0.102, 0.00709),
        "reading weights": (1.07, 0.33, 0.0368),
        "gradients": (0.0162, 0.27, 0.0694),
        "positions": (20.1, 0.0, 0.36),
        "groups": (166.0, 616.0, 13.0),
        "adding": (0.883, 0.329, 0.284),
        "adding with a stride": (1.59, 0.33, 0.369),
        "adding a row": (0.0933, 2.45, 3.14),
        "adding to one channel": (0.0, 0.0561, 0.124),
    },
    "turning": {
        "weights": (0.417, 0.185, 0.233),
        "beginning": (13.9, 485.0, 592.0),
    },
    "weight_gradient_gemm": {
        "multiply-adds": (0.0534, 0.0258, 0.0259),
        "positions": (0.0861, 1.18, 0.113),
        "patches": (0.586, 0.413, 0.0),
        "gradients": (1.43, 0.219, 0.000319),
        "packing": (0.0791, 0.054, 0.0833),
        "packing with a stride": (0.00191, 0.301, 0.473),
        "packing a row": (0.46, 3.54, 4.81),
        "weights": (0.529, 0.186, 0.203),
        "groups": (692.0, 343.0, 0.0),
    },
    "weight_gradient_channels": {
        "multiply-adds": (0.0395, 0.0101, 0.0121),
        "transposing": (1.21, 0.137, 0.129),
        "gradients from memory": (0.0, 0.0583, 0.0),
        "weights": (0.903, 0.261, 0.269),
        "taps of rows": (0.0616, 7.89, 3.63),
        "reading P": (0.423, 0.125, 0.13),
    },
    "weight_gradient_pixels": {
        "multiply-adds": (0.0741, 0.0346, 0.0282),
        "multiply-adds of many channels": (1.68, 1.1, 2.4),
        "reading x": (0.11, 0.0574, 0.149),
        "gradients": (0.0, 0.122, 0.0),
        "gradients from memory": (0.118, 0.00224, 0.0166),
        "copying with a stride": (0.458, 0.219, 0.114),
        "copying with a long stride": (0.0278, 0.152, 0.283),
        "weights of tiles": (3.55, 5.4, 3.43),
    },
    "direct_channels": {
        "multiply-adds": (0.0859, 0.0178, 0.0146),
        "steps": (1.18, 0.095, 0.451),
        "outputs": (0.472, 0.287, 0.32),
        "packing": (0.176, 0.253, 0.147),
        "packing a row": (2.17, 4.18, 2.66),
        "reading weights": (0.0, 0.0728, 0.034),
        "planes": (1.98, 2.56, 10.7),
        "positions": (8.97, 12.2, 10.0),
        "from memory": (0.381, 0.148, 0.0901),
    },
    "direct_channels_layout": {
        "weights": (0.0101, 0.0292, 0.0309),
        "lanes": (0.235, 0.0942, 0.101),
        "beginning": (622.0, 394.0, 488.0),
    },
    "direct_pixels": {
        "multiply-adds": (0.0433, 0.0144, 0.0141),
        "reading planes": (0.0412, 0.0136, 0.00496),
        "steps": (0.0, 0.0, 0.94),
        "steps of long sums": (0.861, 1.05, 4.63),
        "reading weights": (0.268, 0.392, 0.0),
        "outputs": (0.162, 0.0589, 0.0241),
        "rows": (0.0, 0.0603, 2.93),
        "copying": (0.308, 0.182, 0.228),
        "copying with a stride": (0.198, 0.22, 0.0),
        "copying with a long stride": (0.132, 0.569, 0.463),
        "copying a row": (3.34, 4.46, 4.25),
        "planes": (125.0, 294.0, 84.2),
        "terms of planes": (0.0742, 1.71, 2.45),
        "from memory": (0.113, 0.108, 0.064),
    },
    "direct_pixels_layout": {
        "weights": (0.381, 0.592, 0.583),
        "beginning": (590.0, 480.0, 505.0),
    },
    "depthwise": {
        "multiply-adds": (0.0169, 0.0228, 0.0192),
        "reading x": (0.211, 0.00581, 0.0233),
        "reading x with stride 2": (0.598, 0.779, 1.03),
        "passes": (0.0254, 5.9, 3.62),
        "passes for each row of the kernel": (6.11, 0.93, 2.5),
        "copying": (0.865, 0.416, 0.873),
        "copying a row": (131.0, 177.0, 52.2),
        "planes": (34.7, 28.7, 15.3),
        "from memory": (0.00277, 0.124, 0.121),
        "rows from memory": (18.0, 14.4, 0.159),
    },
    "depthwise_layout": {
        "weights": (2.54, 1.79, 1.67),
        "beginning": (473.0, 510.0, 511.0),
    },
    "winograd": {
        "products": (0.056, 0.0141, 0.0164),
        "transforming sums": (0.59, 0.481, 0.287),
        "transforming x": (0.211, 0.106, 0.0),
        "reading weights": (0.109, 0.0885, 0.0458),
        "weights from memory": (0.0, 0.319, 0.0127),
        "groups": (700.0, 330.0, 593.0),
    },
    "winograd_layout": {
        "weights": (0.532, 0.323, 0.258),
        "weights to memory": (0.867, 1.04, 0.586),
        "beginning": (3220.0, 4390.0, 2560.0),
    },
    "phases": {
        "products": (1.27, 0.778, 1.06),
        "rows": (19.1, 39.2, 26.2),
        "elements": (0.471, 0.236, 0.156),
        "read": (0.0, 0.264, 0.00471),
        "shared": (0.304, 0.388, 0.272),
    },
    "phases_layout": {
        "layouts": (0.717, 0.863, 0.881),
        "weights": (1.28, 0.728, 0.805),
    },
    "panels": {
        "multiply-adds": (1.0, 1.0, 1.0),
        "outputs": (1.0, 1.0, 1.0),
        "blocks": (1.0, 1.0, 1.0),
        "reading weights": (1.0, 1.0, 1.0),
        "packing": (1.0, 1.0, 1.0),
        "packing patches": (1.0, 1.0, 1.0),
        "packing with a stride": (1.0, 1.0, 1.0),
        "packing with a long stride": (1.0, 1.0, 1.0),
        "packing a row": (1.0, 1.0, 1.0),
        "taps of tiles": (1.0, 1.0, 1.0),
        "taps of rows": (1.0, 1.0, 1.0),
        "from memory": (1.0, 1.0, 1.0),
    },
}
