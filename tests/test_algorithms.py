"""The table of algorithms, and the option that names them."""

from __future__ import annotations

import numpy as np
import pytest
from cases import CASES

import gemmconv
from gemmconv.checks.geometry import Geometry
from gemmconv.engine.algorithms import ALGORITHMS, choose, defined_algorithms


@pytest.mark.parametrize("name", CASES)
def test_auto_is_one_of_the_table(name):
    case = CASES[name]
    options = {key: value for key, value in case.options.items() if key not in ("flip", "padding_mode")}
    geometry = Geometry.from_shapes(case.x, case.weight, **options)
    for prepared in (False, True):
        method = choose(geometry, prepared=prepared)
        assert method.algorithm in ALGORITHMS
        assert choose(geometry, method.algorithm, not prepared) == method, "a plan computes what conv does by its name"
    for algorithm in defined_algorithms(geometry):
        assert choose(geometry, algorithm).algorithm == algorithm


def test_auto_does_not_see_the_batch():
    one, many = (Geometry.from_shapes((n, 3, 30, 30), (8, 3, 3, 3)) for n in (1, 100))
    assert choose(one) == choose(many)


@pytest.mark.parametrize(
    ("algorithm", "error", "message"),
    [
        ("fast", ValueError, "algorithm must be one of 'auto', 'gemm', 'direct', 'winograd', 'winograd2', not 'fast'"),
        (None, TypeError, "algorithm must be a string, not None"),
        (["gemm"], TypeError, "algorithm must be a string, not"),
    ],
)
def test_other_names_are_refused(algorithm, error, message):
    with pytest.raises(error, match=message):
        gemmconv.conv(np.ones((1, 5)), np.ones((1, 1, 3)), algorithm=algorithm)
