"""Kernels: the table of the C kernels of every operation.

Each C kernel decides itself, in C, which geometries it fits (``csrc/kernels.h``). This table adds what only Python
needs: the name of its algorithm, the reason to take it, its work (costs.py) and its tiling (tiling.py). A new
C kernel needs one entry here. The input gradient by phases is not a single C kernel; see phases.py.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

from .._gemmconv import fitting_kernels
from ..checks.geometry import Geometry
from . import costs, fft_costs
from .counts import Counts
from .fft_cut import choose_fft_tiling
from .tiling import (
    Tiling,
    choose_dense_tiling,
    choose_direct_tiling,
    choose_input_gradient_tiling,
    choose_panels_tiling,
    choose_tiling,
    choose_weight_gradient_tiling,
    choose_winograd_tiling,
)


class Kernel(NamedTuple):
    """One C kernel, and what is needed to choose it and to cut its work."""

    algorithm: str
    """The name for users, which several C kernels may share."""
    name: str
    """The name in C."""
    why: str
    """The reason to take it, as `Plan.describe` shows it."""
    terms: Callable[[Counts], costs.Terms]
    """Its work for one image on one thread, with weights that are laid out already."""
    tiling: Callable[[Geometry, int, int], Tiling]
    """(geometry, itemsize, threads) -> how its work is cut."""
    layout_terms: Callable[[Counts], costs.Terms] | None = None
    """The work to lay out the weights, or None if it takes them as they are."""

    def work(self, counts: Counts) -> costs.Work:
        """Return its work, with its name in the table of rates."""
        return ((self.name, self.terms(counts)),)

    def layout_work(self, counts: Counts) -> costs.Work:
        """Return the work to lay out the weights. A plan does so once, a function in every call."""
        name = "depthwise" if self.name == "depthwise_channels" else self.name
        return ((f"{name}_layout", self.layout_terms(counts)),) if self.layout_terms else ()


CONVOLUTION: tuple[Kernel, ...] = (
    Kernel(
        "gemm",
        "gemm_conv",
        "the product of the kernel matrix and patches, tile by tile",
        costs.gemm_conv,
        choose_tiling,
    ),
    Kernel(
        "gemm",
        "panels",
        "the product of the kernel matrix and patches, in registers",
        costs.panels,
        choose_panels_tiling,
    ),
    Kernel(
        "direct",
        "direct_channels",
        "the sums of many output channels at a time, in registers",
        costs.direct_channels,
        choose_direct_tiling,
        costs.direct_channels_layout,
    ),
    Kernel(
        "direct",
        "dense_channels",
        "the sums of many output channels at a time, in registers, of patches that are packed densely",
        costs.dense_channels,
        choose_dense_tiling,
        costs.direct_channels_layout,
    ),
    Kernel(
        "direct",
        "direct_pixels",
        "the sums of many output positions at a time, in registers",
        costs.direct_pixels,
        choose_direct_tiling,
        costs.direct_pixels_layout,
    ),
    Kernel(
        "direct",
        "depthwise",
        "one input channel per group: each row of the input is read once for all rows of the output that need it",
        costs.depthwise,
        choose_direct_tiling,
        costs.depthwise_layout,
    ),
    Kernel(
        "winograd",
        "winograd",
        "a quarter of the multiplications of a 3x3 kernel, by Winograd's algorithm",
        costs.winograd,
        choose_winograd_tiling,
        costs.winograd_layout,
    ),
    Kernel(
        "winograd2",
        "winograd",
        "less than half of the multiplications of a 3x3 kernel, by Winograd's algorithm with small tiles",
        partial(costs.winograd, sides=(2,)),
        partial(choose_winograd_tiling, sides=(2,)),
        partial(costs.winograd_layout, sides=(2,)),
    ),
)

# The kernels that take arrays with channels last as they are. Of a kernel that has an entry here, the one above is not
# used for such arrays.
CHANNELS_LAST: tuple[Kernel, ...] = (
    *[
        kernel._replace(terms=costs.direct_channels_last) if kernel.name == "direct_channels" else kernel
        for kernel in CONVOLUTION
        if kernel.name in ("direct_channels", "winograd")
    ],
    Kernel(
        "direct",
        "depthwise_channels",
        "one channel per group: the sums of many channels at a time, in registers",
        costs.depthwise_channels,
        choose_direct_tiling,
        costs.depthwise_layout,
    ),
)

# Its error is not that of the others: algorithms.py says where "auto" may take it.
FFT = Kernel(
    "fft",
    "fft",
    "products of fast Fourier transforms of pairs of blocks",
    fft_costs.fft,
    choose_fft_tiling,
    fft_costs.fft_layout,
)

INPUT_GRADIENT = Kernel(
    "gemm",
    "input_gradient",
    "the product of the transposed kernel matrix and the gradient of the output, added up tile by tile",
    costs.input_gradient,
    choose_input_gradient_tiling,
)

WEIGHT_GRADIENT: tuple[Kernel, ...] = (
    Kernel(
        "gemm",
        "weight_gradient_gemm",
        "the product of the gradient of the output and patches, tile by tile",
        costs.weight_gradient_gemm,
        choose_weight_gradient_tiling,
    ),
    Kernel(
        "direct",
        "weight_gradient_channels",
        "the sums of many output channels at a time, in registers",
        costs.weight_gradient_channels,
        choose_direct_tiling,
    ),
    Kernel(
        "direct",
        "weight_gradient_pixels",
        "sums over many output positions at a time, in registers",
        costs.weight_gradient_pixels,
        choose_direct_tiling,
    ),
)

# Those that take arrays with channels last as they are.
WEIGHT_GRADIENT_CHANNELS_LAST: tuple[Kernel, ...] = (
    *[kernel for kernel in WEIGHT_GRADIENT if kernel.name == "weight_gradient_channels"],
    Kernel(
        "direct",
        "weight_gradient_depthwise",
        "one channel per group: the sums of many channels at a time, in registers",
        costs.weight_gradient_depthwise,
        choose_direct_tiling,
    ),
)


def that_fit(kernels: tuple[Kernel, ...], geometry: Geometry, channels_last: bool = False) -> list[Kernel]:
    """Return those of the given kernels that can compute a geometry."""
    fitting = fitting_kernels(geometry, channels_last)
    return [kernel for kernel in kernels if kernel.name in fitting]
