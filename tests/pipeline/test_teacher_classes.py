"""A frozen teacher with classes of its own: in another order, under other names, more of them or fewer."""

import csv
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch

from tests.helpers.errors import refused
from vidsemi.config import Config
from vidsemi.config.load import load_config
from vidsemi.models import weights_file
from vidsemi.pipeline import run as pipeline
from vidsemi.selection.result import Selection

LoadConfig = Callable[..., Config]


def with_outputs(weights: Path, order: Sequence[int], names: Sequence[str], file: Path) -> Path:
    """The network with output i being what output order[i] was, under other names."""
    network, spec = weights_file.load_weights(weights)
    head: Any = network.fc
    with torch.no_grad():
        head.weight.copy_(head.weight[list(order)].clone())
        head.bias.copy_(head.bias[list(order)].clone())
    spec = weights_file.NetworkSpec(spec.model, spec.args, [*names], spec.input)
    weights_file.save_weights(file, network, spec, {})
    return file


@pytest.fixture
def frozen(tiny_config: Callable[..., Path], weights: Path) -> LoadConfig:
    """A config whose teacher is the weights file as it is."""
    settings = ["approaches=[semi_supervised]", "teacher.frozen=true", f"teacher.init_from={weights}"]
    return lambda *overrides: load_config(str(tiny_config()), [*settings, *overrides])


def table_of(config: Config, name: str) -> dict[str, np.ndarray]:
    files = sorted(Path(config.output).glob(name))
    assert files
    tables = [pq.read_table(file) for file in files]
    return {key: np.concatenate([one.column(key).to_numpy() for one in tables]) for key in tables[0].column_names}


def scores_of(config: Config) -> np.ndarray:
    """(examples, classes) float32; 0 where an example has no row."""
    rows = table_of(config, "seed0/teacher/score/part-*.parquet")
    scores = np.zeros((rows["example_id"].max() + 1, 8), np.float32)
    scores[rows["example_id"], rows["label"]] = rows["score"]
    return scores


def write_map(file: Path, pairs: dict[str, str]) -> Path:
    with open(file, "w", newline="") as stream:
        csv.writer(stream).writerows([("teacher_class", "class"), *pairs.items()])
    return file


@pytest.mark.slow
def test_the_order_of_the_outputs_changes_nothing(frozen: LoadConfig, weights: Path, tmp_path: Path):
    _, spec = weights_file.load_weights(weights)
    order = [5, 2, 7, 0, 1, 6, 3, 4]
    permuted = with_outputs(weights, order, [spec.classes[place] for place in order], tmp_path / "permuted.pt")
    config = frozen(), frozen(f"teacher.init_from={permuted}", f"output={tmp_path}/permuted")
    for one in config:
        pipeline.run(one, until="select")
    for name in ("seed0/teacher/score/part-*.parquet", "seed0/teacher/select/selection.parquet"):
        ours, theirs = (table_of(one, name) for one in config)
        assert all(np.array_equal(ours[key], theirs[key]) for key in ours)


@pytest.mark.slow
def test_scores_of_several_outputs_are_added_and_others_dropped(frozen: LoadConfig, weights: Path, tmp_path: Path):
    names = ["N", "E", "NE", "NW", "S", "junk", "SW", "W"]
    file = with_outputs(weights, range(8), names, tmp_path / "own.pt")
    pairs = {"N": "drifting north", "NW": "drifting north", "NE": "drifting north", "W": "drifting west"}
    every = write_map(tmp_path / "every.csv", dict(zip(names, weights_file.load_spec(weights).classes, strict=True)))
    some = write_map(tmp_path / "some.csv", pairs)
    settings = [f"teacher.init_from={file}", "score.per_example=8"]
    plain = frozen(*settings, f"teacher.class_map={every}", f"output={tmp_path}/plain")
    mapped = frozen(*settings, f"teacher.class_map={some}", f"output={tmp_path}/mapped")
    for one in (plain, mapped):
        pipeline.run(one, until="select")
    own = scores_of(plain)
    np.testing.assert_allclose(own.sum(axis=1), 1, atol=1e-5)
    classes = weights_file.load_spec(weights).classes
    expected = np.zeros_like(own)
    expected[:, classes.index("drifting north")] = own[:, 0] + own[:, 2] + own[:, 3]
    expected[:, classes.index("drifting west")] = own[:, 7]
    np.testing.assert_allclose(scores_of(mapped), expected, rtol=1e-6)
    selection = Selection.read(Path(mapped.output) / "seed0/teacher/select/selection.parquet")
    assert selection.classes == classes
    assert {classes[label] for label in selection.label} == {"drifting north", "drifting west"}
    document, _ = pipeline.check(mapped)
    (warning,) = [one for one in document["warnings"] if one.startswith("teacher: ")]
    assert "6 of 8 classes" in warning and "'drifting east'" in warning


