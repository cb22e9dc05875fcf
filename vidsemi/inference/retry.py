"""Failed examples to read again, as `vidsemi score --retry-failures` asks for.

`retry/` holds a file for each shard concerned, with the ids of its examples. `NNNNNN.probe`: some worker has yet to
find out whether any of them can be read now. `NNNNNN.score`: one can, so the shard is scored again, since its scores
depend, by rounding, on which examples share a forward pass. Workers that join later, or resume after a kill, find there
what is left.
"""

import fnmatch
import json
import logging
import os
import re
import shutil
import uuid
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from vidsemi.io.errors import UserError
from vidsemi.io.files import read_regular, write_text

logger = logging.getLogger("vidsemi")

PATTERN = "pattern.txt"

Failure = tuple[int, str, str]  # example id, path, error


class Retries:
    """The `retry` folder of a directory of scores."""

    def __init__(self, folder: Path):
        self._folder = folder / "retry"

    def start(self, failures: Iterable[tuple[int, list[Failure]]], pattern: str) -> None:
        """Ask for another look at the failures (by shard) whose path or error contains a pattern, or join a retry.

        Raises:
            UserError: a retry with another pattern is in progress.
        """
        while not self._join(pattern):
            prepared = self._folder.with_name(f".retry.{uuid.uuid4().hex}.tmp")
            prepared.mkdir(parents=True)
            write_text(prepared / PATTERN, pattern)
            examples = 0
            for number, failed in failures:
                if ids := [failure[0] for failure in failed if _matches(failure, pattern)]:
                    write_text(prepared / f"{number:06d}.probe", json.dumps(ids))
                    examples += len(ids)
            logger.info("reading %d failed examples again", examples)
            try:
                os.rename(prepared, self._folder)  # refused if another worker was faster
            except OSError:
                shutil.rmtree(prepared, ignore_errors=True)
                if not self._folder.is_dir():
                    raise
            else:
                return

    def _join(self, pattern: str) -> bool:
        if not (self.to_probe() or self.to_score()):
            self.clean_up()
            return False
        try:
            theirs = read_regular(self._folder / PATTERN).decode()
        except (OSError, ValueError):
            theirs = pattern
        if theirs != pattern:
            raise UserError(
                "scores.retry_in_progress",
                f"{self._folder} holds an unfinished retry of '{theirs}'; finish it first: run the same command "
                "without --retry-failures",
            )
        return True

    def to_probe(self) -> set[int]:
        """Return the shards whose failed examples nobody has read again yet."""
        return self._numbers("probe")

    def to_score(self) -> set[int]:
        """Return the shards to score again."""
        return self._numbers("score")

    def is_to_probe(self, number: int) -> bool:
        """Return whether the failed examples of a shard are to be read again."""
        return self._file(number, "probe").exists()

    def is_to_score(self, number: int) -> bool:
        """Return whether a shard is to be scored again."""
        return self._file(number, "score").exists()

    def examples(self, number: int) -> set[int] | None:
        """Return the ids of the failed examples of a shard that are to be read again; None for all."""
        for kind in ("score", "probe"):
            with suppress(OSError, ValueError, TypeError, RecursionError):
                return set(map(int, json.loads(read_regular(self._file(number, kind)))))
        return None

    def score_again(self, number: int) -> None:
        """Have a shard scored again."""
        with suppress(FileNotFoundError):
            os.replace(self._file(number, "probe"), self._file(number, "score"))

    def finish(self, number: int) -> None:
        """Record that a shard needs no more attention."""
        for kind in ("probe", "score"):
            self._file(number, kind).unlink(missing_ok=True)

    def clean_up(self) -> None:
        """Remove the folder once no shard is left."""
        if self._folder.is_dir() and not (self.to_probe() or self.to_score()):
            shutil.rmtree(self._folder, ignore_errors=True)

    def _numbers(self, kind: str) -> set[int]:
        try:
            names = os.listdir(self._folder)
        except OSError:
            return set()
        return {int(match[1]) for name in names if (match := re.fullmatch(rf"(\d{{6,12}})\.{kind}", name))}

    def _file(self, number: int, kind: str) -> Path:
        return self._folder / f"{number:06d}.{kind}"


def _matches(failure: Failure, pattern: str) -> bool:
    """Whether the path or the error contains the pattern; `*` and `?` are wildcards, upper and lower case are equal."""
    words = f"*{pattern.lower()}*"
    return any(fnmatch.fnmatchcase(text.lower(), words) for text in failure[1:])
