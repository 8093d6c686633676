"""Fast Fourier transforms: the C kernel fft, its error beside the bound, and what users see of `algorithm="fft"`.

test_scipy_fft.py tests the way by scipy.fft.
"""

from __future__ import annotations

import pickle
import random
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from cases import CASES, STRIDED_CASES, ZERO_PADDED_CASES, geometry_of, geometry_options
from guarded import guarded
from instruction_sets import ISAS, once_for_all, select_isa
from test_scipy_fft import EPS, SHAPES, arrays_of, geometry_of_shapes
from test_winograd import DATA

from gemmconv import Plan, conv, conv_input_gradient, conv_transpose, conv_weight_gradient, reference
from gemmconv._gemmconv import LARGEST_SCRATCH
from gemmconv.checks.geometry import Geometry
from gemmconv.engine import fft_cut
from gemmconv.engine.algorithms import candidates, fft_ways, pick
from gemmconv.engine.kernels import FFT, Kernel, that_fit
from gemmconv.engine.normal_form import normal_form
from gemmconv.engine.tiling import Tiling
from gemmconv.engine.ways import build_convolution

ALL_CASES = {**ZERO_PADDED_CASES, **{f"strided_{name}": case for name, case in STRIDED_CASES.items()}}
# The shapes that the kernel fits.
KERNEL_SHAPES = [name for name in SHAPES if that_fit((FFT,), normal_form(geometry_of_shapes(name)))]


def run(
    geometry: Geometry, arrays: tuple[np.ndarray | None, ...], threads: int = 1, kernel: Kernel = FFT, **options: Any
) -> np.ndarray:
    """Return what the kernel computes into an array full of NaN, against a forbidden page."""
    x = guarded(arrays[0])
    out = guarded(np.full(geometry.out_shape, np.nan, x.dtype))
    built = build_convolution(kernel, geometry, x.itemsize, threads, **options)
    assert built.problem.scratch_bytes <= LARGEST_SCRATCH
    built.problem.run(x, *arrays[1:], out, threads)
    return out


def drawn_arrays(geometry: Geometry, dtype: str = "f8", seed: int = 0) -> tuple[np.ndarray, ...]:
    rng = np.random.default_rng(seed)
    shapes = (geometry.x_shape, geometry.weight_shape, (geometry.out_channels,))
    return tuple(rng.standard_normal(shape).astype(dtype) for shape in shapes)


@pytest.mark.parametrize("name", ALL_CASES)
@once_for_all
def test_cases(name, isa):
    case = ALL_CASES[name]
    geometry = normal_form(geometry_of(case))
    if not that_fit((FFT,), geometry):
        return
    arrays = drawn_arrays(geometry)
    x, weight, bias = (
        array.reshape(shape) for array, shape in zip(arrays, (geometry_of(case).x_shape, case.weight, -1))
    )
    expected = reference.conv(x, weight, bias, **geometry_options(case))
    y = run(geometry, arrays)
    np.testing.assert_allclose(y.reshape(expected.shape), expected, rtol=0, atol=1e-10)


def test_most_cases_fit():
    fit = [name for name, case in ALL_CASES.items() if that_fit((FFT,), normal_form(geometry_of(case)))]
    assert len(fit) > len(ALL_CASES) * 3 / 4
    assert not any(name.startswith("3d") and name != "3d_one_tap" for name in fit)
    assert "strided_padded_depth" not in fit


