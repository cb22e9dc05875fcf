"""Object stores: S3, Google Cloud Storage and Azure, through obstore, with the two conditions that workers need.

A request whose answer was lost is sent again, and its condition then fails because of itself. What is created or
swapped in is unlike anything else that was ever written, so reading it back tells.
"""

import json
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fnmatch import fnmatchcase
from itertools import chain
from pathlib import PurePosixPath
from typing import Any, TypeVar

from vidsemi.io.errors import UserError
from vidsemi.io.store_connection import connect
from vidsemi.io.store_faults import is_missing_bucket, lacks_conditions, lasting_fault, missing
from vidsemi.io.store_patience import Waiting

PATIENCE = 120.0  # seconds that a store may be away or throttle, as a disk may
SHORT_PATIENCE = 20.0  # of the first request, and of renewals, which come every 30 s
LARGE = 32 << 20  # bytes; a larger file is sent and read in pieces, each with its own limit of 30 s
PIECE = 8 << 20
Result = TypeVar("Result")


@dataclass(frozen=True, order=True)
class RemotePath:
    """A folder or file in an object store, with the methods of `pathlib.Path` that readers use."""

    root: str  # s3://bucket, gs://bucket, or az://account/container
    key: str  # without slashes at its ends

    @classmethod
    def parse(cls, address: str) -> "RemotePath":
        """Parse s3://bucket/folder and the like.

        Raises:
            UserError: it names no bucket.
        """
        scheme, _, rest = address.partition("://")
        scheme = scheme.lower()
        parts = [part for part in rest.split("/") if part]
        own = 2 if scheme == "az" else 1
        if len(parts) < own or any(part in (".", "..") for part in parts):
            raise UserError(
                "store.invalid_address", f"{address} is not the address of a folder such as s3://bucket/folder"
            )
        return cls(f"{scheme}://{'/'.join(parts[:own])}", "/".join(parts[own:]))

    def __truediv__(self, name: str) -> "RemotePath":
        return RemotePath(self.root, "/".join(part for part in (self.key, *name.split("/")) if part not in ("", ".")))

    def __str__(self) -> str:
        return f"{self.root}/{self.key}"

    def __fspath__(self) -> str:
        return str(self)

    @property
    def name(self) -> str:
        """The last part."""
        return self.key.rpartition("/")[2]

    @property
    def parent(self) -> "RemotePath":
        """The folder."""
        return RemotePath(self.root, self.key.rpartition("/")[0])

    @property
    def stem(self) -> str:
        """The name without its suffix."""
        return PurePosixPath(self.name).stem

    @property
    def suffix(self) -> str:
        """That of the name, such as ".csv"."""
        return PurePosixPath(self.name).suffix

    def with_suffix(self, suffix: str) -> "RemotePath":
        """The file beside it with another suffix."""
        return self.parent / PurePosixPath(self.name).with_suffix(suffix).name

    def absolute(self) -> "RemotePath":
        """Return the same place."""
        return self

    resolve = absolute

    def names(self, patience: float = PATIENCE) -> list[str]:
        """The names of the files directly in this folder; none if it does not exist."""
        return [meta["path"].rpartition("/")[2] for meta in _list(self, patience)]

    def glob(self, pattern: str) -> Iterator["RemotePath"]:
        """The files directly in this folder whose names match."""
        return (self / name for name in self.names() if fnmatchcase(name, pattern))

    def walk(self) -> dict[str, int]:
        """The sizes of all files in this folder and those in it, by name from here."""
        import obstore

        begin = len(self.key) + 1 if self.key else 0
        found = tolerant(self, lambda: [*chain.from_iterable(obstore.list(connect(self.root), self.key or None))])
        return {meta["path"][begin:]: meta["size"] for meta in found or ()}

    def exists(self, patience: float = PATIENCE) -> bool:
        """Return whether there is such a file."""
        import obstore

        return tolerant(self, lambda: obstore.head(connect(self.root), self.key), patience) is not None

    def read_bytes(self) -> bytes:
        """Read the file.

        Raises:
            FileNotFoundError: there is none.
            UserError: the store cannot be reached, or refuses.
        """
        found = read(self)
        if found is None:
            raise FileNotFoundError(2, "no such file", str(self))
        return found[0]

    def write_bytes(self, content: bytes) -> None:
        """Write the file atomically: until all of it has arrived, others see what was there before.

        Raises:
            UserError: the store cannot be reached, or refuses.
        """
        import obstore

        large = len(content) > LARGE  # its pieces are repeated one by one, by obstore
        more: Any = {"use_multipart": large, "chunk_size": PIECE}
        call = lambda: obstore.put(connect(self.root, retries=10 * large), self.key, content, **more)  # noqa: E731
        if tolerant(self, call) is None:
            raise missing(self)

    def unlink(self) -> None:
        """Remove the file if there is one."""
        import obstore

        tolerant(self, lambda: obstore.delete(connect(self.root), self.key))


