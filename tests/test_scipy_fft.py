"""Transforms by scipy.fft: cuts into blocks, the error beside the bound, the same bits, threads."""

from __future__ import annotations

import random
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from threading import Event, Thread, Timer
from typing import Any

import numpy as np
import pytest
from cases import STRIDED_CASES, ZERO_PADDED_CASES, geometry_of, geometry_options
from fresh import run_python
from test_winograd import DATA

from gemmconv import conv_weight_gradient, num_threads, reference
from gemmconv.checks.geometry import Geometry
from gemmconv.engine import python_tasks, scipy_fft, scipy_fft_blocks
from gemmconv.engine.fft_cut import roundings
from gemmconv.engine.python_tasks import run_tasks
from gemmconv.engine.scipy_fft import FftConvolution, FftWeightGradient
from gemmconv.engine.scipy_fft_blocks import Blocks, Correlation, choose_blocks, correlation_of

EPS = {np.dtype("f4"): 2.0**-23, np.dtype("f8"): 2.0**-52}

# Many blocks of several sizes, few and many channels, phases, groups: x shape, weight shape, options.
SHAPES: dict[str, tuple[tuple[int, ...], tuple[int, ...], dict[str, Any]]] = {
    "signal": ((2, 1, 3000), (1, 1, 129), {}),
    "signal_same": ((1, 2, 2000), (3, 2, 301), {"padding": "same"}),
    "many_channels": ((2, 12, 500), (9, 12, 40), {"padding": 20}),
    "stride": ((1, 3, 2500), (4, 3, 100), {"stride": 3, "padding": 7}),
    "stride_and_dilation": ((1, 3, 2500), (4, 3, 50), {"stride": 4, "dilation": 6, "padding": 30}),
    "depthwise": ((2, 40, 600), (40, 1, 80), {"groups": 40, "padding": 40}),
    "image": ((1, 1, 95, 100), (1, 1, 13, 15), {"padding": 7}),
    "image_channels": ((1, 6, 60, 70), (8, 6, 11, 9), {"padding": ((3, 5), (-2, 4)), "stride": 2}),
    "image_groups": ((1, 8, 50, 60), (6, 4, 9, 9), {"groups": 2, "padding": 4}),
    "volume": ((1, 2, 14, 20, 22), (3, 2, 5, 7, 6), {"padding": 2}),
}


