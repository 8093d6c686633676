"""The geometry of a transposed convolution: the convolution whose input gradient it is.

The input of that convolution is the output of the transposed one, and the other way round. Let *extent* be the number
of positions that a kernel covers: ``dilation * (kernel - 1) + 1``. Along each axis ::

    output = (input - 1) * stride - before - after + extent + output_padding

What output_padding and output_size may be is decided here. The padding of a geometry is such that the padded output is
exactly what the kernels reach: output_padding makes the padding after the output smaller.
"""

from __future__ import annotations

from math import prod

from .geometry import LARGEST_ARRAY, Geometry, check_limits, extents_of, three
from .options import (
    LARGEST_INT,
    PADDING_NAMES,
    Frozen,
    Pair,
    Sizes,
    check_group_count,
    freeze,
    hint_padding_name,
    named_padding,
    numeric_padding,
    per_axis,
)
from .shapes import check_transposed_shapes

# The names of padding with which the output is `stride` times as large as the input, or has the size `output_size`.
SAME = ("same", "same_lower")

# Why output_padding must be 0 beside output_size.
SIZE_IS_GIVEN = "output_size says how large the output is"


def transposed_geometry(
    x_shape: Sizes,
    weight_shape: Sizes,
    *,
    rank: int | None = None,
    stride: object = 1,
    padding: object = 0,
    output_padding: object = 0,
    output_size: object = None,
    dilation: object = 1,
    groups: object = 1,
) -> Geometry:
    """Validate a transposed convolution, and return the convolution whose input gradient it is."""
    group_count = check_group_count(groups)
    rank = check_transposed_shapes(x_shape, weight_shape, rank, group_count)
    sizes, kernel = x_shape[-rank:], weight_shape[2:]
    strides, dilations = per_axis("stride", stride, rank), per_axis("dilation", dilation, rank)
    extents = extents_of(kernel, dilations)
    given = freeze("padding", padding)
    if isinstance(given, str) and given in SAME:
        wanted = resolve_same_size(given, sizes, strides, extents, output_padding, output_size)
        pads = named_padding(given, wanted, extents, strides)
    else:
        pads = resolve_transposed_padding(given, extents)
        least = tuple([(n - 1) * s + extent - sum(pad) for n, s, extent, pad in zip(sizes, strides, extents, pads)])
        limits = tuple(map(max, strides, dilations))
        wanted = resolve_output_size(least, limits, output_padding, output_size)
    after = [
        (n - 1) * s + extent - size - before
        for n, s, extent, size, (before, _) in zip(sizes, strides, extents, wanted, pads)
    ]
    geometry = Geometry(
        rank=rank,
        batch=x_shape[0] if len(x_shape) == rank + 2 else 1,
        in_channels=weight_shape[1] * group_count,
        out_channels=weight_shape[0],
        groups=group_count,
        in_size=three(wanted, 1),
        kernel=three(kernel, 1),
        stride=three(strides, 1),
        dilation=three(dilations, 1),
        pad_before=three(tuple([before for before, _ in pads]), 0),
        pad_after=three(tuple(after), 0),
        out_size=three(sizes, 1),
    )
    check_transposed_limits(geometry)
    return geometry


def resolve_transposed_padding(padding: Frozen, extents: Sizes) -> tuple[Pair, ...]:
    """Return (before, after) per axis from the padding of a transposed convolution: numbers, or "valid"."""
    rank = len(extents)
    if not isinstance(padding, str):
        return numeric_padding(padding, rank)
    if padding == "valid":
        return ((0, 0),) * rank
    names = ("valid", *SAME)
    hint = hint_padding_name(padding, names)
    if padding == "full" or (padding == "causal" and rank == 1):
        pads = tuple([PADDING_NAMES[padding](0, extent, 1) for extent in extents])  # the size and stride do not matter
        hint = f"; for the transpose of a convolution with padding={padding!r} pass padding={pads}"
    raise ValueError(
        f"padding of a transposed convolution must be numbers or one of the names {', '.join(map(repr, names))}, "
        f"not {padding!r}{hint}"
    )


def check_no_output_padding(why: str, output_padding: object, rank: int, hint: str) -> None:
    """Raise unless output_padding is 0; `why` begins the message, and `hint` says what to write instead."""
    if any(per_axis("output_padding", output_padding, rank, minimum=0)):
        raise ValueError(f"{why}: output_padding cannot be given as well, but is {output_padding!r}; {hint}")


