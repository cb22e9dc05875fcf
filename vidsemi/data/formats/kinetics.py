"""Kinetics: the official annotation CSVs, and how copies name its files and classes."""

import csv
import difflib
import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from vidsemi.data.formats.media_files import FilesByStem
from vidsemi.data.formats.registry import register_format
from vidsemi.data.formats.scan import ScanResult
from vidsemi.data.formats.text_rows import read_text_lines
from vidsemi.data.hashtags.normalize import canonical
from vidsemi.io.errors import UserError

NEEDED = ("youtube_id", "time_start", "time_end")


@register_format("kinetics", summary="an annotation CSV of Kinetics", file="annotation CSV", root="required")
def read_kinetics(file: Path, *folders: Path) -> ScanResult:
    """Read an official annotation CSV: label, youtube_id, time_start, time_end, split. Test sets have no label.

    Files may lie anywhere in the folders; earlier folders take precedence. Names are <id>_<start>_<end>.* with six
    digits each, or <id>.* or v_<id>.* for whole videos, which are trimmed to the annotated seconds.
    """
    files = FilesByStem(*folders)
    scan = ScanResult()
    for number, row in _csv_rows(file):
        name = row["youtube_id"]
        try:
            start, end = float(row["time_start"]), float(row["time_end"])
            stem = f"{name}_{int(start):06d}_{int(end):06d}"
        except (ValueError, TypeError, OverflowError):
            raise UserError(
                "kinetics.bad_time", f"{file}: line {number}: time_start and time_end must be seconds"
            ) from None
        label = row.get("label") or None
        if trimmed := files.get(stem):
            scan.add(path=trimmed, label=label, start=None, end=None)
        elif whole := files.any_of(name, f"v_{name}"):
            scan.add(path=whole, label=label, start=start, end=end)
        else:
            scan.missing.append(stem)
    return scan


def _csv_rows(file: Path) -> Iterator[tuple[int, dict[str, str]]]:
    reader = csv.DictReader(read_text_lines(file))
    for column in NEEDED:
        if column not in (reader.fieldnames or ()):
            header = ", ".join(reader.fieldnames or ())
            raise UserError("kinetics.missing_column", f"{file} has no column '{column}'; its header is: {header}")
    try:
        for row in reader:
            yield reader.line_num, row
    except csv.Error as error:
        raise UserError("kinetics.bad_line", f"{file}: line {reader.line_num} cannot be read: {error}") from None


def youtube_id(path: str) -> str:
    """The YouTube id in a file name, as `read_kinetics` or yt-dlp name files; the whole stem if there is none.

    >>> youtube_id("train/v_-_abc_-1_xy.mp4"), youtube_id("-_abc_-1_xy_000005_000015.mp4"), youtube_id("a.mp4")
    ('-_abc_-1_xy', '-_abc_-1_xy', 'a')
    """
    stem = Path(path).stem
    match = re.fullmatch(r"(?:v_)?([\w-]{11})(?:_\d{6}_\d{6})?|.*\[([\w-]{11})\]", stem, re.ASCII)
    return (match[1] or match[2]) if match else stem


def match_classes(labels: Iterable[str | None], classes: Sequence[str], source: object, dataset: str) -> list[str]:
    """Map labels to the official class names, ignoring case, spaces and punctuation.

    Class folders of many copies have `_` for spaces and lack `'()`: `massaging_persons_head` becomes "massaging
    person's head". A label that is missing or matches no class is a UserError, which names the source of the labels and
    the dataset.
    """
    known = {canonical(name): name for name in classes}
    names = []
    for label in labels:
        if not label:
            raise UserError(
                "classes.missing_label", f"{source}: an example has no label; every example of {dataset} needs one"
            )
        name = known.get(canonical(label))
        if name is None:
            closest = difflib.get_close_matches(canonical(label), known, n=1)
            hint = f"; did you mean '{known[closest[0]]}'?" if closest else ""
            shown = label if label.isprintable() else ascii(label)
            raise UserError(
                "classes.unknown", f"{source}: '{shown}' is not one of the {len(classes)} classes of {dataset}{hint}"
            )
        names.append(name)
    return names
