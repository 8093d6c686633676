"""Phases: the gradient of the input of a strided convolution, as convolutions of the gradient of the output.

``csrc/phases/phases.h`` says what phases and classes are. Here they are found, the work is cut into blocks and bands,
and each class gets its kernel. All of that depends on the geometry of one image alone.
"""

from __future__ import annotations

from functools import lru_cache
from math import gcd, prod
from typing import NamedTuple

from .._gemmconv import LARGEST_SCRATCH, Phases
from ..checks.geometry import Geometry
from ..checks.options import Sizes
from .costs import Counts
from .kernels import CONVOLUTION, Kernel, that_fit
from .tiling import Tiling, equal_part

# The largest number of results of a band, of all classes: 1 MiB of float64.
RESULTS = 1 << 17
# The results of a band of a dense layer that stay in the second-level cache.
BAND_RESULTS = 1 << 16
# The same for a block of several groups.
GROUP_RESULTS = 1 << 15
# A band has at least this number of positions, whatever its results are ...
BAND_POSITIONS = 128
# ... and at most this.
MOST_POSITIONS = 512
# An image is cut into about this number of tasks.
TASKS = 16
# For the sake of more tasks a band does not become smaller than this number of positions: each band reads the weights.
LEAST_POSITIONS = 128
# Nor does a block of channels get fewer products for each element of the output's gradient: each block reads that.
LEAST_PRODUCTS = 288
# Channels of a block, if there is room for them; direct_channels takes them in blocks of this size.
CHANNEL_BLOCK = 64
# direct_pixels reads all weights for every few vectors of positions, which makes it slower in bands.
PREFERENCE = {"direct_pixels": 1.15}
# With fewer taps it is faster if all classes share the planes that direct_pixels copies.
LEAST_TAPS = {"depthwise": 17}
# The least stride of the width whose residues are cut into blocks; smaller numbers of residues are woven together.
LEAST_CUT_STRIDE = 32
# Above any of these limits the work is left to another algorithm.
MOST_CLASSES = 64
MOST_BLOCKS = 256
MOST_HALVINGS = 4
MOST_TAPS = 1 << 15
MOST_STRIDE = 4096
# This number of residues is allowed even where the image has fewer elements.
LEAST_RESIDUES = 64
# Bytes of float64: the cut serves both types.
LARGEST_ITEMSIZE = 8
KERNELS_OF_CLASSES = tuple(kernel for kernel in CONVOLUTION if kernel.algorithm == "direct")


class Interval(NamedTuple):
    """The numbers from `first` on, before `end`."""

    first: int
    end: int


class Run(NamedTuple):
    """Neighbouring phases of an axis with the same number of taps that read the same places of the output."""

    first_phase: int
    phases: int
    taps: int
    lead: int
    """The padding, if the first position is 0."""
    inside: Interval
    """Positions that are an element of x for any of the phases."""


class Class(NamedTuple):
    """What computes a run of phases along each axis: one convolution, whose output channels they are."""

    geometry: Geometry
    """Of all positions inside, for the channels of a block."""
    kernel: Kernel
    tiling: Tiling
    first_phase: Sizes
    phases: Sizes
    lead: Sizes
    inside: tuple[Interval, ...]


class Block(NamedTuple):
    """Some groups, or some channels of one group, and some residues of the width."""

    first_group: int
    groups: int
    first_channel: int
    channels: int
    """Of each group."""
    residues: Interval
    classes: tuple[Class, ...]


class Cut(NamedTuple):
    """How the gradient of the input is computed."""

    blocks: tuple[Block, ...]
    positions: tuple[Interval, ...]
    band: Sizes
    """Positions of a task along each axis."""


class _Parts(NamedTuple):
    """Into how much the work is cut: groups, channels of a group, and residues of the width of a block."""

    groups: int
    channels: int
    residues: int
    band: Sizes
    """Positions of a task."""


