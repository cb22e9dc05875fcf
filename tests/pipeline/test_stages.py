"""The rule of stages: a stage's fields are its identity, and all that its result depends on."""

import ast
import inspect
import json
import shutil
import textwrap
from collections.abc import Callable
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest

from vidsemi.config import Cut, FcOnly, Recipe
from vidsemi.config.load import load_config
from vidsemi.data.class_map import ClassMap
from vidsemi.data.hashtags.vocabulary import build_vocabulary
from vidsemi.data.input_spec import InputSpec
from vidsemi.data.manifest import Manifest, load_manifest
from vidsemi.data.split import HeldOut, ValidationSet
from vidsemi.inference.accuracy import read_class_accuracy
from vidsemi.io.errors import UserError
from vidsemi.pipeline import run as pipeline
from vidsemi.pipeline import stages
from vidsemi.pipeline.linear_probe import FeaturesStage, LinearProbeStage
from vidsemi.pipeline.plan import plan_run
from vidsemi.pipeline.precision import PrecisionStage
from vidsemi.pipeline.resolve import resolve
from vidsemi.pipeline.stage import Architecture, Stage, WeightsFile, to_json
from vidsemi.pipeline.stages import (
    EvaluateStage,
    HashtagExamples,
    HashtagsStage,
    ImportMappedWeightsStage,
    ImportWeightsStage,
    LabeledExamples,
    MeanScoresStage,
    PseudoLabeledExamples,
    ScoreStage,
    SelectStage,
    TrainStage,
)

INPUT = InputSpec(frames=8, stride=1, resize=(20, 24), crop=16, mean=(0.4, 0.5, 0.3), std=(0.2, 0.25, 0.3))
NETWORK = Architecture("r2plus1d_10", {"width": 0.5}, INPUT)
RECIPE = Recipe(examples=16, batch_size=8, learning_rate=0.1)


@pytest.fixture
def manifests(tmp_path: Path) -> list[Manifest]:
    """Three manifests of different content."""
    files = []
    for number in range(3):
        files.append(tmp_path / f"{number}.csv")
        files[-1].write_text(f"path,label,hashtags\n{number}.mp4,a,#a\n{number}b.mp4,b,#b\n")
    return [load_manifest(file) for file in files]


def kinds_below(kind: type[Stage]) -> list[type[Stage]]:
    return [below for own in kind.__subclasses__() for below in (own, *kinds_below(own))]


