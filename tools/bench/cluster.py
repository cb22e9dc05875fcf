"""`tools/bench.py cluster`: simulate up to thousands of workers that score into one bucket and are killed."""

import time
from pathlib import Path
from typing import Any

from tools.bench.cluster_costs import assumed_costs, measured_costs, shard_seconds
from tools.bench.virtual_bucket import KINDS
from tools.bench.virtual_cluster import Account, Cluster, Scenario
from vidsemi.io.progress import progress_bar
from vidsemi.io.tables import markdown_table

HEADER = (
    "workers",
    "kills an hour",
    "hours",
    "efficiency",
    "kills",
    "lost a kill, s",
    "done twice",
    *(f"{kind}/s" for kind in KINDS),
    "most/s",
    "requests a shard",
    "refused",
    "CPU s",
)


def bench_cluster(
    *,
    workers: list[int],
    shards: int,
    seconds: float,
    scores: Path | None,
    kills: list[float],
    slow: float,
    start_seconds: float,
    store: str | None,
    seed: int,
) -> dict[str, Any]:
    """Simulate every number of workers with every rate of kills.

    Args:
        workers: numbers of workers.
        shards: of each worker.
        seconds: that a shard takes, where there are no `scores`.
        scores: a directory of scores that one worker wrote, whose times between shards are those of the simulation.
        kills: of each worker an hour, without warning.
        slow: share of workers that take twice as long.
        start_seconds: from the start of a worker to its first request.
        store: address of a store whose requests are measured.
        seed: of all that is random.

    Returns:
        A JSON object: the setting and its sources, and a row for each simulation.
    """
    times = (seconds,) if scores is None else tuple(shard_seconds(scores))
    costs = assumed_costs() if store is None else measured_costs(store)
    rows = []
    with progress_bar(len(workers) * len(kills), "run", "bench cluster") as bar:
        for count in workers:
            for rate in kills:
                scenario = Scenario(
                    count, count * shards, times, costs, kills=rate, slow=slow, start_seconds=start_seconds, seed=seed
                )
                begin = time.process_time()
                cluster = Cluster(scenario)
                rows.append(row(cluster, cluster.run()) | {"cpu_seconds": time.process_time() - begin})
                bar.update()
    return {
        "shards_per_worker": shards,
        "shard_seconds": sum(times) / len(times),
        "shard_source": "given" if scores is None else f"{len(times)} times between shards of {scores}",
        "store": costs.source,
        "writes": costs.writes,
        "reads": costs.reads,
        "slow": slow,
        "start_seconds": start_seconds,
        "rows": rows,
    }


def row(cluster: Cluster, account: Account) -> dict[str, Any]:
    """The figures of a simulation that has run."""
    bucket, scenario = cluster.bucket, cluster.scenario
    return {
        "workers": scenario.workers,
        "kills_per_hour": scenario.kills,
        "seconds": account.ended,
        "efficiency": account.useful / account.paid,
        "kills": account.kills,
        "lost_per_kill": account.lost / account.kills if account.kills else None,
        "duplicated": len(account.written) / scenario.shards - 1,
        "stolen": account.stolen,
        "careful": account.careful,
        "failed": account.failed,
        "requests_per_second": {kind: bucket.requests[kind] / account.ended for kind in KINDS},
        "busiest_per_second": {kind: bucket.busiest(kind) for kind in KINDS},
        "requests_per_shard": sum(bucket.requests.values()) / scenario.shards,
        "refused": bucket.throttled / sum(bucket.requests.values()),
    }


def text(document: dict[str, Any]) -> str:
    """The table, and what it rests on."""
    setting = (
        f"{document['shards_per_worker']} shards a worker of {document['shard_seconds']:.1f} s "
        f"({document['shard_source']}), {document['start_seconds']:.0f} s to start a worker, "
        f"{document['slow']:.0%} of the workers take twice as long\n"
        f"store: {document['store']}; "
        f"at most {document['writes']:.0f} writes and {document['reads']:.0f} reads a second\n"
    )
    failed = [f"{row['workers']} workers: {row['failed']}\n" for row in document["rows"] if row["failed"]]
    return "\n".join([setting, *markdown_table(HEADER, map(_cells, document["rows"])), *failed])


def _cells(row: dict[str, Any]) -> tuple[str, ...]:
    return (
        f"{row['workers']:,}",
        f"{row['kills_per_hour']:g}",
        f"{row['seconds'] / 3600:.2f}",
        f"{row['efficiency']:.1%}",
        f"{row['kills']:,}",
        "" if row["lost_per_kill"] is None else f"{row['lost_per_kill']:.0f}",
        f"{row['duplicated']:.2%}",
        *(f"{row['requests_per_second'][kind]:,.1f}" for kind in KINDS),
        f"{sum(row['busiest_per_second'].values()):,.0f}",
        f"{row['requests_per_shard']:.1f}",
        f"{row['refused']:.1%}",
        f"{row['cpu_seconds']:.0f}",
    )