@pytest.mark.parametrize("seed", range(30))
def test_drawn_cuts(seed, isa, monkeypatch):
    # blocks of any of the lengths, tasks of any size
    random.seed(seed)

    def drawn(geometry: Geometry, _itemsize: int, _threads: int) -> Tiling:
        rows, columns = (random.choice(fft_cut.lengths_of(geometry, axis))[0] for axis in (1, 2))
        block = random.randint(1, geometry.out_channels // geometry.groups)
        return Tiling(pixels=columns, block=block, panel=rows, channels=0, taps=0)

    kernel = FFT._replace(tiling=drawn)
    checked = 0
    while checked < 4:
        groups, size = random.choice((1, 1, 2, 3)), [random.choice((1, random.randint(1, 40))), random.randint(1, 200)]
        taps = [random.randint(1, n) for n in size]
        options: dict[str, Any] = {
            "stride": [random.choice((1, 1, 2, 3)) for _ in size],
            "dilation": [random.choice((1, 1, 2, 3)) for _ in size],
            "padding": [(random.randint(-3, 9), random.randint(-3, 9)) for _ in size],
            "groups": groups,
        }
        x_shape = (random.randint(0, 2), random.choice((1, 2, 3)) * groups, *size)
        weight_shape = (random.choice((1, 2, 5)) * groups, x_shape[1] // groups, *taps)
        try:
            geometry = Geometry.from_shapes(x_shape, weight_shape, **options)
        except ValueError:
            continue  # the kernel is longer than the padded input
        if not that_fit((FFT,), geometry):
            continue
        arrays = drawn_arrays(geometry, seed=seed)
        expected = reference.conv(*arrays, **options)
        np.testing.assert_allclose(run(geometry, arrays, 2, kernel), expected, rtol=0, atol=1e-10)
        checked += 1


@pytest.mark.parametrize("pad", [(0, 0), (40, 3)])
def test_reads_nothing_before_the_array(pad, isa):
    geometry = Geometry.from_shapes((1, 1, 900), (1, 1, 70), padding=[pad])
    x, weight, bias = drawn_arrays(geometry, "f4")
    x, out = guarded(x, "begin"), guarded(np.full(geometry.out_shape, np.nan, "f4"), "begin")
    build_convolution(FFT, geometry, 4).problem.run(x, weight, bias, out)
    np.testing.assert_array_equal(out, run(geometry, (x, weight, bias)))


@pytest.mark.parametrize("taps", [16, 17, 300, 5000, 65000])
def test_long_filters(taps, dtype):
    geometry = Geometry.from_shapes((1, 1, 140_000), (1, 1, taps))
    rng = np.random.default_rng(taps)
    x, weight = np.zeros(140_000), rng.standard_normal(taps)
    places = rng.integers(0, 140_000, 40)
    x[places] = rng.standard_normal(40)
    y = run(geometry, (x.astype(dtype).reshape(1, 1, -1), weight.astype(dtype).reshape(1, 1, -1), None))
    expected = np.zeros(140_000 + taps)
    for place in np.unique(places):
        expected[place : place + taps] += x[place] * weight[::-1]
    np.testing.assert_allclose(y[0, 0], expected[taps - 1 : 140_000], rtol=0, atol=1e-4 if dtype == "f4" else 1e-12)


# --- accuracy --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["f4", "f8"])
@pytest.mark.parametrize("data", DATA)
@pytest.mark.parametrize("name", KERNEL_SHAPES)
def test_error_is_within_the_bound(name, data, dtype):
    geometry, options = geometry_of_shapes(name), SHAPES[name][2]
    arrays = arrays_of(name, data, dtype)
    wide = [array.astype(np.longdouble if dtype == "f8" else np.float64) for array in arrays]
    exact = reference.conv(*wide, **options)
    of_reference = (wide[1][0].size + 2) * EPS[np.dtype("f8")] * reference.conv(*map(abs, wide), **options)
    cut = fft_cut.fft_cut(geometry)
    lengths = {"length": cut.length[-geometry.rank :], "useful": cut.useful[-geometry.rank :]}
    bound = reference.fft_bound(*arrays, **options, **lengths, pairs=True, dtype=dtype)
    for isa in ISAS:
        select_isa(isa)
        assert np.all(abs(run(geometry, arrays) - exact) - of_reference <= bound)


def test_the_bound_knows_pairs_of_blocks():
    # a huge value disturbs no output of another pair
    geometry = Geometry.from_shapes((1, 1, 3000), (1, 1, 129))
    x, weight, cut = np.zeros((1, 1, 3000)), np.ones((1, 1, 129)), fft_cut.fft_cut(geometry)
    x[0, 0, 0], both = 1e30, 2 * cut.useful[1]
    bound = reference.fft_bound(x, weight, length=cut.length[1:], useful=cut.useful[1:], pairs=True)[0, 0]
    assert cut.pairs > 1
    assert np.all(bound[:both] > 1e20)
    assert np.all(bound[both:] < 1e-20)
    y = run(geometry, (x, weight, None))[0, 0]
    assert np.all(y[both:] == 0)


@pytest.mark.parametrize("name", [name for name, case in CASES.items() if not case.options.get("groups", 1) > 9])
def test_public_functions(name):
    # with padding modes and flip
    case = CASES[name]
    options = dict(case.options)
    rng = np.random.default_rng(1)
    x, weight = rng.standard_normal(case.x), rng.standard_normal(case.weight)
    y = conv(x, weight, **options, algorithm="fft")
    np.testing.assert_allclose(y, reference.conv(x, weight, **options), rtol=0, atol=1e-10)
    size, gradient = case.x[-(weight.ndim - 2) :], rng.standard_normal(y.shape)
    of_x = conv_input_gradient(gradient, weight, size, **options, algorithm="fft")
    np.testing.assert_allclose(
        of_x, reference.conv_input_gradient(gradient, weight, size, **options), rtol=0, atol=1e-10
    )
    of_weight = conv_weight_gradient(gradient, x, weight.shape[2:], **options, algorithm="fft")
    expected = reference.conv_weight_gradient(gradient, x, weight.shape[2:], **options)
    np.testing.assert_allclose(of_weight, expected, rtol=0, atol=1e-10)


def test_transposed_convolution():
    rng = np.random.default_rng(2)
    x, weight, bias = rng.standard_normal((2, 3, 40)), rng.standard_normal((3, 4, 25)), rng.standard_normal(4)
    y = conv_transpose(x, weight, bias, stride=3, padding=2, algorithm="fft")
    np.testing.assert_allclose(y, reference.conv_transpose(x, weight, bias, stride=3, padding=2), atol=1e-11)


def test_auto_takes_it_where_its_bound_is_low():
    filters = {taps: Geometry.from_shapes((1, 1, 30000), (1, 1, taps)) for taps in (3, 31, 64, 130, 512, 5000)}
    taken = {
        taps: "fft" in {way.algorithm for way in candidates("convolution", geometry)}
        for taps, geometry in filters.items()
    }
    assert taken == {3: False, 31: False, 64: False, 130: True, 512: True, 5000: True}
    assert pick("convolution", filters[5000]).algorithm == "fft"
    assert pick("convolution", filters[64]).algorithm != "fft"


def test_few_channels_take_the_kernel_and_many_what_is_faster():
    few, many = (Geometry.from_shapes((1, c, 60, 70), (c, c, 20, 20)) for c in (2, 16))
    depth = Geometry.from_shapes((1, 1, 9, 10, 11), (1, 1, 4, 4, 4))
    names = {geometry: [way.name for way in fft_ways("convolution", geometry)] for geometry in (few, many, depth)}
    assert names == {few: ["fft-fft"], many: ["fft-fft", "fft-scipy_fft"], depth: ["fft-scipy_fft"]}
    strided = Geometry.from_shapes((1, 1, 900), (1, 1, 100), stride=3)
    assert [way.name for way in fft_ways("input_gradient", strided)] == ["fft-scipy_fft"]
    assert [
        way.name for way in fft_ways("input_gradient", replace(strided, stride=(1, 1, 1), out_size=(1, 1, 801)))
    ] == ["fft-fft"]


# --- the same bits ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", KERNEL_SHAPES)
def test_bits_depend_neither_on_batch_nor_on_threads(name, dtype, isa):
    one = replace(geometry_of_shapes(name), batch=1)
    x, weight, bias = arrays_of(name, dtype=dtype)
    expected = run(one, (x[:1], weight, bias))
    images = np.concatenate([x[:1]] * 3)
    for threads in (1, 2, 3, 8):
        y = run(replace(one, batch=3), (images, weight, bias), threads)
        assert all(np.array_equal(image, expected[0]) for image in y)


@pytest.mark.parametrize("activation", [None, "relu"])
@pytest.mark.parametrize("name", SHAPES)
def test_plan(name, activation):
    x, weight, bias = arrays_of(name, dtype="f4")
    options = SHAPES[name][2]
    plan = Plan(weight, bias, input_size=x.shape[2:], **options, algorithm="fft", activation=activation)
    assert plan.algorithm == "fft"
    y = conv(x, weight, bias, **options, algorithm="fft")
    expected = np.maximum(y, 0) if activation else y
    np.testing.assert_array_equal(plan(x), expected)
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(plan))(x[0]), expected[0])
    out = np.full((*y.shape, 2), np.nan, "f4")[..., 0]
    assert plan(x, out=out) is out
    np.testing.assert_array_equal(out, expected)
    np.testing.assert_array_equal(
        plan.input_gradient(y), conv_input_gradient(y, weight, x.shape[2:], **options, algorithm="fft")
    )
    assert "fft" in plan.describe()


