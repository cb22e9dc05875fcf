"""The first example that each class did not take, against the rules word by word."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.helpers.errors import refused
from tests.selection.test_select import Case, by_score, cases, make_shard, oracle, rows_of, splitmix
from vidsemi.selection.joined_scores import JoinedScores
from vidsemi.selection.runners_up import runners_up
from vidsemi.selection.score_format import ScoreRows, ScoresInfo


def scores_of(case: Case) -> JoinedScores:
    return JoinedScores(case.shards, case.info, lambda: np.zeros(0, np.int64))


def beyond(case: Case, wanted: list[int], value: Callable = by_score) -> list[tuple[int, int, float]]:
    """(class, example, score) of the rows that one more rank would have taken."""
    more = oracle(case.rows, [count + 1 for count in wanted], case.per_example, case.min_score, value)
    return [(label, example, score) for label, rank, example, score in more if rank == wanted[label]]


def found(rows: ScoreRows) -> list[tuple[int, int, float]]:
    return list(zip(rows.label.tolist(), rows.example_id.tolist(), rows.score.tolist(), strict=True))


@settings(max_examples=60, deadline=None)
@given(cases())
def test_it_is_the_next_row_of_each_class(case: Case):
    selection = case.select()
    assert found(runners_up(selection, scores_of(case))) == beyond(case, selection.info.wanted_per_class)


@settings(max_examples=30, deadline=None)
@given(cases(), st.integers(0, 2**40))
def test_policies_with_other_quotas_and_priorities_have_runners_up_too(case: Case, seed: int):
    selection = case.select(policy="random", seed=seed)
    drawn = beyond(case, selection.info.wanted_per_class, lambda example, label, _: splitmix(seed, example, label))
    assert found(runners_up(selection, scores_of(case))) == drawn
    unbalanced = case.select(policy="unbalanced_ranked")
    assert found(runners_up(unbalanced, scores_of(case))) == beyond(case, unbalanced.info.wanted_per_class)


@pytest.fixture
def case() -> Case:
    rows = [(example, 0, 1 - example / 10) for example in range(6)]
    shards = [make_shard(0, rows[:3], []), make_shard(1, rows[3:], [])]
    info = ScoresInfo("m", "w", ["a", "b"], 1, views=1)
    return Case(rows, shards, info, per_class=4, per_example=1, min_score=0.0, threads=1)


def test_a_selection_of_some_shards_looks_at_those_only(case: Case):
    selection = case.select(case.shards[1:], per_class=2)
    assert rows_of(selection)[-1][2] == 4
    assert found(runners_up(selection, scores_of(case)))[0][:2] == (0, 5)


def test_other_scores_are_refused(case: Case):
    selection = case.select()
    with refused("selection.missing_scores", "1"):
        runners_up(selection, replace(scores_of(case), shards=case.shards[:1]))
    with refused("selection.other_scores", "manifest"):
        runners_up(selection, replace(scores_of(case), info=replace(case.info, manifest="n")))
    changed = [make_shard(0, [(7, 0, 1.0)], []), make_shard(1, case.rows[3:], [])]
    with refused("selection.other_scores"):
        runners_up(selection, replace(scores_of(case), shards=changed))
    tags = ScoreRows(np.arange(3), np.zeros(3, np.int16), np.zeros(3, np.float32))
    with refused("selection.no_scores", "balanced_with_tags"):
        runners_up(case.select([], policy="balanced_with_tags", tags=tags), scores_of(case))
