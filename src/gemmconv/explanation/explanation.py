"""Explanation: one convolution told with its numbers. `explain` makes one from arrays, `example` from a name."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from ..checks.arrays import Array
from ..checks.options import Ints, Padding, PaddingMode, Sizes
from ..matrices import convolution_matrix, kernel_matrix, tied_weights
from ..matrix_sizes import check_limit
from . import code, exports
from . import counts as counting
from .check import check_patches, patches
from .counts import Counts
from .display import Displayed
from .examples import problem_of
from .facts import Facts, Places, Readers, Terms, Window
from .grids import coloured, plain
from .problem import Options, Problem
from .selection import index_of, middle_output, seen_input, used_weight
from .text import ALL, DEFAULT, write
from .view import View

if TYPE_CHECKING:  # its import takes longer than all the rest
    from scipy.sparse import csr_array, sparray

# The fewest columns of a text.
NARROWEST = 60
# The size of the largest matrix to build, in bytes, unless another is given.
MAX_BYTES = 2**30


def explain(
    x: ArrayLike,
    weight: ArrayLike,
    bias: ArrayLike | None = None,
    *,
    stride: Ints = 1,
    padding: Padding = 0,
    dilation: Ints = 1,
    groups: int = 1,
    padding_mode: PaddingMode = "zeros",
    padding_value: float = 0,
    flip: bool = False,
    transposed: bool = False,
    output_padding: Ints = 0,
    output_size: Ints | None = None,
    grad_output: ArrayLike | None = None,
    at: Sequence[int] | None = None,
    max_bytes: int = MAX_BYTES,
) -> Explanation:
    r"""Explain a convolution (cross-correlation) with its own numbers: windows, matrices, and the sum of one output.

    ``print(gemmconv.explain(x, weight))`` shows it. The layer may be of any size: only what is shown is computed.

    Parameters
    ----------
    x : array_like of shape (C, \*spatial)
        The input, one image.
    weight : array_like of shape (O, C/groups, \*kernel)
        The kernels. For a transposed convolution it has the shape (C, O/groups, \*kernel).
    bias : array_like of shape (O,), optional
        One value per output channel.
    stride, padding, dilation, groups, padding_mode, padding_value, flip : optional
        As in `gemmconv.conv`.
    transposed : bool, optional
        Whether to explain the transposed convolution, `gemmconv.conv_transpose`. It has neither `padding_value` nor
        `flip`.
    output_padding, output_size : optional
        As in `gemmconv.conv_transpose`.
    grad_output : array_like of shape (O, \*output), optional
        The gradient of a loss with respect to the output. Without it, it is 1 everywhere.
    at : sequence of int, optional
        The output that is written out: its channel and its position. By default it is the one in the middle of
        channel 0.
    max_bytes : int, optional
        The size of the largest P, M or `ties` to build, in bytes. They are built when they are first asked for.

    Returns
    -------
    Explanation
        ``str()`` of it is a text. Its attributes are the numbers of which the text is made.

    Raises
    ------
    TypeError, ValueError
        As in `gemmconv.conv`, and if x is a batch, or `at` is no output.

    Examples
    --------
    >>> from gemmconv import explain
    >>> explanation = explain([[1, 2, 3, 4]], [[[5, 6, 7]]])
    >>> explanation.y
    array([[38., 56.]])
    >>> print(explanation.text(show=["sum"]), end="")
    ONE OUTPUT    y[0, 0] = row 0 of K times column 0 of P
      row 0 of M, columns 0, 1, 2
      channel 0   5*1 + 6*2 + 7*3  = 38
    """
    content = padding_mode, padding_value
    options = Options(stride, padding, dilation, groups, *content, flip, transposed, output_padding, output_size)
    return Explanation(Problem.make(x, weight, bias, options, grad_output), at, max_bytes)


def example(name: str) -> Explanation:
    """Return the explanation of a named example of a convolution (cross-correlation).

    Parameters
    ----------
    name : str
        One of ``gemmconv.explanation.EXAMPLES``.

    Returns
    -------
    Explanation
        The explanation.

    Raises
    ------
    ValueError
        If there is no such example.

    Examples
    --------
    >>> from gemmconv.explanation import example
    >>> example("full").y
    array([[ 5., 16., 34., 52., 45., 28.]])
    """
    return Explanation(*problem_of(name))


class Explanation(Displayed):
    """The explanation of one convolution (cross-correlation); `gemmconv.explain` makes it.

    It does not change, and it can be pickled. Indices of weights, inputs and outputs in the results of `terms`,
    `readers` and `places` are flat: ``numpy.unravel_index(index, explanation.y.shape)``.

    Parameters
    ----------
    problem : Problem
        The arrays and the options.
    at : sequence of int, optional
        The output that is written out.
    max_bytes : int, optional
        The size of the largest P, M or `ties` to build, in bytes.

    Raises
    ------
    TypeError, ValueError
        If `at` is no output.

    Examples
    --------
    >>> from gemmconv import explain
    >>> explanation = explain([[1, 2, 3, 4]], [[[5, 6, 7]]])
    >>> explanation
    Explanation(x (1, 4), weight (1, 1, 3), y (1, 2))
    >>> explanation.K @ explanation.P
    array([[38., 56.]])
    >>> explanation.M.toarray()
    array([[5., 6., 7., 0.],
           [0., 5., 6., 7.]])
    >>> explanation.terms((0, 1)).values
    array([2., 3., 4.])
    """

    def __init__(self, problem: Problem, at: Sequence[int] | None = None, max_bytes: int = MAX_BYTES) -> None:
        self._facts, self._max_bytes = Facts(problem), check_limit(max_bytes)
        self._at = index_of("at", "y", at, problem.y_shape, middle_output(problem.y_shape))

    def __repr__(self) -> str:
        """Return one line with the shapes."""
        problem = self._facts.problem
        return f"Explanation(x {problem.x.shape}, weight {problem.weight.shape}, y {problem.y_shape})"

    def __str__(self) -> str:
        """Return the text."""
        return self.text()

    def __reduce__(self) -> tuple[Any, ...]:
        """Return what makes it again."""
        return Explanation, (self._facts.problem, self.at, self._max_bytes)

    @property
    def at(self) -> Sizes:
        """The output that is written out."""
        return self._at

    @property
    def problem(self) -> Problem:
        """The arrays and the options."""
        return self._facts.problem

    @property
    def y(self) -> Array:
        """The output. It is computed with ``algorithm="gemm"``, which is exact on small integers."""
        if self._facts.y is None:
            raise ValueError(f"y of shape {self.problem.y_shape} is not computed: the layer is too large")
        return self._facts.y

    @cached_property
    @np.errstate(invalid="ignore", over="ignore")
    def P(self) -> Array:  # noqa: N802 - the name of the matrix
        """The patch matrix; for a transposed convolution, K.T @ X, whose columns are added up."""
        x = self._array("x")
        check_patches(self.problem, self._shape_of("P"), self._max_bytes)
        if self.problem.transposed:
            return np.asarray(self.K.T @ x.reshape(len(x), -1))
        return patches(self.problem)

    @cached_property
    def K(self) -> Array | csr_array:  # noqa: N802
        """The kernel matrix."""
        flip = bool(self.problem.options.flip)
        return kernel_matrix(self._array("weight"), groups=self.problem.geometry.groups, flip=flip)

    @cached_property
    def M(self) -> sparray:  # noqa: N802
        """The convolution matrix, sparse; for a transposed convolution, its transpose."""
        options = {**self.problem.linear_options, "max_bytes": self._max_bytes}
        matrix = convolution_matrix(self._array("weight"), self._input_size(), **options)
        return matrix.T.tocsr() if self.problem.transposed else matrix

    @property
    def c(self) -> Array:
        """What a padding value other than 0 adds: ``y == (M @ x.ravel()).reshape(y.shape) + c``, and the bias."""
        if not self._facts.is_computed:
            raise ValueError(f"c of shape {self.problem.y_shape} is not computed: the layer is too large")
        return self._facts.constant

    @cached_property
    def ties(self) -> csr_array:
        """Which weight each entry of M is, as in `gemmconv.tied_weights`; for a transposed one, the transpose."""
        options = {**self.problem.linear_options, "max_bytes": self._max_bytes}
        ties = tied_weights(self.problem.weight.shape, self._input_size(), **options)
        return ties.T.tocsr() if self.problem.transposed else ties

    @cached_property
    def counts(self) -> Counts:
        """The counts of weights, connections and multiplications."""
        return counting.count(self.problem)

    def window(self, at: Sequence[int] | None = None) -> Window:
        """Return what one output sees of x: channels and positions."""
        return self._facts.window(index_of("at", "y", at, self.problem.y_shape, self.at))

    def terms(self, at: Sequence[int] | None = None) -> Terms:
        """Return the terms of one output."""
        return self._facts.terms(index_of("at", "y", at, self.problem.y_shape, self.at))

    def readers(self, input_at: Sequence[int] | None = None) -> Readers:
        """Return the outputs that read one input; by default it is one that the output ``at`` reads."""
        return self._facts.readers(
            index_of("input_at", "x", input_at, self.problem.x.shape, seen_input(self._facts, self.at))
        )

    def places(self, weight_at: Sequence[int] | None = None) -> Places:
        """Return the entries of M that are one weight; by default it is one that the output ``at`` uses."""
        shape = self.problem.weight.shape
        return self._facts.places(index_of("weight_at", "weight", weight_at, shape, used_weight(self._facts, self.at)))

    def text(
        self,
        width: int = 100,
        show: Sequence[str] | None = None,
        *,
        letters: bool | None = None,
        backward: bool = False,
        color: bool = False,
        digits: int = 4,
        weight_at: Sequence[int] | None = None,
        input_at: Sequence[int] | None = None,
    ) -> str:
        """Return the explanation as text.

        Parameters
        ----------
        width : int, optional
            The most columns of a line, at least 60.
        show : sequence of str, optional
            The sections, in this order: ``"size"``, ``"x"``, ``"weight"``, ``"K"``, ``"P"``, ``"Y"``, ``"sum"``,
            ``"y"``, ``"M"``, ``"counts"``, ``"backward"``, ``"code"``.
        letters : bool, optional
            Whether to show M by letters (True) or by numbers (False). By default it is shown by letters, with the
            numbers beside them where both fit.
        backward : bool, optional
            Whether to add the gradients of one weight and of one input.
        color : bool, optional
            Whether to colour the taps, with the escape codes of terminals.
        digits : int, optional
            The number of significant digits of numbers that are not integers.
        weight_at, input_at : sequence of int, optional
            The weight and the input whose gradients are written out. Giving one of them implies `backward`.

        Returns
        -------
        str
            The lines, in ASCII.
        """
        if width < NARROWEST:
            raise ValueError(f"width must be at least {NARROWEST}, not {width}")
        view = self._view(weight_at, input_at)
        sections = [*(DEFAULT if show is None else show)]
        if (backward or view.backward) and "backward" not in sections:
            sections.append("backward")
        for name in sections:
            if name not in ALL:
                raise ValueError(f"there is no section {name!r}; the sections are {', '.join(ALL)}")
        view = replace(view, width=width, digits=digits, letters=letters, paint=coloured if color else plain)
        return write(view, sections, check=show is None)

    def code(self, library: str | None = None) -> str:
        """Return a program that computes the same, with gemmconv, numpy, torch, scipy, jax or matlab.

        Without a name it is the programs of all of them, and for those that cannot, the reason. With the name of one
        that cannot, it raises a ValueError.
        """
        return code.write_all(self.problem) if library is None else code.write(self.problem, library)

    def latex(self, matrix: str = "M") -> str:
        r"""Return one of the matrices ``"P"``, ``"K"`` and ``"M"`` in LaTeX, where no connection is ``\cdot``."""
        if matrix not in ("P", "K", "M"):
            raise ValueError(f"matrix must be 'P', 'K' or 'M', not {matrix!r}")
        exports.check_latex(matrix, self._shape_of(matrix))
        array = getattr(self, matrix)
        if isinstance(array, np.ndarray):
            return exports.latex(matrix, array)
        stored = array.copy()
        stored.data = np.ones_like(stored.data)
        return exports.latex(matrix, array.toarray(), stored.toarray() != 0)

    @np.errstate(invalid="ignore", over="ignore")
    def json(self, *, weight_at: Sequence[int] | None = None, input_at: Sequence[int] | None = None) -> str:
        """Return all numbers as JSON. Arrays of more than 20000 numbers are null.

        The rows of M are lists of [column, weight, value]; a padding mode other than zeros may give a column twice.
        """
        view, counts = self._view(weight_at, input_at), self.counts
        small = self._facts.is_computed and self.problem.weight.size <= exports.MOST_NUMBERS
        K = self.K if small and self.problem.weight.shape[0] * counts.patch_rows <= exports.MOST_NUMBERS else None
        P = self.P if small and counts.patch_rows * counts.patch_columns <= exports.MOST_NUMBERS else None
        dense = K if K is None or isinstance(K, np.ndarray) else K.toarray()
        return exports.to_json(view, dense, P, exports.rows_of(view))

    def _shape_of(self, matrix: str) -> tuple[int, int]:
        counts = self.counts
        return {
            "K": (self.problem.weight.shape[0], counts.patch_rows),
            "P": (counts.patch_rows, counts.patch_columns),
            "M": (counts.outputs, counts.inputs),
        }[matrix]

    def _view(self, weight_at: Sequence[int] | None, input_at: Sequence[int] | None) -> View:
        backward = weight_at is not None or input_at is not None
        weight_at = index_of(
            "weight_at", "weight", weight_at, self.problem.weight.shape, used_weight(self._facts, self.at)
        )
        input_at = index_of("input_at", "x", input_at, self.problem.x.shape, seen_input(self._facts, self.at))
        return View(self._facts, self.at, weight_at, input_at, backward=backward)

    def _array(self, name: str) -> Array:
        numbers = getattr(self.problem, name)
        if numbers.array is None:
            raise ValueError(f"{name} of shape {numbers.shape} is not built: it is too large")
        return np.asarray(numbers.array)

    def _input_size(self) -> Sizes:
        return self.problem.geometry.in_size[3 - self.problem.rank :]
