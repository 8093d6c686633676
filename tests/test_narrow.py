"""Narrow types: inputs that are converted in pieces, some images or a band of an image at a time."""

import tracemalloc

import numpy as np
import pytest
from cases import CASES

from gemmconv import Plan, conv, num_threads, reference
from gemmconv.numbers import narrow

TYPES = ["uint8", "int8", "bool", "uint16", "int16", "float16", "bfloat16"]


def type_named(name):
    return pytest.importorskip("ml_dtypes").bfloat16 if name == "bfloat16" else np.dtype(name)


@pytest.fixture
def small_bands(monkeypatch):
    """Cut small images into bands too; return the numbers of bands of the images that were cut."""
    counts = []
    firsts = narrow.Bands.firsts

    def counted(self):
        counts.append(len(firsts(self)))
        return firsts(self)

    monkeypatch.setattr(narrow.Bands, "firsts", counted)
    for name, value in {"LARGEST_WHOLE": 200, "BAND_BYTES": 160, "LARGEST_BAND": 4000, "LEAST_EXTENTS": 1}.items():
        monkeypatch.setattr(narrow, name, value)
    narrow.bands_of.cache_clear()
    yield counts
    narrow.bands_of.cache_clear()


def small_integers(shape, dtype, seed=1):
    return np.random.default_rng(seed).integers(0, 100, shape).astype(dtype)


def arranged(array, weight_shape, last):
    return np.moveaxis(array, 1 - len(weight_shape), -1) if last else array


each_layout = pytest.mark.parametrize("last", [False, True], ids=["channels_first", "channels_last"])


@each_layout
@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_every_case(case, last, small_bands):
    x = arranged(small_integers(case.x, np.uint8), case.weight, last)
    weight, bias = small_integers(case.weight, np.float32, 2) - 50, small_integers(case.weight[0], np.float32, 3)
    options = {**case.options, "channels_last": last}
    expected = reference.conv(x, weight, bias, **options)
    for algorithm in "gemm", "direct":
        np.testing.assert_array_equal(conv(x, weight, bias, **options, algorithm=algorithm), expected)


@pytest.mark.parametrize("mode", ["zeros", "reflect", "edge", "wrap", "symmetric"])
@pytest.mark.parametrize("padding", [0, 5, ((-3, 2), (1, -4)), ((30, 0), (0, 1))])
@pytest.mark.parametrize("stride", [1, 3])
@each_layout
def test_bands_with_every_padding(mode, padding, stride, last, small_bands):
    x, weight = small_integers((2, 2, 31, 13), np.float16), small_integers((3, 2, 3, 3), np.float32, 2)
    x = np.moveaxis(x, 1, -1) if last else x
    options = {"padding": padding, "padding_mode": mode, "stride": stride, "dilation": (2, 1), "channels_last": last}
    options |= {"padding_value": 3} if mode == "zeros" else {}
    found = conv(x, weight, **options, algorithm="direct")
    np.testing.assert_array_equal(found, reference.conv(x, weight, **options))
    assert min(small_bands) > 2


@each_layout
def test_an_image_is_cut_along_the_axis_that_makes_small_bands(last, small_bands):
    weight = np.ones((1, 2, 3, 3), np.float32)
    for shape in (2, 3, 900), (2, 900, 3):
        x = small_integers(shape, np.uint8)
        x = np.moveaxis(x, 0, -1) if last else x
        found = conv(x, weight, channels_last=last, algorithm="direct")
        np.testing.assert_array_equal(found, reference.conv(x, weight, channels_last=last))
    assert len(small_bands) == 2
    assert min(small_bands) > 20


@pytest.mark.parametrize("name", TYPES)
def test_every_type(name, small_bands):
    x, weight = small_integers((2, 3, 40, 9), type_named(name)), small_integers((4, 3, 3, 2), np.float32, 2)
    expected = reference.conv(x.astype(np.float32), weight, padding=1)
    for array in x, x.copy("F"), x[:, :, ::-1][:, :, ::-1]:
        found = conv(array, weight, padding=1, algorithm="direct")
        assert found.dtype == np.float32
        np.testing.assert_array_equal(found, expected)
    assert min(small_bands) > 1


