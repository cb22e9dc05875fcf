"""Charades: a CSV of videos, each with several actions."""

from pathlib import Path
from typing import Literal

from vidsemi.data.formats.lists import Media, csv_rows
from vidsemi.data.formats.registry import register_format
from vidsemi.data.formats.scan import ScanResult
from vidsemi.data.formats.text_rows import read_text_lines
from vidsemi.data.hashtags.normalize import canonical, join_tags
from vidsemi.io.errors import UserError
from vidsemi.io.tables import printable


@register_format(
    "charades",
    summary="the CSV files of Charades",
    file="Charades_v1_train.csv or Charades_v1_test.csv",
    root="required",
    options={
        "--classes": {"type": Path, "metavar": "FILE", "help": "Charades_v1_classes.txt, the names of the classes"},
        "--multi-label": {
            "choices": ["refuse", "segments", "split"],
            "default": "refuse",
            "help": "videos with several classes: refuse them, make an example of the seconds of each action, or write "
            "the classes as hashtags, on which weak pre-training trains with 1/k each (default: refuse)",
        },
    },
)
def read_charades(
    file: Path,
    root: Path,
    *,
    classes: Path | None = None,
    multi_label: Literal["refuse", "segments", "split"] = "refuse",
) -> ScanResult:
    """Read `id` and `actions`, `c092 11.90 21.20;c147 0.00 12.60`: classes with the seconds in which they happen.

    An example has one label. So a video with several classes is refused, unless the segments are the examples, or the
    classes are split: written as hashtags, which have targets of 1/k.
    """
    scan = ScanResult()
    media, names = Media(root, scan), {} if classes is None else _classes(classes)
    rows = csv_rows(file)
    _, header = next(rows, (1, []))
    if not {"id", "actions"} <= set(header):
        raise UserError("charades.missing_column", f"{file} needs the columns id and actions")
    for number, row in rows:
        if len(row) != len(header):
            raise UserError("list.bad_line", f"{file}: line {number} has {len(row)} columns, not {len(header)}")
        name, where = row[header.index("id")], f"{file}: line {number}"
        texts = row[header.index("actions")].split(";")
        actions = [_action(text, names, where) for text in texts if text.strip()]
        labels = sorted({label for label, _, _ in actions})
        path = media.by_id(name)
        if multi_label == "segments" and path is not None:
            for label, start, end in actions:
                if start < end:
                    media.add(path, name, number, label=label, start=start, end=end)
                else:
                    scan.broken.append((number, "has an action that ends before it begins"))
            continue
        if multi_label == "split":
            media.add(path, name, number, hashtags=join_tags(map(canonical, labels)) or None)
            continue
        if len(labels) > 1:
            raise UserError(
                "charades.several_labels",
                f"{where}: {printable(name)} has {len(labels)} classes, such as {' and '.join(labels[:2])}; an example "
                "has one. Use --multi-label segments to train on the seconds of each action, or split",
            )
        media.add(path, name, number, label=labels[0] if labels else None, start=None, end=None)
    return scan


def _action(text: str, names: dict[str, str], where: str) -> tuple[str, float, float]:
    """The class of an action, and its first and last second."""
    try:
        code, start, end = text.split()
        return names[code] if names else code, float(start), float(end)
    except (ValueError, KeyError):
        raise UserError(
            "charades.bad_action", f"{where}: '{printable(text)}' is not a class and two times, as in c092 11.90 21.20"
        ) from None


def _classes(file: Path) -> dict[str, str]:
    """Code → name, by lines `c000 Holding some clothes`."""
    pairs = [line.strip().partition(" ") for line in read_text_lines(file) if line.strip()]
    return {code: name.strip() for code, _, name in pairs}
