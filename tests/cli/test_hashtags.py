"""`vidsemi hashtags`: from names of classes to a vocabulary that examples carry."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from vidsemi.cli import main as cli
from vidsemi.data.hashtags.vocabulary import read_vocabulary

Hashtags = Callable[..., tuple[int, str, str]]


@pytest.fixture
def hashtags(capsys: pytest.CaptureFixture[str]) -> Hashtags:
    """Run `vidsemi hashtags …`: status, standard output, standard error."""

    def run(*options: object) -> tuple[int, str, str]:
        status = cli.main(["hashtags", *map(str, options)])
        return status, *capsys.readouterr()

    return run


@pytest.fixture
def classes(tmp_path: Path) -> Path:
    file = tmp_path / "classes.txt"
    file.write_text("catching fish\nyoga\n\nplaying tennis\n???\n", encoding="utf-8")
    return file


@pytest.fixture
def manifest(write_csv: Callable[..., Path]) -> Path:
    tags = ["#CatchAFish #yoga", "#yoga", "fish catching, x", "#asana", "#unknown", ""]
    return write_csv("m.csv", ["path", "hashtags"], [[f"{n}.mp4", field] for n, field in enumerate(tags)])


def test_the_table_of_a_text_file(hashtags: Hashtags, classes: Path):
    status, text, _ = hashtags("--classes", classes)
    assert status == 0 and "3 labels of 4 classes" in text and "for a tag: ???" in text
    assert "| #catchingfish  | catching fish  | #catchingfishes #catchfish" in text
    document = json.loads(hashtags("--classes", classes, "--json")[1])
    assert document["classes_without_tag"] == ["???"]
    assert "fishcatching" in document["labels"][0]["variants"]


def test_frequent_labels_are_written_and_the_others_named(
    hashtags: Hashtags, classes: Path, manifest: Path, write_csv: Callable[..., Path], tmp_path: Path
):
    synonyms = write_csv("s.csv", ["class", "tag"], [["yoga", "#asana"]])
    words = ["--classes", classes, "--synonyms", synonyms, "--manifest", manifest, "--min-examples", 2]
    status, text, _ = hashtags(*words, "--output", tmp_path / "v.csv")
    assert status == 0
    assert "2 labels have at least 2 examples" in text
    assert "4 of 6 examples carry at least one of their tags, 2 none" in text
    kept, dropped = text.split("dropped, with fewer than 2 examples:")
    assert "| #yoga         | yoga          | 3        |" in kept and "#playingtennis" not in kept
    assert "| #playingtennis | playing tennis | 0        |" in dropped and "#yoga" not in dropped
    vocabulary = read_vocabulary(tmp_path / "v.csv")
    assert vocabulary.names == ["#catchingfish", "#yoga"] and "asana" in vocabulary.labels[1].variants
    document = json.loads(hashtags(*words, "--json")[1])
    assert [(label["tag"], label["examples"]) for label in document["labels"]] == [("catchingfish", 2), ("yoga", 3)]
    assert document["dropped"] == [{"tag": "playingtennis", "classes": ["playing tennis"], "examples": 0}]
    assert (document["examples"], document["tagged"], document["untagged"]) == (6, 4, 2)


def test_classes_of_a_dataset_come_with_its_synonyms(hashtags: Hashtags, write_csv: Callable[..., Path]):
    document = json.loads(hashtags("--classes", "kinetics", "--json")[1])
    labels = {label["tag"]: label["variants"] for label in document["labels"]}
    assert len(labels) == 399 and "tennis" in labels["playingtennis"]
    own = write_csv("s.csv", ["class", "tag"], [["yoga", "asana"]])
    document = json.loads(hashtags("--classes", "kinetics", "--synonyms", own, "--json")[1])
    labels = {label["tag"]: label["variants"] for label in document["labels"]}
    assert "tennis" not in labels["playingtennis"] and labels["yoga"] == ["yoga", "asana"]


def test_classes_of_a_manifest(hashtags: Hashtags, write_csv: Callable[..., Path]):
    file = write_csv("d.csv", ["path", "label"], [["a", "yoga"], ["b", "archery"], ["c", "yoga"]])
    assert "2 labels of 2 classes" in hashtags("--classes", file)[1]


@pytest.mark.parametrize(
    ("words", "code", "mentioned"),
    [
        (["--classes", "kinetic"], "classes.missing", "datasets/kinetic"),
        (["--classes", "ucf101"], "classes.missing", "classes.txt"),
        (["--classes", "gone/classes.txt"], "", "gone/classes.txt"),
        (["--classes", "kinetics", "--synonyms", "s.csv"], "synonyms.unknown_class", "did you mean 'playing tennis'"),
        (["--classes", "kinetics", "--manifest", "m.csv"], "hashtags.too_few_examples", "--min-examples"),
        (["--classes", "kinetics", "--manifest", "bare.csv"], "manifest.missing_hashtags", "bare.csv"),
        (["--classes", "kinetics", "--min-examples", "-1"], "", "--min-examples is -1"),
        (["--classes", "twice.txt"], "", "twice.txt"),
    ],
)
def test_complaints_are_one_line(
    hashtags: Hashtags,
    manifest: Path,
    write_csv: Callable[..., Path],
    monkeypatch: pytest.MonkeyPatch,
    words: list[str],
    code: str,
    mentioned: str,
):
    monkeypatch.chdir(manifest.parent)
    write_csv("s.csv", ["class", "tag"], [["playing tenis", "tennis"]])
    write_csv("bare.csv", ["path"], [["a"]])
    Path("twice.txt").write_text("yoga\nyoga\n")
    status, text, errors = hashtags(*words)
    assert status == 2 and not text
    assert f"[{code}" in errors or not code
    assert mentioned in errors and errors.count("\n") == 1
