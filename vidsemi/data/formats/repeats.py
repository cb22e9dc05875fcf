"""Rows that name one file twice: refused if they contradict each other, else reported."""

import os
from collections.abc import Mapping, Sequence
from typing import Any

from vidsemi.io.errors import UserError
from vidsemi.io.tables import printable

PART = ("start", "end", "member", "offset")  # what tells apart examples that are in one file


def check_repeats(columns: Mapping[str, Sequence[Any]], lines: Sequence[int], unique: bool = False) -> int:
    """Look for examples that are the same part of the same file.

    Args:
        columns: of a manifest.
        lines: where each example is listed; empty if it is in no list.
        unique: refuse them even if their labels are equal.

    Returns:
        How many repeat one before.

    Raises:
        UserError: two of them have different labels, or any are repeated and must be `unique`.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    paths = columns["path"]
    if pc.count_distinct(pa.array(paths, pa.string())).as_py() == len(paths):
        return 0
    first_of: dict[tuple[Any, ...], int] = {}
    labels = columns.get("label")
    repeated = 0
    for number, part in enumerate(zip(paths, *(columns[name] for name in PART if name in columns), strict=True)):
        first = first_of.setdefault(part, number)
        if first == number:
            continue
        repeated += 1
        where = f"lines {lines[first]} and {lines[number]}" if lines else "two examples"
        path = printable(os.fspath(part[0]))
        if labels is not None and labels[first] != labels[number]:
            names = " and ".join(f"'{printable(labels[row] or '')}'" for row in (first, number))
            raise UserError(
                "scan.conflicting_labels", f"{where} are the same file, {path}, with the labels {names}; keep one"
            )
        if unique:
            raise UserError("scan.repeated_file", f"{where} are the same file, {path}; keep one of them")
    return repeated
