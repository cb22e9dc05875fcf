"""Downloads https://…, s3://… and other addresses into iopath's cache."""

import hashlib
import multiprocessing
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from threading import RLock
from typing import IO, TYPE_CHECKING, Any
from urllib.error import HTTPError
from urllib.parse import urlsplit

from vidsemi.io.errors import DecodeError, UserError
from vidsemi.io.files import atomic_path, only_process, remove_temporary
from vidsemi.io.progress import SECONDS, progress_bar
from vidsemi.io.store import Place, is_remote, parse_place
from vidsemi.io.tables import printable

if TYPE_CHECKING:
    from vidsemi.io.object_store import RemotePath
    from vidsemi.io.remote_file import RemoteFile

WEB = ("http://", "https://", "ftp://")
MAX_BYTES = 1 << 34  # 16 GiB, of a download
MAX_SECONDS = 3600.0  # that a download may take
STALL_SECONDS = 60.0  # without a byte
STALE_SECONDS = 86_400.0  # age from which the temporary file of a killed process is removed
CHUNK = 1 << 20
MEGABYTE = 1_000_000
MAX_NAME = 200  # bytes of a file name


class AddressError(Exception):
    """An address cannot be fetched; the message is one line. `answered`: its server says that there is no such file."""

    def __init__(self, message: str, answered: bool = False):
        super().__init__(message)
        self.answered = answered


class CacheError(AddressError):
    """The cache cannot be written, so that no address can be fetched."""


def is_address(path: str) -> bool:
    """Whether a path is an address rather than a local file."""
    return "://" in path


def fetch(uri: str) -> str:
    """Download the file at an address, and return its path in the cache.

    Each web address has its own folder in the cache, and no address can escape it. A download has limits of size and
    time, and leaves nothing behind if it fails or its process is killed.

    Raises:
        AddressError: it cannot be fetched; a `CacheError` if the cache cannot be written.
    """
    scheme, _, rest = uri.partition("://")
    uri = f"{scheme.lower()}://{rest}"
    if ".." in urlsplit(uri).path.split("/") or not uri.isprintable():
        raise AddressError("addresses with .. or unprintable characters are refused")
    folder = cache_folder()
    try:
        if uri.startswith(WEB):
            return str(_fetch_web(uri, folder))
        if is_remote(uri):
            return str(_fetch_object(uri))
        require_writable(folder)
        path = _path_manager().get_local_path(uri)
    except AddressError:
        raise
    except Exception as error:  # handlers raise the errors of their transport
        answered = isinstance(error, HTTPError) and error.code < 500
        raise AddressError(str(error) or type(error).__name__, answered) from None
    if path == uri:
        raise AddressError("this kind of address cannot be opened here")
    return str(path)


def _fetch_object(uri: str) -> Path:
    try:
        return local_copy(parse_place(uri))
    except FileNotFoundError:
        raise AddressError("there is no such file in the bucket", answered=True) from None
    except UserError as error:
        raise AddressError(str(error)) from None


def local_copy(place: Place) -> Path:
    """A file as a local one: itself, or of an object store its present version, downloaded unless it was before.

    Raises:
        FileNotFoundError: it does not exist in the store.
        CacheError: the cache cannot be written.
        UserError: the store cannot be reached, or refuses.
    """
    if isinstance(place, Path):
        return place
    from vidsemi.io.remote_file import RemoteFile

    with _store_errors(place):
        remote = RemoteFile(str(place))
        version = hashlib.sha256(f"{place} {remote.size} {remote.version}".encode()).hexdigest()[:32]
        file = cache_folder() / version / place.name
        if not file.is_file():
            require_writable(file.parent)
            _copy(remote, file)
    return file


def download(place: "RemotePath", file: Path) -> None:
    """Copy a file of an object store, a small one with one request.

    Raises:
        FileNotFoundError: it does not exist.
        UserError: the store cannot be reached, or refuses.
    """
    from vidsemi.io.remote_file import RemoteFile

    with _store_errors(place):
        _copy(RemoteFile(str(place)), file)


def _copy(remote: "RemoteFile", file: Path) -> None:
    with remote.open() as source, atomic_path(file) as temporary, open(temporary, "wb") as target:
        shutil.copyfileobj(source, target, CHUNK)


