"""Geometry: the arguments of a convolution normalised and validated, and the sizes that follow.

This is the only file that raises for shapes, strides, padding, dilation and groups. All sizes are Python integers, so
nothing overflows; what the C layer or BLAS cannot represent is refused here with its number.

Along each axis, with *extent* = ``dilation * (kernel - 1) + 1``, the number of input positions a kernel covers::

    output = floor((input + before + after - extent) / stride) + 1
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from math import prod
from typing import Any

__all__ = ["Geometry", "output_size", "resolve_padding"]

Pair = tuple[int, int]
Sizes = tuple[int, ...]
Frozen = int | str | tuple[Any, ...]

# BLAS counts in 32-bit integers in every published wheel of SciPy.
LARGEST_INT = 2**31 - 1
LARGEST_ARRAY = 2**63 - 1

X_SHAPES = {1: "(N, C, L) or (C, L)", 2: "(N, C, H, W) or (C, H, W)"}
X_SHAPES[3] = "(N, C, D, H, W) or (C, D, H, W)"
WEIGHT_SHAPES = {1: "(O, C/groups, KL)", 2: "(O, C/groups, KH, KW)", 3: "(O, C/groups, KD, KH, KW)"}

# The name of each padding mode in numpy.pad; the last two are PyTorch's synonyms.
PADDING_MODES = {
    "zeros": "constant",
    "reflect": "reflect",
    "edge": "edge",
    "wrap": "wrap",
    "symmetric": "symmetric",
    "replicate": "edge",
    "circular": "wrap",
}


def freeze(name: str, value: object) -> Frozen:
    """Return an option as an int, a name or a (nested) tuple of ints, so that it can be a key of a cache."""
    if type(value) is int or type(value) is str:
        return value
    try:
        return operator.index(value)  # type: ignore[arg-type]
    except TypeError:
        pass
    if isinstance(value, str):
        return str(value)
    if not hasattr(value, "__iter__"):
        raise TypeError(f"{name} must be an int or a sequence of ints, not {value!r}")
    return tuple([freeze(name, item) for item in value])


def check_padding_mode(padding_mode: object) -> str:
    """Return NumPy's name of a padding mode."""
    if not isinstance(padding_mode, str):
        raise TypeError(f"padding_mode must be a string, not {padding_mode!r}")
    if padding_mode not in PADDING_MODES:
        modes = ", ".join(map(repr, PADDING_MODES))
        raise ValueError(f"padding_mode must be one of {modes}, not {padding_mode!r}")
    return PADDING_MODES[padding_mode]


def per_axis(name: str, value: object, rank: int, minimum: int = 1) -> Sizes:
    """Return one int per spatial axis, each at least `minimum`."""
    frozen = freeze(name, value)
    values: tuple[Any, ...] = frozen if isinstance(frozen, tuple) else (frozen,) * rank
    if not all(isinstance(item, int) for item in values):
        raise TypeError(f"{name} must be an int or one int per spatial axis, not {value!r}")
    if len(values) != rank:
        raise ValueError(f"{name} must be an int or {rank} ints, one per spatial axis, not {value!r}")
    for item in values:
        check_range(name, item, minimum)
    return values


def check_range(name: str, value: int, minimum: int) -> None:
    """Raise unless ``minimum <= value <= LARGEST_INT``."""
    if value < minimum:
        raise ValueError(f"{name} must be at least {minimum}, not {value}")
    if value > LARGEST_INT:
        raise ValueError(f"{name} must be at most {LARGEST_INT}, not {value}")


