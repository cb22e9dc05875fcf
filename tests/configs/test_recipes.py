"""The recipes in configs/: each says what it reproduces, loads by every command it names, and its networks build."""

import json
import re
import shlex
from pathlib import Path
from typing import Any

import pytest

from vidsemi.cli import main as cli
from vidsemi.config import Config, Data
from vidsemi.config.load import expand_variants, load_config, load_transfer_config
from vidsemi.data.hashtags.vocabulary import build_vocabulary
from vidsemi.models.build import check_network, network_spec
from vidsemi.pipeline.datasets import load_datasets
from vidsemi.pipeline.plan import plan_run
from vidsemi.pipeline.resolve import Resolved, ResolvedNetwork
from vidsemi.pipeline.stage import Architecture, Plan, WeightsFile
from vidsemi.reporting.paper import TABLE_8, TABLE_8_APPROACHES, table_7

CONFIGS = Path(__file__).resolve().parent.parent.parent / "configs"
TRANSFERS = sorted(CONFIGS.glob("transfer_*.yaml"))
STUDIES = sorted(CONFIGS.glob("studies/*.yaml"))
RECIPES = [*sorted(set(CONFIGS.glob("*.yaml")) - set(TRANSFERS)), *STUDIES]
COMMAND = re.compile(r"^# Command: python tools/run\.py --cfg (\S+)(?: --jobs \d+)?([^(\n]*)", re.MULTILINE)
CASES = [
    pytest.param(name, shlex.split(overrides), id=f"{name}{overrides.rstrip()}")
    for recipe in RECIPES
    for name, overrides in COMMAND.findall(recipe.read_text(encoding="utf-8"))
]


def named(recipe: Path) -> str:
    """The name by which `--cfg` finds a recipe."""
    return recipe.relative_to(CONFIGS).as_posix()


def networks_of(config: Config) -> list:
    return [*config.students, *(config.teachers.values() if config.teacher_approaches else ())]


PUBLIC: dict[str, dict[str, Any]] = {  # what recipes name of public teachers, in the form of their config.json
    "videomae-base-finetuned-kinetics": {
        "architectures": ["VideoMAEForVideoClassification"],
        "model_type": "videomae",
        "qkv_bias": True,
        "use_mean_pooling": True,
    },
    "vjepa2-vitl-fpc16-256-ssv2": {
        "architectures": ["VJEPA2ForVideoClassification"],
        "model_type": "vjepa2",
        "frames_per_clip": 16,
    },
}


@pytest.fixture
def public_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Folders of public teachers without their weights, in the working directory."""
    monkeypatch.chdir(tmp_path)
    for name, config in PUBLIC.items():
        folder = tmp_path / "weights" / name
        folder.mkdir(parents=True)
        (folder / "config.json").write_text(json.dumps(config))
        (folder / "preprocessor_config.json").write_text('{"do_center_crop": true, "do_normalize": true}')


@pytest.fixture(scope="session")
def fitting() -> set[str]:
    """Networks that were found to take their input, in a tenth of a second each: of 237 in recipes 28 differ."""
    return set()


@pytest.mark.parametrize(("name", "overrides"), CASES)
@pytest.mark.usefixtures("public_folders")
@pytest.mark.slow
def test_a_recipe_loads_and_builds(name: str, overrides: list[str], fitting: set[str]):
    for config in expand_variants(load_config(str(CONFIGS / name), overrides)).values():
        classes = [f"class {number}" for number in range(1000 if config.input.crop == 224 else 400)]
        for network in networks_of(config):
            spec = network_spec(network, config.input, classes)
            if repr(spec) not in fitting:
                check_network(spec)
                fitting.add(repr(spec))


@pytest.mark.parametrize("recipe", RECIPES, ids=named)
def test_a_recipe_opens_with_what_it_is(recipe: Path):
    head = recipe.read_text(encoding="utf-8").split("\noutput:")[0]
    for word in ("# Reproduces: ", "# Expect", "# Cost: ", f"# Command: python tools/run.py --cfg {named(recipe)}"):
        assert word in head
    assert len({config.output for config in loaded(recipe)}) == len(loaded(recipe))  # rows that differ share no folder


@pytest.mark.parametrize("recipe", STUDIES, ids=named)
def test_a_study_has_two_sizes(recipe: Path):
    """Each recipe names the one of the other size: for 2 cores, or the paper's."""
    (other,) = re.findall(
        r"^# (?:On 2 cores|At the paper's size): studies/(\S+?\.yaml)", recipe.read_text(), re.MULTILINE
    )
    assert (CONFIGS / "studies" / other).is_file()
    assert ("_imagenet" in other or "_kinetics" in other) != ("_imagenet" in recipe.name or "_kinetics" in recipe.name)


