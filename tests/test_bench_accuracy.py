"""The errors that `python -m gemmconv.bench.studies.accuracy` prints."""

from __future__ import annotations

import pytest

from gemmconv.bench.problems import parse_problem
from gemmconv.bench.studies.accuracy import INPUTS, errors_of, has_winograd, line_of, load_rivals

LAYER = parse_problem("layer x1 c8 h14 w14 o8 kh3 kw3 ph1 pw1")


@pytest.mark.parametrize("kind", INPUTS)
def test_errors_are_small(kind):
    rivals = load_rivals(["numpy"], 1)
    errors = errors_of(rivals, LAYER, kind)
    assert list(errors) == ["gemm", "direct", "winograd", "winograd2", "fft", "numpy"]
    assert all(0 < rms < largest < 1e-3 for rms, largest in errors.values())
    assert line_of(LAYER, rivals, errors).startswith("| layer | 8 to 8, 14 x 14 |")


def test_a_library_that_is_not_installed_is_left_out(capsys):
    assert "nowhere:load" not in load_rivals(["nowhere:load"], 1)
    assert "nowhere:load is not installed" in capsys.readouterr().out


def test_layers_are_those_of_3x3_with_stride_1():
    assert has_winograd(LAYER)
    assert not has_winograd(parse_problem("strided x1 c8 h14 w14 o8 kh3 kw3 sh2 sw2"))
    assert not has_winograd(parse_problem("row x1 c8 h14 w14 o8 kh1 kw3"))
