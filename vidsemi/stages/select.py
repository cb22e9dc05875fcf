"""The selection stage: scores → D̂."""

import logging
from pathlib import Path
from typing import Any

from vidsemi.selection.result import select, write_selection
from vidsemi.selection.scores import read_scores

logger = logging.getLogger("vidsemi")


def select_stage(file: Path, *, scores: Path, per_class: int, per_example: int) -> dict[str, Any]:
    """Choose D̂ from a directory of scores and write it to `file`.

    Returns:
        Figures: score rows read, examples scored and chosen, how many were taken by 1, 2, … classes, short classes.
    """
    selection = select(read_scores(scores), per_class=per_class, per_example=per_example)
    write_selection(file, selection)
    info = selection.info
    if info.short_classes:
        names = ", ".join(info.short_classes[:5]) + (", …" if len(info.short_classes) > 5 else "")
        logger.warning(
            "selection: %d of %d classes have fewer than K = %d examples: %s",
            len(info.short_classes),
            len(info.classes),
            per_class,
            names,
        )
    return {
        "rows_read": info.rows_read,
        "scored": info.scored,
        "chosen": info.chosen,
        "taken_by": info.taken_by,
        "short_classes": info.short_classes,
    }
