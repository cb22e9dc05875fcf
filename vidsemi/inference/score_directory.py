"""The files of a scoring job: its plan, which shards are done, and how a shard is written.

`plan.json` is written once and every worker must agree with it. A shard is done when its scores and its failures are
there, and complete when the two together hold each of its examples once.
"""

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import get_args

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from vidsemi.inference.model import Precision
from vidsemi.io.errors import UserError
from vidsemi.io.files import create_exclusive, remove_temporary
from vidsemi.io.parquet import read_parquet
from vidsemi.selection.score_format import ScoresInfo, read_plan, shard_name
from vidsemi.selection.score_reader import read_info, shard_numbers
from vidsemi.selection.score_writer import write_failures, write_shard

PLAN = "plan.json"

Scored = tuple[int, np.ndarray, np.ndarray]  # example id, labels (P,), scores (P,)
Failed = tuple[int, str, str]  # example id, path, error


class ScoreDirectory:
    """A directory of scores with the metadata that its shards share."""

    def __init__(self, folder: Path, info: ScoresInfo):
        self.folder, self.info = folder, info

    def done(self) -> set[int]:
        """Return the numbers of the shards that are done."""
        return shard_numbers(self.folder) & shard_numbers(self.folder / "failures")

    def is_done(self, number: int) -> bool:
        """Return whether one shard is done."""
        return self._scores(number).exists() and self._failures(number).exists()

    def is_complete(self, number: int, examples: int) -> bool:
        """Return whether the two files of a shard hold this many examples, by their footers."""
        try:
            rows = pq.read_metadata(self._scores(number)).num_rows
            failed = pq.read_metadata(self._failures(number)).num_rows
        except (pa.ArrowException, OSError):
            return False
        return rows % self.info.per_example == 0 and rows // self.info.per_example + failed == examples

    def scored_example(self, numbers: Iterable[int]) -> int | None:
        """Return an example that a worker could read; None if these shards have none."""
        for number in numbers:
            try:
                column = read_parquet(self._scores(number), ["example_id"]).column(0)
            except (pa.ArrowException, OSError):
                continue
            if len(column):
                return column[0].as_py()
        return None

    def write(self, number: int, scored: Sequence[Scored], failed: Sequence[Failed]) -> None:
        """Write a shard: its failures first, so that a shard whose scores exist has both."""
        write_failures(self.folder, number, sorted(failed))
        ids, labels, scores = zip(*scored, strict=True) if scored else ((), (), ())
        shape = (-1, self.info.per_example)
        all_labels, all_scores = np.array(labels, np.int64), np.array(scores, np.float32)
        all_ids = np.array(ids, np.int64)
        write_shard(self.folder, number, all_ids, all_labels.reshape(shape), all_scores.reshape(shape), self.info)

    def reopen(self, number: int) -> None:
        """Remove the scores of a shard, so that it is scored again."""
        self._scores(number).unlink(missing_ok=True)

    def clean_up(self) -> None:
        """Remove temporary files of killed workers, but not of stage.json, which another process may be writing."""
        remove_temporary(self.folder, names="part-*")
        remove_temporary(self.folder / "failures")

    def _scores(self, number: int) -> Path:
        return self.folder / shard_name(number)

    def _failures(self, number: int) -> Path:
        return self.folder / "failures" / shard_name(number)


def agree_on_plan(folder: Path, ours: ScoresInfo, *, any_precision: bool) -> ScoresInfo:
    """Return the plan of a directory; ours becomes it where there is none.

    With `any_precision` ours takes the precision of an existing plan.

    Raises:
        UserError: the directory has another plan, or shards by another plan.
    """
    file = folder / PLAN
    if not file.exists():
        for shard in sorted(folder.glob("part-*.parquet")):  # by another program, which writes no plan
            ours = _agreed(shard, read_info(shard), ours, any_precision)
        if create_exclusive(file, json.dumps(asdict(ours), indent=2, ensure_ascii=False) + "\n"):
            return ours
    return _agreed(file, read_plan(file), ours, any_precision)


def _agreed(file: Path, theirs: ScoresInfo, ours: ScoresInfo, any_precision: bool) -> ScoresInfo:
    if any_precision and theirs.precision is not None:
        ours = replace(ours, precision=theirs.precision)
    precisions = get_args(Precision)
    if ours.precision not in precisions:
        raise UserError(
            "scores.invalid_precision", f"{file} has precision '{ours.precision}'; known are {', '.join(precisions)}"
        )
    if name := ours.difference(theirs):
        was, now = (str(getattr(info, name)) for info in (theirs, ours))
        if name in ("manifest", "weights"):
            words = f"other {name} (fingerprint {was[:12]}, now {now[:12]})"
        else:
            words = "other classes" if name == "classes" else f"{name} {was} (now {now})"
        raise UserError(
            "scores.plan_mismatch",
            f"{file.parent} was started with {words}, as {file.name} says; choose another output directory",
        )
    return ours
