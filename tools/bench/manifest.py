"""`tools/bench.py manifest`: make a manifest of a table of paths and labels, beside peers that copy it to Parquet.

`python -m tools.bench.manifest NAME TABLE OUTPUT` runs one contender, timed after its imports.
"""

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tools.bench.manifest_start import bench_starts
from tools.bench.manifest_start import text as text_of_starts
from tools.bench.measure import chosen, failure, median, rounded, run_in_turn, versions
from tools.bench.usage import timed
from vidsemi.io.files import atomic_path
from vidsemi.runtime.process import processor, usable_cores

CLASSES, TAGS, PRIMES = 400, 40_000, (7919, 104_729, 1_299_709, 15_485_863, 179_424_673)
BLOCK = 500_000  # rows to write at once
REFERENCE = "vidsemi"
HEADER = ("contender", "seconds", "core s", "M rows/s", "peak MiB", "rows")
FIGURES = ("seconds", "cpu_seconds", "peak_mib")

Contender = Callable[[], None]


def vidsemi(table: Path, output: Path) -> Contender:
    """This package: paths checked and made portable, repeated files counted, labels normalized, checksums."""
    from vidsemi.data.formats.table import scan_table

    return lambda: scan_table(table, None).write(output)


def duckdb(table: Path, output: Path) -> Contender:
    """A copy of the rows."""
    import duckdb

    source, target = (str(file).replace("'", "''") for file in (table, output))
    read = f"read_csv('{source}', header = true, delim = ',', all_varchar = true)"
    return lambda: duckdb.execute(f"COPY (SELECT * FROM {read}) TO '{target}' (FORMAT parquet, COMPRESSION zstd)")


def polars(table: Path, output: Path) -> Contender:
    """A copy of the rows, streamed."""
    import polars

    return lambda: polars.scan_csv(table, infer_schema_length=0).sink_parquet(output, compression="zstd")


def pyarrow(table: Path, output: Path) -> Contender:
    """A copy of the rows, block by block."""
    import pyarrow.csv
    import pyarrow.parquet

    def run() -> None:
        with (
            pyarrow.csv.open_csv(table) as rows,
            pyarrow.parquet.ParquetWriter(output, rows.schema, compression="zstd") as writer,
        ):
            for batch in rows:
                writer.write_batch(batch)

    return run


CONTENDERS: dict[str, Callable[[Path, Path], Contender]] = {
    REFERENCE: vidsemi,
    "DuckDB": duckdb,
    "polars": polars,
    "pyarrow": pyarrow,
}


def bench_manifest(folder: Path, *, rows: int, rounds: int, only: list[str], hashtags: bool = False) -> dict[str, Any]:
    """Run the contenders on a table of so many rows, which is written once per size, and start processes on it.

    Args:
        folder: for the table and the manifests.
        rows: of the table.
        rounds: runs of each contender.
        only: names of contenders; all if empty.
        hashtags: whether the rows have five tags each.

    Returns:
        A JSON object: the setting, the machine, and for each contender a row of medians.
    """
    names = chosen(list(CONTENDERS), only)
    made = (folder / f"manifest_rows{rows}{'_hashtags' * hashtags}").resolve()
    table = made / "table.csv"
    if not table.exists():
        with atomic_path(table) as temporary:
            _write_table(temporary, rows, hashtags)
    outputs = {name: made / f"{name}.parquet" for name in names}
    commands = {name: [name, table, output] for name, output in outputs.items()}
    runs = run_in_turn("tools.bench.manifest", commands, rounds=rounds, title="bench manifest")
    contenders = []
    for name in names:
        failed = failure(runs[name])
        figures: dict[str, Any] = {key: median(runs[name], key) for key in FIGURES}
        contenders.append(
            {
                "name": name,
                **figures,
                "rows_per_second": None if failed else rows / figures["seconds"],
                "answer": failed or ("same" if _is_copy(outputs[name], rows) else "DIFFERENT"),
            }
        )
    starts = [] if REFERENCE not in names else bench_starts(outputs[REFERENCE], rows=rows, rounds=rounds)
    return {
        "rows": rows,
        "hashtags": hashtags,
        "rounds": rounds,
        "cores": usable_cores(),
        "processor": processor(),
        "versions": versions("duckdb", "polars", "pyarrow"),
        "agree": all(row["answer"] != "DIFFERENT" for row in (*contenders, *starts)),
        "contenders": contenders,
        "starts": starts,
    }