@pytest.mark.slow
def test_a_mapped_teacher_is_tested_on_the_classes_of_the_run(frozen: LoadConfig, weights: Path, tmp_path: Path):
    """The row of a teacher whose outputs only have other names is that of the teacher itself."""
    classes = weights_file.load_spec(weights).classes
    order = [3, 1, 0, 2, 7, 6, 5, 4]
    names = [classes[place].upper().replace(" ", "_") for place in order]
    file = with_outputs(weights, order, names, tmp_path / "other.pt")
    rows, configs = [], (frozen(), frozen(f"teacher.init_from={file}", f"output={tmp_path}/other"))
    folders = [Path(config.output) for config in configs]
    for one in configs:
        rows += [row for row in pipeline.run(one) if row["student"] == "teacher"]
    keys = ("top1", "top5", "mean_class_top1", "num_classes", "views", "test_set", "parameters")
    assert [rows[0][key] for key in keys] == [rows[1][key] for key in keys]
    tables = [(folder / row["classes"]).read_text() for folder, row in zip(folders, rows, strict=True)]
    assert tables[0] == tables[1]


def test_teachers_whose_classes_do_not_fit(frozen: LoadConfig, weights: Path, tmp_path: Path):
    """All of it before a file is decoded: a check reads none."""
    spec = weights_file.load_spec(weights)
    own = with_outputs(weights, range(8), [f"class {letter}" for letter in "abcdefgh"], tmp_path / "own.pt")
    nameless = tmp_path / "nameless.pt"
    torch.save(torch.load(weights, weights_only=True)["state_dict"], nameless)
    labels = with_outputs(weights, range(8), [f"LABEL_{number}" for number in range(8)], tmp_path / "labels.pt")
    few, odd = tmp_path / "few.txt", tmp_path / "odd.txt"
    few.write_text("\n".join(spec.classes[:7]))
    odd.write_text("\n".join(f"LABEL_{number}" for number in range(8)))
    good = write_map(tmp_path / "map.csv", {"class a": "drifting east"})
    for overrides, code, mentions in [
        ([f"teacher.init_from={own}"], "teacher.no_common_class", [own, "class a", "'drifting east'", "class_map"]),
        ([f"teacher.init_from={nameless}", f"teacher.class_map={good}"], "teacher.unnamed_classes", [nameless]),
        ([f"teacher.init_from={nameless}", f"teacher.classes={few}"], "weights.head_mismatch", [nameless, "7 classes"]),
        ([f"teacher.init_from={labels}"], "teacher.unnamed_classes", [labels, "LABEL_0", "teacher.classes"]),
        ([f"teacher.classes={odd}"], "teacher.no_common_class", ["LABEL_0"]),
        ([f"teacher.classes={tmp_path}/absent.txt"], "teacher.missing_file", ["absent.txt"]),
        ([f"teacher.class_map={tmp_path}/absent.csv"], "teacher.missing_file", ["absent.csv"]),
        ([f"teacher.class_map={good}"], "class_map.unknown_output", [good, "class a"]),
    ]:
        with refused(code, *mentions):
            pipeline.check(frozen(*overrides))
    pipeline.check(frozen(f"teacher.init_from={nameless}"))  # as many outputs as labels, in alphabetical order
    with refused("config.invalid_value", "teacher", "class_map", "frozen"):
        frozen(f"teacher.class_map={good}", "teacher.frozen=false")
