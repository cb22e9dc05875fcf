"""Bad arguments of datasets, clips and selections: an error with a code that names the argument."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.helpers.errors import refused
from vidsemi import InputSpec, Manifest, Selection, TrainDataset, read_clips
from vidsemi.selection.score_format import ScoreRows, ScoresInfo
from vidsemi.selection.score_reader import ScoreShard
from vidsemi.selection.select import select

SPEC = InputSpec(frames=4, resize=(20, 24), crop=16)

Call = Callable[[Manifest, Path], Any]


def labels(**arguments: Any) -> Call:
    return lambda manifest, folder: TrainDataset.from_labels(manifest, **arguments)


def tags(vocabulary: Any = ("catching fish", "zumba"), **arguments: Any) -> Call:
    return lambda manifest, folder: TrainDataset.from_hashtags(manifest, vocabulary, **arguments)


def clips(*arguments: Any, **options: Any) -> Call:
    return lambda manifest, folder: read_clips(folder / "a.mp4", *arguments, **options)


def selection() -> Selection:
    rows = ScoreRows(np.zeros(1, np.int64), np.zeros(1, np.int16), np.ones(1, np.float32))
    info = ScoresInfo("m", "w", ["run"], per_example=1, views=1, examples=1, shards=1)
    return select([ScoreShard("shard", 0, lambda: iter([rows]), 1)], info, per_class=1, per_example=1)


@pytest.mark.parametrize(
    ("call", "code", "mentioned"),
    [
        (lambda manifest, folder: TrainDataset.from_labels(5), "manifest.wrong_type", ["int"]),
        (lambda manifest, folder: TrainDataset.from_labels(folder / "no.csv"), "manifest.missing_file", ["no.csv"]),
        (lambda manifest, folder: TrainDataset.from_labels(folder / "w.csv"), "manifest.missing_column", ["label"]),
        (labels(classes="run"), "classes.invalid", ["run"]),
        (labels(classes=[]), "classes.invalid", []),
        (labels(classes=["run", "run"]), "classes.repeated", ["run"]),
        (labels(classes=["run", 7]), "classes.invalid", ["7"]),
        (labels(classes=["run"]), "manifest.unknown_label", ["jump"]),
        (labels(repeat_factor="sqrt"), "options.invalid", ["sqrt", "square_root"]),
        (labels(seed=-1), "options.invalid", ["seed", "-1"]),
        (labels(seed=0.5), "options.invalid", ["seed", "0.5"]),
        (labels(hflip_prob=1.5), "options.invalid", ["hflip_prob"]),
        (labels(hflip_prob="often"), "options.invalid", ["hflip_prob"]),
        (labels(random_resized_crop_scale=(0.9, 0.1)), "options.invalid", ["random_resized_crop_scale"]),
        (labels(input=(8, 112)), "input.wrong_type", ["tuple"]),
        (labels(input=replace(SPEC, crop=200)), "options.invalid", ["200"]),
        (labels(input=replace(SPEC, frames=0)), "options.invalid", ["frames"]),
        (labels(input=replace(SPEC, resize=(1, 2, 3))), "options.invalid", ["resize"]),
        (labels(input=replace(SPEC, frames=60_000, resize=(9000, 9000))), "options.invalid", ["pixels"]),
        (labels(input=replace(SPEC, std=(0.2, 0.2, 0))), "options.invalid", ["std"]),
        (labels(input=replace(SPEC, mean=(float("nan"), 0, 0))), "options.invalid", ["mean"]),
        (labels(input=replace(SPEC, decoder="opencv")), "options.invalid", ["decoder"]),
        (lambda manifest, folder: labels()(manifest, folder).set_epoch(-1), "options.invalid", ["epoch"]),
        (lambda manifest, folder: labels()(manifest, folder).set_epoch("1"), "options.invalid", ["epoch"]),
        (tags(), "manifest.missing_hashtags", ["m.csv"]),
        (tags(min_examples=0), "options.invalid", ["min_examples"]),
        (tags("no.csv"), "vocabulary.missing_file", ["no.csv"]),
        (tags([]), "classes.invalid", []),
        (tags(repeat_factor=None), "options.invalid", ["repeat_factor"]),
        (
            lambda manifest, folder: TrainDataset.from_selection(manifest, manifest),
            "selection.wrong_type",
            ["Manifest"],
        ),
        (lambda manifest, folder: TrainDataset.from_selection(manifest, "no.parquet"), "selection.not_found", ["no."]),
        (lambda manifest, folder: Selection.read(5), "options.invalid", ["5"]),
        (lambda manifest, folder: selection().write(""), "options.invalid", ["file"]),
        (lambda manifest, folder: selection().to_arrow("m.csv"), "manifest.wrong_type", ["str"]),
        (lambda manifest, folder: selection().to_pandas(manifest), "selection.wrong_manifest", ["m.csv"]),
        (lambda manifest, folder: Selection.read(folder / "m.csv"), "selection.invalid_file", ["m.csv"]),
        (lambda manifest, folder: manifest.take(np.array([2])), "manifest.no_such_example", ["m.csv"]),
        (lambda manifest, folder: read_clips(7), "options.invalid", ["path", "7"]),
        (lambda manifest, folder: read_clips(""), "options.invalid", ["path"]),
        (clips(0), "options.invalid", ["frames"]),
        (clips("eight"), "options.invalid", ["frames"]),
        (clips(8, 0), "options.invalid", ["clips", "0"]),
        (clips(8, 2.5), "options.invalid", ["clips", "2.5"]),
        (clips(8, 5000), "clips.too_many", ["5000"]),
        (clips(stride=0), "options.invalid", ["stride"]),
        (clips(resize=-1), "options.invalid", ["resize"]),
        (clips(size=129), "options.invalid", ["129"]),
        (clips(start=-1), "options.invalid", ["start"]),
        (clips(end="late"), "options.invalid", ["end", "late"]),
        (clips(input="weights.pt"), "input.wrong_type", ["str"]),
    ],
)
def test_bad_arguments_are_refused(call: Call, code: str, mentioned: list[str], tmp_path: Path, write_csv: Callable):
    write_csv("w.csv", ["path"], [["a.mp4"]])
    manifest = Manifest.read(write_csv("m.csv", ["path", "label"], [["a.mp4", "run"], ["b.mp4", "jump"]]))
    with refused(code, *mentioned):
        call(manifest, tmp_path)
