"""The selection against a brute-force reading of its rules, and the contracts of its files."""

import json
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vidsemi.errors import UserError
from vidsemi.selection.ranking import balanced_ranked, rank_within
from vidsemi.selection.result import read_selection, select, write_selection
from vidsemi.selection.scores import (
    Scores,
    ScoresInfo,
    count_failures,
    read_scores,
    top_classes,
    write_failures,
    write_part,
)

Triple = tuple[int, int, float]  # example id, label, score


def oracle(rows: list[Triple], per_class: int, per_example: int) -> list[tuple[int, int, int, float]]:
    """The rules word by word: (label, rank, example id, score)."""
    kept = []
    for example in {row[0] for row in rows}:
        own = sorted((row for row in rows if row[0] == example), key=lambda row: (-row[2], row[1]))
        kept += own[:per_example]
    chosen = []
    for label in sorted({row[1] for row in rows}):
        candidates = sorted((row for row in kept if row[1] == label), key=lambda row: (-row[2], row[0]))
        chosen += [(label, rank, row[0], row[2]) for rank, row in enumerate(candidates[:per_class])]
    return chosen


@st.composite
def score_tables(draw: st.DrawFn) -> tuple[list[Triple], int]:
    """Rows in any order, few distinct scores so that ties abound, some classes empty."""
    classes = draw(st.integers(1, 5))
    examples = draw(st.lists(st.integers(0, 40), min_size=1, max_size=12, unique=True))
    score = st.sampled_from([0.0, 0.125, 0.25, 0.5, 0.75])
    rows = [
        (example, label, draw(score))
        for example in examples
        for label in draw(st.lists(st.integers(0, classes - 1), min_size=1, max_size=classes, unique=True))
    ]
    return draw(st.permutations(rows)), classes


@settings(max_examples=500, deadline=None)
@given(score_tables(), st.integers(1, 6), st.integers(1, 5))
def test_selection_is_the_rules_word_by_word(table: tuple[list[Triple], int], per_class: int, per_example: int):
    rows, _ = table
    example_id, label, score = (np.array(column) for column in zip(*rows, strict=True))
    score = score.astype(np.float32)
    index, rank = balanced_ranked(example_id, label, score, per_class=per_class, per_example=per_example)
    result = list(zip(label[index], rank, example_id[index], score[index], strict=True))
    assert result == oracle(rows, per_class, per_example)


def info(classes: int = 3, per_example: int = 2, **changes: object) -> ScoresInfo:
    names = [f"class {i}" for i in range(classes)]
    made = ScoresInfo("m" * 64, "w" * 64, names, per_example, views=10, frames=8, stride=1, resize=[128, 171], crop=112)
    return replace(made, **changes)  # type: ignore[arg-type]


PROBABILITIES = np.array([[0.5, 0.3, 0.2], [0.4, 0.4, 0.2], [0.1, 0.2, 0.7], [0.25, 0.5, 0.25]], np.float32)


def write_two_parts(folder: Path) -> None:
    write_failures(folder, 0, [(2, "c.mp4", "no frame decodes")])
    write_part(folder, 0, np.array([0, 1]), PROBABILITIES[:2], info())
    write_failures(folder, 1, [])
    write_part(folder, 1, np.array([3, 4]), PROBABILITIES[2:], info())


def test_parts_keep_the_contract(tmp_path: Path):
    write_two_parts(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "failures",
        "part-000000.parquet",
        "part-000001.parquet",
    ]
    table = pq.read_table(tmp_path / "part-000000.parquet")
    assert [(field.name, field.type) for field in table.schema] == [
        ("example_id", pa.int64()),
        ("label", pa.int16()),
        ("score", pa.float32()),
    ]
    assert table.to_pydict()["example_id"] == [0, 0, 1, 1]
    assert table.to_pydict()["label"] == [0, 1, 0, 1]  # 0.4 twice: the smaller class first
    metadata = json.loads(table.schema.metadata[b"vidsemi"])
    assert metadata["format"] == 1
    assert metadata["classes"] == ["class 0", "class 1", "class 2"]
    assert {"manifest", "weights", "per_example", "views", "frames", "stride", "resize", "crop"} <= metadata.keys()
    assert pq.read_metadata(tmp_path / "part-000000.parquet").row_group(0).column(0).compression == "ZSTD"
    assert pq.read_table(tmp_path / "failures" / "part-000000.parquet").to_pylist() == [
        {"example_id": 2, "path": "c.mp4", "error": "no frame decodes"}
    ]
    assert count_failures(tmp_path) == 1


