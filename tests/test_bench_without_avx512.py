"""Libraries that are made to do without AVX-512: `python -m gemmconv.bench.studies.without_avx512`."""

from __future__ import annotations

import importlib.metadata
import signal
import subprocess
import sys

import pytest
from fresh import run_python

from gemmconv.bench.studies import without_avx512 as study

pytestmark = pytest.mark.skipif(study.missing_requirement() is not None, reason=str(study.missing_requirement()))

# A library that asks the processor, and has the bytes of `cpuid` inside another instruction and among its data too.
ASKING = r"""
void ask(unsigned answer[4])
{
    __asm__("cpuid" : "+a"(answer[0]), "=b"(answer[1]), "+c"(answer[2]), "=d"(answer[3]));
}

unsigned number(void)
{
    unsigned value;
    __asm__("movl $0x5aa20f5a, %0" : "=r"(value));
    return value;
}

const unsigned char bytes[2] = {0x0f, 0xa2};

void end(void) { __builtin_trap(); }
"""

# EAX and ECX of each question: two about features, one about the registers that the system saves.
QUESTIONS = (7, 0), (7, 1), (13, 0)

# Prints the number, the bytes, and the answers, from EAX to EDX.
ASK = f"""
    import ctypes, sys
    library = ctypes.CDLL(sys.argv[1])
    print(hex(library.number()), bytes((ctypes.c_ubyte * 2).in_dll(library, "bytes")).hex())
    for eax, ecx in {QUESTIONS}:
        answer = (ctypes.c_uint * 4)(eax, 0, ecx)
        library.ask(answer)
        print(*answer)
"""
END = "import ctypes, sys; ctypes.CDLL(sys.argv[1]).end()"


@pytest.fixture
def asking(tmp_path):
    source, library = tmp_path / "asking.c", tmp_path / "asking.so"
    source.write_text(ASKING)
    subprocess.run(["cc", "-O1", "-shared", "-fPIC", "-o", library, source], check=True)
    return library


def test_only_instructions_are_replaced(asking):
    before = asking.read_bytes()
    assert before.count(study.CPUID) == 3
    assert study.replace_cpuid(asking) == 1
    after = asking.read_bytes()
    assert after.count(study.CPUID) == 2
    assert sum(old != new for old, new in zip(before, after)) == len(study.CPUID)
    assert study.replace_cpuid(asking) == 0


def test_the_answer_is_that_of_the_processor_without_avx512(asking, tmp_path):
    number, *rows = run_python(ASK, str(asking)).splitlines()
    study.replace_cpuid(asking)
    environment = {"LD_PRELOAD": str(study.compile_answer(tmp_path))}
    same_number, *other_rows = run_python(ASK, str(asking), **environment).splitlines()
    assert number == same_number == "0x5aa20f5a 0fa2"
    answers, others = ([[int(word) for word in row.split()] for row in table] for table in (rows, other_rows))
    # F, DQ, IFMA, PF, ER, CD, BW, VL; VBMI, VBMI2, GFNI, VNNI, BITALG, VPOPCNTDQ; ...
    features = [0, 0xDC230000, 0x5942, 0x03C0010C]
    more_features = [0x00A00030, 0, 0, 0x00080530]
    saved = [0xE0, 0, 0, 0]
    for answer, other, left_out in zip(answers, others, (features, more_features, saved)):
        assert other == [word & ~bits for word, bits in zip(answer, left_out)]


def test_other_invalid_instructions_still_end_the_program(asking, tmp_path):
    environment = {"LD_PRELOAD": str(study.compile_answer(tmp_path))}
    run = subprocess.run([sys.executable, "-c", END, str(asking)], env=environment, capture_output=True, check=False)
    assert run.returncode == -signal.SIGILL


def test_copies_an_installed_library(tmp_path):
    libraries = study.copy_distribution("numpy", tmp_path)
    assert (tmp_path / "numpy" / "__init__.py").is_file()
    assert libraries
    assert all(path.is_relative_to(tmp_path) and path.is_file() for path in libraries)
    with pytest.raises(importlib.metadata.PackageNotFoundError):
        study.copy_distribution("nowhere-to-be-found", tmp_path)
