"""Times the convolution as a matrix: ``python -m gemmconv.bench.studies.matrices``.

* im2col against copying its result, and against `torch.nn.functional.unfold` where PyTorch is installed;
* building M against multiplying by it and by the operator.

PyTorch is imported and timed after all the rest, because its idle threads would take the processors from the others.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np

import gemmconv

from ..problems import Array
from ..worker import time_calls
from . import make_parser


def median_ms(function: Callable[[], object], seconds: float = 0.5) -> float:
    """Return the median time of a call in milliseconds."""
    function()
    return 1e3 * float(np.median(time_calls(function, seconds)))


def interleaved_ms(*functions: Callable[[], object], rounds: int = 5) -> list[float]:
    """Return the median over rounds, in each of which every function is timed."""
    return [float(np.median(times)) for times in zip(*[[median_ms(f, 0.1) for f in functions] for _ in range(rounds)])]


def time_im2col(x: Array, threads: int) -> tuple[float, float, float]:
    """Return the times of im2col, of copying its result on the same number of threads, and of col2im."""
    P = gemmconv.im2col(x, (3, 3), padding=1)
    copy, image = P.copy(), np.empty_like(x)
    parts = list(zip(np.array_split(copy, threads, axis=1), np.array_split(P, threads, axis=1)))
    copies = 10  # handing work to a Python thread would be a large part of the time of one

    def copy_part(part: tuple[Array, Array]) -> None:
        for _ in range(copies):
            np.copyto(*part)

    with ThreadPoolExecutor(threads) as pool:
        im2col, copying, col2im = interleaved_ms(
            lambda: gemmconv.im2col(x, (3, 3), padding=1, out=P),
            lambda: list(pool.map(copy_part, parts)),
            lambda: gemmconv.col2im(P, x.shape[2:], (3, 3), padding=1, out=image),
        )
    return im2col, copying / copies, col2im


def time_products(weight: Array, size: tuple[int, int], rng: np.random.Generator) -> None:
    """Print the times of building M, and of its products beside those of the operator."""
    M = gemmconv.convolution_matrix(weight, size, padding=1)
    A = gemmconv.ConvolutionOperator(weight, size, padding=1)
    v, g = (rng.standard_normal(length, np.float32) for length in M.shape[::-1])
    build = median_ms(lambda: gemmconv.convolution_matrix(weight, size, padding=1))
    by_m, by_a, back_m, back_a = interleaved_ms(lambda: M @ v, lambda: A @ v, lambda: M.T @ g, lambda: A.T @ g)
    counts = gemmconv.convolution_matrix_size(weight.shape, size, padding=1)
    print(f"16 channels of 32 x 32, 32 out, 3x3, padding 1: {counts.entries} entries")
    print(f"  building M as CSR    {build:8.3f} ms, {counts.nbytes} bytes; the operator holds {weight.nbytes}")
    for product, matrix, operator in (("M @ x", by_m, by_a), ("M.T @ g", back_m, back_a)):
        ratio = f"{matrix / operator:.0f} times as fast"
        print(f"  {product:<20} {matrix:8.3f} ms, by the operator {operator:.3f} ms: {ratio}")


def main() -> None:
    """Print the times."""
    parser = make_parser("matrices", __doc__)
    parser.add_argument("--threads", type=int, default=1, help="default: 1")
    threads = parser.parse_args().threads
    rng = np.random.default_rng(0)

    x = rng.standard_normal((1, 64, 56, 56), np.float32)
    with gemmconv.num_threads(threads):
        im2col, copying, col2im = time_im2col(x, threads)
        print(f"(1, 64, 56, 56), 3x3, padding 1, {threads} thread(s), reused outputs:")
        print(f"  im2col               {im2col:8.3f} ms")
        print(f"  copy of its result   {copying:8.3f} ms: im2col takes {im2col / copying:.2f} times as long")
        print(f"  col2im               {col2im:8.3f} ms")
        time_products(rng.standard_normal((32, 16, 3, 3), np.float32), (32, 32), rng)

    if importlib.util.find_spec("torch"):
        import torch

        torch.set_num_threads(threads)
        tensor = torch.from_numpy(x)
        unfold = median_ms(lambda: torch.nn.functional.unfold(tensor, 3, padding=1))
        print(f"torch's unfold         {unfold:8.3f} ms: im2col is {unfold / im2col:.1f} times as fast")


if __name__ == "__main__":
    main()
