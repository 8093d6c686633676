"""K and M: the kernel matrix, the convolution matrix, and which of its entries are tied."""

from __future__ import annotations

import itertools
import tracemalloc

import numpy as np
import pytest
import scipy.linalg
import scipy.signal
from cases import CASES, exact_algorithm, integer_weights, integers
from instruction_sets import once_for_all
from scipy.sparse import csr_array

import gemmconv
from gemmconv import (
    convolution_matrix,
    convolution_matrix_size,
    kernel_matrix,
    matrices,
    matrix_sizes,
    reference,
    tied_weights,
)
from gemmconv.checks.options import PADDING_MODES

# M of the largest cases would have 1e8 entries as the dense reference.
SMALL = [name for name, case in CASES.items() if np.prod(case.x) * np.prod(case.weight) < 3e5 and 0 not in case.x]


def matrix_of(case, dtype) -> tuple[csr_array, np.ndarray]:
    weight = integer_weights(case.weight, dtype)
    return convolution_matrix(weight, case.x[2 - len(case.weight) :], **case.options), weight


def size_options(case) -> dict:
    return {name: value for name, value in case.options.items() if name != "flip"}


# --- M -----------------------------------------------------------------------------------------------------------


def test_a_case_written_out():
    a, b, c, d, e, f, g, h = range(1, 9)
    M = convolution_matrix([[[[a, b], [c, d]]], [[[e, f], [g, h]]]], (3, 3))
    expected = [
        [a, b, 0, c, d, 0, 0, 0, 0],
        [0, a, b, 0, c, d, 0, 0, 0],
        [0, 0, 0, a, b, 0, c, d, 0],
        [0, 0, 0, 0, a, b, 0, c, d],
        [e, f, 0, g, h, 0, 0, 0, 0],
        [0, e, f, 0, g, h, 0, 0, 0],
        [0, 0, 0, e, f, 0, g, h, 0],
        [0, 0, 0, 0, e, f, 0, g, h],
    ]
    assert isinstance(M, csr_array)
    np.testing.assert_array_equal(M.toarray(), expected)


@pytest.mark.parametrize("name", SMALL)
def test_is_the_reference_s(name):
    case = CASES[name]
    M, weight = matrix_of(case, "float64")
    np.testing.assert_array_equal(
        M.toarray(), reference.convolution_matrix(weight, case.x[2 - len(case.weight) :], **case.options)
    )


@pytest.mark.parametrize("name", CASES)
@once_for_all
def test_multiplies_as_the_convolution_does(name, dtype):
    case = CASES[name]
    if name == "large_kernel":  # 3.5 million entries, and all of its sums in float32 exact
        assert convolution_matrix_size(case.weight, (60, 61), padding=15).entries > 1e6
    M, weight = matrix_of(case, dtype)
    assert M.dtype == dtype
    for x in integers(case.x, dtype, 3).reshape(-1, M.shape[1]):
        image = x.reshape(case.x[1 - len(case.weight) :])
        y = gemmconv.conv(image, weight, **case.options, algorithm=exact_algorithm(name))
        np.testing.assert_array_equal(M @ x, y.ravel())


@pytest.mark.parametrize("name", CASES)
@once_for_all
def test_is_stored_in_order_and_without_padding(name, dtype):
    case = CASES[name]
    size = case.x[2 - len(case.weight) :]
    M = convolution_matrix(np.ones(case.weight, dtype), size, **case.options)
    assert (M.data > 0).all(), "every entry is the sum of weights"
    assert M.indices.dtype == M.indptr.dtype == np.int32
    fresh = csr_array((M.data, M.indices, M.indptr), M.shape)
    assert fresh.has_canonical_format
    counted = convolution_matrix_size(case.weight, size, **size_options(case), dtype=dtype)
    assert counted.shape == M.shape
    assert counted.entries == M.nnz == len(M.data)
    assert counted.nbytes == M.data.nbytes + M.indices.nbytes + M.indptr.nbytes


