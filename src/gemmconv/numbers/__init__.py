"""Numbers that C does not compute with: complex numbers, exact integers, and results that are rounded to other types.

Each operation on such arrays is done by the same operation on real arrays of a computing type, float32 or float64.

operation.py says what an operation is, and chooses among complex_numbers.py, integers.py (with the bounds of
integer_bounds.py) and rounding. narrow.py converts large inputs in bands. columns.py has im2col and col2im of any type,
bias_gradient.py the gradient of a bias.
"""
