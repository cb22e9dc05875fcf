"""YFCC100M: the metadata as it is distributed, as a table or as an SQLite database; files named by ids or hashes."""

import hashlib
import re
import sqlite3
from collections.abc import Callable, Iterable, Iterator
from collections.abc import Set as AbstractSet
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from itertools import chain, islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vidsemi.data.formats.registry import register_format
from vidsemi.data.formats.row_rules import BrokenRowError
from vidsemi.data.formats.scan import ScanResult, StreamedScan
from vidsemi.data.formats.table import FilesById, require_usable_rows
from vidsemi.data.formats.text_rows import MAX_LINE, UTF16, BrokenLines, stream_blocks, tab_rows
from vidsemi.data.hashtags.normalize import join_tags, split_tags
from vidsemi.io.errors import UserError

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa

    from vidsemi.data.formats.yfcc100m_lines import Wanted

BOM = b"\xef\xbb\xbf"
ROWS = 50_000  # of a block that is not read as bytes
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
def scan_yfcc100m(
    file: Path, root: Path, *, hashes: Path | None = None, vocabulary: AbstractSet[str] | None = None
) -> "Yfcc100mScan":
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
    return Yfcc100mScan(unique=True, file=file, root=root, hashes=hashes, vocabulary=vocabulary)


def read_yfcc100m(file: Path, root: Path, **options: Any) -> ScanResult:
    """Read the metadata into memory; see `scan_yfcc100m`."""
    return scan_yfcc100m(file, root, **options).collect()


@dataclass
class Yfcc100mScan(StreamedScan):
    """The metadata, which is read while the manifest is written."""

    file: Path = Path()
    root: Path = Path()
    hashes: Path | None = None
    vocabulary: AbstractSet[str] | None = None

    def blocks(self, *, examples_needed: bool = True) -> "Iterator[tuple[pa.Table, Any]]":
        """The examples as tables of columns of a manifest, and the lines that list them."""
        from vidsemi.data.formats.yfcc100m_lines import Wanted
        from vidsemi.runtime.threads import in_parallel

        self.broken, self.elsewhere, self.left_out, self._examples = BrokenLines(), 0, 0, 0
        files = FilesById(self.root)
        by_hash = {} if self.hashes is None else _listed_hashes(self.hashes, files)
        hashed = any(map(HASH.fullmatch, files))  # or nothing needs to be computed, 100 million times

        def path_of(line: Line) -> str | None:
            path = files.find(line.name) or by_hash.get(line.name)
            return files.find(line.hash or hash_of(line.address)) if path is None and hashed else path

        work = partial(_examples_of, Wanted(chain(files, by_hash), hashed=hashed), path_of, self.vocabulary)
        with closing(in_parallel(work, _blocks(self.file))) as results:
            for found in results:
                for line in found.broken:
                    self.broken.append(line)
                self.elsewhere += found.elsewhere
                self.left_out += found.left_out
                self._examples += len(found.lines)
                yield found.table, found.lines
        require_usable_rows(self.file, self)
        if examples_needed:
            ScanResult.require_examples(self, self.file, self.root)


@dataclass
class _Block:
    """Some lines of a file: their bytes, or their columns."""

    first: int  # number of the first line, from 1
    lines: bytes | list[list[str]]


@dataclass
class _Examples:
    """The examples in a block of lines, and what did not become one."""

    table: "pa.Table"
    lines: "np.ndarray"  # (N,) int64
    broken: list[tuple[int, str]]
    elsewhere: int
    left_out: int


def _blocks(file: Path) -> Iterator[_Block]:
    if _is_sqlite(file):
        yield from _blocks_of_rows(_sqlite_rows(file))
        return
    first = 1
    with closing(stream_blocks(file)) as blocks:
        for number, block in enumerate(blocks):
            if number == 0 and block[:2] in UTF16:
                yield from _blocks_of_rows(tab_rows(file))
                return
            lines = block if number else block.removeprefix(BOM)
            if lines:
                yield _Block(first, lines)
            first += lines.count(b"\n")


def _blocks_of_rows(rows: Iterator[tuple[int, list[str]]]) -> Iterator[_Block]:
    while own := list(islice(rows, ROWS)):
        yield _Block(own[0][0], [row for _, row in own])


def _examples_of(
    wanted: "Wanted", path_of: Callable[[Line], str | None], vocabulary: AbstractSet[str] | None, block: _Block
) -> _Examples:
    """The examples in a block of lines."""
    import numpy as np
    import pyarrow as pa

    found = _Examples(pa.table({}), np.zeros(0, np.int64), [], 0, 0)
    rows: Iterable[tuple[int, list[str]]]
    if isinstance(block.lines, bytes):
        rows, found.elsewhere = wanted.rows(block.lines, block.first)
    else:
        rows = enumerate(block.lines, start=block.first)
    numbers, paths, tags = list[int](), list[str](), list[str]()
    for number, row in rows:
        try:
            line = _line(row)
        except BrokenRowError as error:
            found.broken.append((number, str(error)))
            continue
        path = path_of(line)
        if path is None:
            found.elsewhere += 1
            continue
        own_tags = split_tags(line.tags)
        if vocabulary is not None and vocabulary.isdisjoint(own_tags):
            found.left_out += 1
            continue
        numbers.append(number)
        paths.append(path)
        tags.append(join_tags(own_tags))
    fields = [field or None for field in tags]
    found.table = pa.table({"path": pa.array(paths, pa.string()), "hashtags": pa.array(fields, pa.string())})
    found.lines = np.array(numbers, np.int64)
    return found


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
