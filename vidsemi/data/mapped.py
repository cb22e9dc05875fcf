"""Copies of large manifests that all processes map into memory, so that each holds only the rows that it touches.

A copy is an Arrow IPC file, followed by a record of its fingerprint and of the checksum of each batch, which is checked
before the batch is first used. Copies lie in a folder that only this user can write, not beside the manifests: Arrow
trusts the offsets in a file, and a mapped file on a network disk can vanish.
"""

import errno
import hashlib
import json
import logging
import mmap
import os
import time
import zlib
from contextlib import suppress
from pathlib import Path
from typing import Any

import pyarrow as pa

import vidsemi
from vidsemi.data.batches import Batches, TableBatches, in_groups
from vidsemi.data.manifest_file import read_batches
from vidsemi.io.download import cache_folder
from vidsemi.io.errors import UserError
from vidsemi.io.files import atomic_path, fingerprint_file, only_process, remove_temporary
from vidsemi.io.parquet import DamagedError

logger = logging.getLogger("vidsemi")

LARGE = 1 << 22  # bytes; a smaller manifest takes at most some 100 MB of memory, and is held there
MAGIC = b"vidsemi1"  # with the version of the format, and of the rules by which rows are read
BLOCK = 1 << 20
ROWS = 1 << 14  # of a batch; its 1.5 MB are read for the checksum when its first row is, which may be the only one
RELEASED = 1 << 26  # bytes of batches after which their pages are unmapped, so that not all count as this process's
SETTLED = 2.0  # seconds after which a change to a file shows in its times, on any file system
WAIT = 3600.0  # seconds to wait for the copy that another process makes
STALE = 3600.0  # seconds without a write after which the temporary file of a killed process is removed
UNUSED = 14 * 86_400.0  # and a copy that nobody has opened
OUTDATED = 86_400.0  # and one of a manifest that has changed or is gone; less could take it from a process that runs


class MappedBatches(Batches):
    """The copy of a manifest.

    Raises:
        DamagedError: the copy is not as it was written. One that turns out to be damaged later is made again.
    """

    def __init__(self, manifest: Path, copy: Path):
        self.manifest, self.copy = manifest, copy
        self._file = open(copy, "rb", buffering=0)  # noqa: SIM115  # as long as the map
        record = _read_record(self._file.fileno())
        self.fingerprint: str = record["fingerprint"]
        *self._places, footer = record["places"]
        self._require(*footer)
        self._content = mmap.mmap(self._file.fileno(), 0, access=mmap.ACCESS_READ)
        options = pa.ipc.IpcReadOptions(use_threads=False)  # nothing is copied; and forks have no threads
        self._reader = pa.ipc.open_file(pa.py_buffer(self._content).slice(0, footer[1]), options=options)
        self._touched = 0  # bytes of batches that may be in memory
        self._checked: set[int] = set()
        self._last: tuple[int, Any] = (-1, None)
        super().__init__(self._reader.schema, record["rows"])
        with suppress(OSError):
            os.utime(copy)  # it is in use

    def __reduce__(self) -> Any:
        return _in_another_process, (self.manifest, self.copy, self.fingerprint)

    def get(self, number: int) -> pa.RecordBatch:
        """One batch; a `UserError` if it is damaged and the manifest has changed."""
        last, batch = self._last
        if last != number:
            if number not in self._checked:
                try:
                    self._require(*self._places[number])
                except DamagedError as error:
                    self._make_again(error)
                self._checked.add(number)
            self._release(number)
            batch = self._reader.get_batch(number)
            self._last = number, batch
        return batch

    def _release(self, number: int) -> None:
        """Unmap the pages of earlier batches once there are many.

        They stay in the kernel's cache, from which rows that are still in use are mapped again.
        """
        start, end, _ = self._places[number]
        if self._touched + end - start > RELEASED:
            self._content.madvise(mmap.MADV_DONTNEED)
            self._touched = 0
        self._touched += end - start

    def _require(self, start: int, end: int, expected: int) -> None:
        if _checksum(self._file.fileno(), start, end) != expected:
            raise DamagedError("its checksum does not match")

    def _make_again(self, error: DamagedError) -> None:
        _discard(self.copy, error)
        made, fingerprint = map_batches(self.manifest)
        if not isinstance(made, MappedBatches) or fingerprint != self.fingerprint:
            raise _changed(self.manifest)
        vars(self).update(vars(made))


def hold_batches(manifest: Path) -> tuple[Batches, str]:
    """Read a manifest into memory; with the SHA-256 of the file."""
    return TableBatches(pa.Table.from_batches(read_batches(manifest))), fingerprint_file(manifest)


def read_manifest(manifest: Path) -> tuple[Batches, str]:
    """Read a manifest, or map its copy if it is large; with the SHA-256 of the file."""
    return (map_batches if manifest.stat().st_size > LARGE else hold_batches)(manifest)


def map_batches(manifest: Path) -> tuple[Batches, str]:
    """Map the copy of a manifest, which is made if there is none; with the SHA-256 of the file.

    Several processes may start at once: one makes the copy, the others wait. Where none can be made, the rows are held
    in memory.
    """
    try:
        copy = _folder() / f"{_key(manifest)}.arrow"
        mapped = _open(manifest, copy) or _make(manifest, copy)
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        logger.warning(
            "%s: each process holds its rows in memory, since no copy to share can be made (%s%s); set FVCORE_CACHE to "
            "another folder",
            manifest,
            where,
            error.strerror or error,
        )
        return hold_batches(manifest)
    return mapped, mapped.fingerprint


