"""Outputs of a teacher → classes: by name, and by a CSV file of pairs."""

from pathlib import Path

import numpy as np
import pytest

from tests.helpers.errors import refused
from vidsemi.data.class_map import DROPPED, map_classes, read_class_map, unmatched_classes
from vidsemi.data.class_names import match_names

THEIRS = ["high jump", "yoga", "long jump", ".DS_Store"]


def test_names_match_if_they_are_equal_or_differ_only_in_case_and_punctuation():
    assert match_names(["b", "a"], ["a", "b"]) == {"b": "b", "a": "a"}
    assert match_names(["High_Jump", "Yoga", "yoga"], ["high jump", "yoga"]) == {
        "High_Jump": "high jump",
        "yoga": "yoga",
    }
    assert match_names(["Yoga", "YOGA"], ["yoga"]) == {}  # either may be meant
    assert match_names(["yoga"], ["Yoga", "YOGA"]) == {}


def test_the_outputs_of_each_class():
    class_map = map_classes(
        THEIRS, ["jump", "none", "yoga"], {"high jump": "jump", "long jump": "jump", "yoga": "yoga"}
    )
    assert class_map.outputs == [0, 2, 0, DROPPED]
    assert class_map.known == [0, 2]
    scores = np.append(np.array([0.1, 0.2, 0.3, 0.4]), 0)
    np.testing.assert_array_equal(scores[class_map.places()].sum(axis=1), [0.1 + 0.3, 0, 0.2])


@pytest.mark.parametrize(
    ("text", "ours", "pairs"),
    [
        ("teacher_class,class\nhigh jump,jump\nlong jump,jump\n", None, {"high jump": "jump", "long jump": "jump"}),
        ("teacher_class\nyoga\nhigh jump\n", None, {"yoga": "yoga", "high jump": "high jump"}),
        ("teacher_class,class\n yoga ,\n", ["yoga"], {"yoga": "yoga"}),
    ],
)
def test_pairs_of_names(tmp_path: Path, text: str, ours: list[str] | None, pairs: dict[str, str]):
    (tmp_path / "map.csv").write_text(text)
    assert read_class_map(tmp_path / "map.csv", THEIRS, ours) == pairs


@pytest.mark.parametrize(
    ("text", "problem", "mentions"),
    [
        ("teacher,class\nyoga,yoga\n", "missing_column", ["teacher_class"]),
        ("", "missing_column", ["teacher_class"]),
        ("teacher_class,class\n", "empty", []),
        ("teacher_class,class\nhigh jmp,yoga\n", "unknown_output", ["line 2", "'high jmp'", "'high jump'"]),
        ("teacher_class,class\nyoga,yogaa\n", "unknown_class", ["line 2", "'yogaa'", "'yoga'"]),
        ("teacher_class,class\nyoga,yoga\nyoga,jump\n", "output_twice", ["line 3", "'yoga'"]),
        ("teacher_class,class\nyoga,yoga,jump\n", "bad_line", ["line 2"]),
        ("teacher_class,class\nyo\udcffga,yoga\n", "unreadable", []),
    ],
)
def test_files_of_pairs_that_are_wrong(tmp_path: Path, text: str, problem: str, mentions: list[str]):
    file = tmp_path / "map.csv"
    file.write_bytes(text.encode("utf-8", "surrogateescape"))
    with refused(f"class_map.{problem}", file, *mentions):
        read_class_map(file, THEIRS, ["jump", "yoga"])


def test_names_without_a_match_have_neighbors():
    text = unmatched_classes(THEIRS, ["high jumping", "zzz"])
    assert text == "'high jumping' (near: 'high jump'); 'zzz'"
