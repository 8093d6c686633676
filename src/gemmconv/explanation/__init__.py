"""Explanations: one convolution, told with its own numbers as a window, as matrices and as sums.

`explain` is the way in; ``gemmconv explain`` is the same in a terminal. The data go one way: a `Problem` (problem.py)
holds the arrays and the options, `Facts` (facts.py) says which weight meets which input, and the others write it:
text.py as text, picture.py as a picture, page.py as a page, code.py as programs, exports.py as JSON and LaTeX. Only the
command and `explain` use this package; convolutions do not.
"""

from .examples import EXAMPLES
from .explanation import Explanation, example, explain

__all__ = ["EXAMPLES", "Explanation", "example", "explain"]
