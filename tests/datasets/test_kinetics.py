"""datasets/kinetics/prepare.py: the usual copies and one's own videos become the manifests of the config."""

import csv
import importlib.util
import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pyarrow.parquet as pq
import pytest

from tests.conftest import REPOSITORY
from tests.data.test_manifest import touch
from tests.helpers.errors import refused
from vidsemi.cli import main as cli
from vidsemi.data.manifest_file import write_manifest

Prepare = Callable[..., dict[str, Any]]

SCRIPT = REPOSITORY / "datasets" / "kinetics" / "prepare.py"
HEADER = ["label", "youtube_id", "time_start", "time_end", "split"]
TRAIN = [
    ["abseiling", "-3B32lodo2M", "59", "69", "train"],
    ["air drumming", "-_abc_-1xyz", "5", "15", "train"],
    ["massaging person's head", "bbbbbbbbbbb", "10", "20", "train"],
    ["passing American football (in game)", "ccccccccccc", "1", "11", "train"],
    ["zumba", "ddddddddddd", "2", "12", "train"],
]
VAL = [["abseiling", "0wR5jVB-WPk", "417", "427", "val"], ["zumba", "eeeeeeeeeee", "3", "13", "val"]]
CLIPS = [f"{name}_{int(start):06d}_{int(end):06d}.mp4" for _, name, start, end, _ in TRAIN]
VAL_CLIPS = ["0wR5jVB-WPk_000417_000427.mp4", "eeeeeeeeeee_000003_000013.mp4"]


