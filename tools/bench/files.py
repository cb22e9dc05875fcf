"""`tools/bench.py files`: make a manifest of a folder of very many files, whose entries are made up.

`python -m tools.bench.files NAME FILES OUTPUT` runs one contender, timed after its imports.
"""

import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from unittest.mock import patch

from tools.bench.measure import chosen, failure, median, rounded, run_in_turn, versions
from tools.bench.usage import peak_mib, timed
from vidsemi.data.formats import media_files
from vidsemi.runtime.process import processor, usable_cores

PER_FOLDER = 1000
HEADER = ("contender", "seconds", "core s", "peak MiB once listed", "bytes per file", "peak MiB")
FIGURES = ("seconds", "cpu_seconds", "listed_mib", "bytes_per_file", "peak_mib")


def _folders(files: int) -> list[str]:
    return [f"class_{number:06d}" for number in range(-(-files // PER_FOLDER))]


def _names(folder: int, files: int) -> Iterator[str]:
    for number in range(folder * PER_FOLDER, min((folder + 1) * PER_FOLDER, files)):
        yield f"video_{number * 2654435761 % 2**40:010x}_{number:08d}.mp4"


def _listing(root: Path, files: int, folder: str) -> media_files._Listing:
    """The entries of a folder that does not exist."""
    if folder == str(root):
        names = _folders(files)
        return media_files._Listing(folder, names, set(names), set())
    return media_files._Listing(folder, sorted(_names(int(folder[-6:]), files)), set(), set())


def scan(name: str, files: int, output: Path) -> dict[str, Any]:
    """Run a format of `vidsemi manifest`."""
    from vidsemi.data.formats.folder import scan_class_folders, scan_files

    root = output.parent
    read = {"folder": scan_class_folders, "files": scan_files}[name]
    with patch.object(media_files, "_list", lambda folder: _listing(root, files, folder)):
        begin = peak_mib()
        found = read(root)
        listed = peak_mib()
    found.write(output)
    return {"listed_mib": listed, "bytes_per_file": (listed - begin) * 2**20 / files}


def texts(name: str, files: int, output: Path) -> dict[str, Any]:
    """The paths in a list, and no manifest."""
    begin = peak_mib()
    folders = enumerate(_folders(files))
    paths = [f"{output.parent}/{folder}/{name}" for number, folder in folders for name in _names(number, files)]
    assert len(paths) == files
    return {"listed_mib": peak_mib(), "bytes_per_file": (peak_mib() - begin) * 2**20 / files}


CONTENDERS: dict[str, Callable[[str, int, Path], dict[str, Any]]] = {
    "folder": scan,
    "files": scan,
    "paths in a list": texts,
}


def bench_files(folder: Path, *, files: int, rounds: int, only: list[str]) -> dict[str, Any]:
    """Run the contenders on a folder of so many files, a thousand in each folder of it; manifests go to `folder`."""
    names = chosen(list(CONTENDERS), only)
    folder.mkdir(parents=True, exist_ok=True)
    commands = {name: [name, files, folder.resolve() / "files.parquet"] for name in names}
    runs = run_in_turn("tools.bench.files", commands, rounds=rounds, title="bench files")
    return {
        "files": files,
        "rounds": rounds,
        "cores": usable_cores(),
        "processor": processor(),
        "versions": versions("pyarrow"),
        "contenders": [
            {"name": name, "failed": failure(runs[name]), **{key: median(runs[name], key) for key in FIGURES}}
            for name in names
        ],
    }


def text(document: dict[str, Any]) -> str:
    """The document as a Markdown table."""
    from vidsemi.io.tables import markdown_table

    forms = {"seconds": "{:.1f}", "cpu_seconds": "{:.1f}"}
    rows = [
        (row["failed"] or row["name"], *(rounded(row[key], forms.get(key, "{:.0f}")) for key in FIGURES))
        for row in document["contenders"]
    ]
    used = ", ".join(f"{name} {number}" for name, number in document["versions"].items())
    setting = (
        f"{document['files']:,} made-up files, {PER_FOLDER:,} a folder\n"
        f"medians of {document['rounds']} runs, each in a fresh process; `core s`: seconds of all cores together\n"
        f"{document['cores']} cores of {document['processor']}; {used}\n"
    )
    return "\n".join([setting, *markdown_table(HEADER, rows)])


if __name__ == "__main__":
    found, figures = timed(lambda: CONTENDERS[sys.argv[1]](sys.argv[1], int(sys.argv[2]), Path(sys.argv[3])))
    print(json.dumps(figures | found))
