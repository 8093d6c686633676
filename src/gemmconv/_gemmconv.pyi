"""The compiled module, as the type checker sees it."""

from collections.abc import Sequence
from typing import final

import numpy as np
from numpy.typing import NDArray

from .checks.arrays import Array
from .checks.geometry import Geometry
from .engine.channels_last import MovedDefinition
from .engine.not_finite import Box, Definition
from .engine.phases import Cut
from .engine.tiling import Tiling

MAX_THREADS: int
LARGEST_SCRATCH: int
LONGEST_VECTOR: int
CHANNEL_BLOCK: int
CHANNELS_BAND: int
CHANNELS_SLICE: int
DENSE_BLOCK: int
DENSE_BLOCKS: int
PANELS_PIXELS: int
PANELS_TAPS: int
PIXELS_PLANES: int
PIXELS_SLICE: int
PIXELS_VECTORS: int
FFT_ELEMENTS: int
FFT_LEAST: int

def supported_isas() -> tuple[str, ...]: ...
def isa() -> str: ...
def select_isa(name: str) -> None: ...
def set_cache_sizes(sizes: Sequence[int]) -> tuple[int, int]: ...
def fma_burst(itemsize: int, rounds: int) -> float: ...
def get_num_threads() -> int: ...
def set_num_threads(threads: int) -> None: ...
def set_processors(count: int) -> None: ...
def gemm_integer(signature: str) -> str: ...
def fitting_kernels(geometry: Geometry, channels_last: bool = False) -> tuple[str, ...]: ...
def transpose(matrices: Array, transposed: Array, columns: int, count: int, itemsize: int, threads: int) -> None: ...
def times_i(numbers: Array, result: Array, count: int, itemsize: int, are_added: bool, threads: int) -> None: ...

@final
class Memory:
    def __init__(self, array: Array) -> None: ...

@final
class Layout:
    def __init__(self, size: int, weight: Memory) -> None: ...

@final
class Extender:
    def __init__(self, sizes: NDArray[np.intp], border: NDArray[np.intp], itemsize: int, value: float) -> None: ...
    def extend(self, images: Array, extended: Array, threads: int) -> bool: ...
    def fold(self, extended: Array, images: Array, threads: int) -> None: ...

class Computation:
    itemsize: int
    definition: Definition | MovedDefinition | None
    def watch(self, definition: Definition | MovedDefinition, watched: Box | None) -> None: ...
    def lay_out(self, weight: Array | Memory, threads: int = 1) -> Memory | Layout: ...
    @property
    def kernel(self) -> str: ...
    @property
    def task_count(self) -> int: ...
    @property
    def scratch_bytes(self) -> int: ...
    @property
    def layout_bytes(self) -> int: ...

@final
class Problem(Computation):
    exact: Problem | None
    turned: bool
    def __init__(
        self,
        geometry: Geometry,
        itemsize: int,
        tiling: Tiling | None = None,
        relu: bool = False,
        kernel: str = "gemm_conv",
        exact: Problem | None = None,
        turned: bool = False,
        channels_last: bool = False,
    ) -> None: ...
    @property
    def reads_image_in_place(self) -> bool: ...
    @property
    def column_task_counts(self) -> tuple[int, int]: ...
    def run(
        self,
        x: Array | Memory,
        weight: Array | Memory | Layout,
        bias: Array | Memory | None,
        out: Array,
        threads: int = 1,
    ) -> None: ...
    def run_plain(
        self, x: Array, weight: Memory | Layout, bias: Memory | None, out: Array, threads: int = 1
    ) -> bool: ...
    def im2col(self, x: Array, columns: Array, threads: int = 1) -> None: ...
    def col2im(self, columns: Array, out: Array, threads: int = 1) -> None: ...
    def pack_panel(self, image: Array, rows: Array, block: tuple[int, int, int, int]) -> None: ...
    def add_panel(self, rows: Array, image: Array, block: tuple[int, int, int, int]) -> None: ...

@final
class InputGradient(Computation):
    def __init__(self, geometry: Geometry, itemsize: int, tiling: Tiling) -> None: ...
    def run(
        self, grad_output: Array, weight: Array | Memory | Layout, bias: Array | None, out: Array, threads: int = 1
    ) -> None: ...

@final
class Phases(Computation):
    def __init__(self, geometry: Geometry, itemsize: int, cut: Cut) -> None: ...
    def run(
        self, grad_output: Array, weight: Array | Memory | Layout, bias: Array | None, out: Array, threads: int = 1
    ) -> None: ...

@final
class WeightGradient(Computation):
    exact: WeightGradient | None
    def __init__(
        self,
        geometry: Geometry,
        itemsize: int,
        tiling: Tiling,
        kernel: str,
        exact: WeightGradient | None = None,
        channels_last: bool = False,
    ) -> None: ...
    @property
    def parts(self) -> int: ...
    @property
    def parts_bytes(self) -> int: ...
    def run(self, grad_output: Array, x: Array, out: Array, threads: int = 1) -> None: ...
