"""How a plan computes, in words."""

from __future__ import annotations

from .checks.geometry import Geometry
from .checks.options import Sizes
from .engine.algorithms import pick
from .engine.calls import Call, Options, geometry_of


def described_computation(call: Call, itemsize: int, algorithm: str) -> str:
    """Return the algorithm, how the work is cut, scratch memory, and arithmetic, in four lines."""
    tiling, geometry = call.tiling, call.computed
    how = f"{call.problem.kernel}, with {call.problem.layout_bytes} bytes of laid-out weights; "
    if tiling is not None and call.problem.kernel == "gemm_conv":
        how = f"calls of BLAS for up to {tiling.channels} channels x {tiling.pixels} pixels x {tiling.taps} taps; "
    patches = geometry.reduction_length * geometry.groups * geometry.out_pixels * itemsize
    return (
        f"algorithm {algorithm}\n"
        f"{how}{call.problem.task_count} tasks for an image, on {call.threads} thread(s)\n"
        f"scratch {call.problem.scratch_bytes} bytes per thread (the whole patch matrix would have {patches})\n"
        f"arithmetic {geometry.operations / 1e6:.3f} MFLOP for an image"
    )


def described_gradients(input_shape: Sizes, weight_shape: Sizes, options: Options, computed: Geometry) -> str:
    """Return how the gradients are computed, in one line."""
    wish, last = str(options.algorithm), options.channels_last
    without_value = options._replace(padding_value=0)  # the gradient does not depend on it
    of_x = geometry_of(input_shape, weight_shape, without_value)[1]
    back = pick("input_gradient", of_x, wish, prepared=True, wish=True, channels_last=last)
    sums = pick("weight_gradient", computed, wish, wish=True, channels_last=last)
    return (
        f"gradients: of the input by {back.algorithm} ({back.kernel}), "
        f"of the weight by {sums.algorithm} ({sums.kernel})"
    )
