"""The metadata of a selection: how it was made, and its counts."""

import math
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from itertools import pairwise
from typing import Any

from vidsemi.selection.score_format import ScoresInfo

SOFT_KEYS = ("targets", "temperature")  # of the metadata, in format 3 only
MAX_SHARDS = 10_000_000  # that a file by another program may list; each number is held in memory
FORMAT = 2
SOFT_FORMAT = 3  # with soft targets: a version that knows only format 2 would take them for one-hot


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
    targets: str = "one_hot"  # or "soft": the stored scores, renormalized
    temperature: float = 1.0  # of soft targets

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
        if self.targets not in ("one_hot", "soft") or self.soft != (self.format == SOFT_FORMAT):
            raise ValueError(f"'targets' is {self.targets!r}, which is not one of format {self.format}")
        if isinstance(self.temperature, bool) or not isinstance(self.temperature, int | float):
            raise ValueError("'temperature' must be a number")
        if not 0 < self.temperature < math.inf:
            raise ValueError("'temperature' must be above 0")

    @property
    def soft(self) -> bool:
        """Whether the targets are the stored scores."""
        return self.targets == "soft"

    def document(self) -> dict[str, Any]:
        """Return the metadata as the file has it: without the keys of soft targets where there are none."""
        own = asdict(self)
        return own if self.soft else {name: own[name] for name in own if name not in SOFT_KEYS}

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
