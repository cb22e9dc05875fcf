"""One pass over all shards, by threads or, where shards are many, by processes."""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from multiprocessing import current_process
from queue import SimpleQueue

import numpy as np

from vidsemi.io.errors import UserError
from vidsemi.runtime.process import usable_cores
from vidsemi.selection.kernels import Limits
from vidsemi.selection.score_reader import ScoreShard
from vidsemi.selection.shard_pass import Pass, Span, Tally
from vidsemi.selection.shard_process import ShardProcess
from vidsemi.selection.topk import TopPerClass

WINDOW = 1 << 27  # example ids that are compared at once where shards overlap: 128 MiB
MOST_TOGETHER = 32  # shards that are read in a run
RUNS_PER_THREAD = 64  # at least, before runs get longer: shards may be large, and threads should end together

# Two threads take 0.8 s for 1,000 files of 25 kB where one takes 0.6, since they wait for Python's lock in turn. Of
# files of 300 kB they are faster. Processes start within a second, in which one thread reads 5,000 of 25 kB.
SMALL = 1 << 17  # bytes
PROCESSES_FROM = 5000  # small files
MOST_READERS = 8
MOST_KEPT = 1 << 24  # rows of all classes, of which each process keeps its own: 200 MB


def scan(
    shards: Sequence[ScoreShard],
    limits: Limits,
    top: TopPerClass,
    *,
    threads: int | None = None,
    progress: Callable[[], object] = lambda: None,
) -> Tally:
    """Offer every candidate of the shards, in any order, to `top`.

    Reads as many shards at once as there are `threads` (default: the usable cores); `progress` is called after each.

    Raises:
        UserError: a shard has an invalid row, or an example is in two shards.
    """
    one_pass = Pass(limits, top)
    threads = threads or usable_cores()
    size = max(1, min(MOST_TOGETHER, len(shards) // (threads * RUNS_PER_THREAD)))
    runs = [shards[begin : begin + size] for begin in range(0, len(shards), size)]
    spans: list[Span] = []
    with ExitStack() as stack:
        num_threads, num_processes = _readers(shards, threads, top)
        idle = SimpleQueue[Pass | ShardProcess]()
        for _ in range(num_threads):
            idle.put(one_pass)
        processes: list[ShardProcess] = []
        for _ in range(num_processes):
            processes.append(ShardProcess(limits, top.capacity, top.most))
            stack.callback(processes[-1].close)
            idle.put(processes[-1])

        def read(run: Sequence[ScoreShard]) -> list[Span]:
            reader = idle.get()
            try:
                return reader.read(run)
            finally:
                idle.put(reader)

        executor = ThreadPoolExecutor(num_threads + num_processes)
        stack.callback(executor.shutdown, cancel_futures=True)
        for run, own in zip(runs, executor.map(read, runs), strict=True):
            spans += own
            for _ in run:
                progress()
        for rows, tally in executor.map(ShardProcess.finish, processes):
            top.add(rows)
            one_pass.tally += tally
    _refuse_shared_examples(spans)
    return one_pass.tally


def _readers(shards: Sequence[ScoreShard], threads: int, top: TopPerClass) -> tuple[int, int]:
    """How many threads read the shards, and how many processes beside them."""
    if not _are_small(shards):
        return threads, 0
    if (
        len(shards) < PROCESSES_FROM
        or top.priority is not None  # perhaps a function that cannot be handed to a process
        or top.capacity.sum() > MOST_KEPT
        or current_process().daemon  # which may not start any
    ):
        return 1, 0
    return 1, min(threads, MOST_READERS) - 1


def _are_small(shards: Sequence[ScoreShard]) -> bool:
    """Whether shards are small files of this machine, by the size of a few."""
    few = [shard.file for shard in shards[:: len(shards) // 16 + 1]]
    try:
        return sum(file.stat().st_size if file is not None else SMALL for file in few) < SMALL * len(few)
    except OSError:  # whoever reads it will say why
        return False


def _refuse_shared_examples(spans: list[Span]) -> None:
    """Refuse an example in two shards. Shards whose ranges of ids do not overlap, the usual case, cost nothing."""
    group: list[Span] = []
    last = -1
    for span in sorted(spans, key=lambda span: span.first):
        if span.first > last:
            _compare(group)
            group = []
        group.append(span)
        last = max(last, span.last)
    _compare(group)


def _compare(group: list[Span]) -> None:
    """Read the ids of shards whose ranges overlap again, a window at a time, and look for one that occurs twice."""
    if len(group) < 2:
        return
    for low in range(group[0].first, max(span.last for span in group) + 1, WINDOW):
        seen = np.zeros(WINDOW, bool)
        for span in group:
            if span.last < low or span.first >= low + WINDOW:
                continue
            ids = [ids[(ids >= low) & (ids < low + WINDOW)] - low for ids in _example_ids(span.shard)]
            own = np.concatenate([np.zeros(0, np.int64), *ids])
            if len(twice := np.flatnonzero(seen[own])):
                example = own[twice[0]] + low
                other = next(span for span in group if any(example in ids for ids in _example_ids(span.shard)))
                names = f"{other.shard.name} and {span.shard.name}"
                raise UserError("scores.example_twice", f"example {example} is in two shards: {names}")
            seen[own] = True


def _example_ids(shard: ScoreShard) -> Iterator[np.ndarray]:
    for rows in shard.batches():
        yield rows.example_id[np.flatnonzero(np.diff(rows.example_id, prepend=-1))]
