"""The work of Fourier transforms, as costs.py has that of the other kernels."""

from __future__ import annotations

from math import log2

from .costs import CACHED_COPIES, CACHED_WEIGHTS, Terms
from .counts import Counts
from .fft_cut import fft_cut
from .scipy_fft_blocks import Blocks, Correlation, work_of, work_of_weights

# The elements of a pair of blocks that still stay in the second-level cache.
CACHED_BLOCK = 1 << 16


def fft(n: Counts) -> Terms:
    """Return the work of Fourier transforms of pairs of blocks, lane by lane."""
    cut, channels = fft_cut(n.geometry), n.in_channels + n.outputs
    pairs = n.groups * cut.pairs
    points = pairs * cut.elements
    layout = 4 * n.groups * n.in_channels * n.outputs * cut.elements
    return {
        "transforms": points * channels * log2(cut.elements / n.lanes),
        "elements": points * channels,
        "elements outside the cache": points * channels * (cut.elements > CACHED_BLOCK),
        "products": points * n.in_channels * n.outputs,
        "weights from memory": max(0, layout - CACHED_WEIGHTS) * cut.pairs,
        "outputs": n.results,
        "outputs with a stride": n.results * (n.stride > 1),
        "pairs": pairs * channels,
    }


def fft_layout(n: Counts) -> Terms:
    """Return the work to transform the weights once."""
    cut, kernels = fft_cut(n.geometry), n.groups * n.in_channels * n.outputs
    points = kernels * cut.elements
    return {
        "transforms": points * log2(cut.elements / n.lanes),
        "elements": points,
        "weights": n.weights,
        "weights to memory": max(0, 4 * points - CACHED_COPIES),
        "roots": n.geometry.out_channels * (cut.length[0] + cut.length[1] / n.lanes),
        "channels": n.geometry.out_channels,
        "beginning": 1,
    }


def scipy_fft(correlation: Correlation, blocks: Blocks) -> Terms:
    """Return the work of a convolution or an input gradient by scipy.fft, with transformed weights."""
    work = work_of(correlation, blocks)
    return {
        "transforms": work.transforms,
        "elements": work.elements,
        "elements of matrices": work.elements * correlation.has_matrices,
        "elements outside the cache": work.outside,
        "products": work.products * (not correlation.has_matrices),
        "products of matrices": work.products * correlation.has_matrices,
        "matrices": work.matrices,
        "tasks": work.tasks,
        "beginning": 1,
    }


def scipy_fft_layout(correlation: Correlation, blocks: Blocks) -> Terms:
    """Return the work to transform the weights once, by scipy.fft."""
    work = work_of_weights(correlation, blocks)
    return {"transforms": work.transforms, "elements": work.elements, "tasks": work.tasks, "beginning": 1}
