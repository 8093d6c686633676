"""What may be computed of a problem: the convolution, its two gradients, and the transposed convolution.

Operands and results are called after the array of the forward convolution that has the same shape. So the gradient of
the output is an "output", and the transposed convolution, whose matching forward convolution the problem is, makes an
"input" out of an "output".

==================  ====================  ========  =================================
operation           operands              result    function
==================  ====================  ========  =================================
``forward``         input, weight         output    `gemmconv.conv`
``input_gradient``  output, weight        input     `gemmconv.conv_input_gradient`
``weight_gradient`` output, input         weight    `gemmconv.conv_weight_gradient`
``transpose``       output, weight        input     `gemmconv.conv_transpose`
==================  ====================  ========  =================================

The direct sum of each of them has the same number of multiplications as that of the forward convolution.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from types import ModuleType
from typing import NamedTuple

from .problems import Array, Problem

FORWARD = "forward"


class Operation(NamedTuple):
    """One row of the table above: `operands` and `result` are "input", "weight" or "output"."""

    operands: tuple[str, str]
    result: str
    function: str
    """Its name in `gemmconv`, and in `gemmconv.reference`."""
    sizes: dict[str, str]
    """Its keyword arguments that `gemmconv.conv` does not have, -> the attribute of a `Problem`."""
    what: str
    """What it is, for people."""

    def arrays(self, problem: Problem, dtype: str) -> tuple[Array, Array]:
        """Make the operands, the same on every call and in every process."""
        names = list(problem.shapes)
        last = max(map(names.index, self.operands))
        drawn = dict(zip(names, itertools.islice(problem.draw(dtype), last + 1)))
        first, second = (drawn[name] for name in self.operands)
        return first, second

    def result_shape(self, problem: Problem) -> tuple[int, ...]:
        """Return the shape of what is computed."""
        return problem.shapes[self.result]

    def terms(self, problem: Problem) -> float:
        """Return the number of products in the sum of an element of the result, in the mean."""
        return problem.flops / 2 / math.prod(self.result_shape(problem))

    def bind(self, module: ModuleType, problem: Problem) -> Callable[..., Array]:
        """Return the function of `gemmconv` or `gemmconv.reference`, to be called with the two operands.

        It also takes the other keyword arguments that the function has.
        """
        function: Callable[..., Array] = getattr(module, self.function)
        options = problem.options | {name: getattr(problem, attribute) for name, attribute in self.sizes.items()}
        options["channels_last"] = problem.channels_last
        return lambda first, second, **others: function(first, second, **options, **others)


#: Name of an operation, as after ``--op``, -> the operation.
OPERATIONS = {
    FORWARD: Operation(("input", "weight"), "output", "conv", {}, "convolution"),
    "input_gradient": Operation(
        ("output", "weight"), "input", "conv_input_gradient", {"input_size": "input_size"}, "gradient of the input"
    ),
    "weight_gradient": Operation(
        ("output", "input"), "weight", "conv_weight_gradient", {"kernel_size": "kernel_size"}, "gradient of the weight"
    ),
    "transpose": Operation(
        ("output", "weight"), "input", "conv_transpose", {"output_size": "input_size"}, "transposed convolution"
    ),
}


def output_padding(problem: Problem) -> tuple[int, ...]:
    """Return the output padding of the transposed convolution, for libraries that do not take the output's size.

    It is the number of inputs at the end of each axis that the forward convolution does not reach.
    """
    sizes = zip(problem.input_size, problem.output_size, problem.kernel_size, *problem.spatial_options.values())
    return tuple(
        size + 2 * padding - dilation * (kernel - 1) - 1 - stride * (outputs - 1)
        for size, outputs, kernel, stride, padding, dilation in sizes
    )
