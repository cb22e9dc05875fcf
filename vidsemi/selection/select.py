"""Select pseudo-labeled examples: a pure function of the set of score rows (paper, section 3)."""

from collections.abc import Callable, Sequence
from itertools import pairwise

import numpy as np

from vidsemi.io.errors import UserError
from vidsemi.runtime.arrays import distinct
from vidsemi.selection.info import FORMAT, SOFT_FORMAT, SelectionInfo, as_ranges
from vidsemi.selection.policies import get_policy, priority_of, quotas_of
from vidsemi.selection.result import Selection
from vidsemi.selection.scan import scan
from vidsemi.selection.score_format import MAX_ID, ScoreRows, ScoresInfo
from vidsemi.selection.score_reader import ScoreShard
from vidsemi.selection.shard_pass import Tally, row_limits
from vidsemi.selection.soft_targets import check_targets, gather_stored
from vidsemi.selection.topk import TopPerClass

COUNT_FROM = 100_000_000  # rows that all classes take together: 1.2 GB of buffers


def select(
    shards: Sequence[ScoreShard],
    scores: ScoresInfo,
    *,
    per_class: int,
    per_example: int,
    policy: str = "balanced_ranked",
    min_score: float = 0.0,
    seed: int = 0,
    tags: ScoreRows | None = None,
    earlier: Sequence[Selection] = (),
    targets: str = "one_hot",
    temperature: float = 1.0,
    threads: int | None = None,
    progress: Callable[[], object] = lambda: None,
) -> Selection:
    """Select for each class `per_class` of its candidates.

    Args:
        shards: the scores, in any order.
        scores: metadata of the shards.
        per_class: K, rows that a class takes.
        per_example: P, classes that an example keeps; all of them if there are fewer.
        policy: the name of a registered policy.
        min_score: lowest score of a candidate.
        seed: for policies that choose at random.
        tags: (example, class) pairs, the candidates of policies that need hashtags; their scores are ignored.
        earlier: selections from other shards by the same policy, P and scores, with a K at least as large. Their rows
            are candidates too, so that the result equals that of one pass over all shards.
        targets: "one_hot", or "soft": the stored scores of the selected examples, which another pass reads.
        temperature: of soft targets.
        threads: shards that are read at once; default: the cores that this process may use.
        progress: called after each shard.

    Raises:
        UserError: K, P, the targets or the policy is invalid, P is above the rows stored per example, a shard is
            invalid, or an example is in two shards or selections.
    """
    rules, classes = get_policy(policy), len(scores.classes)
    _check_numbers(per_class, per_example, min_score, scores)
    check_targets(targets, temperature, policy)
    if rules.needs_tags and tags is None:
        raise UserError("policy.missing_tags", f"the policy {policy} needs the hashtags of the examples")
    tags = tags if rules.needs_tags else None
    limits = row_limits(min(per_example, classes), scores.per_example, min_score)
    most = most_rows(shards, scores, earlier, per_class * classes) if tags is None else len(tags)

    def offer_all(top: TopPerClass) -> Tally:
        if tags is not None:
            top.add(tags)
            counts = np.bincount(tags.label, minlength=classes)
            return Tally(counts, rows_read=len(tags), scored=len(distinct(tags.example_id)))
        tally = scan(shards, limits, top, threads=threads, progress=progress)
        for selection in earlier:
            top.add(selection.rows())
            tally.rows_read += selection.info.rows_read
            tally.scored += selection.info.scored
            tally.candidates += np.array(selection.info.candidates_per_class)
        return tally

    candidates = np.zeros(classes, np.int64)
    if rules.needs_counts:
        candidates = offer_all(TopPerClass(candidates, most)).candidates
    top = TopPerClass(quotas_of(policy, per_class, candidates), most, priority_of(policy, seed))
    tally = offer_all(top)
    if scores.examples is not None and tally.scored > scores.examples:
        raise UserError(
            "scores.too_many_examples",
            f"the scores are of {scores.examples} examples, but hold {tally.scored}; score again",
        )
    rows = top.result()
    taken_by = _checked_counts(rows, scores.classes)
    if tags is None and len(taken_by) > per_example:
        raise UserError(
            "selection.example_twice",
            f"an example was taken by {len(taken_by)} classes, but keeps {per_example}: it is in two shards",
        )
    chosen_per_class = np.bincount(rows.label, minlength=classes)
    ends = np.cumsum(chosen_per_class)  # the rows are sorted by class
    ranks = np.arange(len(rows))
    ranks -= np.repeat(ends - chosen_per_class, chosen_per_class)
    last_scores = [
        float(rows.score[end - 1]) if count and tags is None else None
        for end, count in zip(ends, chosen_per_class, strict=True)
    ]
    read = {shard.number for shard in shards}.union(*(one.info.shard_numbers() for one in earlier))
    info = SelectionInfo(
        scores=scores,
        policy=policy,
        per_class=per_class,
        per_example=per_example,
        min_score=min_score,
        seed=seed if rules.needs_seed else None,
        shard_ranges=as_ranges(read),
        scored=tally.scored,
        rows_read=tally.rows_read,
        chosen=sum(taken_by),
        taken_by=taken_by,
        wanted_per_class=top.capacity.tolist(),
        candidates_per_class=tally.candidates.tolist(),
        chosen_per_class=chosen_per_class.tolist(),
        last_score_per_class=last_scores,
        format=SOFT_FORMAT if targets == "soft" else FORMAT,
        targets=targets,
        temperature=float(temperature),
    )
    stored = None
    if info.soft:
        known = [one.stored for one in earlier if one.stored is not None]
        stored = gather_stored(rows.example_id, shards, known, scores.per_example, progress)
    score = rows.score if tags is None else np.full(len(rows), np.nan, np.float32)
    return Selection(rows.label, ranks, rows.example_id, score, info, stored)


