"""Paths as a manifest stores them: relative to its folder if they are in it, else absolute. URIs stay."""

import os
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pyarrow as pa

LONGEST = 1 << 30  # bytes of a path


def portable_paths(paths: Iterable[str], manifest: Path) -> list[str]:
    """Paths as the manifest stores them."""
    folder = os.path.join(manifest.parent.resolve(), "")
    return [path if "://" in path else os.path.abspath(path).removeprefix(folder) for path in paths]


def portable_column(paths: "pa.Array", manifest: Path) -> "pa.Array":
    """A column of `portable_paths`."""
    import pyarrow as pa
    import pyarrow.compute as pc

    folder = os.path.join(manifest.parent.resolve(), "")
    absolute, odd = _absolute(paths, Path())
    inside = pc.starts_with(absolute, folder)
    if odd:
        inside = pc.and_not(inside, pc.match_substring(paths, "://"))
    portable = pc.binary_slice(absolute.cast(pa.binary()), len(folder.encode()), LONGEST)
    if not pc.all(inside).as_py():
        portable = pc.if_else(inside, portable, absolute.cast(pa.binary()))
    return portable.view(pa.string())


def absolute_column(paths: "pa.Array", folder: Path) -> "pa.Array":
    """Paths of a folder as `os.path.abspath` gives them; URIs stay."""
    return _absolute(paths, folder)[0]


def _absolute(paths: "pa.Array", folder: Path) -> "tuple[pa.Array, bool]":
    """Absolute paths, and whether some were handled one by one: those with `//`, `.` or `..` in them, and URIs."""
    import pyarrow as pa
    import pyarrow.compute as pc

    here = os.path.join(os.path.abspath(folder), "")
    absolute, is_absolute = paths, pc.starts_with(paths, "/")
    if not pc.all(is_absolute).as_py():
        absolute = pc.if_else(is_absolute, paths, pc.binary_join_element_wise(here, paths, ""))
    odd = pc.match_substring_regex(absolute, r"/\.{0,2}(/|$)")
    if not pc.any(odd).as_py():
        return absolute, False
    own = [
        path if "://" in path else os.path.abspath(os.path.join(here, path)) for path in paths.filter(odd).to_pylist()
    ]
    return pc.replace_with_mask(absolute, odd, pa.array(own, pa.string())), True
