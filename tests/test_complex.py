"""Complex arrays: every operation equals its definition and PyTorch, and no infinity reaches a part that it is not in.

Gaussian integers are exact in every operation, so results compare with ``==``.
"""

from __future__ import annotations

import pickle
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from cases import CASES, TRANSPOSED_CASES, exact_algorithm, geometry_of, input_size, integer_weights, integers
from drawn import DTYPES, FEWER, PADDING_MODES, convolutions
from guarded import guarded
from hypothesis import given
from instruction_sets import select_isa

import gemmconv
from gemmconv import ConvolutionOperator, Plan, conv, num_threads, reference
from gemmconv._gemmconv import times_i
from gemmconv.engine.calls import Options, prepare_convolution
from gemmconv.engine.channels_last import moved
from gemmconv.numbers import complex_numbers
from gemmconv.numbers.complex_numbers import form_of

KINDS = {"both": (True, True), "x": (True, False), "weight": (False, True)}
COMPLEX = {np.dtype(np.float32): np.complex64, np.dtype(np.float64): np.complex128}
DEFAULT_OPTIONS = Options(None, 1, 0, 1, 1, "zeros", 0, "auto")
Shape = tuple[int, ...]


@pytest.fixture(params=KINDS)
def kinds(request) -> tuple[bool, bool]:
    """Which of two arrays are complex."""
    return KINDS[request.param]


@pytest.fixture(params=[False, True], ids=["channels_first", "channels_last"])
def last(request) -> bool:
    return request.param


def gaussian(shape: Shape, dtype: Any, seed: int, *, is_complex: bool = True, make: Any = integers) -> np.ndarray:
    """Return Gaussian integers, or real ones."""
    real = make(shape, dtype, seed)
    return (real + 1j * make(shape, dtype, seed + 10)).astype(COMPLEX[np.dtype(dtype)]) if is_complex else real


def to_layout(array: np.ndarray, rank: int, last: bool) -> np.ndarray:
    """Return an array with channels first in the layout of a test."""
    return np.ascontiguousarray(np.moveaxis(array, -rank - 1, -1)) if last else array


def same(actual: np.ndarray, expected: np.ndarray, dtype: Any = None) -> None:
    """Compare shapes, and values with ==, and the type if one is given."""
    assert actual.shape == expected.shape
    assert dtype is None or actual.dtype == dtype
    np.testing.assert_array_equal(actual, expected)


# --- every operation, over the case tables ---------------------------------------------------------------------------


@pytest.mark.parametrize("name", CASES)
def test_convolution(name, kinds, last, dtype):
    case, algorithm = CASES[name], exact_algorithm(name)
    rank, size = len(case.weight) - 2, input_size(case)
    x = to_layout(gaussian(case.x, dtype, 1, is_complex=kinds[0]), rank, last)
    weight = gaussian(case.weight, dtype, 2, is_complex=kinds[1], make=integer_weights)
    bias = gaussian(case.weight[:1], dtype, 3)
    options = {**case.options, "channels_last": last}
    expected = reference.conv(x, weight, bias, **options)

    y = conv(x, weight, bias, **options, algorithm=algorithm)
    same(y, expected, COMPLEX[np.dtype(dtype)])
    plan = Plan(weight, bias if kinds[1] else bias.real, input_size=size, **options, algorithm=algorithm)
    same(plan(x), expected if kinds[1] else reference.conv(x, weight, bias.real, **options), COMPLEX[np.dtype(dtype)])


@pytest.mark.parametrize("name", CASES)
def test_gradients(name, kinds, last):
    case, algorithm = CASES[name], exact_algorithm(name)
    rank, size, kernel = len(case.weight) - 2, input_size(case), case.weight[2:]
    out_shape = geometry_of(case).out_shape
    g_shape = out_shape if len(case.x) == len(case.weight) else out_shape[1:]
    g = to_layout(gaussian(g_shape, "float32", 1, is_complex=kinds[0]), rank, last)
    options = {**case.options, "channels_last": last}
    weight = gaussian(case.weight, "float32", 2, is_complex=kinds[1], make=integer_weights)
    expected = reference.conv_input_gradient(g, weight, size, **options)
    same(gemmconv.conv_input_gradient(g, weight, size, **options, algorithm=algorithm), expected, np.complex64)
    plan = Plan(weight, input_size=size, **options, algorithm=algorithm)
    same(plan.input_gradient(g), expected, np.complex64)

    x = to_layout(gaussian(case.x, "float32", 3, is_complex=kinds[1]), rank, last)
    expected = reference.conv_weight_gradient(g, x, kernel, **options)
    same(gemmconv.conv_weight_gradient(g, x, kernel, **options, algorithm=algorithm), expected, np.complex64)
    same(plan.weight_gradient(g, x), expected, np.complex64)


