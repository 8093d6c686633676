"""Extension and folding in C: images continued beyond their borders, and the gradients of such images."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from cases import integers
from guarded import guarded

from gemmconv import conv_input_gradient, num_threads, reference
from gemmconv.checks.geometry import Geometry
from gemmconv.checks.options import padding_content
from gemmconv.engine import calls
from gemmconv.engine.extension import OUTSIDE, extender_of

MODES = ("constant", "reflect", "edge", "wrap", "symmetric")

SIZES = {"row": (1, 1, 7), "long_row": (1, 1, 100), "plane": (1, 4, 5), "volume": (3, 2, 4), "pixel": (1, 1, 1)}
PADS = {
    "both": (2, 1),
    "wide": (9, 11),
    "crop": (-1, 3),
    "nothing": (0, 0),
    "beyond": (-8, 9),
}


def extension_of(size, modes, pads, value=0.0, count=1):
    """Return an extension with a mode and a pad for each axis."""
    geometry = Geometry(3, count, 1, 1, 1, size, (1, 1, 1), (1, 1, 1), (1, 1, 1), *zip(*pads), (1, 1, 1))
    content = padding_content(modes, value, 3)
    return calls.computed_of(geometry, (count, 1, *size), content, 0)[1]


def extended_by_numpy(x, modes, pads, value):
    return reference.convolution.extend(x, pads, modes, value)


def pads_of(size, pad):
    return [pad if n > 1 or min(pad) >= 0 else (0, 0) for n in size]


@pytest.mark.parametrize("at", ["begin", "end"])
@pytest.mark.parametrize("pad", PADS)
@pytest.mark.parametrize("name", SIZES)
def test_extend_and_fold_stay_inside_their_arrays(name, pad, at, dtype):
    size, pads = SIZES[name], pads_of(SIZES[name], PADS[pad])
    for modes in itertools.product(MODES, repeat=3) if pad == "both" else zip(*[MODES] * 3):
        value = 9.0 if "constant" in modes else 0.0
        x = integers((3, 1, *size), dtype)
        expected = extended_by_numpy(x, modes, pads, value)
        if expected.shape == x.shape:
            continue
        extension = extension_of(size, modes, pads, value, len(x))
        extender = extender_of(extension.axes(), dtype.itemsize, value)
        extended = guarded(np.full(expected.shape, np.nan, dtype), at)
        assert extender.extend(guarded(x, at), extended, 1)
        np.testing.assert_array_equal(extended, expected)

        g = integers(expected.shape, dtype, 2)
        folded = guarded(np.full(x.shape, np.nan, dtype), at)
        extender.fold(guarded(g, at), folded, 1)
        positions = extended_by_numpy(np.arange(1.0, 1 + x[0].size).reshape(1, 1, *size), modes, pads, 0).astype(int)
        for image, of_extended in zip(folded, g):
            sums = np.zeros(1 + x[0].size)
            np.add.at(sums, positions.ravel(), of_extended.ravel())
            np.testing.assert_array_equal(image.ravel(), sums[1:])


def test_the_same_bits_in_any_batch_and_on_any_number_of_threads(dtype):
    pads, size = ((0, 0), (3, 4), (5, 2)), (1, 40, 41)
    extension = extension_of(size, ("zeros", "symmetric", "wrap"), pads, count=64)
    extender = extender_of(extension.axes(), dtype.itemsize, 0)
    g = np.random.default_rng(0).standard_normal(extension.shape).astype(dtype)
    together = np.full((64, 1, *size), np.nan, dtype)
    extender.fold(g, together, 1)
    for threads in (2, 3, 8):
        other = np.full_like(together, np.nan)
        extender.fold(g, other, threads)
        np.testing.assert_array_equal(other, together)
        extended = np.full_like(g, np.nan)
        extender.extend(together, extended, threads)
        np.testing.assert_array_equal(extended, extended_by_numpy(together, ("zeros", "symmetric", "wrap"), pads, 0))
    for n in (0, 17, 63):
        alone = np.full((1, 1, *size), np.nan, dtype)
        extender.fold(g[n : n + 1], alone, 1)
        np.testing.assert_array_equal(alone[0], together[n])


@pytest.mark.parametrize("mode", MODES[1:])
def test_a_fold_spreads_nothing_that_is_not_finite(mode, dtype):
    """Each element of the extended gradient reaches the element that it repeats, and no other."""
    size, pads = (1, 4, 5), [(0, 0), (3, 2), (2, 4)]
    extension = extension_of(size, ("zeros", mode, mode), pads)
    extender = extender_of(extension.axes(), dtype.itemsize, 0)
    positions = extended_by_numpy(np.arange(20.0).reshape(1, 1, *size), ("zeros", mode, mode), pads, 0).ravel()
    for at, repeated in enumerate(positions.astype(int)):
        for value in (np.inf, np.nan):
            g, folded = np.ones(extension.shape, dtype), np.empty((1, 1, *size), dtype)
            g.ravel()[at] = value
            extender.fold(g, folded, 1)
            np.testing.assert_array_equal(np.flatnonzero(~np.isfinite(folded)), [repeated])


def test_gradients_with_a_padding_mode_have_the_same_bits_in_any_batch_and_on_any_number_of_threads(
    dtype, threads_for_every_call
):
    rng = np.random.default_rng(1)
    weight, g = rng.standard_normal((8, 8, 3, 3)).astype(dtype), rng.standard_normal((6, 8, 40, 41)).astype(dtype)
    options = {"padding": 1, "padding_mode": ("symmetric", "wrap")}
    with num_threads(1):
        together = conv_input_gradient(g, weight, (40, 41), **options)
    for threads in (2, 5):
        with num_threads(threads):
            np.testing.assert_array_equal(conv_input_gradient(g, weight, (40, 41), **options), together)
    np.testing.assert_array_equal(conv_input_gradient(g[3], weight, (40, 41), **options), together[3])


def test_only_the_borders_are_kept():
    extension = extension_of((1, 1, 1000000), ("zeros", "zeros", "wrap"), [(0, 0), (0, 0), (2, 3)])
    assert [axis.border.tolist() for axis in extension.axes()][2] == [999998, 999999, 0, 1, 2]
    extension = extension_of((1, 3, 4), ("zeros", "zeros", "zeros"), [(0, 0), (0, 0), (0, 1)], 5)
    assert extension.axes()[2].border.tolist() == [OUTSIDE]


def test_axes_that_are_not_extended_are_taken_as_one():
    extension = extension_of((3, 4, 5), ("wrap", "zeros", "zeros"), [(1, 1), (0, 0), (0, 0)])
    assert [axis.size for axis in extension.axes()] == [1, 3, 20]
    extension = extension_of((1, 9, 1), ("zeros", "wrap", "zeros"), [(0, 0), (1, 1), (0, 0)])
    assert [axis.size for axis in extension.axes()] == [1, 1, 9]


def test_zeros_beside_a_mode_are_not_extended():
    x, weight = (1, 1, 9, 9), (1, 1, 3, 3)
    options = calls.Options(None, 1, 1, 1, 1, ("zeros", "wrap"), 0, "auto")
    geometry, computed, extension = calls.geometry_of(x, weight, options)
    assert geometry.pads == ((1, 1), (1, 1))
    assert (computed.pad_before, computed.in_size) == ((0, 1, 0), (1, 9, 11))
    assert extension.shape == (1, 1, 9, 11)