def pad_same(size: int, extent: int, stride: int) -> Pair:
    """Return the padding for ``ceil(size / stride)`` outputs, the odd one after the input."""
    total = max(0, (-(-size // stride) - 1) * stride + extent - size)
    return total // 2, total - total // 2


# What each name means along one axis: (input size, extent, stride) -> (before, after).
PADDING_NAMES: dict[str, Callable[[int, int, int], Pair]] = {
    "valid": lambda _size, _extent, _stride: (0, 0),
    "same": pad_same,
    "same_lower": lambda size, extent, stride: pad_same(size, extent, stride)[::-1],
    "full": lambda _size, extent, _stride: (extent - 1, extent - 1),
    "causal": lambda _size, extent, _stride: (extent - 1, 0),
}


def named_padding(name: str, in_size: Sizes, extents: Sizes, stride: Sizes) -> tuple[Pair, ...]:
    """Return what the name of a padding means for these sizes."""
    if name not in PADDING_NAMES:
        names = ", ".join(map(repr, PADDING_NAMES))
        raise ValueError(f"padding must be a number, numbers per axis, or one of {names}, not {name!r}")
    if name == "causal" and len(in_size) > 1:
        raise ValueError(f"padding='causal' is for 1-D convolutions; this one has {len(in_size)} spatial axes")
    return tuple(map(PADDING_NAMES[name], in_size, extents, stride))


def numeric_padding(padding: int | tuple[Any, ...], rank: int) -> tuple[Pair, ...]:
    """Return (before, after) per axis from an int, one int per axis, or one pair per axis."""
    values = padding if isinstance(padding, tuple) else (padding,) * rank
    if len(values) != rank:
        hint = ""
        if rank == 1 and len(values) == 2 and all(isinstance(item, int) for item in values):
            hint = f"; for {values[0]} before and {values[1]} after write padding=({values},)"
        raise ValueError(
            f"padding must be an int, or {rank} entries, one int or (before, after) pair per spatial axis, "
            f"not {padding!r}{hint}"
        )
    pairs = []
    for value in values:
        pair = value if isinstance(value, tuple) else (value, value)
        if len(pair) != 2 or not all(isinstance(item, int) for item in pair):
            raise TypeError(f"padding must hold ints or (before, after) pairs of ints, not {value!r}")
        for item in pair:
            check_range("padding", item, -LARGEST_INT)
        pairs.append(pair)
    return tuple(pairs)


def resolve(padding: object, in_size: Sizes, extents: Sizes, stride: Sizes) -> tuple[Pair, ...]:
    """Return (before, after) per axis from any form of padding."""
    frozen = freeze("padding", padding)
    if isinstance(frozen, str):
        return named_padding(frozen, in_size, extents, stride)
    return numeric_padding(frozen, len(in_size))


def extents_of(kernel: Sizes, dilation: Sizes) -> Sizes:
    """Return the number of input positions that the kernel covers along each axis."""
    return tuple([(k - 1) * d + 1 for k, d in zip(kernel, dilation)])


def sizes_after(in_size: Sizes, pads: tuple[Pair, ...], extents: Sizes, stride: Sizes) -> Sizes:
    """Return the output size, or raise where the kernel does not fit."""
    sizes = []
    for axis, (size, pad, extent, step) in enumerate(zip(in_size, pads, extents, stride)):
        padded = size + sum(pad)
        if padded < extent:
            raise ValueError(
                f"the kernel covers {extent} positions of spatial axis {axis}, but the padded input has {padded} "
                f"(input {size}, padding {pad}); rule: input + padding >= dilation * (kernel - 1) + 1"
            )
        sizes.append((padded - extent) // step + 1)
    return tuple(sizes)


def spatial_sizes(input_size: Sequence[int], kernel_size: int | Sequence[int]) -> tuple[Sizes, Sizes]:
    """Return the sizes of input and kernel as tuples of one length from 1 to 3."""
    frozen = freeze("input_size", input_size)
    if not isinstance(frozen, tuple):
        raise TypeError(f"input_size must be a sequence of one to three ints such as (H, W), not {input_size!r}")
    if not 1 <= len(frozen) <= 3:
        raise ValueError(f"input_size must have one to three spatial axes, not {len(frozen)}: {input_size!r}")
    in_size = per_axis("input_size", frozen, len(frozen))
    return in_size, per_axis("kernel_size", kernel_size, len(in_size))


def resolve_padding(
    padding: int | str | Sequence[Any],
    input_size: Sequence[int],
    kernel_size: int | Sequence[int],
    *,
    stride: int | Sequence[int] = 1,
    dilation: int | Sequence[int] = 1,
) -> tuple[Pair, ...]:
    """Return the padding of a convolution (cross-correlation) as one ``(before, after)`` pair per spatial axis.

    Parameters
    ----------
    padding : int, str or sequence
        An int, one int per axis, one (before, after) pair per axis (negative numbers crop), or a name:

        ``"valid"``
            No padding.
        ``"same"``
            ``ceil(input / stride)`` outputs; an odd pad has its larger half after the input.
        ``"same_lower"``
            The same, the larger half before the input.
        ``"full"``
            ``extent - 1`` on both sides: every overlap of kernel and input.
        ``"causal"``
            ``extent - 1`` before a 1-D input: no output sees later inputs.
    input_size, kernel_size : sequence of int
        Spatial sizes: ``(L,)``, ``(H, W)`` or ``(D, H, W)``.
    stride, dilation : int or sequence of int, optional
        As in `gemmconv.conv`.

    Returns
    -------
    tuple of (int, int)
        Zeros before and after the input along each axis.

    Raises
    ------
    TypeError, ValueError
        If an argument has the wrong kind or value.

    Examples
    --------
    >>> from gemmconv import resolve_padding
    >>> resolve_padding("same", (224, 224), (7, 7), stride=2)
    ((2, 3), (2, 3))
    >>> resolve_padding("causal", (16000,), (2,), dilation=64)
    ((64, 0),)
    """
    in_size, kernel = spatial_sizes(input_size, kernel_size)
    rank = len(in_size)
    extents = extents_of(kernel, per_axis("dilation", dilation, rank))
    return resolve(padding, in_size, extents, per_axis("stride", stride, rank))


def output_size(
    input_size: Sequence[int],
    kernel_size: int | Sequence[int],
    *,
    stride: int | Sequence[int] = 1,
    padding: int | str | Sequence[Any] = 0,
    dilation: int | Sequence[int] = 1,
) -> Sizes:
    """Return the spatial size of a convolution's (cross-correlation's) output.

    Along each axis it is ``floor((input + before + after - dilation * (kernel - 1) - 1) / stride) + 1``.

    Parameters
    ----------
    input_size, kernel_size : sequence of int
        Spatial sizes: ``(L,)``, ``(H, W)`` or ``(D, H, W)``.
    stride, padding, dilation : optional
        As in `gemmconv.conv`; see `gemmconv.resolve_padding` for the forms of padding.

    Returns
    -------
    tuple of int
        ``(L,)``, ``(H, W)`` or ``(D, H, W)``.

    Raises
    ------
    TypeError, ValueError
        If an argument has the wrong kind or value, or the kernel is wider than the padded input.

    Examples
    --------
    >>> from gemmconv import output_size
    >>> output_size((224, 224), (7, 7), stride=2, padding=3)
    (112, 112)
    """
    in_size, kernel = spatial_sizes(input_size, kernel_size)
    pads = resolve_padding(padding, in_size, kernel, stride=stride, dilation=dilation)
    rank = len(in_size)
    extents = extents_of(kernel, per_axis("dilation", dilation, rank))
    return sizes_after(in_size, pads, extents, per_axis("stride", stride, rank))


def three(sizes: Sizes, fill: int) -> Sizes:
    """Return sizes along depth, height and width; axes that are not there get `fill`."""
    return (fill,) * (3 - len(sizes)) + sizes


@dataclass(frozen=True, slots=True)
class Geometry:
    """One convolution in numbers, validated; sizes are always (depth, height, width).

    Axes that a 1-D or 2-D convolution does not have come first and have size 1.
    """

    rank: int
    batch: int
    in_channels: int
    out_channels: int
    groups: int
    in_size: Sizes
    kernel: Sizes
    stride: Sizes
    dilation: Sizes
    pad_before: Sizes
    pad_after: Sizes
    out_size: Sizes

    @classmethod
    def from_shapes(
        cls,
        x_shape: Sizes,
        weight_shape: Sizes,
        *,
        rank: int | None = None,
        stride: object = 1,
        padding: object = 0,
        dilation: object = 1,
        groups: object = 1,
    ) -> Geometry:
        """Validate the shapes and options of a convolution.

        `x_shape` may lack the batch axis. Without `rank`, `weight_shape` tells the number of spatial axes.
        """
        rank = check_shapes(x_shape, weight_shape, rank)
        batch = x_shape[0] if len(x_shape) == rank + 2 else 1
        in_channels, in_size = x_shape[-rank - 1], x_shape[-rank:]
        out_channels, kernel = weight_shape[0], weight_shape[2:]
        group_count = check_groups(groups, in_channels, out_channels, weight_shape[1])

        strides = per_axis("stride", stride, rank)
        dilations = per_axis("dilation", dilation, rank)
        extents = extents_of(kernel, dilations)
        pads = resolve(padding, in_size, extents, strides)
        geometry = cls(
            rank=rank,
            batch=batch,
            in_channels=in_channels,
            out_channels=out_channels,
            groups=group_count,
            in_size=three(in_size, 1),
            kernel=three(kernel, 1),
            stride=three(strides, 1),
            dilation=three(dilations, 1),
            pad_before=three(tuple([before for before, _ in pads]), 0),
            pad_after=three(tuple([after for _, after in pads]), 0),
            out_size=three(sizes_after(in_size, pads, extents, strides), 1),
        )
        check_representable(geometry)
        return geometry

    @property
    def reduction_length(self) -> int:
        """The length of the sum behind one output: the rows of the patch matrix P."""
        return self.in_channels // self.groups * prod(self.kernel)

    @property
    def out_pixels(self) -> int:
        """The outputs of one channel of one image: the columns of the patch matrix P."""
        return prod(self.out_size)

    @property
    def out_shape(self) -> Sizes:
        """The shape of the (batched) output."""
        return (self.batch, self.out_channels, *self.out_size[3 - self.rank :])

    @property
    def pads(self) -> tuple[Pair, ...]:
        """The padding as (before, after) along each spatial axis."""
        return tuple(zip(self.pad_before, self.pad_after))[3 - self.rank :]

    def padded(self) -> Geometry:
        """Return the geometry of the same convolution once its input has been padded."""
        in_size = tuple(map(sum, zip(self.in_size, self.pad_before, self.pad_after)))
        return replace(self, in_size=in_size, pad_before=(0, 0, 0), pad_after=(0, 0, 0))

    def check_bias(self, shape: Sizes) -> None:
        """Raise unless a bias has one value per output channel."""
        if shape != (self.out_channels,):
            raise ValueError(
                f"bias has shape {shape}, but weight has {self.out_channels} output channels: "
                f"expected ({self.out_channels},)"
            )


def check_shapes(x_shape: Sizes, weight_shape: Sizes, rank: int | None) -> int:
    """Return the number of spatial axes, or raise unless x and weight have the axes that belong to it."""
    ranks = WEIGHT_SHAPES if rank is None else [rank]
    if len(weight_shape) - 2 not in ranks:
        kind = "a convolution" if rank is None else f"a {rank}-D convolution"
        expected = " or ".join(WEIGHT_SHAPES[r] for r in ranks)
        raise ValueError(f"weight has shape {weight_shape}, but {kind} needs {expected}")
    rank = len(weight_shape) - 2
    if len(x_shape) not in (rank + 1, rank + 2):
        raise ValueError(f"x has shape {x_shape}, but with weight of shape {weight_shape} it must be {X_SHAPES[rank]}")
    if 0 in x_shape[-rank - 1 :]:
        raise ValueError(f"x has shape {x_shape}: only the batch axis may be empty, expected {X_SHAPES[rank]}")
    if 0 in weight_shape:
        raise ValueError(f"weight has shape {weight_shape}: no axis may be empty, expected {WEIGHT_SHAPES[rank]}")
    return rank


def check_groups(groups: object, in_channels: int, out_channels: int, group_channels: int) -> int:
    """Return groups, or raise unless it divides the channels and weight has the channels of one group."""
    count = freeze("groups", groups)
    if not isinstance(count, int):
        raise TypeError(f"groups must be an int, not {groups!r}")
    check_range("groups", count, 1)
    for array, kind, channels in (("x", "input", in_channels), ("weight", "output", out_channels)):
        if channels % count:
            raise ValueError(f"groups={count} does not divide the {channels} {kind} channels of {array}")
    if group_channels * count != in_channels:
        expected = in_channels // count
        raise ValueError(
            f"weight has {group_channels} input channels, but x has {in_channels} (groups={count}); "
            f"rule: weight.shape[1] = channels of x / groups = {expected}"
        )
    return count


def check_representable(geometry: Geometry) -> None:
    """Raise for products that BLAS or an array cannot count."""
    limits = {
        "an output channel": (geometry.out_pixels, LARGEST_INT, "positions"),
        "the sum behind one output": (geometry.reduction_length, LARGEST_INT, "terms"),
        "the output": (8 * prod(geometry.out_shape), LARGEST_ARRAY, "bytes"),
        "the padded input": (8 * prod(geometry.padded().in_size), LARGEST_ARRAY, "bytes"),
    }
    for what, (number, largest, unit) in limits.items():
        if number > largest:
            raise ValueError(f"{what} would have {number} {unit}, but at most {largest} are possible")
