"""Which examples of a manifest belong together, as the clips of one video do."""

import re

import numpy as np

from vidsemi.corpus.manifest import Manifest
from vidsemi.errors import UserError


def groups_of(manifest: Manifest, pattern: str | None) -> np.ndarray:
    """What belongs together, (N,): the text that a pattern finds in each path; each example alone without a pattern.

    Args:
        manifest: of the examples; of those inside tars, the member's name counts.
        pattern: regular expression with one group.

    Raises:
        UserError: there is a path in which the pattern finds nothing.
    """
    if pattern is None:
        return np.arange(len(manifest))
    names = manifest.table.column("member" if "member" in manifest.table.column_names else "path").to_pylist()
    groups = []
    for name in names:
        match = re.search(pattern, name or "")
        if match is None:
            raise UserError(f"{manifest.file}: fc_only.group, '{pattern}', finds nothing in {name}")
        groups.append(match[1] or "")
    return np.array(groups)
