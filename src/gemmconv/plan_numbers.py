"""What a plan does with numbers that C does not compute with, or with another type of results (numbers/)."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from .checks.arrays import Array, check_out, deliver
from .checks.options import Sizes
from .checks.types import DType, Types, real_part
from .convolution import run_convolution
from .engine.calls import Call, Options, prepare_input_gradient
from .engine.weights import Weights
from .gradients import run_input_gradient
from .numbers.complex_numbers import form_of
from .numbers.operation import Operation, RunReal

if TYPE_CHECKING:
    from .plan import Plan

# The options that a plan hands on to that for the parts of its complex weight.
KEPT_OPTIONS = ("stride", "padding", "dilation", "groups", "padding_mode", "algorithm", "channels_last")


def check_no_activation(options: Options, name: str, dtype: DType) -> None:
    """Raise if a plan has an activation, for an array of complex numbers."""
    if options.activation is not None:
        raise TypeError(
            f"{name} has dtype {dtype}, but activation={options.activation!r} is defined for real numbers only"
        )


def real_plan(plan: Plan, weights: Weights, of_complex: bool, operation: str = "convolution") -> Plan:
    """Return the plan for the parts of complex images, or for real images with a complex weight.

    That of the operation "input_gradient" is a plan of which the input gradient is that for complex images.
    """
    from .plan import Plan

    options = plan._options
    form = form_of(plan._geometry, options.channels_last, real_part(weights.dtype), operation)
    key = of_complex, form.way, form.steps
    real: Plan | None = weights.plans.get(key)
    if real is None:
        weight, bias, tune = weights.weight, None, False
        if weights.dtype.kind == "c":
            weight, bias = form.real_arrays("convolution", weight, weights.bias, of_complex=of_complex)
            tune = plan._tune
        kept = {name: getattr(options, name) for name in KEPT_OPTIONS}
        kept["stride"] = form.stride or options.stride
        *size, columns = [-(-size // step) for size, step in zip(plan._input_size, form.steps)] or plan._input_size
        columns *= 1 + (of_complex and form.in_columns)
        if form.band and weights.dtype.kind != "c":
            *size, columns = [form.band, *[1] * len(size)]
        real = weights.plans[key] = Plan(weight, bias, input_size=(*size, columns), tune=tune, **kept)
    return real


def convolve(plan: Plan, types: Types, weights: Weights, x: Array, out: Array | None) -> Array:
    """Convolve arrays of which the types are not computed by C alone."""
    options, run, prepared = plan._options, partial(run_plan, plan, weights), None
    call = plan._call_for(x.shape, types.computing)
    if types.kind == "complex":
        check_no_activation(options, "x", x.dtype)
        form = form_of(plan._geometry, options.channels_last, types.computing, "convolution")
        is_complex = np.iscomplexobj(weights.weight)
        if options.padding_value == 0 and (form.in_columns or form.steps or form.band or is_complex):
            prepared = partial(real_plan, plan, weights)
    elif types.kind == "integer":  # perhaps in parts, to which the activation does not apply
        run = partial(run_convolution, options._replace(activation=None))
    operation = Operation("convolution", run, call, options, prepared)
    if types.kind != "integer" or options.activation is None:
        return operation.compute(types, x, weights.weight, weights.bias, out)
    if out is not None:
        check_out(out, call.out_shape, types.result)
        operation = operation._replace(out_type=out.dtype)
    result = operation.compute(types, x, weights.weight, weights.bias)
    np.maximum(result, 0, out=result)
    return result if out is None else deliver(result, out)


def run_plan(
    plan: Plan,
    weights: Weights,
    x: Array,
    weight: Array,
    bias: Array | None = None,
    *,
    computing: DType | None = None,
    **changes: object,
) -> Array:
    """Convolve a real array by the laid-out weight of a plan, unless options are changed."""
    if changes or weights.dtype.kind == "c":
        return run_convolution(plan._options, x, weight, bias, computing=computing, **changes)
    dtype = computing or x.dtype
    call = plan._call_for(x.shape, dtype)
    laid_out = weights.for_convolution(dtype, call)
    return call.into(None, dtype, x, laid_out.weight, None if bias is None else laid_out.bias)


def input_gradient_call(plan: Plan, grad_shape: Sizes, weight_shape: Sizes, dtype: DType) -> Call:
    """Return the prepared call for the gradient of the input in a computing type."""
    options = plan._gradient_options
    return prepare_input_gradient(grad_shape, weight_shape, plan._input_size, dtype.itemsize, options, prepared=True)


def input_gradient(plan: Plan, types: Types, weights: Weights, grad_output: Array, out: Array | None) -> Array:
    """Return the gradient of the input for arrays of which the types are not computed by C alone."""
    call = input_gradient_call(plan, grad_output.shape, plan._weight_shape, types.computing)
    prepared, run, options = None, partial(run_plan_gradient, plan, weights), plan._gradient_options
    if np.iscomplexobj(weights.weight) and np.iscomplexobj(grad_output):
        prepared = partial(real_input_gradient, plan, weights)
    elif types.kind == "integer":
        options = options._replace(algorithm="auto")  # the fastest of those that are exact
        run = partial(run_input_gradient, options, plan._input_size)
    operation = Operation("input_gradient", run, call, options, prepared)
    return operation.compute(types, grad_output, weights.weight, out=out)


def real_input_gradient(plan: Plan, weights: Weights, of_complex: bool) -> RunReal:
    """Return what computes the input gradient with the parts of a complex weight."""
    return real_plan(plan, weights, of_complex, "input_gradient").input_gradient


def run_plan_gradient(
    plan: Plan,
    weights: Weights,
    grad_output: Array,
    weight: Array,
    _bias: None = None,
    *,
    computing: DType | None = None,
) -> Array:
    """Return the gradient of the input for real arrays, by the plan's weight as it is laid out, if that is real."""
    dtype = computing or grad_output.dtype
    call = input_gradient_call(plan, grad_output.shape, weight.shape, dtype)
    is_real = weights.dtype.kind != "c"
    return call.into(None, dtype, grad_output, weights.for_input_gradient(dtype, call) if is_real else weight, None)
