"""Checks of arguments: they raise before a result is allocated or anything is written.

options.py checks single options, shapes.py what shapes fit together, geometry.py and transposed_geometry.py a whole
operation, types.py the types of numbers, arrays.py the arrays themselves. An option that only one function has
(``format``, ``max_bytes``, a number of threads) is checked by that function. Nothing here computes a convolution.
"""