@pytest.fixture
def examples(manifests: list[Manifest]) -> list[tuple[Stage, dict[str, list[Any]]]]:
    """A stage of each kind, and other values of each of its fields."""
    one, two, three = manifests
    vocabulary, other_vocabulary = build_vocabulary(["a", "b"], {}), build_vocabulary(["a", "c"], {})
    hashtags, held_out = HashtagsStage(one, vocabulary, 1), HeldOut(Cut(share=0.5), 0)
    train = TrainStage(LabeledExamples(one), NETWORK, 0.5, None, RECIPE, 0)
    imported = ImportWeightsStage(NETWORK, ["a", "b"], WeightsFile("w.pt", "0" * 64))
    score = ScoreStage(train, one, 2, 1, 2, 10, "float32")
    select = SelectStage((score,), 3, 2, "balanced_ranked", 0.0)
    features = FeaturesStage(train, ((one, two),), 2)
    networks = [
        replace(NETWORK, model="r2plus1d_18"),
        replace(NETWORK, args={"width": 0.25}),
        replace(NETWORK, input=replace(INPUT, crop=12)),
    ]
    files, class_map = [WeightsFile("w.pt", "1" * 64)], ClassMap(["a", "b"], [0, 1])
    training_sets = [
        LabeledExamples(two),
        LabeledExamples(one, "uniform"),
        LabeledExamples(one, held_out=held_out),
        LabeledExamples(one, held_out=replace(held_out, seed=1)),
        HashtagExamples(one, hashtags, "natural"),
        HashtagExamples(one, hashtags, "uniform"),
        HashtagExamples(one, replace(hashtags, min_examples=2), "natural"),
        PseudoLabeledExamples(one, ["a", "b"], select),
        PseudoLabeledExamples(one, ["b", "a"], select),
        PseudoLabeledExamples(two, ["a", "b"], select),
        PseudoLabeledExamples(one, ["a", "b"], replace(select, per_class=4)),
    ]
    return [
        (hashtags, {"weak": [two], "vocabulary": [other_vocabulary], "min_examples": [2]}),
        (
            train,
            {
                "training_set": training_sets,
                "network": networks,
                "hflip_prob": [0.0],
                "random_resized_crop_scale": [(0.5, 1.0)],
                "recipe": [RECIPE.model_copy(update={"momentum": 0.5})],
                "seed": [1],
                "init_from": [replace(train, seed=2), imported, *files],
                "weakly_pretrained": [True],
                "validation": [
                    ValidationSet(two, None, 1),
                    ValidationSet(two, None, 2),
                    ValidationSet(two, held_out, 1),
                    ValidationSet(two, replace(held_out, seed=1), 1),
                    ValidationSet(two, replace(held_out, cut=Cut(per_class=1)), 1),
                ],
            },
        ),
        (imported, {"network": networks, "classes": [["b", "a"]], "init_from": files}),
        (
            ImportMappedWeightsStage(NETWORK, ["a", "c"], files[0], class_map),
            {
                "network": networks,
                "classes": [["c", "a"]],
                "init_from": [WeightsFile("w.pt", "2" * 64)],
                "class_map": [replace(class_map, outputs=[1, 0]), replace(class_map, classes=["b", "a"])],
            },
        ),
        (
            MeanScoresStage((score, replace(score, teacher=imported)), 2),
            {"scores": [(replace(score, teacher=imported), score)], "per_example": [1]},
        ),
        (
            EvaluateStage(train, one, 2, 1, one),
            {"weights": [imported], "test": [two], "views": [3], "crops": [10], "labeled": [two, None]},
        ),
        (
            score,
            {
                "teacher": [imported],
                "unlabeled": [two],
                "views": [3],
                "crops": [10],
                "per_example": [1],
                "shard_size": [20],
                "precision": ["auto"],
            },
        ),
        (
            select,
            {
                "scores": [
                    (replace(score, views=3),),
                    (score, replace(score, unlabeled=two)),
                    (replace(score, unlabeled=two), score),
                ],
                "per_class": [4],
                "per_example": [1],
                "policy": ["random"],
                "min_score": [0.1],
                "seed": [0, 1],
                "tagged": [one],
                "vocabulary": [vocabulary, other_vocabulary],
                "targets": ["soft"],
                "temperature": [2.0],
            },
        ),
        (
            PrecisionStage(select, one, two),
            {"selection": [replace(select, per_class=4)], "unlabeled": [three], "true_labels": [three]},
        ),
        (
            features,
            {"weights": [imported, *files], "splits": [((one, three),), ((one, two), (one, two))], "views": [3]},
        ),
        (
            LinearProbeStage(features, 0, FcOnly(), 0),
            {
                "features": [replace(features, views=3)],
                "split": [1],
                "fc_only": [FcOnly(c_values=(1.0,)), FcOnly(validation=Cut(share=0.1))],
                "seed": [1],
            },
        ),
    ]


ADDED = {SelectStage: {"targets", "temperature"}}  # fields that stages of 0.2.0 have not


def test_a_field_that_was_added_is_left_out_at_its_default(examples: list[tuple[Stage, dict[str, list[Any]]]]):
    """What earlier versions have done stays done."""
    for stage, _ in examples:
        left_out = {field.name for field in fields(stage)} - stage.document.keys()
        assert left_out == ADDED.get(type(stage), set()), type(stage)


