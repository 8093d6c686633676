"""The packer and its adjoint, panel by panel, and the tile loop with tilings of every kind."""

from __future__ import annotations

from functools import cache
from itertools import product
from math import prod

import numpy as np
import pytest
from cases import CASES, Case, arrays_of, geometry_of, integers
from instruction_sets import once_for_all

from gemmconv import reference
from gemmconv._gemmconv import Problem
from gemmconv.checks.geometry import Geometry
from gemmconv.engine.tiling import LEAST_CHANNELS, MOST_BLOCKS, PANEL_BYTES, PATHS, Tiling, choose_tiling

ZERO_PADDED = [name for name, case in CASES.items() if "padding_mode" not in case.options and 0 not in case.x]


def group_geometry(geometry: Geometry) -> dict:
    """Return the arguments with which reference.im2col makes P of one group."""
    return {
        "stride": geometry.stride,
        "padding": tuple(zip(geometry.pad_before, geometry.pad_after)),
        "dilation": geometry.dilation,
    }


def blocks_of(rows: int, columns: int) -> list[tuple[int, int, int, int]]:
    """Return blocks of a matrix: the whole, single rows and columns, and cuts at odd places."""
    cuts = [(0, rows, 0, columns), (rows - 1, rows, 0, columns), (0, rows, columns - 1, columns)]
    cuts.append((rows // 3, max(2 * rows // 3, rows // 3 + 1), columns // 4, max(columns // 2, columns // 4 + 1)))
    return cuts


@pytest.mark.parametrize("name", ZERO_PADDED)
@once_for_all
def test_panels(name, dtype, isa):
    geometry = geometry_of(CASES[name])
    channels = geometry.in_channels // geometry.groups
    image = integers((channels, *geometry.in_size), dtype)
    expected = reference.im2col(image[np.newaxis], geometry.kernel, **group_geometry(geometry))[0]
    problem = Problem(geometry, dtype.itemsize)
    for block in blocks_of(*expected.shape):
        k0, k1, p0, p1 = block
        rows = np.full((k1 - k0, p1 - p0), np.nan, dtype)
        problem.pack_panel(image, rows, block)
        np.testing.assert_array_equal(rows, expected[k0:k1, p0:p1])


@pytest.mark.parametrize("name", ZERO_PADDED)
@once_for_all
def test_adjoint(name, dtype, isa):
    geometry = geometry_of(CASES[name])
    channels = geometry.in_channels // geometry.groups
    problem = Problem(geometry, dtype.itemsize)
    before = integers((channels, *geometry.in_size), dtype, 4)
    for block, added in added_panels(name):
        k0, k1, p0, p1 = block
        rows = integers((k1 - k0, p1 - p0), dtype, 5)
        image = before.copy()
        problem.add_panel(rows, image, block)
        np.testing.assert_array_equal(image, before + added)
        # <P, rows> == <image, col2im(rows)>
        packed = np.empty_like(rows)
        problem.pack_panel(before, packed, block)
        assert np.vdot(packed, rows) == np.vdot(before, added)


@cache
def added_panels(name: str) -> list[tuple[tuple[int, int, int, int], np.ndarray]]:
    """Return blocks of P, and what the reference adds to an image for integers in each of them."""
    geometry = geometry_of(CASES[name])
    shape = (geometry.in_channels // geometry.groups * prod(geometry.kernel), geometry.out_pixels)
    panels = []
    for block in blocks_of(*shape):
        k0, k1, p0, p1 = block
        columns = np.zeros((1, *shape))
        columns[0, k0:k1, p0:p1] = integers((k1 - k0, p1 - p0), np.float64, 5)
        added = reference.col2im(columns, geometry.in_size, geometry.kernel, **group_geometry(geometry))
        panels.append((block, added[0]))
    return panels


def run(geometry: Geometry, tiling: Tiling, arrays, dtype) -> np.ndarray:
    out = np.full(geometry.out_shape, np.nan, dtype)
    Problem(geometry, dtype.itemsize, tiling).run(*arrays, out)
    return out


# Small enough for tiles of one position; with a multiple of every size below, and with a rest.
TILED_CASES = {
    "padded": Case((2, 5, 9, 13), (11, 5, 3, 3), {"padding": 1}),
    "in_place": Case((2, 6, 9, 13), (11, 6, 1, 1)),
    "groups": CASES["groups"],
    "3d_everything": CASES["3d_everything"],
    "1d_stride": CASES["1d_stride"],
}


@pytest.mark.parametrize("name", TILED_CASES)
@pytest.mark.parametrize(
    "tiling",
    [
        Tiling(pixels=1, block=1, panel=1, channels=1, taps=1),
        Tiling(pixels=16, block=5, panel=7, channels=3, taps=2),
        Tiling(pixels=50, block=10_000, panel=10_000, channels=10_000, taps=5),
        Tiling(pixels=10_000, block=3, panel=13, channels=2, taps=10_000),
    ],
    ids=str,
)
@once_for_all
def test_any_tiling_gives_the_same_integers(name, tiling, dtype, isa):
    case = TILED_CASES[name]
    geometry = geometry_of(case)
    fitting = Tiling(
        min(tiling.pixels, geometry.out_pixels),
        min(tiling.block, geometry.out_channels // geometry.groups),
        min(tiling.panel, geometry.reduction_length),
        min(tiling.channels, geometry.out_channels // geometry.groups),
        min(tiling.taps, geometry.reduction_length),
    )
    arrays = arrays_of(case, dtype)
    np.testing.assert_array_equal(run(geometry, fitting, arrays, dtype), reference.conv(*arrays, **case.options))


# Which way a case of the table goes: so that a change of the tiling cannot quietly leave one untested.


def layout(name: str, itemsize: int, path: str) -> tuple[Geometry, Tiling, Problem]:
    geometry = geometry_of(CASES[name])
    tiling = choose_tiling(geometry, itemsize, threads=8, path=path)
    return geometry, tiling, Problem(geometry, itemsize, tiling)


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("itemsize", [4, 8])
@pytest.mark.parametrize("name", ["several_tiles", "several_tiles_in_place"])
def test_several_tasks_per_image(name, itemsize, path):
    geometry, tiling, problem = layout(name, itemsize, path)
    assert geometry.out_pixels % tiling.pixels, "the last tile is meant to be a smaller one"
    assert problem.task_count >= 3 * geometry.batch
    if path == "small":
        assert geometry.out_channels % tiling.channels


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("itemsize", [4, 8])
@pytest.mark.parametrize("name", ["several_blocks_of_channels", "several_blocks_of_channels_in_place"])
def test_several_blocks_of_channels(name, itemsize, path):
    geometry, tiling, _ = layout(name, itemsize, path)
    assert tiling.block < geometry.out_channels
    assert geometry.out_channels % tiling.block, "the last block is meant to be a smaller one"


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("itemsize", [4, 8])
def test_several_blocks_and_panels(itemsize, path):
    geometry, tiling, _ = layout("several_blocks_of_taps", itemsize, path)
    assert geometry.reduction_length >= 3 * tiling.taps
    geometry, tiling, _ = layout("several_panels", itemsize, path)
    assert tiling.panel < geometry.reduction_length


@pytest.mark.parametrize(
    ("name", "in_place"),
    [
        ("one_tap", True),
        ("one_tap_groups", True),
        ("3d_one_tap", True),
        ("one_pixel", True),
        ("one_tap_padded", False),
        ("one_tap_cropped", False),
        ("one_tap_stride", False),
        ("same_3x3", False),
        ("one_output", False),
    ],
)
def test_which_images_are_multiplied_in_place(name, in_place):
    problem = layout(name, 4, "small")[2]
    assert problem.reads_image_in_place is in_place
    assert geometry_of(CASES[name]).reads_image_in_place is in_place
    assert (problem.scratch_bytes == 0) is in_place


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("pixels", [1, 15, 16, 17, 127, 128, 129, 196, 3136, 10**6])
def test_tilings_stay_within_the_limits(path, pixels):
    for itemsize, in_channels, out_channels, kernel in product(
        (4, 8), (1, 3, 64, 512, 5000), (1, 50, 129, 2048), (1, 3)
    ):
        geometry = Geometry.from_shapes((in_channels, pixels + kernel - 1), (out_channels, in_channels, kernel))
        check_tiling(geometry, path, itemsize)


def check_tiling(geometry: Geometry, path: str, itemsize: int) -> None:
    pixels, out_channels = geometry.out_pixels, geometry.out_channels
    tiling = choose_tiling(geometry, itemsize, path=path)
    call = next(row for row in PATHS[path].calls if pixels <= row.largest_image)
    assert 1 <= tiling.pixels <= pixels
    assert tiling.pixels < call.pixels + PATHS[path].multiple
    assert 1 <= tiling.taps <= min(call.taps, geometry.reduction_length)
    assert 1 <= tiling.channels <= tiling.block <= out_channels
    assert tiling.channels <= call.channels
    assert tiling.taps <= tiling.panel
    assert tiling.panel == geometry.reduction_length or tiling.panel % tiling.taps == 0
    assert tiling.panel * tiling.pixels * itemsize <= max(PANEL_BYTES, tiling.taps * tiling.pixels * itemsize)
    assert tiling.panel * tiling.pixels * itemsize <= 2 * 2**20
    if path == "small":
        assert tiling.pixels * tiling.channels * tiling.taps <= 1_000_000
    assert tiling.block == out_channels, "one thread has no use for more tasks"
    for threads in (2, 8):
        shared = choose_tiling(geometry, itemsize, threads, path)
        assert shared._replace(block=tiling.block) == tiling, "only tasks are cut for threads, never calls"
        assert shared.block == out_channels or shared.block % shared.channels == 0
        if not geometry.reads_image_in_place:
            assert shared.block >= min(LEAST_CHANNELS, out_channels) or tiling.pixels == pixels
            assert -(-out_channels // shared.block) <= MOST_BLOCKS


@pytest.mark.parametrize("path", PATHS)
def test_batch_and_threads_cut_tasks_and_not_calls(path):
    one, many = (Geometry.from_shapes((n, 20, 16, 16), (512, 20, 3, 3)) for n in (1, 64))
    alone, shared = choose_tiling(one, 4, 1, path), choose_tiling(one, 4, 8, path)
    assert shared.block < alone.block == 512
    assert shared._replace(block=512) == alone
    assert choose_tiling(many, 4, 8, path) == alone, "there are tasks enough, and each would pack its tile again"


def test_wrong_sizes_never_reach_c():
    geometry = Geometry.from_shapes((1, 2, 5), (3, 2, 2))
    problem = Problem(geometry, 4, choose_tiling(geometry, 4))
    x, weight, out = np.ones((2, 5), "f4"), np.ones((3, 2, 2), "f4"), np.ones((3, 4), "f4")
    for wrong in ((x[:1], weight, None, out), (x, weight[:1], None, out), (x, weight, None, out[:1])):
        with pytest.raises(ValueError, match="bytes was expected"):
            problem.run(*wrong)
    with pytest.raises(ValueError, match="bytes was expected"):
        problem.run(x, weight, np.ones(2, "f4"), out)
    out.flags.writeable = False
    with pytest.raises((ValueError, BufferError)):
        problem.run(x, weight, None, out)
