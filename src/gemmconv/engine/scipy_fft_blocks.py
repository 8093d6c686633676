"""Blocks: how the operations of scipy_fft.py become correlations, and how a correlation is cut into blocks.

A convolution, its input gradient and its weight gradient have one correlation in common, with stride and dilation 1.
A stride s cuts x and the kernel into s *phases*, the elements with equal remainders; each phase is a channel of its
own. A dilation puts zeros between the taps. Phases without taps are left out. Along an axis with 5 taps, stride 2 ::

    tap              0  1  2  3  4
    phase            0  1  0  1  0
    tap of phase     0  0  1  1  2        the correlation has 3 taps and 2 phases

Overlap-save: a block is the circular correlation of `length` elements of x with the kernel. Its first
``length - taps + 1`` results are those of the definition, and it delivers no others. So blocks read overlapping parts
of x and write separate parts of the result: no block waits for another. ::

    x          |-----------length-----------|
    result     |-------useful-------|  taps-1  the next block begins after `useful` elements
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from itertools import product
from math import gcd, prod
from typing import NamedTuple

from ..checks.geometry import Geometry
from ..checks.options import Sizes

# The most products of channels that are computed one by one, over all frequencies; matrices take more.
MOST_PAIRS = 8
# The elements of a task, of all channels: at least as many as are worth a task, at most as many as a cache holds.
LEAST_ELEMENTS, MOST_ELEMENTS = 1 << 16, 1 << 19
# The same where weights that do not fit a cache are read by each task.
MOST_ELEMENTS_OF_MATRICES = 1 << 20
# The weights' frequencies that a cache holds.
CACHED_FREQUENCIES = 1 << 16
# About the number of tasks into which an image is cut.
TASKS = 4
# The most equal parts of an axis that are tried.
MOST_EQUAL_PARTS = 8
# The lines that scipy.fft transforms at a time, in the lanes of vectors.
LINES = 4


class Side(NamedTuple):
    """Where the elements of x or of a result are along one axis.

    Element i of phase r is at position ``i * step + r * phase_step - before`` of the array. Positions outside of the
    array are zeros of x, or results that are not wanted.
    """

    size: int
    step: int = 1
    phases: int = 1
    phase_step: int = 1
    before: int = 0


class Axis(NamedTuple):
    """One axis of a correlation: ``result[i] = sum over t of x[i + t] * kernel[t]``, for each phase."""

    taps: int
    outputs: int
    source: Side
    sink: Side

    @property
    def shared_zeros(self) -> int:
        """The zeros at both ends of what all outputs read: a circle needs one of these ends only."""
        source, span = self.source, self.outputs + self.taps - 1
        first = -(-(source.before - (source.phases - 1) * source.phase_step) // source.step)
        end = -(-(source.size + source.before) // source.step)
        return max(0, min(first, span - end, self.taps - 1))


class Correlation(NamedTuple):
    """The correlation behind an operation: its groups, its channels with their phases, and its axes."""

    groups: int
    sources: int
    """The channels of a group that are read; each phase counts as one."""
    sinks: int
    """The channels of a group that are computed; each phase counts as one."""
    axes: tuple[Axis, Axis, Axis]

    @property
    def has_matrices(self) -> bool:
        """Whether the sums over channels are products of matrices, one for each frequency."""
        return self.sources > 1 and self.sources * self.sinks > MOST_PAIRS


class Blocks(NamedTuple):
    """How a correlation is cut."""

    length: Sizes
    """The elements of a transform along each axis; 1 along an axis with one tap, which needs none."""
    useful: Sizes
    """The results of a block along each axis."""
    counts: Sizes
    """The number of blocks along each axis."""
    box: Sizes
    """The number of blocks of a task along each axis."""
    groups: int
    """The groups of a task."""

    @property
    def real_axis(self) -> int:
        """The axis along which a transform has half of its frequencies, because x is real."""
        return max([axis for axis in range(3) if self.length[axis] > 1], default=2)

    @property
    def frequencies(self) -> Sizes:
        """The frequencies along each axis."""
        return tuple([n // 2 + 1 if axis == self.real_axis else n for axis, n in enumerate(self.length)])

    def boxes(self) -> Iterator[tuple[Sizes, Sizes]]:
        """Yield, for each task of an image, the number of its first block and of its blocks along each axis."""
        for first in product(*[range(0, count, size) for count, size in zip(self.counts, self.box)]):
            yield first, tuple([min(size, count - start) for start, count, size in zip(first, self.counts, self.box)])


def phases_of(kernel: int, stride: int, dilation: int) -> tuple[int, int, int]:
    """Return, along one axis, the taps of a phase, the number of phases with taps, and the step between phases."""
    step = gcd(stride, dilation)
    last = max([tap * dilation % stride for tap in range(min(kernel, stride))])
    return (kernel - 1) * dilation // stride + 1, last // step + 1, step


def correlation_of(geometry: Geometry, *, turned: bool = False) -> Correlation:
    """Return the correlation behind a convolution, or with `turned` that behind its input gradient."""
    axes = tuple([(turned_axis if turned else forward_axis)(geometry, axis) for axis in range(3)])
    phases = prod([(axis.sink if turned else axis.source).phases for axis in axes])
    channels, outputs = geometry.in_channels // geometry.groups * phases, geometry.out_channels // geometry.groups
    sources, sinks = (outputs, channels) if turned else (channels, outputs)
    return Correlation(geometry.groups, sources, sinks, axes)  # type: ignore[arg-type]


def forward_axis(geometry: Geometry, axis: int) -> Axis:
    """Return one axis of the correlation behind a convolution."""
    stride, before, outputs = geometry.stride[axis], geometry.pad_before[axis], geometry.out_size[axis]
    taps, phases, step = phases_of(geometry.kernel[axis], stride, geometry.dilation[axis])
    return Axis(taps, outputs, Side(geometry.in_size[axis], stride, phases, step, before), Side(outputs))


def turned_axis(geometry: Geometry, axis: int) -> Axis:
    """Return one axis of the correlation behind an input gradient: of the gradient and the reversed kernel."""
    stride, before, size = geometry.stride[axis], geometry.pad_before[axis], geometry.in_size[axis]
    taps, phases, step = phases_of(geometry.kernel[axis], stride, geometry.dilation[axis])
    first, end = before // stride, (size - 1 + before) // stride + 1
    source = Side(geometry.out_size[axis], before=taps - 1 - first)
    return Axis(taps, end - first, source, Side(size, stride, phases, step, before - first * stride))


@lru_cache(maxsize=4096)
def fast_length(least: int) -> int:
    """Return the smallest product of powers of 2, 3 and 5 that is not below `least`: real transforms have these steps.

    It is not scipy.fft's, so that another version of SciPy does not cut in another way.
    """
    best = 1 << (least - 1).bit_length()
    fives = 1
    while fives < best:
        product_of_odd = fives
        while product_of_odd < best:
            best = min(best, product_of_odd << (-(-least // product_of_odd) - 1).bit_length())
            product_of_odd *= 3
        fives *= 5
    return best


def lengths_of(axis: Axis) -> list[tuple[int, int]]:
    """Return the lengths of a transform that are worth a try along an axis, each with its useful part.

    These are powers of two, also times three, and the shortest ones for the axis in a few equal parts.
    """
    if axis.taps == 1:
        return [(1, 1)]
    whole = max(axis.outputs + axis.taps - 1 - axis.shared_zeros, axis.outputs, axis.taps)
    whole = fast_length(whole)
    found = [(whole, axis.outputs)]
    for parts in range(2, MOST_EQUAL_PARTS + 1):
        useful = -(-axis.outputs // parts)
        length = fast_length(useful + axis.taps - 1)
        if length < whole and useful >= max(axis.taps // 4, 4):
            found.append((length, length - axis.taps + 1))
    for power in range(3, whole.bit_length()):
        for length in (1 << power, 3 << (power - 1)):
            useful = length - axis.taps + 1
            if length < whole and useful >= max(axis.taps // 4, 4):
                found.append((length, useful))
    return found


class Work(NamedTuple):
    """What one image takes, with a way to cut it; costs.py names the terms."""

    transforms: float
    """Elements that are transformed along an axis, weighted by the steps of the transform."""
    elements: float
    """Elements that are transformed."""
    products: float
    """Products of frequencies."""
    matrices: float
    """Products of matrices, one for each frequency and task."""
    tasks: float
    outside: float
    """Elements of tasks that leave the second-level cache."""


@lru_cache(maxsize=4096)
def steps_of(length: int) -> float:
    """Return about the nanoseconds of a transform for each element: one step for each prime factor of its length."""
    steps = 0.0
    for factor, weight in ((2, 1.0), (3, 1.8), (5, 2.6)):
        while length % factor == 0:
            length, steps = length // factor, steps + weight
    return max(1.05, 0.05 + 0.12 * (steps + length - 1))


def transform_steps(blocks: Blocks, lines: int) -> float:
    """Return the steps of the transform of a block, for each element; few lines leave lanes of vectors unused."""
    lengths = [n for n in blocks.length if n > 1]
    alone = 2.1 if len(lengths) <= 1 and lines < LINES else 1.0
    return alone * sum(map(steps_of, lengths))


def work_of(correlation: Correlation, blocks: Blocks) -> Work:
    """Return what takes time, for one image."""
    points, frequencies, count = prod(blocks.length), prod(blocks.frequencies), prod(blocks.counts)
    transformed = correlation.groups * count * (correlation.sources + correlation.sinks) * points
    lines = blocks.groups * prod(blocks.box) * min(correlation.sources, correlation.sinks)
    tasks = prod([-(-n // size) for n, size in zip(blocks.counts, blocks.box)])
    tasks *= -(-correlation.groups // blocks.groups)
    pairs = correlation.groups * frequencies * correlation.sources * correlation.sinks
    return Work(
        transformed * transform_steps(blocks, lines),
        transformed,
        pairs * count,
        correlation.groups * frequencies * tasks if correlation.has_matrices else 0,
        tasks,
        transformed if elements_of_task(correlation, blocks) > MOST_ELEMENTS else 0,
    )


def elements_of_task(correlation: Correlation, blocks: Blocks) -> int:
    """Return the elements of a task, of all its channels."""
    return (correlation.sources + correlation.sinks) * prod(blocks.length) * prod(blocks.box) * blocks.groups


def work_of_weights(correlation: Correlation, blocks: Blocks) -> Work:
    """Return what takes time to transform the weights."""
    transformed = correlation.groups * correlation.sources * correlation.sinks * prod(blocks.length)
    per_task = sinks_per_task(correlation, blocks)
    tasks = correlation.groups * -(-correlation.sinks // per_task)
    lines = correlation.sources * min(per_task, correlation.sinks)
    return Work(transformed * transform_steps(blocks, lines), transformed, 0, 0, tasks, 0)


def sinks_per_task(correlation: Correlation, blocks: Blocks) -> int:
    """Return for how many sinks a task transforms the weights."""
    return max(1, min(LEAST_ELEMENTS // (correlation.sources * prod(blocks.length)), correlation.sinks))


# The nanoseconds of each term of `Work`, by which lengths are chosen. The table of rates is fitted, and these are not:
# the choice of the lengths decides the bits of a result.
NANOSECONDS = Work(1.0, 0.5, 0.8, 60, 30_000, 0.6)
NANOSECONDS_OF_MATRICES = NANOSECONDS._replace(elements=2.0, products=0.23, matrices=96)


# The nanoseconds of a call, of a result of each channel, and of one for each pair of channels: at least.
LEAST = (40_000.0, 3.0, 0.1)


def least_nanoseconds(correlation: Correlation) -> float:
    """Return a time that no blocks can beat, for one image."""
    beginning, element, pair = LEAST
    results = correlation.groups * prod([axis.outputs for axis in correlation.axes])
    sources, sinks = correlation.sources, correlation.sinks
    return beginning + results * (element * (sources + sinks) + pair * sources * sinks)


def estimate(correlation: Correlation, blocks: Blocks) -> float:
    """Return about the nanoseconds of one image and of the weights."""
    rates = NANOSECONDS_OF_MATRICES if correlation.has_matrices else NANOSECONDS
    image, weights = work_of(correlation, blocks), work_of_weights(correlation, blocks)
    return sum([rate * (a + b) for rate, a, b in zip(rates, image, weights)])


def make_blocks(correlation: Correlation, chosen: tuple[tuple[int, int], ...]) -> Blocks:
    """Return blocks of the given lengths and useful parts, in tasks that are worth a thread and fit a cache."""
    length, useful = tuple([n for n, _ in chosen]), tuple([m for _, m in chosen])
    counts = tuple([-(-axis.outputs // m) for axis, m in zip(correlation.axes, useful)])
    block = (correlation.sources + correlation.sinks) * prod(length)
    large = correlation.has_matrices and block * min(correlation.sources, correlation.sinks) > CACHED_FREQUENCIES
    most = MOST_ELEMENTS_OF_MATRICES if large else MOST_ELEMENTS
    wanted = min(max(block * prod(counts) * correlation.groups // TASKS, LEAST_ELEMENTS), most)
    room = max(round(wanted / block), 1)
    box = [1, 1, 1]
    for axis in (2, 1, 0):
        pieces = -(-counts[axis] // max(room // prod(box), 1))
        box[axis] = -(-counts[axis] // pieces)
    groups = min(max(room // prod(box), 1), correlation.groups)
    groups = -(-correlation.groups // -(-correlation.groups // groups))
    return Blocks(length, useful, counts, tuple(box), groups)


@lru_cache(maxsize=512)
def choose_blocks(correlation: Correlation) -> Blocks:
    """Return blocks with a low estimate: the best along each axis in turn. They depend on one image alone."""
    lengths = [lengths_of(axis) for axis in correlation.axes]
    chosen = [min(of, key=lambda pair: abs(pair[0] - 4 * axis.taps)) for of, axis in zip(lengths, correlation.axes)]
    free = [axis for axis in range(3) if len(lengths[axis]) > 1]
    for axis in free * min(len(free), 2):
        candidates = []
        for pair in lengths[axis]:
            blocks = make_blocks(correlation, (*chosen[:axis], pair, *chosen[axis + 1 :]))
            candidates.append((estimate(correlation, blocks), pair))
        chosen[axis] = min(candidates)[1]
    return make_blocks(correlation, tuple(chosen))
