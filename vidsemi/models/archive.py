"""Checks of the zip archives that `torch.save` writes, before torch reads them: damage, and archives made to harm."""

import errno
import os
import stat
import zipfile
from pathlib import Path

from vidsemi.io.errors import UserError

ZIP = b"PK\x03\x04"  # of the first member: how torch tells an archive from its older formats
END = b"PK\x05\x06"  # of the record at the end, which is 22 bytes long where it has no comment
END_BYTES = 22
# torch reads nothing of a member with the attribute of a folder, and leaves its tensor as the memory happens to be.
DOS_ATTRIBUTES = 0xFFFF
FLAGS = 0x808  # sizes follow the content; names are UTF-8
MAX_PICKLE = 64 << 20  # bytes; tensors aside, so a million class names or the state of an optimizer fit
# The only function that torch would call for a file and that takes as much memory as the file asks for.
REFUSED = b"bytearray\n"


def check_regular_file(path: Path, name: str) -> None:
    """Raise `UserError` for what is not a file with content; a pipe would block whoever opens it."""
    try:
        status = path.stat()
    except FileNotFoundError:
        raise UserError("weights.missing", f"weights file {name} does not exist") from None
    if not stat.S_ISREG(status.st_mode):
        raise UserError("weights.not_a_file", f"{name} is not a file")
    if status.st_size == 0:
        raise UserError("weights.empty", f"{name} is empty")


def is_archive(path: Path) -> bool:
    """Whether torch reads a file as a zip archive."""
    with open(path, "rb") as file:
        return file.read(len(ZIP)) == ZIP


def check_archive(path: Path, name: str) -> None:
    """Check that an archive is whole, and no larger in memory than on the disk.

    Raises:
        UserError: it is cut off or damaged, has a member whose checksum does not match, members that are compressed or
            overlap, or asks for more memory than a weights file needs. The message names the file as `name`.
    """
    try:
        with open(path, "rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(size - END_BYTES, 0))
            whole = file.read().startswith(END)
        if not whole:
            raise UserError("weights.unreadable", f"{name} is cut off or damaged: its zip archive has no end")
        with zipfile.ZipFile(path) as archive:
            _check_members(archive, size, name)
            if damaged := archive.testzip():
                raise zipfile.BadZipFile(f"the checksum of {damaged} does not match")
            for member in archive.infolist():
                if member.filename.endswith("data.pkl") and REFUSED in archive.read(member):
                    raise UserError("weights.unsafe", f"{name} holds an object that no weights file needs: bytearray")
    except (MemoryError, UserError):
        raise
    except Exception as error:  # damage makes zipfile raise arbitrary errors
        if isinstance(error, OSError) and not is_content_error(error):
            raise
        why = str(error) or type(error).__name__
        raise UserError("weights.damaged", f"{name} is damaged: {why}") from None


def is_content_error(error: OSError) -> bool:
    """Whether an error of the system comes from wrong places in a damaged file, rather than from the disk."""
    return error.errno in (None, errno.EINVAL)


def _check_members(archive: zipfile.ZipFile, size: int, name: str) -> None:
    members = archive.infolist()
    names = [member.filename for member in members]
    if names and f"{names[0].partition('/')[0]}/constants.pkl" in names:
        return  # a TorchScript program, which torch refuses
    if packed := next((member for member in members if member.compress_type != zipfile.ZIP_STORED), None):
        raise UserError(
            "weights.compressed",
            f"{name} has compressed members, the first is {packed.filename}: load it where you trust it, and save it "
            "again with torch.save",
        )
    if odd := next((m for m in members if m.external_attr & DOS_ATTRIBUTES or m.flag_bits & ~FLAGS or m.volume), None):
        raise zipfile.BadZipFile(f"{odd.filename} has attributes that no program writes")
    if len(set(names)) < len(names):
        raise zipfile.BadZipFile("two of its members have one name")
    if sum(member.file_size for member in members) > size:
        raise UserError("weights.oversized", f"{name} says that it holds more bytes than the file has")
    largest = max((member.file_size for member in members if member.filename.endswith(".pkl")), default=0)
    if largest > MAX_PICKLE:
        raise UserError(
            "weights.oversized", f"{name} holds {largest:,} bytes besides its tensors, more than {MAX_PICKLE:,}"
        )
