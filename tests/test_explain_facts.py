"""The numbers of `gemmconv.explain` against those of the library, over all options, for one to three axes."""

from __future__ import annotations

import pickle
from itertools import pairwise
from math import prod

import numpy as np
import pytest
from drawn import FEWER
from explained import explanations, integers, some_index
from hypothesis import assume, given
from hypothesis import strategies as st

import gemmconv
from gemmconv import conv_input_gradient, conv_weight_gradient, explain
from gemmconv.checks.geometry import Geometry
from gemmconv.engine.extension import extended_from
from gemmconv.explanation import EXAMPLES, example
from gemmconv.explanation.check import by_matrices
from gemmconv.explanation.counts import count, is_read_along, unread_along
from gemmconv.explanation.explanation import Explanation
from gemmconv.explanation.facts import copies_of
from gemmconv.explanation.problem import ONLY_TRANSPOSED, Numbers, Options, Problem
from gemmconv.windows import along_axis, count_read


def gradients(explanation):
    """Return the gradients of x and of the weight, by gemmconv."""
    problem = explanation.problem
    options = {**problem.options.keywords(*ONLY_TRANSPOSED), "padding": problem.geometry.pads, "algorithm": "gemm"}
    x, weight, g, kernel = problem.x.array, problem.weight.array, problem.grad_output, problem.weight.shape[2:]
    if problem.transposed:
        return gemmconv.conv(g, weight, **options), conv_weight_gradient(x, g, kernel, **options)
    return conv_input_gradient(g, weight, x.shape[1:], **options), conv_weight_gradient(g, x, kernel, **options)


@given(explanations(), st.data())
def test_terms_readers_and_places_sum_to_what_the_library_computes(explanation, data):
    problem = explanation.problem
    at = some_index(data, explanation.y.shape)
    terms = explanation.terms(at)
    bias = 0 if problem.bias is None else problem.bias[at[0]]
    assert (terms.factors * terms.values).sum() + bias == explanation.y[at]
    assert (problem.weight.array.ravel()[terms.weights] == terms.factors).all()
    of_input, of_weight = gradients(explanation)
    at = some_index(data, of_input.shape)
    readers = explanation.readers(at)
    assert (readers.factors * readers.gradients).sum() == of_input[at]
    at = some_index(data, of_weight.shape)
    places = explanation.places(at)
    assert (places.gradients * places.values).sum() + places.padding == of_weight[at]
    assert (problem.x.array.ravel()[places.inputs] == places.values).all()
    assert (problem.grad_output.ravel()[places.outputs] == places.gradients).all()


@given(explanations(), st.data())
def test_rows_columns_and_places_are_those_of_the_tied_weights(explanation, data):
    ties = explanation.ties.tocoo()
    triples = sorted(zip(ties.row.tolist(), ties.col.tolist(), ties.data.tolist()))
    shape, problem = explanation.y.shape, explanation.problem
    at = some_index(data, shape)
    row = int(np.ravel_multi_index(at, shape))
    terms = explanation.terms(at)
    mine = sorted((row, c, w) for c, w in zip(terms.inputs.tolist(), terms.weights.tolist()) if c >= 0)
    assert mine == [triple for triple in triples if triple[0] == row]
    at = some_index(data, problem.x.shape)
    column = int(np.ravel_multi_index(at, problem.x.shape))
    readers = explanation.readers(at)
    mine = sorted((r, column, w) for r, w in zip(readers.outputs.tolist(), readers.weights.tolist()))
    assert mine == [triple for triple in triples if triple[1] == column]
    at = some_index(data, problem.weight.shape)
    weight = int(np.ravel_multi_index(at, problem.weight.shape))
    places = explanation.places(at)
    mine = sorted((r, c, weight) for r, c in zip(places.outputs.tolist(), places.inputs.tolist()))
    assert mine == [triple for triple in triples if triple[2] == weight]


@given(explanations())
def test_counts_are_those_of_the_matrices(explanation):
    counts, problem, ties = explanation.counts, explanation.problem, explanation.ties
    per_weight = np.bincount(ties.data, minlength=problem.weight.size)
    assert counts.weights == problem.weight.size
    assert counts.places == (per_weight.min(), per_weight.max())
    assert (counts.outputs, counts.inputs) == ties.shape
    assert counts.fully_connected == prod(ties.shape)
    ties = ties.copy()
    ties.data[:] = 1
    ties.sum_duplicates()
    assert counts.entries == ties.nnz
    read = np.bincount(ties.indices, minlength=ties.shape[1])
    if problem.transposed:
        read = np.diff(ties.indptr)
        assert (counts.patch_rows, counts.patch_columns) == explanation.P.shape
    else:
        assert (counts.patch_rows, counts.patch_columns) == explanation.P.shape
        assert counts.multiplications == problem.geometry.operations // 2
    assert counts.unread == np.count_nonzero(read == 0)


