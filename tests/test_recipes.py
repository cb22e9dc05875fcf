"""The recipes in configs/: each says what it reproduces, loads by every command it names, and its networks build."""

import re
import shlex
from pathlib import Path

import pytest

from vidsemi.config import Config
from vidsemi.config_file import load_config
from vidsemi.stages.networks import check_network, network_spec

CONFIGS = Path(__file__).resolve().parent.parent / "configs"
RECIPES = sorted(CONFIGS.glob("*.yaml"))
COMMAND = re.compile(r"^# Command: python tools/run\.py --cfg (\S+)([^(\n]*)", re.MULTILINE)
CASES = [
    pytest.param(name, shlex.split(overrides), id=f"{name}{overrides.rstrip()}")
    for recipe in RECIPES
    for name, overrides in COMMAND.findall(recipe.read_text(encoding="utf-8"))
]


def networks_of(config: Config) -> list:
    return [*config.students, *([config.teacher] if config.has_teacher and config.teacher else [])]


@pytest.mark.parametrize(("name", "overrides"), CASES)
def test_a_recipe_loads_and_builds(name: str, overrides: list[str]):
    config = load_config(str(CONFIGS / name), overrides)
    classes = [f"class {number}" for number in range(1000 if config.input.crop == 224 else 400)]
    for network in networks_of(config):
        check_network(network_spec(network, config.input, classes))


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda recipe: recipe.name)
def test_a_recipe_opens_with_what_it_is(recipe: Path):
    head = recipe.read_text(encoding="utf-8").split("\noutput:")[0]
    for word in ("# Expect", "# Cost: ", f"# Command: python tools/run.py --cfg {recipe.name}"):
        assert word in head
    assert re.match(r"# (Table \d|\w)", head)
    assert len({config.output for config in loaded(recipe)}) == len(loaded(recipe))  # rows that differ share no folder


def loaded(recipe: Path) -> list[Config]:
    text = recipe.read_text(encoding="utf-8")
    return [load_config(str(CONFIGS / name), shlex.split(overrides)) for name, overrides in COMMAND.findall(text)]


def test_every_row_of_table_7_has_a_recipe():
    rows = set()
    for name in ("supervised", "weakly", "semi_weakly"):
        config = load_config(str(CONFIGS / f"table7_{name}.yaml"))
        rows |= {(student.model, student.frames, name) for student in config.students}
        assert config.select.per_class, config.select.per_example == (4000, 4)
        assert config.evaluate.views == 10
    networks = [("r2plus1d_18", 8), ("r2plus1d_18", 32), ("r2plus1d_34", 8)]
    assert rows == {
        (*network, approach) for network in networks for approach in ("supervised", "weakly", "semi_weakly")
    }


def test_the_recipes_of_table_7_can_share_a_directory():
    """One teacher, one scoring and one selection serve all rows; no stage has two recipes."""
    configs = [load_config(str(CONFIGS / f"table7_{name}.yaml")) for name in ("supervised", "weakly", "semi_weakly")]
    stages = [
        (student.name, approach) for config in configs for student in config.students for approach in config.approaches
    ]
    assert len({config.output for config in configs}) == 1
    assert len(set(stages)) == len(stages) == 9
