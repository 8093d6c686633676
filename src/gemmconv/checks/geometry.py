"""Geometry: the shapes and options of a convolution, validated together, and the sizes that follow from them.

All sizes are Python integers, so nothing overflows. Sizes that the C layer or BLAS cannot represent are refused here
(for transposed convolutions in transposed_geometry.py), and the message names the number.

Let *extent* be the number of input positions that a kernel covers: ``dilation * (kernel - 1) + 1``. Along each axis ::

    output = floor((input + before + after - extent) / stride) + 1

This formula is computed here and nowhere else. `Geometry` is what checks/ hands to engine/. It knows sizes only, and
nothing about algorithms.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import prod

from .options import (
    LARGEST_INT,
    Ints,
    Padding,
    Pair,
    Sizes,
    check_group_count,
    freeze,
    per_axis,
    resolve,
)
from .shapes import (
    check_bias_shape,
    check_channels,
    check_kernel_size,
    check_shapes,
    check_x_shape,
    hint_kernel_first,
    hint_sequence,
)

__all__ = ["Geometry", "output_size", "resolve_padding"]

# The largest size of an array, in bytes: sizes are 64-bit integers in C.
LARGEST_ARRAY = 2**63 - 1


def extents_of(kernel: Sizes, dilation: Sizes) -> Sizes:
    """Return the number of input positions that the kernel covers along each axis."""
    return tuple([(k - 1) * d + 1 for k, d in zip(kernel, dilation)])


def sizes_after(in_size: Sizes, pads: tuple[Pair, ...], extents: Sizes, stride: Sizes, hint: str = "") -> Sizes:
    """Return the output size, or raise if the kernel is longer than the padded input; `hint` ends the message."""
    sizes = []
    for axis, (size, pad, extent, step) in enumerate(zip(in_size, pads, extents, stride)):
        padded = size + sum(pad)
        if padded < extent:
            raise ValueError(
                f"the kernel covers {extent} positions of spatial axis {axis}, but the padded input has {padded} "
                f"(input {size}, padding {pad}); rule: input + padding >= dilation * (kernel - 1) + 1{hint}"
            )
        sizes.append((padded - extent) // step + 1)
    return tuple(sizes)


def spatial_sizes(input_size: Sequence[int], kernel_size: Ints) -> tuple[Sizes, Sizes]:
    """Return the sizes of input and kernel as tuples of the same length, which is from 1 to 3."""
    frozen = freeze("input_size", input_size)
    if not isinstance(frozen, tuple):
        hint = hint_sequence(frozen, "a square image") if isinstance(frozen, int) else ""
        raise TypeError(
            f"input_size must be a sequence of one to three ints such as (H, W) or (L,), not {input_size!r}{hint}"
        )
    if not 1 <= len(frozen) <= 3:
        hint = "; of the shape of an array with batch and channels, take shape[2:]" if len(frozen) in (4, 5) else ""
        raise ValueError(f"input_size must have one to three spatial axes, not {len(frozen)}: {input_size!r}{hint}")
    in_size = per_axis("input_size", frozen, len(frozen), minimum=0)
    return in_size, per_axis("kernel_size", kernel_size, len(in_size))


def resolve_padding(
    padding: Padding,
    input_size: Sequence[int],
    kernel_size: Ints,
    *,
    stride: Ints = 1,
    dilation: Ints = 1,
) -> tuple[Pair, ...]:
    """Return the padding of a convolution (cross-correlation) as one ``(before, after)`` pair per spatial axis.

    Parameters
    ----------
    padding : int, str or sequence
        An int, one int per axis, one (before, after) pair per axis (negative numbers crop), or a name:

        ``"valid"``
            No padding.
        ``"same"``
            ``ceil(input / stride)`` outputs. If the total padding is odd, the larger half is after the input.
        ``"same_lower"``
            As ``"same"``, but the larger half is before the input.
        ``"full"``
            ``extent - 1`` on both sides, where ``extent = dilation * (kernel - 1) + 1``: an output for every overlap of
            kernel and input.
        ``"causal"``
            ``extent - 1`` before a 1-D input: no output reads later inputs.
    input_size, kernel_size : sequence of int
        Spatial sizes: ``(L,)``, ``(H, W)`` or ``(D, H, W)``.
    stride, dilation : int or sequence of int, optional
        As in `gemmconv.conv`.

    Returns
    -------
    tuple of (int, int)
        The number of zeros before and after the input along each axis.

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
    kernel_size: Ints,
    *,
    stride: Ints = 1,
    padding: Padding = 0,
    dilation: Ints = 1,
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
    extents = extents_of(kernel, per_axis("dilation", dilation, len(in_size)))
    strides = per_axis("stride", stride, len(in_size))
    return sizes_after(in_size, resolve(padding, in_size, extents, strides), extents, strides)


def three(sizes: Sizes, fill: int) -> Sizes:
    """Return sizes along depth, height and width; axes that the convolution does not have get `fill`."""
    return (fill,) * (3 - len(sizes)) + sizes