def tap_steps(geometry: Geometry) -> Sizes:
    """Return the distances of the taps of a phase."""
    return tuple([s // gcd(s, d) for s, d in zip(geometry.stride, geometry.dilation)])


def phase_counts(geometry: Geometry) -> Sizes:
    """Return the number of phases along each axis."""
    return tuple(map(min, geometry.kernel, tap_steps(geometry)))


def positions_inside(geometry: Geometry, axis: int, residue: int) -> Interval:
    """Return which positions of a residue are elements of x."""
    stride, before = geometry.stride[axis], geometry.pad_before[axis]
    return Interval(-((residue - before) // stride), (geometry.in_size[axis] - 1 + before - residue) // stride + 1)


def union(intervals: list[Interval]) -> Interval:
    """Return the numbers from the first to the last of several intervals."""
    return Interval(min(first for first, _ in intervals), max(end for _, end in intervals))


def runs_of(geometry: Geometry, axis: int, phases: range) -> list[Run]:
    """Return the runs of some phases along an axis, without those that meet no element of x."""
    stride, dilation = geometry.stride[axis], geometry.dilation[axis]
    step = tap_steps(geometry)[axis]
    alike: dict[tuple[int, int], list[int]] = {}
    for phase in phases:
        taps = -(-(geometry.kernel[axis] - phase) // step)
        alike.setdefault((taps, phase * dilation // stride), []).append(phase)
    runs = []
    for (taps, behind), members in alike.items():
        inside = union([positions_inside(geometry, axis, phase * dilation % stride) for phase in members])
        lead = (taps - 1) * (step * dilation // stride) + behind
        if inside.first < inside.end:
            runs.append(Run(members[0], len(members), taps, lead, inside))
    return runs


def class_geometry(geometry: Geometry, runs: tuple[Run, ...], groups: int, channels: int) -> Geometry:
    """Return the convolution of the gradient of the output that computes a class."""
    steps, phases = tap_steps(geometry), prod(run.phases for run in runs)
    dilation = tuple([step * d // s for step, d, s in zip(steps, geometry.dilation, geometry.stride)])
    kernel = tuple([run.taps for run in runs])
    before = tuple([run.lead - run.inside.first for run in runs])
    out_size = tuple([run.inside.end - run.inside.first for run in runs])
    sizes = zip(out_size, kernel, dilation, geometry.out_size, before)
    return Geometry(
        rank=geometry.rank,
        batch=1,
        in_channels=groups * (geometry.out_channels // geometry.groups),
        out_channels=groups * phases * channels,
        groups=groups,
        in_size=geometry.out_size,
        kernel=kernel,
        stride=(1, 1, 1),
        dilation=dilation,
        pad_before=before,
        pad_after=tuple([out - 1 + (k - 1) * d + 1 - size - pad for out, k, d, size, pad in sizes]),
        out_size=out_size,
    )


def fits_bands(kernel: Kernel, geometry: Geometry) -> bool:
    """Tell whether a layout of the weights serves bands of any size.

    That of a kernel of one row depends on the size of the output, if the row is longer than the shortest vector.
    """
    one_row = geometry.kernel[:2] == (1, 1) and geometry.out_size[:2] != (1, 1)
    return kernel.name != "depthwise" or not one_row or geometry.kernel[2] <= 2


def choose_kernel(geometry: Geometry, taps: int) -> Kernel | None:
    """Return the fastest kernel for a class of a convolution with this number of taps, or None."""
    counts = Counts(geometry)
    kernels = [
        kernel
        for kernel in that_fit(KERNELS_OF_CLASSES, geometry)
        if fits_bands(kernel, geometry) and taps >= LEAST_TAPS.get(kernel.name, 1)
    ]
    return min(kernels, key=lambda kernel: PREFERENCE.get(kernel.name, 1) * kernel.nanoseconds(counts), default=None)


@lru_cache(maxsize=512)
def make_class(geometry: Geometry, runs: tuple[Run, ...], groups: int, channels: int) -> Class | None:
    """Return a class with its kernel, or None if there is no kernel for it."""
    convolution = class_geometry(geometry, runs, groups, channels)
    kernel = choose_kernel(convolution, prod(geometry.kernel))
    if kernel is None:
        return None
    return Class(
        convolution,
        kernel,
        kernel.tiling(convolution, LARGEST_ITEMSIZE, 1),
        tuple([run.first_phase for run in runs]),
        tuple([run.phases for run in runs]),
        tuple([run.lead for run in runs]),
        tuple([run.inside for run in runs]),
    )


def choose_band(positions: tuple[Interval, ...], most: int) -> Sizes:
    """Return the positions of a task along each axis: at most `most` in all, and whole rows if possible."""
    height, width = (end - first for first, end in positions[1:])
    columns = equal_part(width, most)
    return 1, equal_part(height, max(most // columns, 1)), columns


def bands_of(positions: tuple[Interval, ...], band: Sizes) -> int:
    """Return the number of bands of an image."""
    return prod(-(-(end - first) // size) for (first, end), size in zip(positions, band))


def count_bands(cut: Cut) -> int:
    """Return the number of bands that an image is cut into."""
    return bands_of(cut.positions, cut.band)


def choose_parts(geometry: Geometry, positions: tuple[Interval, ...], halvings: int) -> _Parts:
    """Return how large blocks and bands are.

    First bands become smaller until there are enough tasks, then blocks. Then bands are halved `halvings` times, to
    need less scratch.
    """
    groups, channels = geometry.groups, geometry.in_channels // geometry.groups
    phases, stride = prod(phase_counts(geometry)), geometry.stride[2]
    stacked = phases * channels
    image = prod(end - first for first, end in positions)
    if groups > 1:
        most = max(GROUP_RESULTS // stacked, BAND_POSITIONS)
        share = -(-image * groups // TASKS)
    else:
        most = min(max(BAND_RESULTS // stacked, BAND_POSITIONS), MOST_POSITIONS)
        share = -(-image // TASKS)
    band = choose_band(positions, max(min(most, max(share, LEAST_POSITIONS)) >> halvings, 1))
    blocks = -(-TASKS // bands_of(positions, band))
    room = max((RESULTS >> halvings) // (phases * prod(band)), 1)
    if groups > 1 and channels <= room:
        part = max(min(GROUP_RESULTS // (stacked * prod(band)), -(-groups // blocks)), -(-groups // MOST_BLOCKS))
        return _Parts(equal_part(groups, part), channels, stride, band)
    part = max(-(-channels // blocks), LEAST_PRODUCTS * phases // prod(geometry.kernel))
    part = equal_part(channels, min(part, room), CHANNEL_BLOCK if room >= CHANNEL_BLOCK else 1)
    residues = stride
    if geometry.dilation[2] == 1 and stride >= LEAST_CUT_STRIDE:
        blocks = -(-blocks // -(-channels // part))
        residues = max(-(-stride // blocks), min(-(-CHANNEL_BLOCK // part), stride))
        residues = min(residues, max(room * stride // part, 1))
    return _Parts(1, part, residues, band)


def make_block(geometry: Geometry, groups: Interval, channels: Interval, residues: Interval) -> Block | None:
    """Return a block with its classes, or None if they are too many, or there is no kernel for one of them."""
    counts = phase_counts(geometry)
    width = range(counts[2])
    if residues != (0, geometry.stride[2]):
        width = range(residues.first, min(residues.end, counts[2]))
    depths, heights = (runs_of(geometry, axis, range(counts[axis])) for axis in (0, 1))
    runs = [(d, h, w) for d in depths for h in heights for w in runs_of(geometry, 2, width)]
    if len(runs) > MOST_CLASSES:
        return None
    classes = [make_class(geometry, run, groups.end - groups.first, channels.end - channels.first) for run in runs]
    if None in classes:
        return None
    return Block(
        groups.first,
        groups.end - groups.first,
        channels.first,
        channels.end - channels.first,
        residues,
        tuple(filter(None, classes)),
    )


def intervals(total: int, size: int) -> list[Interval]:
    """Cut a number of things into parts of a size."""
    return [Interval(first, min(first + size, total)) for first in range(0, total, size)]


def make_cut(geometry: Geometry, halvings: int) -> Cut | None:
    """Return how to compute the gradient of the input with bands of some size, or None."""
    positions = tuple(
        [union([positions_inside(geometry, axis, r) for r in (0, geometry.stride[axis] - 1)]) for axis in range(3)]
    )
    parts = choose_parts(geometry, positions, halvings)
    blocks = []
    for groups in intervals(geometry.groups, parts.groups):
        for channels in intervals(geometry.in_channels // geometry.groups, parts.channels):
            for residues in intervals(geometry.stride[2], parts.residues):
                block = make_block(geometry, groups, channels, residues)
                if block is None:
                    return None
                blocks.append(block)
    return Cut(tuple(blocks), positions, parts.band)


@lru_cache(maxsize=512)
def cut_into_phases(geometry: Geometry) -> Cut | None:
    """Return how to compute the gradient of the input, or None where this is not the way."""
    if max(geometry.stride) > MOST_STRIDE or prod(geometry.kernel) > MOST_TAPS:
        return None
    if prod(geometry.stride) > max(LEAST_RESIDUES, prod(geometry.in_size)):
        return None  # most residues have no element
    for halvings in range(MOST_HALVINGS):
        cut = make_cut(geometry, halvings)
        if cut is None or Phases(geometry, LARGEST_ITEMSIZE, cut).scratch_bytes <= LARGEST_SCRATCH:
            return cut
    return None
