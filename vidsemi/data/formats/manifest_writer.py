"""Write the examples of a scan as a manifest, block by block: memory does not grow with their number."""

from contextlib import closing
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc

from vidsemi.data.class_names import normalize_labels
from vidsemi.data.formats.media_files import is_image
from vidsemi.data.formats.portable_paths import LONGEST
from vidsemi.data.formats.repeats import RepeatFinder
from vidsemi.data.manifest_file import table_writer, write_groups
from vidsemi.io.errors import UserError
from vidsemi.io.tables import printable

if TYPE_CHECKING:
    from vidsemi.data.formats.scan import ScanResult

ENDING = 5  # bytes of the longest suffix of an image, with its dot


@dataclass
class Written:
    """What was written."""

    examples: int = 0
    images: int = 0
    repeated: int = 0  # examples that repeat a file that is listed before
    classes: set[str] = field(default_factory=set)


def write_scan(manifest: Path, scan: "ScanResult") -> Written:
    """Write a manifest of the examples of a scan.

    Raises:
        UserError: two examples are the same file and have different labels, or files must be unique and are not.
    """
    written = Written()
    with closing(RepeatFinder(manifest.parent)) as finder:
        tables = (_stored(table, written, finder) for table, _ in scan.stored_blocks(manifest))
        first = next(tables)
        with table_writer(manifest, first.schema) as writer:
            write_groups(writer, first.schema, chain([first], tables))
            repeats = finder.find(unique=scan.unique)
            if repeats.first is not None:
                raise _repeated(manifest, scan, *repeats.first)
    written.repeated = repeats.count
    return written


def _stored(table: pa.Table, written: Written, finder: RepeatFinder) -> pa.Table:
    """The rows as the manifest stores them, counted."""
    names, paths = table.column_names, table.column("path")
    if "label" in names:
        labels = normalize_labels(table.column("label"))
        table = table.set_column(names.index("label"), "label", labels)
        written.classes.update(pc.unique(labels).drop_null().to_pylist())
    finder.add(table)
    files = paths
    if "member" in names:
        files = pc.coalesce(pc.if_else(pc.equal(member := table.column("member"), ""), None, member), paths)
    endings = pc.value_counts(pc.binary_slice(files.cast(pa.binary()), -ENDING, LONGEST))
    for ending, count in zip(endings.field(0).to_pylist(), endings.field(1).to_pylist(), strict=True):
        written.images += count * is_image(f"x.{ending.rpartition(b'.')[2].decode(errors='replace')}")
    written.examples += len(table)
    return table


def _repeated(manifest: Path, scan: "ScanResult", *rows: int) -> UserError:
    """The error for two rows of the same file."""
    places, labels, start = [], [], 0
    for table, lines in scan.stored_blocks(manifest):
        for row in rows:
            if 0 <= (place := row - start) < len(table):
                path = table.column("path")[place].as_py()
                label = table.column("label").slice(place, 1) if "label" in table.column_names else None
                labels.append(None if label is None else normalize_labels(label)[0].as_py())
                places.append(int(lines[place]) if len(lines) else None)
        start += len(table)
    where = "two examples" if None in places else f"lines {places[0]} and {places[1]}"
    path = printable(path)
    if labels[0] != labels[1]:
        names = " and ".join(f"'{printable(label or '')}'" for label in labels)
        return UserError(
            "scan.conflicting_labels", f"{where} are the same file, {path}, with the labels {names}; keep one"
        )
    return UserError("scan.repeated_file", f"{where} are the same file, {path}; keep one of them")
