"""Configs that cannot work are errors, and doubtful ones warnings, each with its key, before anything runs."""

from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from tests.helpers.builders import shapes_target
from tests.helpers.errors import refused
from vidsemi.cli import main as cli
from vidsemi.config.load import load_config
from vidsemi.pipeline import run as pipeline

Write = Callable[..., Path]
WEAK = ["train.weak_pretrain={examples: 24, batch_size: 8, learning_rate: 0.01}", "approaches=[weakly_supervised]"]


@pytest.fixture
def warnings_of(tiny_config: Write) -> Callable[..., list[str]]:
    """The warnings of a check, but for those of the number of steps."""

    def check(*overrides: str) -> list[str]:
        document, text = pipeline.check(load_config(str(tiny_config()), overrides))
        assert all(f"warning: {warning}" in text.splitlines() for warning in document["warnings"])
        return [warning for warning in document["warnings"] if " steps of " not in warning]

    return check


@pytest.mark.parametrize(
    ("override", "mentioned"),
    [
        ("train.supervised.warmup_examples=24", ("train.supervised", "warmup_examples 24", "examples 24")),
        ("train.finetune.warmup_examples=1000000", ("train.finetune", "warmup_examples 1000000", "examples 16")),
        ("train.pretrain.batch_size=512", ("train.pretrain", "batch_size 512", "examples 24")),
    ],
)
def test_a_recipe_that_is_longer_than_its_training(tiny_config: Write, override: str, mentioned: tuple[str, ...]):
    with refused("config.invalid_value", *mentioned):
        load_config(str(tiny_config()), [override])


def test_a_module_that_a_network_has_not(tiny_config: Write):
    """Before anything runs, also where it is the recipe of a later stage."""
    for recipe, code, mentioned in (
        ("finetune", "recipe.unknown_module", ("layr3", "layer3")),
        ("supervised", "recipe.nothing_frozen", ("stem",)),
    ):
        name = {"finetune": "layr3", "supervised": "stem"}[recipe]
        with refused(code, *mentioned):
            pipeline.check(load_config(str(tiny_config()), [f"train.{recipe}.freeze_until={name}"]))


def test_frozen_batch_norm_of_random_weights(warnings_of: Callable[..., list[str]], weights: Path):
    wider = "students.0.args.width=0.125"
    assert not warnings_of("train.finetune.frozen_batch_norm=true", wider)  # it starts from pseudo-labels' weights
    (warning,) = warnings_of("train.supervised.frozen_batch_norm=true", wider)
    assert "frozen_batch_norm" in warning and "seed0/teacher/train and 1 more" in warning
    (warning,) = warnings_of("train.supervised.frozen_batch_norm=true", wider, f"teacher.init_from={weights}")
    assert "seed0/small/supervised/train would" in warning


def test_soft_targets_of_hashtags(tiny_config: Write):
    with refused("select.soft_with_tags", "balanced_with_tags"):
        pipeline.check(load_config(str(tiny_config()), ["select.policy=balanced_with_tags", "select.targets=soft"]))
    with refused("config.invalid_value", "temperature"):
        load_config(str(tiny_config()), ["select.temperature=2"])


@pytest.mark.slow
def test_what_only_looks_odd_is_a_warning(warnings_of: Callable[..., list[str]], shapes: Path):
    assert warnings_of() == []
    (warning,) = warnings_of("train.supervised.warmup_examples=16")
    assert warning.startswith("train.supervised.warmup_examples: ")
    (warning,) = warnings_of("train.finetune={examples: 64, batch_size: 32, learning_rate: 0.001}")
    assert warning.startswith("train.finetune.batch_size: 32 ") and "24 examples" in warning
    assert warnings_of("train.weak_pretrain={examples: 99, batch_size: 99, learning_rate: 1}") == []  # not used
    (warning,) = warnings_of("select.per_class=7")
    assert warning.startswith("select.per_class: 7 × 8 classes = 56 ") and "52 examples" in warning
    (warning,) = warnings_of("students.0.frames=1")
    assert warning.startswith("students.0.frames: ") and "data.labeled, data.unlabeled, data.test" in warning
    recipe = "{examples: 90, batch_size: 30, learning_rate: 1}"
    (warning,) = warnings_of(f"transfer=[{shapes_target(shapes, f'full_ft: {recipe}, protocols: [full_ft]')}]")
    assert warning.startswith("transfer.0.full_ft.batch_size: 30 ")


@pytest.mark.slow
def test_a_selection_that_selects_everything(tiny_config: Write):
    for override in ("select.policy=random", "select.policy=balanced_ranked"):
        with refused("select.selects_all", "select.per_class 52", "select.per_example 8"):
            pipeline.check(load_config(str(tiny_config()), [override, "select={per_class: 52, per_example: 8}"]))


