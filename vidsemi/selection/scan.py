"""One pass over all parts: rows are read, checked, cut to P an example, counted, and offered to a `TopPerClass`."""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from threading import Lock

import numpy as np

from vidsemi.io.errors import UserError
from vidsemi.runtime.cores import usable_cores
from vidsemi.selection.kernels import beginning, sift
from vidsemi.selection.keys import MAX_ID, MAX_SCORE, MAX_SCORE_BITS
from vidsemi.selection.reader import Part
from vidsemi.selection.topk import Rows, TopPerClass

WINDOW = 1 << 27  # example ids that are compared at once where parts overlap: 128 MiB


@dataclass(frozen=True)
class Rule:
    """Which rows are candidates.

    Attributes:
        per_example: P, classes that an example keeps.
        stored: classes an example in the parts, at least P.
        min_score: lowest score of a candidate, to the precision of float32.
    """

    per_example: int
    stored: int
    min_score: float = 0.0


@dataclass
class Tally:
    """What a pass has seen.

    Attributes:
        candidates: (classes,) rows a class that were left after P and the lowest score.
        rows_read: rows before anything was dropped.
        scored: examples that had rows.
    """

    candidates: np.ndarray
    rows_read: int = 0
    scored: int = 0


@dataclass(frozen=True)
class Span:
    """First and last example id of a part that has rows."""

    part: Part
    first: int
    last: int


def scan(
    parts: Sequence[Part],
    rule: Rule,
    top: TopPerClass,
    *,
    threads: int | None = None,
    progress: Callable[[], object] = lambda: None,
) -> Tally:
    """Offer every candidate of the parts to `top`.

    Args:
        parts: in any order.
        rule: which rows are candidates.
        top: takes the best.
        threads: parts that are read at once; default: the cores that this process may use.
        progress: called after each part.

    Raises:
        UserError: a part breaks the contract, or an example is in two parts.
    """
    tally = Tally(np.zeros(len(top.capacity), np.int64))
    lock = Lock()

    def read(part: Part) -> Span | None:
        before, first = beginning(), None
        last_example = np.full(len(tally.candidates), -1)
        for rows in part.batches():
            if len(rows) == 0:
                continue
            value = top.value(rows)
            candidates, near = np.zeros_like(tally.candidates), np.empty(len(rows), np.int32)
            left, examples, bad = sift(
                rows.example_id,
                rows.label,
                rows.score.view(np.int32),
                value.view(np.int32),
                before,
                last_example,
                rule.stored,
                rule.per_example,
                int(np.float32(rule.min_score).view(np.int32)),
                MAX_SCORE_BITS,
                top.least_value.view(np.int32),  # another thread may raise it meanwhile, which changes no result
                candidates,
                near,
            )
            if bad < 0 and not 0 <= rows.example_id[0] <= rows.example_id[-1] <= MAX_ID:
                bad = 0 if rows.example_id[0] < 0 else len(rows) - 1
            if bad >= 0:
                raise UserError(f"{part.name}: {_complaint(rows, bad, before, rule, len(candidates))}")
            with lock:
                tally.rows_read += len(rows)
                tally.scored += examples
                tally.candidates += candidates
                top.add(rows, value, near[:left])
            first = int(rows.example_id[0]) if first is None else first
        return None if first is None else Span(part, first, int(before[0]))

    executor = ThreadPoolExecutor(threads or usable_cores())
    try:
        spans = []
        for span in executor.map(read, parts):
            if span is not None:
                spans.append(span)
            progress()
    finally:
        executor.shutdown(cancel_futures=True)
    _refuse_shared_examples(spans)
    return tally


def _complaint(rows: Rows, bad: int, before: np.ndarray, rule: Rule, classes: int) -> str:
    """What is wrong with a row that `sift` has refused."""
    example, label, score = rows.example_id[bad], rows.label[bad], rows.score[bad]
    last = rows.example_id[bad - 1] if bad else before[0]
    if not 0 <= score <= MAX_SCORE or np.signbit(score):
        return f"the score of example {example} is {score}; scores lie in [0, 1] and have no sign"
    if not 0 <= label < classes:
        return f"the label of example {example} is {label}; labels lie in [0, {classes})"
    if not 0 <= example <= MAX_ID:
        return f"there is an example {example}; ids lie in [0, {MAX_ID}]"
    if example < last:
        return f"rows must be sorted by example id, but example {example} comes after {last}"
    earlier = before[2] + 1 if example == before[0] else 0  # rows that the batch before has of it
    if earlier + np.count_nonzero(rows.example_id[: bad + 1] == example) > rule.stored:
        return f"example {example} has more than the {rule.stored} rows that the metadata speaks of"
    return (
        f"the rows of example {example} must be sorted by score, highest first, and where scores are equal by label; "
        "no label may come twice"
    )


def _refuse_shared_examples(spans: list[Span]) -> None:
    """An example in two parts is an error. Parts whose ranges of ids do not overlap, the usual case, cost nothing."""
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
    """Read the ids of parts whose ranges overlap again, a window at a time, and look for one that two of them have."""
    if len(group) < 2:
        return
    for low in range(group[0].first, max(span.last for span in group) + 1, WINDOW):
        seen = np.zeros(WINDOW, bool)
        for span in group:
            if span.last < low or span.first >= low + WINDOW:
                continue
            ids = [ids[(ids >= low) & (ids < low + WINDOW)] - low for ids in _example_ids(span.part)]
            own = np.concatenate([np.zeros(0, np.int64), *ids])
            if len(twice := np.flatnonzero(seen[own])):
                example = own[twice[0]] + low
                other = next(span for span in group if any(example in ids for ids in _example_ids(span.part)))
                raise UserError(f"example {example} is in two parts: {other.part.name} and {span.part.name}")
            seen[own] = True


def _example_ids(part: Part) -> Iterator[np.ndarray]:
    """The ids of a part's examples, a batch at a time."""
    for rows in part.batches():
        yield rows.example_id[np.flatnonzero(np.diff(rows.example_id, prepend=-1))]
