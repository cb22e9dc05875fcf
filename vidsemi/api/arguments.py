"""Arguments of the API, checked. No torch: `select` needs none."""

from collections.abc import Mapping
from os import PathLike, fspath
from pathlib import Path
from typing import Any, TypeVar

from pydantic import ValidationError

from vidsemi.config import Runtime, Section
from vidsemi.config.synonyms import hint_for
from vidsemi.data.manifest import Manifest
from vidsemi.io.download import is_address
from vidsemi.io.errors import UserError
from vidsemi.io.store import Place, is_remote, parse_place

S = TypeVar("S", bound=Section)
PathArgument = str | PathLike[str]


def checked(kind: type[S], values: Mapping[str, Any]) -> S:
    """Make a section of the config from arguments.

    Raises:
        UserError: an argument is unknown, missing or has an invalid value.
    """
    try:
        return kind(**values)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        key = ".".join(map(str, first["loc"]))
        if first["type"] == "extra_forbidden":
            raise UserError("options.unknown", f"{key}: unknown argument{hint_for(first['loc'], kind)}") from None
        message = first["msg"].removeprefix("Value error, ")
        raise UserError("options.invalid", f"{key}: {message}" if key else message) from None


def runtime_of(
    device: str,
    workers: int | None,
    seconds_per_file: float = 600,
    clips_per_forward: int | None = None,
    **engine: Any,
) -> Runtime:
    """Where and how networks run."""
    values = {"device": device, "workers": workers, "seconds_per_file": seconds_per_file}
    return checked(Runtime, {**values, "clips_per_forward": clips_per_forward, **engine})


def check_count(name: str, value: Any, most: int = 1_000_000, least: int = 1) -> int:
    """Raise a `UserError` unless an argument is a whole number within limits; returns it."""
    if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
        raise UserError("options.invalid", f"{name} is {value!r}; give a whole number from {least} to {most}")
    return value


def path_of(name: str, value: Any) -> Path:
    """An argument that names a file or folder; a `UserError` if it is something else."""
    if not isinstance(value, str | PathLike) or not str(value):
        raise UserError("options.invalid", f"{name} is {value!r}; give the path of a file or folder")
    if is_address(str(value)):
        raise UserError("options.address", f"{name} is the address {value}; give a file or folder on this machine")
    return Path(value)


def place_of(name: str, value: Any) -> Place:
    """An argument that names a folder, on this machine or in an object store; a `UserError` if it is something else."""
    if isinstance(value, str | PathLike) and is_remote(fspath(value)):
        return parse_place(fspath(value))
    return path_of(name, value)


def manifest_of(manifest: Manifest | PathArgument, root: PathArgument | None = None) -> Manifest:
    """A manifest, read if it is a file.

    Raises:
        UserError: it is neither, it cannot be read, or there is a root for what is read already.
    """
    if isinstance(manifest, Manifest):
        if root is not None:
            raise UserError("manifest.unused_root", "a Manifest knows its root; give root to Manifest.read")
        return manifest
    if not isinstance(manifest, str | PathLike):
        raise UserError(
            "manifest.wrong_type", f"the manifest is a {type(manifest).__name__}; give a Manifest or its file"
        )
    return Manifest.read(place_of("manifest", manifest), None if root is None else place_of("root", root))
