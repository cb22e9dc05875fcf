"""`vidsemi predict`: classes of files, the scores of each view, and what cannot be read."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.inference.test_score import reference
from vidsemi.cli import main as cli


def predict(capsys: pytest.CaptureFixture, *words: object) -> dict:
    assert cli.main(["predict", *map(str, words), "--workers", "0", "--device", "cpu", "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def test_classes_and_views_are_those_of_the_reference(shapes: Path, weights: Path, capsys: pytest.CaptureFixture):
    file = shapes / "test" / "00001.mp4"
    (found,) = predict(capsys, file, "--weights", weights, "--views", 3, "--top", 8)["files"]
    expected = reference(weights, str(file), 3)
    directions = ["east", "north", "northeast", "northwest", "south", "southeast", "southwest", "west"]
    names = [f"drifting {direction}" for direction in directions]
    assert found["path"] == str(file)
    assert [row["label"] for row in found["top"]] == [names[index] for index in np.argsort(-expected)]
    for row in found["top"]:
        assert row["score"] == pytest.approx(expected[names.index(row["label"])], abs=1e-5)
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
