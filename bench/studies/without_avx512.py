"""Copies the installed libraries so that they do without AVX-512: ``python -m gemmconv.bench.studies.without_avx512``.

gemmconv, PyTorch and OpenBLAS can be told by environment variables which instructions to use. Other libraries ask the
processor, by its instruction ``cpuid``. In the copy, each ``cpuid`` is replaced by an invalid instruction, and
without_avx512.c, which is preloaded, answers instead. So the libraries take their code for AVX2::

    python -m gemmconv.bench.studies.without_avx512 FOLDER >FOLDER.env
    env $(cat FOLDER.env) gemmconv bench
"""

from __future__ import annotations

import importlib.metadata
import platform
import re
import shutil
import struct
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from . import make_parser

SOURCE = Path(__file__).with_suffix(".c")

#: The distributions of the libraries that ask the processor.
DISTRIBUTIONS = ("ai-edge-litert", "jaxlib", "mnn", "ncnn", "onnxruntime", "opencv-python-headless", "openvino")

#: What tells the others, and the C library.
VARIABLES = {
    "GEMMCONV_ISA": "avx2",
    "OPENBLAS_CORETYPE": "Haswell",
    "ONEDNN_MAX_CPU_ISA": "AVX2",
    "ATEN_CPU_CAPABILITY": "avx2",
    "GLIBC_TUNABLES": "glibc.cpu.hwcaps=-AVX512F,-AVX512VL,-AVX512BW",
}

CPUID = b"\x0f\xa2"
#: What replaces it: see without_avx512.c.
REPLACEMENT = b"\xce\xce"


def loaded_parts(library: bytes) -> Iterator[tuple[int, int, int]]:
    """Yield of each part of an ELF file that is loaded: its address, its place in the file, and its length."""
    (start,) = struct.unpack_from("<Q", library, 32)
    size, count = struct.unpack_from("<HH", library, 54)
    for at in range(start, start + size * count, size):
        kind, _, place, address, _, length = struct.unpack_from("<IIQQQQ", library, at)
        if kind == 1:
            yield address, place, length


def cpuid_places(path: Path) -> list[int]:
    """Return where in a shared library the instructions ``cpuid`` are; other bytes that look the same are not."""
    library = path.read_bytes()
    if not library.startswith(b"\x7fELF\x02\x01") or CPUID not in library:
        return []
    command = ["objdump", "--disassemble", "--no-show-raw-insn", str(path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        found = [re.match(r" *([0-9a-f]+):\s+cpuid\b", line) for line in process.stdout if "cpuid" in line]
    if process.returncode:
        raise RuntimeError(f"objdump cannot read {path}")
    addresses = [int(match[1], 16) for match in found if match]
    parts = list(loaded_parts(library))
    places = [at - start + place for at in addresses for start, place, size in parts if start <= at < start + size]
    assert len(places) == len(addresses)
    assert all(library[place : place + len(CPUID)] == CPUID for place in places)
    return places


def replace_cpuid(path: Path) -> int:
    """Replace each ``cpuid`` of a shared library, in place; return how many."""
    places = cpuid_places(path)
    with path.open("r+b") as file:
        for place in places:
            file.seek(place)
            file.write(REPLACEMENT)
    return len(places)


def copy_distribution(name: str, folder: Path) -> list[Path]:
    """Copy the files of an installed distribution, except its programs; return its shared libraries in the folder."""
    libraries = []
    for file in importlib.metadata.files(name) or []:
        source, target = Path(str(file.locate())), folder / file
        if ".." in file.parts or file.suffix == ".pyc" or not source.exists():
            continue
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(source, target)
        if ".so" in file.suffixes:
            libraries.append(target)
    return libraries


def compile_answer(folder: Path) -> Path:
    """Compile what answers in the place of the processor; return the library to preload."""
    library = folder / "without_avx512.so"
    subprocess.run(["cc", "-std=c11", "-O2", "-shared", "-fPIC", "-o", library, SOURCE], check=True)
    return library


def missing_requirement() -> str | None:
    """Say why this study cannot be made here; None if it can."""
    if not sys.platform.startswith("linux") or platform.machine() != "x86_64":
        return "this needs Linux on x86-64"
    return next((f"this needs the program {name}" for name in ("cc", "objdump") if not shutil.which(name)), None)


def main() -> None:
    """Make the copies, and print the environment to run the benchmark in."""
    parser = make_parser("without_avx512", __doc__)
    parser.add_argument("folder", type=Path, help="where to; it may take a gigabyte")
    parser.add_argument("--distributions", default=",".join(DISTRIBUTIONS), help="with commas; default: %(default)s")
    arguments = parser.parse_args()
    if why := missing_requirement():
        parser.error(why)

    folder: Path = arguments.folder.resolve()
    folder.mkdir(parents=True, exist_ok=True)
    for name in arguments.distributions.split(","):
        try:
            libraries = copy_distribution(name, folder)
        except importlib.metadata.PackageNotFoundError:
            print(f"{name} is not installed", file=sys.stderr)
            continue
        count = sum(map(replace_cpuid, libraries))
        print(f"{name}: {count} instructions replaced in {len(libraries)} libraries", file=sys.stderr)
    variables = {"PYTHONPATH": folder, "LD_PRELOAD": compile_answer(folder), **VARIABLES}
    print(*[f"{name}={value}" for name, value in variables.items()])


if __name__ == "__main__":
    main()
