"""Phases: the input gradient of a convolution with strides, as convolutions of the gradient of the output.

``csrc/phases/phases.h`` draws what follows. Along an axis, a *phase* is the set of taps that meet the same elements of
x; these elements have the same *residue*, their padded position modulo the stride. A *class* is several phases that are
computed as one convolution, with a C kernel of the forward convolution. A *block* is some groups or channels, and a
*band* is some positions of an image; a task computes one band of one block.

This file makes classes of the runs of phases (phase_runs.py), chooses the sizes of blocks and bands, and chooses a C
kernel for each class. All of that must depend on the geometry of one image alone, so that an image gives the same bits
in any batch.
"""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache
from itertools import product
from math import prod
from typing import NamedTuple

from .._gemmconv import CHANNEL_BLOCK, LARGEST_SCRATCH, Phases
from ..checks.geometry import Geometry
from ..checks.options import Sizes
from . import costs
from .costs import PhaseCounts
from .counts import Counts
from .kernels import CHANNELS_LAST, CONVOLUTION, Kernel, that_fit
from .phase_runs import Interval, PhaseRun, phase_counts, positions_inside, runs_of, tap_steps, union
from .tiling import Tiling, equal_piece

# The most results of a band, of all its classes together: 1 MiB of float64.
RESULTS = 1 << 17

# The most results of a band of a convolution with one group: they stay in the second-level cache.
BAND_RESULTS = 1 << 16

# The most results of a band of a block of several groups.
GROUP_RESULTS = 1 << 15

# The limit of a band, in positions, is not less than this, however many results that gives.
BAND_POSITIONS = 128

# The most positions of a band of a convolution with one group.
MOST_POSITIONS = 512

# About the number of tasks into which an image is cut.
TASKS = 16

# The fewest positions of a band that is made smaller to get more tasks. Each band reads all weights of its block.
LEAST_POSITIONS = 128

# The fewest products, for each element of the gradient of the output, of a block of channels that is made smaller to
# get more tasks. Each block reads the gradient of the output.
LEAST_PRODUCTS = 288

# Factors on the estimated time of a kernel. direct_pixels is slower in bands, because it reads all weights again for
# every few vectors of positions.
PREFERENCE = {"direct_pixels": 1.15}

# The fewest taps of the convolution for which a kernel is taken. With fewer taps than that it is faster if all classes
# share the planes that direct_pixels copies.
LEAST_TAPS = {"depthwise": 17}

# The least stride along the width for which a block may hold only some of the residues. With a smaller stride a block
# holds all of them.
LEAST_CUT_STRIDE = 32

# The most classes of a block. With more, phases are not used: each has few products, so they gain little beside BLAS.
MOST_CLASSES = 64

# The most blocks into which groups are cut.
MOST_BLOCKS = 256

# The number of band sizes that are tried, each half of the one before, until a band fits the scratch of a thread. If
# none fits, phases are not used.
MOST_HALVINGS = 12

# The most residues of the width of a block that may hold some of them. A thread has a table of them.
MOST_RESIDUES = 4096

# The largest stride along the width. With a larger one, which no image of any use has, phases are not used: there would
# be too many blocks.
MOST_STRIDE = 1 << 20

# The bytes of a float64: one cut serves both types.
LARGEST_ITEMSIZE = 8

# The C kernels that may compute a class.
KERNELS_OF_CLASSES = tuple(kernel for kernel in CONVOLUTION if kernel.algorithm == "direct")

# Those for arrays with channels last.
KERNELS_OF_POSITIONS = tuple(kernel for kernel in CHANNELS_LAST if kernel.algorithm == "direct")


class Class(NamedTuple):
    """A run of phases along each axis, computed as one convolution. The phases are its output channels.

    `first_phase`, `phases`, `lead` and `inside` are those of the run along each axis.
    """

    geometry: Geometry
    """The convolution, for all positions inside and for the channels of a block."""
    kernel: Kernel
    tiling: Tiling
    first_phase: Sizes
    phases: Sizes
    lead: Sizes
    inside: tuple[Interval, ...]


class Block(NamedTuple):
    """Some groups, or some channels of one group, for some residues of the width."""

    first_group: int
    groups: int
    first_channel: int
    channels: int
    """The number of channels of each group."""
    residues: Interval
    classes: tuple[Class, ...]


class Cut(NamedTuple):
    """How the work of an input gradient is cut."""

    blocks: tuple[Block, ...]
    positions: tuple[Interval, ...]
    """All positions along each axis."""
    band: Sizes
    """The positions of a task along each axis."""
    channels_last: bool = False
    """Whether the arrays have channels last. Then there is one block, whose classes are the phases."""


