"""Stores: where the files of a job with many workers are kept, a local directory or a folder of an object store.

Workers coordinate with two operations that only one of several processes can win: create a file unless it exists, and
replace a file if it is still as it was read. Everything else overwrites with equal bytes.
"""

import hashlib
import os
import re
import shutil
import stat
import uuid
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, TypeAlias, TypeVar, Union

from vidsemi.io.files import create_exclusive, is_regular, put_aside, read_regular, remove_temporary, write_bytes

if TYPE_CHECKING:
    from vidsemi.io.object_store import RemotePath

SCHEMES = ("s3", "gs", "az")
MAX_BYTES = 1 << 30  # of a file that is read
MAX_SWAPPED = 1 << 20
REQUESTS = 16  # to a server at a time

Item = TypeVar("Item")
Result = TypeVar("Result")
Place: TypeAlias = Union[Path, "RemotePath"]


class Store(Protocol):
    """A directory of files, by names such as "failures/part-000000.parquet". `str` gives its path or address.

    A version is a text that differs whenever the content of a file does.
    """

    rescan_seconds: float  # between two listings by one worker
    wait_seconds: float  # between two looks when only others have work
    remote: bool  # requests take long, and there may be a thousand workers

    def place(self, name: str) -> Place:
        """Return where a file is, for reading and for messages."""
        ...

    def names(self, folder: str = "") -> list[str]:
        """List the names directly in a folder; an empty list if it does not exist."""
        ...

    def versions(self, folder: str) -> dict[str, str]:
        """Return the versions of the files directly in a folder, by name in that folder."""
        ...

    def exists(self, name: str) -> bool:
        """Return whether there is such a file."""
        ...

    def read(self, name: str, most: int = MAX_BYTES) -> tuple[bytes, str] | None:
        """Return content and version; None if there is no such file. The content is empty if it cannot be read."""
        ...

    def create(self, name: str, content: bytes) -> str | None:
        """Create a file and return its version; None if it exists. Of several processes one succeeds."""
        ...

    def swap(self, name: str, content: bytes, version: str, keep: str | None = None) -> str | None:
        """Replace a file if it has this version; returns the new version, or None. Of several processes one succeeds.

        With `keep`, words on what is wrong with the old file, that is put aside.
        """
        ...

    def renew(self, name: str, content: bytes, version: str) -> str | None:
        """Do what `swap` does, for who wrote that version: at no moment is there no file."""
        ...

    def put(self, name: str, content: bytes) -> None:
        """Write a file atomically, whether it exists or not."""
        ...

    def remove(self, name: str) -> None:
        """Remove a file if there is one."""
        ...

    def remove_folder(self, folder: str) -> None:
        """Remove a folder and all in it."""
        ...

    def put_junk_aside(
        self, folder: str, known: Callable[[str], bool], pattern: str, why: str, links: bool = False
    ) -> None:
        """Put aside what matches the pattern but is not a file or not known, and with `links` symbolic links."""
        ...

    def clean_up(self, folder: str, pattern: str = "*") -> None:
        """Remove what killed processes left of files whose names match a pattern."""
        ...