@contextmanager
def _store_errors(place: "RemotePath") -> Iterator[None]:
    """Convert the errors of a `RemoteFile`."""
    try:
        yield
    except DecodeError as error:
        if error.code == "file.not_served":
            raise FileNotFoundError(2, "no such file", str(place)) from None
        if error.code.startswith("store."):
            raise UserError(error.code, error.reason) from None
        raise UserError("store.unreachable", f"{place} cannot be read: {error.reason}") from None


def cache_folder() -> Path:
    """Our folder in iopath's cache, which `FVCORE_CACHE` names."""
    return Path(os.getenv("FVCORE_CACHE") or "~/.torch/iopath_cache").expanduser() / "vidsemi"


def require_writable(folder: Path) -> None:
    """Raise a `CacheError` unless a folder of the cache can be written.

    iopath would take a folder that all users of the machine share instead, where others can replace files.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise CacheError(
            f"the cache of downloads {folder} cannot be written ({error.strerror}); set FVCORE_CACHE to another folder"
        ) from None


def _fetch_web(uri: str, folder: Path) -> Path:
    """Download a web address unless it is in the cache."""
    name = uri.rpartition("/")[2]
    name = name if 0 < len(name.encode()) <= MAX_NAME else "file"
    file = folder / hashlib.sha256(uri.encode()).hexdigest()[:32] / name
    if file.is_file():
        return file
    require_writable(file.parent)
    with only_process(file, MAX_SECONDS) as alone:
        if not alone:
            raise AddressError(f"another process has been downloading it for {MAX_SECONDS:g} s")
        if not file.is_file():
            remove_temporary(file.parent, STALE_SECONDS)
            with tempfile.TemporaryFile(dir=file.parent) as content:  # without a name: a killed process leaves nothing
                _download(uri, content)
                content.seek(0)
                with atomic_path(file) as temporary, open(temporary, "wb") as target:
                    shutil.copyfileobj(content, target, CHUNK)
    return file


def _download(uri: str, content: IO[bytes]) -> None:
    """Write what a web address serves to a file."""
    from urllib.request import urlopen

    end, received = time.monotonic() + MAX_SECONDS, 0
    with urlopen(uri, timeout=STALL_SECONDS) as response:
        length = response.headers.get("Content-Length", "")
        announced = int(length) if length.isdecimal() else None
        with _progress(uri, announced) as show:
            while received <= MAX_BYTES >= (announced or 0):
                block = response.read1(CHUNK) if hasattr(response, "read1") else response.read(CHUNK)
                if not block:
                    break
                received += content.write(block)
                show(received)
                if time.monotonic() > end:
                    raise AddressError(f"it takes longer than {MAX_SECONDS:g} s ({received} bytes until then)")
    if max(received, announced or 0) > MAX_BYTES:
        raise AddressError(f"it is larger than {MAX_BYTES} bytes")
    if announced is not None and received < announced:
        raise AddressError(f"the connection ended after {received} of {announced} bytes")
    if received == 0:
        raise AddressError("it is empty")


@contextmanager
def _progress(uri: str, size: int | None) -> Iterator[Callable[[int], Any]]:
    """A function that shows how many bytes were received, where it takes long; not in the readers of a job."""
    if multiprocessing.parent_process() is not None:
        yield lambda received: None
        return
    name = printable(uri.rpartition("/")[2][:MAX_NAME])
    with progress_bar((size or 0) // MEGABYTE, "megabyte", f"download {name}", delay=SECONDS) as bar:
        yield lambda received: bar.update(received // MEGABYTE - bar.n)


def check_address(uri: str, seconds: float) -> None:
    """Ask whether the file at an address is there, whatever the cache holds.

    Raises:
        AddressError: it is not, or its server does not answer within so many seconds.
    """
    from urllib.request import urlopen

    try:
        if uri.lower().startswith(WEB):
            with urlopen(uri, timeout=seconds):
                return
        there = _path_manager().exists(uri)
    except Exception as error:
        raise AddressError(str(error) or type(error).__name__) from None
    if not there:
        raise AddressError("not found")


@cache
def _path_manager() -> Any:
    from iopath.common.file_io import PathManager
    from tqdm import tqdm

    tqdm.set_lock(RLock())  # the default lock is a semaphore, which a killed worker would leak
    return PathManager()
