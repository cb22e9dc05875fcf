"""`vidsemi manifest … --verify`: a table of what the files of a manifest are."""

import io
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow.csv
import pyarrow.parquet as pq
import pytest
from PIL import Image

from tests.helpers.errors import refused
from tests.helpers.videos import rotate_mp4
from vidsemi.cli import main as cli
from vidsemi.data import verify_job
from vidsemi.data.manifest import Row, load_manifest
from vidsemi.data.verify import describe
from vidsemi.data.verify_job import VerifyWorker, verify_files
from vidsemi.io.errors import DecodeError
from vidsemi.io.store import LocalStore


@pytest.fixture
def dataset(make_video: Callable[..., Path], tmp_path: Path, write_csv: Callable[..., Path]) -> Path:
    """A manifest of good, bad and odd files."""
    (tmp_path / "b").mkdir()
    good = make_video("b/good.mp4", frames=20, rate=10)
    turned = rotate_mp4(make_video("b/turned.mp4", frames=5, rate=25), 90)
    squares = make_video("b/variable.mkv", stamps=[number**2 for number in range(20)])
    (tmp_path / "b/empty.mp4").write_bytes(b"")
    (tmp_path / "b/random.mp4").write_bytes(np.random.default_rng(0).bytes(3000))
    Image.new("RGB", (30, 20)).save(tmp_path / "b/image.png")
    rows = [
        [str(good), "", ""],
        [str(good), "0.5", "1.25"],
        [str(turned), "", ""],
        [str(squares), "", ""],
        [str(tmp_path / "b/empty.mp4"), "", ""],
        [str(tmp_path / "b/random.mp4"), "", ""],
        [str(tmp_path / "b/missing.mp4"), "", ""],
        [str(tmp_path / "b/image.png"), "", ""],
        [str(good), "7", "9"],
    ]
    return write_csv("dataset.csv", ["path", "start", "end"], rows)


@pytest.mark.parametrize("workers", ["0", "2"])
def test_a_row_for_each_file(dataset: Path, capsys: pytest.CaptureFixture[str], workers: str):
    assert cli.main(["manifest", "table", str(dataset), "--verify", "--workers", workers, "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert (document["readable"], document["unreadable"], document["damaged"]) == (5, 4, 0)
    assert document["frames"] == 20 + 8 + 5 + 20 + 1
    assert document["files"] == str(dataset.with_name("dataset.files.csv"))
    rows = pyarrow.csv.read_csv(document["files"]).to_pylist()
    assert [row["example_id"] for row in rows] == list(range(9))
    assert [row["frames"] for row in rows] == [20, 8, 5, 20, None, None, None, 1, None]
    assert [row["seconds"] for row in rows[:3]] == pytest.approx([2.0, 0.8, 0.2], abs=0.01)
    assert rows[0]["rate"] == pytest.approx(10)
    assert (rows[2]["width"], rows[2]["height"], rows[2]["rotation"] % 180) == (48, 64, 90)
    assert rows[3]["seconds"] >= 36.1
    assert (rows[7]["codec"], rows[7]["width"], rows[7]["height"]) == ("png", 30, 20)
    assert [bool(row["error"]) for row in rows] == [False] * 4 + [True] * 3 + [False, True]
    assert "No such file" in rows[6]["error"]
    assert "trim 7 s to 9 s" in rows[8]["error"]
    assert document["reasons"][rows[8]["error"]] == 1


def test_a_new_manifest_is_verified(dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    output = tmp_path / "made" / "m.parquet"
    options = ["manifest", "folder", "--root", str(tmp_path), "--output", str(output), "--verify"]
    assert cli.main([*options, "--workers", "1"]) == 0
    text = capsys.readouterr().out
    assert "m.parquet: 6 examples" in text
    assert "4 of 6 files can be read: 46 frames" in text
    assert "| h264 64×48 | 2     |" in text
    assert "| error " in text
    table = pq.read_table(tmp_path / "made" / "m.files.parquet")
    assert table.num_rows == 6
    assert table.column("error").null_count == 4


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["folder", "--root", "x", "--verify"], "[manifest.missing_output]"),
        (["table", "missing.csv"], "[manifest.missing_output]"),
        (["table", "missing.csv", "--verify"], "[manifest.missing_file]"),
        (["table", "missing.csv", "--verify", "--workers", "-1"], "--workers is -1;"),
        (["table", "missing.csv", "--verify", "--seconds-per-file", "nan"], "--seconds-per-file is nan"),
        (["table", "missing.csv", "--verify", "--seconds-per-file", "inf"], "--seconds-per-file is inf"),
    ],
)
def test_bad_options(capsys: pytest.CaptureFixture[str], options: list[str], message: str):
    assert cli.main(["manifest", *options]) == 2
    captured = capsys.readouterr()
    assert message in captured.err
    assert captured.err.count("\n") == 1


