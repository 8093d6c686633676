"""Runs: the phases of an input gradient along an axis, and those that are computed together.

``csrc/phases/phases.h`` draws what phases and residues are; phases.py makes classes of runs.
"""

from __future__ import annotations

from math import gcd
from typing import NamedTuple

from ..checks.geometry import Geometry
from ..checks.options import Sizes


class Interval(NamedTuple):
    """The integers i with ``first <= i < end``."""

    first: int
    end: int


class PhaseRun(NamedTuple):
    """Neighbouring phases of an axis that have the same number of taps and read the same places of the output."""

    first_phase: int
    phases: int
    taps: int
    lead: int
    """The padding before the gradient of the output, if positions are counted from 0."""
    inside: Interval
    """The positions that belong to an element of x for at least one of the phases."""


def tap_steps(geometry: Geometry) -> Sizes:
    """Return the distance, in taps, between neighbouring taps of a phase along each axis."""
    return tuple([s // gcd(s, d) for s, d in zip(geometry.stride, geometry.dilation)])


def phase_counts(geometry: Geometry) -> Sizes:
    """Return the number of phases along each axis."""
    return tuple(map(min, geometry.kernel, tap_steps(geometry)))


def positions_inside(geometry: Geometry, axis: int, residue: int) -> Interval:
    """Return the positions for which a residue is an element of x."""
    stride, before = geometry.stride[axis], geometry.pad_before[axis]
    return Interval(-((residue - before) // stride), (geometry.in_size[axis] - 1 + before - residue) // stride + 1)


def union(intervals: list[Interval]) -> Interval:
    """Return the smallest interval that contains all of several intervals."""
    return Interval(min(first for first, _ in intervals), max(end for _, end in intervals))


def runs_of(geometry: Geometry, axis: int, phases: range) -> list[PhaseRun]:
    """Return the runs of some phases along an axis, except runs that meet no element of x.

    Phases p of the same number of taps, ceil((kernel - p) / step), follow each other; so do those that read the same
    places, which lie p * dilation // stride before the first.
    """
    stride, dilation, kernel = geometry.stride[axis], geometry.dilation[axis], geometry.kernel[axis]
    step = tap_steps(geometry)[axis]
    runs = []
    first = phases.start
    while first < phases.stop:
        taps, behind = -(-(kernel - first) // step), first * dilation // stride
        end = min(phases.stop, kernel - (taps - 1) * step, -(-(behind + 1) * stride // dilation))
        residues = first * dilation % stride, (end - 1) * dilation % stride
        inside = union([positions_inside(geometry, axis, residue) for residue in residues])
        lead = (taps - 1) * (step * dilation // stride) + behind
        if inside.first < inside.end:
            runs.append(PhaseRun(first, end - first, taps, lead, inside))
        first = end
    return runs