class LocalStore:
    """A directory, perhaps on a network file system. Nothing but exclusive creation and renaming is needed of it."""

    rescan_seconds = 10.0
    wait_seconds = 1.0
    remote = False

    def __init__(self, folder: Path):
        self._folder = folder

    def __str__(self) -> str:
        return str(self._folder)

    def place(self, name: str) -> Path:  # noqa: D102
        return self._folder / name

    def names(self, folder: str = "") -> list[str]:  # noqa: D102
        try:
            return os.listdir(self._folder / folder)
        except (FileNotFoundError, NotADirectoryError):
            return []

    def versions(self, folder: str) -> dict[str, str]:  # noqa: D102
        names = [name for name in self.names(folder) if not name.startswith(".")]
        found = {name: self.read(f"{folder}/{name}", MAX_SWAPPED) for name in names}
        return {name: read[1] for name, read in found.items() if read is not None}

    def exists(self, name: str) -> bool:  # noqa: D102
        return (self._folder / name).exists()

    def read(self, name: str, most: int = MAX_BYTES) -> tuple[bytes, str] | None:  # noqa: D102
        try:
            content = read_regular(self._folder / name, most)
        except FileNotFoundError:
            return None
        except OSError:
            if not os.path.lexists(self._folder / name):  # another machine replaced it just now (ESTALE)
                return None
            return b"", "unreadable"
        return content, _version(content)

    def create(self, name: str, content: bytes) -> str | None:  # noqa: D102
        return _version(content) if create_exclusive(self._folder / name, content.decode()) else None

    def swap(self, name: str, content: bytes, version: str, keep: str | None = None) -> str | None:  # noqa: D102
        file = self._folder / name
        found = self.read(name, MAX_SWAPPED)
        if found is None or found[1] != version:
            return None
        aside = file.with_name(f".{file.name}.{uuid.uuid4().hex}.tmp")
        with suppress(FileNotFoundError):
            os.rename(file, aside)
            created = None
            moved = self.read(str(aside.relative_to(self._folder)), MAX_SWAPPED)
            if moved is not None and moved[1] == version:
                created = self.create(name, content)
                if keep is not None:
                    put_aside(aside, self._folder / "aside", keep, name=file.name)
            else:  # another process was faster, and this is its file
                with suppress(OSError):
                    os.link(aside, file)
            aside.unlink(missing_ok=True)
            return created
        return None

    def renew(self, name: str, content: bytes, version: str) -> str | None:  # noqa: D102
        found = self.read(name, MAX_SWAPPED)
        if found is None or found[1] != version:
            return None
        # If another took over since that look, this one has it again, and the other sees that it lost.
        write_bytes(self._folder / name, content)
        return _version(content)

    def put(self, name: str, content: bytes) -> None:  # noqa: D102
        write_bytes(self._folder / name, content)

    def remove(self, name: str) -> None:  # noqa: D102
        (self._folder / name).unlink(missing_ok=True)

    def remove_folder(self, folder: str) -> None:  # noqa: D102
        shutil.rmtree(self._folder / folder, ignore_errors=True)

    def put_junk_aside(  # noqa: D102
        self, folder: str, known: Callable[[str], bool], pattern: str, why: str, links: bool = False
    ) -> None:
        place = self._folder / folder
        if os.path.lexists(place) and not place.is_dir():
            put_aside(place, self._folder / "aside", "is not a folder")
        for name in self.names(folder):
            file = place / name
            if name.startswith(".") or not re.match(pattern, name):
                continue
            if not (known(name) and is_regular(file)) or (links and file.is_symlink()):
                self._put_aside(file, known(name), why)

    def _put_aside(self, file: Path, known: bool, why: str) -> None:
        aside = put_aside(file, self._folder / "aside", why)
        if aside is not None and known and _is_file(aside):  # another process was faster, and this is its file
            with suppress(OSError):
                os.link(aside, file)
            aside.unlink(missing_ok=True)

    def clean_up(self, folder: str, pattern: str = "*") -> None:  # noqa: D102
        with suppress(FileNotFoundError):  # another process has removed the folder
            remove_temporary(self._folder / folder, names=pattern)


def _version(content: bytes) -> str:
    return hashlib.blake2b(content, digest_size=16).hexdigest()


def _is_file(path: Path) -> bool:
    try:
        return stat.S_ISREG(os.lstat(path).st_mode)
    except OSError:
        return False


def shard_name(number: int) -> str:
    """Return the name of the file of a shard."""
    return f"part-{number:06d}.parquet"


def shard_numbers(names: Iterable[str]) -> set[int]:
    """Return the numbers of the shards that have one of these files; other names are ignored."""
    return {int(match[1]) for name in names if (match := re.fullmatch(r"part-(\d{6,})\.parquet", name))}


def read_many(read: Callable[[Item], Result], items: Sequence[Item], *, remote: bool) -> Iterator[Result]:
    """Apply a function that reads a file to many, in order: those of a server several at a time, since it is far."""
    if not remote:
        yield from map(read, items)
        return
    with ThreadPoolExecutor(REQUESTS) as pool:
        for start in range(0, len(items), 64 * REQUESTS):  # few at a time, or an interrupt would wait for all
            yield from pool.map(read, items[start : start + 64 * REQUESTS])


def is_remote(location: str) -> bool:
    """Whether a text is the address of a folder in an object store."""
    scheme, separator, _ = location.partition("://")
    return bool(separator) and scheme.lower() in SCHEMES


def parse_place(location: str) -> Place:
    """Return a path, or the place in an object store that an address names."""
    if not is_remote(location):
        return Path(location)
    from vidsemi.io.object_store import RemotePath

    return RemotePath.parse(location)


def open_store(place: Place) -> Store:
    """Open the store at a place; one that is not a local directory is tried first.

    Raises:
        UserError: it cannot be reached, or lacks an operation that workers coordinate with.
    """
    if isinstance(place, Path):
        return LocalStore(place)
    from vidsemi.io.object_store import ObjectStore

    store = ObjectStore(place)
    store.probe()
    return store
