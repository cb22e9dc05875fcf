"""Tables and tars that would take far more memory than disk are refused."""

import bz2
import gzip
import io
import tarfile
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.data.formats.test_csv_blocks import rows_of
from tests.helpers.errors import refused
from vidsemi.data.formats import text_rows
from vidsemi.data.formats.table import read_table_format
from vidsemi.data.formats.tar import index_tar
from vidsemi.data.formats.text_rows import MAX_LINE, json_rows, read_text_lines, stream_lines, tab_rows
from vidsemi.data.manifest import Row, load_manifest
from vidsemi.io import parquet_bounds
from vidsemi.io.parquet import read_parquet

ZEROS = bytes(40 << 20)
PACKERS = {"": bytes, ".gz": gzip.compress, ".bz2": bz2.compress}


@pytest.mark.parametrize("suffix", PACKERS)
@pytest.mark.parametrize("kind", [".jsonl", ".csv", ".tsv"])
def test_an_endless_line_is_refused_before_it_is_in_memory(tmp_path: Path, kind: str, suffix: str):
    file = tmp_path / f"t{kind}{suffix}"
    file.write_bytes(PACKERS[suffix](b"path\na.mp4\n" + ZEROS))
    tracemalloc.start()
    with refused("file.line_too_long", file.name, "line 3"):
        read_table_format(file, None)
    assert tracemalloc.get_traced_memory()[1] < 30 << 20
    tracemalloc.stop()


def test_the_longest_line_is_read(tmp_path: Path):
    line = "a" * (MAX_LINE - 1) + "\n"
    (tmp_path / "t").write_text(line * 2 + "b")
    assert list(stream_lines(tmp_path / "t", "\n")) == [line, line, "b"]
    (tmp_path / "t").write_text(line + "a" + line)
    with refused("file.line_too_long", "line 2"):
        list(stream_lines(tmp_path / "t", "\n"))


@pytest.mark.parametrize("suffix", [".gz", ".bz2"])
def test_a_file_that_unpacks_to_far_more_than_its_size_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, suffix: str
):
    (tmp_path / f"t{suffix}").write_bytes(PACKERS[suffix](b"a\n" * 700_000))
    assert sum(1 for _ in stream_lines(tmp_path / f"t{suffix}", "\n")) == 700_000  # small enough
    monkeypatch.setattr(text_rows, "UNPACKED", 500_000)
    monkeypatch.setattr(text_rows, "MAX_RATIO", 500)
    with refused("file.unpacks_too_large", f"t{suffix}", "500"):
        list(stream_lines(tmp_path / f"t{suffix}", "\n"))
    text = "".join(f"{number},#tag{number % 997}\n" for number in range(50_000))
    (tmp_path / f"t{suffix}").write_bytes(PACKERS[suffix](text.encode()))
    assert sum(1 for _ in tab_rows(tmp_path / f"t{suffix}")) == 50_000


def test_a_row_whose_quotes_span_many_lines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """A row of any number of short fields, each with a line break, is broken; the rows after it are read."""
    monkeypatch.setattr(text_rows, "MAX_LINE", 2000)
    endless = '"x\n",' * 1000
    (tmp_path / "t.csv").write_text(f'path,label\n"a\nb",1\n{endless}\nc,3\n')
    broken: text_rows.Broken = []
    assert rows_of(tmp_path / "t.csv", broken) == [(1, ["path", "label"]), (2, ["a\nb", "1"]), (1005, ["c", "3"])]
    assert broken[0][0] == 4 and "2000" in broken[0][1]


def test_a_list_that_is_too_large(tmp_path: Path):
    with open(tmp_path / "t.txt", "wb") as file:
        file.truncate(2**40)  # sparse
    with refused("file.too_large", "t.txt", str(2**40)):
        read_text_lines(tmp_path / "t.txt")


def test_deep_json_is_a_broken_line(tmp_path: Path):
    (tmp_path / "t.jsonl").write_text('{"path":' * 100_000 + '\n{"path": "a"}\n')
    broken: text_rows.Broken = []
    assert [row for _, row in json_rows(tmp_path / "t.jsonl", broken)] == [{"path": "a"}]
    assert len(broken) == 1