def _check_numbers(per_class: int, per_example: int, min_score: float, scores: ScoresInfo) -> None:
    for name, value in (("per_class (K)", per_class), ("per_example (P)", per_example)):
        if not 1 <= value <= MAX_ID:
            raise UserError("select.invalid_count", f"{name} is {value}; it must be between 1 and {MAX_ID}")
    if not 0 <= min_score <= 1:
        raise UserError("select.invalid_min_score", f"min_score is {min_score}; it must be between 0 and 1")
    if min(per_example, len(scores.classes)) > scores.per_example:
        raise UserError(
            "select.per_example_too_large",
            f"per_example (P) is {per_example}, but scores hold {scores.per_example} classes: lower it or score again",
        )


def most_rows(shards: Sequence[ScoreShard], scores: ScoresInfo, earlier: Sequence[Selection], requested: int) -> int:
    """Return the most rows a class can have: one per example, and no more than there are rows.

    Rows are counted, which opens every shard, only if the number of examples is unknown or allows for gigabytes.
    """
    if scores.examples is not None and requested < COUNT_FROM:
        return scores.examples
    rows = sum(shard.count() for shard in shards) + sum(len(selection.label) for selection in earlier)
    return rows if scores.examples is None else min(rows, scores.examples)


def _checked_counts(rows: ScoreRows, classes: list[str]) -> list[int]:
    """Count the examples that occur once, twice, … in less memory than counting each of them takes.

    Refuses an example twice in a class: two selections have read the same shard, or a shard lists it twice.
    """
    bits = len(classes).bit_length()
    pairs = rows.example_id << bits
    pairs |= rows.label
    pairs.sort()  # once for both: 1.6 million rows take 85 ms
    twice = pairs[1:][pairs[1:] == pairs[:-1]]
    if len(twice):
        label, example = min((pair & ((1 << bits) - 1), pair >> bits) for pair in twice.tolist())
        name = classes[label]
        raise UserError("selection.example_twice", f"example {example} occurs twice for class '{name}', in two shards")
    ids = np.right_shift(pairs, bits, out=pairs)
    counts = [len(ids)]  # of equal ids k places apart, for k = 0, 1, …: an example that occurs n times makes n - k
    while counts[-1]:
        k = len(counts)
        counts.append(int(np.count_nonzero(ids[k:] == ids[:-k])))
    at_least = [more - less for more, less in pairwise(counts)]
    return [more - less for more, less in pairwise([*at_least, 0])]
