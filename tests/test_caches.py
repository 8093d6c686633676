"""The sizes of the caches: where they come from, and that results do not depend on them."""

from __future__ import annotations

import os
import platform
from dataclasses import replace

import numpy as np
import pytest
from cases import geometry_of
from fresh import run_python
from kernels_under_test import ALL_CASES, CONVOLUTIONS, KERNELS, cases_of, normal_arrays_for, run

from gemmconv import _gemmconv, cli, machine
from gemmconv.checks.geometry import Geometry

KIB, MIB = 1 << 10, 1 << 20
# From smaller than any machine's to larger than any machine's.
SIZES = [
    (KIB, 4 * KIB, 8 * KIB),
    (16 * KIB, 128 * KIB, MIB),
    (48 * KIB, 2 * MIB, 16 * MIB),
    (MIB, 64 * MIB, 1024 * MIB),
]


@pytest.fixture(autouse=True)
def _restore_sizes():
    before = _gemmconv.set_cache_sizes(machine.ASSUMED)
    yield
    _gemmconv.set_cache_sizes(before)


@pytest.mark.parametrize("key", KERNELS)
def test_results_do_not_depend_on_the_sizes(key, isa):
    kernel = KERNELS[key]
    for name in cases_of(kernel):
        geometry = replace(geometry_of(ALL_CASES[name]), batch=2)
        arrays = normal_arrays_for(kernel.operation, geometry, "float32")
        results = []
        for sizes in SIZES:
            _gemmconv.set_cache_sizes(sizes)
            results.append(run(kernel, geometry, arrays, 2))
        assert not np.isnan(results[0]).any()
        for result in results[1:]:
            np.testing.assert_array_equal(result, results[0], name)


@pytest.mark.parametrize("shapes", [((1, 200, 15, 14), (70, 200, 3, 3)), ((2, 130, 6, 118), (129, 130, 3, 3))])
def test_winograd_is_cut_by_the_sizes_and_its_results_are_not(shapes, dtype, isa):
    geometry = Geometry.from_shapes(*shapes, padding=1)
    kernel = CONVOLUTIONS["convolution-winograd-winograd"]
    arrays = normal_arrays_for("convolution", geometry, dtype)
    results, cuts = [], set()
    for sizes in SIZES:
        _gemmconv.set_cache_sizes(sizes)
        results.append(run(kernel, geometry, arrays, 2))
        problem = kernel.build(geometry, dtype.itemsize, 1, False)
        cuts.add((problem.task_count, problem.scratch_bytes, problem.layout_bytes))
    assert len(cuts) > 1
    for result in results[1:]:
        np.testing.assert_array_equal(result, results[0])


def test_c_has_the_sizes_of_the_machine():
    code = "from gemmconv import _gemmconv; print(_gemmconv.set_cache_sizes((1, 2, 3)))"
    assert run_python(code, GEMMCONV_CACHES="32K, 512K,16M") == str((32 * KIB, 512 * KIB, 16 * MIB))
    assert run_python(code, GEMMCONV_CACHES="") == str(machine.caches()[:3])


@pytest.mark.parametrize("text", ["32K", "32K,512K", "32K,512K,none", "32K,512K,0", "1K,2K,3K,4K", "32k,1M,-1"])
def test_sizes_that_make_no_sense(text):
    with pytest.raises(ValueError, match="GEMMCONV_CACHES must be the sizes of three caches such as 32K,512K,16M"):
        machine.parse_caches(text)


def test_what_the_system_does_not_tell_is_assumed():
    assert machine.merge_caches([]) == machine.ASSUMED._replace(assumed=("l1", "l2", "l3"))
    first, second = {"l1": 48 * KIB, "l3": 0}, {"l1": KIB, "l2": 2 * MIB, "l3": -1}
    sizes = machine.merge_caches([lambda: first, lambda: second])
    assert sizes == machine.Caches(48 * KIB, 2 * MIB, machine.ASSUMED.l3, ("l3",))


@pytest.mark.skipif(platform.system() != "Linux", reason="of Linux")
def test_the_c_library_of_linux_is_asked_for_sizes():
    for size in machine._caches_sysconf().values():
        assert size >= -1


def test_info_tells_the_sizes(monkeypatch):
    monkeypatch.setitem(os.environ, "GEMMCONV_CACHES", "48K,1280K,24M")
    assert dict(cli.collect_info())["caches"] == "L1 48 KiB, L2 1.25 MiB, L3 24 MiB"
    assert cli.describe_caches(machine.merge_caches([])) == (
        "L1 32 KiB (assumed), L2 512 KiB (assumed), L3 8 MiB (assumed)"
    )
