"""Parquet files that notice damage: each holds a CRC-32 of itself, and page checksums for other programs.

Page checksums leave out page headers and the footer, where a flipped bit can change values too. The CRC-32 covers every
byte. It stands in the footer's metadata, as zeros while it is computed, and is checked before Parquet parses anything:
a damaged footer can otherwise ask for gigabytes.
"""

import io
import re
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import pyarrow as pa
import pyarrow.parquet as pq

from vidsemi.io.errors import UserError
from vidsemi.io.files import atomic_path
from vidsemi.io.parquet_bounds import check_expansion
from vidsemi.io.store import Place

CHECKSUM = b"vidsemi.crc32"  # metadata key
UNSEALED = b"00000000"
MARK = {b"vidsemi.checked": b"crc32"}  # says that there is a checksum, even where damage has hidden it
# In the footer: the key, two bytes of Thrift (type and length of the value), and the value.
ENTRY = re.compile(re.escape(CHECKSUM) + rb"..([0-9a-f]{8})", re.DOTALL)
BLOCK = 1 << 20
WHOLE = 1 << 24  # bytes; a smaller file is read at once, and both checked and parsed in memory
WHOLE_UNBATCHED = 1 << 26  # the same where pyarrow would keep all that it has read anyway
TAIL = 8  # length of the footer and magic, at the end of a file

Footer = Mapping[bytes, bytes]


class DamagedError(pa.ArrowInvalid):  # type: ignore[misc] # pyarrow has no types
    """A file has changed since it was written. The message says of "it" what is wrong, as pyarrow's errors do."""


def write_parquet(file: Place, table: pa.Table, footer: Footer | None = None, **encoding: Any) -> None:
    """Write a table atomically, with checksums.

    Args:
        file: to write.
        table: its content.
        footer: metadata for the footer alone; that of the table's schema is written twice.
        encoding: options of `pq.ParquetWriter`.
    """
    if not isinstance(file, Path):
        file.write_bytes(parquet_bytes(table, footer, **encoding))
        return
    with parquet_writer(file, table.schema, footer, **encoding) as writer:
        writer.write_table(table)


@contextmanager
def parquet_writer(
    file: Path, schema: pa.Schema, footer: Footer | None = None, **encoding: Any
) -> Iterator[pq.ParquetWriter]:
    """Write a file as `write_parquet` does, table by table."""
    with atomic_path(file) as temporary:
        with _unsealed(temporary, schema, footer, encoding) as writer:
            yield writer
        with open(temporary, "rb+") as stream:
            _seal(stream)


def parquet_bytes(table: pa.Table, footer: Footer | None = None, **encoding: Any) -> bytes:
    """Return what `write_parquet` writes."""
    stream = io.BytesIO()
    with _unsealed(stream, table.schema, footer, encoding) as writer:
        writer.write_table(table)
    _seal(stream)
    return stream.getvalue()


@contextmanager
def _unsealed(
    where: Path | IO[bytes], schema: pa.Schema, footer: Footer | None, encoding: dict[str, Any]
) -> Iterator[pq.ParquetWriter]:
    options = {"compression": "zstd", "write_page_checksum": True} | encoding
    with pq.ParquetWriter(where, schema, **options) as writer:
        yield writer
        # Not in the schema, whose metadata other programs copy into the files that they derive from this one.
        writer.add_key_value_metadata(dict(footer or {}) | {CHECKSUM: UNSEALED} | MARK)


def read_parquet(file: Place, columns: Sequence[str] | None = None) -> pa.Table:
    """Read a table whose checksum is right, or which has none.

    Raises:
        DamagedError: its checksum is wrong; pyarrow's own errors and `OSError` besides.
    """
    with open_parquet(file) as parquet:
        table = parquet.read(columns=None if columns is None else list(columns))
        if table.num_rows != parquet.metadata.num_rows:
            raise DamagedError("its number of rows is not what its footer says")
        return table


def read_own_parquet(file: Path, columns: Sequence[str] | None = None) -> pa.Table:
    """Read a table that only vidsemi writes and reads: anything wrong with it is a `UserError`."""
    with _own(file):
        return read_parquet(file, columns)


