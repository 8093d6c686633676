"""The engine: the ways to compute each operation, their costs, the choice among them, and prepared calls.

The files, in the order in which a call of a public function meets them: calls.py (prepared calls), algorithms.py (the
choice among the ways of an operation), ways.py and channels_last_ways.py (the ways), kernels.py (the table of the C
kernels), costs.py (what work they do, from the numbers in counts.py), rates.py (how long a unit of it takes), tiling.py
and phases.py (how work is cut), normal_form.py (geometries), blas.py (SciPy's BLAS), weights.py (the weight of a plan).
Beside them: extension.py (images with their padding), channels_last.py (copies of arrays with channels last, and
gradients that are products), empty.py (arrays without elements).

calls.py has the arguments checked (checks/); the other files get checked geometries. All arithmetic on arrays is done
in C (csrc/).
"""
