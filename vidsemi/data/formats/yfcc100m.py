"""YFCC100M: the metadata as it is distributed, as a table or as an SQLite database; files named by ids or hashes."""

import hashlib
import re
import sqlite3
from collections.abc import Iterator
from collections.abc import Set as AbstractSet
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from vidsemi.data.formats.registry import register_format
from vidsemi.data.formats.row_rules import BrokenRowError
from vidsemi.data.formats.scan import ScanResult
from vidsemi.data.formats.table import FilesById, require_usable_rows
from vidsemi.data.formats.text_rows import MAX_LINE, tab_rows
from vidsemi.data.hashtags.normalize import join_tags, split_tags
from vidsemi.io.errors import UserError

SQLITE = b"SQLite format 3\0"
HASH = re.compile("[0-9a-f]{16,32}")  # more digits than any id has
QUERY = "SELECT photoid, usertags, downloadurl, marker FROM yfcc100m_dataset ORDER BY rowid"


@dataclass(frozen=True)
class Line:
    """A photo or video of YFCC100M."""

    name: str  # its id, digits
    hash: str | None  # that names it in the copy of Multimedia Commons, if the line has it
    tags: str
    address: str  # it was downloaded from


@register_format(
    "yfcc100m",
    summary="the metadata of YFCC100M, a table or an SQLite database",
    file="yfcc100m_dataset (also .bz2) or yfcc100m_dataset.sql",
    root="required",
    options={"--hashes": {"type": Path, "metavar": "FILE", "help": "yfcc100m_hash (also .bz2): ids and hashes"}},
    has_hashtags=True,
)
def read_yfcc100m(
    file: Path, root: Path, *, hashes: Path | None = None, vocabulary: AbstractSet[str] | None = None
) -> ScanResult:
    """Read the metadata of YFCC100M, a table (plain, .gz or .bz2) or the SQLite database `yfcc100m_dataset.sql`.

    The table has one line per photo or video, and exists in three forms, told apart by the number of columns. All end
    in the same 22: the user id first, the tags eighth, the address 14th, 0 for a photo or 1 for a video last. Before
    them come

    - with 25 columns: the line number, the photo or video id, a hash;
    - with 23 columns: the id;
    - with 24 columns: the line number and the id, or else the id and a hash.

    Files in the root are named by their ids, or by their hashes as in the copy of Multimedia Commons: those in the
    line or in the list of hashes, lines of id and hash, or else computed from the address. Lines about other files
    are counted, not listed: there are 100 million. Examples that carry no canonical tag of the vocabulary are left
    out.
    """
    scan = ScanResult({"path": [], "hashtags": []}, unique=True)
    files = FilesById(root)
    by_hash = {} if hashes is None else _listed_hashes(hashes, files)
    are_hashed = any(map(HASH.fullmatch, files))  # or nothing needs to be computed, 100 million times
    for number, row in _sqlite_rows(file) if _is_sqlite(file) else tab_rows(file):
        try:
            line = _line(row)
        except BrokenRowError as error:
            scan.broken.append((number, str(error)))
            continue
        path = files.find(line.name) or by_hash.get(line.name)
        if path is None and are_hashed:
            path = files.find(line.hash or hash_of(line.address))
        if path is None:
            scan.elsewhere += 1
            continue
        tags = split_tags(line.tags)
        if vocabulary is not None and vocabulary.isdisjoint(tags):
            scan.left_out += 1
        else:
            scan.add(path=path, hashtags=join_tags(tags) or None)
            scan.lines.append(number)
    return require_usable_rows(file, scan)


def hash_of(address: str) -> str:
    """The name of a file in the copy of Multimedia Commons: MD5 of its address, each byte without a leading zero.

    >>> hash_of("http://farm6.staticflickr.com/5008/5388014311_f2b7a8c0a1.jpg")[:6]
    '4c10eb'
    """
    return "".join(f"{byte:x}" for byte in hashlib.md5(address.encode("utf-8", "surrogateescape")).digest())


def _listed_hashes(file: Path, files: FilesById) -> dict[str, str]:
    """Id → path of the files that are named by the hashes of a list."""
    paths = ((row[0], files.find(row[1].strip())) for _, row in tab_rows(file) if len(row) == 2)
    return {name: path for name, path in paths if path is not None}


def _line(row: list[str]) -> Line:
    if not 23 <= len(row) <= 25:
        raise BrokenRowError(f"has {len(row)} columns, not 23 to 25")
    is_numbered = len(row) == 25 or (len(row) == 24 and not HASH.fullmatch(row[1]))
    name = row[1] if is_numbered else row[0]
    if not (name.isascii() and name.isdecimal()) or row[-1] not in ("0", "1"):
        raise BrokenRowError("is not a line of YFCC100M: the id is not a number, or the last column is not 0 or 1")
    has_hash = len(row) == 25 or (len(row) == 24 and not is_numbered)
    return Line(name, row[-23] if has_hash else None, row[-15], row[-9])


def _is_sqlite(file: Path) -> bool:
    try:
        with open(file, "rb") as opened:
            return opened.read(len(SQLITE)) == SQLITE
    except OSError:  # reported by `tab_rows`
        return False


def _sqlite_rows(file: Path) -> Iterator[tuple[int, list[str]]]:
    """Line numbers and rows of 23 columns, of which those that are not needed are empty."""
    try:
        with closing(sqlite3.connect(f"{file.absolute().as_uri()}?mode=ro&immutable=1", uri=True)) as database:
            database.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, MAX_LINE)
            database.text_factory = lambda data: data.decode("utf-8", "surrogateescape")
            for number, values in enumerate(database.execute(QUERY), start=1):
                name, tags, address, marker = ("" if value is None else str(value) for value in values)
                yield number, [name, *[""] * 7, tags, *[""] * 5, address, *[""] * 7, marker]
    except sqlite3.Error as error:
        raise UserError("yfcc100m.unreadable_database", f"{file} cannot be read: {error}") from None
