"""Checkpoints to resume a training run from: the last two, so that a damaged one costs little."""

import logging
import re
from pathlib import Path
from typing import Any

from vidsemi.io.errors import UserError
from vidsemi.io.files import remove_temporary
from vidsemi.models import weights_file

logger = logging.getLogger("vidsemi")

KEPT = 2
NAME = re.compile(r"checkpoint-(\d{12,})\.pt")  # with the examples trained so far


class Checkpoints:
    """The checkpoints of one training run, in a folder of their own.

    `run` identifies the training run. Each checkpoint holds it, so that one of another run is not taken for its own.
    """

    def __init__(self, folder: Path, run: str = ""):
        self.folder, self.run = folder, run

    def files(self) -> list[Path]:
        """The newest first."""
        return sorted((file for file in self.folder.glob("checkpoint-*") if NAME.fullmatch(file.name)), reverse=True)

    def save(self, examples: int, state: dict[str, Any]) -> Path:
        """Write a checkpoint atomically, then delete all but the last two; a `UserError` if the disk is full."""
        file = self.folder / f"checkpoint-{examples:012d}.pt"
        try:
            weights_file.save(file, {"examples": examples, "run": self.run, **state})
        except (OSError, UserError) as error:
            kept = self.files()
            what = f"the same command resumes from {kept[0].name}" if kept else "there is no earlier one"
            raise UserError("checkpoint.not_written", f"the checkpoint cannot be written: {error}; {what}") from None
        for old in self.files()[KEPT:]:
            _remove(old)
        return file

    def load(self, file: Path) -> dict[str, Any]:
        """Load a checkpoint; a `UserError` if it is damaged, or not what its name and its folder say."""
        state = weights_file.load(file)
        name = NAME.fullmatch(file.name)
        if name is None or state.get("examples") != int(name[1]) or state.get("run") != self.run:
            raise UserError("checkpoint.foreign", f"{file} is a checkpoint of another training run or another moment")
        return state

    def newest(self) -> tuple[Path, dict[str, Any]] | None:
        """The newest intact checkpoint and its content, None if there are no checkpoints.

        Deletes damaged ones that are newer, and temporary files of processes that were killed while writing. If all are
        damaged, raises a `UserError`.
        """
        remove_temporary(self.folder)
        damaged: list[Path] = []
        for file in self.files():
            try:
                state = self.load(file)
            except UserError as error:
                logger.warning("%s", error)
                damaged.append(file)
                continue
            for later in damaged:
                logger.warning("resuming from %s, the checkpoint before it", file)
                _remove(later)
            return file, state
        if damaged:
            names = " and ".join(str(file) for file in damaged)
            raise UserError("checkpoint.damaged", f"all checkpoints are damaged: delete {names} to start over")
        return None

    def clear(self) -> None:
        """Delete all of them; the training run is done."""
        for file in self.files():
            _remove(file)
        remove_temporary(self.folder)


def _remove(file: Path) -> None:
    """Delete a checkpoint; a folder that somebody has put in its place gets another name instead."""
    if file.is_dir() and not file.is_symlink():
        file.rename(file.with_name(f"not-a-{file.name}"))
    else:
        file.unlink(missing_ok=True)
