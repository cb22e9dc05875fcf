"""Tables of tags with broken lines, and such of which nothing can be used: one line says what and where."""

import bz2
import gzip
import json
from collections.abc import Callable, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.helpers.errors import assert_refused, refused
from vidsemi.cli import main as cli
from vidsemi.data.formats.table import read_table_format
from vidsemi.data.formats.yfcc100m import read_yfcc100m
from vidsemi.data.hashtags.vocabulary import build_vocabulary, write_vocabulary
from vidsemi.data.manifest_file import write_manifest


@pytest.fixture
def videos(tmp_path: Path) -> Path:
    """A folder with 100.mp4."""
    (tmp_path / "v").mkdir()
    (tmp_path / "v" / "100.mp4").touch()
    return tmp_path / "v"


Refused = Callable[..., None]


@pytest.fixture
def refuse(capsys: pytest.CaptureFixture[str]) -> Refused:
    """Run `vidsemi manifest`, which refuses: refuse("table", "t.csv", …, code="table.empty", mentioned=["t.csv"])."""

    def run(*words: object, code: str, mentioned: Sequence[object] = ()) -> None:
        capsys.readouterr()
        assert cli.main(["manifest", *map(str, words)]) == 2
        assert_refused(capsys.readouterr().err, code, *mentioned)

    return run


@settings(max_examples=100, deadline=None)
@given(
    st.lists(st.sampled_from(["good", "b,#x", 'b,"#x', "b,#x,2", ',"#x"', '"b', 'b,"x"y', "b,\udcff\0"]), max_size=12)
)
def test_broken_lines_of_a_csv_do_not_change_the_others(tmp_path_factory: pytest.TempPathFactory, kinds: list[str]):
    lines = [f"{number}.mp4,#tag{number}" if kind == "good" else kind for number, kind in enumerate(kinds)]
    file = tmp_path_factory.mktemp("t") / "t.csv"
    file.write_bytes("\n".join(["path,hashtags", *lines, "last.mp4,#last"]).encode("utf-8", "surrogateescape"))
    found = read_table_format(file, None)
    fine = [number for number, kind in enumerate(kinds) if kind == "good"]
    examples = zip(found.columns["path"], found.columns["hashtags"], strict=True)
    assert [tags for path, tags in examples if path.endswith(".mp4")] == [f"#tag{n}" for n in fine] + ["#last"]
    assert [number - 2 for number, _ in sorted(found.broken)] == [
        number for number, kind in enumerate(kinds) if kind not in ("good", "b,#x", "b,\udcff\0")
    ]


BROKEN_JSON = {
    "no json": "is not a JSON object",
    "[1, 2]": "is not a JSON object",
    "[" * 100_000: "is not a JSON object",
    '{"path": "a.mp4", "hashtags": ["#a"]': "is not a JSON object",
    '{"hashtags": ["#a"]}': "has neither path nor id",
    '{"path": "", "id": null}': "has neither path nor id",
    '{"path": "a.mp4", "hashtags": 7}': "has tags that are neither text nor a list of texts",
    '{"path": "a.mp4", "hashtags": {"#a": 1}}': "has tags that are neither text nor a list of texts",
    '{"path": "a.mp4", "hashtags": ["#a", 7]}': "has tags that are neither text nor a list of texts",
    '{"path": "a.mp4", "hashtags": [["#a"]]}': "has tags that are neither text nor a list of texts",
    '{"path": "a\udcff.mp4"}': "has a path that is not text",
    '{"path": "a\\ud800.mp4"}': "has a path that is not text",
    '{"path": "a\\u0000.mp4"}': "has a path that is not text",
    '{"path": true}': "has a path that is not text",
    '{"id": "1\udcff"}': "has an id that is not text",
    '{"id": ["1"]}': "has an id that is not text",
    '{"id": "1\\u001b[31m"}': "has an id that is not text",
    '{"path": "a.mp4", "label": ["x"]}': "has a label that is not text",
    '{"path": "a.mp4", "start": "soon"}': "has a column start that is not a number",
    '{"path": "a.mp4", "start": true}': "has a column start that is not a number",
    '{"path": "a.mp4", "end": NaN}': "has a column end that is not a number",
    '{"path": "a.mp4", "end": 1e999}': "has a column end that is not a number",
    '{"path": "a.mp4", "size": 1.5}': "has a column size that is not a whole number",
    '{"path": "a.mp4", "size": 1' + "0" * 30 + "}": "has a column size that is not a whole number",
}


@pytest.mark.parametrize("place", [0, 1, 2])
def test_broken_json_lines_are_told_by_number_and_never_shown(tmp_path: Path, videos: Path, place: int):
    good = ['{"path": "x.mp4", "hashtags": "#b"}', '{"id": 100, "hashtags": null, "label": 7}']
    lines = [*good[:place], *BROKEN_JSON, *good[place:]]
    (tmp_path / "t.jsonl").write_bytes("\r\n".join(lines).encode("utf-8", "surrogateescape"))
    found = read_table_format(tmp_path / "t.jsonl", videos)
    assert [(line - place - 1, wrong) for line, wrong in found.broken] == list(enumerate(BROKEN_JSON.values()))
    assert [Path(path).name for path in found.columns["path"]] == ["x.mp4", "100.mp4"]
    assert found.columns["label"] == [None, "7"]
    assert found.columns["hashtags"] == ["#b", None]


