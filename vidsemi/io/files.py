"""Atomic writes, exclusive creation, and fingerprints of files."""

import errno
import hashlib
import json
import logging
import os
import stat
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vidsemi.io.errors import UserError
from vidsemi.io.tables import printable

if TYPE_CHECKING:
    from vidsemi.io.store import Place

logger = logging.getLogger("vidsemi")

# What `os.link` raises on file systems without hard links.
NO_LINKS = {errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK, errno.EACCES, errno.EINVAL}


def dataset_folder(name: str) -> Path:
    """Find `datasets/NAME` in the installed package or the checkout.

    Raises:
        UserError: there is no such folder.
    """
    package = Path(__file__).parent.parent
    for folder in (package / "datasets" / name, package.parent / "datasets" / name):
        if folder.is_dir():
            return folder
    raise UserError("data.unknown_dataset", f"data.dataset: there is no folder datasets/{name}")


def make_folder(folder: Path) -> None:
    """Create a folder and those above it, unless they exist; other processes may remove them meanwhile."""
    for attempts_left in reversed(range(100)):
        try:
            folder.mkdir(parents=True, exist_ok=True)
            return
        except (FileExistsError, FileNotFoundError):
            if not attempts_left or (os.path.lexists(folder) and not folder.is_dir()):
                raise


@contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """Yield a temporary path next to `path`; sync it and rename it to `path`, or remove it if the block raises."""
    make_folder(path.parent)
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex}.tmp")  # process ids are not unique on shared disks
    try:
        yield temporary
        with open(temporary, "rb+") as file:
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except OSError as error:
        if error.filename in (None, str(temporary)):  # pyarrow names no file, and users do not know the temporary one
            error.filename = str(path)
        raise
    finally:
        temporary.unlink(missing_ok=True)


def prepare_target(path: "Place") -> None:
    """Check before long work that a file can be written: create its folder, refuse anything there but a file.

    Of a bucket, check that it is there and answers.
    """
    if not isinstance(path, Path):
        from vidsemi.io.object_store import read

        read(path, 0)
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.exists() and not path.is_file():
        raise FileExistsError(errno.EEXIST, "exists and is not a file", str(path))


def keep_inputs(output: "Place", *inputs: "Place | None") -> None:
    """Raise `UserError` if an output would overwrite one of its inputs."""
    if any(file is not None and file.resolve() == output.resolve() for file in inputs):
        raise UserError("output.is_input", f"{output} is also an input; choose another output")


def create_exclusive(path: Path, text: str) -> bool:
    """Create a file unless it exists, and return whether it was created. Of several processes one succeeds.

    Where the file system has hard links, the file appears with its content.
    """
    make_folder(path.parent)
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex}.tmp")
    try:
        with open(temporary, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        os.link(temporary, path)
    except (FileExistsError, FileNotFoundError):  # or another process has removed temporary files
        return False
    except OSError as error:
        if error.errno not in NO_LINKS:
            error.filename, error.filename2 = str(path), None
            raise
        try:
            with open(path, "x", encoding="utf-8") as file:
                file.write(text)
        except FileExistsError:
            return False
    finally:
        temporary.unlink(missing_ok=True)
    return True


@contextmanager
def only_process(path: Path, seconds: float) -> Iterator[bool]:
    """Wait while another process is in such a block for the same file; yields False if it takes longer than that.

    On a file system without locks nobody waits.
    """
    from filelock import FileLock, Timeout

    file = path.with_name(f".{path.name}.lock")
    lock = FileLock(file, timeout=seconds, fallback_to_soft=False)  # a soft lock outlives a killed process
    alone = True
    try:
        lock.acquire()
    except Timeout:
        alone = False
    except (OSError, NotImplementedError):
        pass
    try:
        yield alone
    finally:
        if lock.is_locked:
            with suppress(OSError):
                file.unlink()
            lock.release()


def remove_temporary(folder: Path, seconds: float = 0.0, names: str = "*") -> None:
    """Remove temporary files, for targets of these names, that killed processes left at least so many seconds ago.

    While others write to the folder, that should be longer than a write takes.
    """
    for file in folder.glob(f".{names}.tmp"):
        with suppress(OSError):  # it is gone, or a folder, or another user's: none of that is worth stopping for
            if not seconds or time.time() - file.stat().st_mtime > seconds:
                file.unlink()


def read_regular(path: Path, most: int = 1 << 26) -> bytes:
    """Read a file of at most so many bytes. Unlike `open` it never waits: a pipe or device is an `OSError`."""
    with open(path, "rb", opener=lambda name, flags: os.open(name, flags | getattr(os, "O_NONBLOCK", 0))) as file:
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise OSError(errno.EINVAL, "is not a regular file", str(path))
        content = file.read(most + 1)
    if len(content) > most:
        raise OSError(errno.EFBIG, f"is larger than {most} bytes", str(path))
    return content


def is_regular(path: Path) -> bool:
    """Whether a path is a regular file, perhaps through links."""
    try:
        return stat.S_ISREG(os.stat(path).st_mode)
    except OSError:
        return False


def put_aside(path: Path, folder: Path, why: str, name: str | None = None) -> Path | None:
    """Move anything, such as a link or a folder, out of the way, with a warning; None if it is gone already.

    `name` is the one it had, if it was renamed before.
    """
    named = path.with_name(name or path.name)
    unique = uuid.uuid4().hex[:8]
    if os.path.lexists(folder) and not folder.is_dir():  # or that is in the way, too
        folder = folder.with_name(f"{folder.name}.{unique}")
    folder.mkdir(parents=True, exist_ok=True)
    target = folder / f"{named.name[:200]}.{unique}"
    try:
        os.rename(path, target)
    except FileNotFoundError:
        return None
    logger.warning("%s %s: moved to %s", printable(str(named)), why, printable(str(target)))
    return target


def write_bytes(path: Path, content: bytes) -> None:
    """Write a file atomically."""
    with atomic_path(path) as temporary:
        temporary.write_bytes(content)


def write_text(path: Path, text: str) -> None:
    """Write a text file atomically, as UTF-8."""
    write_bytes(path, text.encode())


def write_json(path: Path, value: Any) -> None:
    """Write a JSON document atomically, indented."""
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False) + "\n")


def fingerprint_file(path: Path) -> str:
    """SHA-256 of a file, in hexadecimal."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def fingerprint_json(value: Any) -> str:
    """SHA-256 of a JSON value, independent of the order of keys."""
    text = json.dumps(value, sort_keys=True, ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()
