"""Pickles of byte arrays, lists, texts and numbers, as CIFAR is published: read without running or trusting anything.

A pickle can run any program that its maker likes, and even numpy's own objects can be made to write where they should
not. So what a pickle may name here are stand-ins of ours, which accept arrays of bytes of just the size they say.
"""

import io
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from vidsemi.io.errors import UserError

MOST_BYTES = 2**28  # nearly twice the largest file of CIFAR
SHOWN = 200  # characters of what a file says, in messages
# What the pickles of CIFAR consist of, in the protocols of Python 2 and 3. Sets, copies of what is on the stack and the
# like are left out: a few bytes of them can make a value that takes years to look at.
OPCODES = set(
    b"\x80\x95.(N\x88\x89JKM\x8a"  # PROTO FRAME STOP MARK NONE NEWTRUE NEWFALSE BININT BININT1 BININT2 LONG1
    b"}su]ae)t\x85\x86\x87"  # EMPTY_DICT SETITEM SETITEMS EMPTY_LIST APPEND APPENDS EMPTY_TUPLE TUPLE TUPLE1 to 3
    b"TUX\x8cBC\x8e"  # BINSTRING SHORT_BINSTRING BINUNICODE SHORT_BINUNICODE BINBYTES SHORT_BINBYTES BINBYTES8
    b"qr\x94hjc\x93Rb"  # BINPUT LONG_BINPUT MEMOIZE BINGET LONG_BINGET GLOBAL STACK_GLOBAL REDUCE BUILD
)


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
        raise UserError(f"{file} is no pickle of arrays, or is damaged: {str(error)[:SHOWN]}") from None
    if not isinstance(content, dict):
        raise UserError(f"{file} holds a {type(content).__name__}, not the dict that CIFAR's files hold")
    return {as_text(key): value.values if isinstance(value, _Array) else value for key, value in content.items()}


def as_text(value: Any) -> str:
    """A text, which Python 2 may have written as bytes; empty for anything else, which may be too large to look at."""
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else value if isinstance(value, str) else ""


class _Array:
    """Stands for a numpy array of bytes."""

    def __init__(self) -> None:
        self.values: np.ndarray | None = None

    def __setstate__(self, state: Any) -> None:
        """What a pickle says of an array; its content is not copied, so a file cannot make itself larger."""
        _, shape, kind, by_column, content = state
        if not isinstance(kind, _Bytes) or not isinstance(content, bytes):
            raise pickle.UnpicklingError("it holds an array of something other than bytes, which no file of CIFAR does")
        if not all(type(size) is int and size >= 0 for size in shape):
            raise pickle.UnpicklingError("it holds an array of no size")
        self.values = np.frombuffer(content, np.uint8).reshape(shape, order="F" if by_column else "C")


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
KNOWN = {code: read for code, read in pickle._Unpickler.dispatch.items() if code in OPCODES}


class _Reader(pickle._Unpickler):
    """Python's own unpickler in Python: its memo takes as much memory as is in it, whatever numbers a pickle uses."""

    stack: Any
    pop_mark: Any

    def load_setitem(self) -> None:
        """The item of a dict."""
        value, key = self.stack.pop(), self.stack.pop()
        self._set([key, value])

    def load_setitems(self) -> None:
        """Items of a dict."""
        self._set(self.pop_mark())

    def refuse(self) -> None:
        """What CIFAR does not need."""
        raise pickle.UnpicklingError("it holds something of a kind that no file of CIFAR does")

    dispatch: ClassVar[dict[int, Any]] = {
        **dict.fromkeys(pickle._Unpickler.dispatch, refuse),
        **KNOWN,
        **{pickle.SETITEM[0]: load_setitem, pickle.SETITEMS[0]: load_setitems},
    }

    def _set(self, items: list[Any]) -> None:
        keys, own = items[::2], self.stack[-1]
        texts = all(isinstance(key, str | bytes) for key in keys)  # tuples in tuples may overflow the stack when hashed
        if not isinstance(own, dict) or not texts:
            raise pickle.UnpicklingError("it has a dict with keys that are no texts, which no file of CIFAR does")
        own.update(zip(keys, items[1::2], strict=True))

    def find_class(self, module: str, name: str) -> _Name:
        """The few things that a pickle of arrays may name."""
        if (module, name) not in NAMES:
            raise pickle.UnpicklingError(
                f"it asks for {module[:SHOWN]}.{name[:SHOWN]}, which no file of CIFAR does, so it is not read"
            )
        return _Name(NAMES[module, name])
