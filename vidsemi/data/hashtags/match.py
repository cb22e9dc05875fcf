"""The hashtags stage: W and a label space → the labels that can be learnt, and who carries them."""

import logging
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from vidsemi.data.hashtags.vocabulary import (
    Label,
    LabelSpace,
    count_examples,
    frequent_examples,
    read_label_space,
    write_label_space,
)
from vidsemi.data.manifest import Manifest
from vidsemi.io.errors import UserError
from vidsemi.io.files import atomic_path

logger = logging.getLogger("vidsemi")

LABEL_SPACE = "labels.csv"
CARRIED = "carried.parquet"  # example_id int64, label int64: by example id, then label


def hashtags_stage(folder: Path, *, weak: Manifest, space: LabelSpace, min_examples: int, title: str) -> dict[str, Any]:
    """Choose the labels and find the examples that carry them.

    Args:
        folder: gets `LABEL_SPACE` and `CARRIED`.
        weak: W.
        space: the labels to look for.
        min_examples: labels with fewer are dropped.
        title: for the log.

    Returns:
        Figures: examples with and without a label, and the labels that were kept and dropped with their examples.

    Raises:
        UserError: W has no hashtags, or fewer than two labels are left.
    """
    learnt, example_ids, labels, dropped = frequent_examples(weak, space, min_examples, "the weak pre-training")
    sizes = count_examples(learnt, labels).tolist()
    if len(learnt.labels) < 2:
        best = max([*sizes, *(count for _, count in dropped)], default=0)
        raise UserError(
            f"{weak.file}: {len(learnt.labels)} labels have hashtags on at least {min_examples} examples (the most "
            f"frequent one on {best}), and two are needed; `vidsemi hashtags` tells more"
        )
    write_label_space(folder / LABEL_SPACE, learnt, sizes)
    with atomic_path(folder / CARRIED) as temporary:
        pq.write_table(pa.table({"example_id": example_ids, "label": labels}), temporary, compression="zstd")
    examples = len(np.unique(example_ids))
    logger.info(
        "%s: %d of %d examples carry one of %d labels; dropped for fewer than %d examples: %s",
        title,
        examples,
        len(weak),
        len(learnt.labels),
        min_examples,
        ", ".join(f"#{label.tag} ({count})" for label, count in dropped) or "none",
    )
    return {
        "examples": examples,
        "without": len(weak) - examples,
        "min_examples": min_examples,
        "labels": [_figures(label, count) for label, count in zip(learnt.labels, sizes, strict=True)],
        "dropped": [_figures(label, count) for label, count in dropped],
    }


def _figures(label: Label, examples: int) -> dict[str, Any]:
    return {"tag": label.tag, "classes": label.classes, "examples": examples}


def read_carried(folder: Path) -> tuple[list[str], np.ndarray, np.ndarray]:
    """What the stage found: names of the labels, example ids (N,) and labels (N,), an example once for each label."""
    table = pq.read_table(folder / CARRIED)
    return read_label_space(folder / LABEL_SPACE).names, *(table.column(name).to_numpy() for name in table.column_names)
