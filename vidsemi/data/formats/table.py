"""Tables of files by path or id, with labels and hashtags: CSV, TSV, JSON lines, Parquet. No video is opened.

Hashtags are untrusted text. Only their canonical form is kept, letters and numbers behind a `#`, so that no cell in a
CSV begins with = + - or @, which spreadsheets execute as a formula. An id is looked up among the names of the files in
a folder and never becomes part of a path.
"""

import logging
from collections.abc import Callable, Iterator, Mapping
from collections.abc import Set as AbstractSet
from contextlib import closing
from dataclasses import dataclass, field
from functools import cached_property, partial
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any, TypeVar

from vidsemi.data.formats.media_files import FilesByStem
from vidsemi.data.formats.registry import register_format
from vidsemi.data.formats.row_rules import BrokenRowError
from vidsemi.data.formats.scan import ScanResult, StreamedScan
from vidsemi.data.formats.text_rows import BrokenLines, is_json_lines
from vidsemi.io.errors import UserError

if TYPE_CHECKING:
    import pyarrow as pa

logger = logging.getLogger("vidsemi")

CAPTION_RATE = 0.01  # captions with hashtags among texts that may be captions; a stray sentence among tags is rarer

Answer = TypeVar("Answer")


@register_format(
    "table",
    summary="a table of paths: CSV, TSV, JSON lines (also .gz, .bz2) or Parquet",
    file="table, .csv, .tsv, .jsonl (also .gz or .bz2) or .parquet",
    root="optional",
    options={
        "--path-column": {"default": "path", "help": "name of the path column"},
        "--label-column": {"default": "label", "help": "name of the label column"},
        "--hashtags-column": {"default": "hashtags", "help": "name of the hashtags column"},
        "--id-column": {
            "default": "id",
            "help": "name of the column that names files in --root, for rows without a path",
        },
    },
    has_hashtags=True,
)
def scan_table(
    file: Path,
    root: Path | None,
    *,
    path_column: str = "path",
    label_column: str = "label",
    hashtags_column: str = "hashtags",
    id_column: str = "id",
    vocabulary: AbstractSet[str] | None = None,
) -> "TableScan":
    """Read a CSV or TSV with a header, JSON lines (each also as .gz or .bz2), or a Parquet file.

    Relative paths start from the root (default: the table's folder); in it, files are looked up by id for rows without
    a path. Hashtags are text or, in JSON and Parquet, lists. Examples without a canonical tag of the vocabulary are
    left out.

    Raises:
        UserError: the file cannot be read, a column is missing or has the wrong type, or every row is broken.
    """
    from vidsemi.data.manifest_file import COLUMNS

    names = {"path": path_column, "id": id_column, "label": label_column, "hashtags": hashtags_column}
    names |= {name: name for name in COLUMNS if name not in names}
    return TableScan(file=file, root=root, names=names, vocabulary=vocabulary)


def read_table_format(file: Path, root: Path | None, **options: Any) -> ScanResult:
    """Read a table into memory; see `scan_table`."""
    return scan_table(file, root, **options).collect()


class _ReadAgainError(Exception):
    """The end of a table has shown that its beginning must be read in another way."""