def test_float32_beside_float64(small_bands):
    x, weight = small_integers((3, 40, 9), np.float32), small_integers((4, 3, 3, 2), np.float64, 2) / 7
    np.testing.assert_allclose(conv(x, weight), reference.conv(x, weight), rtol=1e-12)
    assert min(small_bands) > 1


@pytest.mark.parametrize("algorithm", ["gemm", "direct", "winograd", "fft"])
@each_layout
def test_bits_depend_neither_on_the_batch_nor_on_threads(algorithm, last, threads_for_every_call, small_bands):
    x = np.random.default_rng(1).standard_normal((5, 3, 50, 12)).astype(np.float16)
    weight = np.random.default_rng(2).standard_normal((4, 3, 3, 3)).astype(np.float32)
    x = np.moveaxis(x, 1, -1) if last else x
    options = {"padding": 1, "algorithm": algorithm, "channels_last": last}
    with num_threads(1):
        expected = conv(x, weight, **options)
    with num_threads(3):
        np.testing.assert_array_equal(conv(x, weight, **options), expected)
    np.testing.assert_array_equal(conv(x[3], weight, **options), expected[3])
    np.testing.assert_array_equal(conv(x[1:3].copy("F"), weight, **options), expected[1:3])
    plan = Plan(weight, input_size=(50, 12), **options)
    np.testing.assert_array_equal(plan(x), expected)
    np.testing.assert_array_equal(plan(x[3]), expected[3])
    assert min(small_bands) > 1


def test_small_images_are_converted_some_at_a_time(monkeypatch):
    pieces = []
    convert = narrow.convert
    monkeypatch.setattr(narrow, "convert", lambda numbers, to: (pieces.append(numbers.shape), convert(numbers, to)))
    x, weight = small_integers((70, 3, 100, 100), np.uint8), small_integers((2, 3, 3, 3), np.float32)
    found = conv(x, weight, algorithm="direct")
    assert pieces == [(8, 3, 100, 100)] * 8 + [(6, 3, 100, 100)]
    np.testing.assert_array_equal(found, conv(x.astype(np.float32), weight, algorithm="direct"))


def test_plan(small_bands):
    x, weight, bias = small_integers((2, 3, 40, 9), np.uint8), small_integers((4, 3, 3, 3), np.float32, 2) - 50, [1] * 4
    plan = Plan(weight, bias, input_size=(40, 9), activation="relu", algorithm="direct")
    expected = reference.conv(x, weight, bias)
    for _ in range(2):
        np.testing.assert_array_equal(plan(x), np.maximum(expected, 0))
    plan.update(-weight)
    np.testing.assert_array_equal(plan(x), np.maximum(reference.conv(x, -weight), 0))
    assert min(small_bands) > 1


@each_layout
def test_out(last, small_bands):
    x, weight = small_integers((2, 40, 9), np.uint8), small_integers((2, 2, 3, 3), np.float32, 2) / 64
    x = np.moveaxis(x, 0, -1) if last else x
    options = {"padding": 1, "channels_last": last}
    expected = reference.conv(x, weight, **options)
    options["algorithm"] = "direct"
    for out in (
        np.full(x.shape, np.nan, np.float32),
        np.full(x.shape, np.nan),
        np.full((*x.shape[:-1], 2 * x.shape[-1]), np.nan, np.float32)[..., ::2],
        np.full(x.shape, np.nan, ">f4"),
    ):
        assert conv(x, weight, **options, out=out) is out
        np.testing.assert_array_equal(out, expected)
    rounded = conv(x, weight, **options, dtype=np.float16)
    assert rounded.dtype == np.float16
    np.testing.assert_array_equal(rounded, expected.astype(np.float16))
    memory = np.zeros(x.size, np.float32)
    overlapping = memory.view(np.uint8)[: x.size].reshape(x.shape)
    overlapping[...] = x
    np.testing.assert_array_equal(conv(overlapping, weight, **options, out=memory.reshape(x.shape)), expected)
    with pytest.raises(ValueError, match="out has shape"):
        conv(x, weight, **options, out=np.empty((2, 2)))


