"""What was built: the symbols and instructions of the extension, and the files of the wheel."""

from __future__ import annotations

import importlib.metadata
import re
import shutil
import subprocess
import sys
from importlib.resources import files
from pathlib import Path

import pytest
from fresh import run_python

from gemmconv import _gemmconv
from gemmconv.explanation.page_sources import stripped

EXTENSION = _gemmconv.__file__


def files_of_the_installation() -> list[str]:
    """Return the files of the distribution that this extension comes from; none if it is an editable one."""
    for distribution in importlib.metadata.distributions(name="gemmconv"):
        files = distribution.files or []
        if any(str(path.locate()) == EXTENSION for path in files):
            return [str(path) for path in files]
    return []


FILES = files_of_the_installation()

linux = pytest.mark.skipif(
    not sys.platform.startswith("linux") or not shutil.which("objdump"), reason="needs Linux and the binutils"
)


def output_of(*command: str) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


@linux
def test_links_to_the_c_library_only():
    needed = re.findall(r"NEEDED.*\[(.*)\]", output_of("readelf", "-d", EXTENSION))
    allowed = re.compile(r"lib(c|m|pthread)\.|ld-linux")
    assert [name for name in needed if not allowed.match(name)] == []


@linux
def test_exports_nothing_but_its_entry_and_what_threadpoolctl_looks_for():
    exported = {line.split()[-1] for line in output_of("nm", "-D", "--defined-only", EXTENSION).splitlines()}
    assert {name for name in exported if not name.startswith("_")} == {
        "PyInit__gemmconv",
        "gemmconv_get_num_threads",
        "gemmconv_set_num_threads",
    }


def functions_by_source() -> dict[str, list[tuple[int, int]]]:
    """Return for each source file the addresses and sizes of its functions, from the symbol table."""
    sources: dict[str, list[tuple[int, int]]] = {}
    source = ""
    for line in output_of("readelf", "-sW", EXTENSION).splitlines():
        fields = line.split()
        if len(fields) >= 8 and fields[3] == "FILE":
            source = fields[7]
        elif len(fields) >= 8 and fields[3] == "FUNC" and fields[6] != "UND":
            sources.setdefault(source, []).append((int(fields[1], 16), int(fields[2], 0)))
    return sources


@linux
@pytest.mark.skipif(bool(FILES), reason="looks at symbols, which an editable installation alone has")
@pytest.mark.skipif("avx512" not in _gemmconv.supported_isas(), reason="looks at code for AVX-512")
def test_each_instruction_set_stays_in_its_own_functions():
    # Vector registers by source file: a helper that is not static could lend AVX-512 code to the baseline.
    sources = functions_by_source()
    assert {"kernels_baseline.c", "dispatch.c"} <= set(sources)  # the rest would hold for a file without symbols
    starts = {start: source for source, functions in sources.items() for start, _ in functions}
    registers: dict[str, set[str]] = {source: set() for source in sources}
    extended: set[str] = set()  # sources with instructions of AVX or later, which begin with a v
    source = None
    for line in output_of("objdump", "-d", "--no-show-raw-insn", EXTENSION).splitlines():
        head = re.match(r"([0-9a-f]+) <", line)
        if head:
            source = starts.get(int(head[1], 16))
        elif source is not None:
            registers[source] |= set(re.findall(r"%([xyz]mm)\d", line))
            if re.search(r":\tv[a-z]", line):
                extended.add(source)
    assert extended == {"kernels_avx2.c", "kernels_avx512.c"}
    assert registers["kernels_baseline.c"] == {"xmm"}
    assert registers["kernels_avx2.c"] == {"xmm", "ymm"}
    assert "zmm" in registers["kernels_avx512.c"]
    others = [s for s in sources if not s.startswith("kernels_avx")]
    assert [s for s in others if registers[s] - {"xmm"}] == []


def test_instruction_sets_can_be_lowered_by_the_environment():
    code = "from gemmconv import _gemmconv; print(_gemmconv.isa())"
    for isa in _gemmconv.supported_isas():
        assert run_python(code, GEMMCONV_ISA=isa) == isa
    assert run_python(code, GEMMCONV_ISA="") == _gemmconv.supported_isas()[-1]


def test_only_instruction_sets_of_the_machine_can_be_selected():
    with pytest.raises(ValueError, match="instruction set 'mmx' is not one of baseline"):
        _gemmconv.select_isa("mmx")


@pytest.mark.skipif(not FILES, reason="an editable installation has no files of its own")
def test_files_of_the_wheel():
    own = [path for path in FILES if path.startswith("gemmconv/") and "__pycache__" not in path]
    assert {Path(path).suffix for path in own} == {
        *(".c", ".py", ".pyi", ".so", ".txt", ".typed"),
        *(".css", ".html", ".js"),  # the page
    }
    assert sum(path.endswith(".so") for path in own) == 1
    assert {"gemmconv/py.typed", "gemmconv/bench/suites/resnet50.txt", "gemmconv/bench/peers/pytorch.py"} <= set(own)
    assert "gemmconv/explanation/page/template.html" in own


PAGE = sorted(Path(str(files("gemmconv.explanation").joinpath("page"))).glob("*.[cj]*s"))


@pytest.mark.parametrize("path", PAGE, ids=lambda path: path.name)
def test_scripts_and_styles_of_the_wheel_are_stripped(path):
    # The page strips them again, with the same result.
    source = path.read_text("utf-8")
    once = stripped(source)
    assert stripped(once) == once
    assert (source == once) == bool(FILES)


@pytest.mark.parametrize(("integer", "known"), [("int", True), ("int64_t", True), ("long", False), ("blas_int", False)])
def test_signature_of_gemm(integer, known):
    i, t = f"{integer} *", "scipy_s *"
    signature = f"void (char *, char *, {i}, {i}, {i}, {t}, {t}, {i}, {t}, {i}, {t}, {t}, {i})"
    if known:
        assert _gemmconv.gemm_integer(signature) == integer
    else:
        with pytest.raises(ImportError, match="a gemm that gemmconv does not know"):
            _gemmconv.gemm_integer(signature)


def test_signature_with_mixed_integers_is_refused():
    signature = "void (char *, char *, int *, int *, int64_t *, s *, s *, int *, s *, int *, s *, s *, int *)"
    with pytest.raises(ImportError):
        _gemmconv.gemm_integer(signature)


def test_importing_gemmconv_does_not_import_scipy():
    code = "import gemmconv, sys; print([name for name in sys.modules if name.split('.')[0] in ('scipy', 'rich')])"
    assert run_python(code) == "[]"
