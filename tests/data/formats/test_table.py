"""Tables of tags that others wrote: every format says the same."""

import bz2
import csv
import gzip
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import quote_plus

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.helpers.errors import refused
from vidsemi.cli import main as cli
from vidsemi.data.formats.scan import ScanResult
from vidsemi.data.formats.table import read_table_format
from vidsemi.data.hashtags.normalize import join_tags, split_tags
from vidsemi.data.hashtags.vocabulary import build_vocabulary, write_vocabulary
from vidsemi.data.manifest import load_manifest
from vidsemi.data.manifest_file import write_manifest

Run = Callable[..., dict[str, Any]]


@pytest.fixture
def videos(tmp_path: Path) -> Path:
    """Empty files: 100.mp4, 200.webm, and 300 as a video and its thumbnail."""
    for name in ("v/a/100.mp4", "v/b/200.webm", "v/300.jpg", "v/300.avi", "v/301.jpg", "secret.mp4"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    return tmp_path / "v"


@pytest.fixture
def run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Run:
    """Run `vidsemi manifest` on a file; its document and the manifest's columns."""

    def run(format: str, file: Path, *words: object, output: str = "m.csv") -> dict[str, Any]:
        arguments = ["manifest", format, file, *words, "--output", tmp_path / output, "--json"]
        assert cli.main(list(map(str, arguments))) == 0
        document = json.loads(capsys.readouterr().out)
        return {**document, **load_manifest(tmp_path / output).table.to_pydict()}

    return run


def separated(rows: list[dict[str, Any]], delimiter: str) -> str:
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]), delimiter=delimiter)
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def json_lines(rows: list[dict[str, Any]]) -> str:
    return "".join(json.dumps(row) + "\n" for row in rows)


def written(folder: Path, rows: list[dict[str, Any]]) -> dict[str, Path]:
    """The same rows in all formats; tags are lists in those that can."""
    flat = [{**row, "hashtags": " ".join(row["hashtags"])} for row in rows]
    content = {
        "t.csv": separated(flat, ",").encode(),
        "t.tsv": separated(flat, "\t").encode(),
        "t.jsonl": json_lines(rows).encode(),
        "t.CSV.GZ": gzip.compress(separated(flat, ",").encode("utf-8-sig")),
        "t.tsv.bz2": bz2.compress(separated(flat, "\t").encode()),
        "t.ndjson.gz": gzip.compress(json_lines(flat).encode()),
    }
    for name, data in content.items():
        (folder / name).write_bytes(data)
    pq.write_table(pa.Table.from_pylist(rows), folder / "t.parquet")
    return {name: folder / name for name in [*content, "t.parquet"]}


words = st.text(st.characters(codec="utf-8", exclude_characters=",;|#\0\r", exclude_categories=["Z", "C"]), min_size=1)
rows = st.fixed_dictionaries(
    {
        "path": st.text(st.characters(codec="utf-8", exclude_characters="\0\r/")).map(lambda name: f"v/{name}"),
        "hashtags": st.lists(words.map(lambda word: f"#{word}")),
        "label": st.none() | words,
        "start": st.none() | st.floats(0, 1000),
        "size": st.none() | st.integers(0, 2**62),
        "views": st.integers(),
    }
)


@settings(max_examples=50, deadline=None)
@given(st.lists(rows, min_size=1, max_size=6))
@pytest.mark.slow
def test_all_formats_of_the_same_rows_are_the_same_examples(tmp_path_factory: pytest.TempPathFactory, rows: list[dict]):
    rows = [{**row, "views": row["views"] % 2**40} for row in rows]
    folder = tmp_path_factory.mktemp("t")
    expected = {
        "path": [f"{folder}/{row['path']}" for row in rows],
        "label": [row["label"] for row in rows],
        "hashtags": [join_tags(split_tags(row["hashtags"])) or None for row in rows],
        "start": [row["start"] for row in rows],
        "size": [row["size"] for row in rows],
    }
    for name, file in written(folder, rows).items():
        found = read_table_format(file, None)
        assert not found.broken, name
        assert found.columns == expected, name


def test_bytes_that_are_no_text_vanish_from_tags(tmp_path: Path):
    (tmp_path / "t.csv").write_bytes(b"path,hashtags\na.mp4,#x\xffy #\xfe\n")
    assert read_table_format(tmp_path / "t.csv", None).columns["hashtags"] == ["#xy"]


def test_fields_in_quotes_may_have_several_lines_and_a_limit(tmp_path: Path):
    long = "x" * 200_000
    (tmp_path / "t.csv").write_text(f'path,note,hashtags\na.mp4,"one,\n""two""\n",#a\n\nb.mp4,"{long}",#b\nc.mp4,,#c\n')
    found = read_table_format(tmp_path / "t.csv", None)
    assert found.columns["hashtags"] == ["#a", "#c"]
    assert found.broken == [(6, "has a field that is too long, or a quote that does not end")]


def test_no_cell_of_tags_begins_as_a_formula_does(tmp_path: Path, run: Run):
    evil = ["=cmd|' /C calc'!A0", "+1", "-2+3", "@SUM(A1)", "\t=x", "\uff1dx", '"=x"', "#=x", "=", "%3Dx", "￠=x"]
    (tmp_path / "t.jsonl").write_text(json_lines([{"path": "a", "hashtags": tag} for tag in [*evil, evil]]))
    for name in ("m.csv", "m.parquet"):
        tags = run("table", tmp_path / "t.jsonl", output=name)["hashtags"]
        assert all(cell is None or (cell[0] == "#" and not set(cell) & set("=+-@\"'|\t")) for cell in tags)