@given(explanations())
def test_is_read_is_what_m_reads(explanation):
    problem = explanation.problem
    geometry = problem.geometry
    along = [is_read_along(geometry, axis, problem.modes[axis], np.arange(geometry.in_size[axis])) for axis in range(3)]
    read = (along[0][:, None, None] & along[1][:, None] & along[2]).ravel()
    ties = explanation.ties
    found = np.diff(ties.indptr) if problem.transposed else np.bincount(ties.indices, minlength=ties.shape[1])
    assert (np.tile(read, geometry.in_channels) == (found > 0)).all()


@given(explanations(), st.data())
def test_window_holds_the_inputs_of_the_terms(explanation, data):
    problem = explanation.problem
    at = some_index(data, explanation.y.shape)
    window, terms = explanation.window(at), explanation.terms(at)
    x_shape = problem.x.shape
    found = {tuple(map(int, np.unravel_index(flat, x_shape))) for flat in terms.inputs if flat >= 0}
    if not problem.has_copies:
        inside = [
            sorted({int(place) for place in places if 0 <= place < size})
            for places, size in zip(window.positions, x_shape[1:])
        ]
        expected = set()
        if window.channels and all(inside):
            grid = np.meshgrid(list(window.channels), *inside, indexing="ij")
            expected = set(zip(*(axis.ravel().tolist() for axis in grid)))
        assert found == expected
    assert {index[0] for index in found} <= set(window.channels)


@FEWER
@given(explanations(), st.sampled_from([60, 80, 100]), st.sampled_from([None, True, False]))
def test_every_text_fits_its_width(explanation, width, letters):
    text = explanation.text(width, letters=letters, backward=True)
    assert text.isascii()
    assert text == explanation.text(width, letters=letters, backward=True)
    assert max(map(len, text.splitlines())) <= width
    assert not any(line.endswith(" ") for line in text.splitlines())
    assert "agree (y:" in text.splitlines()[-1] or "agree (y:" in " ".join(text.splitlines()[-2:])


@pytest.mark.parametrize("name", EXAMPLES)
def test_matrices_multiply_to_y(name):
    explanation = example(name)
    shape, x = explanation.y.shape, explanation.problem.x.array
    assert (np.asarray(explanation.M @ x.ravel()).reshape(shape) == explanation.y).all()
    if not explanation.problem.transposed:
        assert (np.asarray(explanation.K @ explanation.P).reshape(shape) == explanation.y).all()
    weights = explanation.problem.weight.array.ravel()
    ties = explanation.ties.copy()
    assert (weights[ties.data] == explanation.M.data).all() or explanation.problem.modes[0] != "constant"


# The results that the three documents print.
PRINTED = {
    "small": [[[44, 54, 64], [84, 94, 104], [124, 134, 144]]],
    "channels": [
        [[2060, 2138, 2216], [2372, 2450, 2528], [2684, 2762, 2840]],
        [[4868, 5090, 5312], [5756, 5978, 6200], [6644, 6866, 7088]],
    ],
    "1d": [[1530, 1686, 1842, 1998, 2154], [3618, 4062, 4506, 4950, 5394]],
    "full": [[5, 16, 34, 52, 45, 28]],
    "valid": [[38, 56]],
    "sharpen": [[[0, 30], [0, 30]]] * 3,
    "letters": [
        [[1 * 1 + 2 * 2 + 3 * 4 + 4 * 5, 1 * 2 + 2 * 3 + 3 * 5 + 4 * 6], [67, 77]],
        [[5 * 1 + 6 * 2 + 7 * 4 + 8 * 5, 5 * 2 + 6 * 3 + 7 * 5 + 8 * 6], [163, 189]],
    ],
}


@pytest.mark.parametrize("name", PRINTED)
def test_printed_results(name):
    assert example(name).y.tolist() == PRINTED[name]


def test_printed_matrices():
    channels = example("channels")
    assert channels.P[:, 0].tolist() == [1, 2, 5, 6, 17, 18, 21, 22, 33, 34, 37, 38]
    assert channels.P[0].tolist() == [1, 2, 3, 5, 6, 7, 9, 10, 11]
    assert channels.K.tolist() == [list(range(1, 13)), list(range(13, 25))]
    assert example("small").P.tolist() == [
        [1, 2, 3, 5, 6, 7, 9, 10, 11],
        [2, 3, 4, 6, 7, 8, 10, 11, 12],
        [5, 6, 7, 9, 10, 11, 13, 14, 15],
        [6, 7, 8, 10, 11, 12, 14, 15, 16],
    ]
    assert example("full").M.toarray().tolist() == [
        [5, 0, 0, 0],
        [6, 5, 0, 0],
        [7, 6, 5, 0],
        [0, 7, 6, 5],
        [0, 0, 7, 6],
        [0, 0, 0, 7],
    ]
    assert example("1d").P[:4].tolist() == [[1, 3, 5, 7, 9], [2, 4, 6, 8, 10], [3, 5, 7, 9, 11], [4, 6, 8, 10, 12]]
    circulant = example("circular").M.toarray()
    assert all((np.roll(circulant[0], shift) == row).all() for shift, row in enumerate(circulant))
    dense = example("dense")
    assert (dense.M.toarray() == dense.K).all()