def test_labels_grow_to_int32_where_int16_ends(tmp_path: Path):
    for classes, expected in ((32_767, pa.int16()), (32_768, pa.int32())):
        probabilities = np.zeros((1, classes), np.float32)
        probabilities[0, -1] = 1
        write_part(tmp_path, 0, np.array([0]), probabilities, info(classes, per_example=1))
        table = pq.read_table(tmp_path / "part-000000.parquet")
        assert table.schema.field("label").type == expected
        assert table.column("label").to_pylist() == [classes - 1]


def test_selection_file_keeps_the_contract(tmp_path: Path):
    write_two_parts(tmp_path)
    selection = select(read_scores(tmp_path), per_class=2, per_example=2)
    write_selection(tmp_path / "selection.parquet", selection)
    table = pq.read_table(tmp_path / "selection.parquet")
    assert table.column_names == ["label", "rank", "example_id", "score"]
    assert table.select(["label", "rank", "example_id"]).to_pylist() == [
        {"label": 0, "rank": 0, "example_id": 0},
        {"label": 0, "rank": 1, "example_id": 1},
        {"label": 1, "rank": 0, "example_id": 4},
        {"label": 1, "rank": 1, "example_id": 1},
        {"label": 2, "rank": 0, "example_id": 3},
    ]
    again = read_selection(tmp_path / "selection.parquet")
    assert again.info == selection.info
    assert again.info.short_classes == ["class 2"]
    assert again.info.per_class_counts == [2, 2, 1]
    assert again.info.taken_by == [3, 1]  # example 1 by two classes, 0, 3 and 4 by one
    assert again.info.threshold == pytest.approx([0.4, 0.4, 0.7])


def test_each_example_once_with_all_classes_that_took_it():
    scores = Scores(
        np.array([7, 7, 5, 5, 9]), np.array([2, 0, 0, 1, 2]), np.array([0.6, 0.3, 0.8, 0.1, 0.9], np.float32), info()
    )
    selection = select(scores, per_class=5, per_example=2)
    examples, offsets, labels = selection.examples()
    assert examples.tolist() == [5, 7, 9]
    assert [labels[a:b].tolist() for a, b in pairwise(offsets)] == [[0, 1], [0, 2], [2]]


def test_the_order_of_parts_does_not_matter(tmp_path: Path):
    rng = np.random.default_rng(0)
    probabilities = rng.integers(0, 4, (60, 3)).astype(np.float32) / 4  # many ties
    made = []
    for name, order in (("a", [0, 1, 2]), ("b", [2, 0, 1])):
        for number, third in enumerate(order):
            rows = np.arange(20) + 20 * third
            write_part(tmp_path / name, number, rows, probabilities[rows], info())
        selection = select(read_scores(tmp_path / name), per_class=7, per_example=2)
        write_selection(tmp_path / f"{name}.parquet", selection)
        made.append((tmp_path / f"{name}.parquet").read_bytes())
    assert made[0] == made[1]


def nan(folder: Path) -> None:
    write_part(folder, 1, np.array([9]), np.array([[0.1, np.nan, 0.3]], np.float32), info(per_example=3))


def negative(folder: Path) -> None:
    write_part(folder, 1, np.array([9]), np.array([[0.1, -0.2, 0.3]], np.float32), info(per_example=3))


