"""`vidsemi init`: what it finds in folders, how it splits, and that its config runs."""

import csv
import json
import os
import shlex
from pathlib import Path

import pytest
import yaml

from tests.conftest import REPOSITORY
from tests.helpers.errors import assert_refused, refused
from tests.helpers.videos import write_video
from vidsemi.cli import main as cli
from vidsemi.config.load import load_config
from vidsemi.data.manifest import Manifest
from vidsemi.data.sample import sample_videos
from vidsemi.pipeline.init import init
from vidsemi.pipeline.init_config import render

CLIPS = {"jump": 6, "run": 5, "sit": 5}


def touch(root: Path, *names: str) -> Path:
    """Empty files, which no split or count opens."""
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()
    return root


def rows(manifest: Path) -> list[dict[str, str]]:
    with open(manifest, newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three classes of short videos, and four without a class."""
    root = tmp_path_factory.mktemp("clips")
    for folder, count in {**{f"labeled/{name}": count for name, count in CLIPS.items()}, "more": 4}.items():
        (root / folder).mkdir(parents=True)
        for number in range(count):
            write_video(root / folder / f"{chr(97 + number) * 3}.mp4", 16, rate=8, codec="mpeg4", bf=0)
    return root


@pytest.mark.slow
def test_the_commands_that_it_prints_work(
    clips: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.chdir(tmp_path)
    folders = ["--labeled", str(clips / "labeled"), "--unlabeled", str(clips / "more")]
    assert cli.main(["init", "own", *folders]) == 0
    text = capsys.readouterr().out
    for part in ("3 classes", "13 labeled", "3 test", "4 unlabeled", "2 s, 8 frames/s", "10 were opened"):
        assert part in text
    check, then = (line.partition(": vidsemi ")[2] for line in text.splitlines() if ": vidsemi run" in line)
    assert cli.main(shlex.split(check)) == 0
    assert "semi_supervised/pretrain" in capsys.readouterr().out
    short = [f"train.{name}.examples=32" for name in ("supervised", "pretrain", "finetune")]
    short += [f"train.{name}.warmup_examples=0" for name in ("supervised", "pretrain")]
    small = ["input.resize=[16,16]", "input.crop=16", "score.views=1", "evaluate.views=1", "runtime.workers=0"]
    assert cli.main([*shlex.split(then), "runtime.device=cpu", *short, *small, "--json"]) == 0
    results = json.loads(capsys.readouterr().out)["results"]
    assert {row["approach"] for row in results} == {"teacher", "supervised", "semi_supervised"}
    assert {row["total"] for row in results} == {3}


def test_what_is_written(clips: Path, tmp_path: Path):
    project = init(tmp_path / "own", clips / "labeled")
    assert project.labeled == {"jump": 5, "run": 4, "sit": 4} and project.test == dict.fromkeys(CLIPS, 1)
    train, test = (rows(tmp_path / "own" / name) for name in ("labeled.csv", "test.csv"))
    everything = [*train, *test]
    assert sorted(row["path"] for row in everything) == sorted(map(str, (clips / "labeled").glob("*/*.mp4")))
    assert all(Path(row["path"]).parent.name == row["label"] for row in everything)
    assert sorted(path.name for path in (tmp_path / "own").iterdir()) == ["config.yaml", "labeled.csv", "test.csv"]
    config = load_config(str(project.config))
    assert config.approaches == ("supervised",) and config.data.unlabeled is None
    assert config.input.stride == 2  # (16 - 1) // (8 - 1): a clip fits in the video
    assert config.output == str(tmp_path / "own" / "run")
    again = init(tmp_path / "again", clips / "labeled")
    assert rows(tmp_path / "again" / "test.csv") == test and again.labeled == project.labeled


def test_parts_of_one_recording_stay_together(tmp_path: Path):
    names = [f"{c}/v_{c}_g{g:02d}_c{n:02d}.avi" for c in ("Punch", "Fish") for g in range(8) for n in range(1 + g % 4)]
    root = touch(tmp_path / "videos", *names)
    project = init(tmp_path / "own", root)
    train, test = (rows(tmp_path / "own" / name) for name in ("labeled.csv", "test.csv"))
    assert not {row["group"] for row in train} & {row["group"] for row in test}
    assert {row["group"] for row in train + test} == {
        f"{c}/v_{c}_g{g:02d}_" for c in ("Punch", "Fish") for g in range(8)
    }
    for name in ("Punch", "Fish"):
        assert 0 < project.test[name] <= 0.2 * 20
    assert any("_c00.avi and v_" in note for note in project.notes)
    init(tmp_path / "by_parity", root, group=r"_g\d*?([0-9])_")
    assert {row["group"] for row in rows(tmp_path / "by_parity" / "test.csv")} < set("01234567")
    with refused("split.group_mismatch", "cam"):
        init(tmp_path / "no", root, group=r"(cam\d+)")
    for pattern in ("(", "abc", "(a)(b)"):
        with refused("init.invalid_group", "--group", "group"):
            init(tmp_path / "no", root, group=pattern)
    assert not (tmp_path / "no").exists()


def test_numbered_videos_of_a_class_are_not_one_recording(tmp_path: Path):
    root = touch(tmp_path / "videos", *(f"{c}/clip_{n:03d}.mp4" for c in "ab" for n in range(10)))
    project = init(tmp_path / "own", root)
    assert project.test == {"a": 2, "b": 2} and "group" not in rows(tmp_path / "own" / "test.csv")[0]
    assert any("--group" in note for note in project.notes)


def test_a_test_folder_and_what_is_left_out(tmp_path: Path):
    root = touch(tmp_path / "train", "a/1x.mp4", "a/2x.mp4", "a/thumb.jpg", "b/1y.mp4", "b/notes.txt", ".cache/z.mp4")
    test = touch(tmp_path / "test", "a/9x.mp4")
    more = touch(tmp_path / "all", "u.mp4", "deep/v.mkv", "cover.png")
    (more / "again.mp4").symlink_to(test / "a/9x.mp4")
    (more / "labels").symlink_to(root)
    project = init(tmp_path / "own", root, test=test, unlabeled=more)
    assert (project.labeled, project.test, project.unlabeled) == ({"a": 2, "b": 1}, {"a": 1}, 2)
    assert [Path(row["path"]).name for row in rows(tmp_path / "own" / "unlabeled.csv")] == ["v.mkv", "u.mp4"]
    notes = " ".join(project.notes)
    for part in ("1 images", ".txt (1)", "4 unlabeled videos", "1 classes have no test videos: b"):
        assert part in notes
    assert "unlabeled: " in project.config.read_text() and load_config(str(project.config)).data.unlabeled
    assert (project.sample.opened, len(project.sample.errors)) == (0, 3)


def test_names_that_are_not_utf8(tmp_path: Path):
    root = touch(tmp_path / "videos", *(f"{c}/{c}{n}x.mp4" for c in "ab" for n in range(3)))
    (root / "a" / os.fsdecode(b"\xff.mp4")).touch()
    project = init(tmp_path / "own", root)
    assert sum(project.labeled.values()) + sum(project.test.values()) == 6
    assert any("1 files with names that are not UTF-8" in note for note in project.notes)
    for folder in (os.fsdecode(b"\xff"), "a\nb: c"):
        with refused("init.invalid_folder", "\\"):
            init(tmp_path / folder, root)


def test_odd_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    monkeypatch.chdir(tmp_path)
    odd = ["é: {x}", "#1 'q' \"d\"", "new\nline", "- dash", "100%", "a\\b"]
    root = touch(tmp_path / "my videos", *(f"{name}/{name}{n}x.mp4" for name in odd for n in range(3)))
    for folder in ("ö: #x", "-x'y\"", "100", "true"):
        assert cli.main(["init", "--labeled", str(root), "--", folder]) == 0
        text = capsys.readouterr().out
        assert "new\nline" not in text
        words = shlex.split(text.splitlines()[-1].partition("vidsemi ")[2])
        config = load_config(cli.parse(cli.build_parser(), words).cfg)
        assert (config.output, config.data.labeled.manifest) == (f"{folder}/run", f"{folder}/labeled.csv")
        assert Manifest.read(f"{folder}/labeled.csv").label_counts() == dict.fromkeys(odd, 2)


@pytest.mark.parametrize(
    ("files", "code", "mentioned"),
    [
        ([], "folder.no_media", "videos"),
        (["a/x.txt", "b/y.txt"], "folder.no_media", ".txt (2)"),
        (["a/x.jpg", "b/y.png"], "init.no_videos", "2 images"),
        (["a/x.mp4", "a/y.mp4"], "init.one_class", "'a'"),
        (["videos/a/x.mp4", "videos/b/y.mp4"], "init.one_class", "videos/videos?"),
        (["a/x.mp4", "b/y.mp4", "z.mp4"], "folder.no_class", "z.mp4"),
        (["a/x.mp4", "b/y.mp4"], "init.cannot_split", "--test"),
        (["a/x.mp4", " /y.mp4"], "init.empty_class", "spaces"),
    ],
)
def test_folders_that_cannot_be_used(files: list[str], code: str, mentioned: str, tmp_path: Path):
    root = touch(tmp_path / "videos", *files)
    root.mkdir(exist_ok=True)
    with refused(code, mentioned, root):
        init(tmp_path / "own", root)
    assert not (tmp_path / "own").exists()


def test_folders_that_do_not_fit_together(tmp_path: Path):
    root = touch(tmp_path / "videos", *(f"{c}/{c}{n}x.mp4" for c in ("jumps", "runs") for n in range(3)))
    with refused("init.unknown_class", "'jump'", "did you mean 'jumps'?"):
        init(tmp_path / "own", root, test=touch(tmp_path / "test", "jump/x.mp4", "runs/y.mp4"))
    with refused("init.test_in_labeled", "6", root):
        init(tmp_path / "own", root, test=root)
    with refused("scan.empty", "without the labeled"):
        init(tmp_path / "own", root, unlabeled=root)
    with refused("folder.missing", "nowhere"):
        init(tmp_path / "own", root, unlabeled=tmp_path / "nowhere")
    assert not (tmp_path / "own").exists()


def test_nothing_is_overwritten(clips: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    (tmp_path / "own").mkdir()  # empty: may be used
    command = ["init", str(tmp_path / "own"), "--labeled", str(clips / "labeled")]
    assert cli.main(command) == 0
    before = {file.name: file.read_bytes() for file in (tmp_path / "own").iterdir()}
    capsys.readouterr()
    assert cli.main(command) == 2
    assert_refused(capsys.readouterr().err, "init.exists", "config.yaml")
    assert {file.name: file.read_bytes() for file in (tmp_path / "own").iterdir()} == before
    (tmp_path / "file").touch()
    assert cli.main(["init", str(tmp_path / "file"), "--labeled", str(clips / "labeled")]) == 2
    assert "file" in capsys.readouterr().err


def test_the_recipe_is_that_of_the_template():
    text = (REPOSITORY / "configs" / "own_videos.yaml").read_text(encoding="utf-8")
    values = {name: Path(f"data/own/{name}.csv") for name in ("labeled", "test", "unlabeled")}
    values |= {"output": Path("runs/own_videos"), "semi_supervised": False, "stride": 4, "learning_rate": 0.02}
    values |= {
        "about_labeled": "",
        "about_stride": "",
        "supervised": 3008,
        "about_supervised": " # 25 epochs of 120 videos",
    }
    body = render(**values, pretrain=3008, finetune=752, per_class=20)
    assert text.endswith(body) and text.removesuffix(body).count("\n") == text.removesuffix(body).count("\n#") + 1
    assert yaml.safe_load(text)["approaches"] == ["supervised"]


def test_a_sample_reads_what_containers_say(clips: Path, real_data: Path):
    sample = sample_videos([str(real_data / "ucf3/Punch/v_Punch_g08_c01.avi"), str(clips / "nothing.mp4")], 10)
    assert (sample.opened, sample.rate) == (1, 25.0) and sample.seconds and 1 < sample.seconds < 20
    assert sample.frames == round(sample.seconds * 25) and "nothing.mp4" in sample.errors[0]


def test_real_clips(real_data: Path, tmp_path: Path):
    videos = tmp_path / "videos"
    videos.mkdir()
    for name in ("BabyCrawling", "Punch", "PushUps"):
        (videos / name).symlink_to(real_data / "ucf3" / name)
    project = init(tmp_path / "own", videos)
    sets = [rows(tmp_path / "own" / name) for name in ("labeled.csv", "test.csv")]
    groups = [{os.path.basename(row["path"]).rpartition("_")[0] for row in own} for own in sets]
    assert not groups[0] & groups[1] and len(groups[0] | groups[1]) == 33
    assert sum(map(len, sets)) == 167 and all(len(own) / 167 > 0.1 for own in sets)
    assert load_config(str(project.config)).input.stride == 4