def temporary_folder() -> Path | None:
    """A folder for large temporary files: that of copies; None if others could write there, or this user cannot."""
    try:
        return _folder()
    except OSError:  # users see why where a manifest is copied
        return None


def _folder() -> Path:
    """This user's folder of copies; an `OSError` if others could write there."""
    try:
        folder = cache_folder() / f"manifests-{os.getuid()}"
    except RuntimeError as error:  # a user without a home
        raise FileNotFoundError(errno.ENOENT, str(error)) from None
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    state = folder.stat()
    if state.st_uid != os.getuid() or state.st_mode & 0o022:
        raise PermissionError(errno.EPERM, f"other users can write to {folder}")
    return folder


def _key(manifest: Path) -> str:
    """What a copy depends on. The change time is that of the content too, and unlike the others nobody can set it."""
    state = os.stat(manifest)
    what = [vidsemi.__version__, os.path.realpath(manifest), state.st_size, state.st_mtime_ns, state.st_ctime_ns]
    return hashlib.sha256(json.dumps(what).encode()).hexdigest()[:32]


def _in_another_process(manifest: Path, copy: Path, fingerprint: str) -> Batches:
    """What another process has mapped; a `UserError` if the manifest has changed since."""
    mapped = _open(manifest, copy)
    if mapped is not None and mapped.fingerprint == fingerprint:
        return mapped
    batches, found = map_batches(manifest)
    if found != fingerprint:
        raise _changed(manifest)
    return batches


def _changed(manifest: Path) -> UserError:
    return UserError("manifest.changed", f"{manifest} has changed since it was read; run the same command again")


def _open(manifest: Path, copy: Path) -> MappedBatches | None:
    """The copy, if there is an intact one."""
    try:
        return MappedBatches(manifest, copy)
    except FileNotFoundError:
        return None
    except DamagedError as error:
        _discard(copy, error)
        return None


def _discard(copy: Path, error: DamagedError) -> None:
    logger.warning("%s is damaged (%s) and is made again", copy, error)
    copy.unlink(missing_ok=True)


def _make(manifest: Path, copy: Path) -> MappedBatches:
    with only_process(copy, WAIT):
        if mapped := _open(manifest, copy):  # another process has made it
            return mapped
        _clean(copy.parent)
        logger.info("%s: copying its rows, once, to %s", manifest, copy)
        _write(manifest, copy)
        return MappedBatches(manifest, copy)


def _clean(folder: Path) -> None:
    remove_temporary(folder, STALE)
    for copy in folder.glob("*.arrow"):
        with suppress(OSError, DamagedError):
            age = time.time() - copy.stat().st_mtime
            if age > UNUSED or (age > OUTDATED and not _is_current(copy)):
                copy.unlink()


def _is_current(copy: Path) -> bool:
    """Whether the manifest is still there and as it was."""
    with open(copy, "rb") as file, suppress(OSError):
        return _key(Path(_read_record(file.fileno()).get("manifest", ""))) == copy.stem
    return False


def _write(manifest: Path, copy: Path) -> None:
    key = _key(manifest)
    record: dict[str, Any] = {"manifest": os.path.realpath(manifest), "fingerprint": fingerprint_file(manifest)}
    record["rows"] = []
    tables = (pa.Table.from_batches([batch]) for batch in read_batches(manifest))
    with atomic_path(copy) as temporary, open(temporary, "wb+") as file:
        ends, writer = [], None
        for table in in_groups(tables, ROWS):
            writer = writer or pa.ipc.new_file(pa.PythonFile(file, mode="w"), table.schema)
            for batch in table.to_batches():
                writer.write_batch(batch)
                record["rows"].append(batch.num_rows)
                ends.append(file.tell())
        assert writer is not None  # a manifest without examples is refused
        writer.close()
        ends.append(file.tell())
        file.flush()
        places = zip([0, *ends], ends, strict=False)  # of the batches, and of the footer
        record["places"] = [(start, end, _checksum(file.fileno(), start, end)) for start, end in places]
        text = json.dumps(record).encode()
        file.write(text + zlib.crc32(text).to_bytes(4, "little") + len(text).to_bytes(4, "little") + MAGIC)
        # A later change must not leave size and times as they are.
        age = time.time() - os.stat(manifest).st_ctime
        time.sleep(min(max(SETTLED - age, 0.0), SETTLED))
        if _key(manifest) != key:
            raise _changed(manifest)


def _read_record(file: int) -> dict[str, Any]:
    size = os.fstat(file).st_size
    tail = os.pread(file, 16, max(size - 16, 0))
    length = int.from_bytes(tail[4:8], "little")
    if tail[8:] != MAGIC or length > size - 16:
        raise DamagedError("its end is missing")
    text = os.pread(file, length, size - 16 - length)
    if zlib.crc32(text) != int.from_bytes(tail[:4], "little"):
        raise DamagedError("its record is damaged")
    record: dict[str, Any] = json.loads(text)
    return record


def _checksum(file: int, start: int, end: int) -> int:
    """CRC-32 of a part of a file; read rather than mapped, so that it takes no memory."""
    checksum = 0
    while start < end:
        block = os.pread(file, min(end - start, BLOCK), start)
        if not block:
            raise DamagedError("it is cut off")
        checksum = zlib.crc32(block, checksum)
        start += len(block)
    return checksum
