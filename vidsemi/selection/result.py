"""A selection, its metadata, and its file: the pseudo-labeled set of a class, best first."""

import json
import math
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from vidsemi.io.errors import UserError
from vidsemi.io.parquet import is_damage, open_parquet, read_parquet, write_parquet
from vidsemi.selection.policies import find_policy
from vidsemi.selection.score_format import KEY, MAX_ID, MAX_SCORE, ScoreRows, ScoresInfo, label_type

MAX_SHARDS = 10_000_000  # that a file by another program may list; each number is held in memory
FORMAT = 2
STORED_NAMES = {"shard_ranges": "parts"}  # attributes with another name in the file


@dataclass(frozen=True)
class SelectionInfo:
    """How a selection was made and what it holds; stored as JSON in the metadata of its file."""

    scores: ScoresInfo
    policy: str
    per_class: int
    per_example: int
    min_score: float  # lowest score of a candidate
    seed: int | None  # of a policy that chooses at random
    shard_ranges: list[list[int]]  # numbers of the shards that were read, as ranges [first, last]
    scored: int  # examples with scores (or matching hashtags, where the policy needs those)
    rows_read: int  # score rows (or matches) before any was dropped
    chosen: int  # distinct selected examples
    taken_by: list[int]  # how many examples were selected by 1, 2, … classes
    wanted_per_class: list[int]  # rows each class was to take, in class order
    candidates_per_class: list[int]  # rows each class could take
    chosen_per_class: list[int]  # rows each class took
    last_score_per_class: list[float | None]  # None without rows
    format: int = FORMAT

    def __post_init__(self) -> None:
        """Reject values that a file by another program may hold but that make no sense."""
        numbers = [self.per_class, self.per_example, self.scored, self.rows_read, self.chosen, *self.taken_by]
        numbers += [bound for ends in self.shard_ranges for bound in ends]
        by_class: list[list[int]] = [self.wanted_per_class, self.candidates_per_class, self.chosen_per_class]
        if not all(isinstance(number, int) and number >= 0 for number in sum(by_class, numbers)):
            raise ValueError("a count is not an integer from 0 on")
        if {len(self.scores.classes)} != {len(self.last_score_per_class), *map(len, by_class)}:
            raise ValueError("it does not count all classes")
        if not all(len(ends) == 2 and ends[0] <= ends[1] for ends in self.shard_ranges):
            raise ValueError("'parts' must be ranges [first, last]")
        if sum(last - first + 1 for first, last in self.shard_ranges) > MAX_SHARDS:
            raise ValueError(f"it lists more than {MAX_SHARDS} shards")
        if not (isinstance(self.policy, str) and isinstance(self.min_score, int | float)):
            raise ValueError("'policy' must be a string and 'min_score' a number")
        if not (self.seed is None or isinstance(self.seed, int)):
            raise ValueError("'seed' must be an integer")

    def shard_numbers(self) -> set[int]:
        """Return the numbers of the shards that were read."""
        return {number for first, last in self.shard_ranges for number in range(first, last + 1)}

    @property
    def short_classes(self) -> list[str]:
        """Names of the classes that took fewer rows than they were to take."""
        counts = zip(self.scores.classes, self.chosen_per_class, self.wanted_per_class, strict=True)
        return [name for name, chosen, wanted in counts if chosen < wanted]

    @property
    def missing_shards(self) -> list[list[int]]:
        """Ranges of the shards that were not read, as far as the scores tell how many there are."""
        end = max((last + 1 for _, last in self.shard_ranges), default=0)
        if self.shard_ranges and self.scores.shards is not None:
            end = max(end, self.scores.shards)
        elif self.shard_ranges and self.scores.examples and self.scores.shard_size:
            end = max(end, math.ceil(self.scores.examples / self.scores.shard_size))
        gaps = pairwise([[-1, -1], *self.shard_ranges, [end, end]])
        return [[before[1] + 1, after[0] - 1] for before, after in gaps if after[0] - before[1] > 1]

    @property
    def share_of_unlabeled(self) -> float:
        """Share of the unlabeled examples that were selected; of the scored ones if the total is unknown."""
        return self.chosen / max(self.scores.examples or self.scored, 1)


def as_ranges(numbers: Iterable[int]) -> list[list[int]]:
    """Return numbers as inclusive ranges: {0, 1, 2, 5} → [[0, 2], [5, 5]]."""
    ranges: list[list[int]] = []
    for number in sorted(numbers):
        if ranges and ranges[-1][1] == number - 1:
            ranges[-1][1] = number
        else:
            ranges.append([number, number])
    return ranges


@dataclass(frozen=True)
class Selection:
    """Selected rows, sorted by label, then rank; scores are NaN where the policy ignores them."""

    label: np.ndarray
    rank: np.ndarray
    example_id: np.ndarray
    score: np.ndarray
    info: SelectionInfo

    def rows(self) -> ScoreRows:
        """Return the selected score rows."""
        return ScoreRows(self.example_id, self.label, self.score)

    def examples(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return each selected example once, with the classes that took it.

        Returns:
            Example ids (N,) ascending; offsets (N + 1,) and labels, where example i was taken by the classes
            `labels[offsets[i]:offsets[i + 1]]`.
        """
        order = np.lexsort((self.label, self.example_id))
        ids, begins = np.unique(self.example_id[order], return_index=True)
        return ids, np.r_[begins, len(order)], self.label[order].astype(np.int64)


def write_selection(file: Path, selection: Selection) -> None:
    """Write a selection atomically as Parquet."""
    stored = {STORED_NAMES.get(name, name): value for name, value in asdict(selection.info).items()}
    table = pa.table(
        {
            "label": pa.array(selection.label, label_type(len(selection.info.scores.classes))),
            "rank": pa.array(selection.rank, pa.int64()),
            "example_id": pa.array(selection.example_id, pa.int64()),
            "score": pa.array(selection.score, pa.float32(), from_pandas=True),  # NaN becomes null
        }
    ).replace_schema_metadata({KEY: json.dumps(stored)})
    write_parquet(file, table)


def read_selection(file: Path) -> Selection:
    """Read a selection; a file that is missing, damaged or not a selection is a `UserError`."""
    try:
        table = read_parquet(file)
        return _checked(table, _parse_info(file, table.schema))
    except (pa.ArrowException, OSError, KeyError, TypeError, ValueError) as error:
        raise _invalid_file(file, error) from None


def read_selection_info(file: Path) -> SelectionInfo:
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
    return Selection(label, rank, example_id, score, info)


def _parse_info(file: Path, schema: pa.Schema) -> SelectionInfo:
    metadata: dict[str, Any] = json.loads((schema.metadata or {}).get(KEY.encode(), b"{}"))
    if "policy" not in metadata:
        raise ValueError("its metadata has no policy; is it a shard of scores?")
    if metadata["format"] != FORMAT:
        raise UserError(
            "selection.wrong_format", f"{file} has format {metadata['format']}; select again for format {FORMAT}"
        )
    own = {name: metadata[STORED_NAMES.get(name, name)] for name in SelectionInfo.__dataclass_fields__}
    return SelectionInfo(**{**own, "scores": ScoresInfo(**own["scores"])})


def _invalid_file(file: Path, error: Exception) -> UserError:
    if not file.is_file():
        return UserError("selection.not_found", f"selection not found: {file}")
    why = " ".join(str(error).split())
    if is_damage(error):
        redo = "delete it, and stage.json beside it if there is one, and run the command that made it again"
        return UserError("selection.invalid_file", f"{file} is not a selection as it was written: {why}; {redo}")
    return UserError("selection.invalid_file", f"{file} is not a selection of vidsemi: {why}")
