"""Winograd's algorithm: how its matrices are derived, a convolution by it, and a bound of its error.

The matrices must be those of ``csrc/winograd/transform.inc``, and the bound must count the roundings there. A
change of one needs a change of the other.
"""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np
from numpy.polynomial.polynomial import polyfromroots
from numpy.typing import ArrayLike, DTypeLike

from ..checks.geometry import Geometry
from ..checks.options import Ints, Padding
from .convolution import Array, channel_product, extend

#: The points, beside infinity, at which Winograd's algorithm interpolates, by the number of outputs of a tile along an
#: axis with three taps. Along an axis with one tap, tiles have one output.
WINOGRAD_POINTS: dict[int, tuple[int, ...]] = {1: (), 2: (0, 1, -1), 4: (0, 1, -1, 2, -2)}


def winograd_transforms(side: int) -> tuple[Array, Array, Array]:
    """Return the matrices of Winograd's algorithm: ``A.T @ ((G @ g) * (B.T @ d))`` is the correlation of d and g.

    Parameters
    ----------
    side : int
        The number m of outputs: 4 or 2 for a kernel g of three taps, 1 for a kernel of one tap. With three taps, m
        outputs read m + 2 elements d and take m + 2 products.

    Returns
    -------
    A, B, G : ndarray of shapes (n, m), (n, n), (n, taps)
        The matrices of ``csrc/winograd/transform.inc``. A and B hold integers, G quotients.

    Notes
    -----
    The algorithm of Toom and Cook multiplies two polynomials g and h, of `taps` and m coefficients. It multiplies their
    values at n - 1 points and their leading coefficients (the values "at infinity"), and interpolates:
    ``s = L @ ((V_taps @ g) * (V_m @ h))``. Row i of V holds the powers of point i. Column i of L holds Lagrange's
    polynomial, which is 1 at point i and 0 at the others.

    As a function of h this is a full convolution. Its transpose, ``V_m.T @ ((V_taps @ g) * (L.T @ d))``, is the
    correlation of g and d. So A is V_m. B is L without its denominators; G is V_taps divided by them (Lavin and Gray,
    arXiv:1509.09308).

    Examples
    --------
    >>> from gemmconv.reference import winograd_transforms
    >>> A, B, G = winograd_transforms(2)
    >>> G
    array([[ 1. ,  0. ,  0. ],
           [ 0.5,  0.5,  0.5],
           [ 0.5, -0.5,  0.5],
           [ 0. ,  0. ,  1. ]])
    >>> A.T @ ((G @ [5, 6, 7]) * (B.T @ [1, 2, 3, 4]))
    array([38., 56.])
    """
    points = WINOGRAD_POINTS[side]
    n, taps = len(points) + 1, len(points) + 2 - side
    A, B, G = np.zeros((n, side)), np.zeros((n, n)), np.zeros((n, taps))
    for i, point in enumerate(points):
        others = [other for other in points if other != point]
        A[i] = point ** np.arange(side)
        B[:-1, i] = polyfromroots(others)
        G[i] = point ** np.arange(taps) / prod(point - other for other in others)
    A[-1, -1] = G[-1, -1] = 1
    B[:, -1] = polyfromroots(points)
    sign = np.sign(B[0, 0])  # the polynomials of 0 and infinity get a positive first coefficient
    A[-1] *= sign
    B[:, [0, -1]] *= sign
    G[0] *= sign
    return A, B, G


