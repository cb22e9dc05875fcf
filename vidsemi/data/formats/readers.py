"""Manifests from the formats that users bring. Nothing here opens a video.

Each reader returns the examples it found and the files that are listed but not there.
"""

import csv
import os
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from vidsemi.io.errors import UserError

VIDEO_SUFFIXES = {
    ".mp4",
    ".avi",
    ".mkv",
    ".webm",
    ".mov",
    ".m4v",
    ".mpg",
    ".mpeg",
    ".wmv",
    ".flv",
    ".3gp",
    ".ts",
    ".ogv",
    ".gif",  # a still one is a video of one frame
    ".apng",
}
IMAGE_SUFFIXES = {
    ".jpg",
    ".jpeg",
    ".jpe",
    ".jfif",
    ".png",
    ".webp",
    ".bmp",
    ".tif",
    ".tiff",
    ".ppm",
    ".pgm",
    ".pbm",
    ".pnm",
    ".jp2",
    ".j2k",
    ".avif",
    # Images that are not read: they are listed all the same, so that they are counted, and refused by name.
    ".heic",
    ".heif",
    ".jxl",
}
NO_TEXT = "files have names that are not UTF-8"


@dataclass
class Found:
    """Examples as columns of one length, and what did not become one.

    Attributes:
        columns: values by column name of a manifest; `path` as it can be opened from here.
        missing: files that were listed and not found, as listed, or whatever `missing_are` says.
        missing_are: what the missing are, for people.
        elsewhere: number of lines about files that nobody expects to be here.
        left_out: number of examples without a tag that was asked for.
        broken: numbers of lines that could not be read, from 1, and why.
    """

    columns: dict[str, list] = field(default_factory=dict)
    missing: list[str] = field(default_factory=list)
    missing_are: str = "listed files are not there"
    elsewhere: int = 0
    left_out: int = 0
    broken: list[tuple[int, str]] = field(default_factory=list)

    def add(self, **values: object) -> None:
        """Append one example; every call names the same columns."""
        for name, value in values.items():
            self.columns.setdefault(name, []).append(value)


def read_folder(root: Path) -> Found:
    """A folder a class: root/<class>/…/<file>. Files directly under root have no class and are an error.

    Files whose names are not UTF-8 are listed as missing.
    """
    found = Found(missing_are=NO_TEXT)
    for file in _with_text_names(media_files(root), found):
        parts = file.relative_to(root).parts
        if len(parts) < 2:
            raise UserError(f"{file} lies in no class folder; expected {root}/<class>/{file.name}")
        found.add(path=str(file), label=parts[0])
    return found


def read_files(root: Path) -> Found:
    """Every video and image below a folder, without labels; files whose names are not UTF-8 are listed as missing."""
    found = Found(missing_are=NO_TEXT)
    for file in _with_text_names(media_files(root), found):
        found.add(path=str(file))
    return found


def read_videos(root: Path) -> Found:
    """Every video below a folder, without labels; images are left out, as they are mostly thumbnails.

    Files whose names are not UTF-8 are listed as missing.
    """
    found = Found(missing_are=NO_TEXT)
    for file in _with_text_names(media_files(root), found):
        if file.suffix.lower() in VIDEO_SUFFIXES:
            found.add(path=str(file))
    if not found.columns:
        raise UserError(f"{root} holds no videos")
    return found


def read_kinetics(file: Path, *folders: Path) -> Found:
    """The official annotation CSV: label, youtube_id, time_start, time_end, split; test sets have no label.

    Files may lie anywhere under the folders, of which earlier ones go before later ones. They are named
    <id>_<start>_<end>.* with six digits each, or <id>.* or v_<id>.*; whole videos under the last two names are trimmed
    to the annotated seconds.
    """
    files = files_by_stem(*folders)
    found = Found()
    for number, row in _csv_rows(file, ("youtube_id", "time_start", "time_end")):
        name = row["youtube_id"]
        try:
            start, end = float(row["time_start"]), float(row["time_end"])
            stem = f"{name}_{int(start):06d}_{int(end):06d}"
        except (ValueError, TypeError, OverflowError):
            raise UserError(f"{file}: line {number}: time_start and time_end must be seconds") from None
        trimmed = files.get(stem)
        whole = files.get(name) or files.get(f"v_{name}")
        label = row.get("label") or None
        if trimmed:
            found.add(path=trimmed, label=label, start=None, end=None)
        elif whole:
            found.add(path=whole, label=label, start=start, end=end)
        else:
            found.missing.append(stem)
    return found


