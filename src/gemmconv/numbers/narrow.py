"""Narrow types: arrays of uint8, float16 and other types are converted piece by piece, never as a whole.

A piece is some images, or a *band* of a large image: some rows of the output, with all rows of the input that they
read. The padding before and after the image belongs to its bands, so all bands of an image are the same convolution.
Here the kernel covers 3 rows, the padding is 1, and a band has 3 outputs::

    input              0 1 2 3 4 5 6        and one row of padding before and after it
    bands            . 0 1 2 3                  outputs 0 1 2
                           2 3 4 5 6            outputs 3 4 5
                             3 4 5 6 .          outputs 4 5 6; the last band ends with the output

How an image is cut depends on the geometry of one image, the type and the layout alone.
"""

from __future__ import annotations

from functools import lru_cache
from math import prod
from typing import Any, NamedTuple

import numpy as np

from ..checks.arrays import Array, check_out, deliver, rounded
from ..checks.geometry import Geometry, extents_of
from ..checks.options import Sizes, padding_content
from ..checks.shapes import arranged
from ..checks.types import Types
from ..engine.algorithms import pick
from ..engine.calls import Call, Options, hashable, prepare_convolution
from ..engine.extension import extended_from, refuse_value
from ..engine.weights import Weights

# The bytes of the computing type of an image, or of some images, that are converted as a whole.
LARGEST_WHOLE = 1 << 22
# The bytes that a band should have; and at most, unless it would be too few rows.
BAND_BYTES, LARGEST_BAND = 1 << 20, 1 << 23
# The least height of a band, in heights of the kernel.
LEAST_EXTENTS = 4
# The factor between a float16 and the float32 that its bits give, and the smallest positive number of float32.
BIAS_FACTOR, SMALLEST = np.float32(2.0**112), np.int32(1).view(np.float32)


class Bands(NamedTuple):
    """How an image is cut into bands."""

    axis: int
    """The axis of an image along which it is cut, counted in its array."""
    size: int
    """The length of the image along this axis."""
    outputs: int
    """The outputs of a band along this axis."""
    all_outputs: int
    stride: int
    before: int
    """The padding before the image."""
    mode: str
    """The padding mode, as numpy.pad names it."""
    value: float
    x_shape: Sizes
    """The shape of a band."""
    options: Options
    """The options of the convolution of a band."""

    def firsts(self) -> list[int]:
        """Return the first output of each band."""
        last = self.all_outputs - self.outputs
        return [*range(0, last, self.outputs), last]

    def read(self, image: Array, output: int, band: Array) -> None:
        """Write the elements that a band of outputs reads, the first of which is `output`, to `band`."""
        rows, first, count = (slice(None),) * self.axis, output * self.stride - self.before, band.shape[self.axis]
        begin, end = min(max(-first, 0), count), min(max(self.size - first, 0), count)  # the rows inside the image
        convert(image[(*rows, slice(first + begin, first + end))], band[(*rows, slice(begin, end))])
        for outside in slice(0, begin), slice(end, count):
            positions = np.arange(first + outside.start, first + outside.stop)
            if self.mode == "constant":
                band[(*rows, outside)] = self.value
            elif positions.size:
                convert(image.take(extended_from(positions, self.size, self.mode), self.axis), band[(*rows, outside)])


def is_narrow(call: Call, x: Array, types: Types) -> bool:
    """Return whether x is converted piece by piece."""
    return (
        types.kind in ("real", "rounded")
        and x.dtype.type is not types.computing.type
        and x.size * types.computing.itemsize > LARGEST_WHOLE
        and call.problem.kernel != "empty"
    )


def convolve_narrow(
    call: Call, options: Options, types: Types, x: Array, weights: Weights, out: Array | None = None
) -> Array:
    """Convolve, and return the result, which is `out` if that was given; `call` is the call for all of x."""
    if out is not None:
        check_out(out, call.out_shape, types.result)
    dtype, geometry = types.computing, call.geometry
    arrays = [x, weights.weight] if weights.bias is None else [x, weights.weight, weights.bias]
    usable = (
        out is not None
        and out.dtype == types.result
        and types.result == dtype
        and not any(np.may_share_memory(out, array) for array in arrays)
    )
    result = out if out is not None and usable else np.empty(call.out_shape, types.result)
    is_batch = x.ndim > geometry.rank + 1
    images, results = (x, result) if is_batch else (x[np.newaxis], result[np.newaxis])
    bands = bands_of(geometry, call.computed, hashable(options), dtype.itemsize)
    if bands is None:
        convolve_images(images, results, weights, options, dtype)
    else:
        convolve_bands(bands, images, results, weights, dtype)
    return result if out is None or usable else deliver(result, out)


