"""Transfer: what a run and `vidsemi transfer` make of targets, held against plain code; what is counted and refused."""

import json
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from test_processes import finished, torchrun

from vidsemi import cli, pipeline
from vidsemi.config_file import load_config, load_transfer_config
from vidsemi.corpus.manifest import load_manifest
from vidsemi.engine.checkpoint import load_weights
from vidsemi.engine.regressor import hold_out
from vidsemi.errors import UserError
from vidsemi.media.clips import view_indices
from vidsemi.media.reading import read_frames
from vidsemi.stages import features as features_module
from vidsemi.stages.evaluate import evaluate_stage
from vidsemi.stages.features import read_features
from vidsemi.transfer_weights import check_transfer, transfer

WriteConfig = Callable[..., Path]
RECIPE = "{examples: 16, batch_size: 8, learning_rate: 0.01}"


@pytest.fixture
def images(tmp_path: Path) -> Path:
    """Red, green and blue images with noise, 6 a class to train on and 3 to test, as manifests."""
    rng = np.random.default_rng(0)
    for name, number in (("train", 6), ("test", 3)):
        rows = ["path,label"]
        for color, channel in (("blue", 2), ("green", 1), ("red", 0)):
            for index in range(number):
                pixels = rng.integers(0, 200, (24, 30, 3), dtype=np.uint8)
                pixels[..., channel] = np.minimum(pixels[..., channel].astype(int) + 150, 255)
                file = tmp_path / f"{name}_{color}{index}.png"
                Image.fromarray(pixels).save(file)
                rows.append(f"{file.name},{color}")
        (tmp_path / f"{name}.csv").write_text("\n".join(rows))
    return tmp_path


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., Path]:
    """Write the config of a transfer with a target."""

    def written(target: str, name: str = "transfer.yaml") -> Path:
        (tmp_path / name).write_text(
            f"output: {tmp_path / 'moved'}\nmachine: {{device: cpu, workers: 0}}\ntransfer:\n  - {target}\n"
        )
        return tmp_path / name

    return written


def shapes_target(shapes: Path, more: str = "protocols: [fc_only]") -> str:
    return f"{{name: shapes, train: {shapes}/labeled.csv, test: {shapes}/test.csv, views: 2, {more}}}"


def run_with(tiny_config: WriteConfig, target: str, *overrides: str) -> list[dict]:
    return pipeline.run(load_config(str(tiny_config(text=f"transfer:\n  - {target}")), overrides))


def test_fc_only_is_what_a_hook_and_scikit_learn_make_of_it(
    weights: Path, shapes: Path, write: WriteConfig, tmp_path: Path
):
    config = load_transfer_config(str(write(shapes_target(shapes))), ["seed=7"])
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
    held = hold_out(labels, np.arange(len(labels)), 0.2, seed=7)

    def reference(c: float, which: np.ndarray) -> object:
        model = make_pipeline(StandardScaler(), LogisticRegression(C=c, max_iter=1000))
        return model.fit(train[which].astype(float), labels[which])

    right = {c: reference(c, ~held).score(train[held], labels[held]) for c in (1e-5, 1e-4, 1e-3, 1e-2, 0.1, 1.0, 10.0)}
    best = min(c for c in right if right[c] == max(right.values()))
    assert row["c"] == best
    assert list(row["held_out_top1"].values()) == pytest.approx([100 * value for value in right.values()])
    assert row["top1"] == pytest.approx(100 * reference(best, np.ones(len(labels), bool)).score(test, test_labels))
    assert (row["train_read"], row["train_total"], row["read"], row["total"]) == (24, 24, 16, 16)