def text(document: dict[str, Any]) -> str:
    """The document as a Markdown table."""
    from vidsemi.io.tables import markdown_table

    rows = [
        (
            row["name"],
            rounded(row["seconds"], "{:.2f}"),
            rounded(row["cpu_seconds"], "{:.2f}"),
            rounded(row["rows_per_second"] and row["rows_per_second"] / 1e6, "{:.2f}"),
            rounded(row["peak_mib"], "{:.0f}"),
            row["answer"],
        )
        for row in document["contenders"]
    ]
    used = ", ".join(f"{name} {number}" for name, number in document["versions"].items())
    setting = (
        f"{document['rows']:,} rows of path, label{' and hashtags' * document['hashtags']}, to Parquet\n"
        f"medians of {document['rounds']} runs, each in a fresh process; `core s`: seconds of all cores together\n"
        f"{document['cores']} cores of {document['processor']}; {used}\n"
    )
    starts = ["", text_of_starts(document["starts"])] if document["starts"] else []
    return "\n".join([setting, *markdown_table(HEADER, rows), *starts])


def _write_table(file: Path, rows: int, hashtags: bool) -> None:
    import numpy as np
    import pyarrow.csv

    options = pyarrow.csv.WriteOptions(include_header=False, quoting_style="none")
    with open(file, "wb") as stream:
        schema = _rows(np.arange(0), hashtags).schema
        stream.write(",".join(schema.names).encode() + b"\n")
        with pyarrow.csv.CSVWriter(stream, schema, write_options=options) as writer:
            for first in range(0, rows, BLOCK):
                writer.write_table(_rows(np.arange(first, min(first + BLOCK, rows)), hashtags))


def _rows(numbers: Any, hashtags: bool) -> Any:
    """Rows of the table, by their numbers."""
    import pyarrow as pa
    import pyarrow.compute as pc

    def joined(begin: str, numbers: Any, digits: int, end: str = "") -> Any:
        padded = pc.utf8_lpad(pa.array(numbers).cast(pa.string()), digits, "0")
        return pc.binary_join_element_wise(begin, padded, end, "")

    folders, names = joined("v/", numbers // 10_000, 5, "/"), joined("", numbers, 9, ".mp4")
    columns = {
        "path": pc.binary_join_element_wise(folders, names, ""),
        "label": joined("class ", numbers * 7919 % CLASSES, 0),
    }
    if hashtags:
        tags = [joined("#tag", numbers * prime % TAGS, 5) for prime in PRIMES]
        columns["hashtags"] = pc.binary_join_element_wise(*tags, " ")
    return pa.table(columns)


def _is_copy(file: Path, rows: int) -> bool:
    """Whether a file has the rows of the table in their order."""
    import numpy as np
    import pyarrow as pa
    import pyarrow.parquet

    first = 0
    with pyarrow.parquet.ParquetFile(file) as parquet:
        for batch in parquet.iter_batches(columns=["path", "label"]):
            expected = _rows(np.arange(first, first + batch.num_rows), hashtags=False)
            if not pa.Table.from_batches([batch]).cast(expected.schema).equals(expected):
                return False
            first += batch.num_rows
    return first == rows


if __name__ == "__main__":
    name, table, output = sys.argv[1:]
    print(json.dumps(timed(CONTENDERS[name](Path(table), Path(output)))[1]))
