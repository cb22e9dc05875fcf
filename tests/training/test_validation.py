"""Validation while training: what is measured, which weights are kept, and that nothing else changes."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from tests.helpers.errors import refused
from vidsemi.config import Config, Runtime
from vidsemi.config.load import load_config
from vidsemi.data.manifest import load_manifest
from vidsemi.data.split import HeldOut
from vidsemi.inference.accuracy import accuracy
from vidsemi.inference.evaluate import evaluate_weights
from vidsemi.models.weights_file import load_weights
from vidsemi.pipeline import run as pipeline
from vidsemi.reporting.results import load_runs
from vidsemi.reporting.training_curves import curve_sections
from vidsemi.training import validation as module
from vidsemi.training.log import read_log
from vidsemi.training.training_set import labeled_set

Load = Callable[..., Config]
STAGE = "seed0/small/supervised/train"
SHORT = [
    "approaches=[supervised]",
    "train.supervised={examples: 96, batch_size: 8, learning_rate: 0.05, validations: 4}",
]


@pytest.fixture
def load(tiny_config: Callable[..., Path]) -> Load:
    return lambda *overrides: load_config(str(tiny_config()), [*SHORT, *overrides])


def trained(config: Config) -> tuple[bytes, dict, list[dict]]:
    """The weights, metrics and validations of a training run."""
    pipeline.run(config)
    folder = Path(config.output) / STAGE
    metrics = json.loads((folder / "stage.json").read_text())["metrics"]
    validations = [event for event in read_log(folder / "train.jsonl") if event["event"] == "validation"]
    return (folder / "weights.pt").read_bytes(), metrics, validations


def tensors(weights: Path) -> dict[str, torch.Tensor]:
    return load_weights(weights)[0].state_dict()


@pytest.mark.slow
def test_it_measures_what_evaluation_measures_and_changes_no_weight(load: Load, shapes: Path, tmp_path: Path):
    """The shapes of the unlabeled set, all of one class, are the validation set of a manifest."""
    rows = [f"{shapes}/unlabeled/{n:05d}.mp4,drifting {'east' if n % 2 else 'west'}" for n in range(10)]
    (tmp_path / "v.csv").write_text("\n".join(["path,label", *rows]))
    config = load(f"data.validation={tmp_path}/v.csv")
    _, metrics, validations = trained(config)
    assert [event["examples"] for event in validations] == [24, 48, 72, 96]
    weights = Path(config.output) / STAGE / "weights.pt"
    alone = evaluate_weights(
        weights=weights, manifest=load_manifest(tmp_path / "v.csv"), views=1, runtime=Runtime(device="cpu"), title="v"
    )
    last = metrics["validation"]["last"]
    assert {key: last[key] for key in ("top1", "top5", "read", "total")} == {
        key: alone[key] for key in ("top1", "top5", "read", "total")
    }
    assert metrics["validation"]["best"]["top1"] == max(event["top1"] for event in validations)
    (row,) = json.loads((Path(config.output) / "results.json").read_text())
    assert row["validation_top1"] == last["top1"]
    plain = load(f"output={tmp_path}/plain")
    pipeline.run(plain)
    before, after = tensors(Path(plain.output) / STAGE / "weights.pt"), tensors(weights)
    assert before.keys() == after.keys() and all(torch.equal(before[name], after[name]) for name in before)
    (section,) = curve_sections(load_runs([Path(config.output)]))
    assert any("validation set" in note for note in section.text)
    assert section.tables[0].rows[0][5] == f"{last['top1']:.1f}"


@pytest.mark.slow
def test_a_split_is_not_trained_on_and_its_best_weights_are_kept(
    load: Load, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, die_in_steps: Callable[..., list[int]]
):
    """The second of four validations is made the best; a run that is killed at any point ends with the same bytes."""
    from vidsemi.training.train_step import TrainStep

    example_ids: list[int] = []
    seen: list[dict[str, torch.Tensor]] = []
    measure, run = module.Validation.measure, TrainStep.run

    def rigged(ranks: dict, labels: object) -> object:
        return accuracy(dict.fromkeys(ranks, 0 if best else 1), labels)  # type: ignore[arg-type]

    def spied(self: module.Validation, examples: int, weights: dict[str, torch.Tensor]) -> dict:
        nonlocal best
        best = examples == 48
        if best:
            seen.append({name: tensor.clone() for name, tensor in weights.items()})
        return measure(self, examples, weights)

    def reads(self: TrainStep, batches: list, *rest: object) -> torch.Tensor:
        batches = list(batches)
        example_ids.extend(one for batch in batches for one in batch.example_ids)
        return run(self, batches, *rest)  # type: ignore[arg-type]

    best = False
    monkeypatch.setattr(module, "accuracy", rigged)
    monkeypatch.setattr(module.Validation, "measure", spied)
    monkeypatch.setattr(TrainStep, "run", reads)
    overrides = ["data.validation={per_class: 1}", "train.supervised.keep=best", "runtime.checkpoint_steps=1"]
    config = load(*overrides)
    weights, metrics, validations = trained(config)
    assert [event["top1"] for event in validations] == [0, 100, 0, 0]
    assert metrics["validation"]["best"]["examples"] == 48 and metrics["validation"]["kept"] == "best"
    kept = tensors(Path(config.output) / STAGE / "weights.pt")
    assert all(torch.equal(kept[name], tensor) for name, tensor in seen[0].items())

    assert config.data.validation is not None
    labeled = load_manifest(Path(config.data.labeled.manifest))
    split = pipeline.resolve(config).datasets.validation
    assert split is not None and isinstance(split.held_out, HeldOut)
    assert len(split.examples()) == 8 and set(example_ids) == set(range(len(labeled))) - set(split.examples().tolist())

    killed = load(*overrides, f"output={tmp_path}/killed")
    die_in_steps(5, 7, 12)  # before, right after and long after the best
    for _ in range(3):
        with pytest.raises(KeyboardInterrupt):
            pipeline.run(killed)
    again, metrics_again, validations_again = trained(killed)
    assert again == weights and metrics_again["validation"] == metrics["validation"]
    assert [event["top1"] for event in validations_again] == [0, 100, 0, 0]


def test_repeat_factors_of_the_labeled_set(write_csv: Callable[..., Path]):
    labeled = load_manifest(write_csv("d.csv", ["path", "label"], [[f"{n}.mp4", "ab"[n < 2]] for n in range(10)]))
    assert labeled_set(labeled, 0).repeats is None
    uniform = labeled_set(labeled, 0, "uniform").repeats
    assert uniform is not None and uniform.tolist() == [4] * 2 + [1] * 8
    square_root = labeled_set(labeled, 0, "square_root").repeats
    assert square_root is not None and square_root.tolist() == [2] * 2 + [1] * 8


@pytest.mark.parametrize(
    ("override", "code", "mentioned"),
    [
        ("data.validation={}", "config.invalid_value", ("data.validation", "manifest, share and per_class")),
        ("data.validation={share: 0.1, per_class: 2}", "config.invalid_value", ("data.validation",)),
        ("data.validation={share: 1.5}", "config.invalid_value", ("data.validation.share",)),
        ("data.validation={share: 0.1, root: x}", "config.invalid_value", ("data.validation", "root")),
        ("data.validation={share: 0.1, group: x}", "config.invalid_value", ("data.validation", "capture group")),
        ("data.validation={share: 0.1, group: (x)}", "split.group_mismatch", ("labeled.csv", "(x)")),
        ("data.validation=nowhere.csv", "manifest.missing_file", ("nowhere.csv",)),
        ("data.validation={shapes}/labeled.csv", "data.test_overlap", ("data.validation", "data.labeled")),
        ("data.validation={shapes}/test.csv", "data.test_overlap", ("data.test", "data.validation")),
        ("train.supervised.keep=best", "config.invalid_value", ("train.supervised.keep", "data.validation")),
    ],
)
def test_what_cannot_be_validated_on(load: Load, shapes: Path, override: str, code: str, mentioned: tuple[str, ...]):
    with refused(code, *mentioned):
        pipeline.check(load(override.replace("{shapes}", str(shapes))))


def test_what_is_odd_is_a_warning(load: Load, shapes: Path):
    (document, text) = pipeline.check(load("data.validation={per_class: 2}"))
    (warning,) = (one for one in document["warnings"] if "validation" in one)
    assert warning.startswith("data.validation: 8 of 8 classes are too small for 2 ") and "(1 of 3)" in warning
    assert document["validation"] == 8 and "8 validation" in text
    overrides = ["approaches=[semi_supervised]", "data.validation={share: 0.3}", f"data.unlabeled={shapes}/labeled.csv"]
    document, _ = pipeline.check(load(*overrides))
    assert any(warning.startswith("data.validation: 8 of 24 examples") for warning in document["warnings"])
