"""Convolution by fast Fourier transforms: overlap-save, block by block, and a bound of its error.

The bound must count the roundings of csrc/fft and engine/scipy_fft.py. A change of one needs a change of the other.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from math import gcd, log2, prod
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, DTypeLike

from ..checks.geometry import Geometry
from ..checks.options import Ints, Padding
from .convolution import Array, channel_product, extend


def fft_conv(
    x: ArrayLike,
    weight: ArrayLike,
    *,
    stride: Ints = 1,
    padding: Padding = 0,
    dilation: Ints = 1,
    groups: int = 1,
    length: Sequence[int],
) -> Array:
    r"""Convolve (cross-correlate) as `conv` does, but by fast Fourier transforms of overlapping blocks.

    Parameters
    ----------
    x : array_like of shape (N, C, \*spatial)
        The input.
    weight : array_like of shape (O, C/groups, \*kernel)
        The kernels.
    stride, padding, dilation, groups
        As in `gemmconv.conv`.
    length : sequence of int
        The elements that a block reads along each spatial axis: at least ``dilation * (kernel - 1) + 1``.

    Returns
    -------
    ndarray of shape (N, O, \*output)
        The output.

    Notes
    -----
    The product of a transform with a conjugate transform is that of a circular correlation. With e the extent of the
    kernel along an axis, the first ``length - e + 1`` results read nothing from around the circle. The others are
    dropped, and the next block begins there.

    Examples
    --------
    >>> import numpy as np
    >>> from gemmconv.reference import fft_conv
    >>> fft_conv(np.arange(8).reshape(1, 1, 8), np.ones((1, 1, 3)), length=(5,)).round(12)
    array([[[ 3.,  6.,  9., 12., 15., 18.]]])
    """
    x, weight = np.asarray(x, np.float64), np.asarray(weight, np.float64)
    options: dict[str, Any] = {"stride": stride, "dilation": dilation, "groups": groups}
    geometry = Geometry.from_shapes(x.shape, weight.shape, padding=padding, **options)
    rank, axes = geometry.rank, range(2, x.ndim)
    steps, spread = geometry.stride[-rank:], geometry.dilation[-rank:]
    dilated: Any = np.zeros(weight.shape[:2] + tuple([(k - 1) * d + 1 for k, d in zip(weight.shape[2:], spread)]))
    dilated[spatial([slice(None, None, d) for d in spread])] = weight
    useful = [n - extent + 1 for n, extent in zip(length, dilated.shape[2:])]
    extended = extend(x, geometry.pads)
    dense = [n - extent + 1 for n, extent in zip(extended.shape[2:], dilated.shape[2:])]
    U: Any = np.fft.rfftn(dilated, length, axes).conj()
    y = np.zeros((len(x), len(weight), *dense))
    for first in np.ndindex(*[-(-n // m) for n, m in zip(dense, useful)]):
        block = extended[spatial([slice(i * m, i * m + n) for i, m, n in zip(first, useful, length)])]
        V: Any = np.fft.rfftn(block, length, axes)
        Y = np.empty((len(x), len(weight), *V.shape[2:]), complex)
        for f in np.ndindex(*V.shape[2:]):
            Y[spatial(f)] = channel_product(U[spatial(f)], V[spatial(f)], groups)
        part = y[spatial([slice(i * m, (i + 1) * m) for i, m in zip(first, useful)])]
        part[...] = np.fft.irfftn(Y, length, axes)[spatial(list(map(slice, part.shape[2:])))]
    strided: Array = y[spatial([slice(None, None, s) for s in steps])]
    return strided


def fft_bound(
    x: ArrayLike,
    weight: ArrayLike,
    bias: ArrayLike | None = None,
    *,
    stride: Ints = 1,
    padding: Padding = 0,
    dilation: Ints = 1,
    groups: int = 1,
    length: Sequence[int],
    useful: Sequence[int],
    pairs: bool,
    dtype: DTypeLike = np.float32,
) -> Array:
    r"""Return an upper bound, for each output, of the error of ``gemmconv.conv(..., algorithm="fft")``.

    Parameters
    ----------
    x, weight, bias, stride, padding, dilation, groups
        As in `gemmconv.conv`.
    length, useful : sequence of int
        The elements of a transform along each spatial axis, and the outputs of a block
        (``gemmconv.engine.fft_cut``, and ``choose_blocks`` in ``gemmconv.engine.scipy_fft_blocks``).
    pairs : bool
        Whether two blocks, which follow each other in an image, are the real and the imaginary part of one. So it is in
        the C kernel, and not with scipy.fft.
    dtype : dtype
        The computing dtype.

    Returns
    -------
    ndarray of shape (N, O, \*output)
        The bound ``(8 * log2(n) + S + 4) * eps * M + eps * |bias|``. Here n is the number of elements of a transform, S
        the channels of a group times their phases (at most the product of the strides; 1 with pairs), and M the sum
        over the channels of the norm of what the block, or the pair, reads of x times the norm of the kernel. Let s be
        the smallest normal number. To allow for numbers below s, each element of x and of the kernel has at least s in
        these norms, and s is added to M.

    Notes
    -----
    Each output of a transform of n elements is a sum of n terms. A term is an input times at most log2(n) factors of
    modulus 1. For each of these it is rounded by at most 4.3 units u = eps / 2: a complex product (sqrt(5) u, see Brent
    et al.), its factor (u) and an addition (u). So the error of each output is at most ``4.3 * log2(n) * u`` times the
    sum of the moduli of the inputs; for larger radices it is smaller [1]_. In the same way, the error of a vector is at
    most that factor times its 2-norm.

    Let X and W be the transforms of a block and of a kernel. By Cauchy's inequality, the sum of ``|X| |W|`` over the n
    frequencies is at most n times the product of the 2-norms of block and kernel. The two transforms and the product
    change it by the factors above, and the sum over S channels by at most ``S * u``. The transform back divides by n
    and adds its own error. That makes ``13 * log2(n) + S + 8`` units, or half as many eps. 8 instead of 6.5 leaves room
    for the step that makes complex transforms of real ones. The C kernel has no such step, and in the place of the last
    steps of a transform it has products of polynomials of a few terms, with fewer roundings.

    References
    ----------
    .. [1] N. J. Higham, "Accuracy and Stability of Numerical Algorithms", second edition, chapter 24.
    """
    x, weight = np.asarray(x, np.float64), np.asarray(weight, np.float64)
    geometry = Geometry.from_shapes(
        x.shape, weight.shape, stride=stride, padding=padding, dilation=dilation, groups=groups
    )
    rank, number = geometry.rank, np.finfo(dtype)
    least, eps = float(number.smallest_normal), float(number.eps)
    steps = geometry.stride[-rank:]
    phases = 1 if pairs else prod([s // gcd(s, d) for s, d in zip(steps, geometry.dilation[-rank:])])
    of_kernels = norms(np.maximum(abs(weight), least))
    y = np.zeros(geometry.out_shape)
    blocks = list(np.ndindex(*[-(-n // m) for n, m in zip(y.shape[2:], useful)]))
    of_blocks = []
    for first in blocks:
        spans = list(block_spans(first, useful, length, steps, phases_too=not pairs))
        cut = [slice(max(start - b, 0), max(end - b, 0)) for (start, end), (b, _) in zip(spans, geometry.pads)]
        of_blocks.append(norms(abs(x[spatial(cut)])) + least * prod([end - start for start, end in spans]) ** 0.5)
    for index, first in enumerate(blocks):
        together = of_blocks[index // 2 * 2 : index // 2 * 2 + 2] if pairs else [of_blocks[index]]
        M = channel_product(of_kernels, np.hypot.reduce(together), groups)
        part = y[spatial([slice(i * m, (i + 1) * m) for i, m in zip(first, useful)])]
        part[...] = M.reshape(*M.shape, *[1] * rank)
    y += least
    y *= (8 * log2(max(prod(length), 2)) + weight.shape[1] * phases + 4) * eps
    if bias is not None:
        y += eps * np.reshape(abs(np.asarray(bias, np.float64)), (-1, *[1] * rank))
    return y


def block_spans(
    first: Sequence[int], useful: Sequence[int], length: Sequence[int], steps: Sequence[int], phases_too: bool
) -> Iterator[tuple[int, int]]:
    """Yield, for each axis, which positions of the padded input a block reads; its elements are apart if of a phase."""
    for i, m, n, step in zip(first, useful, length, steps):
        yield i * m * step, i * m * step + n * (step if phases_too else 1)


def spatial(indices: Sequence[slice | int]) -> tuple[Any, ...]:
    """Return an index of the last axes."""
    return (..., *indices)


def norms(array: Array) -> Array:
    """Return the 2-norm over the spatial axes."""
    largest: Array = np.max(array, axis=tuple(range(2, array.ndim)), keepdims=True, initial=1e-300)
    scaled: Array = np.sqrt(np.sum((array / largest) ** 2, axis=tuple(range(2, array.ndim))))
    return scaled * largest.reshape(scaled.shape)
