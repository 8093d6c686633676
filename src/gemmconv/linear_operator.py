"""The convolution as a linear operator of SciPy: the matrix M without the matrix."""

from __future__ import annotations

from math import prod

import numpy as np
from numpy.typing import ArrayLike
from scipy.sparse.linalg import LinearOperator

from .arrays import Array, as_array, computing_dtype, contiguous, flipped
from .calls import Options, hashable, prepare_convolution
from .convolution import convolve
from .geometry import x_shape_of
from .gradients import input_gradient
from .options import Ints, Padding, Sizes

__all__ = ["ConvolutionOperator"]


class ConvolutionOperator(LinearOperator):  # type: ignore[misc]
    r"""A convolution (cross-correlation) as a `scipy.sparse.linalg.LinearOperator`: ``A @ x.ravel()`` is its output.

    It is the linear map of `gemmconv.convolution_matrix`, but the matrix is never built: products take the time and the
    memory of a convolution, products with the transpose those of the way back through it. Solvers such as
    `scipy.sparse.linalg.lsmr` and `scipy.sparse.linalg.svds` take it.

    Parameters
    ----------
    weight : array_like of shape (O, C/groups, \*kernel)
        The kernels, one per output channel. They are copied.
    input_size : int or sequence of int
        ``(L,)``, ``(H, W)`` or ``(D, H, W)``.
    stride, padding, dilation, groups, padding_mode, flip, algorithm : optional
        As in `gemmconv.conv`.

    Attributes
    ----------
    shape : tuple of int
        ``(O * prod(output), C * prod(input))``.
    dtype : numpy.dtype
        That of the weight, float32 or float64. Products are of type ``numpy.result_type(dtype, x)``; vectors may be of
        any real or complex type of up to 64 bits a number.
    input_shape, output_shape : tuple of int
        ``(C, *input_size)`` and ``(O, *output_size)``: what the vectors are flattened from.

    Raises
    ------
    TypeError, ValueError
        If an argument has the wrong kind or value.

    Examples
    --------
    >>> import numpy as np
    >>> from scipy.sparse.linalg import lsmr
    >>> from gemmconv import ConvolutionOperator
    >>> blur = ConvolutionOperator(np.full((1, 1, 3), 1 / 3), (5,), padding="same", padding_mode="edge")
    >>> seen = blur @ [0, 0, 3, 0, 6]
    >>> seen
    array([0., 1., 1., 3., 4.])
    >>> lsmr(blur, seen)[0].round(6) + 0.0
    array([0., 0., 3., 0., 6.])
    >>> (blur.T @ seen).shape
    (5,)
    """

    def __init__(
        self,
        weight: ArrayLike,
        input_size: Ints,
        *,
        stride: Ints = 1,
        padding: Padding = 0,
        dilation: Ints = 1,
        groups: int = 1,
        padding_mode: str = "zeros",
        flip: bool = False,
        algorithm: str = "auto",
    ) -> None:
        array = as_array("weight", weight)
        dtype = computing_dtype(array.dtype, array.dtype)
        self.input_shape = x_shape_of(array.shape, input_size, groups)
        options = Options(None, stride, padding, dilation, groups, padding_mode, algorithm)
        self._options = hashable(options)
        geometry = prepare_convolution(self.input_shape, array.shape, dtype.itemsize, options).geometry
        self.output_shape = geometry.out_shape[1:]
        # one for each type that is computed in
        self._weights = {dtype: np.array(flipped(array, flip), dtype=dtype, order="C", subok=False)}
        super().__init__(dtype, (prod(self.output_shape), prod(self.input_shape)))

    def _images(self, vectors: Array, shape: Sizes) -> tuple[Array, Array]:
        """Return columns as a batch of images, and the weight in the type that both are computed in."""
        vectors = as_array("x", vectors)
        dtype = computing_dtype(vectors.dtype, self.dtype)
        if dtype not in self._weights:
            self._weights[dtype] = self._weights[self.dtype].astype(dtype)
        return contiguous(vectors.T, dtype).reshape(vectors.shape[1], *shape), self._weights[dtype]

    def _matmat(self, x: Array) -> Array:
        if np.iscomplexobj(x):
            return _complex(self._matmat(x.real), self._matmat(x.imag))
        images, weight = self._images(x, self.input_shape)
        return convolve(images, weight, None, self._options, False, None).reshape(len(images), self.shape[0]).T

    def _rmatmat(self, x: Array) -> Array:
        if np.iscomplexobj(x):
            return _complex(self._rmatmat(x.real), self._rmatmat(x.imag))
        images, weight = self._images(x, self.output_shape)
        gradient = input_gradient(images, weight, (len(images), *self.input_shape), self._options)
        return gradient.reshape(len(images), self.shape[1]).T

    def _matvec(self, x: Array) -> Array:
        return self._matmat(x.reshape(-1, 1)).ravel()

    def _rmatvec(self, x: Array) -> Array:
        return self._rmatmat(x.reshape(-1, 1)).ravel()

    def _transpose(self) -> LinearOperator:
        return self._adjoint()  # all entries are real


def _complex(real: Array, imaginary: Array) -> Array:
    # not real + 1j * imaginary, which makes NaN of infinity
    result = np.empty(real.shape, np.result_type(real, np.complex64))
    result.real, result.imag = real, imaginary
    return result