def test_nothing_is_written_if_rounding_raises(small_bands):
    x, weight = np.zeros((1, 900), np.uint8), np.full((1, 1, 3), 1000, np.float32)
    x[0, -1] = 200
    out = np.full((1, 898), 7, np.float16)
    with np.errstate(over="raise"), pytest.raises(FloatingPointError):
        conv(x, weight, dtype=np.float16, out=out)
    assert (out == 7).all()
    assert min(small_bands) > 1


def test_every_float16_is_converted_exactly():
    every = np.arange(1 << 16, dtype=np.uint16).view(np.float16)
    finite, expected = np.isfinite(every), every.astype(np.float32)
    for some in (slice(None), finite):
        found = np.empty(expected[some].shape, np.float32)
        narrow.convert(every[some], found)
        np.testing.assert_array_equal(found, expected[some])
        np.testing.assert_array_equal(np.signbit(found), np.signbit(expected[some]))


def test_subnormal_numbers_are_converted_where_float32_has_none():
    torch = pytest.importorskip("torch")
    halves = np.arange(-(1 << 15), 1 << 15, 7, dtype=np.int16).view(np.float16)
    halves = halves[np.isfinite(halves)]
    found, expected = np.empty(halves.shape, np.float32), halves.astype(np.float32)
    if not torch.set_flush_denormal(True):
        pytest.skip("this processor has subnormal numbers always")
    try:
        narrow.convert(halves, found)
    finally:
        torch.set_flush_denormal(False)
    np.testing.assert_array_equal(found, expected)


def test_infinities_and_nans_are_where_the_definition_has_them(small_bands):
    x, weight = np.ones((2, 60, 8), np.float16), np.ones((1, 2, 3, 3), np.float32)
    x[0, 20, 3], x[1, 40, 5] = np.inf, np.nan
    with np.errstate(all="ignore"):
        np.testing.assert_array_equal(conv(x, weight, padding=1), reference.conv(x, weight, padding=1))
        weight[0, 0, 0, 0] = np.inf
        np.testing.assert_array_equal(conv(x, weight, padding=1), reference.conv(x, weight, padding=1))


@pytest.mark.parametrize(
    ("weight_shape", "options"),
    [((3, 1, 5, 5), {"groups": 3, "padding": 2}), ((8, 3, 7, 7), {"stride": 2, "padding": 3})],
)
def test_memory(weight_shape, options):
    picture, weight = np.ones((1500, 2000, 3), np.uint8), np.ones(weight_shape, np.float32)
    out = conv(picture, weight, channels_last=True, **options)
    tracemalloc.start()
    conv(picture, weight, channels_last=True, out=out, **options)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 4e6  # 36 MB as float32


def test_float64_sums_are_rounded_once(small_bands):
    bfloat16 = type_named("bfloat16")
    x, weight = np.ones((1, 400), np.float32), np.array([[[1 + 2**-8 + 2**-40]]])  # just above the middle
    expected = np.full((1, 400), 1 + 2**-7, bfloat16)
    np.testing.assert_array_equal(conv(x, weight, dtype=bfloat16), expected)
    assert small_bands
    out = np.empty_like(expected)
    np.testing.assert_array_equal(conv(x.astype(float), weight, out=out), expected)


def test_a_complex_value_matters_only_in_padding(small_bands):
    x, weight = np.ones((1, 400), np.uint8), np.ones((1, 1, 3), np.float32)
    np.testing.assert_array_equal(conv(x, weight, padding_value=1j), np.full((1, 398), 3, np.float32))
    assert small_bands
    with pytest.raises(TypeError, match="padding_value=1j is complex, but x is real"):
        conv(x, weight, padding=1, padding_value=1j)
