"""A manifest row → where its bytes are on this machine."""

import os

from vidsemi.addresses import AddressError, fetch, is_address
from vidsemi.corpus.manifest import Row
from vidsemi.errors import DecodeError
from vidsemi.media.container import Source


def locate(row: Row) -> Source:
    """The file of an example; a URI is fetched into iopath's cache first.

    Raises:
        DecodeError: it cannot be fetched, or a member is not inside its tar.
    """
    try:
        path = fetch(row.path) if is_address(row.path) else row.path
    except AddressError as error:
        raise DecodeError(row.path, str(error)) from None
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
