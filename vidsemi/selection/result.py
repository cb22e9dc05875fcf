"""A selection, the pseudo-labeled set of each class, best first; its file; and what other libraries take it as."""

import json
from dataclasses import dataclass
from os import PathLike, fspath
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np
import pyarrow as pa

from vidsemi.io.errors import UserError
from vidsemi.io.parquet import is_damage, open_parquet, read_parquet, write_parquet
from vidsemi.io.store import Place, parse_place
from vidsemi.selection import describe
from vidsemi.selection.info import FORMAT, SOFT_FORMAT, SOFT_KEYS, SelectionInfo
from vidsemi.selection.policies import find_policy
from vidsemi.selection.score_format import KEY, MAX_ID, MAX_SCORE, ScoreRows, ScoresInfo, label_type
from vidsemi.selection.soft_targets import StoredScores, from_columns, to_columns

STORED_NAMES = {"shard_ranges": "parts"}  # attributes with another name in the file


@runtime_checkable
class Examples(Protocol):
    """The manifest that a selection was made from."""

    @property
    def fingerprint(self) -> str: ...  # noqa: D102

    def __len__(self) -> int: ...

    def take(self, example_ids: np.ndarray) -> pa.Table: ...  # noqa: D102


@dataclass(frozen=True, repr=False)
class Selection:
    """A pseudo-labeled set: rows (class, rank, example, score), sorted by class, then rank.

    Attributes:
        label: (R,) int16 or int32, indices into `info.scores.classes`.
        rank: (R,) int64, 0 is the highest score of the class.
        example_id: (R,) int64, row numbers of the manifest.
        score: (R,) float32; NaN where the policy ignores scores.
        info: how the selection was made, and its counts.
        stored: the stored scores of each selected example, by example id, where the targets are soft; else None.
    """

    label: np.ndarray
    rank: np.ndarray
    example_id: np.ndarray
    score: np.ndarray
    info: SelectionInfo
    stored: StoredScores | None = None

    @classmethod
    def read(cls, file: str | PathLike[str]) -> "Selection":
        """Read a selection.

        Args:
            file: as `write` or `vidsemi select` wrote it, or its address (s3://bucket/selection.parquet).

        Returns:
            The selection.

        Raises:
            UserError: the file is missing, damaged or not a selection.
        """
        file = _place_of(file)
        try:
            table = read_parquet(file)
            return _checked(table, _parse_info(file, table.schema))
        except (pa.ArrowException, OSError, KeyError, TypeError, ValueError) as error:
            raise _invalid_file(file, error) from None

    def write(self, file: str | PathLike[str]) -> None:
        """Write the selection atomically as Parquet, for `Selection.read` and the command line.

        Args:
            file: to write; its folder is created. Or an address in a bucket.
        """
        metadata = {STORED_NAMES.get(name, name): value for name, value in self.info.document().items()}
        columns = {
            "label": pa.array(self.label, label_type(len(self.classes))),
            "rank": pa.array(self.rank, pa.int64()),
            "example_id": pa.array(self.example_id, pa.int64()),
            "score": pa.array(self.score, pa.float32(), from_pandas=True),  # NaN becomes null
        }
        if self.stored is not None:
            columns |= to_columns(self.stored.take(self.example_id), len(self.classes))
        table = pa.table(columns).replace_schema_metadata({KEY: json.dumps(metadata)})
        write_parquet(_place_of(file), table)

    def __len__(self) -> int:
        return len(self.label)

    def __repr__(self) -> str:
        return "\n".join(describe.summary(self.info))

    @property
    def classes(self) -> list[str]:
        """Names of the classes, in the order of the label indices."""
        return self.info.scores.classes

    def describe(self) -> dict[str, Any]:
        """Return metrics, warnings and a table of the classes as a JSON object, as `vidsemi select --json` does."""
        return {**describe.metrics(self.info), "classes": describe.classes(self.info)}

    def to_arrow(self, manifest: Examples | None = None) -> pa.Table:
        """Return the rows as a table with the columns `class` (name), `label` (index), `rank`, `example_id`, `score`.

        Args:
            manifest: the manifest that was scored. Its columns are appended, with paths that can be opened. Its
                labels, if it has any, are the column `manifest_label`.

        Returns:
            A row per class and selected example, sorted by class, then rank.

        Raises:
            UserError: the selection was made from another manifest.
        """
        names = pa.DictionaryArray.from_arrays(pa.array(self.label, pa.int32()), self.classes).dictionary_decode()
        table = pa.table(
            {
                "class": names,
                "label": self.label,
                "rank": self.rank,
                "example_id": self.example_id,
                "score": pa.array(self.score, from_pandas=True),  # NaN becomes null
            }
        )
        if manifest is None:
            return table
        self.check_manifest(manifest)
        for name, column in zip((taken := manifest.take(self.example_id)).column_names, taken.columns, strict=True):
            table = table.append_column("manifest_label" if name == "label" else name, column)
        return table

    def to_pandas(self, manifest: Examples | None = None) -> Any:
        """Return the rows as a `pandas.DataFrame`.

        Args:
            manifest: as for `to_arrow`.

        Returns:
            The frame with the columns of `to_arrow`.

        Raises:
            UserError: pandas is not installed, or the selection was made from another manifest.
        """
        table = self.to_arrow(manifest)
        try:
            return table.to_pandas()
        except ImportError:
            raise UserError("selection.no_pandas", "a data frame needs pandas: pip install pandas") from None

    def examples(self) -> tuple[np.ndarray, Any]:
        """Return each selected example once, with its soft target.

        Returns:
            Example ids (N,) int64 ascending, and targets (N, classes) float32 as a `scipy.sparse.csr_array`: 1/k on
            each of the k classes that selected the example; with soft targets, the stored scores, renormalized at the
            temperature of the selection.
        """
        from scipy.sparse import csr_array

        ids, offsets, labels, shares = self.targets_by_example()
        if shares is None:
            counts = np.diff(offsets)
            shares = np.repeat(np.float32(1) / counts.astype(np.float32), counts)
        return ids, csr_array((shares, labels, offsets), shape=(len(ids), len(self.classes)))

    def targets_by_example(self) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray | None]:
        """Return each selected example once, with the classes of its target and their shares, None for equal ones.

        Returns:
            Example ids (N,) ascending; offsets (N + 1,), labels and shares, where example i has the classes
            `labels[offsets[i]:offsets[i + 1]]`.
        """
        if self.stored is None:
            return *self.labels_by_example(), None
        stored = self.stored
        return stored.example_id, stored.offsets, stored.label.astype(np.int64), stored.shares(self.info.temperature)

    def labels_by_example(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return each selected example once, with the classes that selected it.

        Returns:
            Example ids (N,) ascending; offsets (N + 1,) and labels, where example i was selected by the classes
            `labels[offsets[i]:offsets[i + 1]]`.
        """
        order = np.lexsort((self.label, self.example_id))
        ids, begins = np.unique(self.example_id[order], return_index=True)
        return ids, np.r_[begins, len(order)], self.label[order].astype(np.int64)

    def rows(self) -> ScoreRows:
        """Return the selected score rows."""
        return ScoreRows(self.example_id, self.label, self.score)

    def check_manifest(self, manifest: Examples, name: object = "the selection") -> None:
        """Check that the selection was made from a manifest.

        Args:
            manifest: the manifest.
            name: of the selection, for the error.

        Raises:
            UserError: it was not, or the manifest is something else.
        """
        if not isinstance(manifest, Examples):
            kind = type(manifest).__name__
            raise UserError("manifest.wrong_type", f"the manifest is a {kind}; give a Manifest, of Manifest.read")
        outside = len(self) and int(self.example_id.max()) >= len(manifest)
        if outside or self.info.scores.manifest != manifest.fingerprint:
            raise UserError(
                "selection.wrong_manifest",
                f"{name} was created from another manifest than {getattr(manifest, 'file', manifest)}",
            )


def _place_of(file: str | PathLike[str]) -> Place:
    if not isinstance(file, str | PathLike) or not str(file):
        raise UserError("options.invalid", f"file is {file!r}; give the path of a file")
    return parse_place(fspath(file))


def read_selection_info(file: Place) -> SelectionInfo:
    """Read the metadata of a selection, not its rows."""
    try:
        with open_parquet(file) as parquet:
            return _parse_info(file, parquet.schema_arrow)
    except (pa.ArrowException, OSError, KeyError, TypeError, ValueError) as error:
        raise _invalid_file(file, error) from None


def _checked(table: pa.Table, info: SelectionInfo) -> Selection:
    """Check the columns, whose numbers others use as indices."""
    classes = len(info.scores.classes)
    types = {"label": label_type(classes), "rank": pa.int64(), "example_id": pa.int64(), "score": pa.float32()}
    for name, expected in types.items():
        if table.column(name).type != expected or (name != "score" and table.column(name).null_count):
            raise TypeError(f"the column '{name}' must be {expected} without nulls")
    label, rank, example_id, score = (table.column(name).to_numpy() for name in types)
    if len(label):
        if not 0 <= label.min() <= label.max() < classes:
            raise ValueError(f"labels must lie in [0, {classes})")
        if not 0 <= example_id.min() <= example_id.max() <= MAX_ID:
            raise ValueError(f"example ids must lie in [0, {MAX_ID}]")
        known = score[~np.isnan(score)]
        policy = find_policy(info.policy)
        if len(known) < len(score) and not (policy and policy.needs_tags):
            raise ValueError("a score is missing")
        if (known < 0).any() or (known > MAX_SCORE).any() or np.signbit(known).any():
            raise ValueError("scores must lie in [0, 1]")
    if np.bincount(label, minlength=classes).tolist() != info.chosen_per_class:
        raise ValueError("its rows are not those that its metadata counts")
    stored = from_columns(table, example_id, label, classes, info.scores.per_example) if info.soft else None
    return Selection(label, rank, example_id, score, info, stored)


def _parse_info(file: Place, schema: pa.Schema) -> SelectionInfo:
    metadata: dict[str, Any] = json.loads((schema.metadata or {}).get(KEY.encode(), b"{}"))
    if "policy" not in metadata:
        raise ValueError("its metadata has no policy; is it a shard of scores?")
    if metadata["format"] not in (FORMAT, SOFT_FORMAT):
        raise UserError(
            "selection.wrong_format", f"{file} has format {metadata['format']}; select again for format {FORMAT}"
        )
    names = [name for name in SelectionInfo.__dataclass_fields__ if name in metadata or name not in SOFT_KEYS]
    own = {name: metadata[STORED_NAMES.get(name, name)] for name in names}
    return SelectionInfo(**{**own, "scores": ScoresInfo(**own["scores"])})


def _invalid_file(file: Place, error: Exception) -> UserError:
    if isinstance(error, FileNotFoundError) or (isinstance(file, Path) and not file.is_file()):
        return UserError("selection.not_found", f"selection not found: {file}")
    why = " ".join(str(error).split())
    if is_damage(error):
        redo = "delete it, and stage.json beside it if there is one, and run the command that made it again"
        return UserError("selection.invalid_file", f"{file} is not a selection as it was written: {why}; {redo}")
    return UserError("selection.invalid_file", f"{file} is not a selection of vidsemi: {why}")