@pytest.fixture(scope="module")
def script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("prepare_kinetics", SCRIPT)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def prepare(script: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Prepare:
    """Run prepare.py in `tmp_path`: the columns of the manifests that are there afterwards."""
    monkeypatch.chdir(tmp_path)

    def run(*words: object) -> dict[str, Any]:
        monkeypatch.setattr(sys, "argv", ["prepare.py", *map(str, words), "--output", "out"])
        script.main()
        return {file.stem: pq.read_table(file).to_pydict() for file in Path("out").glob("*.parquet")}

    return run


def write_list(file: Path, rows: list[list[str]]) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    with open(file, "w", newline="") as stream:
        csv.writer(stream, quoting=csv.QUOTE_NONNUMERIC).writerows([HEADER, *rows])
    return file


def cvdf(root: Path) -> Path:
    """A copy as the CVDF's scripts leave it; the last clip of the train split is not there."""
    write_list(root / "annotations" / "train.csv", TRAIN)
    write_list(root / "annotations" / "val.csv", VAL)
    write_list(root / "annotations" / "test.csv", [])
    replaced = f"replacement/replacement_for_corrupted_k400/{CLIPS[2]}"
    return touch(root, *(f"train/{name}" for name in CLIPS[:-1]), *(f"val/{name}" for name in VAL_CLIPS), replaced)


def folders(root: Path, train: str, val: str, form: str = "{}") -> Path:
    """A copy in class folders as torchvision calls them."""
    for folder, rows, clips in ((train, TRAIN, CLIPS), (val, VAL, VAL_CLIPS)):
        for (label, *_), clip in zip(rows, clips, strict=True):
            name = label.replace(" ", "_").translate(dict.fromkeys(map(ord, "'()")))
            touch(root, f"{folder}/{name}/{form.format(clip)}")
    return root


def names(columns: dict[str, list]) -> list[str]:
    return [Path(path).name for path in columns["path"]]


def test_the_copy_of_the_cvdf(prepare: Prepare, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    made = prepare("--root", cvdf(tmp_path / "k400"))
    assert names(made["labeled"]) == CLIPS[:-1]
    assert made["labeled"]["label"] == [label for label, *_ in TRAIN[:-1]]
    assert [Path(path).parts[-2] for path in made["labeled"]["path"]].count("replacement_for_corrupted_k400") == 1
    assert Path(made["labeled"]["path"][2]).parent.name == "replacement_for_corrupted_k400"
    assert names(made["test"]) == VAL_CLIPS and made["test"]["label"] == ["abseiling", "zumba"]
    assert Path("out/labeled.missing.txt").read_text() == "ddddddddddd_000002_000012\n"
    assert not Path("out/test.missing.txt").exists() and "unlabeled" not in made
    assert "labeled.parquet: 4 examples; 1 listed files do not exist" in capsys.readouterr().out


def test_the_copy_of_the_cvdf_arranged_by_its_script(prepare: Prepare, tmp_path: Path):
    root = cvdf(tmp_path / "k400")
    for (label, *_), clip in zip(TRAIN[:-1], CLIPS, strict=False):
        link = root / "videos" / "train" / label / clip
        link.parent.mkdir(parents=True)
        link.symlink_to(root / "train" / clip)
    assert {Path(path).parent.name for path in prepare("--root", root)["labeled"]["path"][:2]} == {"train"}


@pytest.mark.parametrize(
    ("train", "val", "train_csv", "val_csv"),
    [
        ("train_256", "val_256", "kinetics-400_train.csv", "kinetics-400_val.csv"),
        ("compress/train_256", "compress/val_256", "annotations/kinetics_train.csv", "annotations/kinetics_val.csv"),
        ("kinetics_train", "kinetics_val", "kinetics_train/kinetics_train.csv", "kinetics_val/kinetics_val.csv"),
        ("videos_train", "videos_val", "kinetics400/train.csv", "kinetics400/validate.csv"),
        ("train", "validation", "kinetics_400_train.csv", "kinetics_400_validation.csv"),
        ("a", "b", "train.csv", "validate.csv"),
    ],
)
def test_names_of_folders_and_lists(
    prepare: Prepare, tmp_path: Path, train: str, val: str, train_csv: str, val_csv: str
):
    root = folders(tmp_path / "k400", train, val)
    write_list(root / train_csv, TRAIN[1:])  # not what the folders would say
    write_list(root / val_csv, VAL)
    made = prepare("--root", root)
    assert names(made["labeled"]) == CLIPS[1:] and names(made["test"]) == VAL_CLIPS
    assert made["labeled"]["label"] == [label for label, *_ in TRAIN[1:]]


def test_without_lists_the_folders_tell_the_labels(prepare: Prepare, tmp_path: Path):
    root = folders(tmp_path / "k400", "train_256", "val_256")
    touch(root, f"replacement/{CLIPS[0]}")
    made = prepare("--root", root)
    rows = dict(zip(names(made["labeled"]), made["labeled"]["label"], strict=True))
    assert rows == {clip: label for (label, *_), clip in zip(TRAIN, CLIPS, strict=True)}
    assert Path(made["labeled"]["path"][0]).parent.name == "replacement"
    touch(root, "train_256/air_druming/x.mp4")
    with refused("classes.unknown", "'air_druming'", "did you mean 'air drumming'"):
        prepare("--root", root)
    assert pq.read_table("out/labeled.parquet").num_rows == len(made["labeled"]["path"])


def test_lists_and_videos_elsewhere(prepare: Prepare, tmp_path: Path):
    root = folders(tmp_path / "k400", "a", "b")
    with refused("kinetics.split_missing", root, "--train-csv", "--train-videos"):
        prepare("--root", root)
    lists = [write_list(tmp_path / "lists" / "t.csv", TRAIN), write_list(tmp_path / "lists" / "v.csv", VAL)]
    words = ["--root", root, "--train-csv", lists[0], "--val-csv", lists[1], "--train-videos", root / "a"]
    assert names(prepare(*words)["labeled"]) == CLIPS
    touch(root, "train/abseiling/x.mp4", "train_256/abseiling/x.mp4")
    with refused("kinetics.ambiguous_split", root / "train", root / "train_256", "--train-videos"):
        prepare("--root", root)


TAGS = [
    {"id": "one", "hashtags": ["#AirDrumming", "#fun"]},
    {"path": "deep/two.mp4", "hashtags": "#tennis"},  # a synonym
    {"id": "three", "hashtags": "#sunset #beach"},
    {"id": "0wR5jVB-WPk", "hashtags": "#abseiling"},
    {"path": "deep/Title [eeeeeeeeeee].mp4", "hashtags": "#zumba"},
    {"id": "gone", "hashtags": "#zumba"},
]


@pytest.fixture
def mine(tmp_path: Path) -> Path:
    (tmp_path / "mine.jsonl").write_text("".join(json.dumps(row) + "\n" for row in TAGS))
    files = ["one.mp4", "one.jpg", "deep/two.mp4", "three.mp4", "0wR5jVB-WPk.mp4", "deep/Title [eeeeeeeeeee].mp4"]
    return touch(tmp_path / "mine", *files)


def test_own_videos_with_hashtags(prepare: Prepare, tmp_path: Path, mine: Path, capsys: pytest.CaptureFixture[str]):
    words = ["--root", cvdf(tmp_path / "k400"), "--videos", mine, "--hashtags", "mine.jsonl"]
    made = prepare(*words)["unlabeled"]
    assert names(made) == ["one.mp4", "two.mp4"] and made["hashtags"] == ["#airdrumming #fun", "#tennis"]
    text = capsys.readouterr().out
    assert "2 unlabeled videos are in the test split" in text
    assert "2 examples; 1 listed files do not exist" in text and "1 examples without a tag of Kinetics-400" in text
    command = re.search("vidsemi (hashtags .*)", text)
    assert command and cli.main([*command[1].split(), "--min-examples", "1"]) == 0
    assert names(prepare(*words, "--keep-all")["unlabeled"]) == ["one.mp4", "two.mp4", "three.mp4"]


def test_own_videos_as_they_are(prepare: Prepare, tmp_path: Path, mine: Path, capsys: pytest.CaptureFixture[str]):
    """In the wrong order the unlabeled set is not cleaned of a later test split, but a message says so."""
    assert len(prepare("--videos", mine)["unlabeled"]["path"]) == 5
    text = capsys.readouterr().out
    assert "videos of the test split were not removed" in text
    assert "approaches=[supervised,semi_supervised]" in text
    prepare("--root", cvdf(tmp_path / "k400"))
    assert "has 2 videos of this test split" in capsys.readouterr().out
    assert prepare("--videos", mine)["unlabeled"].keys() == {"path"}
    assert "2 unlabeled videos are in the test split" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "code", "mentioned"),
    [
        ("", "options.invalid", "--root"),
        ("--root nowhere", "folder.missing", "nowhere"),
        ("--videos nowhere", "folder.missing", "nowhere"),
        ("--videos nowhere --hashtags mine.jsonl", "folder.missing", "nowhere"),
        ("--videos mine --hashtags none.csv", "file.missing", "none.csv"),
        ("--videos mine --hashtags bare.csv", "table.missing_hashtags", "'hashtags'"),
        ("--videos mine --hashtags bare.csv --keep-all", "table.missing_hashtags", "'hashtags'"),
        ("--videos mine --hashtags dull.csv", "scan.no_tagged_examples", "1 examples of dull.csv"),
        ("--videos mine --keep-all", "options.invalid", "--keep-all needs --hashtags"),
        ("--hashtags mine.jsonl --root k400", "options.invalid", "--hashtags needs --videos"),
        ("--videos mine --val-csv v.csv", "options.invalid", "--val-csv needs --root"),
        ("--root k400 --train-csv k600.csv", "classes.unknown", "'yarn spinning'"),
        ("--root k400 --train-csv list.csv", "kinetics.missing_column", "list.csv has no column 'youtube_id'"),
        ("--root k401", "scan.no_files", "such as -3B32lodo2M_0000"),
        ("--root flat", "folder.no_class", "--train-csv"),
        ("--videos images", "folder.no_videos", "images"),
        ("--videos k400/val", "kinetics.only_test_videos", "k400/val/0wR5jVB-WPk"),
    ],
)
def test_bad_input_is_one_line_and_changes_nothing(
    prepare: Prepare, tmp_path: Path, mine: Path, write_csv: Callable[..., Path], words: str, code: str, mentioned: str
):
    cvdf(tmp_path / "k400")
    before = prepare("--root", "k400")
    touch(tmp_path, "flat/train/x.mp4", "flat/val/x.mp4", "images/a.jpg", "k401/train/x.mp4")
    write_list(tmp_path / "k401" / "train.csv", TRAIN)
    write_csv("bare.csv", ["path"], [["one.mp4"]])
    write_csv("dull.csv", ["path", "hashtags"], [["one.mp4", "#sunset"]])
    write_csv("list.csv", ["k400/train/x.mp4 1"], [["k400/train/y.mp4 2"]])
    write_csv("k600.csv", HEADER, [["yarn spinning", *TRAIN[0][1:]]])
    with refused(code, mentioned):
        prepare(*words.split())
    assert {file.stem: pq.read_table(file).to_pydict() for file in Path("out").glob("*.parquet")} == before


