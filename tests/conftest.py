"""Fixtures and profiles that every test shares."""

from __future__ import annotations

import importlib.util
import os

import hypothesis
import numpy as np
import pytest

from gemmconv import _gemmconv

# Set by .ci/run: draws more geometries, and insists on the comparison with PyTorch.
IN_CI = bool(os.environ.get("GEMMCONV_CI"))

hypothesis.settings.register_profile("dev", max_examples=200, deadline=None)
hypothesis.settings.register_profile("ci", max_examples=2500, deadline=None, derandomize=True)
hypothesis.settings.load_profile("ci" if IN_CI else "dev")


def pytest_configure(config: pytest.Config) -> None:
    """Stop at once where continuous integration would skip the comparison with PyTorch."""
    if IN_CI and importlib.util.find_spec("torch") is None:
        raise pytest.UsageError("GEMMCONV_CI is set, but without PyTorch the comparison with it is skipped")


@pytest.fixture(params=_gemmconv.supported_isas())
def isa(request: pytest.FixtureRequest):
    """Run a test once with the kernels of every instruction set of this machine."""
    before = _gemmconv.isa()
    _gemmconv.select_isa(request.param)
    yield request.param
    _gemmconv.select_isa(before)


@pytest.fixture(params=["float32", "float64"])
def dtype(request: pytest.FixtureRequest) -> np.dtype:
    """Run a test once in each of the two types that gemmconv computes in."""
    return np.dtype(request.param)
