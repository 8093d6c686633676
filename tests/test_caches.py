"""The sizes of the caches: where they come from, and that results do not depend on them.

Only the C kernels in `READERS` read the sizes. For each there are problems that different sizes cut differently.
"""

from __future__ import annotations

import platform
import re
from pathlib import Path

import numpy as np
import pytest
from fresh import run_python
from kernels_under_test import KERNELS, normal_arrays_for, run

from gemmconv import _gemmconv, cli, machine
from gemmconv.checks.geometry import Geometry

KIB, MIB = 1 << 10, 1 << 20
# L2 and L3, from smaller than any machine's to larger than any machine's.
SIZES = [(4 * KIB, 8 * KIB), (128 * KIB, MIB), (2 * MIB, 16 * MIB), (64 * MIB, 1024 * MIB)]

# C kernel -> problems that the sizes cut differently: the shapes of x and of a 3x3 weight, with padding 1.
READERS = {"winograd": [((1, 200, 15, 14), (70, 200, 3, 3)), ((2, 130, 6, 118), (129, 130, 3, 3))]}
READERS_BY_KEY = {key: READERS[name] for key in KERNELS if (name := key.split("-")[2]) in READERS}


@pytest.fixture(autouse=True)
def _restore_sizes():
    before = _gemmconv.set_cache_sizes((machine.ASSUMED.l2, machine.ASSUMED.l3))
    yield
    _gemmconv.set_cache_sizes(before)


def test_these_kernels_read_the_sizes():
    csrc = Path(__file__).parents[1] / "csrc"
    files = [path for path in csrc.rglob("*") if path.suffix in (".c", ".h", ".inc")]
    reading = {path.stem for path in files if re.search(r"\bcaches\.l\d", path.read_text())}
    assert reading == set(READERS)


@pytest.mark.parametrize("number", range(2))
@pytest.mark.parametrize("key", READERS_BY_KEY)
def test_tasks_depend_on_the_sizes_and_results_do_not(key, number, dtype, isa):
    kernel = KERNELS[key]
    geometry = Geometry.from_shapes(*READERS_BY_KEY[key][number], padding=1)
    arrays = normal_arrays_for(kernel.operation, geometry, dtype)
    results, cuts = [], set()
    for sizes in SIZES:
        _gemmconv.set_cache_sizes(sizes)
        results.append(run(kernel, geometry, arrays, 2))
        problem = kernel.build(geometry, dtype.itemsize, 1, False)
        cuts.add((problem.task_count, problem.scratch_bytes, problem.layout_bytes))
    assert len(cuts) > 1
    assert not np.isnan(results[0]).any()
    for result in results[1:]:
        np.testing.assert_array_equal(result, results[0])


@pytest.mark.parametrize("key", READERS_BY_KEY)
def test_tasks_of_both_types_take_the_same_share_of_the_caches(key):
    # elements of double are twice as long: with caches twice as large, as many are taken at a time
    geometry = Geometry.from_shapes(*READERS_BY_KEY[key][0], padding=1)
    cuts = []
    for itemsize in (4, 8):
        _gemmconv.set_cache_sizes((itemsize * 32 * KIB, itemsize * 256 * KIB))
        problem = KERNELS[key].build(geometry, itemsize, 1, False)
        cuts.append((problem.task_count, problem.scratch_bytes // itemsize, problem.layout_bytes // itemsize))
    _gemmconv.set_cache_sizes((4 * 32 * KIB, 4 * 256 * KIB))
    assert cuts[0] == cuts[1]
    assert KERNELS[key].build(geometry, 8, 1, False).scratch_bytes // 8 < cuts[0][1]


def test_c_has_the_sizes_of_the_machine():
    code = "from gemmconv import _gemmconv; print(_gemmconv.set_cache_sizes((1, 2)))"
    assert run_python(code, GEMMCONV_CACHES="32K, 512k,16M") == str((512 * KIB, 16 * MIB))
    sizes = machine.caches()
    assert run_python(code) == str((sizes.l2, sizes.l3))


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
    monkeypatch.setattr(machine, "caches", lambda: machine.Caches(48 * KIB, 1280 * KIB, 24 * MIB))
    assert dict(cli.collect_info())["caches"] == "L1 48 KiB, L2 1.25 MiB, L3 24 MiB"
    assert cli.describe_caches(machine.merge_caches([])) == (
        "L1 32 KiB (assumed), L2 512 KiB (assumed), L3 8 MiB (assumed)"
    )