def truncated(folder: Path) -> None:
    content = (folder / "part-000000.parquet").read_bytes()
    (folder / "part-000001.parquet").write_bytes(content[: len(content) // 2])


def foreign(folder: Path) -> None:
    pq.write_table(pa.table({"a": [1]}), folder / "part-000001.parquet")


def other_weights(folder: Path) -> None:
    write_part(folder, 1, np.array([9]), PROBABILITIES[:1], info(weights="x" * 64))


def other_format(folder: Path) -> None:
    write_part(folder, 1, np.array([9]), PROBABILITIES[:1], info(format=2))


def label_too_high(folder: Path) -> None:
    table = pq.read_table(folder / "part-000000.parquet")
    labels = pa.array([3] * table.num_rows, pa.int16())
    pq.write_table(table.set_column(1, "label", labels), folder / "part-000001.parquet")


def text_scores(folder: Path) -> None:
    table = pq.read_table(folder / "part-000000.parquet")
    texts = pa.array(["high"] * table.num_rows)
    pq.write_table(table.set_column(2, "score", texts), folder / "part-000001.parquet")


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (nan, "example 9 is nan"),
        (negative, "example 9 is -0.2"),
        (truncated, "not a part"),
        (foreign, "not a part"),
        (other_weights, "'weights' differ"),
        (other_format, "format 2"),
        (label_too_high, "labels must lie in [0, 3)"),
        (text_scores, "the column 'score' must be float"),
    ],
)
def test_bad_parts_are_refused_by_name(tmp_path: Path, spoil: Callable[[Path], None], words: str):
    write_part(tmp_path, 0, np.array([0, 1]), PROBABILITIES[:2], info())
    spoil(tmp_path)
    with pytest.raises(UserError, match="part-000001") as caught:
        read_scores(tmp_path)
    assert words in str(caught.value)


def test_parts_of_other_programs_need_the_core_only(tmp_path: Path):
    core = {"format": 1, "manifest": "m", "weights": "w", "classes": ["a", "b"], "per_example": 1, "views": 1}
    table = pa.table(
        {"example_id": [0, 1], "label": pa.array([1, 0], pa.int16()), "score": pa.array([0.9, 0.8], pa.float32())}
    )
    pq.write_table(table.replace_schema_metadata({"vidsemi": json.dumps(core)}), tmp_path / "part-000000.parquet")
    selection = select(read_scores(tmp_path), per_class=1, per_example=1)
    assert selection.example_id.tolist() == [1, 0]


@pytest.mark.parametrize(("per_class", "per_example", "words"), [(0, 1, "K"), (1, 0, "P"), (1, 3, "hold 2 classes")])
def test_bad_k_and_p_are_refused(tmp_path: Path, per_class: int, per_example: int, words: str):
    write_two_parts(tmp_path)
    with pytest.raises(UserError, match=words):
        select(read_scores(tmp_path), per_class=per_class, per_example=per_example)


def test_an_example_in_two_parts_is_refused(tmp_path: Path):
    write_part(tmp_path, 0, np.array([0, 1]), PROBABILITIES[:2], info())
    write_part(tmp_path, 1, np.array([1, 2]), PROBABILITIES[:2], info())
    with pytest.raises(UserError, match="example 1 is in two parts"):
        read_scores(tmp_path)


def test_p_beyond_the_classes_keeps_them_all(tmp_path: Path):
    write_part(tmp_path, 0, np.array([0, 1]), PROBABILITIES[:2], info(per_example=3))
    assert select(read_scores(tmp_path), per_class=2, per_example=9).info.per_class_counts == [2, 2, 2]


def test_no_parts_is_an_error(tmp_path: Path):
    with pytest.raises(UserError, match="no scores"):
        read_scores(tmp_path)


def test_ranks_within_groups_and_top_classes():
    assert rank_within(np.array([4, 4, 7, 7, 7])).tolist() == [0, 1, 0, 1, 2]
    assert rank_within(np.array([], int)).tolist() == []
    labels, scores = top_classes(np.array([[0.2, 0.4, 0.4]], np.float32), 2)
    assert labels.tolist() == [[1, 2]]
    assert scores.tolist() == [[np.float32(0.4)] * 2]
