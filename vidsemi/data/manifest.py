"""Manifests: the tables of examples that every stage starts from."""

import os
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from itertools import repeat
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from vidsemi.data.class_names import class_name, closest_name, normalize_labels
from vidsemi.data.csv_texts import unmarked
from vidsemi.data.manifest_file import COLUMNS, read_table
from vidsemi.io.errors import UserError
from vidsemi.io.files import fingerprint_file


@dataclass(frozen=True)
class Row:
    """One example, as needed to read it."""

    example_id: int
    path: str
    start: float | None = None
    end: float | None = None
    member: str | None = None
    offset: int | None = None
    size: int | None = None
    frames_per_second: float | None = None

    @property
    def is_frame_folder(self) -> bool:
        """Whether the example is a folder of frames; for a file, the frames per second do not matter."""
        return self.frames_per_second is not None and os.path.isdir(self.path)


@dataclass(frozen=True)
class Manifest:
    """A manifest in memory. The example id is the row number."""

    file: Path
    root: Path  # folder that relative paths start from
    table: pa.Table  # the columns of `COLUMNS` that the file has
    fingerprint: str  # SHA-256 of the file

    @classmethod
    def read(cls, file: str | os.PathLike[str], root: str | os.PathLike[str] | None = None) -> "Manifest":
        """Read and check a manifest. No video is opened.

        Args:
            file: a .csv with a header or a .parquet, with a column `path` (docs/guides/manifests.md).
            root: folder that relative paths start from, by default the file's own.

        Returns:
            the manifest, in memory.

        Raises:
            UserError: the file or the root does not exist, or a column is missing, empty or of the wrong type.
        """
        return load_manifest(Path(file), None if root is None else Path(root))

    def __len__(self) -> int:
        return int(self.table.num_rows)

    def row(self, example_id: int) -> Row:
        """Return an example, with a path that can be opened.

        Args:
            example_id: number of its row, from 0.

        Returns:
            path, trim, and place in a tar.
        """
        values = {name: self.table.column(name)[example_id].as_py() for name in self._row_columns}
        values["path"] = resolve(values["path"], self.root)
        return Row(example_id=example_id, **values)

    def take(self, example_ids: np.ndarray) -> pa.Table:
        """The columns of some examples, with paths that can be opened.

        Args:
            example_ids: (N,) int64.

        Returns:
            N rows in the order of the ids.

        Raises:
            UserError: an id is not in the manifest.
        """
        if len(example_ids) and not 0 <= example_ids.min() <= example_ids.max() < len(self):
            raise UserError("manifest.no_such_example", f"{self.file} has the examples 0 to {len(self) - 1} only")
        order, batches = np.argsort(example_ids, kind="stable"), self.table.to_batches()
        ends = np.cumsum([batch.num_rows for batch in batches])
        pieces = np.split(example_ids[order], np.searchsorted(example_ids[order], ends[:-1]))
        # not `table.take`, which may copy all strings of a column into one array, of 2 GB at most
        taken = [
            batch.take(pa.array(own - (end - batch.num_rows)))
            for batch, end, own in zip(batches, ends, pieces, strict=True)
            if len(own)
        ]
        table = pa.Table.from_batches(taken, self.table.schema).take(pa.array(np.argsort(order)))
        paths = zip(table.column("path").to_pylist(), self._roots(example_ids), strict=False)
        place = table.column_names.index("path")
        return table.set_column(place, "path", pa.array([resolve(*pair) for pair in paths], pa.string()))

    def _roots(self, example_ids: np.ndarray) -> Iterable[Path]:
        return repeat(self.root)

    @cached_property
    def _row_columns(self) -> list[str]:
        return [name for name in self.table.column_names if name not in ("label", "hashtags", "group")]

    def class_names(self) -> list[str]:
        """Return the distinct labels in alphabetical order.

        Raises:
            UserError: a row has no label.
        """
        if "label" not in self.table.column_names:
            raise UserError("manifest.missing_column", f"{self.file} has no column 'label', which a labeled set needs")
        labels = self.table.column("label")
        missing = np.flatnonzero(pc.is_null(labels).to_numpy())
        if len(missing):
            row = _row_name(self.file, missing[0])
            raise UserError("manifest.missing_label", f"{self.file}: {row} has no label, which a labeled set needs")
        return sorted(pc.unique(labels).to_pylist())

    def label_counts(self) -> dict[str, int]:
        """Return the number of examples of each label; raises a UserError like `class_names`."""
        self.class_names()
        counts = self.table.column("label").value_counts()
        return {count["values"]: count["counts"] for count in counts.to_pylist()}

    def label_indices(self, classes: list[str], source: str) -> np.ndarray:
        """Return the index of each example's label.

        Args:
            classes: names of the classes, in any order.
            source: where they are from, for the message of an error.

        Returns:
            (N,) int64.

        Raises:
            UserError: a row has no label, or one that is not among the classes.
        """
        self.class_names()
        labels = self.table.column("label")
        indices = pc.index_in(labels, value_set=pa.array(map(class_name, classes), pa.string()))
        unknown = np.flatnonzero(pc.is_null(indices).to_numpy())
        if len(unknown):
            label = labels[int(unknown[0])].as_py()
            closest = closest_name(label, classes)
            hint = f"; did you mean '{closest}'?" if closest else ""
            row = _row_name(self.file, unknown[0])
            raise UserError(
                "manifest.unknown_label",
                f"{self.file}: the label '{label}' ({row}) is not one of the {len(classes)} classes of {source}{hint}",
            )
        numbers: np.ndarray = indices.to_numpy().astype(np.int64)
        return numbers


def resolve(path: str, root: Path) -> str:
    """A path that can be opened: URIs and absolute paths unchanged, others relative to `root`."""
    return path if "://" in path else str(root / path)


def _row_name(file: Path, index: int) -> str:  # as an editor (CSV) or a reader of the table (Parquet) counts it
    return f"line {index + 2}" if file.suffix == ".csv" else f"row {index}"


def load_manifest(file: Path, root: Path | None = None) -> Manifest:
    """Read and check a manifest, a .csv with a header or a .parquet; `root` is its own folder by default."""
    table = read_table(file)
    for name in COLUMNS:
        if (count := table.column_names.count(name)) > 1:
            raise UserError("manifest.duplicate_column", f"{file} has {count} columns named '{name}'")
    if "path" not in table.column_names:
        columns = ", ".join(table.column_names)
        raise UserError("manifest.missing_column", f"{file} has no column 'path'; its columns are: {columns}")
    if table.num_rows == 0:
        raise UserError("manifest.empty", f"{file} has a header but no examples")
    if root is not None and not root.is_dir():
        raise UserError("manifest.missing_root", f"{root}, the root of the paths in {file}, does not exist")
    known = [name for name in COLUMNS if name in table.column_names]
    try:
        table = table.select(known).cast(pa.schema([(name, COLUMNS[name]) for name in known]))
    except pa.ArrowException as error:
        raise UserError("manifest.wrong_type", f"{file} has a column of the wrong type: {error}") from None
    if file.suffix == ".csv":
        table = unmarked(table)
    if "label" in known:
        place = known.index("label")
        table = table.set_column(place, "label", normalize_labels(table.column("label")))
    empty = np.flatnonzero(pc.is_null(table.column("path")).to_numpy())
    if len(empty):
        raise UserError("manifest.missing_path", f"{file}: {_row_name(file, empty[0])} has no path")
    return Manifest(file, root or file.parent, table, fingerprint_file(file))
