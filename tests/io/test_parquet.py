"""Parquet files that notice damage: no flipped bit, and no other damage, changes what is read of them in silence."""

import json
import zlib
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.helpers.errors import refused
from tools.fuzz.command import main
from vidsemi.io import parquet
from vidsemi.io.parquet import DamagedError, parquet_writer, read_own_parquet, read_parquet, write_parquet

TABLE = pa.table({"id": np.arange(100), "name": [f"n{number % 7}" for number in range(100)], "score": np.ones(100)})
TABLE = TABLE.replace_schema_metadata({"vidsemi": json.dumps({"classes": ["a", "b"]})})


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    file = tmp_path_factory.mktemp("whole") / "t.parquet"
    write_parquet(file, TABLE)
    return file.read_bytes()


def test_every_flipped_bit_is_noticed(whole: bytes, tmp_path: Path):
    """Also those of the footer, of page headers and of the checksum itself."""
    file = tmp_path / "t.parquet"
    for place in range(len(whole)):
        content = bytearray(whole)
        content[place] ^= 1 << place % 8
        file.write_bytes(content)
        with pytest.raises((pa.ArrowException, OSError)):
            read_parquet(file)


@settings(deadline=None, max_examples=100)
@given(data=st.data())
def test_replaced_and_removed_blocks_are_noticed(
    whole: bytes, tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
):
    begin = data.draw(st.integers(0, len(whole) - 1))
    end = data.draw(st.integers(begin + 1, len(whole)))
    source = data.draw(st.integers(0, len(whole)))
    inserted = data.draw(st.sampled_from([b"", bytes(end - begin), whole[source : source + end - begin]]))
    content = whole[:begin] + inserted + whole[end:]
    file = tmp_path_factory.mktemp("t") / "t.parquet"
    file.write_bytes(content)
    try:
        read = read_parquet(file)
    except (pa.ArrowException, OSError):
        assert content != whole
        return
    assert read.equals(TABLE)  # the block was of equal bytes, or hid the checksum and its mark, and nothing else
    assert read.schema.metadata[b"vidsemi"] == TABLE.schema.metadata[b"vidsemi"]


def test_the_checksum_is_the_crc_of_the_file_with_zeros_in_its_place(whole: bytes):
    said = pq.read_metadata(pa.BufferReader(whole)).metadata[b"vidsemi.crc32"]
    assert whole.count(said) == 1
    assert int(said, 16) == zlib.crc32(whole.replace(said, b"00000000"))


def test_other_programs_read_and_check_the_file(whole: bytes, tmp_path: Path):
    file = tmp_path / "t.parquet"
    file.write_bytes(whole)
    duckdb = pytest.importorskip("duckdb")
    assert duckdb.sql(f"SELECT sum(id), count(DISTINCT name) FROM '{file}'").fetchall() == [(4950, 7)]
    assert pq.read_table(file, page_checksum_verification=True).equals(TABLE)
    data = pq.read_metadata(file).row_group(0).column(0)
    spoiled = bytearray(whole)
    spoiled[data.data_page_offset + data.total_compressed_size // 2] ^= 1
    file.write_bytes(spoiled)
    with pytest.raises(OSError, match="CRC"):
        pq.read_table(file, page_checksum_verification=True)


def test_a_file_derived_from_ours_does_not_keep_its_checksum(whole: bytes, tmp_path: Path):
    file = tmp_path / "t.parquet"
    file.write_bytes(whole)
    pq.write_table(pq.read_table(file).slice(10), file)  # keeps the metadata of the schema
    assert read_parquet(file)["id"].to_pylist() == list(range(10, 100))


def test_page_checksums_of_other_programs_are_verified(tmp_path: Path):
    file = tmp_path / "t.parquet"
    pq.write_table(TABLE, file, write_page_checksum=True, compression="none", use_dictionary=False)
    content = bytearray(file.read_bytes())
    assert read_parquet(file).equals(TABLE)
    content[content.index(np.arange(100).tobytes()) + 80] ^= 1
    file.write_bytes(content)
    with pytest.raises(OSError, match="CRC"):
        read_parquet(file)


def test_tables_can_be_written_in_pieces(tmp_path: Path):
    file = tmp_path / "t.parquet"
    with parquet_writer(file, TABLE.schema) as writer:
        writer.write_table(TABLE.slice(0, 30))
        writer.write_table(TABLE.slice(30))
    assert read_parquet(file).equals(TABLE)
    assert read_parquet(file, ["name"]).column_names == ["name"]
    file.write_bytes(file.read_bytes().replace(b"n3", b"n4", 1))
    with pytest.raises(DamagedError):
        read_parquet(file)


@pytest.mark.parametrize("limit", [100, 1 << 24])
def test_files_of_either_size_are_checked(whole: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, limit: int):
    """A small file is checked and parsed in memory, a large one as a stream of blocks."""
    monkeypatch.setattr(parquet, "WHOLE", limit)
    monkeypatch.setattr(parquet, "BLOCK", 64)
    file = tmp_path / "t.parquet"
    file.write_bytes(whole)
    assert read_parquet(file).equals(TABLE)
    for place in range(0, len(whole), 7):
        content = bytearray(whole)
        content[place] ^= 1 << place % 8
        file.write_bytes(content)
        with pytest.raises((pa.ArrowException, OSError)):
            read_parquet(file)


def test_a_damaged_file_of_ours_is_named_with_what_to_do(whole: bytes, tmp_path: Path):
    file = tmp_path / "part-000000.parquet"
    for content in (whole[:-100], whole[:4] + whole[5:], b"", b"\0" * 1000):
        file.write_bytes(content)
        with refused("parquet.damaged", file, "stage.json"):
            read_own_parquet(file)


def test_a_few_damaged_files_of_each_kind(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    """The full run is `python tools/fuzz.py parquet --count 5000`."""
    assert main(["parquet", "--count", "100", "--output", str(tmp_path), "--workers", "1", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["faults"] == 0
