"""Fixtures and profiles that every test shares."""

from __future__ import annotations

import importlib.util
import os

import hypothesis
import numpy as np
import pytest
from browser import chromium, open_page  # noqa: F401 - fixtures
from controls import controls_page, drawn, fresh  # noqa: F401 - fixtures
from instruction_sets import ISAS, select_isa

from gemmconv import _gemmconv, cli
from gemmconv.engine import calls

# Set by .ci/run: draws more geometries, always the same ones, and insists on the comparison with PyTorch.
IN_CI = bool(os.environ.get("GEMMCONV_CI"))

# Without a deadline and the check for slow drawing, no test depends on how fast the machine is.
NO_CLOCK = {"deadline": None, "suppress_health_check": [hypothesis.HealthCheck.too_slow]}

# How many examples a test draws. GEMMCONV_DRAWS names another profile than the usual one.
hypothesis.settings.register_profile("dev", max_examples=100, derandomize=IN_CI, **NO_CLOCK)
hypothesis.settings.register_profile("ci", max_examples=1000, derandomize=True, **NO_CLOCK)
hypothesis.settings.register_profile("thorough", max_examples=2500, **NO_CLOCK)
hypothesis.settings.load_profile(os.environ.get("GEMMCONV_DRAWS") or ("ci" if IN_CI else "dev"))


def pytest_configure(config: pytest.Config) -> None:
    """Stop at once where continuous integration would skip the comparison with PyTorch."""
    if IN_CI and importlib.util.find_spec("torch") is None:
        raise pytest.UsageError("GEMMCONV_CI is set, but without PyTorch the comparison with it is skipped")


@pytest.fixture(autouse=True)
def _restore_instruction_set():
    """Restore the instruction set after every test: a test may select another."""
    before = _gemmconv.isa()
    yield
    select_isa(before)


@pytest.fixture(params=ISAS)
def isa(request: pytest.FixtureRequest) -> str:
    """Run a test once with the kernels of every instruction set of this machine."""
    select_isa(request.param)
    return request.param


@pytest.fixture(params=["float32", "float64"])
def dtype(request: pytest.FixtureRequest) -> np.dtype:
    """Run a test once in each of the two types that gemmconv computes in."""
    return np.dtype(request.param)


@pytest.fixture
def threads_for_every_call(monkeypatch: pytest.MonkeyPatch):
    """Let even the smallest call take up to eight threads, if the context has them."""
    caches = [function for function in vars(calls).values() if hasattr(function, "cache_clear")]
    assert caches

    def forget_prepared_calls() -> None:
        for cache in caches:
            cache.cache_clear()

    forget_prepared_calls()
    monkeypatch.setattr(calls, "threads_worth", lambda _nanoseconds: 8)
    yield
    forget_prepared_calls()


@pytest.fixture
def call(capsys: pytest.CaptureFixture[str]):
    """Return a function that runs `gemmconv explain` and returns its exit code, standard output and standard error."""

    def run(*words: object) -> tuple[object, str, str]:
        try:
            code: object = cli.main(["explain", *map(str, words)])
        except SystemExit as end:
            code = end.code
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return run
