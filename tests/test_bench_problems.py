"""The problems of the benchmark: what the suites hold, and what a line may not say."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from gemmconv.bench.problems import SUITES, load_suite, parse_problem, read_suite

TINY = "tiny x2 n2 c4 h7 w6 o6 g2 kh3 kw2 sh2 ph1 pw2 dw2"


@pytest.mark.parametrize("suite", SUITES)
def test_suite_is_well_formed(suite):
    rows = load_suite(suite)
    assert rows
    for problem in rows:
        assert problem.suite == suite
        assert parse_problem(problem.line, suite) == problem


def test_names_are_unique():
    names = [problem.name for suite in SUITES for problem in load_suite(suite)]
    assert len(names) == len(set(names))


@pytest.mark.parametrize(
    ("suite", "layers", "gflop"),
    [("resnet50", 53, 8.174), ("vgg16", 13, 30.693), ("mobilenet", 27, 1.135), ("audio", 7, 49.078)],
)
def test_networks_are_complete(suite, layers, gflop):
    rows = load_suite(suite)
    assert sum(problem.count for problem in rows) == layers
    assert sum(problem.count * problem.flops for problem in rows) / 1e9 == pytest.approx(gflop, abs=1e-3)


@pytest.mark.parametrize("suite", ["mobilenet", "audio", "vgg16"])
def test_each_layer_reads_what_the_last_wrote(suite):
    rows = [problem for problem in load_suite(suite) if problem.count]
    for before, after in itertools.pairwise(rows):
        pooled = tuple(size // 2 for size in before.output_size) if suite == "vgg16" else before.output_size
        assert after.in_channels == before.out_channels
        assert after.input_size in (before.output_size, pooled)


def test_resnet_layers_read_what_others_wrote():
    rows = load_suite("resnet50")
    written = {problem.output_shape[1:] for problem in rows}
    pooled = (64, 56, 56)
    assert rows[0].input_shape == (1, 3, 224, 224)
    assert all(problem.input_shape[1:] in written | {pooled} for problem in rows[1:])


@pytest.mark.parametrize(
    ("name", "output_shape", "flops"),
    [
        ("r50_conv1", (1, 64, 112, 112), 2 * 64 * 112 * 112 * 3 * 7 * 7),
        ("r50_3_3x3s2", (1, 128, 28, 28), 2 * 128 * 28 * 28 * 128 * 3 * 3),
        ("mb_dw2s2", (1, 64, 56, 56), 2 * 64 * 56 * 56 * 3 * 3),
        ("w2v_k10s5", (1, 512, 31999), 2 * 512 * 31999 * 10),
        ("wavenet_d64", (1, 128, 15936), 2 * 128 * 15936 * 64 * 2),
        ("aspp_d12", (1, 256, 33, 33), 2 * 256 * 33 * 33 * 256 * 3 * 3),
        ("rnxt_g32", (1, 128, 56, 56), 2 * 128 * 56 * 56 * 4 * 3 * 3),
        ("tcn_k7", (8, 64, 2048), 2 * 8 * 64 * 2048 * 64 * 7),
        ("convt_k4s2", (1, 64, 56, 56), 2 * 64 * 56 * 56 * 64 * 4 * 4),
        ("convt_k2s2", (1, 256, 56, 56), 2 * 256 * 56 * 56 * 128 * 2 * 2),
        ("convt_k3s2", (1, 128, 64, 64), 2 * 128 * 64 * 64 * 64 * 3 * 3),
        ("istft_1024", (1, 1026, 224), 2 * 1026 * 224 * 1024),
        ("r3d_stem", (1, 64, 16, 56, 56), 2 * 64 * 16 * 56 * 56 * 3 * 3 * 7 * 7),
    ],
)
def test_known_layers(name, output_shape, flops):
    (problem,) = [problem for suite in SUITES for problem in load_suite(suite) if problem.name == name]
    assert problem.output_shape == output_shape
    assert problem.flops == flops


def test_line_leaves_defaults_out():
    assert parse_problem("a x1 n1 c2 g1 w9 o3 kw4 sw1 pw0 dw1").line == "a x1 c2 w9 o3 kw4"
    assert parse_problem(TINY).line == TINY


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("a", "must come a count"),
        ("a c1 w5 o1 kw3", "must come a count"),
        ("a x-1 c1 w5 o1 kw3", "must come a count"),
        ("a x1 c1 w5 o1 kw", "'kw' is not a key followed by a whole number"),
        ("a x1 c1 w5 o1 kw3 pw-1", "'pw-1' is not a key"),
        ("a x1 c1 w5 o1 kw3 q7", "'q7' has an unknown key"),
        ("a x1 c1 w5 o1 kw3 w6", "'w' is given twice"),
        ("a x1 w5 o1 kw3", "'c' is missing"),
        ("a x1 c1 h5 w5 o1 kw3", "'kh' is missing"),
        ("a x1 c1 d5 w5 o1 kd3 kh3 kw3", "'h' is missing"),
        ("a x1 c1 w5 o1 kw3 ph1", "ph: the input has only the axes w"),
        ("a x1 c1 w5 o1 kw3 sw0", "sw0 is less than 1"),
        ("a x1 c3 g2 w5 o2 kw3", "g2 does not divide c3 and o2"),
        ("a x1 c1 w5 o1 kw3 dw3", "padded input has 5"),
    ],
)
def test_malformed_lines_are_refused(tmp_path, line, message):
    file = tmp_path / "some.txt"
    file.write_text(f"# comment\n\nb x1 c1 w5 o1 kw3  # fine\n{line}\n")
    with pytest.raises(ValueError, match=message) as caught:
        read_suite(file)
    assert str(caught.value).startswith("some.txt:4: ")


def test_names_given_twice_are_refused(tmp_path):
    (tmp_path / "some.txt").write_text("b x1 c1 w5 o1 kw3\nb x1 c1 w5 o1 kw1\n")
    with pytest.raises(ValueError, match=r"some\.txt:2: the name 'b' is given twice"):
        read_suite(tmp_path / "some.txt")


def test_data_depend_on_the_name_alone(dtype):
    x, weight = parse_problem(TINY).arrays(dtype.name)
    assert x.shape == (2, 4, 7, 6)
    assert weight.shape == (6, 2, 3, 2)
    for array in (x, weight):
        assert array.dtype == dtype
        assert abs(array.mean()) < 0.5
        assert 0.5 < array.std() < 1.5
    again, _ = parse_problem(TINY.replace("x2", "x5"), "another").arrays(dtype.name)
    assert np.array_equal(again, x)
    other, _ = parse_problem(TINY.replace("tiny", "other")).arrays(dtype.name)
    assert not np.array_equal(other, x)
