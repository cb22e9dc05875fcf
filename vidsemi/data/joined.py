"""Several manifests as one, such as an unlabeled set that has grown."""

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import accumulate
from pathlib import Path

import numpy as np

from vidsemi.data.batches import JoinedBatches
from vidsemi.data.manifest import Manifest, Row
from vidsemi.io.files import fingerprint_json
from vidsemi.io.store import Place


@dataclass(frozen=True)
class JoinedManifest(Manifest):
    """Several manifests as one: the ids of each start where those of the one before end."""

    parts: tuple[Manifest, ...]

    @cached_property
    def starts(self) -> list[int]:
        """The first id of each part."""
        return [0, *accumulate(len(part) for part in self.parts)][:-1]

    def row(self, example_id: int) -> Row:
        """An example, with a path that can be opened."""
        number = bisect_right(self.starts, example_id) - 1
        return replace(self.parts[number].row(example_id - self.starts[number]), example_id=example_id)

    def _roots(self, example_ids: np.ndarray) -> Iterable[Place]:
        return (self.parts[number - 1].root for number in np.searchsorted(self.starts, example_ids, side="right"))


def join(parts: Sequence[Manifest]) -> Manifest:
    """Join manifests; a single one stays itself."""
    if len(parts) == 1:
        return parts[0]
    file = Path(", ".join(str(part.file) for part in parts))
    batches = JoinedBatches([part.batches for part in parts])
    return JoinedManifest(file, Path(), batches, fingerprint_json([part.fingerprint for part in parts]), tuple(parts))


def parts_of(manifest: Manifest) -> tuple[Manifest, ...]:
    """The manifests that one was joined from; itself if it was not."""
    return manifest.parts if isinstance(manifest, JoinedManifest) else (manifest,)
