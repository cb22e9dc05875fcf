"""The file formats of score shards and selections."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.helpers.builders import shard_table, write_shard
from vidsemi.io.errors import UserError
from vidsemi.io.parquet import write_parquet
from vidsemi.selection import score_reader
from vidsemi.selection.result import Selection
from vidsemi.selection.score_format import ScoresInfo
from vidsemi.selection.score_reader import count_failures, open_shards, read_failures, shard_files
from vidsemi.selection.score_writer import top_classes, write_failures
from vidsemi.selection.select import select

PROBABILITIES = np.array([[0.5, 0.3, 0.2], [0.4, 0.4, 0.2], [0.1, 0.2, 0.7], [0.25, 0.5, 0.25]], np.float32)


def info(classes: int = 3, per_example: int = 2, **changes: object) -> ScoresInfo:
    names = [f"class {i}" for i in range(classes)]
    made = ScoresInfo("m" * 64, "w" * 64, names, per_example, views=10, frames=8, stride=1, resize=[128, 171], crop=112)
    return replace(made, **changes)  # type: ignore[arg-type]


def write_two_shards(folder: Path) -> None:
    write_failures(folder, 0, [(2, "c.mp4", "no frame decodes")])
    write_shard(folder, 0, np.array([0, 1]), PROBABILITIES[:2], info())
    write_failures(folder, 1, [])
    write_shard(folder, 1, np.array([3, 4]), PROBABILITIES[2:], info())


def select_from(folder: Path, per_class: int = 2, per_example: int = 2) -> Selection:
    shards, scores = open_shards(shard_files(folder))
    return select(shards, scores, per_class=per_class, per_example=per_example)


def test_shards_keep_the_format(tmp_path: Path):
    write_two_shards(tmp_path)
    names = ["failures", "part-000000.parquet", "part-000001.parquet"]
    assert sorted(path.name for path in tmp_path.iterdir()) == names
    table = shard_table(tmp_path / "part-000000.parquet")
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
    group = pq.read_metadata(tmp_path / "part-000000.parquet").row_group(0)
    assert [group.column(number).compression for number in range(3)] == ["LZ4"] * 3
    assert "DELTA_BINARY_PACKED" in group.column(0).encodings and "BYTE_STREAM_SPLIT" in group.column(2).encodings
    assert [group.column(number).has_dictionary_page for number in range(3)] == [False, True, False]
    assert pq.read_table(tmp_path / "failures" / "part-000000.parquet").to_pylist() == [
        {"example_id": 2, "path": "c.mp4", "error": "no frame decodes"}
    ]
    assert count_failures(tmp_path) == 1
    assert read_failures(tmp_path).tolist() == [2]


def test_shards_of_earlier_versions_give_the_same(tmp_path: Path):
    """They have dictionaries of ids and scores, and metadata in the schema."""
    write_two_shards(tmp_path)
    expected = select_from(tmp_path)
    file = tmp_path / "part-000000.parquet"
    write_parquet(file, shard_table(file))
    again = select_from(tmp_path)
    assert pq.read_metadata(file).row_group(0).column(0).has_dictionary_page
    assert (again.example_id.tolist(), again.info) == (expected.example_id.tolist(), expected.info)


def test_labels_grow_to_int32_where_int16_ends(tmp_path: Path):
    for classes, expected in ((32_767, pa.int16()), (32_768, pa.int32())):
        probabilities = np.zeros((1, classes), np.float32)
        probabilities[0, -1] = 1
        write_shard(tmp_path, 0, np.array([0]), probabilities, info(classes, per_example=1))
        table = pq.read_table(tmp_path / "part-000000.parquet")
        assert table.schema.field("label").type == expected
        assert select_from(tmp_path, per_example=1).label.tolist() == [classes - 1]


def test_selection_file_keeps_the_format(tmp_path: Path):
    write_two_shards(tmp_path)
    selection = select_from(tmp_path)
    selection.write(tmp_path / "selection.parquet")
    table = pq.read_table(tmp_path / "selection.parquet")
    assert table.column_names == ["label", "rank", "example_id", "score"]
    assert table.select(["label", "rank", "example_id"]).to_pylist() == [
        {"label": 0, "rank": 0, "example_id": 0},
        {"label": 0, "rank": 1, "example_id": 1},
        {"label": 1, "rank": 0, "example_id": 4},
        {"label": 1, "rank": 1, "example_id": 1},
        {"label": 2, "rank": 0, "example_id": 3},
    ]
    again = Selection.read(tmp_path / "selection.parquet")
    assert again.info == selection.info
    assert again.info.short_classes == ["class 2"]
    assert again.info.chosen_per_class == [2, 2, 1]
    assert again.info.taken_by == [3, 1]  # example 1 by two classes, 0, 3 and 4 by one
    assert again.info.last_score_per_class == pytest.approx([0.4, 0.4, 0.7])


@pytest.mark.parametrize(
    ("name", "values", "words"),
    [
        ("label", [0, 0, 1, 1, 3], "labels must lie in [0, 3)"),
        ("label", [0, 0, 1, 1, -1], "labels must lie in [0, 3)"),
        ("label", [0, 0, 1, 2, 2], "not those that its metadata counts"),
        ("example_id", [-1, 1, 4, 1, 3], "example ids must lie"),
        ("score", [0.5, 0.4, 0.5, -0.4, 0.7], "scores must lie in [0, 1]"),
        ("rank", [0.0, 1.0, 0.0, 1.0, 0.0], "the column 'rank' must be int64"),
        ("example_id", [None, 1, 4, 1, 3], "without nulls"),
    ],
)
def test_selections_with_impossible_rows_are_refused(tmp_path: Path, name: str, values: list, words: str):
    write_two_shards(tmp_path)
    file = tmp_path / "s.parquet"
    select_from(tmp_path).write(file)
    table = pq.read_table(file)
    kind = pa.float64() if isinstance(values[0], float) and name == "rank" else table.schema.field(name).type
    changed = table.set_column(table.column_names.index(name), name, pa.array(values, kind))
    pq.write_table(changed, file)
    with pytest.raises(UserError, match=r"s\.parquet") as error:
        Selection.read(file)
    assert error.value.code == "selection.invalid_file"
    assert words in str(error.value)


def test_selections_of_another_format_are_refused(tmp_path: Path):
    write_two_shards(tmp_path)
    select_from(tmp_path).write(tmp_path / "s.parquet")
    table = pq.read_table(tmp_path / "s.parquet")
    old = table.replace_schema_metadata({"vidsemi": json.dumps({"format": 1, "policy": "balanced_ranked"})})
    pq.write_table(old, tmp_path / "s.parquet")
    with pytest.raises(UserError, match=r"s.parquet .* 1;") as error:
        Selection.read(tmp_path / "s.parquet")
    assert error.value.code == "selection.wrong_format"


def test_batches_that_cut_examples_change_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    rng = np.random.default_rng(0)
    write_shard(tmp_path, 0, np.arange(200), rng.random((200, 5)).astype(np.float32), info(5, per_example=3))
    whole = select_from(tmp_path, 9)
    for rows in (1, 2, 7, 64):
        monkeypatch.setattr(score_reader, "BATCH_ROWS", rows)
        again = select_from(tmp_path, 9)
        assert again.example_id.tolist() == whole.example_id.tolist()
        assert again.info == whole.info


def test_overlapping_shards_are_fine_as_long_as_no_example_is_in_two(tmp_path: Path):
    rng = np.random.default_rng(0)
    probabilities = rng.integers(0, 9, (60, 3)).astype(np.float32) / 9
    ids = np.arange(60) * 1_000_000  # further apart than a window of the comparison
    write_shard(tmp_path / "plain", 0, ids, probabilities, info())
    for number in range(3):
        write_shard(tmp_path / "woven", number, ids[number::3], probabilities[number::3], info())
    plain, woven = select_from(tmp_path / "plain", 7), select_from(tmp_path / "woven", 7)
    assert plain.example_id.tolist() == woven.example_id.tolist()

    write_shard(tmp_path / "woven", 3, ids[57:58], probabilities[57:58], info())
    with pytest.raises(UserError, match=r"57000000 .*part-000000.* and .*part-000003") as error:
        select_from(tmp_path / "woven")
    assert error.value.code == "scores.example_twice"


def test_shards_of_other_programs_need_the_core_only(tmp_path: Path):
    core = {"format": 1, "manifest": "m", "weights": "w", "classes": ["a", "b"], "per_example": 1, "views": 1}
    table = pa.table(
        {"example_id": [0, 1], "label": pa.array([1, 0], pa.int16()), "score": pa.array([0.9, 0.8], pa.float32())}
    )
    pq.write_table(table.replace_schema_metadata({"vidsemi": json.dumps(core)}), tmp_path / "part-000000.parquet")
    assert select_from(tmp_path, per_example=1).example_id.tolist() == [1, 0]


def write_as_others_do(file: Path, table: pa.Table) -> None:
    """Without Arrow's own copy of the schema, as DuckDB and Spark write."""
    with pq.ParquetWriter(file, table.schema.remove_metadata(), store_schema=False) as writer:
        writer.write_table(table.replace_schema_metadata(None))
        writer.add_key_value_metadata({"vidsemi": table.schema.metadata[b"vidsemi"].decode()})