def test_broken_lines_are_listed(tmp_path: Path, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture):
    words = ["manifest", "table", str(tmp_path / "t.jsonl"), "--output", str(tmp_path / "m.csv"), "--json"]
    good, bad = '{"path": "a.mp4", "hashtags": "#a"}', "\x1b[31mrow"
    (tmp_path / "t.jsonl").write_text("\n".join([good, *[bad] * 12, good]))
    assert cli.main(words) == 0
    assert json.loads(capsys.readouterr().out)["broken"] == 12
    lines = [f"line {number}: is not a JSON object" for number in range(2, 14)]
    assert (tmp_path / "m.broken.txt").read_text().splitlines() == lines
    assert caplog.messages == ["\n  ".join(["skipped 12 broken lines:", *lines[:10]])]
    (tmp_path / "t.jsonl").write_text(good)
    assert cli.main(words) == 0
    assert json.loads(capsys.readouterr().out)["broken"] == 0
    assert not (tmp_path / "m.broken.txt").exists()


BAD = {
    "t.txt": (b"a", "table.unknown_suffix", ".csv"),
    "empty.csv": (b"", "table.missing_header", ""),
    "only.csv": (b"path,hashtags\n", "table.empty", ""),
    "quote.csv": (b'"path\na\n', "table.missing_header", "line 1"),
    "none.csv": (b"file,tags\na,#b\n", "table.missing_column", "'path'; its columns are: file, tags"),
    "twice.csv": (b"path,path\na,b\n", "table.duplicate_column", "'path'"),
    "esc.csv": (b"\x1b[31m\na\n", "table.missing_column", "'\\x1b[31m'"),
    "id.csv": (b"id\n100\n", "table.all_broken", "--root"),
    "all.jsonl": (b"x\ny\n", "table.all_broken", "line 1 is not a JSON object"),
    "keys.jsonl": (b'{"file": "a"}\n', "table.missing_column", "'path'; its columns are: file"),
    "cut.csv.gz": (gzip.compress(b"path\na\nb\n")[:-9], "file.truncated", "line"),
    "cut.tsv.bz2": (bz2.compress(b"path\na\nb\n")[:-9], "file.truncated", "line"),
    "not.csv.gz": (b"path\na\n", "file.unreadable", ""),
    "not.csv.bz2": (b"path\na\n", "file.unreadable", ""),
    "damaged.jsonl.gz": (gzip.compress(b'{"path": "a"}\n' * 99)[:20] + b"\0" * 20, "file.unreadable", ""),
    "broken.parquet": (b"PAR1", "manifest.unreadable", ""),
}


@pytest.mark.parametrize("name", BAD)
def test_tables_of_which_nothing_can_be_used(tmp_path: Path, refuse: Refused, name: str):
    content, code, mentioned = BAD[name]
    (tmp_path / name).write_bytes(content)
    refuse("table", tmp_path / name, "--output", tmp_path / "m.csv", code=code, mentioned=[name, mentioned])
    assert not (tmp_path / "m.csv").exists()


def test_what_is_asked_for_and_not_there(tmp_path: Path, videos: Path, refuse: Refused):
    output = ["--output", tmp_path / "m.csv"]
    refuse("table", tmp_path / "t.csv", *output, code="file.missing", mentioned=["t.csv"])
    for name, text in {"t.csv": "id,path\n1,a\n", "t.jsonl": '{"path": "a", "id": 1}'}.items():
        (tmp_path / name).write_text(text)
        for column in ("path", "label", "hashtags", "id"):
            words = ["table", tmp_path / name, f"--{column}-column", "other", *output]
            refuse(*words, code="table.missing_column", mentioned=["'other'; its columns are: id, path"])
    (tmp_path / "y").write_text("0\t7\thash" + "\t" * 21 + "\t1")
    refuse("yfcc100m", tmp_path / "y", "--root", videos, *output, code="scan.no_files", mentioned=["1 files"])
    (tmp_path / "t.csv").write_text("id\n7\n")
    refuse("table", tmp_path / "t.csv", "--root", videos, *output, code="scan.no_files", mentioned=["such as 7"])
    with refused("folder.missing", "nowhere"):
        read_yfcc100m(tmp_path / "y", tmp_path / "nowhere")


def test_a_vocabulary_without_tags_to_look_for(tmp_path: Path, refuse: Refused):
    write_vocabulary(tmp_path / "v.csv", build_vocabulary(["yoga"], {}))
    vocabulary = ["--vocabulary", tmp_path / "v.csv", "--output", tmp_path / "n.csv"]
    write_manifest(tmp_path / "none.csv", {"path": ["a"]})
    refuse("table", tmp_path / "none.csv", *vocabulary, code="table.missing_hashtags", mentioned=["'hashtags'"])
    write_manifest(tmp_path / "other.csv", {"path": ["a"], "hashtags": ["#other"]})
    words = ["table", tmp_path / "other.csv", *vocabulary]
    refuse(*words, code="scan.no_tagged_examples", mentioned=["1 examples", "other.csv"])
    assert not (tmp_path / "n.csv").exists()


def test_rows_of_parquet_without_a_path_are_broken(tmp_path: Path):
    pq.write_table(pa.table({"path": ["a", None, "c"], "hashtags": [["x"], ["y"], [None]]}), tmp_path / "t.parquet")
    found = read_table_format(tmp_path / "t.parquet", None)
    assert found.columns["hashtags"] == ["#x", None]  # a null among the tags is none
    assert found.broken == [(2, "has neither path nor id")]
