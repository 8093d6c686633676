"""Numbers that C does not compute with: complex numbers, exact integers, and results that are rounded to other types.

Each operation on such arrays is done by the same operation on real arrays of a computing type, float32 or float64.
"""
