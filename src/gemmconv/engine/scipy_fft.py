"""Convolutions and gradients by fast Fourier transforms, block by block.

scipy_fft_blocks.py turns an operation into a correlation and cuts it. Here a task transforms some blocks (scipy.fft),
multiplies them by the transformed weights, sums over channels, transforms back, and writes what is useful. All arrays
of a task have one of two orders, where F are the frequencies of a block ::

    x     (groups, sources, blocks, F)        (F, groups, sources, blocks)
    w     (groups, sinks, sources, F)         (F, groups, sinks, sources)
    y     (groups, sinks, blocks, F)          (F, groups, sinks, blocks)
          few channels: products of rows      many: a product of matrices for each frequency

A task and its transforms depend on the geometry of one image alone, and each transform runs on the thread of its task.
So bits depend neither on the batch nor on the number of threads. If a result is not finite, its image is computed again
by another algorithm: a transform spreads what is not finite over a whole block.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from math import prod
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..checks.arrays import Array
from ..checks.geometry import Geometry
from ..checks.options import Sizes
from .blas import LARGEST_UNTHREADED_GEMM, single_threaded_blas
from .python_tasks import run_tasks
from .scipy_fft_blocks import Blocks, Correlation, choose_blocks, correlation_of, estimate, phases_of, sinks_per_task
from .scipy_fft_windows import Window, make_window

Frequencies = NDArray[Any]
#: Builds an object with the method `run` for another algorithm, and says whether BLAS must be limited.
Exact = Callable[[], tuple[Any, bool]]

# The most numbers in the sums of a weight gradient that are computed apart, and the most of these sums.
MOST_PARTS_ELEMENTS, MOST_PARTS = 1 << 22, 8
# The least work that a thread of Python should get, in nanoseconds. To begin and to end its tasks takes some tens of
# microseconds.
NANOSECONDS_PER_THREAD = 250_000
# Transformed weights of fewer bytes are made by the caller alone.
BYTES_WORTH_THREADS = 1 << 20


class TransformedWeight(NamedTuple):
    """The transformed weight, and the weight as it came."""

    frequencies: Frequencies
    weight: Array


class Transforms:
    """The transforms of the blocks of one correlation, and where the blocks are in arrays."""

    def __init__(self, correlation: Correlation, itemsize: int) -> None:
        from scipy import fft  # it takes a tenth of a second to import

        self.fft = fft
        self.correlation, self.itemsize = correlation, itemsize
        self.blocks: Blocks = choose_blocks(correlation)
        self.last = self.blocks.real_axis
        #: the other axes along which there is something to transform
        self.others = [axis for axis in range(3) if axis != self.last and self.blocks.length[axis] > 1]
        self.leading = correlation.has_matrices
        self.frequencies = self.blocks.frequencies
        self.count = prod(self.frequencies)

    def in_order(self, array: Array) -> Array:
        """Return an array (..., three axes) with the axes of the transform where they belong."""
        if not self.leading:
            return array
        axes = range(array.ndim)
        return array.transpose(*axes[-3:], *axes[:-3])

    def forward(self, view: Array, shape: Sizes) -> Frequencies:
        """Transform an array (..., three axes), padded with zeros, and return it with the given other axes."""
        view = self.in_order(view)
        first, length = (0 if self.leading else view.ndim - 3), self.blocks.length
        values = self.fft.rfft(view, length[self.last], axis=first + self.last, workers=1)
        for axis in self.others:
            values = self.fft.fft(values, length[axis], axis=first + axis, overwrite_x=True, workers=1)
        count = self.count
        result: Frequencies = values.reshape((count, *shape) if self.leading else (*shape, count))
        return result

    def backward(self, values: Frequencies, shape: Sizes, wanted: Sizes) -> Array:
        """Transform frequencies back; return (*shape, *wanted), the first elements along the three axes."""
        frequencies, length = self.frequencies, self.blocks.length
        values = values.reshape((*frequencies, *shape) if self.leading else (*shape, *frequencies))
        first = 0 if self.leading else len(shape)
        for axis in self.others:
            values = self.fft.ifft(values, axis=first + axis, overwrite_x=True, workers=1)
            values = values[(slice(None),) * (first + axis) + (slice(wanted[axis]),)]
        values = self.fft.irfft(values, length[self.last], axis=first + self.last, overwrite_x=True, workers=1)
        values = values[(slice(None),) * (first + self.last) + (slice(wanted[self.last]),)]
        if self.leading:
            axes = range(values.ndim)
            values = values.transpose(*axes[3:], *axes[:3])
        result: Array = values
        return result

    def multiply(self, weight: Frequencies, x: Frequencies) -> Frequencies:
        """Return the sums over sources of products, for each sink, block and frequency."""
        if self.leading:
            return multiply_matrices(weight, x)
        sinks, sources = weight.shape[1:3]
        if sinks == sources == 1:
            return np.multiply(x, weight, out=x)
        y = np.empty((len(x), sinks, *x.shape[2:]), x.dtype)
        products = np.empty((len(x), *x.shape[2:]), x.dtype)
        for sink in range(sinks):
            np.multiply(x[:, 0], weight[:, sink, 0, None], out=y[:, sink])
            for source in range(1, sources):
                np.multiply(x[:, source], weight[:, sink, source, None], out=products)
                y[:, sink] += products
        return y

    def multiply_conjugate(self, gradient: Frequencies, x: Frequencies) -> Frequencies:
        """Return the sums over blocks of products with the conjugate gradient, for each sink, source and frequency."""
        np.conjugate(gradient, out=gradient)
        if self.leading:
            return multiply_matrices(gradient, x.swapaxes(-1, -2))
        return np.stack([(gradient[:, sink, None] * x).sum(axis=2) for sink in range(gradient.shape[1])], axis=1)


def multiply_matrices(left: Frequencies, right: Frequencies) -> Frequencies:
    """Return the product of two matrices for each frequency, by calls of BLAS so small that it starts no threads.

    A matrix of one row or column is doubled, because BLAS starts threads for smaller vectors than matrices.
    """
    if left.shape[-2] == 1:
        return multiply_matrices(np.concatenate((left, left), -2), right)[..., :1, :]
    if right.shape[-1] == 1:
        return multiply_matrices(left, np.concatenate((right, right), -1))[..., :1]
    rows = max(LARGEST_UNTHREADED_GEMM // (right.shape[-2] * right.shape[-1]), 1)
    if rows >= left.shape[-2]:
        whole: Frequencies = np.matmul(left, right)
        return whole
    result = np.empty((*left.shape[:-1], right.shape[-1]), left.dtype)
    for row in range(0, left.shape[-2], rows):
        result[..., row : row + rows, :] = np.matmul(left[..., row : row + rows, :], right)
    return result


def tap_indices(geometry: Geometry) -> list[tuple[NDArray[np.intp], NDArray[np.intp]]]:
    """Return, along each axis, the phase of each tap and its number in the phase."""
    indices = []
    for kernel, stride, dilation in zip(geometry.kernel, geometry.stride, geometry.dilation):
        positions = np.arange(kernel) * dilation
        indices.append((positions % stride // phases_of(kernel, stride, dilation)[2], positions // stride))
    return indices


def weight_index(geometry: Geometry) -> tuple[Any, ...]:
    """Return the index of the taps in an array (groups, outputs, channels, phases, taps of a phase)."""
    indices = tap_indices(geometry)
    open_grid = [np.ix_(*[of[part] for of in indices]) for part in (0, 1)]
    return (slice(None), slice(None), slice(None), *open_grid[0], *open_grid[1])


class Fft:
    """What the three operations share: `geometry` is that of the convolution, in every case."""

    kernel = "scipy_fft"

    def __init__(self, geometry: Geometry, itemsize: int, exact: Exact, *, turned: bool = False) -> None:
        self.geometry, self.itemsize, self.exact, self.turned = geometry, itemsize, exact, turned
        self.correlation = correlation_of(geometry, turned=turned)
        self.transforms = Transforms(self.correlation, itemsize)
        blocks = self.transforms.blocks
        self.groups = [
            slice(first, min(first + blocks.groups, geometry.groups))
            for first in range(0, geometry.groups, blocks.groups)
        ]
        self.boxes = list(blocks.boxes())
        self._windows: dict[tuple[str, int, int], Window] = {}
        self._nanoseconds = estimate(self.correlation, blocks)
        self.in_shape = (geometry.groups, geometry.in_channels // geometry.groups, *geometry.in_size)
        self.out_shape = (geometry.groups, geometry.out_channels // geometry.groups, *geometry.out_size)

    @property
    def task_count(self) -> int:
        """The number of tasks."""
        return self.geometry.batch * len(self.groups) * len(self.boxes)

    @property
    def scratch_bytes(self) -> int:
        """The memory of one task: what it reads, its frequencies, and its results."""
        blocks, correlation = self.transforms.blocks, self.correlation
        channels = correlation.sources + correlation.sinks
        of_block = channels * (prod(blocks.length) + 2 * self.transforms.count)
        return blocks.groups * prod(blocks.box) * of_block * self.itemsize

    @property
    def layout_bytes(self) -> int:
        """The memory of the transformed weights."""
        correlation = self.correlation
        pairs = correlation.groups * correlation.sources * correlation.sinks
        return 2 * self.itemsize * pairs * self.transforms.count

    def threads_worth(self, threads: int) -> int:
        """Return the number of threads to use, at most `threads`."""
        return max(1, min(threads, int(self._nanoseconds * self.geometry.batch / NANOSECONDS_PER_THREAD)))

    def source(self, groups: int, box: int) -> Window:
        """Return the window through which some groups of x are read for a box."""
        return self._window("source", groups, box)

    def sink(self, groups: int, box: int) -> Window:
        """Return the window through which some groups of the result are written for a box."""
        return self._window("sink", groups, box)

    def _window(self, side: str, groups: int, box: int) -> Window:
        key = side, groups, box
        window = self._windows.get(key)
        if window is None:
            of_source, blocks = side == "source", self.transforms.blocks
            channels = (self.in_shape if of_source else self.out_shape)[1]
            sides = [getattr(axis, side) for axis in self.correlation.axes]
            length = blocks.length if of_source else None
            window = self._windows[key] = make_window(
                (groups, channels), sides, self.boxes[box], blocks.useful, length, self.itemsize
            )
        return window

    def of_groups(self, frequencies: Frequencies, groups: slice) -> Frequencies:
        """Return a part of the transformed weights."""
        return frequencies[:, groups] if self.transforms.leading else frequencies[groups]


class FftConvolution(Fft):
    """A convolution, or with `turned` the input gradient of one; with `relu` negative results become zero."""

    def __init__(
        self, geometry: Geometry, itemsize: int, exact: Exact, *, relu: bool = False, turned: bool = False
    ) -> None:
        super().__init__(geometry, itemsize, exact, turned=turned)
        self.relu = relu
        if turned:
            self.in_shape, self.out_shape = self.out_shape, self.in_shape

    def lay_out(self, weight: Array, threads: int = 1) -> TransformedWeight:
        """Return the transformed weight. It serves any batch."""
        geometry, correlation, transforms = self.geometry, self.correlation, self.transforms
        phases = [max(axis.source.phases, axis.sink.phases) for axis in correlation.axes]
        taps = [axis.taps for axis in correlation.axes]
        outputs, channels = geometry.out_channels // geometry.groups, geometry.in_channels // geometry.groups
        weight = np.asarray(weight)
        by_channel = weight.reshape(geometry.groups, outputs, channels, *geometry.kernel)
        if prod(phases) > 1 or prod(taps) > prod(geometry.kernel):
            by_phases = np.zeros((geometry.groups, outputs, channels, *phases, *taps), weight.dtype)
            by_phases[weight_index(geometry)] = by_channel
            by_channel = by_phases.reshape(geometry.groups, outputs, -1, *taps)
        if self.turned:
            by_channel = np.flip(by_channel, (-3, -2, -1)).swapaxes(1, 2)
        result_shape = (correlation.sinks, correlation.sources)
        count = transforms.count
        order = (
            (count, geometry.groups, *result_shape) if transforms.leading else (geometry.groups, *result_shape, count)
        )
        frequencies = np.empty(order, np.result_type(weight.dtype, np.complex64))

        per_task = sinks_per_task(correlation, transforms.blocks)
        tasks_of_group = -(-correlation.sinks // per_task)

        def transform(number: int) -> None:
            group, first = divmod(number, tasks_of_group)
            sinks = slice(first * per_task, (first + 1) * per_task)
            kernels = by_channel[group, sinks]
            values = transforms.forward(kernels, kernels.shape[:2])
            np.conjugate(values, out=frequencies[:, group, sinks] if transforms.leading else frequencies[group, sinks])

        large = frequencies.nbytes >= BYTES_WORTH_THREADS
        run_tasks(transform, geometry.groups * tasks_of_group, threads if large else 1)
        return TransformedWeight(frequencies, weight)

    def run(self, x: Array, weight: Any, bias: Array | None, out: Array, threads: int = 1) -> None:
        """Compute ``out = conv(x, weight) + bias`` on at most `threads` threads; all of `out` is written.

        `bias` may be None; `weight` may be laid out already.
        """
        laid_out = weight if isinstance(weight, TransformedWeight) else self.lay_out(weight, threads)
        batch = self.geometry.batch
        images, results = x.reshape(batch, *self.in_shape), out.reshape(batch, *self.out_shape)
        biases = None if bias is None else bias.reshape(*self.out_shape[:2], 1, 1, 1)
        finite = [True] * batch
        of_image = len(self.groups) * len(self.boxes)

        def compute(number: int) -> None:
            image, number = divmod(number, of_image)
            group, box = divmod(number, len(self.boxes))
            groups = self.groups[group]
            part = self._compute(images[image, groups], laid_out.frequencies, results[image, groups], groups, box)
            if not np.isfinite(part.sum()):
                finite[image] = False
            if biases is not None:
                part += biases[groups]
            if self.relu:
                np.maximum(part, 0, out=part)

        run_tasks(compute, batch * of_image, self.threads_worth(threads))
        again = [image for image in range(batch) if not finite[image]]
        if again:
            exact, limits_blas = self.exact()
            with single_threaded_blas if limits_blas else nullcontext():
                for image in again:
                    exact.run(images[image], laid_out.weight, bias, results[image], threads)

    def _compute(self, x: Array, frequencies: Frequencies, out: Array, groups: slice, box_number: int) -> Array:
        """Compute some blocks of some groups of one image, and return the part of `out` that was written."""
        transforms, box, correlation = self.transforms, self.boxes[box_number], self.correlation
        count, blocks = len(x), prod(box[1])
        view = self.source(count, box_number).read(x)
        values = transforms.forward(view, (count, correlation.sources, blocks))
        values = transforms.multiply(self.of_groups(frequencies, groups), values)
        values = transforms.backward(values, (count, correlation.sinks, blocks), transforms.blocks.useful)
        return self.sink(count, box_number).write(out, values)

    def run_plain(self, x: Array, weight: Any, bias: Array | None, out: Array, threads: int = 1) -> bool:
        """Do as `run` does, and return True; or return False and do nothing if the arrays are not suitable."""
        suitable = x.flags.carray and out.flags.carray and not np.may_share_memory(x, out)
        if suitable:
            self.run(x, weight, bias, out, threads)
        return suitable


class FftWeightGradient(Fft):
    """The gradient of the weight of a convolution."""

    @property
    def parts(self) -> int:
        """How many sums over some of the blocks are computed apart and added in order."""
        elements = self.layout_bytes // self.itemsize // len(self.groups)
        return max(1, min(self.geometry.batch * len(self.boxes), MOST_PARTS, MOST_PARTS_ELEMENTS // elements))

    def run(self, grad_output: Array, x: Array, out: Array, threads: int = 1) -> None:
        """Compute the gradient of the weight. All of `out` is written; the gradient of an empty batch is zero."""
        batch, parts = self.geometry.batch, self.parts
        if batch == 0:
            out[...] = 0
            return
        images, gradients = x.reshape(batch, *self.in_shape), grad_output.reshape(batch, *self.out_shape)
        blocks = [(image, box) for image in range(batch) for box in range(len(self.boxes))]
        sums: list[list[Frequencies]] = [[np.empty(0)] * parts for _ in self.groups]
        results = np.empty((*self.weight_shape()[:3], *self._phases(), *self._taps()), out.dtype)

        def compute(number: int) -> None:
            group, part = divmod(number, parts)
            groups = self.groups[group]
            first, end = part * len(blocks) // parts, (part + 1) * len(blocks) // parts
            total = None
            for image, box in blocks[first:end]:
                products = self._products(gradients[image, groups], images[image, groups], box)
                total = products if total is None else np.add(total, products, out=total)
            assert total is not None
            sums[group][part] = total

        def finish(group: int) -> None:
            total = sums[group][0]
            for part in sums[group][1:]:
                total += part
            groups = self.groups[group]
            shape = (groups.stop - groups.start, self.correlation.sinks, self.correlation.sources)
            values = self.transforms.backward(total, shape, self._taps())
            results[groups] = values.reshape(results[groups].shape)

        threads_used = self.threads_worth(threads)
        run_tasks(compute, len(self.groups) * parts, threads_used)
        run_tasks(finish, len(self.groups), threads_used)
        gradient = results[weight_index(self.geometry)]
        if np.isfinite(gradient).all():
            out[...] = gradient.reshape(out.shape)
            return
        exact, limits_blas = self.exact()
        with single_threaded_blas if limits_blas else nullcontext():
            exact.run(grad_output, x, out, threads)

    def _products(self, gradient: Array, x: Array, box: int) -> Frequencies:
        """Return the products of some blocks of some groups of one image, summed over the blocks."""
        transforms, correlation = self.transforms, self.correlation
        count, blocks = len(x), prod(self.boxes[box][1])
        values = transforms.forward(self.source(count, box).read(x), (count, correlation.sources, blocks))
        view = self.sink(count, box).read(gradient)
        of_gradient = transforms.forward(view, (count, correlation.sinks, blocks))
        return transforms.multiply_conjugate(of_gradient, values)

    def weight_shape(self) -> Sizes:
        """Return the shape of the weight as (groups, outputs, channels, *kernel)."""
        return (self.geometry.groups, self.out_shape[1], self.in_shape[1], *self.geometry.kernel)

    def _phases(self) -> Sizes:
        return tuple([axis.source.phases for axis in self.correlation.axes])

    def _taps(self) -> Sizes:
        return tuple([axis.taps for axis in self.correlation.axes])
