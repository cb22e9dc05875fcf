"""Whether all shards of a directory of scores are complete, which each worker makes sure of before it ends.

In a bucket that takes two requests a shard, and a thousand workers end at the same time. There they share the checks:
one that has found a group of shards complete leaves a mark, an empty file in `checked/` named after the versions of
their files. Who lists the same versions need not read the files. Marks are removed at the end.
"""

import hashlib
import random
import re
import time
from collections.abc import Sequence
from functools import partial

from vidsemi.inference.score_directory import ScoreDirectory
from vidsemi.io.store import read_many, shard_name

FOLDER = "checked"
GROUP = 64  # shards
MANY = 1000  # shards; to check fewer again costs less than to wait
MARK = re.compile(r"(\d{6,12}-[0-9a-f]{32})-(\d{1,12})")  # first shard, hash of the versions, failures
REMOVED_AT_ONCE = 10  # so that of a thousand workers not each removes all marks


class Completeness:
    """The checks of one worker."""

    def __init__(self, directory: ScoreDirectory, shards: Sequence[range]):
        self._directory, self._store, self._shards = directory, directory.store, shards
        self._checked: dict[str, int] = {}  # failures by mark, of all marks ever seen
        self._others = False  # have left marks
        self.num_failed = 0  # examples in all shards, once they are complete

    def incomplete(self) -> list[int]:
        """Return the shards that are done but do not hold each of their examples once."""
        numbers = range(len(self._shards))
        if not self._store.remote:
            incomplete, self.num_failed = self._count(numbers, {})
            return incomplete
        versions = {
            f"{folder}{name}": version
            for folder in ("", "failures/")
            for name, version in self._store.versions(folder.rstrip("/")).items()
        }
        groups = [numbers[first : first + GROUP] for first in range(0, len(numbers), GROUP)]
        random.shuffle(groups)
        found: list[int] = []
        self.num_failed = 0
        for group in groups:
            mark = _mark(group, versions)
            if mark not in self._checked:
                self._look()
            if mark not in self._checked:
                incomplete, failed = self._count(group, versions)
                if not incomplete:
                    self._checked[mark] = failed
                    self._store.put(f"{FOLDER}/{mark}-{failed}", b"")
                found += incomplete
            self.num_failed += self._checked.get(mark, 0)
        return found

    def is_complete(self, number: int) -> bool:
        """Return whether one shard is complete."""
        return self._count_failed({}, number) is not None

    def clean_up(self) -> None:
        """Remove the marks; those of a large job once every worker had the time to see them."""
        if self._store.remote and self._others and len(self._shards) > MANY:
            time.sleep(self._store.wait_seconds)
        while names := self._store.names(FOLDER) if self._store.remote else []:
            some = random.sample(names, min(REMOVED_AT_ONCE, len(names)))
            list(read_many(self._store.remove, [f"{FOLDER}/{name}" for name in some], remote=True))

    def _look(self) -> None:
        """Look for marks of other workers."""
        for name in self._store.names(FOLDER):
            if (match := MARK.fullmatch(name)) and match[1] not in self._checked:
                self._checked[match[1]] = int(match[2])
                self._others = True

    def _count(self, group: Sequence[int], versions: dict[str, str]) -> tuple[list[int], int]:
        """Return the shards that are incomplete or no longer have these versions, and the failures of the others."""
        count = partial(self._count_failed, versions)
        counts = list(zip(group, read_many(count, group, remote=self._store.remote), strict=True))
        return [number for number, failed in counts if failed is None], sum(failed or 0 for _, failed in counts)

    def _count_failed(self, versions: dict[str, str], number: int) -> int | None:
        return self._directory.count_failed(number, self._shards[number], versions)


def _mark(group: Sequence[int], versions: dict[str, str]) -> str:
    names = [f"{folder}{shard_name(number)}" for number in group for folder in ("", "failures/")]
    digest = hashlib.blake2b("\n".join(versions.get(name, "") for name in names).encode(), digest_size=16)
    return f"{group[0]:06d}-{digest.hexdigest()}"