@pytest.mark.parametrize("name", TRANSPOSED_CASES)
def test_transposed_convolution(name, kinds, last):
    case = TRANSPOSED_CASES[name]
    x = to_layout(gaussian(case.x, "float64", 1, is_complex=kinds[0]), len(case.weight) - 2, last)
    weight = gaussian(case.weight, "float64", 2, is_complex=kinds[1], make=integer_weights)
    bias = gaussian((case.weight[1] * case.options.get("groups", 1),), "float64", 3)
    options = {**case.options, "channels_last": last}
    algorithm = "gemm" if name == "1d_long_kernel" else "auto"
    expected = reference.conv_transpose(x, weight, bias, **options)
    same(gemmconv.conv_transpose(x, weight, bias, **options, algorithm=algorithm), expected, np.complex128)


@pytest.mark.parametrize("name", ["same_3x3", "several_tiles_in_place", "depthwise", "groups", "1d_stride", "3d"])
def test_every_instruction_set(name, kinds, last, isa):
    case = CASES[name]
    x = to_layout(gaussian(case.x, "float32", 1, is_complex=kinds[0]), len(case.weight) - 2, last)
    weight = gaussian(case.weight, "float32", 2, is_complex=kinds[1], make=integer_weights)
    options = {**case.options, "channels_last": last}
    same(conv(x, weight, **options), reference.conv(x, weight, **options))


# Geometries of every form: x, weight, options, and the ways for two complex arrays, with channels first and last.
FORMS = {
    "results": ((2, 6, 5, 7), (4, 3, 1, 1), {"groups": 2}, "results", "doubled"),
    "images": ((2, 4, 3, 3), (6, 2, 1, 1), {"groups": 2}, "images", "doubled"),
    "few_pixels": ((2, 4, 2, 1), (12, 4, 1, 1), {}, "images", "images"),
    "one_column": (
        (2, 4, 7, 3),
        (12, 2, 3, 1),
        {"groups": 2, "padding": (1, 0), "stride": (2, 1)},
        "images",
        "doubled",
    ),
    "wrap": ((2, 4, 7, 3), (2, 4, 3, 1), {"padding": (2, 0), "padding_mode": ("wrap", "zeros")}, "results", "doubled"),
    "one_tap_with_stride": ((2, 4, 3, 3), (15, 4, 1, 1), {"stride": 2}, "images", "images"),
    "one_tap_in_groups": ((2, 4, 3, 3), (30, 2, 1, 1), {"padding": 1, "groups": 2}, "images", "images"),
    "steps_of_columns": (
        (2, 4, 7, 8),
        (6, 2, 1, 1),
        {"groups": 2, "padding": (1, 0), "stride": (2, 3)},
        "results",
        "doubled",
    ),
    "steps_of_rows": ((2, 4, 8, 7), (3, 4, 1, 3), {"padding": (0, 1), "stride": (3, 1)}, "doubled", "doubled"),
    "steps_of_depthwise": ((2, 4, 7, 8), (4, 1, 1, 1), {"groups": 4, "stride": (2, 3)}, "parts", "parts"),
    "planes": ((2, 4, 5, 4), (12, 2, 3, 3), {"padding": 1, "groups": 2}, "images", "images"),
    "doubled": ((2, 4, 9, 8), (6, 4, 3, 3), {"padding": 1}, "doubled", "doubled"),
    "depthwise": ((2, 4, 3, 5), (8, 1, 1, 1), {"groups": 4}, "parts", "parts"),
    "1d": ((2, 4, 5), (4, 4, 1), {}, "results", "doubled"),
    "3d": ((1, 2, 3, 2, 4), (5, 2, 2, 3, 1), {"padding": (1, 1, 0)}, "images", "doubled"),
    "large": ((1, 5, 150, 131), (3, 5, 1, 1), {}, "results", "doubled"),
    "large_images": ((1, 3, 150, 131), (5, 3, 1, 1), {}, "images", "doubled"),
}


