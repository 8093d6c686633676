"""Plan: a convolution that is prepared once for its weight and geometry, and then called with many inputs.

This file decides what a plan keeps and when it is replaced. How a convolution is computed is decided in engine/. The
short path at the beginning of `Plan.__call__` is timed: each further line there is felt in small convolutions.
"""

from __future__ import annotations

import time
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from .checks.arrays import (
    Array,
    as_array,
    check_channels_last,
    flipped,
)
from .checks.geometry import Geometry
from .checks.options import Ints, Padding, PaddingMode, Sizes, check_activation, check_algorithm
from .checks.shapes import arranged, check_array_shape, check_plan_input, x_shape_of
from .checks.types import Types, computing_dtype
from .engine.algorithms import candidates, pick
from .engine.calls import (
    Call,
    Options,
    geometry_of,
    hashable,
    prepare_convolution,
    prepare_input_gradient,
    prepare_weight_gradient,
)
from .engine.weights import Weights
from .gradients import compute_weight_gradient
from .numbers.operation import Operation
from .threads import get_num_threads, num_threads

__all__ = ["Plan"]

FLOAT64 = np.dtype(np.float64)

# The most prepared calls that a plan keeps: one for each input shape, type and number of threads that it has seen.
MOST_CALLS = 64

# The number of times that each algorithm is run and timed to find the fastest.
TUNING_CALLS = 5