@pytest.mark.slow
@pytest.mark.parametrize("role", ["labeled", "unlabeled", "weak"])
def test_test_examples_that_are_trained_on(tiny_config: Write, shapes: Path, tmp_path: Path, role: str):
    (tmp_path / "link.mp4").symlink_to(shapes / "test/00003.mp4")
    source = shapes / ("labeled.csv" if role == "labeled" else "unlabeled.csv")
    header, *rows = source.read_text().splitlines()
    rows = [f"{shapes}/{row}" for row in rows]
    (tmp_path / "more.csv").write_text("\n".join([header, *rows, "link.mp4," + rows[0].split(",")[1]]))
    more = WEAK if role == "weak" else []
    config = load_config(str(tiny_config()), [f"data.{role}={tmp_path}/more.csv", "hashtags.min_examples=1", *more])
    with refused("data.test_overlap", "data.test: 1 of 16 examples", "test/00003.mp4", "more.csv", f"data.{role}"):
        pipeline.check(config)
    with refused("data.test_overlap"):
        pipeline.run(config)


@pytest.mark.slow
def test_a_test_set_that_is_the_training_set(tiny_config: Write, shapes: Path, tmp_path: Path, weights: Path):
    for test in (shapes / "labeled.csv", shapes / "../shapes/labeled.csv"):
        with refused("data.test_overlap", "data.test", "24 of 24", "data.labeled"):
            pipeline.check(load_config(str(tiny_config()), [f"data.test={test}"]))
    target = f"{{name: t, train: {shapes}/test.csv, test: {shapes}/test.csv, protocols: [fc_only]}}"
    with refused("data.test_overlap", "transfer.0.test", "16 of 16", "transfer.0.train"):
        pipeline.check(load_config(str(tiny_config()), [f"transfer=[{target}]"]))
    target = f"{{name: t, train: {shapes}/test.csv, test: {shapes}/labeled.csv, protocols: [fc_only]}}"
    with refused("data.test_overlap", "transfer.0.test", "24 of 24", "data.labeled"):
        pipeline.check(load_config(str(tiny_config()), [f"transfer=[{target}]"]))


def test_hashtags_that_are_all_dropped(tiny_config: Write, write_csv: Write, shapes: Path):
    rows = [
        [f"{shapes}/unlabeled/{n:05d}.mp4", tags] for n, tags in enumerate(["#drifteast", "#driftwest", "#east #x"])
    ]
    weak = write_csv("w.csv", ["path", "hashtags"], rows)
    given = [*WEAK, f"data.weak={weak}", "hashtags.min_examples=2"]
    with refused("hashtags.too_few_labels", weak, "0 labels", "hashtags.min_examples", "the most frequent has 1"):
        pipeline.check(load_config(str(tiny_config()), given))
    pipeline.check(load_config(str(tiny_config()), [*given, "hashtags.min_examples=1"]))
    untagged = write_csv("u.csv", ["path", "hashtags"], [[row[0], "#fyp"] for row in rows])
    given = ["select.policy=balanced_with_tags", f"data.unlabeled={untagged}"]
    with refused("hashtags.too_few_labels", untagged):
        pipeline.check(load_config(str(tiny_config()), given))


@pytest.mark.slow
def test_images_for_a_video_network(
    warnings_of: Callable[..., list[str]], write_csv: Write, tmp_path: Path, shapes: Path
):
    sets = {}
    for name in ("labeled", "test"):
        rows = []
        for number in range(6):
            Image.new("RGB", (24, 24)).save(tmp_path / f"{name}{number}.PNG")
            rows.append([f"{name}{number}.PNG", "drifting east" if number % 2 else "drifting west"])
        sets[name] = write_csv(f"{name}.csv", ["path", "label"], rows)
    both = [f"data.{name}={file}" for name, file in sets.items()]
    (warning,) = warnings_of(*both, "approaches=[supervised]", "train.supervised.batch_size=6")
    assert warning.startswith("students.0.frames: 4 frames") and "data.labeled, data.test: images" in warning
    with refused("data.images_and_videos", "students.0.frames", "data.labeled has images", "data.test has videos"):
        warnings_of(
            both[0],
            f"data.test={write_csv('t.csv', ['path', 'label'], [[f'{shapes}/test/00000.mp4', 'drifting east']])}",
        )


def test_warnings_are_logged_by_a_run(tiny_config: Write, caplog: pytest.LogCaptureFixture):
    assert cli.main(["run", "--cfg", str(tiny_config()), "--until", "hashtags", "select.per_class=7"]) == 0
    assert "select.per_class: 7 × 8 classes" in caplog.text
