"""`vidsemi select`: merging, folding in, policies, tags, and messages."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.helpers.builders import write_shard
from vidsemi.cli import main as cli
from vidsemi.io.files import fingerprint_file
from vidsemi.io.tables import shorten_rows
from vidsemi.selection import describe
from vidsemi.selection.info import as_ranges
from vidsemi.selection.result import read_selection_info
from vidsemi.selection.score_format import ScoresInfo
from vidsemi.selection.score_writer import write_failures

CLASSES = ["catching a fish", "yoga", "Zumba", "rare"]
Select = Callable[..., tuple[int, str, str]]


def info(manifest: str = "m", **changes: object) -> ScoresInfo:
    return ScoresInfo(manifest, "w", CLASSES, 3, views=10, **changes)  # type: ignore[arg-type]


@pytest.fixture
def scores(tmp_path: Path) -> Path:
    """Six shards of ten examples each; the class 'rare' is nobody's."""
    folder, rng = tmp_path / "scores", np.random.default_rng(0)
    for number in range(6):
        probabilities = rng.dirichlet(np.ones(4), 10).astype(np.float32)
        probabilities[:, 3] = 0
        write_failures(folder, number, [])
        write_shard(folder, number, np.arange(10) + 10 * number, probabilities, info(shard_size=10, examples=60))
    return folder


@pytest.fixture
def select(tmp_path: Path, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture) -> Select:
    """Run `vidsemi select … --output tmp_path/NAME`: status, standard output, standard error."""

    def run(name: str, *options: object) -> tuple[int, str, str]:
        status = cli.main(["select", *map(str, options), "--output", str(tmp_path / name)])
        captured, logged = capsys.readouterr(), caplog.text
        caplog.clear()
        return status, captured.out, logged + captured.err

    return run


KP = ("--per-class", 7, "--per-example", 2)


def test_partial_selections_merge_to_the_bytes_of_one_pass(scores: Path, select: Select, tmp_path: Path):
    assert select("whole.parquet", "--scores", scores, *KP)[0] == 0
    for name, shards in (("a", "0-1"), ("b", "3-5"), ("c", "2")):
        assert select(f"{name}.parquet", "--scores", scores, *KP, "--shards", shards)[0] == 0
    partial = [tmp_path / f"{name}.parquet" for name in "cba"]
    assert select("merged.parquet", "--merge", *partial)[0] == 0
    whole = (tmp_path / "whole.parquet").read_bytes()
    assert (tmp_path / "merged.parquet").read_bytes() == whole


def test_new_shards_are_folded_in_without_reading_the_old(scores: Path, select: Select, tmp_path: Path):
    select("whole.parquet", "--scores", scores, *KP)
    (tmp_path / "later").mkdir()
    for number in (4, 5):
        (scores / f"part-00000{number}.parquet").rename(tmp_path / "later" / f"part-00000{number}.parquet")
    _, _, err = select("s.parquet", "--scores", scores, *KP)
    assert "score shards 4-5 are not included" in err
    for number in range(4):  # the old shards cannot be read any more
        (scores / f"part-00000{number}.parquet").write_bytes(b"gone")
    for number in (4, 5):
        (tmp_path / "later" / f"part-00000{number}.parquet").rename(scores / f"part-00000{number}.parquet")
    status, _, err = select("s.parquet", "--scores", scores, "--merge", tmp_path / "s.parquet")
    assert status == 0, err
    assert (tmp_path / "s.parquet").read_bytes() == (tmp_path / "whole.parquet").read_bytes()


