"""The files of a scoring job: its plan, which shards are done, and how a shard is written.

`plan.json` is written once and every worker must agree with it. A shard is done when its scores and its failures are
there, and complete when the two together hold each of its examples once.
"""

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, replace
from fnmatch import fnmatchcase
from pathlib import Path
from typing import get_args

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from vidsemi.inference.model import Precision
from vidsemi.inference.retry import Retries
from vidsemi.io.errors import UserError
from vidsemi.io.files import is_regular
from vidsemi.io.parquet import open_parquet, parquet_bytes, read_parquet
from vidsemi.io.store import Place, Store, shard_name, shard_numbers
from vidsemi.runtime.environment import describe_environment
from vidsemi.runtime.shard_worker import Files
from vidsemi.selection.score_format import ScoresInfo, invalid_shard, parse_info, read_plan
from vidsemi.selection.score_reader import read_info
from vidsemi.selection.score_writer import failure_table, shard_bytes

PLAN = "plan.json"
FOLDERS = ("", "failures")

Scored = tuple[int, np.ndarray, np.ndarray]  # example id, labels (P,), scores (P,)
Failed = tuple[int, str, str]  # example id, path, error


class ScoreDirectory:
    """A directory of scores with the metadata that its shards share."""

    def __init__(self, store: Store, info: ScoresInfo):
        self.store, self.info = store, info
        self.retries = Retries(store)

    def done(self) -> set[int]:
        """Return the numbers of the shards that are done."""
        found = [shard_numbers(self.store.names(folder)) for folder in FOLDERS]
        return set.intersection(*found) - self.retries.to_score()

    def is_done(self, number: int) -> bool:
        """Return whether one shard is done."""
        files = (f"{folder}{shard_name(number)}" for folder in ("", "failures/"))
        if not all(map(self.store.exists, files)):
            return False
        self.retries.look()
        return not self.retries.is_to_score(number)

    def count_failed(self, number: int, examples: range, versions: Mapping[str, str]) -> int | None:
        """Count the failures of a shard whose two files hold each of these examples, by their footers.

        None if they do not, or if a file on a server does not have its version in `versions`, where that has one.
        """
        counts: list[int] = []
        for name in (shard_name(number), f"failures/{shard_name(number)}"):
            try:
                with open_parquet(self._content(name, versions)) as parquet:  # which checks the whole file
                    footer = parquet.metadata
            except (pa.ArrowException, OSError):
                return None
            if not _holds_only(footer, examples) or not (counts or self._is_alike(self.store.place(name), footer)):
                return None
            counts.append(footer.num_rows)
        rows, failed = counts
        whole = rows % self.info.per_example == 0 and rows // self.info.per_example + failed == len(examples)
        return failed if whole else None

    def _content(self, name: str, versions: Mapping[str, str]) -> Place | bytes:
        place = self.store.place(name)
        if isinstance(place, Path) and is_regular(place):  # a pipe would never answer
            return place
        found = self.store.read(name) if self.store.remote else None
        if found is None or versions.get(name, found[1]) != found[1]:
            raise FileNotFoundError(2, "no such file", str(place))
        return found[0]

    def _is_alike(self, file: Place, footer: pq.FileMetaData) -> bool:
        """Whether the metadata of a shard agree with the plan."""
        try:
            return self.info.difference(parse_info(file, footer)) is None
        except UserError:
            return False

    def failures(self, number: int) -> list[Failed]:
        """Read the failures of a shard; none if the file is damaged."""
        try:
            rows = read_parquet(self._failures(number)).to_pylist() if _is_regular(self._failures(number)) else []
            return [(int(row["example_id"]), str(row["path"]), str(row["error"])) for row in rows]
        except (pa.ArrowException, OSError, KeyError, TypeError, ValueError):
            return []

    def scored_example(self, numbers: Iterable[int]) -> int | None:
        """Return an example that a worker could read; None if these shards have none."""
        for number in numbers:
            if not _is_regular(self._scores(number)):
                continue
            try:
                column = read_parquet(self._scores(number), ["example_id"]).column(0)
            except (pa.ArrowException, OSError):
                continue
            if len(column):
                return int(column[0].as_py())
        return None

    def read(self, number: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Read the scores of a complete shard: example ids (n,) int64, labels (n, P), scores (n, P) float32."""
        try:
            table = read_parquet(self._scores(number), ["example_id", "label", "score"])
        except (pa.ArrowException, OSError, KeyError) as error:
            raise invalid_shard(self._scores(number), error) from None
        ids, labels, scores = (column.to_numpy().reshape(-1, self.info.per_example) for column in table.columns)
        return ids[:, 0], labels, scores

    def files(self, number: int, scored: Sequence[Scored], failed: Sequence[Failed]) -> Files:
        """Return the files of a shard: its failures first, so that a shard whose scores exist has both."""
        ids, labels, scores = zip(*scored, strict=True) if scored else ((), (), ())
        shape = (-1, self.info.per_example)
        all_labels, all_scores = np.array(labels, np.int64), np.array(scores, np.float32)
        all_ids = np.array(ids, np.int64)
        shard = shard_bytes(all_ids, all_labels.reshape(shape), all_scores.reshape(shape), self.info)
        failures = parquet_bytes(failure_table(sorted(failed)))
        return {f"failures/{shard_name(number)}": failures, shard_name(number): shard}

    def write_failures(self, number: int, failed: Sequence[Failed]) -> None:
        """Write the failures of a shard anew, whose scores stay."""
        self.store.put(f"failures/{shard_name(number)}", parquet_bytes(failure_table(sorted(failed))))

    def reopen(self, number: int) -> None:
        """Remove the scores of an incomplete shard, so that it is scored again; put aside what is not a plain file."""
        for folder in FOLDERS:
            why = "is not a whole shard, which is scored again"
            self.store.put_junk_aside(folder, lambda name: True, f"^{shard_name(number)}$", why, links=True)
        self.store.remove(shard_name(number))

    def put_junk_aside(self) -> None:
        """Put aside what has the name of a shard but is not a file, or whose number the plan does not have."""

        def known(name: str) -> bool:
            number = re.fullmatch(r"part-(\d{6,12})\.parquet", name)
            known = number is not None and int(number[1]) < (self.info.shards or 0)
            return known and number is not None and name == shard_name(int(number[1]))

        for folder in FOLDERS:
            self.store.put_junk_aside(folder, known, "part-", "is not a shard of this directory")
        self.store.put_junk_aside("retry", lambda name: True, "", "is not the mark of a retry")
        self.store.put_junk_aside("", lambda name: True, r"retry\.json$", "is not the plan of a retry")

    def clean_up(self) -> None:
        """Remove temporary files of killed workers, but not of stage.json, which another process may be writing."""
        self.retries.clean_up()
        for names in ("part-*", f"{PLAN}.*"):
            self.store.clean_up("", names)
        self.store.clean_up("failures")

    def _scores(self, number: int) -> Place:
        return self.store.place(shard_name(number))

    def _failures(self, number: int) -> Place:
        return self.store.place(f"failures/{shard_name(number)}")


def _is_regular(place: Place) -> bool:
    return is_regular(place) if isinstance(place, Path) else place.exists()


def _holds_only(footer: pq.FileMetaData, examples: range) -> bool:
    """Whether all example ids are in the range, by the footer's statistics, which other programs may leave out."""
    places = [place for place in range(footer.num_columns) if footer.schema.column(place).name == "example_id"]
    for group in range(footer.num_row_groups):
        for place in places:
            known = footer.row_group(group).column(place).statistics
            if known is not None and known.has_min_max and not (known.min in examples and known.max in examples):
                return False
    return True


def agree_on_plan(store: Store, ours: ScoresInfo, *, any_precision: bool) -> ScoresInfo:
    """Return the plan of a directory; ours becomes it where there is none.

    With `any_precision` ours takes the precision of an existing plan.

    Raises:
        UserError: the directory has another plan, or shards by another plan.
    """
    file = store.place(PLAN)
    if not store.exists(PLAN):
        names = (name for name in store.names() if fnmatchcase(name, "part-*.parquet"))
        for shard in map(store.place, sorted(names)):  # by another program, which writes no plan
            ours = _agreed(shard, read_info(shard), ours, any_precision)
        plan = {**asdict(ours), "started_on": describe_environment()}
        if store.create(PLAN, (json.dumps(plan, indent=2, ensure_ascii=False) + "\n").encode()):
            return ours
    return _agreed(file, read_plan(file), ours, any_precision)


def _agreed(file: Place, theirs: ScoresInfo, ours: ScoresInfo, any_precision: bool) -> ScoresInfo:
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
            f"{file.parent} was started with {words}, as {file.name} says; delete it or choose another output",
        )
    return ours
