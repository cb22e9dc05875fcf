"""The benchmark of tag files: its data is of every kind, its contenders agree, its table says where they do not."""

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tools.bench import tags
from tools.bench.command import main as bench
from tools.bench.tag_data import ROWS_PER_FILE, TagData, is_plain
from vidsemi.data.formats.table import read_table_format
from vidsemi.data.formats.yfcc100m import read_yfcc100m
from vidsemi.data.hashtags.normalize import canonical

pytestmark = pytest.mark.slow

VIDSEMI = ["vidsemi, CSV", "vidsemi, TSV", "vidsemi, JSON lines", "vidsemi, YFCC100M"]
PEERS = ["DuckDB, CSV", "DuckDB, JSON lines", "polars, CSV"]


def test_all_files_hold_the_same_examples(tmp_path: Path):
    data = TagData(250)
    data.write(tmp_path)
    table, tabs, lines = (
        read_table_format(tmp_path / f"tags.{suffix}", None).columns for suffix in ("csv", "tsv", "jsonl")
    )
    assert table == tabs == lines
    assert len(table["path"]) == 250
    yfcc100m = read_yfcc100m(tmp_path / "yfcc100m.txt", tmp_path / "files")
    assert (yfcc100m.broken, yfcc100m.elsewhere) == ([], 247)
    there = {name: column[::ROWS_PER_FILE] for name, column in table.items()}
    assert yfcc100m.columns == there
    assert all(Path(path).is_file() for path in there["path"]) and len(there["path"]) == data.there == 3


def test_the_tags_are_skewed_and_have_all_kinds_of_spelling():
    data = TagData(3000)
    assert len(set(map(canonical, data.tags))) == len(data.tags) == 200_000
    assert 0.9 < sum(map(is_plain, data.tags)) / len(data.tags) < 0.95
    assert all(any(part in tag for tag in data.tags[:200]) for part in ("%C3%A9", "+", "-", "_", "ß", "Ｈ", "в"))
    drawn = [tag for _, _, row in data.examples() for tag in row]
    assert len(drawn) == 15_000
    assert drawn.count(data.tags[0]) > 50
    assert list(data.examples()) == list(TagData(3000).examples())
    fields = [" ".join(row) for _, _, row in data.examples()]
    assert 0.65 < sum(map(is_plain, fields)) / len(fields) < 0.75
    clean = TagData(3000, clean=True).tags
    assert all(map(is_plain, clean)) and len(set(map(canonical, clean))) == 200_000


def test_tags_of_all_contenders_agree(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    pytest.importorskip("duckdb")
    pytest.importorskip("polars")
    options = ["--rows", "2000", "--rounds", "1", "--data", str(tmp_path)]
    assert bench(["tags", *options, "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["agree"] is True
    assert (document["rows"], document["files_there"]) == (2000, 20)
    rows = {row["name"]: row for row in document["contenders"]}
    assert list(rows) == [*VIDSEMI, *tags.LIMITS, *PEERS]
    ours = rows["vidsemi, CSV"]["seconds"]
    for name, row in rows.items():
        assert row["process_seconds"] > row["seconds"] > 0
        assert row["cpu_seconds"] > 0 and row["peak_mib"] > 10
        assert row["all_seconds"] == [row["seconds"]]
        assert row["rows_per_second"] == pytest.approx(2000 / row["seconds"])
        assert row["time_over_vidsemi"] == pytest.approx(row["seconds"] / ours)
        if name in VIDSEMI:
            assert (row["answer"], row["differ"]) == ("same", 0)
        elif name in PEERS:  # they leave URL encoding and compatibility forms as they are
            assert row["plain_differ"] == 0 < row["differ"] < 600
            assert row["answer"].startswith("same where plain; ")
        else:
            assert (row["answer"], row["differ"]) == ("", None)
    assert "| polars, CSV         |" in tags.text(document)


def test_different_tags_are_noticed(tmp_path: Path):
    """In a manifest with a wrong plain tag, and in one without a row."""
    data = TagData(20)
    data.write(tmp_path)
    found = read_table_format(tmp_path / "tags.csv", None)
    plain = next(row for row, (_, _, spelled) in enumerate(data.examples()) if is_plain("".join(spelled)))
    files = {name: tmp_path / f"{number}.parquet" for number, name in enumerate(["vidsemi, CSV", PEERS[0], PEERS[-1]])}
    for file in files.values():
        found.write(file)
    table = pq.read_table(files["DuckDB, CSV"])
    fields = table.column("hashtags").to_pylist()
    fields[plain] += " #more"
    pq.write_table(table.set_column(1, "hashtags", pa.array(fields)), files["DuckDB, CSV"])
    pq.write_table(pq.read_table(files["polars, CSV"]).slice(1), files["polars, CSV"])
    rows = [{"name": name, "answer": ""} for name in files]
    tags._compare(rows, files, data, tmp_path / "tags.csv")
    assert [row["answer"] for row in rows] == ["same", "DIFFERENT", "DIFFERENT"]
    assert [row["plain_differ"] for row in rows] == [0, 1, 0]


@pytest.mark.parametrize(
    ("options", "words"),
    [(["--rows", "0"], "--rows is 0"), (["--rounds", "0"], "--rounds"), (["--only", "x"], "no contender 'x'")],
)
def test_bad_options(tmp_path: Path, capsys: pytest.CaptureFixture[str], options: list[str], words: str):
    assert bench(["tags", "--data", str(tmp_path), *options]) == 2
    assert words in capsys.readouterr().err
