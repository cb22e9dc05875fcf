"""`vidsemi manifest … --exclude-duplicates-of`: made and real files, killed and resumed, large and odd ones."""

import csv
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import av
import numpy as np
import pyarrow as pa
import pytest
from PIL import Image

from tests.data.formats.test_tar import write_tar
from tests.helpers.builders import paths_of
from tests.helpers.errors import assert_refused
from vidsemi.cli import main as cli
from vidsemi.data.batches import TableBatches
from vidsemi.data.dedup import frame_hashes as hashes
from vidsemi.data.dedup import hash_job
from vidsemi.data.dedup.checks import read_checks, recorded_checks
from vidsemi.data.dedup.exclude import _select_rows, check_duplicates
from vidsemi.data.dedup.frame_hashes import hash_file
from vidsemi.data.manifest import Row, load_manifest


def spots(seed: int, size: int) -> Image.Image:
    """Large soft spots, others for every seed."""
    colours = np.random.default_rng(seed).integers(0, 256, (7, 7, 3), np.uint8)
    return Image.fromarray(colours).resize((size, size), Image.Resampling.BICUBIC)


def picture(file: Path, seed: int, size: int = 64, quality: int = 95) -> Path:
    file.parent.mkdir(exist_ok=True)
    spots(seed, size).save(file, quality=quality)
    return file


