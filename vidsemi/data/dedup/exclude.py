"""A manifest without the duplicates of test sets and of itself; a list of what went, a record of what was checked."""

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
from vidsemi.data.dedup.hash_files import Hashed, hash_corpus
from vidsemi.data.manifest import Manifest, write_tables
from vidsemi.io.errors import UserError
from vidsemi.io.files import atomic_path, fingerprint_file, write_json, write_text
from vidsemi.io.tables import csv_cell

ITSELF = "itself"
HEADER = ("example_id", "path", "member", "kind", "distance", "of_example_id", "of_path", "of_member", "of")


@dataclass(frozen=True)
class Checked:
    """What a manifest was held against; an entry of <manifest>.duplicates.json.

    Attributes:
        against: a test set's file, or `ITSELF`.
        fingerprint: of the test set; None of the manifest itself.
        root: of the test set, where it is not the folder of its file.
        distance: most bits in which perceptual hashes differ that are near.
        exact: number of examples that went.
        near: likewise.
        unread: examples of the test set that do not decode.
        flat: examples of the test set that are known by their bytes alone, since they show next to nothing.
    """

    against: str
    fingerprint: str | None
    root: str | None
    distance: int
    exact: int
    near: int
    unread: int
    flat: int


@dataclass
class Summary:
    """What came out.

    Attributes:
        manifest: what was written.
        examples: that stay.
        removed: examples that went.
        unread: of all examples those that do not decode; they stay.
        flat: examples that are known by their bytes alone, since they show next to nothing.
        checked: what they were held against, in that order.
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
        lines = [f"{self.manifest}: {self.examples} examples; {self.removed} duplicates are left out"]
        for one in self.checked:
            text = f"  of {one.against}: {one.exact} exact, {one.near} near (up to {one.distance} of 64 bits)"
            lines.append(text + (f"; {one.unread} of its examples do not decode" if one.unread else ""))
        if self.removed:
            lines.append(f"  {list_file(self.manifest)} lists them")
        if self.unread:
            lines.append(f"  {self.unread} examples do not decode and stay; {unread_file(self.manifest)} lists them")
        if self.flat:
            lines.append(f"  {self.flat} examples show next to nothing; only exact duplicates of them were looked for")
        return lines


def list_file(manifest: Path) -> Path:
    """The list of what went."""
    return manifest.with_suffix(".duplicates.csv")


def unread_file(manifest: Path) -> Path:
    """The list of what could not be looked at."""
    return manifest.with_suffix(".unread.txt")


def exclude_stage(
    corpus: Manifest,
    output: Path,
    *,
    tests: Sequence[Manifest],
    distance: int,
    within: int | None,
    workers: int,
    seconds: float,
) -> Summary:
    """Write a manifest without duplicates.

    Args:
        corpus: all examples.
        output: manifest to write, .csv or .parquet; lists of what went and what was not read are written beside it.
        tests: manifests whose duplicates go; one example goes for the first of them.
        distance: bits in which hashes differ at most for a near duplicate of a test example.
        within: likewise, for the corpus itself, after the duplicates of test sets have gone; None looks for none.
        workers: processes that read.
        seconds: limit for a file.

    Returns:
        The summary.

    Raises:
        UserError: of a manifest not a single file can be read; not one example would be left.
    """
    folder = output.parent / "hashes"
    hashed = hash_corpus(corpus, folder, workers=workers, seconds=seconds)
    left = np.arange(len(corpus))
    summary = Summary(output, unread=len(hashed.unread), flat=hashed.flat)
    unread = _unread_lines(hashed)
    found: list[tuple[str, Manifest, Duplicates]] = []
    for test in tests:
        others = hash_corpus(test, folder, workers=workers, seconds=seconds)
        unread += _unread_lines(others)
        duplicates = duplicates_of(hashed.hashes.take(left), others.hashes, distance).renumbered(left)
        found.append((str(test.file), test, duplicates))
        left = np.setdiff1d(left, duplicates.example)
        summary.checked.append(_checked(others, distance, duplicates, hashed))
    if within is not None:
        duplicates = duplicates_within(hashed.hashes.take(left), within).renumbered(left, left)
        found.append((ITSELF, corpus, duplicates))
        left = np.setdiff1d(left, duplicates.example)
        summary.checked.append(_checked(None, within, duplicates, hashed))
    if not len(left):
        raise UserError(f"all {len(corpus)} examples of {corpus.file} are duplicates; nothing would be left")
    summary.examples, summary.removed = len(left), len(corpus) - len(left)
    record_file(output).unlink(missing_ok=True)  # of an earlier call
    unread_file(output).unlink(missing_ok=True)
    write_tables(output, corpus.table.schema, [_rows(corpus.table, left)])
    _write_list(list_file(output), corpus, found)
    if unread:
        write_text(unread_file(output), "\n".join(unread) + "\n")
    record = {"format": FORMAT, "method": METHOD, **summary.document(), "manifest": fingerprint_file(output)}
    write_json(record_file(output), record)
    return summary


def _rows(table: pa.Table, examples: np.ndarray) -> pa.Table:
    """Some rows; `take` would put all paths into one array, which holds no more than 2 GiB."""
    stays = np.zeros(len(table), bool)
    stays[examples] = True
    return table.filter(pa.array(stays))


def _checked(test: Hashed | None, distance: int, found: Duplicates, corpus: Hashed) -> Checked:
    """The entry of a test set; None is the corpus itself."""
    exact, near = (found.count(kind) for kind in KINDS)
    others = test or corpus
    numbers = (distance, exact, near, len(others.unread), others.flat)
    if test is None:
        return Checked(ITSELF, None, None, *numbers)
    return Checked(str(test.manifest.file), test.manifest.fingerprint, given_root(test.manifest), *numbers)


def _unread_lines(hashed: Hashed) -> list[str]:
    rows = ((hashed.manifest.row(example), why) for example, why in hashed.unread)
    return [f"{row.path}{f' {row.member}' if row.member else ''}: {' '.join(why.split())}" for row, why in rows]


def _write_list(file: Path, corpus: Manifest, found: Sequence[tuple[str, Manifest, Duplicates]]) -> None:
    """A row for each example that went: of which it is a duplicate, and how near."""
    with atomic_path(file) as temporary, open(temporary, "w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(HEADER)
        for where, others, duplicates in found:
            columns = (duplicates.example, duplicates.of, duplicates.kind, duplicates.distance)
            for example, of, kind, bits in zip(*(column.tolist() for column in columns), strict=True):
                one, other = corpus.row(example), others.row(of)
                texts = (example, *_name(one), KINDS[kind], bits, of, *_name(other), csv_cell(where))
                writer.writerow(texts)


def _name(row: Any) -> tuple[str, str]:
    return csv_cell(row.path), csv_cell(row.member or "")
