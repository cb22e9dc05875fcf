"""Write a manifest without duplicates, a list of the removed examples, and a record of what was checked."""

import csv
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from vidsemi.data.dedup.checks import FORMAT, given_root, record_file
from vidsemi.data.dedup.duplicates import KINDS, Duplicates, duplicates_of, duplicates_within
from vidsemi.data.dedup.frame_hashes import METHOD
from vidsemi.data.dedup.hash_files import HashedManifest, hash_manifest
from vidsemi.data.manifest import Manifest, write_tables
from vidsemi.io.errors import UserError
from vidsemi.io.files import atomic_path, fingerprint_file, write_json, write_text
from vidsemi.io.tables import csv_cell

ITSELF = "itself"
HEADER = ("example_id", "path", "member", "kind", "distance", "of_example_id", "of_path", "of_member", "of")


@dataclass(frozen=True)
class Checked:
    """What a manifest was compared with; an entry of MANIFEST.duplicates.json.

    Attributes:
        against: a test set's file, or `ITSELF`.
        fingerprint: of the test set; None for the manifest itself.
        root: of the test set, if it is not the folder of its file.
        max_distance: maximum Hamming distance of near duplicates.
        exact: number of exact duplicates removed.
        near: number of near duplicates removed.
        unread: number of examples of the test set that do not decode.
        flat: number of examples of the test set that show too little for a perceptual hash.
    """

    against: str
    fingerprint: str | None
    root: str | None
    max_distance: int
    exact: int
    near: int
    unread: int
    flat: int


@dataclass
class Summary:
    """The result.

    Attributes:
        manifest: the manifest that was written.
        examples: number of examples kept.
        removed: number of examples removed.
        unread: number of examples that do not decode; they are kept.
        flat: number of examples that show too little for a perceptual hash.
        checked: what they were compared with, in that order.
    """

    manifest: Path
    examples: int = 0
    removed: int = 0
    unread: int = 0
    flat: int = 0
    checked: list[Checked] = field(default_factory=list)

    def document(self) -> dict[str, Any]:
        """The summary as JSON."""
        return {**asdict(self), "manifest": str(self.manifest)}

    def lines(self) -> list[str]:
        """The summary for people."""
        lines = [f"{self.manifest}: {self.examples} examples; {self.removed} duplicates were removed"]
        for one in self.checked:
            text = f"  of {one.against}: {one.exact} exact, {one.near} near (up to {one.max_distance} of 64 bits)"
            lines.append(text + (f"; {one.unread} of its examples do not decode" if one.unread else ""))
        if self.removed:
            lines.append(f"  {list_file(self.manifest)} lists them")
        if self.unread:
            lines.append(
                f"  {self.unread} examples do not decode and were kept; {unread_file(self.manifest)} lists them"
            )
        if self.flat:
            lines.append(
                f"  {self.flat} examples show next to nothing; only exact duplicates of them were searched for"
            )
        return lines


def list_file(manifest: Path) -> Path:
    """The list of removed examples."""
    return manifest.with_suffix(".duplicates.csv")


def unread_file(manifest: Path) -> Path:
    """The list of examples that do not decode."""
    return manifest.with_suffix(".unread.txt")


def exclude_duplicates(
    dataset: Manifest,
    output: Path,
    *,
    tests: Sequence[Manifest],
    max_distance_test: int,
    max_distance: int | None,
    workers: int,
    seconds: float,
) -> Summary:
    """Write a manifest without duplicates.

    Args:
        dataset: all examples.
        output: manifest to write, .csv or .parquet; the lists and the record are written beside it.
        tests: test sets whose duplicates are removed; an example is attributed to the first of them.
        max_distance_test: maximum Hamming distance of near duplicates of a test example.
        max_distance: the same within the dataset, after the duplicates of test sets are removed; None keeps those.
        workers: processes that read.
        seconds: time limit per file.

    Raises:
        UserError: no file of a manifest can be read, or no example would be left.
    """
    folder = output.parent / "hashes"
    hashed = hash_manifest(dataset, folder, workers=workers, seconds=seconds)
    left = np.arange(len(dataset))
    summary = Summary(output, unread=len(hashed.unread), flat=hashed.flat)
    unread = _unread_lines(hashed)
    removed: list[tuple[str, Manifest, Duplicates]] = []
    for test in tests:
        others = hash_manifest(test, folder, workers=workers, seconds=seconds)
        unread += _unread_lines(others)
        duplicates = duplicates_of(hashed.hashes.take(left), others.hashes, max_distance_test).renumbered(left)
        removed.append((str(test.file), test, duplicates))
        left = np.setdiff1d(left, duplicates.example)
        summary.checked.append(_checked(others, max_distance_test, duplicates, hashed))
    if max_distance is not None:
        duplicates = duplicates_within(hashed.hashes.take(left), max_distance).renumbered(left, left)
        removed.append((ITSELF, dataset, duplicates))
        left = np.setdiff1d(left, duplicates.example)
        summary.checked.append(_checked(None, max_distance, duplicates, hashed))
    if not len(left):
        raise UserError(
            "duplicates.nothing_left",
            f"all {len(dataset)} examples of {dataset.file} are duplicates; none would be left",
        )
    summary.examples, summary.removed = len(left), len(dataset) - len(left)
    record_file(output).unlink(missing_ok=True)  # of an earlier call
    unread_file(output).unlink(missing_ok=True)
    write_tables(output, dataset.table.schema, [_select_rows(dataset.table, left)])
    _write_removed(list_file(output), dataset, removed)
    if unread:
        write_text(unread_file(output), "\n".join(unread) + "\n")
    record = {"format": FORMAT, "method": METHOD, **summary.document(), "manifest": fingerprint_file(output)}
    write_json(record_file(output), record)
    return summary


def _select_rows(table: pa.Table, examples: np.ndarray) -> pa.Table:
    """Some rows. `take` would put all paths into one array, which is limited to 2 GiB."""
    kept = np.zeros(len(table), bool)
    kept[examples] = True
    return table.filter(pa.array(kept))


def _checked(
    test: HashedManifest | None, max_distance: int, duplicates: Duplicates, dataset: HashedManifest
) -> Checked:
    """The entry of a test set; None stands for the dataset itself."""
    exact, near = (duplicates.count(kind) for kind in KINDS)
    others = test or dataset
    numbers = (max_distance, exact, near, len(others.unread), others.flat)
    if test is None:
        return Checked(ITSELF, None, None, *numbers)
    return Checked(str(test.manifest.file), test.manifest.fingerprint, given_root(test.manifest), *numbers)


def _unread_lines(hashed: HashedManifest) -> list[str]:
    rows = ((hashed.manifest.row(example), why) for example, why in hashed.unread)
    return [f"{row.path}{f' {row.member}' if row.member else ''}: {' '.join(why.split())}" for row, why in rows]


def _write_removed(file: Path, dataset: Manifest, removed: Sequence[tuple[str, Manifest, Duplicates]]) -> None:
    """Write one row per removed example: what it duplicates, and how near."""
    with atomic_path(file) as temporary, open(temporary, "w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(HEADER)
        for source, others, duplicates in removed:
            columns = (duplicates.example, duplicates.of, duplicates.kind, duplicates.distance)
            for example, of, kind, bits in zip(*(column.tolist() for column in columns), strict=True):
                one, other = dataset.row(example), others.row(of)
                texts = (example, *_name(one), KINDS[kind], bits, of, *_name(other), csv_cell(source))
                writer.writerow(texts)


def _name(row: Any) -> tuple[str, str]:
    return csv_cell(row.path), csv_cell(row.member or "")