def winograd_conv(
    x: ArrayLike,
    weight: ArrayLike,
    *,
    stride: Ints = 1,
    padding: Padding = 0,
    dilation: Ints = 1,
    groups: int = 1,
    side: int = 4,
) -> Array:
    """Convolve (cross-correlate) as `conv` does, but by Winograd's algorithm.

    Parameters
    ----------
    x : array_like of shape (N, C, H, W) or (N, C, D, H, W)
        The input.
    weight : array_like of shape (O, C/groups, KH, KW) or (O, C/groups, KD, KH, KW)
        The kernels, with three taps or one tap along each of the last two axes.
    stride, padding, dilation, groups
        As in `gemmconv.conv`. Stride and dilation must be 1 along the last two axes.
    side : int
        The number of outputs of a tile along an axis with three taps: 4 or 2.

    Returns
    -------
    ndarray of shape (N, O, OH, OW) or (N, O, OD, OH, OW)
        The output. Each of its tiles is ``A.T @ M @ A``, where M is the sum over the channels of the elementwise
        product of ``B.T @ d @ B`` and ``G @ g @ G.T``. Here d holds the inputs that the tile reads, and g is
        the kernel. In three dimensions M sums over the taps of the depth, too.

    Examples
    --------
    >>> import numpy as np
    >>> from gemmconv.reference import winograd_conv
    >>> winograd_conv(np.arange(16).reshape(1, 1, 4, 4), np.ones((1, 1, 3, 3)), side=2)
    array([[[[45., 54.],
             [81., 90.]]]])
    """
    x, weight = np.asarray(x, np.float64), np.asarray(weight, np.float64)
    geometry = winograd_geometry(x, weight, stride, padding, dilation, groups)
    (A, B, G), (A2, B2, G2) = (winograd_transforms(side if taps > 1 else 1) for taps in weight.shape[-2:])
    x, kernels = fold_depth(x, weight, geometry)
    V = B.T @ read_tiles(x, geometry, A.shape, A2.shape) @ B2
    U = G @ kernels @ G2.T
    y = join_tiles(A.T @ frequency_products(U, V, groups) @ A2, geometry)
    return y if weight.ndim == 4 else unfold_depth(y, geometry)


def winograd_bound(
    x: ArrayLike,
    weight: ArrayLike,
    bias: ArrayLike | None = None,
    *,
    stride: Ints = 1,
    padding: Padding = 0,
    dilation: Ints = 1,
    groups: int = 1,
    side: int = 4,
    dtype: DTypeLike = np.float32,
) -> Array:
    """Return an upper bound, for each output, of the error of ``gemmconv.conv(..., algorithm="winograd")``.

    Parameters
    ----------
    x, weight, bias, stride, padding, dilation, groups, side
        As in `winograd_conv`. With ``"winograd"`` the library takes a side of 4, but 2 for some small images
        (``gemmconv.engine.tiling.winograd_tiles``); with ``"winograd2"`` it takes 2.
    dtype : dtype
        The computing dtype.

    Returns
    -------
    ndarray of shape (N, O, OH, OW) or (N, O, OD, OH, OW)
        The bound ``c * eps * (|A.T| @ M @ |A| + |bias|)``, where M is the sum over the C channels of a group, and the
        KD taps of the depth, of ``(|G| @ |g| @ |G.T|) * (|B.T| @ |d| @ |B|)``. Let s be the smallest normal number.
        Numbers below s are rounded as coarsely as s is. To allow for that, s is added to the left factor, and to the
        product.

    Notes
    -----
    Every term of an output is rounded once for each operation between it and the output. Each rounding is a factor of
    at most 1 + eps / 2:

    * the transform of x: 3 roundings along an axis (``4 * d0 + (d4 - 5 * d2)``), 6 in all;
    * the kernel: 4 roundings by its transform and one by its scale. In float32 there are fewer, because these are
      computed in double;
    * the product and its sum: min(C, 32) roundings in a partial sum of 32 channels, and one for each partial sum that
      is added after it. These are at most C / 24 for the first tap of the depth, and C / 24 + 1 for each other tap:
      when the cache is full the channels are also cut, into chunks of at least 64, and the last partial sum of a chunk
      may have only 16 channels;
    * the output: 3 roundings along an axis (``z0 + (z1 + z2) + (z3 + z4)``), 6 in all, and one by the bias.

    Together these are 18 + min(C, 32) + KD * C / 24 + KD - 1 roundings, each of eps / 2. So c is half this number, and
    1 more because the factors are multiplied: ``c = 10 + min(C, 32) / 2 + KD * C / 48 + (KD - 1) / 2``. This holds for
    up to 100 000 terms KD * C.
    """
    x, weight = abs(np.asarray(x, np.float64)), abs(np.asarray(weight, np.float64))
    geometry = winograd_geometry(x, weight, stride, padding, dilation, groups)
    sides = [side if taps > 1 else 1 for taps in weight.shape[-2:]]
    (A, B, G), (A2, B2, G2) = (map(abs, winograd_transforms(side)) for side in sides)
    channels, depth, least = weight.shape[1], geometry.kernel[0], float(np.finfo(dtype).smallest_normal)
    x, kernels = fold_depth(x, weight, geometry)
    V = B.T @ read_tiles(x, geometry, A.shape, A2.shape) @ B2
    U = G @ kernels @ G2.T + least
    y = join_tiles(A.T @ (frequency_products(U, V, groups) + depth * channels * least) @ A2, geometry)
    if bias is not None:
        y += np.reshape(abs(np.asarray(bias, np.float64)), (-1, 1, 1))
    y *= (10 + min(channels, 32) / 2 + depth * channels / 48 + (depth - 1) / 2) * float(np.finfo(dtype).eps)
    return y if weight.ndim == 4 else unfold_depth(y, geometry)


