"""How a plan finds the fastest algorithm: by timing all of them."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import numpy as np

from .checks.arrays import Array
from .checks.geometry import Geometry
from .engine.algorithms import candidates
from .numbers.integers import EXACT_ALGORITHMS

if TYPE_CHECKING:
    from .plan import Plan

# The number of times that each algorithm is run and timed to find the fastest.
TUNING_CALLS = 5


def fastest_algorithm(plan: Plan, computed: Geometry) -> str:
    """Time every algorithm on one image, and return the name of the fastest."""
    weight = plan._weights.weight.dtype  # of integers, it is theirs: results are then exact
    x = np.ones(plan.input_shape, weight)
    ways = candidates("convolution", computed, channels_last=plan._options.channels_last)
    times = {}
    names = dict.fromkeys(way.algorithm for way in ways if weight.kind == "f" or way.algorithm in EXACT_ALGORITHMS)
    for name in names:
        plan._take(name)
        times[name] = min(seconds(plan, x) for _ in range(TUNING_CALLS))
    return min(times, key=lambda name: times[name])


def seconds(plan: Plan, x: Array) -> float:
    """Return how long one call takes."""
    start = time.perf_counter()
    plan(x)
    return time.perf_counter() - start
