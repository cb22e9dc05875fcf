"""The true labels of examples, where another manifest, of any size, has the same files with labels."""

import os
from contextlib import closing
from pathlib import Path

import numpy as np
import pyarrow as pa

from vidsemi.data.dedup.equal_keys import DistinctKeys
from vidsemi.data.file_ids import are_among
from vidsemi.data.formats.portable_paths import absolute_column
from vidsemi.data.formats.repeats import ROW, RepeatFinder
from vidsemi.data.manifest import Manifest, resolve
from vidsemi.data.manifest_file import COLUMNS
from vidsemi.data.mapped import temporary_folder
from vidsemi.io.errors import UserError
from vidsemi.io.store import Place

PARTS = ("member", "start", "end")  # columns that, with the path, tell the examples of a manifest apart
AT_ONCE = 1 << 16  # examples
UNKNOWN = -1


def find_labels(examples: np.ndarray, unlabeled: Manifest, true_labels: Manifest) -> tuple[np.ndarray, list[str]]:
    """Find the true labels of examples.

    Args:
        examples: (N,) ids in the unlabeled set.
        unlabeled: the unlabeled set.
        true_labels: its examples with their labels, in any order.

    Returns:
        (N,) int32 indices of labels, `UNKNOWN` of examples that have none there; the labels, empty for a missing one.

    Raises:
        UserError: an example has two labels.
    """
    ids, places = np.unique(examples, return_inverse=True)
    with closing(RepeatFinder(temporary_folder())) as finder:
        blocks = (unlabeled.take(ids[begin : begin + AT_ONCE]) for begin in range(0, len(ids), AT_ONCE))
        hashes = (finder.hashes(_named(block, Path())) for block in blocks)
        keys = np.concatenate([np.empty((0, 2), np.uint64), *hashes])
        wanted, found = np.sort(keys[:, 0]), [np.empty(0, ROW)]
        for batch in true_labels.batches:
            table = _named(pa.Table.from_batches([batch]), true_labels.root)
            rows = finder.add(table.append_column("label", batch.column("label")))
            found.append(rows[are_among(rows["hash"], wanted)])
        if (repeat := finder.find(unique=False).first) is not None:
            path = true_labels.row(repeat[1]).path
            path = path if "://" in path else os.path.abspath(path)
            raise UserError("precision.two_labels", f"{true_labels.file} has two labels for {path}")
    known = np.concatenate(found)
    every = np.concatenate([np.stack([known["hash"], known["other"]], axis=1), keys])
    first = DistinctKeys(2).add(every, np.arange(len(every)))[len(known) :]
    labels = np.full(len(ids), UNKNOWN, np.int32)
    labels[first < len(known)] = known["label"][first[first < len(known)]]
    return labels[places], [label or "" for label in finder.labels]


def _named(table: pa.Table, root: Place) -> pa.Table:
    """What tells the rows apart, with absolute paths."""
    columns = {"path": _absolute(table.column("path").combine_chunks(), root)}
    for name in PARTS:
        has = name in table.column_names
        columns[name] = table.column(name) if has else pa.nulls(len(table), COLUMNS[name])
    return pa.table(columns)


def _absolute(paths: pa.Array, root: Place) -> pa.Array:
    if isinstance(root, Path):
        return absolute_column(paths, root)
    resolved = (resolve(path, root) for path in paths.to_pylist())
    return pa.array([path if "://" in path else os.path.abspath(path) for path in resolved], pa.string())