class Plan:
    r"""A convolution (cross-correlation) with one weight for many inputs: everything but the inputs is prepared once.

    Parameters
    ----------
    weight : array_like of shape (O, C/groups, \*kernel)
        The kernels, one per output channel. They are copied.
    bias : array_like of shape (O,), optional
        One value per output channel, added to every output of that channel. It is copied.
    input_size : int or sequence of int
        The spatial size of the inputs: ``(L,)``, ``(H, W)`` or ``(D, H, W)``.
    stride, padding, dilation, groups, padding_mode, padding_value, flip, algorithm : optional
        As in `gemmconv.conv`.
    activation : str, optional
        ``"relu"`` replaces negative outputs by zero, while they are still in the cache.
    tune : bool, optional
        Whether ``algorithm="auto"`` times every algorithm that it may take, on one image, and takes the fastest. (It
        may take ``"fft"`` only where the error is small enough.) Otherwise it takes the one with the lowest estimate.
    channels_last : bool, optional
        Whether the channels are the last axis of inputs and results, as in `gemmconv.conv`, and of their gradients.

    Attributes
    ----------
    algorithm : str
        The algorithm that was chosen.
    dtype : numpy.dtype
        The type of the weight, float32 or float64.
    input_shape, output_shape : tuple of int
        The shapes of one image: ``(C, *input_size)`` and ``(O, *output_size)``, or with channels last
        ``(*input_size, C)`` and ``(*output_size, O)``.

    Raises
    ------
    TypeError, ValueError
        If an argument has the wrong kind or value.

    Notes
    -----
    Without an activation, ``plan(x)`` is bit for bit ``conv(x, weight, bias, ..., algorithm=plan.algorithm)``. Several
    threads may call one plan at the same time. A pickled plan holds the weight, the bias and the options; the layouts
    and the prepared calls are made again when they are needed.

    Examples
    --------
    >>> import numpy as np
    >>> from gemmconv import Plan
    >>> plan = Plan(np.ones((1, 1, 3), np.float32), [-5], input_size=(4,), activation="relu")
    >>> plan(np.array([[1, 2, 3, 4]], np.float32))
    array([[1., 4.]], dtype=float32)
    >>> plan(np.zeros((8, 1, 4), np.float32)).shape
    (8, 1, 2)
    >>> plan
    <Plan: x (N, 1, 4), weight (1, 1, 3), y (N, 1, 2), float32, algorithm 'direct'>
    """

    def __init__(
        self,
        weight: ArrayLike,
        bias: ArrayLike | None = None,
        *,
        input_size: Ints,
        stride: Ints = 1,
        padding: Padding = 0,
        dilation: Ints = 1,
        groups: int = 1,
        padding_mode: PaddingMode = "zeros",
        padding_value: float = 0,
        flip: bool = False,
        activation: str | None = None,
        algorithm: str = "auto",
        tune: bool = False,
        channels_last: bool = False,
    ) -> None:
        array = as_array("weight", weight)
        if not isinstance(tune, bool | np.bool_):
            raise TypeError(f"tune must be True or False, not {tune!r}")
        last = check_channels_last(channels_last)
        x_shape = x_shape_of(array.shape, input_size, groups)
        self._input_size = x_shape[1:]
        self.input_shape = arranged(x_shape, len(x_shape) - 1, last)
        self._weight_shape, self._flip = array.shape, flip
        self._options = hashable(
            Options(
                None,
                stride,
                padding,
                dilation,
                groups,
                padding_mode,
                padding_value,
                algorithm,
                check_activation(activation),
                last,
            )
        )
        self._gradient_options = self._options._replace(activation=None)
        self._calls: dict[tuple[Sizes, np.dtype[Any], int], Call] = {}
        wanted = check_algorithm(self._options.algorithm)
        self._geometry, computed, _ = geometry_of(self.input_shape, array.shape, self._options)
        self.output_shape = arranged(self._geometry.out_shape[1:], self._geometry.rank, last)
        way = pick("convolution", computed, wanted, prepared=True, channels_last=last)
        self._chosen_by = way.why if wanted == "auto" else "asked for"
        self._set_algorithm(way.algorithm)
        self.update(weight, bias)
        if tune and wanted == "auto":
            self._chosen_by = "the fastest of all on this machine"
            self._take(self._fastest(computed))

    def update(self, weight: ArrayLike, bias: ArrayLike | None = None) -> None:
        """Replace weight and bias by others of the same shape.

        Parameters
        ----------
        weight : array_like
            Of the shape of the plan's weight.
        bias : array_like of shape (O,), optional
            Without it the plan has no bias from now on.

        Raises
        ------
        TypeError, ValueError
            If one of them does not fit. The plan then stays as it was.

        Examples
        --------
        >>> import numpy as np
        >>> from gemmconv import Plan
        >>> plan = Plan(np.ones((1, 1, 3), np.float32), input_size=(4,))
        >>> plan.update(np.full((1, 1, 3), 2, np.float32), [1])
        >>> plan(np.array([[1, 2, 3, 4]], np.float32))
        array([[13., 19.]], dtype=float32)
        """
        array = flipped(as_array("weight", weight), self._flip)
        check_array_shape("weight", array.shape, self._weight_shape, "that of the plan")
        dtype = computing_dtype(array.dtype, array.dtype)
        if bias is not None:
            bias = np.array(as_array("bias", bias))
            self._geometry.check_bias(bias.shape)
        array = np.array(array, dtype=dtype, order="C", subok=False)
        weights = Weights(array, bias)
        weights.for_convolution(dtype, self._call_for(self.input_shape, dtype))
        # One assignment: a thread that computes meanwhile uses either the old weight and bias or the new ones.
        self._weights = weights

    @property
    def dtype(self) -> np.dtype[Any]:
        """The type of the weight, float32 or float64."""
        return self._weights.dtype

    def __call__(self, x: ArrayLike, out: Array | None = None) -> Array:
        r"""Convolve.

        Parameters
        ----------
        x : array_like of shape (N, C, \*input_size) or (C, \*input_size)
            The input. Without the batch axis N the result has none either.
        out : ndarray, optional
            As in `gemmconv.conv`.

        Returns
        -------
        ndarray of shape (N, O, \*output_size) or (O, \*output_size)
            The result, of type ``numpy.result_type(x, weight, numpy.float32)``. If `out` was given, `out` is returned.

        Raises
        ------
        TypeError, ValueError
            If `x` or `out` does not fit.
        """
        if type(x) is np.ndarray:
            call = self._calls.get((x.shape, x.dtype, get_num_threads()))
            weights = self._weights
            # x must have the computing dtype already; with float64 weights, a float32 x must be converted
            if call is not None and call.run_plain and (x.dtype is weights.dtype or x.dtype is FLOAT64):
                laid_out = weights.for_convolution(x.dtype, call)
                result = np.empty(call.out_shape, x.dtype) if out is None else out
                usable = type(result) is np.ndarray and result.dtype is x.dtype and result.shape == call.out_shape
                if usable and call.run_plain(x, laid_out.weight, laid_out.bias, result, call.threads):
                    return result
        return self._convolve(x, out)

    def _convolve(self, x: ArrayLike, out: Array | None) -> Array:
        """Convolve an input of any type and layout; `__call__` has handled those that need no conversion."""
        x = as_array("x", x)
        weights = self._weights
        dtype = computing_dtype(x.dtype, weights.dtype)
        call = self._call_for(x.shape, dtype)
        laid_out = weights.for_convolution(dtype, call)
        return call.into(out, dtype, x, laid_out.weight, laid_out.bias)

    def input_gradient(self, grad_output: ArrayLike, out: Array | None = None) -> Array:
        r"""Return the gradient with respect to the input, as `gemmconv.conv_input_gradient`, without the activation.

        With an activation, `grad_output` is the gradient with respect to the values before the activation. For
        ``"relu"`` it is zero wherever the output is zero.

        Parameters
        ----------
        grad_output : array_like of shape (N, O, \*output_size) or (O, \*output_size)
            The gradient of a loss with respect to the output, before the activation.
        out : ndarray, optional
            As in `gemmconv.conv`.

        Returns
        -------
        ndarray of shape (N, C, \*input_size) or (C, \*input_size)
            The gradient, of type ``numpy.result_type(grad_output, weight, numpy.float32)``. If the plan was made with
            an algorithm by name, and that is defined for this gradient, it computes the gradient. Otherwise the
            algorithm that is likely to be the fastest does.

        Raises
        ------
        TypeError, ValueError
            If an argument does not fit.

        Examples
        --------
        >>> import numpy as np
        >>> from gemmconv import Plan
        >>> plan = Plan(np.array([[[1, 2]]], np.float32), input_size=(4,))
        >>> plan.input_gradient(np.ones((1, 3), np.float32))
        array([[1., 3., 3., 2.]], dtype=float32)
        """
        grad_output = as_array("grad_output", grad_output)
        weights = self._weights
        dtype = computing_dtype(grad_output.dtype, weights.dtype)
        shape, size = grad_output.shape, self._input_size
        call = prepare_input_gradient(
            shape, self._weight_shape, size, dtype.itemsize, self._gradient_options, prepared=True
        )
        return call.into(out, dtype, grad_output, weights.for_input_gradient(dtype, call), None)

    def weight_gradient(self, grad_output: ArrayLike, x: ArrayLike, out: Array | None = None) -> Array:
        r"""Return the gradient with respect to the weight, as `gemmconv.conv_weight_gradient`, without the activation.

        Parameters
        ----------
        grad_output : array_like of shape (N, O, \*output_size) or (O, \*output_size)
            The gradient of a loss with respect to the output, before the activation.
        x : array_like of shape (N, C, \*input_size) or (C, \*input_size)
            The input.
        out : ndarray, optional
            As in `gemmconv.conv`.

        Returns
        -------
        ndarray of shape (O, C/groups, \*kernel)
            The gradient, of type ``numpy.result_type(grad_output, x, numpy.float32)``.

        Raises
        ------
        TypeError, ValueError
            If an argument does not fit.

        Examples
        --------
        >>> import numpy as np
        >>> from gemmconv import Plan
        >>> plan = Plan(np.array([[[1, 2]]], np.float32), input_size=(4,))
        >>> plan.weight_gradient(np.ones((1, 3), np.float32), np.array([[1, 2, 3, 4]], np.float32))
        array([[[6., 9.]]], dtype=float32)
        """
        grad_output, x = as_array("grad_output", grad_output), as_array("x", x)
        check_plan_input(x.shape, self.input_shape)
        dtype = computing_dtype(grad_output.dtype, x.dtype)
        call = prepare_weight_gradient(
            grad_output.shape, x.shape, self._weight_shape[2:], dtype.itemsize, self._gradient_options, wish=True
        )
        types = Types("real", dtype, dtype)
        operation = Operation("weight_gradient", call.into, call, self._options.channels_last)
        return compute_weight_gradient(operation, types, grad_output, x, self._flip, out)

    def describe(self) -> str:
        """Describe how the plan computes one image.

        Returns
        -------
        str
            Some lines: the shapes, the algorithm and why it was chosen, how the work is cut, scratch memory,
            arithmetic, and how the gradients are computed.

        Examples
        --------
        >>> import numpy as np
        >>> from gemmconv import Plan
        >>> plan = Plan(np.ones((64, 64, 3, 3), np.float32), input_size=(56, 56), padding=1)
        >>> print(plan.describe().splitlines()[0])
        x (N, 64, 56, 56), weight (64, 64, 3, 3), y (N, 64, 56, 56), float32
        """
        dtype = self._weights.dtype
        call = self._call_for(self.input_shape, dtype)
        tiling, geometry = call.tiling, call.computed
        how = f"{call.problem.kernel}, with {call.problem.layout_bytes} bytes of laid-out weights; "
        if tiling is not None and call.problem.kernel == "gemm_conv":
            how = f"calls of BLAS for up to {tiling.channels} channels x {tiling.pixels} pixels x {tiling.taps} taps; "
        wish = str(self._gradient_options.algorithm)
        without_value = self._gradient_options._replace(padding_value=0)  # the gradient does not depend on it
        of_x = geometry_of(self.input_shape, self._weight_shape, without_value)[1]
        last = self._options.channels_last
        back = pick("input_gradient", of_x, wish, prepared=True, wish=True, channels_last=last)
        sums = pick("weight_gradient", geometry, wish, wish=True, channels_last=last)
        patches = geometry.reduction_length * geometry.groups * geometry.out_pixels * dtype.itemsize
        return (
            f"{self._describe_arrays()}\n"
            f"algorithm {self.algorithm}: {self._chosen_by}\n"
            f"{how}{call.problem.task_count} tasks for an image, on {call.threads} thread(s)\n"
            f"scratch {call.problem.scratch_bytes} bytes per thread (the whole patch matrix would have {patches})\n"
            f"arithmetic {geometry.operations / 1e6:.3f} MFLOP for an image\n"
            f"gradients: of the input by {back.algorithm} ({back.kernel}), "
            f"of the weight by {sums.algorithm} ({sums.kernel})"
        )

    def __repr__(self) -> str:
        """Return one line: the shapes, the type and the algorithm."""
        return f"<{type(self).__name__}: {self._describe_arrays()}, algorithm {self.algorithm!r}>"

    def _describe_arrays(self) -> str:
        x, y = (f"(N, {', '.join(map(str, shape))})" for shape in (self.input_shape, self.output_shape))
        return f"x {x}, weight {self._weight_shape}, y {y}, {self.dtype}"

    def __getstate__(self) -> dict[str, Any]:
        """Return everything but the prepared calls, which hold pointers."""
        return {**vars(self), "_calls": {}}

    def _call_for(self, x_shape: Sizes, dtype: np.dtype[Any]) -> Call:
        """Return the prepared call for inputs of this shape and a computing dtype."""
        key = (x_shape, dtype, get_num_threads())
        call = self._calls.get(key)
        if call is None:
            check_plan_input(x_shape, self.input_shape)
            with num_threads(key[2]):  # another thread may change the default meanwhile
                call = prepare_convolution(x_shape, self._weight_shape, dtype.itemsize, self._options)
            if len(self._calls) >= MOST_CALLS:
                self._calls.clear()
            self._calls[key] = call
        return call

    def _set_algorithm(self, algorithm: str) -> None:
        self.algorithm = algorithm
        self._options = self._options._replace(algorithm=algorithm)
        self._calls.clear()

    def _take(self, algorithm: str) -> None:
        """Use another algorithm from now on."""
        self._set_algorithm(algorithm)
        self._weights = Weights(self._weights.weight, self._weights.bias)

    def _fastest(self, computed: Geometry) -> str:
        """Time every algorithm on one image, and return the name of the fastest."""
        x = np.ones(self.input_shape, self._weights.dtype)
        times = {}
        for name in {
            way.algorithm: way for way in candidates("convolution", computed, channels_last=self._options.channels_last)
        }:
            self._take(name)
            times[name] = min(_seconds(self, x) for _ in range(TUNING_CALLS))
        return min(times, key=lambda name: times[name])


def _seconds(plan: Plan, x: Array) -> float:
    start = time.perf_counter()
    plan(x)
    return time.perf_counter() - start
