"""Plan: a convolution that is prepared once for its weight and geometry, and then called with many inputs.

This file decides what a plan keeps and when it is replaced. How a convolution is computed is decided in engine/. The
short path at the beginning of `Plan.__call__` is timed: each further line there is felt in small convolutions.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, DTypeLike

from . import plan_numbers
from .checks.arrays import Array, as_array, check_bool, flipped
from .checks.options import Ints, Padding, PaddingMode, Sizes, check_activation, check_algorithm
from .checks.shapes import arranged, check_array_shape, check_plan_input, x_shape_of
from .checks.types import FLOAT32, FLOAT64, as_dtype, check_bias_type, computing_dtype, is_integer, types_of
from .engine.algorithms import pick
from .engine.calls import Call, Options, geometry_of, hashable, prepare_convolution, prepare_weight_gradient
from .engine.weights import Weights
from .gradients import compute_weight_gradient, run_weight_gradient
from .numbers.integers import exact_algorithm
from .numbers.narrow import convolve_narrow, is_narrow
from .numbers.operation import Operation
from .plan_description import described_computation, described_gradients
from .plan_tuning import fastest_algorithm
from .threads import get_num_threads, num_threads

__all__ = ["Plan"]

# The most prepared calls that a plan keeps: one for each input shape, type and number of threads that it has seen.
MOST_CALLS = 64


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
    dtype : dtype_like, optional
        The type of the results, and of the gradients, as in `gemmconv.conv`. A type of integers needs a weight of
        integers.

    Attributes
    ----------
    algorithm : str
        The algorithm that was chosen.
    dtype : numpy.dtype
        The computing type of the weight, not the option `dtype`: float32, float64, complex64 or complex128.
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
        padding_value: complex = 0,
        flip: bool = False,
        activation: str | None = None,
        algorithm: str = "auto",
        tune: bool = False,
        channels_last: bool = False,
        dtype: DTypeLike | None = None,
    ) -> None:
        array = as_array("weight", weight)
        wants_tuning, last = check_bool("tune", tune), check_bool("channels_last", channels_last)
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
        self._result, self._tune = dtype, wants_tuning
        self._weights = Weights(array, None)
        self._calls: dict[tuple[Sizes, np.dtype[Any], int], Call] = {}
        wanted = check_algorithm(self._options.algorithm)
        self._geometry, computed, _ = geometry_of(self.input_shape, array.shape, self._options)
        self.output_shape = arranged(self._geometry.out_shape[1:], self._geometry.rank, last)
        if np.iscomplexobj(array):
            self._chosen_by = ""
            self.update(weight, bias)
            real = plan_numbers.real_plan(self, self._weights, of_complex=True)
            self._chosen_by = real._chosen_by
            self._set_algorithm(real.algorithm)
            return
        algorithm = wanted
        if dtype is not None and is_integer(as_dtype("dtype", dtype)):
            algorithm = exact_algorithm("convolution", computed, wanted, last)
        way = pick("convolution", computed, algorithm, prepared=True, channels_last=last)
        self._chosen_by = way.why if wanted == "auto" else "asked for"
        self._set_algorithm(way.algorithm)
        self.update(weight, bias)
        if wants_tuning and wanted == "auto":
            self._chosen_by = "the fastest of all on this machine"
            self._take(fastest_algorithm(self, computed))

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
        types, dtype = types_of(array.dtype, array.dtype, self._result), computing_dtype(array.dtype, array.dtype)
        if bias is not None:
            bias = np.array(as_array("bias", bias))
            self._geometry.check_bias(bias.shape)
            check_bias_type(bias.dtype, types)
        # exact sums need the integers themselves
        array = np.array(array, dtype=array.dtype if types.kind == "integer" else dtype, order="C", subok=False)
        weights = Weights(array, bias)
        if types.kind == "complex":
            plan_numbers.check_no_activation(self._options, "weight", dtype)
            plan_numbers.real_plan(self, weights, of_complex=True)
        elif types.kind != "integer":  # exact sums are computed without a layout
            weights.for_convolution(dtype, self._call_for(self.input_shape, dtype))
        # One assignment: a thread that computes meanwhile uses either the old weight and bias or the new ones.
        self._weights = weights
        if types.kind == "complex":
            self._calls.clear()  # those for a real weight before it

    @property
    def dtype(self) -> np.dtype[Any]:
        """The computing type of the weight, not the option `dtype`: float32, float64, complex64 or complex128."""
        return self._weights.dtype

    def __call__(self, x: ArrayLike, out: Array | None = None) -> Array:
        r"""Convolve.

        Parameters
        ----------
        x : array_like of shape (N, C, \*input_size) or (C, \*input_size)
            The input; with channels last of shape (N, \*input_size, C) or (\*input_size, C). Without the batch axis N
            the result has none either.
        out : ndarray, optional
            As in `gemmconv.conv`.

        Returns
        -------
        ndarray of shape (N, O, \*output_size) or (O, \*output_size)
            The result; with channels last of shape (N, \*output_size, O) or (\*output_size, O). Its type is the option
            `dtype` of the plan, or else ``numpy.result_type(x, weight, numpy.float32)``: float32, float64, complex64 or
            complex128. If `out` was given, `out` is returned.

        Raises
        ------
        TypeError, ValueError
            If `x` or `out` does not fit.
        """
        if type(x) is np.ndarray:
            weights = self._weights
            call = self._calls.get((x.shape, x.dtype, get_num_threads()))
            # x must have the computing dtype already; with float64 weights, a float32 x must be converted
            same = x.dtype is weights.dtype or (x.dtype is FLOAT64 and weights.dtype is FLOAT32)
            if call is not None and call.run_plain and same:
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
        types = types_of(x.dtype, weights.weight.dtype, self._result)
        if types.kind not in ("real", "rounded"):
            return plan_numbers.convolve(self, types, weights, x, out)
        call = self._call_for(x.shape, types.computing)
        if is_narrow(call, x, types):
            return convolve_narrow(call, self._options, types, x, weights, out)
        if types.kind == "real":
            laid_out = weights.for_convolution(types.computing, call)
            return call.into(out, types.computing, x, laid_out.weight, laid_out.bias)
        return plan_numbers.convolve(self, types, weights, x, out)

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
            The gradient; with channels last of shape (N, \*input_size, C) or (\*input_size, C). Its type is the option
            `dtype` of the plan, or else ``numpy.result_type(grad_output, weight, numpy.float32)``. If the plan was made
            with an algorithm by name, and that is defined for this gradient, it computes the gradient. Otherwise the
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
        types = types_of(grad_output.dtype, weights.weight.dtype, self._result)
        call = plan_numbers.input_gradient_call(self, grad_output.shape, self._weight_shape, types.computing)
        if types.kind == "real":
            return call.into(out, types.computing, grad_output, weights.for_input_gradient(types.computing, call), None)
        return plan_numbers.input_gradient(self, types, weights, grad_output, out)

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
            The gradient. Its type is the option `dtype` of the plan, or else
            ``numpy.result_type(grad_output, x, numpy.float32)``.

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
        types, options = types_of(grad_output.dtype, x.dtype, self._result), self._gradient_options
        shapes = grad_output.shape, x.shape, self._weight_shape[2:]
        call = prepare_weight_gradient(*shapes, types.computing.itemsize, options, wish=True)
        run = partial(run_weight_gradient, options, shapes[2], wish=True)
        operation = Operation("weight_gradient", run, call, options)
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
        weights = self._weights
        if weights.dtype.kind == "c":
            real = plan_numbers.real_plan(self, weights, of_complex=True)
            how = "by this convolution of real numbers:"
            return f"{self._describe_arrays()}\n{how}\n{real.describe()}"
        call = self._call_for(self.input_shape, weights.dtype)
        how = described_computation(call, weights.dtype.itemsize, f"{self.algorithm}: {self._chosen_by}")
        gradients = described_gradients(self.input_shape, self._weight_shape, self._gradient_options, call.computed)
        return f"{self._describe_arrays()}\n{how}\n{gradients}"

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
            if self._result is not None or self.dtype.kind == "c":  # the short path must not take it
                call = call._replace(run_plain=None)
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