def winograd_geometry(x: Array, weight: Array, stride: Ints, padding: Padding, dilation: Ints, groups: int) -> Geometry:
    """Return the geometry; raise unless stride and dilation are 1 along the last two axes."""
    options: dict[str, Any] = {"stride": stride, "padding": padding, "dilation": dilation, "groups": groups}
    geometry = Geometry.from_shapes(x.shape, weight.shape, **options)
    if {*geometry.stride[1:], *geometry.dilation[1:]} != {1}:
        raise ValueError("Winograd's algorithm needs stride and dilation 1 along the last two axes")
    return geometry


def fold_depth(x: Array, weight: Array, geometry: Geometry) -> tuple[Array, Array]:
    """Return x and the weight of the same sums in two dimensions.

    Each depth of the output is an image of its own: [n * OD + od, c * KD + kd]. The depths that it reads are channels.
    """
    if weight.ndim == 4:
        return x, weight
    before, stride, dilation = geometry.pad_before[0], geometry.stride[0], geometry.dilation[0]
    span = (geometry.kernel[0] - 1) * dilation + 1
    after = (geometry.out_size[0] - 1) * stride + span - before - geometry.in_size[0]
    extended = extend(x, [(before, after), (0, 0), (0, 0)])
    windows = np.lib.stride_tricks.sliding_window_view(extended, span, 2)[:, :, ::stride, ..., ::dilation]
    folded = windows.transpose(0, 2, 1, 5, 3, 4)
    return folded.reshape(-1, x.shape[1] * geometry.kernel[0], *x.shape[3:]), weight.reshape(
        len(weight), -1, *weight.shape[3:]
    )


def unfold_depth(y: Array, geometry: Geometry) -> Array:
    """Return the output (N, O, OD, OH, OW) of the images of `fold_depth`."""
    return y.reshape(-1, geometry.out_size[0], *y.shape[1:]).swapaxes(1, 2)


def read_tiles(x: Array, geometry: Geometry, *shapes: tuple[int, ...]) -> Array:
    """Return the elements of x that each tile reads: [n, c, tile row, tile column, i, j].

    `shapes` are the shapes (n, m) of A for both axes. The last tiles may read more than the definition does: zeros, or
    elements that negative padding crops.
    """
    pads = []
    for axis, (span, side) in enumerate(shapes, start=1):
        before, size = geometry.pad_before[axis], -(-geometry.out_size[axis] // side) * side + span - side
        pads.append((before, size - before - geometry.in_size[axis]))
    (height, rows), (width, columns) = shapes
    windows = np.lib.stride_tricks.sliding_window_view(extend(x, pads), (height, width), (2, 3))
    return windows[:, :, ::rows, ::columns]


def frequency_products(U: Array, V: Array, groups: int) -> Array:
    """Return, for each frequency, the sums over the channels of products. Frequencies are the last two axes."""
    M = np.empty((len(V), len(U), *V.shape[2:]))
    for i, j in np.ndindex(*V.shape[-2:]):
        M[..., i, j] = channel_product(U[..., i, j], V[..., i, j], groups)
    return M


def join_tiles(tiles: Array, geometry: Geometry) -> Array:
    """Return the output from its tiles [n, o, tile row, tile column, i, j]."""
    n, o, rows, columns, height, width = tiles.shape
    y = tiles.swapaxes(3, 4).reshape(n, o, rows * height, columns * width)
    return y[:, :, : geometry.out_size[1], : geometry.out_size[2]]