@pytest.mark.parametrize("format", matrices.FORMATS)
def test_formats(format):  # noqa: A002
    weight = integers((2, 1, 3), "float32")
    M = convolution_matrix(weight, (6,), padding=1, format=format)
    assert M.format == format
    np.testing.assert_array_equal(M.toarray(), reference.convolution_matrix(weight, (6,), padding=1))


def test_large_indices_have_64_bits():
    assert matrix_sizes.index_dtype(2**31 - 1, 5) is np.int32
    assert matrix_sizes.index_dtype(2**31, 5) is np.int64
    assert matrix_sizes.index_dtype(5, 2**31) is np.int64
    size = convolution_matrix_size((64, 64, 3, 3), (512, 512), padding=1)
    assert size.nbytes == size.entries * 12 + (size.shape[0] + 1) * 8


def test_too_large_a_matrix_is_refused_before_it_is_built():
    entries = convolution_matrix_size((64, 64, 3, 3), (512, 512), padding=1).entries
    with pytest.raises(ValueError, match=rf"{entries} entries.* bytes, but max_bytes is 1073741824; .*Operator"):
        convolution_matrix(np.ones((64, 64, 3, 3), np.float32), (512, 512), padding=1)
    size = convolution_matrix_size((1, 1, 2), (5,)).nbytes
    assert convolution_matrix(np.ones((1, 1, 2), np.float32), (5,), max_bytes=size).shape == (4, 5)
    with pytest.raises(ValueError, match=f"take {size} bytes, but max_bytes is {size - 1}"):
        convolution_matrix(np.ones((1, 1, 2), np.float32), (5,), max_bytes=size - 1)


def test_very_large_ones_are_refused_at_once():
    # their pointers alone, or the windows that are counted, would fill the memory
    for options in ({}, {"padding": 1, "padding_mode": "wrap"}):
        for function, weight in ((convolution_matrix, np.ones((1, 1, 3))), (tied_weights, (1, 1, 3))):
            with pytest.raises(ValueError, match=r"at least [0-9]+ bytes, but max_bytes is .*ConvolutionOperator"):
                function(weight, (2**30,), **options)
    assert convolution_matrix_size((1, 1, 3), (2**30,), padding=1).entries == 3 * 2**30 - 2
    assert convolution_matrix_size((1, 1, 10**6), (4,), padding="full").entries == 4 * 10**6


def test_building_takes_little_more_than_the_matrix():
    # most taps of most windows are in the padding; a table of all would have 300**4 entries
    tracemalloc.start()
    M = convolution_matrix(np.ones((1, 1, 301, 301), np.float32), (4, 4), padding="full")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert M.nnz == 16 * 301**2
    assert peak < 4 * (M.data.nbytes + M.indices.nbytes + M.indptr.nbytes) + 2**25
    assert M.sum() == M.nnz
    tracemalloc.start()
    convolution_matrix(np.ones((1, 1, 3, 3), np.float32), (500, 500), padding=1)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 4 * convolution_matrix_size((1, 1, 3, 3), (500, 500), padding=1).nbytes + 2**25


@pytest.mark.parametrize("mode", ["zeros", "reflect", "edge", "wrap", "symmetric"])
def test_sizes_count_what_is_read(mode):
    # every small geometry of one axis, also with cropped inputs and with windows that are wholly in the padding
    ranges = range(1, 5), range(1, 5), range(1, 4), range(1, 4), [(0, 0), (7, 2), (1, 9), (-1, 3), (2, -1), (12, 12)]
    for size, kernel, stride, dilation, pad in itertools.product(*ranges):
        options = {"stride": stride, "dilation": dilation, "padding": (pad,), "padding_mode": mode}
        if size + sum(pad) < (kernel - 1) * dilation + 1:
            continue
        # the place of each element of the extended signal, plus 1; zeros stay 0
        places = np.arange(1, size + 1)
        around = [(max(pad[0], 0), max(pad[1], 0))]
        extended = np.pad(places, around, mode=PADDING_MODES[mode])[max(-pad[0], 0) :]
        extended = extended[: len(extended) - max(-pad[1], 0)]
        covered = np.lib.stride_tricks.sliding_window_view(extended, (kernel - 1) * dilation + 1)[::stride, ::dilation]
        expected = sum(len(set(window) - {0}) for window in covered.tolist())
        found = convolution_matrix_size((1, 1, kernel), (size,), **options)
        assert (found.shape[0], found.entries) == (len(covered), expected), (size, kernel, options)


