"""The indexes of tars that a command has read so far, so that one that was stopped resumes."""

import os
import time
import uuid
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from vidsemi.io.files import remove_temporary
from vidsemi.io.parquet import read_parquet, write_parquet

if TYPE_CHECKING:
    from vidsemi.data.formats.tar import TarIndex

SECONDS_PER_PART = 60.0  # a killed command loses at most that
MEMBERS_PER_PART = 200_000  # or that: they wait in memory, 220 bytes each
STATE = pa.schema([("tar", pa.binary()), ("bytes", pa.int64()), ("modified", pa.int64())])  # of a tar when it was read
TEXTS, NUMBERS = pa.list_(pa.string()), pa.list_(pa.int64())
SCHEMA = pa.schema(
    [
        *STATE,
        ("error", pa.string()),
        ("ambiguous", TEXTS),
        ("left_out", pa.int64()),
        ("label", TEXTS),
        ("member", TEXTS),
        ("offset", NUMBERS),
        ("size", NUMBERS),
    ]
)

State = tuple[bytes, int, int]


class TarJournal:
    """Indexes in parts of a folder, by the path, size and modification time of their tars. A damaged part is ignored.

    Args:
        folder: of the parts; `remove` it at the end.
        tars: that are indexed, in this order.
    """

    def __init__(self, folder: Path, tars: list[Path]):
        self._folder = folder
        remove_temporary(folder)
        self._states = {tar: state for tar in tars if (state := _state(tar)) is not None}
        self._places: dict[State, tuple[Path, int]] = {}
        self._batch: list[dict[str, Any]] = []
        self._open: tuple[Path | None, pa.Table] = (None, SCHEMA.empty_table())
        self._began = time.monotonic()
        self._members = 0  # of the batch
        for file in sorted(folder.glob("part-*.parquet")):
            for place, state in enumerate(self._read(file).select(STATE.names).to_pylist()):
                self._places[tuple(state.values())] = (file, place)

    def __contains__(self, tar: Path) -> bool:
        return self._states.get(tar) in self._places

    def __getitem__(self, tar: Path) -> "TarIndex":
        """The index of a tar. Of the parts one is in memory, so take tars in their order."""
        from vidsemi.data.formats.tar import TarIndex

        file, place = self._places[self._states[tar]]
        if self._open[0] != file:
            self._open = file, self._read(file)
        row = self._open[1].slice(place, 1).to_pylist()[0]
        columns = {name: row[name] for name in ("label", "member", "offset", "size")}
        ambiguous = row["ambiguous"] and tuple(row["ambiguous"])
        columns["path"] = [str(tar)] * len(columns["member"])
        return TarIndex(columns, row["left_out"], row["error"], ambiguous)

    def add(self, tar: Path, index: "TarIndex") -> None:
        """Keep the index of a tar; each minute what came since is written."""
        if tar not in self._states:
            return
        values = asdict(index)
        columns = values.pop("columns")
        columns.pop("path")
        self._batch.append(dict(zip(STATE.names, self._states[tar], strict=True)) | values | columns)
        self._members += len(columns["member"])
        if time.monotonic() - self._began > SECONDS_PER_PART or self._members > MEMBERS_PER_PART:
            self.write()

    def write(self) -> None:
        """Write what is not written yet."""
        if self._batch:
            self._folder.mkdir(parents=True, exist_ok=True)
            table = pa.Table.from_pylist(self._batch, SCHEMA)
            write_parquet(self._folder / f"part-{uuid.uuid4().hex}.parquet", table)
            self._batch, self._began, self._members = [], time.monotonic(), 0

    def remove(self) -> None:
        """Remove the parts, and the folder if it holds nothing else."""
        for file in self._folder.glob("part-*.parquet"):
            file.unlink(missing_ok=True)
        with suppress(OSError):
            self._folder.rmdir()

    @staticmethod
    def _read(file: Path) -> pa.Table:
        try:
            return read_parquet(file, SCHEMA.names).cast(SCHEMA)
        except (pa.ArrowException, OSError, ValueError, KeyError):
            return SCHEMA.empty_table()


def _state(tar: Path) -> State | None:
    try:
        found = os.stat(tar)
    except (OSError, ValueError):
        return None
    return os.fsencode(tar), found.st_size, found.st_mtime_ns