def video(file: Path, first_seed: int, size: int = 96, codec: str = "libx264") -> Path:
    """20 frames of spots, which change after every fourth."""
    with av.open(str(file), "w") as container:
        stream = container.add_stream(codec, rate=10)
        stream.width, stream.height, stream.pix_fmt = size, size, "yuv420p"
        for number in range(20):
            container.mux(stream.encode(av.VideoFrame.from_image(spots(first_seed + number // 4, size))))
        container.mux(stream.encode(None))
    return file


def exclude(folder: Path, *words: str, output: str = "U.csv") -> dict:
    command = ["manifest", "table", str(folder / "all.csv"), "--output", str(folder / "out" / output), "--json"]
    assert cli.main([*command, *words]) == 0
    return json.loads((folder / "out" / output).with_suffix(".duplicates.json").read_text())


def removed(folder: Path) -> list[dict[str, str]]:
    with open(folder / "out" / "U.duplicates.csv", newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


@pytest.fixture
def dataset(tmp_path: Path, write_csv: Callable[..., Path]) -> Path:
    """Pictures and videos, some of them copies of one another or of those of a test set, and files that are neither."""
    test = [picture(tmp_path / "test" / "0.png", 0), video(tmp_path / "test" / "v.mp4", 100)]
    copy = tmp_path / "u" / "copy.png"
    files = [
        picture(tmp_path / "u" / "new.png", 1),
        picture(tmp_path / "u" / "again.jpg", 1, quality=70),
        Path(shutil.copy(test[0], copy)),
        picture(tmp_path / "u" / "small.jpg", 0, size=48, quality=50),
        video(tmp_path / "u" / "other.mp4", 200),
        video(tmp_path / "u" / "coded.avi", 100, 64, "mpeg4"),
        tmp_path / "u" / "broken.jpg",
        tmp_path / "u" / "black.png",
    ]
    files[-2].write_bytes(b"nothing")
    Image.new("RGB", (64, 64)).save(files[-1])
    write_csv("test.csv", ["path"], [[str(file)] for file in test])
    write_csv("all.csv", ["path", "label"], [[str(file), "a"] for file in files])
    return tmp_path


@pytest.mark.slow
@pytest.mark.parametrize("workers", ["0", "2"])
def test_which_examples_are_removed_and_kept(dataset: Path, workers: str, capsys: pytest.CaptureFixture[str]):
    words = ["--exclude-duplicates-of", str(dataset / "test.csv"), "--exclude-duplicates", "--workers", workers]
    record = exclude(dataset, *words)
    assert [(one["path"].split("/")[-1], one["kind"], one["of_path"].split("/")[-1]) for one in removed(dataset)] == [
        ("copy.png", "exact", "0.png"),
        ("small.jpg", "near", "0.png"),
        ("coded.avi", "near", "v.mp4"),
        ("again.jpg", "near", "new.png"),
    ]
    assert [one["of"] for one in removed(dataset)] == [*[str(dataset / "test.csv")] * 3, "itself"]
    kept = ["new.png", "other.mp4", "broken.jpg", "black.png"]
    assert [path.split("/")[-1] for path in paths_of(dataset / "out" / "U.csv")] == kept
    assert len(paths_of(dataset / "out" / "U.all.csv")) == 8
    test, itself = record["checked"]
    assert (test["exact"], test["near"], itself["exact"], itself["near"]) == (1, 2, 0, 1)
    assert (record["examples"], record["removed"], record["unread"], record["flat"]) == (4, 4, 1, 1)
    assert record["manifest"] == load_manifest(dataset / "out" / "U.csv").fingerprint
    assert "broken.jpg" in (dataset / "out" / "U.unread.txt").read_text()
    assert json.loads(capsys.readouterr().out)["duplicates"]["checked"][0]["near"] == 2


def test_no_near_ones_with_zero_bits_in_a_far_copy(dataset: Path):
    record = exclude(
        dataset, "--exclude-duplicates-of", str(dataset / "test.csv"), "--max-distance-test", "0", "--workers", "0"
    )
    assert record["checked"][0]["exact"] == 1 and len(record["checked"]) == 1
    assert all(one["distance"] == "0" for one in removed(dataset))


@pytest.mark.slow
def test_a_check_alone_records_only_that_there_are_none(dataset: Path):
    settings = {"max_distance_test": 6, "workers": 1, "seconds": 60}
    tests = {"test": load_manifest(dataset / "test.csv")}
    everything = load_manifest(dataset / "all.csv")
    before = everything.file.read_bytes()
    exclude(dataset, "--exclude-duplicates-of", str(dataset / "test.csv"))
    found = check_duplicates(everything, tests=[*tests.values()], **settings)
    assert found.removed == len(removed(dataset)) > 0
    assert everything.file.read_bytes() == before
    assert recorded_checks({"all": everything}, tests)[0].counts is None
    rest = load_manifest(dataset / "out" / "U.csv")
    record = rest.file.with_suffix(".duplicates.json")
    record.unlink()
    assert check_duplicates(rest, tests=[*tests.values()], **settings).removed == 0
    counts = recorded_checks({"rest": rest}, tests)[0].counts
    assert counts is not None and (counts["exact"], counts["near"]) == (0, 0)


def test_killed_and_resumed_is_undisturbed(dataset: Path, monkeypatch: pytest.MonkeyPatch):
    """Shards that are written are not hashed again, after a kill or for another test set; changed files are."""
    words = ["--exclude-duplicates-of", str(dataset / "test.csv"), "--exclude-duplicates", "--workers", "0"]
    seen: list[str] = []

    def counted(one: Row) -> hashes.FileHashes:
        seen.append(one.path)
        if len(seen) == 4:
            raise KeyboardInterrupt
        return hash_file(one)

    monkeypatch.setattr(hash_job, "SHARD_SIZE", 3)
    monkeypatch.setattr(hash_job, "hash_file", counted)
    command = ["manifest", "table", str(dataset / "all.csv"), "--output", str(dataset / "out" / "U.csv")]
    assert cli.main([*command, *words]) == 130
    assert not (dataset / "out" / "U.csv").exists()
    resumed = exclude(dataset, *words)
    assert len(seen) == 4 + 5 + 2  # the fourth again, and the test set
    monkeypatch.setattr(hash_job, "hash_file", hash_file)
    (dataset / "again").mkdir()
    shutil.copy(dataset / "all.csv", dataset / "again")
    undisturbed = exclude(dataset / "again", *words)
    assert {**resumed, "manifest": ""} == {**undisturbed, "manifest": ""}
    seen[:] = [""] * 10
    monkeypatch.setattr(hash_job, "hash_file", counted)
    picture(dataset / "u" / "new.png", 5)
    exclude(dataset, *words[2:])
    assert [Path(path).name for path in seen[10:]] == ["new.png", "broken.jpg"]


@pytest.mark.slow
def test_members_of_tars(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    pictures = [picture(tmp_path / f"{seed}.png", seed).read_bytes() for seed in range(3)]
    write_tar(tmp_path / "u.tar", {"a.png": pictures[0], "b.png": pictures[1], "c.png": pictures[0]})
    write_tar(tmp_path / "t.tar", {"x.png": pictures[2], "y.png": pictures[1]})
    test, output = tmp_path / "t.csv", tmp_path / "out" / "U.csv"
    assert cli.main(["manifest", "tar", str(tmp_path / "t.tar"), "--output", str(test), "--workers", "1"]) == 0
    words = ["--output", str(output), "--exclude-duplicates-of", str(test), "--exclude-duplicates", "--workers", "1"]
    assert cli.main(["manifest", "tar", str(tmp_path / "u.tar"), *words]) == 0
    assert [(one["member"], one["kind"], one["of_member"]) for one in removed(tmp_path)] == [
        ("b.png", "exact", "y.png"),
        ("c.png", "exact", "a.png"),
    ]
    assert load_manifest(output).table["member"].to_pylist() == ["a.png"]
    assert "U.csv: 1 examples; 2 duplicates were removed" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "code", "mentioned"),
    [
        (["--exclude-duplicates-of", "gone.csv"], "manifest.missing_file", "gone.csv"),
        (["--exclude-duplicates-of", "{here}/out/U.csv"], "output.is_input", "U.csv"),
        (["--exclude-duplicates", "--max-distance", "17"], "options.invalid", "--max-distance is 17"),
        (["--exclude-duplicates-of", "{here}/all.csv"], "duplicates.nothing_left", "all 1 examples"),
        (["--exclude-duplicates-of", "{here}/lost.csv"], "files.none_reachable", "lost.csv"),
        (["--test-root", "{here}", "--exclude-duplicates"], "manifest.unused_test_root", "--test-root"),
    ],
)
def test_what_cannot_be_is_one_line(
    tmp_path: Path,
    write_csv: Callable[..., Path],
    words: list[str],
    code: str,
    mentioned: str,
    capsys: pytest.CaptureFixture[str],
):
    write_csv("all.csv", ["path"], [[str(picture(tmp_path / "a.png", 0))]])
    write_csv("lost.csv", ["path"], [["lost.png"]])
    command = ["manifest", "table", str(tmp_path / "all.csv"), "--output", str(tmp_path / "out" / "U.csv")]
    assert cli.main([*command, "--workers", "0", *(word.format(here=tmp_path) for word in words)]) == 2
    last = capsys.readouterr().err.splitlines()[-1]
    assert mentioned in last and (f"[{code}]" in last or not code)
    assert not (tmp_path / "out" / "U.csv").exists()


def test_real_files_are_known_when_coded_again(real_data: Path, tmp_path: Path):
    """A clip at another size, rate and codec; two that have nothing to do with one another are far apart."""
    clips = [real_data / "clips" / name for name in ("mmaction2_demo.mp4", "v_SoccerJuggling_g23_c01.avi")]
    with av.open(str(clips[0])) as source, av.open(str(tmp_path / "again.avi"), "w") as target:
        frames = [frame.to_image().resize((160, 120)) for frame in source.decode(video=0)][::2]
        stream = target.add_stream("mpeg4", rate=15)
        stream.width, stream.height, stream.pix_fmt = 160, 120, "yuv420p"
        for image in frames:
            target.mux(stream.encode(av.VideoFrame.from_image(image)))
        target.mux(stream.encode(None))
    one, other, again = (hash_file(Row(0, str(file))) for file in (*clips, tmp_path / "again.avi"))
    assert sum((a ^ b).bit_count() <= 6 for a, b in zip(one.frames, again.frames, strict=True)) >= 3
    assert all((a ^ b).bit_count() > 12 for a, b in zip(one.frames, other.frames, strict=True))
    assert len({one.content, other.content, again.content}) == 3


@pytest.mark.parametrize("kind", ["one color", "noise of a coder", "stripes"])
def test_a_picture_of_nothing_is_no_evidence(kind: str):
    frame = np.full((3, 32, 32), 90, np.uint8)
    if kind == "noise of a coder":
        frame += np.random.default_rng(0).integers(0, 4, frame.shape, np.uint8)
    if kind == "stripes":
        frame[..., ::4] = 200
    assert hashes.perceptual_hash(frame) == 0


def test_paths_of_more_than_two_gigabytes():
    """Which are nothing but zeros that no memory stands behind."""
    size = 1_200_000_000
    ends = pa.py_buffer(np.array([0, size, size + 1], np.int32))
    paths = pa.StringArray.from_buffers(2, ends, pa.py_buffer(np.zeros(size + 1, np.uint8)))
    batches = TableBatches(pa.table({"path": pa.chunked_array([paths, paths])}))
    left = [table["path"].to_pylist() for table in _select_rows(batches, pa.array([False, True] * 2))]
    assert left == [["\0"], ["\0"]]


@pytest.mark.parametrize("role", ["test set", "input"])
def test_the_manifest_of_all_examples_replaces_no_input(
    role: str, tmp_path: Path, write_csv: Callable[..., Path], capsys: pytest.CaptureFixture[str]
):
    write_csv("dataset.csv", ["path"], [[str(picture(tmp_path / "a.png", 0))]])
    test = write_csv("U.all.csv", ["path"], [[str(picture(tmp_path / "b.png", 1))]])
    before = test.read_bytes()
    words = [tmp_path / "dataset.csv", "--exclude-duplicates-of", test]
    if role == "input":
        words = [test, "--exclude-duplicates"]
    command = ["manifest", "table", *map(str, words), "--output", str(tmp_path / "U.csv"), "--workers", "0"]
    assert cli.main(command) == 2
    assert_refused(capsys.readouterr().err, "output.is_input", "U.all.csv")
    assert test.read_bytes() == before


def test_a_test_set_under_another_root_is_other_files(dataset: Path, write_csv: Callable[..., Path]):
    test = write_csv("relative.csv", ["path"], [["0.png"], ["v.mp4"]])
    words = ["--exclude-duplicates-of", str(test), "--test-root", str(dataset / "test"), "--workers", "0"]
    record = exclude(dataset, *words)
    assert (record["checked"][0]["exact"], record["checked"][0]["near"]) == (1, 2)

    def known(root: Path | None, own_root: Path | None = None) -> bool:
        clean = load_manifest(dataset / "out" / "U.csv", own_root)
        return recorded_checks({"unlabeled": clean}, {"test": load_manifest(test, root)})[0].counts is not None

    assert known(dataset / "test") and known(dataset / "u" / ".." / "test", dataset / "out")
    assert not known(None) and not known(dataset / "u") and not known(dataset / "test", dataset / "u")


@pytest.mark.parametrize("wrong", [{"exact": None}, {"near": "2"}, {"flat": True}, {"unread": []}])
def test_records_of_anybody_are_known_or_not(wrong: dict, dataset: Path, tmp_path: Path):
    found = {"max_distance": 6, "exact": 1, "near": 2, "unread": 0, "flat": 0}
    found |= {"dataset_unread": 0, "dataset_flat": 0}
    check = {"dataset": "u", "manifest": "u.csv", "test": "test", "test_manifest": "t.csv", "counts": found}
    for document, known in (
        ([check], True),
        ([{**check, "counts": {**found, **wrong}}], False),
        ([{**check, "counts": {"exact": None}}], False),
        ([{**check, "dataset": 1}], False),
        ([None], False),
    ):
        (tmp_path / "duplicates.json").write_text(json.dumps({"format": 2, "checks": document}))
        assert (read_checks(tmp_path) is not None) == known
    (tmp_path / "duplicates.json").write_text(json.dumps({"format": 1, "checks": [check]}))
    assert read_checks(tmp_path) is None
    record = exclude(dataset, "--exclude-duplicates-of", str(dataset / "test.csv"), "--workers", "0")
    pair = {"u": load_manifest(dataset / "out" / "U.csv")}, {"test": load_manifest(dataset / "test.csv")}
    assert recorded_checks(*pair)[0].counts is not None
    (dataset / "out" / "U.duplicates.json").write_text(json.dumps({**record, "format": 1}))
    assert recorded_checks(*pair)[0].counts is None
    record["checked"][0].update(wrong)
    (dataset / "out" / "U.duplicates.json").write_text(json.dumps(record))
    assert recorded_checks(*pair)[0].counts is None


def test_the_bytes_of_a_file_are_read_once_for_all_its_parts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    clip = video(tmp_path / "v.mp4", 100)
    started: list[int] = []

    class Digest:
        def __init__(self) -> None:
            started.append(1)

        update = staticmethod(len)
        digest = staticmethod(lambda: bytes([len(started)]) * 32)

    monkeypatch.setattr(hashes.hashlib, "sha256", Digest)
    parts = [hash_file(Row(n, str(clip), start=n / 2, end=n / 2 + 0.5)) for n in range(4)]
    assert len(started) == 1 and len({part.content for part in parts}) == 1
    assert len({part.frames for part in parts}) == 4
    video(clip, 300)
    assert hash_file(Row(0, str(clip))).content != parts[0].content


@pytest.mark.slow
def test_what_another_command_writes_just_now_stays(dataset: Path):
    folder = dataset / "out" / "hashes"
    folder.mkdir(parents=True)
    new, old = folder / ".part-new.tmp", folder / ".part-old.tmp"
    for file in (new, old):
        file.write_bytes(b"half")
    os.utime(old, (0, 0))
    exclude(dataset, "--exclude-duplicates", "--workers", "0")
    assert new.exists() and not old.exists()
