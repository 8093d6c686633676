"""Facts: which weight meets which input in which output, in numbers and without any formatting.

Let M be the matrix of the convolution (`gemmconv.convolution_matrix`). `Entries` finds the entries of one row, of one
column and of one weight of M from the windows along each axis (windows.py). M is never built for that, so this takes
no more time for a large layer. `Facts` puts the numbers there. A transposed convolution has the matrix M.T, so its
rows are the columns of M.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from math import prod
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..checks.arrays import Array
from ..checks.geometry import Geometry
from ..checks.options import Sizes
from ..convolution import conv
from ..engine.extension import extension_period
from ..gradients import conv_input_gradient, conv_weight_gradient
from ..transposed import conv_transpose
from ..windows import along_axis
from .problem import MOST_IN_MEMORY, ONLY_TRANSPOSED, Problem

Indices = NDArray[np.int64]
Values = NDArray[np.float64]

# Limits of what is computed: the multiplications of the whole layer, and the terms of one output.
MOST_MULTIPLICATIONS = 1 << 30
MOST_TERMS = 1 << 20


class Terms(NamedTuple):
    """The terms of one output: it is ``sum(factors * values)``, plus the bias."""

    weights: Indices
    """The flat index of the weight of each term."""
    inputs: Indices
    """The flat index in x of each term; -1 for what is no copy of x in the padding: zeros, or the padding value."""
    factors: Values
    """The weights."""
    values: Values
    """The elements of x."""


class Readers(NamedTuple):
    """The outputs that read one input: the gradient of that input is ``sum(factors * gradients)``."""

    outputs: Indices
    """The flat index of the output of each term."""
    weights: Indices
    """The flat index of the weight with which it reads the input."""
    factors: Values
    """These weights."""
    gradients: Values
    """The gradients of these outputs."""


class Places(NamedTuple):
    """The entries of M that are one weight: its gradient is ``sum(gradients * values)``, plus that by the padding."""

    outputs: Indices
    """The flat index of the output of each entry: its row."""
    inputs: Indices
    """The flat index of the input of each entry: its column."""
    gradients: Values
    """The gradients of these outputs."""
    values: Values
    """These inputs."""
    padding: float
    """The gradient by the padding: the padding value times the gradients of the outputs where the weight meets it."""


class Window(NamedTuple):
    """What one output sees of x: a product of channels and positions."""

    channels: range
    positions: tuple[Indices, ...]
    """The positions along each spatial axis, in the order of the taps. Those outside x are padding."""


@dataclass(frozen=True)
class Entries:
    """The entries of M. Positions and taps are flat; taps are counted in the order in which K holds them."""

    geometry: Geometry
    modes: tuple[str, ...]

    def read_along(self, axis: int, output: int) -> Indices:
        """Return the position that each tap of an output reads along one axis; -1 for zeros of the padding."""
        geometry = self.geometry
        begin = geometry.pad_before[axis] - output * geometry.stride[axis]
        single = replace(geometry, out_size=(1, 1, 1), pad_before=_changed(geometry.pad_before, axis, begin))
        windows = along_axis(single, axis, self.modes[axis])
        read = np.full(geometry.kernel[axis], -1, np.int64)
        read[windows.taps] = windows.positions
        return read

    def readers_along(self, axis: int, position: int) -> tuple[Indices, Indices]:
        """Return the outputs that read a position along one axis, and the taps with which they do."""
        geometry = self.geometry
        before, size = geometry.pad_before[axis], geometry.in_size[axis]
        # padding that crops takes nothing away: no output reaches what is cropped
        copies = copies_of(position, size, -max(before, 0), size + max(geometry.pad_after[axis], 0), self.modes[axis])
        taps = np.arange(geometry.kernel[axis])
        begins = copies[:, np.newaxis] + before - taps * geometry.dilation[axis]
        outputs, rest = np.divmod(begins, geometry.stride[axis])
        found = (rest == 0) & (outputs >= 0) & (outputs < geometry.out_size[axis])
        return outputs[found], np.broadcast_to(taps, found.shape)[found]

    def places_along(self, axis: int, tap: int) -> tuple[Indices, Indices]:
        """Return the outputs along one axis for which a tap reads an element, and its position."""
        windows = along_axis(self.of_tap(axis, tap), axis, self.modes[axis])
        return np.repeat(np.arange(len(windows.indptr) - 1), np.diff(windows.indptr)), windows.positions

    def of_tap(self, axis: int, tap: int) -> Geometry:
        """Return the geometry in which one tap is the whole kernel along an axis."""
        geometry = self.geometry
        before = geometry.pad_before[axis] - tap * geometry.dilation[axis]
        return replace(
            geometry,
            kernel=_changed(geometry.kernel, axis, 1),
            pad_before=_changed(geometry.pad_before, axis, before),
        )

    def row(self, output: int) -> Indices:
        """Return the position that each tap reads for an output; -1 for zeros of the padding."""
        where = np.unravel_index(output, self.geometry.out_size)
        depth, height, width = (self.read_along(axis, int(where[axis])) for axis in range(3))
        _, rows, columns = self.geometry.in_size
        plane = depth[:, np.newaxis, np.newaxis] * rows + height[:, np.newaxis]
        outside = (depth < 0)[:, np.newaxis, np.newaxis] | (height < 0)[:, np.newaxis] | (width < 0)
        return np.asarray(np.where(outside, -1, plane * columns + width).ravel())

    def column(self, position: int) -> tuple[Indices, Indices]:
        """Return the outputs of a channel that read a position, in their order, and their taps."""
        where = np.unravel_index(position, self.geometry.in_size)
        pairs = [self.readers_along(axis, int(where[axis])) for axis in range(3)]
        outputs = _product([outputs for outputs, _ in pairs], self.geometry.out_size)
        taps = _product([taps for _, taps in pairs], self.geometry.kernel)
        order = np.lexsort((taps, outputs))
        return outputs[order], taps[order]

    def places(self, tap: int) -> tuple[Indices, Indices]:
        """Return the outputs of a channel for which a tap reads an element, and its position."""
        where = np.unravel_index(tap, self.geometry.kernel)
        pairs = [self.places_along(axis, int(where[axis])) for axis in range(3)]
        outputs = _product([outputs for outputs, _ in pairs], self.geometry.out_size)
        return outputs, _product([positions for _, positions in pairs], self.geometry.in_size)


def copies_of(position: int, size: int, begin: int, end: int, mode: str) -> Indices:
    """Return where a position of x is repeated along an extended axis from `begin` to ``end - 1``, in ascending order.

    The position itself is one of these places.
    """
    if mode == "constant":
        return np.array([position])
    if mode == "edge":
        places = np.arange(begin if position == 0 else position, end if position == size - 1 else position + 1)
        return np.asarray(places)
    period = extension_period(size, mode)
    images = [position] if mode == "wrap" else [position, -position - (mode == "symmetric")]
    places = np.concatenate([np.arange(begin + (image - begin) % period, end, period) for image in images])
    return np.unique(places)


def _changed(sizes: Sizes, axis: int, value: int) -> Sizes:
    return (*sizes[:axis], value, *sizes[axis + 1 :])


def _product(indices: list[Indices], sizes: Sizes) -> Indices:
    """Return the flat indices of all combinations of indices along three axes, in C order."""
    depth, height, width = indices
    plane = depth[:, np.newaxis, np.newaxis] * sizes[1] + height[:, np.newaxis]
    return np.asarray((plane * sizes[2] + width).ravel(), np.int64)


class Facts:
    """The numbers of one problem."""

    def __init__(self, problem: Problem) -> None:
        self.problem = problem
        geometry = problem.geometry
        self.entries = Entries(geometry, problem.modes)
        self.taps = problem.taps
        self.group_channels = geometry.in_channels // geometry.groups
        self.group_outputs = geometry.out_channels // geometry.groups
        self.pixels, self.positions = geometry.out_pixels, prod(geometry.in_size)

    @property
    def is_computed(self) -> bool:
        """Whether the layer is small enough to compute all of it."""
        problem, geometry = self.problem, self.problem.geometry
        if problem.x.array is None or problem.weight.array is None:
            return False
        largest = max(geometry.in_channels * prod(geometry.padded_size), prod(problem.y_shape))
        return geometry.operations // 2 <= MOST_MULTIPLICATIONS and largest <= MOST_IN_MEMORY

    @cached_property
    def y(self) -> Array | None:
        """The output, from gemmconv; None if the layer is too large."""
        if not self.is_computed:
            return None
        problem = self.problem
        function = conv_transpose if problem.transposed else conv
        x, weight = problem.x.array, problem.weight.array
        # only "gemm" and "direct" are exact on integers
        return function(x, weight, problem.bias, algorithm="gemm", **problem.options.keywords())  # type: ignore[arg-type]

    @cached_property
    def constant(self) -> Array:
        """What the padding value adds to the output: the output for an x of zeros, without the bias."""
        problem, x = self.problem, self.problem.x.array
        if problem.value == 0 or x is None:
            return np.zeros(problem.y_shape)
        weight, options = problem.weight.array, problem.options.keywords()
        return conv(np.zeros_like(x), weight, algorithm="gemm", **options)  # type: ignore[arg-type]

    @cached_property
    def gradient(self) -> Array:
        """The gradient of the output: the one given, or ones."""
        given = self.problem.grad_output
        return np.ones(self.problem.y_shape) if given is None else given

    def input_gradient(self) -> Array:
        """Return the gradient of x, from gemmconv."""
        problem, weight = self.problem, self.problem.weight.array
        if problem.transposed:
            return conv(self.gradient, weight, **self._convolution_options())  # type: ignore[arg-type]
        size = problem.x.shape[1:]
        return conv_input_gradient(self.gradient, weight, size, **self._convolution_options())  # type: ignore[arg-type]

    def weight_gradient(self) -> Array:
        """Return the gradient of the weight, from gemmconv."""
        problem, x, kernel = self.problem, self.problem.x.array, self.problem.weight.shape[2:]
        options = self._convolution_options()
        if problem.transposed:  # x and the output change places
            return conv_weight_gradient(x, self.gradient, kernel, **options)  # type: ignore[arg-type]
        return conv_weight_gradient(self.gradient, x, kernel, **options)  # type: ignore[arg-type]

    def _convolution_options(self) -> dict[str, object]:
        """Return the options of the convolution, or of the one whose input gradient a transposed one is."""
        options = self.problem.options.keywords(*ONLY_TRANSPOSED)
        return {**options, "padding": self.problem.geometry.pads, "algorithm": "gemm"}

    def weight_of(self, out_channel: int, group_channel: object, tap: object) -> Indices:
        """Return the flat index of a weight, from its tap in the order of K."""
        tap = np.asarray(tap)
        tap = self.taps - 1 - tap if self.problem.options.flip else tap
        return np.asarray((out_channel * self.group_channels + np.asarray(group_channel)) * self.taps + tap)

    def _row(self, out_channel: int, output: int) -> tuple[Indices, Indices]:
        """Return weights and positions of a row of M, in the order of the weights in K."""
        read = self.entries.row(output)
        channels = np.arange(self.group_channels)[:, np.newaxis]
        weights = self.weight_of(out_channel, channels, np.arange(self.taps))
        first = out_channel // self.group_outputs * self.group_channels
        positions = np.where(read < 0, -1, (first + channels) * self.positions + read)
        return weights.ravel(), positions.ravel()

    def _column(self, channel: int, position: int) -> tuple[Indices, Indices]:
        """Return weights and outputs of a column of M, in the order of the outputs."""
        outputs, taps = self.entries.column(position)
        group, within = divmod(channel, self.group_channels)
        rows = range(group * self.group_outputs, (group + 1) * self.group_outputs)
        weights = [self.weight_of(row, within, taps) for row in rows]
        return np.concatenate(weights), np.concatenate([row * self.pixels + outputs for row in rows])

    def terms(self, at: Sizes) -> Terms:
        """Return the terms of one output."""
        channel, position = at[0], int(np.ravel_multi_index(at[1:], self.problem.y_shape[1:]))
        weights, inputs = (self._column if self.problem.transposed else self._row)(channel, position)
        return Terms(weights, inputs, self.problem.weight.at(weights), self.problem.read(inputs))

    def readers(self, input_at: Sizes) -> Readers:
        """Return the outputs that read one input."""
        channel, position = input_at[0], int(np.ravel_multi_index(input_at[1:], self.problem.x.shape[1:]))
        weights, outputs = (self._row if self.problem.transposed else self._column)(channel, position)
        weights, outputs = weights[outputs >= 0], outputs[outputs >= 0]
        return Readers(outputs, weights, self.problem.weight.at(weights), self._gradients(outputs))

    def places(self, weight_at: Sizes) -> Places:
        """Return the entries of M that are one weight."""
        tap = int(np.ravel_multi_index(weight_at[2:], self.problem.weight.shape[2:]))
        outputs, positions = self.entries.places(self.taps - 1 - tap if self.problem.options.flip else tap)
        outputs = weight_at[0] * self.pixels + outputs
        channel = weight_at[0] // self.group_outputs * self.group_channels + weight_at[1]
        positions = channel * self.positions + positions
        if self.problem.transposed:
            outputs, positions = positions, outputs
        padding = 0.0
        if self.problem.value != 0 and len(outputs) < self.pixels:  # the outputs are those of a convolution
            in_channel = np.arange(weight_at[0] * self.pixels, (weight_at[0] + 1) * self.pixels)
            padding = float((self.problem.value * self._gradients(np.setdiff1d(in_channel, outputs))).sum())
        return Places(outputs, positions, self._gradients(outputs), self.problem.x.at(positions), padding)

    def _gradients(self, outputs: Indices) -> Values:
        if self.problem.grad_output is None:
            return np.ones(len(outputs))
        return self.problem.grad_output.ravel()[outputs].astype(np.float64)

    def window(self, at: Sizes) -> Window:
        """Return what one output sees of x."""
        geometry, rank = self.problem.geometry, self.problem.rank
        if self.problem.transposed:
            group = at[0] // self.group_channels
            channels = range(group * self.group_outputs, (group + 1) * self.group_outputs)
            along = [self.entries.readers_along(axis, at[1:][axis - 3])[0] for axis in range(3 - rank, 3)]
            return Window(channels, tuple(along))
        group = at[0] // self.group_outputs
        channels = range(group * self.group_channels, (group + 1) * self.group_channels)
        seen = [
            position * geometry.stride[axis]
            - geometry.pad_before[axis]
            + np.arange(geometry.kernel[axis]) * geometry.dilation[axis]
            for axis, position in zip(range(3 - rank, 3), at[1:])
        ]
        return Window(channels, tuple(seen))

    def value(self, at: Sizes) -> float:
        """Return one output."""
        if self.y is not None:
            return float(self.y[at])
        terms = self.terms(at)
        bias = 0.0 if self.problem.bias is None else float(self.problem.bias[at[0]])
        return float(terms.factors @ terms.values) + bias
