"""Scores in, D̂ out. numpy, numba and pyarrow only: no torch, no pixels."""
