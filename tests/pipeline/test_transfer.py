"""Transfer: what a run and `vidsemi transfer` make of targets, held against plain code; what is counted and refused."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from tests.helpers.builders import shapes_target
from vidsemi.cli import main as cli
from vidsemi.config import Cut
from vidsemi.config.load import load_config, load_transfer_config
from vidsemi.data.clip_sampling import view_indices
from vidsemi.data.manifest import load_manifest
from vidsemi.data.read import read_frames
from vidsemi.data.split import validation_split
from vidsemi.inference.evaluate import evaluate_weights
from vidsemi.inference.features import read_features
from vidsemi.models.weights_file import load_weights
from vidsemi.pipeline import run as pipeline
from vidsemi.pipeline.results import over_splits
from vidsemi.pipeline.run import transfer

WriteConfig = Callable[..., Path]
RECIPE = "{examples: 16, batch_size: 8, learning_rate: 0.01}"


def run_with(tiny_config: WriteConfig, target: str, *overrides: str) -> list[dict]:
    return pipeline.run(load_config(str(tiny_config(text=f"transfer:\n  - {target}")), overrides))


@pytest.mark.slow
def test_fc_only_is_what_a_hook_and_scikit_learn_make_of_it(
    weights: Path, shapes: Path, config_of: WriteConfig, tmp_path: Path
):
    config = load_transfer_config(str(config_of(shapes_target(shapes))), ["seed=7"])
    (row,) = transfer(weights, config)
    network, spec = load_weights(weights)
    seen: list[torch.Tensor] = []
    network.fc.register_forward_pre_hook(lambda layer, inputs: seen.append(inputs[0]))
    mean, std = (torch.tensor(values).view(1, 3, 1, 1, 1) for values in (spec.input.mean, spec.input.std))

    def by_hand(file: Path) -> tuple[np.ndarray, np.ndarray]:
        manifest, found = load_manifest(file), []
        for number in range(len(manifest)):
            frames = read_frames(
                manifest.row(number), lambda n: view_indices(n, 4, 1, 2).reshape(-1), size=spec.input.resize
            )
            cut = frames[..., 2:18, 4:20].reshape(2, 4, 3, 16, 16)
            clips = torch.from_numpy(cut.copy()).permute(0, 2, 1, 3, 4) / 255
            with torch.inference_mode():
                network.eval()((clips - mean) / std)
            found.append(seen.pop().mean(dim=0).numpy())
        return np.stack(found), manifest.label_indices(spec.classes, "")

    (train, labels), (test, test_labels) = by_hand(shapes / "labeled.csv"), by_hand(shapes / "test.csv")
    folder = tmp_path / "moved/seed7/r2plus1d_10_4f/weights/transfer/shapes/fc_only/features"
    manifests = [load_manifest(shapes / name) for name in ("labeled.csv", "test.csv")]
    for own, expected in zip(read_features(folder, manifests), (train, test), strict=True):
        np.testing.assert_allclose(own, expected, atol=1e-5)
    held = validation_split(labels, np.arange(len(labels)), Cut(share=0.2), seed=7)

    def reference(c: float, which: np.ndarray) -> object:
        model = make_pipeline(StandardScaler(), LogisticRegression(C=c, max_iter=1000))
        return model.fit(train[which].astype(float), labels[which])

    right = {c: reference(c, ~held).score(train[held], labels[held]) for c in (1e-5, 1e-4, 1e-3, 1e-2, 0.1, 1.0, 10.0)}
    best = min(c for c in right if right[c] == max(right.values()))
    assert row["c"] == best
    assert list(row["validation_top1"].values()) == pytest.approx([100 * value for value in right.values()])
    assert row["top1"] == pytest.approx(100 * reference(best, np.ones(len(labels), bool)).score(test, test_labels))
    assert (row["train_read"], row["train_total"], row["read"], row["total"]) == (24, 24, 16, 16)


@pytest.mark.slow
def test_for_an_image_the_network_predicts_what_the_linear_probe_predicts(
    weights: Path, colors: Path, config_of: WriteConfig
):
    target = f"{{name: colors, train: {colors}/train.csv, test: {colors}/test.csv, protocols: [fc_only]}}"
    config = load_transfer_config(str(config_of(target)))
    (row,) = transfer(weights, config)
    assert row["top1"] > 60  # of three classes, by a network that nobody has trained
    folder = Path(config.output) / "seed0/r2plus1d_10_4f/weights/transfer/colors/fc_only/linear_probe"
    metrics = evaluate_weights(
        weights=folder / "weights.pt",
        manifest=load_manifest(colors / "test.csv"),
        views=10,
        runtime=config.runtime,
        title="t",
    )
    for key in ("top1", "mean_class_top1", "parameters", "gmacs_per_view", "views", "crops", "gmacs_per_video"):
        assert row[key] == metrics[key], key
    assert row["views"] == 1  # whatever the config asks for of videos


@pytest.mark.slow
def test_test_labels_change_the_accuracy_alone(weights: Path, shapes: Path, config_of: WriteConfig, tmp_path: Path):
    found = []
    shutil.copytree(shapes / "labeled", tmp_path / "labeled")
    for number, shift in enumerate((0, 4)):  # a copy of the training set, with its labels and with others
        _, *rows = (shapes / "labeled.csv").read_text().splitlines()
        paths, labels = zip(*(row.split(",")[:2] for row in rows), strict=True)
        labels = labels[shift:] + labels[:shift]
        lines = [f"{path},{label}" for path, label in zip(paths, labels, strict=True)]
        (tmp_path / f"{number}.csv").write_text("\n".join(["path,label", *lines]))
        target = (
            f"{{name: t, train: {shapes}/labeled.csv, test: {tmp_path}/{number}.csv, views: 1, protocols: [fc_only]}}"
        )
        config = load_transfer_config(str(config_of(target)), [f"output={tmp_path}/{number}"])
        (row,) = transfer(weights, config)
        folder = Path(config.output) / "seed0/r2plus1d_10_4f/weights/transfer/t/fc_only/linear_probe"
        found.append((row["top1"], row["c"], (folder / "weights.pt").read_bytes()))
    assert found[0][1:] == found[1][1:]
    assert found[0][0] > found[1][0]


@pytest.mark.slow
def test_a_run_transfers_every_student_and_tells_it_apart_from_its_test(
    tiny_config: WriteConfig, colors: Path, shapes: Path, tmp_path: Path
):
    """Videos and images, one split and two, and the mean of the splits."""
    splits = f"{{train: {shapes}/labeled.csv, test: {shapes}/test.csv}}"
    shutil.copytree(shapes, tmp_path / "copied")  # the labeled set itself is trained on
    splits += f", {{train: {shapes}/test.csv, test: {tmp_path}/copied/labeled.csv}}"
    text = f"""
