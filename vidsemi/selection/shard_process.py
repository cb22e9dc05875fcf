"""A process that reads shards of scores. Threads cannot: reading a small file holds Python's lock most of the time."""

import multiprocessing
from collections.abc import Sequence
from multiprocessing.connection import Connection
from typing import Any

import numpy as np

from vidsemi.io.errors import UserError
from vidsemi.runtime.start_process import start_process
from vidsemi.selection.kernels import Limits
from vidsemi.selection.score_format import ScoreRows
from vidsemi.selection.score_reader import ScoreShard
from vidsemi.selection.shard_pass import Pass, Span, Tally
from vidsemi.selection.topk import TopPerClass


class ShardProcess:
    """Reads runs of shards as a `Pass` does, and keeps the highest-ranked rows of all of them until `finish`.

    Args:
        limits: which rows are valid, and which are candidates.
        capacity: (classes,) rows that each class takes, by score.
        most: most rows a class can have.
    """

    def __init__(self, limits: Limits, capacity: np.ndarray, most: int):
        context = multiprocessing.get_context("spawn")
        self._connection, theirs = context.Pipe()
        self._process = context.Process(target=_serve, args=(theirs, limits, capacity, most), daemon=True)
        start_process(self._process, script=False)
        theirs.close()

    def read(self, shards: Sequence[ScoreShard]) -> list[Span]:
        """Read a run of shards."""
        spans: list[tuple[int, int, int]] = self._ask(shards)
        return [Span(shards[place], first, last) for place, first, last in spans]

    def finish(self) -> tuple[ScoreRows, Tally]:
        """Return the rows that it has kept, and its counts."""
        rows, tally = self._ask(None)
        return rows, tally

    def close(self) -> None:
        """End the process, once it has read its run."""
        self._connection.close()
        self._process.join()

    def _ask(self, request: Sequence[ScoreShard] | None) -> Any:
        try:
            self._connection.send(request)
            answer = self._connection.recv()
        except (EOFError, OSError):
            raise UserError(
                "select.process_killed",
                "a process that read scores was killed, perhaps since memory is short: end other programs or lower "
                "per_class (K), and run the same command again",
            ) from None
        if isinstance(answer, UserError):
            raise answer
        return answer


def _serve(connection: Connection, limits: Limits, capacity: np.ndarray, most: int) -> None:
    """The process: answer requests until the first error, or until the other end closes."""
    try:
        top = TopPerClass(capacity, most)
        one_pass = Pass(limits, top)
        while (shards := connection.recv()) is not None:
            places = {shard.number: place for place, shard in enumerate(shards)}
            connection.send([(places[span.shard.number], span.first, span.last) for span in one_pass.read(shards)])
        connection.send((top.result(), one_pass.tally))
    except UserError as error:
        connection.send(error)
    except (EOFError, OSError):  # the selection has failed or was stopped
        return
