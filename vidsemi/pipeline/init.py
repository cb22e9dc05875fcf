"""`vidsemi init`: folders of videos → manifests, a test set, and the config of a first run.

The config's text is `own_videos.yaml.j2`; `configs/own_videos.yaml` is the same with example values.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import compress
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from pydantic import ValidationError

from vidsemi.config import Cut
from vidsemi.data.batches import TableBatches
from vidsemi.data.class_names import class_name, first_names
from vidsemi.data.formats.folder import read_class_folders, read_videos
from vidsemi.data.formats.media_files import count_suffixes, is_video
from vidsemi.data.formats.scan import ScanResult
from vidsemi.data.manifest import Manifest
from vidsemi.data.overlap import overlap
from vidsemi.data.sample import Sample, sample_videos
from vidsemi.data.split import group_numbers, groups_of, validation_split
from vidsemi.io.errors import UserError
from vidsemi.io.files import create_exclusive
from vidsemi.io.tables import printable
from vidsemi.pipeline.init_config import CONFIG, config_text, run_command
from vidsemi.runtime.registry import nearest

TEST = Cut(share=0.2)  # of each class, if there is no test folder
FEWEST_GROUPS = 4  # per class, to take names that differ in a last number for parts of one recording
SERIES = r"(?s)^(.*?)(?:[^/0-9]?[0-9]+)?\.[^./]*\Z"  # v_Punch_g08_c01.avi → v_Punch_g08_
OPENED = 10  # videos, to see what they are


@dataclass(frozen=True)
class Project:
    """What was found and written."""

    config: Path
    labeled: Mapping[str, int]  # class → videos
    test: Mapping[str, int]
    unlabeled: int
    notes: list[str]  # sentences about the split and what was left out
    sample: Sample

    @property
    def command(self) -> str:
        """The command line that runs the config."""
        return run_command(self.config)

    def document(self) -> dict[str, Any]:
        """As JSON."""
        own = {"config": str(self.config), "labeled": dict(self.labeled), "test": dict(self.test)}
        return {**own, "unlabeled": self.unlabeled, "notes": self.notes, "videos": self.sample.document()}


def init(
    folder: Path, labeled: Path, *, unlabeled: Path | None = None, test: Path | None = None, group: str | None = None
) -> Project:
    """Write manifests of folders of videos, and a config that trains a small network on them.

    Args:
        folder: to write to; nothing in it is overwritten.
        labeled: a folder per class, of videos to train on.
        unlabeled: videos of any kind, in folders or not.
        test: a folder per class, of videos to test on. Without it a fifth of each class becomes the test set.
        group: as in `data.validation`: parts of one recording, which stay on one side.

    Raises:
        UserError: a file exists already, or the folders do not contain what they should.
    """
    _check_target(folder)
    _check_group(group)
    train, notes = _class_folders(labeled)
    _check_classes(train, labeled)
    note = _find_groups(train, labeled, group)
    if test is not None:
        tested, more = _class_folders(test)
        notes += more
        _check_test(train, tested, labeled, test)
    else:
        train, tested = _split(train, labeled)
        notes.append(f"a fifth of the videos became the test set; {note}")
    if missing := sorted(set(train.columns["label"]) - set(tested.columns["label"])):
        notes.append(f"{len(missing)} classes have no test videos: {first_names(missing)}")
    others = None
    if unlabeled is not None:
        others = read_videos(unlabeled)
        notes += _left_out(others, unlabeled)
        notes += _leave_out(others, [train, tested])
        others.require_examples(f"{unlabeled}, without the labeled and the test videos,", unlabeled)
    sample = sample_videos(train.columns["path"], OPENED)
    counts = [dict(sorted(Counter(scan.columns["label"]).items())) for scan in (train, tested)]
    text = config_text(folder, counts[0], len(others or ()), sample)
    for name, scan in {"labeled": train, "test": tested, "unlabeled": others}.items():
        if scan is not None:
            scan.write(folder / f"{name}.csv")
    if not create_exclusive(folder / CONFIG, text):
        raise _exists(folder / CONFIG)
    return Project(folder / CONFIG, counts[0], counts[1], len(others or ()), notes, sample)


def _check_target(folder: Path) -> None:
    if not str(folder).isprintable():  # also of names that are not UTF-8
        shown = printable(str(folder))
        raise UserError("init.invalid_folder", f"the name {shown} has a character that a config cannot hold")
    for name in (CONFIG, "labeled.csv", "test.csv", "unlabeled.csv"):
        if (folder / name).exists():
            raise _exists(folder / name)


def _check_group(group: str | None) -> None:
    try:
        Cut(share=TEST.share, group=group)
    except ValidationError as error:
        why = error.errors(include_url=False)[0]["msg"].removeprefix("Value error, ")
        raise UserError("init.invalid_group", f"--group {group}: {why}") from None


def _exists(file: Path) -> UserError:
    return UserError("init.exists", f"{file} exists already; nothing was overwritten: name another folder")


def _class_folders(root: Path) -> tuple[ScanResult, list[str]]:
    """The videos of class folders, with the names of classes as manifests have them, and what was left out."""
    scan = read_class_folders(root)
    scan.columns["label"] = [class_name(label) for label in scan.columns["label"]]
    everything = len(scan)
    scan.keep([is_video(path) for path in scan.columns["path"]])
    if not len(scan):
        raise UserError(
            "init.no_videos", f"{root} has no videos, but {everything} images; for images see docs/guides/images.md"
        )
    if "" in scan.columns["label"]:
        raise UserError("init.empty_class", f"{root} has a folder whose name is only spaces; rename it")
    return scan, _left_out(scan, root, everything - len(scan))


def _check_classes(scan: ScanResult, root: Path) -> None:
    classes = set(scan.columns["label"])
    if len(classes) > 1:
        return
    first = Path(scan.columns["path"][0]).relative_to(root)
    hint = f"; did you mean --labeled {printable(str(root / first.parts[0]))}?" if len(first.parts) > 2 else ""
    raise UserError(
        "init.one_class",
        f"{root} has videos of one class only, '{classes.pop()}'; there must be a folder for each class{hint}",
    )


def _left_out(scan: ScanResult, root: Path, images: int = 0) -> list[str]:
    """What in a folder did not become an example."""
    counts = {
        "images": images,
        "files with names that are not UTF-8": len(scan.missing),
        f"files with unknown suffixes ({count_suffixes(scan.unknown)})": scan.unknown.total(),
    }
    return [f"{count} {what} in {root} were left out" for what, count in counts.items() if count]


def _check_test(train: ScanResult, test: ScanResult, labeled: Path, folder: Path) -> None:
    known = set(train.columns["label"])
    for name in sorted(set(test.columns["label"]) - known):
        near = nearest(name, known)
        hint = f"; did you mean '{near[0]}'?" if near else ""
        raise UserError("init.unknown_class", f"{folder} has the class '{name}', which {labeled} does not have{hint}")
    same = overlap(_in_memory(test), _in_memory(train)).same
    if len(same):
        path = printable(test.columns["path"][same[0]])
        raise UserError("init.test_in_labeled", f"{len(same)} test videos are in {labeled} too, the first is {path}")


def _in_memory(scan: ScanResult, root: Path = Path()) -> Manifest:
    columns = {name: scan.columns[name] for name in ("path", "label", "group") if name in scan.columns}
    return Manifest(root, root, TableBatches(pa.table(columns)), "")


def _find_groups(scan: ScanResult, root: Path, pattern: str | None) -> str:
    """Add a column `group` if videos are parts of one recording; returns a note on what was taken for one."""
    manifest = _in_memory(scan, root)
    if pattern is None:
        groups = groups_of(manifest, SERIES)
        if not _are_recordings(groups, np.array(scan.columns["label"])):
            return "each video counts as a recording of its own; give --group if several are parts of one"
        note = f"videos whose names differ only in a last number, such as {_pair(scan, groups)}, stay together"
    else:
        groups, note = groups_of(manifest, pattern), f"videos in which {pattern} finds the same text stay together"
    scan.columns["group"] = [name.removeprefix(f"{root}/") for name in groups.tolist()]
    return note


def _split(scan: ScanResult, root: Path) -> tuple[ScanResult, ScanResult]:
    """Split a test set off: whole groups of each class."""
    manifest = _in_memory(scan, root)
    labels = manifest.label_indices(manifest.class_names(), str(root))
    chosen = validation_split(labels, group_numbers(manifest, None), TEST, 0)
    if not chosen.any():
        raise UserError(
            "init.cannot_split",
            f"{root}: no class has two recordings, of which one could be tested; give --test FOLDER",
        )
    train = ScanResult(
        unknown=scan.unknown, warnings=scan.warnings, missing=scan.missing, missing_what=scan.missing_what
    )
    test = ScanResult()
    for name, values in scan.columns.items():
        train.columns[name] = list(compress(values, ~chosen))
        test.columns[name] = list(compress(values, chosen))
    return train, test


def _are_recordings(groups: np.ndarray, labels: np.ndarray) -> bool:
    """Whether some videos share a group, and every class has groups enough to split."""
    shared = False
    for label in np.unique(labels):
        own = groups[labels == label]
        count = len(np.unique(own))
        shared |= count < len(own)
        if count < min(len(own), FEWEST_GROUPS):
            return False
    return shared


def _pair(scan: ScanResult, groups: np.ndarray) -> str:
    """The names of two videos of the first group that has two."""
    names, first, counts = np.unique(groups, return_index=True, return_counts=True)
    name = names[counts > 1][np.argmin(first[counts > 1])]
    pair = [printable(Path(scan.columns["path"][place]).name) for place in np.flatnonzero(groups == name)[:2]]
    return " and ".join(pair)


def _leave_out(scan: ScanResult, others: Sequence[ScanResult]) -> list[str]:
    """Remove the examples that are in other sets, and say how many."""
    kept = np.ones(len(scan), bool)
    for other in others:
        kept[overlap(_in_memory(scan), _in_memory(other)).same] = False
    scan.keep(kept.tolist())
    found = int(np.count_nonzero(~kept))
    return [f"{found} unlabeled videos are labeled or test videos, and were left out"] if found else []