transfer:
  - {{name: colors, train: {colors}/train.csv, test: {colors}/test.csv, full_ft: {RECIPE}, fc_only: {{c_values: [1]}}}}
  - {{name: shapes, splits: [{splits}], full_ft: {RECIPE}, views: 2, fc_only: {{c_values: [0.1]}}}}
"""
    config = load_config(str(tiny_config(text=text)), ["seeds=[0, 1]", "approaches=[supervised]"])
    output = Path(config.output)
    assert pipeline.run(config, until="evaluate") == pipeline.run(config, until="evaluate")
    assert not list(output.glob("seed*/*/*/transfer"))
    rows = pipeline.run(config)
    assert json.loads((output / "results.json").read_text()) == rows
    moved = [row for row in rows if "transfer" in row]
    assert [tuple(row[key] for key in ("seed", "approach", "transfer", "protocol")) for row in moved] == [
        (seed, "supervised", target, protocol)
        for seed in (0, 1)
        for target in ("colors", "shapes")
        for protocol in ("full_ft", "fc_only")
    ]
    for row in moved:
        assert row["student"] == "small" and (output / row["weights"]).is_file()
        if row["transfer"] == "shapes":
            assert row["top1"] == pytest.approx(np.mean(row["splits"])) and len(row["splits"]) == 2
            assert row["read"] == row["total"] == 40
            folder = output / f"seed{row['seed']}/small/{row['approach']}/transfer/shapes/{row['protocol']}"
            stages = sorted(folder.glob("split*/*/stage.json"))
            metrics = [json.loads(file.read_text())["metrics"] for file in stages]
            assert row["splits"] == [own["top1"] for own in metrics if "top1" in own]
            assert ("c" in row) == ("converged" in row) == (row["protocol"] == "fc_only")
            if "c" in row:
                assert (row["c"], row["validation_examples"], row["validation_top1"]) == ([0.1, 0.1], [0, 0], [{}, {}])
                assert row["converged"] is True
    before = {file: file.stat().st_mtime_ns for file in output.glob("seed*/**/*") if file.is_file()}
    assert pipeline.run(config) == rows
    assert {file: file.stat().st_mtime_ns for file in before} == before
    fewer = load_config(str(tiny_config()), ["seeds=[0, 1]", "approaches=[supervised]"])  # what was measured stays
    assert sorted(map(str, pipeline.run(fewer))) == sorted(map(str, rows))

    assert cli.main(["report", str(output), "--no-speed"]) == 0
    document = json.loads((output / "report.json").read_text())
    assert [(line["approach"], line["seeds"]) for line in document["lines"]] == [("supervised", 2)]
    assert [line["seeds"] for line in document["transfer"]] == [2, 2, 2, 2]


def test_splits_that_differ_keep_what_differs():
    """One of three has not converged, each chose another C, and one has images alone."""
    alike = {
        "model": "m",
        "top5": 9.0,
        "mean_class_top1": 5.0,
        "read": 3,
        "total": 4,
        "train_read": 5,
        "train_total": 6,
    }
    alike |= {"crops": 1, "gmacs_per_view": 2.0, "parameters": 7}

    def metrics(c: float, top1: float, views: int, converged: bool) -> dict:
        more = {"c": c, "validation_examples": int(c), "validation_top1": {"1": c}, "converged": converged}
        return {**alike, **more, "top1": top1, "views": views, "gmacs_per_video": 2.0 * views}

    splits = [metrics(1.0, 4.0, 1, True), metrics(2.0, 5.0, 10, False), metrics(3.0, 9.0, 10, True)]
    row = over_splits(splits)
    assert row == {
        **alike,
        **{"top1": 6.0, "splits": [4.0, 5.0, 9.0], "views": 10, "gmacs_per_video": 20.0},
        **{"read": 9, "total": 12, "train_read": 15, "train_total": 18},
        **{
            "c": [1.0, 2.0, 3.0],
            "validation_examples": [1, 2, 3],
            "validation_top1": [{"1": 1.0}, {"1": 2.0}, {"1": 3.0}],
        },
        "converged": False,
    }
    assert over_splits([splits[0], splits[0]])["converged"] is True
    assert over_splits(splits[1:2]) == splits[1]


@pytest.mark.slow
def test_unreadable_files_are_counted(weights: Path, shapes: Path, config_of: WriteConfig, tmp_path: Path):
    for name in ("labeled", "test"):
        (tmp_path / f"{name}.mp4").write_bytes(b"no video")
        _, *rows = (shapes / f"{name}.csv").read_text().splitlines()
        lines = ["path,label", f"{tmp_path}/{name}.mp4,drifting east"]
        lines += [f"{shapes}/{','.join(row.split(',')[:2])}" for row in rows]
        (tmp_path / f"{name}.csv").write_text("\n".join(lines))
    whole = transfer(weights, load_transfer_config(str(config_of(shapes_target(shapes))), [f"output={tmp_path}/whole"]))
    (row,) = transfer(weights, load_transfer_config(str(config_of(shapes_target(tmp_path)))))
    assert (row["train_read"], row["train_total"], row["read"], row["total"]) == (24, 25, 16, 17)
    assert row["top1"] * 17 == pytest.approx(whole[0]["top1"] * 16)  # the linear probe is the same, one more is wrong
    assert cli.main(["report", str(tmp_path / "moved"), "--no-speed"]) == 0
    text = (tmp_path / "moved" / "results.md").read_text()
    assert "1 test examples could not be read; they count as wrong" in text
    assert "1 training examples could not be read" in text


@pytest.mark.slow
def test_a_test_set_that_cannot_be_read_is_all_wrong(
    weights: Path, shapes: Path, config_of: WriteConfig, tmp_path: Path
):
    (tmp_path / "broken.mp4").write_bytes(b"no video")
    (tmp_path / "test.csv").write_text("path,label\nbroken.mp4,drifting east\n")
    target = f"{{name: t, train: {shapes}/labeled.csv, test: {tmp_path}/test.csv, views: 2, protocols: [fc_only]}}"
    (row,) = transfer(weights, load_transfer_config(str(config_of(target))))
    assert (row["top1"], row["read"], row["total"], row["views"]) == (0, 0, 1, 2)


@pytest.mark.slow
def test_full_ft_that_was_killed_ends_like_one_that_was_not(
    weights: Path, shapes: Path, config_of: WriteConfig, tmp_path: Path, die_in_steps: Callable[..., list[int]]
):
    target = shapes_target(shapes, f"protocols: [full_ft], full_ft: {RECIPE}")
    overrides = ["runtime.checkpoint_steps=1"]
    straight = transfer(
        weights, load_transfer_config(str(config_of(target)), [f"output={tmp_path}/straight", *overrides])
    )
    config = load_transfer_config(str(config_of(target)), overrides)
    die_in_steps(2)
    with pytest.raises(KeyboardInterrupt):
        transfer(weights, config)
    started = die_in_steps()
    assert transfer(weights, config) == straight
    assert len(started) == 1  # of two steps the second
    name = "seed0/r2plus1d_10_4f/weights/transfer/shapes/full_ft/train/weights.pt"
    assert (tmp_path / "moved" / name).read_bytes() == (tmp_path / "straight" / name).read_bytes()


@pytest.mark.slow
def test_full_ft_begins_with_the_weights_and_a_new_head(weights: Path, colors: Path, config_of: WriteConfig):
    target = f"{{name: c, train: {colors}/train.csv, test: {colors}/test.csv, protocols: [full_ft], full_ft: {RECIPE}}}"
    config = load_transfer_config(str(config_of(target)), ["transfer.0.full_ft.learning_rate=1e-12"])
    (row,) = transfer(weights, config)
    before, spec = load_weights(weights)
    folder = Path(config.output) / "seed0/r2plus1d_10_4f/weights/transfer/c/full_ft/train"
    after, spec_after = load_weights(folder / "weights.pt")
    assert spec_after.classes == ["blue", "green", "red"]
    assert spec_after.input == spec.input  # the crop and the colours that the network was trained with
    assert after.fc.out_features == 3
    torch.testing.assert_close(after.layer3.state_dict(), before.layer3.state_dict(), rtol=1e-3, atol=2.0)
    torch.testing.assert_close(after.stem[0].weight, before.stem[0].weight, rtol=0, atol=1e-6)
    assert row["protocol"] == "full_ft"
