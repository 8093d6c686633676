"""Build of the extension module: one Cython file and one C library per instruction set.

Everything that is not compiled is declared in pyproject.toml.
"""

import os
import platform
import sysconfig
from glob import glob

from Cython.Build import cythonize
from setuptools import Extension, setup

HEADERS = sorted(glob("csrc/*.h") + glob("csrc/*.inc"))

# The same kernels once per instruction set, in a source file each: setuptools names objects by
# their source, so a shared source would be compiled once and linked three times.
INSTRUCTION_SETS: dict[str, list[str]] = {"baseline": []}
if platform.machine() in ("x86_64", "AMD64"):
    INSTRUCTION_SETS["avx2"] = ["-mavx2", "-mfma"]
    INSTRUCTION_SETS["avx512"] = ["-mavx512f", "-mavx512vl", "-mavx512dq", "-mavx512bw", "-mfma"]

CFLAGS = ["-std=c11", "-O3", "-g0", "-fvisibility=hidden", "-fno-math-errno", "-ffp-contract=fast"]
CFLAGS += os.environ.get("GEMMCONV_CFLAGS", "").split()

# One wheel for every CPython from 3.11 on. Free-threaded builds have no limited API.
LIMITED_API = not sysconfig.get_config_var("Py_GIL_DISABLED")
LIMITED_MACROS = [("Py_LIMITED_API", "0x030B0000")] if LIMITED_API else []
KERNEL_MACROS = [(f"GEMMCONV_HAVE_{name.upper()}", "1") for name in INSTRUCTION_SETS]


def kernel_library(name, flags):
    """Return the setuptools description of the kernels for one instruction set."""
    return (
        f"gemmconv_{name}",
        {
            "sources": [f"csrc/kernels_{name}.c"],
            "cflags": CFLAGS + flags,
            "include_dirs": ["csrc"],
            "obj_deps": {"": HEADERS},
        },
    )


extension = Extension(
    "gemmconv._gemmconv",
    sources=["src/gemmconv/_gemmconv.pyx", "csrc/dispatch.c"],
    include_dirs=["csrc"],
    depends=HEADERS,
    define_macros=LIMITED_MACROS + KERNEL_MACROS,
    extra_compile_args=CFLAGS,
    py_limited_api=LIMITED_API,
)

setup(
    ext_modules=cythonize([extension], build_dir="build/cython"),
    libraries=[kernel_library(name, flags) for name, flags in INSTRUCTION_SETS.items()],
    options={"bdist_wheel": {"py_limited_api": "cp311"}} if LIMITED_API else {},
)