def resolve_same_size(
    name: str, sizes: Sizes, strides: Sizes, extents: Sizes, output_padding: object, output_size: object
) -> Sizes:
    """Return the output size with padding "same" or "same_lower": output_size, or `stride` times the input.

    The convolution has ``ceil(output / stride)`` outputs, and these are the inputs of the transposed convolution.
    """
    rank = len(sizes)
    if output_size is None:
        why = f"padding={name!r} makes the output stride times as large as the input"
        check_no_output_padding(why, output_padding, rank, "for another size pass output_size")
        return tuple([n * stride for n, stride in zip(sizes, strides)])
    check_no_output_padding(SIZE_IS_GIVEN, output_padding, rank, "leave it out")
    wanted = per_axis("output_size", output_size, rank, minimum=0)
    for axis, (size, n, stride) in enumerate(zip(wanted, sizes, strides)):
        least, largest = (n - 1) * stride + 1, n * stride
        if not least <= size <= largest:
            allowed = f"{least}" if stride == 1 else f"from {least} to {largest}"
            reached = [(n - 1) * stride + extent for n, stride, extent in zip(sizes, strides, extents)]
            pads = tuple([halves(name, total - size) for total, size in zip(reached, wanted)])
            raise ValueError(
                f"output_size is {size} along spatial axis {axis}, but with padding={name!r} it must be {allowed}; "
                f"rule: ceil(output_size / stride) = {n}, the size of x; for an output of size {wanted} pass "
                f"padding={pads} without output_size"
            )
    return wanted


def halves(name: str, total: int) -> Pair:
    """Return the total padding of one axis as (before, after), where padding=name has the larger half."""
    smaller = max(total, 0) // 2
    before = smaller if name == "same" else max(total, 0) - smaller
    return before, total - before


def resolve_output_size(least: Sizes, limits: Sizes, output_padding: object, output_size: object) -> Sizes:
    """Return the output size of a transposed convolution: output_size, or `least` plus output_padding.

    `least` is the size without output_padding, and an axis may be larger than that by less than its limit.
    """
    rank = len(least)
    if output_size is None:
        extra = per_axis("output_padding", output_padding, rank, minimum=0)
        sizes = tuple(map(sum, zip(least, extra)))
    else:
        check_no_output_padding(SIZE_IS_GIVEN, output_padding, rank, "leave it out")
        sizes = per_axis("output_size", output_size, rank)
        extra = tuple([size - n for size, n in zip(sizes, least)])
    for axis, (more, limit, smallest, size) in enumerate(zip(extra, limits, least, sizes)):
        largest = smallest + limit - 1
        if size < 1 or largest < 1:
            raise ValueError(
                f"the output would have {min(size, largest)} positions along spatial axis {axis}; rule: (input - 1) * "
                f"stride - before - after + dilation * (kernel - 1) + output_padding + 1 >= 1; give less padding"
            )
        if output_size is not None and not 0 <= more < limit:
            change = f"{abs(more)} {'less' if more > 0 else 'more'}"
            raise ValueError(
                f"output_size is {size} along spatial axis {axis}, but must be from {max(smallest, 1)} to {largest}: "
                f"(input - 1) * stride - before - after + dilation * (kernel - 1) + 1, and less than max(stride, "
                f"dilation) = {limit} more; for {size} positions give {change} padding"
            )
        if more >= limit:
            raise ValueError(
                f"output_padding is {more} along spatial axis {axis}, but must be less than max(stride, dilation) = "
                f"{limit}; for a longer output give less padding after it (negative numbers add positions)"
            )
    return sizes


def check_transposed_limits(geometry: Geometry) -> None:
    """Raise if a size is too large for the integers of BLAS or for an array."""
    limits = {
        "an input channel": (geometry.out_pixels, LARGEST_INT, "positions"),
        "an output channel": (prod(geometry.in_size), LARGEST_INT, "positions"),
        "a channel's kernels": (geometry.reduction_length, LARGEST_INT, "elements"),
        "the output": (8 * prod(geometry.x_shape), LARGEST_ARRAY, "bytes"),
    }
    check_limits(limits)