@pytest.mark.parametrize("name", FORMS)
def test_forms(name, kinds, last, isa):
    x_shape, weight_shape, options, *ways = FORMS[name]
    rank = len(weight_shape) - 2
    x = to_layout(gaussian(x_shape, "float32", 1, is_complex=kinds[0]), rank, last)
    weight = gaussian(weight_shape, "float32", 2, is_complex=kinds[1], make=integer_weights)
    bias = gaussian(weight_shape[:1], "float32", 3)
    geometry = prepare_convolution(x_shape, weight_shape, 4, DEFAULT_OPTIONS._replace(**options)).geometry
    assert form_of(geometry, last, x.real.dtype, "convolution").way == ways[last]
    expected = reference.conv(x, weight, bias, **options, channels_last=last)
    same(conv(x, weight, bias, **options, channels_last=last), expected, np.complex64)
    same(conv(x[0], weight, bias, **options, channels_last=last), expected[0])
    with num_threads(2):
        same(conv(x, weight, bias, **options, channels_last=last), expected)
    if kinds[1]:
        plan = Plan(weight, bias, input_size=x_shape[2:], **options, channels_last=last)
        same(plan(x), expected)
    plan = Plan(weight, bias.real, input_size=x_shape[2:], **options, channels_last=last)
    expected = reference.conv(x, weight, bias.real, **options, channels_last=last)
    same(plan(x), expected)
    plan.update(2 * weight)
    same(plan(x[0]), reference.conv(x[0], 2 * weight, **options, channels_last=last))


@pytest.mark.parametrize("size", [1, 7, 8, 40, 40001])
def test_products_with_i(size, dtype):
    numbers = gaussian((3, size), dtype, 1)
    pairs = guarded(numbers.view(dtype))
    for threads in 1, 3:
        both = guarded(np.zeros((3, 2, 2 * size), dtype))
        times_i(pairs, both, 3, pairs.itemsize, False, threads)
        same(both.view(numbers.dtype), np.stack([numbers, 1j * numbers], axis=1))
        total = guarded(np.zeros((3, 2 * size), dtype))
        times_i(both, total, 3, pairs.itemsize, True, threads)
        same(total.view(numbers.dtype), numbers + 1j * (1j * numbers))


PYTORCH = {
    "dense": ((2, 4, 9, 8), (6, 4, 3, 3), {"padding": 1}),
    "groups": ((2, 4, 9, 8), (6, 2, 3, 3), {"padding": 1, "stride": 2, "groups": 2}),
    "depthwise": ((2, 4, 9), (4, 1, 3), {"dilation": 2, "groups": 4}),
    "3d": ((1, 2, 4, 5, 6), (3, 2, 2, 3, 3), {"padding": 1}),
}


@pytest.mark.parametrize("name", PYTORCH)
def test_pytorch(name, kinds):
    torch = pytest.importorskip("torch")
    x_shape, weight_shape, options = PYTORCH[name]
    x, weight = (gaussian(s, "float64", 1, is_complex=c) for s, c in zip((x_shape, weight_shape), kinds))
    bias = gaussian(weight_shape[:1], "float64", 2)
    tensors = [torch.tensor(array.astype(complex), requires_grad=True) for array in (x, weight, bias)]
    rank = len(weight_shape) - 2
    Y = getattr(torch.nn.functional, f"conv{rank}d")(*tensors, **options)
    same(conv(x, weight, bias, **options), Y.detach().numpy())
    g = gaussian(tuple(Y.shape), "float64", 3)
    of_x, of_weight, of_bias = (each.numpy() for each in torch.autograd.grad(Y, tensors, torch.tensor(g)))
    same(gemmconv.conv_input_gradient(g, weight, x_shape[2:], **options), of_x)
    same(gemmconv.conv_weight_gradient(g, x, weight_shape[2:], **options), of_weight)
    same(gemmconv.conv_bias_gradient(g), of_bias)
    transposed = getattr(torch.nn.functional, f"conv_transpose{rank}d")
    same(gemmconv.conv_transpose(g, weight, **options), transposed(torch.tensor(g), tensors[1], **options).detach())