def youtube_id(path: str) -> str:
    """The id in the name of a file, in the forms of `read_kinetics` and of yt-dlp; the whole stem if there is none.

    >>> youtube_id("train/v_-_abc_-1_xy.mp4"), youtube_id("-_abc_-1_xy_000005_000015.mp4"), youtube_id("a.mp4")
    ('-_abc_-1_xy', '-_abc_-1_xy', 'a')
    """
    stem = Path(path).stem
    match = re.fullmatch(r"(?:v_)?([\w-]{11})(?:_\d{6}_\d{6})?|.*\[([\w-]{11})\]", stem, re.ASCII)
    return (match[1] or match[2]) if match else stem


def read_ucf101(file: Path, root: Path) -> Found:
    """A split file of UCF101: `Class/v_Class_g01_c01.avi`, in train lists followed by the class's number from 1.

    The class is the folder's name; where a number follows, it has to be that class's in classInd.txt beside the file.
    """
    found = Found()
    numbers = _ucf101_numbers(file.parent / "classInd.txt")
    for line_number, line in enumerate(read_lines(file), start=1):
        path, _, number = line.strip().partition(" ")
        label = Path(path).parent.name
        if not path:
            continue
        if not label:
            raise UserError(
                f"{file}: line {line_number}: '{path}' has no class folder, as in Class/v_Class_g01_c01.avi"
            )
        if number and numbers and numbers.get(number.strip()) != label:
            raise UserError(f"{file}: line {line_number}: class number {number} is not that of {label} in classInd.txt")
        if (root / path).exists():
            found.add(path=str(root / path), label=label)
        else:
            found.missing.append(path)
    return found


def portable_paths(paths: Iterable[str], manifest: Path) -> list[str]:
    """Paths as a manifest should hold them: relative to the manifest's folder if they lie below it, else absolute."""
    folder = os.path.join(manifest.parent.resolve(), "")
    absolute = (path if "://" in path else os.path.abspath(path) for path in paths)
    return [path.removeprefix(folder) for path in absolute]


def _ucf101_numbers(file: Path) -> dict[str, str]:
    if not file.exists():
        return {}
    pairs = (line.strip().partition(" ") for line in read_lines(file))
    return {number: name.strip() for number, _, name in pairs}


def read_lines(file: Path) -> list[str]:
    """The lines of a text file in UTF-8."""
    try:
        return file.read_text(encoding="utf-8-sig").splitlines()
    except FileNotFoundError:
        raise UserError(f"there is no file {file}") from None
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{file} cannot be read: {error}") from None


def _csv_rows(file: Path, needed: Iterable[str]) -> Iterator[tuple[int, dict[str, str]]]:
    """Line numbers and rows of a CSV with a header that has at least the needed columns."""
    reader = csv.DictReader(read_lines(file))
    for column in needed:
        if column not in (reader.fieldnames or ()):
            raise UserError(f"{file} has no column '{column}'; its header is: {', '.join(reader.fieldnames or ())}")
    try:
        for row in reader:
            yield reader.line_num, row
    except csv.Error as error:
        raise UserError(f"{file}: line {reader.line_num} cannot be read: {error}") from None


def _with_text_names(files: Iterable[Path], found: Found) -> Iterator[Path]:
    """The files whose names a table can hold; the others become missing."""
    for file in files:
        if is_no_text(str(file)):
            found.missing.append(str(file).encode("utf-8", "backslashreplace").decode())
        else:
            yield file


def is_no_text(text: str) -> bool:
    """Whether a text has bytes that are not UTF-8, so that no table can hold it."""
    return not text.isascii() and any("\ud800" <= letter <= "\udfff" for letter in text)


def _raise(error: OSError) -> None:
    raise UserError(f"{error.filename} cannot be read: {error.strerror}")


def media_files(root: Path) -> list[Path]:
    """Every video or image below a folder, sorted by path; hidden files and folders are left out."""
    if not root.is_dir():
        raise UserError(f"there is no folder {root}")
    found: list[Path] = []
    seen: set[str] = set()  # corpora are often put together from links, and links can form a circle
    for folder, folders, files in os.walk(root, followlinks=True, onerror=_raise):
        if os.path.realpath(folder) in seen:
            folders.clear()
            continue
        seen.add(os.path.realpath(folder))
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        found += [
            Path(folder, name)
            for name in files
            if Path(name).suffix.lower() in VIDEO_SUFFIXES | IMAGE_SUFFIXES and name[0] != "."
        ]
    if not found:
        raise UserError(f"{root} holds no videos or images")
    return sorted(found)


def files_by_stem(*folders: Path) -> dict[str, str]:
    """Every video and image below the folders by its name without suffix.

    Of files that share one, those of an earlier folder go before those of a later one, and in a folder a video before
    an image. Files whose names are not UTF-8 are left out: no table can hold them.
    """
    return {
        path.stem: str(path)
        for folder in reversed(folders)
        for path in sorted(media_files(folder), key=lambda path: path.suffix.lower() in VIDEO_SUFFIXES)
        if not is_no_text(str(path))
    }