@pytest.mark.parametrize("recipe", TRANSFERS, ids=lambda recipe: recipe.name)
def test_a_recipe_of_a_transfer_loads_and_opens_with_what_it_is(recipe: Path):
    head = recipe.read_text(encoding="utf-8").split("\noutput:")[0]
    for word in ("# Reproduces: ", "# Expect", "# Cost: ", "# Data: "):
        assert word in head
    (command,) = re.findall(r"^# Command: python tools/(.+)$", head, re.MULTILINE)
    options = cli.parse(cli.build_parser(), shlex.split(command.replace(".py", "", 1)))
    assert options.cfg == recipe.name
    config = load_transfer_config(str(recipe), options.overrides)
    assert (config.student, config.approach) == ("r2plus1d_18_8f", "supervised")
    assert [(target.name, len(target.splits), target.views) for target in config.transfer] == [
        ("ucf101", 3, 10),
        ("hmdb51", 3, 10),
    ]
    names = {"ucf101": "v_Punch_g08_c01.avi", "hmdb51": "April_09_brush_hair_u_nm_np1_ba_goo_0.avi"}
    groups = {"ucf101": "g08", "hmdb51": "April_09_brush_hair"}
    for target in config.transfer:
        found = re.search(str(target.fc_only.validation.group), f"data/{names[target.name]}")
        assert found and found[1] == groups[target.name]


def test_table_8_has_a_recipe():
    config = load_config(str(CONFIGS / "table8.yaml"))
    assert {(one.name, approach) for one in config.students for approach in config.approaches_of(one)} == {
        ("resnet50", approach) for approach in TABLE_8_APPROACHES
    }
    (target,) = config.transfer
    assert set(target.protocols) == set(TABLE_8)
    head = (CONFIGS / "table8.yaml").read_text(encoding="utf-8").split("\noutput:")[0]
    for accuracies in TABLE_8.values():
        assert " / ".join(map(str, accuracies)) in re.sub(r"\n# +", " ", head)


def loaded(recipe: Path) -> list[Config]:
    text = recipe.read_text(encoding="utf-8")
    return [load_config(str(CONFIGS / name), shlex.split(overrides)) for name, overrides in COMMAND.findall(text)]


def plans_of(names: list[str], shapes: Path) -> list[Plan]:
    """What recipes would do, with small datasets and weights of some content."""
    plans = []
    for name in names:
        config = load_config(str(CONFIGS / name))
        assert (config.select.per_class, config.select.per_example, config.evaluate.views) == (4000, 4, 10)
        sources = {key: f"{shapes}/{key}.csv" for key in ("labeled", "unlabeled", "test")}
        datasets = load_datasets(Data(**sources, weak=sources["unlabeled"]))
        networks = {}
        for network in networks_of(config):
            spec = network_spec(network, config.input, datasets.classes)
            source = network.init_from
            weights = WeightsFile(source, f"content of {source}") if source else None
            architecture = Architecture(spec.model, spec.args, spec.input)
            networks[getattr(network, "name", "teacher")] = ResolvedNetwork(
                architecture, weights, network.weakly_pretrained
            )
        vocabulary = build_vocabulary(datasets.classes, {})
        plans.append(plan_run(Resolved(config, datasets, vocabulary, networks, [], [], {})))
    return plans


TABLE_7 = ["table7_supervised.yaml", "table7_weakly.yaml", "table7_semi_weakly.yaml"]


@pytest.mark.parametrize("recipes", [TABLE_7, ["kinetics_student.yaml"]], ids=["published weights", "one run"])
def test_every_row_of_table_7_has_a_recipe(recipes: list[str], shapes: Path):
    """The names of students and approaches are those of the paper's rows in a report."""
    rows = {(row.student, row.approach) for plan in plans_of(recipes, shapes) for row in plan.rows}
    students = ("r2plus1d_18_8f", "r2plus1d_18_32f", "r2plus1d_34_8f")
    approaches = {result.approach for result in table_7() if result.approach}
    assert approaches == {"supervised", "weakly_supervised", "semi_weakly_supervised"}
    further = {("teacher", "weakly_supervised_teacher")}
    if recipes != TABLE_7:  # the paper has no row of semi_supervised
        further |= {("teacher", "teacher"), *((student, "semi_supervised") for student in students)}
    assert rows == {(student, approach) for student in students for approach in approaches} | further


def test_the_recipes_of_table_7_share_a_directory(shapes: Path):
    """No folder is made by two recipes that differ."""
    made: dict[str, str] = {}
    for plan in plans_of(TABLE_7, shapes):
        for fingerprint, folder in plan.folders.items():
            assert made.setdefault(folder, fingerprint) == fingerprint
    assert "seed0/r2plus1d_18_8f/semi_weakly_supervised/finetune" in made