@pytest.mark.parametrize(
    ("first", "second", "options", "words"),
    [
        (["--shards", "0-3"], ["--shards", "3-5"], [], "[select.shard_twice]"),
        ([], [], ["--per-class", "8"], "per_class = 7"),
        ([], ["--scores", "OTHER"], [], "'weights'"),
        ([], [], ["--per-example", "1"], "per_example = 2"),
        ([], [], ["--min-score", "0.1"], "min_score = 0.0"),
        ([], [], ["--policy", "random"], "policy = balanced_ranked"),
        (["--policy", "unbalanced_ranked"], [], [], "cannot be merged"),
        (["--policy", "random", "--seed", "1"], ["--policy", "random", "--seed", "2"], [], "seed = 2"),
    ],
)
def test_selections_that_do_not_fit_are_not_merged(
    scores: Path, select: Select, tmp_path: Path, first: list[str], second: list[str], options: list[str], words: str
):
    other = tmp_path / "other"
    for number in (3, 4, 5):
        probabilities = np.full((1, 4), 0.25, np.float32)
        write_shard(
            other, number, np.array([10 * number]), probabilities, replace(info(), weights="of another teacher")
        )
    options_of = [[str(other) if word == "OTHER" else word for word in words] for words in (first, second)]
    select("a.parquet", "--scores", scores, *KP, "--shards", "0-2", *options_of[0])
    select("b.parquet", "--scores", scores, *KP, "--shards", "3-5", *options_of[1])
    partial = [tmp_path / "a.parquet", tmp_path / "b.parquet"]
    status, _, err = select("merged.parquet", "--merge", *partial, *options)
    assert status == 2
    assert words in err
    assert not (tmp_path / "merged.parquet").exists()


def test_the_scores_are_looked_at_even_where_nothing_is_new(scores: Path, select: Select, tmp_path: Path):
    select("s.parquet", "--scores", scores, *KP)
    status, _, err = select("again.parquet", "--scores", scores, "--merge", tmp_path / "s.parquet")
    assert status == 0
    assert "all shards have been read already" in err
    assert (tmp_path / "again.parquet").read_bytes() == (tmp_path / "s.parquet").read_bytes()
    write_shard(tmp_path / "other", 0, np.array([0]), np.full((1, 4), 0.25, np.float32), replace(info(), weights="x"))
    status, _, err = select("bad.parquet", "--scores", tmp_path / "other", "--merge", tmp_path / "s.parquet")
    assert status == 2
    assert "'weights'" in err


def test_shards_that_no_partial_selection_has_read_are_named(scores: Path, select: Select, tmp_path: Path):
    (scores / "part-000001.parquet").unlink()
    select("a.parquet", "--scores", scores, *KP, "--shards", "0-2")
    select("b.parquet", "--scores", scores, *KP, "--shards", "3-5")
    status, out, _ = select("c.parquet", "--merge", tmp_path / "a.parquet", tmp_path / "b.parquet", "--json")
    assert status == 0
    assert "score shards 1 are not included" in json.loads(out)["warnings"]


def test_the_smallest_k_of_a_merge_counts(scores: Path, select: Select, tmp_path: Path):
    select("a.parquet", "--scores", scores, "--per-class", 3, "--per-example", 2, "--shards", "0-2")
    select("b.parquet", "--scores", scores, "--per-class", 5, "--per-example", 2, "--shards", "3-5")
    select("whole.parquet", "--scores", scores, "--per-class", 3, "--per-example", 2)
    assert select("c.parquet", "--merge", tmp_path / "a.parquet", tmp_path / "b.parquet")[0] == 0
    assert (tmp_path / "c.parquet").read_bytes() == (tmp_path / "whole.parquet").read_bytes()


def test_an_input_is_not_overwritten(scores: Path, select: Select, tmp_path: Path):
    before = (scores / "part-000000.parquet").read_bytes()
    status, _, err = select("scores/part-000000.parquet", "--scores", scores, *KP)
    assert status == 2
    assert "choose another name" in err
    assert (scores / "part-000000.parquet").read_bytes() == before
    os.mkfifo(tmp_path / "pipe")
    status, _, err = select("pipe", "--scores", scores, *KP)
    assert status == 2
    assert "not a file" in err
    assert (tmp_path / "pipe").is_fifo()