@dataclass
class TableScan(StreamedScan):
    """A table that is read while its manifest is written."""

    file: Path = Path()
    root: Path | None = None
    names: Mapping[str, str] = field(default_factory=dict)  # of the table's columns by the manifest's names
    vocabulary: AbstractSet[str] | None = None
    _present: set[str] = field(default_factory=set)  # keys of JSON lines that are known to be there
    _in_captions: bool = False  # whether the column of tags is known to be one of captions

    def write(self, manifest: Path, vocabulary: object = "") -> tuple[dict[str, Any], str]:
        """Write the manifest, and the lists of `ScanResult.write`."""
        return self._until_known(lambda: super(TableScan, self).write(manifest, vocabulary))

    def collect(self) -> ScanResult:
        """The examples in memory."""
        return self._until_known(super().collect)

    def _until_known(self, read: Callable[[], Answer]) -> Answer:
        from vidsemi.data.formats.table_rows import first_keys

        self._present = first_keys(self.file)
        while True:
            try:
                return read()
            except _ReadAgainError:
                logger.info("%s: reading it again, since what its tags or columns are is only now known", self.file)

    def blocks(self, *, examples_needed: bool = True) -> "Iterator[tuple[pa.Table, Any]]":
        """The examples as tables of columns of a manifest, and the lines that list them."""
        return self._blocks(None, examples_needed)

    def stored_blocks(self, manifest: Path) -> "Iterator[tuple[pa.Table, Any]]":
        """`blocks` with the paths as a manifest stores them."""
        return self._blocks(manifest, True)

    def _blocks(self, manifest: Path | None, examples_needed: bool) -> "Iterator[tuple[pa.Table, Any]]":
        from vidsemi.data.formats.table_columns import Rules, examples_of
        from vidsemi.data.formats.table_rows import open_table
        from vidsemi.runtime.threads import in_parallel

        self.missing, self.broken, self.left_out, self._examples = [], BrokenLines(), 0, 0
        present, blocks = open_table(self.file, self.names, self.broken, self._present)
        columns = [
            name
            for name, column in self.names.items()
            if name == "path" or (name != "id" and column in {*present, *self._present})
        ]
        files = FilesById(self.root)
        folder = str(self.root or self.file.parent)
        folder = "" if folder == "." else folder  # ./v/1.mp4 would have to be normalized, path by path
        rules = Rules(list(self.names), columns, folder, files.find, self.vocabulary, self._in_captions, manifest)
        captions = unsure = 0
        with closing(in_parallel(partial(examples_of, rules=rules), blocks)) as results:
            for found in results:
                self.missing += found.missing
                for line in found.broken:
                    self.broken.append(line)
                self.left_out += found.left_out
                present |= found.keys
                captions += found.captions
                unsure += found.unsure
                self._examples += len(found.table)
                self.unique = files.used
                yield found.table, found.lines
        self.broken.sort()
        self._check_end(present, captions, unsure)
        require_usable_rows(self.file, self)
        if examples_needed:
            ScanResult.require_examples(self, self.file, self.root or self.file.parent)

    def _check_end(self, present: AbstractSet[str], captions: int, unsure: int) -> None:
        from vidsemi.data.formats.table_rows import all_keys, check_columns, missing_columns

        if is_json_lines(self.file) and missing_columns(present, self.names):
            present = all_keys(self.file)  # which the message lists
        check_columns(self.file, present, self.names)
        if self.vocabulary is not None and self.names["hashtags"] not in present:
            column = self.names["hashtags"]
            raise UserError("table.missing_hashtags", f"{self.file} has no column '{column}' to look for tags in")
        if is_json_lines(self.file) and not present & {*self.names.values()} <= self._present:
            self._present |= present
            raise _ReadAgainError
        of_captions = captions > 0 and captions >= CAPTION_RATE * unsure
        if of_captions and unsure and not self._in_captions:
            self._in_captions = True
            raise _ReadAgainError
        self.captions = captions + (unsure if of_captions else 0)


class FilesById:
    """The files in a folder by their names without suffix, which is only listed if an id is looked up."""

    def __init__(self, root: Path | None) -> None:
        self._root = root
        self._lock = Lock()
        self.used = False  # whether a file was found by its id

    def __iter__(self) -> Iterator[str]:
        """The names."""
        return iter(self._by_stem)

    def find(self, name: str) -> str | None:
        """The path of the file with this name; None if there is none. If two fit, a UserError names them."""
        with self._lock:
            path = self._by_stem.get(name)
        self.used |= path is not None
        return path

    @cached_property
    def _by_stem(self) -> FilesByStem:
        if self._root is None:
            raise BrokenRowError("has an id but no path, and --root does not say where the files are")
        return FilesByStem(self._root)


def require_usable_rows(file: Path, scan: ScanResult) -> ScanResult:
    """Return the scan of a table, or raise a UserError if no row of it can be used."""
    if len(scan) or scan.missing or scan.elsewhere or scan.left_out:
        return scan
    if not scan.broken:
        raise UserError("table.empty", f"{file} does not contain any examples")
    number, problem = scan.broken[0]
    raise UserError(
        "table.all_broken", f"none of the {len(scan.broken)} lines of {file} can be used; line {number} {problem}"
    )
