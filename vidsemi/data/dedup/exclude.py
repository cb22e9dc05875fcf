"""Write a manifest without duplicates, a list of the removed examples, and a record of what was checked."""

import csv
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from vidsemi.config import Runtime
from vidsemi.data.batches import Batches
from vidsemi.data.dedup.checks import FORMAT, given_root, record_file
from vidsemi.data.dedup.duplicates import KINDS, Duplicates, duplicates_of
from vidsemi.data.dedup.frame_hashes import METHOD
from vidsemi.data.dedup.hash_files import HashedManifest, hash_manifest
from vidsemi.data.dedup.within import DEFAULT_MEMORY, duplicates_within
from vidsemi.data.manifest import Manifest, Row
from vidsemi.data.manifest_file import table_writer, write_groups
from vidsemi.io.errors import UserError
from vidsemi.io.files import atomic_path, fingerprint_file, write_json, write_text
from vidsemi.io.store import Place
from vidsemi.io.tables import csv_cell

ITSELF = "itself"
HEADER = ("example_id", "path", "member", "kind", "distance", "of_example_id", "of_path", "of_member", "of")


@dataclass(frozen=True)
class Checked:
    """What a manifest was compared with; an entry of MANIFEST.duplicates.json."""

    against: str  # a test set's file, or `ITSELF`
    fingerprint: str | None  # of the test set; None for the manifest itself
    root: str | None  # of the test set, if it is not the folder of its file
    max_distance: int  # maximum Hamming distance of near duplicates
    exact: int  # removed
    near: int
    unread: int  # examples of the test set that do not decode
    flat: int  # examples of the test set that show too little for a perceptual hash


@dataclass
class Summary:
    """The manifest that was written, and numbers of its examples."""

    manifest: Path
    examples: int = 0  # kept
    removed: int = 0
    unread: int = 0  # do not decode; they are kept
    flat: int = 0  # show too little for a perceptual hash
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
            lines.append(f"  {_removed_file(self.manifest)} lists them")
        if self.unread:
            file = _unread_file(self.manifest)
            lines.append(f"  {self.unread} examples do not decode and were kept; {file} lists them")
        if self.flat:
            lines.append(f"  {self.flat} examples show next to nothing; only their exact duplicates were searched for")
        return lines


def _removed_file(manifest: Path) -> Path:
    return manifest.with_suffix(".duplicates.csv")


def _unread_file(manifest: Path) -> Path:
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
    hashes: Place | None = None,
    memory: int = DEFAULT_MEMORY,
    engine: Runtime | None = None,
) -> Summary:
    """Write a manifest without duplicates of test sets, and beside it the lists and the record.

    An example is attributed to the first test set that has a duplicate of it. Duplicates within the dataset are removed
    afterwards, unless `max_distance` is None. Both maximum Hamming distances are those of near duplicates. The search
    within the dataset takes up to `memory` bytes (see `duplicates_within`). `hashes` is where hashes are kept, the
    folder "hashes" beside the output unless given; several workers that share it share the hashing. With an `engine`
    these are on Ray.

    Raises:
        UserError: no file of a manifest can be read, no example would be left, or the memory is too small.
    """
    options: dict[str, Any] = {"workers": workers, "seconds": seconds, "hashes": hashes, "engine": engine}
    summary, kept, removed, unread = _compare(
        dataset, output, tests, max_distance_test, max_distance, memory, **options
    )
    if not summary.examples:
        raise UserError("duplicates.nothing_left", f"all {len(dataset)} examples of {dataset.file} are duplicates")
    record_file(output).unlink(missing_ok=True)  # of an earlier call
    _unread_file(output).unlink(missing_ok=True)
    with table_writer(output, dataset.batches.schema) as writer:
        write_groups(writer, dataset.batches.schema, _select_rows(dataset.batches, kept))
    _write_removed(_removed_file(output), dataset, removed)
    if unread:
        write_text(_unread_file(output), "\n".join(unread) + "\n")
    _write_record(summary)
    return summary


