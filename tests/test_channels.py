"""The kernels whose lanes are output channels: kernels in pieces, many channels, distant taps, long sums."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from itertools import product

import numpy as np
import pytest
from cases import Case, geometry_of, integer_weights, integers
from guarded import guarded
from instruction_sets import ISAS, once_for_all, select_isa
from kernels_under_test import CONVOLUTIONS, LARGEST_SCRATCH, Kernel, run

from gemmconv import Plan, conv, reference
from gemmconv.checks.geometry import Geometry

CHANNELS = {key: kernel for key, kernel in CONVOLUTIONS.items() if key.endswith("_channels")}
DIRECT_CHANNELS = CHANNELS["convolution-direct-direct_channels"]

# Kernels of more taps than a slice of the sum has terms (256) are cut into pieces.
CASES = {
    "last_of_one_piece": Case((1, 2, 18, 20), (3, 2, 16, 16)),
    "first_of_two_pieces": Case((1, 2, 300), (3, 2, 257), {"padding": 3}),
    "rows_of_two_pieces": Case((1, 3, 24, 50), (17, 3, 20, 20), {"padding": 4}),
    "pieces_of_rows": Case((1, 2, 4, 700), (3, 2, 3, 600), {"padding": (1, 40)}),
    "pieces_of_depths": Case((1, 2, 12, 20, 9), (5, 2, 9, 11, 5), {"padding": (4, 5, 2), "dilation": (1, 2, 1)}),
    "pieces_of_padding": Case((2, 2, 30), (9, 2, 900), {"padding": 500}),
    "pieces_with_a_stride": Case((1, 2, 40, 41), (4, 2, 30, 17), {"padding": 5, "stride": (3, 2)}),
    "pieces_of_groups": Case((1, 6, 500), (4, 3, 400), {"padding": 10, "groups": 2}),
    "slices_of_channels_in_parts": Case((1, 180, 2, 256), (70, 180, 3, 3), {"padding": 1}),
    "channels_packed_in_parts": Case((1, 50, 30, 40), (70, 50, 17, 17), {"stride": 2}),
    "one_tap_with_a_stride": Case((1, 300, 200), (65, 300, 1), {"stride": 7}),
    "distant_columns": Case((1, 20, 1900), (8, 20, 3), {"dilation": 900}),
    "distant_pieces": Case((1, 2, 4000), (3, 2, 300), {"dilation": 13, "stride": 3}),
    "distant_rows_and_columns": Case((1, 3, 90, 300), (5, 3, 3, 4), {"dilation": (40, 70), "stride": (3, 20)}),
    "blocks_of_several_tasks": Case((1, 3, 5, 6), (3200, 3, 3, 3), {"padding": 1}),
    "blocks_packed_in_parts": Case((1, 2, 20), (3100, 2, 270), {"padding": 130}),
}
# Taps, positions of a row that they span, and output channels by the thousand.
LARGE = {
    "taps": Case((1, 1, 4200), (1, 1, 4097)),
    "span": Case((1, 1, 70100), (2, 1, 66000)),
    "channels": Case((1, 1, 3, 3), (6145, 1, 3, 3), {"padding": 1}),
    "rows_and_columns": Case((1, 2, 66, 67), (2, 2, 65, 65)),
}


def arrays_of(case: Case, dtype: str) -> tuple[np.ndarray, np.ndarray]:
    return integers(case.x, dtype), integer_weights(case.weight, dtype, 1)


def kernels_of(geometry: Geometry) -> dict[str, Kernel]:
    """Return those that can compute a geometry: direct_channels can compute all."""
    assert DIRECT_CHANNELS.defined(geometry)
    return {key: kernel for key, kernel in CHANNELS.items() if kernel.defined(geometry)}


@cache
def expected(name: str) -> np.ndarray:
    return reference.conv(*arrays_of(CASES[name], "float64"), **CASES[name].options)


@pytest.mark.parametrize("name", CASES)
@once_for_all
def test_exact_between_forbidden_pages(name, dtype, isa):
    case, geometry = CASES[name], geometry_of(CASES[name])
    for key, kernel in kernels_of(geometry).items():
        for threads, at in ((1, "end"), (3, "start")):
            arrays = [guarded(array, at) for array in arrays_of(case, dtype)]
            out = run(kernel, geometry, (*arrays, None), threads, at=at)
            np.testing.assert_array_equal(out, expected(name), f"{key}, against the page at the {at}")
        assert kernel.build(geometry, 8, 8, False).scratch_bytes <= LARGEST_SCRATCH, key


@pytest.mark.parametrize("name", CASES)
@once_for_all
def test_same_bits_for_any_batch_and_threads(name, dtype, isa):
    case = CASES[name]
    one = replace(geometry_of(case), batch=1)
    rng = np.random.default_rng(3)
    x = rng.standard_normal((3, *case.x[1:])).astype(dtype)
    weight = rng.standard_normal(case.weight).astype(dtype)
    for key, kernel in kernels_of(one).items():
        together = run(kernel, replace(one, batch=3), (x, weight, None), 8)
        alone = run(kernel, one, (x[2:], weight, None))
        np.testing.assert_array_equal(together[2], alone[0], key)


@pytest.mark.parametrize("name", LARGE)
def test_direct_is_defined_for_large_geometries(name):
    case = LARGE[name]
    x, weight = arrays_of(case, "float32")
    result = conv(x, weight, **case.options, algorithm="gemm")
    np.testing.assert_array_equal(conv(x, weight, **case.options, algorithm="direct"), result)
    plan = Plan(weight, input_size=x.shape[2:], **case.options, algorithm="direct")
    np.testing.assert_array_equal(plan(x), result)
    for key, kernel in kernels_of(geometry_of(case)).items():
        np.testing.assert_array_equal(run(kernel, geometry_of(case), (x, weight, None)), result, key)


@pytest.mark.parametrize("channels", [64, 200, 261, 300, 512, 1111, 4096, 10000])
@pytest.mark.parametrize("kernel_size", [1, 3])
def test_errors_of_long_sums_are_those_of_gemm(channels, kernel_size, isa):
    rng = np.random.default_rng(5)
    channels = -(-channels // kernel_size**2)
    x = rng.standard_normal((1, channels, 8, 8)).astype("f4")
    weight = rng.standard_normal((64, channels, kernel_size, kernel_size)).astype("f4")
    geometry = Geometry.from_shapes(x.shape, weight.shape)
    exact = conv(x.astype("f8"), weight.astype("f8"), algorithm="gemm")

    def rms(out: np.ndarray) -> float:
        return float(np.sqrt(np.mean((out - exact) ** 2)))

    limit = 1.5 * rms(conv(x, weight, algorithm="gemm"))
    for key, kernel in kernels_of(geometry).items():
        assert rms(run(kernel, geometry, (x, weight, None))) <= limit, key


# What makes the rounding errors of a sum large.
HOSTILE = {
    "normal": lambda x: x,
    "mean": lambda x: x + 100,
    "constant": lambda x: np.full_like(x, 0.1),
    "growing": lambda x: np.exp(np.linspace(-9, 9, x.size, dtype=x.dtype)).reshape(x.shape),
    "range": lambda x: np.sign(x) * abs(x) ** 5,
}
BOUND_CASES = {
    "one_tap": Case((1, 10000, 3, 5), (20, 10000, 1, 1)),
    "slices": Case((1, 700, 9, 10), (20, 700, 3, 3), {"padding": 1}),
    "pieces": Case((1, 3, 80, 80), (5, 3, 65, 65), {"padding": 3}),
    "few_channels_at_a_time": Case((1, 400, 6, 2000), (3, 400, 1, 2), {"dilation": 1800, "stride": 90}),
    "far_taps": Case((1, 1, 620_000), (1, 1, 600), {"dilation": 1024}),
    "depthwise": Case((1, 3, 12, 3400), (3, 1, 5, 3000), {"groups": 3, "stride": 8}),
}
SUMMED_IN_SLICES = [key for key in CONVOLUTIONS if "-gemm-" in key or "-direct-" in key]


@pytest.mark.parametrize("data", HOSTILE)
@pytest.mark.parametrize("name", BOUND_CASES)
def test_the_error_of_long_sums_is_within_its_bound(name, data):
    # |error| <= (min(k, 256) + k / 128 + 2) * eps * |x| conv |weight|
    case, geometry = BOUND_CASES[name], geometry_of(BOUND_CASES[name])
    rng = np.random.default_rng(5)
    x = HOSTILE[data](rng.standard_normal(case.x).astype("f4"))
    weight = rng.standard_normal(case.weight).astype("f4")
    if data in ("constant", "growing"):
        weight = np.full_like(weight, 0.1)  # all roundings of a long sum may go the same way
    exact = conv(x.astype("f8"), weight.astype("f8"), **case.options, algorithm="gemm")
    size = conv(abs(x).astype("f8"), abs(weight).astype("f8"), **case.options, algorithm="gemm")
    terms = geometry.reduction_length
    bound = (min(terms, 256) + terms / 128 + 2) * np.finfo("f4").eps * size
    for isa, key in product(ISAS, SUMMED_IN_SLICES):
        select_isa(isa)
        if CONVOLUTIONS[key].defined(geometry):
            error = abs(run(CONVOLUTIONS[key], geometry, (x, weight, None)) - exact)
            assert (error <= bound).all(), f"{isa}, {key}: {(error / bound).max():.3g} times the bound"
