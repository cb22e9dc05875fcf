"""Soft targets: the stored scores of each selected example, renormalized; against numpy, whatever shards and merges."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.helpers.errors import refused
from vidsemi.cli import main as cli
from vidsemi.data.manifest import Manifest
from vidsemi.data.manifest_file import write_manifest
from vidsemi.io.store import shard_name
from vidsemi.selection.result import Selection
from vidsemi.selection.score_format import ScoreRows, ScoresInfo
from vidsemi.selection.score_reader import ScoreShard
from vidsemi.selection.score_writer import write_shard
from vidsemi.selection.select import select
from vidsemi.training.training_set import pseudo_labeled_set

CLASSES = [f"c{number}" for number in range(5)]


def top_rows(scores: np.ndarray, stored: int, start: int = 0) -> ScoreRows:
    """The stored rows of all probabilities, (N, classes)."""
    order = np.argsort(-scores, axis=1, kind="stable")[:, :stored]
    ids = np.repeat(np.arange(len(scores)) + start, stored)
    return ScoreRows(ids, order.reshape(-1).astype(np.int16), np.take_along_axis(scores, order, 1).reshape(-1))


def shards_of(scores: np.ndarray, stored: int, size: int) -> list[ScoreShard]:
    """Shards of `size` examples, in batches of 3 rows."""

    def shard(number: int) -> ScoreShard:
        rows = top_rows(scores[number * size : (number + 1) * size], stored, number * size)
        cuts = [slice(begin, begin + 3) for begin in range(0, len(rows), 3)]
        batches = [ScoreRows(rows.example_id[cut], rows.label[cut], rows.score[cut]) for cut in cuts]
        return ScoreShard(f"shard {number}", number, lambda: iter(batches), lambda: len(rows))

    return [shard(number) for number in range(-(-len(scores) // size))]


def info_of(stored: int, manifest: str = "m", examples: int | None = None) -> ScoresInfo:
    return ScoresInfo(manifest, "w", CLASSES, per_example=stored, views=1, examples=examples)


def oracle(scores: np.ndarray, stored: int, temperature: float, ids: np.ndarray) -> np.ndarray:
    """Targets (N, classes) by the definition: the P highest, to the power 1/T, divided by their sum."""
    kept = np.zeros(scores.shape)
    for row, own in zip(kept, scores, strict=True):
        best = sorted(range(len(own)), key=lambda label: (-own[label], label))[:stored]
        row[best] = (own[best].astype(np.float64) / own.max()) ** (1 / temperature)
    return (kept / kept.sum(1, keepdims=True))[ids]


@settings(max_examples=60, deadline=None)
@given(
    st.integers(0, 2**32 - 1),
    st.integers(1, 5),
    st.data(),
    st.sampled_from([0.1, 0.5, 1.0, 2.0, 20.0]),
    st.sampled_from(["balanced_ranked", "unbalanced_ranked", "random"]),
)
def test_targets_are_the_stored_scores_renormalized(
    seed: int, stored: int, data: st.DataObject, temperature: float, policy: str
):
    rng = np.random.default_rng(seed)
    scores = rng.dirichlet(np.full(5, 0.2), 17).astype(np.float32)
    rule = {"per_class": data.draw(st.integers(1, 6)), "per_example": data.draw(st.integers(1, stored))}
    rule |= {"policy": policy, "min_score": data.draw(st.sampled_from([0.0, 0.3]))}
    shards, info = shards_of(scores, stored, data.draw(st.integers(1, 17))), info_of(stored)
    plain = select(shards, info, **rule)
    soft = select(shards, info, **rule, targets="soft", temperature=temperature)

    for name in ("label", "rank", "example_id", "score"):  # what is selected does not depend on the targets
        np.testing.assert_array_equal(getattr(soft, name), getattr(plain, name))
    ids, targets = soft.examples()
    assert ids.tolist() == sorted({*plain.example_id.tolist()})
    assert targets.dtype == np.float32
    expected = oracle(scores, stored, temperature, ids)
    np.testing.assert_allclose(targets.toarray(), expected, rtol=1e-5, atol=1e-7)
    np.testing.assert_allclose(targets.toarray().sum(1), np.ones(len(ids)), rtol=1e-6)


def test_temperature_one_over_all_classes_is_the_teachers_softmax():
    logits = np.random.default_rng(0).normal(size=(9, 5)) * 3
    scores = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    for temperature in (1.0, 4.0):
        softened = np.exp(logits / temperature) / np.exp(logits / temperature).sum(1, keepdims=True)
        shards = shards_of(scores.astype(np.float32), 5, 4)
        selection = select(
            shards, info_of(5), per_class=9, per_example=5, targets="soft", temperature=temperature, threads=1
        )
        np.testing.assert_allclose(selection.examples()[1].toarray(), softened, rtol=1e-4)


def test_scores_of_zero_and_extreme_temperatures_still_sum_to_one():
    scores = np.array([[1, 0, 0, 0, 0], [0, 0, 0, 0, 0], [0.5, 0.5, 0, 0, 0]], np.float32)
    expected = {1e-300: [[1, 0], [0.5, 0.5], [0.5, 0.5]], 1e300: [[1, 0], [0.5, 0.5], [0.5, 0.5]]}
    for temperature, rows in expected.items():
        selection = select(
            shards_of(scores, 2, 9), info_of(2), per_class=3, per_example=2, targets="soft", temperature=temperature
        )
        assert selection.examples()[1].toarray()[:, :2].tolist() == rows


def test_a_file_and_any_merge_give_the_bytes_of_one_pass(tmp_path: Path):
    scores = np.random.default_rng(3).dirichlet(np.ones(5), 24).astype(np.float32)
    shards = shards_of(scores, 3, 8)
    rule = {"per_class": 4, "per_example": 2, "targets": "soft", "temperature": 2}
    whole = select(shards, info_of(3), **rule)
    whole.write(tmp_path / "whole.parquet")
    again = Selection.read(tmp_path / "whole.parquet")
    assert again.info == whole.info
    np.testing.assert_array_equal(again.examples()[1].toarray(), whole.examples()[1].toarray())
    parts = [select([one], info_of(3), **rule) for one in shards[:2]]
    select([shards[2]], info_of(3), **rule, earlier=parts[::-1]).write(tmp_path / "merged.parquet")
    assert (tmp_path / "merged.parquet").read_bytes() == (tmp_path / "whole.parquet").read_bytes()


def test_one_hot_files_say_nothing_of_targets(tmp_path: Path):
    """They keep format 2 and their bytes; soft ones have format 3, which earlier versions refuse."""
    scores = np.random.default_rng(3).dirichlet(np.ones(5), 24).astype(np.float32)
    for targets, number in (("one_hot", 2), ("soft", 3)):
        selection = select(shards_of(scores, 3, 8), info_of(3), per_class=4, per_example=2, targets=targets)
        selection.write(file := tmp_path / f"{targets}.parquet")
        metadata = json.loads(pq.read_schema(file).metadata[b"vidsemi"])
        assert metadata["format"] == number
        assert ("targets" in metadata, "temperature" in metadata) == (targets == "soft",) * 2
        assert ("stored_label" in pq.read_schema(file).names) == (targets == "soft")


def test_training_sets_have_them(tmp_path: Path):
    scores = np.random.default_rng(5).dirichlet(np.ones(5), 12).astype(np.float32)
    write_manifest(tmp_path / "m.csv", {"path": [f"{number}.mp4" for number in range(12)]})
    manifest = Manifest.read(tmp_path / "m.csv")
    info = info_of(3, manifest.fingerprint, 12)
    selection = select(shards_of(scores, 3, 5), info, per_class=2, per_example=2, targets="soft")
    chosen = pseudo_labeled_set(manifest, CLASSES, selection)
    dense = np.stack([chosen.targets.dense(number) for number in range(len(chosen.targets))])
    np.testing.assert_allclose(dense, oracle(scores, 3, 1, chosen.examples), rtol=1e-5)
    assert dense.dtype == np.float32 and (np.count_nonzero(dense, axis=1) == 3).all()


def test_the_command_selects_and_merges_them(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    scores = np.random.default_rng(7).dirichlet(np.ones(5), 10).astype(np.float32)
    (tmp_path / "scores").mkdir()
    for number in range(2):
        rows = top_rows(scores[number * 5 :][:5], 3)
        ids = np.arange(number * 5, number * 5 + 5)
        file = tmp_path / "scores" / shard_name(number)
        write_shard(file.parent, number, ids, rows.label.reshape(5, 3), rows.score.reshape(5, 3), info_of(3))
    words = ["select", "--scores", str(tmp_path / "scores"), "--per-class", "3", "--per-example", "2"]
    soft = [*words, "--targets", "soft", "--temperature", "2", "--output"]
    assert cli.main([*soft, str(tmp_path / "all.parquet"), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["targets"], found["temperature"]) == ("soft", 2)
    selection = Selection.read(tmp_path / "all.parquet")
    ids, targets = selection.examples()
    np.testing.assert_allclose(targets.toarray(), oracle(scores, 3, 2, ids), rtol=1e-5)
    assert "soft targets at temperature 2" in repr(selection)
    for number in range(2):
        assert cli.main([*soft, str(tmp_path / f"{number}.parquet"), "--shards", str(number)]) == 0
    parts = [str(tmp_path / f"{number}.parquet") for number in range(2)]
    assert cli.main(["select", "--merge", *parts, "--output", str(tmp_path / "merged.parquet")]) == 0
    assert (tmp_path / "merged.parquet").read_bytes() == (tmp_path / "all.parquet").read_bytes()
    capsys.readouterr()
    assert cli.main(["select", "--merge", *parts, "--temperature", "3", "--output", str(tmp_path / "m.parquet")]) == 2
    assert "[select.different_rule]" in capsys.readouterr().err
    assert cli.main([*words, "--temperature", "2", "--output", str(tmp_path / "x.parquet")]) == 2
    assert "[select.unused_temperature]" in capsys.readouterr().err


def test_what_cannot_be_is_refused():
    scores = np.random.default_rng(7).dirichlet(np.ones(5), 4).astype(np.float32)
    shards, info = shards_of(scores, 2, 4), info_of(2)
    with refused("select.soft_with_tags", "balanced_with_tags"):
        select(shards, info, per_class=1, per_example=1, policy="balanced_with_tags", tags=shards, targets="soft")  # type: ignore[arg-type]
    with refused("select.unknown_targets", "hard"):
        select(shards, info, per_class=1, per_example=1, targets="hard")
    for temperature in (0, -1, float("nan"), float("inf")):
        with refused("select.invalid_temperature", "temperature"):
            select(shards, info, per_class=1, per_example=1, targets="soft", temperature=temperature)


@pytest.mark.parametrize(
    "damage",
    [
        lambda lists: [row[:1] if number == 1 else row for number, row in enumerate(lists)],
        lambda lists: [[4 - value for value in row] for row in lists],
        lambda lists: [[] if number == 0 else row for number, row in enumerate(lists)],
        lambda lists: [[99, *row[1:]] for row in lists],
    ],
)
def test_a_damaged_list_is_refused(tmp_path: Path, damage: Callable[[list[list[int]]], list[list[int]]]):
    scores = np.random.default_rng(3).dirichlet(np.ones(5), 24).astype(np.float32)
    select(shards_of(scores, 3, 8), info_of(3), per_class=4, per_example=2, targets="soft").write(
        tmp_path / "s.parquet"
    )
    table = pq.read_table(tmp_path / "s.parquet")
    column = table.schema.get_field_index("stored_label")
    lists = pa.array(damage(table.column(column).to_pylist()), table.schema.field(column).type)
    pq.write_table(table.set_column(column, "stored_label", lists), tmp_path / "s.parquet")
    with refused("selection.invalid_file", "stored_label"):
        Selection.read(tmp_path / "s.parquet")
