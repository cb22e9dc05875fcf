"""Scores → pseudo-labeled set. numpy, numba and pyarrow only: no torch, no video."""
