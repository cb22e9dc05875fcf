"""Small shards are read in runs and checked together: the same selection and the same errors as one by one."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.selection.test_score_files import info
from vidsemi.io.errors import UserError
from vidsemi.selection import scan, shard_pass
from vidsemi.selection.result import Selection
from vidsemi.selection.score_format import MAX_ID, ScoreRows
from vidsemi.selection.score_reader import ScoreShard
from vidsemi.selection.select import select

CLASSES = 3


def shard(number: int, rows: list[tuple[int, int, float]], batch: int) -> ScoreShard:
    """A shard whose rows come in batches."""
    ids, labels, scores = (list(column) for column in zip(*rows, strict=True)) if rows else ([], [], [])

    def batches() -> list[ScoreRows]:
        every = ScoreRows(np.array(ids, np.int64), np.array(labels, np.int16), np.array(scores, np.float32))
        parts = [slice(begin, begin + batch) for begin in range(0, len(rows), batch)]
        return [ScoreRows(every.example_id[part], every.label[part], every.score[part]) for part in parts]

    return ScoreShard(f"part {number}", number, batches, lambda: len(rows))


def outcome(shards: list[ScoreShard], together: int, monkeypatch: pytest.MonkeyPatch) -> tuple:
    monkeypatch.setattr(scan, "MOST_TOGETHER", together)
    monkeypatch.setattr(scan, "RUNS_PER_THREAD", 1)
    ticks: list[int] = []
    try:
        chosen: Selection = select(
            shards, info(CLASSES), per_class=3, per_example=2, threads=1, progress=lambda: ticks.append(1)
        )
    except UserError as error:
        return error.code, str(error)
    columns = chosen.label, chosen.example_id, chosen.score
    return [column.tolist() for column in columns], chosen.info, len(ticks)


def examples(draw: st.DrawFn) -> list[tuple[int, int, float]]:
    """Rows of a few examples, usually valid."""
    rows = []
    start = draw(st.integers(0, 30))
    for example in range(start, start + draw(st.integers(0, 4))):
        scores = sorted((draw(st.sampled_from([0.1, 0.25, 0.5])) for _ in range(2)), reverse=True)
        rows += [(example, label, score) for label, score in zip((0, draw(st.integers(1, 2))), scores, strict=True)]
    if rows and draw(st.integers(0, 9)) == 0:
        bad = draw(st.sampled_from([(MAX_ID + 1, 0, 0.5), (start, 7, 0.1), (-1, 0, 0.5), (0, 0, 2.0), (start, 0, 0.5)]))
        rows.insert(draw(st.integers(0, len(rows))), bad)
    return rows


@settings(deadline=None, max_examples=200)
@given(data=st.data())
def test_shards_read_in_runs_give_what_single_ones_give(data: st.DataObject):
    """Also where shards overlap, are empty, or come in several batches, and where several are invalid."""
    contents = [examples(data.draw) for _ in range(data.draw(st.integers(1, 6)))]
    batch = data.draw(st.sampled_from([1, 2, 100]))
    shards = [shard(number, rows, batch) for number, rows in enumerate(contents)]
    with pytest.MonkeyPatch.context() as monkeypatch:
        alone = outcome(shards, 1, monkeypatch)
        for least in (1, 5, 1 << 16):
            monkeypatch.setattr(shard_pass, "TOGETHER", least)
            assert outcome(shards, 4, monkeypatch) == alone


def test_the_first_of_several_faults_is_named(monkeypatch: pytest.MonkeyPatch):
    """An invalid row before a shard that cannot be read; and a shard that cannot be read before it."""

    def unreadable() -> list[ScoreRows]:
        raise UserError("scores.invalid_shard", "part 2 is damaged")

    good, bad = shard(0, [(0, 0, 0.5)], 9), shard(1, [(1, 0, 3.0)], 9)
    damaged = ScoreShard("part 2", 2, unreadable, lambda: 1)
    assert outcome([good, bad, damaged], 4, monkeypatch) == outcome([good, bad, damaged], 1, monkeypatch)
    assert outcome([good, bad, damaged], 4, monkeypatch)[0] == "scores.invalid_row"
    assert outcome([good, damaged, bad], 4, monkeypatch)[0] == "scores.invalid_shard"
