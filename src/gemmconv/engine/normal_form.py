"""The normal form of a geometry: the same convolution with as few and as long axes as possible.

An axis is *bare* if it has one tap, stride 1 and no padding. Along two neighbouring bare axes, positions are read in
the order in which they are in memory. So the two can be taken as one longer axis. An axis with one input, one output,
one tap and no padding can be left out, whatever its stride. The arrays are not touched::

    1x1 on 7 x 7                       ->  1 on 49
    3x1x1 on 8 x 5 x 6                 ->  3x1 on 8 x 30
    5x1 on 1000 x 1 (a signal)         ->  5 on 1000

Rows become long, and a signal is a row whichever axis it lies along. So no C kernel needs a special case for these
shapes. Every operation uses this form for C; shapes in messages and results are those of the caller.
"""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

from ..checks.geometry import Geometry, three


class Axis(NamedTuple):
    """One spatial axis of a convolution."""

    in_size: int
    kernel: int
    stride: int
    dilation: int
    pad_before: int
    pad_after: int
    out_size: int

    @property
    def is_bare(self) -> bool:
        """Whether each output reads just the element at its own position."""
        return self.kernel == self.stride == 1 and self.pad_before == self.pad_after == 0


def bare(size: int) -> Axis:
    """Return a bare axis of the given size."""
    return Axis(size, kernel=1, stride=1, dilation=1, pad_before=0, pad_after=0, out_size=size)


def normal_form(geometry: Geometry) -> Geometry:
    """Return the geometry with neighbouring bare axes folded into one, and with axes of size 1 left out."""
    if geometry.kernel[1] > 1 and geometry.kernel[2] > 1 and geometry.stride[0] == 1:
        return geometry  # the usual case: no two neighbouring axes are bare
    axes: list[Axis] = []
    for axis in axes_of(geometry):
        if axis.in_size == axis.out_size == axis.kernel == 1 and axis.pad_before == axis.pad_after == 0:
            continue
        if axes and axis.is_bare and axes[-1].is_bare:
            axis = bare(axes.pop().in_size * axis.in_size)
        axes.append(axis)
    axes = axes or [bare(1)]
    sizes = zip(*axes)
    in_size, kernel, stride, dilation, pad_before, pad_after, out_size = map(tuple, sizes)
    return replace(
        geometry,
        rank=len(axes),
        in_size=three(in_size, 1),
        kernel=three(kernel, 1),
        stride=three(stride, 1),
        dilation=three(dilation, 1),
        pad_before=three(pad_before, 0),
        pad_after=three(pad_after, 0),
        out_size=three(out_size, 1),
    )


def axes_of(geometry: Geometry) -> list[Axis]:
    """Return the three spatial axes: depth, height and width."""
    sizes = (geometry.in_size, geometry.kernel, geometry.stride, geometry.dilation)
    return [Axis(*numbers) for numbers in zip(*sizes, geometry.pad_before, geometry.pad_after, geometry.out_size)]