class _Sizes(NamedTuple):
    """The sizes of blocks and bands."""

    groups: int
    """The groups of a block."""
    channels: int
    """The channels of each group of a block."""
    residues: int
    """The residues of the width of a block."""
    band: Sizes
    """The positions of a task along each axis."""


def class_geometry(geometry: Geometry, runs: tuple[PhaseRun, ...], groups: int, channels: int) -> Geometry:
    """Return the convolution that computes a class; its input is the gradient of the output."""
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
    """Return whether one layout of the weights serves bands of any size.

    The layout of the C kernel depthwise does not always: for a kernel of one row, the order of the weights depends on
    the size of the output, if the row has more taps than the shortest vector has lanes. An output of one row is no
    problem.
    """
    one_row = geometry.kernel[:2] == (1, 1) and geometry.out_size[:2] != (1, 1)
    return kernel.name != "depthwise" or not one_row or geometry.kernel[2] <= 2


def choose_kernel(geometry: Geometry, taps: int) -> Kernel | None:
    """Return the fastest C kernel for a class of a convolution with `taps` taps, or None if no kernel fits."""
    counts = Counts(geometry)

    def slowness(kernel: Kernel) -> float:
        return PREFERENCE.get(kernel.name, 1) * costs.nanoseconds(kernel.work(counts))

    kernels = [
        kernel
        for kernel in that_fit(KERNELS_OF_CLASSES, geometry)
        if fits_bands(kernel, geometry) and taps >= LEAST_TAPS.get(kernel.name, 1)
    ]
    return min(kernels, key=slowness, default=None)


@lru_cache(maxsize=512)
def make_class(geometry: Geometry, runs: tuple[PhaseRun, ...], groups: int, channels: int) -> Class | None:
    """Return a class with its C kernel, or None if no kernel fits."""
    convolution = class_geometry(geometry, runs, groups, channels)
    kernel = choose_kernel(convolution, prod(geometry.kernel))
    return None if kernel is None else class_of(convolution, kernel, runs)


