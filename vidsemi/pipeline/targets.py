"""The targets of a config and their splits, read and checked before anything runs. Needs no torch."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vidsemi.config import Data, Target
from vidsemi.data.dedup.checks import Check, check_duplicates, read_checks, unknown_checks
from vidsemi.data.groups import groups_of
from vidsemi.data.manifest import Manifest
from vidsemi.data.run_datasets import Datasets, load_datasets
from vidsemi.pipeline.results import is_transfer
from vidsemi.pipeline.steps import corpus_identity

BEFORE = "what the weights were trained on before"  # of weights that no stage of ours has made: nobody knows here


@dataclass(frozen=True)
class LoadedTarget:
    """A target of the config and its splits, read and checked."""

    target: Target
    splits: list[Datasets]

    @property
    def identities(self) -> list[dict[str, str]]:
        """What the corpora of each split are known by."""
        return [
            {
                "train": corpus_identity(corpora.labeled, split.train),
                "test": corpus_identity(corpora.test, split.test),
            }
            for corpora, split in zip(self.splits, self.target.all_splits, strict=True)
        ]


def load_targets(targets: Iterable[Target]) -> list[LoadedTarget]:
    """Read the manifests of targets, as those of a run are read.

    Raises:
        UserError: as `load_datasets` does; or a path names no group.
    """
    loaded = []
    for target in targets:
        splits = [
            load_datasets(Data(labeled=split.train, test=split.test, dataset=target.dataset))
            for split in target.all_splits
        ]
        if "fc_only" in target.protocols:
            for split in splits:
                groups_of(split.labeled, target.fc_only.group)
        loaded.append(LoadedTarget(target, splits))
    return loaded


def duplicates_of_targets(
    learnt: Mapping[str, Manifest | None], targets: Iterable[LoadedTarget], *, from_weights: bool
) -> list[Check]:
    """What is known of duplicates between the test set of each split and what is trained on before and for it.

    Args:
        learnt: what the networks were trained on before, by names in a config.
        targets: that they go to.
        from_weights: whether networks began with weights that were there already.
    """
    checks = []
    for loaded in targets:
        for number, split in enumerate(loaded.splits, start=1):
            name = f"{loaded.target.name}{f' split {number}' if len(loaded.splits) > 1 else ''}"
            checks += check_duplicates({**learnt, "its own training set": split.labeled}, {name: split.test})
            checks += unknown_checks(BEFORE, {name: split.test}) if from_weights else []
    return checks


def with_earlier_checks(output: Path, checks: Sequence[Check], rows: Iterable[Mapping[str, Any]]) -> list[Check]:
    """Checks, and those that the directory knows of other targets, or other corpora, that still have rows.

    Args:
        output: directory of the run.
        checks: of what is about to run.
        rows: of results.json, without those that go.
    """
    known = {(check.corpus, check.test) for check in checks}
    names = {row["transfer"] for row in rows if is_transfer(row)}
    earlier = [check for check in read_checks(output) or [] if check.test.partition(" split ")[0] in names]
    return [*checks, *(check for check in earlier if (check.corpus, check.test) not in known)]


def target_lines(targets: Iterable[LoadedTarget]) -> list[str]:
    """What was read of each split, for people."""
    return [
        f"transfer to {loaded.target.name}{f', split {number}' if len(loaded.splits) > 1 else ''}: "
        f"{len(split.classes)} classes; {len(split.labeled)} train, {len(split.test)} test"
        for loaded in targets
        for number, split in enumerate(loaded.splits, start=1)
    ]
