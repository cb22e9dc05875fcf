"""A full run that several tests read, and a copy of it for tests that resume it."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import write_tiny_config
from vidsemi.config import Config
from vidsemi.config.load import load_config
from vidsemi.pipeline import run as pipeline

SEEDS = "seeds=[0, 5]"


@pytest.fixture
def load(tiny_config: Callable[..., Path]) -> Callable[..., Config]:
    """The config of the full run, with an output of the test's own."""
    return lambda *overrides: load_config(str(tiny_config()), [SEEDS, *overrides])


@pytest.fixture(scope="session")
def finished_run(shapes: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The directory of a full run. Do not change it."""
    folder = tmp_path_factory.mktemp("full")
    config = load_config(str(write_tiny_config(folder / "tiny.yaml", shapes)), [SEEDS])
    pipeline.run(config)
    return Path(config.output)


@pytest.fixture
def copied_run(finished_run: Path, load: Callable[..., Config]) -> Path:
    """A copy of it, where `load()` has its output."""
    return Path(shutil.copytree(finished_run, load().output))
