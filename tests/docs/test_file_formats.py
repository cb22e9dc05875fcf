"""docs/reference/file-formats.md names the columns, types and keys that the code writes."""

import re
from dataclasses import MISSING, fields
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import torch

from tests.conftest import REPOSITORY
from tests.helpers.builders import write_shard
from vidsemi.data.manifest_file import COLUMNS
from vidsemi.pipeline.select import select_scores
from vidsemi.selection import result, score_format
from vidsemi.selection.score_format import ScoresInfo
from vidsemi.selection.score_writer import write_failures

PAGE = (REPOSITORY / "docs/reference/file-formats.md").read_text(encoding="utf-8")
ARROW = {"string": "string", "double": "float64", "int64": "int64", "int16": "int16", "float": "float32"}


def section(number: str) -> str:
    """The text of a numbered section."""
    (text,) = re.findall(rf"^## {re.escape(number)} .*?(?=^## |\Z)", PAGE, re.DOTALL | re.MULTILINE)
    return text


def cells(text: str) -> list[list[str]]:
    """The rows of all tables, without their headers."""
    rows = re.findall(r"^\| (.*) \|$", re.sub(r"^\|.*\n\|---.*$", "", text, flags=re.MULTILINE), re.MULTILINE)
    return [row.split(" | ") for row in rows]


def schema(file: Path) -> dict[str, str]:
    return {field.name: ARROW[str(field.type)] for field in pq.read_schema(file)}


def scored(tmp_path: Path) -> Path:
    """A directory with one shard of two examples, of which one is a failure."""
    folder = tmp_path / "scores"
    folder.mkdir()
    info = ScoresInfo(manifest="m", weights="w", classes=["a", "b"], per_example=1, views=1, examples=2)
    write_shard(folder, 0, np.array([0]), np.array([[0.9, 0.1]], np.float32), info)
    write_failures(folder, 0, [(1, "broken.mp4", "why")])
    return folder


def test_columns_of_a_manifest():
    named: dict[str, str] = {}
    for columns, types, *_ in cells(section("4.2")):
        names, kinds = re.findall(r"`(\w+)`", columns), types.split(", ")
        named |= zip(names, kinds if len(kinds) > 1 else kinds * len(names), strict=True)
    assert named == {name: ARROW[str(kind)] for name, kind in COLUMNS.items()}


def test_columns_and_metadata_of_scores(tmp_path: Path):
    folder, text = scored(tmp_path), section("4.3")
    rows = {row[0].split(",")[0]: row[1] for row in cells(text) if "parquet" in row[0]}
    for name, file in (("part-NNNNNN.parquet", folder), ("failures/part-NNNNNN.parquet", folder / "failures")):
        named = re.findall(r"`(\w+)` (\w+)", rows[f"`{name}`"])
        assert dict(named) == schema(file / "part-000000.parquet"), name
    keys = {name: row[1] for row in cells(text) if len(row) == 3 for name in re.findall(r"`(\w+)`", row[0])}
    wanted = {one.name: "yes" if one.default is MISSING or one.name == "format" else "no" for one in fields(ScoresInfo)}
    assert keys == wanted
    assert f"Format {score_format.FORMAT}." in text


def test_columns_of_a_selection(tmp_path: Path):
    file = tmp_path / "selection.parquet"
    select_scores(file, [scored(tmp_path)], per_class=1, per_example=1)
    named = {row[0].strip("`"): row[1].split(" or ")[0] for row in cells(section("4.4"))}
    assert named == schema(file)
    assert f"format {result.FORMAT}," in section("4.4")


def test_keys_of_weights(weights: Path):
    content = torch.load(weights, weights_only=True)
    rows = {row[0].strip("`"): row[1] for row in cells(section("4.7"))}
    assert rows.keys() == content.keys()
    spec = set(re.findall(r"`(\w+)`", rows["spec"]))
    assert spec == content["spec"].keys() | content["spec"]["input"].keys()
    assert f"format {content['format']}:" in section("4.7")