def test_every_field_of_every_kind_of_stage_changes_its_fingerprint(
    examples: list[tuple[Stage, dict[str, list[Any]]]],
):
    kinds = {kind for kind in kinds_below(Stage) if kind.__module__.startswith("vidsemi.")}  # other tests have own ones
    assert {type(stage) for stage, _ in examples} == kinds
    for stage, others in examples:
        assert others.keys() == {field.name for field in fields(stage)}, type(stage)
        changed = [replace(stage, **{name: value}) for name, values in others.items() for value in values]
        fingerprints = {one.fingerprint for one in [stage, *changed]}
        assert len(fingerprints) == 1 + len(changed), type(stage)
        assert json.loads(json.dumps(stage.document)) == stage.document
        assert replace(stage).fingerprint == stage.fingerprint


def test_a_fingerprint_does_not_depend_on_places(manifests: list[Manifest], tmp_path: Path):
    (tmp_path / "moved").mkdir()
    moved = load_manifest(Path(shutil.copy(manifests[0].file, tmp_path / "moved")))
    assert to_json(moved) == to_json(manifests[0])
    elsewhere = load_manifest(manifests[0].file, tmp_path / "moved")  # its paths are other files
    assert to_json(elsewhere) != to_json(manifests[0])
    assert to_json(WeightsFile("a.pt", "0")) == to_json(WeightsFile("b.pt", "0"))
    assert to_json(replace(NETWORK, args={"width": 1})) == to_json(replace(NETWORK, args={"width": 1.0}))


@pytest.mark.parametrize("kind", kinds_below(Stage))
def test_running_a_stage_reads_its_fields_and_the_context_alone(kind: type[Stage]):
    """No closure, no other attribute of the stage, no module variable but functions, classes and file names."""
    known = {field.name for field in fields(kind)} | {name for name in vars(kind) if not name.startswith("_")}
    known.add("fingerprint")  # of the fields
    tree = ast.parse(textwrap.dedent(inspect.getsource(kind)))
    read = {
        node.attr
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "self"
    }
    assert read <= known
    assert kind.run.__closure__ is None
    outside = {name: vars(stages)[name] for name in kind.run.__code__.co_names if name in vars(stages)}
    assert all(callable(value) or isinstance(value, str) for value in outside.values()), outside


@pytest.mark.slow
def test_a_changed_labeled_set_makes_the_test_of_a_frozen_teacher_run_again(
    tiny_config: Callable[..., Path], weights: Path, shapes: Path, tmp_path: Path
):
    """It writes how many labeled examples each class has beside the accuracy of the class."""
    header, *rows = (shapes / "labeled.csv").read_text().splitlines()
    labeled = tmp_path / "labeled.csv"

    def write(number: int) -> None:
        labeled.write_text("\n".join([header, *(f"{shapes}/{row}" for row in rows[:number])]) + "\n")

    frozen = [f"teacher.init_from={weights}", "teacher.frozen=true", f"data.labeled={labeled}"]
    config = load_config(str(tiny_config()), [*frozen, "approaches=[semi_supervised]"])
    write(len(rows))
    pipeline.run(config)
    output = Path(config.output)
    before = {stage.fingerprint for stage in plan_run(resolve(config)).stages}

    write(len(rows) - 1)
    changed = [stage for stage in plan_run(resolve(config)).stages if stage.fingerprint not in before]
    assert [type(stage).__name__ for stage in changed] == ["EvaluateStage", "TrainStage", "EvaluateStage"]
    with pytest.raises(UserError) as caught:
        pipeline.run(config)
    assert caught.value.code == "stage.different_config"
    assert "seed0/teacher/evaluate" in str(caught.value) and "labeled was" in str(caught.value)
    for stage in ("teacher/evaluate", "small/semi_supervised/finetune", "small/semi_supervised/evaluate"):
        shutil.rmtree(output / "seed0" / stage)
    for row in pipeline.run(config):
        counts = [own.labeled for own in read_class_accuracy(output / row["classes"])]
        assert sorted(counts) == [2, *[3] * 7]
