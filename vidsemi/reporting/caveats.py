"""What a reader must know before the numbers: it stands below the answer."""

from collections.abc import Sequence
from pathlib import Path

from vidsemi.inference.accuracy import read_class_accuracy
from vidsemi.io.errors import UserError
from vidsemi.reporting.results import RunResults
from vidsemi.reporting.selection_files import notes_by_seed, selection_files
from vidsemi.selection.info import SelectionInfo
from vidsemi.selection.result import read_selection_info

SHOWN = 5  # classes that are named


def caveats(runs: Sequence[RunResults]) -> list[str]:
    """Warnings of the runs' teachers and selections."""
    labeled = {run.name: _labeled_classes(run) for run in runs}
    warnings = []
    for one in selection_files(runs):
        try:
            info = read_selection_info(one.file)
        except UserError:  # the section of selections tells
            continue
        warnings += [(one, warning) for warning in _of_selection(info, labeled[one.run])]
    return notes_by_seed(warnings)


def _of_selection(info: SelectionInfo, labeled: Sequence[str]) -> list[str]:
    warnings = []
    if unknown := [name for name in labeled if name not in info.scores.classes]:
        warnings.append(
            f"the teacher knows only {len(labeled) - len(unknown)} of the {len(labeled)} classes of the labeled set; "
            f"not {_some(unknown)}"
        )
    names = info.scores.classes
    if empty := [name for name, count in zip(names, info.chosen_per_class, strict=True) if count == 0]:
        which = "most classes:" if 2 * len(empty) > len(names) else "some classes:"
        warnings.append(
            f"no pseudo-labels for {which} {len(empty)} of {len(names)} ({_some(empty)}); students see these in the "
            "labeled set alone, if there is one"
        )
    return warnings


def _labeled_classes(run: RunResults) -> list[str]:
    """The classes with labeled examples, from the tables of the run's evaluations."""
    names: dict[str, None] = {}
    for file in {str(row["classes"]) for row in run.rows if "classes" in row}:
        try:
            names |= {one.label: None for one in read_class_accuracy(run.folder / Path(file)) if one.labeled}
        except UserError:  # the section of accuracy by class tells
            continue
    return sorted(names)


def _some(names: Sequence[str]) -> str:
    return ", ".join(f"'{name}'" for name in names[:SHOWN]) + (", …" if len(names) > SHOWN else "")
