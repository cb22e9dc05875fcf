"""Invalid score shards are refused by name, in one line."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.helpers.builders import shard_table, write_shard
from tests.selection.test_score_files import PROBABILITIES, info, select_from
from vidsemi.io.errors import UserError
from vidsemi.selection import score_reader
from vidsemi.selection.score_format import MAX_ID
from vidsemi.selection.score_reader import read_failures

Spoil = Callable[[Path], object]


def rows(**columns: list) -> Spoil:
    """part-000001 with the metadata of part-000000 and these columns."""

    def write(folder: Path) -> None:
        schema = shard_table(folder / "part-000000.parquet").schema
        table = pa.table({name: pa.array(values, schema.field(name).type) for name, values in columns.items()})
        pq.write_table(table.replace_schema_metadata(schema.metadata), folder / "part-000001.parquet")

    return write


def row(example_id: int, label: int, score: float | None) -> Spoil:
    return rows(example_id=[example_id], label=[label], score=[score])


def two_rows(example_ids: list[int], labels: list[int], scores: list[float]) -> Spoil:
    return rows(example_id=example_ids, label=labels, score=scores)


def other_info(**changes: object) -> Spoil:
    return lambda folder: write_shard(folder, 1, np.array([9]), PROBABILITIES[:1], info(**changes))


def copy(name: str, change: Callable[[bytes], bytes] = bytes) -> Spoil:
    return lambda folder: (folder / name).write_bytes(change((folder / "part-000000.parquet").read_bytes()))


def foreign(folder: Path) -> None:
    pq.write_table(pa.table({"a": [1]}), folder / "part-000001.parquet")


def text_scores(folder: Path) -> None:
    table = shard_table(folder / "part-000000.parquet")
    texts = pa.array(["high"] * table.num_rows)
    pq.write_table(table.set_column(2, "score", texts), folder / "part-000001.parquet")


SHARD = "part-000001.parquet"
too_many_rows = rows(example_id=[9, 9, 9], label=[0, 1, 2], score=[0.5, 0.4, 0.3])
example_twice = rows(example_id=[9, 9, 9, 9], label=[1, 2, 1, 2], score=[0.5, 0.3, 0.5, 0.3])
INVALID: dict[str, tuple[Spoil, str, list[str]]] = {
    "nan": (two_rows([9, 9], [1, 2], [0.1, float("nan")]), "invalid_row", ["9", "nan"]),
    "negative": (two_rows([9, 9], [1, 2], [0.1, -0.2]), "invalid_row", ["9", "-0.2"]),
    "minus_zero": (two_rows([9, 9], [1, 2], [0.1, -0.0]), "invalid_row", ["9", "-0.0"]),
    "above_one": (row(9, 1, 1.5), "invalid_row", ["9", "1.5"]),
    "truncated": (copy(SHARD, lambda content: content[: len(content) // 2]), "invalid_shard", []),
    "damaged_data": (copy(SHARD, lambda content: content[:4] + bytes(56) + content[60:]), "invalid_shard", []),
    "empty_file": (copy(SHARD, lambda content: b""), "invalid_shard", []),
    "foreign": (foreign, "invalid_shard", []),
    "other_weights": (other_info(weights="x" * 64), "mismatch", ["'weights'"]),
    "other_classes": (other_info(classes=4), "mismatch", ["'classes'"]),
    "other_per_example": (other_info(per_example=3), "mismatch", ["'per_example'"]),
    "other_format": (other_info(format=2), "wrong_format", ["2"]),
    "label_too_high": (row(9, 3, 0.5), "invalid_row", ["9", "3", "[0, 3)"]),
    "label_negative": (row(9, -1, 0.5), "invalid_row", ["9", "-1", "[0, 3)"]),
    "text_scores": (text_scores, "invalid_shard", ["'score'", "float"]),
    "null_scores": (row(9, 1, None), "invalid_shard", ["'score'", "nulls"]),
    "missing_column": (rows(example_id=[9], label=[1]), "invalid_shard", []),
    "shard_twice": (copy(SHARD), "example_twice", ["example 0", "part-000000"]),
    "unsorted_ids": (two_rows([9, 8], [1, 1], [0.5, 0.5]), "invalid_row", ["example 8", "9"]),
    "example_twice": (example_twice, "invalid_row", ["example 9"]),
    "label_twice": (two_rows([9, 9], [1, 1], [0.5, 0.5]), "invalid_row", ["example 9", "twice"]),
    "label_twice_two_scores": (two_rows([9, 9], [1, 1], [0.5, 0.4]), "invalid_row", ["example 9", "twice"]),
    "too_many_rows": (too_many_rows, "invalid_row", ["example 9", "2 rows"]),
    "unsorted_scores": (two_rows([9, 9], [0, 1], [0.4, 0.5]), "invalid_row", ["example 9", "sorted by score"]),
    "negative_id": (two_rows([-1, 9], [0, 0], [0.4, 0.5]), "invalid_row", ["-1", str(MAX_ID)]),
    "huge_id": (two_rows([9, 2**33], [0, 0], [0.4, 0.5]), "invalid_row", ["8589934592", str(MAX_ID)]),
    "no_number": (copy("part-000001-copy.parquet"), "invalid_file_name", ["part-NNNNNN.parquet"]),
}


@pytest.mark.parametrize(("spoil", "code", "mentions"), INVALID.values(), ids=INVALID.keys())
def test_bad_shards_are_refused_by_name(tmp_path: Path, spoil: Spoil, code: str, mentions: list[str]):
    write_shard(tmp_path, 0, np.array([0, 1]), PROBABILITIES[:2], info())
    spoil(tmp_path)
    with pytest.raises(UserError, match="part-000001") as error:
        select_from(tmp_path)
    assert error.value.code == f"scores.{code}"
    for text in mentions:
        assert text in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    "change",
    [
        {"classes": []},
        {"classes": ["a", "a", "b"]},
        {"classes": ["a", None, "b"]},
        {"classes": "abc"},
        {"classes": ["a", "b", "\ud800"]},
        {"per_example": 0},
        {"per_example": "2"},
        {"per_example": 1.5},
        {"examples": "60"},
        {"examples": -5},
        {"examples": 10**30},
        {"shard_size": 0},
        {"manifest": 7},
        {"views": None},
    ],
    ids=ascii,
)
def test_impossible_metadata_is_refused(tmp_path: Path, change: dict):
    write_shard(tmp_path, 0, np.array([0, 1]), PROBABILITIES[:2], info())
    table = shard_table(tmp_path / "part-000000.parquet")
    metadata = {**json.loads(table.schema.metadata[b"vidsemi"]), **change}
    changed = table.replace_schema_metadata({"vidsemi": json.dumps(metadata)})
    pq.write_table(changed, tmp_path / "part-000000.parquet")
    with pytest.raises(UserError, match=r"part-000000\.parquet") as error:
        select_from(tmp_path)
    assert error.value.code == "scores.invalid_shard"


@pytest.mark.parametrize("batch", [1, 2, 100])
def test_shards_that_share_one_example_at_their_edges(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, batch: int):
    monkeypatch.setattr(score_reader, "BATCH_ROWS", batch)
    write_shard(tmp_path, 0, np.array([0, 1]), PROBABILITIES[:2], info())
    write_shard(tmp_path, 1, np.array([1, 2]), PROBABILITIES[2:], info())
    with pytest.raises(UserError, match=r"example 1 .*part-000000.* and .*part-000001") as error:
        select_from(tmp_path)
    assert error.value.code == "scores.example_twice"
    write_shard(tmp_path, 1, np.array([0, 7]), PROBABILITIES[2:], info())
    with pytest.raises(UserError, match="example 0 "):
        select_from(tmp_path)


def test_too_many_rows_are_named_across_batches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    write_shard(tmp_path, 0, np.array([0, 1]), PROBABILITIES[:2], info())
    too_many_rows(tmp_path)
    monkeypatch.setattr(score_reader, "BATCH_ROWS", 2)
    with pytest.raises(UserError, match="example 9 has more than the 2 rows"):
        select_from(tmp_path)


@pytest.mark.parametrize("content", [b"PAR1", None])
def test_bad_failures_are_refused(tmp_path: Path, content: bytes | None):
    (tmp_path / "failures").mkdir()
    file = tmp_path / "failures" / "part-000000.parquet"
    if content is None:
        pq.write_table(pa.table({"example_id": ["7"]}), file)
    else:
        file.write_bytes(content)
    with pytest.raises(UserError, match=r"failures/part-000000\.parquet") as error:
        read_failures(tmp_path)
    assert error.value.code == "scores.invalid_failures"