def test_files_by_id(videos: Path, tmp_path: Path, run: Run):
    ids = ["100", "300", "301", "999", "../secret", str(tmp_path / "secret"), "a/100", "..", "*", "100.mp4"]
    (tmp_path / "t.csv").write_text("clip,hashtags\n" + "".join(f"{name},#t\n" for name in ids))
    answer = run("table", tmp_path / "t.csv", "--root", videos, "--id-column", "clip")
    assert answer["path"] == ["v/a/100.mp4", "v/300.avi", "v/301.jpg"]
    assert (answer["missing"], answer["broken"]) == (7, 0)
    assert (tmp_path / "m.missing.txt").read_text().splitlines() == ids[3:]


def test_a_path_goes_before_an_id(videos: Path, tmp_path: Path):
    (tmp_path / "t.jsonl").write_text('{"path": "x.mp4", "id": "100"}\n{"path": null, "id": "200"}\n')
    found = read_table_format(tmp_path / "t.jsonl", videos)
    assert found.columns == {"path": [str(videos / "x.mp4"), str(videos / "b" / "200.webm")]}


def yfcc100m_line(name: object, tags: list[str], form: int, video: object = 1) -> str:
    """A line with 23, 24 (with a hash), 25 columns, or 24 as -24 (with its number)."""
    user = ["39@N00", "nick", "2012-02-16 09:56:37.0", "1331840483", "Canon+X", "IMG", 'My+"trip']
    place = ["-81.8", "24.5", "12", "http://p", "http://d", "CC", "http://l", "7205", "8", "df", "69", "jpg"]
    hash_ = "4e2f7a26a1dfbf165a7e30bdabf7e72a"
    before = {23: [name], 24: [name, hash_], -24: [17, name], 25: [17, name, hash_]}[form]
    return "\t".join(map(str, [*before, *user, ",".join(map(quote_plus, tags)), "", *place, video]))


@pytest.mark.parametrize("form", [23, 24, -24, 25])
@pytest.mark.parametrize(
    ("suffix", "pack"), [("", bytes), (".tsv", bytes), (".gz", gzip.compress), (".bz2", bz2.compress)]
)
def test_yfcc100m(videos: Path, tmp_path: Path, run: Run, form: int, suffix: str, pack: Callable):
    lines = [
        yfcc100m_line(100, ["canon powershot", "café", "#x"], form),
        yfcc100m_line(17, ["not", "here"], form, video=0),
        "short\tline",
        yfcc100m_line("../secret", ["a"], form),
        yfcc100m_line(300, [], form, video=2),
        yfcc100m_line(200, [], form),
    ]
    file = tmp_path / f"yfcc100m_dataset{suffix}"
    file.write_bytes(pack("\n".join(lines).encode()))
    answer = run("yfcc100m", file, "--root", videos)
    assert answer["path"] == ["v/a/100.mp4", "v/b/200.webm"]
    assert answer["hashtags"] == ["#canonpowershot #café #x", None]
    assert (answer["elsewhere"], answer["missing"], answer["broken"]) == (1, 0, 3)
    assert not (tmp_path / "m.missing.txt").exists()
    assert (
        (tmp_path / "m.broken.txt").read_text().startswith("line 3: has 2 columns, not 23 to 25\nline 4: is not a line")
    )


def test_examples_without_a_tag_of_a_vocabulary_are_left_out(tmp_path: Path, videos: Path, run: Run):
    write_vocabulary(tmp_path / "v.csv", build_vocabulary(["yoga", "catching fish"], {"yoga": ["asana"]}))
    columns = {"path": ["a", "b", "c", "d"], "hashtags": ["#x #Asana", "#x", "#catching_fish", None]}
    write_manifest(tmp_path / "old.parquet", {**columns, "label": ["k", "l", None, "m"], "end": [1.0, 2.0, None, 4.0]})
    answer = run("table", tmp_path / "old.parquet", "--vocabulary", tmp_path / "v.csv", output="new.parquet")
    assert (answer["examples"], answer["left_out"]) == (2, 2)
    assert answer["hashtags"] == ["#x #asana", "#catchingfish"]
    assert (answer["path"], answer["label"], answer["end"]) == (["a", "c"], ["k", None], [1.0, None])
    (tmp_path / "y").write_text(yfcc100m_line(100, ["YOGA"], 25) + "\n" + yfcc100m_line(200, ["x"], 25))
    answer = run("yfcc100m", tmp_path / "y", "--root", videos, "--vocabulary", tmp_path / "v.csv")
    assert (answer["hashtags"], answer["left_out"]) == (["#yoga"], 1)


def test_parquet_columns_that_are_of_another_type(tmp_path: Path):
    pq.write_table(
        pa.table({"path": pa.array(["a"]).dictionary_encode(), "label": [3], "hashtags": pa.array([["#x", "y"]])}),
        tmp_path / "t.parquet",
    )
    found = read_table_format(tmp_path / "t.parquet", Path("r"))
    assert found == ScanResult({"path": ["r/a"], "label": ["3"], "hashtags": ["#x #y"]})
    pq.write_table(pa.table({"path": ["a"], "start": ["soon"]}), tmp_path / "t.parquet")
    with refused("table.wrong_type", "t.parquet"):
        read_table_format(tmp_path / "t.parquet", None)


def test_groups_are_kept(tmp_path: Path):
    (tmp_path / "t.jsonl").write_text(
        '{"path": "a.mp4", "group": 7}\n{"path": "b.mp4"}\n{"path": "c.mp4", "group": "x"}\n'
    )
    scan = read_table_format(tmp_path / "t.jsonl", None)
    assert scan.columns["group"] == ["7", None, "x"]