def test_shards_without_arrows_own_schema(tmp_path: Path):
    write_two_shards(tmp_path)
    expected = select_from(tmp_path).example_id.tolist()
    for file in tmp_path.glob("part-*.parquet"):
        write_as_others_do(file, shard_table(file))
    assert select_from(tmp_path).example_id.tolist() == expected
    table = shard_table(tmp_path / "part-000001.parquet")
    wide = table.set_column(1, "label", table.column("label").cast(pa.int32()))
    write_as_others_do(tmp_path / "part-000001.parquet", wide)
    with pytest.raises(UserError, match=r"part-000001.parquet .*'label' must be int16") as error:
        select_from(tmp_path)
    assert error.value.code == "scores.invalid_shard"


def test_missing_shards_are_noticed(tmp_path: Path):
    for number in (0, 2):
        write_shard(tmp_path, number, np.array([number]), PROBABILITIES[:1], info())
    made = select_from(tmp_path).info
    assert made.missing_shards == [[1, 1]]
    assert replace(made, scores=info(examples=450, shard_size=100)).missing_shards == [[1, 1], [3, 4]]
    assert replace(made, shard_ranges=[[0, 4]], scores=info(examples=450, shard_size=100)).missing_shards == []
    assert replace(made, shard_ranges=[]).missing_shards == []