def convolve_images(images: Array, results: Array, weights: Weights, options: Options, dtype: np.dtype[Any]) -> None:
    """Convolve some images at a time."""
    count = max(1, BAND_BYTES // (images[0].size * dtype.itemsize))
    converted = np.empty((min(count, len(images)), *images.shape[1:]), dtype)
    for first in range(0, len(images), count):
        some = images[first : first + count]
        piece = converted[: len(some)]
        convert(some, piece)
        call = prepare_convolution(some.shape, weights.weight.shape, dtype.itemsize, options)
        run_piece(call, weights, piece, results[first : first + count])


def convolve_bands(bands: Bands, images: Array, results: Array, weights: Weights, dtype: np.dtype[Any]) -> None:
    """Convolve a band at a time."""
    call = prepare_convolution(bands.x_shape, weights.weight.shape, dtype.itemsize, bands.options)
    band, computed = np.empty(bands.x_shape, dtype), np.empty(call.out_shape, dtype)
    for image, result in zip(images, results):
        for output in bands.firsts():
            bands.read(image, output, band)
            part = result[(*[slice(None)] * bands.axis, slice(output, output + bands.outputs))]
            run_piece(call, weights.of_bands(), band, part, computed)


def run_piece(call: Call, weights: Weights, x: Array, part: Array, computed: Array | None = None) -> None:
    """Convolve a piece, and write its result to a part of the whole result; `computed` is memory for it."""
    laid_out = weights.for_convolution(x.dtype, call)
    target = part if part.flags.carray and part.dtype == x.dtype else computed
    made = call.into(target, x.dtype, x, laid_out.weight, laid_out.bias)
    if made is not part:
        np.copyto(part, rounded(made, part.dtype), casting="same_kind")


@lru_cache(maxsize=256)
def bands_of(geometry: Geometry, computed: Geometry, options: Options, itemsize: int) -> Bands | None:
    """Return how an image is cut into bands, or None if it is converted as a whole."""
    modes, value = padding_content(options.padding_mode, options.padding_value, geometry.rank)
    if isinstance(value, complex) and any(max(pad) > 0 for pad in geometry.pads):
        refuse_value(value)
    chosen = choose_cut(geometry, itemsize, options.channels_last)
    if chosen is None:
        return None
    axis, outputs = chosen
    name = str(options.algorithm)
    if name == "auto":
        name = pick("convolution", computed, name, channels_last=options.channels_last).algorithm
    stride, spatial = geometry.stride[axis], axis - 3 + geometry.rank
    extent = extents_of(geometry.kernel, geometry.dilation)[axis]
    pads, shape = list(geometry.pads), list(geometry.x_shape[1:])
    before, _ = pads[spatial]
    pads[spatial], shape[1 + spatial] = (0, 0), (outputs - 1) * stride + extent
    return Bands(
        spatial if options.channels_last else 1 + spatial,
        geometry.in_size[axis],
        outputs,
        geometry.out_size[axis],
        stride,
        before,
        modes[spatial],
        value.real,  # without padding it may be complex
        arranged(tuple(shape), geometry.rank, options.channels_last),
        options._replace(padding=tuple(pads), algorithm=name),
    )


def choose_cut(geometry: Geometry, itemsize: int, channels_last: bool) -> tuple[int, int] | None:
    """Return the axis along which an image is cut, and the outputs of a band; or None if it is not cut."""
    image = itemsize * geometry.in_channels * prod(geometry.in_size)
    if image <= LARGEST_WHOLE:
        return None
    result = itemsize * geometry.out_channels * geometry.out_pixels
    cuts = []
    for axis, extent in enumerate(extents_of(geometry.kernel, geometry.dilation)):
        stride, row = geometry.stride[axis], image // geometry.in_size[axis]
        least = -(-LEAST_EXTENTS * extent // stride)
        outputs = (BAND_BYTES // row - extent) // stride + 1
        if not channels_last:  # the result of a band is also kept, before it is copied
            outputs = min(outputs, BAND_BYTES // (result // geometry.out_size[axis]))
        outputs = max(outputs, least)
        outputs -= outputs % 8 if outputs >= 16 else 0
        if outputs < geometry.out_size[axis]:
            cuts.append((((outputs - 1) * stride + extent) * row, axis, outputs))
    if not cuts:
        return None
    small = [cut for cut in cuts if cut[0] <= LARGEST_BAND]
    _, axis, outputs = small[0] if small else min(cuts)
    return axis, outputs


def convert(numbers: Array, converted: Array) -> None:
    """Write numbers to an array of the computing type."""
    if numbers.dtype == np.float16 and numbers.dtype.isnative and converted.dtype == np.float32:
        widen_float16(numbers, converted)
    else:
        np.copyto(converted, numbers, casting="unsafe")


def widen_float16(numbers: Array, converted: Array) -> None:
    """Write float16 numbers to an array of float32; NumPy does so one by one.

    The bits of a float16, moved to where those of a float32 are, are those of the number times 2**-112: the exponent
    of a float16 is biased by 15, that of a float32 by 127. Infinities and NaNs, whose exponent has all bits set, would
    become numbers. Subnormal numbers of float16 give those of float32, which a process may have set to count as zero
    (a program that is compiled with -ffast-math does, or torch.set_flush_denormal). NumPy converts all of these. ::

        float16              s eeeee mmmmmmmmmm
        float32     s 000eeeee mmmmmmmmmm 0000000000000
    """
    halves, bits = numbers.view(np.int16), converted.view(np.int32)
    if SMALLEST * BIAS_FACTOR == 0 or ((halves & 0x7C00) == 0x7C00).any():
        np.copyto(converted, numbers)
        return
    np.copyto(bits, halves)  # copies of the sign come before it
    np.left_shift(bits, 13, out=bits)
    np.bitwise_and(bits, ~0x70000000, out=bits)
    np.multiply(converted, BIAS_FACTOR, out=converted)