def arrays_of(name: str, data: str = "normal", dtype: str = "f8") -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return x, weight and bias."""
    x_shape, weight_shape, _ = SHAPES[name]
    rng, (of_x, of_weight) = np.random.default_rng(3), DATA[data]
    x, weight = of_x(rng, x_shape).astype(dtype), of_weight(rng, weight_shape).astype(dtype)
    return x, weight, of_weight(rng, weight_shape[:1]).astype(dtype)


def geometry_of_shapes(name: str) -> Geometry:
    x_shape, weight_shape, options = SHAPES[name]
    return Geometry.from_shapes(x_shape, weight_shape, **options)


def never() -> Any:
    raise AssertionError("all results are finite")


def run(operation: str, geometry: Geometry, arrays: tuple[np.ndarray | None, ...], threads: int = 1) -> np.ndarray:
    """Return the result of one operation, written to an array full of NaN."""
    shapes = {"convolution": geometry.out_shape, "input_gradient": geometry.x_shape}
    out = np.full(shapes.get(operation, geometry.weight_shape), np.nan, arrays[0].dtype)
    itemsize = out.dtype.itemsize
    if operation == "weight_gradient":
        FftWeightGradient(geometry, itemsize, never).run(*arrays, out, threads)
    else:
        FftConvolution(geometry, itemsize, never, turned=operation == "input_gradient").run(*arrays, out, threads)
    return out


def check_all_operations(geometry: Geometry, options: dict[str, Any], seed: int = 0) -> None:
    """Compare the three operations with the reference, in float64."""
    rng = np.random.default_rng(seed)
    shapes = (geometry.x_shape, geometry.weight_shape, geometry.out_shape, (geometry.out_channels,))
    x, weight, gradient, bias = (rng.standard_normal(shape) for shape in shapes)
    near = {"rtol": 0, "atol": 1e-9}
    y = run("convolution", geometry, (x, weight, bias), 2)
    np.testing.assert_allclose(y, reference.conv(x, weight, bias, **options), **near)
    of_x = run("input_gradient", geometry, (gradient, weight, None), 2)
    expected = reference.conv_input_gradient(gradient, weight, geometry.x_shape[2:], **options)
    np.testing.assert_allclose(of_x, expected, **near)
    of_weight = run("weight_gradient", geometry, (gradient, x), 2)
    expected = reference.conv_weight_gradient(gradient, x, geometry.weight_shape[2:], **options)
    np.testing.assert_allclose(of_weight, expected, **near)


@pytest.mark.parametrize("name", ZERO_PADDED_CASES)
def test_cases(name):
    case = ZERO_PADDED_CASES[name]
    check_all_operations(geometry_of(case), geometry_options(case))


@pytest.mark.parametrize("name", STRIDED_CASES)
def test_strided_cases(name):
    case = STRIDED_CASES[name]
    check_all_operations(geometry_of(case), geometry_options(case))


@pytest.mark.parametrize("name", SHAPES)
def test_shapes_of_many_blocks(name):
    check_all_operations(geometry_of_shapes(name), SHAPES[name][2])


def drawn_blocks(correlation: Correlation) -> Blocks:
    """Return blocks of any of the lengths, and tasks of any size."""
    lengths = tuple([random.choice(scipy_fft_blocks.lengths_of(axis)) for axis in correlation.axes])
    blocks = scipy_fft_blocks.make_blocks(correlation, lengths)
    box = tuple([random.randint(1, count) for count in blocks.counts])
    return blocks._replace(box=box, groups=random.randint(1, correlation.groups))


@pytest.mark.parametrize("seed", range(30))
def test_drawn_cuts(seed, monkeypatch):
    random.seed(seed)
    monkeypatch.setattr(scipy_fft, "choose_blocks", drawn_blocks)
    checked = 0
    while checked < 4:
        rank, groups = random.randint(1, 3), random.choice((1, 1, 2, 3))
        most = (0, 60, 20, 9)[rank]
        size = [random.randint(1, most) for _ in range(rank)]
        kernel = [random.randint(1, n) for n in size]
        options = {
            "stride": [random.choice((1, 1, 2, 3, 5)) for _ in size],
            "dilation": [random.choice((1, 1, 2, 3, 4)) for _ in size],
            "padding": [(random.randint(-3, 9), random.randint(-3, 9)) for _ in size],
            "groups": groups,
        }
        x_shape = (random.randint(0, 2), random.choice((1, 2, 3, 6)) * groups, *size)
        weight_shape = (random.choice((1, 2, 5)) * groups, x_shape[1] // groups, *kernel)
        try:
            geometry = Geometry.from_shapes(x_shape, weight_shape, **options)
        except ValueError:
            continue  # the kernel is longer than the padded input
        check_all_operations(geometry, options, seed)
        checked += 1


# --- accuracy --------------------------------------------------------------------------------------------------------


def bound_of(name: str, x: np.ndarray, weight: np.ndarray, bias: np.ndarray) -> np.ndarray:
    geometry, rank = geometry_of_shapes(name), x.ndim - 2
    blocks = choose_blocks(correlation_of(geometry))
    lengths = {"length": blocks.length[-rank:], "useful": blocks.useful[-rank:]}
    return reference.fft_bound(x, weight, bias, **SHAPES[name][2], **lengths, pairs=False, dtype=x.dtype)


@pytest.mark.parametrize("dtype", ["f4", "f8"])
@pytest.mark.parametrize("data", DATA)
@pytest.mark.parametrize("name", SHAPES)
def test_error_is_within_the_bound(name, data, dtype):
    x, weight, bias = arrays_of(name, data, dtype)
    options = SHAPES[name][2]
    y = run("convolution", geometry_of_shapes(name), (x, weight, bias))
    wide = [array.astype(np.longdouble if dtype == "f8" else np.float64) for array in (x, weight, bias)]
    exact = reference.conv(*wide, **options)
    of_reference = (weight[0].size + 2) * EPS[np.dtype("f8")] * reference.conv(*map(abs, wide), **options)
    assert np.all(abs(y - exact) - of_reference <= bound_of(name, x, weight, bias))


@pytest.mark.parametrize("name", SHAPES)
def test_errors_of_gradients_are_within_the_bound(name):
    geometry, options = geometry_of_shapes(name), SHAPES[name][2]
    x, weight, _ = arrays_of(name, "wide_range", "f4")
    gradient = DATA["wide_range"][0](np.random.default_rng(4), geometry.out_shape).astype("f4")
    outputs, channels, groups = weight.shape[0] // geometry.groups, weight.shape[1], geometry.groups

    def factor(correlation: Correlation, more: int = 0) -> float:
        elements = int(np.prod(choose_blocks(correlation).length))
        return (roundings(elements, correlation.sources) + more) * EPS[np.dtype("f4")]

    def norms(array: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
        flat = array.astype("f8").reshape(*shape, -1)
        return np.sqrt((np.maximum(abs(flat), np.finfo("f4").smallest_normal) ** 2).sum(axis=-1))

    of_gradient = norms(gradient, (len(x), groups, outputs))
    of_x, of_weight = norms(x, (len(x), groups, channels)), norms(weight, (groups, outputs, channels))

    error = abs(run("input_gradient", geometry, (gradient, weight, None)).astype("f8"))
    exact = reference.conv_input_gradient(gradient, weight, x.shape[2:], **options)
    error = abs(run("input_gradient", geometry, (gradient, weight, None)) - exact).reshape(len(x), groups, channels, -1)
    bound = factor(correlation_of(geometry, turned=True)) * np.einsum("ngo,goc->ngc", of_gradient, of_weight)
    assert np.all(error <= bound[..., None])

    exact = reference.conv_weight_gradient(gradient, x, weight.shape[2:], **options)
    error = abs(run("weight_gradient", geometry, (gradient, x)) - exact).reshape(groups, outputs, channels, -1)
    correlation = correlation_of(geometry)
    count = len(x) * int(np.prod(choose_blocks(correlation).counts))
    bound = factor(correlation, count) * np.einsum("ngo,ngc->goc", of_gradient, of_x)
    assert np.all(error <= bound[..., None])


def test_the_bound_knows_blocks():
    # a huge value disturbs no output of another block
    x, weight = np.zeros((1, 1, 3000)), np.ones((1, 1, 129))
    x[0, 0, 0], blocks = 1e30, choose_blocks(correlation_of(geometry_of_shapes("signal")))
    bound = reference.fft_bound(x, weight, length=blocks.length[2:], useful=blocks.useful[2:], pairs=False)
    assert blocks.counts[2] > 1
    assert np.all(bound[0, 0, : blocks.useful[2]] > 1e20)
    assert np.all(bound[0, 0, blocks.useful[2] :] < 1e-20)


# --- the same bits ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["f4", "f8"])
@pytest.mark.parametrize("name", SHAPES)
def test_bits_depend_neither_on_batch_nor_on_threads(name, dtype):
    geometry, (x, weight, bias) = geometry_of_shapes(name), arrays_of(name, dtype=dtype)
    one = replace(geometry, batch=1)
    many = replace(geometry, batch=3)
    images = np.concatenate([x[:1]] * 3)
    expected = run("convolution", one, (x[:1], weight, bias))
    gradient = np.random.default_rng(9).standard_normal(many.out_shape).astype(dtype)
    of_x = run("input_gradient", one, (gradient[2:], weight, None))
    of_weight = run("weight_gradient", many, (gradient, images))
    for threads in (1, 2, 3, 8):
        y = run("convolution", many, (images, weight, bias), threads)
        assert all(np.array_equal(image, expected[0]) for image in y)
        assert np.array_equal(run("input_gradient", many, (gradient, weight, None), threads)[2:], of_x)
        assert np.array_equal(run("weight_gradient", many, (gradient, images), threads), of_weight)


def test_large_products_are_cut():
    # BLAS may start threads for more multiplications
    rng = np.random.default_rng(6)
    for rows, columns in ((90, 80), (90, 1), (1, 80), (1, 1)):
        left, right = (rng.standard_normal(shape) + 1j for shape in ((2, rows, 70), (2, 70, columns)))
        np.testing.assert_allclose(scipy_fft.multiply_matrices(left, right), left @ right, atol=1e-12)


# --- memory and threads ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [1_000, 10_000, 10_000_000])
def test_memory_of_a_task_does_not_grow_with_the_image(size):
    for shapes in (((1, 1, size), (1, 1, 500)), ((1, 1, 300, size // 10), (1, 1, 15, 15))):
        problem = FftConvolution(Geometry.from_shapes(*shapes), 4, never)
        assert problem.scratch_bytes <= 8 * 2**20


def test_a_task_that_raises_ends_the_call():
    done = []

    def task(number: int) -> None:
        if number == 3:
            raise MemoryError("no memory")
        done.append(number)

    for threads in (1, 2, 4):
        done.clear()
        with pytest.raises(MemoryError, match="no memory"):
            run_tasks(task, 1000, threads)
        assert threads > 1 or done == [0, 1, 2]
    done.clear()
    run_tasks(done.append, 10, 2)
    assert sorted(done) == list(range(10))


def test_threads_that_cannot_be_started(monkeypatch):
    """The pool may raise after it has queued the work. Another of its threads may then take a task of the call."""
    has_task, may_end, ended = Event(), Event(), []

    class Full:
        def submit(self, work):
            Thread(target=work).start()
            assert has_task.wait(60)
            raise RuntimeError("can't start new thread")

    def task(number: int) -> None:
        if number == 0:
            has_task.set()
            assert may_end.wait(60)
        elif number == 1:
            Timer(0.1, may_end.set).start()
        ended.append(number)

    monkeypatch.setattr(python_tasks._pool, "started", Full)
    run_tasks(task, 5, 3)
    assert sorted(ended) == [0, 1, 2, 3, 4]


def test_fast_lengths_are_those_of_scipy():
    from scipy.fft import next_fast_len

    assert [scipy_fft_blocks.fast_length(n) for n in range(1, 3000)] == [
        next_fast_len(n, real=True) for n in range(1, 3000)
    ]


@pytest.mark.parametrize("name", [name for name in SHAPES if name != "depthwise"])
def test_twin(name):
    x, weight, _ = arrays_of(name)
    length = [
        dilation * (k - 1) + 12 for k, dilation in zip(weight.shape[2:], [SHAPES[name][2].get("dilation", 1)] * 3)
    ]
    y = reference.fft_conv(x, weight, **SHAPES[name][2], length=length)
    np.testing.assert_allclose(y, reference.conv(x, weight, **SHAPES[name][2]), atol=1e-10)


def test_several_callers():
    x, weight, _ = arrays_of("image_channels")
    geometry, options = geometry_of_shapes("image_channels"), SHAPES["image_channels"][2]
    gradient = np.ones(geometry.out_shape)
    expected = conv_weight_gradient(gradient, x, weight.shape[2:], **options, algorithm="fft")

    def compute(_: int) -> np.ndarray:
        with num_threads(3):
            return conv_weight_gradient(gradient, x, weight.shape[2:], **options, algorithm="fft")

    with ThreadPoolExecutor(4) as executor:
        assert all(np.array_equal(found, expected) for found in executor.map(compute, range(20)))


@pytest.mark.skipif(sys.platform == "win32", reason="needs fork")
def test_child_of_a_fork_starts_its_own_threads():
    code = """
        import os
        import numpy as np
        from gemmconv import conv_weight_gradient, num_threads

        x, gradient = np.random.default_rng(0).standard_normal((4, 1, 20000)), np.ones((4, 1, 19101))
        with num_threads(3):
            expected = conv_weight_gradient(gradient, x, (900,), algorithm="fft")
            child = os.fork()
            same = np.array_equal(conv_weight_gradient(gradient, x, (900,), algorithm="fft"), expected)
            if child == 0:
                os._exit(0 if same else 1)
            assert same and os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    """
    run_python(code)


@pytest.mark.parametrize("name", SHAPES)
def test_no_blocks_are_faster_than_the_least_time(name):
    correlation = correlation_of(geometry_of_shapes(name))
    least = scipy_fft_blocks.least_nanoseconds(correlation)
    assert least <= scipy_fft_blocks.estimate(correlation, choose_blocks(correlation))
