"""Comparisons for tests that compare tens of thousands of small arrays: numpy.testing takes ten times as long."""

from __future__ import annotations

import numpy as np


def assert_equal(actual: np.ndarray, wanted: np.ndarray, *what: object) -> None:
    """Raise as `numpy.testing.assert_array_equal`, with a message that names `what`."""
    if not np.array_equal(actual, wanted):  # which is false of NaN
        np.testing.assert_array_equal(actual, wanted, ", ".join(map(str, what)))


def assert_close(actual: np.ndarray, wanted: np.ndarray, atol: float, *what: object) -> None:
    """Raise as `numpy.testing.assert_allclose` with an absolute tolerance alone."""
    if not np.array_equal(actual, wanted, equal_nan=True):
        np.testing.assert_allclose(actual, wanted, rtol=0, atol=atol, err_msg=", ".join(map(str, what)))
