"""A manifest row → where its bytes are on this machine."""

import hashlib
import os
from contextlib import suppress
from functools import cache
from threading import RLock
from typing import Any
from urllib.parse import urlsplit

from vidsemi.corpus.manifest import Row
from vidsemi.errors import DecodeError
from vidsemi.media.container import Source

WEB = ("http://", "https://", "ftp://")


def locate(row: Row) -> Source:
    """The file of an example; a URI is fetched into iopath's cache first.

    Raises:
        DecodeError: it cannot be fetched, or a member is not inside its tar.
    """
    path = _fetch(row.path) if "://" in row.path else row.path
    if row.member is None:
        return Source(path)
    if row.offset is None or row.size is None:
        raise DecodeError(path, f"the manifest gives no offset and size for the member {row.member}")
    try:
        inside = row.offset >= 0 and row.size > 0 and row.offset + row.size <= os.path.getsize(path)
    except OSError as error:
        raise DecodeError(path, error.strerror or str(error)) from None
    if not inside:
        raise DecodeError(path, f"ends before byte {row.offset} + {row.size}, where the member {row.member} should")
    return Source(path, row.offset, row.size)


def read_bytes(source: Source, first: int | None = None) -> bytes:
    """The first bytes of a source, or all of them, for small files.

    Raises:
        DecodeError: it cannot be read.
    """
    try:
        with open(source.path, "rb") as file:
            file.seek(source.offset or 0)
            return file.read(min((limit for limit in (first, source.size) if limit is not None), default=-1))
    except OSError as error:
        raise DecodeError(source.path, error.strerror or str(error)) from None


def _fetch(uri: str) -> str:
    """A local copy of a URI. Every web address has a folder of its own in the cache, and none can lead out of it."""
    from iopath.common.file_io import get_cache_dir

    if ".." in urlsplit(uri).path.split("/") or not uri.isprintable():
        raise DecodeError(uri, "an address with .. or unprintable characters in it is not followed")
    folder = os.path.join(get_cache_dir(), "vidsemi")
    if uri.startswith(WEB):
        cache = {"cache_dir": os.path.join(folder, hashlib.sha256(uri.encode()).hexdigest()[:16])}
    else:
        cache = {}  # other handlers have folders of their own
    try:
        path = _path_manager(folder).get_local_path(uri, **cache)
    except Exception as error:  # handlers raise whatever their transport raises
        raise DecodeError(uri, str(error) or type(error).__name__) from None
    if path == uri:
        raise DecodeError(uri, "is an address of a kind that cannot be opened here (s3:// needs boto3)")
    return path


@cache
def _path_manager(folder: str) -> Any:
    from iopath.common.file_io import HTTPURLHandler, PathManager
    from iopath.common.s3 import S3PathHandler
    from tqdm import tqdm

    tqdm.set_lock(RLock())  # its own would be shared between processes, and left behind when a worker is killed
    manager = PathManager()
    manager.register_handler(HTTPURLHandler())
    with suppress(ImportError):  # s3:// is for those who have boto3
        manager.register_handler(S3PathHandler(cache_dir=folder, profile=None))
    return manager
