"""Scores in, D̂ out. numpy and pyarrow only: no torch, no pixels."""
