"""Look into a kernel that sharpens
================================

This explains a kernel that sharpens: it prints one output as a sum, and draws the matrices P, K and M.

Run it with::

    python examples/plot_sharpen.py sharpen.png

The picture has an edge: it is dark on the left and light on the right. Beside the edge, the output is even darker on
the left, and even lighter on the right. A notebook and the documentation site also show the page of the explanation, on
which you can change the numbers. It needs matplotlib (``pip install ".[examples]"``).
"""

import sys

import gemmconv

PICTURE = [[[10, 10, 10, 20, 20, 20]] * 3]
SHARPEN = [[[[0, -1, 0], [-1, 5, -1], [0, -1, 0]]]]

explanation = gemmconv.explain(PICTURE, SHARPEN, at=(0, 0, 2))
print(explanation.text(show=["x", "sum", "y"]))
explanation.figure().savefig(sys.argv[1])

explanation  # noqa: B018 - notebooks and the site show the value of the last line
