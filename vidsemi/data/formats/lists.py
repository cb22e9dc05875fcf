"""Lists that others wrote, as rows: lines with separators, JSON, and files that number the classes."""

import csv
import json
import os
import re
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import Any

from vidsemi.data.class_names import class_name
from vidsemi.data.formats.media_files import FilesByStem, is_utf8
from vidsemi.data.formats.scan import ScanResult
from vidsemi.data.formats.text_rows import MAX_TEXT, read_text_lines
from vidsemi.io.errors import UserError
from vidsemi.io.tables import printable

CLASSES = {"type": Path, "metavar": "FILE", "help": "names of the classes: one a line, with their numbers, or JSON"}


def split_lines(file: Path, separator: str | None, fields: int) -> Iterator[tuple[int, list[str]]]:
    """Line numbers, from 1, and the fields of every line that is not empty; the first one may contain separators.

    A separator of None is any white space. A line with fewer fields is a UserError.
    """
    for number, line in enumerate(read_text_lines(file), start=1):
        if not line.strip():
            continue
        parts = [part.strip() for part in line.strip().rsplit(separator, fields - 1)]
        if len(parts) < fields:
            raise UserError("list.bad_line", f"{file}: line {number} does not have {fields} fields: {printable(line)}")
        yield number, parts


def csv_rows(file: Path) -> Iterator[tuple[int, list[str]]]:
    """Line numbers, from 1, and the rows of a small CSV file without empty lines; a UserError if one is not a row."""
    reader = csv.reader(read_text_lines(file))
    try:
        for row in reader:
            if row:
                yield reader.line_num, [field.strip() for field in row]
    except csv.Error as error:
        raise UserError("list.bad_line", f"{file}: line {reader.line_num} cannot be read: {error}") from None


def read_json(file: Path) -> Any:
    """A JSON document; a UserError if it cannot be read or is unreasonably large."""
    try:
        if file.stat().st_size > MAX_TEXT:
            raise UserError("file.too_large", f"{file} has more than {MAX_TEXT} bytes; a list may not")
        return json.loads(file.read_bytes())
    except FileNotFoundError:
        raise UserError("file.missing", f"file {file} does not exist") from None
    except (OSError, ValueError, RecursionError) as error:
        raise UserError("file.unreadable", f"{file} cannot be read as JSON: {str(error)[:200]}") from None


def json_entries(file: Path, *keys: str) -> Iterator[tuple[int, dict[str, Any]]]:
    """The objects of a JSON list with their places, from 1; a UserError if one lacks any of the keys."""
    document = read_json(file)
    if not isinstance(document, list):
        raise UserError("json.not_a_list", f"{file} is not a list of objects")
    for number, entry in enumerate(document, start=1):
        missing = [key for key in keys if not isinstance(entry, dict) or not isinstance(entry.get(key), str | int)]
        if missing:
            raise UserError("json.missing_key", f"{file}: entry {number} has no '{missing[0]}'")
        yield number, entry


class ClassNames:
    """Names of classes by their numbers.

    The file is a list of names, one a line and numbered from 0; lines `0 name`, `name,0`; or a JSON object of names and
    numbers, or a JSON list of names. Without a file, a number is its own name.
    """

    def __init__(self, file: Path | None) -> None:
        self._file = file
        self._names = None if file is None else _numbered_names(file)

    def name(self, label: object, where: str) -> str:
        """The name of a class given by number, or by name; a UserError names `where` an unknown one is."""
        text = str(label).strip()
        if self._names is None:
            return text
        names = self._names
        found = names.get(int(text)) if re.fullmatch(r"\d{1,9}", text) else None
        if found is None and class_name(text) in names.values():
            found = class_name(text)
        if found is None:
            raise UserError(
                "list.unknown_class",
                f"{where}: '{printable(text)}' is not one of the {len(names)} classes of {self._file}",
            )
        return found


def _numbered_names(file: Path) -> dict[int, str]:
    """Number → name, by a file of classes."""
    if file.suffix.lower() == ".json":
        pairs = _json_names(file)
    else:
        lines = [line.strip() for line in read_text_lines(file) if line.strip()]
        first = [re.fullmatch(r"(?P<id>\d{1,9})[\s,;:]+(?P<name>.*\S)", line) for line in lines]
        last = [re.fullmatch(r"(?P<name>.*\S)[\s,;:]+(?P<id>\d{1,9})", line) for line in lines]
        matches = first if all(first) else last if all(last) else None
        pairs = list(enumerate(lines)) if matches is None else [(int(m["id"]), m["name"]) for m in matches if m]
    names = {number: class_name(name.strip().strip('"')) for number, name in pairs}
    if len(names) < len(pairs) or len(set(names.values())) < len(names):
        raise UserError("classes.repeated", f"{file} has a class name or number more than once")
    if not names or not all(names.values()):
        raise UserError("classes.empty", f"{file} has no class names, or an empty one")
    return names


def _json_names(file: Path) -> list[tuple[int, str]]:
    document = read_json(file)
    if isinstance(document, list):
        words = [name if isinstance(name, list) else [name] for name in document]
        return [(number, " ".join(map(str, name))) for number, name in enumerate(words)]
    try:
        pairs = list(document.items())
        if all(str(value).isdecimal() for _, value in pairs):
            return [(int(value), name) for name, value in pairs]
        return [(int(key), str(value)) for key, value in pairs]
    except (AttributeError, ValueError):
        raise UserError("classes.unreadable", f"{file} is not an object of class names and numbers") from None


class Media:
    """Adds the files below a folder, named by path or id, to a scan; those that do not exist are listed as missing.

    Folders of frames are examples, too, if `rate`, their frames per second, is known.
    """

    def __init__(self, root: Path, scan: ScanResult, rate: float | None = None) -> None:
        self._root, self._scan, self._rate = root, scan, rate
        if rate is not None and not 0 < rate <= 1000:
            raise UserError("list.bad_rate", f"--rate is {rate:g}; must be frames per second, more than 0")
        if not root.is_dir():
            raise UserError("folder.missing", f"folder {root} does not exist")

    @cached_property
    def _by_stem(self) -> FilesByStem:
        return FilesByStem(self._root, frames=self._rate is not None)

    def by_path(self, name: str) -> str | None:
        """The file at a path relative to the root; None if it does not exist."""
        if "\0" in name or not is_utf8(name):
            return None
        path = os.path.join(self._root, name)
        return path if os.path.exists(path) else None

    def by_id(self, *names: str) -> str | None:
        """The file with one of these names, without its suffix; None if there is none."""
        return self._by_stem.any_of(*names)

    def add(self, path: str | None, listed: str, line: int, **values: object) -> None:
        """Add an example, or list it as missing if the path is None; `line` is where it is listed."""
        if path is None:
            self._scan.missing.append(listed if is_utf8(listed) else ascii(listed))
            return
        is_folder = os.path.isdir(path)
        if is_folder and self._rate is None:
            raise UserError("list.folder_without_rate", f"{path} is a folder; if it holds frames, give their --rate")
        rate = {} if self._rate is None else {"frames_per_second": self._rate if is_folder else None}
        self._scan.add(path=path, **values, **rate)
        self._scan.lines.append(line)
