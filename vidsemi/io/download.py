"""Addresses (https://…, s3://…) → local copies in iopath's cache."""

import hashlib
import os
from contextlib import suppress
from functools import cache
from threading import RLock
from typing import Any
from urllib.parse import urlsplit

WEB = ("http://", "https://", "ftp://")


class AddressError(Exception):
    """What is at an address cannot be had; one line that says why."""


def is_address(path: str) -> bool:
    """Whether a path is an address rather than a file of this machine."""
    return "://" in path


def fetch(uri: str) -> str:
    """A local copy of what is at an address.

    Every web address has a folder of its own in the cache, and none can lead out of it.

    Raises:
        AddressError: it cannot be fetched.
    """
    from iopath.common.file_io import get_cache_dir

    scheme, _, rest = uri.partition("://")
    uri = f"{scheme.lower()}://{rest}"
    if ".." in urlsplit(uri).path.split("/") or not uri.isprintable():
        raise AddressError("an address with .. or unprintable characters in it is not followed")
    folder = os.path.join(get_cache_dir(), "vidsemi")
    if uri.startswith(WEB):
        cache = {"cache_dir": os.path.join(folder, hashlib.sha256(uri.encode()).hexdigest()[:16])}
    else:
        cache = {}  # other handlers have folders of their own
    try:
        path = _path_manager(folder).get_local_path(uri, **cache)
    except Exception as error:  # handlers raise whatever their transport raises
        raise AddressError(str(error) or type(error).__name__) from None
    if path == uri:
        raise AddressError("is an address of a kind that cannot be opened here (s3:// needs boto3)")
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
