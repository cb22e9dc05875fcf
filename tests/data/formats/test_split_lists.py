"""CUB-200-2011 and HMDB51 by their own files."""

import csv
import json
from pathlib import Path

import pytest

from tests.helpers.errors import refused
from vidsemi.cli import main as cli
from vidsemi.data.formats.split_lists import read_cub200, read_hmdb51

BIRDS = ["001.Black_footed_Albatross", "002.Laysan_Albatross"]
NAMES = [f"{bird}/{bird[4:]}_{number:04d}.jpg" for bird in BIRDS for number in (1, 2, 3)]


def write(folder: Path, name: str, lines: list[str]) -> None:
    (folder / name).write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")


@pytest.fixture
def cub(tmp_path: Path) -> Path:
    """Two classes of three images, of which each class's first is for training."""
    root = tmp_path / "CUB_200_2011"
    for name in NAMES:
        file = root / "images" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(b"")
    write(root, "classes.txt", [f"{number} {bird}" for number, bird in enumerate(BIRDS, 1)])
    write(root, "images.txt", [f"{number} {name}" for number, name in enumerate(NAMES, 1)])
    write(root, "image_class_labels.txt", [f"{number} {(number - 1) // 3 + 1}" for number in range(1, 7)])
    write(root, "train_test_split.txt", [f"{number} {int(number in (1, 4))}" for number in range(1, 7)])
    return root


def rows(manifest: Path) -> list[dict[str, str]]:
    with open(manifest, newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_cub_is_cut_as_its_authors_say(cub: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    (cub / "images" / NAMES[2]).unlink()
    for subset, expected in (("train", [0, 3]), ("test", [1, 4, 5])):
        manifest = tmp_path / f"{subset}.csv"
        command = ["manifest", "cub200", "--root", str(cub), "--subset", subset, "--output", str(manifest), "--json"]
        assert cli.main(command) == 0
        assert json.loads(capsys.readouterr().out)["missing"] == (subset == "test")
        assert rows(manifest) == [
            {"path": f"CUB_200_2011/images/{NAMES[number]}", "label": BIRDS[number // 3]} for number in expected
        ]
    assert (tmp_path / "test.missing.txt").read_text() == f"{NAMES[2]}\n"


@pytest.mark.parametrize(
    ("name", "lines", "code", "mentioned"),
    [
        ("image_class_labels.txt", ["1 1"], "cub200.missing_id", "image 2"),
        ("train_test_split.txt", ["1 1"], "cub200.missing_id", "image 2"),
        ("train_test_split.txt", [f"{number} 2" for number in range(1, 7)], "cub200.bad_mark", "image 1: '2'"),
        ("classes.txt", [f"1 {BIRDS[0]}"], "cub200.unknown_class", "no class 2, which image 4"),
        ("images.txt", ["1 a.jpg", "1 b.jpg"], "cub200.duplicate_id", "line 2"),
        ("images.txt", ["1"], "split_list.bad_line", "line 1"),
    ],
)
def test_files_of_cub_that_disagree_are_refused(cub: Path, name: str, lines: list[str], code: str, mentioned: str):
    write(cub, name, lines)
    with refused(code, cub / name, mentioned):
        read_cub200(cub, "train")


def test_a_file_of_cub_that_is_missing_is_named(cub: Path):
    (cub / "classes.txt").unlink()
    with refused("file.missing", cub / "classes.txt"):
        read_cub200(cub, "train")


@pytest.fixture
def hmdb(tmp_path: Path) -> tuple[Path, Path]:
    """The split files of two classes of the real list, and its videos, of which one has spaces in its name."""
    splits, root = tmp_path / "testTrainMulti_7030_splits", tmp_path / "hmdb51"
    splits.mkdir()
    for label in ("brush_hair", "wave"):
        (root / label).mkdir(parents=True)
        names = [f"A_{label}_u_nm_np1_ba_goo_{number}.avi" for number in range(3)] + [f"B {label}_0.avi"]
        for name in names:
            (root / label / name).write_bytes(b"")
        for split, marks in ((1, "1200"), (2, "2111"), (3, "0212")):
            lines = [f"{name} {mark} " for name, mark in zip(names, marks, strict=True)]
            write(splits, f"{label}_test_split{split}.txt", lines)
    return splits, root


@pytest.mark.parametrize(
    ("split", "subset", "numbers"),
    [(1, "train", [0]), (1, "test", [1]), (2, "train", [1, 2, 3]), (2, "test", [0]), (3, "train", [2])],
)
def test_hmdb51_has_three_splits(hmdb: tuple[Path, Path], tmp_path: Path, split: int, subset: str, numbers: list[int]):
    splits, root = hmdb
    output = tmp_path / "m.csv"
    command = ["manifest", "hmdb51", str(splits), "--root", str(root), "--split", str(split), "--subset", subset]
    assert cli.main([*command, "--output", str(output)]) == 0
    names = [
        [f"A_{label}_u_nm_np1_ba_goo_{number}.avi" for number in range(3)] + [f"B {label}_0.avi"]
        for label in ("brush_hair", "wave")
    ]
    assert [row["path"].split("/")[-1] for row in rows(output)] == [own[number] for own in names for number in numbers]
    assert [row["label"] for row in rows(output)] == ["brush_hair"] * len(numbers) + ["wave"] * len(numbers)


def test_videos_of_hmdb51_that_are_not_there_are_counted(hmdb: tuple[Path, Path]):
    splits, root = hmdb
    (root / "wave" / "B wave_0.avi").unlink()
    assert read_hmdb51(splits, root, 2, "train").missing == ["wave/B wave_0.avi"]


def test_wrong_files_of_hmdb51_are_refused(hmdb: tuple[Path, Path]):
    splits, root = hmdb
    write(splits, "wave_test_split1.txt", ["x.avi 1", "y.avi 3"])
    with refused("hmdb51.bad_mark", "wave_test_split1.txt: line 2: '3'"):
        read_hmdb51(splits, root, 1, "train")
    with refused("hmdb51.no_split_files", root):
        read_hmdb51(root, root, 1, "train")
