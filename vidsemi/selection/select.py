"""Scores in, D̂ out: a pure function of the set of score rows (paper, section 3; contract 4.4)."""

from collections.abc import Callable, Sequence

import numpy as np

from vidsemi.errors import UserError
from vidsemi.selection import policies
from vidsemi.selection.keys import ID_BITS
from vidsemi.selection.parts import Part
from vidsemi.selection.result import Selection, SelectionInfo, as_ranges
from vidsemi.selection.scan import Rule, Tally, scan
from vidsemi.selection.scores import ScoresInfo
from vidsemi.selection.top import Rows, TopPerClass


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
    classes = scores.classes
    _check_numbers(per_class, per_example, min_score, scores)
    rule = Rule(min(per_example, len(classes)), scores.per_example, min_score)
    wanted = np.full(len(classes), per_class)

    def offer_all(top: TopPerClass) -> Tally:
        tally = scan(parts, rule, top, threads=threads, progress=progress)
        for selection in earlier:
            top.add(selection.rows())
            tally.rows_read += selection.info.rows_read
            tally.scored += selection.info.scored
            tally.candidates += np.array(selection.info.candidates_per_class)
        return tally

    most = _most_rows(parts, scores, earlier)
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

    best = top.best()
    label, example_id, score = best.label, best.example_id, best.score
    _refuse_pairs_twice(label, example_id, classes)
    if policy == "balanced_with_tags":
        score = np.full(len(score), np.nan, np.float32)
    chosen = np.bincount(label, minlength=len(classes))
    ends = np.cumsum(chosen)
    times_taken = np.unique(example_id, return_counts=True)[1]
    numbers = {part.number for part in parts}.union(*(selection.info.part_numbers() for selection in earlier))
    info = SelectionInfo(
        scores=scores,
        policy=policy,
        per_class=per_class,
        per_example=per_example,
        min_score=min_score,
        seed=seed if policy in ("random", "balanced_with_tags") else None,
        parts=as_ranges(numbers),
        scored=tally.scored,
        rows_read=tally.rows_read,
        chosen=len(times_taken),
        taken_by=np.bincount(times_taken)[1:].tolist() if len(times_taken) else [],
        wanted_per_class=top.capacity.tolist(),
        candidates_per_class=tally.candidates.tolist(),
        chosen_per_class=chosen.tolist(),
        last_score_per_class=[
            float(score[end - 1]) if count and not np.isnan(score[end - 1]) else None
            for end, count in zip(ends, chosen, strict=True)
        ],
    )
    rank = np.arange(len(label)) - np.repeat(ends - chosen, chosen)
    return Selection(label, rank, example_id, score, info)


def _check_numbers(per_class: int, per_example: int, min_score: float, scores: ScoresInfo) -> None:
    for name, value in (("per_class (K)", per_class), ("per_example (P)", per_example)):
        if value < 1:
            raise UserError(f"{name} is {value}; it must be at least 1")
    if not 0 <= min_score <= 1:
        raise UserError(f"min_score is {min_score}; scores lie in [0, 1]")
    if min(per_example, len(scores.classes)) > scores.per_example:  # an example cannot keep more classes than there are
        raise UserError(
            f"per_example (P) is {per_example}, but the scores hold {scores.per_example} classes an example; "
            "choose a smaller P, or score again with a larger one"
        )


def _most_rows(parts: Sequence[Part], scores: ScoresInfo, earlier: Sequence[Selection]) -> int:
    """Rows that a class can have: one an example."""
    if scores.examples is not None:
        return scores.examples
    return sum(part.count() for part in parts) + sum(len(selection.label) for selection in earlier)


def _refuse_pairs_twice(label: np.ndarray, example_id: np.ndarray, classes: list[str]) -> None:
    """The same example twice in a class: two selections that have read the same part, or a part that lists it twice."""
    pairs = np.sort(label.astype(np.int64) << ID_BITS | example_id)
    twice = pairs[1:][pairs[1:] == pairs[:-1]]
    if len(twice):
        example, name = twice[0] & ((1 << ID_BITS) - 1), classes[twice[0] >> ID_BITS]
        raise UserError(f"example {example} comes twice for class '{name}'; each example may stand in one part only")
