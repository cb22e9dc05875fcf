"""The recipes in configs/: each says what it reproduces, loads by every command it names, and its networks build."""

import re
import shlex
from pathlib import Path

import pytest

from vidsemi.config import Config, Data
from vidsemi.config_file import load_config
from vidsemi.corpus.label_space import label_space
from vidsemi.plan import Plan, Planner
from vidsemi.report.paper import paper_lines
from vidsemi.stages.corpora import load_corpora
from vidsemi.stages.networks import check_network, network_spec
from vidsemi.steps import network_key

CONFIGS = Path(__file__).resolve().parent.parent / "configs"
RECIPES = sorted(CONFIGS.glob("*.yaml"))
COMMAND = re.compile(r"^# Command: python tools/run\.py --cfg (\S+)([^(\n]*)", re.MULTILINE)
CASES = [
    pytest.param(name, shlex.split(overrides), id=f"{name}{overrides.rstrip()}")
    for recipe in RECIPES
    for name, overrides in COMMAND.findall(recipe.read_text(encoding="utf-8"))
]


def networks_of(config: Config) -> list:
    return [*config.students, *([config.teacher] if config.taught_by and config.teacher else [])]


@pytest.mark.parametrize(("name", "overrides"), CASES)
def test_a_recipe_loads_and_builds(name: str, overrides: list[str]):
    config = load_config(str(CONFIGS / name), overrides)
    classes = [f"class {number}" for number in range(1000 if config.input.crop == 224 else 400)]
    for network in networks_of(config):
        check_network(network_spec(network, config.input, classes))


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda recipe: recipe.name)
def test_a_recipe_opens_with_what_it_is(recipe: Path):
    head = recipe.read_text(encoding="utf-8").split("\noutput:")[0]
    for word in ("# Reproduces: ", "# Expect", "# Cost: ", f"# Command: python tools/run.py --cfg {recipe.name}"):
        assert word in head
    assert len({config.output for config in loaded(recipe)}) == len(loaded(recipe))  # rows that differ share no folder


def loaded(recipe: Path) -> list[Config]:
    text = recipe.read_text(encoding="utf-8")
    return [load_config(str(CONFIGS / name), shlex.split(overrides)) for name, overrides in COMMAND.findall(text)]


def plans_of(names: list[str], shapes: Path) -> list[Plan]:
    """What recipes would do, with small corpora and weights of some content."""
    plans = []
    for name in names:
        config = load_config(str(CONFIGS / name))
        assert (config.select.per_class, config.select.per_example, config.evaluate.views) == (4000, 4, 10)
        sources = {key: f"{shapes}/{key}.csv" for key in ("labeled", "unlabeled", "test")}
        corpora = load_corpora(Data(**sources, weak=sources["unlabeled"]))
        found = {
            network_key(network): {"init_from": network.init_from}
            for network in networks_of(config)
            if network.init_from
        }
        plans.append(Planner(config, corpora, found, label_space(corpora.classes, {})).plan())
    return plans


TABLE_7 = ["table7_supervised.yaml", "table7_weakly.yaml", "table7_semi_weakly.yaml"]


@pytest.mark.parametrize("recipes", [TABLE_7, ["kinetics_student.yaml"]], ids=["published weights", "one run"])
def test_every_row_of_table_7_has_a_recipe(recipes: list[str], shapes: Path):
    """The names of students and approaches are those of the paper's rows in a report."""
    rows = {(row.student, row.approach) for plan in plans_of(recipes, shapes) for row in plan.evaluations}
    students = ("r2plus1d_18_8f", "r2plus1d_18_32f", "r2plus1d_34_8f")
    approaches = {line.approach for line in paper_lines() if line.approach}
    assert approaches == {"supervised", "weakly_supervised", "semi_weakly_supervised"}
    further = {("teacher", "weakly_supervised_teacher")}
    if recipes != TABLE_7:  # the paper has no row of semi_supervised
        further |= {("teacher", "teacher"), *((student, "semi_supervised") for student in students)}
    assert rows == {(student, approach) for student in students for approach in approaches} | further


def test_the_recipes_of_table_7_share_a_directory(shapes: Path):
    """No folder is made by two recipes that differ."""
    made: dict[str, str] = {}
    for plan in plans_of(TABLE_7, shapes):
        for stage in plan.stages:
            assert made.setdefault(stage.name, stage.fingerprint) == stage.fingerprint
    assert "seed0/r2plus1d_18_8f/semi_weakly_supervised/finetune" in made
