"""ConvolutionOperator: a convolution as a linear operator of SciPy, the matrix M without building it.

A `Plan` does all the computing. This file only turns the vectors of SciPy into images and back.
"""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from scipy.sparse.linalg import LinearOperator

from .checks.arrays import Array, as_array
from .checks.options import Ints, Padding, PaddingMode, Sizes, check_no_value
from .plan import Plan

__all__ = ["ConvolutionOperator"]


class OperatorOnImages(LinearOperator):  # type: ignore[misc]
    """A linear operator on flattened images. It refuses an image that is not flattened, and says what to write."""

    input_shape: Sizes
    """The shape from which the vectors are flattened."""

    def dot(self, x: Any) -> Any:
        """Multiply by a vector, a matrix or another operator, as `scipy.sparse.linalg.LinearOperator.dot` does."""
        self._refuse_images(x)
        return super().dot(x)

    def matvec(self, x: Any) -> Any:
        """Multiply by a vector, as `scipy.sparse.linalg.LinearOperator.matvec` does."""
        self._refuse_images(x)
        return super().matvec(x)

    def matmat(self, x: Any) -> Any:
        """Multiply by a matrix, as `scipy.sparse.linalg.LinearOperator.matmat` does."""
        self._refuse_images(x)
        return super().matmat(x)

    def _matvec(self, x: Array) -> Array:
        column: Array = self._matmat(x.reshape(-1, 1))
        return column.ravel()

    def _rmatvec(self, x: Array) -> Array:
        column: Array = self._rmatmat(x.reshape(-1, 1))
        return column.ravel()

    def _refuse_images(self, x: Any) -> None:
        """Raise if x is an image, or a batch of images."""
        shape, image = np.shape(x), self.input_shape
        if shape[:1] == (prod(image),):
            return  # vectors
        if shape == image or (shape == image[1:] and image[0] == 1):
            hint = "of an image, pass x.ravel()"
        elif shape[1:] == image:
            hint = "of a batch of images, pass x.reshape(len(x), -1).T"
        else:
            return
        raise ValueError(f"x has shape {shape}, but the operator multiplies vectors of {prod(image)} elements; {hint}")


class ConvolutionOperator(OperatorOnImages):
    r"""A convolution (cross-correlation) as a `scipy.sparse.linalg.LinearOperator`: ``A @ x.ravel()`` is its output.

    It is the linear map of `gemmconv.convolution_matrix`, but the matrix is never built. A product takes the time and
    memory of a convolution (`gemmconv.Plan`), a product with the transpose ``.T`` or the adjoint ``.H`` those of an
    input gradient. With a complex weight, the entries of ``.H`` are the conjugates of those of ``.T``. Solvers such as
    `scipy.sparse.linalg.lsmr` and `scipy.sparse.linalg.svds` accept it.

    Parameters
    ----------
    weight : array_like of shape (O, C/groups, \*kernel)
        The kernels, one per output channel. They are copied.
    input_size : int or sequence of int
        ``(L,)``, ``(H, W)`` or ``(D, H, W)``.
    stride, padding, dilation, groups, padding_mode, flip, algorithm : optional
        As in `gemmconv.conv`.
    padding_value : float, optional
        It must be 0: with another constant in the padding, a convolution is no linear map.

    Attributes
    ----------
    shape : tuple of int
        ``(O * prod(output), C * prod(input))``.
    dtype : numpy.dtype
        The type of the weight: float32, float64, complex64 or complex128. Products have the type
        ``numpy.result_type(dtype, x)``. Vectors may have any real type of up to 64 bits, or a complex type with parts
        of up to 64 bits.
    input_shape, output_shape : tuple of int
        ``(C, *input_size)`` and ``(O, *output_size)``: the shapes from which the vectors are flattened.

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
        padding_mode: PaddingMode = "zeros",
        padding_value: float = 0,
        flip: bool = False,
        algorithm: str = "auto",
    ) -> None:
        check_no_value(padding_value)
        self._plan = Plan(
            weight,
            input_size=input_size,
            stride=stride,
            padding=padding,
            dilation=dilation,
            groups=groups,
            padding_mode=padding_mode,
            flip=flip,
            algorithm=algorithm,
        )
        self.input_shape, self.output_shape = self._plan.input_shape, self._plan.output_shape
        super().__init__(self._plan.dtype, (prod(self.output_shape), prod(self.input_shape)))

    def rmatvec(self, x: Any) -> Any:
        """Multiply a vector by the adjoint, as `scipy.sparse.linalg.LinearOperator.rmatvec` does."""
        return self.H.matvec(x)

    def rmatmat(self, x: Any) -> Any:
        """Multiply a matrix by the adjoint, as `scipy.sparse.linalg.LinearOperator.rmatmat` does."""
        return self.H.matmat(x)

    def _matmat(self, x: Array) -> Array:
        return _columns(self._plan(_images(x, self.input_shape)))

    def _rmatmat(self, x: Array) -> Array:
        return _columns(self._plan.input_gradient(_images(x, self.output_shape)))

    def _adjoint(self) -> LinearOperator:
        return AdjointOperator(self)

    def _transpose(self) -> LinearOperator:
        return AdjointOperator(self, conjugate=self.dtype.kind == "c")


class AdjointOperator(OperatorOnImages):
    """The adjoint of a `ConvolutionOperator`, or the conjugate of that, which is the transpose."""

    def __init__(self, operator: ConvolutionOperator, *, conjugate: bool = False) -> None:
        self._operator, self._conjugate, self.input_shape = operator, conjugate, operator.output_shape
        super().__init__(operator.dtype, operator.shape[::-1])

    def _matmat(self, x: Array) -> Array:
        if self._conjugate:
            return np.conj(self._operator._rmatmat(np.conj(x)))
        return self._operator._rmatmat(x)

    def _rmatmat(self, x: Array) -> Array:
        if self._conjugate:
            return np.conj(self._operator._matmat(np.conj(x)))
        return self._operator._matmat(x)

    def _adjoint(self) -> LinearOperator:
        return super()._adjoint() if self._conjugate else self._operator

    def _transpose(self) -> LinearOperator:
        return self._operator if self._conjugate or self.dtype.kind != "c" else super()._transpose()


def _images(vectors: Array, shape: Sizes) -> Array:
    """Return the columns of a matrix as a batch of images."""
    return np.reshape(as_array("x", vectors).T, (vectors.shape[1], *shape))


def _columns(images: Array) -> Array:
    """Return a batch of images as the columns of a matrix."""
    columns: Array = images.reshape(len(images), prod(images.shape[1:])).T
    return columns
