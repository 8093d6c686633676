"""Infinities and NaNs: every kernel and every operation has them exactly where the reference has them.

docs/accuracy.md has the rule: in a convolution the zeros of the padding are factors like any others; a gradient and a
transposed convolution have no padding to multiply. One element of an array after the other is made not finite.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from itertools import product
from typing import Any

import numpy as np
import pytest
from cases import (
    CASES,
    TRANSPOSED_CASES,
    ZERO_PADDED_CASES,
    arrays_of,
    geometry_of,
    geometry_options,
    gradient_arrays_of,
    input_size,
    integers,
)
from instruction_sets import ISAS, once_for_all, select_isa
from kernels_under_test import ALL_CASES, CONVOLUTIONS, KERNELS, OPERATIONS, Arrays, arrays_for, expected, run

import gemmconv
from gemmconv import ConvolutionOperator, Plan, reference
from gemmconv.checks.geometry import Geometry
from gemmconv.engine.algorithms import WAYS, defined_algorithms
from gemmconv.engine.blas import single_threaded_blas
from gemmconv.engine.calls import TransposedOptions, prepare_transposed
from gemmconv.engine.normal_form import axes_of, normal_form
from gemmconv.engine.not_finite import watched_inputs, watched_outputs
from gemmconv.engine.ways import build_with_padding

VALUES = (np.inf, -np.inf, np.nan)
# As many elements of an array are replaced at most: all of a small one, else some that are drawn.
MOST_PLACES = 4

Place = tuple[int, Any, float]


def places(arrays: Arrays) -> Iterator[Place]:
    """Yield which array is changed, at which index, and to what: the first and the last element, and drawn ones."""
    for changed, array in enumerate(arrays):
        drawn = range(array.size)
        if array.size > MOST_PLACES:
            rng = np.random.default_rng([changed, *array.shape])
            drawn = [0, array.size - 1, *rng.choice(array.size, MOST_PLACES - 2)]
        for number, place in enumerate(drawn):
            yield changed, np.unravel_index(place, array.shape), VALUES[(number + changed) % len(VALUES)]


def spoiled(arrays: Arrays, place: Place) -> Arrays:
    """Return arrays of which one has another value in one place."""
    changed, index, value = place
    copy = arrays[changed].copy()
    copy[index] = value
    return (*arrays[:changed], copy, *arrays[changed + 1 :])


def same(actual: np.ndarray, wanted: np.ndarray, *what: object) -> None:
    """Raise unless infinities and NaNs are in the same places, and finite elements are nearly the same."""
    if not np.array_equal(actual, wanted, equal_nan=True):
        largest = abs(wanted[np.isfinite(wanted)]).max(initial=1)
        np.testing.assert_allclose(actual, wanted, rtol=0, atol=1e-5 * largest, err_msg=str(what))


Function = Callable[..., np.ndarray]


def in_all_places(definition: Function, arrays: Arrays, *functions: Function) -> None:
    """Raise unless functions have what the definition has, whatever element of their arrays is not finite."""
    for place in places(arrays):
        with np.errstate(invalid="ignore"):
            changed = spoiled(arrays, place)
            wanted = definition(*changed)
            for function in functions:
                same(function(*changed), wanted, place, function)


# --- kernels ---------------------------------------------------------------------------------------------------------


def of_reference(operation: str, name: str) -> list[tuple[Place, np.ndarray]]:
    """Return the places of a case, each with what the reference computes."""
    case = ALL_CASES[name]
    geometry, options = geometry_of(case), geometry_options(case)
    arrays = arrays_for(operation, geometry, np.float64)
    with np.errstate(invalid="ignore"):
        return [(place, expected(operation, geometry, options, spoiled(arrays, place))) for place in places(arrays)]


# As in kernels_under_test.py: those of strided gradients are for input gradients alone.
EVERY_CASE = [
    (operation, name)
    for operation in OPERATIONS
    for name in (ALL_CASES if operation == "input_gradient" else ZERO_PADDED_CASES)
]


@pytest.mark.parametrize(("operation", "name"), EVERY_CASE)
def test_every_kernel(operation, name):
    geometry = geometry_of(ALL_CASES[name])
    kernels = [key for key, kernel in KERNELS.items() if kernel.operation == operation and kernel.defined(geometry)]
    assert kernels
    wanted_in_places = of_reference(operation, name)
    for dtype in ("float32", "float64"):
        arrays = arrays_for(operation, geometry, np.dtype(dtype))
        spoiled_arrays = [spoiled(arrays, place) for place, _ in wanted_in_places]
        for isa, key in product(ISAS, kernels):
            select_isa(isa)
            problem = KERNELS[key].build(geometry, arrays[0].itemsize, 1, False)
            for (place, wanted), changed in zip(wanted_in_places, spoiled_arrays):
                out = np.full(wanted.shape, 7, dtype)
                with single_threaded_blas:
                    problem.run(*changed, out, 1)
                same(out, wanted, key, dtype, isa, place)


@pytest.mark.parametrize("operation", ["convolution", "input_gradient"])
@pytest.mark.parametrize("name", ["same_3x3", "strided_kernel_4", "depthwise", "skipped_taps", "only_padding"])
@once_for_all
def test_laid_out_weights_and_batches(operation, name, dtype, isa):
    # Every image has the bits of a call of its own, also beside one with an infinity, and with weights laid out before.
    case = ALL_CASES[name]
    geometry = geometry_of(case._replace(x=(3, *case.x[1:])))
    one = geometry_of(case._replace(x=(1, *case.x[1:])))
    first, weight, bias = arrays_for(operation, geometry, dtype)
    first[1, 0, 1, 1] = np.inf
    options = geometry_options(case)
    for spoil in (False, True):
        weight[-1, 0, 0, 0] = np.inf if spoil else 2
        with np.errstate(invalid="ignore"):
            wanted = expected(operation, geometry, options, (first, weight, bias))
        for way, alone in zip(WAYS[operation](geometry), WAYS[operation](one)):
            problem, single = (
                each.build(each_geometry, dtype.itemsize).problem
                for each, each_geometry in ((way, geometry), (alone, one))
            )
            out = np.full(OPERATIONS[operation].result(geometry), 7, dtype)
            again, apart = out.copy(), out.copy()
            with single_threaded_blas:
                problem.run(first, weight, bias, out)
                problem.run(first, problem.lay_out(weight), bias, again, 2)
                for image in range(3):
                    single.run(first[image], weight, bias, apart[image])
            np.testing.assert_array_equal(again, out, err_msg=way.name)
            np.testing.assert_array_equal(apart, out, err_msg=way.name)
            same(out, wanted, way.name)


@pytest.mark.parametrize("key", CONVOLUTIONS)
@once_for_all
def test_relu_of_minus_infinity(key, dtype, isa):
    # It is zero, and so does not tell that a weight is not finite: there is NaN where the tap reads padding.
    geometry = geometry_of(ALL_CASES["several_tiles"])
    if not KERNELS[key].defined(geometry):
        geometry = geometry_of(ALL_CASES["depthwise"])
    x, weight, bias = arrays_for("convolution", geometry, dtype)
    x = abs(x) + 1
    weight[3, 0, 0, 1] = -np.inf
    out = run(KERNELS[key], geometry, (x, weight, bias), relu=True)
    np.testing.assert_array_equal(out[:, 3, 1:], 0)
    assert np.isnan(out[:, 3, 0]).all()
    assert np.isfinite(np.delete(out, 3, 1)).all()


# --- which outputs tell ----------------------------------------------------------------------------------------------


def reads_anything(axis: Any, tap: int, outputs: range) -> set[int]:
    """Return the elements of x that a tap reads for some outputs along an axis."""
    read = {at * axis.stride - axis.pad_before + tap * axis.dilation for at in outputs}
    return {at for at in read if 0 <= at < axis.in_size}


def test_watched_elements_tell_of_every_weight():
    numbers = set()
    for case in ALL_CASES.values():
        geometry = normal_form(geometry_of(case))
        boxes = (watched_outputs(geometry), watched_inputs(geometry))
        for number, axis in enumerate(axes_of(geometry)):
            taps, outputs = range(axis.kernel), range(axis.out_size)
            if boxes[0] is None or boxes[1] is None:
                assert boxes == (None, None)
                continue
            of_outputs, of_inputs = (range(*box[number]) for box in boxes)
            assert all(reads_anything(axis, tap, of_outputs) for tap in taps)
            assert all(reads_anything(axis, tap, outputs) & {*of_inputs} for tap in taps)
            numbers |= {len(of_outputs), len(of_inputs)}
        if None in boxes:
            assert not all(
                reads_anything(axis, tap, range(axis.out_size))
                for axis in axes_of(geometry)
                for tap in range(axis.kernel)
            )
    assert {1, 2, 3} < numbers


# --- operations ------------------------------------------------------------------------------------------------------

SOME = [
    "1d_causal",
    "1d_full",
    "same_3x3",
    "first_layer",
    "negative",
    "flip",
    "groups",
    "depthwise",
    "unbatched",
    "only_one_row",
    "3d",
    "reflect",
    "wrap_around_twice",
    "reflect_cropped",
]
SOME = [name for name in SOME if name in CASES]


def algorithms_of(name: str, operation: str) -> tuple[str, ...]:
    """Return "auto" and the names of all algorithms for a case."""
    case = CASES[name]
    geometry = geometry_of(case)
    if "padding_mode" in case.options:
        geometry = geometry.padded()
    return ("auto", *defined_algorithms(normal_form(geometry), operation))


@pytest.mark.parametrize("name", SOME)
def test_convolutions(name, dtype):
    case = CASES[name]
    arrays = arrays_of(case, dtype)
    definition = partial(reference.conv, **case.options)

    def planned(activation: str | None, algorithm: str, x: Any, weight: Any, bias: Any) -> np.ndarray:
        plan = Plan(
            weight, bias, input_size=input_size(case), **case.options, algorithm=algorithm, activation=activation
        )
        return plan(x)

    def with_relu(*of: Any) -> np.ndarray:
        y = definition(*of)
        return np.where(y < 0, 0, y)  # NaN stays NaN, as in PyTorch

    algorithms = algorithms_of(name, "convolution")
    convolutions = [partial(gemmconv.conv, **case.options, algorithm=algorithm) for algorithm in algorithms]
    plans = [partial(planned, None, algorithm) for algorithm in algorithms]
    in_all_places(definition, arrays, *convolutions, *plans)
    in_all_places(with_relu, arrays, *[partial(planned, "relu", algorithm) for algorithm in algorithms])


@pytest.mark.parametrize("name", SOME)
def test_gradients(name, dtype):
    case = CASES[name]
    x, weight, g = gradient_arrays_of(case, dtype)
    size, kernel = input_size(case), case.weight[2:]

    def plan(of: np.ndarray) -> Plan:
        return Plan(of, input_size=size, **case.options)

    back = partial(reference.conv_input_gradient, input_size=size, **case.options)
    function = partial(gemmconv.conv_input_gradient, input_size=size, **case.options)
    functions = [partial(function, algorithm=algorithm) for algorithm in algorithms_of(name, "input_gradient")]
    in_all_places(back, (g, weight), *functions, lambda g, weight: plan(weight).input_gradient(g))
    sums = partial(reference.conv_weight_gradient, kernel_size=kernel, **case.options)
    function = partial(gemmconv.conv_weight_gradient, kernel_size=kernel, **case.options)
    functions = [partial(function, algorithm=algorithm) for algorithm in algorithms_of(name, "weight_gradient")]
    in_all_places(sums, (g, x), *functions, plan(weight).weight_gradient)
    if g.ndim == weight.ndim:
        in_all_places(reference.conv_bias_gradient, (g,), gemmconv.conv_bias_gradient)


@pytest.mark.parametrize("name", TRANSPOSED_CASES)
def test_transposed_convolutions(name, dtype):
    case = TRANSPOSED_CASES[name]
    x, weight, _ = arrays_of(case, dtype)
    arrays = x, weight, integers((case.weight[1] * case.options.get("groups", 1),), dtype, 3)
    options = TransposedOptions(None, 1, 0, 0, None, 1, 1, "zeros", "auto")._replace(**case.options)
    computed = prepare_transposed(case.x, case.weight, dtype.itemsize, options).computed
    algorithms = ("auto", *defined_algorithms(computed, "input_gradient"))
    functions = [partial(gemmconv.conv_transpose, **case.options, algorithm=algorithm) for algorithm in algorithms]
    in_all_places(partial(reference.conv_transpose, **case.options), arrays, *functions)


@pytest.mark.parametrize("name", [name for name in SOME if "padding_mode" not in CASES[name].options])
def test_operators_and_columns(name, dtype):
    case = CASES[name]
    x, weight, g = gradient_arrays_of(case, dtype)
    x, g = (array if array.ndim < weight.ndim else array[0] for array in (x, g))
    size = input_size(case)

    def forward(x: np.ndarray, weight: np.ndarray) -> np.ndarray:
        return ConvolutionOperator(weight, size, **case.options) @ x.ravel()

    def back(g: np.ndarray, weight: np.ndarray) -> np.ndarray:
        return ConvolutionOperator(weight, size, **case.options).T @ g.ravel()

    in_all_places(lambda x, weight: reference.conv(x, weight, **case.options).ravel(), (x, weight), forward)
    transpose = partial(reference.conv_input_gradient, input_size=size, **case.options)
    in_all_places(lambda g, weight: transpose(g, weight).ravel(), (g, weight), back)

    options = {name: value for name, value in case.options.items() if name not in ("groups", "flip")}
    columns = gemmconv.im2col(x, case.weight[2:], **options)
    patches = lambda of, x: of.im2col(x, case.weight[2:], **options)  # noqa: E731
    in_all_places(lambda x: patches(reference, x[np.newaxis])[0], (x,), partial(patches, gemmconv))
    images = lambda of, columns: of.col2im(columns, size, case.weight[2:], **options)  # noqa: E731
    in_all_places(lambda columns: images(reference, columns[np.newaxis])[0], (columns,), partial(images, gemmconv))


def test_an_operator_agrees_with_its_matrix():
    A = ConvolutionOperator([[[np.inf, 1, 1]]], 5)
    matrix = gemmconv.convolution_matrix([[[np.inf, 1, 1]]], 5)
    np.testing.assert_array_equal(A.T @ np.ones(3), [np.inf, np.inf, np.inf, 2, 1])
    np.testing.assert_array_equal(matrix.T @ np.ones(3), [np.inf, np.inf, np.inf, 2, 1])


# --- the rule itself -------------------------------------------------------------------------------------------------


def by_definition(x: np.ndarray, weight: np.ndarray, g: np.ndarray, padding: int) -> tuple[np.ndarray, ...]:
    """Return a 1-D convolution with one channel and both its gradients, product by product."""
    y, dx, dw = np.zeros(g.shape), np.zeros(x.shape), np.zeros(weight.shape)
    for i in range(y.size):
        for tap in range(weight.size):
            at = i - padding + tap
            inside = 0 <= at < x.size
            y.flat[i] += (x.flat[at] if inside else 0.0) * weight.flat[tap]
            if inside:
                dx.flat[at] += g.flat[i] * weight.flat[tap]
                dw.flat[tap] += g.flat[i] * x.flat[at]
    return y, dx, dw


def test_the_reference_holds_the_rule():
    x, weight, g = np.array([[[1.0, 0, -2, 3]]]), np.array([[[2.0, 0, -1, 1]]]), np.array([[[1.0, -1, 0, 2, 1]]])
    for changed, index, _ in places((x, weight, g)):
        for value in VALUES:
            with np.errstate(invalid="ignore"):
                arrays = spoiled((x, weight, g), (changed, index, value))
                wanted = by_definition(*arrays, padding=2)
                actual = with_padding_2(reference, *arrays)
            for result, expected_result in zip(actual, wanted):
                np.testing.assert_array_equal(result, expected_result)


def with_padding_2(of: Any, x: np.ndarray, weight: np.ndarray, g: np.ndarray) -> tuple[np.ndarray, ...]:
    """Return what a module computes of a convolution with one channel: it and both its gradients."""
    return (
        of.conv(x, weight, padding=2),
        of.conv_input_gradient(g, weight, x.shape[2:], padding=2),
        of.conv_weight_gradient(g, x, weight.shape[2:], padding=2),
    )


def test_the_rule_is_that_of_pytorch():
    # of a convolution and a transposed convolution; its gradients with respect to the weight multiply by padding
    torch = pytest.importorskip("torch")
    x, weight = integers((1, 3, 6, 7), np.float64), integers((3, 3, 3, 3), np.float64, 1)
    bias = integers((3,), np.float64, 2)
    for name, torch_function in (("conv", "conv2d"), ("conv_transpose", "conv_transpose2d")):
        for options in ({"padding": 1}, {"padding": 2, "stride": 2}, {"dilation": 2, "padding": 1}):
            of_torch = getattr(torch.nn.functional, torch_function)

            def definition(*arrays: np.ndarray, of=of_torch, options=options) -> np.ndarray:
                return of(*map(torch.from_numpy, arrays), **options).numpy()

            functions = [partial(getattr(module, name), **options) for module in (gemmconv, reference)]
            in_all_places(definition, (x, weight, bias), *functions)


def test_weights_that_are_not_finite_do_not_make_long_filters_slow():
    # panels has all products too, and takes a hundred times as long for one channel.
    geometry = Geometry.from_shapes((1, 1, 48000), (1, 1, 3000), padding=2999)
    assert build_with_padding(geometry, 4, 1, relu=False).problem.kernel in ("direct_pixels", "depthwise")