@dataclass(frozen=True, slots=True)
class Geometry:
    """One validated convolution in numbers. Sizes are always (depth, height, width).

    Axes that a 1-D or 2-D convolution does not have come first; they have size 1, stride 1 and no padding. `rank` is
    the number of spatial axes that it has.
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

        `x_shape` may be without the batch axis. Without `rank`, `weight_shape` determines the number of spatial axes.
        """
        rank = check_shapes(x_shape, weight_shape, rank)
        batch = x_shape[0] if len(x_shape) == rank + 2 else 1
        in_channels, in_size = x_shape[-rank - 1], x_shape[-rank:]
        out_channels, kernel = weight_shape[0], weight_shape[2:]
        group_count = check_group_count(groups)
        check_channels(x_shape, weight_shape, group_count)

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
            out_size=three(sizes_after(in_size, pads, extents, strides, hint_kernel_first(weight_shape)), 1),
        )
        check_representable(geometry)
        return geometry

    @classmethod
    def of_patches(
        cls, x_shape: Sizes, kernel_size: object, *, stride: object = 1, padding: object = 0, dilation: object = 1
    ) -> Geometry:
        """Validate the options of a patch matrix; return a convolution that has it, with one output channel."""
        kernel = check_kernel_size(kernel_size)
        check_x_shape(x_shape, len(kernel), f"kernel_size {kernel}")
        weight_shape = (1, x_shape[-len(kernel) - 1], *kernel)
        geometry = cls.from_shapes(x_shape, weight_shape, stride=stride, padding=padding, dilation=dilation)
        size = 8 * max(geometry.batch, 1) * geometry.reduction_length * geometry.out_pixels
        check_limits({"the patch matrix": (size, LARGEST_ARRAY, "bytes")})
        return geometry

    def turned(self) -> Geometry:
        """Return the convolution that computes the input gradient of this one, which must have stride 1.

        Its input is the gradient of the output. Its weight is that of this one, with reversed kernels and with input
        and output channels swapped.
        """
        assert self.stride == (1, 1, 1)
        extents = extents_of(self.kernel, self.dilation)
        before = tuple([extent - 1 - pad for extent, pad in zip(extents, self.pad_before)])
        after = [
            size - out - pad + extent - 1
            for size, out, pad, extent in zip(self.in_size, self.out_size, before, extents)
        ]
        return replace(
            self,
            in_channels=self.out_channels,
            out_channels=self.in_channels,
            in_size=self.out_size,
            out_size=self.in_size,
            pad_before=before,
            pad_after=tuple(after),
        )

    @property
    def reduction_length(self) -> int:
        """The number of terms in the sum of one output: the rows of the patch matrix P of one group."""
        return self.in_channels // self.groups * prod(self.kernel)

    @property
    def out_pixels(self) -> int:
        """The number of outputs of one channel of one image: the columns of the patch matrix P."""
        return prod(self.out_size)

    @property
    def reads_image_in_place(self) -> bool:
        """Whether P is the image itself: there is one tap, stride 1 and no padding."""
        neutral = self.stride == (1, 1, 1) and not any(self.pad_before) and not any(self.pad_after)
        return prod(self.kernel) == 1 and neutral

    @property
    def is_empty(self) -> bool:
        """Whether x or the output of an image has no elements: then there is nothing to sum."""
        return 0 in (self.in_channels, self.out_channels, *self.in_size, *self.out_size)

    @property
    def operations(self) -> int:
        """The number of multiplications and additions of the whole batch."""
        return 2 * prod(self.out_shape) * self.reduction_length

    @property
    def out_shape(self) -> Sizes:
        """The shape of the (batched) output."""
        return (self.batch, self.out_channels, *self.out_size[3 - self.rank :])

    @property
    def x_shape(self) -> Sizes:
        """The shape of the (batched) input."""
        return (self.batch, self.in_channels, *self.in_size[3 - self.rank :])

    @property
    def weight_shape(self) -> Sizes:
        """The shape of the weight."""
        return (self.out_channels, self.in_channels // self.groups, *self.kernel[3 - self.rank :])

    @property
    def pads(self) -> tuple[Pair, ...]:
        """The padding as (before, after) along each spatial axis."""
        return tuple(zip(self.pad_before, self.pad_after))[3 - self.rank :]

    @property
    def padded_size(self) -> Sizes:
        """The size of the input with its padding."""
        return tuple(map(sum, zip(self.in_size, self.pad_before, self.pad_after)))

    def padded(self, axes: Sequence[object] = (True, True, True)) -> Geometry:
        """Return the same convolution of an input that has been padded along some of the three axes already."""

        def chosen(done: Sizes, left: Sizes) -> Sizes:
            return tuple([a if is_padded else b for a, b, is_padded in zip(done, left, axes)])

        nothing = (0, 0, 0)
        return replace(
            self,
            in_size=chosen(self.padded_size, self.in_size),
            pad_before=chosen(nothing, self.pad_before),
            pad_after=chosen(nothing, self.pad_after),
        )

    def check_bias(self, shape: Sizes) -> None:
        """Raise unless the bias has one value per output channel."""
        weight_shape = self.out_channels, self.in_channels // self.groups, *self.kernel[3 - self.rank :]
        is_of_last = shape == weight_shape[-1:] != weight_shape[:1]
        check_bias_shape(shape, self.out_channels, hint_kernel_first(weight_shape) if is_of_last else "")


def check_representable(geometry: Geometry) -> None:
    """Raise if a size is too large for the integers of BLAS or for an array."""
    limits = {
        "an output channel": (geometry.out_pixels, LARGEST_INT, "positions"),
        "the sum behind one output": (geometry.reduction_length, LARGEST_INT, "terms"),
        "the output": (8 * prod(geometry.out_shape), LARGEST_ARRAY, "bytes"),
        "the padded input": (8 * prod(geometry.padded_size), LARGEST_ARRAY, "bytes"),
        "the input": (8 * prod(geometry.x_shape), LARGEST_ARRAY, "bytes"),
    }
    check_limits(limits)


def check_limits(limits: dict[str, tuple[int, int, str]]) -> None:
    """Raise for the first number that is above its limit; `limits` holds (number, limit, unit) by name."""
    for what, (number, largest, unit) in limits.items():
        if number > largest:
            raise ValueError(f"{what} would have {number} {unit}, but at most {largest} are possible")