@pytest.mark.slow
def test_the_script_ends_with_status_2(tmp_path: Path, mine: Path):
    (tmp_path / "out").touch()
    command = [sys.executable, SCRIPT, "--videos", mine, "--output", tmp_path / "out"]
    for words, complaint in ((["--keep-all"], "--keep-all needs"), ([], "out")):
        result = subprocess.run([*command, *words], capture_output=True, text=True)
        assert result.returncode == 2 and result.stdout == ""
        assert result.stderr.startswith("prepare.py: error: ") and result.stderr.count("\n") == 1
        assert complaint in result.stderr


def test_the_page_shows_what_is_printed(
    script: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    page = (SCRIPT.parent / "README.md").read_text(encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    cvdf(tmp_path / "k400")
    touch(tmp_path / "mine", "1.mp4", "2.mp4", "3.mp4", "0wR5jVB-WPk.mp4")
    tags = {"1": "#AirDrumming #fun", "2": "#sunset", "3": "#zumba", "0wR5jVB-WPk": "#abseiling"}
    Path("mine.jsonl").write_text("".join(json.dumps({"id": name, "hashtags": t}) + "\n" for name, t in tags.items()))
    commands = re.findall(r"^    python datasets/kinetics/prepare.py (.*)$", page, re.MULTILINE)
    blocks = re.findall(r"```\n(.*?)```", page, re.DOTALL)
    for command, block in zip(commands, blocks, strict=False):
        monkeypatch.setattr(sys, "argv", ["prepare.py", *command.replace("/videos", str(tmp_path)).split()])
        script.main()
        assert capsys.readouterr().out.replace(str(tmp_path), "/videos") == block
    assert len(commands) == 2


def test_real_rows(prepare: Prepare, real_data: Path, tmp_path: Path):
    """Real annotations; the train split is made from them, too."""
    with open(real_data / "annotations" / "kinetics-400_val_2000.csv", newline="") as stream:
        rows = list(csv.DictReader(stream))
    stems = [f"{row['youtube_id']}_{int(row['time_start']):06d}_{int(row['time_end']):06d}" for row in rows]
    root = touch(tmp_path / "k400", *(f"val/{stem}.mp4" for stem in stems[::2]), f"train/{stems[1]}.mp4")
    file = real_data / "annotations" / "kinetics-400_val_2000.csv"
    made = prepare("--root", root, "--train-csv", file, "--val-csv", file)
    assert names(made["test"]) == [f"{stem}.mp4" for stem in stems[::2]]
    assert made["test"]["label"] == [row["label"] for row in rows[::2]]
    assert len(Path("out/test.missing.txt").read_text().split()) == len(stems[1::2])


def test_an_earlier_test_split_counts_too(prepare: Prepare, tmp_path: Path, mine: Path):
    write_manifest(tmp_path / "out" / "test.parquet", {"path": ["/elsewhere/v_0wR5jVB-WPk.mkv"], "label": ["zumba"]})
    assert "0wR5jVB-WPk.mp4" not in names(prepare("--videos", mine)["unlabeled"])