def test_a_damaged_second_image_is_ignored(tmp_path: Path):
    """As in training and scoring, which read the first image."""
    content = io.BytesIO()
    pages = [Image.new("RGB", (8, 6), color) for color in ("red", "green", "blue")]
    pages[0].save(content, "TIFF", save_all=True, append_images=pages[1:])
    (tmp_path / "a.tif").write_bytes(content.getvalue()[: len(content.getvalue()) // 2])
    info = describe(Row(0, str(tmp_path / "a.tif")))
    assert (info.frames, info.announced, info.width, info.height) == (1, 1, 8, 6)


def test_images_with_signed_pixels_are_refused(tmp_path: Path):
    Image.fromarray(np.arange(48, dtype=np.uint16).reshape(6, 8)).save(tmp_path / "a.tif", tiffinfo={0x0153: 2})
    with pytest.raises(DecodeError, match="signed pixels") as caught:
        describe(Row(0, str(tmp_path / "a.tif")))
    assert caught.value.code == "image.unsupported_pixels"


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_a_killed_verification_resumes(dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, suffix: str):
    """And whoever finds that another worker has written the table meanwhile reads it."""
    manifest, table, options = load_manifest(dataset), tmp_path / f"t{suffix}", {"workers": 0, "seconds": 60}
    whole = verify_files(manifest, tmp_path / f"whole{suffix}", **options)
    monkeypatch.setattr(verify_job, "ROWS_AT_ONCE", 2)
    write, work, seen = VerifyWorker.write, VerifyWorker.work, []

    def killed(worker: VerifyWorker, number: int, files: dict[str, bytes]) -> None:
        if number == 2:
            raise KeyboardInterrupt
        write(worker, number, files)

    def noted(row: Row) -> object:
        seen.append(row.example_id)
        return describe(row)

    with monkeypatch.context() as context:
        context.setattr(VerifyWorker, "write", killed)
        with pytest.raises(KeyboardInterrupt):
            verify_files(manifest, table, **options)
    assert not table.exists()
    (tmp_path / "other.csv").write_text("path\nother.mp4\n")
    with refused("verify.other_manifest", ".parts"):
        verify_files(load_manifest(tmp_path / "other.csv"), table, **options)

    def overtaken(worker: VerifyWorker) -> None:
        work(worker)
        monkeypatch.setattr(VerifyWorker, "work", work)
        assert verify_files(manifest, table, **options).document() == whole.document()

    monkeypatch.setattr(verify_job, "describe", noted)
    monkeypatch.setattr(VerifyWorker, "work", overtaken)
    assert verify_files(manifest, table, **options).document() == whole.document()
    assert seen == [4, 5, 6, 7, 8]
    found, expected = (
        pyarrow.csv.read_csv(file) if suffix == ".csv" else pq.read_table(file)
        for file in (table, tmp_path / f"whole{suffix}")
    )
    assert found == expected
    assert not list(tmp_path.glob("*.parts"))


def test_shards_that_a_killed_worker_did_not_remove_are_nobodys(
    dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, write_csv: Callable[..., Path]
):
    """They are of a job that is over, perhaps of another manifest."""
    table, options = tmp_path / "t.csv", {"workers": 0, "seconds": 60}

    def killed(store: LocalStore, folder: str) -> None:
        raise KeyboardInterrupt

    manifest = load_manifest(dataset)
    with monkeypatch.context() as context:
        context.setattr(LocalStore, "remove_folder", killed)
        with pytest.raises(KeyboardInterrupt):
            verify_files(manifest, table, **options)
    others = write_csv("others.csv", ["path"], [[str(tmp_path / "b/image.png")]] * 9)
    summary = verify_files(load_manifest(others), table, **options)
    assert (summary.readable, summary.kinds) == (9, {"png 30×20": 9})
    assert pyarrow.csv.read_csv(table).column("container").to_pylist() == ["image"] * 9
    assert not table.with_name("t.csv.parts").exists()


def test_a_worker_whose_job_another_has_ended_takes_the_others_table(
    dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """The folder of the job may go just when this worker writes there."""
    manifest, table = load_manifest(dataset), tmp_path / "table.csv"
    whole = verify_files(manifest, tmp_path / "whole.csv", workers=0, seconds=60)

    def overtaken(worker: VerifyWorker, number: int, files: object) -> None:
        if over:
            shutil.copy(tmp_path / "whole.csv", table)
            shutil.rmtree(tmp_path / "table.csv.parts")
        raise FileNotFoundError(2, "No such file or directory")

    monkeypatch.setattr(VerifyWorker, "write", overtaken)
    over = False
    with pytest.raises(FileNotFoundError):
        verify_files(manifest, table, workers=0, seconds=60)
    over = True
    assert verify_files(manifest, table, workers=0, seconds=60).document() == whole.document()
    assert not (tmp_path / "table.csv.parts").exists()
