"""Failed examples to read again, as `vidsemi score --retry-failures` asks for.

`retry.json` says which, by shard, and `retry/` what became of them. `ID.NNNNNN.score`: an example can be read now, so
the shard is scored again, since its scores depend, by rounding, on which examples share a forward pass.
`ID.NNNNNN.done`: the shard needs no more attention. Shards with neither have yet to be probed. Workers that join later,
or resume after a kill, find there what is left.

A worker reads the plan when it lists shards, and when the files of a shard that it leased exist: a shard without files
is in no retry. In between it remembers what it read, since a request per shard is much for a server.
"""

import fnmatch
import json
import logging
import re
import uuid
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from vidsemi.io.errors import UserError
from vidsemi.io.store import Store

logger = logging.getLogger("vidsemi")

PLAN = "retry.json"
FOLDER = "retry"

Failure = tuple[int, str, str]  # example id, path, error


@dataclass(frozen=True)
class _Plan:
    id: str
    pattern: str
    examples: dict[int, list[int]]  # by shard


class Retries:
    """The retry of a directory of scores, if there is one."""

    def __init__(self, store: Store):
        self._store = store
        self._last: tuple[str, _Plan | None] = ("", None)  # version of the plan that was read last, and the plan

    def start(self, failures: Iterable[tuple[int, list[Failure]]], pattern: str) -> None:
        """Ask for another look at the failures (by shard) whose path or error contains a pattern, or join a retry.

        Raises:
            UserError: a retry with another pattern is in progress.
        """
        examples: dict[str, list[int]] | None = None
        while not self._join(pattern):
            if examples is None:
                found = {str(n): [one[0] for one in failed if _matches(one, pattern)] for n, failed in failures}
                examples = {number: ids for number, ids in found.items() if ids}
                logger.info("reading %d failed examples again", sum(map(len, examples.values())))
            if not examples:
                return
            content = json.dumps({"id": uuid.uuid4().hex, "pattern": pattern, "examples": examples}).encode()
            before = self._store.read(PLAN)
            if before is None:
                self._store.create(PLAN, content)
            else:  # of a retry that is finished
                self._store.swap(PLAN, content, before[1])

    def _join(self, pattern: str) -> bool:
        _, done = self._marked()
        plan = self._plan
        if plan is None or done.issuperset(plan.examples):
            return False
        if plan.pattern != pattern:
            raise UserError(
                "scores.retry_in_progress",
                f"{self._store.place(PLAN)} says that a retry of '{plan.pattern}' is unfinished; finish it first: run "
                "the same command without --retry-failures",
            )
        return True

    def to_probe(self) -> set[int]:
        """Return the shards whose failed examples nobody has read again yet."""
        score, done = self._marked()
        return set() if self._plan is None else set(self._plan.examples) - score - done

    def to_score(self) -> set[int]:
        """Return the shards to score again."""
        score, done = self._marked()
        return score - done

    def is_to_probe(self, number: int) -> bool:
        """Return whether the failed examples of a shard are to be read again."""
        self.look()
        return bool(self.examples(number)) and not any(self._is_marked(number, what) for what in ("score", "done"))

    def is_to_score(self, number: int) -> bool:
        """Return whether a shard is to be scored again, by the plan that was read last."""
        return self._is_marked(number, "score") and not self._is_marked(number, "done")

    def examples(self, number: int) -> set[int]:
        """Return the ids of the failed examples of a shard to read again, by the plan that was read last."""
        return set() if self._plan is None else set(self._plan.examples.get(number, ()))

    def score_again(self, number: int) -> None:
        """Have a shard scored again."""
        self._mark(number, "score")

    def finish(self, number: int) -> None:
        """Record that a shard needs no more attention."""
        self._mark(number, "done")

    def clean_up(self) -> None:
        """Remove everything once no shard is left."""
        _, done = self._marked()
        version, plan = self._last
        if plan is not None and done.issuperset(plan.examples):
            finished = json.dumps({"id": plan.id, "pattern": plan.pattern, "examples": {}}).encode()
            if self._store.swap(PLAN, finished, version) is None:  # it is another retry's by now
                return
            self._store.remove(PLAN)
        if self._store.names(FOLDER) and self.look() is None:
            self._store.remove_folder(FOLDER)
        self._store.clean_up("", f"{PLAN}*")

    def look(self) -> _Plan | None:
        """Read the plan, which another worker may have started or finished since."""
        found = self._store.read(PLAN)
        if found is None:
            self._last = ("", None)
        elif found[1] != self._last[0]:
            self._last = (found[1], _parse(found[0]))
        return self._plan

    @property
    def _plan(self) -> _Plan | None:
        return self._last[1]

    def _marked(self) -> tuple[set[int], set[int]]:
        """Return the shards of the present retry to score again, and those that need no more attention."""
        marked: dict[str, set[int]] = {"score": set(), "done": set()}
        if (plan := self.look()) is not None:
            for name in self._store.names(FOLDER):
                if match := re.fullmatch(rf"{plan.id}\.(\d{{6,12}})\.(score|done)", name):
                    marked[match[2]].add(int(match[1]))
        return marked["score"], marked["done"]

    def _is_marked(self, number: int, what: str) -> bool:
        plan = self._plan
        return plan is not None and number in plan.examples and self._store.exists(_mark(plan, number, what))

    def _mark(self, number: int, what: str) -> None:
        plan = self._plan
        if plan is not None and number in plan.examples:
            self._store.put(_mark(plan, number, what), b"")


def _mark(plan: _Plan, number: int, what: str) -> str:
    return f"{FOLDER}/{plan.id}.{number:06d}.{what}"


def _parse(content: bytes) -> _Plan | None:
    """Parse the plan of a retry; None if it is damaged."""
    try:
        plan: Any = json.loads(content)
        examples = {int(number): [int(one) for one in ids] for number, ids in plan["examples"].items()}
        return _Plan(re.sub("[^0-9a-f]", "", str(plan["id"])), str(plan["pattern"]), examples)
    except (ValueError, TypeError, KeyError, AttributeError, OverflowError, RecursionError):
        return None


def _matches(failure: Failure, pattern: str) -> bool:
    """Whether the path or the error contains the pattern; `*` and `?` are wildcards, upper and lower case are equal."""
    words = f"*{pattern.lower()}*"
    return any(fnmatch.fnmatchcase(text.lower(), words) for text in failure[1:])
