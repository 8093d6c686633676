"""Costs: every kernel's work has a rate on every instruction set, and the choice follows from the two."""

from __future__ import annotations

from math import inf

import pytest
from cases import STRIDED_CASES, ZERO_PADDED_CASES, geometry_of

from gemmconv.engine import costs, rates
from gemmconv.engine.algorithms import WAYS, fft_ways, pick
from gemmconv.engine.channels_last_ways import with_channels_last

CASES = {**ZERO_PADDED_CASES, **STRIDED_CASES}


def ways_of_all_cases():
    """Yield every way of every operation and case."""
    for case in CASES.values():
        geometry = geometry_of(case)
        for operation, ways in WAYS.items():
            yield from ways(geometry)
            yield from with_channels_last(operation, geometry, ways(geometry))
        for operation in WAYS:
            yield from fft_ways(operation, geometry)


def test_each_kind_of_work_has_a_rate_and_each_rate_is_used():
    used = {name: set() for name in rates.RATES}
    for way in ways_of_all_cases():
        for name, terms in (*way.work, *way.layout_work()):
            used[name].update(terms)
            assert list(terms) == list(rates.RATES[name]), "rates are in the order of the terms"
    assert used == {name: set(terms) for name, terms in rates.RATES.items()}


def test_rates_are_not_negative():
    for terms in rates.RATES.values():
        for row in terms.values():
            assert len(row) == len(rates.COLUMNS)
            assert all(0 <= rate < inf for rate in row)


def test_estimates_are_positive_and_finite(isa):
    for way in ways_of_all_cases():
        assert 0 < way.nanoseconds < inf
        assert 0 <= way.layout_nanoseconds < inf


@pytest.mark.parametrize(
    ("kernel", "isa", "path", "column"),
    [
        ("direct_channels", "avx512", "small", "avx512"),
        ("direct_channels", "avx512", "packing", "avx512"),
        ("direct_channels", "unknown", "packing", "baseline"),
        ("gemm_conv", "avx512", "small", "avx512"),
        ("gemm_conv", "avx2", "small", "avx512"),
        ("gemm_conv", "avx512", "packing", "avx2"),
        ("gemm_conv", "avx2", "packing", "avx2"),
        ("gemm_conv", "baseline", "packing", "baseline"),
        ("gemm_conv", "unknown", "packing", "baseline"),
    ],
)
def test_nearest_column(kernel, isa, path, column):
    assert rates.column_of(kernel, isa, path) == rates.COLUMNS.index(column)


def test_auto_follows_the_rates(monkeypatch):
    # as soon as one kernel's work is nearly free, auto takes it
    geometry = geometry_of(ZERO_PADDED_CASES["same_3x3"])
    for name in ("gemm_conv", "direct_channels", "direct_pixels"):
        free = {term: (1e-6,) * len(rates.COLUMNS) for term in rates.RATES[name]}
        with monkeypatch.context() as patch:
            patch.setitem(rates.RATES, name, free)
            costs.forget_rates()
            assert pick("convolution", geometry, prepared=True).kernel == name
        costs.forget_rates()
