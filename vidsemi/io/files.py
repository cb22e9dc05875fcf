"""Files that are whole or not there at all, and the fingerprints that say which file something was made from."""

import errno
import hashlib
import json
import os
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from vidsemi.io.errors import UserError

NO_LINKS = {errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK, errno.EACCES, errno.EINVAL}  # says `os.link`


def dataset_folder(name: str) -> Path:
    """The folder `datasets/NAME` of a checkout, or of the datasets that an installed vidsemi contains.

    Raises:
        UserError: there is no such folder.
    """
    package = Path(__file__).parent.parent
    for folder in (package / "datasets" / name, package.parent / "datasets" / name):
        if folder.is_dir():
            return folder
    raise UserError("data.unknown_dataset", f"data.dataset: there is no folder datasets/{name}")


@contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """A temporary path beside `path` to write to; synced and renamed to it if the block ends well, else removed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex}.tmp")  # a process id is not unique to a shared disk
    try:
        yield temporary
        with open(temporary, "rb+") as file:
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except OSError as error:
        if error.filename in (None, str(temporary)):  # pyarrow names no file, and nobody knows the temporary one
            error.filename = str(path)
        raise
    finally:
        temporary.unlink(missing_ok=True)


def prepare_target(path: Path) -> None:
    """Find out before long work whether a file can be written: make its folder, refuse what is there but no file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.exists() and not path.is_file():
        raise FileExistsError(errno.EEXIST, "something is there already that is not a file", str(path))


def keep_inputs(output: Path, *inputs: Path | None) -> None:
    """Refuse an output that is one of the files that it is made from."""
    if any(file is not None and file.resolve() == output.resolve() for file in inputs):
        raise UserError(f"{output} is read here; choose another output")


def create_exclusive(path: Path, text: str) -> bool:
    """Create a file unless it exists; whether it was created. Of several processes that try, one succeeds.

    Its content is there from the beginning, where the file system knows links.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex}.tmp")
    try:
        with open(temporary, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        os.link(temporary, path)
    except (FileExistsError, FileNotFoundError):  # or another process has swept the folder
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


def remove_temporary(folder: Path, seconds: float = 0.0) -> None:
    """Remove what killed processes left of attempts to write the files of a folder.

    Args:
        folder: of the files.
        seconds: age of what is removed; where others write to the folder at the same time, longer than a file takes.
    """
    for file in folder.glob(".*.tmp"):
        with suppress(FileNotFoundError):
            if not seconds or time.time() - file.stat().st_mtime > seconds:
                file.unlink()


def write_bytes(path: Path, content: bytes) -> None:
    """Write a file atomically."""
    with atomic_path(path) as temporary:
        temporary.write_bytes(content)


def write_text(path: Path, text: str) -> None:
    """Write a text file atomically, as UTF-8."""
    write_bytes(path, text.encode())


def write_json(path: Path, value: Any) -> None:
    """Write a JSON document atomically, indented for people."""
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False) + "\n")


def fingerprint_file(path: Path) -> str:
    """SHA-256 of a file's bytes, as hexadecimal."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def fingerprint_json(value: Any) -> str:
    """SHA-256 of a JSON value, the same for equal values whatever the order of their keys."""
    text = json.dumps(value, sort_keys=True, ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()