@FEWER
@given(convolutions(max_rank=2), DTYPES, PADDING_MODES)
def test_drawn_convolutions(drawn, dtype, padding_mode):
    select_isa(drawn.isa)
    rank, options = len(drawn.weight) - 2, {**drawn.options, "padding_mode": padding_mode}
    for kinds, last in (((True, True), False), ((True, True), True), ((True, False), False), ((False, True), True)):
        x = to_layout(gaussian(drawn.x, dtype, 1, is_complex=kinds[0]), rank, last)
        weight = gaussian(drawn.weight, dtype, 2, is_complex=kinds[1], make=integer_weights)
        y = conv(x, weight, **options, channels_last=last)
        same(y, reference.conv(x, weight, **options, channels_last=last))
        g = gaussian(y.shape, dtype, 3)
        of_x = gemmconv.conv_input_gradient(g, weight, drawn.x[2:], **options, channels_last=last)
        assert np.vdot(g.astype(complex), y) == np.vdot(of_x.astype(complex), x), "the adjoint"


# --- constants in the padding, infinities, bits -----------------------------------------------------------------------


@pytest.mark.parametrize("value", [2, 1 - 2j, 3j, np.complex64(1j), complex(0, np.inf)])
def test_padding_value(value, kinds, last):
    if not kinds[0] and isinstance(value, complex | np.complexfloating):
        pytest.skip("only complex images can have it")
    x, weight = gaussian((2, 4, 7, 8), "float32", 1, is_complex=kinds[0]), integers((6, 2, 3, 3), "float32", 2)
    weight = weight + 1j * weight[::-1] if kinds[1] else weight
    bias = gaussian((6,), "float32", 3)
    x = to_layout(x, 2, last)
    options = {"padding": ((2, 1), (0, 3)), "padding_mode": ("zeros", "wrap"), "groups": 2, "channels_last": last}
    with np.errstate(all="ignore"):
        expected = reference.conv(x, weight, bias, **options, padding_value=value)
    y = conv(x, weight, bias, **options, padding_value=value)
    same(y, expected)
    plan = Plan(weight, input_size=(7, 8), **options, padding_value=value)
    same(plan(x), conv(x, weight, **options, padding_value=value))
    g = gaussian(y.shape, "float32", 4)
    with np.errstate(all="ignore"):
        expected = reference.conv_weight_gradient(g, x, (3, 3), **options, padding_value=value)
    same(gemmconv.conv_weight_gradient(g, x, (3, 3), **options, padding_value=value), expected)
    same(plan.weight_gradient(g, x), expected)


@pytest.mark.parametrize("place", ["x", "weight"])
def test_what_is_not_finite_stays_in_its_part(place, kinds, last):
    x, weight = gaussian((1, 3, 8, 9), "float32", 1, is_complex=kinds[0]), gaussian((4, 3, 3, 3), "float32", 2)
    weight = weight if kinds[1] else weight.real.copy()
    (x if place == "x" else weight)[0, 1, 2, 2] = np.inf
    x = to_layout(x, 2, last)
    with np.errstate(all="ignore"):
        expected = reference.conv(x, weight, padding=1, channels_last=last)
        same(conv(x, weight, padding=1, channels_last=last), expected)
    assert np.isfinite(expected).any()
    assert not np.isfinite(expected).all()


@pytest.mark.parametrize("name", ["several_tiles", "groups", "depthwise", "reflect", "one_tap"])
def test_bits_do_not_depend_on_batch_or_threads(name, kinds, last):
    case, rng = CASES[name], np.random.default_rng(3)
    weight = rng.standard_normal((*case.weight, 2)).astype(np.float32).view(np.complex64)[..., 0]
    x = rng.standard_normal((5, *case.x[1:], 2)).astype(np.float32).view(np.complex64)[..., 0]
    x, weight = (array if each else array.real.copy() for array, each in zip((x, weight), kinds))
    x, options = to_layout(x, 2, last), {**case.options, "channels_last": last}
    whole = conv(x, weight, **options)
    plan = Plan(weight, input_size=input_size(case), **options)
    same(plan(x), conv(x, weight, **options, algorithm=plan.algorithm))
    for threads in 1, 2, 3:
        with num_threads(threads):
            same(conv(x, weight, **options), whole)
    for image in 0, 4:
        same(conv(x[image], weight, **options), whole[image])
        same(conv(x[image : image + 1], weight, **options), whole[image : image + 1])


