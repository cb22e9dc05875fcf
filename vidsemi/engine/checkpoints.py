"""The states that a stopped training goes on from: the last two, so that one that is damaged costs little."""

import logging
from pathlib import Path
from typing import Any

from vidsemi.engine import checkpoint
from vidsemi.errors import UserError
from vidsemi.files import remove_temporary

logger = logging.getLogger("vidsemi")

KEPT = 2


class Checkpoints:
    """Those of one training.

    Args:
        folder: they are in.
    """

    def __init__(self, folder: Path):
        self.folder = folder

    def files(self) -> list[Path]:
        """The latest first."""
        return sorted(self.folder.glob("checkpoint-*.pt"), reverse=True)

    def save(self, examples: int, state: dict[str, Any]) -> Path:
        """Save a state after so many examples, whole or not at all; only then older ones go.

        Raises:
            UserError: the disk is full.
        """
        file = self.folder / f"checkpoint-{examples:012d}.pt"
        try:
            checkpoint.save(file, {"examples": examples, **state})
        except (OSError, UserError) as error:
            kept = self.files()
            what = f"{kept[0].name} is kept, and the same command goes on from it" if kept else "none was made before"
            raise UserError(f"a checkpoint cannot be written: {error}; {what}") from None
        for old in self.files()[KEPT:]:
            old.unlink()
        return file

    def newest(self) -> Path | None:
        """The latest that is whole; None where there is none yet. A damaged one before which there is one goes.

        Raises:
            UserError: all are damaged.
        """
        found = self.files()
        for number, file in enumerate(found):
            try:
                checkpoint.load(file)
            except UserError as error:
                if number == len(found) - 1:
                    raise UserError(f"{error}; delete it to begin this training anew") from None
                logger.warning("%s; the training goes on from the one before it", error)
                file.unlink()
            else:
                return file
        return None

    def clear(self) -> None:
        """Remove them all, now that the training is done."""
        for file in self.files():
            file.unlink()
        remove_temporary(self.folder)
