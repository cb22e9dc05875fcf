"""Ways to select the K best rows of every class; `python -m tools.bench.select_contenders NAME FOLDER K` runs one.

A contender is timed after its imports, from the files to arrays in memory.
"""

import hashlib
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from tools.bench.usage import ProcessMemory

Columns = tuple[np.ndarray, np.ndarray, np.ndarray]  # labels, example ids, scores of the chosen rows
Contender = Callable[[], Columns | None]


def vidsemi(folder: Path, per_class: int) -> Contender:
    """This package."""
    from vidsemi.selection.score_reader import open_shards, shard_files
    from vidsemi.selection.select import select

    def run() -> Columns:
        shards, info = open_shards(shard_files(folder))
        chosen = select(shards, info, per_class=per_class, per_example=info.per_example)
        return chosen.label, chosen.example_id, chosen.score

    return run


def generated(rows: int, classes: int, stored: int, examples_per_shard: int, per_class: int) -> Contender:
    """This package, on generated rows instead of files."""
    from tools.bench.score_data import ScoreData
    from vidsemi.selection.select import select

    data = ScoreData(rows, classes, stored, examples_per_shard)
    shards = data.generated_shards()

    def run() -> Columns:
        chosen = select(shards, data.info, per_class=per_class, per_example=stored)
        return chosen.label, chosen.example_id, chosen.score

    return run


def bare_read(folder: Path, per_class: int) -> Contender:
    """The limit: Arrow reads the same columns in batches on all cores, and discards them."""
    from pyarrow import dataset

    def run() -> None:
        columns = ["example_id", "label", "score"]
        for batch in dataset.dataset(folder, format="parquet").to_batches(columns=columns):
            del batch

    return run


def _duckdb(folder: Path, query: str) -> Contender:
    import duckdb

    connection = duckdb.connect()
    connection.execute("SET enable_progress_bar = false")
    files = str(folder / "part-*.parquet").replace("'", "''")
    source = f"read_parquet('{files}')"

    def run() -> Columns:
        table = connection.sql(query.replace("SCORES", source)).to_arrow_table().combine_chunks()
        return tuple(table.column(name).to_numpy() for name in ("label", "example_id", "score"))

    return run


def duckdb_max_by(folder: Path, per_class: int) -> Contender:
    """Two aggregates of lists; ties are broken arbitrarily."""
    return _duckdb(
        folder,
        f"SELECT label, unnest(max_by(example_id, score, {per_class})) AS example_id, "
        f"unnest(max(score, {per_class})) AS score FROM SCORES GROUP BY label",
    )


def duckdb_max_struct(folder: Path, per_class: int) -> Contender:
    """One aggregate of pairs, with correct ties."""
    return _duckdb(
        folder,
        "SELECT label, -pair.id AS example_id, pair.score AS score FROM (SELECT label, "
        f"unnest(max({{'score': score, 'id': -example_id}}, {per_class})) AS pair FROM SCORES GROUP BY label)",
    )


def duckdb_window(folder: Path, per_class: int) -> Contender:
    """A window over each class, cut at K."""
    return _duckdb(
        folder,
        "SELECT label, example_id, score FROM SCORES "
        f"QUALIFY row_number() OVER (PARTITION BY label ORDER BY score DESC, example_id) <= {per_class}",
    )


def polars(folder: Path, per_class: int) -> Contender:
    """A sort within each class, cut at K; the fastest of the forms that were tried."""
    import polars

    def run() -> Columns:
        columns = polars.col("example_id", "score")
        best = columns.sort_by("score", "example_id", descending=[True, False]).head(per_class)
        table = polars.scan_parquet(folder / "part-*.parquet").group_by("label").agg(best).collect()
        table = table.explode("example_id", "score")
        return tuple(table[name].to_numpy() for name in ("label", "example_id", "score"))  # type: ignore[return-value]

    return run


def numpy_sort(folder: Path, per_class: int) -> Contender:
    """All rows in memory, sorted as a whole."""
    from pyarrow import parquet

    def run() -> Columns:
        table = parquet.read_table(folder, columns=["label", "example_id", "score"])
        label, example_id, score = (table.column(name).to_numpy() for name in table.column_names)
        order = np.lexsort((example_id, -score, label))
        label = label[order]
        counts = np.bincount(label)
        rank = np.arange(len(label)) - np.repeat(np.cumsum(counts) - counts, counts)
        kept = rank < per_class
        return label[kept], example_id[order[kept]], score[order[kept]]

    return run


CONTENDERS = {
    "vidsemi": vidsemi,
    "bare read (pyarrow)": bare_read,
    "DuckDB max_by, ties by chance": duckdb_max_by,
    "DuckDB max of pairs": duckdb_max_struct,
    "DuckDB window": duckdb_window,
    "polars sort_by": polars,
    "numpy lexsort": numpy_sort,
}


def digests(columns: Columns) -> dict[str, str]:
    """Hashes of the chosen rows in the order of ranks: of labels and scores, and of all three columns."""
    label, example_id, score = (np.asarray(column) for column in columns)
    order = np.lexsort((example_id, -score, label))
    without_ids = hashlib.sha256(label[order].astype(np.int32).tobytes() + score[order].astype(np.float32).tobytes())
    with_ids = hashlib.sha256(without_ids.digest() + example_id[order].astype(np.int64).tobytes())
    return {"scores": without_ids.hexdigest(), "rows": with_ids.hexdigest()}


def measure(run: Contender) -> dict[str, Any]:
    """Seconds from files to arrays, peak memory of the processes in MiB, and digests of the result."""
    with ProcessMemory(seconds=0.1) as memory:  # more often it would take Python's lock from what it measures
        begin = time.perf_counter()
        columns = run()
        seconds = time.perf_counter() - begin
    return {"seconds": seconds, "peak_mib": memory.peak_mib, **(digests(columns) if columns is not None else {})}


if __name__ == "__main__":
    name, *numbers = sys.argv[1:]
    if name == "generated":
        contender = generated(*map(int, numbers))
    else:
        contender = CONTENDERS[name](Path(numbers[0]), int(numbers[1]))
    print(json.dumps(measure(contender)))