def test_of_an_image_the_network_says_what_the_regressor_says(weights: Path, images: Path, write: WriteConfig):
    target = f"{{name: colors, train: {images}/train.csv, test: {images}/test.csv, protocols: [fc_only]}}"
    config = load_transfer_config(str(write(target)))
    (row,) = transfer(weights, config)
    assert row["top1"] > 60  # of three classes, by a network that nobody has trained
    folder = Path(config.output) / "seed0/r2plus1d_10_4f/weights/transfer/colors/fc_only/regress"
    figures = evaluate_stage(
        weights=folder / "weights.pt",
        manifest=load_manifest(images / "test.csv"),
        views=10,
        machine=config.machine,
        title="t",
    )
    for key in ("top1", "mean_class_top1", "parameters", "gmacs_per_view"):
        assert row[key] == figures[key], key


def test_test_labels_change_the_accuracy_alone(weights: Path, shapes: Path, write: WriteConfig, tmp_path: Path):
    found = []
    for number, shift in enumerate((0, 4)):  # what is learnt is tested, with its labels and with others
        _, *rows = (shapes / "labeled.csv").read_text().splitlines()
        paths, labels = zip(*(row.split(",")[:2] for row in rows), strict=True)
        labels = labels[shift:] + labels[:shift]
        lines = [f"{shapes}/{path},{label}" for path, label in zip(paths, labels, strict=True)]
        (tmp_path / f"{number}.csv").write_text("\n".join(["path,label", *lines]))
        target = (
            f"{{name: t, train: {shapes}/labeled.csv, test: {tmp_path}/{number}.csv, views: 1, protocols: [fc_only]}}"
        )
        config = load_transfer_config(str(write(target)), [f"output={tmp_path}/{number}"])
        (row,) = transfer(weights, config)
        folder = Path(config.output) / "seed0/r2plus1d_10_4f/weights/transfer/t/fc_only/regress"
        found.append((row["top1"], row["c"], (folder / "weights.pt").read_bytes()))
    assert found[0][1:] == found[1][1:]
    assert found[0][0] > found[1][0]


