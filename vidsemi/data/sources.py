"""A manifest row → where its bytes are on this machine."""

import os

from vidsemi.data.manifest import Row
from vidsemi.data.video.container import Source
from vidsemi.io.download import AddressError, fetch, is_address
from vidsemi.io.errors import DecodeError


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


MOST_BYTES = 2**29  # 512 MiB of a file that is read as a whole, as images are


def read_bytes(source: Source, first: int | None = None) -> bytes:
    """The first bytes of a source, or all of them, for small files.

    Raises:
        DecodeError: it cannot be read, or is no small file.
    """
    try:
        with open(source.path, "rb") as file:
            size = os.fstat(file.fileno()).st_size if source.size is None else source.size
            wanted = size if first is None else min(first, size)
            if wanted > MOST_BYTES:
                raise DecodeError(source.path, f"has {wanted} bytes, too many for an image")
            file.seek(source.offset or 0)
            return file.read(wanted)
    except OSError as error:
        raise DecodeError(source.path, error.strerror or str(error)) from None
