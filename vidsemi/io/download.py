"""Downloads https://…, s3://… and other addresses into iopath's cache."""

import hashlib
import os
from contextlib import suppress
from functools import cache
from threading import RLock
from typing import Any
from urllib.error import HTTPError
from urllib.parse import urlsplit

WEB = ("http://", "https://", "ftp://")


class AddressError(Exception):
    """An address cannot be fetched; the message is one line. `answered`: its server says that there is no such file."""

    def __init__(self, message: str, answered: bool = False):
        super().__init__(message)
        self.answered = answered


def is_address(path: str) -> bool:
    """Whether a path is an address rather than a local file."""
    return "://" in path


def fetch(uri: str) -> str:
    """Download the file at an address, and return its path in the cache.

    Each web address has its own folder in the cache, and no address can escape it.

    Raises:
        AddressError: it cannot be fetched.
    """
    from iopath.common.file_io import get_cache_dir

    scheme, _, rest = uri.partition("://")
    uri = f"{scheme.lower()}://{rest}"
    if ".." in urlsplit(uri).path.split("/") or not uri.isprintable():
        raise AddressError("addresses with .. or unprintable characters are refused")
    folder = os.path.join(get_cache_dir(), "vidsemi")
    if uri.startswith(WEB):
        cache = {"cache_dir": os.path.join(folder, hashlib.sha256(uri.encode()).hexdigest()[:16])}
    else:
        cache = {}  # other handlers have their own folders
    try:
        path = _path_manager(folder).get_local_path(uri, **cache)
    except Exception as error:  # handlers raise the errors of their transport
        answered = isinstance(error, HTTPError) and error.code < 500
        raise AddressError(str(error) or type(error).__name__, answered) from None
    if path == uri:
        raise AddressError("this kind of address cannot be opened here (s3:// needs boto3)")
    return path


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
        there = _path_manager("").exists(uri)
    except Exception as error:
        raise AddressError(str(error) or type(error).__name__) from None
    if not there:
        raise AddressError("not found")


@cache
def _path_manager(folder: str) -> Any:
    from iopath.common.file_io import HTTPURLHandler, PathManager
    from iopath.common.s3 import S3PathHandler
    from tqdm import tqdm

    tqdm.set_lock(RLock())  # the default lock is a semaphore, which a killed worker would leak
    manager = PathManager()
    manager.register_handler(HTTPURLHandler())
    with suppress(ImportError):  # s3:// needs boto3
        manager.register_handler(S3PathHandler(cache_dir=folder, profile=None))
    return manager
