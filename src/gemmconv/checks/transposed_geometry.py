"""The geometry of a transposed convolution: the convolution whose input gradient it is.

The input of that convolution is the output of the transposed one, and the other way round. Let *extent* be the number
of positions that a kernel covers: ``dilation * (kernel - 1) + 1``. Along each axis ::

    output = (input - 1) * stride - before - after + extent + output_padding

What output_padding and output_size may be is decided here.
"""

from __future__ import annotations

from math import prod

from .geometry import LARGEST_ARRAY, Geometry, check_limits, extents_of, three
from .options import LARGEST_INT, Frozen, Pair, Sizes, check_group_count, freeze, numeric_padding, per_axis, resolve
from .shapes import check_transposed_shapes


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
    if given == "same":
        why = "padding='same' makes the output stride times as large as the input"
        check_no_output_padding(why, output_padding, rank)
        if output_size is not None:
            raise ValueError(f"{why}: output_size cannot be given as well, but is {output_size!r}")
        wanted = tuple([n * s for n, s in zip(sizes, strides)])
        pads = resolve("same", wanted, extents, strides)
    else:
        pads = resolve_transposed_padding(given, rank)
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


def resolve_transposed_padding(padding: Frozen, rank: int) -> tuple[Pair, ...]:
    """Return (before, after) per axis from the padding of a transposed convolution, numbers or a name."""
    if padding == "valid":
        return ((0, 0),) * rank
    if isinstance(padding, str):
        raise ValueError(
            f"padding of a transposed convolution must be numbers or one of the names 'valid', 'same', not {padding!r}"
        )
    return numeric_padding(padding, rank)


def check_no_output_padding(why: str, output_padding: object, rank: int) -> None:
    """Raise unless output_padding is 0; `why` begins the message."""
    if any(per_axis("output_padding", output_padding, rank, minimum=0)):
        raise ValueError(f"{why}: output_padding cannot be given as well, but is {output_padding!r}")


def resolve_output_size(least: Sizes, limits: Sizes, output_padding: object, output_size: object) -> Sizes:
    """Return the output size of a transposed convolution: output_size, or `least` plus output_padding.

    `least` is the size without output_padding, and an axis may be larger than that by less than its limit.
    """
    rank = len(least)
    if output_size is None:
        extra = per_axis("output_padding", output_padding, rank, minimum=0)
        sizes = tuple(map(sum, zip(least, extra)))
    else:
        check_no_output_padding("output_size says how large the output is", output_padding, rank)
        sizes = per_axis("output_size", output_size, rank)
        extra = tuple([size - n for size, n in zip(sizes, least)])
    for axis, (more, limit, smallest, size) in enumerate(zip(extra, limits, least, sizes)):
        largest = smallest + limit - 1
        if size < 1 or largest < 1:
            raise ValueError(
                f"the output would have {min(size, largest)} positions along spatial axis {axis}; rule: (input - 1) * "
                f"stride - before - after + dilation * (kernel - 1) + output_padding + 1 >= 1"
            )
        if output_size is not None and not 0 <= more < limit:
            raise ValueError(
                f"output_size is {size} along spatial axis {axis}, but must be from {max(smallest, 1)} to {largest}: "
                f"(input - 1) * stride - before - after + dilation * (kernel - 1) + 1, and less than max(stride, "
                f"dilation) = {limit} more"
            )
        if more >= limit:
            raise ValueError(
                f"output_padding is {more} along spatial axis {axis}, but must be less than max(stride, dilation) = "
                f"{limit}"
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
