"""Files in object stores, read by ranges: a small file with one request, of a large one what is needed."""

import io
import math
import os
import tempfile
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO, TYPE_CHECKING, Any

from vidsemi.io.errors import FATAL, REFUSED, DecodeError, UserError
from vidsemi.io.object_store import SHORT_PATIENCE, RemotePath, tolerant
from vidsemi.io.store_connection import connect
from vidsemi.io.store_faults import reason, status_of

if TYPE_CHECKING:
    from obstore import ObjectMeta

FIRST = 4 << 20  # bytes of the first request, the whole of most clips
LEAST, MOST = 256 << 10, 8 << 20  # bytes of others: LEAST after a jump, then twice as many each time, up to MOST
BLOCK = 1 << 20
KEPT = 32 << 20  # bytes to keep in memory; more than these are kept in a temporary file


class RemoteFile:
    """A file in an object store, or a range of one; bytes that were read are kept, since videos are read several times.

    The first bytes are requested at once, others when they are read. All are of one version of the file.

    Args:
        address: of the file.
        offset: first byte of the range.
        size: of the range; by default it ends with the file.

    Raises:
        DecodeError: the file does not exist, or the store cannot be reached or refuses.
    """

    def __init__(self, address: str, offset: int = 0, size: int | None = None):
        self.path = address
        self._place = _parse(address)
        self._pieces: OrderedDict[int, memoryview] = OrderedDict()  # by their first byte; those used last come last
        self._aside: dict[int, int] = {}  # sizes of others, by their first byte, which are there in a temporary file
        self._file: IO[bytes] | None = None
        self._e_tag: str | None = None
        meta = self._request(offset, offset + (FIRST if size is None else min(size, FIRST)))
        self.size: int = meta["size"]  # of the whole file
        self.version = meta["e_tag"] or str(meta["last_modified"])
        self._e_tag = meta["e_tag"]
        self._end = self.size if size is None else min(offset + size, self.size)

    def open(self, offset: int = 0, size: int | None = None, name: str = "") -> "RemoteReader":
        """The file, or a range of it, as a binary file."""
        return RemoteReader(self, offset, self.size - offset if size is None else size, name)

    def read(self, begin: int, size: int) -> bytes:
        """Read bytes of the file, perhaps fewer than asked for; none only at its end.

        Raises:
            DecodeError: the store cannot be reached or refuses, or the file is not there any more or is another.
        """
        if size <= 0 or begin >= self.size:
            return b""
        if (piece := self._piece(begin)) is None:
            known = self._aside | {first: len(content) for first, content in self._pieces.items()}
            before = next((length for first, length in known.items() if first + length == begin), 0)
            limit = self._end if begin < self._end else self.size  # not what follows a member of a tar
            later = min((first for first in known if first > begin), default=math.inf)
            size_now = MOST if before and later - begin <= MOST else min(max(2 * before, LEAST), MOST)
            self._request(begin, int(min(begin + size_now, limit, later)))
            piece = self._piece(begin)
            assert piece is not None
        first, content = piece
        return bytes(content[begin - first : begin - first + size])

    def _piece(self, place: int) -> tuple[int, memoryview] | None:
        for first, content in self._pieces.items():
            if first <= place < first + len(content):
                self._pieces.move_to_end(first)
                return first, content
        for first, length in self._aside.items():
            if first <= place < first + length and self._file is not None:
                return place, memoryview(os.pread(self._file.fileno(), min(first + length - place, BLOCK), place))
        return None

    def _put_aside(self, first: int, content: memoryview) -> None:
        """Keep a piece in a temporary file, if there is room: most videos of that size are read several times."""
        try:
            self._file = self._file or tempfile.TemporaryFile()  # noqa: SIM115
            if os.pwrite(self._file.fileno(), content, first) == len(content):
                self._aside[first] = len(content)
        except OSError:  # it is requested again
            pass

    def _request(self, begin: int, end: int) -> "ObjectMeta":
        """Get bytes and keep them."""
        with _decode_errors(self.path):
            found = _read_range(self._place, begin, end, self._e_tag)
        if found is None:
            raise DecodeError("file.not_served", self.path, "there is no such file in the bucket")
        content, meta = found
        if content:
            self._pieces[begin] = memoryview(content)
            while sum(map(len, self._pieces.values())) > KEPT and len(self._pieces) > 1:
                self._put_aside(*self._pieces.popitem(last=False))
        return meta