@pytest.fixture
def narrow_bands(monkeypatch) -> Iterator[None]:
    """Bands of 64 complex numbers."""
    monkeypatch.setattr(complex_numbers, "BAND_NUMBERS", 64)
    form_of.cache_clear()
    yield
    form_of.cache_clear()


@pytest.mark.parametrize(("weight_shape", "options"), [((6, 4, 1, 1), {}), ((6, 2, 1), {"stride": 5, "groups": 2})])
def test_bands_of_pixels(weight_shape, options, isa, narrow_bands):
    size = (13, 11)[: len(weight_shape) - 2]
    rng, options = np.random.default_rng(3), {**options, "channels_last": True}
    x = rng.standard_normal((3, *[7 * n for n in size], 4, 2)).astype(np.float32).view(np.complex64)[..., 0]
    weight = rng.standard_normal(weight_shape).astype(np.float32)
    bias = gaussian(weight_shape[:1], "float32", 1)
    plan = Plan(weight, bias.real, input_size=x.shape[1:-1], **options)
    with num_threads(1):
        whole, planned = conv(x, weight, bias, **options), plan(x)
    for made, added in ((whole, bias), (planned, bias.real)):
        np.testing.assert_allclose(made, reference.conv(x, weight, added, **options), rtol=1e-4, atol=1e-4)
    for threads in 1, 3:
        with num_threads(threads):
            for image in 0, 2:
                same(conv(x[image], weight, bias, **options), whole[image], np.complex64)
                same(plan(x[image : image + 1]), planned[image : image + 1])
    x[0, 5, ..., 1] = complex(np.inf, 1)
    with np.errstate(all="ignore"):
        expected = reference.conv(x, weight, bias, **options)
        made = conv(x, weight, bias, **options)
    assert np.isfinite(made.imag).all()
    same(np.isfinite(made.real), np.isfinite(expected.real))


@pytest.mark.parametrize("kinds_of_two", [(True, True), (True, False)])
def test_error_is_within_the_bound(kinds_of_two):
    rng = np.random.default_rng(7)
    x = (rng.standard_normal((1, 40, 12, 12)) + 1j * rng.standard_normal((1, 40, 12, 12))).astype(np.complex64)
    weight = (rng.standard_normal((8, 40, 3, 3)) + 1j * rng.standard_normal((8, 40, 3, 3))).astype(np.complex64)
    weight = weight if kinds_of_two[1] else weight.real.copy()
    exact, terms = reference.conv(x, weight), 40 * 9 * (1 + kinds_of_two[1])
    y = conv(x, weight, algorithm="direct").astype(complex)
    sizes = np.abs(weight.real), np.abs(weight.imag)
    of_real = reference.conv(np.abs(x.real), sizes[0]) + reference.conv(np.abs(x.imag), sizes[1])
    of_imaginary = reference.conv(np.abs(x.real), sizes[1]) + reference.conv(np.abs(x.imag), sizes[0])
    bound = (min(terms, 256) + terms / 128 + 2) * np.finfo(np.float32).eps
    assert (np.abs((y - exact).real) <= bound * of_real).all()
    assert (np.abs((y - exact).imag) <= bound * of_imaginary).all()


# --- arrays of every kind ---------------------------------------------------------------------------------------------

X, WEIGHT = gaussian((2, 4, 7, 8), "float32", 1), gaussian((6, 4, 3, 3), "float32", 2)


def unaligned(array: np.ndarray) -> np.ndarray:
    """Return an array whose elements lie between those of the alignment of its type."""
    memory = np.append(np.zeros(1, np.uint8), np.frombuffer(array.tobytes(), np.uint8))
    return memory[1:].view(array.dtype).reshape(array.shape)


