"""The selection D̂ on disk, and what a person wants to know of it."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from vidsemi.errors import UserError
from vidsemi.files import atomic_path
from vidsemi.selection.ranking import balanced_ranked
from vidsemi.selection.scores import FORMAT, Scores, label_type


@dataclass(frozen=True)
class SelectionInfo:
    """How a selection was made and what it holds; stored under the metadata key `vidsemi`.

    Attributes:
        manifest: fingerprint of the manifest whose examples were chosen.
        weights: fingerprint of the teacher's weights.
        classes: class names, in the order of the label indices.
        per_class: K.
        per_example: P.
        policy: name of the rule.
        rows_read: score rows before any was dropped.
        scored: examples that had scores.
        chosen: distinct examples chosen.
        taken_by: how many examples were chosen by 1, 2, … classes.
        per_class_counts: examples a class, in class order.
        threshold: score of each class's last example; None for a class that has none.
        format: version of this layout.
    """

    manifest: str
    weights: str
    classes: list[str]
    per_class: int
    per_example: int
    policy: str
    rows_read: int
    scored: int
    chosen: int
    taken_by: list[int]
    per_class_counts: list[int]
    threshold: list[float | None]
    format: int = FORMAT

    @property
    def short_classes(self) -> list[str]:
        """Names of the classes with fewer than K examples."""
        counts = zip(self.classes, self.per_class_counts, strict=True)
        return [name for name, count in counts if count < self.per_class]


@dataclass(frozen=True)
class Selection:
    """D̂: rows sorted by label, then rank."""

    label: np.ndarray
    rank: np.ndarray
    example_id: np.ndarray
    score: np.ndarray
    info: SelectionInfo

    def examples(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """The chosen examples, each once, with the classes that took it.

        Returns:
            Example ids (N,) ascending; offsets (N + 1,) and labels, where example i was taken by the classes
            `labels[offsets[i]:offsets[i + 1]]`.
        """
        order = np.lexsort((self.label, self.example_id))
        ids, begins = np.unique(self.example_id[order], return_index=True)
        return ids, np.r_[begins, len(order)], self.label[order].astype(np.int64)


def select(scores: Scores, *, per_class: int, per_example: int) -> Selection:
    """Choose D̂ from scores by the paper's balanced, ranked rule.

    Raises:
        UserError: K or P below 1, or P above what is stored.
    """
    for name, value in (("per_class (K)", per_class), ("per_example (P)", per_example)):
        if value < 1:
            raise UserError(f"{name} is {value}; it must be at least 1")
    stored, classes = scores.info.per_example, scores.info.classes
    if min(per_example, len(classes)) > stored:  # an example cannot keep more classes than there are
        raise UserError(
            f"per_example (P) is {per_example}, but the scores hold {stored} classes an example; score again with more"
        )
    rows, rank = balanced_ranked(
        scores.example_id, scores.label, scores.score, per_class=per_class, per_example=per_example
    )
    label, example_id, score = scores.label[rows], scores.example_id[rows], scores.score[rows]
    times_taken = np.unique(example_id, return_counts=True)[1]
    counts = np.bincount(label, minlength=len(classes))
    last = np.cumsum(counts) - 1
    info = SelectionInfo(
        manifest=scores.info.manifest,
        weights=scores.info.weights,
        classes=classes,
        per_class=per_class,
        per_example=per_example,
        policy="balanced_ranked",
        rows_read=len(scores.score),
        scored=len(np.unique(scores.example_id)),
        chosen=len(times_taken),
        taken_by=np.bincount(times_taken)[1:].tolist() if len(times_taken) else [],
        per_class_counts=counts.tolist(),
        threshold=[float(score[i]) if count else None for i, count in zip(last, counts, strict=True)],
    )
    return Selection(label, rank, example_id, score, info)


def write_selection(file: Path, selection: Selection) -> None:
    """Write a selection atomically as Parquet."""
    table = pa.table(
        {
            "label": pa.array(selection.label, label_type(len(selection.info.classes))),
            "rank": pa.array(selection.rank, pa.int64()),
            "example_id": pa.array(selection.example_id, pa.int64()),
            "score": pa.array(selection.score, pa.float32()),
        }
    ).replace_schema_metadata({"vidsemi": json.dumps(asdict(selection.info))})
    with atomic_path(file) as temporary:
        pq.write_table(table, temporary, compression="zstd")


def read_selection(file: Path) -> Selection:
    """Read a selection.

    Raises:
        UserError: the file is missing, damaged or no selection.
    """
    try:
        table = pq.read_table(file)
        metadata = json.loads(table.schema.metadata[b"vidsemi"])
        if metadata["format"] != FORMAT:
            raise UserError(f"{file} has format {metadata['format']}; this version of vidsemi reads format {FORMAT}")
        info = SelectionInfo(**{name: metadata[name] for name in SelectionInfo.__dataclass_fields__})
        columns = [table.column(name).to_numpy() for name in ("label", "rank", "example_id", "score")]
    except (pa.ArrowException, OSError, KeyError, TypeError, ValueError) as error:
        raise UserError(f"{file} is not a selection of vidsemi: {' '.join(str(error).split())}") from None
    label, rank, example_id, score = columns
    return Selection(label, rank, example_id, score, info)
