"""Manifests: the tables of examples that every stage starts from."""

import os
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, fields, replace
from functools import cached_property
from itertools import repeat
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from vidsemi.data.batches import Batches
from vidsemi.data.class_names import class_name, closest_name
from vidsemi.data.manifest_file import check_exists, row_name
from vidsemi.data.mapped import read_manifest
from vidsemi.io.download import CacheError, local_copy
from vidsemi.io.errors import UserError
from vidsemi.io.store import Place, is_remote, parse_place

if TYPE_CHECKING:
    from vidsemi.io.object_store import RemotePath


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
        if self.frames_per_second is None or not is_remote(self.path):
            return self.frames_per_second is not None and os.path.isdir(self.path)
        from vidsemi.data.formats.media_files import MEDIA_SUFFIXES

        return self.member is None and PurePosixPath(self.path).suffix.lower() not in MEDIA_SUFFIXES


@dataclass(frozen=True)
class Manifest:
    """A manifest. The example id is the row number.

    One of a large file stays on disk, as a copy that all processes map (`vidsemi.data.mapped`).
    """

    file: Place
    root: Place  # folder that relative paths start from
    batches: Batches  # the columns of `COLUMNS` that the file has
    fingerprint: str  # SHA-256 of the file

    @classmethod
    def read(cls, file: str | os.PathLike[str], root: str | os.PathLike[str] | None = None) -> "Manifest":
        """Read and check a manifest. No video is opened.

        Args:
            file: a .csv with a header or a .parquet, with a column `path` (docs/guides/manifests.md), or its address
                in an object store.
            root: folder or address that relative paths start from, by default the file's own folder.

        Returns:
            the manifest.

        Raises:
            UserError: the file or the root does not exist, or a column is missing, empty or of the wrong type.
        """
        return load_manifest(parse_place(os.fspath(file)), None if root is None else parse_place(os.fspath(root)))

    def __getstate__(self) -> dict[str, Any]:
        return {field.name: getattr(self, field.name) for field in fields(self)}  # without what is cached

    @cached_property
    def table(self) -> pa.Table:
        """The columns of `COLUMNS` that the file has, without a copy of the rows."""
        return pa.Table.from_batches(self.batches, self.batches.schema)

    @property
    def columns(self) -> list[str]:
        """The names of the columns."""
        names: list[str] = self.batches.schema.names
        return names

    def __len__(self) -> int:
        return len(self.batches)

    def row(self, example_id: int) -> Row:
        """Return an example, with a path that can be opened.

        Args:
            example_id: number of its row, from 0.

        Returns:
            path, trim, and place in a tar.
        """
        number, place = self.batches.locate(example_id)
        batch = self.batches.get(number)
        values = {name: batch.column(name)[place].as_py() for name in self._row_columns}
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
        table = self.batches.take(example_ids, self.columns)
        paths = zip(table.column("path").to_pylist(), self._roots(example_ids), strict=False)
        place = table.column_names.index("path")
        return table.set_column(place, "path", pa.array([resolve(*pair) for pair in paths], pa.string()))

    def _roots(self, example_ids: np.ndarray) -> Iterable[Place]:
        return repeat(self.root)

    @cached_property
    def _row_columns(self) -> list[str]:
        return [name for name in self.columns if name not in ("label", "hashtags", "group")]

    def class_names(self) -> list[str]:
        """Return the distinct labels in alphabetical order.

        Raises:
            UserError: a row has no label.
        """
        return sorted(self.label_counts())

    def label_counts(self) -> dict[str, int]:
        """Return the number of examples of each label; raises a UserError like `class_names`."""
        counts: Counter[str] = Counter()
        for _, labels in self._labels():
            for count in labels.value_counts().to_pylist():
                counts[count["values"]] += count["counts"]
        return dict(counts)

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
        known, found = pa.array(map(class_name, classes), pa.string()), np.empty(len(self), np.int64)
        unknown: tuple[int, str] | None = None
        for first, labels in self._labels():
            indices = pc.index_in(labels, value_set=known)
            if indices.null_count and unknown is None:
                place = int(pc.index(pc.is_null(indices), True).as_py())
                unknown = first + place, labels[place].as_py()
            found[first : first + len(labels)] = indices.fill_null(0).to_numpy()
        if unknown is not None:
            row, label = unknown
            closest = closest_name(label, classes)
            hint = f"; did you mean '{closest}'?" if closest else ""
            raise UserError(
                "manifest.unknown_label",
                f"{self.file}: the label '{label}' ({row_name(self.file, row)}) is not one of the {len(classes)} "
                f"classes of {source}{hint}",
            )
        return found

    def _labels(self) -> Iterator[tuple[int, pa.Array]]:
        """The labels of each batch, after its first row; a UserError if one is missing."""
        if "label" not in self.columns:
            raise UserError("manifest.missing_column", f"{self.file} has no column 'label', which a labeled set needs")
        for first, batch in zip(self.batches.starts, self.batches, strict=False):
            labels = batch.column("label")
            if labels.null_count:
                row = row_name(self.file, first + int(pc.index(pc.is_null(labels), True).as_py()))
                raise UserError("manifest.missing_label", f"{self.file}: {row} has no label, which a labeled set needs")
            yield first, labels


def resolve(path: str, root: Place) -> str:
    """A path that can be opened: URIs and absolute paths unchanged, others relative to `root`."""
    return path if "://" in path or (path.startswith("/") and not isinstance(root, Path)) else str(root / path)


def load_manifest(file: Place, root: Place | None = None) -> Manifest:
    """Read and check a manifest, a .csv with a header or a .parquet; `root` is its own folder by default."""
    if not isinstance(file, Path):
        return _load_remote(file, root)
    check_exists(file)
    if isinstance(root, Path) and not root.is_dir():
        raise UserError("manifest.missing_root", f"{root}, the root of the paths in {file}, does not exist")
    batches, fingerprint = read_manifest(file)
    return Manifest(file, root or file.parent, batches, fingerprint)


def _load_remote(file: "RemotePath", root: Place | None) -> Manifest:
    """Read a manifest in an object store: the copy of it in our cache."""
    try:
        copy = local_copy(file)
    except FileNotFoundError:
        raise UserError("manifest.missing_file", f"manifest {file} does not exist") from None
    except CacheError as error:
        raise UserError("cache.not_writable", f"manifest {file} cannot be downloaded: {error}") from None
    try:
        return replace(load_manifest(copy, root or file.parent), file=file)
    except UserError as error:
        raise UserError(error.code, error.message.replace(str(copy), str(file))) from None
