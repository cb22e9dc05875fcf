"""The selection D̂ on disk, and what is known of it."""

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from vidsemi.io.errors import UserError
from vidsemi.io.files import atomic_path
from vidsemi.selection.keys import MAX_ID, MAX_SCORE
from vidsemi.selection.score_files import ScoresInfo, label_type
from vidsemi.selection.topk import Rows

MOST_PARTS = 10_000_000  # that a file from elsewhere may speak of; each number is held in memory
FORMAT = 2  # 1 had no policy but one, no candidates and no parts in its metadata


@dataclass(frozen=True)
class SelectionInfo:
    """How a selection was made and what it holds; stored under the metadata key `vidsemi`.

    Attributes:
        scores: what the score parts agree on: manifest, weights, classes and more.
        policy: name of the rule.
        per_class: K.
        per_example: P.
        min_score: lowest score of a candidate.
        seed: of a policy that chooses at random, else None.
        parts: numbers of the score parts that were read, as ranges [first, last].
        scored: examples that had scores (or matching hashtags, for `balanced_with_tags`).
        rows_read: score rows (or matches) before any was dropped.
        chosen: distinct examples chosen.
        taken_by: how many examples were chosen by 1, 2, … classes.
        wanted_per_class: rows that each class was to take, in class order.
        candidates_per_class: rows of each class that could be taken.
        chosen_per_class: rows that each class took.
        last_score_per_class: score of each class's last row; None for a class that has none.
        format: version of this layout.
    """

    scores: ScoresInfo
    policy: str
    per_class: int
    per_example: int
    min_score: float
    seed: int | None
    parts: list[list[int]]
    scored: int
    rows_read: int
    chosen: int
    taken_by: list[int]
    wanted_per_class: list[int]
    candidates_per_class: list[int]
    chosen_per_class: list[int]
    last_score_per_class: list[float | None]
    format: int = FORMAT

    def part_numbers(self) -> set[int]:
        """Numbers of the score parts that were read."""
        return {number for first, last in self.parts for number in range(first, last + 1)}

    def __post_init__(self) -> None:
        """Refuse what a file from elsewhere may say but nobody can work with."""
        numbers = [self.per_class, self.per_example, self.scored, self.rows_read, self.chosen, *self.taken_by]
        numbers += [bound for ends in self.parts for bound in ends]
        by_class: list[list[int]] = [self.wanted_per_class, self.candidates_per_class, self.chosen_per_class]
        if not all(isinstance(number, int) and number >= 0 for number in sum(by_class, numbers)):
            raise ValueError("a count is no whole number")
        if {len(self.scores.classes)} != {len(self.last_score_per_class), *map(len, by_class)}:
            raise ValueError("it does not count all classes")
        if not all(len(ends) == 2 and ends[0] <= ends[1] for ends in self.parts):
            raise ValueError("'parts' must be ranges [first, last]")
        if sum(last - first + 1 for first, last in self.parts) > MOST_PARTS:
            raise ValueError(f"it speaks of more than {MOST_PARTS} parts")
        if not (isinstance(self.policy, str) and isinstance(self.min_score, int | float)):
            raise ValueError("'policy' must be a text and 'min_score' a number")
        if not (self.seed is None or isinstance(self.seed, int)):
            raise ValueError("'seed' must be a whole number")

    @property
    def short_classes(self) -> list[str]:
        """Names of the classes that took fewer rows than they wanted."""
        counts = zip(self.scores.classes, self.chosen_per_class, self.wanted_per_class, strict=True)
        return [name for name, chosen, wanted in counts if chosen < wanted]

    @property
    def missing_parts(self) -> list[list[int]]:
        """Ranges of the score parts that were not read, as far as the scores tell how many there are."""
        end = max((last + 1 for _, last in self.parts), default=0)
        if self.parts and self.scores.shards is not None:
            end = max(end, self.scores.shards)
        elif self.parts and self.scores.examples and self.scores.shard_size:
            end = max(end, -(-self.scores.examples // self.scores.shard_size))
        gaps = pairwise([[-1, -1], *self.parts, [end, end]])
        return [[before[1] + 1, after[0] - 1] for before, after in gaps if after[0] - before[1] > 1]

    @property
    def share_of_u(self) -> float:
        """Share of the examples of U that were chosen (of those with scores, where the size of U is not known)."""
        return self.chosen / max(self.scores.examples or self.scored, 1)


def as_ranges(numbers: Iterable[int]) -> list[list[int]]:
    """Numbers as ranges that include both ends: {0, 1, 2, 5} → [[0, 2], [5, 5]]."""
    ranges: list[list[int]] = []
    for number in sorted(numbers):
        if ranges and ranges[-1][1] == number - 1:
            ranges[-1][1] = number
        else:
            ranges.append([number, number])
    return ranges


@dataclass(frozen=True)
class Selection:
    """D̂: rows sorted by label, then rank. Scores are NaN where a policy does not look at them."""

    label: np.ndarray
    rank: np.ndarray
    example_id: np.ndarray
    score: np.ndarray
    info: SelectionInfo

    def rows(self) -> Rows:
        """The chosen rows, as they were in the scores."""
        return Rows(self.example_id, self.label, self.score)

    def examples(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """The chosen examples, each once, with the classes that took it.

        Returns:
            Example ids (N,) ascending; offsets (N + 1,) and labels, where example i was taken by the classes
            `labels[offsets[i]:offsets[i + 1]]`.
        """
        order = np.lexsort((self.label, self.example_id))
        ids, begins = np.unique(self.example_id[order], return_index=True)
        return ids, np.r_[begins, len(order)], self.label[order].astype(np.int64)


def write_selection(file: Path, selection: Selection) -> None:
    """Write a selection atomically as Parquet."""
    table = pa.table(
        {
            "label": pa.array(selection.label, label_type(len(selection.info.scores.classes))),
            "rank": pa.array(selection.rank, pa.int64()),
            "example_id": pa.array(selection.example_id, pa.int64()),
            "score": pa.array(selection.score, pa.float32(), from_pandas=True),  # NaN becomes null
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
        with pq.ParquetFile(file) as parquet:
            info = _parse_info(file, parquet.schema_arrow)
            return _checked(parquet.read(), info)
    except (pa.ArrowException, OSError, KeyError, TypeError, ValueError) as error:
        raise _not_a_selection(file, error) from None


def _checked(table: pa.Table, info: SelectionInfo) -> Selection:
    """The columns of a selection, whose numbers are indices elsewhere and so must lie where they should."""
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
        if len(known) < len(score) and info.policy != "balanced_with_tags":
            raise ValueError("a score is missing")
        if (known < 0).any() or (known > MAX_SCORE).any() or np.signbit(known).any():
            raise ValueError("scores must lie in [0, 1]")
    if np.bincount(label, minlength=classes).tolist() != info.chosen_per_class:
        raise ValueError("its rows are not those that its metadata counts")
    return Selection(label, rank, example_id, score, info)


def read_selection_info(file: Path) -> SelectionInfo:
    """What a selection says of itself; its rows are not read."""
    try:
        return _parse_info(file, pq.read_schema(file))
    except (pa.ArrowException, OSError, KeyError, TypeError, ValueError) as error:
        raise _not_a_selection(file, error) from None


def _parse_info(file: Path, schema: pa.Schema) -> SelectionInfo:
    metadata = json.loads((schema.metadata or {}).get(b"vidsemi", b"{}"))
    if "policy" not in metadata:
        raise ValueError("its metadata has no policy; is it a part of scores?")
    if metadata["format"] != FORMAT:
        raise UserError(
            f"{file} has format {metadata['format']}; this version of vidsemi reads format {FORMAT}: select again"
        )
    own = {name: metadata[name] for name in SelectionInfo.__dataclass_fields__}
    return SelectionInfo(**{**own, "scores": ScoresInfo(**own["scores"])})


def _not_a_selection(file: Path, error: Exception) -> UserError:
    if not file.is_file():
        return UserError(f"there is no selection {file}")
    return UserError(f"{file} is not a selection of vidsemi: {' '.join(str(error).split())}")
