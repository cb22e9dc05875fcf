"""Class names as they are compared: what is lost by typing is restored, and what may be one class is reported."""

import difflib
import unicodedata
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from vidsemi.io.errors import UserError
from vidsemi.io.tables import printable

if TYPE_CHECKING:
    import pyarrow as pa

GROUPS_SHOWN = 3  # groups of names in a warning
NAMES_SHOWN = 5  # names of classes in a summary


def class_name(text: str) -> str:
    """A class name as vidsemi stores it: composed (NFC; macOS writes file names decomposed), without outer spaces."""
    return unicodedata.normalize("NFC", text).strip()


def normalize_labels(labels: "pa.ChunkedArray") -> "pa.ChunkedArray":
    """A column of labels with their `class_name`; an empty one becomes null. Unchanged if no name changes."""
    import pyarrow as pa
    import pyarrow.compute as pc

    names = pc.unique(labels).to_pylist()
    changed = [class_name(name) or None if name is not None else None for name in names]
    if changed == names:
        return labels
    places = pc.index_in(labels, value_set=pa.array(names, pa.string()))
    return pc.take(pa.array(changed, pa.string()), places)


def near_equal(names: Iterable[str]) -> list[list[str]]:
    """Groups of names that differ only in case, spaces, hyphens or other punctuation, or in compatibility forms.

    >>> near_equal(["Yoga", "yoga", "high jump", "high_jump", "C", "C++"])
    [['Yoga', 'yoga'], ['high jump', 'high_jump']]
    """
    groups: dict[str, list[str]] = {}
    for name in names:
        groups.setdefault(_folded(name), []).append(name)
    return [group for group in groups.values() if len(group) > 1]


def _folded(name: str) -> str:
    if name.lstrip("+-").isdecimal():  # -1 is not 1
        return name
    folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", name).casefold())
    kept = (letter if unicodedata.category(letter)[0] in "LMNS" or letter in "#&@%" else " " for letter in folded)
    return "".join("".join(kept).split()) or name


def closest_name(name: str, classes: Sequence[str]) -> str | None:
    """The class that may be meant by a name: one that differs only in case or punctuation, else one spelled alike."""
    for known in classes:
        if _folded(known) == _folded(name):
            return known
    return next(iter(difflib.get_close_matches(name, classes, n=1)), None)


def match_names(theirs: Sequence[str], ours: Sequence[str]) -> dict[str, str]:
    """Their names → ours: equal ones, then those that differ only in case, spaces or punctuation, if just one does.

    >>> match_names(["High_Jump", "yoga", "Yoga"], ["high jump", "yoga", "judo"])
    {'High_Jump': 'high jump', 'yoga': 'yoga'}
    """
    known = {class_name(name): name for name in ours}
    equal = {name: known[class_name(name)] for name in theirs if class_name(name) in known}
    folded: tuple[dict[str, list[str]], ...] = ({}, {})
    for names, groups in zip((theirs, ours), folded, strict=True):
        for name in names:
            groups.setdefault(_folded(name), []).append(name)
    alike = {
        one[0]: other[0] for key, one in folded[0].items() if len(one) == len(other := folded[1].get(key, [])) == 1
    }
    return {name: own for name in theirs if (own := equal.get(name) or alike.get(name)) is not None}


def near_equal_warnings(names: Iterable[str]) -> list[str]:
    """A line about names that may be one class, if there are any."""
    groups = near_equal(names)
    shown = "; ".join(" and ".join(f"'{printable(name)}'" for name in group) for group in groups[:GROUPS_SHOWN])
    more = f"; and {len(groups) - GROUPS_SHOWN} more" if len(groups) > GROUPS_SHOWN else ""
    return [f"different classes whose names differ only in case or punctuation: {shown}{more}"] if groups else []


def first_names(names: Sequence[str]) -> str:
    """The first class names, for a summary."""
    return ", ".join(map(printable, names[:NAMES_SHOWN])) + (", …" if len(names) > NAMES_SHOWN else "")


def read_class_names(file: Path) -> list[str]:
    """Read class names from a text file, one a line; empty lines are skipped."""
    try:
        lines = [class_name(line) for line in file.read_text(encoding="utf-8-sig").splitlines()]
    except UnicodeDecodeError:
        raise UserError("classes.not_utf8", f"{file} is not UTF-8 text") from None
    names = [line for line in lines if line]
    if not names:
        raise UserError("classes.empty", f"{file} has no class names; write one a line")
    if repeated := sorted({name for name in names if names.count(name) > 1}):
        raise UserError("classes.repeated", f"{file} names class '{repeated[0]}' more than once")
    return names