def test_k_may_shrink_in_a_merge(scores: Path, select: Select, tmp_path: Path):
    select("s.parquet", "--scores", scores, *KP)
    select("small.parquet", "--scores", scores, "--per-class", 3, "--per-example", 2)
    assert select("again.parquet", "--merge", tmp_path / "s.parquet", "--per-class", 3)[0] == 0
    assert (tmp_path / "again.parquet").read_bytes() == (tmp_path / "small.parquet").read_bytes()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ([], "[select.missing_scores]"),
        (["--scores", "SCORES"], "--per-class"),
        (["--scores", "SCORES", "--per-class", "0", "--per-example", "1"], "--per-class is 0"),
        (["--scores", "SCORES", "--per-class", "1", "--per-example", "0"], "--per-example is 0"),
        (["--scores", "SCORES", "--per-class", "1", "--per-example", "4"], "[select.per_example_too_large]"),
        (["--scores", "SCORES", *map(str, KP), "--min-score", "2"], "--min-score is 2"),
        (["--scores", "SCORES", *map(str, KP), "--policy", "best"], "balanced_ranked"),
        (["--scores", "SCORES", *map(str, KP), "--shards", "a-b"], "FIRST-LAST"),
        (["--scores", "SCORES", *map(str, KP), "--shards", "7-9"], "0-5 [select.missing_shards]"),
        (["--scores", "SCORES", *map(str, KP), "--policy", "balanced_with_tags"], "--manifest"),
        (["--scores", "nowhere", *map(str, KP)], "[scores.missing]"),
        (["--merge", "nowhere.parquet"], "nowhere.parquet [selection.not_found]"),
        (["--merge", "SCORES"], "[selection.not_found]"),
        (["--merge", "nowhere.parquet", "--shards", "0"], "nowhere.parquet"),
        (["--scores", "SCORES", *map(str, KP), "--shards", "5-3"], "FIRST-LAST"),
        (["--scores", "SCORES", *map(str, KP), "--shards", "9" * 5000], "FIRST-LAST"),
        (["--scores", "SCORES", *map(str, KP), "--policy", "a\nb"], "'a b'"),
        (["--merge", "SCORES/part-000000.parquet"], "[selection.invalid_file]"),
        (["--scores", "SCORES", *map(str, KP), "--per-class", str(10**10)], "8589934591"),
    ],
)
def test_bad_options_are_one_line(scores: Path, select: Select, tmp_path: Path, options: list[str], words: str):
    status, out, err = select("s.parquet", *[word.replace("SCORES", str(scores)) for word in options])
    assert status == 2
    assert words in err
    assert out == ""
    assert len(err.strip().splitlines()) == 1
    assert not (tmp_path / "s.parquet").exists()


def test_an_old_selection_outlives_a_failure(scores: Path, select: Select, tmp_path: Path):
    select("s.parquet", "--scores", scores, *KP)
    before = (tmp_path / "s.parquet").read_bytes()
    (scores / "part-000005.parquet").write_bytes(b"PAR1 and no more")
    status, _, err = select("s.parquet", "--scores", scores, *KP)
    assert status == 2
    assert "part-000005.parquet" in err and "[scores.invalid_shard]" in err
    assert (tmp_path / "s.parquet").read_bytes() == before
    assert [path.name for path in tmp_path.glob(".*")] == []


def test_output_of_a_selection(scores: Path, select: Select):
    status, out, err = select("s.parquet", "--scores", scores, *KP)
    assert status == 0
    assert "balanced_ranked, per_class = 7, per_example = 2" in out
    assert "180 rows of 60 examples read, 120 candidates" in out
    assert "| rare            | 7      | 0          | 0      |            |" in out
    assert "1 of 4 classes have no candidates: rare" in err
    document = json.loads(select("s.parquet", "--scores", scores, *KP, "--json")[1])
    assert document["rows_read"] == 180
    assert document["rows"] == 21
    assert document["short_classes"] == ["rare"]
    assert document["classes"][3] == {"class": "rare", "wanted": 7, "candidates": 0, "chosen": 0, "last_score": None}
    assert sum(k * count for k, count in enumerate(document["taken_by"], start=1)) == 21
    assert document["share_of_unlabeled"] == document["chosen"] / 60


