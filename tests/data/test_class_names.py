"""Class names that were typed, or written by a Mac, and names that may be one class."""

import logging
import unicodedata
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.helpers.errors import refused
from vidsemi.cli import main as cli
from vidsemi.data.class_names import (
    class_name,
    closest_name,
    near_equal,
    near_equal_warnings,
    normalize_labels,
    read_class_names,
)
from vidsemi.data.formats.scan import ScanResult
from vidsemi.data.hashtags.vocabulary import build_vocabulary, read_synonyms
from vidsemi.data.manifest import load_manifest

CAFE, CAFE_OF_MACOS = "caf\u00e9", "cafe\u0301"


def test_labels_lose_outer_spaces_and_are_composed(write_csv: Callable[..., Path], tmp_path: Path):
    labels = ["jump", "jump ", " jump", "\tjump\u00a0", "\u3000jump", CAFE, CAFE_OF_MACOS, "high  jump"]
    file = write_csv("m.csv", ["path", "label"], [[f"{number}.mp4", label] for number, label in enumerate(labels)])
    pq.write_table(pa.table({"path": [f"{n}.mp4" for n in range(8)], "label": labels}), tmp_path / "m.parquet")
    for name in (file, tmp_path / "m.parquet"):
        manifest = load_manifest(name)
        assert manifest.class_names() == [CAFE, "high  jump", "jump"]
        assert manifest.label_indices([CAFE_OF_MACOS, "jump ", "high  jump"], "").tolist() == [1] * 5 + [0] * 2 + [2]
    pq.write_table(pa.table({"path": ["a", "b"], "label": ["x", " "]}), tmp_path / "m.parquet")
    with refused("manifest.missing_label", "row 1"):
        load_manifest(tmp_path / "m.parquet").class_names()


@given(st.lists(st.none() | st.text() | st.sampled_from([CAFE, CAFE_OF_MACOS, " a", "a "])))
def test_normalized_labels_are_their_names(labels: list[str | None]):
    column = pa.chunked_array([pa.array(labels[:2], pa.string()), pa.array(labels[2:], pa.string())])
    expected = [unicodedata.normalize("NFC", label).strip() or None if label is not None else None for label in labels]
    assert normalize_labels(column).to_pylist() == expected
    assert [class_name(label) for label in expected if label] == [label for label in expected if label]


def test_manifests_and_lists_of_classes_store_normalized_names(tmp_path: Path):
    ScanResult({"path": ["a.mp4", "b.mp4", "c.mp4"], "label": [" x", CAFE_OF_MACOS, None]}).write(
        tmp_path / "m.parquet"
    )
    assert pq.read_table(tmp_path / "m.parquet").column("label").to_pylist() == ["x", CAFE, None]
    (tmp_path / "c.txt").write_text(f" {CAFE_OF_MACOS} \nx\n")
    assert read_class_names(tmp_path / "c.txt") == [CAFE, "x"]
    (tmp_path / "s.csv").write_text(f"class,tag\n{CAFE_OF_MACOS},espresso\n")
    synonyms = read_synonyms(tmp_path / "s.csv", [CAFE])
    assert synonyms == {CAFE: ["espresso"]}
    assert build_vocabulary([CAFE], synonyms).for_classes([CAFE_OF_MACOS], "").labels[0].classes == (CAFE_OF_MACOS,)


@pytest.mark.parametrize(
    ("names", "groups"),
    [
        (["Yoga", "yoga", "YOGA"], [["Yoga", "yoga", "YOGA"]]),
        (["high jump", "high_jump", "High-Jump", "highjump"], [["high jump", "high_jump", "High-Jump", "highjump"]]),
        (["a\u00a0b", "a b", "a\u200bb", "a  b"], [["a\u00a0b", "a b", "a\u200bb", "a  b"]]),
        (["person's head", "persons head"], [["person's head", "persons head"]]),
        (["Straße", "STRASSE"], [["Straße", "STRASSE"]]),
        (["ｙｏｇａ", "yoga"], [["ｙｏｇａ", "yoga"]]),
        (["C", "C++", "C#", "-1", "1", "run", "runs", "!", "?", "caf\u00e9", "cafe", "योग", "यग"], []),
    ],
)
def test_names_that_may_be_one_class(names: list[str], groups: list[list[str]]):
    assert near_equal(names) == groups


def test_the_class_that_is_meant():
    classes = ["yoga", "high jump", "YODA"]
    assert [closest_name(name, classes) for name in ("YOGA", "high_jump", "hihg jump", "x")] == [
        *("yoga", "high jump", "high jump"),
        None,
    ]


def test_the_warning_is_one_printable_line():
    assert near_equal_warnings(["a", "b"]) == []
    (line,) = near_equal_warnings(
        [f"{letter}{number}" for number in range(5) for letter in "aA"] + ["x\x1b[", "X\x1b["]
    )
    assert line.isprintable() and "'a0' and 'A0'" in line and "3 more" in line and "a3" not in line


def test_a_run_and_a_manifest_name_them_before_anything_runs(
    tiny_config: Callable[..., Path], shapes: Path, write_csv: Callable[..., Path], caplog: pytest.LogCaptureFixture
):
    names = ("Yoga", "yoga", "yoga ", CAFE, CAFE_OF_MACOS)
    labeled, test = (
        write_csv(
            f"{part}.csv", ["path", "label"], [[str(file), name] for file, name in zip(files, names, strict=False)]
        )
        for part, files in ((part, sorted((shapes / part).glob("*.mp4"))) for part in ("labeled", "test"))
    )
    with caplog.at_level(logging.WARNING):
        config = ["--cfg", str(tiny_config()), "--check", f"data.labeled={labeled}", f"data.test={test}"]
        assert cli.main(["run", *config]) == 0
    assert any("'Yoga' and 'yoga'" in message and str(labeled) in message for message in caplog.messages)
    assert not any(CAFE in message for message in caplog.messages)
