"""Build of the extension module: one Cython file and one C library per instruction set.

Everything that is not compiled is declared in pyproject.toml.
"""

import os
import runpy
import shlex
import subprocess
import sys
import sysconfig
from glob import glob
from pathlib import Path

from Cython.Build import cythonize
from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext
from setuptools.command.build_py import build_py

HEADERS = sorted(glob("csrc/**/*.h", recursive=True) + glob("csrc/**/*.inc", recursive=True))

# The same kernels are compiled once per instruction set. Each has its own source file, because setuptools names objects
# by their source: a shared source would be compiled once and linked three times. Except on x86-64, the files for AVX
# are empty. -O2 instead of -O3 makes them a sixth smaller, so that the wheel stays below a megabyte: the kernels say
# themselves which loops are unrolled. Loops that copy and add rows are vectorised all the same, but not for the
# baseline, which few x86-64 machines need: it is made small.
VECTORIZED = ["-ftree-vectorize", "-fvect-cost-model=dynamic"]

# More flags for small code. A function that is called once is not inlined: alone, it needs fewer registers. Code that
# the compiler does not schedule compresses much better, and processors reorder instructions themselves.
SEPARATE = ["-fno-inline-functions-called-once"]
UNSCHEDULED = ["-fno-schedule-insns2"]

# These only add code: passes that copy parts of it, and to align more than loops. With 32 registers, and in code that
# calls Python, so does giving out registers loop by loop, with moves between, not once for a whole function.
PLAIN = ["-fno-tree-pre", "-fno-gcse", "-fno-thread-jumps"]
PLAIN += ["-fno-align-functions", "-fno-align-jumps", "-fno-align-labels"]
SMALL = [*PLAIN, "-fira-region=one"]


def accepted(flags, what="-c"):
    """Return those of the flags that the compiler takes: Clang lacks some of GCC's and does not need them.

    `what` is "-c" for flags of the compiler and "-shared" for flags of the linker.
    """
    compiler = shlex.split(os.environ.get("CC") or sysconfig.get_config_var("CC") or "cc")
    command = [*compiler, "-Werror", "-fPIC", "-x", "c", what, "-o", os.devnull, "-"]
    return [flag for flag in flags if subprocess.run([*command, flag], input=b"", capture_output=True).returncode == 0]


# Functions for float32 and float64, and for several instruction sets, are much alike. Sorted by name they are
# neighbours, and compress better.
SECTIONS = ["-ffunction-sections"]
SORTED = accepted(["-Wl,--sort-section=name"], "-shared")


AVX = ["-O2", *accepted(VECTORIZED + SEPARATE + UNSCHEDULED)]
FLAGS = {
    "baseline": ["-Os", *accepted([*UNSCHEDULED, "-fno-ivopts"])],
    "avx2": [*AVX, *accepted(PLAIN), "-mavx2", "-mfma"],
    "avx512": [*AVX, *accepted(SMALL), "-mavx512f", "-mavx512vl", "-mavx512dq", "-mavx512bw", "-mfma"],
}
PLATFORM = sysconfig.get_platform()
IS_X86 = PLATFORM.endswith(("x86_64", "amd64", "universal2"))

CFLAGS = ["-std=c11", "-O3", "-g0", "-fvisibility=hidden", "-fno-math-errno", "-ffp-contract=fast"]
CFLAGS += ["-fno-asynchronous-unwind-tables"]  # for debuggers too, and a twentieth of the size
CFLAGS += SECTIONS if SORTED else []
CFLAGS += os.environ.get("GEMMCONV_CFLAGS", "").split()

# One wheel for every CPython from 3.11 on. Free-threaded builds have no limited API.
LIMITED_API = not sysconfig.get_config_var("Py_GIL_DISABLED")


def flags_of(isa):
    """Return the compiler's flags for one instruction set; on macOS one call may compile for two architectures."""
    if not IS_X86:
        return []
    if PLATFORM.startswith("macosx"):
        return [word for flag in FLAGS[isa] for word in ("-Xarch_x86_64", flag)]
    return FLAGS[isa]


def kernel_library(isa):
    """Return the setuptools description of the kernels for one instruction set."""
    return (
        f"gemmconv_{isa}",
        {
            "sources": [f"csrc/kernels_{isa}.c"],
            "cflags": CFLAGS + flags_of(isa),
            "include_dirs": ["csrc"],
            "obj_deps": {"": HEADERS},
        },
    )


extension = Extension(
    "gemmconv._gemmconv",
    sources=[
        "src/gemmconv/_gemmconv.pyx",
        "csrc/dispatch.c",
        "csrc/extension.c",
        "csrc/thread_pool.c",
        "csrc/transposition.c",
        *sorted(glob("csrc/*/*.c")),  # the planning
    ],
    include_dirs=["csrc"],
    libraries=["m"] if os.name == "posix" else [],
    depends=HEADERS + sorted(glob("src/gemmconv/*.px[di]")),
    define_macros=[("Py_LIMITED_API", "0x030B0000")] if LIMITED_API else [],
    extra_compile_args=[*CFLAGS, "-O2", *accepted(UNSCHEDULED + SMALL + ["-fno-inline-small-functions"])],
    extra_link_args=SORTED,
    py_limited_api=LIMITED_API,
)


class BuildExtension(build_ext):
    """Leaves the symbols out of a wheel, except for one with flags of its own, as sanitizers need.

    An editable installation has them too: tests/test_build.py finds there which function is of which source.
    """

    def build_extension(self, ext):
        if (
            sys.platform.startswith("linux")
            and not self.inplace
            and not self.editable_mode
            and "GEMMCONV_CFLAGS" not in os.environ
        ):
            ext.extra_link_args.append("-s")
        super().build_extension(ext)


class BuildPython(build_py):
    """Strips the scripts and styles of the page in a wheel, as the page does with those of an editable installation."""

    def run(self):
        super().run()
        if self.editable_mode:
            return
        explanation = Path("gemmconv", "explanation")
        stripped = runpy.run_path(str("src" / explanation / "page_sources.py"))["stripped"]
        for path in Path(self.build_lib, explanation, "page").iterdir():
            if path.suffix in (".css", ".js"):
                path.write_text(stripped(path.read_text("utf-8")), "utf-8")


# Nothing here is pickled, and plain functions of C need no more than a name.
DIRECTIVES = {"auto_pickle": False, "binding": False}

# Everything is compiled every time, because objects do not remember the flags they were made with.
OPTIONS = {"build_ext": {"force": True}, "build_clib": {"force": True}}
if LIMITED_API:
    OPTIONS["bdist_wheel"] = {"py_limited_api": "cp311"}

setup(
    ext_modules=cythonize([extension], build_dir="build/cython", compiler_directives=DIRECTIVES),
    libraries=[kernel_library(isa) for isa in FLAGS],
    options=OPTIONS,
    cmdclass={"build_ext": BuildExtension, "build_py": BuildPython},
)