MAKERS = {
    "big_endian": lambda a: a.astype(">c8"),
    "fortran": np.asfortranarray,
    "reversed": lambda a: np.ascontiguousarray(a[:, ::-1, :, ::-1])[:, ::-1, :, ::-1],
    "every_second": lambda a: np.repeat(a, 2, axis=3)[..., ::2],
    "unaligned": unaligned,
    "conjugate": lambda a: a.conj().conj(),
    "list": lambda a: a.tolist(),
    "guarded": guarded,
}


@pytest.mark.parametrize("make", MAKERS.values(), ids=MAKERS)
def test_inputs_of_every_kind(make, last):
    x, options = to_layout(X, 2, last), {"padding": 1, "channels_last": last}
    before = x.copy()
    x.setflags(write=False)
    same(conv(make(x), make(WEIGHT), **options), reference.conv(x, WEIGHT, **options))
    same(
        conv(make(x), make(WEIGHT.real.copy()) if make is not MAKERS["big_endian"] else WEIGHT.real, **options),
        reference.conv(x, WEIGHT.real, **options),
    )
    same(x, before)


@pytest.mark.parametrize("dtype", [np.complex64, np.complex128, ">c16"])
def test_results_of_every_kind(dtype, last):
    x, options = to_layout(X, 2, last), {"padding": 1, "channels_last": last}
    expected = reference.conv(x, WEIGHT, **options)
    memory = np.full((*expected.shape, 2), np.nan, dtype)
    out = memory[..., 0]
    assert conv(x, WEIGHT, **options, out=out) is out
    same(out, expected)
    assert np.isnan(memory[..., 1]).all()
    x = x.astype(complex)
    overlapping = x[:, : expected.shape[1], ..., : expected.shape[3]] if last else None
    if overlapping is not None and overlapping.shape == expected.shape:
        same(conv(x, WEIGHT, **options, out=overlapping), expected)


def test_dtype():
    x, weight = X.astype(complex) / 3, WEIGHT.astype(complex) / 7
    same(conv(x, weight, dtype=np.complex64), conv(x, weight).astype(np.complex64), np.complex64)
    same(conv(X, WEIGHT, dtype=np.complex128), reference.conv(X, WEIGHT), np.complex128)
    same(Plan(weight, input_size=(7, 8), dtype=np.complex64)(x), conv(x, weight).astype(np.complex64), np.complex64)
    for wanted in np.float32, np.float64, np.float16, np.complex128:
        plan = Plan(WEIGHT.real, [1] * 6, input_size=(7, 8), activation="relu", dtype=wanted)
        expected = np.maximum(reference.conv(X.real, WEIGHT.real, np.ones(6)), 0)
        for _ in range(2):  # the short path must not take it
            same(plan(np.ascontiguousarray(X.real)), expected, wanted)
        g = np.ones(expected.shape, np.float32)
        same(plan.input_gradient(g), reference.conv_input_gradient(g, WEIGHT.real, (7, 8)), wanted)
        same(plan.weight_gradient(g, X.real), reference.conv_weight_gradient(g, X.real, (3, 3)), wanted)


@pytest.mark.parametrize("shape", [(3, 2), (2, 1), (1, 2), (40, 2), (2, 33), (70001, 2), (2, 70001)])
def test_pairs(shape, dtype):
    matrices = guarded(np.arange(3 * shape[0] * shape[1], dtype=dtype).reshape(3, *shape))
    for threads in 1, 3:
        same(moved(matrices, (shape,), threads).reshape(3, *shape[::-1]), matrices.transpose(0, 2, 1))


# --- plans, matrices and operators ------------------------------------------------------------------------------------


def test_plan_updates_and_is_pickled(last):
    x, bias = to_layout(X, 2, last), gaussian((6,), "float32", 3)
    plan = Plan(WEIGHT, bias, input_size=(7, 8), channels_last=last, tune=True, dtype=None)
    assert plan.dtype == np.complex64
    assert "complex64" in repr(plan)
    assert "by this convolution of real numbers:" in plan.describe()
    same(pickle.loads(pickle.dumps(plan))(x), reference.conv(x, WEIGHT, bias, channels_last=last))
    plan.update(2 * WEIGHT)
    for each in plan, pickle.loads(pickle.dumps(plan)):
        same(each(x), reference.conv(x, 2 * WEIGHT, channels_last=last))
        same(each(x.real), reference.conv(x.real, 2 * WEIGHT, channels_last=last))
    plan.update(WEIGHT.real)
    same(plan(x), reference.conv(x, WEIGHT.real, channels_last=last))