@pytest.mark.parametrize("mode", ["zeros", "reflect", "edge", "wrap", "symmetric"])
def test_sizes_need_no_memory(mode):
    options = {"padding": 2**31 - 1, "stride": 3, "padding_mode": mode}
    outputs = (4 + 2 * (2**31 - 1) - 3) // 3 + 1
    tracemalloc.start()
    try:
        size = convolution_matrix_size((1, 1, 3), (4,), **options)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert size.shape == (outputs, 4)
    # two windows read the first and the last element, and the two inside; wrapped windows all read three elements
    entries = {
        "zeros": 4,
        "edge": outputs + 2,
        "wrap": 3 * outputs,
        "reflect": 2 * outputs,
        "symmetric": outputs // 8 * 20 + 16,
    }
    assert size.entries == entries[mode]
    assert peak < 2**25


def test_matrices_with_huge_padding():
    options = {"padding": 2**31 - 1, "stride": 2**31 - 1}
    for mode in ("zeros", "reflect", "edge", "wrap", "symmetric"):
        M = convolution_matrix(np.array([[[1.0, 2.0]]]), (4,), padding_mode=mode, **options)
        counted = convolution_matrix_size((1, 1, 2), (4,), padding_mode=mode, dtype=float, **options)
        assert (M.shape, M.nnz) == (counted.shape, counted.entries)


def test_types_of_sizes():
    for dtype, itemsize in (("uint8", 4), (np.float32, 4), ("f8", 8), (int, 8)):
        size = convolution_matrix_size((1, 1, 2), (5,), dtype=dtype)
        assert size.nbytes == 8 * (itemsize + 4) + 5 * 4


# --- where it has a name -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["full", "same", "valid"])
def test_is_scipy_s_convolution_matrix(mode):
    # its "same" has the larger half of odd padding before the input
    w = integers((4,), "float64")
    padding = {"full": "full", "same": "same_lower", "valid": "valid"}[mode]
    M = convolution_matrix(w[None, None], (9,), padding=padding, flip=True)
    np.testing.assert_array_equal(M.toarray(), scipy.linalg.convolution_matrix(w, 9, mode=mode))


@pytest.mark.parametrize(("mode", "padding"), [("full", "full"), ("same", "same_lower"), ("valid", "valid")])
@pytest.mark.parametrize("length", [1, 2, 3, 6])
def test_is_numpy_s_convolve(mode, padding, length):
    x, w = integers((6,), "float64", 1), integers((length,), "float64", 2)
    M = convolution_matrix(w[None, None], (6,), padding=padding, flip=True)
    np.testing.assert_array_equal(M @ x, np.convolve(x, w, mode))


@pytest.mark.parametrize(("boundary", "mode"), [("fill", "zeros"), ("wrap", "wrap"), ("symm", "symmetric")])
def test_is_scipy_s_convolve2d(boundary, mode):
    x, w = integers((7, 8), "float64", 1), integers((3, 4), "float64", 2)
    M = convolution_matrix(w[None, None], (7, 8), padding="same_lower", padding_mode=mode, flip=True)
    expected = scipy.signal.convolve2d(x, w, mode="same", boundary=boundary)
    np.testing.assert_array_equal((M @ x.ravel()).reshape(7, 8), expected)


