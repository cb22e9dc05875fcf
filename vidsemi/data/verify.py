"""What the files of a manifest really are, before anybody pays for a run over them."""

from collections import Counter
from contextlib import closing
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq

from vidsemi.data.describe import FileInfo, describe
from vidsemi.data.manifest import Manifest, Row
from vidsemi.data.worker_pool import read_all
from vidsemi.io.errors import DecodeError
from vidsemi.io.files import atomic_path
from vidsemi.io.progress import progress_bar
from vidsemi.io.tables import markdown_table

ROWS_AT_ONCE = 1000  # written to the table
REASONS_SHOWN = 20

SCHEMA = pa.schema(
    [
        ("example_id", pa.int64()),
        ("path", pa.string()),
        ("member", pa.string()),
        ("frames", pa.int64()),
        ("announced", pa.int64()),
        ("damaged", pa.int64()),
        ("seconds", pa.float64()),
        ("rate", pa.float64()),
        ("width", pa.int32()),
        ("height", pa.int32()),
        ("rotation", pa.int32()),
        ("codec", pa.string()),
        ("container", pa.string()),
        ("error", pa.string()),
    ]
)


def _duration(seconds: float) -> str:
    return f"{seconds / 3600:.1f} hours" if seconds >= 3600 else f"{seconds / 60:.1f} minutes"


@dataclass
class Summary:
    """What a corpus is made of."""

    readable: int = 0
    unreadable: int = 0
    damaged: int = 0
    miscounted: int = 0
    frames: int = 0
    seconds: float = 0.0
    kinds: Counter[str] = field(default_factory=Counter)
    reasons: Counter[str] = field(default_factory=Counter)
    examples: dict[str, str] = field(default_factory=dict)

    def add(self, row: Row, found: FileInfo | DecodeError) -> None:
        """Count a file in."""
        if isinstance(found, DecodeError):
            self.unreadable += 1
            self.reasons[found.reason] += 1
            self.examples.setdefault(found.reason, row.path)
            return
        self.readable += 1
        self.damaged += found.damaged > 0
        whole = row.start is None and row.end is None
        self.miscounted += whole and found.announced not in (0, found.frames)
        self.frames += found.frames
        self.seconds += found.seconds
        self.kinds[f"{found.codec} {found.width}×{found.height}"] += 1

    def lines(self) -> list[str]:
        """The summary for people."""
        total = self.readable + self.unreadable
        lines = [
            f"{self.readable} of {total} files can be read: {self.frames} frames, {_duration(self.seconds)}",
            f"{self.damaged} of these are damaged in part; the header of {self.miscounted} announces another number of "
            "frames than there are",
            "",
            *markdown_table(("kind", "files"), [(kind, str(n)) for kind, n in self.kinds.most_common(REASONS_SHOWN)]),
        ]
        if self.reasons:
            rows = [(reason, str(n), self.examples[reason]) for reason, n in self.reasons.most_common(REASONS_SHOWN)]
            lines += ["", *markdown_table(("why not", "files", "such as"), rows)]
        return lines

    def document(self) -> dict[str, Any]:
        """The summary as JSON."""
        return {
            "readable": self.readable,
            "unreadable": self.unreadable,
            "damaged": self.damaged,
            "miscounted": self.miscounted,
            "frames": self.frames,
            "seconds": self.seconds,
            "kinds": dict(self.kinds.most_common()),
            "reasons": dict(self.reasons.most_common()),
        }


def verify_stage(manifest: Manifest, output: Path, *, workers: int, seconds: float) -> Summary:
    """Decode every file of a manifest and write what it is.

    Args:
        manifest: whose files are read.
        output: table to write, .csv or .parquet: a row an example, with `error` where it cannot be read.
        workers: processes that decode.
        seconds: limit for a file.

    Returns:
        The summary.
    """
    summary = Summary()
    rows = (manifest.row(example_id) for example_id in range(len(manifest)))
    batch: list[dict[str, Any]] = []
    with (
        atomic_path(output) as temporary,
        _writer(temporary, output.suffix) as writer,
        closing(read_all(describe, rows, workers=workers, seconds=seconds)) as results,
        progress_bar(len(manifest), "file", "verify") as bar,
    ):
        for example_id, found in enumerate(results):
            row = manifest.row(example_id)
            what = {"error": found.reason} if isinstance(found, DecodeError) else asdict(found)
            batch.append({"example_id": example_id, "path": row.path, "member": row.member, **what})
            summary.add(row, found)
            bar.set_postfix_str(f"{summary.unreadable} cannot be read", refresh=False)
            bar.update()
            if len(batch) == ROWS_AT_ONCE or example_id == len(manifest) - 1:
                writer.write_table(pa.Table.from_pylist(batch, SCHEMA))
                batch.clear()
    return summary


def _writer(path: Path, suffix: str) -> Any:
    return pyarrow.csv.CSVWriter(path, SCHEMA) if suffix == ".csv" else pq.ParquetWriter(path, SCHEMA)