def check_duplicates(
    dataset: Manifest, *, tests: Sequence[Manifest], max_distance_test: int, workers: int, seconds: float
) -> Summary:
    """Look for duplicates of test sets as `exclude_duplicates` does; record it beside the manifest if there are none.

    Raises:
        UserError: no file of a manifest can be read.
    """
    if not isinstance(dataset.file, Path):
        raise UserError(
            "duplicates.remote_manifest", f"{dataset.file}: the record of the check is written beside it; copy it here"
        )
    summary, *_ = _compare(dataset, dataset.file, tests, max_distance_test, None, 0, workers=workers, seconds=seconds)
    record_file(dataset.file).unlink(missing_ok=True)  # of an earlier call
    if not summary.removed:
        _write_record(summary)
    return summary


def _compare(
    dataset: Manifest,
    output: Path,
    tests: Sequence[Manifest],
    max_distance_test: int,
    max_distance: int | None,
    memory: int,
    *,
    workers: int,
    seconds: float,
    hashes: Place | None = None,
    engine: Runtime | None = None,
) -> tuple[Summary, pa.BooleanArray, list[tuple[str, Manifest, Duplicates]], list[str]]:
    """The summary, which of N examples have no duplicate, what was found, and lines about files that do not decode."""
    folder = hashes or output.parent / "hashes"
    hashed = hash_manifest(dataset, folder, workers=workers, seconds=seconds, engine=engine)
    kept = np.ones(len(dataset), bool)
    summary = Summary(output, unread=len(hashed.unread), flat=hashed.flat)
    unread = _unread_lines(hashed)
    removed: list[tuple[str, Manifest, Duplicates]] = []
    for test in tests:
        others = hash_manifest(test, folder, workers=workers, seconds=seconds, engine=engine)
        unread += _unread_lines(others)
        duplicates = duplicates_of(hashed.hashes, others.hashes.take(slice(None)), max_distance_test, kept)
        removed.append((str(test.file), test, duplicates))
        kept[duplicates.example] = False
        summary.checked.append(_checked(others, max_distance_test, duplicates, hashed))
    if max_distance is not None:
        duplicates = duplicates_within(
            hashed.hashes, max_distance, kept=kept, memory=memory, folder=hashed.hashes.folder
        )
        removed.append((ITSELF, dataset, duplicates))
        kept[duplicates.example] = False
        summary.checked.append(_checked(None, max_distance, duplicates, hashed))
    summary.examples = int(np.count_nonzero(kept))
    summary.removed = len(dataset) - summary.examples
    return summary, pa.array(kept), removed, unread


def _write_record(summary: Summary) -> None:
    document = {**summary.document(), "manifest": fingerprint_file(summary.manifest)}
    write_json(record_file(summary.manifest), {"format": FORMAT, "method": METHOD, **document})


def _select_rows(batches: Batches, kept: pa.BooleanArray) -> Iterator[pa.Table]:
    """Some rows of one batch after another."""
    for first, batch in zip(batches.starts, batches, strict=False):
        yield pa.Table.from_batches([batch.filter(kept.slice(first, batch.num_rows))])


def _checked(
    test: HashedManifest | None, max_distance: int, duplicates: Duplicates, dataset: HashedManifest
) -> Checked:
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
    with atomic_path(file) as temporary, open(temporary, "w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(HEADER)
        for source, others, duplicates in removed:
            columns = (duplicates.example, duplicates.of, duplicates.kind, duplicates.distance)
            for example, of, kind, bits in zip(*(column.tolist() for column in columns), strict=True):
                names, of_names = _name(dataset.row(example)), _name(others.row(of))
                writer.writerow((example, *names, KINDS[kind], bits, of, *of_names, csv_cell(source)))


def _name(row: Row) -> tuple[str, str]:
    return csv_cell(row.path), csv_cell(row.member or "")
