"""The loop over shards: one stream over all shards, results of each in order, and what a server is spared."""

from collections.abc import Generator, Iterable, Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vidsemi.io.store import LocalStore, read_many, shard_name, shard_numbers
from vidsemi.runtime import shard_worker
from vidsemi.runtime.leases import Lease, Leases
from vidsemi.runtime.shard_worker import Computed, Figures, ShardJob, ShardWorker, by_shard, watched


@given(st.lists(st.integers(0, 4), max_size=8), st.integers(0, 10))
def test_each_shard_has_its_own_results_however_far_reading_is_ahead(sizes: list[int], ahead: int):
    starts = [sum(sizes[:number]) for number in range(len(sizes))]

    def compute(shards: Iterable[Sequence[int]]) -> Generator[int, None, None]:
        examples = (example for shard in shards for example in shard)
        waiting: list[int] = []
        for example in examples:
            waiting.append(example)
            if len(waiting) > ahead:
                yield -waiting.pop(0)
        yield from (-example for example in waiting)

    def examples_of(lease: Lease) -> range:
        return range(starts[lease.number], starts[lease.number] + sizes[lease.number])

    found = {lease.number: results for lease, results in by_shard(map(Lease, range(len(sizes))), examples_of, compute)}
    assert found == {number: [-one for one in examples_of(Lease(number))] for number in range(len(sizes))}


class Numbers(ShardWorker):
    """Writes the numbers of a shard."""

    def compute(self, leases: Iterable[Lease], careful: Lease | None = None) -> Computed:
        for lease in leases:
            yield lease, {shard_name(lease.number): bytes(self.job.shards[lease.number])}


class FarStore(LocalStore):
    remote = True


@pytest.mark.parametrize("kind", [LocalStore, FarStore])
def test_all_shards_are_written_once(tmp_path: Path, kind: type[LocalStore], monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(shard_worker, "LOOKS", 2)
    store, written = kind(tmp_path), []
    put = kind.put
    monkeypatch.setattr(kind, "put", lambda self, name, content: written.append(name) or put(self, name, content))
    left = Lease(3).content(None)  # given back, as others are
    for number in (3, 5, 7, 8):
        store.create(f"leases/{number:06d}", left)
    with Leases(store, 1000) as leases:
        Numbers(ShardJob(store, [range(n, n + 3) for n in range(10)], "numbers"), leases).work()
    assert sorted(written) == [shard_name(number) for number in range(10)]
    assert store.place(shard_name(9)).read_bytes() == bytes([9, 10, 11])
    assert store.names("leases") == []


def test_many_files_are_read_in_order():
    for remote in (False, True):
        assert list(read_many(lambda number: -number, range(3000), remote=remote)) == [-one for one in range(3000)]


class Examples(ShardWorker):
    """Computes one example at a time; every third cannot be read."""

    def compute(self, leases: Iterable[Lease], careful: Lease | None = None) -> Computed:
        for lease in leases:
            for example in self.job.shards[lease.number]:
                self.finished_one(readable=example % 3 > 0, waiting=0.25)
            yield lease, {shard_name(lease.number): b"done"}


def test_figures_count_each_example_once_and_whoever_watches_may_end_the_worker(tmp_path: Path):
    store, seen = LocalStore(tmp_path), list[Figures]()
    store.put(shard_name(1), b"done")  # before

    def watch(figures: Figures) -> None:
        seen.append(figures)
        if figures.written + figures.open == 8:
            raise KeyboardInterrupt

    job = ShardJob(store, [range(n, n + 3) for n in range(0, 15, 3)], "examples")
    token = watched.set(watch)
    try:
        with pytest.raises(KeyboardInterrupt), Leases(store, 1000) as leases:
            Examples(job, leases).work()
    finally:
        watched.reset(token)
    assert seen[0] == Figures(15, 3)
    assert [one.written + one.open for one in seen] == [0, 1, 2, 3, 3, 4, 5, 6, 6, 7, 8]
    assert seen[-1] == Figures(15, 3, written=6, open=2, unreadable=3, waiting=0.25)
    assert seen[-1].note == "3 cannot be read, waits for data 25%"
    assert shard_numbers(store.names()) == {0, 1, 2} and store.names("leases") == []
