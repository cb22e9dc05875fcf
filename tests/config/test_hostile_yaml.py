"""Configs that are hostile or broken as YAML: one line, at once, and nothing of them is executed."""

import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.helpers.errors import refused
from vidsemi.config.load import load_config

Write = Callable[[str], Path]
GOOD = """
output: out
data: {labeled: l.csv, test: t.csv}
students: [{model: r2plus1d_10, frames: 4}]
approaches: [supervised]
train: {supervised: {examples: 8, batch_size: 8, learning_rate: 0.1}}
"""
LEVELS = "a: &a [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{after}: &{after} [{', '.join([f'*{before}'] * 10)}]\n"
    for before, after in zip("abcdefgh", "bcdefghi", strict=True)
)
MERGES = "m0: &m0 {k: 1}\n" + "".join(f"m{n + 1}: &m{n + 1}\n  <<: [{', '.join([f'*m{n}'] * 10)}]\n" for n in range(9))


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def written(text: str) -> Path:
        (tmp_path / "c.yaml").write_text(text)
        return tmp_path / "c.yaml"

    return written


def test_the_good_one_loads(write: Write):
    assert load_config(str(write(GOOD))).output == "out"


@pytest.mark.parametrize(
    ("text", "key"),
    [
        (f"{GOOD}output: other", "output"),
        (GOOD.replace("frames: 4", "frames: 4, frames: 8"), "frames"),
        (f'{GOOD}seeds: [0]\n"seeds": [1]', "seeds"),
    ],
)
def test_keys_given_twice_are_refused(write: Write, text: str, key: str):
    with refused("config.repeated_key", "c.yaml", key):
        load_config(str(write(text)))


def test_keys_given_twice_in_a_base_or_an_override(write: Write, tmp_path: Path):
    (tmp_path / "base.yaml").write_text(f"{GOOD}output: other")
    with refused("config.repeated_key", "base.yaml", "output"):
        load_config(str(write("_BASE_: base.yaml")))
    with refused("config.repeated_key", "frames"):
        load_config(str(write(GOOD)), ["students.0={model: r2plus1d_10, frames: 4, frames: 8}"])


@pytest.mark.parametrize(
    "text",
    [
        f"{GOOD}{LEVELS}",
        f"{LEVELS}{GOOD}seeds: *i",
        f"{MERGES}{GOOD}",
        f"{GOOD}z: &z [*z]",
        f"{GOOD}# {'x' * (1 << 20)}",
    ],
)
def test_few_bytes_cannot_mean_billions_of_values(write: Write, text: str):
    started = time.process_time()
    with refused("config.too_large", "c.yaml"):
        load_config(str(write(text)))
    assert time.process_time() - started < 5
    if len(text) < 10_000 and "output" in text:
        with refused("config.too_large"):
            load_config(str(write(GOOD)), [f"data={{{', '.join(LEVELS.splitlines())}}}"])


@pytest.mark.parametrize(
    "text",
    [
        f"{GOOD}z: {'[' * 50_000}{']' * 50_000}",
        "!!python/object/apply:os.system ['touch CANARY']",
        f"{GOOD}z: !!python/object/apply:os.system ['touch CANARY']",
        "_BASE_: c.yaml",
        "_BASE_: other.yaml",
        "_BASE_: gone.yaml",
        "_BASE_: pipe.yaml",
        "_BASE_: /dev/zero",
        "_BASE_: https://127.0.0.1:1/c.yaml",
        "_BASE_:",
        "_BASE_: {a: b}",
        "\0\1\2",
        "- a list",
        "",
    ],
)
def test_what_is_not_a_config(write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "other.yaml").write_text("_BASE_: c.yaml")
    os.mkfifo(tmp_path / "pipe.yaml")
    with refused("config.unreadable", "/dev/zero" if "/dev" in text else "yaml"):
        load_config(str(write(text)))
    assert not (tmp_path / "CANARY").exists()


@pytest.mark.parametrize("base", ["base.yaml", "[base.yaml, more.yaml]"])
def test_configs_inherit(write: Write, tmp_path: Path, base: str):
    (tmp_path / "base.yaml").write_text(GOOD)
    (tmp_path / "more.yaml").write_text("seeds: [3]")
    assert load_config(str(write(f"_BASE_: {base}\noutput: mine"))).output == "mine"


@pytest.mark.parametrize("override", ["output=", 'output=""', 'output="a\\0b"', 'data.labeled="a\\0b"'])
def test_names_of_files_are_not_empty_and_have_no_null(write: Write, override: str):
    with refused("config.invalid_value", override.partition("=")[0]):
        load_config(str(write(GOOD)), [override])


@pytest.mark.parametrize("value", [".nan", ".inf", "-.inf"])
def test_numbers_are_finite(write: Write, value: str):
    with refused("config.invalid_value", "learning_rate"):
        load_config(str(write(GOOD)), [f"train.supervised.learning_rate={value}"])