def class_of(convolution: Geometry, kernel: Kernel, runs: tuple[PhaseRun, ...]) -> Class:
    """Return the class of some runs, whose convolution is computed by a kernel."""
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
    """Return the positions of a task along each axis: together at most `most`, and whole rows if possible."""
    height, width = (end - first for first, end in positions[1:])
    columns = equal_piece(width, most)
    return 1, equal_piece(height, max(most // columns, 1)), columns


def bands_of(positions: tuple[Interval, ...], band: Sizes) -> int:
    """Return the number of bands of an image."""
    return prod(-(-(end - first) // size) for (first, end), size in zip(positions, band))


def choose_sizes(geometry: Geometry, positions: tuple[Interval, ...], halvings: int) -> _Sizes:
    """Return the sizes of blocks and bands.

    To get enough tasks, bands are made smaller first, and blocks after that. Bands are also halved `halvings` times, so
    that they need less scratch.
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
    if groups > 1 and channels <= room and stride <= MOST_RESIDUES:
        most = max(min(GROUP_RESULTS // (stacked * prod(band)), -(-groups // blocks)), -(-groups // MOST_BLOCKS))
        return _Sizes(equal_piece(groups, most), channels, stride, band)
    block = max(-(-channels // blocks), LEAST_PRODUCTS * phases // prod(geometry.kernel))
    block = equal_piece(channels, min(block, room), CHANNEL_BLOCK if room >= CHANNEL_BLOCK else 1)
    residues = stride
    if geometry.dilation[2] == 1 and stride >= LEAST_CUT_STRIDE:
        blocks = -(-blocks // -(-channels // block))
        residues = max(-(-stride // blocks), min(-(-CHANNEL_BLOCK // block), stride))
        room = (RESULTS >> halvings) * stride // (phases * prod(band) * block)
        residues = min(residues, max(room, 1), MOST_RESIDUES)
    return _Sizes(1, block, residues, band)


def make_block(geometry: Geometry, groups: Interval, channels: Interval, residues: Interval) -> Block | None:
    """Return a block with its classes, or None if there are too many classes or no C kernel fits one of them."""
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
    """Return the numbers from 0 to `total` in intervals of the given size."""
    return [Interval(first, min(first + size, total)) for first in range(0, total, size)]


def make_cut(geometry: Geometry, halvings: int) -> Cut | None:
    """Return how the work is cut, with bands halved `halvings` times, or None if phases cannot be used."""
    positions = tuple(
        [union([positions_inside(geometry, axis, r) for r in (0, geometry.stride[axis] - 1)]) for axis in range(3)]
    )
    sizes = choose_sizes(geometry, positions, halvings)
    blocks = []
    for groups in intervals(geometry.groups, sizes.groups):
        for channels in intervals(geometry.in_channels // geometry.groups, sizes.channels):
            for residues in intervals(geometry.stride[2], sizes.residues):
                block = make_block(geometry, groups, channels, residues)
                if block is None:
                    return None
                blocks.append(block)
    return Cut(tuple(blocks), positions, sizes.band)


@lru_cache(maxsize=512)
def cut_into_phases(geometry: Geometry) -> Cut | None:
    """Return how the work of an input gradient is cut into phases, or None if phases are not used."""
    if geometry.stride[2] > MOST_STRIDE:
        return None
    for halvings in range(MOST_HALVINGS):
        cut = make_cut(geometry, halvings)
        if cut is None or Phases(geometry, LARGEST_ITEMSIZE, cut).scratch_bytes <= LARGEST_SCRATCH:
            return cut
    return None


@lru_cache(maxsize=512)
def cut_with_channels_last(geometry: Geometry) -> Cut | None:
    """Return how an input gradient of arrays with channels last is cut, or None if phases are not used."""
    counts, groups, channels = phase_counts(geometry), geometry.groups, geometry.in_channels // geometry.groups
    if prod(counts) > MOST_CLASSES:
        return None
    along = [
        [run for p in range(counts[axis]) for run in runs_of(geometry, axis, range(p, p + 1))] for axis in range(3)
    ]
    classes = []
    for runs in product(*along):
        convolution = class_geometry(geometry, runs, groups, channels)
        kernel = min(
            that_fit(KERNELS_OF_POSITIONS, convolution, channels_last=True),
            key=lambda kernel: costs.nanoseconds(kernel.work(Counts(convolution))),
        )
        classes.append(class_of(convolution, kernel, runs))
    residues = Interval(0, geometry.stride[2])
    whole = tuple([Interval(0, size) for size in geometry.in_size])
    return Cut((Block(0, groups, 0, channels, residues, tuple(classes)),), whole, (1, 1, 1), channels_last=True)


def cut_for_threads(cut: Cut, batch: int, threads: int) -> Cut:
    """Return the cut with more tasks if a number of threads computes a batch; without weaving, that changes no bits."""
    if threads == 1 or not cut.channels_last:
        return cut
    (block,) = cut.blocks
    classes = [
        made._replace(tiling=made.kernel.tiling(replace(made.geometry, batch=batch), LARGEST_ITEMSIZE, threads))
        for made in block.classes
    ]
    return cut._replace(blocks=(block._replace(classes=tuple(classes)),))


def shared_elements(block: Block) -> int:
    """Return the elements of planes that a block copies once, although several of its classes read them."""
    if {made.kernel.name for made in block.classes} != {"direct_pixels"}:
        return 0
    copied = [made.geometry.in_channels * made.geometry.out_pixels for made in block.classes]
    return sum(copied) - max(copied)


def phases_work(geometry: Geometry, cut: Cut) -> costs.Work:
    """Return the work for one image, with weights that are laid out."""
    classes = [made for block in cut.blocks for made in block.classes]
    if cut.channels_last:
        written = sum(prod(made.geometry.out_shape) for made in classes)
        filled: costs.Work = (("moving", costs.moving(prod(geometry.x_shape) - written)),)
        return sum([made.kernel.work(Counts(made.geometry)) for made in classes], filled)
    pieces = -(-(cut.positions[2].end - cut.positions[2].first) // cut.band[2])  # of a row
    counts = PhaseCounts(
        products=sum(costs.nanoseconds(made.kernel.work(Counts(made.geometry))) for made in classes),
        rows=pieces * geometry.in_channels * geometry.in_size[0] * geometry.in_size[1],
        elements=geometry.in_channels * prod(geometry.in_size),
        read=sum(made.geometry.in_channels * prod(made.geometry.in_size) for made in classes),
        shared=sum(shared_elements(block) for block in cut.blocks),
    )
    return (("phases", costs.phases(counts)),)


def phases_layout_work(geometry: Geometry, cut: Cut) -> costs.Work:
    """Return the work to lay the weights of all phases out."""
    classes = [made for block in cut.blocks for made in block.classes]
    if cut.channels_last:
        turning: costs.Work = (("turning", costs.turning(Counts(geometry))),)
        return sum([made.kernel.layout_work(Counts(made.geometry)) for made in classes], turning)
    layouts = sum(costs.nanoseconds(made.kernel.layout_work(Counts(made.geometry))) for made in classes)
    return (("phases_layout", costs.phases_layout(layouts, prod(geometry.weight_shape))),)
