"""Which examples of a manifest belong together, as the clips of one video do."""

import re

import numpy as np

from vidsemi.data.manifest import Manifest
from vidsemi.io.errors import UserError


def groups_of(manifest: Manifest, pattern: str | None) -> np.ndarray:
    """What belongs together, (N,): the text that a pattern finds in each path; each example alone without a pattern.

    Args:
        manifest: of the examples; of those inside files, such as tars, the member's name counts.
        pattern: regular expression with one group.

    Raises:
        UserError: there is a path in which the pattern finds nothing.
    """
    if pattern is None:
        return np.arange(len(manifest))
    paths = manifest.table.column("path").to_pylist()
    members = manifest.table.column("member").to_pylist() if "member" in manifest.table.column_names else paths
    groups = []
    for path, member in zip(paths, members, strict=True):
        name = member or path
        match = re.search(pattern, name)
        if match is None or match[1] is None:  # the brackets may be in what need not be there
            raise UserError(f"{manifest.file}: fc_only.group, '{pattern}', finds nothing in {name}")
        groups.append(match[1])
    return np.array(groups)
