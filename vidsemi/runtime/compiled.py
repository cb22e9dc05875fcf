"""Compile functions with numba."""

from collections.abc import Callable
from typing import Any, TypeVar

import numba

Function = TypeVar("Function", bound=Callable[..., Any])


def compiled(function: Function, **options: Any) -> Function:
    """Compile a function at its first call; keep the code on disk if a folder for it can be written to.

    Without one the first call of each process takes about a second longer. `options` are those of `numba.njit`.
    """
    try:
        faster: Function = numba.njit(cache=True, **options)(function)
    except RuntimeError:
        faster = numba.njit(**options)(function)
    return faster