@pytest.mark.parametrize(
    "change",
    [
        {"parts": [[0, 2.5]]},
        {"parts": [[5, 0]]},
        {"parts": [[0, 10**12]]},
        {"candidates_per_class": "abc"},
        {"candidates_per_class": [1, 2]},
        {"rows_read": "7"},
        {"per_class": None},
        {"min_score": None},
        {"seed": "1"},
        {"scores": {"classes": []}},
        {"policy": 3},
    ],
    ids=str,
)
def test_selections_with_impossible_metadata_are_refused(tmp_path: Path, change: dict):
    write_two_shards(tmp_path)
    file = tmp_path / "s.parquet"
    select_from(tmp_path).write(file)
    table = pq.read_table(file)
    metadata = {**json.loads(table.schema.metadata[b"vidsemi"]), **change}
    pq.write_table(table.replace_schema_metadata({"vidsemi": json.dumps(metadata)}), file)
    with pytest.raises(UserError, match=r"s\.parquet") as error:
        Selection.read(file)
    assert error.value.code == "selection.invalid_file"


def test_no_shards_is_an_error(tmp_path: Path):
    with pytest.raises(UserError, match=str(tmp_path)) as error:
        shard_files(tmp_path)
    assert error.value.code == "scores.missing"


def test_top_classes():
    labels, scores = top_classes(np.array([[0.2, 0.4, 0.4]], np.float32), 2)
    assert labels.tolist() == [[1, 2]]
    assert scores.tolist() == [[np.float32(0.4)] * 2]
