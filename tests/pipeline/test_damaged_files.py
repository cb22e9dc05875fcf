"""Files of a run that are damaged between its stages: each is named, and obeying the error restores the result."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.helpers.errors import refused
from vidsemi.config import Config
from vidsemi.pipeline import run as pipeline


def flip(file: Path, place: int) -> None:
    content = bytearray(file.read_bytes())
    content[place] ^= 4
    file.write_bytes(content)


@pytest.mark.slow
def test_a_damaged_shard_of_scores_is_named_and_scored_again(copied_run: Path, load: Callable[..., Config]):
    scores, select = copied_run / "seed0/teacher/score", copied_run / "seed0/teacher/select"
    selected = (select / "selection.parquet").read_bytes()
    for file in select.iterdir():
        file.unlink()
    shard = scores / "part-000000.parquet"
    written = shard.read_bytes()
    flip(shard, len(written) // 3)
    with refused("scores.invalid_shard", shard, "stage.json"):
        pipeline.run(load())
    shard.unlink()
    with refused("select.incomplete_scores", scores, "stage.json"):
        pipeline.run(load())
    (scores / "stage.json").unlink()
    pipeline.run(load())
    assert shard.read_bytes() == written
    assert (select / "selection.parquet").read_bytes() == selected


@pytest.mark.slow
def test_a_damaged_selection_is_named_and_selected_again(copied_run: Path, load: Callable[..., Config]):
    file = copied_run / "seed0/teacher/select/selection.parquet"
    trained = copied_run / "seed0/small/semi_supervised/pretrain"
    written, weights = file.read_bytes(), (trained / "weights.pt").read_bytes()
    (trained / "stage.json").unlink()
    flip(file, 300)
    with refused("selection.invalid_file", file, "stage.json"):
        pipeline.run(load())
    file.unlink()
    (file.parent / "stage.json").unlink()
    pipeline.run(load())
    assert file.read_bytes() == written
    assert (trained / "weights.pt").read_bytes() == weights
