"""Manifests in CSV: no text is a formula, and every text is read as it was written."""

import csv
import io
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vidsemi.data.csv_texts import CsvWriter
from vidsemi.data.manifest import load_manifest
from vidsemi.data.manifest_file import write_manifest
from vidsemi.io.tables import inert_cell

NAMES = st.text(alphabet="'=+-@ \tab,\"#", min_size=1, max_size=5)


@settings(deadline=None, max_examples=60)
@given(st.lists(st.tuples(NAMES, st.none() | NAMES), min_size=1, max_size=4))
def test_texts_come_back_and_are_no_formulas(
    tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[str, str | None]]
):
    file = tmp_path_factory.mktemp("m") / "m.csv"
    paths, members = map(list, zip(*rows, strict=True))
    write_manifest(file, {"path": paths, "member": members})
    manifest = load_manifest(file)
    assert manifest.table.column("path").to_pylist() == paths
    assert manifest.table.column("member").to_pylist() == members
    for row, path in zip(csv.DictReader(io.StringIO(file.read_text())), paths, strict=True):
        assert row["path"] == inert_cell(path)  # which spreadsheets show as text


def test_manifests_of_other_programs_are_read_as_they_are(tmp_path: Path):
    (tmp_path / "m.csv").write_text("path,label\n=a.mp4,-1\n'b.mp4,'c\n")
    table = load_manifest(tmp_path / "m.csv").table
    assert table.to_pydict() == {"path": ["=a.mp4", "'b.mp4"], "label": ["-1", "'c"]}


def test_other_texts_and_numbers_stay_as_they_are(tmp_path: Path):
    table = pa.table({"path": ["a.mp4", None], "start": [-1.5, None], "label": ["a-b", "x=y"]})
    with CsvWriter(tmp_path / "o.csv", table.schema) as writer:
        writer.write_table(table)
    assert (tmp_path / "o.csv").read_text() == '"path","start","label"\n"a.mp4",-1.5,"a-b"\n,,"x=y"\n'