class ObjectStore:
    """A folder of an object store, as a `Store`."""

    rescan_seconds = 60.0  # each is a request for every 1,000 files, by each of perhaps 1,000 workers
    wait_seconds = 10.0
    remote = True

    def __init__(self, folder: RemotePath):
        self._folder = folder

    def __str__(self) -> str:
        return str(self._folder)

    def place(self, name: str) -> RemotePath:  # noqa: D102
        return self._folder / name

    def names(self, folder: str = "") -> list[str]:  # noqa: D102
        return (self._folder / folder).names()

    def versions(self, folder: str) -> dict[str, str]:  # noqa: D102
        return {meta["path"].rpartition("/")[2]: _version(meta, self._folder) for meta in _list(self._folder / folder)}

    def exists(self, name: str) -> bool:  # noqa: D102
        return self.place(name).exists()

    def read(self, name: str, most: int = 1 << 30) -> tuple[bytes, str] | None:  # noqa: D102
        return read(self.place(name), most)

    def create(self, name: str, content: bytes) -> str | None:  # noqa: D102
        return self._conditional(name, content, "create", PATIENCE)

    def swap(self, name: str, content: bytes, version: str, keep: str | None = None) -> str | None:  # noqa: D102
        if keep is not None and (old := self.read(name)) is not None:
            self.put(f"aside/{name.rpartition('/')[2]}.{uuid.uuid4().hex[:8]}", old[0])
        return self._conditional(name, content, json.loads(version), PATIENCE)

    def renew(self, name: str, content: bytes, version: str) -> str | None:  # noqa: D102
        return self._conditional(name, content, json.loads(version), SHORT_PATIENCE)

    def put(self, name: str, content: bytes) -> None:  # noqa: D102
        self.place(name).write_bytes(content)

    def remove(self, name: str) -> None:  # noqa: D102
        self.place(name).unlink()

    def remove_folder(self, folder: str) -> None:  # noqa: D102
        for name in self.names(folder):
            self.remove(f"{folder}/{name}".lstrip("/"))

    def put_junk_aside(
        self, folder: str, known: Callable[[str], bool], pattern: str, why: str, links: bool = False
    ) -> None:
        """Do nothing: there are no links or pipes, and files with other names are ignored."""

    def clean_up(self, folder: str, pattern: str = "*") -> None:
        """Do nothing: there are no temporary files."""

    def probe(self) -> None:
        """Try the operations that workers coordinate with.

        Raises:
            UserError: the store cannot be reached or refuses, or does what a condition forbids.
        """
        name = f"probe-{uuid.uuid4().hex}"
        contents = [f"{number} {name}".encode() for number in range(4)]
        try:
            first = self._conditional(name, contents[0], "create", SHORT_PATIENCE)
            again = self._conditional(name, contents[1], "create", SHORT_PATIENCE)
            second = self._conditional(name, contents[2], json.loads(first or "{}"), SHORT_PATIENCE)
            stale = self._conditional(name, contents[3], json.loads(first or "{}"), SHORT_PATIENCE)
        finally:
            self.remove(name)
        if first is None or second is None or again is not None or stale is not None:
            raise lacks_conditions(self._folder)

    def _conditional(self, name: str, content: bytes, mode: Any, patience: float) -> str | None:
        """Put a file under a condition; returns its version, or None if the condition does not hold."""
        import obstore
        from obstore.exceptions import AlreadyExistsError, NotSupportedError, PreconditionError

        place = self.place(name)
        call = lambda: obstore.put(connect(place.root), place.key, content, mode=mode, use_multipart=False)  # noqa: E731
        try:
            done = tolerant(place, call, patience)
        except NotSupportedError:
            raise lacks_conditions(self._folder) from None
        except (AlreadyExistsError, PreconditionError):
            found = self.read(name)
            return found[1] if found is not None and found[0] == content else None
        if done is None:
            raise missing(place)
        return _version(done, place)


def read(place: RemotePath, most: int = 1 << 30) -> tuple[bytes, str] | None:
    """Return content, of at most so many bytes or else empty, and version of a file; None if there is none."""
    import obstore

    from vidsemi.io.large_objects import read_in_pieces

    def call() -> tuple[bytes, Any]:
        found = obstore.get(connect(place.root), place.key)
        return (bytes(found.bytes()) if found.meta["size"] <= min(most, LARGE) else b""), found.meta

    while (answer := tolerant(place, call)) is not None:
        content, meta = answer
        if not LARGE < meta["size"] <= most:
            return content, _version(meta, place)
        if (pieces := read_in_pieces(place, meta)) is not None:  # else another file has taken its place
            return pieces, _version(meta, place)
    return None


def _list(folder: RemotePath, patience: float = PATIENCE) -> list[Any]:
    """List the files directly in a folder."""
    import obstore

    found = tolerant(folder, lambda: obstore.list_with_delimiter(connect(folder.root), folder.key or None), patience)
    return [] if found is None else list(found["objects"])


def tolerant(place: RemotePath, call: Callable[[], Result], patience: float = PATIENCE) -> Result | None:
    """Repeat a request while the store is away or throttles; None if the file does not exist.

    Raises:
        UserError: the store does not come back, or refuses the credentials.
    """
    connect(place.root)
    from obstore import exceptions

    waiting = Waiting(place, patience)
    while True:
        try:
            return call()
        except (FileNotFoundError, exceptions.NotFoundError) as error:
            if is_missing_bucket(error):
                raise missing(place) from error
            return None
        except (exceptions.AlreadyExistsError, exceptions.PreconditionError, exceptions.NotSupportedError):
            raise
        except (exceptions.BaseError, OSError) as error:
            if (fault := lasting_fault(error, place) or waiting.fault(error)) is not None:
                raise fault from error
        waiting.sleep()


def _version(meta: Any, place: RemotePath) -> str:
    """What conditions name: on S3 the ETag alone, since listings do not tell the version of a versioned bucket."""
    names = ("e_tag",) if place.root.startswith("s3://") else ("e_tag", "version")
    return json.dumps({name: meta[name] for name in names if meta[name] is not None})
