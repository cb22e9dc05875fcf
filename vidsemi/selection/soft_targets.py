"""Soft targets: the scores that the teacher's shards hold of each selected example, renormalized at a temperature.

The control of the method's one-hot targets that users know as knowledge distillation. An example's stored rows are the
P highest of the teacher's softmax (`score.per_example`), whichever of those classes selected it and whatever the
selection's own P and lowest score: they say what the teacher knows of the example, not which class ranks it.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa

from vidsemi.io.errors import UserError
from vidsemi.runtime.arrays import distinct
from vidsemi.selection.policies import get_policy
from vidsemi.selection.score_format import MAX_SCORE, ScoreRows, label_type
from vidsemi.selection.score_reader import ScoreShard

TARGETS = ("one_hot", "soft")


@dataclass(frozen=True)
class StoredScores:
    """Stored rows of examples: those of `example_id[i]` are `offsets[i]` to `offsets[i + 1]`, highest score first."""

    example_id: np.ndarray  # (N,) int64
    offsets: np.ndarray  # (N + 1,) int64
    label: np.ndarray  # int16 or int32 class indices
    score: np.ndarray  # float32

    def take(self, example_id: np.ndarray) -> "StoredScores":
        """Return the rows of examples, in any order and as often as asked for; ours must be sorted by id."""
        places = np.searchsorted(self.example_id, example_id)
        counts = np.diff(self.offsets)[places]
        offsets = np.append(0, np.cumsum(counts))
        numbers = np.arange(offsets[-1]) + np.repeat(self.offsets[places] - offsets[:-1], counts)
        return StoredScores(example_id, offsets, self.label[numbers], self.score[numbers])

    def shares(self, temperature: float) -> np.ndarray:
        """Return each row's share of its example's target, float32: score^(1 / temperature), renormalized.

        Scores that are all 0 give equal shares.
        """
        if not len(self.example_id):
            return np.zeros(0, np.float32)
        counts, starts = np.diff(self.offsets), self.offsets[:-1]
        highest = np.repeat(np.maximum.reduceat(self.score, starts), counts)
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            logs = np.log(self.score.astype(np.float64)) - np.log(highest.astype(np.float64))
            powers = np.exp(np.where(highest > 0, logs, 0.0) / temperature)
        shares = powers / np.repeat(np.add.reduceat(powers, starts), counts)
        result: np.ndarray = shares.astype(np.float32)
        return result


def check_targets(targets: str, temperature: float, policy: str) -> None:
    """Raise a `UserError` unless there is such a policy, and its selections can have such targets."""
    rules = get_policy(policy)
    if targets not in TARGETS:
        raise UserError("select.unknown_targets", f"targets is {targets!r}; choose {' or '.join(TARGETS)}")
    if not 0 < temperature < np.inf:
        raise UserError("select.invalid_temperature", f"temperature is {temperature}; it must be a number above 0")
    if targets == "one_hot" and temperature != 1:
        raise UserError(
            "select.unused_temperature", f"temperature {temperature:g} is that of soft targets; set targets to soft"
        )
    if targets == "soft" and rules.needs_tags:
        raise UserError(
            "select.soft_with_tags",
            f"the policy {policy} selects by hashtags, not by scores: its targets must be one_hot",
        )


def gather_stored(
    chosen: np.ndarray,
    shards: Sequence[ScoreShard],
    earlier: Sequence[StoredScores],
    per_example: int,
    progress: Callable[[], object] = lambda: None,
) -> StoredScores:
    """Gather the stored rows of the chosen examples.

    Args:
        chosen: example ids, with any repeats.
        shards: to read again.
        earlier: rows that selections of other shards hold.
        per_example: rows stored per example, at most.
        progress: called after each shard.

    Raises:
        UserError: an example has no rows, or too many: the shards have changed since they were selected from.
    """
    example_id = distinct(chosen)
    pieces = [ScoreRows(np.zeros(0, np.int64), np.zeros(0, np.int16), np.zeros(0, np.float32))]
    for stored in earlier:
        own = stored.take(np.intersect1d(stored.example_id, example_id, assume_unique=True))
        pieces.append(ScoreRows(np.repeat(own.example_id, np.diff(own.offsets)), own.label, own.score))
    for shard in shards:
        pieces += _rows_among(example_id, shard)
        progress()
    ids, label, score = (
        np.concatenate([getattr(piece, name) for piece in pieces]) for name in ("example_id", "label", "score")
    )
    order = np.argsort(ids, kind="stable")  # keeps the order of an example's rows
    offsets = np.append(np.searchsorted(ids[order], example_id), len(ids))
    counts = np.diff(offsets)
    if len(counts) and not 1 <= counts.min() <= counts.max() <= per_example:
        wrong = example_id[np.argmax((counts < 1) | (counts > per_example))]
        raise UserError("scores.changed", f"the scores of example {wrong} changed while they were read; select again")
    return StoredScores(example_id, offsets, label[order], score[order])


def _rows_among(example_id: np.ndarray, shard: ScoreShard) -> Iterator[ScoreRows]:
    """The rows of the examples of these ascending ids."""
    for rows in shard.batches():
        if len(rows):
            begin, end = np.searchsorted(example_id, (rows.example_id[0], rows.example_id[-1] + 1))
            mine = np.isin(rows.example_id, example_id[begin:end])  # a table of the few ids between the two
            yield ScoreRows(rows.example_id[mine], rows.label[mine], rows.score[mine])


def to_columns(stored: StoredScores, classes: int) -> dict[str, pa.Array]:
    """Return stored rows as the columns of a selection's file, a list per example."""
    offsets = pa.array(stored.offsets, pa.int64())
    values = {"stored_label": (stored.label, label_type(classes)), "stored_score": (stored.score, pa.float32())}
    return {name: pa.LargeListArray.from_arrays(offsets, pa.array(array, of)) for name, (array, of) in values.items()}