def repeated(text: str, rows: int) -> pa.Array:
    return pa.DictionaryArray.from_arrays(pa.array([None] + [0] * (rows - 1), pa.int32()), pa.array([text]))


COLUMNS: dict[str, Callable[[pa.Array], pa.Array]] = {
    "text": lambda texts: texts,
    "list": lambda texts: pa.ListArray.from_arrays(pa.array(range(len(texts) + 1), pa.int32()), texts),
    "struct": lambda texts: pa.StructArray.from_arrays([texts], ["a"]),
    "deep": lambda texts: COLUMNS["list"](COLUMNS["struct"](COLUMNS["list"](texts))),
}


@pytest.mark.parametrize("shape", COLUMNS)
def test_a_parquet_dictionary_that_expands_to_far_more_than_the_file_is_refused(tmp_path: Path, shape: str):
    """50 kB for 100 GB: 100,000 times a text of a megabyte."""
    file = tmp_path / "t.parquet"
    table = pa.table({"path": ["a.mp4"] * 100_000, "x": COLUMNS[shape](repeated("a" * (1 << 20), 100_000))})
    pq.write_table(table, file)
    assert file.stat().st_size < 200_000
    with refused("manifest.unreadable", "t.parquet", "1000 times"):
        load_manifest(file)
    with refused("manifest.unreadable", "t.parquet", "1000 times"):
        read_table_format(file, None)


def test_a_parquet_file_of_one_row_repeated_without_end_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(parquet_bounds, "SMALL", 1 << 20)
    rows = 3_000_000
    table = pa.table({"path": repeated("a.mp4", rows)})
    pq.write_table(table, tmp_path / "t.parquet", row_group_size=rows)
    assert (tmp_path / "t.parquet").stat().st_size < 20_000
    with pytest.raises(pa.ArrowInvalid, match="1000 times"):
        read_parquet(tmp_path / "t.parquet")


def test_honest_parquet_files_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Also with one long text among many short ones, and with columns of nulls."""
    monkeypatch.setattr(parquet_bounds, "SMALL", 1000)
    table = pa.table(
        {
            "path": [f"videos/{number}.mp4" for number in range(20_000)],
            "hashtags": [["#a" * 5000], *[["#b"], []] * 9999, None],
            "label": pa.array([None] * 20_000, pa.string()),
            "fps": [25] * 20_000,
        }
    )
    pq.write_table(table, tmp_path / "t.parquet")
    assert read_parquet(tmp_path / "t.parquet").equals(table)


@pytest.mark.parametrize("kind", [tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK, tarfile.XHDTYPE, tarfile.XGLTYPE])
def test_a_tar_header_that_claims_gigabytes(tmp_path: Path, kind: bytes):
    good, bad = tarfile.TarInfo("a.mp4"), tarfile.TarInfo("b")
    good.size, bad.type, bad.size = 3, kind, 2 << 30
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w") as tar:
        tar.addfile(good, io.BytesIO(b"abc"))
    with open(tmp_path / "t.tar", "wb") as file:
        file.write(content.getvalue()[:1024] + bad.tobuf(tarfile.GNU_FORMAT))
        file.truncate(1536 + (2 << 30) + 10240)  # sparse
    tracemalloc.start()
    index = index_tar(Row(0, str(tmp_path / "t.tar")))
    assert tracemalloc.get_traced_memory()[1] < 30 << 20
    tracemalloc.stop()
    assert index.columns["member"] == ["a.mp4"]
    assert index.error is not None and str(2 << 30) in index.error


def test_a_table_with_too_many_broken_lines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(text_rows, "MAX_BROKEN", 100)
    (tmp_path / "t.jsonl").write_text('{"path": "a.mp4"}\n' + "x\n" * 100)
    assert len(read_table_format(tmp_path / "t.jsonl", None).broken) == 100
    (tmp_path / "t.jsonl").write_text('{"path": "a.mp4"}\n' + "x\n" * 101)
    with refused("table.too_many_broken", "100", "line 2"):
        read_table_format(tmp_path / "t.jsonl", None)
