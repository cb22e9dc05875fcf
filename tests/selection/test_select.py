"""Selection against a brute-force reading of its rules: any split into shards and batches, any order, any merge."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vidsemi.io.errors import UserError
from vidsemi.selection import topk
from vidsemi.selection.policies import random_priority, zipf_counts
from vidsemi.selection.result import Selection
from vidsemi.selection.score_format import ScoreRows, ScoresInfo
from vidsemi.selection.score_reader import ScoreShard
from vidsemi.selection.select import select

Triple = tuple[int, int, float]  # example id, label, score
SCORES = [0.0, 0.125, 0.25, 0.5, 0.75, 1.0]  # few, so that ties abound
MASK = 2**64 - 1


def splitmix(seed: int, example: int, label: int) -> float:
    """The priority of a random policy in Python's own integers."""
    z = seed * 0xD1342543DE82EF95 + example * 0x9E3779B97F4A7C15 + label * 0xA0761D6478BD642F & MASK
    z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9 & MASK
    z = (z ^ z >> 27) * 0x94D049BB133111EB & MASK
    return float((z ^ z >> 31) >> 40) / 2**24


def by_score(example: int, label: int, score: float) -> float:
    return score


def oracle(
    rows: list[Triple], wanted: list[int], per_example: int, min_score: float, value: Callable = by_score
) -> list[tuple[int, int, int, float]]:
    """The rules word by word: (label, rank, example id, score)."""
    kept = []
    for example in {row[0] for row in rows}:
        own = sorted((row for row in rows if row[0] == example), key=lambda row: (-row[2], row[1]))
        kept += own[:per_example]
    chosen = []
    for label, count in enumerate(wanted):
        candidates = [row for row in kept if row[1] == label and row[2] >= min_score]
        candidates.sort(key=lambda row: (-value(*row), row[0]))
        chosen += [(label, rank, row[0], row[2]) for rank, row in enumerate(candidates[:count])]
    return chosen


@dataclass
class Case:
    """Score rows, and how they are divided into shards and batches."""

    rows: list[Triple]
    shards: list[ScoreShard]
    info: ScoresInfo
    per_class: int
    per_example: int
    min_score: float
    threads: int

    def select(self, shards: list[ScoreShard] | None = None, **more: object) -> Selection:
        chosen = {"per_class": self.per_class, "per_example": self.per_example, "min_score": self.min_score}
        return select(self.shards if shards is None else shards, self.info, threads=self.threads, **{**chosen, **more})


def make_shard(number: int, rows: list[Triple], cuts: list[int]) -> ScoreShard:
    """A shard in memory whose batches end at `cuts`."""
    ids, labels, scores = (np.array([row[i] for row in rows]) for i in range(3))
    ends = [0, *sorted(min(cut, len(rows)) for cut in cuts), len(rows)]
    batches = [
        ScoreRows(ids[a:b].astype(np.int64), labels[a:b].astype(np.int16), scores[a:b].astype(np.float32))
        for a, b in pairwise(ends)
    ]
    return ScoreShard(f"shard {number}", number, lambda: batches, lambda: len(rows))


@st.composite
def cases(draw: st.DrawFn) -> Case:
    classes = draw(st.integers(1, 5))
    stored = draw(st.integers(1, classes))
    by_shard: list[list[Triple]] = [[] for _ in range(draw(st.integers(1, 4)))]
    for example in sorted(draw(st.lists(st.integers(0, 40), max_size=14, unique=True))):
        scores = draw(st.lists(st.sampled_from(SCORES), min_size=classes, max_size=classes))
        best = sorted(range(classes), key=lambda label: (-scores[label], label))[:stored]
        draw(st.sampled_from(by_shard)).extend((example, label, scores[label]) for label in best)
    cuts = st.lists(st.integers(0, 30), max_size=4)
    shards = [make_shard(number, rows, draw(cuts)) for number, rows in enumerate(by_shard)]
    examples = draw(st.sampled_from([None, 14, 41]))
    return Case(
        rows=[row for rows in by_shard for row in rows],
        shards=draw(st.permutations(shards)),
        info=ScoresInfo("m", "w", [f"c{i}" for i in range(classes)], stored, views=10, examples=examples),
        per_class=draw(st.integers(1, 7)),
        per_example=draw(st.integers(1, stored)),
        min_score=draw(st.sampled_from([0.0, 0.125, 0.3, 1.0])),
        threads=draw(st.integers(1, 3)),
    )


