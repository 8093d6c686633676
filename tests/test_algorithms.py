"""The table of algorithms, and the option that names them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from cases import CASES, ZERO_PADDED_CASES, geometry_of
from kernels_under_test import chosen_convolution, chosen_input_gradient

import gemmconv
from gemmconv.checks.options import ALGORITHMS
from gemmconv.engine.algorithms import defined_algorithms


@pytest.mark.parametrize("name", CASES)
def test_auto_is_one_of_the_table(name):
    geometry = geometry_of(CASES[name])
    for prepared in (False, True):
        chosen = chosen_convolution(geometry, prepared=prepared)
        algorithm = chosen.split("-")[0]
        assert algorithm in ALGORITHMS
        by_name = chosen_convolution(geometry, algorithm, prepared=not prepared)
        assert by_name == chosen, "a plan computes what conv does by its name"
    for algorithm in defined_algorithms(geometry):
        assert chosen_convolution(geometry, algorithm, prepared=False).split("-")[0] == algorithm


@pytest.mark.parametrize("name", ZERO_PADDED_CASES)
def test_auto_does_not_see_the_batch(name):
    # a kernel gives an image the same bits in any batch (test_kernels.py); here the same kernel is taken for any batch
    one, many = (replace(geometry_of(ZERO_PADDED_CASES[name]), batch=batch) for batch in (1, 100))
    for prepared in (False, True):
        assert chosen_convolution(one, prepared=prepared) == chosen_convolution(many, prepared=prepared)
        assert chosen_input_gradient(one, prepared=prepared) == chosen_input_gradient(many, prepared=prepared)


@pytest.mark.parametrize(
    ("algorithm", "error", "message"),
    [
        ("fast", ValueError, "one of 'auto', 'gemm', 'direct', 'winograd', 'winograd2', 'fft', not 'fast'"),
        (None, TypeError, "algorithm must be a string, not None"),
        (["gemm"], TypeError, "algorithm must be a string, not"),
    ],
)
def test_other_names_are_refused(algorithm, error, message):
    with pytest.raises(error, match=message):
        gemmconv.conv(np.ones((1, 5)), np.ones((1, 1, 3)), algorithm=algorithm)