def from_columns(
    table: pa.Table, example_id: np.ndarray, label: np.ndarray, classes: int, per_example: int
) -> StoredScores:
    """Read the stored rows of each example from the columns of a selection's file, and check them.

    Args:
        table: with the lists of each row of the selection.
        example_id: (R,) of the rows.
        label: (R,) of the rows, each of which is one of the row's own list.
        classes: their number.
        per_example: rows stored per example, at most.

    Raises:
        TypeError: a column has another type, or nulls.
        ValueError: the values are not stored scores of these rows.
    """
    columns = {}
    for name, of in (("stored_label", label_type(classes)), ("stored_score", pa.float32())):
        lists = table.column(name).combine_chunks()
        if lists.type != pa.large_list(of) or lists.null_count or lists.flatten().null_count:
            raise TypeError(f"the column '{name}' must be {pa.large_list(of)} without nulls")
        offsets = lists.offsets.to_numpy()
        columns[name] = (offsets - offsets[0], lists.flatten().to_numpy())
    (offsets, labels), (others, scores) = columns.values()
    counts = np.diff(offsets)
    if not np.array_equal(offsets, others) or (counts < 1).any() or (counts > per_example).any():
        raise ValueError(f"'stored_label' and 'stored_score' must have 1 to {per_example} values, and equally many")
    if not (((labels >= 0) & (labels < classes)).all() and ((scores >= 0) & (scores <= MAX_SCORE)).all()):
        raise ValueError(f"'stored_label' must lie in [0, {classes}) and 'stored_score' in [0, 1]")
    rows = np.repeat(np.arange(len(label)), counts)
    if not np.array_equal(rows[labels == label[rows]], np.arange(len(label))):
        raise ValueError("'stored_label' must hold the row's own label once")
    ids, first = np.unique(example_id, return_index=True)
    by_row = StoredScores(np.arange(len(label)), offsets, labels, scores)
    by_example = replace(by_row.take(first), example_id=ids)
    again = by_example.take(example_id)
    if not (np.array_equal(again.label, labels) and np.array_equal(again.score, scores)):
        raise ValueError("the rows of an example must have the same stored scores")
    return by_example
