"""`vidsemi predict`: classes of files, the scores of each view, and what cannot be read."""

import csv
import json
import os
import tarfile
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image

from tests.helpers.builders import paths_of
from tests.inference.test_score import reference
from vidsemi.cli import main as cli
from vidsemi.inference import predict as predict_module
from vidsemi.inference.score_worker import ScoreWorker

NAMES = [
    f"drifting {direction}"
    for direction in ("east", "north", "northeast", "northwest", "south", "southeast", "southwest", "west")
]


def predict(capsys: pytest.CaptureFixture, *words: object) -> dict:
    assert cli.main(["predict", *map(str, words), "--workers", "0", "--device", "cpu", "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def test_classes_and_views_are_those_of_the_reference(shapes: Path, weights: Path, capsys: pytest.CaptureFixture):
    file = shapes / "test" / "00001.mp4"
    (found,) = predict(capsys, file, "--weights", weights, "--views", 3, "--top", 8)["files"]
    expected = reference(weights, str(file), 3)
    assert found["path"] == str(file)
    assert [row["label"] for row in found["top"]] == [NAMES[index] for index in np.argsort(-expected)]
    for row in found["top"]:
        assert row["score"] == pytest.approx(expected[NAMES.index(row["label"])], abs=1e-5)
        assert len(row["views"]) == 3
        assert np.mean(row["views"]) == pytest.approx(row["score"], abs=1e-6)


def test_a_folder_with_what_cannot_be_read(tmp_path: Path, shapes: Path, weights: Path, capsys: pytest.CaptureFixture):
    folder = tmp_path / "mixed"
    folder.mkdir()
    (folder / "a.mp4").write_bytes((shapes / "test" / "00000.mp4").read_bytes())
    (folder / "b.mp4").write_bytes(b"no video")
    Image.new("RGB", (30, 30), (9, 200, 9)).save(folder / "c.png")
    (folder / "d.txt").write_text("neither")
    files = predict(capsys, folder, "--weights", weights)["files"]
    assert [Path(file["path"]).name for file in files] == ["a.mp4", "b.mp4", "c.png"]
    assert [len(file.get("top", ())) for file in files] == [5, 0, 5]
    assert len(files[0]["top"][0]["views"]) == 10
    assert len(files[2]["top"][0]["views"]) == 1  # an image has one view
    assert files[1]["error"]
    assert cli.main(["predict", str(folder), "--weights", str(weights), "--workers", "0"]) == 0
    table = capsys.readouterr().out.splitlines()
    assert len(table) == 2 + 5 + 1 + 5
    assert "cannot be read" in table[7]


def test_nothing_to_predict_is_an_error(tmp_path: Path, weights: Path, capsys: pytest.CaptureFixture):
    (tmp_path / "b.mp4").write_bytes(b"no video")
    for name, code in (("b.mp4", "predict.nothing_readable"), ("gone.mp4", "predict.not_found")):
        assert cli.main(["predict", str(tmp_path / name), "--weights", str(weights), "--workers", "0"]) == 2
        error = capsys.readouterr().err
        assert name in error and f"[{code}]" in error


def test_a_manifest_is_predicted_like_its_files(
    tmp_path: Path, shapes: Path, weights: Path, capsys: pytest.CaptureFixture
):
    """Also one with trims and files in tars, and labeled or not; a manifest among the files is the same."""
    paths = [str(shapes / path) for path in paths_of(shapes / "test.csv")[:3]]
    with tarfile.open(tmp_path / "a.tar", "w") as tar:
        tar.add(paths[1], "b.mp4")
    with tarfile.open(tmp_path / "a.tar") as tar:
        info = tar.getmember("b.mp4")
    rows = [
        (paths[0], "", "", "", "", ""),
        ("a.tar", "b.mp4", info.offset_data, info.size, "", ""),
        (paths[2], *[""] * 5),
    ]
    rows.append((paths[2], "", "", "", 0.2, 0.5))
    lines = ["path,member,offset,size,start,end", *(",".join(map(str, row)) for row in rows)]
    (tmp_path / "m.csv").write_text("\n".join(lines))
    files = predict(capsys, *paths, "--weights", weights, "--views", 2)["files"]
    found = predict(capsys, "--manifest", tmp_path / "m.csv", "--weights", weights, "--views", 2)["files"]
    for own, other in zip(found[:3], files, strict=True):
        assert [row["label"] for row in own["top"]] == [row["label"] for row in other["top"]]
        scores = [[row["score"] for row in file["top"]] for file in (own, other)]
        np.testing.assert_allclose(*scores, atol=1e-6)
    assert found[1]["path"] == str(tmp_path / "a.tar") and found[1]["member"] == "b.mp4"
    assert (found[3]["start"], found[3]["end"]) == (0.2, 0.5)
    assert found[3]["top"] != found[2]["top"]
    assert predict(capsys, tmp_path / "m.csv", "--weights", weights, "--views", 2)["files"] == found


@pytest.fixture
def mixed(tmp_path: Path, shapes: Path) -> Path:
    """A labeled manifest of 18 examples, two of which cannot be read, one with a name like a formula."""
    (tmp_path / "=1+1  a.mp4").write_bytes((shapes / "test" / "00000.mp4").read_bytes())
    (tmp_path / "broken.mp4").write_bytes(b"no video")
    with open(tmp_path / "test.csv", "w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["label", "path"])
        writer.writerow(["=x", "=1+1  a.mp4"])
        writer.writerows(["drifting east", shapes / path] for path in paths_of(shapes / "test.csv")[1:])
        writer.writerow(["drifting east", "broken.mp4"])
        writer.writerow(["", "broken.mp4"])
    return tmp_path / "test.csv"


def test_the_table_holds_the_highest_scores_of_every_example(
    tmp_path: Path, mixed: Path, weights: Path, capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
):
    """In Parquet and CSV alike; by the reference of the tests of scoring, over several shards."""
    monkeypatch.setattr(predict_module, "SHARD_SIZE", 5)
    words = ["--manifest", mixed, "--weights", weights, "--views", 2, "--top", 3]
    document = predict(capsys, *words, "--output", tmp_path / "p.parquet")
    assert (document["examples"], document["failed"], document["top"]) == (18, 2, 3)
    rows = pq.read_table(tmp_path / "p.parquet").to_pylist()
    pairs = [name for rank in (1, 2, 3) for name in (f"class_{rank}", f"score_{rank}")]
    assert [*rows[0]] == ["example_id", "path", "label", *pairs, "error"]
    assert [row["example_id"] for row in rows] == list(range(18))
    assert [row["path"] for row in rows] == paths_of(mixed)
    assert [row["label"] for row in rows] == ["=x", *["drifting east"] * 16, None]
    for row in (rows[0], rows[7], rows[15]):
        expected = reference(weights, str(tmp_path / row["path"]), 2)
        best = np.argsort(-expected)[:3]
        assert [row[f"class_{rank}"] for rank in (1, 2, 3)] == [NAMES[label] for label in best]
        np.testing.assert_allclose([row[f"score_{rank}"] for rank in (1, 2, 3)], expected[best], atol=1e-5)
        assert row["error"] is None
    for row in rows[16:]:
        assert row["error"] and {row[name] for name in pairs} == {None}

    predict(capsys, *words, "--output", tmp_path / "p.csv")  # of the same scores
    with open(tmp_path / "p.csv", newline="", encoding="utf-8") as file:
        table = list(csv.DictReader(file))
    assert (table[0]["path"], table[0]["label"]) == ("'=1+1  a.mp4", "'=x")
    for row, line in zip(rows, table, strict=True):
        for name, value in row.items():
            if value is None:
                assert line[name] == ""
            elif isinstance(value, float):
                assert np.float32(line[name]) == np.float32(value)
            else:
                assert line[name].removeprefix("'") == str(value)


def test_predictions_resume_and_are_those_of_an_undisturbed_call(
    tmp_path: Path, mixed: Path, weights: Path, capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(predict_module, "SHARD_SIZE", 4)
    words = ["--manifest", mixed, "--weights", weights, "--views", 2]
    predict(capsys, *words, "--output", tmp_path / "whole.parquet")
    write, written = ScoreWorker.write, []

    def interrupted(self: ScoreWorker, number: int, files: dict[str, bytes]) -> None:
        if len(written) == 2:
            raise KeyboardInterrupt
        written.append(number)
        write(self, number, files)

    command = [
        "predict",
        *map(str, words),
        "--output",
        str(tmp_path / "p.parquet"),
        "--workers",
        "0",
        "--device",
        "cpu",
    ]
    with monkeypatch.context() as context:
        context.setattr(ScoreWorker, "write", interrupted)
        assert cli.main(command) == 130
    assert not (tmp_path / "p.parquet").exists()
    done = {file: file.stat().st_mtime_ns for file in (tmp_path / "p.scores").glob("part-*.parquet")}
    assert len(done) == 2
    assert cli.main(command) == 0
    assert all(file.stat().st_mtime_ns == time for file, time in done.items())
    assert (tmp_path / "p.parquet").read_bytes() == (tmp_path / "whole.parquet").read_bytes()

    capsys.readouterr()
    (mixed.parent / "broken.mp4").write_bytes((mixed.parent / "=1+1  a.mp4").read_bytes())
    assert predict(capsys, *words, "--output", tmp_path / "p.parquet")["failed"] == 2
    assert predict(capsys, *words, "--output", tmp_path / "p.parquet", "--retry-failures")["failed"] == 0
    assert pq.read_table(tmp_path / "p.parquet")["error"].null_count == 18


def test_a_table_of_a_folder(tmp_path: Path, shapes: Path, weights: Path, capsys: pytest.CaptureFixture):
    words = [shapes / "test", "--weights", weights, "--views", 1, "--top", 99]
    assert predict(capsys, *words, "--output", tmp_path / "p.parquet")["top"] == 8
    table = pq.read_table(tmp_path / "p.parquet")
    assert table["path"].to_pylist() == sorted(map(str, (shapes / "test").glob("*.mp4")))
    scores = np.stack([table[f"score_{rank}"].to_numpy() for rank in range(1, 9)])
    np.testing.assert_allclose(scores.sum(axis=0), 1, atol=1e-5)


def test_a_name_that_is_not_utf8_is_predicted_but_in_no_table(
    tmp_path: Path, shapes: Path, weights: Path, capsys: pytest.CaptureFixture
):
    folder = tmp_path / "odd"
    folder.mkdir()
    (folder / os.fsdecode(b"a\xff.mp4")).write_bytes((shapes / "test" / "00000.mp4").read_bytes())
    words = ["predict", str(folder), "--weights", str(weights), "--workers", "0", "--device", "cpu", "--views", "1"]
    assert cli.main(words) == 0
    assert "drifting" in capsys.readouterr().out
    assert cli.main([*words, "--output", str(tmp_path / "p.csv")]) == 2
    error = capsys.readouterr().err
    assert "[predict.not_utf8]" in error and "a\\xff.mp4" in error


@pytest.mark.parametrize(
    ("words", "code", "mentions"),
    [
        ([], "options.invalid", "--manifest"),
        (["a.mp4", "--manifest", "test.csv"], "options.invalid", "not both"),
        (["test.csv", "--retry-failures"], "options.invalid", "--output"),
        (["--manifest", "test.csv", "--output", "p.xlsx"], "predictions.unknown_suffix", "p.xlsx"),
        (["--manifest", "test.csv", "--output", "test.csv"], "output.is_input", "test.csv"),
        (["--manifest", "gone.csv", "--output", "p.csv"], "manifest.missing_file", "gone.csv"),
        (["broken.mp4", "--root", "."], "predict.unused_root", "--root"),
        (["--manifest", "broken.csv", "--output", "p.csv"], "scores.nothing_readable", "broken.mp4"),
        (["--manifest", "test.csv", "--output", "old.csv"], "scores.plan_mismatch", "old.scores"),
    ],
)
def test_mistakes_are_one_line(
    words: list[str],
    code: str,
    mentions: str,
    mixed: Path,
    weights: Path,
    capsys: pytest.CaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
):
    monkeypatch.chdir(mixed.parent)
    Path("broken.csv").write_text("path\nbroken.mp4\n")
    if "old.csv" in words:
        predict(capsys, "=1+1  a.mp4", "--weights", weights, "--views", 1, "--output", "old.csv")
    assert cli.main(["predict", *words, "--weights", str(weights), "--workers", "0", "--device", "cpu"]) == 2
    error = capsys.readouterr().err.splitlines()[-1]
    assert f"[{code}]" in error and mentions in error


def test_the_predictions_of_an_evaluation_give_its_accuracy(
    tmp_path: Path, shapes: Path, weights: Path, capsys: pytest.CaptureFixture
):
    from vidsemi.config import Runtime
    from vidsemi.data.manifest import load_manifest
    from vidsemi.inference.evaluate import evaluate_weights

    (tmp_path / "broken.mp4").write_bytes(b"no video")
    rows = [f"{shapes / path},{NAMES[place % 8]}" for place, path in enumerate(paths_of(shapes / "test.csv"))]
    (tmp_path / "test.csv").write_text("\n".join(["path,label", *rows, "broken.mp4,drifting west"]))
    file = tmp_path / "predictions.parquet"
    metrics = evaluate_weights(
        weights=weights,
        manifest=load_manifest(tmp_path / "test.csv"),
        views=2,
        runtime=Runtime(device="cpu", workers=0),
        title="test",
        predictions=file,
    )
    rows = pq.read_table(file).to_pylist()
    assert len(rows) == metrics["total"] == 17
    assert 100 * np.mean([row["label"] == row["class_1"] for row in rows]) == pytest.approx(metrics["top1"])
    top5 = [row["label"] in [row[f"class_{rank}"] for rank in range(1, 6)] for row in rows]
    assert 100 * np.mean(top5) == pytest.approx(metrics["top5"])
    words = [
        "--manifest",
        tmp_path / "test.csv",
        "--weights",
        weights,
        "--views",
        2,
        "--output",
        tmp_path / "p.parquet",
    ]
    predict(capsys, *words)
    assert pq.read_table(tmp_path / "p.parquet").to_pylist() == rows