class RemoteReader(io.RawIOBase):
    """A `RemoteFile`, or a range of it, as a binary file for libraries; `failure` is the first error of reading.

    Libraries may take an error of reading for the end of the file or for damage.
    """

    def __init__(self, file: RemoteFile, offset: int, size: int, name: str = ""):
        self._file, self._offset, self._size, self._at = file, offset, size, 0
        self.name = name or file.path
        self.failure: BaseException | None = None

    def readable(self) -> bool:  # noqa: D102
        return True

    def seekable(self) -> bool:  # noqa: D102
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:  # noqa: D102
        self._at = max(offset + {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._size}[whence], 0)
        return self._at

    def tell(self) -> int:  # noqa: D102
        return self._at

    def readinto(self, buffer: Any) -> int:  # noqa: D102
        view = memoryview(buffer).cast("B")
        content = self._some(len(view))
        view[: len(content)] = content
        return len(content)

    def read(self, size: int | None = -1) -> bytes:
        """Read as many bytes as asked for, fewer only at the end."""
        left = self._size - self._at if size is None or size < 0 else size
        parts = []
        while left > 0 and (content := self._some(left)):
            parts.append(content)
            left -= len(content)
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def _some(self, size: int) -> bytes:
        try:
            content = self._file.read(self._offset + self._at, min(size, self._size - self._at))
        except BaseException as error:
            self.failure = self.failure or error
            raise
        self._at += len(content)
        return content


def _read_range(
    place: RemotePath, begin: int, end: int, e_tag: str | None = None
) -> tuple[bytes | memoryview, "ObjectMeta"] | None:
    """Return bytes [begin, end) of a file, as far as there are any, and what the store says of it; None if it is gone.

    Raises:
        UserError: the store cannot be reached, or refuses.
        obstore.exceptions.PreconditionError: the file is not the one with that ETag.
    """
    import obstore
    from obstore.exceptions import GenericError

    def call() -> tuple[bytes | memoryview, "ObjectMeta"]:
        options: Any = {"range": (begin, end)} | ({} if e_tag is None else {"if_match": e_tag})
        try:
            found = obstore.get(connect(place.root), place.key, options=options)
        except GenericError as error:
            if status_of(error) != "416":  # the file ends before the range, or is empty
                raise
            return b"", obstore.head(connect(place.root), place.key)
        content = memoryview(found.bytes())
        if len(content) != found.range[1] - found.range[0]:
            raise OSError("the answer is cut off")
        return content, found.meta

    return tolerant(place, call, SHORT_PATIENCE)


def _parse(address: str) -> RemotePath:
    try:
        return RemotePath.parse(address)
    except UserError as error:
        raise DecodeError("file.unreadable", address, str(error)) from None


@contextmanager
def _decode_errors(address: str) -> Iterator[None]:
    """Convert errors of a store to a `DecodeError`."""
    try:
        yield
    except UserError as error:
        if error.code in (*REFUSED, *FATAL):
            raise DecodeError(error.code, address, str(error)) from None
        why = reason(error.__cause__) if isinstance(error.__cause__, Exception) else str(error)
        raise DecodeError("file.not_downloaded", address, why) from None
    except Exception as error:  # obstore's PreconditionError
        raise DecodeError("file.unreadable", address, f"changed while it was read ({reason(error)})") from None


def names_in(folder: str) -> list[str]:
    """The names of the files in a folder of a store; raises a `DecodeError` if there are none, or as `RemoteFile`."""
    place = _parse(folder)
    with _decode_errors(folder):
        names = place.names(SHORT_PATIENCE)
    if not names:
        raise DecodeError("file.not_served", folder, "there is no such folder in the bucket")
    return names


def is_reachable(address: str, folder: bool, patience: float) -> bool:
    """Whether a file or folder in a store is there and may be read; the store may be away for so many seconds."""
    try:
        place = RemotePath.parse(address)
        return bool(place.names(patience)) if folder else place.exists(patience)
    except UserError:
        return False
