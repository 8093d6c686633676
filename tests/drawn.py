"""What hypothesis draws: geometries of every kind. A strategy has no side effects; a test selects what was drawn.

@given(convolutions())
def test_law(drawn):
    x_shape, weight_shape, options, isa = drawn
    select_isa(isa)  # conftest.py restores the instruction set after the test
"""

from __future__ import annotations

from typing import Any, NamedTuple

from hypothesis import assume, settings
from hypothesis import strategies as st
from instruction_sets import ISAS

# For tests that take long for each example, and for those that take longer still.
FEWER = settings(max_examples=settings.default.max_examples // 2)
FEW = settings(max_examples=min(settings.default.max_examples // 4, 60))

DTYPES = st.sampled_from(["float32", "float64"])
PADDING_MODES = st.sampled_from(["reflect", "edge", "wrap", "symmetric"])
INSTRUCTION_SETS = st.sampled_from(ISAS)


class Drawn(NamedTuple):
    """The shapes of x and weight, the options of the operation, and the instruction set to compute it with."""

    x: tuple[int, ...]
    weight: tuple[int, ...]
    options: dict[str, Any]
    isa: str


@st.composite
def convolutions(draw: st.DrawFn, max_rank: int = 3) -> Drawn:
    """Draw a convolution with padding of zeros; the last axis may be long enough for several tiles."""
    isa = draw(INSTRUCTION_SETS)
    rank = draw(st.integers(1, max_rank))
    groups = draw(st.sampled_from([1, 1, 1, 2, 3]))
    channels = groups * draw(st.sampled_from([1, 1, 2, 3, 5, 16, 33]))
    out_channels = groups * draw(st.sampled_from([1, 2, 3, 7, 16, 33]))
    kernel, size, stride, dilation, padding = [], [], [], [], []
    for axis in range(rank):
        longest = 150 if axis == rank - 1 and rank < 3 else 20 // rank
        kernel.append(draw(st.integers(1, 5 if rank < 3 else 3)))
        stride.append(draw(st.integers(1, 4)))
        dilation.append(draw(st.integers(1, 4)))
        size.append(draw(st.integers(1, longest)))
        padding.append((draw(st.integers(-2, 6)), draw(st.integers(-2, 6))))
    extents = [(k - 1) * d + 1 for k, d in zip(kernel, dilation)]
    assume(all(n + sum(pads) >= extent for n, pads, extent in zip(size, padding, extents)))
    options = {"stride": tuple(stride), "dilation": tuple(dilation), "padding": tuple(padding), "groups": groups}
    x_shape = (draw(st.integers(0, 3)), channels, *size)
    return Drawn(x_shape, (out_channels, channels // groups, *kernel), options, isa)


@st.composite
def foldable_convolutions(draw: st.DrawFn) -> Drawn:
    """Draw a convolution with axes that the kernel and the padding do not see, some of them of size 1."""
    isa = draw(INSTRUCTION_SETS)
    rank = draw(st.integers(1, 3))
    groups = draw(st.sampled_from([1, 1, 2, 3]))
    channels = groups * draw(st.sampled_from([1, 2, 5, 17]))
    out_channels = groups * draw(st.sampled_from([1, 3, 16, 18]))
    kernel, size, stride, dilation, padding = [], [], [], [], []
    for _ in range(rank):
        kind = draw(st.sampled_from(["unseen", "unseen", "single", "seen"]))
        seen = kind == "seen"
        kernel.append(draw(st.integers(1, 3)) if seen else 1)
        stride.append(draw(st.integers(1, 3)) if seen else 1)
        dilation.append(draw(st.integers(1, 3)))
        padding.append((draw(st.integers(-1, 3)), draw(st.integers(-1, 3))) if seen else (0, 0))
        size.append(1 if kind == "single" else draw(st.integers(1, 24 // rank)))
    extents = [(k - 1) * d + 1 for k, d in zip(kernel, dilation)]
    assume(all(n + sum(pads) >= extent for n, pads, extent in zip(size, padding, extents)))
    options = {"stride": tuple(stride), "dilation": tuple(dilation), "padding": tuple(padding), "groups": groups}
    x_shape = (draw(st.integers(0, 3)), channels, *size)
    return Drawn(x_shape, (out_channels, channels // groups, *kernel), options, isa)


@st.composite
def transposed_convolutions(draw: st.DrawFn) -> Drawn:
    """Draw a transposed convolution: its weight is (C, O/groups, *kernel)."""
    isa = draw(INSTRUCTION_SETS)
    rank = draw(st.integers(1, 3))
    groups = draw(st.sampled_from([1, 1, 2, 3]))
    channels, out_channels = (groups * draw(st.sampled_from([1, 2, 5, 17])) for _ in range(2))
    size, kernel, stride, dilation, padding, more = [], [], [], [], [], []
    for _ in range(rank):
        size.append(draw(st.integers(1, 40 // rank**2)))
        kernel.append(draw(st.integers(1, 5)))
        stride.append(draw(st.integers(1, 5)))
        dilation.append(draw(st.integers(1, 4)))
        padding.append((draw(st.integers(-2, 6)), draw(st.integers(-2, 6))))
        more.append(draw(st.integers(0, max(stride[-1], dilation[-1]) - 1)))
    least = [(n - 1) * s + (k - 1) * d + 1 - sum(p) for n, s, k, d, p in zip(size, stride, kernel, dilation, padding)]
    assume(all(n + m >= 1 for n, m in zip(least, more)))
    options = {"stride": tuple(stride), "dilation": tuple(dilation), "padding": tuple(padding), "groups": groups}
    x_shape = (draw(st.integers(0, 2)), channels, *size)
    weight_shape = (channels, out_channels // groups, *kernel)
    return Drawn(x_shape, weight_shape, {**options, "output_padding": tuple(more)}, isa)


_SIZES = st.sampled_from([1, 2, 7, 14, 30, 100, 500, 2000])
_CHANNELS = st.sampled_from([1, 3, 8, 64, 512, 2048])
_TAPS = st.sampled_from([1, 2, 3, 7, 31])


@st.composite
def large_convolutions(draw: st.DrawFn) -> Drawn:
    """Draw a convolution that may be far too large to be computed in a test; its memory can be told beforehand."""
    isa = draw(INSTRUCTION_SETS)
    channels, out_channels = draw(_CHANNELS), draw(_CHANNELS)
    size, taps = draw(st.tuples(_SIZES, _SIZES)), draw(st.tuples(_TAPS, _TAPS))
    stride, dilation = draw(st.sampled_from([1, 2, 5])), draw(st.sampled_from([1, 2, 16]))
    padding = tuple((n - 1) * dilation for n in taps)
    options = {"stride": stride, "padding": padding, "dilation": dilation}
    return Drawn((1, channels, *size), (out_channels, channels, *taps), options, isa)


@st.composite
def long_kernels(draw: st.DrawFn) -> Drawn:
    """Draw a convolution of few outputs with thousands of taps."""
    isa = draw(INSTRUCTION_SETS)
    rank, groups, channels = draw(st.integers(1, 2)), draw(st.integers(1, 2)), draw(st.sampled_from([1, 2, 5]))
    longest = {1: 12000, 2: 90}[rank]
    kernel = tuple(draw(st.integers(longest // 2, longest)) // (channels if rank == 1 else 1) for _ in range(rank))
    stride, dilation = (tuple(draw(st.integers(1, 3)) for _ in range(rank)) for _ in range(2))
    outputs = tuple(draw(st.integers(1, 40 // rank**2)) for _ in range(rank))
    padding = draw(st.integers(-1, 3))
    sizes = zip(kernel, stride, dilation, outputs)
    size = [(k - 1) * d + (out - 1) * s + 1 - 2 * padding for k, s, d, out in sizes]
    options = {"stride": stride, "dilation": dilation, "padding": padding, "groups": groups}
    weight = (groups * draw(st.integers(1, 3)), channels, *kernel)
    return Drawn((draw(st.integers(1, 2)), groups * channels, *size), weight, options, isa)


@st.composite
def large_strided_convolutions(draw: st.DrawFn) -> Drawn:
    """Draw a convolution whose input gradient may need large tables: long rows, long kernels, wide strides."""
    isa = draw(INSTRUCTION_SETS)
    channels, out_channels = draw(st.sampled_from([(1, 3000), (512, 512), (4000, 40), (64, 2048), (1, 1)]))
    size = draw(st.sampled_from([(4096,), (40, 50), (300, 7), (7, 400), (9, 30, 40)]))
    taps = draw(st.integers(1, 9 if len(size) > 1 else 40))
    stride, dilation = draw(st.integers(1, 9)), draw(st.integers(1, 9))
    sizes = [max(n, dilation * (taps - 1) + 1) for n in size]
    weight_shape = (out_channels, channels, *[taps] * len(size))
    return Drawn((1, channels, *sizes), weight_shape, {"stride": stride, "dilation": dilation}, isa)
