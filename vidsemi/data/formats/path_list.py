"""Lists `path label` and `path start end label`, as SlowFast, pytorchvideo, VideoMAE and mmaction2 read them."""

import re
from collections.abc import Sequence
from itertools import takewhile
from pathlib import Path
from typing import Literal

from vidsemi.data.formats.lists import CLASSES, ClassNames, Media, split_lines
from vidsemi.data.formats.registry import register_format
from vidsemi.data.formats.scan import ScanResult
from vidsemi.data.formats.text_rows import read_text_lines
from vidsemi.io.errors import UserError

SEPARATORS = {"tab": "\t", "semicolon": ";", "comma": ",", "space": None}  # the first that fits
COLUMNS = ("path", "start", "end", "frames", "label")
BY_COUNT = {1: ("path",), 2: ("path", "label"), 3: ("path", "frames", "label"), 4: ("path", "start", "end", "label")}
NUMBER = re.compile(r"-?\d+(?:\.\d+)?")
HEADER = {"path", "file", "filename", "file_name", "video", "video_path", "label", "class", "start", "end"}
NO_LABEL = "-1"  # of VideoMAE's lists for pre-training


@register_format(
    "path_list",
    summary="lines of path and label, or of path, start, end and label",
    file="list of a SlowFast, pytorchvideo, VideoMAE or mmaction2 dataset",
    root="optional",
    options={
        "--classes": CLASSES,
        "--columns": {"help": "path,label or path,frames,label or path,start,end,label, …; by default by their number"},
        "--separator": {"choices": SEPARATORS, "help": "between columns; by default the one that fits"},
        "--rate": {"type": float, "metavar": "FPS", "help": "frames per second of folders of frames"},
        "--unit": {
            "choices": ["seconds", "frames"],
            "default": "seconds",
            "help": "of start and end; default: seconds",
        },
    },
)
def read_list(
    file: Path,
    root: Path | None,
    *,
    classes: Path | None = None,
    columns: str | None = None,
    separator: str | None = None,
    rate: float | None = None,
    unit: Literal["seconds", "frames"] = "seconds",
) -> ScanResult:
    """Read a list without a header; paths are relative to the root (default: the list's folder).

    Labels are class numbers, counted from 0 in the file of classes, or names; -1 is none. `frames`, the length of a
    folder of frames, is ignored unless the column `end` is missing and `start` is given.
    """
    names, parted_by = _layout(file, columns, separator)
    if unit == "frames" and rate is None:
        raise UserError("list.unit_without_rate", "--unit frames needs --rate, the frames per second")
    scan = ScanResult()
    media, class_names = Media(root or file.parent, scan, rate), ClassNames(classes)
    for number, parts in split_lines(file, SEPARATORS[parted_by], len(names)):
        fields = dict(zip(names, parts, strict=True))
        values: dict[str, object] = {}
        if "label" in fields:
            where = f"{file}: line {number}"
            values["label"] = None if fields["label"] == NO_LABEL else class_names.name(fields["label"], where)
        if "start" in fields:
            scale = rate if unit == "frames" and rate else 1
            start, end = _span(file, number, fields)
            values |= {"start": start / scale, "end": end / scale}
        media.add(media.by_path(fields["path"]), fields["path"], number, **values)
    return scan


def _span(file: Path, number: int, fields: dict[str, str]) -> tuple[float, float]:
    try:
        start = float(fields["start"])
        end = float(fields["end"]) if "end" in fields else start + float(fields["frames"])
    except ValueError:
        raise UserError("list.bad_time", f"{file}: line {number}: start and end must be numbers") from None
    if not 0 <= start < end:
        raise UserError("list.bad_time", f"{file}: line {number}: {start:g} to {end:g} is not a part of a video")
    return start, end


def _layout(file: Path, columns: str | None, separator: str | None) -> tuple[Sequence[str], str]:
    """The columns of a list and what parts them: as given, or what fits all its lines."""
    lines = [line.strip() for line in read_text_lines(file) if line.strip()]
    if not lines:
        raise UserError("list.empty", f"{file} is empty")
    if separator is None:
        fits = {name: _trailing_numbers(lines, parted_by)[0] for name, parted_by in SEPARATORS.items()}
        parted = [name for name in fits if all(len(line.split(SEPARATORS[name])) > 1 for line in lines)]
        separator = next((name for name in fits if fits[name]), parted[0] if parted else "space")
    if {field.strip().lower() for field in lines[0].split(SEPARATORS[separator])} <= HEADER:
        raise UserError("list.has_header", f"{file} has a header; use `vidsemi manifest table {file}`")
    if columns is not None:
        return _named_columns(columns), separator
    fewest, most = _trailing_numbers(lines, SEPARATORS[separator])
    names = BY_COUNT.get(most + 1 if most else min(len(lines[0].split(SEPARATORS[separator])), 2))
    if names is None or fewest < most:
        raise UserError(
            "list.unclear_columns",
            f"{file}: lines end in {fewest} to {most} numbers, and an example has one label; name the columns with "
            f"--columns, of {', '.join(COLUMNS)}",
        )
    return names, separator


def _named_columns(columns: str) -> tuple[str, ...]:
    names = tuple(name.strip() for name in columns.split(","))
    if names[0] != "path" or not set(names) <= set(COLUMNS) or len(set(names)) < len(names):
        raise UserError("list.unknown_column", f"--columns is {columns}; must be path, then some of {COLUMNS[1:]}")
    if "start" in names and not {"end", "frames"} & set(names):
        raise UserError("list.unknown_column", f"--columns is {columns}; with start, there must be end or frames")
    return names


def _trailing_numbers(lines: Sequence[str], separator: str | None) -> tuple[int, int]:
    """How many fields at the ends of lines are numbers, at least and at most; the first field is the path."""
    counts = set()
    for line in lines:
        fields = [part.strip() for part in line.split(separator)][1:]
        counts.add(sum(1 for _ in takewhile(NUMBER.fullmatch, reversed(fields))))
    return min(counts), max(counts)