@pytest.mark.slow
def test_selecting_needs_no_torch(scores: Path, tmp_path: Path):
    words = ["select", "--scores", str(scores), *map(str, KP), "--output", str(tmp_path / "s.parquet")]
    (tmp_path / "pandas.py").write_text("raise ImportError")  # pyarrow imports it by itself, if it can
    code = (
        f"import sys; sys.path.insert(0, {str(tmp_path)!r})\n"
        f"from vidsemi.cli.main import main\nassert main({words!r}) == 0\n"
        "heavy = {'torch', 'av', 'matplotlib', 'pandas'} & set(sys.modules)\n"
        "sys.exit(f'imported: {heavy}' if heavy else 0)"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert result.returncode == 0, result.stderr


def test_warnings(scores: Path, select: Select, tmp_path: Path):
    select("s.parquet", "--scores", scores, "--per-class", 1000, "--per-example", 2)
    made = read_selection_info(tmp_path / "s.parquet")
    assert any("the median class has candidates for only" in text for text in describe.warnings(made))

    def found(words: str, candidates: list[int], wanted: int = 10) -> bool:
        changed = replace(made, candidates_per_class=candidates, wanted_per_class=[wanted] * 4)
        return any(words in text for text in describe.warnings(changed))

    assert found("'catching a fish' has 97% of all candidates", [900, 10, 10, 10])
    assert found("has 51% of", [51, 20, 19, 10])
    assert not found("of all candidates", [50, 20, 20, 10])
    assert found("for only 99% of its rows", [999, 999, 999, 1000], wanted=1000)
    assert not found("the median class", [10, 10, 10, 9])


def test_a_long_table_leaves_out_its_middle(scores: Path, select: Select, tmp_path: Path):
    select("s.parquet", "--scores", scores, *KP)
    made = read_selection_info(tmp_path / "s.parquet")
    rows = shorten_rows(describe.class_rows(made), most=2)
    assert [row[0] for row in rows][1:] == ["… 2 more", "rare"]


def test_tags_that_name_a_class(scores: Path, select: Select, tmp_path: Path):
    manifest = tmp_path / "u.parquet"
    tags = ["#CatchingAFish #yoga", "#other", None, "#ＹＯＧＡ", "#zumba #yoga"] * 12
    pq.write_table(pa.table({"path": [f"{i}.mp4" for i in range(60)], "hashtags": tags}), manifest)
    for file in scores.glob("part-*"):
        number = int(file.stem[5:])
        failed = [(3, "3.mp4", "gone")] if number == 0 else []
        write_failures(scores, number, failed)
        ids = np.setdiff1d(np.arange(10) + 10 * number, [3])
        write_shard(scores, number, ids, np.full((len(ids), 4), 0.25, np.float32), info(fingerprint_file(manifest)))
    options = ("--scores", scores, "--per-class", 100, "--per-example", 1, "--policy", "balanced_with_tags")
    status, _, err = select("s.parquet", *options, "--manifest", manifest)
    assert status == 0, err
    table = pq.read_table(tmp_path / "s.parquet").to_pydict()
    by_label: dict[int, list[int]] = {label: [] for label in range(4)}
    for example, label in zip(table["example_id"], table["label"], strict=True):
        by_label[label].append(example)
    assert sorted(by_label[0]) == list(range(0, 60, 5))
    assert sorted(by_label[1]) == sorted({i for i in range(60) if i % 5 in (0, 3, 4)} - {3})  # 3 cannot be read
    assert sorted(by_label[2]) == list(range(4, 60, 5))
    assert by_label[3] == []
    assert set(table["score"]) == {None}
    assert read_selection_info(tmp_path / "s.parquet").shard_ranges == []  # none was read
    status, _, err = select("t.parquet", *options, "--manifest", manifest, "--shards", "0-1")
    assert status == 2
    assert "[select.shards_with_tags]" in err
    status, _, err = select(manifest.name, *options, "--manifest", manifest)
    assert status == 2
    assert "[output.is_input]" in err
    other = tmp_path / "other.csv"
    other.write_text("path,hashtags\n" + "a.mp4,#yoga\n" * 60)
    status, _, err = select("s.parquet", *options, "--manifest", other)
    assert status == 2
    assert "[scores.wrong_manifest]" in err


def test_ranges():
    assert as_ranges([5, 0, 1, 2]) == [[0, 2], [5, 5]]
    assert as_ranges([]) == []


def test_a_directory_in_place_of_the_output_is_noticed_first(scores: Path, select: Select, tmp_path: Path):
    (tmp_path / "d").mkdir()
    (scores / "part-000000.parquet").write_bytes(b"not even read")
    status, _, err = select("d", "--scores", scores, *KP)
    assert status == 2
    assert f"{tmp_path / 'd'}: " in err
