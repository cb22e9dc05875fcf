"""Which outputs of a teacher stand for which classes: by their names, or by a CSV file with pairs of names."""

import csv
import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from vidsemi.data.class_names import class_name, first_names
from vidsemi.io.errors import UserError
from vidsemi.io.tables import from_csv_cell, printable

DROPPED = -1
COLUMNS = ("teacher_class", "class")
SHOWN = 5  # names that a message has
NEAREST = 3  # names of a teacher that may be meant by one of ours


@dataclass(frozen=True)
class ClassMap:
    """Sums the scores of a network's outputs to those of classes.

    Scores of dropped outputs are lost, so that the classes of an example that shows none of them all score low.
    """

    classes: list[str]
    outputs: list[int]  # for each output of the network the index of its class, or `DROPPED`

    @property
    def known(self) -> list[int]:
        """Indices of the classes that have an output, ascending."""
        return sorted(set(self.outputs) - {DROPPED})

    def places(self) -> np.ndarray:
        """Return for each class the indices of its outputs, (classes, n) int64; the number of outputs fills up rows."""
        groups: list[list[int]] = [[] for _ in self.classes]
        for place, own in enumerate(self.outputs):
            if own != DROPPED:
                groups[own].append(place)
        width = max(map(len, groups))
        return np.array([[*group, *[len(self.outputs)] * (width - len(group))] for group in groups], np.int64)


def map_classes(theirs: Sequence[str], ours: Sequence[str], pairs: Mapping[str, str]) -> ClassMap:
    """Map a teacher's outputs, by name, to classes; `pairs` are names of theirs and ours."""
    numbers = {name: number for number, name in enumerate(ours)}
    return ClassMap([*ours], [numbers[pairs[name]] if name in pairs else DROPPED for name in theirs])


def read_class_map(file: Path, theirs: Sequence[str], ours: Sequence[str] | None) -> dict[str, str]:
    """Read pairs of class names: a CSV with the columns `teacher_class` and `class`, one class of the teacher a line.

    Without a class, or without that column, the teacher's name is ours too. Lines of one class are summed.

    Args:
        file: the CSV file.
        theirs: names of the teacher's outputs.
        ours: the classes that may be named; None for any.

    Returns:
        Their name → ours.

    Raises:
        UserError: the file is missing, empty or damaged, or names a class that does not exist or a teacher's twice.
    """
    known = {class_name(name): name for name in theirs}
    allowed = None if ours is None else {class_name(name): name for name in ours}
    pairs: dict[str, str] = {}
    for number, row in _rows(file):
        where = f"{file}: line {number}"
        name = class_name(from_csv_cell(row[COLUMNS[0]] or ""))
        own = class_name(from_csv_cell(row.get(COLUMNS[1]) or "")) or name
        if name not in known:
            raise UserError("class_map.unknown_output", f"{where}: {_unknown(name, theirs)} of the teacher")
        if allowed is not None and own not in allowed:
            raise UserError("class_map.unknown_class", f"{where}: {_unknown(own, ours or ())} of the labeled set")
        if known[name] in pairs:
            raise UserError(
                "class_map.output_twice", f"{where}: the teacher's class '{printable(name)}' is there twice"
            )
        pairs[known[name]] = own if allowed is None else allowed[own]
    if not pairs:
        raise UserError("class_map.empty", f"{file} has no class names below its header")
    return pairs


def unmatched_classes(theirs: Sequence[str], ours: Sequence[str]) -> str:
    """Classes of ours in words, each with the nearest names among theirs."""
    shown = "; ".join(f"'{printable(name)}'{_nearest(name, theirs)}" for name in ours[:SHOWN])
    return shown + (f"; and {len(ours) - SHOWN} more" if len(ours) > SHOWN else "")


def refuse_disjoint(name: str, theirs: Sequence[str], ours: Sequence[str]) -> UserError:
    """Return the error for a teacher that knows none of our classes."""
    return UserError(
        "teacher.no_common_class",
        f"{name} knows none of the {len(ours)} classes of the labeled set by name; its {len(theirs)} classes are "
        f"{first_names(theirs)}, and the labels are {unmatched_classes(theirs, ours)}. Pairs of names in a CSV file "
        "map them: teacher.class_map",
    )


def _nearest(name: str, theirs: Sequence[str]) -> str:
    near = difflib.get_close_matches(name, theirs, n=NEAREST)
    names = ", ".join(f"'{printable(own)}'" for own in near)
    return f" (near: {names})" if near else ""


def _unknown(name: str, classes: Sequence[str]) -> str:
    return f"'{printable(name)}'{_nearest(name, classes)} is not one of the {len(classes)} classes"


def _rows(file: Path) -> list[tuple[int, dict[str, str | None]]]:
    try:
        with open(file, newline="", encoding="utf-8-sig") as stream:
            reader = csv.DictReader(stream, restkey="more")
            rows = [(reader.line_num, row) for row in reader]
            header = reader.fieldnames or ()
    except FileNotFoundError:
        raise UserError("class_map.missing", f"teacher.class_map: {file} does not exist") from None
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise UserError("class_map.unreadable", f"{file} cannot be read as CSV: {error}") from None
    if COLUMNS[0] not in header:
        raise UserError(
            "class_map.missing_column",
            f"{file} has no column '{COLUMNS[0]}'; its first line must be {','.join(COLUMNS)}",
        )
    for number, row in rows:
        if "more" in row:
            raise UserError("class_map.bad_line", f"{file}: line {number} has more fields than the header")
    return rows
