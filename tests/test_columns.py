"""P and its transpose as functions of their own: im2col and col2im."""

from __future__ import annotations

import numpy as np
import pytest
from cases import CASES, input_size, integers, spatial_options
from guarded import guarded
from instruction_sets import once_for_all

from gemmconv import col2im, im2col, num_threads, reference
from gemmconv.engine.calls import Options, prepare_im2col

NOT_EMPTY = [name for name in CASES if 0 not in CASES[name].x]
FEATURES = integers((2, 3, 9, 8), "float32")


def expected_columns(case, x: np.ndarray) -> np.ndarray:
    batched = x if x.ndim == len(case.weight) else x[np.newaxis]
    return reference.im2col(batched, case.weight[2:], **spatial_options(case)).reshape(
        *x.shape[: x.ndim - len(case.weight) + 1], x.shape[1 - len(case.weight)] * np.prod(case.weight[2:]), -1
    )


@pytest.mark.parametrize("name", NOT_EMPTY)
@once_for_all
def test_im2col(name, dtype, isa):
    case = CASES[name]
    x = integers(case.x, dtype)
    before = x.copy()
    expected = expected_columns(case, x)
    for at in ("end", "start"):
        out = guarded(np.full(expected.shape, np.nan, dtype), at)
        assert im2col(guarded(x, at), case.weight[2:], **spatial_options(case), out=out) is out
        np.testing.assert_array_equal(out, expected)
    fresh = im2col(x, case.weight[2:], **spatial_options(case))
    assert fresh.dtype == dtype
    np.testing.assert_array_equal(fresh, expected)
    np.testing.assert_array_equal(x, before)


@pytest.mark.parametrize("name", NOT_EMPTY)
@once_for_all
def test_col2im(name, dtype, isa):
    case = CASES[name]
    kernel, size = case.weight[2:], input_size(case)
    x = integers(case.x, dtype, 1)
    packed = im2col(x, kernel, **spatial_options(case))
    columns = integers(packed.shape, dtype, 2)
    batched = columns if columns.ndim == 3 else columns[np.newaxis]
    expected = reference.col2im(batched, size, kernel, **spatial_options(case)).reshape(case.x)
    for at in ("end", "start"):
        out = guarded(np.full(case.x, np.nan, dtype), at)
        assert col2im(guarded(columns, at), size, kernel, **spatial_options(case), out=out) is out
        np.testing.assert_array_equal(out, expected)
    np.testing.assert_array_equal(col2im(columns, size, kernel, **spatial_options(case)), expected)
    # the transpose: <im2col(x), columns> == <x, col2im(columns)>
    assert np.vdot(packed, columns) == np.vdot(x, out)


@pytest.mark.parametrize("name", ["several_tiles", "several_panels", "several_blocks_of_taps", "first_layer"])
def test_same_bits_with_any_number_of_threads(name, dtype):
    case = CASES[name]
    with num_threads(8):
        layout = prepare_im2col(case.x, case.weight[2:], 4, Options(None, 1, 0, 1, 1, "zeros", 0, "auto"))
    assert layout.threads > 1
    assert layout.problem.column_task_counts > (2, 2)
    rng = np.random.default_rng(1)
    x = rng.standard_normal(case.x).astype(dtype)
    kernel, options = case.weight[2:], spatial_options(case)
    P = im2col(x, kernel, **options)
    columns = rng.standard_normal(P.shape).astype(dtype)
    outs = []
    for number in (1, 2, 3, 8):
        with num_threads(number):
            np.testing.assert_array_equal(im2col(x, kernel, **options), P)
            outs.append(col2im(columns, case.x[2:], kernel, **options))
        np.testing.assert_array_equal(outs[-1], outs[0])
    one = col2im(columns[:1], case.x[2:], kernel, **options)
    np.testing.assert_array_equal(one[0], outs[0][0])


@pytest.mark.parametrize(
    ("stride", "padding", "dilation"), [(1, 0, 1), (1, 1, 1), ((2, 3), (0, 2), 1), (1, (3, 1), (2, 3)), (3, 2, 2)]
)
def test_equals_torch_unfold_and_fold(stride, padding, dilation):
    torch = pytest.importorskip("torch")
    x = integers((3, 5, 13, 11), "float32")
    options = {"stride": stride, "padding": padding, "dilation": dilation}
    unfolded = torch.nn.functional.unfold(torch.from_numpy(x), (3, 2), **options)
    np.testing.assert_array_equal(im2col(x, (3, 2), **options), unfolded.numpy())
    columns = integers(tuple(unfolded.shape), "float32")
    folded = torch.nn.functional.fold(torch.from_numpy(columns), (13, 11), (3, 2), **options)
    np.testing.assert_array_equal(col2im(columns, (13, 11), (3, 2), **options), folded.numpy())


@pytest.mark.parametrize(
    "array",
    [
        np.asfortranarray(FEATURES),
        FEATURES[:, ::-1, ::-1, ::-1],
        np.broadcast_to(FEATURES[:1, :1], (2, 3, 9, 8)),
        FEATURES.astype(">f4"),
        FEATURES.astype(np.int16),
        FEATURES.astype(np.float16),
    ],
    ids=["fortran", "reversed", "broadcast", "big_endian", "int16", "float16"],
)
def test_any_layout_and_type(array):
    P = im2col(array, (3, 3), padding=1)
    assert P.dtype == array.dtype.newbyteorder("=")
    np.testing.assert_array_equal(P, reference.im2col(array, (3, 3), padding=1))
    np.testing.assert_array_equal(
        col2im(P[:, :, ::-1], (9, 8), (3, 3), padding=1), reference.col2im(P[:, :, ::-1], (9, 8), (3, 3), padding=1)
    )