def test_a_run_transfers_every_student_and_tells_it_apart_from_its_test(
    tiny_config: WriteConfig, images: Path, shapes: Path, tmp_path: Path
):
    """Videos and images, one split and two, and the mean of the splits."""
    splits = f"{{train: {shapes}/labeled.csv, test: {shapes}/test.csv}}"
    splits += f", {{train: {shapes}/test.csv, test: {shapes}/labeled.csv}}"
    text = f"""
transfer:
  - {{name: colors, train: {images}/train.csv, test: {images}/test.csv, full_ft: {RECIPE}, fc_only: {{c_values: [1]}}}}
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
            figures = [json.loads(file.read_text())["figures"] for file in stages]
            assert row["splits"] == [own["top1"] for own in figures if "top1" in own]
    before = {file: file.stat().st_mtime_ns for file in output.glob("seed*/**/*") if file.is_file()}
    assert pipeline.run(config) == rows
    assert {file: file.stat().st_mtime_ns for file in before} == before
    fewer = load_config(str(tiny_config()), ["seeds=[0, 1]", "approaches=[supervised]"])  # what was measured stays
    assert sorted(map(str, pipeline.run(fewer))) == sorted(map(str, rows))

    assert cli.main(["report", str(output), "--no-speed"]) == 0
    document = json.loads((output / "report.json").read_text())
    assert [(line["approach"], line["seeds"]) for line in document["lines"]] == [("supervised", 2)]
    assert [line["seeds"] for line in document["transfer"]] == [2, 2, 2, 2]


def test_unreadable_files_are_counted(weights: Path, shapes: Path, write: WriteConfig, tmp_path: Path):
    (tmp_path / "broken.mp4").write_bytes(b"no video")
    for name in ("labeled", "test"):
        _, *rows = (shapes / f"{name}.csv").read_text().splitlines()
        lines = ["path,label", f"{tmp_path}/broken.mp4,drifting east"]
        lines += [f"{shapes}/{','.join(row.split(',')[:2])}" for row in rows]
        (tmp_path / f"{name}.csv").write_text("\n".join(lines))
    whole = transfer(weights, load_transfer_config(str(write(shapes_target(shapes))), [f"output={tmp_path}/whole"]))
    (row,) = transfer(weights, load_transfer_config(str(write(shapes_target(tmp_path)))))
    assert (row["train_read"], row["train_total"], row["read"], row["total"]) == (24, 25, 16, 17)
    assert row["top1"] * 17 == pytest.approx(whole[0]["top1"] * 16)  # the regressor is the same, one more is wrong
    assert cli.main(["report", str(tmp_path / "moved"), "--no-speed"]) == 0
    text = (tmp_path / "moved" / "results.md").read_text()
    assert "1 test examples could not be read; they count as wrong" in text
    assert "1 training examples could not be read and are left out" in text


def test_features_that_were_killed_go_on_with_the_next_part(
    weights: Path, shapes: Path, write: WriteConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(features_module, "PART", 16)
    config = str(write(shapes_target(shapes)))
    straight = transfer(weights, load_transfer_config(config, [f"output={tmp_path}/straight"]))
    write_part, calls = features_module._write, []

    def dies(*arguments: object) -> None:
        calls.append(1)
        if len(calls) == 2:
            raise KeyboardInterrupt
        write_part(*arguments)

    monkeypatch.setattr(features_module, "_write", dies)
    with pytest.raises(KeyboardInterrupt):
        transfer(weights, load_transfer_config(config))
    folder = tmp_path / "moved/seed0/r2plus1d_10_4f/weights/transfer/shapes/fc_only/features"
    (first,) = folder.glob("part-*.parquet")
    time = first.stat().st_mtime_ns
    monkeypatch.setattr(features_module, "_write", write_part)
    assert transfer(weights, load_transfer_config(config)) == straight
    assert first.stat().st_mtime_ns == time
    assert len(list(folder.glob("part-*.parquet"))) == 3


def test_full_ft_that_was_killed_ends_like_one_that_was_not(
    weights: Path, shapes: Path, write: WriteConfig, tmp_path: Path, die_in_steps: Callable[..., list[int]]
):
    target = shapes_target(shapes, f"protocols: [full_ft], full_ft: {RECIPE}")
    overrides = ["machine.checkpoint_steps=1"]
    straight = transfer(weights, load_transfer_config(str(write(target)), [f"output={tmp_path}/straight", *overrides]))
    config = load_transfer_config(str(write(target)), overrides)
    die_in_steps(2)
    with pytest.raises(KeyboardInterrupt):
        transfer(weights, config)
    begun = die_in_steps()
    assert transfer(weights, config) == straight
    assert len(begun) == 1  # of two steps the second
    name = "seed0/r2plus1d_10_4f/weights/transfer/shapes/full_ft/train/weights.pt"
    assert (tmp_path / "moved" / name).read_bytes() == (tmp_path / "straight" / name).read_bytes()


def test_full_ft_begins_with_the_weights_and_a_new_head(weights: Path, images: Path, write: WriteConfig):
    target = f"{{name: c, train: {images}/train.csv, test: {images}/test.csv, protocols: [full_ft], full_ft: {RECIPE}}}"
    config = load_transfer_config(str(write(target)), ["transfer.0.full_ft.learning_rate=1e-12"])
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


@pytest.mark.usefixtures("one_thread")
def test_two_processes_transfer_as_one_does(
    weights: Path, shapes: Path, write: WriteConfig, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    more = f"full_ft: {RECIPE[:-1]}, parts: 2}}"
    config = write(shapes_target(shapes, more))
    command = ["transfer", "--weights", str(weights), "--cfg", str(config), "--json"]
    assert cli.main([*command, f"output={tmp_path}/alone"]) == 0
    alone = json.loads(capsys.readouterr().out)
    result = finished(torchrun(2, "-m", "vidsemi", *command, f"output={tmp_path}/together"))
    assert result.returncode == 0, result.stderr
    together = json.loads(result.stdout)
    for one, other in zip(alone["results"], together["results"], strict=True):
        assert one.pop("weights") == other.pop("weights")
        assert one == other
    files = sorted(file.relative_to(tmp_path / "alone") for file in tmp_path.glob("alone/**/part-*.parquet"))
    assert files
    for file in files:
        assert (tmp_path / "together" / file).read_bytes() == (tmp_path / "alone" / file).read_bytes()


def test_the_config_of_a_run_is_taken_too(
    tiny_config: WriteConfig, weights: Path, shapes: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    config = tiny_config(text=f"transfer:\n  - {shapes_target(shapes)}")
    command = ["transfer", "--weights", str(weights), "--cfg", str(config), "approach=semi_supervised", "student=mine"]
    assert cli.main([*command, "--check"]) == 0
    assert "transfer to shapes: 8 classes; 24 train, 16 test" in capsys.readouterr().out
    assert not (tmp_path / "run").exists()
    assert cli.main([*command, "--json"]) == 0
    (row,) = json.loads(capsys.readouterr().out)["results"]
    assert (row["student"], row["approach"], row["seed"]) == ("mine", "semi_supervised", 0)
    assert (tmp_path / "run/transfer/report.html").is_file()
    assert not (tmp_path / "run/transfer/accuracy_flops.svg").exists()
    other = tmp_path / "other.pt"
    shutil.copy(weights, other)
    assert (
        cli.main(["transfer", "--weights", str(other), "--cfg", str(config), "approach=supervised", "student=mine"])
        == 0
    )
    text = capsys.readouterr().out
    assert "supervised %" in text and "semi_supervised %" in text  # beside each other


@pytest.mark.parametrize(
    ("target", "words"),
    [
        ("{name: a, train: T, test: E}", "the protocol full_ft needs a recipe"),
        ("{name: a, train: T, protocols: [fc_only]}", "train and test are missing"),
        ("{name: a, train: T, test: E, splits: [{train: T, test: E}], protocols: [fc_only]}", "give either train and"),
        ("{name: ../a, train: T, test: E, protocols: [fc_only]}", "transfer.0.name"),
        ("{name: a, train: T, test: E, protocols: [fc_only, fc_only]}", "protocols names one of its values twice"),
        ("{name: a, train: T, test: E, protocol: [fc_only]}", "unknown key; did you mean 'protocols'?"),
        ("{name: a, train: T, test: E, protocols: [fc_only], fc_only: {group: g}}", "group needs exactly one pair"),
        ("{name: a, train: T, test: E, protocols: [fc_only], fc_only: {group: '('}}", "is no regular expression"),
        ("{name: a, train: T, test: E, protocols: [fc_only], fc_only: {c_values: [1, 1]}}", "names one of its values"),
        ("{name: a, train: T, test: E, protocols: [fc_only], fc_only: {group: '_g(\\d+)'}}", "finds nothing in"),
        ("{name: a, train: T, test: nowhere.csv, protocols: [fc_only]}", "there is no manifest nowhere.csv"),
        ("{name: a, train: T, test: OTHER, protocols: [fc_only]}", "is not one of the 8 classes"),
        ("{name: a, train: T, test: GONE, protocols: [fc_only], dataset: ucf101}", "datasets/ucf101/README.md tells"),
        (
            "{name: a, train: T, test: E, protocols: [fc_only]}\n"
            "  - {name: a, train: T, test: E, protocols: [fc_only]}",
            "two targets have the name 'a'",
        ),
    ],
)
@pytest.mark.parametrize("command", ["run", "transfer"])
def test_wrong_targets_are_one_line(
    command: str,
    target: str,
    words: str,
    tiny_config: WriteConfig,
    write: WriteConfig,
    weights: Path,
    shapes: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
):
    (tmp_path / "other.csv").write_text(f"path,label\n{shapes}/test/00000.mp4,drifting esat\n")
    (tmp_path / "gone.csv").write_text("path,label\nnot/there.mp4,drifting east\n")
    places = {"T": shapes / "labeled.csv", "E": shapes / "test.csv"}
    places |= {"OTHER": tmp_path / "other.csv", "GONE": tmp_path / "gone.csv"}
    for short, file in places.items():
        target = target.replace(f": {short},", f": {file},").replace(f": {short}}}", f": {file}}}")
    config = write(target) if command == "transfer" else tiny_config(text=f"transfer:\n  - {target}")
    more = ["--weights", str(weights)] if command == "transfer" else []
    assert cli.main([command, "--cfg", str(config), *more]) == 2
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert words in line
    assert not (tmp_path / "run").exists() and not (tmp_path / "moved").exists()


def test_a_network_without_a_linear_head_is_refused_before_anything_runs(
    tiny_config: WriteConfig, images: Path, tmp_path: Path
):
    text = f"transfer:\n  - {{name: c, train: {images}/train.csv, test: {images}/test.csv, protocols: [fc_only]}}"
    overrides = ["students.0={model: torchvision/squeezenet1_1}", "approaches=[supervised]"]
    with pytest.raises(UserError, match="its head is not one linear layer"):
        pipeline.run(load_config(str(tiny_config(text=text)), overrides))
    assert not (tmp_path / "run").exists()


def test_other_weights_in_the_same_place_are_refused(weights: Path, shapes: Path, write: WriteConfig):
    config = load_transfer_config(str(write(shapes_target(shapes))))
    transfer(weights, config)
    state = torch.load(weights, weights_only=True)
    state["state_dict"]["fc.bias"] += 1
    torch.save(state, weights)
    with pytest.raises(UserError, match="made by another config: weights was"):
        check_transfer(weights, config)


@pytest.mark.parametrize(
    "network",
    ["{model: r2plus1d_10, frames: 8, args: {width: 0.0625}}", "{model: resnet18, frames: 1, args: {stem: cifar}}"],
)
def test_real_videos_and_real_images(
    network: str, real_data: Path, tiny_config: WriteConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """Networks of videos and of images go to UCF101 by its own lists and to JPEGs, by both protocols."""
    with zipfile.ZipFile(real_data / "cifar10.zip") as archive:
        names = [name for name in archive.namelist() if name.endswith((".jpg", ".jpeg", ".png"))]
        for subset, most in (("train", 8), ("test", 3)):
            for label in ("frog", "ship"):
                own = sorted(name for name in names if f"/{subset}/{label}/" in f"/{name}")[:most]
                assert len(own) == most
                archive.extractall(tmp_path, own)
    monkeypatch.chdir(tmp_path)
    ucf = real_data / "ucf3"
    for subset in ("train", "test"):
        assert cli.main(["manifest", "folder", "--root", f"cifar10/{subset}", "--output", f"c_{subset}.csv"]) == 0
        lines = (ucf / f"ucfTrainTestlist/{subset}list01.txt").read_text().splitlines()
        (tmp_path / f"{subset}list01.txt").write_text("\n".join(lines[::8]))
        command = ["manifest", "ucf101", f"{subset}list01.txt", "--root", str(ucf), "--output", f"u_{subset}.csv"]
        assert cli.main(command) == 0
    text = f"""
transfer:
  - {{name: cifar, train: c_train.csv, test: c_test.csv, full_ft: {RECIPE}, fc_only: {{c_values: [0.01, 1]}}}}
  - name: ucf3
    train: u_train.csv
    test: u_test.csv
    views: 2
    full_ft: {RECIPE}
    fc_only: {{group: '_(g\\d+)_c\\d+', c_values: [0.01, 1]}}
"""
    config = load_config(str(tiny_config(text=text)), [f"students=[{network}]", "approaches=[supervised]"])
    rows = [row for row in pipeline.run(config) if "transfer" in row]
    assert [(row["transfer"], row["protocol"]) for row in rows] == [
        (target, protocol) for target in ("cifar", "ucf3") for protocol in ("full_ft", "fc_only")
    ]
    assert all(row["read"] == row["total"] and 0 <= row["top1"] <= 100 for row in rows)
    assert [row["total"] for row in rows] == [6, 6, 5, 5]