AXES = st.tuples(*[st.integers(1, 9)] * 4, *[st.integers(-3, 40)] * 2)


@given(AXES, st.sampled_from(["constant", "edge", "wrap", "reflect", "symmetric"]))
def test_counts_along_an_axis_with_much_padding(sizes, mode):
    size, kernel, stride, dilation, *pad = sizes
    assume(size + sum(pad) >= dilation * (kernel - 1) + 1)
    geometry = Geometry.from_shapes((1, size), (1, 1, kernel), stride=stride, dilation=dilation, padding=(tuple(pad),))
    indptr, positions, _ = along_axis(geometry, 2, mode)
    rows = [positions[begin:end] for begin, end in pairwise(indptr)]
    assert count_read(geometry, 2, mode) == sum(len(np.unique(row)) for row in rows)
    read = np.isin(np.arange(size), positions)
    assert (is_read_along(geometry, 2, mode, np.arange(size)) == read).all()
    assert unread_along(geometry, 2, mode) == np.count_nonzero(~read)


@given(
    st.integers(1, 6), st.integers(0, 20), st.integers(0, 20), st.sampled_from(["edge", "wrap", "reflect", "symmetric"])
)
def test_copies(size, before, after, mode):
    extended = np.arange(-before, size + after)
    for position in range(size):
        expected = extended[extended_from(extended, size, mode) == position]
        assert copies_of(position, size, -before, size + after, mode).tolist() == expected.tolist()


@given(explanations())
def test_matrices_and_what_the_padding_adds_make_y(explanation):
    problem = explanation.problem
    bias = 0 if problem.bias is None else problem.bias.reshape(-1, *[1] * problem.rank)
    by_connections = (explanation.M @ problem.x.array.ravel()).reshape(explanation.y.shape)
    assert (by_connections + explanation.c + bias == explanation.y).all()
    if not problem.transposed:
        by_kernels = np.asarray(explanation.K @ explanation.P).reshape(explanation.y.shape)
        assert (by_kernels + bias == explanation.y).all()
    for other in by_matrices(explanation._facts):
        assert (other == explanation.y).all()


def test_options_of_transposed_convolutions():
    x, weight = integers(0, 2, 3, 4), integers(1, 2, 3, 3, 2)
    for options in (
        {"stride": 2, "output_size": (7, 8)},
        {"stride": 2, "padding": "same", "output_size": (5, 7)},
        {"stride": (3, 2), "padding": "same"},
        {"padding": ((1, 2), (0, 1)), "padding_mode": ("reflect", "zeros")},
    ):
        explanation = explain(x, weight, transposed=True, **options)
        assert (explanation.y == gemmconv.conv_transpose(x, weight, algorithm="gemm", **options)).all()
        problem = explanation.problem
        pads = [(before, after + more) for (before, after), more in zip(problem.geometry.pads, problem.output_padding)]
        assert pads == list(problem.pads)
    assert explain(x, weight, transposed=True, stride=2, output_size=(8, 9)).problem.output_padding == (1, 1)
    assert explain(x, np.ones((2, 1, 1, 1)), transposed=True, stride=2, padding="same").problem.output_padding == (1, 1)


def test_a_padding_value_has_the_type_that_is_computed_in():
    x, weight = np.ones((1, 2), np.float32), np.ones((1, 1, 2))
    for of_weight, value in ((np.float32, float(np.float32(0.1))), (np.float64, 0.1)):
        explanation = explain(x, weight.astype(of_weight), padding=1, padding_value=0.1)
        assert explanation.terms((0, 0)).values.tolist() == [value, 1]
        assert explanation.P[0, 0] == value
    with pytest.raises(ValueError, match="too large for float32"):
        explain(x, weight.astype(np.float32), padding=1, padding_value=1e39)
    assert explain(x, weight, padding_value=7).problem.pads_with_zeros


