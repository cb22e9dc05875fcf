"""Pickles of byte arrays, lists, texts and numbers, as CIFAR is published: read without running or trusting anything.

A pickle can run any program that its maker likes, and even numpy's own objects can be made to write where they should
not. So what a pickle may name here are stand-ins of ours, which accept arrays of bytes of just the size they say.
"""

import io
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from vidsemi.errors import UserError

MOST_BYTES = 2**30  # six times the largest file of CIFAR


def load_pickle(file: Path) -> dict[str, Any]:
    """A pickled dict; texts of Python 2 are bytes, its keys are texts.

    Raises:
        UserError: there is no such file, it is damaged, or asks for anything else.
    """
    try:
        size = file.stat().st_size
        data = b"" if size > MOST_BYTES else file.read_bytes()
    except OSError as error:
        raise UserError(f"{file}: {error.strerror or error}") from None
    if size > MOST_BYTES:
        raise UserError(f"{file} has {size} bytes, far more than a file of CIFAR")
    try:
        content = _Reader(io.BytesIO(data), encoding="bytes").load()
    except pickle.UnpicklingError as error:
        raise UserError(f"{file}: {error}") from None
    except Exception as error:  # a damaged pickle fails in as many ways as there are values
        raise UserError(f"{file} is no pickle of arrays, or is damaged: {error}") from None
    if not isinstance(content, dict):
        raise UserError(f"{file} holds a {type(content).__name__}, not the dict that CIFAR's files hold")
    return {as_text(key): value.values if isinstance(value, _Array) else value for key, value in content.items()}


def as_text(value: Any) -> str:
    """A text, which Python 2 may have written as bytes; of anything else its representation."""
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)


class _Array:
    """Stands for a numpy array of bytes."""

    def __init__(self) -> None:
        self.values: np.ndarray | None = None

    def __setstate__(self, state: Any) -> None:
        """What a pickle says of an array; its content is not copied, so a file cannot make itself larger."""
        _, shape, kind, by_column, content = state
        if not isinstance(kind, _Bytes) or by_column or not isinstance(content, bytes):
            raise pickle.UnpicklingError("it holds an array of something other than bytes, which no file of CIFAR does")
        self.values = np.frombuffer(content, np.uint8).reshape([int(size) for size in shape])


class _Bytes:
    """Stands for numpy's type of unsigned bytes, which has no state that matters."""

    def __setstate__(self, state: Any) -> None:
        """Byte order and the like."""


class _Name:
    """Stands for what a pickle names and then calls."""

    def __init__(self, make: Callable[..., Any]):
        self._make = make

    def __call__(self, *arguments: Any) -> Any:
        """What comes out of the call."""
        return self._make(*arguments)

    def __setstate__(self, state: Any) -> None:
        """No pickle may change it."""
        raise pickle.UnpicklingError("it changes what it names, which no file of CIFAR does")


def _byte_type(name: Any, *_: Any) -> _Bytes:
    if as_text(name) not in ("u1", "|u1"):
        raise pickle.UnpicklingError("it holds an array of something other than bytes, which no file of CIFAR does")
    return _Bytes()


NAMES: dict[tuple[str, str], Callable[..., Any]] = {
    ("numpy.core.multiarray", "_reconstruct"): lambda *_: _Array(),
    ("numpy._core.multiarray", "_reconstruct"): lambda *_: _Array(),
    ("numpy", "ndarray"): lambda *_: _Array(),
    ("numpy", "dtype"): _byte_type,
}


class _Reader(pickle._Unpickler):
    """Python's own unpickler in Python: its memo takes as much memory as is in it, whatever numbers a pickle uses."""

    dispatch = {  # noqa: RUF012 (as in the class above)
        code: read
        for code, read in pickle._Unpickler.dispatch.items()
        if code != pickle.BYTEARRAY8[0]  # which takes the memory that it names before it reads
    }

    def find_class(self, module: str, name: str) -> _Name:
        """The few things that a pickle of arrays may name."""
        if (module, name) not in NAMES:
            raise pickle.UnpicklingError(f"it asks for {module}.{name}, which no file of CIFAR does, so it is not read")
        return _Name(NAMES[module, name])
