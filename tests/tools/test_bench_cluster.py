"""The simulated cluster: nothing is lost, time adds up, closed forms hold, and its requests are those of scoring."""

import json
import os
import re
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

pytest.importorskip("greenlet")
pytest.importorskip("obstore")

from tests.helpers.s3_server import s3_server
from tests.inference.test_score_workers import manifest, score, weights  # noqa: F401
from tools.bench.cluster_costs import measured_costs, shard_seconds
from tools.bench.command import main as bench
from tools.bench.virtual_bucket import KINDS, StoreCosts
from tools.bench.virtual_cluster import Cluster, Scenario
from tools.bench.virtual_numbers import Numbers, bits_of
from vidsemi.io.errors import UserError
from vidsemi.io.object_store import ObjectStore, RemotePath
from vidsemi.runtime import leases

pytestmark = pytest.mark.cluster


def costs(seconds: float = 0.1, spread: float = 0.5, writes: float = 3500, reads: float = 5500) -> StoreCosts:
    return StoreCosts(dict.fromkeys(KINDS, seconds), spread, writes, reads, "the test")


@pytest.mark.parametrize(("workers", "shards"), [(1, 7), (4, 20), (4, 21), (30, 100), (5, 3)])
def test_without_delays_and_kills_the_last_shard_ends_when_arithmetic_says(workers: int, shards: int):
    account = Cluster(Scenario(workers, shards, (40.0,), costs(0, 0), start_seconds=0)).run()
    rounds = -(-shards // workers)
    assert account.finished == pytest.approx(40 * rounds)
    assert account.useful == pytest.approx(40 * shards)
    assert workers * 40 * rounds <= account.paid <= workers * (40 * rounds + 20)  # the last look is 10 s later
    assert (account.kills, account.lost, account.stolen) == (0, 0, 0)


def test_a_shard_costs_a_worker_seven_requests_that_nothing_hides():
    ends = [Cluster(Scenario(1, n, (1.0,), costs(0.1, 0), start_seconds=0, ahead=0)).run().finished for n in (4, 8)]
    assert ends[1] - ends[0] == pytest.approx(4 * (1 + 7 * 0.1))
    ends = [Cluster(Scenario(1, n, (9.0,), costs(0.1, 0), start_seconds=0, ahead=0.15)).run().finished for n in (2, 4)]
    assert ends[1] - ends[0] == pytest.approx(2 * 9)  # read ahead for longer than the requests take


@pytest.mark.parametrize("seed", range(1))
def test_whatever_is_killed_all_shards_are_written_and_time_adds_up(seed: int):
    scenario = Scenario(12, 60, (20.0, 40.0, 90.0), costs(), kills=30, slow=0.2, start_seconds=10, careful=2, seed=seed)
    cluster = Cluster(scenario)
    account = cluster.run()
    assert set(account.written) == set(range(60)) and account.failed == {}
    assert cluster.bucket.folders["leases"] == {}
    assert len([name for name in cluster.bucket.folders[""] if name.startswith("part-")]) == 60
    assert account.kills > 5 and account.careful > 0
    assert account.useful == pytest.approx(sum(map(cluster.seconds, range(60))))
    assert account.useful + account.lost <= account.paid
    assert len(account.written) == 60 or account.stolen  # nobody loses a lease that is renewed
    again = Cluster(scenario)
    assert again.run() == account and again.bucket.requests == cluster.bucket.requests


def test_a_store_that_throttles_costs_time_and_nothing_else():
    free, slow = Cluster(Scenario(60, 600, (3.0,), costs())), Cluster(Scenario(60, 600, (3.0,), costs(writes=70)))
    before, account = free.run(), slow.run()
    assert free.bucket.throttled == 0 and slow.bucket.throttled > 100
    assert sorted(account.written) == list(range(600)) and account.failed == {}
    assert account.finished > before.finished
    assert max(slow.bucket.busiest(kind) for kind in ("put", "delete")) > 0


def test_workers_that_wait_do_not_list_all_shards():
    """Three slow ones hold up the others for five minutes; a listing of all shards takes ten requests."""
    cluster = Cluster(Scenario(50, 5000, (3.0,), costs(0.01), slow=0.06, slowness=100, start_seconds=0))
    account = cluster.run()
    assert account.ended > account.useful / 50 + 250
    assert cluster.bucket.requests["list"] < 50 * (account.ended / 7.5 + 100)


@given(st.sets(st.integers(0, 70)), st.sets(st.integers(0, 70)), st.integers(0, 80))
def test_sets_of_bits_are_sets(one: set[int], other: set[int], number: int):
    a, b = Numbers(bits_of(one)), Numbers(bits_of(other))
    assert list(a) == sorted(one) and len(a) == len(one) and (number in a) == (number in one)
    for found, known in ((a - b, one - other), (a & b, one & other), (a.intersection(b), one & other)):
        assert list(found) == sorted(known)
    a |= other
    a.add(number)
    assert list(a) == sorted(one | other | {number})
    a -= b.in_order()
    a.discard(number)
    assert list(a) == sorted(one - other - {number})


def folder_of(name: str) -> str:
    return re.sub(r"[0-9]+(-[0-9a-f]{32}-\d+)?", "", name)


@pytest.mark.slow
@pytest.mark.usefixtures("one_thread")
def test_requests_are_those_of_scoring(
    weights: Path,  # noqa: F811
    manifest: Path,  # noqa: F811
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
):
    """One worker against a server, from its first lease on: how many requests of each kind for each folder."""
    monkeypatch.setattr(ObjectStore, "rescan_seconds", 1e9)  # however slow this machine is
    monkeypatch.setattr(leases, "RENEW_EVERY", 1e9)
    whole = tmp_path / "whole.csv"
    rows = [line for line in manifest.read_text().splitlines() if not line.endswith("broken.mp4")]
    whole.write_text("\n".join(rows[:41]) + "\n")
    real: list[tuple[str, str]] = []
    with s3_server() as server:

        def note(method: str, path: str) -> None:
            kind = {"PUT": "put", "POST": "delete"}.get(method, "list" if path == "/bucket" else "get")
            real.append((kind, folder_of(path.removeprefix("/bucket/simulated/"))))

        server.fault = note
        score(RemotePath("s3://bucket", "simulated"), weights, whole)
    cluster = Cluster(Scenario(1, 10, (1.0,), costs(0.01)), log=True)
    cluster.run()
    assert cluster.bucket.log is not None
    made = [(kind, folder_of(name)) for _, kind, name in cluster.bucket.log]
    real, made = (log[log.index(("put", "leases/")) :] for log in (real, made))
    assert Counter(kind for kind, _ in real) == Counter(kind for kind, _ in made)
    found, expected = (Counter(one for one in log if one[0] in ("get", "put")) for log in (real, made))
    assert expected.pop(("get", "")) == 20  # the last check
    for name in ("part-.parquet", "failures/part-.parquet"):
        expected["get", name] += 10
    assert found == expected


@pytest.mark.slow
def test_a_directory_and_a_store_are_measured(tmp_path: Path):
    for number, at in enumerate([100.0, 103.0, 110.0, 111.0]):
        file = tmp_path / f"part-{number:06d}.parquet"
        file.touch()
        os.utime(file, (at, at))
    assert shard_seconds(tmp_path) == [1.0, 3.0, 7.0]
    with s3_server():
        found = measured_costs("s3://bucket/bench")
    assert all(0 < found.seconds[kind] < 5 for kind in KINDS) and "s3://bucket/bench" in found.source
    with pytest.raises(UserError):
        measured_costs(str(tmp_path))


def test_the_table_says_what_it_rests_on(capsys: pytest.CaptureFixture[str]):
    options = ["cluster", "--workers", "1", "12", "--kills", "0", "20", "--shards", "8", "--shard-seconds", "20"]
    assert bench([*options, "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert [(row["workers"], row["kills_per_hour"]) for row in document["rows"]] == [(1, 0), (1, 20), (12, 0), (12, 20)]
    quiet, killed = document["rows"][2:]
    assert 0 < killed["efficiency"] < quiet["efficiency"] <= 1 and killed["kills"] > 0
    assert document["store"].startswith("assumed") and document["shard_source"] == "given"
    assert bench(options) == 0
    assert "assumed, 100 ms a request" in capsys.readouterr().out
    assert bench(["cluster", "--kills", "-1"]) == 2
