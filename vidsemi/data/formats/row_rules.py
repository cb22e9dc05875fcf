"""What the values of one row of a table may be, and what becomes of them."""

import os
from collections.abc import Callable
from functools import partial
from typing import Any

from vidsemi.data.formats.media_files import is_utf8


class BrokenRowError(ValueError):
    """A row that is not an example; says why without quoting it, since it may contain anything."""


def locate(path: Any, name: Any, folder: str, find: Callable[[str], str | None]) -> str | None:
    """The path of a row's file; None if it is given by id and does not exist."""
    if path is not None and path != "":
        path = text_value(path, "path") or ""
        if "\\" in path and not os.path.exists(os.path.join(folder, path)):  # as Windows writes it
            slashed = path.replace("\\", "/")
            path = slashed if os.path.exists(os.path.join(folder, slashed)) else path
        return path if "://" in path else os.path.join(folder, path)
    if type(name) is int:  # as JSON may have it
        name = str(name)
    if name is None or name == "":
        raise BrokenRowError("has neither path nor id")
    if not isinstance(name, str) or not name.isprintable():  # lone surrogates are not
        raise BrokenRowError("has an id that is not text")
    return find(name)


def text_value(value: Any, what: str) -> str | None:
    """A text or whole number as text; None for an empty one."""
    if value is None or value == "":
        return None
    if type(value) is int:  # 7 is a label too
        return str(value)
    if what == "label" and isinstance(value, list) and len(value) > 1:
        raise BrokenRowError("has several labels, and an example has one")
    if not isinstance(value, str) or "\0" in value or not is_utf8(value):
        raise BrokenRowError(f"has a {what} that is not text")
    return value


def tag_field(field: Any) -> str | list[str] | None:
    """A field of tags, text or a list of texts; bytes that are not UTF-8 are dropped from the tags later."""
    if isinstance(field, list) and None in field:  # Parquet's nulls, JSON's null
        field = [tag for tag in field if tag is not None]
    if field is None or isinstance(field, str) or (isinstance(field, list) and set(map(type, field)) <= {str}):
        return field
    raise BrokenRowError("has tags that are neither text nor a list of texts")


def _number(kind: Callable[[Any], int | float], value: Any, what: str) -> Any:
    if value is None or value == "":
        return None
    try:
        number = kind(value)
        # int() truncates 1.5, and Parquet's integers have 64 bits
        if not isinstance(value, bool) and (number == value or isinstance(value, str)) and abs(number) < 2**63:
            return number
    except (TypeError, ValueError, OverflowError):
        pass
    raise BrokenRowError(f"has a column {what} that is not a {'number' if kind is float else 'whole number'}")


_seconds, _bytes = partial(_number, float), partial(_number, int)
PARSERS: dict[str, Callable[[Any, str], Any]] = {
    **{"group": text_value, "start": _seconds, "end": _seconds, "member": text_value},
    **{"offset": _bytes, "size": _bytes, "frames_per_second": _seconds},
}