def rows_of(selection: Selection) -> list[tuple[int, int, int, float]]:
    columns = (selection.label, selection.rank, selection.example_id, selection.score)
    return list(zip(*(column.tolist() for column in columns), strict=True))


@pytest.fixture(autouse=True, scope="module")
def _little_room():
    """Classes are cut to their best after a few rows, as they are after many in a large dataset."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(topk, "MIN_SPARE", 2)
        yield


@settings(max_examples=100, deadline=None)
@given(cases())
def test_balanced_ranked_is_the_rules_in_some_cases(case: Case):
    check_balanced_ranked(case)


@pytest.mark.slow
@settings(max_examples=700, deadline=None)
@given(cases())
def test_balanced_ranked_is_the_rules_word_by_word(case: Case):
    check_balanced_ranked(case)


def check_balanced_ranked(case: Case) -> None:
    selection = case.select()
    wanted = [case.per_class] * len(case.info.classes)
    expected = oracle(case.rows, wanted, case.per_example, case.min_score)
    assert rows_of(selection) == expected

    candidates = oracle(case.rows, [10**6] * len(wanted), case.per_example, case.min_score)
    taken = [sum(row[2] == example for row in expected) for example in {row[2] for row in expected}]
    info = selection.info
    assert info.rows_read == len(case.rows)
    assert info.scored == len({row[0] for row in case.rows})
    assert info.candidates_per_class == [sum(row[0] == c for row in candidates) for c in range(len(wanted))]
    assert info.chosen_per_class == [sum(row[0] == c for row in expected) for c in range(len(wanted))]
    assert info.last_score_per_class == [
        min((row[3] for row in expected if row[0] == c), default=None) for c in range(len(wanted))
    ]
    assert info.chosen == len(taken)
    assert info.taken_by == [taken.count(k) for k in range(1, max(taken, default=0) + 1)]
    assert info.short_classes == [
        f"c{c}" for c in range(len(wanted)) if sum(row[0] == c for row in expected) < case.per_class
    ]


@pytest.mark.slow
@settings(max_examples=400, deadline=None)
@given(cases(), st.data())
def test_any_split_merged_in_any_way_is_one_pass(case: Case, data: st.DataObject):
    policy = data.draw(st.sampled_from(["balanced_ranked", "random"]))
    whole = case.select(policy=policy, seed=3)
    group = [data.draw(st.integers(0, 2)) for _ in case.shards]
    larger = data.draw(st.integers(0, 2))  # a partial selection may keep more than is wanted in the end

    def of(number: int, **more: object) -> Selection:
        shards = [shard for shard, own in zip(case.shards, group, strict=True) if own == number]
        return case.select(shards, policy=policy, seed=3, **more)

    first, second = of(0, per_class=case.per_class + larger), of(1)
    merged = case.select([], policy=policy, seed=3, earlier=[of(2), first, second])
    folded = of(2, earlier=[case.select([], policy=policy, seed=3, earlier=[second, first])])
    for selection in (merged, folded):
        assert rows_of(selection) == rows_of(whole)
        assert selection.info == whole.info


@pytest.mark.slow
@settings(max_examples=500, deadline=None)
@given(cases(), st.integers(0, 2**64 - 1))
def test_random_takes_candidates_by_their_priority(case: Case, seed: int):
    selection = case.select(policy="random", seed=seed)
    wanted = [case.per_class] * len(case.info.classes)
    value = lambda example, label, score: splitmix(seed, example, label)  # noqa: E731
    assert rows_of(selection) == oracle(case.rows, wanted, case.per_example, case.min_score, value)


@pytest.mark.slow
@settings(max_examples=500, deadline=None)
@given(cases())
def test_unbalanced_ranked_takes_a_zipf_share_of_the_same_total(case: Case):
    selection = case.select(policy="unbalanced_ranked")
    info = selection.info
    assert sum(info.wanted_per_class) == case.per_class * len(info.scores.classes)
    assert (
        info.wanted_per_class == zipf_counts(np.array(info.candidates_per_class), sum(info.wanted_per_class)).tolist()
    )
    assert rows_of(selection) == oracle(case.rows, info.wanted_per_class, case.per_example, case.min_score)


def test_zipf_counts_by_hand():
    # 1 + 1/2 + 1/3 + 1/4 = 25/12: of 25 rows, 12, 6, 4 and 3, the most frequent class first, ties to the smaller index
    assert zipf_counts(np.array([5, 9, 0, 9]), 25).tolist() == [4, 12, 3, 6]
    # of 10: 4.8, 2.4, 1.6, 1.2 → 4, 2, 1, 1 and the two that are left to the largest fractions, .8 and .6
    assert zipf_counts(np.array([4, 3, 2, 1]), 10).tolist() == [5, 2, 2, 1]


@settings(max_examples=300, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 30), st.integers(0, 3)), unique=True), st.integers(1, 9), st.integers(0, 9))
def test_balanced_with_tags_takes_matches_at_random(pairs: list[tuple[int, int]], per_class: int, seed: int):
    ids, labels = (np.array([pair[i] for pair in pairs], dtype) for i, dtype in ((0, np.int64), (1, np.int16)))
    info = ScoresInfo("m", "w", list("abcd"), 2, views=10)
    tags = ScoreRows(ids, labels, np.zeros(len(pairs), np.float32))
    selection = select([], info, per_class=per_class, per_example=2, policy="balanced_with_tags", seed=seed, tags=tags)
    value = lambda example, label, score: splitmix(seed, example, label)  # noqa: E731
    expected = oracle([(*pair, 0.0) for pair in pairs], [per_class] * 4, 4, 0.0, value)
    assert [row[:3] for row in rows_of(selection)] == [row[:3] for row in expected]
    assert np.isnan(selection.score).all()
    assert selection.info.last_score_per_class == [None] * 4


def test_random_priorities_are_even():
    values = random_priority(7)(np.arange(100_000), np.full(1, 3))
    counts = np.histogram(values, bins=20, range=(0, 1))[0]
    assert abs(counts - 5000).max() < 5 * np.sqrt(5000)


def test_many_rows_against_a_sort_of_all_of_them():
    rng = np.random.default_rng(0)
    classes, stored, examples = 30, 6, 40_000
    scores = (rng.random((examples, classes)) * rng.random(classes)).astype(np.float32)
    scores[::7] = np.round(scores[::7] * 16) / 16
    label = np.argsort(-scores, axis=1, kind="stable")[:, :stored]
    rows = ScoreRows(
        np.repeat(np.arange(examples) * 200_000, stored),  # ids up to 8 billion
        label.astype(np.int16).ravel(),
        np.take_along_axis(scores, label, 1).ravel(),
    )
    shards = []
    for number, begin in enumerate(range(0, examples, 5000)):
        own = slice(begin * stored, (begin + 5000) * stored)
        batch = ScoreRows(rows.example_id[own], rows.label[own], rows.score[own])
        shards.append(ScoreShard(str(number), number, lambda batch=batch: [batch], lambda: 5000 * stored))
    for per_example, per_class in ((6, 700), (2, 100), (1, 2000)):
        kept = np.flatnonzero(np.tile(np.arange(stored) < per_example, examples))
        order = kept[np.lexsort((rows.example_id[kept], -rows.score[kept], rows.label[kept]))]
        counts = np.bincount(rows.label[order], minlength=classes)
        rank = np.arange(len(order)) - np.repeat(np.cumsum(counts) - counts, counts)
        expected = order[rank < per_class]
        info = ScoresInfo("m", "w", [str(i) for i in range(classes)], stored, views=10)
        selection = select(shards[::-1], info, per_class=per_class, per_example=per_example)
        np.testing.assert_array_equal(selection.example_id, rows.example_id[expected])
        np.testing.assert_array_equal(selection.label, rows.label[expected])
        np.testing.assert_array_equal(selection.score, rows.score[expected])


def small_case(rows: list[Triple], classes: int = 3, stored: int = 2) -> tuple[list[ScoreShard], ScoresInfo]:
    return [make_shard(0, rows, [])], ScoresInfo("m", "w", [f"c{i}" for i in range(classes)], stored, views=10)


def test_each_example_once_with_all_classes_that_took_it():
    shards, info = small_case([(5, 0, 0.8), (5, 1, 0.1), (7, 2, 0.6), (7, 0, 0.3), (9, 2, 0.9)])
    examples, offsets, labels = select(shards, info, per_class=5, per_example=2).labels_by_example()
    assert examples.tolist() == [5, 7, 9]
    assert [labels[a:b].tolist() for a, b in pairwise(offsets)] == [[0, 1], [0, 2], [2]]


def test_k_beyond_all_rows_takes_them_all():
    shards, info = small_case([(0, 0, 0.5), (1, 0, 0.5)])
    for scores in (info, replace(info, examples=2)):
        assert select(shards, scores, per_class=2**33 - 1, per_example=2).example_id.tolist() == [0, 1]


def test_p_beyond_the_classes_keeps_them_all():
    shards, info = small_case([(0, 1, 0.5), (0, 0, 0.3), (0, 2, 0.2)], stored=3)
    assert select(shards, info, per_class=2, per_example=9).info.chosen_per_class == [1, 1, 1]


@pytest.mark.parametrize(
    ("changes", "code", "words"),
    [
        ({"per_class": 0}, "select.invalid_count", "K"),
        ({"per_example": 0}, "select.invalid_count", "P"),
        ({"per_example": 3}, "select.per_example_too_large", "2 classes"),
        ({"min_score": 1.5}, "select.invalid_min_score", "min_score"),
        ({"policy": "best"}, "policy.unknown", "balanced_ranked, unbalanced_ranked"),
        ({"policy": "balanced_with_tags"}, "policy.missing_tags", "hashtags"),
    ],
)
def test_bad_k_p_and_policies_are_refused(changes: dict[str, object], code: str, words: str):
    shards, info = small_case([(0, 0, 0.5)])
    with pytest.raises(UserError, match=words) as error:
        select(shards, info, **{"per_class": 1, "per_example": 1, **changes})  # type: ignore[arg-type]
    assert error.value.code == code


def test_more_examples_than_there_are_is_an_error():
    rows = [(example, 0, 0.5) for example in range(50)]
    shards, info = small_case(rows)
    with pytest.raises(UserError, match="9 examples") as error:
        select(shards, replace(info, examples=9), per_class=20, per_example=1)
    assert error.value.code == "scores.too_many_examples"
    with pytest.raises(UserError, match=r"49 .* 50") as error:
        select(shards, replace(info, examples=49), per_class=3, per_example=1)
    assert error.value.code == "scores.too_many_examples"
    assert len(select(shards, replace(info, examples=50), per_class=3, per_example=1).label) == 3


def test_an_example_of_two_selections_is_noticed():
    info = ScoresInfo("m", "w", ["a", "b"], 1, views=10)
    first = select([make_shard(0, [(7, 0, 0.5)], [])], info, per_class=2, per_example=1)
    again = select([make_shard(1, [(7, 0, 0.4)], [])], info, per_class=2, per_example=1)
    other = select([make_shard(1, [(7, 1, 0.5)], [])], info, per_class=2, per_example=1)
    with pytest.raises(UserError, match=r"example 7 .*'a'") as error:
        select([], info, per_class=2, per_example=1, earlier=[first, again])
    assert error.value.code == "selection.example_twice"
    with pytest.raises(UserError, match="2 classes, but keeps 1") as error:
        select([], info, per_class=2, per_example=1, earlier=[first, other])
    assert error.value.code == "selection.example_twice"


def test_k_that_no_memory_holds_is_one_line(monkeypatch: pytest.MonkeyPatch):
    shards, info = small_case([(0, 0, 0.5), (1, 0, 0.5)])
    huge = replace(info, examples=8 * 10**9)
    assert len(select(shards, huge, per_class=8 * 10**9, per_example=1).label) == 2  # there are only two rows

    def no_memory(*_: object) -> None:
        raise MemoryError

    monkeypatch.setattr(topk.np, "empty", no_memory)
    with pytest.raises(UserError, match=r"400 classes .* GiB") as error:
        topk.TopPerClass(np.full(400, 10**9), most=10**9)
    assert error.value.code == "select.out_of_memory"
