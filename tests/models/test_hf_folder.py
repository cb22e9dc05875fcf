"""What is read from a network's folder in Hugging Face's layout without transformers."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.helpers.errors import refused
from vidsemi.models.hf_folder import folder_classes


def written(folder: Path, config: Any) -> Path:
    (folder / "config.json").write_text(json.dumps(config))
    return folder


def test_classes_are_sorted_by_their_integer_ids(tmp_path: Path):
    names = {str(index): f"class {99 - index}" for index in range(12)}
    shuffled = {key: names[key] for key in sorted(names)}  # "10" before "2"
    assert folder_classes(written(tmp_path, {"id2label": shuffled})) == [f"class {99 - index}" for index in range(12)]


def test_names_are_composed_and_have_no_outer_spaces(tmp_path: Path):
    assert folder_classes(written(tmp_path, {"id2label": {"0": " cafe\u0301 ", "1": ".DS_Store"}})) == [
        "caf\u00e9",
        ".DS_Store",
    ]


def test_without_names_they_are_those_of_transformers(tmp_path: Path):
    assert folder_classes(written(tmp_path, {"num_labels": 3})) == ["LABEL_0", "LABEL_1", "LABEL_2"]
    assert folder_classes(written(tmp_path, {})) == ["LABEL_0", "LABEL_1"]


@pytest.mark.parametrize(
    ("config", "code"),
    [
        ({"id2label": {"0": "a", "2": "b"}}, "hf.invalid_classes"),
        ({"id2label": {"1": "a", "01": "b"}}, "hf.invalid_classes"),
        ({"id2label": {"first": "a"}}, "hf.invalid_classes"),
        ({"id2label": ["a", "b"]}, "hf.invalid_classes"),
        ({"id2label": {}}, "hf.invalid_classes"),
        ({"num_labels": "many"}, "hf.invalid_classes"),
        (["a"], "hf.damaged_file"),
    ],
)
def test_invalid_configs(config: Any, code: str, tmp_path: Path):
    with refused(code, tmp_path / "config.json"):
        folder_classes(written(tmp_path, config))


def test_a_config_that_is_missing_or_damaged(tmp_path: Path):
    with refused("hf.missing_file", tmp_path, "config.json"):
        folder_classes(tmp_path)
    (tmp_path / "config.json").write_bytes(b'{"id2label": \xff')
    with refused("hf.damaged_file", tmp_path / "config.json"):
        folder_classes(tmp_path)
