"""One pass over shards: check the rows, keep P per example, count them, offer the candidates to a `TopPerClass`."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from threading import Lock

import numpy as np

from vidsemi.io.errors import UserError
from vidsemi.selection.kernels import Batch, Limits, ShardState, filter_rows, shard_state
from vidsemi.selection.score_format import MAX_ID, MAX_SCORE, ScoreRows
from vidsemi.selection.score_reader import ScoreShard
from vidsemi.selection.topk import TopPerClass

# A shard of 1,000 examples takes 109 µs if it is checked by itself, 67 together with others, after it was read in 130.
TOGETHER = 1 << 16  # rows of small shards that are checked in one call, at least


@dataclass
class Tally:
    """Counts of a pass."""

    candidates: np.ndarray  # (classes,) rows per class after P and the lowest score
    rows_read: int = 0  # before anything was dropped
    scored: int = 0  # examples that have rows

    def __iadd__(self, other: "Tally") -> "Tally":
        self.candidates += other.candidates
        self.rows_read += other.rows_read
        self.scored += other.scored
        return self


@dataclass(frozen=True)
class Span:
    """First and last example id of a shard that has rows."""

    shard: ScoreShard
    first: int
    last: int


def row_limits(per_example: int, stored: int, min_score: float) -> Limits:
    """Return which rows are valid and which of them are candidates; `min_score` is rounded to float32."""
    least, most = (int(np.float32(score).view(np.int32)) for score in (min_score, MAX_SCORE))
    return Limits(max_id=MAX_ID, max_score=most, stored=stored, per_example=per_example, min_score=least)


class Pass:
    """Reads shards in several threads at once; `tally` counts what they have read."""

    def __init__(self, limits: Limits, top: TopPerClass):
        self._limits, self._top, self._lock = limits, top, Lock()
        self.tally = Tally(np.zeros(len(top.capacity), np.int64))

    def read(self, shards: Sequence[ScoreShard]) -> list[Span]:
        """Read a run of shards; the rows of successive small ones are checked together."""
        spans: list[Span] = []
        small: list[tuple[ScoreShard, ScoreRows]] = []
        try:
            for shard in shards:
                batches = iter(shard.batches())
                first = next((rows for rows in batches if len(rows)), None)
                second = next((rows for rows in batches if len(rows)), None)
                if first is None:
                    continue
                # As one, shards must be sorted like one.
                follows = not small or first.example_id[0] > small[-1][1].example_id[-1]
                if second is not None or not follows or sum(len(rows) for _, rows in small) >= TOGETHER:
                    self._check_together(small, spans)
                    small = []
                if second is None:
                    small.append((shard, first))
                    continue
                state = shard_state(len(self.tally.candidates))
                for rows in chain((first, second), batches):
                    if len(rows):
                        self._offer([(shard, rows)], state)
                spans.append(Span(shard, int(first.example_id[0]), int(state.last[0])))
        finally:  # of several invalid shards the first one is named
            self._check_together(small, spans)
        return spans

    def _check_together(self, small: list[tuple[ScoreShard, ScoreRows]], spans: list[Span]) -> None:
        if small:
            self._offer(small, shard_state(len(self.tally.candidates)))
            spans += [Span(shard, int(rows.example_id[0]), int(rows.example_id[-1])) for shard, rows in small]

    def _offer(self, parts: list[tuple[ScoreShard, ScoreRows]], state: ShardState) -> None:
        """Check and offer a batch of one shard, or all rows of several whose ids ascend."""
        top, tally = self._top, self.tally
        rows = _joined([rows for _, rows in parts])
        value = top.value(rows)
        batch = Batch(rows.example_id, rows.label, rows.score.view(np.int32), value.view(np.int32))
        least_value = top.least_value.view(np.int32)  # another thread may raise it meanwhile, which changes no result
        candidates, kept = np.zeros_like(tally.candidates), np.empty(len(rows), np.int32)
        num_kept, examples, bad = filter_rows(batch, self._limits, state, least_value, candidates, kept)
        if bad >= 0:
            for shard, rows in parts:
                if bad < len(rows):
                    problem = _problem(rows, bad, state, self._limits, len(candidates))
                    raise UserError("scores.invalid_row", f"{shard.name}: {problem}")
                bad -= len(rows)
        with self._lock:
            tally.rows_read += len(rows)
            tally.scored += examples
            tally.candidates += candidates
            top.add(rows, value, kept[:num_kept])


def _joined(parts: list[ScoreRows]) -> ScoreRows:
    if len(parts) == 1:
        return parts[0]
    columns = [np.concatenate([getattr(rows, name) for rows in parts]) for name in ("example_id", "label", "score")]
    for column in columns:
        column.setflags(write=False)  # as Arrow's are, or the kernels would be compiled once more
    return ScoreRows(*columns)


def _problem(rows: ScoreRows, bad: int, state: ShardState, limits: Limits, classes: int) -> str:
    example, label, score = rows.example_id[bad], rows.label[bad], rows.score[bad]
    last = rows.example_id[bad - 1] if bad else state.last[0]
    if not 0 <= score <= MAX_SCORE or np.signbit(score):
        return f"the score of example {example} is {score}; scores lie in [0, 1] and have no sign"
    if not 0 <= label < classes:
        return f"the label of example {example} is {label}; labels lie in [0, {classes})"
    if not 0 <= example <= MAX_ID:
        return f"it has an example {example}; ids lie in [0, {MAX_ID}]"
    if example < last:
        return f"rows must be sorted by example id, but example {example} comes after {last}"
    earlier = state.last[2] + 1 if example == state.last[0] else 0  # its rows in the batch before
    if earlier + np.count_nonzero(rows.example_id[: bad + 1] == example) > limits.stored:
        return f"example {example} has more than the {limits.stored} rows that the metadata allows"
    return f"rows of example {example} must be sorted by score descending, then label; no label may come twice"