# --- what is not finite ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("value", [np.inf, -np.inf, np.nan, 3e38])
@pytest.mark.parametrize("name", SHAPES)
def test_an_image_that_is_not_finite_is_computed_again(name, value):
    x, weight, bias = arrays_of(name, dtype="f4")
    options = SHAPES[name][2]
    x = np.concatenate([x[:1], x[:1]])
    x[(1, -1, *[n // 2 for n in x.shape[2:]])] = value
    with np.errstate(all="raise"):
        y = conv(x, weight, bias, **options, algorithm="fft")
    np.testing.assert_array_equal(y[0], conv(x[0], weight, bias, **options, algorithm="fft"))
    again = conv(x[1], weight, bias, **options, algorithm="direct")
    np.testing.assert_array_equal(y[1], again)


@pytest.mark.parametrize("of", ["x", "weight", "gradient"])
def test_gradients_that_are_not_finite_are_computed_again(of):
    name = "signal_same"
    geometry = geometry_of_shapes(name)
    x, weight, _ = arrays_of(name, dtype="f4")
    gradient = np.random.default_rng(8).standard_normal(geometry.out_shape).astype("f4")
    {"x": x, "weight": weight, "gradient": gradient}[of][0, 1, 100] = np.inf
    options = SHAPES[name][2]
    results = [
        (
            conv_input_gradient(gradient, weight, x.shape[2:], **options, algorithm=algorithm),
            conv_weight_gradient(gradient, x, weight.shape[2:], **options, algorithm=algorithm),
        )
        for algorithm in ("fft", "direct")
    ]
    for by_fft, direct in zip(*results):
        if not np.isfinite(direct).all():
            np.testing.assert_array_equal(by_fft, direct)
