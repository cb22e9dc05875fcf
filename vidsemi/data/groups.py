"""Groups of examples that belong together, such as the clips of one video."""

import re

import numpy as np

from vidsemi.data.manifest import Manifest
from vidsemi.io.errors import UserError


def groups_of(manifest: Manifest, pattern: str | None) -> np.ndarray:
    """The group of each example, (N,): the part of its path that a pattern captures.

    Args:
        manifest: for examples in tars the pattern is applied to the member's name.
        pattern: regular expression with one group; None puts each example in a group of its own.

    Raises:
        UserError: the pattern does not match a path.
    """
    if pattern is None:
        return np.arange(len(manifest))
    paths = manifest.table.column("path").to_pylist()
    members = manifest.table.column("member").to_pylist() if "member" in manifest.table.column_names else paths
    groups = []
    for path, member in zip(paths, members, strict=True):
        name = member or path
        match = re.search(pattern, name)
        if match is None or match[1] is None:  # the group may be optional
            raise UserError(
                "transfer.group_mismatch", f"{manifest.file}: fc_only.group '{pattern}' does not match {name}"
            )
        groups.append(match[1])
    return np.array(groups)
