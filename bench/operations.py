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

Every one of them has as many multiplications in its direct sum as the forward convolution.
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
    """One row of the table above.

    Parameters
    ----------
    operands, result : str
        "input", "weight" or "output".
    function : str
        Its name in `gemmconv`, and in `gemmconv.reference`.
    sizes : dict
        Keyword argument of the function, beside those of `gemmconv.conv` -> the attribute of a `Problem`.
    what : str
        What it is, for people.
    """

    operands: tuple[str, str]
    result: str
    function: str
    sizes: dict[str, str]
    what: str

    def arrays(self, problem: Problem, dtype: str) -> tuple[Array, Array]:
        """Make the operands, the same on every call and in every process."""
        names = list(problem.shapes)
        last = max(map(names.index, self.operands))
        drawn = dict(zip(names, itertools.islice(problem.draw(dtype), last + 1)))
        first, second = (drawn[name] for name in self.operands)
        return first, second

    def result_shape(self, problem: Problem) -> tuple[int, ...]:
        """Return the shape of the result."""
        return problem.shapes[self.result]

    def terms(self, problem: Problem) -> float:
        """Return the number of products in the sum of an element of the result, in the mean."""
        return problem.flops / 2 / math.prod(self.result_shape(problem))

    def bind(self, module: ModuleType, problem: Problem) -> Callable[..., Array]:
        """Return the function of a module, to be called with the operands.

        Parameters
        ----------
        module : module
            `gemmconv` or `gemmconv.reference`.
        problem : Problem
            The geometry.

        Returns
        -------
        callable
            It takes both operands, and other keyword arguments if the function has them.
        """
        function: Callable[..., Array] = getattr(module, self.function)
        options = problem.options | {name: getattr(problem, attribute) for name, attribute in self.sizes.items()}
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
    """Compute what the transposed convolution appends to its output, for libraries that do not take the output's size.

    Parameters
    ----------
    problem : Problem
        The matching forward convolution.

    Returns
    -------
    tuple of int
        One number per axis, less than the stride: how many of the last inputs the forward convolution does not reach.
    """
    sizes = zip(problem.input_size, problem.output_size, problem.kernel_size, *problem.spatial_options.values())
    return tuple(
        size + 2 * padding - dilation * (kernel - 1) - 1 - stride * (outputs - 1)
        for size, outputs, kernel, stride, padding, dilation in sizes
    )
