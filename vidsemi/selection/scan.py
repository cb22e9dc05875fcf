"""One pass over all shards: read, check, keep P rows per example, count, offer the candidates to a `TopPerClass`."""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import chain
from threading import Lock

import numpy as np

from vidsemi.io.errors import UserError
from vidsemi.runtime.process import usable_cores
from vidsemi.selection.kernels import Batch, Limits, ShardState, filter_rows, shard_state
from vidsemi.selection.score_format import MAX_ID, MAX_SCORE, ScoreRows
from vidsemi.selection.score_reader import ScoreShard
from vidsemi.selection.topk import TopPerClass

WINDOW = 1 << 27  # example ids that are compared at once where shards overlap: 128 MiB

# A shard of 1,000 examples takes 109 µs if it is checked by itself, 67 together with others, after it was read in 400.
TOGETHER = 1 << 16  # rows of small shards that are checked in one call, at least
MOST_TOGETHER = 32  # shards that a thread reads in a run
RUNS_PER_THREAD = 64  # at least, before runs get longer: shards may be large, and threads should end together


@dataclass
class Tally:
    """Counts of a pass."""

    candidates: np.ndarray  # (classes,) rows per class after P and the lowest score
    rows_read: int = 0  # before anything was dropped
    scored: int = 0  # examples that have rows


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


def scan(
    shards: Sequence[ScoreShard],
    limits: Limits,
    top: TopPerClass,
    *,
    threads: int | None = None,
    progress: Callable[[], object] = lambda: None,
) -> Tally:
    """Offer every candidate of the shards, in any order, to `top`.

    Reads as many shards at once as there are `threads` (default: the usable cores); `progress` is called after each.

    Raises:
        UserError: a shard has an invalid row, or an example is in two shards.
    """
    one_pass = _Pass(limits, top)
    threads = threads or usable_cores()
    size = max(1, min(MOST_TOGETHER, len(shards) // (threads * RUNS_PER_THREAD)))
    runs = [shards[begin : begin + size] for begin in range(0, len(shards), size)]
    executor = ThreadPoolExecutor(threads)
    try:
        spans: list[Span] = []
        for run, own in zip(runs, executor.map(one_pass.read, runs), strict=True):
            spans += own
            for _ in run:
                progress()
    finally:
        executor.shutdown(cancel_futures=True)
    _refuse_shared_examples(spans)
    return one_pass.tally


class _Pass:
    """What the threads of a pass share."""

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


def _refuse_shared_examples(spans: list[Span]) -> None:
    """Refuse an example in two shards. Shards whose ranges of ids do not overlap, the usual case, cost nothing."""
    group: list[Span] = []
    last = -1
    for span in sorted(spans, key=lambda span: span.first):
        if span.first > last:
            _compare(group)
            group = []
        group.append(span)
        last = max(last, span.last)
    _compare(group)


def _compare(group: list[Span]) -> None:
    """Read the ids of shards whose ranges overlap again, a window at a time, and look for one that occurs twice."""
    if len(group) < 2:
        return
    for low in range(group[0].first, max(span.last for span in group) + 1, WINDOW):
        seen = np.zeros(WINDOW, bool)
        for span in group:
            if span.last < low or span.first >= low + WINDOW:
                continue
            ids = [ids[(ids >= low) & (ids < low + WINDOW)] - low for ids in _example_ids(span.shard)]
            own = np.concatenate([np.zeros(0, np.int64), *ids])
            if len(twice := np.flatnonzero(seen[own])):
                example = own[twice[0]] + low
                other = next(span for span in group if any(example in ids for ids in _example_ids(span.shard)))
                names = f"{other.shard.name} and {span.shard.name}"
                raise UserError("scores.example_twice", f"example {example} is in two shards: {names}")
            seen[own] = True


def _example_ids(shard: ScoreShard) -> Iterator[np.ndarray]:
    for rows in shard.batches():
        yield rows.example_id[np.flatnonzero(np.diff(rows.example_id, prepend=-1))]
