"""Checkpoints to resume a training run from: the last two, so that a damaged one costs little."""

import logging
from pathlib import Path
from typing import Any

from vidsemi.io.errors import UserError
from vidsemi.io.files import remove_temporary
from vidsemi.models import weights_file

logger = logging.getLogger("vidsemi")

KEPT = 2


class Checkpoints:
    """The checkpoints of one training run, in a folder of their own."""

    def __init__(self, folder: Path):
        self.folder = folder

    def files(self) -> list[Path]:
        """The newest first."""
        return sorted(self.folder.glob("checkpoint-*.pt"), reverse=True)

    def save(self, examples: int, state: dict[str, Any]) -> Path:
        """Write a checkpoint atomically, then delete all but the last two; a `UserError` if the disk is full."""
        file = self.folder / f"checkpoint-{examples:012d}.pt"
        try:
            weights_file.save(file, {"examples": examples, **state})
        except (OSError, UserError) as error:
            kept = self.files()
            what = f"the same command resumes from {kept[0].name}" if kept else "there is no earlier one"
            raise UserError("checkpoint.not_written", f"the checkpoint cannot be written: {error}; {what}") from None
        for old in self.files()[KEPT:]:
            old.unlink()
        return file

    def newest(self) -> tuple[Path, dict[str, Any]] | None:
        """The newest intact checkpoint and its content, None if there are no checkpoints.

        Deletes damaged ones that are newer, and temporary files of processes that were killed while writing. If all are
        damaged, raises a `UserError`.
        """
        remove_temporary(self.folder)
        damaged: list[Path] = []
        for file in self.files():
            try:
                state = weights_file.load(file)
            except UserError as error:
                logger.warning("%s", error)
                damaged.append(file)
                continue
            for later in damaged:
                logger.warning("resuming from %s, the checkpoint before it", file)
                later.unlink()
            return file, state
        if damaged:
            names = " and ".join(str(file) for file in damaged)
            raise UserError("checkpoint.damaged", f"all checkpoints are damaged: delete {names} to start over")
        return None

    def clear(self) -> None:
        """Delete all of them; the training run is done."""
        for file in self.files():
            file.unlink()
        remove_temporary(self.folder)