def test_wrap_is_circulant_and_its_eigenvalues_are_the_fourier_transform():
    w = integers((5,), "float64")
    M = convolution_matrix(w[None, None], (8,), padding="same", padding_mode="wrap").toarray()
    np.testing.assert_array_equal(M, scipy.linalg.circulant(M[:, 0]))
    eigenvalues = np.fft.fft(M[:, 0])
    fourier = np.exp(2j * np.pi * np.outer(np.arange(8), np.arange(8)) / 8)
    np.testing.assert_allclose(M @ fourier, fourier * eigenvalues, atol=1e-12)


# --- K -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", CASES)
@once_for_all
def test_kernel_matrix(name, dtype):
    case = CASES[name]
    weight = integer_weights(case.weight, dtype)
    options = {name: value for name, value in case.options.items() if name in ("groups", "flip")}
    K = kernel_matrix(weight, **options)
    assert K.dtype == dtype
    if options.get("groups", 1) > 1:
        assert K.has_canonical_format
        assert K.nnz == weight.size
        assert not np.may_share_memory(K.data, weight)
        K = K.toarray()
    elif "flip" not in options:
        assert np.may_share_memory(K, weight)
    np.testing.assert_array_equal(K, reference.kernel_matrix(weight, **options))


# --- ties --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [name for name in SMALL if "padding_mode" not in CASES[name].options])
def test_ties(name):
    case = CASES[name]
    size = case.x[2 - len(case.weight) :]
    ties = tied_weights(case.weight, size, **case.options)
    assert np.issubdtype(ties.dtype, np.integer)
    table = np.full(ties.shape, -1)
    table[np.arange(len(table)).repeat(np.diff(ties.indptr)), ties.indices] = ties.data
    np.testing.assert_array_equal(table, reference.tied_weights(case.weight, size, **case.options))


@pytest.mark.parametrize("name", [name for name in CASES if name != "several_panels"])
def test_a_gather_makes_m_and_a_sum_over_ties_the_gradient(name):
    case = CASES[name]
    size = case.x[2 - len(case.weight) :]
    weight, new = integers(case.weight, "float64", 1), integers(case.weight, "float64", 2)
    ties = tied_weights(case.weight, size, **case.options)
    assert csr_array((ties.data, ties.indices, ties.indptr), ties.shape).has_sorted_indices
    M = convolution_matrix(new, size, **case.options)
    gathered = csr_array((new.ravel()[ties.data], ties.indices, ties.indptr), ties.shape, copy=True)
    gathered.sum_duplicates()
    for array, expected in ((gathered.indptr, M.indptr), (gathered.indices, M.indices), (gathered.data, M.data)):
        np.testing.assert_array_equal(array, expected)

    # <g, conv(x, w)> is linear in w, with this gradient
    x, g = integers((M.shape[1],), "float64", 3), integers((M.shape[0],), "float64", 4)
    of_entries = g.repeat(np.diff(ties.indptr)) * x[ties.indices]
    gradient = np.bincount(ties.data, of_entries, minlength=weight.size)
    assert gradient @ new.ravel() == g @ (M @ x)
    assert gradient @ weight.ravel() == g @ (convolution_matrix(weight, size, **case.options) @ x)


def test_a_layer_with_tied_weights_is_a_fully_connected_one():
    # y = W @ x with W[i, j] = w[j - i] wherever that is a weight
    w, x = np.array([2.0, 3.0, 5.0]), integers((7,), "float64")
    W = np.zeros((5, 7))
    for i in range(5):
        for tap in range(3):
            W[i, i + tap] = w[tap]
    np.testing.assert_array_equal(convolution_matrix(w[None, None], (7,)).toarray(), W)
    np.testing.assert_array_equal(W @ x, gemmconv.conv1d(x[None], w[None, None])[0])
    ties = tied_weights((1, 1, 3), (7,))
    for tap in range(3):
        assert (W[ties.toarray() == tap] == w[tap]).sum() >= 5


