"""ConvolutionOperator: M without the matrix, and its transpose in C."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
import scipy.sparse.linalg as sla
from cases import CASES, geometry_of, input_size, integer_weights, integers
from instruction_sets import once_for_all

from gemmconv import ConvolutionOperator, conv, convolution_matrix, num_threads
from gemmconv.engine.tiling import PANEL_BYTES, PATHS, choose_input_gradient_tiling


def operator_of(case, dtype="float32") -> tuple[ConvolutionOperator, np.ndarray]:
    weight = integer_weights(case.weight, dtype)
    # "auto" may take "fft" for long kernels, which is not exact
    algorithm = "direct" if np.prod(case.weight[2:]) > 500 else "auto"
    return ConvolutionOperator(weight, input_size(case), **case.options, algorithm=algorithm), weight


@pytest.mark.parametrize("name", CASES)
@once_for_all
def test_is_the_matrix(name, dtype):
    A, weight = operator_of(CASES[name], dtype)
    M = convolution_matrix(weight, A.input_shape[1:], **CASES[name].options)
    assert A.shape == M.shape
    assert A.dtype == dtype
    x, g = integers((A.shape[1], 3), dtype, 3), integers((A.shape[0], 3), dtype, 4)
    for transposed in (A.T, A.H):
        assert transposed.shape == A.shape[::-1]
        np.testing.assert_array_equal(transposed @ g, M.T @ g)
        np.testing.assert_array_equal(transposed @ g[:, 0], M.T @ g[:, 0])
    np.testing.assert_array_equal(A @ x, M @ x)
    np.testing.assert_array_equal(A @ x[:, 0], M @ x[:, 0])
    np.testing.assert_array_equal(A.matvec(x[:, :1]), M @ x[:, :1])
    np.testing.assert_array_equal(A.rmatvec(g[:, :1]), M.T @ g[:, :1])
    assert (A @ x[:, :0]).shape == (A.shape[0], 0)
    # <A x, g> == <x, A^T g>
    assert np.vdot(A @ x, g) == np.vdot(x, A.T @ g)


@pytest.mark.parametrize("name", ["several_tiles", "several_panels", "several_blocks_of_taps"])
def test_large_cases_have_several_of_everything(name):
    geometry = geometry_of(CASES[name])
    tiling = choose_input_gradient_tiling(geometry, 4, path="small")
    assert tiling.pixels < geometry.out_pixels
    assert tiling.block < geometry.in_channels
    rows = tiling.block * np.prod(geometry.kernel)
    assert tiling.pixels * tiling.channels * tiling.taps <= 1_000_000
    if name == "several_tiles":
        assert geometry.in_channels % tiling.block, "the last block is meant to be a smaller one"
    assert tiling.taps <= tiling.panel <= rows


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("name", CASES)
@once_for_all
def test_panels_of_the_input_gradient_are_bounded(name, path, dtype):
    tiling = choose_input_gradient_tiling(geometry_of(CASES[name]), dtype.itemsize, path=path)
    assert tiling.panel * tiling.pixels * dtype.itemsize <= max(PANEL_BYTES, tiling.taps * tiling.pixels * 8)


@pytest.mark.parametrize("name", ["several_tiles", "groups_uneven", "wrap", "3d_everything"])
def test_vectors_have_the_bits_of_images(name, dtype, threads_for_every_call):
    # however many vectors are multiplied at a time, and on however many threads
    A, _ = operator_of(CASES[name], dtype)
    vectors = np.random.default_rng(2).standard_normal((A.shape[0], 3)).astype(dtype)
    together = A.T @ vectors
    for threads in (1, 3):
        with num_threads(threads):
            for vector, gradient in zip(vectors.T, together.T):
                np.testing.assert_array_equal(A.T @ vector, gradient)


def test_error_bound_of_the_transpose():
    # a sum of O * taps terms, of which each is one of O terms
    rng = np.random.default_rng(3)
    weight = rng.standard_normal((50, 20, 3, 3)).astype(np.float32) + 3
    A = ConvolutionOperator(weight, (17, 19), padding=1)
    g = rng.standard_normal(A.shape[0]).astype(np.float32) - 2
    exact = ConvolutionOperator(weight.astype(np.float64), (17, 19), padding=1).T @ g.astype(np.float64)
    size = ConvolutionOperator(abs(weight).astype(np.float64), (17, 19), padding=1).T @ abs(g).astype(np.float64)
    assert (abs(A.T @ g - exact) <= (50 * 9 + 2) * np.finfo(np.float32).eps * size).all()


# --- what SciPy does with it -------------------------------------------------------------------------------------

SQUARE = np.array([[[[0.0, 1, 0], [1, 6, 1], [0, 1, 0]]]])


def test_solvers():
    A = ConvolutionOperator(SQUARE, (9, 8), padding=1)
    x = np.random.default_rng(0).standard_normal(72)
    b = A @ x
    for solution in (sla.lsqr(A, b, atol=1e-12, btol=1e-12)[0], sla.lsmr(A, b, atol=1e-12, btol=1e-12)[0]):
        np.testing.assert_allclose(solution, x, atol=1e-8)
    solution, failed = sla.cg(A, b, rtol=1e-12)  # symmetric, positive definite
    assert not failed
    np.testing.assert_allclose(solution, x, atol=1e-8)


def test_singular_values():
    weight = np.random.default_rng(1).standard_normal((2, 3, 3, 3))
    A = ConvolutionOperator(weight, (6, 7), stride=2, padding=1)
    values = sla.svds(A, k=3, return_singular_vectors=False)
    M = convolution_matrix(weight, (6, 7), stride=2, padding=1)
    np.testing.assert_allclose(np.sort(values), np.sort(np.linalg.svd(M.toarray(), compute_uv=False))[-3:])


def test_composes():
    A = ConvolutionOperator(SQUARE, (9, 8), padding=1)
    x = integers((72,), "float64")
    np.testing.assert_array_equal((A.T @ A) @ x, A.T @ (A @ x))
    np.testing.assert_array_equal((2 * A + A) @ x, 3 * (A @ x))
    np.testing.assert_array_equal(A.T.T @ x, A @ x)


# --- types -------------------------------------------------------------------------------------------------------


def test_types_of_products():
    A = ConvolutionOperator(integers((2, 1, 3), "float32"), (9,))
    assert (A @ np.ones(9, np.float32)).dtype == np.float32
    assert (A @ np.ones(9, np.float64)).dtype == np.float64
    assert (A @ np.ones(9, np.uint8)).dtype == np.float32
    assert (A.T @ np.ones(14, np.float64)).dtype == np.float64
    third = ConvolutionOperator(np.full((1, 1, 1), 1 / 3, np.float32), (1,))
    assert (third @ [3.0])[0] == 3 * float(np.float32(1 / 3)), "the weight is exact in float64"


def test_complex_vectors():
    A = ConvolutionOperator(integers((2, 1, 3), "float64"), (9,))
    x, g = integers((9,), complex, 1) + 2j * integers((9,), complex, 2), integers((14,), complex, 3) * (1 + 1j)
    np.testing.assert_array_equal(A @ x, A @ x.real + 1j * (A @ x.imag))
    np.testing.assert_array_equal(A.H @ g, A.T @ g.real + 1j * (A.T @ g.imag))
    assert np.vdot(g, A @ x) == np.vdot(A.H @ g, x)


def test_infinity_stays_in_its_part():
    A = ConvolutionOperator(np.array([[[1.0, 2.0]]]), (3,))
    np.testing.assert_array_equal(A @ np.array([1, 1 + 1j * 0, complex(1, np.inf)]), [3, complex(3, np.inf)])
    np.testing.assert_array_equal((A.T @ np.array([complex(1, np.inf), 1]))[[0, 2]], [complex(1, np.inf), 2])


def test_the_weight_is_copied():
    weight = np.ones((1, 1, 3))
    A = ConvolutionOperator(weight, (5,))
    weight[:] = np.nan
    np.testing.assert_array_equal(A @ np.ones(5), 3)


def test_pickle():
    A = ConvolutionOperator(SQUARE, (9, 8), padding=1, padding_mode="wrap", flip=True)
    x = integers((72,), "float64")
    again = pickle.loads(pickle.dumps(A))
    np.testing.assert_array_equal(again @ x, A @ x)
    np.testing.assert_array_equal(again.T @ x, A.T @ x)


def test_shapes_are_those_of_the_convolution():
    A = ConvolutionOperator(np.ones((6, 2, 3, 2)), (9, 8), stride=2, groups=3)
    assert A.input_shape == (6, 9, 8)
    assert A.output_shape == conv(np.ones(A.input_shape), np.ones((6, 2, 3, 2)), stride=2, groups=3).shape


@pytest.mark.parametrize(
    ("arguments", "options", "error", "message"),
    [
        ((np.ones((1, 1, 3)), (2,)), {}, ValueError, "the kernel covers 3 positions"),
        ((np.ones((1, 1, 3)), (2, 2)), {}, ValueError, "input_size must be an int or one int per spatial axis"),
        ((np.ones((1, 1, 3)), 5), {"algorithm": "fast"}, ValueError, "algorithm must be one of"),
        ((np.ones((1, 1, 3)), 5), {"flip": None}, TypeError, "flip must be True or False"),
        ((np.ones(3), 5), {}, ValueError, "weight has shape"),
    ],
)
def test_errors(arguments, options, error, message):
    with pytest.raises(error, match=message):
        ConvolutionOperator(*arguments, **options)


def test_wrong_vectors_are_refused():
    A = ConvolutionOperator(np.ones((1, 1, 3)), (5,))
    with pytest.raises(ValueError, match="dimension mismatch"):
        A @ np.ones(4)
    with pytest.raises(ValueError, match="dimension mismatch"):
        A.T @ np.ones(5)