def test_lists_have_the_type_that_numpy_gives_them():
    assert im2col([[1, 2, 3]], (2,)).dtype == np.int64
    assert im2col([[1.0, 2, 3]], (2,)).dtype == np.float64
    assert col2im([[1, 2], [3, 4]], (3,), (2,)).tolist() == [[1, 5, 4]]


def test_out_may_overlap_and_be_of_another_type():
    x = integers((4, 6), "float64")
    expected = im2col(x, (1,))
    np.testing.assert_array_equal(im2col(x, (1,), out=x), expected)
    square = integers((1, 2, 9), "float64")
    expected_rows = im2col(square, (2,), stride=4)  # (1, 4, 2) in the memory of (1, 2, 9)
    np.testing.assert_array_equal(
        im2col(square, (2,), stride=4, out=square.ravel()[3:11].reshape(1, 4, 2)), expected_rows
    )
    out = np.empty((4, 6), np.float32)
    np.testing.assert_array_equal(im2col(expected, (1,), out=out), expected)
    columns = integers((8, 5), "float64")
    expected = col2im(columns, (6,), (2,))
    np.testing.assert_array_equal(col2im(columns, (6,), (2,), out=columns.ravel()[:24].reshape(4, 6)), expected)


def test_empty_batch():
    P = im2col(np.ones((0, 3, 9, 8), np.float32), (3, 3), padding=1)
    assert P.shape == (0, 27, 72)
    assert col2im(P, (9, 8), (3, 3), padding=1).shape == (0, 3, 9, 8)


X = np.ones((2, 3, 9, 8))
P = np.ones((2, 27, 42))


@pytest.mark.parametrize(
    ("function", "arguments", "options", "error", "message"),
    [
        (im2col, (X, 3), {}, TypeError, "kernel_size must be a sequence of ints, not 3"),
        (im2col, (X, (3, 3, 3, 3)), {}, ValueError, "kernel_size must have one to three spatial axes .*, not 4"),
        (im2col, (X, (2, 2.0)), {}, TypeError, r"kernel_size must be a sequence of ints, not \(2, 2.0\)"),
        (
            im2col,
            (X, X),
            {},
            TypeError,
            r"kernel_size must be a sequence of ints, not an array of shape \(2, 3, 9, 8\)",
        ),
        (im2col, (X, (0, 3)), {}, ValueError, "kernel_size must be at least 1, not 0"),
        (im2col, (X, (3,)), {}, ValueError, r"x has shape \(2, 3, 9, 8\), but with kernel_size \(3,\) it must be"),
        (im2col, (X[0, 0], (3, 3)), {}, ValueError, r"for a single channel pass x\[None\]"),
        (im2col, (X, (3, 10)), {}, ValueError, "the kernel covers 10 positions of spatial axis 1, but"),
        (im2col, (X.astype(object), (3, 3)), {}, TypeError, "x has dtype object"),
        (im2col, (X.astype("datetime64[s]"), (3, 3)), {}, TypeError, "x has dtype datetime64"),
        (
            im2col,
            (X * 1j, (3, 3)),
            {"dtype": float},
            TypeError,
            "x has dtype complex128, which cannot be cast to dtype fl",
        ),
        (im2col, (X, (3, 3)), {"dtype": int}, TypeError, "x has dtype float64, which cannot be cast to dtype int64"),
        (im2col, (X, (3, 3)), {"dtype": "S1"}, TypeError, "dtype is |S1; gemmconv computes"),
        (im2col, (X, (3, 3)), {"dtype": "floaty"}, TypeError, "dtype must be a type of NumPy, not 'floaty'"),
        (col2im, (P, (9, 8), (3, 3)), {"dtype": int}, TypeError, "columns has dtype float64, which cannot be cast"),
        (im2col, (X.astype("u1"), (3, 3)), {"out": np.ones((2, 27, 42), bool)}, TypeError, "out has dtype bool"),
        (im2col, (X, (3, 3)), {"stride": 0}, ValueError, "stride must be at least 1"),
        (im2col, (X, (3, 3)), {"padding_mode": "mirror"}, ValueError, "here that is 'reflect'"),
        (
            im2col,
            (X, (3, 3)),
            {"out": np.ones((2, 27, 41))},
            ValueError,
            r"out has shape \(2, 27, 41\), but the result",
        ),
        (im2col, (np.ones((0, 1, 1)), (2**30,)), {"padding": 2**30}, ValueError, "the patch matrix would have 92"),
        (col2im, (P, (9, 8), 3), {}, TypeError, "kernel_size must be a sequence"),
        (
            col2im,
            (P, (9, 8), (3, 2)),
            {},
            ValueError,
            "columns has 27 rows, which is no multiple of the 6 taps",
        ),
        (col2im, (P, (9, 9), (3, 3)), {}, ValueError, r"columns has shape .*, but what im2col would return has shape"),
        (col2im, (P, (9, 8, 7), (3, 3)), {}, ValueError, "input_size must be an int or one int per spatial axis"),
        (col2im, (P, (9, -1), (3, 3)), {}, ValueError, "input_size must be at least 0, not -1"),
        (col2im, (P[0, 0], (9, 8), (3, 3)), {}, ValueError, r"columns has shape \(42,\), but it must be \(N, C \*"),
        (col2im, (P, (9, 8), (3, 3)), {"out": X.astype(int)}, TypeError, "out has dtype int64"),
        (col2im, (P, (9, 8), (3, 3)), {"out": np.ones((2, 3, 9))}, ValueError, "out has shape"),
    ],
)
def test_errors(function, arguments, options, error, message):
    before = {name: np.copy(value) for name, value in options.items()}
    with pytest.raises(error, match=message):
        function(*arguments, **options)
    for name, value in options.items():
        np.testing.assert_array_equal(value, before[name])