# --- errors ------------------------------------------------------------------------------------------------------

W = np.ones((4, 3, 2, 2))


@pytest.mark.parametrize(
    ("function", "arguments", "options", "error", "message"),
    [
        (convolution_matrix, (W, (5, 5, 5)), {}, ValueError, "input_size must be an int or one int per spatial axis"),
        (convolution_matrix, (W, (5, 0)), {}, ValueError, "covers 2 positions of spatial axis 1, .* has 0 "),
        (convolution_matrix, (W, (5, 1)), {}, ValueError, "the kernel covers 2 positions of spatial axis 1"),
        (convolution_matrix, (W[0, 0], (5, 5)), {}, ValueError, "weight has shape .* a convolution needs"),
        (convolution_matrix, (W[:, :, :0], (5, 5)), {}, ValueError, "weight has shape .*no axis of the kernel may be"),
        (convolution_matrix, (W, (5, 5)), {"groups": 3}, ValueError, "groups=3 does not divide the 4 output channels"),
        (convolution_matrix, (W, (5, 5)), {"format": "dense"}, ValueError, "format must be one of 'bsr', 'coo'"),
        (convolution_matrix, (W, (5, 5)), {"format": ["csr"]}, ValueError, "format must be one of"),
        (convolution_matrix, (W, (5, 5)), {"max_bytes": 1e9}, TypeError, "max_bytes must be an int, not 1000000000.0"),
        (convolution_matrix, (W, (5, 5)), {"flip": 1}, TypeError, "flip must be True or False, not 1"),
        (convolution_matrix, (W, (5, 5)), {"padding_mode": "mirror"}, ValueError, "here that is 'reflect'"),
        (
            convolution_matrix_size,
            (W, (5, 5)),
            {},
            TypeError,
            "weight_shape must be a sequence of ints, not an array of shape",
        ),
        (convolution_matrix_size, (4, (5, 5)), {}, TypeError, "weight_shape must be a sequence of ints, not 4"),
        (convolution_matrix_size, ((4, 3, 0, 2), (5, 5)), {}, ValueError, "no axis of the kernel may be empty"),
        (
            convolution_matrix_size,
            ((4, 3, 2, 2), (5, 5)),
            {"dtype": np.clongdouble},
            TypeError,
            "dtype is .*clongdouble.*; gemmconv",
        ),
        (
            convolution_matrix_size,
            ((4, 3, 2, 2), (5, 5)),
            {"dtype": None},
            TypeError,
            "dtype is None; gemmconv computes",
        ),
        (
            convolution_matrix_size,
            ((4, 3, 2, 2), (5, 5)),
            {"dtype": "nope"},
            TypeError,
            "dtype must be a type of NumPy",
        ),
        (tied_weights, ((4, 3, 2, 2), (5, 5)), {"max_bytes": 100}, ValueError, "but max_bytes is 100"),
        (tied_weights, ((4, 3), (5, 5)), {}, ValueError, r"weight has shape \(4, 3\), but a convolution needs"),
        (tied_weights, ((4, -3, 2, 2), (5, 5)), {}, ValueError, "weight_shape must be at least 0, not -3"),
        (kernel_matrix, (W,), {"groups": 3}, ValueError, "groups=3 does not divide the 4 output channels of weight"),
        (kernel_matrix, (W[0],), {"groups": 0}, ValueError, "groups must be at least 1"),
        (kernel_matrix, (W[0, 0],), {}, ValueError, r"weight has shape \(2, 2\), but a convolution needs"),
        (kernel_matrix, (W,), {"flip": "yes"}, TypeError, "flip must be True or False"),
    ],
)
def test_errors(function, arguments, options, error, message):
    with pytest.raises(error, match=message):
        function(*arguments, **options)
