"""What hypothesis draws for `gemmconv.explain`: small convolutions of integers, with every option."""

from __future__ import annotations

import numpy as np
from hypothesis import assume
from hypothesis import strategies as st

from gemmconv import explain

MODES = st.sampled_from(["zeros", "zeros", "reflect", "edge", "wrap", "symmetric"])


def padding_modes(rank):
    return MODES | st.lists(MODES, min_size=rank, max_size=rank).map(tuple)


def integers(seed, *shape):
    return np.random.default_rng(seed).integers(-9, 10, shape).astype(np.float64)


@st.composite
def explanations(draw):
    """Draw an explanation of a small convolution of integers, with every option, and its gradient of the output."""
    rank, groups = draw(st.integers(1, 3)), draw(st.sampled_from([1, 1, 2, 3]))
    channels, outputs = (groups * draw(st.integers(1, 2)) for _ in range(2))
    axes = [
        (draw(st.integers(1, 7 - rank)), draw(st.integers(1, 3)), draw(st.integers(1, 3)), draw(st.integers(1, 3)))
        for _ in range(rank)
    ]
    size, kernel, stride, dilation = zip(*axes)
    pads = tuple((draw(st.integers(-2, 4)), draw(st.integers(-2, 4))) for _ in range(rank))
    extents = [(k - 1) * d + 1 for k, d in zip(kernel, dilation)]
    options = {"stride": stride, "dilation": dilation, "padding": pads, "groups": groups}
    bias = draw(st.booleans())
    options["padding_mode"] = draw(padding_modes(rank))
    if draw(st.integers(0, 3)) == 0:
        extra = tuple(draw(st.integers(0, max(s, d) - 1)) for s, d in zip(stride, dilation))
        least = [(n - 1) * s + e - sum(p) for n, s, e, p in zip(size, stride, extents, pads)]
        assume(all(n >= 1 for n in least))
        wanted = {"output_size": tuple(n + more for n, more in zip(least, extra))}
        options |= {"transposed": True, **(wanted if draw(st.booleans()) else {"output_padding": extra})}
        x, weight = integers(0, channels, *size), integers(1, channels, outputs // groups, *kernel)
    else:
        assume(all(n + sum(p) >= e for n, p, e in zip(size, pads, extents)))
        options["flip"] = draw(st.booleans())
        if "zeros" in (options["padding_mode"], *options["padding_mode"]) and draw(st.booleans()):
            options["padding_value"] = draw(st.sampled_from([7, -3]))
        x, weight = integers(0, channels, *size), integers(1, outputs, channels // groups, *kernel)
    made = explain(x, weight, integers(3, outputs) if bias else None, **options)
    gradient = integers(2, *made.y.shape)
    return explain(x, weight, made.problem.bias, **options, grad_output=gradient)


def some_index(data, shape):
    return tuple(data.draw(st.integers(0, size - 1)) for size in shape)
