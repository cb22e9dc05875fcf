"""`vidsemi transfer` and the section `transfer` of a run: what they take, what they refuse, and real files."""

import json
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from tests.helpers.builders import shapes_target
from vidsemi.cli import main as cli
from vidsemi.config.load import load_config, load_transfer_config
from vidsemi.data.dedup.checks import read_checks
from vidsemi.io.errors import UserError
from vidsemi.pipeline import run as pipeline
from vidsemi.pipeline.run import check_transfer, transfer

WriteConfig = Callable[..., Path]
RECIPE = "{examples: 16, batch_size: 8, learning_rate: 0.01}"


@pytest.mark.slow
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
        ("{name: a, train: T, test: E}", "full_ft requires a training recipe"),
        ("{name: a, train: T, protocols: [fc_only]}", "train and test are missing"),
        ("{name: a, train: T, test: E, splits: [{train: T, test: E}], protocols: [fc_only]}", "give either train and"),
        ("{name: ../a, train: T, test: E, protocols: [fc_only]}", "transfer.0.name"),
        ("{name: a, train: T, test: E, protocols: [fc_only, fc_only]}", "protocols lists the same value twice"),
        ("{name: a, train: T, test: E, protocol: [fc_only]}", "unknown key; did you mean 'protocols'?"),
        (
            "{name: a, train: T, test: E, protocols: [fc_only], fc_only: {validation: {share: 0.1, group: g}}}",
            "exactly one capture group",
        ),
        (
            "{name: a, train: T, test: E, protocols: [fc_only], fc_only: {validation: {share: 0.1, group: '('}}}",
            "not a valid regular expression",
        ),
        (
            "{name: a, train: T, test: E, protocols: [fc_only], fc_only: {validation: {group: (g)}}}",
            "share or per_class",
        ),
        (
            "{name: a, train: T, test: E, protocols: [full_ft], "
            "full_ft: {examples: 16, batch_size: 8, learning_rate: 1, keep: best}}",
            "keep to last",
        ),
        (
            "{name: a, train: T, test: E, protocols: [fc_only], fc_only: {c_values: [1, 1]}}",
            "lists the same value twice",
        ),
        (
            "{name: a, train: T, test: E, protocols: [fc_only], "
            "fc_only: {validation: {share: 0.2, group: '_g(\\d+)'}}}",
            "[split.group_mismatch]",
        ),
        ("{name: a, train: T, test: nowhere.csv, protocols: [fc_only]}", "[manifest.missing_file]"),
        ("{name: a, train: T, test: OTHER, protocols: [fc_only]}", "[manifest.unknown_label]"),
        ("{name: a, train: T, test: GONE, protocols: [fc_only], dataset: ucf101}", "datasets/ucf101/README.md"),
        (
            "{name: a, train: T, test: E, protocols: [fc_only]}\n"
            "  - {name: a, train: T, test: E, protocols: [fc_only]}",
            "two targets have the name 'a'",
        ),
    ],
)
@pytest.mark.parametrize("command", ["run", "transfer"])
def test_invalid_targets_are_reported_in_one_line(
    command: str,
    target: str,
    words: str,
    tiny_config: WriteConfig,
    config_of: WriteConfig,
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
    config = config_of(target) if command == "transfer" else tiny_config(text=f"transfer:\n  - {target}")
    more = ["--weights", str(weights)] if command == "transfer" else []
    assert cli.main([command, "--cfg", str(config), *more]) == 2
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert words in line
    assert not (tmp_path / "run").exists() and not (tmp_path / "moved").exists()


@pytest.mark.slow
def test_earlier_training_data_of_weights_are_reported_as_unknown(
    tiny_config: WriteConfig, config_of: WriteConfig, weights: Path, shapes: Path, tmp_path: Path
):
    """Also where the target's own training set was checked."""
    clean, test = tmp_path / "labeled.csv", shapes / "test.csv"
    options = ["--output", str(clean), "--exclude-duplicates-of", str(test)]
    assert cli.main(["manifest", "table", str(shapes / "labeled.csv"), *options]) == 0
    target = f"{{name: t, train: {clean}, test: {test}, views: 2, protocols: [fc_only], fc_only: {{c_values: [1]}}}}"
    checked = "Checked for duplicates of the test set of t: its own training set"
    words = "what the weights were trained on before."
    config = config_of(target)
    assert cli.main(["transfer", "--weights", str(weights), "--cfg", str(config)]) == 0
    for file in ("results.md", "report.html"):
        text = (tmp_path / "moved" / file).read_text()
        assert checked in text
        assert f"NOT checked for duplicates of the test set of t: {words}" in text
        assert "Test accuracy may be inflated if the training data contains test examples." in text
    _, text = check_transfer(weights, load_transfer_config(str(config)))
    assert f"NOT checked for duplicates of the test set of t: {words}\n" in text

    config = tiny_config(text=f"transfer:\n  - {target}")
    given = [f"teacher.init_from={weights}", "teacher.frozen=true", "approaches=[semi_supervised]"]
    for overrides in (given, [f"students.0.init_from={weights}"]):
        document, text = pipeline.check(load_config(str(config), overrides))
        lines = [line for line in text.splitlines() if line.startswith("NOT checked") and words in line]
        assert all(any(f"{of}:" in line or f"{of}," in line for line in lines) for of in ("test set", "set of t"))
        before = [one for one in document["duplicates"] if one["dataset"].startswith("what the weights")]
        assert [(one["manifest"], one["test"], one["counts"]) for one in before] == [
            ("", "test", None),
            ("", "t", None),
        ]
    for overrides in (
        [],
        [f"teacher.init_from={weights}", "approaches=[supervised]"],
    ):  # a teacher that none learns from
        assert "what the weights" not in pipeline.check(load_config(str(config), overrides))[1]


@pytest.mark.slow
def test_checks_of_targets_stay_as_long_as_their_rows(
    weights: Path, shapes: Path, config_of: WriteConfig, tmp_path: Path
):
    def moved(target: str, own: Path = weights) -> set[tuple[str, str]]:
        config = load_transfer_config(str(config_of(target)), [f"student={own.stem}"])
        transfer(own, config)
        checks = read_checks(Path(config.output))
        assert checks is not None and len({(one.dataset, one.test) for one in checks}) == len(checks)
        return {one.test for one in checks}

    def named(name: str) -> str:
        files = f"train: {shapes}/labeled.csv, test: {shapes}/test.csv"
        files = f"splits: [{{{files}}}, {{{files}}}]" if name == "two" else files
        return f"{{name: {name}, {files}, views: 1, protocols: [fc_only], fc_only: {{c_values: [1]}}}}"

    first, *splits = "one", "two split 1", "two split 2"
    other = tmp_path / "other.pt"
    shutil.copy(weights, other)
    assert moved(named("one"), other) == {first}
    assert moved(named("two")) == {first, *splits}
    assert moved(named("two")) == {first, *splits}
    other.unlink()  # its rows go with it
    assert moved(named("three")) == {*splits, "three"}


@pytest.mark.slow
def test_a_network_without_a_linear_head_is_refused_before_anything_runs(
    tiny_config: WriteConfig, colors: Path, tmp_path: Path
):
    text = f"transfer:\n  - {{name: c, train: {colors}/train.csv, test: {colors}/test.csv, protocols: [fc_only]}}"
    overrides = ["students.0={model: torchvision/squeezenet1_1}", "approaches=[supervised]"]
    with pytest.raises(UserError, match="torchvision/squeezenet1_1"):
        pipeline.run(load_config(str(tiny_config(text=text)), overrides))
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
def test_other_weights_in_the_same_place_are_refused(weights: Path, shapes: Path, config_of: WriteConfig):
    config = load_transfer_config(str(config_of(shapes_target(shapes))))
    transfer(weights, config)
    state = torch.load(weights, weights_only=True)
    state["state_dict"]["fc.bias"] += 1
    torch.save(state, weights)
    with pytest.raises(UserError, match="weights was") as caught:
        check_transfer(weights, config)
    assert caught.value.code == "stage.different_config"


@pytest.mark.slow
@pytest.mark.parametrize(
    "network",
    [
        "{model: r2plus1d_10, frames: 8, args: {width: 0.0625}}",
        "{model: resnet18, frames: 1, args: {stem: cifar, width: 0.25}}",
    ],
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
    fc_only: {{validation: {{share: 0.2, group: '_(g\\d+)_c\\d+'}}, c_values: [0.01, 1]}}
"""
    config = load_config(str(tiny_config(text=text)), [f"students=[{network}]", "approaches=[supervised]"])
    rows = [row for row in pipeline.run(config) if "transfer" in row]
    assert [(row["transfer"], row["protocol"]) for row in rows] == [
        (target, protocol) for target in ("cifar", "ucf3") for protocol in ("full_ft", "fc_only")
    ]
    assert all(row["read"] == row["total"] and 0 <= row["top1"] <= 100 for row in rows)
    assert [row["total"] for row in rows] == [6, 6, 5, 5]
