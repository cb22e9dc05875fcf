"""Damage to checkpoints costs one checkpoint: the one before is used, and both are named."""

import logging
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from tests.helpers.errors import refused
from vidsemi.training.checkpoint import Checkpoints

STATE = {"network": {"weight": torch.arange(3000.0)}, "losses": [0.5]}
Damage = Callable[[Path], object]


def write(folder: Path, run: str = "a", factor: float = 1.0) -> list[Path]:
    checkpoints = Checkpoints(folder, run)
    for examples in (8, 16):
        checkpoints.save(examples, {"network": {"weight": examples * factor * torch.arange(3000.0)}, "losses": [0.5]})
    return checkpoints.files()


def flip(file: Path, place: int) -> None:
    content = bytearray(file.read_bytes())
    content[place] ^= 8
    file.write_bytes(content)


def replaced_by_a_folder(file: Path) -> None:
    file.unlink()
    file.mkdir()
    (file / "notes.txt").write_text("keep me")


def replaced_by_a_pipe(file: Path) -> None:
    file.unlink()
    os.mkfifo(file)


DAMAGES: dict[str, Damage] = {
    "empty": lambda file: file.write_bytes(b""),
    "zeros": lambda file: file.write_bytes(bytes(file.stat().st_size)),
    "zeros_at_the_end": lambda file: file.write_bytes(file.read_bytes()[:-5000] + bytes(5000)),
    "text": lambda file: file.write_text("no space left on device"),
    "bit_of_the_tensor": lambda file: flip(file, file.stat().st_size // 2),
    "bit_of_the_pickle": lambda file: flip(file, file.read_bytes().index(b"losses")),
    "bit_of_the_end": lambda file: flip(file, file.stat().st_size - 22),
    "folder": replaced_by_a_folder,
    "pipe": replaced_by_a_pipe,
    "older_of_this_run": lambda file: shutil.copy(file.with_name("checkpoint-000000000008.pt"), file),
    "other_run": lambda file: shutil.copy(write(file.parent / "other", "b", 2.0)[0], file),
    "other_version": lambda file: torch.save({"format": 1, "examples": 16}, file),
}


@pytest.mark.parametrize("kind", DAMAGES)
def test_a_damaged_checkpoint_costs_one(tmp_path: Path, caplog: pytest.LogCaptureFixture, kind: str):
    newest, older = write(tmp_path)
    DAMAGES[kind](newest)
    checkpoints = Checkpoints(tmp_path, "a")
    with caplog.at_level(logging.WARNING):
        found = checkpoints.newest()
    assert found is not None
    assert found[0] == older
    assert torch.equal(found[1]["network"]["weight"], 8 * torch.arange(3000.0))
    assert str(newest) in caplog.text
    assert str(older) in caplog.text
    checkpoints.save(16, STATE)  # the training run goes the same way again
    again = checkpoints.newest()
    assert again is not None
    assert again[0] == newest
    if kind == "folder":
        assert [file.read_text() for file in tmp_path.rglob("notes.txt")] == ["keep me"]
    checkpoints.clear()
    assert not checkpoints.files()


def test_every_cut_costs_one(tmp_path: Path):
    newest, older = write(tmp_path)
    whole = newest.read_bytes()
    for length in [*range(0, 1500, 37), *range(1500, len(whole), 397), len(whole) - 1]:
        newest.write_bytes(whole[:length])
        found = Checkpoints(tmp_path, "a").newest()
        assert found is not None
        assert found[0] == older
        assert not newest.exists()


def test_all_damaged_are_named(tmp_path: Path):
    for file in write(tmp_path):
        flip(file, 5000)
    with refused("checkpoint.damaged", *Checkpoints(tmp_path, "a").files()):
        Checkpoints(tmp_path, "a").newest()


def test_an_unreadable_checkpoint_is_not_taken_for_a_damaged_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """A disk that fails, or a permission that lacks, must not cost a checkpoint."""
    newest, older = write(tmp_path)

    def fails(*arguments: object, **options: object) -> None:
        raise OSError(5, "Input/output error", str(newest))

    monkeypatch.setattr(torch, "load", fails)
    with pytest.raises(OSError, match="Input/output"):
        Checkpoints(tmp_path, "a").newest()
    assert newest.exists()
    assert older.exists()
