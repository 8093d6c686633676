"""The variables of the environment: what they may be, and that a wrong one is no reason for an import to fail."""

from __future__ import annotations

import re
import warnings
from pathlib import Path

import pytest
from fresh import run_python

from gemmconv import _gemmconv, environment

KIB, MIB, GIB = 1 << 10, 1 << 20, 1 << 30


@pytest.fixture
def told(monkeypatch):
    """Return a function that sets a variable, calls a reader, and returns its result and the warnings."""

    def tell(variable, value, read, *arguments):
        monkeypatch.setenv(variable, value)
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            result = read(*arguments)
        # no line of the library is shown: the mistake is not there
        assert all((warning.category, warning.lineno) == (RuntimeWarning, 0) for warning in caught)
        return result, [str(warning.message) for warning in caught]

    return tell


@pytest.mark.parametrize(
    ("value", "number", "wrong"),
    [
        ("", 3, False),
        ("1", 1, False),
        (" 007 ", 7, False),
        ("64", 64, False),
        ("0", 3, True),
        ("-1", 3, True),
        ("1.5", 3, True),
        ("abc", 3, True),
        ("\N{SUPERSCRIPT TWO}", 3, True),
        ("65", 64, True),
        ("1000", 64, True),
        ("9" * 5000, 64, True),
    ],
)
def test_number_of_threads(told, value, number, wrong):
    found, messages = told(environment.NUM_THREADS, value, environment.number_of_threads, 3, 64)
    assert found == number
    used = "64 threads are used" if number == 64 else "the default of 3 is used"
    shown = f"GEMMCONV_NUM_THREADS={value[:100]!r} is not a number from 1 to 64; {used}"
    assert messages == ([shown] if wrong else [])


@pytest.mark.parametrize(
    ("value", "name", "message"),
    [
        ("", "avx2", None),
        ("baseline", "baseline", None),
        (" AVX2", "avx2", None),
        ("avx512", "avx2", "is not supported by this machine, which has baseline, avx2; avx2 is used"),
        ("axv2", "avx2", "is not one of baseline, avx2, avx512; avx2 is used"),
    ],
)
def test_instruction_set(told, value, name, message):
    found, messages = told(environment.ISA, value, environment.instruction_set, ("baseline", "avx2"))
    assert found == name
    assert messages == ([f"GEMMCONV_ISA={value!r} {message}"] if message else [])


def test_the_instruction_sets_of_the_machine_are_known():
    supported = _gemmconv.supported_isas()
    assert supported == environment.INSTRUCTION_SETS[: len(supported)]


@pytest.mark.parametrize(
    ("value", "sizes"),
    [
        ("", []),
        ("32K,512K,16M", [32 * KIB, 512 * KIB, 16 * MIB]),
        ("48k, 1m,1g", [48 * KIB, MIB, GIB]),
        ("1,2,1024G", [1, 2, 1024 * GIB]),
    ],
)
def test_sizes_of_caches(told, value, sizes):
    assert told(environment.CACHES, value, environment.cache_sizes) == (sizes, [])


@pytest.mark.parametrize(
    "value",
    ["32K", "32K,512K", "32K,512K,none", "32K,512K,0", "1K,2K,3K,4K", "32K,1M,-1", "32K,1M,1025G", f"1K,1K,{10**30}"],
)
def test_sizes_that_make_no_sense(told, value):
    found, (message,) = told(environment.CACHES, value, environment.cache_sizes)
    assert found == []
    assert message.startswith(f"GEMMCONV_CACHES={value!r} is not the sizes of three caches, such as 32K,512K,16M")


IMPORT = """
import warnings
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    import gemmconv
    from gemmconv import _gemmconv, cli
    cli.collect_info()
print(gemmconv.get_num_threads(), _gemmconv.isa(), _gemmconv.set_cache_sizes((1, 2)))
print(*[str(warning.message).split()[0] for warning in caught if warning.category is RuntimeWarning])
"""


def test_wrong_values_are_warned_about_once_and_the_import_goes_on():
    usual = run_python(IMPORT, GEMMCONV_NUM_THREADS="", GEMMCONV_ISA="", GEMMCONV_CACHES="").splitlines()
    assert len(usual) == 1
    wrong = run_python(IMPORT, GEMMCONV_NUM_THREADS="abc", GEMMCONV_ISA="mmx", GEMMCONV_CACHES=f"1K,1K,{2**70}")
    assert wrong.splitlines()[0] == usual[0]
    expected = ["GEMMCONV_CACHES='1K,1K,1180591620717411303424'", "GEMMCONV_ISA='mmx'", "GEMMCONV_NUM_THREADS='abc'"]
    assert sorted(wrong.splitlines()[1].split()) == expected


def test_the_page_on_usage_has_every_variable():
    page = (Path(__file__).parents[1] / "docs/usage.md").read_text()
    rows = re.findall(r"^\| `(GEMMCONV_\w+)` \|", page, re.MULTILINE)
    assert sorted(rows) == sorted([environment.NUM_THREADS, environment.ISA, environment.CACHES])