@pytest.mark.parametrize(
    "options", [{}, {"padding": 1, "groups": 2, "stride": 2}, {"padding": 2, "padding_mode": "wrap"}]
)
def test_matrices_and_operators(options):
    weight = gaussian((6, 4 // options.get("groups", 1), 3, 3), "float64", 1)
    M = gemmconv.convolution_matrix(weight, (7, 8), **options)
    same(M.toarray(), reference.convolution_matrix(weight, (7, 8), **options), np.complex128)
    size = gemmconv.convolution_matrix_size(weight.shape, (7, 8), **options, dtype=complex)
    assert size.nbytes == M.data.nbytes + M.indices.nbytes + M.indptr.nbytes
    groups = options.get("groups", 1)
    K = gemmconv.kernel_matrix(weight, groups=groups)
    same(K if groups == 1 else K.toarray(), reference.kernel_matrix(weight, groups=groups))
    A = ConvolutionOperator(weight, (7, 8), **options)
    assert A.dtype == np.complex128
    x, y = gaussian((A.shape[1], 3), "float64", 2), gaussian((A.shape[0], 3), "float64", 3)
    for vectors in x, x.real, x[:, :1]:
        same(A @ vectors, M @ vectors)
        same(A.T.H @ vectors, M.conj() @ vectors)
        same(A.H.H @ vectors, M @ vectors)
        same(A.T.T @ vectors, M @ vectors)
    for vectors in y, y.real:
        same(A.H @ vectors, M.conj().T @ vectors)
        same(A.T @ vectors, M.T @ vectors)
        same(A.rmatmat(vectors), M.conj().T @ vectors)
        same(A.rmatvec(vectors[:, 0]), M.conj().T @ vectors[:, 0])
        same(A.T.rmatvec(x[:, 0]), M.conj() @ x[:, 0])
    with pytest.raises(ValueError, match=r"of an image, pass x.ravel\(\)"):
        A.T @ np.zeros(A.output_shape)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: conv(X.real, WEIGHT.real, np.ones(6) * 1j), "bias has dtype complex128, but x and weight are real"),
        (lambda: conv(X, WEIGHT.real, dtype=float), "dtype float64 cannot hold complex numbers"),
        (lambda: conv(X.real, WEIGHT, padding=1, padding_value=1j), "padding_value=1j is complex, but x is real"),
        (lambda: conv(X, WEIGHT, out=np.zeros((2, 6, 5, 6))), "out has dtype float64, to which a result of dtype comp"),
        (lambda: Plan(WEIGHT, input_size=(7, 8), activation="relu"), "activation='relu' is defined for real numbers"),
        (lambda: Plan(WEIGHT.real, input_size=(7, 8), activation="relu")(X), "x has dtype complex64, but activation="),
        (lambda: Plan(WEIGHT, input_size=(7, 8), dtype=int), "dtype int64 cannot hold complex numbers"),
        (lambda: gemmconv.explain(X[0], WEIGHT.real), r"explain shows real numbers: pass x.real or x.imag"),
        (lambda: gemmconv.explain(X[0].real, WEIGHT.real, padding=1, padding_value=1j), "padding_value=1j is complex"),
    ],
)
def test_messages(call, message):
    with pytest.raises(TypeError, match=message):
        call()


def test_calls_for_a_real_weight_do_not_serve_a_complex_one():
    # as if a thread had prepared its call just after the weight was replaced
    x, weight = np.arange(5.0)[None], np.array([[[1 + 2j, 3]]], np.complex64)
    plan = Plan(weight.real.copy(), input_size=(5,))
    plan(x)
    calls = dict(plan._calls)
    plan.update(weight)
    plan._calls.update(calls)
    same(plan(x), reference.conv(x, weight))
