"""The states that a stopped training goes on from: the last two, so that one that is damaged costs little."""

import logging
from pathlib import Path
from typing import Any

from vidsemi.io.errors import UserError
from vidsemi.io.files import remove_temporary
from vidsemi.models import weights_file

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
            weights_file.save(file, {"examples": examples, **state})
        except (OSError, UserError) as error:
            kept = self.files()
            what = f"{kept[0].name} is kept, and the same command goes on from it" if kept else "none was made before"
            raise UserError(f"a checkpoint cannot be written: {error}; {what}") from None
        for old in self.files()[KEPT:]:
            old.unlink()
        return file

    def newest(self) -> tuple[Path, dict[str, Any]] | None:
        """The latest that is whole, with what is in it; None where there is none yet.

        Damaged ones after it go, and what killed processes have left of writing others.

        Raises:
            UserError: all are damaged.
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
                logger.warning("the training goes on from %s, the one before it", file)
                later.unlink()
            return file, state
        if damaged:
            names = " and ".join(str(file) for file in damaged)
            raise UserError(f"all checkpoints are damaged; delete {names} to begin this training anew")
        return None

    def clear(self) -> None:
        """Remove them all, now that the training is done."""
        for file in self.files():
            file.unlink()
        remove_temporary(self.folder)
