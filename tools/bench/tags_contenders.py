"""Ways to read a tag file into a manifest; `python -m tools.bench.tags_contenders NAME FOLDER OUTPUT` runs one.

A contender is timed after its imports and the loading of compiled code, from the tag file to the written Parquet
file. A limit parses every row and writes nothing.
"""

import csv
import json
import sys
from collections.abc import Callable
from functools import partial
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory

from tools.bench.usage import timed

Contender = Callable[[], None]
NO_TAG = r"[^\p{L}\p{M}\p{N} ]"  # removed by the peers: all but letters, marks, numbers and the spaces between tags


def vidsemi(name: str) -> Callable[[Path, Path], Contender]:
    """This package: the format of a table, or of YFCC100M by the file's name."""

    def contender(folder: Path, output: Path) -> Contender:
        from vidsemi.data.formats.table import scan_table
        from vidsemi.data.formats.yfcc100m import scan_yfcc100m

        def read(table: Path, manifest: Path) -> None:
            if name == "yfcc100m.txt":
                scan_yfcc100m(table, folder / "files").write(manifest)
            else:
                scan_table(table, None).write(manifest)

        with TemporaryDirectory() as small:  # loads compiled loops, and what pyarrow imports at its first array
            with open(folder / name, "rb") as file:
                Path(small, name).write_bytes(b"".join(islice(file, 2)))
            read(Path(small, name), Path(small, "manifest.parquet"))
        return partial(read, folder / name, output)

    return contender


def bare_csv(folder: Path, output: Path) -> Contender:
    """The limit in Python: its CSV parser, and nothing else."""

    def run() -> None:
        with open(folder / "tags.csv", encoding="utf-8", newline="") as file:
            for _ in csv.reader(file):
                pass

    return run


def bare_json(folder: Path, output: Path) -> Contender:
    """The limit in Python: its JSON parser, line by line, and nothing else."""

    def run() -> None:
        with open(folder / "tags.jsonl", encoding="utf-8") as file:
            for line in file:
                json.loads(line)

    return run


def duckdb(name: str) -> Callable[[Path, Path], Contender]:
    """A query over whole fields, which is faster than over single tags; distinct tags come in any order."""

    def contender(folder: Path, output: Path) -> Contender:
        import duckdb

        connection = duckdb.connect()
        connection.execute("SET enable_progress_bar = false")
        source, target = (str(file).replace("'", "''") for file in (folder / name, output))
        table, field = f"read_csv('{source}', header = true, delim = ',', all_varchar = true)", "hashtags"
        if name.endswith(".jsonl"):
            kinds = "{path: 'VARCHAR', hashtags: 'VARCHAR[]'}"
            table = f"read_json('{source}', format = 'newline_delimited', columns = {kinds})"
            field = "array_to_string(hashtags, ' ')"
        words = f"string_split(regexp_replace(lower({field}), '{NO_TAG}', '', 'g'), ' ')"

        def run() -> None:
            connection.execute(
                f"COPY (SELECT path, '#' || array_to_string(list_distinct({words}), ' #') AS hashtags FROM {table}) "
                f"TO '{target}' (FORMAT parquet, COMPRESSION zstd)"
            )

        return run

    return contender


def polars(folder: Path, output: Path) -> Contender:
    """An expression over whole fields, streamed."""
    import polars

    def run() -> None:
        words = polars.col("hashtags").str.to_lowercase().str.replace_all(NO_TAG, "").str.split(" ")
        tags = polars.lit("#") + words.list.unique(maintain_order=True).list.join(" #")
        table = polars.scan_csv(folder / "tags.csv", infer_schema_length=0)
        table.select("path", hashtags=tags).sink_parquet(output, compression="zstd")

    return run


CONTENDERS: dict[str, Callable[[Path, Path], Contender]] = {
    "vidsemi, CSV": vidsemi("tags.csv"),
    "vidsemi, TSV": vidsemi("tags.tsv"),
    "vidsemi, JSON lines": vidsemi("tags.jsonl"),
    "vidsemi, YFCC100M": vidsemi("yfcc100m.txt"),
    "csv.reader alone": bare_csv,
    "json.loads alone": bare_json,
    "DuckDB, CSV": duckdb("tags.csv"),
    "DuckDB, JSON lines": duckdb("tags.jsonl"),
    "polars, CSV": polars,
}


if __name__ == "__main__":
    name, folder, output = sys.argv[1:]
    print(json.dumps(timed(CONTENDERS[name](Path(folder), Path(output)))[1]))
