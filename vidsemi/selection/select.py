"""Scores in, D̂ out: a pure function of the set of score rows (paper, section 3; contract 4.4)."""

from collections.abc import Callable, Sequence
from itertools import pairwise

import numpy as np

from vidsemi.io.errors import UserError
from vidsemi.selection import policies
from vidsemi.selection.keys import ID_BITS, MAX_ID
from vidsemi.selection.reader import Part
from vidsemi.selection.result import Selection, SelectionInfo, as_ranges
from vidsemi.selection.scan import Rule, Tally, scan
from vidsemi.selection.score_files import ScoresInfo
from vidsemi.selection.topk import Rows, TopPerClass

COUNT_FROM = 100_000_000  # rows that all classes want together: 1.2 GB of room


def select(
    parts: Sequence[Part],
    scores: ScoresInfo,
    *,
    per_class: int,
    per_example: int,
    policy: str = "balanced_ranked",
    min_score: float = 0.0,
    seed: int = 0,
    tags: Rows | None = None,
    earlier: Sequence[Selection] = (),
    threads: int | None = None,
    progress: Callable[[], object] = lambda: None,
) -> Selection:
    """Choose D̂.

    Args:
        parts: the scores, in any order.
        scores: what the parts agree on.
        per_class: K, rows that a class takes.
        per_example: P, classes that an example keeps; all of them where there are fewer.
        policy: one of `POLICIES`.
        min_score: rows with lower scores are not candidates.
        seed: of the policies that choose at random.
        tags: for `balanced_with_tags`, (example, class) pairs that match; their scores are not looked at.
        earlier: selections of other parts, made alike with a K at least as large. Their rows are candidates too, and
            the result is that of one pass over all parts.
        threads: parts that are read at once; default: the cores that this process may use.
        progress: called after each part.

    Raises:
        UserError: K or P below 1, P above what is stored, a bad part, an example in two parts or selections.
    """
    _check_numbers(per_class, per_example, min_score, scores)
    rule = Rule(min(per_example, len(scores.classes)), scores.per_example, min_score)
    wanted = np.full(len(scores.classes), per_class)
    most = _most_rows(parts, scores, earlier, int(wanted.sum()))

    def offer_all(top: TopPerClass) -> Tally:
        tally = scan(parts, rule, top, threads=threads, progress=progress)
        for selection in earlier:
            top.add(selection.rows())
            tally.rows_read += selection.info.rows_read
            tally.scored += selection.info.scored
            tally.candidates += np.array(selection.info.candidates_per_class)
        return tally

    if policy == "balanced_ranked":
        top, tally = policies.balanced_ranked(offer_all, wanted, most)
    elif policy == "random":
        top, tally = policies.random(offer_all, wanted, most, seed)
    elif policy == "unbalanced_ranked":
        top, tally = policies.unbalanced_ranked(offer_all, wanted, most)
    elif policy == "balanced_with_tags" and tags is not None:
        top, tally = policies.balanced_with_tags(tags, wanted, len(tags), seed)
    else:
        raise UserError(f"policy {policy}: the policies are {', '.join(policies.POLICIES)}")
    if scores.examples is not None and tally.scored > scores.examples:
        raise UserError(f"the parts speak of {scores.examples} examples in all, but hold {tally.scored}")

    rows, ranked = top.best(), policy != "balanced_with_tags"
    _refuse_pairs_twice(rows, scores.classes)
    chosen_per_class = np.bincount(rows.label, minlength=len(scores.classes))
    taken_by = _taken_by(rows.example_id)
    if ranked and len(taken_by) > per_example:
        raise UserError(f"an example was taken by {len(taken_by)} classes, but keeps {per_example}: it is in two parts")
    info = SelectionInfo(
        scores=scores,
        policy=policy,
        per_class=per_class,
        per_example=per_example,
        min_score=min_score,
        seed=seed if policy in ("random", "balanced_with_tags") else None,
        parts=as_ranges({part.number for part in parts}.union(*(one.info.part_numbers() for one in earlier))),
        scored=tally.scored,
        rows_read=tally.rows_read,
        chosen=sum(taken_by),
        taken_by=taken_by,
        wanted_per_class=top.capacity.tolist(),
        candidates_per_class=tally.candidates.tolist(),
        chosen_per_class=chosen_per_class.tolist(),
        last_score_per_class=_last_scores(rows, chosen_per_class) if ranked else [None] * len(scores.classes),
    )
    score = rows.score if ranked else np.full(len(rows), np.nan, np.float32)
    return Selection(rows.label, _ranks(chosen_per_class), rows.example_id, score, info)


def _check_numbers(per_class: int, per_example: int, min_score: float, scores: ScoresInfo) -> None:
    for name, value in (("per_class (K)", per_class), ("per_example (P)", per_example)):
        if not 1 <= value <= MAX_ID:
            raise UserError(
                f"{name} is {value}; it must be at least 1" + (f" and at most {MAX_ID}" if value > 1 else "")
            )
    if not 0 <= min_score <= 1:
        raise UserError(f"min_score is {min_score}; scores lie in [0, 1]")
    if min(per_example, len(scores.classes)) > scores.per_example:  # an example cannot keep more classes than there are
        raise UserError(
            f"per_example (P) is {per_example}, but the scores hold {scores.per_example} classes an example; "
            "choose a smaller P, or score again with a larger one"
        )


def _most_rows(parts: Sequence[Part], scores: ScoresInfo, earlier: Sequence[Selection], wanted: int) -> int:
    """Rows that a class can have: one an example of U, and no more than there are rows.

    Rows are counted, which means opening every part, only where the size of U is not known or allows for gigabytes.
    """
    if scores.examples is not None and wanted < COUNT_FROM:
        return scores.examples
    rows = sum(part.count() for part in parts) + sum(len(selection.label) for selection in earlier)
    return rows if scores.examples is None else min(rows, scores.examples)


def _refuse_pairs_twice(rows: Rows, classes: list[str]) -> None:
    """The same example twice in a class: two selections that have read the same part, or a part that lists it twice."""
    pairs = rows.label.astype(np.int64)
    pairs <<= ID_BITS
    pairs |= rows.example_id
    pairs.sort()
    twice = np.flatnonzero(pairs[1:] == pairs[:-1])
    if len(twice):
        example, name = pairs[twice[0]] & MAX_ID, classes[pairs[twice[0]] >> ID_BITS]
        raise UserError(f"example {example} comes twice for class '{name}'; each example may stand in one part only")


def _ranks(counts: np.ndarray) -> np.ndarray:
    """Ranks of rows that are sorted by class, from the rows of each class: [2, 3] → [0, 1, 0, 1, 2]."""
    ranks = np.arange(counts.sum())
    ranks -= np.repeat(np.cumsum(counts) - counts, counts)
    return ranks


def _last_scores(rows: Rows, counts: np.ndarray) -> list[float | None]:
    """The score of each class's last row; None for a class that has none."""
    ends = np.cumsum(counts)
    return [float(rows.score[end - 1]) if count else None for end, count in zip(ends, counts, strict=True)]


def _taken_by(example_id: np.ndarray) -> list[int]:
    """How many examples come once, twice, … in an array, in less memory than counting each of them takes."""
    ids = np.sort(example_id)
    pairs = [len(ids)]  # of equal ids k places apart, for k = 0, 1, …: an example that comes n times makes n - k
    while pairs[-1]:
        k = len(pairs)
        pairs.append(int(np.count_nonzero(ids[k:] == ids[:-k])))
    at_least = [more - less for more, less in pairwise(pairs)]
    return [more - less for more, less in pairwise([*at_least, 0])]
