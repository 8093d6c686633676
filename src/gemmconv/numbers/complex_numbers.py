"""Complex numbers: operations on them by operations on their real and imaginary parts.

A product with a weight a + bi is one with a matrix of two rows and columns. So a convolution of complex arrays is one
of real arrays with twice the channels, and the input gradient of that is the product with the conjugate:

    re of y     a  -b     re of x             re of the gradient of x      a  b     re of the gradient of y
             =         @                                                =        @
    im of y     b   a     im of x             im of the gradient of x     -b  a     im of the gradient of y

With channels first, the real parts of all channels of a group come before their imaginary parts. With channels last,
the parts of each channel are neighbours, which is how complex numbers are stored, so nothing is moved.

If the weight is large compared with the images, building the weight of twice the channels takes long. Then only one
side is doubled: the inputs are x and ix, or the outputs are a and b:

    y = (re  im of the weight) @ (x  ix)          y = a + ib,   a = (re of the weight) @ x,   b = (im of the weight) @ x

The weight is real there, so the parts of an image are two images, or neighbouring columns of one image where nothing
is moved: if channels are first, and the kernel covers one column.

With one tap and a stride, the positions that are read are copied first, and convolved without the stride.

A real array has no imaginary part, not one of zeros, which would make NaN of an infinity. With a real weight, the parts
of an image are two images or neighbouring columns. With channels last and one tap, these are the parts of a band of
pixels, which stay in the cache. With real images, a complex weight has two output channels for each of its own.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import lru_cache, partial
from math import prod
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from .._gemmconv import times_i, transpose
from ..checks.arrays import Array, contiguous
from ..checks.geometry import Geometry
from ..checks.options import Sizes
from ..checks.types import FLOAT32, DType, Types, real_part
from ..engine.calls import prepare_convolution
from ..engine.weights import Weights
from ..threads import get_num_threads

if TYPE_CHECKING:
    from .operation import Operation


COMPLEX64, COMPLEX128 = np.dtype(np.complex64), np.dtype(np.complex128)


def complex_type(computing: DType) -> DType:
    """Return the type of complex numbers with parts of a computing type."""
    return COMPLEX64 if computing == FLOAT32 else COMPLEX128


def split(numbers: Array, computing: DType, count: int) -> Array:
    """Return the parts of `count` equal pieces of an array: of each piece, the real parts and then the imaginary."""
    pairs = contiguous(numbers, complex_type(computing))
    parts = np.empty((count, 2, pairs.size // max(count, 1)), computing)
    transpose(pairs.ravel().view(computing), parts, 2, count, computing.itemsize, get_num_threads())
    return parts


def join(parts: Array, count: int) -> Array:
    """Return the complex numbers of which `split` made these parts."""
    pairs = np.empty(parts.size, parts.dtype)
    transpose(parts, pairs, parts.size // max(2 * count, 1), count, parts.dtype.itemsize, get_num_threads())
    return pairs.view(complex_type(parts.dtype))


class Form(NamedTuple):
    """Where the parts of complex arrays are among real numbers.

    What `way` says holds for a convolution of two complex arrays:

        doubled   twice the channels on both sides
        images    x and ix are the inputs
        results   a and b are the outputs of which ``a + ib`` is the result
        parts     four products: a depthwise convolution with twice the channels has no kernel of its own
    """

    rank: int
    """The number of spatial axes."""
    groups: int
    channels_last: bool
    computing: DType
    """The type of the parts."""
    way: str = "doubled"
    in_columns: bool = False
    """Whether the parts of an image can be neighbouring columns for a convolution with a real weight."""
    has_one_tap: bool = False
    """Whether the parts of the weight, as complex numbers are stored, are two input channels already."""
    steps: Sizes = ()
    """Along each spatial axis, the distance of the positions that are read, if not all are. Only they are copied."""
    stride: Sizes = ()
    """The stride of the convolution of the positions that are read, if it is not that of the caller."""
    band: int = 0
    """The pixels of which the parts are taken at a time for a real weight, or 0: those of all pixels."""

    def read(self, images: Array) -> Array:
        """Return a view of the positions of images that the convolution reads."""
        positions: tuple[Any, ...] = tuple([slice(None, None, step) for step in self.steps])
        return images[(..., *positions, slice(None)) if self.channels_last else (..., *positions)]

    def doubled(self, images: Array) -> Array:
        """Return complex images as real ones with twice the channels."""
        if self.channels_last:
            return self.columns(images)
        *batch, channels = images.shape[: -self.rank]
        parts = split(images, self.computing, prod(batch) * self.groups)
        return parts.reshape(*batch, 2 * channels, *images.shape[-self.rank :])

    def joined(self, images: Array) -> Array:
        """Return the complex images of which `doubled` made these."""
        if self.channels_last:
            return images.view(complex_type(self.computing))
        *batch, channels = images.shape[: -self.rank]
        return join(images, prod(batch) * self.groups).reshape(*batch, channels // 2, *images.shape[-self.rank :])

    def planes(self, images: Array) -> Array:
        """Return the parts of complex images as twice the images."""
        count = prod(images.shape[: -self.rank - 1])
        return split(images, self.computing, count).reshape(2 * count, *images.shape[-self.rank - 1 :])

    def of_planes(self, planes: Array, batch: Sizes) -> Array:
        """Return complex images, of which `planes` made these; `batch` are their axes before those of one image."""
        return join(planes, prod(batch)).reshape(*batch, *planes.shape[1:])

    def columns(self, images: Array) -> Array:
        """Return complex numbers as real ones, twice along the last axis: a view where they are contiguous."""
        return contiguous(images, complex_type(self.computing)).view(self.computing)

    def with_times_i(self, images: Array) -> Array:
        """Return complex images x with twice the channels, x and ix, as `columns` or as `planes`.

        x and ix are those of a group, or of one channel where the weight has one tap.
        """
        if self.in_columns:
            return self.times_i(self.columns(images), 2 * images.shape[-self.rank - 1], are_added=False)
        # the planes are the conjugate, which holds re and -im, and im and re
        if self.has_one_tap and self.channels_last:
            pairs = np.conjugate(contiguous(images, complex_type(self.computing))).view(self.computing)
            count, shape = prod(images.shape[: -self.rank - 1]), pairs.shape[-self.rank - 1 :]
            both = np.empty((2 * count, *shape), self.computing)
            times_i(pairs, both, count, self.computing.itemsize, False, get_num_threads())
            return both
        planes = self.planes(images)
        shape, axis = planes.shape, planes.ndim - 1 if self.channels_last else 1
        pixels, pieces = prod(shape[1:-1]) if self.channels_last else 1, self.pieces(shape[axis])
        pairs = planes.reshape(shape[0] // 2, 2, pixels, pieces, prod(shape[1:]) // (pixels * pieces or 1))
        both = np.empty((*pairs.shape[:4], 2, pairs.shape[4]), self.computing)
        both[:, 0, ..., 0, :] = both[:, 1, ..., 1, :] = pairs[:, 0]
        both[:, 1, ..., 0, :] = pairs[:, 1]
        np.negative(pairs[:, 1], out=both[:, 0, ..., 1, :])
        return both.reshape(*shape[:axis], 2 * shape[axis], *shape[axis + 1 :])

    def pieces(self, channels: int) -> int:
        """Return the number of pieces of an image that x and ix are of."""
        return channels if self.has_one_tap else self.groups

    def times_i(self, columns: Array, channels: int, *, are_added: bool) -> Array:
        """Return numbers with their products with i, or of twice the channels a and b of each group ``a + ib``."""
        *batch, before = columns.shape[: -self.rank]
        result = np.empty((*batch, channels, *columns.shape[-self.rank :]), self.computing)
        count = prod(batch) * (self.groups if are_added else self.pieces(before))
        times_i(columns, result, count, self.computing.itemsize, are_added, get_num_threads())
        return result

    def weight_blocks(self, weight: Array, rows: int, columns: int) -> Array:
        """Return a view of a real weight, by the part of its output channel and the part of its input channel.

        `rows` and `columns` are the numbers of these parts: 2 where `doubled` has doubled the channels. The other axes
        of the view, flattened, are those of a complex weight.
        """
        outputs, inputs, taps = weight.shape[0] // rows, weight.shape[1] // columns, prod(weight.shape[2:])
        if self.channels_last:
            return weight.reshape(1, outputs, rows, inputs, columns, taps).transpose(2, 4, 0, 1, 3, 5)
        of_group = outputs // self.groups
        return weight.reshape(self.groups, rows, of_group, columns, inputs, taps).transpose(1, 3, 0, 2, 4, 5)

    def real_weight(self, weight: Array, rows: int, columns: int, *, conjugated: bool) -> Array:
        """Return a real weight of this many parts, which multiplies as a complex weight does, or its conjugate."""
        real = np.empty((rows * weight.shape[0], columns * weight.shape[1], *weight.shape[2:]), self.computing)
        if rows == columns and self.channels_last and prod(weight.shape[2:]) == 1:
            numbers = contiguous(weight, complex_type(self.computing))
            pairs = self.columns(numbers if conjugated else np.conjugate(numbers))
            times_i(pairs, real, len(weight), self.computing.itemsize, False, get_num_threads())
            return real
        blocks = self.weight_blocks(real, rows, columns)
        re, im = split(weight, self.computing, 1)[0].reshape(2, *blocks.shape[2:])
        if conjugated:
            np.negative(im, out=im)
        blocks[0, 0] = re
        if rows == 2:
            blocks[1, 0] = im
        if columns == 2:
            np.negative(im, out=blocks[0, 1])
        if rows == columns:
            blocks[1, 1] = re
        return real

    def complex_weight(self, real: Array, rows: int, columns: int) -> Array:
        """Return the gradient of a complex weight, of whose `real_weight` this is the gradient."""
        blocks = self.weight_blocks(real, rows, columns)
        gradient = np.empty(blocks.shape[2:], complex_type(self.computing))
        with np.errstate(all="ignore"):
            gradient.real = blocks[0, 0] + blocks[1, 1] if rows == columns else blocks[0, 0]
            gradient.imag = blocks[1, 0] if rows == 2 else 0
            if columns == 2:
                gradient.imag -= blocks[0, 1]
        return gradient.reshape(real.shape[0] // rows, real.shape[1] // columns, *real.shape[2:])

    def real_arrays(
        self, operation: str, weight: Array, bias: Array | None, *, of_complex: bool
    ) -> tuple[Array, Array | None]:
        """Return the weight and the bias that compute an operation on images with parts, or on real ones.

        Without a bias, that is added to the result.
        """
        if of_complex and self.way == "parts":
            return split(weight, self.computing, 1)[0, 0].reshape(weight.shape), None
        outputs, inputs, *kernel = weight.shape
        if of_complex and self.way == "images":
            moved = self.columns(weight) if self.has_one_tap else split(weight, self.computing, outputs)
            return moved.reshape(outputs, 2 * inputs, *kernel), None
        if of_complex and self.way == "results":
            return split(weight, self.computing, self.groups).reshape(2 * outputs, inputs, *kernel), None
        parts = 1 + of_complex
        rows, columns = (2, parts) if operation == "convolution" else (parts, 2)
        real = self.real_weight(weight, rows, columns, conjugated=operation == "transposed")
        if bias is None:
            return real, None
        shape = bias.shape if self.channels_last else (*bias.shape, *[1] * self.rank)
        own = self._replace(computing=real_part(np.result_type(bias.dtype, np.complex64)))
        return real, own.doubled(bias.reshape(shape)).ravel()


# From this number of weights for each element of an image, it is faster to multiply the image by i than to double the
# weights.
WEIGHTS_PER_ELEMENT = 1.4
# The complex numbers of a band of pixels, about: they stay in the second-level cache. Beside them must be room for the
# weights, which every band reads again.
BAND_NUMBERS, WEIGHTS_OF_BANDS = 1 << 16, 1 << 15


@lru_cache(maxsize=256)
def form_of(geometry: Geometry, channels_last: bool, computing: DType, operation: str) -> Form:
    """Return the form in which an operation is computed."""
    form = Form(geometry.rank, geometry.groups, channels_last, computing)
    if geometry.in_channels == geometry.groups > 1:
        form = form._replace(way="parts")
    if operation != "convolution":
        return form
    has_one_tap = prod(geometry.kernel) == 1
    axes = zip(geometry.stride, geometry.pad_before, geometry.pad_after)
    steps = tuple([stride if has_one_tap and not any(pads) else 1 for stride, *pads in axes])
    if max(steps) > 1:
        in_size = tuple([-(-size // step) for size, step in zip(geometry.in_size, steps)])
        stride = tuple([stride // step for stride, step in zip(geometry.stride, steps)])
        geometry, first = replace(geometry, in_size=in_size, stride=stride), 3 - form.rank
        form = form._replace(steps=steps[first:], stride=stride[first:])
    weights = geometry.out_channels * geometry.reduction_length
    if channels_last and geometry.reads_image_in_place and weights <= WEIGHTS_OF_BANDS:
        band = max(1, BAND_NUMBERS // max(geometry.in_channels, geometry.out_channels, 1))
        form = form._replace(band=band * (band < geometry.out_pixels))
    is_one_column = (geometry.kernel[-1], geometry.stride[-1], *geometry.pads[-1]) == (1, 1, 0, 0)
    form = form._replace(in_columns=is_one_column and not channels_last, has_one_tap=has_one_tap)
    if form.way == "parts":
        return form
    elements = geometry.in_channels * prod(geometry.in_size)
    if form.in_columns:  # what takes fewer moves
        results = 2 * geometry.out_channels * geometry.out_pixels + weights
        return form._replace(way="results" if results <= 3 * elements else "images")
    return form._replace(way="images" if weights > WEIGHTS_PER_ELEMENT * elements else "doubled")


def compute_complex(operation: Operation, types: Types, first: Array, second: Array, bias: Array | None) -> Array:
    """Compute for arrays of which at least one is complex."""
    geometry = operation.call.geometry
    form = form_of(geometry, operation.channels_last, types.computing, operation.name)
    if operation.name == "weight_gradient":
        if operation.padding_value != 0 and np.iscomplexobj(second):
            return with_padding_value(operation, types, first, second, None)
        return of_weight(operation, form, first, second)
    if operation.padding_value != 0 and np.iscomplexobj(first):
        return with_padding_value(operation, types, first, second, bias)
    return of_images(operation, form, first, second, bias)


def of_images(operation: Operation, form: Form, images: Array, weight: Array, bias: Array | None) -> Array:
    """Compute for images and a weight: a convolution, its input gradient, or a transposed convolution."""
    if form.steps:
        images, operation = form.read(images), operation._replace(run=partial(operation.run, stride=form.stride))
    batch, of_complex = images.shape[: -form.rank - 1], np.iscomplexobj(images)
    if of_complex and not np.iscomplexobj(weight):
        if form.band:
            return of_bands(operation, form, images, weight, bias)
        data, way = (form.columns if form.in_columns else form.planes)(images), "real weight"
    elif of_complex and form.way == "parts":
        return by_four_products(operation, form, images, weight, bias)
    else:
        way = form.way if of_complex else "real images"
        makers: dict[str, Callable[[Array], Array]] = {
            "real images": partial(contiguous, dtype=form.computing),
            "doubled": form.doubled,
            "images": form.with_times_i,
            "results": form.columns,
        }
        data = makers[way](images)
    if operation.prepared is not None:
        result = operation.prepared(of_complex)(data)
    elif way == "real weight":
        result = operation.run(data, contiguous(weight, form.computing))
    else:
        result = operation.run(data, *form.real_arrays(operation.name, weight, bias, of_complex=of_complex))
    if way in ("doubled", "real images"):
        return form.joined(result)
    if not form.in_columns:
        if bias is not None:
            add_bias(form, result, bias)
        return form.of_planes(result, batch)
    if way == "results":
        result = form.times_i(result, len(weight), are_added=True)
    numbers = result.view(complex_type(form.computing))
    if bias is not None:
        with np.errstate(all="ignore"):
            numbers += contiguous(bias, numbers.dtype).reshape(-1, *[1] * form.rank)
    return numbers


def of_bands(operation: Operation, form: Form, images: Array, weight: Array, bias: Array | None) -> Array:
    """Compute for a real weight that reads pixels one by one, with channels last: a band of pixels after the other.

    The last band ends with the image, so all bands of an image are the same convolution.
    """
    dtype, threads = form.computing, get_num_threads()
    numbers = contiguous(images, complex_type(dtype))
    *shape, channels = numbers.shape
    count = prod(shape[-form.rank :])
    last = count - form.band
    result = np.empty((*shape, len(weight)), numbers.dtype)
    band = np.empty((2, form.band, *[1] * (form.rank - 1), channels), dtype)
    if operation.prepared is not None:
        run = operation.prepared(True)
    else:
        options: Any = operation.options._replace(stride=1)
        call = prepare_convolution(band.shape, weight.shape, dtype.itemsize, options)
        laid_out = Weights(weight, None).for_convolution(dtype, call).weight

        def run(parts: Array) -> Array:
            return call.into(None, dtype, parts, laid_out, None)

    for image, made in zip(numbers.reshape(-1, count, channels), result.reshape(-1, count, len(weight))):
        for first in (*range(0, last, form.band), last):
            pixels = slice(first, first + form.band)
            transpose(image[pixels].view(dtype), band, 2, 1, dtype.itemsize, threads)
            parts = run(band)
            transpose(parts, made[pixels].view(dtype), parts.size // 2, 1, dtype.itemsize, threads)
    if bias is not None:
        with np.errstate(all="ignore"):
            result += contiguous(bias, result.dtype)
    return result


def by_four_products(operation: Operation, form: Form, images: Array, weight: Array, bias: Array | None) -> Array:
    """Compute by the products of each part of the images and each part of the weight."""
    planes = form.planes(images)
    re, im = split(weight, form.computing, 1)[0].reshape(2, *weight.shape)
    if operation.name == "input_gradient":
        im = -im
    result, of_imaginary = operation.run(planes, re), operation.run(planes, im)
    shape = len(result) // 2, 2, *result.shape[1:]
    pairs, others = result.reshape(shape), of_imaginary.reshape(shape)
    with np.errstate(all="ignore"):
        pairs[:, 0] -= others[:, 1]
        pairs[:, 1] += others[:, 0]
    if bias is not None:
        add_bias(form, result, bias)
    return form.of_planes(result, images.shape[: -form.rank - 1])


def add_bias(form: Form, planes: Array, bias: Array) -> None:
    """Add a complex bias to the parts of images."""
    parts = split(bias, form.computing, 1)[0]
    shape = (2, *[1] * form.rank, -1) if form.channels_last else (2, -1, *[1] * form.rank)
    pairs = planes.reshape(len(planes) // 2, 2, *planes.shape[1:])
    with np.errstate(all="ignore"):
        pairs += parts.reshape(shape)


def of_weight(operation: Operation, form: Form, grad_output: Array, x: Array) -> Array:
    """Compute the gradient of a weight."""
    parts = 1 + np.iscomplexobj(grad_output), 1 + np.iscomplexobj(x)
    arrays = [
        form.doubled(array) if count == 2 else contiguous(array, form.computing)
        for array, count in zip((grad_output, x), parts)
    ]
    return form.complex_weight(operation.run(*arrays), *parts)


def with_padding_value(operation: Operation, types: Types, first: Array, second: Array, bias: Array | None) -> Array:
    """Compute for the two parts of x one after the other: the padding holds another constant in each."""
    value = complex(operation.padding_value)

    def of_part(x: Array, padding_value: float, bias: Array | None) -> Array:
        run = partial(operation.run, padding_value=padding_value)
        without_value = operation.options._replace(padding_value=0)  # type: ignore[call-arg]
        part = operation._replace(run=run, options=without_value, prepared=None)
        arrays = (first, x) if operation.name == "weight_gradient" else (x, second)
        if any(map(np.iscomplexobj, arrays)):
            return compute_complex(part, types, *arrays, bias)
        return run(*[contiguous(array, types.computing) for array in arrays], bias)

    x, other = (second, first) if operation.name == "weight_gradient" else (first, second)
    biases = (bias, None) if bias is None or np.iscomplexobj(other) else (bias.real, bias.imag)
    of_real, of_imaginary = (of_part(*each) for each in zip((x.real, x.imag), (value.real, value.imag), biases))
    result = of_real.astype(complex_type(types.computing))
    with np.errstate(all="ignore"):
        # the gradient of a weight is the product with the conjugate of x
        result.imag += -of_imaginary.real if operation.name == "weight_gradient" else of_imaginary.real
        if np.iscomplexobj(of_imaginary):
            result.real += of_imaginary.imag if operation.name == "weight_gradient" else -of_imaginary.imag
    return result
