"""The two roofs of a roofline, measured when a run starts: the arithmetic peak and the bandwidth of the memory."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from gemmconv import _gemmconv

# The best of several bursts counts: other work on the machine can only make a burst slower.
BURSTS = 7
SECONDS_PER_BURST = 0.05
# Rounds of the first burst, whose speed gives the number of rounds of the others.
FIRST_ROUNDS = 100_000
# More than any cache holds.
BYTES_TO_COPY = 2**27


def measure_peak(itemsize: int) -> float:
    """Return the operations per second of one core: independent fused multiply-adds in registers."""
    speed, seconds = _burst(itemsize, FIRST_ROUNDS)
    rounds = max(1, round(FIRST_ROUNDS * SECONDS_PER_BURST / seconds))
    return max(speed, *(_burst(itemsize, rounds)[0] for _ in range(BURSTS)))


def _burst(itemsize: int, rounds: int) -> tuple[float, float]:
    """Return operations per second and seconds of one burst."""
    begin = time.perf_counter()
    operations = _gemmconv.fma_burst(itemsize, rounds)
    seconds = time.perf_counter() - begin
    return operations / seconds, seconds


def measure_bandwidth(threads: int) -> float:
    """Return the bytes per second that threads read and write when they copy an array that no cache holds."""
    source, target = np.ones(BYTES_TO_COPY // 8), np.zeros(BYTES_TO_COPY // 8)
    parts = list(zip(np.array_split(target, threads), np.array_split(source, threads)))
    seconds = []
    with ThreadPoolExecutor(threads) as pool:
        for _ in range(BURSTS):
            begin = time.perf_counter()
            list(pool.map(lambda part: np.copyto(*part), parts))
            seconds.append(time.perf_counter() - begin)
    return 2 * source.nbytes / min(seconds)
