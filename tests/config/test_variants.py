"""Variants of a config: each is the config with its values, and what does not fit is refused."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import REPOSITORY
from tests.helpers.errors import refused
from vidsemi.config import Config
from vidsemi.config.load import expand_variants, load_config

RECIPES = sorted(file.name for file in (REPOSITORY / "configs").glob("*.yaml") if not file.name.startswith("transfer_"))


@pytest.mark.parametrize("name", RECIPES)
def test_a_variant_that_changes_nothing_is_the_config_itself(name: str):
    config = load_config(name)
    values = {"title": "nothing", "values": {"evaluate.views": [config.evaluate.views]}}
    study = load_config(name, {"variants": values})
    (variant,) = expand_variants(study).values()
    assert variant == config
    assert expand_variants(config) == {"": config}


def test_lists_of_several_keys_are_read_side_by_side(tiny_config: Callable[..., Path]):
    values = {
        "select.per_class": [3, 5],
        "train.supervised.learning_rate": [0.1, "1e-2"],
        "teacher.args.width": [0.25, 0.5],
    }
    config = load_config(str(tiny_config()), {"variants": {"values": values}})
    assert config.variants is not None
    assert config.variants.varied == "select.per_class"
    variants = expand_variants(config)
    assert [*variants] == ["3", "5"]
    taken = [
        (own.select.per_class, own.train.supervised.learning_rate, own.teacher.args["width"])
        for own in variants.values()
        if own.teacher
    ]
    assert taken == [(3, 0.1, 0.25), (5, 0.01, 0.5)]
    assert all(own.variants is None for own in variants.values())
    named = load_config(str(tiny_config()), {"variants": {"values": values, "names": ["few", "many"], "title": "K"}})
    assert [*expand_variants(named)] == ["few", "many"]


@pytest.mark.parametrize(
    ("variants", "code", "mentioned"),
    [
        ({"values": {"select.per_klass": [1, 2]}}, "config.unknown_key", ("per_klass", "per_class")),
        ({"values": {"select.per_class": [1, "many"]}}, "config.invalid_value", ("select.per_class", "many")),
        ({"values": {"select.per_class": [1, 2], "select.per_example": [1]}}, "config.invalid_value", ("per_example",)),
        ({"values": {"select.per_class": []}}, "config.invalid_value", ("select.per_class",)),
        ({"values": {}}, "config.invalid_value", ("values",)),
        ({"values": {"seeds": [[0], [1]]}}, "config.invalid_value", ("seeds",)),
        ({"values": {"runtime.device": ["cpu", "cuda"]}}, "config.invalid_value", ("runtime.device",)),
        ({"values": {"data.labeled": ["a/b.csv", "c.csv"]}}, "config.invalid_value", ("a/b.csv", "names")),
        ({"values": {"select.per_class": [1, 1]}}, "config.invalid_value", ("twice",)),
        ({"values": {"select.per_class": [1, 2]}, "names": ["one"]}, "config.invalid_value", ("names",)),
        ({"values": {"students.3.frames": [1, 2]}}, "config.invalid_override", ("students.3.frames",)),
        ({"values": {"select.per_example": [9, 10]}}, "config.invalid_value", ("score.per_example",)),
        ({}, "config.missing_key", ("values",)),
    ],
)
def test_variants_that_do_not_fit_are_refused(
    tiny_config: Callable[..., Path], variants: dict, code: str, mentioned: tuple[str, ...]
):
    with refused(code, *mentioned):
        load_config(str(tiny_config()), {"variants": variants, "score.per_example": 8})


def test_a_variant_is_named_in_the_error(tiny_config: Callable[..., Path]):
    with refused("config.invalid_value", "variant many"):
        load_config(
            str(tiny_config()), {"variants": {"values": {"select.per_class": [1, -1]}, "names": ["few", "many"]}}
        )


def test_a_config_without_variants_has_one(tiny_config: Callable[..., Path]):
    config = load_config(str(tiny_config()))
    assert isinstance(config, Config)
    assert expand_variants(config) == {"": config}