def test_matrices_are_built_once_and_only_up_to_a_size():
    explanation = example("groups")
    for name in ("P", "K", "M", "ties", "counts"):
        assert getattr(explanation, name) is getattr(explanation, name)
    x, weight = np.ones((1, 100)), np.ones((1, 1, 3))
    assert explain(x, weight, max_bytes=3 * 98 * 8).P.shape == (3, 98)
    small = explain(x, weight, max_bytes=3 * 98 * 8 - 1)
    small = pickle.loads(pickle.dumps(small))
    assert "agree" in small.text()
    message = r"shape \(3, 98\) would take 2352 bytes, but max_bytes is 2351; gemmconv.ConvolutionOperator"
    with pytest.raises(ValueError, match=message):
        assert small.P.size
    for name in ("M", "ties"):
        with pytest.raises(ValueError, match=r"max_bytes is 2351; gemmconv\.ConvolutionOperator"):
            assert getattr(small, name).nnz
    with pytest.raises(TypeError, match="max_bytes must be an int, not 'all'"):
        explain(x, weight, max_bytes="all")


def test_an_explanation_is_made_of_what_explain_gets():
    x, weight = np.arange(12.0).reshape(2, 6), np.ones((2, 1, 3))
    explanation = explain(x, weight, [1, 2], groups=2, padding="same", at=(1, 0))
    assert explanation.at == (1, 0)
    assert repr(explanation) == "Explanation(x (2, 6), weight (2, 1, 3), y (2, 6))"
    assert str(explanation) == explanation.text()
    assert (explanation.y == gemmconv.conv(x, weight, [1, 2], groups=2, padding="same")).all()
    again = pickle.loads(pickle.dumps(explanation))
    assert again.at == explanation.at
    assert str(again) == str(explanation)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: explain(np.ones((2, 1, 4)), np.ones((1, 1, 2))), "x has shape .* which is a batch"),
        (lambda: explain(np.ones((1, 4)), np.ones((1, 1, 5))), "the kernel covers 5 positions"),
        (lambda: explain(np.ones((1, 4)), np.ones((1, 1, 2)), at=(0, 3)), "at is .* but y has shape"),
        (lambda: explain(np.ones((1, 4)), np.ones((1, 1, 2)), at=(0,)), "at is .* but y has shape"),
        (lambda: explain(np.ones((1, 4)), np.ones((1, 1, 2)), output_padding=1), "output_size are for transposed"),
        (lambda: explain(np.ones((1, 4)), np.ones((1, 1, 2)), output_size=3), "output_size are for transposed"),
        (lambda: explain([[1.0]], [[[1.0]]], transposed=True, flip=True), "neither padding_value nor flip"),
        (lambda: explain([[1.0]], [[[1.0]]], transposed=True, padding_value=1), "neither padding_value nor flip"),
        (lambda: explain([[1.0]], [[[1.0]]], grad_output=[1.0]), "grad_output has shape"),
        (lambda: explain([[1.0]], [[[1.0]]]).text(59), "width must be at least 60"),
        (lambda: explain([[1.0]], [[[1.0]]]).text(show=["z"]), "no section 'z'"),
        (lambda: explain([[1.0]], [[[1.0]]]).latex("Y"), "matrix must be"),
        (lambda: explain([[1.0]], [[[1.0]]]).code("theano"), "no code for 'theano'"),
        (lambda: example("nothing"), "there is no example 'nothing'"),
    ],
)
def test_messages(call, message):
    with pytest.raises(ValueError, match=message):
        call()


# Layers far too large to compute: x, weight, options, and some of their counts.
LARGE = {
    "picture": ((3, 1000, 1000, 1000), (8, 3, 3, 3, 3), {"padding": 1}, (8 * 10**9, 8 * 3 * (3 * 1000 - 2) ** 3)),
    "sequence": ((1, 10**9), (1, 1, 3), {"stride": 5, "padding": 5}, (200_000_002, 600_000_000)),
    "mirrored": ((1, 10**9), (1, 1, 3), {"padding": 5, "padding_mode": "reflect"}, (10**9 + 8, 3 * 10**9 + 22)),
    "transposed": (
        (1, 10**9),
        (1, 1, 3),
        {"padding": 1, "padding_mode": "reflect", "transposed": True},
        (10**9, 3 * 10**9 - 2),
    ),
    "dense": ((2, 1000, 1000, 1000), (4, 2, 1000, 1000, 1000), {}, (4, 8 * 10**9)),
}


@pytest.mark.parametrize("name", LARGE)
def test_layers_of_any_size(name):
    x, weight, options, (outputs, entries) = LARGE[name]
    problem = Problem.make(Numbers(x), Numbers(weight), options=Options(**options))
    counts = count(problem)
    assert (counts.outputs, counts.entries) == (outputs, entries)
    text = Explanation(problem).text(80, backward=True)
    assert max(map(len, text.splitlines())) <= 80
    assert str(counts.fully_connected) in text
    assert "not checked: the layer is too large" in text
    with pytest.raises(ValueError, match="is not computed: the layer is too large"):
        assert Explanation(problem).y is None
