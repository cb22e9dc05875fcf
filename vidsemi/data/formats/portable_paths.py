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
    """A column of `portable_paths`; only paths with `//`, `.` or `..` in them are handled one by one."""
    import pyarrow as pa
    import pyarrow.compute as pc

    folder, here = (os.path.join(place, "") for place in (manifest.parent.resolve(), os.path.abspath("")))
    absolute, is_absolute = paths, pc.starts_with(paths, "/")
    if not pc.all(is_absolute).as_py():
        absolute = pc.if_else(is_absolute, paths, pc.binary_join_element_wise(here, paths, ""))
    inside = pc.starts_with(absolute, folder)
    portable = pc.binary_slice(absolute.cast(pa.binary()), len(folder.encode()), LONGEST)
    if not pc.all(inside).as_py():
        portable = pc.if_else(inside, portable, absolute.cast(pa.binary()))
    odd = pc.match_substring_regex(absolute, r"/\.{0,2}(/|$)")
    if pc.any(odd).as_py():  # URIs among them
        is_address = pc.match_substring(paths, "://")
        portable = pc.if_else(is_address, paths.cast(pa.binary()), portable)
        odd = pc.and_not(odd, is_address)
        own = portable_paths(paths.filter(odd).to_pylist(), manifest)
        portable = pc.replace_with_mask(portable, odd, pa.array(own, pa.string()).cast(pa.binary()))
    return portable.view(pa.string())
