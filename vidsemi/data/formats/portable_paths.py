"""Paths as a manifest stores them: relative to its folder if they are in it, else absolute. URIs stay."""

import os
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pyarrow as pa


def portable_paths(paths: Iterable[str], manifest: Path) -> list[str]:
    """Paths as the manifest stores them."""
    folder = os.path.join(manifest.parent.resolve(), "")
    absolute = (path if "://" in path else os.path.abspath(path) for path in paths)
    return [path.removeprefix(folder) for path in absolute]


def portable_column(paths: "pa.Array", manifest: Path) -> "pa.Array":
    """A column of `portable_paths`; only paths with `//`, `.` or `..` in them are handled one by one."""
    import pyarrow as pa
    import pyarrow.compute as pc

    folder = os.path.join(manifest.parent.resolve(), "")
    is_address = pc.match_substring(paths, "://")
    absolute = pc.if_else(
        pc.or_(is_address, pc.starts_with(paths, "/")),
        paths,
        pc.binary_join_element_wise(os.path.join(os.path.abspath(""), ""), paths, ""),
    )
    inside = pc.and_(pc.starts_with(absolute, folder), pc.invert(is_address))
    portable = pc.if_else(inside, pc.utf8_slice_codeunits(absolute, len(folder)), absolute)
    odd = pc.and_(pc.match_substring_regex(absolute, r"/\.{0,2}(/|$)"), pc.invert(is_address))
    if pc.any(odd).as_py():
        own = portable_paths(paths.filter(odd).to_pylist(), manifest)
        portable = pc.replace_with_mask(portable, odd, pa.array(own, pa.string()))
    return portable
