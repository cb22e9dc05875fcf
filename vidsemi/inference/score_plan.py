"""The plan of a directory of scores: written once, agreed on by every worker that ever writes to it."""

import json
from dataclasses import asdict, replace
from pathlib import Path
from typing import get_args

from vidsemi.inference.model import Precision
from vidsemi.io.errors import UserError
from vidsemi.io.files import create_exclusive
from vidsemi.selection.score_format import ScoresInfo, read_plan
from vidsemi.selection.score_reader import read_info

PLAN = "plan.json"


def agree_on_plan(folder: Path, ours: ScoresInfo, *, any_precision: bool) -> ScoresInfo:
    """The plan of a directory; ours becomes it where there is none.

    Args:
        folder: the directory of scores.
        ours: what this worker was told to do.
        any_precision: whether the precision of those who began is good enough, since none was named.

    Raises:
        UserError: the directory holds, or was begun for, something else; says what.
    """
    file = folder / PLAN
    if not file.exists():
        parts = sorted(folder.glob("part-*.parquet"))  # without a plan: an earlier version's, or another program's
        for part in parts:
            ours = _matching(part, read_info(part), ours, any_precision)
        if create_exclusive(file, json.dumps(asdict(ours), indent=2, ensure_ascii=False) + "\n"):
            return ours
    return _matching(file, read_plan(file), ours, any_precision)


def _matching(file: Path, theirs: ScoresInfo, ours: ScoresInfo, any_precision: bool) -> ScoresInfo:
    if any_precision and theirs.precision is not None:
        ours = replace(ours, precision=theirs.precision)
    if ours.precision not in get_args(Precision):
        raise UserError(f"{file} names the precision '{ours.precision}'; there are: {', '.join(get_args(Precision))}")
    if name := ours.difference(theirs):
        was, now = (str(getattr(info, name)) for info in (theirs, ours))
        if name in ("manifest", "weights"):
            words = f"with other {name} (fingerprint {was[:12]}, now {now[:12]})"
        elif name == "classes":
            words = "with other classes"
        else:
            words = f"with {name} {was}, now it is {now}"
        raise UserError(f"{file} says that {file.parent} was begun {words}; choose another output directory")
    return ours