@contextmanager
def open_own_parquet(file: Path) -> Iterator[pq.ParquetFile]:
    """Open such a table, to read it in batches."""
    with _own(file), open_parquet(file, in_batches=True) as parquet:
        yield parquet


@contextmanager
def _own(file: Path) -> Iterator[None]:
    try:
        yield
    except (pa.ArrowException, OSError, KeyError) as error:
        why = " ".join(str(error).split())
        raise UserError(
            "parquet.damaged",
            f"{file} cannot be read: {why}; delete it and stage.json beside it, and run the same command again",
        ) from None


@contextmanager
def open_parquet(file: Place | bytes, *, in_batches: bool = False) -> Iterator[pq.ParquetFile]:
    """Open a file whose checksum is right, or which has none, and which takes no undue memory; see `read_parquet`.

    By default pyarrow keeps all that it has read of the file until the end; `in_batches`: only the row group.
    """
    if not isinstance(file, Path | bytes):
        file = file.read_bytes()
    with pa.OSFile(str(file)) if isinstance(file, Path) else pa.BufferReader(file) as opened:
        # One read instead of two passes: checking a file of 40 kB takes 12 µs of processor time instead of 32.
        small = opened.size() <= (WHOLE if in_batches else WHOLE_UNBATCHED)
        stream = pa.BufferReader(opened.read_buffer()) if small else opened
        checked = is_intact(stream)
        if checked is False:
            raise DamagedError("it is damaged, its checksum does not match")
        # Reading ahead of a buffer only costs: 20 µs of a small file's 250.
        ahead = not (small or in_batches)
        with pq.ParquetFile(stream, page_checksum_verification=checked is None, pre_buffer=ahead) as parquet:
            check_expansion(parquet, stream)
            yield parquet


def is_intact(stream: pa.NativeFile | IO[bytes]) -> bool | None:
    """Whether a file has the checksum that it says; None if it says none, as files of other programs."""
    size = stream.seek(0, 2)
    stream.seek(max(size - TAIL, 0))
    start = max(size - TAIL - int.from_bytes(stream.read(4), "little"), 0)
    stream.seek(start)
    footer = stream.read()
    entry = ENTRY.search(footer)
    if entry is None:
        return False if any(key in footer for key in MARK) else None
    return f"{_checksum(stream, start + entry.start(1)):08x}".encode() == entry[1]


def is_damage(error: Exception) -> bool:
    """Whether an error of reading means that the content of a file is damaged, rather than that it cannot be read."""
    return isinstance(error, pa.ArrowException) or (isinstance(error, OSError) and error.errno is None)


def own_metadata(metadata: dict[bytes, bytes] | None) -> dict[bytes, bytes]:
    """The metadata of a file without the checksum, which differs between files that are otherwise alike."""
    return {key: value for key, value in (metadata or {}).items() if key != CHECKSUM}


def _seal(stream: IO[bytes]) -> None:
    """Put the checksum in its place."""
    size = stream.seek(-TAIL, 2)
    start = size - int.from_bytes(stream.read(4), "little")
    stream.seek(start)
    entry = ENTRY.search(stream.read())
    assert entry is not None and entry[1] == UNSEALED
    place = start + entry.start(1)
    checksum = _checksum(stream, place)
    stream.seek(place)
    stream.write(f"{checksum:08x}".encode())


def _checksum(stream: pa.NativeFile | IO[bytes], place: int) -> int:
    """CRC-32 of a file whose checksum stands at `place`, with zeros there."""
    stream.seek(0)
    read = stream.read_buffer if isinstance(stream, pa.NativeFile) else stream.read  # of a buffer it copies nothing
    checksum = 0
    for part in (place, None):
        left = part
        while block := read(BLOCK if left is None else min(left, BLOCK)):
            checksum = zlib.crc32(block, checksum)
            left = None if left is None else left - len(block)
        if part is not None:
            checksum = zlib.crc32(UNSEALED, checksum)
            stream.seek(len(UNSEALED), 1)
    return checksum
